//! Mining alone, and a lottery of stakes: a block pays its finder all of it.
//!
//! Both are here because both are lotteries: a hash rate buys tickets of a Poisson process, coins at stake those of one
//! draw for each block. Sources: for the stakes, rewards that are staked too make a Pólya urn (Mahmoud 2008), whose wins
//! are beta-binomial.

use super::draw::{happens, poisson};
use super::scheme::{Formula, Income, Run, Scheme, Sums};
use super::settings::{NETWORK_BLOCKS_PER_DAY, Settings};
use crate::simulate::random::{Random, ln};

/// Mining alone.
pub struct Solo {
    value: f64,
    blocks_per_day: f64,
}

impl Solo {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            value: settings.block_value() as f64,
            blocks_per_day: settings.part() * settings.blocks_per_day(),
        }
    }
}

impl Scheme for Solo {
    fn rows(&self) -> Vec<String> {
        vec!["solo".into()]
    }

    fn remark(&self) -> &'static str {
        ""
    }

    /// Blocks are a Poisson process: CV = 1/√(qM), P(nothing) = e^-qM.
    fn income(&self, _: usize, days: f64) -> Income {
        let blocks = self.blocks_per_day * days;
        Income {
            mean: Formula::exact(blocks * self.value),
            spread: Formula::exact(blocks.sqrt() * self.value),
            nothing: Formula::exact((-blocks).exp()),
        }
    }

    fn first(&self, _: usize) -> Formula {
        Formula::exact(1.0 / self.blocks_per_day)
    }

    fn cost(&self, days: f64) -> f64 {
        1.0 + self.blocks_per_day * days.min(30.0)
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = Vec::new();
        let (mut before, mut sum) = (0.0, 0.0);
        for days in horizons {
            sum += poisson(random, self.blocks_per_day * (days - before)) * self.value;
            before = *days;
            sums.push(sum);
        }
        Run { paid: vec![sums], ..Run::default() }
    }

    fn first_cost(&self, _: usize) -> f64 {
        1.0
    }

    fn draw_first(&mut self, random: &mut Random, _: usize, _: u64) -> Option<f64> {
        Some(random.exponential(1.0 / self.blocks_per_day))
    }
}

/// A lottery in which each block goes to a stake by its part of all, and rewards are staked too. The miner's stake has
/// the part that its hash rate has of Bitcoin's.
pub struct StakeLottery {
    value: f64,
    part: f64,
    stake: f64,
}

impl StakeLottery {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            value: settings.block_value() as f64,
            part: settings.hash_rate / settings.network_hash_rate,
            stake: settings.stake as f64,
        }
    }

    /// Variance of the wins in so many draws: N x (1 - x) (S + N R) / (S + R) with S at stake at first.
    fn variance(&self, draws: f64) -> f64 {
        let urn = (self.stake + draws * self.value) / (self.stake + self.value);
        draws * self.part * (1.0 - self.part) * urn
    }

    /// The chance of no win in so many draws: the product of the others' parts, which grow.
    fn no_win(&self, draws: f64) -> f64 {
        let own = self.stake * self.part;
        let lost = |n: u32| (-own / (self.stake + f64::from(n) * self.value)).ln_1p();
        (0..draws as u32).map(lost).sum::<f64>().exp()
    }
}

impl Scheme for StakeLottery {
    fn rows(&self) -> Vec<String> {
        vec!["stake lottery".into()]
    }

    fn remark(&self) -> &'static str {
        "The first payout takes all stakes as they are at the start."
    }

    fn income(&self, _: usize, days: f64) -> Income {
        let draws = (NETWORK_BLOCKS_PER_DAY * days).floor();
        Income {
            mean: Formula::exact(draws * self.part * self.value),
            spread: Formula::exact(self.variance(draws).sqrt() * self.value),
            nothing: Formula::exact(self.no_win(draws)),
        }
    }

    fn first(&self, _: usize) -> Formula {
        Formula::exact(1.0 / self.part / NETWORK_BLOCKS_PER_DAY)
    }

    fn cost(&self, days: f64) -> f64 {
        1.0 + self.part * NETWORK_BLOCKS_PER_DAY * days
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = Sums::new(horizons);
        let last = horizons.last().copied().unwrap_or(0.0) * NETWORK_BLOCKS_PER_DAY;
        let (mut draw, mut own, mut all) = (0.0, self.part * self.stake, self.stake);
        loop {
            // The part falls until the next win, so one with today's is a win with their quotient.
            let today = own / all;
            let skipped = if today < 1.0 { (ln(random.fraction()) / (-today).ln_1p()).floor() } else { 0.0 };
            if draw + skipped + 1.0 > last {
                break;
            }
            draw += skipped + 1.0;
            all += skipped * self.value;
            if happens(random, own / all / today) {
                own += self.value;
                sums.add(draw / NETWORK_BLOCKS_PER_DAY, self.value);
            }
            all += self.value;
        }
        Run { paid: vec![sums.sums], ..Run::default() }
    }

    fn first_cost(&self, _: usize) -> f64 {
        1.0
    }

    /// Without the growth of all stakes, as the formula.
    fn draw_first(&mut self, random: &mut Random, _: usize, _: u64) -> Option<f64> {
        let skipped =
            if self.part < 1.0 { (ln(random.fraction()) / (-self.part).ln_1p()).floor() } else { 0.0 };
        Some((skipped + 1.0) / NETWORK_BLOCKS_PER_DAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::draw::{mean, part, spread};
    use crate::rewards::testing::{assert_agrees, near};

    fn settings() -> Settings {
        Settings { hash_rate: 3e19, pool_hash_rate: 1e20, horizons: vec![1.0, 30.0], ..Settings::default() }
    }

    #[test]
    fn alone_formula_and_draws_agree() {
        let mut solo = Solo::new(&settings());
        // q M = 0.03 × 144 × 30 = 129.6.
        let income = solo.income(0, 30.0);
        near(income.spread.value / income.mean.value, 1.0 / 129.6_f64.sqrt());
        near(solo.income(0, 1.0).nothing.value, (-4.32_f64).exp());
        assert_agrees(&mut solo, &[0.1, 1.0, 30.0], 2_000);
    }

    #[test]
    fn stakes_formula_and_draws_agree() {
        // A small total, so that rewards matter: 10 % of 1,000 blocks' worth, over 4,320 draws.
        let settings = Settings {
            hash_rate: 1e20,
            pool_hash_rate: 1e20,
            stake: 1_000 * 315_000_000,
            ..Settings::default()
        };
        let mut stake = StakeLottery::new(&settings);
        assert_agrees(&mut stake, &[0.05, 1.0, 30.0], 1_000);
    }

    #[test]
    fn wins_are_beta_binomial() {
        let of = |stake: f64, part| StakeLottery { value: 1.0, part, stake };
        // Without growth it is binomial; with S = R and x = 1/2, the wins of N draws are uniform: (N^2 + 2 N) / 12.
        near(of(1e15, 0.1).variance(100.0), 9.0);
        near(of(2.0, 0.5).variance(10.0), 10.0);
        near(of(2.0, 0.5).no_win(10.0), 1.0 / 11.0);
        near(of(1e15, 0.1).no_win(10.0), 0.9_f64.powi(10));
    }

    #[test]
    fn a_stake_of_all_wins_each_draw() {
        let mut all = StakeLottery { value: 2.0, part: 1.0, stake: 100.0 };
        let runs: Vec<f64> =
            (0..50).map(|n| all.run(&mut Random::new(n, "all"), &[1.0]).paid[0][0]).collect();
        assert_eq!(
            (mean(&runs).mean, spread(&runs).mean, part(&runs, |paid| paid == 0.0).mean),
            (288.0, 0.0, 0.0)
        );
    }
}
