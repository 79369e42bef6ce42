//! What is told of the past.

use crate::history::point::{Best, Point};
use crate::refused::Refused;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A series over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryForm {
    /// Of what: `node`, `pool` or `worker:NAME`.
    pub series: String,
    /// The best share that there ever was; none of the pool.
    #[serde(default)]
    pub best: Option<BestForm>,
    /// Seconds that a point stands for.
    pub step: u32,
    /// In the order of time. Where the node did not run there are none.
    pub points: Vec<PointForm>,
}

/// The best share that there ever was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BestForm {
    /// The highest difficulty that it would have met.
    pub difficulty: f64,
    /// When it was found, to half a minute, in seconds since 1970.
    pub time: u64,
    /// The worker that found it.
    pub worker: String,
}

impl From<Best> for BestForm {
    fn from(Best { difficulty, time, worker }: Best) -> Self {
        Self { difficulty, time, worker }
    }
}

/// What was counted in a stretch of time. Of the pool only its hash rate is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PointForm {
    /// When it began, in seconds since 1970.
    pub time: u64,
    /// Seconds that were counted: fewer than a step where the node ran for a part of it only.
    pub seconds: u32,
    /// Hashes a second meanwhile.
    pub hash_rate: f64,
    /// Shares accepted.
    pub accepted: u64,
    /// Submits refused.
    pub refused: Refused,
    /// The most miners at a time.
    pub miners: u32,
    /// The highest difficulty that a share would have met; zero without shares.
    pub best_difficulty: f64,
}

impl PointForm {
    /// The form of a point that began at this time.
    pub fn new(time: u64, point: &Point) -> Self {
        let Point { seconds, accepted, refused, miners, best_difficulty, .. } = *point;
        Self { time, seconds, hash_rate: point.hash_rate(), accepted, refused, miners, best_difficulty }
    }
}

/// All series that there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeriesListForm {
    /// Each of them.
    pub series: Vec<SeriesForm>,
}

/// A series.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeriesForm {
    /// Its name: `node`, `pool` or `worker:NAME`.
    pub name: String,
    /// When it was last written, in seconds since 1970.
    pub last: u64,
}
