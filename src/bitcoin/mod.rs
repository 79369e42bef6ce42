//! The Bitcoin network as the node sees it: templates in, blocks and headers out, whoever stands behind.
//!
//! Read in this order: [`template`] (what is mined on), this file (the trait and its errors), [`rpc`] over [`endpoint`]
//! and `http` (a bitcoind), [`embedded`] (a chain in this process, for trying out), [`client`] over `source`,
//! [`submit`] and `zmq` (several back ends as one, which is what the rest of the node uses), [`found`] (found blocks on
//! the disk until one has taken them), [`compact`] (a block as its ids, put together again elsewhere).
//!
//! It knows nothing of shares, and judges no headers by Bitcoin's rules: `sharechain` does that.

pub mod client;
pub mod compact;
pub mod embedded;
pub mod endpoint;
pub mod found;
mod http;
pub mod rpc;
mod source;
pub mod submit;
pub mod template;
mod template_json;
mod zmq;

#[cfg(test)]
#[path = "../../tests/support/block.rs"]
mod test_blocks;

use std::pin::Pin;

use bitcoin::{BlockHash, Txid, Wtxid, block::Header};
use hyper::body::Bytes;
use sharechain::units::BitcoinHeight;
use thiserror::Error;

pub use template::{Template, TemplateTx};
pub use template_json::BadTemplate;

/// An answer that is still to come.
///
/// Boxed, so that [`Backend`] can be a trait object: the node holds several back ends of different kinds, and tests
/// stand in their own. One allocation beside a network round trip is nothing.
pub type Reply<'a, T> = Pin<Box<dyn Future<Output = Result<T, BackendError>> + Send + 'a>>;

/// A Bitcoin node: a bitcoind, or the chain in this process.
///
/// Dropping a reply gives up waiting for it, except that a [`submit_block`](Self::submit_block) may have taken effect.
pub trait Backend: Send + Sync + 'static {
    /// What to call it in logs and errors; holds no credentials.
    fn name(&self) -> &str;

    /// A template. With the `long_poll_id` of an earlier one: only when there is a better one, which can take hours.
    fn template<'a>(&'a self, long_poll_id: Option<&'a str>) -> Reply<'a, Template>;

    /// Hands in a whole block in consensus encoding. That it was refused is an answer, not an error.
    fn submit_block<'a>(&'a self, block: &'a [u8]) -> Reply<'a, Verdict>;

    /// The header of this hash, `None` if it is not known there.
    fn header(&self, hash: BlockHash) -> Reply<'_, Option<FoundHeader>>;

    /// Headers of the best chain from this height on: at most `count` and [`MAX_HEADERS`], fewer where the chain ends.
    fn headers(&self, first: BitcoinHeight, count: u32) -> Reply<'_, Vec<Header>>;

    /// Makes a header known whose parent is known there. A header that is known already is no error.
    fn submit_header<'a>(&'a self, header: &'a Header) -> Reply<'a, ()>;

    /// The transactions that wait to be mined there, in no particular order.
    fn mempool(&self) -> Reply<'_, Vec<MempoolEntry>>;

    /// The consensus encoding, with witness, of transactions of the mempool, in the order of `ids`; none for those that
    /// are not (or no longer) there.
    fn transactions<'a>(&'a self, ids: &'a [Txid]) -> Reply<'a, Vec<Option<Bytes>>>;

    /// Which chain it is on and how far.
    fn chain_info(&self) -> Reply<'_, ChainInfo>;

    /// Told once, before anything else, which headers were saved when this node last ran, parents before children. A
    /// Bitcoin node keeps its own chain and wants none; the chain in this process would begin anew without them.
    fn restore(&self, headers: &[Header]) {
        let _ = headers;
    }
}

/// Most headers that one [`Backend::headers`] gives: a retarget period.
pub const MAX_HEADERS: u32 = 2_016;

/// What became of a block that was handed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Taken. The note is what was said other than a plain yes: `duplicate`, `inconclusive` (a block beside the best
    /// chain) or `duplicate-inconclusive`.
    Accepted {
        /// The answer in BIP22's words, if it was not the plain one.
        note: Option<String>,
    },
    /// Refused, with the reason in BIP22's or the node's words.
    Rejected {
        /// For example `high-hash` or `bad-cb-amount`.
        reason: String,
    },
}

impl Verdict {
    /// From the result of `submitblock`: nothing, or a word (BIP22).
    pub fn from_bip22(answer: Option<String>) -> Self {
        match answer.as_deref() {
            None => Self::Accepted { note: None },
            Some("duplicate" | "inconclusive" | "duplicate-inconclusive") => Self::Accepted { note: answer },
            Some(reason) => Self::Rejected { reason: reason.to_owned() },
        }
    }
}

/// A transaction that waits in a mempool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MempoolEntry {
    /// Its id.
    pub txid: Txid,
    /// Its id with witness.
    pub wtxid: Wtxid,
}

/// A header that a back end knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundHeader {
    /// The header.
    pub header: Header,
    /// Its height.
    pub height: BitcoinHeight,
    /// Whether it was on the best chain when asked.
    pub on_best_chain: bool,
}

/// The state of a back end's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainInfo {
    /// `main`, `testnet4`, `signet`, `regtest`, as `getblockchaininfo` names them; `embedded` for the chain in this process.
    pub chain: String,
    /// Height of the best block.
    pub blocks: BitcoinHeight,
    /// Height of the best header, which is above `blocks` while blocks are missing.
    pub headers: BitcoinHeight,
    /// Hash of the best block.
    pub best: BlockHash,
    /// Whether it says that it is still fetching old blocks.
    pub initial_block_download: bool,
    /// The script that a signet's blocks must satisfy (BIP325).
    pub signet_challenge: Option<Vec<u8>>,
}

impl ChainInfo {
    /// Whether blocks need nobody's signature: no signet, or one whose challenge is OP_TRUE. The public signet is not.
    pub fn is_minable(&self) -> bool {
        const OP_TRUE: [u8; 1] = [0x51];
        self.signet_challenge.as_deref().is_none_or(|challenge| challenge == OP_TRUE)
    }
}

/// Why a back end gave no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BackendError {
    /// No connection, no answer in time, or too busy.
    #[error("{backend} cannot be reached ({reason}): is it running, and is the address right?")]
    Unreachable {
        /// Name of the back end.
        backend: String,
        /// What happened.
        reason: String,
    },
    /// The user, password or cookie is wrong, or this address is not allowed to ask.
    #[error(
        "{backend} refused the credentials ({reason}): check the cookie file, or user and password, and rpcallowip"
    )]
    Unauthorized {
        /// Name of the back end.
        backend: String,
        /// What it said.
        reason: String,
    },
    /// It runs, and says that it is starting or still fetching old blocks.
    #[error("{backend} is not ready yet ({message}): wait until it is")]
    Syncing {
        /// Name of the back end.
        backend: String,
        /// What it said.
        message: String,
    },
    /// It answered the call with an error.
    #[error("{backend} answered {method} with error {code}: {message}")]
    Rpc {
        /// Name of the back end.
        backend: String,
        /// The RPC.
        method: &'static str,
        /// Bitcoin Core's or JSON-RPC's error code.
        code: i64,
        /// What it said.
        message: String,
    },
    /// It answered with something that makes no sense.
    #[error("{backend} gave an answer to {method} that cannot be used: {reason}")]
    Malformed {
        /// Name of the back end.
        backend: String,
        /// The RPC.
        method: &'static str,
        /// What is wrong with the answer.
        reason: String,
    },
    /// It is on another chain than this node.
    #[error("{backend} is on the chain {found}, but this node mines on {expected}: change one of the two")]
    WrongChain {
        /// Name of the back end.
        backend: String,
        /// Its chain.
        found: String,
        /// The chain of this node.
        expected: String,
    },
}

impl BackendError {
    /// Whether the same call may succeed later without anybody changing the call: it says nothing about what was asked.
    pub fn is_about_the_connection(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Unauthorized { .. } | Self::Syncing { .. } => true,
            Self::Rpc { .. } | Self::Malformed { .. } | Self::WrongChain { .. } => false,
        }
    }
}
