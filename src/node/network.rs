//! The node among others: the network, the logic that speaks over it, and the desk of found Bitcoin blocks.

use super::tasks::Tasks;
use crate::api::NetworkPort;
use crate::bitcoin::client::{BitcoinClient, Lookup};
use crate::chain::ChainHandle;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::p2p::{self, Limits, Network, Settings};
use crate::peers::driver::{self, Footing};
use crate::peers::solutions;
use bitcoin::block::Header;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tracing::debug;

/// Events that wait for the desk of found Bitcoin blocks.
const SOLUTIONS: usize = 64;
/// Faults of peers that wait to be counted.
const FAULTS: usize = 64;
/// Runs of Bitcoin headers that wait for bitcoind.
const HEADERS: usize = 64;

/// What the rest of the node sees of the network.
pub(super) struct Neighbours {
    /// For the owner; none for a node that mines alone.
    pub(super) port: Option<NetworkPort>,
    /// Where the node stands beside its peers.
    pub(super) footing: watch::Receiver<Footing>,
}

/// Starts the network's tasks, unless the node mines alone.
pub(super) fn start(
    config: &Config,
    chain: &ChainHandle,
    bitcoin: &BitcoinClient,
    tasks: &Tasks,
    metrics: &Metrics,
) -> anyhow::Result<Neighbours> {
    let (footing_sender, footing) = watch::channel(Footing::START);
    let Some(settings) = settings(config, metrics) else {
        footing_sender.send_modify(|footing| footing.ready = true);
        return Ok(Neighbours { port: None, footing });
    };
    let expects_peers = !settings.peers.is_empty();
    let Network { events, commands, status, admin, task, .. } =
        p2p::start(settings, tasks.stop.child_token())?;
    let (solution_events, for_solutions) = mpsc::channel(SOLUTIONS);
    let (fault_sender, faults) = mpsc::channel(FAULTS);
    let (header_sender, headers) = mpsc::channel(HEADERS);
    let desk = solutions::Parts {
        chain: chain.clone(),
        templates: bitcoin.templates(),
        bitcoin: bitcoin.headers(),
        submitter: bitcoin.submitter(),
        commands: commands.clone(),
        faults: fault_sender,
    };
    let parts = driver::Parts {
        params: Arc::new(config.place.params.clone()),
        chain: chain.clone(),
        events,
        commands,
        solutions: solution_events,
        faults,
        headers: header_sender,
        footing: footing_sender,
        expects_peers,
    };
    tasks.spawn("network", task);
    tasks.spawn("peers", driver::run(parts, tasks.stop.child_token()));
    tasks.spawn("solutions", solutions::run(desk, for_solutions, tasks.stop.child_token()));
    tasks.spawn_until_stop("peers-headers", hand_in_headers(headers, bitcoin.headers()));
    Ok(Neighbours { port: Some(NetworkPort { status, admin }), footing })
}

fn settings(config: &Config, metrics: &Metrics) -> Option<Settings> {
    let asked = config.p2p.as_ref()?;
    let plain = Settings::new(config.place.params.chain_id(), config.place.data_dir.clone());
    let limits = Limits::default();
    Some(Settings {
        listen: asked.listen.clone(),
        external: asked.external.clone(),
        peers: asked.peers.iter().map(|peer| peer.as_str().to_owned()).collect(),
        mdns: asked.mdns,
        nat: !asked.listen.is_empty(),
        relay: asked.relay,
        metrics: metrics.clone(),
        outbound: asked.outbound.map_or(plain.outbound, usize::from),
        limits: Limits { inbound: asked.max_inbound.map_or(limits.inbound, usize::from), ..limits },
        ..plain
    })
}

/// Gives bitcoind the Bitcoin headers that it may lack: of blocks that lost a race, which Bitcoin nodes do not relay.
async fn hand_in_headers(mut headers: mpsc::Receiver<Vec<Header>>, bitcoin: Lookup) {
    while let Some(run) = headers.recv().await {
        for header in run {
            if let Err(error) = bitcoin.submit_header(&header).await {
                debug!(hash = %header.block_hash(), "no bitcoind took a header of a peer: {error}");
                break;
            }
        }
    }
    // The peers' task has ended, and with it the node.
}
