//! What goes into the node's logic and what comes out of it.
//!
//! Everything that the logic needs of others is asked for by an [`Output`] and comes back as an [`Input`], so that a node
//! can do it on other threads and the simulator at once.

use super::conduct::Fault;
use super::link;
use super::sync::Progress;
use super::wire::Question;
use crate::chain::{ChainState, HeadersTaken, Taken};
use bitcoin::block::Header;
use sharechain::chain::{GraftClaim, GraftError, GraftStatus, NotAdopted, Submission, TipClaim};
use sharechain::codec::Decode;
use sharechain::error::Refusal;
use sharechain::share::{Share, ShareBlock, ShareId, includes_hash};
use sharechain::target::Work;
use sharechain::units::UnixTime;
use sharechain::verify::{BindError, Bound};
use std::sync::Arc;
use std::time::Duration;

/// What the clocks show while an input is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Time since the process began; never goes back.
    pub since_start: Duration,
    /// The machine's clock.
    pub clock: UnixTime,
}

/// Names a [`BindJob`] in its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BindToken(pub u64);

/// Names a [`ChainRequest`] in its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainToken(pub u64);

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// On the network.
    Network(link::Event),
    /// Work was bound.
    Bound {
        /// The job.
        token: BindToken,
        /// What came of it.
        result: BindResult,
    },
    /// The chain answers a request.
    Chain {
        /// The request.
        token: ChainToken,
        /// The answer.
        answer: ChainAnswer,
    },
    /// An answer to [`Output::Serve`]; none when there is nothing to be said.
    Served {
        /// The peer's question.
        token: link::QuestionToken,
        /// The answer.
        answer: Option<Vec<u8>>,
    },
    /// In the chain, by whomever.
    News(News),
    /// In the chain, and perhaps peers were not told: events were missed.
    Untold(News),
    /// A fault of a peer that was noticed elsewhere: about found Bitcoin blocks.
    Fault {
        /// The peer.
        peer: link::Peer,
        /// What it did.
        fault: Fault,
    },
    /// Time has passed. To be given some four times a second.
    Tick,
}

/// What others learn of the chain without asking.
#[derive(Clone, Debug)]
pub enum News {
    /// The chain stands elsewhere.
    State(ChainState),
    /// A share is in the pool: one of this node's own miners, or of others. One that is a block is told as that first.
    Share {
        /// Its id.
        id: ShareId,
        /// The share.
        share: Arc<Share>,
        /// Whether this node's own miners found it.
        own: bool,
    },
    /// A block is in the chain: one of this node's own miners, or of others. Not those of a sync.
    Block {
        /// Its id.
        id: ShareId,
        /// The share that it is.
        share: Arc<Share>,
        /// What it lists, in order.
        listed: Vec<ShareId>,
        /// Whether this node's own miners found it.
        own: bool,
    },
}

/// Something to be done.
#[derive(Debug)]
pub enum Output {
    /// On the network.
    Network(link::Command),
    /// Binds work; comes back as [`Input::Bound`].
    Bind(BindJob),
    /// Asks the chain; comes back as [`Input::Chain`]. In this order.
    Chain {
        /// Names it in the answer.
        token: ChainToken,
        /// What is asked.
        request: ChainRequest,
    },
    /// A peer asks something that only the chain and its bodies can answer; see [`super::serve`]. Comes back as
    /// [`Input::Served`].
    Serve {
        /// The peer's question.
        token: link::QuestionToken,
        /// The same, read.
        question: Question,
    },
    /// Bitcoin headers of peers that are valid and that this node's bitcoind may not have.
    BitcoinHeaders(Vec<Header>),
    /// Something that people or other parts of the node should know.
    Notice(Notice),
}

/// Something that people or other parts of the node should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Whether this node is level with its peers; told when it changes.
    Standing(Standing),
    /// How far a sync has come; about once a second.
    Progress(Progress),
    /// A peer was sent away, and why.
    Banned {
        /// The peer.
        peer: link::Peer,
        /// How long.
        seconds: u32,
        /// The fault that was too much.
        reason: String,
    },
    /// Miners may be served from now on; told once.
    Ready {
        /// Whether that is only because no peer could be reached for so long: people should look.
        alone: bool,
    },
    /// Peers use rules that this program does not know: a newer release is due.
    UnknownVersion(u32),
}

/// Where this node stands beside its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No peer has said yet where it stands.
    Unknown,
    /// A peer has a heavier chain, which is being fetched.
    Syncing,
    /// No peer claims a heavier chain.
    Current,
}

/// Bytes and shares of others whose proof of work is to be checked (checks 1 and 2): the part of judging that needs no
/// chain and most of the time, so that it can go to other threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindJob {
    /// Comes back with the result.
    pub token: BindToken,
    /// What is to be bound.
    pub work: Unbound,
}

/// What is to be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unbound {
    /// Shares by themselves: few, and somebody waits for the verdict.
    Shares(Vec<Share>),
    /// Whole blocks in their canonical form: many, of a sync.
    Blocks(Vec<Vec<u8>>),
}

/// What a [`BindJob`] found.
#[derive(Clone, Debug)]
pub enum BindResult {
    /// One for each share, in order.
    Shares(Vec<Result<Bound, BindError>>),
    /// The blocks in order up to the first that is not one; then `fault` is set.
    Blocks {
        /// The good ones.
        blocks: Vec<WholeBlock>,
        /// Whether one is not in its canonical form or not bound.
        fault: bool,
    },
}

/// A block and what it lists, bound.
#[derive(Clone, Debug)]
pub struct WholeBlock {
    /// The block.
    pub share: Bound,
    /// The listed shares, in order.
    pub listed: Vec<Bound>,
}

impl Unbound {
    /// Does the work; `bind` is [`Bound::new`] with the chain's parameters.
    pub fn bind(self, bind: impl Fn(Arc<Share>) -> Result<Bound, BindError>) -> BindResult {
        match self {
            Self::Shares(shares) => {
                BindResult::Shares(shares.into_iter().map(|share| bind(Arc::new(share))).collect())
            }
            Self::Blocks(bytes) => {
                let mut blocks = Vec::with_capacity(bytes.len());
                for bytes in bytes {
                    match whole_block(&bytes, &bind) {
                        Some(block) => blocks.push(block),
                        None => return BindResult::Blocks { blocks, fault: true },
                    }
                }
                BindResult::Blocks { blocks, fault: false }
            }
        }
    }
}

fn whole_block(bytes: &[u8], bind: &impl Fn(Arc<Share>) -> Result<Bound, BindError>) -> Option<WholeBlock> {
    let block = ShareBlock::from_bytes(bytes).ok()?;
    let share = bind(block.share).ok()?;
    let listed: Vec<Bound> = block.listed.into_iter().map(|share| bind(share).ok()).collect::<Option<_>>()?;
    let ids: Vec<ShareId> = listed.iter().map(Bound::id).collect();
    // The id of a block fixes its list by this hash, so that from here on whatever is wrong is the block's own fault.
    let is_its_list = includes_hash(&ids) == share.share().commitment.includes;
    is_its_list.then_some(WholeBlock { share, listed })
}

/// What the logic asks of the chain.
#[derive(Clone, Debug)]
pub enum ChainRequest {
    /// Judges and takes one submission; what waits is held. The answer comes before the disk has it.
    Submit(Box<Submission>),
    /// Judges and takes blocks of a sync in order, up to the first refusal other than [`Refusal::Known`].
    Extend(Vec<Submission>),
    /// Makes Bitcoin headers known.
    Headers(Vec<Header>),
    /// Begins a chain from the middle.
    BeginGraft(GraftClaim),
    /// Makes this block of the graft the tip, if it may be.
    Adopt(ShareId),
    /// Forgets the graft.
    DropGraft,
    /// Something that a look at the chain tells.
    Look(Look),
}

/// Something that a look at the chain tells.
#[derive(Clone, Debug)]
pub enum Look {
    /// Where the chain stands.
    Stand,
    /// Which of these blocks are there already.
    Locate {
        /// The block that the first of `ids` follows.
        parent: ShareId,
        /// Ids of consecutive blocks.
        ids: Vec<ShareId>,
    },
    /// Which of these shares are not in the pool.
    Unknown(Vec<ShareId>),
    /// The shares that the next block could list, and that two blocks above their own height do not.
    PassedOver {
        /// The machine's clock.
        now: UnixTime,
    },
    /// The recent work of a block's branch.
    Weigh(ShareId),
}

/// What the chain answers.
#[derive(Clone, Debug)]
pub enum ChainAnswer {
    /// To [`ChainRequest::Submit`].
    Submitted(Result<Taken, Refusal>),
    /// To [`ChainRequest::Extend`].
    Extended {
        /// How many of the blocks are there now, from the first on.
        taken: usize,
        /// Why the next one was refused.
        refused: Option<Refusal>,
    },
    /// To [`ChainRequest::Headers`].
    Headers(HeadersTaken),
    /// To [`Look::Stand`].
    Stands(Stands),
    /// To [`Look::Locate`].
    Located {
        /// Where the parent is.
        parent: Branch,
        /// How many of the ids are there already, from the first on.
        known: usize,
    },
    /// To [`ChainRequest::BeginGraft`].
    Begun(Result<(), GraftError>),
    /// To [`ChainRequest::Adopt`].
    Adopted(Result<(), NotAdopted>),
    /// To [`ChainRequest::DropGraft`].
    Done,
    /// To [`Look::Unknown`].
    Unknown(Vec<ShareId>),
    /// To [`Look::PassedOver`]: those that have least time left first, and not more than a few thousand.
    PassedOver(Vec<(ShareId, Arc<Share>)>),
    /// To [`Look::Weigh`].
    Weighs(Work),
}

/// Where this node's chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stands {
    /// Its tip.
    pub claim: TipClaim,
    /// What another node finds the newest common block by.
    pub locator: Vec<ShareId>,
    /// The graft under way, and the same for it.
    pub graft: Option<(GraftStatus, Vec<ShareId>)>,
}

/// Where a block stands in this node's chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// Unknown.
    Nowhere,
    /// On a branch that goes back to what this node has checked (or to the chain id).
    Checked,
    /// In the graft.
    Graft,
}
