//! What is told about miners.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where miners connect, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinersForm {
    /// Whether they are let in: the node is level with its peers, and some bitcoind answers.
    pub serving: bool,
    /// Connections of Stratum v1 and channels of Stratum V2.
    pub count: u64,
    /// Where Stratum v1 listens.
    pub stratum: Vec<SocketAddr>,
    /// Where Stratum V2 listens.
    pub stratum_v2: Vec<SocketAddr>,
    /// The public key that miners know this node by in Stratum V2, as they take it.
    pub authority: Option<String>,
}
