//! The reward window: whose scores count at one block of one branch (protocol sections 2, 6 and 7).
//!
//! It keeps running sums per owner, so that one more block or one block less costs what changes and no rescan. What
//! it holds is a function of the path of blocks alone, however it was reached. It does not know ids, heights or
//! which branch is best: the caller walks it along the chain, one block at a time.

use crate::owner::Owner;
use crate::params::{ChainParams, KEEP_MARGIN, MAX_REORG_DEPTH};
use crate::units::Score;
use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// One share's part in the credits of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Whom the share is credited to.
    pub owner: Owner,
    /// The share's signal bits (protocol section 7).
    pub signals: u32,
    /// The share's whole score, before the listing fee.
    pub score: Score,
}

/// What one block adds to the reward window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockCredits {
    /// The owner of the block, who is paid for listing.
    pub lister: Owner,
    /// The block's own share, if its hash meets its share target.
    pub own: Option<Contribution>,
    /// The listed shares, in order.
    pub listed: Vec<Contribution>,
}

impl BlockCredits {
    /// The credits, oldest first: the own share's score, then of each listed share first the lister's
    /// floor(score / 256) and then its owner's rest. Credits of zero are left out.
    pub fn credits(&self) -> impl DoubleEndedIterator<Item = (Owner, Score)> {
        let own = self.own.iter().map(|own| (own.owner, own.score));
        let listed = self.listed.iter().flat_map(|share| {
            let (fee, rest) = share.score.split_listing_fee();
            [(self.lister, fee), (share.owner, rest)]
        });
        own.chain(listed).filter(|(_, score)| !score.is_zero())
    }

    /// The sum of all its credits.
    pub fn total(&self) -> Score {
        self.contributions().map(|contribution| contribution.score).sum()
    }

    fn contributions(&self) -> impl Iterator<Item = &Contribution> {
        self.own.iter().chain(&self.listed)
    }

    /// The credits, or parts of them, between two sums of score counted from the block's oldest credit.
    fn between(&self, from: Score, to: Score) -> impl Iterator<Item = (Owner, Score)> {
        clipped(self.credits(), from, to)
    }
}

/// Lays scores end to end and keeps what of each lies from `from` up to `to`.
fn clipped<T>(
    items: impl Iterator<Item = (T, Score)>,
    from: Score,
    to: Score,
) -> impl Iterator<Item = (T, Score)> {
    items
        .scan(Score::ZERO, |sum, (item, score)| {
            let start = *sum;
            *sum = start.saturating_add(score);
            Some((item, start, *sum))
        })
        .map(move |(item, start, end)| (item, end.min(to).saturating_sub(start.max(from))))
        .filter(|(_, part)| !part.is_zero())
}

/// The reward window at one block, and the path behind it as far as undoing may lead.
#[derive(Clone, Debug)]
pub struct Window {
    most_score: Score,
    most_blocks: usize,
    most_kept: usize,
    /// The path, oldest block first.
    path: VecDeque<Arc<BlockCredits>>,
    /// Whether older blocks have been let go.
    trimmed: bool,
    /// Index in the path of the oldest block in the window; the path's length while it holds none.
    first: usize,
    /// How much of that block's oldest credits does not count.
    skipped: Score,
    total: Score,
    sums: BTreeMap<Owner, Score>,
    ranking: BTreeSet<(Reverse<Score>, Owner)>,
}

impl Window {
    /// The window at the root of a chain: empty.
    pub fn new(params: &ChainParams) -> Self {
        let blocks = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        Self {
            most_score: params.window_score,
            most_blocks: blocks(params.window_blocks),
            most_kept: blocks(Self::useful_path(params)),
            path: VecDeque::new(),
            trimmed: false,
            first: 0,
            skipped: Score::ZERO,
            total: Score::ZERO,
            sums: BTreeMap::new(),
            ranking: BTreeSet::new(),
        }
    }

    /// The window at the end of `path` (oldest block first), the same as pushing each but faster.
    ///
    /// `path` goes back to the root, or is at least the window's most blocks long; undoing never leads to where blocks
    /// before it would be needed. [`Window::useful_path`] blocks are as many as can be put to use.
    pub fn from_path(params: &ChainParams, path: impl IntoIterator<Item = Arc<BlockCredits>>) -> Self {
        let mut window = Self::new(params);
        for block in path {
            window.path.push_back(block);
            window.trim();
        }
        // What came before a path of that length is not known here, so it counts as let go.
        window.trimmed = window.path.len() >= window.most_blocks;
        window.first = window.path.len();
        let mut changes = Changes::default();
        window.reach_back(&mut changes);
        window.apply(changes);
        window
    }

    /// The most blocks that a window keeps: those it may reach into, and those that undoing may bring back.
    pub const fn useful_path(params: &ChainParams) -> u32 {
        params.window_blocks.saturating_add(MAX_REORG_DEPTH).saturating_add(KEEP_MARGIN)
    }

    /// Steps to a child block.
    pub fn push(&mut self, block: Arc<BlockCredits>) {
        let mut changes = Changes::default();
        block.credits().for_each(|(owner, score)| changes.gain(owner, score));
        self.total = self.total.saturating_add(block.total());
        self.path.push_back(block);
        self.let_go(&mut changes);
        self.trim();
        self.apply(changes);
    }

    /// Steps back to the parent, exactly undoing a push, and gives the block that was left.
    ///
    /// None at the root, and where the parent's window might need blocks that are not here: more than
    /// [`MAX_REORG_DEPTH`] + [`KEEP_MARGIN`] blocks back, or fewer when it was built on a shorter path. The window is
    /// then unchanged.
    pub fn pop(&mut self) -> Option<Arc<BlockCredits>> {
        if self.trimmed && self.path.len() <= self.most_blocks {
            return None;
        }
        let block = self.path.pop_back()?;
        let mut changes = Changes::default();
        let skipped = if self.first >= self.path.len() { self.skipped } else { Score::ZERO };
        let counted = block.total().saturating_sub(skipped);
        block.between(skipped, block.total()).for_each(|(owner, score)| changes.lose(owner, score));
        self.total = self.total.saturating_sub(counted);
        if self.first >= self.path.len() {
            self.first = self.path.len();
            self.skipped = Score::ZERO;
        }
        self.reach_back(&mut changes);
        self.apply(changes);
        Some(block)
    }

    /// Every owner with a score in the window and that score, largest first, ties by script.
    pub fn ranked(&self) -> Vec<(Owner, Score)> {
        self.ranking.iter().map(|(score, owner)| (*owner, score.0)).collect()
    }

    /// The score of one owner.
    pub fn score_of(&self, owner: &Owner) -> Score {
        self.sums.get(owner).copied().unwrap_or_default()
    }

    /// The sum of all scores in the window, at most the chain's `window_score`.
    pub const fn total(&self) -> Score {
        self.total
    }

    /// Owners with a score in the window.
    pub fn owners(&self) -> usize {
        self.sums.len()
    }

    /// Blocks that the window reaches into.
    pub fn len(&self) -> usize {
        self.path.len().saturating_sub(self.first)
    }

    /// Whether there is no block in the window.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much of the window's score comes from shares that carry each of the 32 signal bits. Scans the window.
    pub fn signal_scores(&self) -> [Score; 32] {
        let mut skipped = self.skipped;
        let mut scores = [Score::ZERO; 32];
        for block in self.path.range(self.first.min(self.path.len())..) {
            let parts = block.contributions().map(|share| (share.signals, share.score));
            for (signals, part) in
                clipped(parts, skipped, Score(u128::MAX)).filter(|(signals, _)| *signals != 0)
            {
                for (bit, score) in (0_u32..).zip(&mut scores) {
                    if signals >> bit & 1 == 1 {
                        *score = score.saturating_add(part);
                    }
                }
            }
            skipped = Score::ZERO;
        }
        scores
    }

    /// The signal bits that lock in at this window, as a mask: shares with at least 95 % of its score carry them, and
    /// it is not empty. To be asked at heights divisible by [`crate::params::SIGNAL_INTERVAL`] only.
    pub fn locks_in(&self) -> u32 {
        let needed = self.total.0.saturating_mul(95);
        let carried = |score: Score| !self.total.is_zero() && score.0.saturating_mul(100) >= needed;
        (0_u32..)
            .zip(self.signal_scores())
            .filter(|(_, score)| carried(*score))
            .fold(0, |bits, (bit, _)| bits | 1 << bit)
    }

    /// Lets go of the oldest credits until the window holds no more than it may.
    fn let_go(&mut self, changes: &mut Changes) {
        while let Some(oldest) = self.path.get(self.first) {
            let size = oldest.total();
            let left = size.saturating_sub(self.skipped);
            let excess = self.total.saturating_sub(self.most_score);
            let full = self.total >= self.most_score;
            let whole = self.len() > self.most_blocks || (full && left <= excess);
            let lost = if whole { left } else { excess };
            let end = self.skipped.saturating_add(lost);
            oldest.between(self.skipped, end).for_each(|(owner, score)| changes.lose(owner, score));
            self.total = self.total.saturating_sub(lost);
            if !whole {
                self.skipped = end;
                break;
            }
            self.first = self.first.saturating_add(1);
            self.skipped = Score::ZERO;
        }
    }

    /// Takes in older credits until the window holds all that it may.
    fn reach_back(&mut self, changes: &mut Changes) {
        while self.total < self.most_score {
            if self.skipped.is_zero() {
                if self.first == 0 || self.len() >= self.most_blocks {
                    break;
                }
                self.first = self.first.saturating_sub(1);
                self.skipped = self.path.get(self.first).map(|block| block.total()).unwrap_or_default();
            }
            let gained = self.skipped.min(self.most_score.saturating_sub(self.total));
            let start = self.skipped.saturating_sub(gained);
            if let Some(oldest) = self.path.get(self.first) {
                oldest.between(start, self.skipped).for_each(|(owner, score)| changes.gain(owner, score));
            }
            self.skipped = start;
            self.total = self.total.saturating_add(gained);
        }
    }

    /// Drops the path's oldest blocks when it is longer than undoing can need. None of them is in the window.
    fn trim(&mut self) {
        while self.path.len() > self.most_kept {
            self.path.pop_front();
            self.first = self.first.saturating_sub(1);
            self.trimmed = true;
        }
    }

    fn apply(&mut self, changes: Changes) {
        for (owner, change) in changes.0 {
            let before = self.sums.get(&owner).copied().unwrap_or_default();
            let after = before.saturating_add(change.gained).saturating_sub(change.lost);
            if before == after {
                continue;
            }
            self.ranking.remove(&(Reverse(before), owner));
            if after.is_zero() {
                self.sums.remove(&owner);
            } else {
                self.sums.insert(owner, after);
                self.ranking.insert((Reverse(after), owner));
            }
        }
    }
}

/// What a step does to the sums, gathered so that each owner is moved in the ranking once.
#[derive(Default)]
struct Changes(BTreeMap<Owner, Change>);

#[derive(Clone, Copy, Default)]
struct Change {
    gained: Score,
    lost: Score,
}

impl Changes {
    fn gain(&mut self, owner: Owner, score: Score) {
        let change = self.0.entry(owner).or_default();
        change.gained = change.gained.saturating_add(score);
    }

    fn lose(&mut self, owner: Owner, score: Score) {
        let change = self.0.entry(owner).or_default();
        change.lost = change.lost.saturating_add(score);
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use super::*;
    use bitcoin::Script;
    use proptest::prelude::*;

    fn owner(n: u8) -> Owner {
        Owner::new(Script::from_bytes(&[&[0x00, 0x14][..], &[n; 20]].concat())).expect("P2WPKH")
    }

    fn contribution(n: u8, score: u128) -> Contribution {
        Contribution { owner: owner(n), signals: u32::from(n), score: Score(score) }
    }

    fn params(window_score: u128, window_blocks: u32) -> ChainParams {
        ChainParams { window_score: Score(window_score), window_blocks, ..ChainParams::main() }
    }

    fn contributions() -> impl Strategy<Value = Contribution> {
        (0_u8..5, prop_oneof![3 => 0_u128..1_000, 1 => 0_u128..40_000])
            .prop_map(|(n, score)| contribution(n, score))
    }

    fn blocks() -> impl Strategy<Value = BlockCredits> {
        (0_u8..5, prop::option::weighted(0.8, contributions()), prop::collection::vec(contributions(), 0..5))
            .prop_map(|(lister, own, listed)| BlockCredits { lister: owner(lister), own, listed })
    }

    /// The window by definition: every credit laid out anew and walked from the newest.
    #[derive(Debug, PartialEq)]
    struct Model {
        ranked: Vec<(Owner, Score)>,
        total: Score,
        len: usize,
        signals: [Score; 32],
    }

    impl Model {
        fn at(params: &ChainParams, path: &[Arc<BlockCredits>]) -> Self {
            let (mut sums, mut left, mut len) = (BTreeMap::new(), params.window_score.0, 0);
            let mut signals = [Score::ZERO; 32];
            for block in path.iter().rev().take(params.window_blocks as usize) {
                if left == 0 {
                    break;
                }
                len += 1;
                let mut credits = Vec::new();
                if let Some(share) = &block.own {
                    credits.push((share.owner, share.signals, share.score.0));
                }
                for share in &block.listed {
                    credits.push((block.lister, share.signals, share.score.0 / 256));
                    credits.push((share.owner, share.signals, share.score.0 - share.score.0 / 256));
                }
                for (owner, carried, score) in credits.into_iter().rev() {
                    let counted = score.min(left);
                    left -= counted;
                    *sums.entry(owner).or_insert(0) += counted;
                    for (bit, sum) in signals.iter_mut().enumerate() {
                        sum.0 += if (carried >> bit) & 1 == 1 { counted } else { 0 };
                    }
                }
            }
            let mut ranked: Vec<_> = sums.into_iter().filter(|(_, sum)| *sum > 0).collect();
            ranked.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
            let ranked = ranked.into_iter().map(|(owner, sum)| (owner, Score(sum))).collect();
            Self { ranked, total: Score(params.window_score.0 - left), len, signals }
        }

        fn of(window: &Window) -> Self {
            Self {
                ranked: window.ranked(),
                total: window.total(),
                len: window.len(),
                signals: window.signal_scores(),
            }
        }
    }

    /// All that a window knows, but for how far back its path is kept.
    fn state(window: &Window) -> impl PartialEq + core::fmt::Debug + use<> {
        let start = window.path.len() - window.first;
        (start, window.skipped, window.total, window.sums.clone(), window.ranking.clone())
    }

    #[test]
    fn a_contribution_takes_64_bytes() {
        assert_eq!(size_of::<Contribution>(), 64);
    }

    #[test]
    fn credits_are_the_own_share_then_fee_and_rest_of_each_listed_one() {
        let block = BlockCredits {
            lister: owner(1),
            own: Some(contribution(1, 1_000)),
            listed: vec![contribution(2, 512), contribution(3, 255), contribution(4, 0)],
        };
        let expected = [(1, 1_000), (1, 2), (2, 510), (3, 255)].map(|(n, score)| (owner(n), Score(score)));
        assert_eq!(block.credits().collect::<Vec<_>>(), expected);
        assert_eq!(
            block.credits().rev().collect::<Vec<_>>(),
            expected.iter().rev().copied().collect::<Vec<_>>()
        );
        assert_eq!(block.total(), Score(1_767));
        assert_eq!(block.credits().map(|(_, score)| score).sum::<Score>(), block.total());
    }

    #[test]
    fn the_oldest_credit_counts_for_the_part_that_fits() {
        let single = |n, score| {
            Arc::new(BlockCredits { lister: owner(n), own: Some(contribution(n, score)), listed: vec![] })
        };
        let mut window = Window::new(&params(100, 10));
        window.push(single(1, 60));
        window.push(single(2, 70));
        assert_eq!(window.ranked(), [(owner(2), Score(70)), (owner(1), Score(30))]);
        window.push(single(3, 30));
        assert_eq!(window.ranked(), [(owner(2), Score(70)), (owner(3), Score(30))]);
        assert_eq!((window.len(), window.owners(), window.score_of(&owner(1))), (2, 2, Score::ZERO));
        window.push(single(3, 250));
        assert_eq!(window.ranked(), [(owner(3), Score(100))]);
        assert_eq!(window.pop(), Some(single(3, 250)));
        assert_eq!(window.ranked(), [(owner(2), Score(70)), (owner(3), Score(30))]);
    }

    #[test]
    fn undo_ends_at_the_root_and_where_blocks_are_no_longer_kept() {
        let params = params(1 << 20, 3);
        let undoable = (MAX_REORG_DEPTH + KEEP_MARGIN) as usize;
        let block = |height: usize| {
            let own = Some(contribution(u8::try_from(height % 7).expect("small"), height as u128));
            Arc::new(BlockCredits { lister: owner(9), own, listed: vec![contribution(8, 300)] })
        };
        let path: Vec<_> = (0..undoable + 10).map(block).collect();
        let mut window = Window::new(&params);
        assert_eq!(window.pop(), None);
        path.iter().for_each(|block| window.push(block.clone()));
        for end in (10..path.len()).rev() {
            assert_eq!(window.pop().as_ref(), Some(&path[end]));
            assert_eq!(Model::of(&window), Model::at(&params, &path[..end]));
        }
        assert_eq!(window.pop(), None);
        assert_eq!(Model::of(&window), Model::at(&params, &path[..10]));
        path[10..].iter().for_each(|block| window.push(block.clone()));
        assert_eq!(state(&window), state(&Window::from_path(&params, path)));
    }

    #[test]
    fn undo_never_leads_to_where_blocks_are_missing() {
        let params = params(1 << 20, 3);
        let path: Vec<_> = (0..6)
            .map(|n| {
                Arc::new(BlockCredits { lister: owner(n), own: Some(contribution(n, 9)), listed: vec![] })
            })
            .collect();
        let mut window = Window::from_path(&params, path[2..].iter().cloned());
        assert_eq!(window.pop().as_ref(), path.last());
        assert_eq!(Model::of(&window), Model::at(&params, &path[..5]));
        // The window one back would reach into the second block, which this one was not given.
        let before = state(&window);
        assert_eq!(window.pop(), None);
        assert_eq!(state(&window), before);
    }

    #[test]
    fn a_bit_locks_in_at_95_percent_of_a_window_that_is_not_empty() {
        let window = |with: u128, without: u128| {
            let mut window = Window::new(&params(1_000, 10));
            let listed = vec![contribution(2, with), contribution(1, without)];
            window.push(Arc::new(BlockCredits { lister: owner(0), own: None, listed }));
            window
        };
        // Owner 2's shares carry bit 1, owner 1's bit 0.
        assert_eq!(window(950, 50).locks_in(), 0b10);
        assert_eq!(window(949, 51).locks_in(), 0);
        // Older score that does not fit counts neither for nor against.
        assert_eq!(window(5_000, 950).locks_in(), 0b01);
        assert_eq!(window(5_000, 949).locks_in(), 0);
        assert_eq!(window(0, 0).locks_in(), 0);
    }

    proptest! {
        /// At every step, forward or back, the window is what the definition says, and the same as when it is built
        /// for that path at once.
        #[test]
        fn the_window_is_what_the_definition_says(
            window_score in prop_oneof![1_u128..50, 1_u128..5_000, Just(u128::from(u64::MAX))],
            window_blocks in 1_u32..8,
            steps in prop::collection::vec(prop::option::weighted(0.6, blocks()), 1..60),
        ) {
            let params = params(window_score, window_blocks);
            let (mut window, mut path) = (Window::new(&params), Vec::new());
            for step in steps {
                match step {
                    Some(block) => {
                        let block = Arc::new(block);
                        path.push(block.clone());
                        window.push(block);
                    }
                    None => prop_assert_eq!(window.pop(), path.pop()),
                }
                prop_assert_eq!(Model::of(&window), Model::at(&params, &path));
                prop_assert_eq!(state(&window), state(&Window::from_path(&params, path.iter().cloned())));
            }
        }

        /// Undo after redo, over the dropping of old credits and the cap of blocks.
        #[test]
        fn undo_after_redo_is_the_identity(
            window_score in 1_u128..5_000,
            window_blocks in 1_u32..8,
            kept in prop::collection::vec(blocks(), 0..20),
            undone in prop::collection::vec(blocks(), 1..20),
        ) {
            let mut window = Window::from_path(&params(window_score, window_blocks), kept.into_iter().map(Arc::new));
            let before = state(&window);
            undone.iter().for_each(|block| window.push(Arc::new(block.clone())));
            for block in undone.iter().rev() {
                let popped = window.pop();
                prop_assert_eq!(popped.as_deref(), Some(block));
            }
            prop_assert_eq!(state(&window), before);
        }

        /// Whoever lists a block's shares in whatever order, a window that holds all of it counts the same.
        #[test]
        fn the_order_of_listed_shares_does_not_matter_while_all_fit(
            (block, shuffled) in blocks().prop_flat_map(|block| {
                (Just(block.clone()), Just(block.listed).prop_shuffle())
            })
        ) {
            let other = BlockCredits { listed: shuffled, ..block.clone() };
            let params = params(u128::from(u64::MAX), 8);
            let ranked = |block| Window::from_path(&params, [Arc::new(block)]).ranked();
            prop_assert_eq!(ranked(block), ranked(other));
        }
    }
}
