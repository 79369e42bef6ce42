//! What is told of how the node does, in plain words, and of Bitcoin's side.

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

/// What this node has from Bitcoin's side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BitcoindsForm {
    /// The configured bitcoinds, the first choice first.
    pub bitcoinds: Vec<BitcoindForm>,
    /// The newest template; none where there is none.
    pub template: Option<TemplateForm>,
    /// Seconds since any of them gave something to mine on; none while one does.
    pub silent_seconds: Option<u64>,
    /// Seconds that this machine's clock is ahead of the Bitcoin node's; negative where it is behind.
    pub clock_ahead_seconds: Option<i64>,
}

/// One bitcoind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BitcoindForm {
    /// Its name.
    pub name: String,
    /// Height of the block that its template is for; none while it gives none.
    pub template_height: Option<u32>,
    /// Why it gives none, with what to do.
    pub error: Option<String>,
}

/// What is mined on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TemplateForm {
    /// Height of the Bitcoin block.
    pub bitcoin_height: u32,
    /// Satoshis of its coinbase: subsidy and fees.
    pub satoshis: u64,
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
