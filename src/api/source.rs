//! Where answers come from: the chain of a running node, or one read from an opened store. Both are asked alike.

use crate::chain::read::ReadError as BodyError;
use crate::chain::{ChainHandle, Reader, Stopped};
use sharechain::chain::ShareChain;
use sharechain::share::ShareId;
use sharechain::store::ShareStore;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use thiserror::Error;
use tokio::sync::oneshot;

/// A question to the chain and its bodies. In a running node the chain stands still meanwhile, so it must be short.
pub type Question = Box<dyn FnOnce(&mut Reader<'_>) + Send>;

/// Answers questions.
pub trait ChainSource: Send + Sync + 'static {
    /// Asks; done when the question has been run.
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>>;
}

impl ChainSource for ChainHandle {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        Box::pin(self.read(move |reader| question(reader)))
    }
}

/// A chain in memory and its store, without a node around them.
pub struct Opened<S>(Mutex<(ShareChain, S)>);

impl<S> Opened<S> {
    /// Asks these two from now on.
    pub const fn new(chain: ShareChain, store: S) -> Self {
        Self(Mutex::new((chain, store)))
    }
}

impl<S: ShareStore + Send + 'static> ChainSource for Opened<S> {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send + '_>> {
        Box::pin(async move {
            let mut both = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let (chain, store) = &mut *both;
            question(&mut Reader::new(chain, store));
            Ok(())
        })
    }
}

/// Asks a question that has an answer.
pub(super) async fn ask<T: Send + 'static>(
    source: &dyn ChainSource,
    question: impl FnOnce(&mut Reader<'_>) -> Result<T, ReadError> + Send + 'static,
) -> Result<T, ReadError> {
    let (reply, answer) = oneshot::channel();
    let question = Box::new(move |reader: &mut Reader<'_>| {
        // Whoever asked may have gone; then nobody wants the answer.
        let _ = reply.send(question(reader));
    });
    source.ask(question).await?;
    answer.await.map_err(|_| ReadError::Stopping)?
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
    /// What should be due for the share is not what its coinbase pays.
    #[error(
        "the payouts that follow for share {0} from the chain kept here are not those of its own coinbase: the store is damaged, this program is at fault, or peers gave the block in a first sync that does not check this of the oldest ones; `commonwork chain verify` looks at all of it"
    )]
    OtherCoinbase(ShareId),
    /// A block went while it was being exported.
    #[error("share block {0} is no longer kept: it was pruned while it was being read; ask again")]
    Gone(ShareId),
    /// The chain has no such class.
    #[error("this chain has no payout class {given}; its classes are {}", classes(.known))]
    Class {
        /// The class asked for.
        given: u16,
        /// The classes that there are.
        known: Vec<u16>,
    },
    /// The Bitcoin headers do not allow a next block yet.
    #[error("the next Bitcoin block cannot be told: {0}")]
    NextBlock(String),
    /// The store cannot be read.
    #[error("{0}")]
    Store(String),
    /// What was kept of found blocks cannot be read.
    #[error(
        "what earlier runs kept of found blocks and payments cannot be read: {0}. To begin anew, stop the node and move its \
         folder `history` elsewhere: hash rates, best shares and what old blocks paid are not known then. A fault of the disk \
         that passes needs nothing: it is read again by itself"
    )]
    Ledger(String),
    /// Found blocks are still being looked for, for the first time since the start.
    #[error("the node has just started and still looks for found blocks; ask again in a moment")]
    NotYet,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

fn classes(known: &[u16]) -> String {
    known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl From<Stopped> for ReadError {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopping
    }
}

impl From<BodyError> for ReadError {
    fn from(error: BodyError) -> Self {
        Self::Store(error.to_string())
    }
}
