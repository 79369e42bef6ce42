//! Check 7: whether a verified share is a share block here, and what taking it would change.

use super::ShareChain;
use super::graft::{Grafted, Level};
use super::shared::BlockParts;
use super::summary::{BlockSummary, Freshness};
use super::tree::Place;
use crate::error::{InvalidBlock, ListedProblem, Missing, Refusal};
use crate::params::FRESHNESS_DEPTH;
use crate::retarget::next_target;
use crate::share::{ShareBlock, ShareId, includes_hash};
use crate::target::{Target, Work};
use crate::units::{BitcoinHeight, Height, UnixTime};
use crate::verify::{Bound, VerifiedShare};
use crate::window::{BlockCredits, Contribution};
use bitcoin::BlockHash;
use bitcoin::block::Header;
use std::collections::BTreeSet;
use std::sync::Arc;

/// All that one share block changes. Save it, then apply it.
#[derive(Clone, Debug)]
pub struct ChangeSet {
    /// The block with the bodies that it lists.
    pub block: Arc<ShareBlock>,
    /// What of it stays in memory.
    pub summary: BlockSummary,
    /// The best tip afterwards: this block, or the tip as it was.
    pub tip: ShareId,
    /// Bitcoin headers that came since the last change.
    pub headers: Vec<(BitcoinHeight, Header)>,
    /// Blocks that are no longer kept.
    pub pruned: Vec<(Height, ShareId)>,
}

impl ChangeSet {
    /// Whether the block becomes the tip.
    pub fn is_new_tip(&self) -> bool {
        self.tip == self.summary.id
    }
}

/// Where a block that is being judged stands.
#[derive(Clone, Copy)]
struct Position {
    parent: Place,
    base: Place,
    height: Height,
    time: UnixTime,
    id: ShareId,
    level: Level,
}

impl ShareChain {
    /// Check 7 for a share that is offered as a block with this list. Gives the shares, too, that are new here.
    pub(super) fn prepare(
        &mut self,
        share: &VerifiedShare,
        includes: &[ShareId],
        bodies: &[Bound],
        grafted: Option<Grafted>,
    ) -> Result<(ChangeSet, Vec<VerifiedShare>), Refusal> {
        // Before anything may wait: a forged list must not take the place of the right one in the waiting pool.
        if includes_hash(includes) != share.share().commitment.includes {
            return Err(Refusal::Block(InvalidBlock::Includes));
        }
        if includes.len() > usize::try_from(self.params.max_listed).unwrap_or(usize::MAX) {
            return Err(Refusal::Block(InvalidBlock::TooManyListed));
        }
        let position = match grafted {
            Some(Grafted { parent, level: level @ Level::Context }) => {
                self.position_in_context(parent, share, level)?
            }
            _ => self.check_position(share, grafted.map_or(Level::Full, |grafted| grafted.level))?,
        };
        let listed = self.find_listed(includes, bodies, position.level)?;
        self.check_listed(&position, &listed).map_err(Refusal::Block)?;
        let work = self.work_with(position.parent, share.block_target());
        let becomes_tip = grafted.is_none() && self.would_be_tip(position.parent, work);
        let change = self.change_set(&position, share, &listed, work, becomes_tip);
        if grafted.is_some() {
            // Not all of them were checked whole, and blocks of the tip may not list them.
            return Ok((change, Vec::new()));
        }
        let own = Some(share).filter(|share| share.is_share()).cloned();
        let new = listed.into_iter().chain(own).filter(|share| self.shares.get(&share.id()).is_none());
        Ok((change, new.collect()))
    }

    /// The block's own place: base, height, time, bits and freshness as its parent demands.
    fn check_position(&self, share: &VerifiedShare, level: Level) -> Result<Position, Refusal> {
        let commitment = &share.share().commitment;
        let parent = commitment.parent;
        let parent = self.tree.find(&parent).ok_or(Refusal::Waits(Missing::Parent(parent)))?;
        let base = self.base_of(parent).ok_or(Refusal::Behind)?;
        let height = self.tree.height(parent).saturating_add(1);
        let bits =
            next_target(&self.params, self.retarget_input(parent).as_ref(), commitment.time).to_compact();
        let checks = [
            (self.tree.id(base) == commitment.base, InvalidBlock::Base),
            (height == commitment.height, InvalidBlock::Height),
            (commitment.time >= self.least_time(parent), InvalidBlock::Time),
            (bits == commitment.bits, InvalidBlock::Bits),
            (self.freshness(parent).allows(share.context(), self.tree.height(parent)), InvalidBlock::Stale),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, broken)) => Err(Refusal::Block(broken)),
            None => Ok(Position { parent, base, height, time: commitment.time, id: share.id(), level }),
        }
    }

    /// The place of one of the lowest blocks of a graft, of which no more can be checked than its height. The anchor
    /// stands on nothing, as if on the chain id.
    fn position_in_context(
        &self,
        parent: Option<Place>,
        share: &VerifiedShare,
        level: Level,
    ) -> Result<Position, Refusal> {
        let commitment = &share.share().commitment;
        let height = parent.map_or(commitment.height, |parent| self.tree.height(parent).saturating_add(1));
        if height != commitment.height {
            return Err(Refusal::Block(InvalidBlock::Height));
        }
        let (parent, base) = (parent.unwrap_or(Place::Root), Place::Root);
        Ok(Position { parent, base, height, time: commitment.time, id: share.id(), level })
    }

    /// The listed shares, verified: from the pool, or from the bodies that came along.
    fn find_listed(
        &mut self,
        includes: &[ShareId],
        bodies: &[Bound],
        level: Level,
    ) -> Result<Vec<VerifiedShare>, Refusal> {
        let mut listed = Vec::with_capacity(includes.len());
        for (index, id) in includes.iter().enumerate() {
            let problem = |problem| Refusal::Block(InvalidBlock::Listed { id: *id, problem });
            if self.invalid.contains(id) {
                return Err(problem(ListedProblem::KnownInvalid));
            }
            if let Some(share) = self.shares.get(id) {
                listed.push(share.clone());
                continue;
            }
            // Whole blocks bring them in this order.
            let in_order = bodies.get(index).filter(|body| body.id() == *id);
            let body = in_order.or_else(|| bodies.iter().find(|body| body.id() == *id));
            let body = body.ok_or(Refusal::Waits(Missing::Share(*id)))?;
            listed.push(self.verify_at(body.clone(), level).map_err(|refusal| match refusal {
                Refusal::Share(invalid) => problem(ListedProblem::Invalid(invalid)),
                other => other,
            })?);
        }
        Ok(listed)
    }

    fn check_listed(&mut self, position: &Position, listed: &[VerifiedShare]) -> Result<(), InvalidBlock> {
        self.know_credited(position.parent);
        let mut seen = BTreeSet::from([position.id]);
        for share in listed {
            let id = share.id();
            let problem = if !seen.insert(id) {
                Some(ListedProblem::Twice)
            } else if self.credited.contains(&id) {
                Some(ListedProblem::Credited)
            } else {
                self.listing_problem(position, share)
            };
            if let Some(problem) = problem {
                return Err(InvalidBlock::Listed { id, problem });
            }
        }
        Ok(())
    }

    /// Why a share that has not been credited may not be listed by a block at this position.
    fn listing_problem(&self, position: &Position, share: &VerifiedShare) -> Option<ListedProblem> {
        let commitment = &share.share().commitment;
        let base = self.tree.find(&commitment.base);
        let reach = commitment.height..=commitment.height.saturating_add(self.params.include_depth);
        if !share.is_share() {
            Some(ListedProblem::NotAShare)
        } else if !reach.contains(&position.height) {
            Some(ListedProblem::Height)
        } else if commitment.time > position.time.saturating_add(self.params.future_limit) {
            Some(ListedProblem::Time)
        } else if position.level == Level::Context {
            None
        } else if !base.is_some_and(|base| self.tree.is_ancestor(base, position.base)) {
            Some(ListedProblem::Base)
        } else if !self.is_fresh(position, share) {
            Some(ListedProblem::Stale)
        } else {
            None
        }
    }

    fn is_fresh(&self, position: &Position, share: &VerifiedShare) -> bool {
        let own = share.share().commitment.height.saturating_sub(1);
        let at = own.max(position.height.saturating_sub(FRESHNESS_DEPTH));
        // Pruned ancestors are far older than the freshness depth, so the ancestor is there.
        let ancestor = self.tree.ancestor(position.parent, at);
        ancestor.is_some_and(|ancestor| self.freshness(ancestor).allows(share.context(), at))
    }

    fn freshness(&self, place: Place) -> Freshness {
        self.tree.get(place).map(|block| block.freshness).unwrap_or_default()
    }

    /// Moves what is known of credited shares to this block: ids credited by it and those before it, as far back as a
    /// listed share can have been credited.
    fn know_credited(&mut self, parent: Place) {
        let depth = usize::try_from(self.params.include_depth).unwrap_or(usize::MAX);
        self.credited.move_to(&self.tree, parent, depth);
    }

    /// All verified shares from the pool that a block on the tip may list, those that have least time left first.
    pub fn listable(&mut self, time: UnixTime) -> Vec<ShareId> {
        let parent = self.tree.tip();
        let Some(base) = self.base_of(parent) else { return Vec::new() };
        let height = self.tree.height(parent).saturating_add(1);
        let position = Position { parent, base, height, time, id: self.id.as_block(), level: Level::Full };
        self.know_credited(parent);
        let candidates = self.shares.range(height.saturating_sub(self.params.include_depth), height);
        let listable = candidates.filter(|share| {
            !self.credited.contains(&share.id()) && self.listing_problem(&position, share).is_none()
        });
        listable.map(VerifiedShare::id).collect()
    }

    /// Cumulative work of a block with this target on `parent`.
    pub(super) fn work_with(&self, parent: Place, target: Option<Target>) -> Work {
        self.tree.work(parent).saturating_add(target.map_or(Work::ZERO, Target::work))
    }

    /// Cumulative work of the ancestor `depth` blocks before, zero when there are fewer.
    pub(super) fn work_back(&self, place: Place, depth: u32) -> Work {
        let height = self.tree.height(place).saturating_sub(depth);
        self.tree.ancestor(place, height).map_or(Work::ZERO, |ancestor| self.tree.work(ancestor))
    }

    fn change_set(
        &self,
        position: &Position,
        share: &VerifiedShare,
        listed: &[VerifiedShare],
        work: Work,
        becomes_tip: bool,
    ) -> ChangeSet {
        let parts = match &self.shared {
            Some(shared) => shared.block(position.id, position.height, || block_parts(share, listed)),
            None => block_parts(share, listed),
        };
        let commitment = &share.share().commitment;
        let summary = BlockSummary {
            id: share.id(),
            parent: commitment.parent,
            height: position.height,
            time: commitment.time,
            bits: commitment.bits,
            work,
            bitcoin_height: commitment.bitcoin_height,
            prev_block: share.share().header.prev_block,
            listed_on: parts.listed_on,
            freshness: self.freshness(position.parent).after(share.context(), position.height),
            credits: parts.credits,
            credited: parts.credited,
        };
        let horizon = position.height.saturating_sub(self.params.kept_blocks());
        let graft = self.graft.and_then(|graft| graft.stem);
        ChangeSet {
            block: parts.block,
            tip: if becomes_tip { summary.id } else { self.tip() },
            summary,
            headers: self.unsaved_headers.clone(),
            pruned: if becomes_tip { self.tree.ids_below(horizon, graft) } else { Vec::new() },
        }
    }
}

fn block_parts(share: &VerifiedShare, listed: &[VerifiedShare]) -> BlockParts {
    let own = Some(share).filter(|share| share.is_share());
    BlockParts {
        block: Arc::new(ShareBlock {
            share: share.share().clone(),
            listed: listed.iter().map(|share| share.share().clone()).collect(),
        }),
        credits: Arc::new(BlockCredits {
            lister: share.share().commitment.owner,
            own: own.map(contribution),
            listed: listed.iter().map(contribution).collect(),
        }),
        credited: Arc::new(own.into_iter().chain(listed).map(VerifiedShare::id).collect()),
        listed_on: other_bitcoin_blocks(share.share().header.prev_block, listed),
    }
}

fn other_bitcoin_blocks(own: BlockHash, listed: &[VerifiedShare]) -> Box<[BlockHash]> {
    let named = listed.iter().map(|share| share.share().header.prev_block);
    named.filter(|hash| *hash != own).collect::<BTreeSet<_>>().into_iter().collect()
}

fn contribution(share: &VerifiedShare) -> Contribution {
    let commitment = &share.share().commitment;
    Contribution { owner: commitment.owner, signals: commitment.signals, score: share.score() }
}
