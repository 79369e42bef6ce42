//! What is told about miners.

use super::history::BestForm;
use crate::refused::Refused;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use utoipa::ToSchema;

/// Where miners connect, and who they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MinersForm {
    /// Whether they are let in: the node is level with its peers, and some bitcoind answers.
    pub serving: bool,
    /// Connections of Stratum v1, channels of Stratum V2, and workers of `getwork` and `getblocktemplate`.
    pub count: u64,
    /// Where Stratum v1 listens.
    #[schema(value_type = Vec<String>)]
    pub stratum: Vec<SocketAddr>,
    /// Where Stratum v1 listens over TLS.
    #[schema(value_type = Vec<String>)]
    pub stratum_tls: Vec<SocketAddr>,
    /// The SHA-256 fingerprint of the certificate that is shown there.
    pub fingerprint: Option<String>,
    /// Where Stratum V2 listens.
    #[schema(value_type = Vec<String>)]
    pub stratum_v2: Vec<SocketAddr>,
    /// Where `getwork` and `getblocktemplate` are served.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub legacy: Vec<SocketAddr>,
    /// The public key that miners know this node by in Stratum V2, as they take it.
    pub authority: Option<String>,
    /// Whether a Bitcoin block pays its finder alone: there is no share chain, and nothing else is paid.
    pub solo: bool,
    /// What of their work is mined for the operator; none where nothing is.
    pub fee: Option<FeeForm>,
    /// The best share that any miner of this node ever handed in.
    #[serde(default)]
    pub best: Option<BestForm>,
    /// A page of them, those that came first in front. A few may come or go between two pages.
    #[serde(default)]
    pub workers: Vec<WorkerForm>,
    /// Where to go on, as `from`; none where these are the last.
    #[serde(default)]
    pub next_from: Option<u64>,
}

/// One miner: a connection of Stratum v1, a channel of Stratum V2, or a worker of `getwork` and `getblocktemplate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerForm {
    /// The user name that it gave first; empty until it has.
    pub name: String,
    /// Whom its shares are credited to; none until it has given a name.
    pub address: Option<String>,
    /// Name and version of its program, as it says.
    pub user_agent: String,
    /// Where it connects from.
    #[schema(value_type = String)]
    pub remote: SocketAddr,
    /// What it speaks: `stratum`, `stratum_tls`, `stratum_v2` or `legacy`, as the lists of ports are called here.
    pub protocol: String,
    /// The port of this node that it is connected to.
    pub port: u16,
    /// Its payout class: the most outputs of its coinbases. None for one that gets no work.
    pub class: Option<u16>,
    /// The difficulty of its newest work; none before there was any.
    pub difficulty: Option<f64>,
    /// When it connected, in seconds since 1970.
    pub connected: u64,
    /// When a share was last accepted, in seconds since 1970.
    pub last_share: Option<u64>,
    /// Shares accepted.
    pub accepted: u64,
    /// Submits refused.
    pub refused: Refused,
    /// Hashes a second in the last ten minutes or so, by its shares.
    pub hash_rate: f64,
    /// The difficulty that its best share would have met.
    pub best_difficulty: Option<f64>,
    /// The same of all shares that miners of this name ever handed in, as far as that is remembered.
    #[serde(default)]
    pub best_ever_difficulty: Option<f64>,
}

/// The operator's fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FeeForm {
    /// Ten thousandths of the work of all hardware that is not the operator's.
    pub per_10_000: u16,
    /// Whom that is mined for.
    pub address: String,
}
