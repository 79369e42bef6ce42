//! P2Pool of old (2011 to 2018): one chain of shares, one every 30 s; a share that comes too late is lost.
//!
//! The rules are those of its code at its end: a window of 8,640 shares and at most three blocks of work, half a percent to
//! the finder, large miners' shares made larger. Nobody donates here. Shares that lost a race earned nothing; how many
//! do follows from the delay: 1 - e^-((1 - q) d + m)/T, since a miner hears of its own shares at once.

use super::scheme::{Formula, Income, Run, Scheme, Sums};
use super::settings::Settings;
use super::windowed::Windowed;
use crate::simulate::random::Random;

/// Seconds between shares of the chain.
const SPACING: f64 = 30.0;
/// Shares in the window.
const WINDOW_SHARES: f64 = 8_640.0;
/// Blocks of work in it, at most.
const WINDOW_BLOCKS: f64 = 3.0;
/// The finder's part.
const BONUS: f64 = 0.005;
/// A miner's shares are made larger when they would be more than this part of all.
const LARGE: f64 = 0.0167;
/// By no more than this.
const LARGER_BY: f64 = 30.0;

/// P2Pool of old.
pub struct OldP2pool {
    pool: Windowed,
}

/// The part of a miner's shares that is lost, with its part of the hash rate, and the delays between nodes and of its
/// hardware in seconds.
pub fn stale(part: f64, latency: f64, device: f64, spacing: f64) -> f64 {
    -(-((1.0 - part) * latency + device) / spacing).exp_m1()
}

impl OldP2pool {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        let kept = |part: f64| part * (1.0 - stale(part, settings.latency, settings.device_latency, SPACING));
        let others: f64 = settings.others_parts().into_iter().map(kept).sum();
        let finds = settings.part();
        // The miner's part of the shares that are not lost.
        let part = kept(finds) / (kept(finds) + others);
        let blocks = settings.blocks_per_day();
        let window = (WINDOW_SHARES * SPACING / super::DAY).min(WINDOW_BLOCKS / blocks);
        Self {
            pool: Windowed {
                value: settings.block_value() as f64,
                bonus: BONUS,
                blocks,
                window,
                delay: 0.0,
                shares: window * super::DAY / SPACING,
                part,
                finds,
                size: (part / LARGE).clamp(1.0, LARGER_BY),
            },
        }
    }

    /// Blocks expected while a share is in the window.
    pub fn window_blocks(&self) -> f64 {
        self.pool.blocks * self.pool.window
    }
}

impl Scheme for OldP2pool {
    fn rows(&self) -> Vec<String> {
        vec!["P2Pool of old".into()]
    }

    fn remark(&self) -> &'static str {
        "Nothing and first payout take payouts as a Poisson process; blocks close together share what is in the window."
    }

    fn income(&self, _: usize, days: f64) -> Income {
        self.pool.income(days, None, 1.0)
    }

    fn first(&self, _: usize) -> Formula {
        Formula::about(self.pool.first(1.0))
    }

    fn cost(&self, days: f64) -> f64 {
        self.pool.cost(days)
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = Sums::new(horizons);
        let Windowed { value, bonus, .. } = self.pool;
        for block in self.pool.draw(random, horizons.last().copied().unwrap_or(0.0), |at| at) {
            let finders = if block.found { bonus } else { 0.0 };
            sums.add(block.at, value * ((1.0 - bonus) * block.part + finders));
        }
        Run { paid: vec![sums.sums], ..Run::default() }
    }

    fn first_cost(&self, _: usize) -> f64 {
        self.pool.pool().cost(1.0)
    }

    fn draw_first(&mut self, random: &mut Random, _: usize, most: u64) -> Option<f64> {
        let found = random.exponential(1.0 / (self.pool.blocks * self.pool.finds));
        self.pool.pool().draw(random, most, |_, _| true).map(|at| at.min(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::testing::{assert_agrees, within};

    #[test]
    fn lost_shares_are_as_many_as_delays_make() {
        // Delay, and the percentage lost at 10, 30 and 60 s between shares.
        for (delay, lost) in [
            (0.2, [1.98, 0.66, 0.33]),
            (0.5, [4.88, 1.65, 0.83]),
            (1.0, [9.52, 3.28, 1.65]),
            (2.0, [18.1, 6.45, 3.28]),
            (5.0, [39.3, 15.4, 8.0]),
        ] {
            for (spacing, lost) in [10.0, 30.0, 60.0].into_iter().zip(lost) {
                within(stale(0.0, delay, 0.0, spacing) * 100.0, lost, 0.01);
            }
        }
        // Five seconds: half of the pool keeps 92.0 %, a hundredth 84.8 %.
        within(1.0 - stale(0.5, 5.0, 0.0, 30.0), 0.920, 0.001);
        within(1.0 - stale(0.01, 5.0, 0.0, 30.0), 0.848, 0.001);
    }

    #[test]
    fn a_small_miner_has_less_than_fair_and_a_large_one_more() {
        let of = |hash_rate| {
            let settings = Settings { hash_rate, latency: 5.0, ..Settings::default() };
            OldP2pool::new(&settings).income(0, 30.0).mean.value / settings.fair(30.0)
        };
        // Of the others the largest have 17 % and less.
        assert!(of(1e13) < 0.995 && of(5e17) > 1.03, "{} {}", of(1e13), of(5e17));
        // Without delays all have what is fair.
        let still = Settings { latency: 0.0, device_latency: 0.0, ..Settings::default() };
        within(OldP2pool::new(&still).income(0, 30.0).mean.value, still.fair(30.0), 1e-9);
    }

    #[test]
    fn the_window_is_three_days_or_three_blocks() {
        let of = |pool_hash_rate| {
            OldP2pool::new(&Settings { pool_hash_rate, ..Settings::default() }).window_blocks()
        };
        within(of(1e18), 3.0 * 0.144, 1e-9);
        within(of(1e20), 3.0, 1e-9);
    }

    #[test]
    fn formula_and_draws_agree() {
        for hash_rate in [2e17, 4e19] {
            let settings = Settings { hash_rate, pool_hash_rate: 1e20, ..Settings::default() };
            let mut old = OldP2pool::new(&settings);
            assert_agrees(&mut old, &[0.1, 1.0, 20.0], 1_000);
        }
    }
}
