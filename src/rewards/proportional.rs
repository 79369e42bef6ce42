//! Proportional: a block is split by the shares of the round that it ends, which is hoppable.
//!
//! Source: Rosenfeld, arXiv 1112.4980, section 2.2 and chapter 3 (hopping); the variance by the mean of one over a
//! geometric number.

use super::draw::{happens, poisson};
use super::scheme::{FirstPayout, Formula, Income, Run, Scheme, Sums, mean_first};
use super::settings::Settings;
use crate::simulate::random::Random;

/// Proportional payment.
pub struct Proportional {
    value: f64,
    fee: f64,
    part: f64,
    blocks_per_day: f64,
    shares_per_day: f64,
}

impl Proportional {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            value: settings.block_value() as f64,
            fee: settings.fee,
            part: settings.part(),
            blocks_per_day: settings.blocks_per_day(),
            shares_per_day: super::DAY / settings.share_seconds,
        }
    }

    fn pool(&self) -> FirstPayout {
        FirstPayout { shares: self.shares_per_day, blocks: self.blocks_per_day, window: f64::INFINITY }
    }

    /// Expected pay of a share submitted when the round is `x` difficulties long, in fair pay: e^x E1(x).
    pub fn worth_at(x: f64) -> f64 {
        x.exp() * exponential_integral(x)
    }

    /// Where it pays to leave: the x at which a share is worth just what is fair, 0.4348.
    pub fn hop_off() -> f64 {
        let (mut low, mut high) = (0.1, 1.0);
        for _ in 0..60 {
            let middle = f64::midpoint(low, high);
            if Self::worth_at(middle) > 1.0 { low = middle } else { high = middle }
        }
        low
    }

    /// What one who leaves there and mines for fair pay elsewhere until the next block has of all its work, in fair pay.
    /// The others lose it.
    pub fn hopper() -> f64 {
        let x = Self::hop_off();
        // e^-y of the rounds reach y, so the shares here bring ∫ E1 from 0 to x, and the work elsewhere e^-x.
        1.0 + x * exponential_integral(x)
    }
}

/// E1(x) for x above 0: a series below 1, else a continued fraction (Abramowitz and Stegun 5.1.11 and 5.1.22).
pub fn exponential_integral(x: f64) -> f64 {
    const EULER: f64 = 0.577_215_664_901_532_9;
    if x < 1.0 {
        let (mut sum, mut term) = (-EULER - x.ln(), -1.0);
        for n in 1..40 {
            term *= -x / f64::from(n);
            sum += term / f64::from(n);
        }
        sum
    } else {
        let fraction = (1..200).rev().fold(0.0, |below, n| {
            let n = f64::from(n);
            n / (1.0 + n / (x + below))
        });
        (-x).exp() / (x + fraction)
    }
}

impl Scheme for Proportional {
    fn rows(&self) -> Vec<String> {
        vec!["proportional".into()]
    }

    fn remark(&self) -> &'static str {
        "As if nobody hopped. The spread takes a horizon's rounds as of any length, though short rounds bring more blocks; that is nothing beside the luck of blocks."
    }

    /// A round of N shares, N geometric, pays K/N of a block with K binomial: Var = M B² (q² + q (1-q) E[1/N]), where
    /// E[1/N] = -p ln p / (1-p). Nothing: no block since the miner's first share of a round.
    fn income(&self, _: usize, days: f64) -> Income {
        let (blocks, q) = (self.blocks_per_day * days, self.part);
        let p = (self.blocks_per_day * q / self.shares_per_day).min(1.0 - 1e-9);
        let one_over = -p * p.ln() / (1.0 - p);
        let (share, block) = (self.shares_per_day, self.blocks_per_day);
        // Whether a share is in hand at day 0, and if not, that one and then a block.
        let in_hand = share / (share + block);
        let both = if ((share - block) / block).abs() < 1e-6 {
            (1.0 + blocks) * (-blocks).exp()
        } else {
            (share * (-blocks).exp() - block * (-share * days).exp()) / (share - block)
        };
        Income {
            mean: Formula::exact((1.0 - self.fee) * blocks * q * self.value),
            spread: Formula::about(
                (1.0 - self.fee) * self.value * (blocks * (q * q + q * (1.0 - q) * one_over)).sqrt(),
            ),
            nothing: Formula::exact(in_hand * (-blocks).exp() + (1.0 - in_hand) * both),
        }
    }

    fn first(&self, _: usize) -> Formula {
        Formula::exact(mean_first(self.shares_per_day, self.blocks_per_day, f64::INFINITY))
    }

    fn cost(&self, days: f64) -> f64 {
        2.0 + self.blocks_per_day * days
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = Sums::new(horizons);
        let last = horizons.last().copied().unwrap_or(0.0);
        let others = self.shares_per_day * (1.0 - self.part) / self.part;
        // The round has been going on for as long as it may still take.
        let mut since = -random.exponential(1.0 / self.blocks_per_day);
        let mut at = random.exponential(1.0 / self.blocks_per_day);
        while at <= last {
            let mut own = poisson(random, self.shares_per_day * (at - since));
            let mut all = own + poisson(random, others * (at - since)) + 1.0;
            if happens(random, self.part) {
                own += 1.0;
            }
            all = all.max(own);
            sums.add(at, (1.0 - self.fee) * self.value * own / all);
            since = at;
            at += random.exponential(1.0 / self.blocks_per_day);
        }
        Run { paid: vec![sums.sums], ..Run::default() }
    }

    fn first_cost(&self, _: usize) -> f64 {
        self.pool().cost(1.0)
    }

    fn draw_first(&mut self, random: &mut Random, _: usize, most: u64) -> Option<f64> {
        self.pool().draw(random, most, |_, _| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::draw::{mean, spread};
    use crate::rewards::testing::{assert_agrees, is_within, within};

    #[test]
    fn formula_and_draws_agree() {
        let settings =
            Settings { hash_rate: 1e18, pool_hash_rate: 1e20, share_seconds: 3_600.0, ..Settings::default() };
        let mut proportional = Proportional::new(&settings);
        assert_agrees(&mut proportional, &[0.02, 1.0, 20.0], 1_500);
        // Rounds without number: the spread, too.
        let runs: Vec<f64> =
            (0..1_500).map(|n| proportional.run(&mut Random::new(n, "spread"), &[20.0]).paid[0][0]).collect();
        let formula = proportional.income(0, 20.0).spread.value;
        within(spread(&runs).mean, formula, 0.12);
    }

    #[test]
    fn a_share_is_worth_e_to_the_x_times_e1() {
        within(exponential_integral(0.5), 0.559_773_594_8, 1e-9);
        within(exponential_integral(2.0), 0.048_900_510_7, 1e-8);
        within(Proportional::hop_off(), 0.4348, 1e-4);
        within(Proportional::worth_at(Proportional::hop_off()), 1.0, 1e-9);
        assert!(Proportional::worth_at(0.1) > 1.0 && Proportional::worth_at(1.0) < 1.0);
    }

    /// One miner of a tenth stays for all of every round, another of a tenth leaves at 0.4348 for fair pay elsewhere.
    #[test]
    fn the_hopper_gains_what_the_formula_says_and_the_stayer_loses() {
        within(Proportional::hopper(), 1.2815, 0.001);
        let mut random = Random::new(4, "hopper");
        let leave = Proportional::hop_off();
        let (mut hopper, mut stayer) = (Vec::new(), Vec::new());
        for _ in 0..40_000 {
            // In difficulties of all others' work; the hopper is so small that it changes no round.
            let round = random.exponential(1.0);
            hopper.push(round.min(leave) / round + (round - leave).max(0.0));
            // Half of the pool hops: the round goes on at half speed without them.
            let all = random.exponential(1.0);
            let stayed = if all < leave { all / 2.0 } else { leave / 2.0 + (all - leave) };
            stayer.push(stayed / all);
        }
        // Per unit of work: a round is one difficulty on average.
        let gain = mean(&hopper);
        assert!(is_within(gain, Proportional::hopper()), "{gain:?}");
        assert!(gain.mean > 1.2);
        // Its work in a round is E[stayed]; it is paid E[stayed / all].
        let work = 1.0 - (1.0 - (-leave).exp()) / 2.0;
        assert!(mean(&stayer).mean / work < 0.95, "{:?}", mean(&stayer));
    }
}
