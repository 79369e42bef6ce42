//! A node that mines solo: bitcoind, jobs, miners. No share chain, no store of one, no other nodes.

use super::folder::FolderLock;
use super::interface::{self, Gauges, Teller};
use super::miners::{self, Doors, Listeners, Servers, Service};
use super::tasks::Tasks;
use super::upstreams::Guard;
use super::{
    Asked, NodeOptions, announce, bind_api, make_data_dir, make_token, random_u32, recorder, watch_over,
};
use crate::api;
use crate::api::events::Events;
use crate::bitcoin::client::{BitcoinClient, Upstream};
use crate::bitcoin::found::FoundFolder;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::peers::driver::Footing;
use crate::work::builder::Builder;
use crate::work::finder::SoloFinder;
use crate::work::ground::Ground;
use crate::work::job::JobIds;
use crate::work::outbox::Outbox;
use crate::work::series::SeriesRegister;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// The only payout class: one output, for whoever finds the block.
const CLASS: u16 = 1;

/// Runs until `shutdown` is cancelled or something essential ends; then stops in order: miners, jobs, bitcoind.
pub(super) async fn run(
    config: &Config,
    upstreams: Vec<Upstream>,
    options: NodeOptions,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let listeners = Listeners::bind(config)?;
    let api = bind_api(config.api).await?;
    make_data_dir(config)?;
    let _folder = FolderLock::take(&config.place.data_dir)?;
    warn!(
        "SOLO mining: nothing is shared; a Bitcoin block pays its finder all, and nothing else pays anything"
    );

    let tasks = Tasks::default();
    // Ends after everything that may still find a block.
    let bitcoin_stop = CancellationToken::new();
    // What runs already must end when a later step fails.
    let _at_last = (tasks.stop.clone().drop_guard(), bitcoin_stop.clone().drop_guard());
    let (network, backends) = (config.place.network(), upstreams.len());
    let bitcoin = BitcoinClient::start(upstreams, network.name(), options.timings, bitcoin_stop.clone());
    let guard = Guard::start(FoundFolder::open(config.place.found_dir())?, &bitcoin, backends)?;

    let (events, metrics) = (Events::default(), Metrics::default());
    let series = Arc::new(SeriesRegister::default());
    let ids = Arc::new(JobIds::starting_at(random_u32()?));
    let fee = miners::fee(config);
    let (open_sender, open) = watch::channel(true);
    // Nothing is ever sent there: no hash is a share.
    let (shares, _) = mpsc::channel(1);
    let service = Service {
        solo: true,
        classes: vec![CLASS],
        ids: ids.clone(),
        fee: fee.clone(),
        work: series.clone(),
        outbox: Outbox { blocks: Arc::new(SoloFinder::new(bitcoin.submitter())), shares },
        open,
        metrics: metrics.clone(),
    };
    let servers = Servers::new(config, listeners, service)?;
    let builder = Builder {
        ground: Ground::Solo(network),
        templates: bitcoin.templates(),
        series,
        ids,
        salt: random_u32()?.to_le_bytes(),
        pace: options.pace,
        fee,
        metrics: metrics.clone(),
    };
    let _announced = announce(config, api.local_addr()?)?;

    tasks.spawn("builder", builder.run(tasks.stop.child_token()));
    // There is nobody to be level with.
    let footing = watch::channel(Footing { ready: true, ..Footing::START }).1;
    let asked = Asked::default();
    let gauges = Gauges {
        health: bitcoin.health(),
        templates: bitcoin.templates(),
        footing: footing.clone(),
        network: None,
        miners: servers.port.clone(),
        data_dir: config.place.data_dir.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
    };
    let node_port = gauges.port(&asked);
    watch_over(config, &tasks, &node_port);
    let history = recorder::open(config);
    recorder::start(history.clone(), (&tasks, &events), servers.to_record(), None);
    let ports = api::Ports {
        miners: Some(servers.port.clone()),
        node: Some(node_port),
        token: Some(make_token(config)?),
        history,
        ..api::Ports::default()
    };
    tasks.spawn_until_stop("teller", Teller::new((events, metrics), network, &bitcoin, None).run());
    let doors = Doors { health: bitcoin.health(), footing, open: open_sender };
    tasks.spawn_until_stop("doors", doors.keep());
    servers.spawn(&tasks);
    interface::serve(&tasks, api, None, ports)?;
    tasks.run(asked.or(&shutdown)).await;
    bitcoin_stop.cancel();
    bitcoin.stopped().await;
    guard.stop().await;
    asked.ended_by(&shutdown)
}
