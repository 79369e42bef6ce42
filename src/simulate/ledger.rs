//! What was mined, and what became of it: kept beside the simulated nodes, which know nothing of it.

use super::hashes::chance;
use super::node::{Mined, owner};
use super::queue::Moment;
use sharechain::chain::{BlockSummary, ShareChain};
use sharechain::owner::Owner;
use sharechain::share::ShareId;
use sharechain::target::{Target, score};
use sharechain::units::{BitcoinHeight, Height, Score};
use std::collections::{BTreeMap, HashMap};

/// Blocks below an observer's tip that no run's reorganisation reaches: they are read while they are still kept.
const SETTLED: u32 = 320;

/// One share that somebody mined.
#[derive(Clone, Debug)]
pub struct Find {
    /// Its id.
    pub id: ShareId,
    /// The node that mined it.
    pub miner: usize,
    /// The side of a split that the node was on.
    pub side: bool,
    /// Height of the Bitcoin block that it would be.
    pub bitcoin_height: BitcoinHeight,
    /// Its score.
    pub score: Score,
    /// The height that it claims.
    pub height: Height,
    /// Its base.
    pub base: ShareId,
    /// When it was mined.
    pub at: Moment,
    /// Expected hashes of the block target that it claims.
    pub block_work: f64,
    /// Whether it met that target.
    pub is_block: bool,
    /// The node whose block credited it.
    pub credited_by: Option<usize>,
}

/// All finds, and the active branch as it settles.
#[derive(Debug, Default)]
pub struct Ledger {
    finds: Vec<Find>,
    index: HashMap<ShareId, usize>,
    /// Finds that are blocks of the winning chain, lowest first.
    winners: Vec<usize>,
    /// Blocks of it whose credits are not what was found: a share credited twice or never mined, a wrong owner or score.
    wrong: usize,
}

impl Ledger {
    /// Notes a find.
    pub fn note(&mut self, (miner, side): (usize, bool), mined: &Mined, network: Target, at: Moment) {
        let commitment = &mined.bound.share().commitment;
        self.index.insert(mined.bound.id(), self.finds.len());
        self.finds.push(Find {
            id: mined.bound.id(),
            miner,
            side,
            bitcoin_height: commitment.bitcoin_height,
            score: if mined.bound.is_share() {
                score(mined.bound.share_target(), network)
            } else {
                Score::ZERO
            },
            height: commitment.height,
            base: commitment.base,
            at,
            block_work: Target::from_compact(commitment.bits).map_or(0.0, |target| 1.0 / chance(target)),
            is_block: mined.is_block(),
            credited_by: None,
        });
    }

    /// Reads the blocks of a chain that nothing changes any more.
    pub fn settle(&mut self, chain: &ShareChain) {
        self.read_to(chain, chain.height().saturating_sub(SETTLED));
    }

    /// Reads the rest of the winning chain.
    pub fn finish(&mut self, chain: &ShareChain) {
        self.read_to(chain, chain.height());
    }

    fn read_to(&mut self, chain: &ShareChain, top: Height) {
        while self.winners.len() < top.0 as usize {
            let next = Height(u32::try_from(self.winners.len() + 1).unwrap_or(u32::MAX));
            let Some(block) = chain.block_at(next) else { return };
            let Some(&winner) = self.index.get(&block.id) else { return };
            self.winners.push(winner);
            self.wrong += usize::from(self.credit(winner, block).is_none());
        }
    }

    /// Credits what a block of the winning chain lists. None if its credits are not those of what was mined.
    fn credit(&mut self, winner: usize, block: &BlockSummary) -> Option<()> {
        let lister = self.finds[winner].miner;
        let mut due: BTreeMap<Owner, Score> = BTreeMap::new();
        let mut add = |miner, score| {
            let sum = due.entry(owner(miner)?).or_default();
            *sum = Score(sum.0 + score);
            Some(())
        };
        for id in block.credited.iter() {
            let find = &mut self.finds[*self.index.get(id)?];
            if find.credited_by.replace(lister).is_some() {
                return None;
            }
            // A block's own share pays itself nothing for being listed.
            let (fee, rest) = find.score.split_listing_fee();
            add(lister, fee.0)?;
            add(find.miner, rest.0)?;
        }
        for (owner, score) in block.credits.credits() {
            let left = due.get_mut(&owner)?;
            *left = Score(left.0.checked_sub(score.0)?);
        }
        due.values().all(|score| score.is_zero()).then_some(())
    }

    /// Blocks of the winning chain that credit anything but what was mined.
    pub const fn wrong(&self) -> usize {
        self.wrong
    }

    /// Everything that was mined, in the order of time.
    pub fn finds(&self) -> &[Find] {
        &self.finds
    }

    /// The blocks of the winning chain, lowest first.
    pub fn winners(&self) -> impl Iterator<Item = &Find> {
        self.winners.iter().map(|find| &self.finds[*find])
    }
}
