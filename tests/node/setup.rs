//! A node in this process on a real bitcoind, with miners of its own.

use crate::support::bitcoind::{BitcoinD, Chain};
use commonwork::address::address_of;
use commonwork::bitcoin::client::Upstream;
use commonwork::bitcoin::endpoint::{Credentials, Endpoint};
use commonwork::bitcoin::rpc::{BitcoindRpc, Patience};
use commonwork::bitcoin::submit::BlockOutcome;
use commonwork::config::{Config, Place};
use commonwork::miner::{Miner, MinerConfig};
use commonwork::node::{Node, NodeOptions};
use commonwork::work::builder::Pace;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::store::Solution;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A node, its folder, and where it tells of Bitcoin blocks.
pub(crate) struct TestNode {
    pub(crate) node: Node,
    pub(crate) params: ChainParams,
    pub(crate) found: broadcast::Receiver<Arc<Solution>>,
    pub(crate) outcomes: broadcast::Receiver<BlockOutcome>,
    pub(crate) folder: tempfile::TempDir,
}

/// Regtest, with shares easy enough for a CPU and a payout at every block.
pub(crate) fn regtest() -> ChainParams {
    ChainParams { base_depth: 2, spacing: 1, ..ChainParams::regtest() }
}

/// A private signet whose easiest share block takes 200,000 hashes; its Bitcoin blocks take five million.
pub(crate) fn signet() -> ChainParams {
    let easiest = sharechain::target::Target::MAX.harder_by(200_000).to_compact();
    ChainParams {
        name: "private signet".into(),
        easiest_block_target: easiest,
        spacing: 1,
        retarget_constant: 42,
        stall_relief: 20,
        base_depth: 2,
        payout_interval: 1,
        ..ChainParams::signet()
    }
}

pub(crate) fn params_for(chain: Chain) -> ChainParams {
    match chain {
        Chain::Regtest => regtest(),
        Chain::Signet | Chain::PublicSignet => signet(),
    }
}

/// A back end for a daemon.
pub(crate) fn upstream(daemon: &BitcoinD, zmq: bool) -> Upstream {
    let endpoint = Endpoint::new("127.0.0.1", daemon.rpc_port(), "/");
    let backend = BitcoindRpc::new(endpoint, Credentials::Cookie(daemon.cookie_file()), Patience::default());
    Upstream { backend: Arc::new(backend), zmq: daemon.zmq_url().filter(|_| zmq) }
}

impl TestNode {
    pub(crate) async fn start(params: ChainParams, upstreams: Vec<Upstream>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the node");
        Self::start_in(folder, params, upstreams).await
    }

    pub(crate) async fn start_in(
        folder: tempfile::TempDir,
        params: ChainParams,
        upstreams: Vec<Upstream>,
    ) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let place = Place {
            params: params.clone(),
            data_dir: folder.path().to_owned(),
            log_format: Default::default(),
        };
        let config = Config {
            place,
            bitcoinds: Vec::new(),
            stratum: vec![any_port],
            address: None,
            api: any_port,
            move_corrupt_store_aside: false,
        };
        let pace = Pace { small_changes: Duration::from_millis(100), ..Pace::default() };
        let options = NodeOptions { pace, ..NodeOptions::default() };
        let node = Node::start(&config, upstreams, options).await.expect("the node starts");
        Self { found: node.found(), outcomes: node.outcomes(), node, params, folder }
    }

    /// A miner for this owner.
    pub(crate) fn miner(&self, owner: &Owner, shares_per_second: f64, duty: f64) -> Miner {
        let user = format!("{}.test", address_of(owner, self.params.network));
        let server = self.node.stratum[0].to_string();
        let config = MinerConfig { shares_per_second, duty, ..MinerConfig::new(server, user) };
        Miner::spawn(config).expect("the miner starts")
    }

    /// The next Bitcoin block that was found, with what became of it.
    pub(crate) async fn next_block(&mut self) -> (Arc<Solution>, BlockOutcome) {
        let wait = async {
            let solution = self.found.recv().await.expect("the node runs");
            let hash = solution.header.block_hash();
            loop {
                let outcome = self.outcomes.recv().await.expect("the node runs");
                if outcome.hash == hash {
                    return (solution, outcome);
                }
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("a Bitcoin block in time")
    }

    /// Stops the node and gives its folder back.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        let stop = CancellationToken::new();
        stop.cancel();
        self.node.run(stop).await.expect("a clean stop");
        self.folder
    }
}
