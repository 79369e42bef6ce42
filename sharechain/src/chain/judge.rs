//! Checks 3 to 6, and the way of one submission up to what it would change.

use super::graft::{Grafted, Level};
use super::prepare::ChangeSet;
use super::tree::Place;
use super::{Ranking, Selections, ShareChain};
use crate::bitcoin_headers::{BitcoinContext, ContextError};
use crate::coinbase::{self, CoinbaseInputs};
use crate::error::{InvalidShare, Missing, Refusal};
use crate::params::{
    CHEAP_FORK_DEPTH, FUTURE_DROP, MAX_HEADER_TIME_AHEAD, MAX_REORG_DEPTH, MOST_EASIER_THAN_TIP,
    SHARE_FORK_DEPTH,
};
use crate::payout::{self, Payouts};
use crate::pool::Source;
use crate::share::{CoinbaseLink, Commitment, Share, ShareId};
use crate::target::Target;
use crate::units::{BitcoinHeight, Height, UnixTime};
use crate::verify::{Bound, VerifiedShare};

/// Something to be judged: a share and, when it may be a share block, what it lists.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The share.
    pub share: Bound,
    /// The ids that it lists, in order, when it is offered as a block.
    pub includes: Option<Vec<ShareId>>,
    /// Listed shares that may not be here yet.
    pub bodies: Vec<Bound>,
    /// Who sent it.
    pub source: Source,
    /// Whether it answers a question of this node's own sync: then it is not measured by how far behind it is.
    pub wanted: bool,
}

impl Submission {
    /// A share that nobody offers as a block.
    pub const fn share(share: Bound, source: Source) -> Self {
        Self { share, includes: None, bodies: Vec::new(), source, wanted: false }
    }

    /// A share that is offered as a block with this list, whose shares should be here already.
    pub const fn block(share: Bound, includes: Vec<ShareId>, source: Source) -> Self {
        Self { share, includes: Some(includes), bodies: Vec::new(), source, wanted: false }
    }

    /// A block with the shares that it lists, in order.
    pub fn whole_block(share: Bound, listed: Vec<Bound>, source: Source) -> Self {
        let includes = Some(listed.iter().map(Bound::id).collect());
        Self { share, includes, bodies: listed, source, wanted: false }
    }

    /// The same as an answer to a question of this node's own sync.
    pub fn wanted(self) -> Self {
        Self { wanted: true, ..self }
    }
}

/// What a submission would change.
#[derive(Debug)]
pub struct Step {
    /// The share, when it is new here and meets its share target.
    pub share: Option<VerifiedShare>,
    /// The block that it is, ready to be saved and applied.
    pub block: Option<ChangeSet>,
    /// Shares that came with the block and are not in the pool yet: a reorganisation may want them there.
    pub bodies: Vec<VerifiedShare>,
    /// Why it is not a block, when it was offered as one.
    pub not_a_block: Option<Refusal>,
}

impl ShareChain {
    /// Judges a submission by the clock `now`. Only caches and the list of invalid ids change.
    pub fn judge(&mut self, submission: &Submission, now: UnixTime) -> Result<Step, Refusal> {
        let bound = &submission.share;
        let id = bound.id();
        if self.invalid.contains(&id) {
            return Err(Refusal::KnownInvalid);
        }
        self.check_clock(&bound.share().commitment, now)?;
        let known = self.shares.get(&id).cloned();
        let is_stored = self.tree.find(&id).is_some();
        let offered = submission.includes.as_ref().filter(|_| bound.block_target().is_some() && !is_stored);
        let grafted = offered.and_then(|_| self.grafted(bound, submission.wanted));
        let keeps_block = offered.is_some() && (submission.wanted || !self.is_cheap_fork(bound, grafted));
        let keeps_share =
            known.is_none() && bound.is_share() && grafted.is_none() && self.keeps(&bound.share().commitment);
        if !keeps_share && !keeps_block {
            return Err(if known.is_some() || is_stored { Refusal::Known } else { Refusal::Behind });
        }
        let level = grafted.map_or(Level::Full, |grafted| grafted.level);
        let share = known.map_or_else(|| self.verify_at(bound.clone(), level), Ok)?;
        let block = match offered {
            Some(includes) if keeps_block => {
                Some(self.prepare(&share, includes, &submission.bodies, grafted))
            }
            Some(_) => Some(Err(Refusal::Behind)),
            None => None,
        };
        let (block, bodies, not_a_block) = match block {
            Some(Ok((block, bodies))) => (Some(block), bodies, None),
            Some(Err(refusal)) if !keeps_share => return Err(refusal),
            refused => (None, Vec::new(), refused.and_then(Result::err)),
        };
        Ok(Step { share: Some(share).filter(|_| keeps_share), block, bodies, not_a_block })
    }

    /// Checks 3 to 6.
    pub fn verify(&mut self, bound: Bound) -> Result<VerifiedShare, Refusal> {
        self.verify_at(bound, Level::Full)
    }

    /// Those of checks 3 to 6 that are due at a level. What passed fewer than all must not come into the pool.
    pub(super) fn verify_at(&mut self, bound: Bound, level: Level) -> Result<VerifiedShare, Refusal> {
        if let Some(share) = self.shared_verdict(&bound, level) {
            return Ok(share);
        }
        let result = self.check(&bound, level);
        if let Err(Refusal::Share(_)) = result {
            self.invalid.insert(bound.id());
        }
        let context = result?;
        let share_target = bound.share_target();
        let share = VerifiedShare::new(bound, share_target, context);
        if let Some(shared) = self.shared.as_ref().filter(|_| level == Level::Full) {
            shared.insert(&share);
        }
        Ok(share)
    }

    /// The verdict of another chain, if this one knows all that it depends on.
    fn shared_verdict(&self, bound: &Bound, level: Level) -> Option<VerifiedShare> {
        let shared = self.shared.as_ref().filter(|_| level == Level::Full)?;
        let share = bound.share();
        self.tree.find(&share.commitment.base)?;
        self.headers.get(&share.header.prev_block)?;
        shared.share(&bound.id())
    }

    fn check(&mut self, bound: &Bound, level: Level) -> Result<BitcoinContext, Refusal> {
        let share = bound.share();
        let commitment = &share.commitment;
        if !self.upgrades.knows(commitment.version) {
            return Err(Refusal::Waits(Missing::Version(commitment.version)));
        }
        if level != Level::Context {
            let base =
                self.tree.find(&commitment.base).ok_or(Refusal::Waits(Missing::Base(commitment.base)))?;
            self.check_against_base(base, bound.share_target(), commitment.height).map_err(Refusal::Share)?;
            let (due, _) = self.version_and_signals(base);
            if level == Level::Full && commitment.version != due {
                return Err(Refusal::Share(InvalidShare::Version { due }));
            }
        }
        let context = self.headers.context(&share.header).map_err(|error| match error {
            ContextError::UnknownPrevBlock(hash) => Refusal::Waits(Missing::PrevBlock(hash)),
            other => Refusal::Share(InvalidShare::Bitcoin(other)),
        })?;
        check_bitcoin_claims(commitment, share.header.time, &context).map_err(Refusal::Share)?;
        if level != Level::Full {
            return Ok(context);
        }
        let payouts = self.payouts_of(share).ok_or(Refusal::Behind)?;
        if pays(share, &payouts) { Ok(context) } else { Err(Refusal::Share(InvalidShare::Coinbase)) }
    }

    /// Check 4.
    fn check_against_base(
        &self,
        base: Place,
        share_target: Target,
        height: Height,
    ) -> Result<(), InvalidShare> {
        let base_target = self.base_target(base);
        if share_target < base_target || share_target > self.params.easiest_share_target(base_target) {
            return Err(InvalidShare::ShareTarget);
        }
        let follows = self.tree.height(base).saturating_add(self.params.base_depth).saturating_add(1);
        let right = match base {
            Place::Root => (Height(1)..=follows).contains(&height),
            Place::At(_) => height == follows,
        };
        if right { Ok(()) } else { Err(InvalidShare::Height(height)) }
    }

    /// The selections that a coinbase on this base pays by; none where the payout block has been pruned.
    pub(super) fn due(
        &mut self,
        base: Place,
        prev_block: bitcoin::BlockHash,
        height: BitcoinHeight,
    ) -> Option<Selections> {
        let payout_block = self.payout_block(base, height)?;
        self.desk.selections(&self.params, &self.tree, payout_block, (prev_block, height))
    }

    /// The scores that the coinbase of a share is shared out by; none when its base or payout block has been pruned.
    pub fn ranking_due(&mut self, share: &Share) -> Option<Ranking> {
        let base = self.tree.find(&share.commitment.base)?;
        let payout_block = self.payout_block(base, share.commitment.bitcoin_height)?;
        self.desk.ranking(&self.params, &self.tree, payout_block)
    }

    /// The scores that the coinbase of a share on the tip would be shared out by, in the Bitcoin block at this height; none
    /// when the payout block has been pruned.
    pub fn ranking_due_next(&mut self, bitcoin_height: BitcoinHeight) -> Option<Ranking> {
        let parent = self.tree.tip();
        let base = self.base_of(parent).unwrap_or(parent);
        let payout_block = self.payout_block(base, bitcoin_height)?;
        self.desk.ranking(&self.params, &self.tree, payout_block)
    }

    /// Whom the coinbase of a share pays, whose base is in memory; none when it or its payout block has been pruned.
    pub fn payouts_of(&mut self, share: &Share) -> Option<Payouts> {
        let commitment = &share.commitment;
        let base = self.tree.find(&commitment.base)?;
        let selections = self.due(base, share.header.prev_block, commitment.bitcoin_height)?;
        let class = self.params.classes.iter().position(|class| *class == commitment.class)?;
        Some(payout::split(selections.get(class)?, commitment.coinbase_value, commitment.owner))
    }

    fn check_clock(&self, commitment: &Commitment, now: UnixTime) -> Result<(), Refusal> {
        let ahead = commitment.time.seconds_since(now);
        if ahead > i64::from(FUTURE_DROP) {
            return Err(Refusal::FarAhead);
        }
        if ahead > i64::from(self.params.future_limit) {
            let ready = UnixTime(commitment.time.0.saturating_sub(self.params.future_limit));
            return Err(Refusal::Waits(Missing::Time(ready)));
        }
        Ok(())
    }

    /// Whether a share that says this is kept for listing: a block after the tip could still list it, and its base is on
    /// the active branch, on one with at least the work of the tip's ancestor 16 blocks back, or not known yet.
    pub(super) fn keeps(&self, commitment: &Commitment) -> bool {
        if commitment.height.saturating_add(self.params.include_depth) <= self.height() {
            return false;
        }
        let Some(base) = self.tree.find(&commitment.base) else { return true };
        let enough = self.work_back(self.tree.tip(), SHARE_FORK_DEPTH);
        let is_strong = |leaf| self.tree.work(leaf) >= enough && self.tree.is_ancestor(base, leaf);
        self.tree.is_active(base) || self.tree.leaves().any(is_strong)
    }

    /// Whether a block would have less cumulative work than the tip's ancestor 120 blocks back. Unlike a share, it is
    /// kept however weak its base's branch still is: that is how a branch from a long split catches up.
    fn is_cheap_fork(&self, block: &Bound, grafted: Option<Grafted>) -> bool {
        let commitment = &block.share().commitment;
        let Some(parent) = self.tree.find(&commitment.parent) else {
            // Looking up what was due there would cost more than making it. No branch from there is followed anyway.
            let deepest = self.height().saturating_sub(MAX_REORG_DEPTH);
            return commitment.height < deepest && self.tree.find(&commitment.base).is_some();
        };
        let rival = match grafted {
            None => self.tree.tip(),
            Some(grafted) if grafted.level != Level::Full => return true,
            Some(_) => self.heaviest_of(self.tree.stem(parent)).unwrap_or(parent),
        };
        self.work_with(parent, block.block_target()) < self.work_back(rival, CHEAP_FORK_DEPTH)
    }
}

impl ShareChain {
    /// The easiest share target that shares of others may have, 4 times the easiest at the tip. It means something only
    /// while the tip is level with the others' tips.
    pub fn easiest_share(&self) -> Option<Target> {
        Some(self.share_target()?.easier_by(MOST_EASIER_THAN_TIP))
    }

    /// The easiest share target of a share on the tip. None while the tip's base is not here.
    pub fn share_target(&self) -> Option<Target> {
        let base = self.base_of(self.tree.tip())?;
        Some(self.params.easiest_share_target(self.base_target(base)))
    }

    /// Whether a share's target is near enough to the tip's, so that looking at its proof of work is worth it.
    ///
    /// To be asked before [`Bound::new`], of what others send without having been asked. It is nobody's fault if a share
    /// does not fit: another node may have another tip.
    pub fn fits_tip(&self, share: &Share) -> bool {
        fits(self.easiest_share(), share)
    }
}

/// [`ShareChain::fits_tip`] for an [`ShareChain::easiest_share`] from before.
pub fn fits(easiest: Option<Target>, share: &Share) -> bool {
    let target = Target::from_compact(share.commitment.share_bits);
    easiest.is_none_or(|easiest| target.is_ok_and(|target| target <= easiest))
}

/// Check 5, as far as it compares the commitment with the header's place.
fn check_bitcoin_claims(
    commitment: &Commitment,
    header_time: u32,
    context: &BitcoinContext,
) -> Result<(), InvalidShare> {
    let (claimed, actual) = (commitment.bitcoin_height.0, context.height.0);
    if claimed != actual {
        return Err(InvalidShare::BitcoinHeight { claimed, actual });
    }
    if header_time > commitment.time.saturating_add(MAX_HEADER_TIME_AHEAD).0 {
        return Err(InvalidShare::HeaderTime);
    }
    Ok(())
}

/// Whether the coinbase that a share was mined with pays these, and all else that is due for its commitment.
pub fn pays(share: &Share, payouts: &Payouts) -> bool {
    link_due(&share.commitment, payouts).as_ref() == Some(&share.link)
}

/// The link of the coinbase that is due for a commitment.
fn link_due(commitment: &Commitment, payouts: &Payouts) -> Option<CoinbaseLink> {
    CoinbaseLink::of_prefix(&coinbase::prefix(&CoinbaseInputs {
        bitcoin_height: commitment.bitcoin_height,
        tag: &commitment.tag,
        witness_commitment: &commitment.witness_commitment,
        payouts,
    }))
}
