//! `commonwork demo`: the whole thing in one process, with nothing installed and nothing to configure.
//!
//! A node on the embedded Bitcoin chain, a Stratum server on localhost, and a built-in miner with three owners, on a
//! share chain whose spacing is a second. Everything is what `run` runs; only the parameters are quicker.

use super::Outcome;
use super::output::print;
use super::table::{Column, Table};
use crate::address::address_of;
use crate::config::{Config, Place};
use crate::miner::{self, Miner, MinerConfig};
use crate::node::{self, Node, NodeOptions};
use crate::ports;
use crate::work::builder::Pace;
use anyhow::{Context, Result};
use bitcoin::consensus::encode;
use bitcoin::{ScriptBuf, Transaction, WPubkeyHash, hashes::Hash};
use clap::Args;
use sharechain::chain::Ranking;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::store::Solution;
use sharechain::target::Target;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Seconds that a Bitcoin block should take.
const BITCOIN_SPACING: u32 = 8;
/// How long the hash rate is measured before the start.
const MEASURE: Duration = Duration::from_millis(600);
/// The owners, and the part of a core that mines for each.
const OWNERS: [(&str, f64); 3] = [("alice", 0.6), ("bob", 0.4), ("carol", 0.2)];
/// The part of the machine that is left to the node.
const LEFT_TO_NODE: f64 = 0.3;
/// How often a line says how it goes.
const PROGRESS: Duration = Duration::from_secs(5);

/// What the demo is told.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Stop after this many Bitcoin blocks (it goes on until stopped otherwise)
    #[arg(long, value_name = "N")]
    pub blocks: Option<u32>,
    /// Where Stratum listens, for pointing a device of your own at it; by default port 3333, or any free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub stratum: Option<SocketAddr>,
}

/// Runs the demo until it has made its blocks or is told to stop.
pub async fn run(args: &DemoArgs, shutdown: CancellationToken) -> Result<Outcome> {
    print("Measuring this machine's hash rate ...\n")?;
    let per_core = tokio::task::spawn_blocking(|| miner::search_rate(MEASURE)).await?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let duty = duty(cores);
    let rate = per_core * OWNERS.iter().map(|(_, part)| part * duty).sum::<f64>();
    let params = params(rate);
    let folder = TemporaryFolder::new()?;
    let config = config(args, params, folder.0.clone());
    let node = Node::start(&config, node::upstreams(&config)?, options()).await?;
    let server = node.stratum.first().context("the demo listens somewhere")?.to_string();
    print(&format!(
        "Mining {:.2} MH/s for three owners on an embedded Bitcoin chain (for trying out: its coins are worth nothing).\n\
         A share block is due every second, a Bitcoin block every {BITCOIN_SPACING} s. Stratum: stratum+tcp://{server}\n\
         A browser shows it at http://{}/\n\n",
        rate / 1e6,
        node.api
    ))?;
    let miners = OWNERS.map(|(name, part)| start_miner(&server, &config.place.params, name, part * duty));
    let miners: Vec<Miner> = miners.into_iter().collect::<Result<_, _>>()?;
    let told = shutdown.child_token();
    let watched = Watch { node: &node, miners: &miners };
    let result = told.run_until_cancelled(watched.blocks(args.blocks)).await.unwrap_or(Ok(()));
    for miner in miners {
        miner.stop().await;
    }
    let stop = CancellationToken::new();
    stop.cancel();
    node.run(stop).await?;
    result.map(|()| Outcome::Good)
}

/// The part of its core's time that each miner's share is scaled by, so that the node has room on a small machine.
fn duty(cores: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
    let room = cores as f64 * (1.0 - LEFT_TO_NODE);
    (room / OWNERS.iter().map(|(_, part)| part).sum::<f64>()).min(1.0)
}

/// The demo's own chain: as quick as a person's patience, with targets set from the measured hash rate.
fn params(rate: f64) -> ChainParams {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a hash rate far below 2^32")]
    let hashes_per_second = (rate as u32).max(1_000);
    let network = Target::MAX.harder_by(hashes_per_second.saturating_mul(BITCOIN_SPACING)).to_compact();
    ChainParams {
        name: "demo".into(),
        spacing: 1,
        base_depth: 2,
        payout_interval: 1,
        // The main chain's 1248 s and 600 s for a spacing of 30 s.
        retarget_constant: 42,
        stall_relief: 20,
        easiest_block_target: Target::MAX.harder_by(hashes_per_second / 2).to_compact(),
        ..ChainParams::embedded(network.to_consensus())
    }
}

/// Small changes are passed on five times a share block, as on the main chain.
fn options() -> NodeOptions {
    let pace = Pace { refresh: Duration::from_secs(5), small_changes: Duration::from_millis(200) };
    NodeOptions { pace, ..NodeOptions::default() }
}

fn config(args: &DemoArgs, params: ChainParams, data_dir: PathBuf) -> Config {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::STRATUM));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let is_free = |address: &SocketAddr| std::net::TcpListener::bind(address).is_ok();
    let stratum = args.stratum.unwrap_or(if is_free(&usual) { usual } else { any });
    Config {
        place: Place { params, data_dir, log_format: Default::default() },
        bitcoinds: Vec::new(),
        stratum: vec![stratum],
        stratum_tls: None,
        stratum_v2: Vec::new(),
        proxy_protocol_from: Vec::new(),
        legacy: Vec::new(),
        address: None,
        payout_class: Default::default(),
        fee: None,
        api: any,
        solo: false,
        p2p: None,
        on_event: None,
        worker_gone: Duration::from_secs(600),
        move_corrupt_store_aside: false,
    }
}

/// The owner with this name: nobody has the key.
fn owner(name: &str) -> Owner {
    let hash = bitcoin::hashes::hash160::Hash::hash(name.as_bytes());
    Owner::new(&ScriptBuf::new_p2wpkh(&WPubkeyHash::from_raw_hash(hash))).expect("P2WPKH is standard")
}

fn start_miner(
    server: &str,
    params: &ChainParams,
    name: &str,
    duty: f64,
) -> Result<Miner, miner::MinerError> {
    let user = format!("{}.{name}", address_of(&owner(name), params.network));
    Miner::spawn(MinerConfig { duty, ..MinerConfig::new(server, user) })
}

/// What the demo shows of a running node.
struct Watch<'a> {
    node: &'a Node,
    miners: &'a [Miner],
}

impl Watch<'_> {
    /// Prints how it goes, and each Bitcoin block's payouts, until there are enough of them.
    async fn blocks(&self, enough: Option<u32>) -> Result<()> {
        let (mut found, mut outcomes) = (self.node.found(), self.node.outcomes());
        let mut progress = tokio::time::interval(PROGRESS);
        progress.tick().await;
        let mut waiting: Vec<Arc<Solution>> = Vec::new();
        let mut count = 0;
        while enough.is_none_or(|enough| count < enough) {
            tokio::select! {
                _ = progress.tick() => self.print_progress(count).await?,
                () = self.node.failed() => anyhow::bail!("the node has stopped; its log says why"),
                solution = found.recv() => match solution {
                    Ok(solution) => waiting.push(solution),
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => anyhow::bail!("the node has stopped"),
                },
                outcome = outcomes.recv() => if let Ok(outcome) = outcome {
                    // Sent after the block was found, so it is waiting here, or about to be received.
                    while let Ok(solution) = found.try_recv() {
                        waiting.push(solution);
                    }
                    let position = waiting.iter().position(|solution| solution.header.block_hash() == outcome.hash);
                    let Some(solution) = position.map(|position| waiting.remove(position)) else { continue };
                    if outcome.outcome.is_accepted() {
                        count += 1;
                        self.print_block(&solution).await?;
                    }
                },
            }
        }
        Ok(())
    }

    async fn print_progress(&self, blocks: u32) -> Result<()> {
        let state = *self.node.chain.state().borrow();
        let accepted: u64 = self.miners.iter().map(|miner| miner.report().accepted).sum();
        Ok(print(&format!(
            "share chain at height {}, {} shares found, {accepted} submits accepted, {blocks} Bitcoin blocks\n",
            state.height, state.shares
        ))?)
    }

    /// The table of who was paid what in a Bitcoin block, beside each owner's part of the work.
    async fn print_block(&self, solution: &Solution) -> Result<()> {
        let share = solution.share.clone();
        let ranking = self.node.chain.read(move |reader| reader.chain.ranking_due(&share)).await?;
        let coinbase: Transaction = encode::deserialize(&solution.coinbase)?;
        print(&self.block_text(solution, &coinbase, ranking.unwrap_or_default()))?;
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "percentages for people to read")]
    fn block_text(&self, solution: &Solution, coinbase: &Transaction, ranking: Ranking) -> String {
        let hashes: Vec<u64> = self.miners.iter().map(|miner| miner.report().hashes).collect();
        let percent =
            |part: f64, whole: f64| format!("{:.1} %", if whole > 0.0 { 100.0 * part / whole } else { 0.0 });
        let all_hashes: u64 = hashes.iter().sum();
        let in_window: f64 = ranking.iter().map(|(_, score)| score.0 as f64).sum();
        let value = solution.share.commitment.coinbase_value;
        let mut table = Table::new([
            Column::Left("owner"),
            Column::Right("all work"),
            Column::Right("work in the window"),
            Column::Right("paid (sat)"),
            Column::Right("paid"),
        ]);
        for ((name, _), mined) in OWNERS.iter().zip(&hashes) {
            let owner = owner(name);
            let score =
                ranking.iter().find(|(other, _)| *other == owner).map_or(0.0, |(_, score)| score.0 as f64);
            let outputs = coinbase.output.iter().filter(|output| output.script_pubkey == *owner.script());
            let paid: u64 = outputs.map(|output| output.value.to_sat()).sum();
            let finder = if solution.share.commitment.owner == owner { " (found it)" } else { "" };
            table.row([
                format!("{name}{finder}"),
                percent(*mined as f64, all_hashes as f64),
                percent(score, in_window),
                paid.to_string(),
                percent(paid as f64, value as f64),
            ]);
        }
        let why = if ranking.is_empty() {
            "Nobody had shares before this Bitcoin block was begun, so all of it goes to its finder.\n"
        } else {
            ""
        };
        format!(
            "\nBitcoin block {} at height {}: {value} sat, {:.1} % of them the finder's bonus\n{why}{}\n",
            solution.header.block_hash(),
            solution.share.commitment.bitcoin_height,
            sharechain::params::BONUS_PER_10_000 as f64 / 100.0,
            table.text()
        )
    }
}

/// A folder for one run, removed at its end.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
        let name = format!("commonwork-demo-{:016x}", u64::from_le_bytes(random));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!("the folder {} could not be removed: {error}", self.0.display());
        }
    }
}
