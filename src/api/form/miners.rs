//! What is told about miners.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where miners connect, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinersForm {
    /// Whether they are let in: the node is level with its peers, and some bitcoind answers.
    pub serving: bool,
    /// Connections of Stratum v1, channels of Stratum V2, and workers of `getwork` and `getblocktemplate`.
    pub count: u64,
    /// Where Stratum v1 listens.
    pub stratum: Vec<SocketAddr>,
    /// Where Stratum v1 listens over TLS.
    pub stratum_tls: Vec<SocketAddr>,
    /// The SHA-256 fingerprint of the certificate that is shown there.
    pub fingerprint: Option<String>,
    /// Where Stratum V2 listens.
    pub stratum_v2: Vec<SocketAddr>,
    /// Where `getwork` and `getblocktemplate` are served.
    #[serde(default)]
    pub legacy: Vec<SocketAddr>,
    /// The public key that miners know this node by in Stratum V2, as they take it.
    pub authority: Option<String>,
    /// Whether a Bitcoin block pays its finder alone: there is no share chain, and nothing else is paid.
    pub solo: bool,
    /// What of their work is mined for the operator; none where nothing is.
    pub fee: Option<FeeForm>,
}

/// The operator's fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeeForm {
    /// Ten thousandths of the work of all hardware that is not the operator's.
    pub per_10_000: u16,
    /// Whom that is mined for.
    pub address: String,
}
