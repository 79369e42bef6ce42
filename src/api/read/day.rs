//! The share blocks of the last day, kept with what each owner worked in them: to tell of it costs a running node nothing
//! while its tip stays, and one block when that moves on.

use crate::api::form::{CreditForm, RecentForm, Text, blocks_of};
use sharechain::chain::{BlockSummary, ShareChain};
use sharechain::owner::Owner;
use sharechain::share::ShareId;
use sharechain::units::{Height, Score, UnixTime};
use sharechain::window::{BlockCredits, Contribution};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Most share blocks that are measured for what is said of the last day.
const MAX_RECENT: usize = 5_760;
const DAY: u32 = 86_400;

/// A share block, as far as it credits owners.
#[derive(Clone, Debug)]
pub(super) struct Credited {
    pub(super) height: u32,
    id: ShareId,
    time: UnixTime,
    credits: Arc<BlockCredits>,
}

/// The blocks of the day before the tip, and one more: where the day begins.
#[derive(Debug, Default)]
pub struct Day {
    /// Oldest first. What the oldest credits was worked before the time that is measured.
    blocks: VecDeque<Credited>,
    all: Worked,
    owners: BTreeMap<Owner, Worked>,
}

/// Blocks of the active branch that a day has not seen yet.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Whether they take the place of all others: there are none yet, or they are of another branch.
    anew: bool,
    /// Newest first.
    blocks: Vec<Credited>,
}

/// Work, and in how many blocks it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Worked {
    blocks: u64,
    score: Score,
}

/// Work of the last day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recent {
    seconds: u32,
    worked: Worked,
}

impl News {
    /// What came after `known`, if that is still on the active branch and no newer than the tip; else the whole day. The
    /// day of an older tip begins before that of `known`, with blocks that have been let go.
    pub(super) fn since(chain: &ShareChain, known: Option<ShareId>) -> Self {
        let Some(tip) = chain.block_at(chain.height()) else {
            return Self { anew: true, blocks: Vec::new() };
        };
        let reaches = |known: &BlockSummary| known.time <= tip.time && chain.is_active(&known.id);
        let known = known.filter(|id| chain.block(id).is_some_and(reaches));
        let mut blocks = Vec::new();
        let down = (1..=tip.height.0).rev().map_while(|height| chain.block_at(Height(height)));
        for block in down.take(MAX_RECENT + 1).take_while(|block| known != Some(block.id)) {
            blocks.push(Credited::new(block));
            if age(tip.time, block.time) >= DAY {
                break;
            }
        }
        Self { anew: known.is_none(), blocks }
    }
}

impl Day {
    /// The tip that it ends with.
    pub(super) fn tip(&self) -> Option<ShareId> {
        self.blocks.back().map(|block| block.id)
    }

    /// Takes what has come since.
    pub(super) fn take(&mut self, news: News) {
        if news.anew {
            *self = Self::default();
        }
        for block in news.blocks.into_iter().rev() {
            if !self.blocks.is_empty() {
                self.add(&block.credits);
            }
            self.blocks.push_back(block);
        }
        for _ in 0..self.too_many() {
            self.blocks.pop_front();
            if let Some(oldest) = self.blocks.front() {
                let credits = Arc::clone(&oldest.credits);
                self.remove(&credits);
            }
        }
    }

    /// The blocks before the one where the day begins.
    fn too_many(&self) -> usize {
        let Some(tip) = self.blocks.back() else { return 0 };
        // Times are nearly in order, not quite.
        let begin = self.blocks.iter().rposition(|block| age(tip.time, block.time) >= DAY).unwrap_or(0);
        begin.max(self.blocks.len().saturating_sub(MAX_RECENT + 1))
    }

    fn add(&mut self, credits: &BlockCredits) {
        for (owner, score) in by_owner(credits) {
            self.owners.entry(owner).or_default().add(score);
        }
        self.all.add_block(credits);
    }

    fn remove(&mut self, credits: &BlockCredits) {
        for (owner, score) in by_owner(credits) {
            if let Some(worked) = self.owners.get_mut(&owner) {
                worked.remove(score);
                if worked.blocks == 0 {
                    self.owners.remove(&owner);
                }
            }
        }
        self.all.remove_block(credits);
    }

    /// The work of all.
    pub(super) fn of_all(&self) -> Recent {
        Recent { seconds: self.seconds(), worked: self.all }
    }

    /// The work of one owner.
    pub(super) fn of(&self, owner: &Owner) -> Recent {
        Recent { seconds: self.seconds(), worked: self.owners.get(owner).copied().unwrap_or_default() }
    }

    fn seconds(&self) -> u32 {
        let ends = self.blocks.front().zip(self.blocks.back());
        ends.map_or(0, |(oldest, tip)| age(tip.time, oldest.time))
    }

    /// Its blocks up to this height, newest first.
    pub(super) fn down_from(&self, height: u32) -> impl Iterator<Item = &Credited> {
        self.blocks.iter().rev().skip_while(move |block| block.height > height)
    }
}

impl Worked {
    fn add(&mut self, score: Score) {
        self.blocks += 1;
        self.score = self.score.saturating_add(score);
    }

    fn remove(&mut self, score: Score) {
        self.blocks = self.blocks.saturating_sub(1);
        self.score = self.score.saturating_sub(score);
    }

    fn add_block(&mut self, credits: &BlockCredits) {
        if contributions(credits).next().is_some() {
            self.add(credits.total());
        }
    }

    fn remove_block(&mut self, credits: &BlockCredits) {
        if contributions(credits).next().is_some() {
            self.remove(credits.total());
        }
    }
}

impl Recent {
    /// Where a Bitcoin block takes so many hashes.
    pub(super) fn form(self, hashes_per_bitcoin_block: f64) -> RecentForm {
        let Self { seconds, worked } = self;
        let a_second = if seconds == 0 { 0.0 } else { blocks_of(worked.score) / f64::from(seconds) };
        RecentForm {
            seconds,
            share_blocks: worked.blocks,
            bitcoin_blocks_per_day: a_second * f64::from(DAY),
            hashes_per_second: a_second * hashes_per_bitcoin_block,
        }
    }
}

impl Credited {
    pub(super) fn new(block: &BlockSummary) -> Self {
        let credits = Arc::clone(&block.credits);
        Self { height: block.height.0, id: block.id, time: block.time, credits }
    }

    /// What it credits to an owner, if anything.
    pub(super) fn to(&self, owner: &Owner) -> Option<CreditForm> {
        let score: Score =
            self.credits.credits().filter(|(credited, _)| credited == owner).map(|(_, score)| score).sum();
        (!score.is_zero()).then(|| CreditForm {
            height: self.height,
            id: Text(self.id),
            time: self.time.0,
            shares: contributions(&self.credits).filter(|work| work.owner == *owner).count() as u64,
            score: blocks_of(score),
        })
    }
}

/// Seconds from a block to the tip.
fn age(tip: UnixTime, block: UnixTime) -> u32 {
    u32::try_from(tip.seconds_since(block)).unwrap_or(0)
}

fn contributions(credits: &BlockCredits) -> impl Iterator<Item = &Contribution> {
    credits.own.iter().chain(&credits.listed)
}

fn by_owner(credits: &BlockCredits) -> BTreeMap<Owner, Score> {
    let mut owners = BTreeMap::new();
    for work in contributions(credits) {
        let score: &mut Score = owners.entry(work.owner).or_default();
        *score = score.saturating_add(work.score);
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::owner;
    use bitcoin::CompactTarget;
    use sharechain::bitcoin_headers::HeaderTree;
    use sharechain::chain::Freshness;
    use sharechain::params::{ChainParams, Network, embedded_genesis};
    use sharechain::target::Work;
    use sharechain::units::BitcoinHeight;

    const BITS: u32 = 0x1d00_ffff;
    const START: u32 = 1_800_000_000;

    fn params() -> ChainParams {
        let genesis = embedded_genesis(BITS);
        let first_bitcoin_block = (BitcoinHeight(0), genesis.block_hash());
        ChainParams { network: Network::Embedded { bits: BITS }, first_bitcoin_block, ..ChainParams::main() }
    }

    fn id(params: &ChainParams, branch: u8, height: u32) -> ShareId {
        if height == 0 {
            return params.chain_id().as_block();
        }
        let mut id = [branch; 32];
        id[..4].copy_from_slice(&height.to_be_bytes());
        ShareId(id)
    }

    /// The blocks of a branch that leaves the first one after `fork`, an hour apart; every seventh is older than its parent.
    fn branch(params: &ChainParams, branch: u8, fork: u32, top: u32) -> Vec<BlockSummary> {
        let on = |height: u32| if height > fork { branch } else { 0 };
        let block = |height: u32| {
            let work = |n: u32| Contribution {
                owner: owner(u8::try_from((height * n) % 7).expect("small")),
                signals: 0,
                score: Score(u128::from(height + n)),
            };
            let listed = (1..=height % 4).map(work).collect();
            let own = (!height.is_multiple_of(3)).then(|| work(5 + u32::from(on(height))));
            BlockSummary {
                id: id(params, on(height), height),
                parent: id(params, on(height - 1), height - 1),
                height: Height(height),
                time: UnixTime(START + 3_600 * height - if height.is_multiple_of(7) { 5_000 } else { 0 }),
                bits: CompactTarget::from_consensus(BITS),
                work: Work::ZERO,
                bitcoin_height: BitcoinHeight(1),
                prev_block: params.first_bitcoin_block.1,
                listed_on: Box::default(),
                freshness: Freshness::default(),
                credits: Arc::new(BlockCredits { lister: owner(1), own, listed }),
                credited: Arc::default(),
            }
        };
        (1..=top).map(block).collect()
    }

    fn chain(params: &ChainParams, blocks: &[BlockSummary]) -> ShareChain {
        let headers = HeaderTree::new(params, &[embedded_genesis(BITS)]).expect("the first block");
        let tip = blocks.last().map(|block| block.id);
        ShareChain::load(params.clone(), headers, blocks.to_vec(), tip)
    }

    /// What is told of all and of an owner, by reading through the blocks.
    fn by_definition(blocks: &[BlockSummary], counts: impl Fn(&Contribution) -> bool) -> (u32, u64, Score) {
        let tip = blocks.last().expect("a tip").time;
        let begin = blocks.iter().rposition(|block| tip.seconds_since(block.time) >= 86_400).unwrap_or(0);
        let seconds = u32::try_from(tip.seconds_since(blocks[begin].time)).expect("not negative");
        let mut told = (seconds, 0, Score::ZERO);
        for block in &blocks[begin + 1..] {
            let work: Vec<Score> =
                contributions(&block.credits).filter(|work| counts(work)).map(|work| work.score).collect();
            told.1 += u64::from(!work.is_empty());
            told.2 = told.2.saturating_add(work.into_iter().sum());
        }
        told
    }

    fn told(Recent { seconds, worked: Worked { blocks, score } }: Recent) -> (u32, u64, Score) {
        (seconds, blocks, score)
    }

    #[test]
    fn step_by_step_it_is_what_reading_all_blocks_tells() {
        let params = params();
        let mut day = Day::default();
        day.take(News::since(&chain(&params, &[]), day.tip()));
        assert_eq!((day.tip(), told(day.of_all())), (None, (0, 0, Score::ZERO)));
        let steps =
            [(0, 0, 1), (0, 0, 2), (0, 0, 6), (0, 0, 7), (0, 0, 26), (0, 0, 27), (0, 0, 55), (0, 0, 56)];
        // A reorganisation, its end, a step back to a lower tip, and far more than a day at once. The tips at 7, 56 and 63
        // are older than their parents.
        let later = [(1, 50, 62), (1, 50, 63), (0, 0, 64), (0, 0, 40), (2, 3, 30), (2, 3, 31), (2, 3, 90)];
        for (other, fork, top) in steps.into_iter().chain(later) {
            let blocks = branch(&params, other, fork, top);
            let chain = chain(&params, &blocks);
            day.take(News::since(&chain, day.tip()));
            assert_eq!(day.tip(), Some(chain.tip()));
            assert_eq!(told(day.of_all()), by_definition(&blocks, |_| true), "{top} on {other}");
            for n in 0..8 {
                let of_one = by_definition(&blocks, |work| work.owner == owner(n));
                assert_eq!(told(day.of(&owner(n))), of_one, "{top} on {other}, owner {n}");
            }
            let mut anew = Day::default();
            anew.take(News::since(&chain, None));
            assert_eq!(format!("{day:?}"), format!("{anew:?}"));
            assert!(News::since(&chain, day.tip()).blocks.is_empty());
        }
    }

    #[test]
    fn it_is_bounded_however_quick_blocks_come() {
        let params = params();
        let mut blocks = branch(&params, 0, 0, 6_000);
        blocks.iter_mut().for_each(|block| block.time = UnixTime(START + block.height.0));
        let (mut day, most) = (Day::default(), MAX_RECENT);
        day.take(News::since(&chain(&params, &blocks[..5_999]), None));
        day.take(News::since(&chain(&params, &blocks), day.tip()));
        assert_eq!((day.blocks.len(), day.seconds()), (most + 1, u32::try_from(most).expect("small")));
        let counted: Score = blocks[6_000 - most..].iter().map(|block| block.credits.total()).sum();
        assert_eq!(day.of_all().worked.score, counted);
        assert_eq!(day.down_from(5_000).next().map(|block| block.height), Some(5_000));
    }
}
