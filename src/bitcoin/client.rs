//! Several back ends as one: the freshest template of the living ones, blocks to all, questions to any.
//!
//! This is what the rest of the node uses. It starts the tasks of each back end (`source`,
//! [`submit`](super::submit), `zmq`) and one that chooses whose template counts.

use std::{cmp::Reverse, sync::Arc, time::Duration};

use bitcoin::{BlockHash, Txid, block::Header};
use hyper::body::Bytes;
use sharechain::units::BitcoinHeight;
use tokio::{
    sync::{Notify, broadcast, watch},
    time::{Instant, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use super::{
    Backend, BackendError, FoundHeader, MempoolEntry, Template,
    source::{Condition, Source, SourceState},
    submit::{BlockOutcome, BlockSubmitter, Courier, doors},
    zmq,
};

/// Outcomes that a slow listener may be behind before it misses some.
const OUTCOMES: usize = 256;

/// A back end and how to hear of its blocks.
pub struct Upstream {
    /// The back end.
    pub backend: Arc<dyn Backend>,
    /// Where it publishes `hashblock` (`tcp://HOST:PORT`). Without it, and until it has told of a block, long polling is used.
    pub zmq: Option<String>,
}

/// How often and how long. The defaults are what a node uses; tests shorten them.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Longest time between two templates of one back end.
    pub refresh: Duration,
    /// Pause before asking a back end again that did not answer; doubles each time.
    pub retry_first: Duration,
    /// Longest such pause.
    pub retry_most: Duration,
    /// Pause before submitting a block again; doubles each time.
    pub submit_retry_first: Duration,
    /// Longest such pause.
    pub submit_retry_most: Duration,
    /// How long a block is submitted again and again.
    pub submit_for: Duration,
    /// How long ending may take while blocks are under way.
    pub farewell: Duration,
    /// How long every back end may be silent before miners should go elsewhere.
    pub silence: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            refresh: secs(30),
            retry_first: secs(1),
            retry_most: secs(10),
            submit_retry_first: Duration::from_millis(500),
            submit_retry_most: secs(30),
            submit_for: secs(3_600),
            farewell: secs(10),
            silence: secs(60),
        }
    }
}

/// How the back ends stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Each back end, in the order in which they were given.
    pub backends: Vec<BackendHealth>,
    /// Which of them the published template is from; none while all fail.
    pub active: Option<usize>,
    /// Since when no back end has given a template: the last one's time, or the start.
    pub silent_since: Option<Instant>,
    /// Whether that is so long ago ([`Timings::silence`]) that miners' connections should be closed, so that devices
    /// turn to their other pools.
    pub miners_should_leave: bool,
}

/// How one back end stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHealth {
    /// Its name.
    pub name: String,
    /// Height of the block that its template is for; none while it gives none.
    pub height: Option<BitcoinHeight>,
    /// When it last gave a template.
    pub last_answer: Option<Instant>,
    /// Why it gives none.
    pub error: Option<BackendError>,
}

/// The running service. Dropping it stops nothing: cancel its token, then wait for [`BitcoinClient::stopped`].
pub struct BitcoinClient {
    templates: watch::Receiver<Option<Arc<Template>>>,
    health: watch::Receiver<Health>,
    outcomes: broadcast::Sender<BlockOutcome>,
    submitter: BlockSubmitter,
    lookup: Lookup,
    tasks: TaskTracker,
}

impl BitcoinClient {
    /// Starts the tasks on the present runtime. `chain` is the chain's name as `getblockchaininfo` has it; a back end on
    /// another one gives no templates. The first back end is preferred.
    pub fn start(upstreams: Vec<Upstream>, chain: &str, timings: Timings, cancel: CancellationToken) -> Self {
        let tasks = TaskTracker::new();
        let states = watch::Sender::new(vec![SourceState::STARTING; upstreams.len()]);
        let outcomes = broadcast::Sender::new(OUTCOMES);
        let (submitter, arrivals) = doors(upstreams.len());
        let backends: Arc<[Arc<dyn Backend>]> = upstreams.iter().map(|u| Arc::clone(&u.backend)).collect();
        for (index, (upstream, arrivals)) in upstreams.into_iter().zip(arrivals).enumerate() {
            let Upstream { backend, zmq } = upstream;
            let (teller, news) = watch::channel(zmq::News::default());
            if let Some(url) = zmq {
                tasks.spawn(zmq::follow(url, teller, cancel.clone()));
            }
            let stirred = Arc::new(Notify::new());
            let courier = Courier::new(Arc::clone(&backend), timings, outcomes.clone(), Arc::clone(&stirred));
            tasks.spawn(courier.run(arrivals, cancel.clone()));
            let (chain, states) = (chain.to_owned(), states.clone());
            let source = Source { index, backend, chain, timings, news, states, stirred };
            tasks.spawn(source.run(cancel.clone()));
        }
        let names: Vec<String> = backends.iter().map(|backend| backend.name().to_owned()).collect();
        let states = states.subscribe();
        let lookup = Lookup { backends, states: states.clone() };
        let chooser =
            Chooser { names, states, silence: timings.silence, started: Instant::now(), active: None };
        let (template_sender, templates) = watch::channel(None);
        let (health_sender, health) = watch::channel(chooser.health());
        tasks.spawn(cancel.run_until_cancelled_owned(chooser.run(template_sender, health_sender)));
        tasks.close();
        Self { templates, health, outcomes, submitter, lookup, tasks }
    }

    /// What to mine on: always the newest template, none before the first.
    pub fn templates(&self) -> watch::Receiver<Option<Arc<Template>>> {
        self.templates.clone()
    }

    /// How the back ends stand.
    pub fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }

    /// Where to hand in found blocks.
    pub fn submitter(&self) -> BlockSubmitter {
        self.submitter.clone()
    }

    /// What becomes of the blocks that are handed in from now on, once for each back end.
    pub fn outcomes(&self) -> broadcast::Receiver<BlockOutcome> {
        self.outcomes.subscribe()
    }

    /// Where to ask for headers and transactions.
    pub fn headers(&self) -> Lookup {
        self.lookup.clone()
    }

    /// Waits until every task has ended, blocks under way included.
    pub async fn stopped(&self) {
        self.tasks.wait().await;
    }
}

/// Questions about headers and transactions, asked of the living back ends. Clones are the same.
#[derive(Clone)]
pub struct Lookup {
    backends: Arc<[Arc<dyn Backend>]>,
    states: watch::Receiver<Vec<SourceState>>,
}

impl Lookup {
    /// The header of this hash; none if no back end that answers knows it.
    pub async fn header(&self, hash: BlockHash) -> Result<Option<FoundHeader>, BackendError> {
        let mut answer = None;
        for backend in self.living_first() {
            match backend.header(hash).await {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => answer = Some(Ok(None)),
                Err(error) => answer = answer.or(Some(Err(error))),
            }
        }
        answer.unwrap_or_else(|| Err(no_backend()))
    }

    /// Headers of one back end's best chain, as [`Backend::headers`] gives them.
    pub async fn headers(&self, first: BitcoinHeight, count: u32) -> Result<Vec<Header>, BackendError> {
        let mut failure = no_backend();
        for backend in self.living_first() {
            match backend.headers(first, count).await {
                Ok(headers) => return Ok(headers),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Makes a header known to every back end that answers; an error if none took it.
    pub async fn submit_header(&self, header: &Header) -> Result<(), BackendError> {
        let mut result = Err(no_backend());
        for backend in self.living_first() {
            match backend.submit_header(header).await {
                Ok(()) => result = Ok(()),
                Err(error) => result = result.or(Err(error)),
            }
        }
        result
    }

    /// What waits in the mempool of one back end, as [`Backend::mempool`] gives it.
    pub async fn mempool(&self) -> Result<Vec<MempoolEntry>, BackendError> {
        let mut failure = no_backend();
        for backend in self.living_first() {
            match backend.mempool().await {
                Ok(entries) => return Ok(entries),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Transactions of one back end's mempool, as [`Backend::transactions`] gives them.
    pub async fn transactions(&self, ids: &[Txid]) -> Result<Vec<Option<Bytes>>, BackendError> {
        let mut failure = no_backend();
        for backend in self.living_first() {
            match backend.transactions(ids).await {
                Ok(transactions) => return Ok(transactions),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// All back ends: first those that give templates, the one with the longest chain foremost.
    fn living_first(&self) -> Vec<Arc<dyn Backend>> {
        let states = self.states.borrow();
        let mut order: Vec<usize> = (0..self.backends.len()).collect();
        order.sort_by_key(|index| Reverse(states.get(*index).and_then(SourceState::height)));
        order.into_iter().filter_map(|index| self.backends.get(index).cloned()).collect()
    }
}

fn no_backend() -> BackendError {
    BackendError::Unreachable { backend: "Bitcoin".into(), reason: "no back end is configured".into() }
}

/// Chooses whose template counts.
struct Chooser {
    names: Vec<String>,
    states: watch::Receiver<Vec<SourceState>>,
    silence: Duration,
    started: Instant,
    active: Option<usize>,
}

impl Chooser {
    async fn run(mut self, templates: watch::Sender<Option<Arc<Template>>>, health: watch::Sender<Health>) {
        loop {
            let template = {
                let states = self.states.borrow_and_update();
                let chosen = choose(&states);
                if chosen != self.active {
                    let name = |index: Option<usize>| index.and_then(|index| self.names.get(index));
                    match (name(chosen), name(self.active)) {
                        (Some(now), Some(before)) => info!(now, before, "changing to other templates"),
                        (None, _) => {
                            warn!("no back end gives templates; miners stay on the last one for now")
                        }
                        (Some(_), None) => {}
                    }
                    self.active = chosen;
                }
                chosen.and_then(|index| states.get(index)?.template().cloned())
            };
            if let Some(template) = template {
                templates.send_if_modified(|published| {
                    let new = !published.as_ref().is_some_and(|before| Arc::ptr_eq(before, &template));
                    if new {
                        *published = Some(template);
                    }
                    new
                });
            }
            let now = self.health();
            let deadline =
                now.silent_since.filter(|_| !now.miners_should_leave).map(|since| since + self.silence);
            health.send_if_modified(|published| {
                let new = *published != now;
                *published = now;
                new
            });
            tokio::select! {
                changed = self.states.changed() => if changed.is_err() { return },
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
            }
        }
    }

    fn health(&self) -> Health {
        let states = self.states.borrow();
        let backends: Vec<BackendHealth> = states.iter().zip(&self.names).map(backend_health).collect();
        let silent_since = backends
            .iter()
            .all(|backend| backend.height.is_none())
            .then(|| backends.iter().filter_map(|backend| backend.last_answer).max().unwrap_or(self.started));
        let miners_should_leave = silent_since.is_some_and(|since| since.elapsed() >= self.silence);
        Health { backends, active: self.active, silent_since, miners_should_leave }
    }
}

fn backend_health((state, name): (&SourceState, &String)) -> BackendHealth {
    BackendHealth {
        name: name.clone(),
        height: state.height(),
        last_answer: state.last_answer,
        error: match &state.condition {
            Condition::Failing(error) => Some(error.clone()),
            Condition::Starting | Condition::Alive(_) => None,
        },
    }
}

/// The first of those whose template is for the greatest height: a bitcoind that has come back may have blocks to catch
/// up with, and one that is stuck should not hold the miners on an old tip.
fn choose(states: &[SourceState]) -> Option<usize> {
    let heights = states.iter().map(SourceState::height);
    let best = heights.clone().flatten().max()?;
    heights.into_iter().position(|height| height == Some(best))
}

#[cfg(test)]
mod tests;
