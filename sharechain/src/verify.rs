//! The stages of a share, each a type that only its checks can make (protocol section 4):
//!
//! ```text
//! Share ──bind──> Bound ──ShareChain::verify──> VerifiedShare ──ShareChain::prepare──> ChangeSet
//!        1, 2: needs the parameters only        3 to 6: needs the base          7: blocks, needs the parent
//! ```
//!
//! Here are the stages' types, the checks that need no chain, and the verdict on a header against its three targets.

use crate::bitcoin_headers::BitcoinContext;
use crate::params::{ChainId, ChainParams, MAX_MONEY};
use crate::share::{COMMITMENT_OUTPUT_HEAD, Share, ShareId, header_id};
use crate::target::{self, Target};
use crate::units::Score;
use std::sync::Arc;
use thiserror::Error;

/// The three targets that one hash is judged against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The network target of its Bitcoin header.
    pub network: Target,
    /// The block target that its commitment claims.
    pub block: Target,
    /// The share target that its commitment claims.
    pub share: Target,
}

/// What a hash is. The three are independent: after a fall of the block target a block may miss its share target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// A Bitcoin block.
    pub bitcoin_block: bool,
    /// A share block, if its parent, time and bits are right.
    pub share_block: bool,
    /// A share.
    pub share: bool,
}

impl Verdict {
    /// Whether the share chain may want it.
    pub const fn is_for_chain(&self) -> bool {
        self.share || self.share_block
    }
}

/// Judges a header hash, in the byte order that SHA-256 gives.
pub fn judge(hash: &[u8; 32], targets: &Targets) -> Verdict {
    Verdict {
        bitcoin_block: targets.network.is_met_by(hash),
        share_block: targets.block.is_met_by(hash),
        share: targets.share.is_met_by(hash),
    }
}

/// Why a share was refused before anything but the parameters was looked at.
///
/// Until [`BindError::NotBound`] is ruled out the sender is at fault, never the id; after it the id itself is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BindError {
    /// The share target is not a compact target, or easier than any that the chain allows.
    #[error("its share target is easier than the chain's easiest, or no target at all")]
    ShareBits,
    /// The coinbase does not end with the commitment output, or the hash misses both targets.
    #[error("its proof of work does not bind what it says")]
    NotBound,
    /// A field has a value that no share of this chain can have.
    #[error("its {field} is not allowed: {problem}")]
    Field {
        /// Id of the share, which will never be valid.
        id: ShareId,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A share whose proof of work binds every byte of it: checks 1 and 2, and the rules on single fields.
#[derive(Clone, Debug)]
pub struct Bound {
    share: Arc<Share>,
    id: ShareId,
    share_target: Target,
    meets_share: bool,
    block_target: Option<Target>,
}

impl Bound {
    /// Checks a share against the parameters alone.
    pub fn new(
        params: &ChainParams,
        chain: ChainId,
        share: impl Into<Arc<Share>>,
    ) -> Result<Self, BindError> {
        let share = share.into();
        let share_target =
            Target::from_compact(share.commitment.share_bits).map_err(|_| BindError::ShareBits)?;
        let easiest_block_target = params.easiest_target();
        if share_target > params.easiest_share_target(easiest_block_target) {
            return Err(BindError::ShareBits);
        }
        if !share.link.rest().ends_with(&COMMITMENT_OUTPUT_HEAD) {
            return Err(BindError::NotBound);
        }
        let id = header_id(&share.full_header(chain));
        let meets_share = share_target.is_met_by(&id.0);
        // Whatever bits a share claims, only those of a block count, and those are checked against the parent. No
        // parent allows an easier target than the chain's easiest, and to meet one would prove no work.
        let block_target = Target::from_compact(share.commitment.bits).ok();
        let block_target =
            block_target.filter(|target| *target <= easiest_block_target && target.is_met_by(&id.0));
        if !meets_share && block_target.is_none() {
            return Err(BindError::NotBound);
        }
        check_fields(params, &share).map_err(|(field, problem)| BindError::Field { id, field, problem })?;
        Ok(Self { share, id, share_target, meets_share, block_target })
    }

    /// The share. Clones share it.
    pub const fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// Its id.
    pub const fn id(&self) -> ShareId {
        self.id
    }

    /// The share target that it claims.
    pub const fn share_target(&self) -> Target {
        self.share_target
    }

    /// Whether it meets its share target, so that it can be credited.
    pub const fn is_share(&self) -> bool {
        self.meets_share
    }

    /// The block target that it claims and meets, if it does.
    pub const fn block_target(&self) -> Option<Target> {
        self.block_target
    }
}

fn check_fields(params: &ChainParams, share: &Share) -> Result<(), (&'static str, &'static str)> {
    let commitment = &share.commitment;
    if commitment.version == 0 {
        return Err(("version", "versions count from 1"));
    }
    if commitment.bitcoin_height.0 == 0 {
        return Err(("Bitcoin height", "a mined block has at least height 1"));
    }
    if commitment.bitcoin_height.0 <= 16 && commitment.tag.as_bytes().is_empty() {
        return Err((
            "tag",
            "a scriptSig of one byte is too short for Bitcoin, so up to height 16 a tag is due",
        ));
    }
    if commitment.coinbase_value < params.subsidy(commitment.bitcoin_height) {
        return Err(("coinbase value", "below the subsidy"));
    }
    if commitment.coinbase_value > MAX_MONEY {
        return Err(("coinbase value", "more than all bitcoin there will be"));
    }
    if !params.classes.contains(&commitment.class) {
        return Err(("class", "not a payout class of this chain"));
    }
    Ok(())
}

/// A share that has passed checks 3 to 6. They depend on its base and on Bitcoin headers only, so they hold on every
/// branch above the base, for good. Clones share it.
#[derive(Clone, Debug)]
pub struct VerifiedShare(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    share: Arc<Share>,
    id: ShareId,
    meets_share: bool,
    block_target: Option<Target>,
    score: Score,
    context: BitcoinContext,
}

impl VerifiedShare {
    /// Made by [`crate::chain::ShareChain::verify`] only.
    pub(crate) fn new(bound: Bound, share_target: Target, context: BitcoinContext) -> Self {
        let Bound { share, id, meets_share, block_target, .. } = bound;
        let score = target::score(share_target, context.score_target);
        Self(Arc::new(Facts { share, id, meets_share, block_target, score, context }))
    }

    /// The share.
    pub fn share(&self) -> &Arc<Share> {
        &self.0.share
    }

    /// Its id.
    pub fn id(&self) -> ShareId {
        self.0.id
    }

    /// What it is credited with.
    pub fn score(&self) -> Score {
        self.0.score
    }

    /// Whether it meets its share target, so that it can be credited.
    pub fn is_share(&self) -> bool {
        self.0.meets_share
    }

    /// The block target that it claims and meets, if it does.
    pub fn block_target(&self) -> Option<Target> {
        self.0.block_target
    }

    /// What the Bitcoin headers say of it.
    pub fn context(&self) -> &BitcoinContext {
        &self.0.context
    }
}
