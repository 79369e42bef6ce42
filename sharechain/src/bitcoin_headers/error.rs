//! Why Bitcoin headers and shares built on them are refused, and who is to blame for it.

use super::MAX_STALE_HEADERS;
use super::rules::TimeRule;
use crate::units::BitcoinHeight;
use bitcoin::BlockHash;
use thiserror::Error;

/// Why a run of headers is not the one before the first Bitcoin block. What the run came from is at fault, or the chain file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AncestorsError {
    /// The run does not reach back far enough.
    #[error("{given} headers up to the first Bitcoin block are too few, {needed} are needed")]
    TooFew {
        /// Headers in the run.
        given: usize,
        /// Headers that it needs, the first Bitcoin block included.
        needed: usize,
    },
    /// The last header is not the first Bitcoin block.
    #[error("the run ends with {found}, but the chain's first Bitcoin block is {expected}")]
    WrongEnd {
        /// Hash of the last header.
        found: BlockHash,
        /// Hash in the chain parameters.
        expected: BlockHash,
    },
    /// A header does not follow from the one before it in the run.
    #[error("the header at height {0} does not link to the one before it")]
    Broken(BitcoinHeight),
    /// The parameters' height cannot be right: the run's header at height 0 has a parent, or one above has none.
    #[error("the chain's first Bitcoin block is not at the height that its parameters say")]
    WrongHeight,
    /// The first Bitcoin block has bits that no block can have.
    #[error("the first Bitcoin block has the impossible bits {0:#010x}")]
    Bits(u32),
}

/// Why a Bitcoin header was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// The parent is not known. Nobody is to blame: ask for it, from whoever sent this.
    #[error("the parent {0} is not known")]
    UnknownParent(BlockHash),
    /// The header forks off before the first Bitcoin block. The sender is to blame.
    #[error("the header does not descend from the chain's first Bitcoin block")]
    BeforeFirst,
    /// The version is obsolete. The sender is to blame.
    #[error("version {0} is below 4")]
    Version(i32),
    /// The time is too early. The sender is to blame.
    #[error(transparent)]
    Time(#[from] TooEarly),
    /// The bits are not the required ones. The sender is to blame.
    #[error(transparent)]
    Bits(#[from] WrongBits),
    /// The hash does not meet the target. The sender is to blame.
    #[error("the hash {0} does not meet the header's target")]
    ProofOfWork(BlockHash),
    /// There are [`MAX_STALE_HEADERS`] headers off the best chain, and this one is no better. Nobody is to blame:
    /// [`HeaderTree::prune`](super::HeaderTree::prune) makes room.
    #[error(
        "{MAX_STALE_HEADERS} headers off the best chain are held already; those that no share names must go first"
    )]
    TooManyStale,
    /// The time is more than two hours ahead of the clock here. Nobody is to blame: clocks differ.
    #[error("time {0} is more than two hours ahead of the clock")]
    FarAhead(u32),
}

/// Why a share's header has no place in Bitcoin's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ContextError {
    /// The previous block is not known. Nobody is to blame: ask the sender for its header.
    #[error("the previous Bitcoin block {0} is not known")]
    UnknownPrevBlock(BlockHash),
    /// The previous block is older than the first Bitcoin block. Who made the share is to blame.
    #[error("the previous block is older than the chain's first Bitcoin block")]
    BeforeFirst,
    /// The version is obsolete. Who made the share is to blame.
    #[error("version {0} is below 4")]
    Version(i32),
    /// The time is too early. Who made the share is to blame.
    #[error(transparent)]
    Time(#[from] TooEarly),
    /// The bits are not the required ones. Who made the share is to blame.
    #[error(transparent)]
    Bits(#[from] WrongBits),
}

/// A header's time is before the earliest allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("time {time} is before {earliest}, the earliest by {rule}")]
pub struct TooEarly {
    /// The header's time, in seconds since 1970.
    pub time: u32,
    /// The earliest time allowed. It may be the second after the last one of 32 bits.
    pub earliest: u64,
    /// What demands it.
    pub rule: TimeRule,
}

/// A header's bits are not what the headers before it and its own time require.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("bits {given:#010x} where {required:#010x} is required")]
pub struct WrongBits {
    /// The header's bits.
    pub given: u32,
    /// The required bits.
    pub required: u32,
}
