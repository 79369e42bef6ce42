//! The part of the interface that is about miners: where they connect, and who they are.

use super::form::{FeeForm, MinersForm, WorkerForm};
use super::reply::{fault, form};
use super::routes::Shared;
use axum::http::StatusCode;
use axum::response::Response;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// What the interface sees of the miners.
#[derive(Clone)]
pub struct MinersPort {
    /// Where Stratum v1 listens.
    pub stratum: Vec<SocketAddr>,
    /// Where Stratum v1 listens over TLS.
    pub stratum_tls: Vec<SocketAddr>,
    /// The SHA-256 fingerprint of the certificate that is shown there.
    pub fingerprint: Option<String>,
    /// Where Stratum V2 listens.
    pub stratum_v2: Vec<SocketAddr>,
    /// Where `getwork` and `getblocktemplate` are served.
    pub legacy: Vec<SocketAddr>,
    /// The key that miners know this node by in Stratum V2.
    pub authority: Option<String>,
    /// How many miners are connected.
    pub count: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Each of them, now. Their number is bounded.
    pub workers: Arc<dyn Fn() -> Vec<WorkerForm> + Send + Sync>,
    /// Whether they are let in.
    pub serving: watch::Receiver<bool>,
    /// Whether a Bitcoin block pays its finder alone.
    pub solo: bool,
    /// The operator's fee, if there is one.
    pub fee: Option<FeeForm>,
}

impl fmt::Debug for MinersPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MinersPort").finish_non_exhaustive()
    }
}

pub(super) async fn miners(shared: Shared) -> Response {
    let Some(port) = &shared.ports.miners else {
        return fault(StatusCode::NOT_FOUND, "this node serves no miners");
    };
    form(MinersForm {
        serving: *port.serving.borrow(),
        count: (port.count)(),
        stratum: port.stratum.clone(),
        stratum_tls: port.stratum_tls.clone(),
        fingerprint: port.fingerprint.clone(),
        stratum_v2: port.stratum_v2.clone(),
        legacy: port.legacy.clone(),
        authority: port.authority.clone(),
        solo: port.solo,
        fee: port.fee.clone(),
        workers: (port.workers)(),
    })
}
