//! What is counted in a stretch of time.

pub use crate::refused::Refused;
use serde::{Deserialize, Serialize};

/// What was counted in a stretch of time. All that is ever done with them is adding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Seconds that were counted, at most the step of its tier: fewer where the node ran for a part of it only.
    pub seconds: u32,
    /// Hashes that the work accepted is expected to have taken.
    pub hashes: f64,
    /// Shares accepted.
    pub accepted: u64,
    /// Submits refused.
    pub refused: Refused,
    /// The most miners at a time.
    pub miners: u32,
    /// The highest difficulty that a share would have met.
    pub best_difficulty: f64,
}

/// The best share that there ever was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The highest difficulty that it would have met.
    pub difficulty: f64,
    /// When the step began in which it was found, seconds since 1970.
    pub time: u64,
    /// The worker that found it.
    pub worker: String,
}

impl Point {
    /// Takes what was counted after it, or before.
    pub fn follow(&mut self, other: &Self) {
        self.seconds = self.seconds.saturating_add(other.seconds);
        self.merge(other, u32::max);
    }

    /// Takes what was counted by another at the same time.
    pub fn join(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        self.merge(other, u32::saturating_add);
    }

    fn merge(&mut self, other: &Self, miners: impl Fn(u32, u32) -> u32) {
        self.hashes += other.hashes;
        self.accepted = self.accepted.saturating_add(other.accepted);
        self.refused.add(&other.refused);
        self.miners = miners(self.miners, other.miners);
        self.best_difficulty = self.best_difficulty.max(other.best_difficulty);
    }

    /// Hashes a second, while it was counted.
    pub fn hash_rate(&self) -> f64 {
        if self.seconds == 0 { 0.0 } else { self.hashes / f64::from(self.seconds) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_takes_longer_and_what_joins_has_more_miners() {
        let one = Point {
            seconds: 30,
            hashes: 60.0,
            accepted: 2,
            miners: 3,
            best_difficulty: 5.0,
            ..Point::default()
        };
        let refused = Refused { stale: 1, other: 4, ..Refused::default() };
        let two = Point { seconds: 30, hashes: 30.0, accepted: 1, miners: 2, best_difficulty: 9.0, refused };
        let both = Point { hashes: 90.0, accepted: 3, best_difficulty: 9.0, refused, ..Point::default() };
        let mut followed = one;
        followed.follow(&two);
        assert_eq!(followed, Point { seconds: 60, miners: 3, ..both });
        let mut joined = one;
        joined.join(&two);
        assert_eq!(joined, Point { seconds: 30, miners: 5, ..both });
        assert_eq!((one.hash_rate(), joined.hash_rate(), Point::default().hash_rate()), (2.0, 3.0, 0.0));
    }
}
