//! The part of the interface that is about miners: where they connect, and who they are.

use super::form::{BestForm, FeeForm, MinersForm, WorkerForm};
use super::history::best;
use super::reply::{Asked, fault, form};
use super::routes::Shared;
use crate::chain::now;
use crate::history::Series;
use crate::history::point::Best;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::watch;

/// Most miners in one answer.
const MAX_WORKERS: usize = 1_000;

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
    /// Those at these places, now; whoever came first is at 0.
    pub workers: Arc<dyn Fn(Range<usize>) -> Vec<WorkerForm> + Send + Sync>,
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

#[derive(Deserialize)]
pub(super) struct MinersQuery {
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

pub(super) async fn miners(shared: Shared, Asked(query): Asked<MinersQuery>) -> Response {
    let Some(port) = &shared.ports.miners else {
        return fault(StatusCode::NOT_FOUND, "this node serves no miners");
    };
    let end = query.from.saturating_add(query.count.unwrap_or(MAX_WORKERS).clamp(1, MAX_WORKERS));
    // One more than are told, to learn whether there is one.
    let mut workers = (port.workers)(query.from..end.saturating_add(1));
    let is_cut = workers.len() > end - query.from;
    workers.truncate(end - query.from);
    let mut told = MinersForm {
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
        best: None,
        workers,
        next_from: is_cut.then_some(end as u64),
    };
    tell_best(&mut told, &best(&shared), now().0.into());
    form(told)
}

/// Fills in the best shares ever: what is remembered, or what was handed in since, at this time in seconds since 1970.
fn tell_best(told: &mut MinersForm, known: &BTreeMap<Series, Best>, now: u64) {
    told.best = known.get(&Series::Node).cloned().map(BestForm::from);
    for worker in &mut told.workers {
        let of_name = known.get(&Series::worker(&worker.name)).map(|best| best.difficulty);
        worker.best_ever_difficulty = of_name.into_iter().chain(worker.best_difficulty).reduce(f64::max);
        let fresh = worker.best_difficulty.unwrap_or(0.0);
        if fresh > told.best.as_ref().map_or(0.0, |best| best.difficulty) {
            told.best = Some(BestForm { difficulty: fresh, time: now, worker: worker.name.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::{RefusedForm, WorkerForm};

    fn worker(name: &str, best: Option<f64>) -> WorkerForm {
        let remote = "127.0.0.1:1".parse().expect("an address");
        let refused =
            RefusedForm { stale: 0, unknown_job: 0, repeated: 0, too_easy: 0, untimely: 0, other: 0 };
        WorkerForm {
            name: name.into(),
            address: None,
            user_agent: String::new(),
            remote,
            protocol: "stratum".into(),
            port: 1,
            class: None,
            difficulty: None,
            connected: 0,
            last_share: None,
            accepted: 0,
            refused,
            hash_rate: 0.0,
            best_difficulty: best,
            best_ever_difficulty: None,
        }
    }

    #[test]
    fn the_best_share_is_what_is_remembered_or_what_came_since() {
        let mut told = MinersForm {
            serving: true,
            count: 3,
            stratum: vec![],
            stratum_tls: vec![],
            fingerprint: None,
            stratum_v2: vec![],
            legacy: vec![],
            authority: None,
            solo: false,
            fee: None,
            best: None,
            next_from: None,
            workers: vec![worker("a", Some(5.0)), worker("b", None), worker("c", Some(2.0))],
        };
        let best = |difficulty| Best { difficulty, time: 7, worker: "a".into() };
        let known = BTreeMap::from([
            (Series::Node, best(6.0)),
            (Series::worker("a"), best(6.0)),
            (Series::worker("c"), best(1.0)),
        ]);
        tell_best(&mut told, &known, 99);
        let ever: Vec<_> = told.workers.iter().map(|worker| worker.best_ever_difficulty).collect();
        assert_eq!(ever, [Some(6.0), None, Some(2.0)]);
        assert_eq!(told.best, Some(best(6.0).into()));
        told.workers[1].best_difficulty = Some(8.0);
        tell_best(&mut told, &known, 99);
        assert_eq!(told.best, Some(BestForm { difficulty: 8.0, time: 99, worker: "b".into() }));
    }
}
