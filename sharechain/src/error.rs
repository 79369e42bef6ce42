//! Why a share or share block is not taken, and who is to blame.
//!
//! Callers act on [`Refusal::blame`] and on the variants, never on texts.

use crate::bitcoin_headers::ContextError;
use crate::share::ShareId;
use crate::units::{Height, UnixTime};
use bitcoin::BlockHash;
use thiserror::Error;

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The sender's: an honest node that follows this protocol never sends such a thing.
    Sender,
    /// Nobody's: delay, another view of the chain, a clock that is off.
    Nobody,
}

/// Something that is not here yet, and without which a share can not be judged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Error)]
pub enum Missing {
    /// The share block that is the share's base.
    #[error("its base {0} is not known")]
    Base(ShareId),
    /// The share block that a block was mined on.
    #[error("its parent {0} is not known")]
    Parent(ShareId),
    /// The Bitcoin block that the share builds on.
    #[error("Bitcoin block {0} is not known")]
    PrevBlock(BlockHash),
    /// A share that a block lists.
    #[error("it lists share {0}, which is not known")]
    Share(ShareId),
    /// The time at which the share is no longer ahead of the clock.
    #[error("its time is ahead of the clock; it can be judged at {0}")]
    Time(UnixTime),
    /// A node that knows this version's rules.
    #[error("it is of version {0}, which this node does not know: look for a newer release")]
    Version(u32),
}

/// A rule that a share breaks, wherever and whenever it is judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidShare {
    /// Check 4: the share target is not between the base's block target and the easiest for that base.
    #[error("its share target is outside what its base allows")]
    ShareTarget,
    /// Check 4: the version is not the one in force for its base.
    #[error("shares on its base have version {due}")]
    Version {
        /// The version that they have.
        due: u32,
    },
    /// Check 4: the height does not follow from the base.
    #[error("its height {0} does not follow from its base")]
    Height(Height),
    /// Check 5.
    #[error("its Bitcoin header does not fit its place: {0}")]
    Bitcoin(ContextError),
    /// Check 5: the claimed Bitcoin height is not that of the header.
    #[error("it claims Bitcoin height {claimed}, its header has height {actual}")]
    BitcoinHeight {
        /// The commitment's.
        claimed: u32,
        /// What follows from prev_block.
        actual: u32,
    },
    /// Check 5: the header's time is too far after the commitment's.
    #[error("its header time is more than two hours after its commitment's time")]
    HeaderTime,
    /// Check 6.
    #[error("its coinbase does not pay what is due")]
    Coinbase,
}

/// A rule that a share breaks as a share block; it may still be a share (check 7).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidBlock {
    /// The base is not the parent's ancestor at the base depth.
    #[error("its base does not follow from its parent")]
    Base,
    /// The height is not the parent's and 1.
    #[error("its height does not follow from its parent")]
    Height,
    /// The time is not above the median of the parent's last 11.
    #[error("its time is not above the median of the blocks before it")]
    Time,
    /// The bits are not those that follow from the parent and the time.
    #[error("its bits do not follow from its parent and its time")]
    Bits,
    /// Its prev_block is older than its parent's place allows.
    #[error("it builds on a Bitcoin block that is too old")]
    Stale,
    /// The list is not the one that the commitment names.
    #[error("its list of shares is not the one that its commitment names")]
    Includes,
    /// More shares than a block may list.
    #[error("it lists too many shares")]
    TooManyListed,
    /// A listed share that may not be listed there.
    #[error("it may not list share {id}: {problem}")]
    Listed {
        /// The listed share.
        id: ShareId,
        /// What is wrong with it.
        problem: ListedProblem,
    },
}

/// Why a share may not be listed by a block.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ListedProblem {
    /// The share is not valid by itself.
    #[error("it is invalid: {0}")]
    Invalid(InvalidShare),
    /// It was found invalid before.
    #[error("it was found invalid before")]
    KnownInvalid,
    /// It misses its share target, so there is nothing to credit.
    #[error("it misses its share target")]
    NotAShare,
    /// It is in the list already, or the block itself.
    #[error("it is listed twice, or is the block itself")]
    Twice,
    /// It has been credited on this branch already.
    #[error("it has been credited already")]
    Credited,
    /// Its base is not the block's base or one of its ancestors.
    #[error("its base is not on this branch")]
    Base,
    /// Its height is above the block's, or too far below it.
    #[error("its height is out of reach")]
    Height,
    /// Its time is too far after the block's.
    #[error("its time is too far after the block's")]
    Time,
    /// It builds on a Bitcoin block that was too old at its height.
    #[error("it builds on a Bitcoin block that is too old")]
    Stale,
}

/// Why something submitted changes nothing now.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is here already.
    #[error("it is known already")]
    Known,
    /// Something is missing; the share can be judged when it comes.
    #[error("it waits: {0}")]
    Waits(Missing),
    /// Its id was found invalid before.
    #[error("it was found invalid before")]
    KnownInvalid,
    /// The share is invalid.
    #[error("the share is invalid: {0}")]
    Share(InvalidShare),
    /// The block is invalid and is not a share either.
    #[error("the share block is invalid: {0}")]
    Block(InvalidBlock),
    /// It can not become part of the chain any more.
    #[error("it is too old, or on a branch that has fallen too far behind")]
    Behind,
    /// Its time is so far ahead that it is not even held.
    #[error("its time is too far ahead of the clock")]
    FarAhead,
}

impl Refusal {
    /// Whose fault it is.
    pub const fn blame(&self) -> Blame {
        match self {
            Self::KnownInvalid | Self::Share(_) | Self::Block(_) => Blame::Sender,
            Self::Known | Self::Waits(_) | Self::Behind | Self::FarAhead => Blame::Nobody,
        }
    }
}
