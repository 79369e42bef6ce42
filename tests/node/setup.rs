//! A node in this process on a real bitcoind, with miners of its own.

use crate::support::bitcoind::{BitcoinD, Chain};
use crate::support::chain_file::chain_toml;
use commonwork::address::address_of;
use commonwork::api::ReadError;
use commonwork::api::read::find_share;
use commonwork::bitcoin::client::{Timings, Upstream};
use commonwork::bitcoin::endpoint::{Credentials, Endpoint};
use commonwork::bitcoin::rpc::{BitcoindRpc, Patience};
use commonwork::bitcoin::submit::BlockOutcome;
use commonwork::chain::read::FoundShare;
use commonwork::config::{Config, PeerConfig, Place, TlsConfig};
use commonwork::miner::{Miner, MinerConfig};
use commonwork::node::{Node, NodeOptions};
use commonwork::peers::io::Standing;
use commonwork::peers::status::NetworkStatus;
use commonwork::work::builder::Pace;
use serde_json::Value;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::share::ShareId;
use sharechain::store::Solution;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
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
        Chain::Testnet4 => crate::pool::easy(),
    }
}

/// A back end for a daemon.
pub(crate) fn upstream(daemon: &BitcoinD, zmq: bool) -> Upstream {
    upstream_with(daemon, zmq, Patience::default())
}

/// The same with other times to wait for an answer.
pub(crate) fn upstream_with(daemon: &BitcoinD, zmq: bool, patience: Patience) -> Upstream {
    let endpoint = Endpoint::new("127.0.0.1", daemon.rpc_port(), "/");
    let backend = BitcoindRpc::new(endpoint, Credentials::Cookie(daemon.cookie_file()), patience);
    Upstream { backend: Arc::new(backend), zmq: daemon.zmq_url().filter(|_| zmq) }
}

/// Outages are noticed at once, and a mempool's changes when bitcoind tells of them.
pub(crate) fn quick() -> NodeOptions {
    let millis = Duration::from_millis;
    let timings = Timings {
        refresh: millis(200),
        retry_first: millis(50),
        retry_most: millis(200),
        submit_retry_first: millis(50),
        submit_retry_most: millis(200),
        ..Timings::default()
    };
    NodeOptions { pace: Pace { small_changes: millis(100), ..Pace::default() }, timings }
}

impl TestNode {
    /// A node with an empty store.
    pub(crate) async fn start(params: ChainParams, upstreams: Vec<Upstream>) -> Self {
        Self::start_with(params, upstreams, quick()).await
    }

    pub(crate) async fn start_with(
        params: ChainParams,
        upstreams: Vec<Upstream>,
        options: NodeOptions,
    ) -> Self {
        Self::start_in(tempfile::tempdir().expect("a folder for the node"), params, upstreams, options).await
    }

    /// A node on what an earlier one left.
    pub(crate) async fn start_in(
        folder: tempfile::TempDir,
        params: ChainParams,
        upstreams: Vec<Upstream>,
        options: NodeOptions,
    ) -> Self {
        Self::start_among(folder, params, (upstreams, options), None).await
    }

    /// A node among others, that connects to these addresses.
    pub(crate) async fn join(params: ChainParams, upstreams: Vec<Upstream>, peers: &[String]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the node");
        let p2p = PeerConfig {
            listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))],
            external: Vec::new(),
            peers: peers.iter().map(|peer| peer.parse().expect("an address")).collect(),
            mdns: false,
            max_inbound: None,
            outbound: None,
            relay: false,
        };
        Self::start_among(folder, params, (upstreams, quick()), Some(p2p)).await
    }

    async fn start_among(
        folder: tempfile::TempDir,
        params: ChainParams,
        (upstreams, options): (Vec<Upstream>, NodeOptions),
        p2p: Option<PeerConfig>,
    ) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let place = Place {
            params: params.clone(),
            // Where the program looks for it when it is given the folder as its --data-dir.
            data_dir: folder.path().join(params.network.name()),
            log_format: Default::default(),
        };
        let config = Config {
            place,
            bitcoinds: Vec::new(),
            stratum: vec![any_port],
            stratum_tls: Some(TlsConfig { listen: vec![any_port], files: None }),
            stratum_v2: vec![any_port],
            proxy_protocol_from: Vec::new(),
            legacy: vec![any_port],
            address: None,
            payout_class: Default::default(),
            fee: None,
            api: any_port,
            solo: false,
            p2p,
            on_event: None,
            worker_gone: Duration::from_secs(600),
            move_corrupt_store_aside: false,
        };
        let node = Node::start(&config, upstreams, options).await.expect("the node starts");
        Self { found: node.found(), outcomes: node.outcomes(), node, params, folder }
    }

    /// Where other nodes reach it.
    pub(crate) async fn address(&self) -> String {
        let mut network = self.node.network.clone().expect("a node among others");
        let is_there = |status: &Arc<NetworkStatus>| status.addresses.iter().any(|a| a.contains("/tcp/"));
        let status = tokio::time::timeout(PATIENCE, network.wait_for(is_there)).await;
        let status = status.expect("it listens in time").expect("the node runs").clone();
        let address = status.addresses.iter().find(|address| address.contains("/tcp/"));
        format!("{}/p2p/{}", address.expect("just seen"), status.id)
    }

    /// Waits until it is level with its peers and lets miners in.
    pub(crate) async fn level(&self) {
        let mut footing = self.node.footing.clone();
        let level = footing.wait_for(|footing| footing.standing == Standing::Current);
        tokio::time::timeout(PATIENCE, level).await.expect("level in time").expect("the node runs");
        let mut serving = self.node.serving.clone();
        let serves = serving.wait_for(|serves| *serves);
        tokio::time::timeout(PATIENCE, serves).await.expect("open in time").expect("the node runs");
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

    /// A share that was accepted, as soon as the chain has it: as a block, listed by one, or in the pool.
    pub(crate) async fn share(&self, id: ShareId) -> FoundShare {
        let mut state = self.node.chain.state();
        let found = async {
            loop {
                state.borrow_and_update();
                match find_share(&self.node.chain, id).await {
                    Ok(found) => return found,
                    Err(error) => assert_eq!(error, ReadError::UnknownShare(id)),
                }
                state.changed().await.expect("the node runs");
            }
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| panic!("share {id} was accepted and is lost"))
    }

    /// What the program says when it is asked about this node.
    pub(crate) async fn ask_program(&self, arguments: &[&str]) -> Value {
        let output = self.run_program(&[arguments, &["--json"]].concat()).await;
        serde_json::from_str(&output).expect("JSON")
    }

    /// The same, as it is printed.
    pub(crate) async fn run_program(&self, arguments: &[&str]) -> String {
        let chain_file = self.folder.path().join("chain.toml");
        std::fs::write(&chain_file, chain_toml(&self.params)).expect("written");
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_commonwork"));
        command.args(arguments).arg("--chain").arg(chain_file);
        command.arg("--data-dir").arg(self.folder.path()).env_clear().stdin(Stdio::null());
        let output = command.output().await.expect("the program starts");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// Stops the node; its folder can be used for another.
    pub(crate) async fn stop(self) -> tempfile::TempDir {
        let stop = CancellationToken::new();
        stop.cancel();
        self.node.run(stop).await.expect("a clean stop");
        self.folder
    }
}
