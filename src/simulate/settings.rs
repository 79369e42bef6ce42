//! What is simulated: the numbers of one run, and the chain parameters that follow from them.

use super::hashes;
use serde::{Deserialize, Serialize};
use sharechain::params::{ChainParams, Network, embedded_genesis};
use sharechain::target::Target;
use sharechain::units::BitcoinHeight;
use thiserror::Error;

/// Most nodes: each holds a share chain of its own in memory.
pub const MAX_NODES: usize = 1_000;
/// Most virtual hours of one run: the Bitcoin chain of the simulation has no retargets, so its first period must do.
pub const MAX_HOURS: f64 = 300.0;
/// Expected hashes for a share block at the pool's hash rate. A hash costs the simulator real time; this many are
/// enough for targets to be fine.
const BLOCK_WORK: u32 = 1_024;
/// The easiest block takes this many times fewer hashes, so that the target can follow a fall of the hash rate.
const HEADROOM: u32 = 16;
/// Seconds between Bitcoin blocks.
pub const BITCOIN_SPACING: f64 = 600.0;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Nodes, each with one miner.
    pub nodes: usize,
    /// Virtual hours, the warm-up included.
    pub hours: f64,
    /// Virtual hours that are left out of all figures: the chain begins at its easiest target.
    pub warm_up_hours: f64,
    /// Names the run.
    pub seed: u64,
    /// Median time of a message from node to node, whatever lies between, in milliseconds.
    pub latency_ms: f64,
    /// Between a node and its miners, there and back, in milliseconds.
    pub miner_ms: f64,
    /// The hash rate of the n-th largest miner goes with n to the minus this.
    pub power_law_exponent: f64,
    /// The pool's part of Bitcoin's hash rate.
    pub pool_part: f64,
    /// Most blocks in the reward window.
    pub window_blocks: u32,
    /// What carries messages.
    pub carrier: Carrier,
    /// Splits of the network.
    pub partitions: Vec<Partition>,
    /// Mean hours that a node stays before it goes away for a while; none: all stay.
    pub churn_hours: Option<f64>,
    /// Miners that do not play by the book.
    pub strategists: Vec<Strategist>,
}

/// What carries messages between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Carrier {
    /// The real logic of peers over a mesh of lines.
    Relayed,
    /// Each message to each node once, after the time of the fastest way through the mesh.
    Direct,
}

/// A time in which two groups of nodes do not hear of each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Partition {
    /// When it begins, in minutes from the start.
    pub start_minute: f64,
    /// How long it lasts.
    pub minutes: f64,
    /// The smaller group's part of the hash rate.
    pub fraction: f64,
}

impl Partition {
    /// When it ends, in minutes from the start.
    pub fn end(&self) -> f64 {
        self.start_minute + self.minutes
    }
}

/// One miner with its part of the pool and a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strategist {
    /// Its part of the pool's hash rate.
    pub fraction: f64,
    /// What it does.
    pub strategy: Strategy,
}

/// What a miner does to get more than its part, or to hurt others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Holds its share blocks back and publishes them when that voids others' (Eyal and Sirer 2013).
    Selfish,
    /// The same, and its blocks list its own shares only.
    Censor,
    /// Gives its blocks the lowest time allowed.
    LowestTime,
    /// Gives blocks of even and odd heights the lowest time and the highest that nobody refuses.
    ZigzagTime,
    /// Picks for every job the payout class that pays its owner most.
    Picker,
}

impl Strategy {
    /// Whether it holds blocks back.
    pub const fn has_secrets(self) -> bool {
        matches!(self, Self::Selfish | Self::Censor)
    }
}

/// Settings that cannot be simulated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {problem}")]
pub struct BadSettings {
    /// Which.
    pub name: &'static str,
    /// What would be right.
    pub problem: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: 50,
            hours: 26.0,
            warm_up_hours: 2.0,
            seed: 1,
            latency_ms: 150.0,
            miner_ms: 100.0,
            power_law_exponent: 1.0,
            pool_part: 0.4,
            window_blocks: 256,
            carrier: Carrier::Relayed,
            partitions: Vec::new(),
            churn_hours: None,
            strategists: Vec::new(),
        }
    }
}

impl Settings {
    /// Checks that a run makes sense.
    pub fn validate(&self) -> Result<(), BadSettings> {
        let all = |values: &[f64], low: f64, high: f64| values.iter().all(|v| (low..=high).contains(v));
        let one = |value: f64, low: f64, high: f64| all(&[value], low, high);
        let fractions: Vec<f64> = self.strategists.iter().map(|strategist| strategist.fraction).collect();
        let split = |of: fn(&Partition) -> f64| self.partitions.iter().map(of).collect::<Vec<_>>();
        let checks = [
            ("nodes", (2..=MAX_NODES).contains(&self.nodes), "2 to 1000"),
            ("hours", one(self.hours, 0.1, MAX_HOURS), "0.1 to 300"),
            ("warm-up-hours", one(self.warm_up_hours, 0.0, self.hours), "0 to all hours of the run"),
            ("latency-ms", one(self.latency_ms, 0.0, 60_000.0), "0 to 60000"),
            ("miner-ms", one(self.miner_ms, 0.0, 60_000.0), "0 to 60000"),
            ("power-law-exponent", one(self.power_law_exponent, 0.0, 5.0), "0 to 5"),
            ("pool-part", one(self.pool_part, 0.01, 1.0), "0.01 to 1"),
            ("window-blocks", (64..=20_160).contains(&self.window_blocks), "64 to 20160"),
            ("churn", self.churn_hours.is_none_or(|hours| one(hours, 0.1, 1e6)), "0.1 hours at least"),
            ("strategists", fractions.len() < self.nodes, "fewer than nodes"),
            ("strategists", all(&fractions, 1e-6, 0.9), "each from 0 to 0.9 of the pool"),
            ("strategists", fractions.iter().sum::<f64>() <= 0.9, "at most 0.9 of the pool in all"),
            ("partition", all(&split(|p| p.start_minute), 0.0, 1e6), "starts in the run"),
            ("partition", all(&split(|p| p.minutes), 0.0, 120.0), "0 to 120 minutes"),
            (
                "partition",
                self.partitions.is_sorted_by(|a, b| a.end() <= b.start_minute),
                "one after the other",
            ),
            ("partition", all(&split(|p| p.fraction), 0.0, 1.0), "a part from 0 to 1"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((name, _, problem)) => Err(BadSettings { name, problem }),
            None => Ok(()),
        }
    }

    /// The parameters of the simulated chain. All that the network's figures depend on is as on main; targets are
    /// easy, since every hash is real, and the reward window is shorter, so that hundreds of nodes fit in memory.
    pub fn params(&self) -> ChainParams {
        let block = Target::MAX.harder_by(BLOCK_WORK);
        let bitcoin_work = f64::from(BLOCK_WORK) * BITCOIN_SPACING / 30.0 / self.pool_part;
        let bits = Target::MAX.harder_by(bitcoin_work as u32).to_compact().to_consensus();
        ChainParams {
            name: "simulation".into(),
            network: Network::Embedded { bits },
            first_bitcoin_block: (BitcoinHeight(0), embedded_genesis(bits).block_hash()),
            easiest_block_target: block.easier_by(HEADROOM).to_compact(),
            window_blocks: self.window_blocks,
            ..ChainParams::main()
        }
    }

    /// Hashes a second of the whole pool: a share block every 30 s.
    pub fn hash_rate(&self) -> f64 {
        f64::from(BLOCK_WORK) / 30.0
    }

    /// Each node's part of the pool: strategists first, the rest by the power law, largest first.
    pub fn parts(&self) -> Vec<f64> {
        let mut parts: Vec<f64> = self.strategists.iter().map(|strategist| strategist.fraction).collect();
        let rest = 1.0 - parts.iter().sum::<f64>();
        parts.extend(hashes::power_law(self.nodes - parts.len(), self.power_law_exponent, rest));
        parts
    }

    /// What a node does; none if it does as all.
    pub fn strategy(&self, node: usize) -> Option<Strategy> {
        self.strategists.get(node).map(|strategist| strategist.strategy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_valid_and_has_room_for_a_tenth_of_the_hash_rate() {
        let params = Settings::default().params();
        params.validate().expect("valid");
        let easiest = params.easiest_target().work().0.as_u32();
        assert!(easiest * 10 <= BLOCK_WORK, "{easiest}");
        assert_eq!(params.easiest_share_target(Target::MAX.harder_by(BLOCK_WORK)).work().0.as_u32(), 32);
        let main = ChainParams::main();
        assert_eq!(
            (params.base_depth, params.include_depth, params.payout_interval, params.retarget_constant),
            (main.base_depth, main.include_depth, main.payout_interval, main.retarget_constant)
        );
    }

    #[test]
    fn parts_sum_to_the_whole() {
        let selfish = Strategist { fraction: 0.35, strategy: Strategy::Selfish };
        let settings = Settings { strategists: vec![selfish], ..Settings::default() };
        let parts = settings.parts();
        assert_eq!((parts.len(), parts[0]), (50, 0.35));
        assert!((parts.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(parts[1..].is_sorted_by(|a, b| a > b));
        assert_eq!((settings.strategy(0), settings.strategy(1)), (Some(Strategy::Selfish), None));
    }

    #[test]
    fn nonsense_is_refused() {
        Settings::default().validate().expect("valid");
        let bad = |settings: Settings| settings.validate().expect_err("invalid").name;
        assert_eq!(bad(Settings { nodes: 1, ..Settings::default() }), "nodes");
        assert_eq!(bad(Settings { hours: f64::NAN, ..Settings::default() }), "hours");
        assert_eq!(bad(Settings { hours: 1.0, ..Settings::default() }), "warm-up-hours");
        let split = |start_minute| Partition { start_minute, minutes: 30.0, fraction: 0.5 };
        assert_eq!(
            bad(Settings { partitions: vec![split(60.0), split(80.0)], ..Settings::default() }),
            "partition"
        );
        Settings { partitions: vec![split(60.0), split(90.0)], ..Settings::default() }
            .validate()
            .expect("valid");
        let greedy = Strategist { fraction: 0.95, strategy: Strategy::Picker };
        assert_eq!(bad(Settings { strategists: vec![greedy], ..Settings::default() }), "strategists");
    }
}
