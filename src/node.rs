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
//! | `legacy` | miners that speak `getwork` or `getblocktemplate` | the same |
//! | `finder` | candidates | submissions; found Bitcoin blocks to be kept |
//! | `found` | submitted blocks and their outcomes | blocks on the disk until a bitcoind has them |
//! | `doors` | Bitcoin health, where the node stands beside its peers | whether miners are served, the log |
//! | `network` | other nodes | events of theirs; carries out commands |
//! | `peers` | the network's events, the chain's | commands, submissions, where the node stands |
//! | `solutions` | found Bitcoin blocks of this node and of others | the network; blocks straight to `bitcoin` |
//! | `peers-headers` | Bitcoin headers of peers | bitcoind |
//! | `teller` | the chain's events, found Bitcoin blocks | events and alarms for the interface |
//! | `recorder` | what is counted of miners, the chain's work | the history (a thread, `history`); whom they worked for |
//! | `ledger` | that, the chain's events, found Bitcoin blocks | the ledger in the history; snapshots for the interface |
//! | `troubles` | what is known of the node | alarms, when they begin and end |
//! | `events-heard`, `on-event` | events; only where a command is to be run | that command |
//! | `api` (a thread) | requests on loopback | questions to the chain |
//!
//! Whichever task ends first ends the node. A node that mines solo (`solo`) has of these `bitcoin`, `builder`, the
//! miners' servers, `found`, `doors`, `recorder`, `troubles`, `on-event` and `api`.

mod crew;
mod folder;
mod hook;
mod interface;
mod ledger;
mod miners;
mod network;
mod recorder;
mod solo;
mod tasks;
mod tls;
mod troubles;
mod upstreams;
mod workers;

pub use upstreams::upstreams;

use crate::api::events::Events;
use crate::api::{self, Token};
use crate::bitcoin::client::{BitcoinClient, Timings, Upstream};
use crate::bitcoin::found::FoundFolder;
use crate::bitcoin::submit::BlockOutcome;
use crate::chain::open::OpenError;
use crate::chain::{self, ChainHandle};
use crate::config::Config;
use crate::metrics::Metrics;
use crate::peers::driver::Footing;
use crate::peers::status::NetworkStatus;
use crate::store::{OpenStore, SledStore, StoreError};
use crate::stratum_v2::authority::Authority;
use crate::work::builder::{Builder, Pace};
use crate::work::finder::Finder;
use crate::work::ground::{Ground, Pool};
use crate::work::headers::HeaderFeed;
use crate::work::job::JobIds;
use crate::work::outbox::Outbox;
use crate::work::series::SeriesRegister;
use crate::work::share_rate::ShareCount;
use anyhow::{Context, anyhow};
use bitcoin::block::Header;
use folder::FolderLock;
use interface::{Gauges, Teller};
use miners::{Doors, Listeners, Servers, Service};
use sharechain::store::Solution;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tasks::Tasks;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use upstreams::{Guard, fetch_ancestors};

/// Candidates that wait between the sessions and the chain.
const CANDIDATES: usize = 1_024;

/// A running node.
pub struct Node {
    /// The share chain.
    pub chain: ChainHandle,
    /// Where Stratum listens.
    pub stratum: Vec<SocketAddr>,
    /// Where Stratum V2 listens.
    pub stratum_v2: Vec<SocketAddr>,
    /// Where `getwork` and `getblocktemplate` are served.
    pub legacy: Vec<SocketAddr>,
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
    asked: Asked,
    /// Takes the address back when the node ends.
    _announced: api::Announced,
    /// Let go of at the very end.
    _folder: FolderLock,
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
    miners::make_room();
    let (upstreams, options) = (upstreams(&config)?, NodeOptions::default());
    if config.solo {
        return solo::run(&config, upstreams, options, shutdown).await;
    }
    let node = tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        node = Node::start(&config, upstreams, options) => node?,
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
        let listeners = Listeners::bind(config)?;
        let api = bind_api(config.api).await?;
        make_data_dir(config)?;
        // Before anything in the folder is looked at, made or moved.
        let folder = FolderLock::take(&config.place.data_dir)?;
        let mut store = open_store(config)?;

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
        let (events, metrics) = (Events::default(), Metrics::default());
        let count = Arc::new(ShareCount::default());
        let finder = Finder::new(params.clone(), chain.clone(), bitcoin.submitter(), count.clone());
        let finder = Arc::new(finder);
        let (candidate_sender, candidates) = mpsc::channel(CANDIDATES);
        let series = Arc::new(SeriesRegister::default());
        let ids = Arc::new(JobIds::starting_at(random_u32()?));
        let neighbours = network::start(config, &chain, &bitcoin, &tasks, &metrics)?;
        let network = neighbours.port.as_ref().map(|port| port.status.clone());
        let (open_sender, open) = watch::channel(neighbours.footing.borrow().ready);
        let fee = miners::fee(config);
        let service = Service {
            solo: false,
            classes: params.classes.clone(),
            ids: ids.clone(),
            fee: fee.clone(),
            work: series.clone(),
            outbox: Outbox { blocks: finder.clone(), shares: candidate_sender },
            open: open.clone(),
            metrics: metrics.clone(),
        };
        let servers = Servers::new(config, listeners, service)?;
        let authority = servers.authority.clone();
        let (stratum, stratum_v2) = (servers.port.stratum.clone(), servers.port.stratum_v2.clone());
        let legacy = servers.port.legacy.clone();
        let api_address = api.local_addr()?;
        let announced = announce(config, api_address)?;
        let builder = Builder {
            ground: Ground::Pool(Box::new(Pool::new(params, chain.clone(), headers.clone(), count))),
            templates: bitcoin.templates(),
            series,
            ids,
            salt: random_u32()?.to_le_bytes(),
            pace: options.pace,
            fee,
            metrics: metrics.clone(),
        };

        let asked = Asked::default();
        let gauges = Gauges {
            health: bitcoin.health(),
            templates: bitcoin.templates(),
            footing: neighbours.footing.clone(),
            network: network.clone(),
            miners: servers.port.clone(),
            data_dir: config.place.data_dir.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
        };
        let node_port = gauges.port(&asked);
        watch_over(config, &tasks, &node_port);
        let history = recorder::open(config);
        let (notes, ledger) = ledger::start(&tasks, &chain, || finder.found(), history.clone());
        let pool = recorder::Pool {
            chain: chain.clone(),
            footing: neighbours.footing.clone(),
            notes,
            operators: config.address.into_iter().chain(config.fee.map(|fee| fee.owner)).collect(),
        };
        recorder::start(history.clone(), (&tasks, &events), servers.to_record(), Some(pool));
        let ports = api::Ports {
            network: neighbours.port,
            miners: Some(servers.port.clone()),
            node: Some(node_port),
            token: Some(make_token(config)?),
            ledger: Some(ledger),
            history,
        };
        let told = (events, metrics);
        let teller = Teller::new(told, config.place.network(), &bitcoin, Some(&chain));
        tasks.spawn_until_stop("teller", teller.run());
        tasks.spawn("headers", headers.run(tasks.stop.child_token()));
        tasks.spawn_until_stop("clock", tick(chain.clone()));
        tasks.spawn("builder", builder.run(tasks.stop.child_token()));
        tasks.spawn("finder", finder.clone().run(candidates));
        let doors =
            Doors { health: bitcoin.health(), footing: neighbours.footing.clone(), open: open_sender };
        tasks.spawn_until_stop("doors", doors.keep());
        servers.spawn(&tasks);
        interface::serve(&tasks, api, Some(Arc::new(chain.clone())), ports)?;
        unless_started.0.disarm();
        unless_started.1.disarm();
        Ok(Self {
            bitcoin_stop,
            guard,
            chain,
            stratum,
            stratum_v2,
            legacy,
            authority,
            api: api_address,
            serving: open,
            footing: neighbours.footing,
            network,
            finder,
            bitcoin,
            writer,
            tasks,
            asked,
            _announced: announced,
            _folder: folder,
        })
    }

    /// The Bitcoin blocks that this node's miners find from now on.
    pub fn found(&self) -> broadcast::Receiver<Arc<Solution>> {
        self.finder.found()
    }

    /// Done when something essential has ended or the owner asked for the end, so that the node is going down.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.tasks.stop.cancelled() => {}
            () = self.asked.0.cancelled() => {}
        }
    }

    /// What becomes of the blocks that are submitted.
    pub fn outcomes(&self) -> broadcast::Receiver<BlockOutcome> {
        self.bitcoin.outcomes()
    }

    /// Runs until `shutdown` is cancelled or something essential ends; then stops in order: miners, jobs, chain, bitcoind.
    pub async fn run(self, shutdown: CancellationToken) -> anyhow::Result<()> {
        self.tasks.run(self.asked.or(&shutdown)).await;
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
        self.asked.ended_by(&shutdown)
    }
}

/// Whether the owner has asked for the end, by the interface.
#[derive(Clone, Default)]
struct Asked(CancellationToken);

impl Asked {
    /// Done when this or `shutdown` asks for the end.
    async fn or(&self, shutdown: &CancellationToken) {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = self.0.cancelled() => {}
        }
    }

    /// What a run comes to that ended in order.
    fn ended_by(&self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        if shutdown.is_cancelled() || self.0.is_cancelled() {
            Ok(())
        } else {
            Err(anyhow!("an essential task ended; the log says which"))
        }
    }
}

/// Has alarms told when they begin and end, and the operator's command run.
fn watch_over(config: &Config, tasks: &Tasks, node: &api::NodePort) {
    troubles::start(tasks, node);
    if let Some(command) = config.on_event.clone() {
        hook::start(command, config.place.network(), &node.events, tasks);
    }
}

fn make_data_dir(config: &Config) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.place.data_dir)
        .with_context(|| format!("the data folder {} cannot be made", config.place.data_dir.display()))
}

fn make_token(config: &Config) -> anyhow::Result<Token> {
    Token::make(&config.place.data_dir).context("the interface's token cannot be written")
}

fn announce(config: &Config, address: SocketAddr) -> anyhow::Result<api::Announced> {
    api::announce(&config.place.data_dir, address)
        .context("the interface's address cannot be written into the data folder")
}

fn open_store(config: &Config) -> anyhow::Result<SledStore> {
    let path = config.place.store_dir();
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

async fn tick(chain: ChainHandle) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        seconds.tick().await;
        if chain.tick().await.is_err() {
            return;
        }
    }
}

fn random_u32() -> anyhow::Result<u32> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("the system gives no randomness: {error}"))?;
    Ok(u32::from_le_bytes(bytes))
}
