//! What the next share block on the tip must say: the rules of check 4 to 7, asked by those who make jobs.

use super::{Selections, ShareChain};
use crate::bitcoin_headers::{BitcoinContext, ContextError};
use crate::coinbase::{self, CoinbaseInputs};
use crate::owner::Owner;
use crate::params::{ChainId, ChainParams};
use crate::payout::{self, Payouts};
use crate::retarget::{RetargetInput, next_target};
use crate::share::{CoinbaseLink, Commitment, ShareHeader, ShareId, Tag, includes_hash};
use crate::target::Target;
use crate::units::{Height, UnixTime};
use std::sync::Arc;
use thiserror::Error;

/// All that the chain has to say about jobs on its tip for one Bitcoin template.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The tip.
    pub parent: ShareId,
    /// The base of shares mined on it.
    pub base: ShareId,
    /// The block target at the base; share targets lie between it and `easiest_share_target`.
    pub base_target: Target,
    /// The easiest share target allowed.
    pub easiest_share_target: Target,
    /// The height of a block on the tip.
    pub height: Height,
    /// The shares that it will list.
    pub includes: Arc<Vec<ShareId>>,
    /// What the Bitcoin headers say of the template.
    pub context: BitcoinContext,
    /// False when the template builds on a Bitcoin block too old for a share block on the tip.
    pub is_fresh: bool,
    /// The payout selection of each class, in the order of the chain's classes.
    pub selections: Selections,
    retarget: Option<RetargetInput>,
    time: UnixTime,
    version: u32,
    signals: u32,
    includes_hash: [u8; 32],
}

/// Why no job can be made on the tip for a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DraftError {
    /// The template has no place in the known Bitcoin chain.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// The reward window that its coinbase would pay by reaches into blocks that are gone: the payout block is that of a
    /// Bitcoin block more than a window ago. The next Bitcoin block helps.
    #[error("the reward window that is due for it reaches into blocks that are no longer kept")]
    Pruned,
}

/// What a node chooses freely in a commitment.
#[derive(Clone, Debug)]
pub struct JobChoices {
    /// Value of the coinbase in satoshis.
    pub coinbase_value: u64,
    /// What follows the height in the scriptSig.
    pub tag: Tag,
    /// The hash in the witness commitment output.
    pub witness_commitment: [u8; 32],
    /// Share target; it is kept within what the base allows.
    pub share_target: Target,
    /// Whom the share is credited to.
    pub owner: Owner,
    /// The payout class.
    pub class: u16,
}

impl ShareChain {
    /// What a job on the tip says, for a template with this header (nonce and rolled bits do not matter) at `now`.
    pub fn draft(&mut self, header: &ShareHeader, now: UnixTime) -> Result<Draft, DraftError> {
        let context = self.headers.context(header)?;
        let parent = self.tree.tip();
        // The tip's recent ancestors are always in memory, so neither look-up fails on a chain that loaded.
        let base = self.base_of(parent).unwrap_or(parent);
        let selections = self.due(base, header.prev_block, context.height).ok_or(DraftError::Pruned)?;
        let least_time = self.least_time(parent);
        let time = now.max(least_time);
        let mut includes = self.listable(time);
        includes.truncate(usize::try_from(self.params.max_listed).unwrap_or(usize::MAX));
        let freshness = self.tree.get(parent).map(|block| block.freshness).unwrap_or_default();
        let base_target = self.base_target(base);
        let (version, signals) = self.version_and_signals(base);
        Ok(Draft {
            parent: self.tree.id(parent),
            base: self.tree.id(base),
            base_target,
            easiest_share_target: self.params.easiest_share_target(base_target),
            height: self.tree.height(parent).saturating_add(1),
            is_fresh: freshness.allows(&context, self.tree.height(parent)),
            context,
            selections,
            retarget: self.retarget_input(parent),
            time,
            version,
            signals,
            includes_hash: includes_hash(&includes),
            includes: Arc::new(includes),
        })
    }
}

/// A job's consensus part: what is the same for every share mined on it.
#[derive(Clone, Debug)]
pub struct Made {
    /// What its shares say.
    pub commitment: Commitment,
    /// The commitment's hash.
    pub commitment_hash: [u8; 32],
    /// The coinbase up to the commitment hash.
    pub coinbase_prefix: Vec<u8>,
    /// The same, as shares carry it.
    pub link: CoinbaseLink,
    /// Whom the coinbase pays.
    pub payouts: Payouts,
}

impl Draft {
    /// A job of the draft's time; none when the class is not one of the chain's or the choices make too long a coinbase.
    pub fn make(&self, params: &ChainParams, chain: ChainId, choices: JobChoices) -> Option<Made> {
        let class = params.classes.iter().position(|class| *class == choices.class)?;
        let payouts = payout::split(self.selections.get(class)?, choices.coinbase_value, choices.owner);
        let commitment = self.commitment(params, choices);
        let coinbase_prefix = coinbase::prefix(&CoinbaseInputs {
            bitcoin_height: commitment.bitcoin_height,
            tag: &commitment.tag,
            witness_commitment: &commitment.witness_commitment,
            payouts: &payouts,
        });
        let link = CoinbaseLink::of_prefix(&coinbase_prefix)?;
        Some(Made { commitment_hash: commitment.hash(chain), commitment, coinbase_prefix, link, payouts })
    }

    fn commitment(&self, params: &ChainParams, choices: JobChoices) -> Commitment {
        let share_target = choices.share_target.clamp(self.base_target, self.easiest_share_target);
        Commitment {
            version: self.version,
            signals: self.signals,
            bitcoin_height: self.context.height,
            coinbase_value: choices.coinbase_value,
            tag: choices.tag,
            witness_commitment: choices.witness_commitment,
            parent: self.parent,
            base: self.base,
            height: self.height,
            time: self.time,
            bits: next_target(params, self.retarget.as_ref(), self.time).to_compact(),
            share_bits: share_target.to_compact(),
            owner: choices.owner,
            class: choices.class,
            includes: self.includes_hash,
        }
    }
}
