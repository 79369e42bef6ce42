//! What nodes tell each other of their branches, so that one can fetch what it lacks.

use super::ShareChain;
use super::tree::Place;
use crate::share::ShareId;
use crate::target::Work;
use crate::units::Height;
use bitcoin::BlockHash;

/// Most ids of a locator.
pub const MAX_LOCATOR: usize = 64;
/// Ids of a locator that stand next to each other, before the steps double.
const DENSE: usize = 12;

/// Consecutive blocks of the active branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BranchIds {
    /// The height of the first.
    pub from: Height,
    /// The parent of the first; the tip when there is nothing above it.
    pub parent: ShareId,
    /// Their ids, lowest first.
    pub ids: Vec<ShareId>,
}

/// What a node says of its tip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipClaim {
    /// The tip, or the chain id.
    pub id: ShareId,
    /// Its height.
    pub height: Height,
    /// Work of the blocks on recent Bitcoin headers: what chains without a common ancestor are compared by.
    pub recent_work: Work,
    /// Work of all blocks in memory and before, as far as this node knows them: it compares branches of one chain only.
    pub work: Work,
}

impl ShareChain {
    /// Some blocks of the active branch, newest first and ever further apart, and the chain id: by this another node
    /// finds the newest block that both have.
    pub fn locator(&self) -> Vec<ShareId> {
        self.locator_from(self.tree.tip())
    }

    /// The same for the heaviest branch of the graft under way; the chain id alone when there is none.
    pub fn graft_locator(&self) -> Vec<ShareId> {
        let stem = self.graft.and_then(|graft| graft.stem);
        self.locator_from(stem.and_then(|stem| self.heaviest_of(stem)).unwrap_or(Place::Root))
    }

    fn locator_from(&self, tip: Place) -> Vec<ShareId> {
        let mut ids = Vec::new();
        let (mut at, mut step) = (tip, 1_u32);
        while let Some(block) = self.tree.get(at) {
            ids.push(block.id);
            if ids.len() >= MAX_LOCATOR.saturating_sub(1) {
                break;
            }
            if ids.len() > DENSE {
                step = step.saturating_mul(2);
            }
            let below = block.height.saturating_sub(step);
            match self.tree.ancestor(at, below).filter(|_| below != Height::ROOT) {
                Some(place) => at = place,
                None => break,
            }
        }
        ids.push(self.id.as_block());
        ids
    }

    /// At most so many blocks of the active branch after the newest one that the locator names. After the oldest one
    /// here when that is above: then the asker does not know the parent.
    pub fn ids_after(&self, locator: &[ShareId], most: usize) -> BranchIds {
        let known = locator.iter().filter_map(|id| self.tree.find(id));
        let height = |place: Place| self.tree.height(place);
        let fork = known.filter(|place| self.tree.is_active(*place)).map(height).max().unwrap_or_default();
        let after = fork.saturating_add(1);
        let from = self.tree.lowest_active().map_or(after, |lowest| lowest.max(after));
        let blocks: Vec<_> =
            (from.0..=self.height().0).take(most).map_while(|at| self.block_at(Height(at))).collect();
        let parent = blocks.first().map_or_else(|| self.tip(), |block| block.parent);
        BranchIds { from, parent, ids: blocks.iter().map(|block| block.id).collect() }
    }

    /// What to say of the tip to those who ask.
    pub fn tip_claim(&mut self) -> TipClaim {
        let bitcoin_tip = self.headers.best().hash;
        match self.claimed {
            Some((hash, claim)) if hash == bitcoin_tip && claim.id == self.tip() => claim,
            _ => {
                let (id, tip) = (self.tip(), self.tree.tip());
                let (height, work) = (self.tree.height(tip), self.tree.work(tip));
                let claim = TipClaim { id, height, recent_work: self.recent_work(&id), work };
                self.claimed = Some((bitcoin_tip, claim));
                claim
            }
        }
    }
}

/// The last claim, and the Bitcoin tip that its recent work was counted by.
pub(super) type Claimed = Option<(BlockHash, TipClaim)>;
