//! The questions that can be asked about a chain. A running node and an opened store answer them alike.

use super::form::{BlocksForm, PayoutsForm, ShownForm, TipForm};
use sharechain::share::ShareId;
use thiserror::Error;

/// Most blocks in one answer.
pub const MAX_BLOCKS: u32 = 1_000;

/// Answers questions about a chain; it may take a while, so not on a thread that others wait for.
pub trait ChainReader: Send + Sync + 'static {
    /// The state of the chain.
    fn tip(&self) -> Result<TipForm, ReadError>;

    /// Blocks of the active branch, lowest first: at most `count` (and [`MAX_BLOCKS`]) from the height `from` up, or
    /// the newest.
    fn blocks(&self, from: Option<u32>, count: u32) -> Result<BlocksForm, ReadError>;

    /// A share or share block.
    fn show(&self, id: ShareId) -> Result<ShownForm, ReadError>;

    /// What the coinbase of a share pays; or, without one, what the next Bitcoin block would pay in a payout class
    /// (the smallest if none is named).
    fn payouts(&self, share: Option<ShareId>, class: Option<u16>) -> Result<PayoutsForm, ReadError>;

    /// The whole chain as lines of JSON (the lines of an export). Ends early without an error when the sink does not want more.
    fn export(&self, sink: &mut dyn FnMut(String) -> Wanted) -> Result<(), ReadError>;
}

/// Whether a sink takes more lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// It does.
    More,
    /// Nobody reads any more.
    NoMore,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadError {
    /// No such share here.
    #[error("share {0} is not known here: it may be on another chain, older than what is kept, or mistyped")]
    UnknownShare(ShareId),
    /// The share is here, but not what its coinbase follows from.
    #[error(
        "what share {0} pays cannot be told any more: the blocks that it follows from are no longer kept"
    )]
    Pruned(ShareId),
    /// The chain has no such class.
    #[error("this chain has no payout class {given}; its classes are {}", classes(.known))]
    Class {
        /// The class asked for.
        given: u16,
        /// The classes that there are.
        known: Vec<u16>,
    },
    /// The chain has not begun, or its headers are not there yet.
    #[error("nothing can be told yet: {0}")]
    NotYet(&'static str),
    /// The store cannot be read.
    #[error("the store cannot be read: {0}")]
    Store(String),
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

fn classes(known: &[u16]) -> String {
    known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
