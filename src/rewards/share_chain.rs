//! This share chain, in each of its payout classes.
//!
//! How much work of the miner's is in the reward window at a block is drawn; whom the block then pays how much is decided
//! by the product's code (`sharechain::payout`): selection, nested classes, the bonus, satoshis. The other miners' scores
//! are those expected of them. Left out is what changes no mean and hardly a spread: the 1/256 of a listed share that
//! goes to the block that lists it. No share is lost to delays (`docs/simulation.md`).

use super::scheme::{Formula, Income, Run, Scheme, Sums};
use super::settings::Settings;
use super::windowed::Windowed;
use crate::hashes;
use crate::simulate::random::Random;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script};
use sharechain::owner::Owner;
use sharechain::params::{BONUS_PER_10_000, ChainParams};
use sharechain::payout::{Selection, select_all, select_down_to, select_for_class, split};
use sharechain::units::{BitcoinHeight, Score};

/// Draws that a choice of whom to pay is worth, and so many more for each owner: it takes that much longer.
const SELECTION_COST: (f64, f64) = (20.0, 0.25);
/// A node picks shares so large that it sends about one a second.
const ONE_A_SECOND: f64 = 86_400.0;

/// This share chain.
pub struct ShareChain {
    params: ChainParams,
    height: BitcoinHeight,
    value: u64,
    pool: Windowed,
    /// Days between share blocks.
    spacing: f64,
    me: Owner,
    /// The other miners and the scores expected of them, ranked.
    others: Vec<(Owner, Score)>,
    /// All of these together.
    of_others: u128,
    /// The score of the window.
    whole: f64,
    /// For each class: what a slot is worth that the miner is drawn for, as a part of all, and with what chance it is;
    /// none where it is paid exactly.
    slots: Vec<Option<(f64, f64)>>,
}

impl ShareChain {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        let params = settings.params();
        let easiest = hashes::of_target(params.easiest_target());
        let spacing = f64::from(params.spacing).max(easiest / settings.pool_hash_rate) / super::DAY;
        let blocks = settings.blocks_per_day();
        let most_score = params.window_score.0 as f64 / Score::ONE.0 as f64;
        let window = (most_score / blocks).min(f64::from(params.window_blocks) * spacing);
        let shares = window / spacing * f64::from(params.shares_per_block);
        let part = settings.part();
        let pool = Windowed {
            value: settings.block_value() as f64,
            bonus: BONUS_PER_10_000 as f64 / 10_000.0,
            blocks,
            window,
            delay: f64::from(1 + params.base_depth + params.payout_interval / 2) * spacing,
            shares,
            part,
            finds: part,
            size: (part * shares / window / ONE_A_SECOND).max(1.0),
        };
        let whole = blocks * window * Score::ONE.0 as f64;
        let scores = settings.others_parts().into_iter().map(|part| Score((part * whole) as u128));
        let others: Vec<_> = (0..).map(owner).zip(scores).filter(|(_, score)| !score.is_zero()).collect();
        let mut chain = Self {
            height: BitcoinHeight(settings.height),
            value: settings.block_value(),
            pool,
            spacing,
            me: owner(u32::MAX),
            of_others: others.iter().map(|(_, score)| score.0).sum(),
            others,
            whole,
            slots: Vec::new(),
            params,
        };
        chain.slots = chain.find_slots();
        chain
    }

    /// Blocks expected while a share is in the window.
    pub fn window_blocks(&self) -> f64 {
        self.pool.blocks * self.pool.window
    }

    /// Everybody's scores when the miner has this part of all.
    fn ranked(&self, part: f64) -> Vec<(Owner, Score)> {
        let mut ranked = self.others.clone();
        let own = if ranked.is_empty() { self.whole } else { self.of_others as f64 * part / (1.0 - part) };
        // However the draw fell, scores stay within what payouts are computed with.
        let own = own.min(self.whole * 16.0);
        let own = Score(own as u128);
        if !own.is_zero() {
            let place = ranked.partition_point(|(_, score)| *score >= own);
            ranked.insert(place, (self.me, own));
        }
        ranked
    }

    /// With the miner's expected score, and draws in their middle: all slots of a draw are worth the same.
    fn find_slots(&self) -> Vec<Option<(f64, f64)>> {
        let part = self.pool.part_if_any();
        let ranked = self.ranked(part);
        let total: u128 = ranked.iter().map(|(_, score)| score.0).sum();
        let mut selections = select_down_to(&self.params, &ranked, self.height, 0, |_, choices| choices / 2);
        selections.reverse();
        let slot = |selection: &Selection| {
            let smallest = selection.entries().last().map_or(0, |(_, score)| score.0);
            let slot = smallest as f64 / total.max(1) as f64;
            (selection.entries().len() < ranked.len() && part < slot).then(|| (slot, part / slot))
        };
        selections.iter().map(slot).collect()
    }

    fn prev_block(random: &mut Random) -> BlockHash {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&random.bits().to_le_bytes());
        BlockHash::from_byte_array(hash)
    }

    /// Satoshis for the miner in a block, in each class.
    fn pay(&self, random: &mut Random, part: f64, found: bool) -> Vec<u64> {
        if part <= 0.0 && !found {
            return vec![0; self.params.classes.len()];
        }
        let ranked = self.ranked(part);
        let finder = if found { self.me } else { owner(0) };
        // Who is not paid in a class is not paid in the smaller ones.
        let mut is_drawn = true;
        let of_class = |selection: &Selection| {
            is_drawn = is_drawn && selection.entries().iter().any(|(owner, _)| *owner == self.me);
            if !is_drawn && !found {
                return 0;
            }
            let payouts = split(selection, self.value, finder);
            let outputs = payouts.outputs.iter().chain(&payouts.bonus);
            outputs.filter(|(owner, _)| *owner == self.me).map(|(_, satoshis)| satoshis).sum()
        };
        let prev_block = Self::prev_block(random);
        let selections = select_all(&self.params, &ranked, prev_block, self.height);
        let mut paid: Vec<u64> = selections.iter().rev().map(of_class).collect();
        paid.reverse();
        paid
    }

    /// Where the window of a job at this time ends: at a multiple of the payout interval, no higher than the base.
    fn window_end(&self, at: f64) -> f64 {
        let base = at / self.spacing - f64::from(1 + self.params.base_depth);
        let interval = f64::from(self.params.payout_interval);
        (base / interval).floor() * interval * self.spacing
    }

    fn slot(&self, row: usize) -> (Option<f64>, f64) {
        match self.slots.get(row).copied().flatten() {
            Some((slot, pays)) => (Some(slot), pays),
            None => (None, 1.0),
        }
    }

    fn selection_cost(&self) -> f64 {
        SELECTION_COST.0 + SELECTION_COST.1 * self.others.len() as f64
    }

    fn in_hand(&self) -> f64 {
        -(-self.pool.own_rate() * self.pool.window).exp_m1()
    }
}

/// Somebody's script.
fn owner(n: u32) -> Owner {
    let program = n.to_be_bytes().repeat(5);
    Owner::new(Script::from_bytes(&[&[0, 20][..], &program].concat()))
        .expect("it is the form of a P2WPKH script")
}

impl Scheme for ShareChain {
    fn rows(&self) -> Vec<String> {
        self.params.classes.iter().map(|class| format!("this chain, {class} outputs")).collect()
    }

    fn remark(&self) -> &'static str {
        "The class is that of whoever finds the block. A miner too small for an output of its own is drawn for one; what that is worth is taken from everybody's expected scores, so the spread is near, and so are nothing and first payout, which take payouts as a Poisson process."
    }

    fn income(&self, row: usize, days: f64) -> Income {
        let (slot, pays) = self.slot(row);
        let income = self.pool.income(days, slot, pays);
        // The window ends at a block of the grid; whole satoshis are paid.
        Income { spread: Formula::about(income.spread.value), ..income }
    }

    fn first(&self, row: usize) -> Formula {
        Formula::about(self.pool.first(self.slot(row).1))
    }

    fn cost(&self, days: f64) -> f64 {
        self.pool.cost(days) + self.pool.blocks * days * self.in_hand() * self.selection_cost()
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = vec![Sums::new(horizons); self.params.classes.len()];
        let last = horizons.last().copied().unwrap_or(0.0);
        for block in self.pool.draw(random, last, |at| self.window_end(at)) {
            let paid = self.pay(random, block.part, block.found);
            sums.iter_mut().zip(paid).for_each(|(sums, satoshis)| sums.add(block.at, satoshis as f64));
        }
        Run { paid: sums.into_iter().map(|sums| sums.sums).collect(), ..Run::default() }
    }

    fn first_cost(&self, row: usize) -> f64 {
        let pays = self.slot(row).1;
        self.pool.pool().cost(pays) + self.selection_cost() / pays
    }

    fn draw_first(&mut self, random: &mut Random, row: usize, most: u64) -> Option<f64> {
        let class = self.params.classes[row];
        let Windowed { shares, part, size, blocks, finds, delay, .. } = self.pool;
        let others = (1.0 - part) * shares;
        let found = random.exponential(1.0 / (blocks * finds));
        let is_paid = |random: &mut Random, count: f64| {
            let part = count * size / (count * size + others);
            let (ranked, prev_block) = (self.ranked(part), Self::prev_block(random));
            let selection = select_for_class(&self.params, &ranked, prev_block, self.height, class);
            selection.is_some_and(|selection| selection.entries().iter().any(|(owner, _)| *owner == self.me))
        };
        self.pool.pool().draw(random, most, is_paid).map(|at| (at + delay).min(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::draw::{mean, spread};
    use crate::rewards::expected::{Standing, expected};
    use crate::rewards::testing::{assert_agrees, is_within, within};

    /// A tenth of all blocks, and of them a miner that is drawn in the smaller classes.
    fn settings(part: f64) -> Settings {
        Settings { hash_rate: 1e20 * part, pool_hash_rate: 1e20, others: 60, ..Settings::default() }
    }

    #[test]
    fn formula_and_draws_agree_in_every_class() {
        assert_agrees(&mut ShareChain::new(&settings(0.003)), &[1.0, 10.0], 250);
        assert_agrees(&mut ShareChain::new(&settings(0.2)), &[1.0, 10.0], 100);
    }

    #[test]
    fn the_spread_is_near_in_every_class() {
        let mut chain = ShareChain::new(&settings(0.003));
        let runs: Vec<Run> = (0..250).map(|n| chain.run(&mut Random::new(n, "spread"), &[10.0])).collect();
        for row in 0..chain.rows().len() {
            let paid: Vec<f64> = runs.iter().map(|run| run.paid[row][0]).collect();
            let found = spread(&paid);
            // Near, and within what 250 runs can tell.
            let allowed = 5.0 * found.error.expect("many") + 0.1 * found.mean;
            let formula = chain.income(row, 10.0).spread.value;
            assert!((found.mean - formula).abs() < allowed, "{row}: {found:?}, {formula}");
            let firsts: Vec<f64> = (0..200)
                .map(|n| chain.draw_first(&mut Random::new(n, "first"), row, 100_000).expect("in time"))
                .collect();
            let (found, formula) = (mean(&firsts), chain.first(row).value);
            let allowed = 5.0 * found.error.expect("many") + 0.1 * found.mean;
            assert!((found.mean - formula).abs() < allowed, "{row}: {found:?}, {formula}");
        }
    }

    #[test]
    fn the_smaller_the_class_the_rarer_and_larger_the_payout() {
        let chain = ShareChain::new(&Settings::default());
        let slots: Vec<_> = chain.slots.iter().map(|slot| slot.expect("a terahash is drawn")).collect();
        assert!(slots.is_sorted_by(|a, b| a.0 > b.0 && a.1 < b.1), "{slots:?}");
        let spreads: Vec<f64> = (0..4).map(|row| chain.income(row, 365.0).spread.value).collect();
        assert!(spreads.is_sorted_by(|a, b| a > b), "{spreads:?}");
        // Nobody is paid less than the least.
        assert!(slots[3].0 * 0.995 * 312_500_000.0 >= 10_000.0);
        // The largest miner is always paid exactly.
        assert!(ShareChain::new(&settings(0.3)).slots.iter().all(Option::is_none));
    }

    /// What is said of a year here, and what the interface tells an owner of a day.
    #[test]
    fn the_mean_is_what_owners_are_told_to_expect() {
        let settings = settings(0.01);
        let chain = ShareChain::new(&settings);
        let standing = Standing {
            owner: chain.me,
            score: Score(Score::ONE.0 / 25),
            window: Score(4 * Score::ONE.0),
            height: chain.height,
            value: chain.value,
            blocks_per_day: 0.144,
            pool_blocks_per_day: 14.4,
        };
        within(expected(&chain.params, &standing).per_day, chain.income(0, 1.0).mean.value, 1e-6);
    }

    #[test]
    fn a_miner_that_is_the_pool_has_all() {
        let alone = Settings { hash_rate: 1e20, pool_hash_rate: 1e20, ..Settings::default() };
        let mut chain = ShareChain::new(&alone);
        let runs: Vec<f64> =
            (0..100).map(|n| chain.run(&mut Random::new(n, "alone"), &[2.0]).paid[1][0]).collect();
        assert!(runs.iter().all(|paid| paid % 315_000_000.0 == 0.0));
        assert!(is_within(mean(&runs), alone.fair(2.0)));
    }
}
