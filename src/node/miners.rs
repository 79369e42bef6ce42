//! The miners' doors: the listeners and servers of all protocols, and whether miners are let in.

use super::recorder;
use super::tasks::Tasks;
use super::{random_u32, tls, workers};
use crate::address::address_of;
use crate::api::MinersPort;
use crate::api::form::FeeForm;
use crate::bitcoin::client::Health;
use crate::config::{Config, FeeConfig};
use crate::legacy::server as legacy;
use crate::metrics::Metrics;
use crate::open_files;
use crate::peers::driver::Footing;
use crate::stratum::device::PayoutClasses;
use crate::stratum::gate::Gate;
use crate::stratum::seats::Seats;
use crate::stratum::server::{House, Limits, Port, Server};
use crate::stratum::session::SessionConfig;
use crate::stratum::sessions::Sessions;
use crate::stratum_v2::authority::Authority;
use crate::stratum_v2::{server as server_v2, session as session_v2};
use crate::work::fee::Fee;
use crate::work::job::JobIds;
use crate::work::outbox::Outbox;
use crate::work::source::WorkSource;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::{error, info, warn};

/// Miners at a time: connections of Stratum v1, channels of Stratum V2, and workers of `getwork` and `getblocktemplate`.
const MAX_SESSIONS: usize = 10_000;
/// Connections of Stratum V2 at a time.
const MAX_CONNECTIONS_V2: usize = 10_000;
/// Files that are open besides those of miners: other nodes, bitcoind, the store, the interface.
const OTHER_FILES: usize = 1_000;

/// Has the system let this program have as many connections as it may; warns when that is too few.
pub(super) fn make_room() {
    let files = open_files::raise();
    if files < MAX_SESSIONS + OTHER_FILES {
        let miners = files.saturating_sub(OTHER_FILES);
        warn!(
            "the system lets this program have {files} files open, enough for some {miners} miners. More are \
             possible with LimitNOFILE= in the service's file, or ulimit -n"
        );
    }
}

/// Where miners connect.
pub(super) struct Listeners {
    v1: Vec<Port>,
    v2: Vec<TcpListener>,
    legacy: Vec<TcpListener>,
}

impl Listeners {
    /// Binds what the configuration names.
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        let v1 = config.stratum.iter().map(|address| Port::plain(*address)).collect::<Result<_, _>>()?;
        let v2 =
            config.stratum_v2.iter().map(|address| server_v2::bind(*address)).collect::<Result<_, _>>()?;
        let legacy = config.legacy.iter().map(|address| legacy::bind(*address)).collect::<Result<_, _>>()?;
        Ok(Self { v1, v2, legacy })
    }

    /// The port of Stratum V2 that those who reach Stratum v1 reach too.
    fn port_v2(&self, config: &Config) -> Option<u16> {
        let all_local = config.stratum.iter().all(|address| address.ip().is_loopback());
        let mut addresses = self.v2.iter().filter_map(|listener| listener.local_addr().ok());
        addresses.find(|address| all_local || !address.ip().is_loopback()).map(|address| address.port())
    }
}

/// What miners are served, and what becomes of what they find.
pub(super) struct Service {
    /// Whether a Bitcoin block pays its finder alone.
    pub(super) solo: bool,
    /// The payout classes that there are, smallest first.
    pub(super) classes: Vec<u16>,
    /// Where the ids of jobs come from.
    pub(super) ids: Arc<JobIds>,
    /// The operator's fee, if there is one.
    pub(super) fee: Option<Fee>,
    /// Where jobs come from.
    pub(super) work: Arc<dyn WorkSource>,
    /// Where found work goes.
    pub(super) outbox: Outbox,
    /// Whether miners are let in.
    pub(super) open: watch::Receiver<bool>,
    /// Told of submits.
    pub(super) metrics: Metrics,
}

/// The servers of all protocols, before they run.
pub(super) struct Servers {
    v1: (Server, Vec<Port>),
    v2: Option<(server_v2::Server, Vec<TcpListener>)>,
    legacy: Option<(legacy::Server, Vec<TcpListener>)>,
    /// The key that miners know this node by in Stratum V2; none where that is not wanted.
    pub(super) authority: Option<Authority>,
    /// Who they are.
    pub(super) sessions: Sessions,
    /// How long a worker hands in nothing until it has gone.
    gone_after: Duration,
    /// What the interface tells of them.
    pub(super) port: MinersPort,
}

impl Servers {
    /// Needs the data folder for the key of Stratum V2 and the certificate.
    pub(super) fn new(config: &Config, mut listeners: Listeners, service: Service) -> anyhow::Result<Self> {
        let Service { solo, classes, ids, fee, work, outbox, open, metrics } = service;
        let network = config.place.network();
        let wanted = !listeners.v2.is_empty();
        let authority = wanted.then(|| Authority::load(&config.place.authority_file())).transpose()?;
        let sessions = Sessions::new(random_u32()?, MAX_SESSIONS).measured_by(metrics);
        let port_v2 = listeners.port_v2(config);
        let (identity, tls_ports) = tls::open(config)?;
        let addresses =
            |ports: &[Port]| -> Result<Vec<SocketAddr>, _> { ports.iter().map(Port::local_addr).collect() };
        let (for_count, for_workers) = (sessions.clone(), sessions.clone());
        let port = MinersPort {
            stratum: addresses(&listeners.v1)?,
            stratum_tls: addresses(&tls_ports)?,
            fingerprint: identity.as_ref().map(ToString::to_string),
            stratum_v2: listeners.v2.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?,
            legacy: listeners.legacy.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?,
            authority: authority.as_ref().map(ToString::to_string),
            count: Arc::new(move || for_count.count() as u64),
            workers: Arc::new(move |places| workers::now(&for_workers, places, network)),
            serving: open.clone(),
            solo,
            fee: fee.as_ref().map(|fee| FeeForm {
                per_10_000: fee.per_10_000(),
                address: address_of(fee.owner(), network),
            }),
        };
        listeners.v1.extend(tls_ports);
        let house = House { work, outbox, open, sessions, gate: Gate::new(&config.proxy_protocol_from) };
        let classes = PayoutClasses::new(&classes, config.payout_class.clone());
        let v2 = authority.clone().map(|authority| server_v2::Server {
            config: Arc::new(session_v2::SessionConfig {
                network,
                default_owner: config.address,
                classes: classes.clone(),
                ids: ids.clone(),
                fee: fee.clone(),
            }),
            authority,
            house: house.clone(),
            connections: Seats::new(MAX_CONNECTIONS_V2),
            limits: Limits::default(),
        });
        let v1 = Server {
            config: Arc::new(SessionConfig {
                default_owner: config.address,
                stratum_v2: port_v2,
                fee,
                ..SessionConfig::new(network, classes, ids)
            }),
            house,
            limits: Limits::default(),
        };
        let legacy = (!listeners.legacy.is_empty()).then(|| legacy::Server {
            config: v1.config.clone(),
            house: v1.house.clone(),
            limits: legacy::Limits::default(),
        });
        Ok(Self {
            sessions: v1.house.sessions.clone(),
            gone_after: config.worker_gone,
            v1: (v1, listeners.v1),
            v2: v2.map(|v2| (v2, listeners.v2)),
            legacy: legacy.map(|legacy| (legacy, listeners.legacy)),
            authority,
            port,
        })
    }

    /// What is to be recorded of miners.
    pub(super) fn to_record(&self) -> recorder::Miners {
        let (sessions, serving) = (self.sessions.clone(), self.port.serving.clone());
        recorder::Miners { sessions, serving, gone_after: self.gone_after }
    }

    /// Serves miners from now on.
    pub(super) fn spawn(self, tasks: &Tasks) {
        let (v1, listeners) = self.v1;
        tasks.spawn("stratum", v1.run(listeners, tasks.stop.child_token()));
        if let Some((v2, listeners)) = self.v2 {
            tasks.spawn("stratum-v2", v2.run(listeners, tasks.stop.child_token()));
        }
        if let Some((legacy, listeners)) = self.legacy {
            tasks.spawn("legacy", legacy.run(listeners, tasks.stop.child_token()));
        }
    }
}

/// The fee that a configuration asks for, said in the log.
pub(super) fn fee(config: &Config) -> Option<Fee> {
    let FeeConfig { rate, owner } = config.fee?;
    let fee = Fee::new(rate.per_10_000(), owner, config.address);
    let to = address_of(&owner, config.place.network());
    info!("{fee} of the work of others' hardware is mined for {to}, as this node's fee; they are told");
    Some(fee)
}

/// Whether miners are let in: once the node is level with its peers, and not while no bitcoind has given anything to
/// mine on for too long.
pub(super) struct Doors {
    /// How the bitcoinds do.
    pub(super) health: watch::Receiver<Health>,
    /// Where the node stands beside its peers.
    pub(super) footing: watch::Receiver<Footing>,
    /// Told to the servers.
    pub(super) open: watch::Sender<bool>,
}

impl Doors {
    /// Opens and closes them as it should be.
    pub(super) async fn keep(mut self) {
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
