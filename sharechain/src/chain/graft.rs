//! Chains from the middle: a branch whose first block, the anchor, came without its parent.
//!
//! A newcomer cannot have the whole past; its peers do not keep it either. It takes a branch from some block on, checks
//! of it what can be checked there, and follows it if it has clearly more recent work than what it had (protocol
//! section 7.1). Until then the branch is a stem of its own in the tree: it is saved, but never the tip, and its shares
//! are in no pool.

use super::ShareChain;
use super::tree::{Place, Stem};
use crate::params::{ChainParams, MAX_REORG_DEPTH};
use crate::share::ShareId;
use crate::target::Work;
use crate::units::Height;
use crate::verify::Bound;
use thiserror::Error;

/// What is claimed of a chain before it is fetched from the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraftClaim {
    /// The first block, which may come without its parent.
    pub anchor: ShareId,
    /// Its height.
    pub at: Height,
    /// The height of the chain's tip. It decides how much of which block is checked; a lie makes no chain of it, since a
    /// tip with unchecked blocks in its newer window is not adopted.
    pub tip: Height,
}

/// A graft under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraftStatus {
    /// What was claimed when it was begun.
    pub claim: GraftClaim,
    /// The end of its heaviest branch: where fetching goes on. None before the anchor came.
    pub highest: Option<(Height, ShareId)>,
}

/// What beginning, dropping or adopting a graft changes. Save it, then apply it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraftChange {
    /// The graft that is under way afterwards.
    pub graft: Option<GraftClaim>,
    /// The tip, when it becomes another one.
    pub tip: Option<ShareId>,
    /// Blocks that are no longer kept, lowest first.
    pub dropped: Vec<(Height, ShareId)>,
}

/// Why a chain cannot be fetched from the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GraftError {
    /// Another is being fetched; drop it first.
    #[error("another chain is being fetched from block {0} on")]
    Busy(ShareId),
    /// The block is here, so nothing needs to be grafted.
    #[error("block {0} is known already")]
    Known(ShareId),
    /// There is too little of it: what lies in its newer window could not be checked.
    #[error("{given} blocks of it are too few, {needed} are needed")]
    TooShort {
        /// Blocks from the anchor to the tip.
        given: u32,
        /// Blocks needed.
        needed: u32,
    },
    /// There is more of it than anybody keeps.
    #[error("{given} blocks of it are more than the {most} that anybody keeps")]
    TooLong {
        /// Blocks from the anchor to the tip.
        given: u32,
        /// Most blocks taken.
        most: u32,
    },
}

/// Why a graft does not become the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAdopted {
    /// There is none, or this block is not one of its.
    #[error("block {0} is not on the chain that is being fetched")]
    NotOnGraft(ShareId),
    /// Some of the blocks within a window of this tip were not checked whole, since the claimed tip was higher.
    #[error("a tip at height {tip} leaves blocks unchecked: height {claimed} was claimed")]
    Unchecked {
        /// The tip's height.
        tip: Height,
        /// The height claimed when the graft was begun.
        claimed: Height,
    },
    /// It does not have clearly more recent work.
    #[error("its recent work {theirs} is not clearly more than this chain's {own}")]
    NotBetter {
        /// Recent work at its tip.
        theirs: Work,
        /// Recent work at the own tip.
        own: Work,
    },
}

/// How much of a block and of what it lists can be checked where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// What it is judged by may lie below the anchor: work, links and Bitcoin context only.
    Context,
    /// All but check 6, since the windows that its coinbase paid by are not here.
    Older,
    /// All.
    Full,
}

/// The graft under way, as the chain remembers it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Graft {
    pub(super) claim: GraftClaim,
    pub(super) stem: Option<Stem>,
}

impl Graft {
    fn level(&self, params: &ChainParams, height: Height) -> Level {
        if height < self.claim.at.saturating_add(params.context_blocks()) {
            Level::Context
        } else if height.saturating_add(params.window_blocks) <= self.claim.tip {
            Level::Older
        } else {
            Level::Full
        }
    }
}

/// Where a block would stand in the graft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grafted {
    /// The parent; none for the anchor.
    pub(super) parent: Option<Place>,
    pub(super) level: Level,
}

impl ShareChain {
    /// Begins to take a chain from the middle: from now on its anchor may be inserted without its parent, as a wanted
    /// submission. There is one graft at most; the same anchor again goes on with it.
    pub fn begin_graft(&self, claim: GraftClaim) -> Result<GraftChange, GraftError> {
        let same = match &self.graft {
            Some(graft) if graft.claim.anchor == claim.anchor => Some(graft.claim),
            Some(graft) => return Err(GraftError::Busy(graft.claim.anchor)),
            None if self.tree.find(&claim.anchor).is_some() => return Err(GraftError::Known(claim.anchor)),
            None => None,
        };
        let given = claim.tip.0.saturating_sub(claim.at.0).saturating_add(1);
        let needed = self.params.graft_blocks();
        if same.is_none() && given < needed {
            return Err(GraftError::TooShort { given, needed });
        }
        let most = self.params.kept_blocks().saturating_add(MAX_REORG_DEPTH);
        if same.is_none() && given > most {
            return Err(GraftError::TooLong { given, most });
        }
        // The levels were decided by the first claim, and the blocks that are here were checked by it.
        Ok(GraftChange { graft: Some(same.unwrap_or(claim)), tip: None, dropped: Vec::new() })
    }

    /// Gives up the graft, if there is one: its blocks go.
    pub fn drop_graft(&self) -> Option<GraftChange> {
        let graft = self.graft.as_ref()?;
        let dropped = graft.stem.map(|stem| self.tree.ids_of(stem)).unwrap_or_default();
        Some(GraftChange { graft: None, tip: None, dropped })
    }

    /// Follows the graft's branch that ends with `tip`, if all of its newer window was checked and it has clearly more
    /// recent work than the chain here, or there is none. All other blocks go.
    pub fn adopt(&self, tip: ShareId) -> Result<GraftChange, NotAdopted> {
        let not_on_graft = NotAdopted::NotOnGraft(tip);
        let Graft { claim, stem } = self.graft.ok_or(not_on_graft)?;
        let stem = stem.ok_or(not_on_graft)?;
        let place =
            self.tree.find(&tip).filter(|place| self.tree.stem(*place) == stem).ok_or(not_on_graft)?;
        let height = self.tree.height(place);
        if height < claim.tip {
            return Err(NotAdopted::Unchecked { tip: height, claimed: claim.tip });
        }
        let (theirs, own) = (self.recent_work(&tip), self.recent_work(&self.tip()));
        if self.tree.tip() != Place::Root && !theirs.clearly_exceeds(own) {
            return Err(NotAdopted::NotBetter { theirs, own });
        }
        Ok(GraftChange { graft: None, tip: Some(tip), dropped: self.tree.ids_but_of(stem) })
    }

    /// Takes a change of the graft that has been saved.
    pub fn apply_graft(&mut self, change: &GraftChange) {
        let tip = change.tip.and_then(|tip| self.tree.find(&tip));
        if !change.dropped.is_empty() {
            let stay = tip.unwrap_or_else(|| self.tree.tip());
            self.desk.move_to(&self.params, &self.tree, stay);
            self.tree.forget(&change.dropped);
        }
        if let Some(tip) = tip {
            self.tree.activate(tip);
            let oldest = self.oldest_share_kept();
            let tree = &self.tree;
            self.shares.retain(|share| {
                let commitment = &share.share().commitment;
                commitment.height >= oldest && tree.find(&commitment.base).is_some()
            });
        }
        match change.graft {
            Some(claim) => self.resume_graft(claim),
            None => self.graft = None,
        }
    }

    /// After [`ShareChain::load`]: goes on with the graft that was under way when its blocks were saved.
    pub fn resume_graft(&mut self, claim: GraftClaim) {
        let stem = self.tree.find(&claim.anchor).map(|place| self.tree.stem(place));
        self.graft = Some(Graft { claim, stem });
    }

    /// The graft under way.
    pub fn graft(&self) -> Option<GraftStatus> {
        let graft = self.graft.as_ref()?;
        let end = graft.stem.and_then(|stem| self.heaviest_of(stem));
        let highest = end.map(|place| (self.tree.height(place), self.tree.id(place)));
        Some(GraftStatus { claim: graft.claim, highest })
    }

    /// Whether this block is on the graft.
    pub fn is_grafted(&self, id: &ShareId) -> bool {
        let stem =
            self.tree.find(id).filter(|place| *place != Place::Root).map(|place| self.tree.stem(place));
        stem.is_some() && stem == self.graft.and_then(|graft| graft.stem)
    }

    /// Where on the graft a block would stand; none if it would not. Only what was asked for may be the anchor, or stand
    /// where less than all is checked.
    pub(super) fn grafted(&self, block: &Bound, wanted: bool) -> Option<Grafted> {
        let graft = self.graft.as_ref()?;
        let commitment = &block.share().commitment;
        if block.id() == graft.claim.anchor {
            let at = commitment.height == graft.claim.at && wanted;
            return at.then_some(Grafted { parent: None, level: Level::Context });
        }
        let parent = self.tree.find(&commitment.parent).filter(|place| *place != Place::Root)?;
        if Some(self.tree.stem(parent)) != graft.stem {
            return None;
        }
        let level = graft.level(&self.params, self.tree.height(parent).saturating_add(1));
        Some(Grafted { parent: Some(parent), level })
    }

    /// The end of the heaviest branch of a stem.
    pub(super) fn heaviest_of(&self, stem: Stem) -> Option<Place> {
        let leaves = self.tree.leaves().filter(|leaf| self.tree.stem(*leaf) == stem);
        leaves.max_by_key(|leaf| (self.tree.work(*leaf), core::cmp::Reverse(self.tree.id(*leaf))))
    }
}
