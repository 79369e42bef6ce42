//! Taking steps: choice of tip, reorganisation, and what is released by what came.

use super::judge::{Step, Submission};
use super::prepare::ChangeSet;
use super::tree::Place;
use super::upgrades::LockedIn;
use super::{BlockSummary, ShareChain};
use crate::bitcoin_headers::{HeaderError, Inserted};
use crate::error::{Missing, Refusal};
use crate::params::{ALARM_REORG_DEPTH, MAX_REORG_DEPTH};
use crate::share::{ShareId, includes_hash};
use crate::target::Work;
use crate::units::{BitcoinHeight, UnixTime};
use crate::verify::VerifiedShare;
use bitcoin::BlockHash;
use bitcoin::block::Header;
use std::collections::BTreeSet;

/// What a step did.
#[derive(Debug, Default)]
pub struct Applied {
    /// The share that went into the pool.
    pub share: Option<ShareId>,
    /// The block that was added.
    pub block: Option<BlockSummary>,
    /// Whether the tip is another one now.
    pub new_tip: bool,
    /// The branch that was left, if one was.
    pub reorganisation: Option<Reorganisation>,
    /// A branch with more work that was not followed.
    pub too_deep: Option<TooDeep>,
    /// Signal bits that locked in at the new tip.
    pub locked_in: Option<LockedIn>,
    /// What waited for this and can be judged again.
    pub released: Vec<Submission>,
}

/// A change of branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reorganisation {
    /// The tip that was left.
    pub from: ShareId,
    /// Blocks that are no longer on the active branch.
    pub depth: u32,
}

/// A branch that has more work than the active one and forks off so deep that no node follows it by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooDeep {
    /// The branch's end.
    pub tip: ShareId,
    /// Blocks of the active branch that would be left.
    pub depth: u32,
}

impl Reorganisation {
    /// Whether it is so deep that people should look.
    pub const fn is_alarming(&self) -> bool {
        self.depth > ALARM_REORG_DEPTH
    }
}

impl ShareChain {
    /// Takes a step whose block, if it has one, has been saved.
    pub fn apply(&mut self, step: Step) -> Applied {
        let mut applied = Applied::default();
        if let Some(share) = step.share {
            applied.share = Some(share.id());
            applied.released = self.waiting.release(&Missing::Share(share.id()));
            self.shares.insert(share);
        }
        if let Some(change) = step.block {
            self.apply_block(change, &mut applied);
        }
        for share in step.bodies {
            if share.share().commitment.height >= self.oldest_share_kept() {
                applied.released.extend(self.waiting.release(&Missing::Share(share.id())));
                self.shares.insert(share);
            }
        }
        applied
    }

    fn apply_block(&mut self, change: ChangeSet, applied: &mut Applied) {
        let id = change.summary.id;
        let old_tip = self.tree.tip();
        let place = self.tree.insert(change.summary.clone());
        if let Some(graft) = self.graft.as_mut().filter(|graft| graft.claim.anchor == id) {
            graft.stem = Some(self.tree.stem(place));
        }
        self.unsaved_headers.drain(..change.headers.len().min(self.unsaved_headers.len()));
        if change.tip == id {
            applied.new_tip = true;
            applied.reorganisation = self.reorganisation(old_tip, place);
            self.tree.activate(place);
            applied.locked_in = self.locking_in(place);
            self.shares.prune_below(self.oldest_share_kept());
            if !change.pruned.is_empty() {
                self.desk.before_pruning(&self.params, &self.tree, place);
                self.tree.forget(&change.pruned);
            }
        }
        applied.too_deep = self.too_deep(place);
        applied.released.extend(self.waiting.release(&Missing::Base(id)));
        applied.released.extend(self.waiting.release(&Missing::Parent(id)));
        applied.block = Some(change.summary);
    }

    fn reorganisation(&self, old_tip: Place, new_tip: Place) -> Option<Reorganisation> {
        let fork = self.tree.common_ancestor(old_tip, new_tip)?;
        let depth = self.tree.height(old_tip).0.saturating_sub(self.tree.height(fork).0);
        (depth > 0).then(|| Reorganisation { from: self.tree.id(old_tip), depth })
    }

    fn too_deep(&self, place: Place) -> Option<TooDeep> {
        let tip = self.tree.tip();
        if self.tree.work(place) <= self.tree.work(tip) {
            return None;
        }
        // Between stems, work cannot be compared.
        let fork = self.tree.common_ancestor(place, tip)?;
        let depth = self.tree.height(tip).0.saturating_sub(self.tree.height(fork).0);
        (depth > MAX_REORG_DEPTH).then(|| TooDeep { tip: self.tree.id(place), depth })
    }

    /// Shares below this height can neither be listed by the next blocks nor be needed by a branch that may still win
    /// without an alarm.
    pub fn oldest_share_kept(&self) -> crate::units::Height {
        self.height().saturating_sub(self.params.include_depth.saturating_add(ALARM_REORG_DEPTH))
    }

    /// Most cumulative work wins, the first complete one among equals; and no synced node switches too deep by itself.
    pub(super) fn would_be_tip(&self, parent: Place, work: Work) -> bool {
        let tip = self.tree.tip();
        if work <= self.tree.work(tip) {
            return false;
        }
        let fork = self.tree.common_ancestor(parent, tip);
        let depth = fork.map(|fork| self.tree.height(tip).0.saturating_sub(self.tree.height(fork).0));
        depth.is_some_and(|depth| depth <= MAX_REORG_DEPTH)
    }

    /// Holds a submission until what it lacks comes. What is of an unknown version is not held: only a newer release helps.
    ///
    /// One submission waits for each id. A forged list, or none, does not take the place of a block's.
    pub fn hold(&mut self, submission: Submission, missing: Missing) {
        let id = submission.share.id();
        let worse = match &submission.includes {
            Some(ids) => includes_hash(ids) != submission.share.share().commitment.includes,
            None => self.waiting.contains(&id),
        };
        if worse || matches!(missing, Missing::Version(_)) {
            return;
        }
        let listed: usize = submission.bodies.iter().map(|body| body.share().encoded_len()).sum();
        let ids = submission.includes.as_ref().map_or(0, |ids| ids.len().saturating_mul(32));
        let bytes = submission.share.share().encoded_len().saturating_add(listed).saturating_add(ids);
        self.waiting.hold(id, missing, submission.source, bytes, submission);
    }

    /// Takes in a Bitcoin header; what waited for it is released. It is saved with the next block.
    pub fn add_header(&mut self, header: Header) -> Result<Vec<Submission>, HeaderError> {
        let inserted = match self.headers.insert(header) {
            Err(HeaderError::TooManyStale) => {
                self.prune_headers();
                self.headers.insert(header)?
            }
            inserted => inserted?,
        };
        if inserted == Inserted::Known {
            return Ok(Vec::new());
        }
        let hash = header.block_hash();
        if let Some(info) = self.headers.get(&hash) {
            self.unsaved_headers.push((info.height, header));
        }
        Ok(self.waiting.release(&Missing::PrevBlock(hash)))
    }

    /// Forgets stale Bitcoin branches that no block, no share that a block lists, and no share of the pool names.
    fn prune_headers(&mut self) {
        let blocks = self.tree.iter().flat_map(BlockSummary::bitcoin_blocks);
        let shares = self.shares.iter().map(|share| share.share().header.prev_block);
        let named: BTreeSet<_> = blocks.chain(shares).collect();
        let dropped = self.headers.prune(|hash| named.contains(hash));
        self.unsaved_headers.retain(|(_, header)| dropped.iter().all(|gone| gone.header != *header));
        self.dropped_headers.extend(dropped.iter().map(|info| (info.height, info.hash)));
    }

    /// Bitcoin headers that were let go since this was last asked, so that a store lets them go too.
    pub fn take_dropped_headers(&mut self) -> Vec<(BitcoinHeight, BlockHash)> {
        core::mem::take(&mut self.dropped_headers)
    }

    /// Bitcoin headers that no change set has saved yet.
    pub fn unsaved_headers(&self) -> &[(BitcoinHeight, Header)] {
        &self.unsaved_headers
    }

    /// What waited for a time that has come.
    pub fn tick(&mut self, now: UnixTime) -> Vec<Submission> {
        self.waiting.release_until(now)
    }

    /// Puts the shares of a saved block back into the pool after [`ShareChain::load`], as far as they may be needed.
    pub fn readmit(&mut self, share: crate::verify::Bound) -> Result<(), Refusal> {
        let share: VerifiedShare = self.verify(share)?;
        if share.is_share() && share.share().commitment.height >= self.oldest_share_kept() {
            self.shares.insert(share);
        }
        Ok(())
    }
}
