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
        let most_blocks = blocks(params.window_blocks);
        Self {
            most_score: params.window_score,
            most_blocks,
            most_kept: most_blocks
                .saturating_add(blocks(MAX_REORG_DEPTH))
                .saturating_add(blocks(KEEP_MARGIN)),
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
    pub fn from_path(params: &ChainParams, path: impl IntoIterator<Item = Arc<BlockCredits>>) -> Self {
        let mut window = Self::new(params);
        for block in path {
            window.path.push_back(block);
            window.trim();
        }
        window.first = window.path.len();
        let mut changes = Changes::default();
        window.reach_back(&mut changes);
        window.apply(changes);
        window
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
    /// None at the root, and where the parent's window would need blocks that are no longer kept: that is more than
    /// [`MAX_REORG_DEPTH`] + [`KEEP_MARGIN`] blocks back.
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

    /// How much of the window's score comes from shares that carry signal bit `bit` (0 to 31). Scans the window.
    pub fn signal_score(&self, bit: u32) -> Score {
        let mask = 1_u32.checked_shl(bit).unwrap_or(0);
        let mut skipped = self.skipped;
        let mut sum = Score::ZERO;
        for block in self.path.range(self.first.min(self.path.len())..) {
            let parts = block.contributions().map(|share| (share.signals, share.score));
            let signalling =
                clipped(parts, skipped, Score(u128::MAX)).filter(|(signals, _)| signals & mask != 0);
            sum = sum.saturating_add(signalling.map(|(_, score)| score).sum());
            skipped = Score::ZERO;
        }
        sum
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

/// Whether signal bit `bit` locks in at this window: shares with at least 95 % of its score carry it, and it is not
/// empty. To be asked at heights divisible by [`crate::params::SIGNAL_INTERVAL`] only.
pub fn locks_in(window: &Window, bit: u32) -> bool {
    let (signalling, total) = (window.signal_score(bit), window.total());
    !total.is_zero() && signalling.0.saturating_mul(100) >= total.0.saturating_mul(95)
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
