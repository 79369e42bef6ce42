//! The seam between what a node says to others and whatever carries it: libp2p in a node, an event queue in the
//! simulator.
//!
//! Both sides see plain bytes and numbers; neither knows the other. What comes in is an [`Event`], what goes out is a
//! [`Command`], each through a bounded channel of its own.

use sharechain::pool::Source;
use std::net::IpAddr;
use std::time::Duration;

/// Most bytes of a gossiped message: a compact Bitcoin block of ten thousand transactions and its coinbase.
pub const MAX_GOSSIP: usize = 128 << 10;
/// Most bytes of a question.
pub const MAX_QUESTION: usize = 64 << 10;
/// Most bytes of an answer, whatever was asked.
pub const MAX_ANSWER: usize = 4 << 20;

/// A peer, as this process numbers them: the same identity has the same number until the process ends, none has 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub u64);

impl From<Peer> for Source {
    fn from(peer: Peer) -> Self {
        Self(peer.0)
    }
}

/// What a gossiped message is about; each has a topic of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// Shares.
    Share,
    /// Share blocks, with the ids that they list.
    Block,
    /// Found Bitcoin blocks in compact form (BIP152).
    Solution,
}

/// A gossiped message that waits for its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageToken(pub u64);

/// A peer's question that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QuestionToken(pub u64);

/// A question of this node to a peer; chosen by the asker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestToken(pub u64);

/// What the network tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer of this chain is connected; its first connection.
    Connected {
        /// The peer.
        peer: Peer,
        /// Its address, unless a relay hides it.
        ip: Option<IpAddr>,
        /// Whether this node dialed.
        outbound: bool,
    },
    /// The peer's last connection ended.
    Disconnected {
        /// The peer.
        peer: Peer,
    },
    /// A message to be judged with [`Command::Verdict`] before it is forwarded.
    Gossip {
        /// Who handed it on; not its author.
        peer: Peer,
        /// What it is about.
        topic: Topic,
        /// Names it in the verdict.
        message: MessageToken,
        /// The whole message, at most [`MAX_GOSSIP`].
        bytes: Vec<u8>,
    },
    /// A question to be answered with [`Command::Answer`].
    Asked {
        /// Who asks.
        peer: Peer,
        /// Names it in the answer.
        question: QuestionToken,
        /// The whole question, at most [`MAX_QUESTION`].
        bytes: Vec<u8>,
    },
    /// The end of a [`Command::Ask`]; there is exactly one for each.
    Answered {
        /// Who was asked.
        peer: Peer,
        /// What was asked.
        request: RequestToken,
        /// The whole answer, or why there is none.
        answer: Result<Vec<u8>, NoAnswer>,
    },
}

/// Why a question was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// The time for the whole answer was over.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is longer than was allowed.
    #[error("the answer is longer than allowed")]
    TooLong,
    /// The peer went away, or does not speak this protocol.
    #[error("the connection ended")]
    Gone,
    /// The peer closed the stream without an answer: it has too much to do, or has been asked too much.
    #[error("the peer refused to answer")]
    Refused,
}

/// What becomes of a gossiped message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Valid: it is forwarded.
    Accept,
    /// Not forwarded, and nobody is to blame.
    Ignore,
    /// Not forwarded, and whoever handed it on is to blame.
    Reject,
}

/// What the network is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tells everybody.
    Publish {
        /// What it is about.
        topic: Topic,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Judges a gossiped message.
    Verdict {
        /// Which.
        message: MessageToken,
        /// How.
        verdict: Verdict,
    },
    /// Asks a peer.
    Ask {
        /// Whom.
        peer: Peer,
        /// Comes back with the answer.
        request: RequestToken,
        /// The question.
        bytes: Vec<u8>,
        /// Most bytes of the answer.
        most: usize,
        /// How long the whole answer may take.
        patience: Duration,
    },
    /// Answers a peer; without bytes the question is refused.
    Answer {
        /// The question.
        question: QuestionToken,
        /// The answer.
        bytes: Option<Vec<u8>>,
    },
    /// Notes where a peer says it stands, for whoever looks at the connections.
    Note {
        /// Which.
        peer: Peer,
        /// The height of its share chain.
        height: u32,
    },
    /// Ends the connections to a peer; it may come back.
    Part {
        /// Which.
        peer: Peer,
    },
    /// Ends the connections to a peer and refuses its identity and its address for a while.
    Ban {
        /// Which.
        peer: Peer,
        /// How long.
        seconds: u32,
        /// Why, for the list of bans.
        reason: String,
    },
}
