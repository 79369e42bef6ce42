//! What is told of how the node does, in plain words.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthForm {
    /// Whether nothing is wrong: there is no item, or only notices.
    pub healthy: bool,
    /// What should be looked at, worst first.
    pub items: Vec<HealthItem>,
}

/// Something that should be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HealthItem {
    /// How bad it is.
    pub level: Level,
    /// What it is, for programs: a name that stays the same.
    pub id: String,
    /// What is so, for people.
    pub says: String,
    /// What to do about it.
    pub cure: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Work or money is being lost, or soon will be.
    Alarm,
    /// Something is not as it should be, and mining goes on.
    Warning,
    /// Worth knowing.
    Notice,
}
