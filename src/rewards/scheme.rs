//! What every scheme answers, by formula and by draw.

use crate::simulate::random::Random;
use serde::{Deserialize, Serialize};

/// A number by formula.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Formula {
    /// The number.
    pub value: f64,
    /// Whether the formula is exact for what is drawn beside it; the scheme's remark says why not.
    pub exact: bool,
}

impl Formula {
    /// Of a formula that is exact.
    pub const fn exact(value: f64) -> Self {
        Self { value, exact: true }
    }

    /// Of one that is near.
    pub const fn about(value: f64) -> Self {
        Self { value, exact: false }
    }
}

/// A miner's income over a horizon, by formula, in satoshis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Income {
    /// Mean.
    pub mean: Formula,
    /// Standard deviation.
    pub spread: Formula,
    /// The chance of nothing at all.
    pub nothing: Formula,
}

/// An operator's result over a horizon, by formula, in satoshis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorResult {
    /// Mean.
    pub mean: Formula,
    /// Standard deviation.
    pub spread: Formula,
    /// The chance that the reserve is used up by then.
    pub ruin: Formula,
}

/// What one run of the Monte Carlo paid.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// For each row of the scheme, satoshis up to each horizon.
    pub paid: Vec<Vec<f64>>,
    /// The operator's result up to each horizon; empty without an operator who bears a risk.
    pub operator: Vec<f64>,
    /// Whether the operator's reserve was used up by each horizon.
    pub ruined: Vec<bool>,
}

/// One way to pay miners.
///
/// The miner has been mining for as long as the scheme remembers, and its income is counted from day 0; the time to the
/// first payout is counted from the first hash. Times are in days, money in satoshis, and parts of a satoshi count.
pub trait Scheme {
    /// A name for each row: most schemes have one, the share chain one for each payout class.
    fn rows(&self) -> Vec<String>;

    /// Which formula is not exact, and why; empty if all are.
    fn remark(&self) -> &'static str;

    /// The miner's income.
    fn income(&self, row: usize, days: f64) -> Income;

    /// Days from the first hash to the first payout, on average.
    fn first(&self, row: usize) -> Formula;

    /// The operator's result; none where nobody bears the risk of luck.
    fn result(&self, _days: f64) -> Option<OperatorResult> {
        None
    }

    /// Block rewards of a reserve that is ever used up with this chance only; none if none is enough, or known.
    fn safe_reserve(&self, _ruin: f64) -> Option<f64> {
        None
    }

    /// Draws needed for a run, roughly, so that many runs end in seconds.
    fn cost(&self, days: f64) -> f64;

    /// Draws up to the last horizon.
    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run;

    /// Draws needed for one first payout, roughly.
    fn first_cost(&self, row: usize) -> f64;

    /// Draws the days from the first hash to the first payout; none when that takes more than `most` draws.
    fn draw_first(&mut self, random: &mut Random, row: usize, most: u64) -> Option<f64>;
}

/// Sums of payments up to each horizon.
#[derive(Clone, Debug)]
pub struct Sums<'a> {
    horizons: &'a [f64],
    /// So far.
    pub sums: Vec<f64>,
}

impl<'a> Sums<'a> {
    /// Nothing paid yet.
    pub fn new(horizons: &'a [f64]) -> Self {
        Self { horizons, sums: vec![0.0; horizons.len()] }
    }

    /// Something paid at this time.
    pub fn add(&mut self, days: f64, satoshis: f64) {
        for (horizon, sum) in self.horizons.iter().zip(&mut self.sums) {
            if days <= *horizon {
                *sum += satoshis;
            }
        }
    }
}

/// An operator's balance over a run.
#[derive(Clone, Debug)]
pub struct Balance<'a> {
    sums: Sums<'a>,
    reserve: f64,
    now: f64,
    ruined_at: Option<f64>,
}

impl<'a> Balance<'a> {
    /// With this reserve.
    pub fn new(horizons: &'a [f64], reserve: f64) -> Self {
        Self { sums: Sums::new(horizons), reserve, now: reserve, ruined_at: None }
    }

    /// Something taken in, or given out if negative, at this time. Goes on after ruin, as if somebody lent.
    pub fn add(&mut self, days: f64, satoshis: f64) {
        self.sums.add(days, satoshis);
        self.now += satoshis;
        if self.now < 0.0 && self.ruined_at.is_none() {
            self.ruined_at = Some(days);
        }
    }

    /// A steady drain that ends at this time and since the last one took so much in all. Of what goes beyond a horizon
    /// within it, only the part up to there counts.
    pub fn drain(&mut self, from: f64, to: f64, satoshis: f64) {
        let rate = satoshis / (to - from).max(f64::MIN_POSITIVE);
        for (horizon, sum) in self.sums.horizons.iter().zip(&mut self.sums.sums) {
            *sum -= rate * (horizon.min(to) - from).max(0.0);
        }
        if self.now < satoshis && self.ruined_at.is_none() {
            self.ruined_at = Some(from + self.now.max(0.0) / rate);
        }
        self.now -= satoshis;
    }

    /// The results and ruins for a run.
    pub fn into_run(self, paid: Vec<Vec<f64>>) -> Run {
        let by = |horizon: &f64| self.ruined_at.is_some_and(|at| at <= *horizon);
        let ruined = self.sums.horizons.iter().map(by).collect();
        debug_assert!(self.reserve > 0.0);
        Run { paid, operator: self.sums.sums, ruined }
    }
}

/// The chance that a balance which drifts by `mean` and spreads with `deviation` over a horizon falls by `reserve`
/// within it (a Brownian motion's; Bachelier and Lévy). Balances that jump are near it when the reserve is many jumps.
pub fn ruin_by(mean: f64, deviation: f64, reserve: f64) -> f64 {
    use super::draw::normal_below;
    let reflected = (-2.0 * mean * reserve / (deviation * deviation)).exp();
    let second = normal_below((mean - reserve) / deviation);
    // A large number times a chance of nothing is nothing.
    let second = if second > 0.0 { reflected * second } else { 0.0 };
    (normal_below((-mean - reserve) / deviation) + second).clamp(0.0, 1.0)
}

/// The days from the first hash to the first payout where blocks pay what is in hand: a share is in hand for `window`
/// days, blocks come `blocks` a day and each pays with a share in hand. Exact, by renewal: with a = e^-(λ+r)W, 1/r + 1/λ +
/// a (λ+r) / (r λ (1-a)).
pub fn mean_first(shares: f64, blocks: f64, window: f64) -> f64 {
    let both = shares + blocks;
    let again = if window.is_finite() { 1.0 / (both * window).exp_m1() } else { 0.0 };
    1.0 / shares + 1.0 / blocks + again * both / (shares * blocks)
}

/// A pool's events up to the first payout.
#[derive(Clone, Copy, Debug)]
pub struct FirstPayout {
    /// The miner's shares a day.
    pub shares: f64,
    /// The pool's Bitcoin blocks a day.
    pub blocks: f64,
    /// Days that a share is in hand.
    pub window: f64,
}

impl FirstPayout {
    /// Draws needed, roughly, when a block pays with chance `pays` what is in hand.
    pub fn cost(&self, pays: f64) -> f64 {
        let in_hand = 1.0 - (-self.shares * self.window).exp();
        let blocks = self.blocks * pays;
        let days = mean_first(self.shares, blocks, self.window);
        // Shares one by one only where few are in hand.
        let events = if self.is_rare() { self.blocks + self.shares } else { self.blocks };
        2.0 + days * in_hand.max(1e-300) * events + self.shares / (self.shares + blocks)
    }

    fn is_rare(&self) -> bool {
        self.shares * self.window.min(1.0 / self.blocks) <= 50.0
    }

    /// Draws; `pays` says whether a block pays when so many shares are in hand. None after `most` events.
    pub fn draw(
        &self,
        random: &mut Random,
        most: u64,
        mut pays: impl FnMut(&mut Random, f64) -> bool,
    ) -> Option<f64> {
        if !self.is_rare() {
            return self.draw_by_blocks(random, most, pays);
        }
        let mut in_hand = std::collections::VecDeque::new();
        let mut at = 0.0;
        for _ in 0..most {
            let share = random.exponential(1.0 / self.shares);
            if in_hand.is_empty() {
                // Nothing that happens before the next share matters.
                at += share;
                in_hand.push_back(at);
                continue;
            }
            let block = random.exponential(1.0 / self.blocks);
            at += share.min(block);
            while in_hand.front().is_some_and(|since| at - since > self.window) {
                in_hand.pop_front();
            }
            if share < block {
                in_hand.push_back(at);
            } else if !in_hand.is_empty() && pays(random, in_hand.len() as f64) {
                return Some(at);
            }
        }
        None
    }

    /// With so many shares in hand that each block may draw their number anew.
    fn draw_by_blocks(
        &self,
        random: &mut Random,
        most: u64,
        mut pays: impl FnMut(&mut Random, f64) -> bool,
    ) -> Option<f64> {
        let mut at = 0.0;
        for _ in 0..most {
            at += random.exponential(1.0 / self.blocks);
            let shares = super::draw::poisson(random, self.shares * self.window.min(at));
            if shares > 0.0 && pays(random, shares) {
                return Some(at);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::draw::mean;

    #[test]
    fn ruin_is_certain_without_a_drift_and_falls_with_it() {
        assert!((ruin_by(0.0, 1e6, 1.0) - 1.0).abs() < 1e-5);
        // For ever: e^(-2 m R / v).
        assert!((ruin_by(1e4, 1e2, 0.5) - (-1.0_f64).exp()).abs() < 1e-6);
        assert!(ruin_by(1.0, 1.0, 20.0) < 1e-6);
        assert!(ruin_by(-50.0, 1.0, 20.0) > 0.999_999);
    }

    #[test]
    fn the_mean_time_to_the_first_payout_is_exact() {
        let mut random = Random::new(3, "first");
        for (shares, blocks, window) in
            [(0.1, 2.0, 0.7), (3.0, 0.3, 1.0), (40.0, 0.5, 3.0), (2.0, 1.0, f64::INFINITY)]
        {
            let pool = FirstPayout { shares, blocks, window };
            let draws: Vec<f64> = (0..4_000)
                .map(|_| pool.draw(&mut random, 1_000_000, |_, _| true).expect("in time"))
                .collect();
            let (found, formula) = (mean(&draws), mean_first(shares, blocks, window));
            let off = (found.mean - formula).abs();
            assert!(
                off < 5.0 * found.error.expect("many"),
                "{shares} {blocks} {window}: {found:?}, {formula}"
            );
        }
        assert!((mean_first(1e-6, 1.0, 1e-3) / (1e6 / (1.0 - (-1e-3_f64).exp())) - 1.0).abs() < 1e-6);
        let endless = FirstPayout { shares: 1.0, blocks: 1.0, window: 1.0 };
        assert_eq!(endless.draw(&mut random, 10, |_, _| false), None);
    }

    #[test]
    fn a_balance_knows_when_it_was_used_up() {
        let horizons = [1.0, 2.0, 4.0];
        let mut balance = Balance::new(&horizons, 10.0);
        balance.drain(0.0, 3.0, 15.0);
        balance.add(3.0, 20.0);
        let run = balance.into_run(vec![]);
        assert_eq!((run.operator, run.ruined), (vec![-5.0, -10.0, 5.0], vec![false, true, true]));
        let mut sums = Sums::new(&horizons);
        sums.add(1.5, 2.0);
        assert_eq!(sums.sums, [0.0, 2.0, 2.0]);
    }
}
