//! PPLNS in its hop-proof form: a share scores its difficulty over the network's at the time it was found, and a block is
//! split by the newest scores that sum to X.
//!
//! Source: Rosenfeld's post of 2011-08-28 and arXiv 1112.4980, section 5.2. Beside it stand the faults of simpler windows:
//! one that counts work by the difficulty at the time of payment, and one that counts shares.

use super::scheme::{Formula, Income, Run, Scheme, Sums};
use super::settings::Settings;
use super::windowed::Windowed;
use crate::simulate::random::Random;

/// PPLNS.
pub struct Pplns {
    pool: Windowed,
}

impl Pplns {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        let blocks = settings.blocks_per_day();
        let window = settings.window / blocks;
        let part = settings.part();
        Self {
            pool: Windowed {
                value: (1.0 - settings.fee) * settings.block_value() as f64,
                bonus: 0.0,
                blocks,
                window,
                delay: 0.0,
                shares: super::DAY / settings.share_seconds / part * window,
                part,
                finds: part,
                size: 1.0,
            },
        }
    }
}

/// What a share is worth, in fair pay, that was found `work` of the old difficulty before the difficulty rises by `growth`,
/// where the window is X of the difficulty at the time of the block: the fault that scoring at submission cures.
pub fn value_before_retarget(work: f64, window: f64, growth: f64) -> f64 {
    let later = 1.0 + growth;
    work / window + (window * later - work) / (window * later * later)
}

/// What a share is worth, in fair pay, just before the pool's hash rate changes by this factor, where the window is a
/// number of shares at a spacing that is held: k ln k / (k - 1).
pub fn value_before_change(factor: f64) -> f64 {
    if (factor - 1.0).abs() < 1e-9 { 1.0 } else { factor * factor.ln() / (factor - 1.0) }
}

/// The chance that a share is never paid, with X blocks expected while it is in the window.
pub fn unpaid(blocks: f64) -> f64 {
    (-blocks).exp()
}

impl Scheme for Pplns {
    fn rows(&self) -> Vec<String> {
        vec!["PPLNS".into()]
    }

    fn remark(&self) -> &'static str {
        "Nothing is exact only where the miner always has a share in the window: blocks close together share what is in it, so their payouts are no Poisson process."
    }

    fn income(&self, _: usize, days: f64) -> Income {
        self.pool.income(days, None, 1.0)
    }

    fn first(&self, _: usize) -> Formula {
        Formula::exact(self.pool.first(1.0))
    }

    fn cost(&self, days: f64) -> f64 {
        self.pool.cost(days)
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = Sums::new(horizons);
        for block in self.pool.draw(random, horizons.last().copied().unwrap_or(0.0), |at| at) {
            sums.add(block.at, self.pool.value * block.part);
        }
        Run { paid: vec![sums.sums], ..Run::default() }
    }

    fn first_cost(&self, _: usize) -> f64 {
        self.pool.pool().cost(1.0)
    }

    fn draw_first(&mut self, random: &mut Random, _: usize, most: u64) -> Option<f64> {
        self.pool.pool().draw(random, most, |_, _| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::testing::{assert_agrees, near, within};

    #[test]
    fn formula_and_draws_agree() {
        for (hash_rate, share_seconds) in [(1e19, 600.0), (3e17, 20_000.0)] {
            let settings = Settings { hash_rate, pool_hash_rate: 1e20, share_seconds, ..Settings::default() };
            let mut pplns = Pplns::new(&settings);
            near(pplns.income(0, 9.0).mean.value, 0.99 * settings.fair(9.0));
            assert_agrees(&mut pplns, &[0.05, 1.0, 20.0], 1_500);
        }
    }

    #[test]
    fn simpler_windows_are_worth_more_at_some_times_than_at_others() {
        within(value_before_retarget(0.0, 3.0, 0.05), 0.952, 0.001);
        within(value_before_retarget(3.0, 3.0, 0.05), 1.045, 0.001);
        near(value_before_retarget(1.0, 3.0, 0.0), 1.0);
        within(value_before_change(0.5), 0.69, 0.005);
        within(value_before_change(0.25), 0.46, 0.006);
        within(value_before_change(2.0), 1.39, 0.005);
        near(value_before_change(1.0), 1.0);
        within(unpaid(1.0), 0.368, 0.001);
    }
}
