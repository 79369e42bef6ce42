//! The node's wiring: opens what there is to open, makes the channels, starts the tasks, and ends them in order.
//!
//! The tasks of a running node, by name:
//!
//! | task | from | to |
//! |---|---|---|
//! | `bitcoin` | each bitcoind | templates, health, outcomes of submitted blocks |
//! | `chain` (a thread) | submissions, headers, questions | the store; chain state and events |
//! | `headers` | the chain's wanted headers | headers from bitcoind |
//! | `clock` | every second | shares that were ahead of the clock |
//! | `builder` | templates, chain state | jobs |
//! | `stratum` | miners | candidates; Bitcoin blocks straight to `bitcoin` |
//! | `stratum-v2` | miners that speak Stratum V2 | the same |
//! | `finder` | candidates | submissions; found Bitcoin blocks to be kept |
//! | `found` | submitted blocks and their outcomes | blocks on the disk until a bitcoind has them |
//! | `doors` | Bitcoin health, where the node stands beside its peers | whether miners are served, the log |
//! | `network` | other nodes | events of theirs; carries out commands |
//! | `peers` | the network's events, the chain's | commands, submissions, where the node stands |
//! | `solutions` | found Bitcoin blocks of this node and of others | the network; blocks straight to `bitcoin` |
//! | `peers-headers` | Bitcoin headers of peers | bitcoind |
//! | `api` | requests on loopback | questions to the chain |
//!
//! Whichever task ends first ends the node.

mod network;

use crate::api;
use crate::bitcoin::client::{BitcoinClient, Lookup, Timings, Upstream};
use crate::bitcoin::embedded::Embedded;
use crate::bitcoin::found::{self, FoundFolder};
use crate::bitcoin::rpc::{BitcoindRpc, Patience};
use crate::bitcoin::submit::BlockOutcome;
use crate::bitcoin::{MAX_HEADERS, client::Health};
use crate::chain::open::OpenError;
use crate::chain::{self, ChainHandle};
use crate::config::{Bitcoind, Config};
use crate::peers::driver::Footing;
use crate::peers::status::NetworkStatus;
use crate::store::{OpenStore, SledStore, StoreError};
use crate::stratum::device::PayoutClasses;
use crate::stratum::server::{self, Limits, Server};
use crate::stratum::session::SessionConfig;
use crate::stratum::sessions::Sessions;
use crate::stratum_v2::authority::Authority;
use crate::stratum_v2::{server as server_v2, session as session_v2};
use crate::work::builder::{Builder, Pace};
use crate::work::finder::Finder;
use crate::work::headers::HeaderFeed;
use crate::work::job::JobIds;
use crate::work::outbox::Outbox;
use crate::work::series::SeriesRegister;
use crate::work::share_rate::ShareCount;
use anyhow::{Context, anyhow};
use bitcoin::block::Header;
use sharechain::bitcoin_headers::first_ancestor_height;
use sharechain::params::{ChainParams, Network, embedded_genesis};
use sharechain::store::Solution;
use sharechain::units::BitcoinHeight;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// Candidates that wait between the sessions and the chain.
const CANDIDATES: usize = 1_024;
/// Miners at a time: connections of Stratum v1 and channels of Stratum V2.
const MAX_SESSIONS: usize = 10_000;
/// Connections of Stratum V2 at a time.
const MAX_CONNECTIONS_V2: usize = 10_000;
/// Pause before asking again a bitcoind that the start needs.
const RETRY: Duration = Duration::from_secs(2);
/// How long a task may take to end after the stop.
const FAREWELL: Duration = Duration::from_secs(15);

/// A running node.
pub struct Node {
    /// The share chain.
    pub chain: ChainHandle,
    /// Where Stratum listens.
    pub stratum: Vec<SocketAddr>,
    /// Where Stratum V2 listens.
    pub stratum_v2: Vec<SocketAddr>,
    /// The key that miners know this node by in Stratum V2; none where that is not wanted.
    pub authority: Option<Authority>,
    /// Where the interface listens.
    pub api: SocketAddr,
    /// Whether miners are let in.
    pub serving: watch::Receiver<bool>,
    /// Where the node stands beside its peers.
    pub footing: watch::Receiver<Footing>,
    /// The network between nodes as its owner sees it; none for a node that mines alone.
    pub network: Option<watch::Receiver<Arc<NetworkStatus>>>,
    finder: Arc<Finder>,
    bitcoin: BitcoinClient,
    bitcoin_stop: CancellationToken,
    guard: Guard,
    writer: JoinHandle<Result<(), StoreError>>,
    tasks: Tasks,
    /// Takes the address back when the node ends.
    _announced: api::Announced,
}

/// How quick a node is. The default is what `run` uses; the demo and tests shorten it.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeOptions {
    /// When jobs are made again.
    pub pace: Pace,
    /// How often bitcoind is asked, and how long it is waited for.
    pub timings: Timings,
}

/// Runs a node until `shutdown` is cancelled or something essential ends.
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    let upstreams = upstreams(&config)?;
    let node = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        node = Node::start(&config, upstreams, NodeOptions::default()) => node?,
    };
    node.run(shutdown).await
}

impl Node {
    /// Starts a node on these back ends; returns when it runs. Miners are let in when it is level with its peers.
    pub async fn start(
        config: &Config,
        upstreams: Vec<Upstream>,
        options: NodeOptions,
    ) -> anyhow::Result<Self> {
        let params = config.place.params.clone();
        // Ports first: whoever starts a second node by mistake learns it at once.
        let bind = |address: &SocketAddr| server::bind(*address);
        let miners = config.stratum.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
        let bind_v2 = |address: &SocketAddr| server_v2::bind(*address);
        let miners_v2 = config.stratum_v2.iter().map(bind_v2).collect::<Result<Vec<_>, _>>()?;
        let api = bind_api(config.api).await?;
        let mut store = open_store(config)?;
        let wanted = !miners_v2.is_empty();
        let authority = wanted.then(|| Authority::load(&config.place.authority_file())).transpose()?;

        let tasks = Tasks::default();
        // Ends after everything that may still find a block.
        let bitcoin_stop = CancellationToken::new();
        // What runs already must end when a later step fails.
        let unless_started = (tasks.stop.clone().drop_guard(), bitcoin_stop.clone().drop_guard());
        let name = params.network.name();
        let loaded = match chain::open::load(&store, params.clone()) {
            Err(OpenError::NoHeaders) => None,
            loaded => Some(loaded?),
        };
        if let Some(chain) = &loaded {
            let headers: Vec<Header> = chain.headers().iter().map(|(_, header)| *header).collect();
            upstreams.iter().for_each(|upstream| upstream.backend.restore(&headers));
        }
        let backends = upstreams.len();
        let bitcoin = BitcoinClient::start(upstreams, name, options.timings, bitcoin_stop.clone());
        let guard = Guard::start(FoundFolder::open(config.place.found_dir())?, &bitcoin, backends)?;
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => {
                let headers = fetch_ancestors(&bitcoin.headers(), &params).await?;
                chain::open::save_ancestors(&mut store, &params, &headers)?;
                chain::open::load(&store, params.clone())?
            }
        };
        info!(chain = %loaded.id(), tip = %loaded.tip(), height = %loaded.height(), "share chain loaded");
        let (chain, writer) = chain::open::spawn(loaded, store);

        let headers = HeaderFeed::new(bitcoin.headers(), chain.clone());
        if let Err(error) = headers.catch_up().await? {
            warn!("no Bitcoin headers for now, going on with those that were saved: {error}");
        }
        let count = Arc::new(ShareCount::default());
        let finder = Finder::new(params.clone(), chain.clone(), bitcoin.submitter(), count.clone());
        let finder = Arc::new(finder);
        let (candidate_sender, candidates) = mpsc::channel(CANDIDATES);
        let series = Arc::new(SeriesRegister::default());
        let ids = Arc::new(JobIds::starting_at(random_u32()?));
        let neighbours = network::start(config, &chain, &bitcoin, &tasks)?;
        let network = neighbours.port.as_ref().map(|port| port.status.clone());
        let (open_sender, open) = watch::channel(neighbours.footing.borrow().ready);
        // Devices are told of it where they can reach it.
        let all_local = config.stratum.iter().all(|address| address.ip().is_loopback());
        let mut addresses_v2 = miners_v2.iter().filter_map(|listener| listener.local_addr().ok());
        let port_v2 = addresses_v2.find(|address| all_local || !address.ip().is_loopback());
        let server = Server {
            config: Arc::new(SessionConfig {
                default_owner: config.address,
                stratum_v2: port_v2.map(|address| address.port()),
                ..SessionConfig::new(
                    params.network,
                    PayoutClasses::new(&params.classes, config.payout_class.clone()),
                    ids.clone(),
                )
            }),
            work: series.clone(),
            outbox: Outbox { blocks: finder.clone(), shares: candidate_sender },
            open: open.clone(),
            sessions: Sessions::new(random_u32()?, MAX_SESSIONS),
            limits: Limits::default(),
        };
        let server_v2 = authority.clone().map(|authority| server_v2::Server {
            config: Arc::new(session_v2::SessionConfig {
                network: params.network,
                default_owner: config.address,
                standard_class: params.classes.last().copied().unwrap_or(1),
                extended_class: smallest_class(&params),
                ids: ids.clone(),
            }),
            authority,
            work: series.clone(),
            outbox: server.outbox.clone(),
            open: open.clone(),
            sessions: server.sessions.clone(),
            connections: Arc::new(Semaphore::new(MAX_CONNECTIONS_V2)),
            limits: Limits::default(),
        });
        let stratum_v2 = miners_v2.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let stratum = miners.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let api_address = api.local_addr()?;
        let announced = api::announce(&config.place.data_dir, api_address)
            .context("the interface's address cannot be written into the data folder")?;
        let builder = Builder {
            params,
            chain: chain.clone(),
            templates: bitcoin.templates(),
            headers: headers.clone(),
            series,
            found: count,
            ids,
            salt: random_u32()?.to_le_bytes(),
            pace: options.pace,
        };

        let sessions = server.sessions.clone();
        let ports = api::Ports {
            network: neighbours.port,
            miners: Some(api::MinersPort {
                stratum: stratum.clone(),
                stratum_v2: stratum_v2.clone(),
                authority: authority.as_ref().map(ToString::to_string),
                count: Arc::new(move || sessions.count() as u64),
                serving: open.clone(),
            }),
        };
        tasks.spawn("headers", headers.run(tasks.stop.child_token()));
        tasks.spawn_until_stop("clock", tick(chain.clone()));
        tasks.spawn("builder", builder.run(tasks.stop.child_token()));
        tasks.spawn("finder", finder.clone().run(candidates));
        let doors =
            Doors { health: bitcoin.health(), footing: neighbours.footing.clone(), open: open_sender };
        tasks.spawn_until_stop("doors", doors.keep());
        tasks.spawn("stratum", server.run(miners, tasks.stop.child_token()));
        if let Some(server_v2) = server_v2 {
            tasks.spawn("stratum-v2", server_v2.run(miners_v2, tasks.stop.child_token()));
        }
        tasks.spawn("api", api::serve(api, Arc::new(chain.clone()), ports, tasks.stop.child_token()));
        unless_started.0.disarm();
        unless_started.1.disarm();
        Ok(Self {
            bitcoin_stop,
            guard,
            chain,
            stratum,
            stratum_v2,
            authority,
            api: api_address,
            serving: open,
            footing: neighbours.footing,
            network,
            finder,
            bitcoin,
            writer,
            tasks,
            _announced: announced,
        })
    }

    /// The Bitcoin blocks that this node's miners find from now on.
    pub fn found(&self) -> broadcast::Receiver<Arc<Solution>> {
        self.finder.found()
    }

    /// Done when something essential has ended, so that the node is going down.
    pub async fn failed(&self) {
        self.tasks.stop.cancelled().await;
    }

    /// What becomes of the blocks that are submitted.
    pub fn outcomes(&self) -> broadcast::Receiver<BlockOutcome> {
        self.bitcoin.outcomes()
    }

    /// Runs until `shutdown` is cancelled or something essential ends; then stops in order: miners, jobs, chain, bitcoind.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            () = shutdown.cancelled() => info!("stopping"),
            () = self.tasks.stop.cancelled() => {}
        }
        self.tasks.stop.cancel();
        self.tasks.tracker.close();
        self.tasks.tracker.wait().await;
        // Only now has everything that was found been handed to the chain.
        self.chain.stop().await;
        self.bitcoin_stop.cancel();
        self.bitcoin.stopped().await;
        self.guard.stop().await;
        let ended =
            tokio::task::spawn_blocking(|| self.writer.join()).await.context("joining the chain's thread")?;
        match ended {
            Ok(result) => result.context("the share chain's store failed, so the node stopped")?,
            Err(_) => return Err(anyhow!("BUG: the chain's thread panicked; the log says where")),
        }
        if shutdown.is_cancelled() {
            Ok(())
        } else {
            Err(anyhow!("an essential task ended; the log says which"))
        }
    }
}

/// The task that keeps found blocks on the disk; it outlives all others, for it must see what became of the last block.
struct Guard {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Guard {
    /// Also submits again what an earlier run left behind.
    fn start(folder: FoundFolder, bitcoin: &BitcoinClient, backends: usize) -> anyhow::Result<Self> {
        let left = folder.left().context("the folder of found blocks cannot be read")?;
        let stop = CancellationToken::new();
        let submitter = bitcoin.submitter();
        let guard =
            found::guard(folder, submitter.submitted(), bitcoin.outcomes(), backends, stop.child_token());
        let task = tokio::spawn(guard);
        for block in left {
            warn!(hash = %block.hash, height = block.height.0, "a block found earlier has not reached Bitcoin yet");
            submitter.submit(block);
        }
        Ok(Self { stop, task })
    }

    async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            error!("BUG: the task that keeps found blocks panicked");
        }
    }
}

/// The node's tasks: whichever ends first ends the others.
#[derive(Default)]
struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// A task that may be dropped wherever it stands when the node stops.
    fn spawn_until_stop(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            let _ = stop.run_until_cancelled(task).await;
        });
    }

    /// A task that ends by itself when the node stops.
    fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            // Dropped on a panic too.
            let _end = stop.clone().drop_guard();
            tokio::select! {
                () = task => if !stop.is_cancelled() { error!(task = name, "ended before its time") },
                () = patience(&stop) => warn!(task = name, "did not end in time and was dropped"),
            }
        });
    }
}

/// Long enough after the stop for every task to have ended by itself.
async fn patience(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FAREWELL).await;
}

fn open_store(config: &Config) -> anyhow::Result<SledStore> {
    let path = config.place.store_dir();
    std::fs::create_dir_all(&config.place.data_dir)
        .with_context(|| format!("the data folder {} cannot be made", config.place.data_dir.display()))?;
    let opened = OpenStore {
        path: &path,
        params: &config.place.params,
        move_corrupt_aside: config.move_corrupt_store_aside,
    }
    .open()?;
    if let Some(aside) = opened.moved_aside {
        warn!(to = %aside.display(), "the store was corrupt and has been moved aside; beginning with an empty one");
    }
    Ok(opened.store)
}

async fn bind_api(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "the interface cannot listen on {address}; is another node running? Else choose --api ADDR:PORT"
        )
    })
}

/// The back ends that a configuration names.
pub fn upstreams(config: &Config) -> anyhow::Result<Vec<Upstream>> {
    if let Network::Embedded { bits } = config.place.params.network {
        let embedded = Embedded::new(embedded_genesis(bits))?;
        return Ok(vec![Upstream { backend: Arc::new(embedded), zmq: None }]);
    }
    Ok(config.bitcoinds.iter().map(upstream).collect())
}

fn upstream(bitcoind: &Bitcoind) -> Upstream {
    Upstream {
        backend: Arc::new(BitcoindRpc::new(bitcoind.endpoint(), bitcoind.credentials(), Patience::default())),
        zmq: bitcoind.zmq.as_ref().map(|url| url.as_str().to_owned()),
    }
}

/// The run of headers that ends with the chain's first Bitcoin block. Asks until there is an answer.
async fn fetch_ancestors(lookup: &Lookup, params: &ChainParams) -> anyhow::Result<Vec<Header>> {
    let (from, to) = (first_ancestor_height(params).0, params.first_bitcoin_block.0.0);
    let mut headers: Vec<Header> = Vec::new();
    while let Some(missing) =
        (to - from + 1).checked_sub(u32::try_from(headers.len())?).filter(|left| *left > 0)
    {
        let next = BitcoinHeight(to + 1 - missing);
        match lookup.headers(next, missing.min(MAX_HEADERS)).await {
            Ok(more) if !more.is_empty() => headers.extend(more),
            Ok(_) => {
                warn!(
                    height = next.0,
                    "waiting for bitcoind to reach the chain's first Bitcoin block ({to})"
                );
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => {
                warn!("waiting for bitcoind: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    Ok(headers)
}

async fn tick(chain: ChainHandle) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        if chain.tick().await.is_err() {
            return;
        }
    }
}

/// Whether miners are let in: once the node is level with its peers, and not while no bitcoind has given anything to
/// mine on for too long.
struct Doors {
    health: watch::Receiver<Health>,
    footing: watch::Receiver<Footing>,
    open: watch::Sender<bool>,
}

impl Doors {
    async fn keep(mut self) {
        loop {
            let is_silent = self.health.borrow_and_update().miners_should_leave;
            let is_ready = self.footing.borrow_and_update().ready;
            let should = is_ready && !is_silent;
            let changed = self.open.send_if_modified(|open| core::mem::replace(open, should) != should);
            match (changed, is_silent) {
                (true, true) => {
                    error!("no bitcoind has answered for too long: miners are sent away until one does")
                }
                (true, false) => info!("miners are served"),
                (false, _) => {}
            }
            // A node that mines alone has nobody who would tell.
            let is_alone = self.footing.has_changed().is_err();
            let news = tokio::select! {
                changed = self.health.changed() => changed,
                changed = self.footing.changed(), if !is_alone => changed,
            };
            if news.is_err() {
                return;
            }
        }
    }
}

fn smallest_class(params: &ChainParams) -> u16 {
    params.classes.first().copied().unwrap_or(1)
}

fn random_u32() -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    Ok(u32::from_le_bytes(bytes))
}
