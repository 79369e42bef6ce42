//! What PPLNS, P2Pool of old and this share chain have in common: a block is split by the shares in a window that moves.
//!
//! Source of the variance: with N shares in the window, of which the miner has K, each block pays B K / N. Blocks are a
//! Poisson process, K is binomial, and windows of blocks close together overlap; no more is needed. For horizons much
//! longer than the window this is CV² = 1/M + (1 - q)(1 + 1/X) / n, with X blocks to a window and n own shares.

use super::draw::{happens, poisson, times};
use super::scheme::{FirstPayout, Formula, Income, mean_first};
use crate::simulate::random::Random;

/// A miner's place in a pool with a window.
#[derive(Clone, Copy, Debug)]
pub struct Windowed {
    /// Satoshis of a block that are paid out.
    pub value: f64,
    /// Of them, the part that is the finder's.
    pub bonus: f64,
    /// Bitcoin blocks a day.
    pub blocks: f64,
    /// Days in the window.
    pub window: f64,
    /// Days by which it ends before the block.
    pub delay: f64,
    /// The pool's shares in a window, in shares of the least size.
    pub shares: f64,
    /// The miner's part of the credited work.
    pub part: f64,
    /// The miner's part of the hash rate, with which it finds blocks.
    pub finds: f64,
    /// The size of the miner's shares, in those of the least size.
    pub size: f64,
}

/// A Bitcoin block in a run.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// When, in days.
    pub at: f64,
    /// The miner's part of the work in the window.
    pub part: f64,
    /// Whether the miner found it.
    pub found: bool,
}

impl Windowed {
    /// The miner's shares a day.
    pub fn own_rate(&self) -> f64 {
        self.part * self.shares / self.window / self.size
    }

    /// Relative variance of the miner's part of the work in a window.
    fn part_variance(&self) -> f64 {
        // The miner's shares may be larger than others'.
        let size = (1.0 - self.part) * self.size + self.part;
        (1.0 - self.part) * size / (self.part * self.shares)
    }

    /// Mean income over a horizon.
    pub fn mean(&self, days: f64) -> f64 {
        let part = (1.0 - self.bonus) * self.part + self.bonus * self.finds;
        self.blocks * days * part * self.value
    }

    /// Variance of the income. Where the miner is not paid exactly but drawn for a slot, `slot` is what that is worth, as a
    /// part of what is split.
    pub fn variance(&self, days: f64, slot: Option<f64>) -> f64 {
        let (blocks, varies) = (self.blocks * days, self.part_variance());
        let split = 1.0 - self.bonus;
        let mean = split * self.part;
        // Of one block: the square's mean.
        let square = match slot {
            Some(slot) => (slot * split * mean).max(mean * mean * (1.0 + varies)),
            None => mean * mean * (1.0 + varies),
        };
        let finding = 2.0 * self.bonus * mean * self.finds + self.bonus * self.bonus * self.finds;
        // Of pairs of blocks: how much of their windows is the same, over all pairs of times.
        let (t, w) = (days, self.window);
        let overlap = if t >= w { w * t - w * w / 3.0 } else { t * t - t * t * t / (3.0 * w) };
        let pairs = self.blocks * self.blocks * overlap * mean * mean * varies;
        (blocks * (square + finding) + pairs) * self.value * self.value
    }

    /// The pool up to the first payout, with the delay left out.
    pub fn pool(&self) -> FirstPayout {
        FirstPayout { shares: self.own_rate(), blocks: self.blocks, window: self.window }
    }

    /// Days to the first payout, when a block that sees shares of the miner pays with chance `pays`.
    pub fn first(&self, pays: f64) -> f64 {
        let by_window = self.delay + mean_first(self.own_rate(), self.blocks * pays, self.window);
        let finding = if self.bonus > 0.0 { self.blocks * self.finds } else { 0.0 };
        1.0 / (1.0 / by_window + finding)
    }

    /// The miner's work in a window that has any of it, as a part of all, on average.
    pub fn part_if_any(&self) -> f64 {
        let own = self.own_rate() * self.window;
        (self.part / -(-own).exp_m1()).min(1.0)
    }

    /// Income by formula, when the miner is drawn for a slot (or paid exactly), and a block pays with chance `pays`.
    pub fn income(&self, days: f64, slot: Option<f64>, pays: f64) -> Income {
        // In hand now, or after a first share; each block then pays.
        let in_hand = -(-self.own_rate() * self.window).exp_m1();
        let rate = 1.0 / (self.first(pays) - self.delay).max(f64::MIN_POSITIVE);
        let is_always = in_hand > 1.0 - 1e-9 && pays >= 1.0;
        let nothing = (-days * if is_always { self.blocks } else { rate.min(self.blocks) }).exp();
        let spread = self.variance(days, slot).sqrt();
        Income {
            mean: Formula::exact(self.mean(days)),
            spread: Formula { value: spread, exact: slot.is_none() },
            nothing: Formula { value: nothing, exact: is_always },
        }
    }

    /// Blocks of a run, and what the miner has in the window of each. `end` gives where the window of a block ends.
    pub fn draw(&self, random: &mut Random, days: f64, end: impl Fn(f64) -> f64) -> Vec<Block> {
        let times = times(random, self.blocks, days);
        let ends: Vec<f64> = times.iter().map(|at| end(*at)).collect();
        let begins: Vec<f64> = ends.iter().map(|end| end - self.window).collect();
        let (own_rate, other_rate) = (self.own_rate(), (1.0 - self.part) * self.shares / self.window);
        let (mut own, mut others) = (0.0, 0.0);
        let mut at = begins.first().copied().unwrap_or(0.0);
        // Work so far at each beginning, in order, until the ends come to it.
        let mut begun = Vec::with_capacity(times.len());
        let mut blocks = Vec::with_capacity(times.len());
        while blocks.len() < times.len() {
            let begins_next = begins.get(begun.len()).is_some_and(|begin| *begin <= ends[blocks.len()]);
            let next = if begins_next { begins[begun.len()] } else { ends[blocks.len()] };
            own += poisson(random, own_rate * (next - at)) * self.size;
            others += poisson(random, other_rate * (next - at));
            at = next;
            if begins_next {
                begun.push((own, others));
                continue;
            }
            let (own_before, others_before) = begun[blocks.len()];
            let part = self.part_of(own - own_before, others - others_before);
            let found = self.bonus > 0.0 && happens(random, self.finds);
            blocks.push(Block { at: times[blocks.len()], part, found });
        }
        blocks
    }

    /// The miner's part of a window with so much work of its own and of others'. The window is as long in time as it is on
    /// average, though the rule fixes its work: with shares of one size the quotient is the same on average, and with large
    /// ones it is what the quotient is near its mean.
    fn part_of(&self, own: f64, others: f64) -> f64 {
        if own <= 0.0 {
            0.0
        } else if self.size <= 1.0 {
            own / (own + others)
        } else {
            let off = (1.0 - self.part) * own - self.part * others;
            (self.part + off / self.shares).clamp(0.0, 1.0)
        }
    }

    /// Draws for a run.
    pub fn cost(&self, days: f64) -> f64 {
        5.0 + 4.0 * self.blocks * days
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::testing::{near, within};

    fn pool(window: f64, part: f64, p: f64) -> Windowed {
        let shares = window / p;
        Windowed {
            value: 1.0,
            bonus: 0.0,
            blocks: 1.0,
            window,
            delay: 0.0,
            shares,
            part,
            finds: part,
            size: 1.0,
        }
    }

    /// Relative variance for long horizons: the vectors, X and q and p = 0.01 over 200 blocks.
    #[test]
    fn the_relative_variance_is_the_known_one() {
        for (window, part, known) in [(0.5, 0.05, 0.00778), (3.0, 0.02, 0.00821)] {
            let pool = pool(window, part, 0.01);
            let found = pool.variance(200.0, None) / pool.mean(200.0).powi(2);
            within(found, known, 0.02);
            // Without what the window's ends and the chance of two blocks at once change.
            let own = 200.0 * part / 0.01;
            within(found, 1.0 / 200.0 + (1.0 - part) * (1.0 + 1.0 / window) / own, 0.01);
        }
    }

    /// b²/(qM): for q = 10^-4 and a bonus of half a percent, a quarter of the 1/M term.
    #[test]
    fn a_finders_bonus_adds_its_own_luck() {
        let without = Windowed { bonus: 0.0, ..pool(4.0, 1e-4, 1e-9) };
        let with = Windowed { bonus: 0.005, ..without };
        let relative = |pool: &Windowed| pool.variance(1_000.0, None) / pool.mean(1_000.0).powi(2);
        within(relative(&with) - relative(&without), 0.25 / 1_000.0, 0.01);
        near(with.mean(10.0), without.mean(10.0));
    }

    #[test]
    fn large_shares_are_as_if_there_were_fewer() {
        let small = pool(2.0, 1e-6, 1e-6);
        let large = Windowed { size: 10.0, ..small };
        within(large.part_variance(), 10.0 * small.part_variance(), 1e-5);
        near(large.own_rate(), small.own_rate() / 10.0);
    }
}
