//! What is told of rules that come into force by signal bits.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The rules in force, and what the work in the reward window signals.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignalsForm {
    /// The version that shares on the tip have.
    pub version: u32,
    /// The signal bits that this node's own shares set.
    pub own_bits: Vec<u32>,
    /// Score in the reward window, in expected Bitcoin blocks.
    pub window_score: f64,
    /// Bits that some of it carries, lowest first. One that at least 95 % carries at a height divisible by `interval`
    /// locks in.
    pub bits: Vec<SignalForm>,
    /// Share blocks from one reading to the next.
    pub interval: u32,
    /// Height of the next reading.
    pub next_reading: u32,
}

/// A signal bit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignalForm {
    /// 0 to 31.
    pub bit: u32,
    /// The score that carries it, in expected Bitcoin blocks.
    pub score: f64,
    /// Part of the window's score, 0 to 1.
    pub part: f64,
}
