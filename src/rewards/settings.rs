//! What is compared: a miner, a pool, the network, and the knobs of each scheme; with what follows from them.

use crate::simulate::hashes::power_law;
use serde::{Deserialize, Serialize};
use sharechain::params::ChainParams;
use sharechain::units::BitcoinHeight;
use thiserror::Error;

/// Most days of a horizon, a year.
pub const MAX_DAYS: f64 = 366.0;
/// Most horizons.
pub const MAX_HORIZONS: usize = 8;
/// Most runs of the Monte Carlo.
pub const MAX_RUNS: u32 = 10_000;
/// Most other miners in the pool.
pub const MAX_OTHERS: usize = 2_000;
/// Bitcoin blocks in a day.
pub const NETWORK_BLOCKS_PER_DAY: f64 = 144.0;

/// Hashes a second beyond which a hash rate is a slip of the pen: 10^30.
const ABSURD: f64 = 1e30;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The miner's hashes a second.
    pub hash_rate: f64,
    /// The pool's, the miner's included.
    pub pool_hash_rate: f64,
    /// Bitcoin's, the pool's included.
    pub network_hash_rate: f64,
    /// Bitcoin height, which sets the subsidy.
    pub height: u32,
    /// Satoshis of transaction fees in a block.
    pub block_fees: u64,
    /// What an operator keeps of each reward, as a part of it.
    pub fee: f64,
    /// Seconds from one node of P2Pool of old to another.
    pub latency: f64,
    /// Seconds by which mining hardware is late to leave old work there.
    pub device_latency: f64,
    /// Other miners in the pool, by a power law.
    pub others: usize,
    /// Its exponent.
    pub power_law_exponent: f64,
    /// Seconds between the miner's shares at a pool with an operator.
    pub share_seconds: f64,
    /// Expected blocks in the window of PPLNS.
    pub window: f64,
    /// Average variable fee c of the double geometric method.
    pub variable_fee: f64,
    /// Leakage o between rounds of the double geometric method.
    pub leakage: f64,
    /// The operator's reserve, in block rewards.
    pub reserve: f64,
    /// The chance of ruin that a safe reserve leaves.
    pub ruin: f64,
    /// All coins at stake in the lottery, in satoshis.
    pub stake: u64,
    /// Days over which to compare, ascending.
    pub horizons: Vec<f64>,
    /// Runs of the Monte Carlo.
    pub runs: u32,
    /// Names the run.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hash_rate: 1e12,
            pool_hash_rate: 1e18,
            network_hash_rate: 1e21,
            height: 975_000,
            block_fees: 2_500_000,
            fee: 0.01,
            latency: 1.0,
            device_latency: 0.5,
            others: 200,
            power_law_exponent: 1.0,
            share_seconds: 10.0,
            window: 2.0,
            variable_fee: 0.3,
            leakage: 0.5,
            reserve: 10.0,
            ruin: 0.001,
            stake: 2_000_000_000_000_000,
            horizons: vec![1.0, 7.0, 30.0, 365.0],
            runs: 1_000,
            seed: 1,
        }
    }
}

/// Settings that cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("--{name}: {problem}")]
pub struct BadSettings {
    /// The option.
    pub name: &'static str,
    /// What would be right.
    pub problem: &'static str,
}

impl Settings {
    /// Checks that a comparison makes sense.
    pub fn validate(&self) -> Result<(), BadSettings> {
        let within = |value: f64, low: f64, high: f64| (low..=high).contains(&value);
        let horizons = &self.horizons;
        let checks = [
            ("hash-rate", within(self.hash_rate, 1.0, ABSURD), "1 H/s at least, and no more than 10^30"),
            ("pool", within(self.pool_hash_rate, 1.0, ABSURD), "1 H/s at least, and no more than 10^30"),
            (
                "bitcoin",
                within(self.network_hash_rate, 1.0, ABSURD),
                "1 H/s at least, and no more than 10^30",
            ),
            (
                "pool",
                self.pool_hash_rate >= self.hash_rate,
                "the pool's hash rate includes the miner's, so it is no smaller",
            ),
            (
                "bitcoin",
                self.network_hash_rate >= self.pool_hash_rate,
                "Bitcoin's hash rate includes the pool's, so it is no smaller",
            ),
            (
                "hash-rate",
                self.hash_rate >= self.network_hash_rate * 1e-15,
                "too small a part of the network for numbers to mean anything",
            ),
            (
                "height",
                within(f64::from(self.height), 0.0, 2_099_999.0),
                "0 to 2099999, while blocks have a subsidy",
            ),
            ("block-fees", self.block_fees <= 100_000_000_000, "0 to 1000 BTC"),
            ("fee", within(self.fee, 0.0, 0.5), "0 to 50 %"),
            ("latency", within(self.latency, 0.0, 600.0), "0 to 600 seconds"),
            ("device-latency", within(self.device_latency, 0.0, 600.0), "0 to 600 seconds"),
            ("others", (1..=MAX_OTHERS).contains(&self.others), "1 to 2000 miners"),
            ("power-law-exponent", within(self.power_law_exponent, 0.0, 5.0), "0 to 5"),
            ("share-seconds", within(self.share_seconds, 0.1, 86_400.0), "0.1 seconds to a day"),
            ("window", within(self.window, 0.1, 100.0), "0.1 to 100 blocks"),
            ("variable-fee", within(self.variable_fee, 0.01, 0.9), "0.01 to 0.9"),
            ("leakage", within(self.leakage, 0.0, 0.95), "0 to 0.95"),
            ("reserve", within(self.reserve, 0.1, 1e6), "0.1 to 1000000 block rewards"),
            ("ruin", within(self.ruin, 1e-9, 0.5), "a chance, from 0.000000001 to 0.5"),
            ("stake", within(self.stake as f64, 1e8, 2.1e15), "1 to 21000000 BTC"),
            ("days", (1..=MAX_HORIZONS).contains(&horizons.len()), "1 to 8 horizons"),
            ("days", horizons.iter().all(|days| within(*days, 0.01, MAX_DAYS)), "each from 0.01 to 366 days"),
            ("days", horizons.is_sorted_by(|a, b| a < b), "ascending, none twice"),
            ("runs", (20..=MAX_RUNS).contains(&self.runs), "20 to 10000"),
        ];
        match checks.into_iter().find(|(_, holds, _)| !holds) {
            Some((name, _, problem)) => Err(BadSettings { name, problem }),
            None => Ok(()),
        }
    }

    /// The parameters of the share chain that is compared: main's.
    pub fn params(&self) -> ChainParams {
        ChainParams::main()
    }

    /// Satoshis of a block.
    pub fn block_value(&self) -> u64 {
        self.params().subsidy(BitcoinHeight(self.height)).saturating_add(self.block_fees)
    }

    /// The miner's part of the pool.
    pub fn part(&self) -> f64 {
        self.hash_rate / self.pool_hash_rate
    }

    /// Bitcoin blocks of the pool in a day.
    pub fn blocks_per_day(&self) -> f64 {
        self.pool_hash_rate / self.network_hash_rate * NETWORK_BLOCKS_PER_DAY
    }

    /// Satoshis that the miner's hash rate is worth in so many days: what mining alone pays on average.
    pub fn fair(&self, days: f64) -> f64 {
        self.part() * self.blocks_per_day() * days * self.block_value() as f64
    }

    /// The other miners' parts of the pool, largest first; none when the miner is all of it.
    pub fn others_parts(&self) -> Vec<f64> {
        let rest = 1.0 - self.part();
        if rest <= 0.0 {
            return Vec::new();
        }
        power_law(self.others, self.power_law_exponent, rest).collect()
    }

    /// The last horizon, in days.
    pub fn longest(&self) -> f64 {
        self.horizons.last().copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_a_small_miner_in_a_small_pool() {
        let settings = Settings::default();
        settings.validate().expect("valid");
        assert_eq!(settings.block_value(), 315_000_000);
        assert!((settings.blocks_per_day() - 0.144).abs() < 1e-12);
        assert!((settings.fair(365.0) - 16_556.4).abs() < 0.1);
        let others: f64 = settings.others_parts().iter().sum();
        assert!((others + settings.part() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn nonsense_is_refused_with_the_option_to_blame() {
        let of = Settings::default;
        let bad = |settings: Settings| settings.validate().expect_err("invalid").name;
        assert_eq!(bad(Settings { hash_rate: 0.0, ..of() }), "hash-rate");
        assert_eq!(bad(Settings { hash_rate: f64::NAN, ..of() }), "hash-rate");
        assert_eq!(bad(Settings { hash_rate: 2.0, ..of() }), "hash-rate");
        assert_eq!(bad(Settings { pool_hash_rate: 1e11, ..of() }), "pool");
        assert_eq!(bad(Settings { network_hash_rate: 1e17, ..of() }), "bitcoin");
        assert_eq!(bad(Settings { horizons: vec![], ..of() }), "days");
        assert_eq!(bad(Settings { horizons: vec![7.0, 7.0], ..of() }), "days");
        assert_eq!(bad(Settings { horizons: vec![1e9], ..of() }), "days");
        assert_eq!(bad(Settings { fee: f64::NAN, ..of() }), "fee");
        assert_eq!(bad(Settings { runs: 1, ..of() }), "runs");
    }
}
