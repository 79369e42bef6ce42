//! Judges a whole chain again from its bodies, as a node does that hears each block for the first time.
//!
//! Everything goes through the checks of `sharechain` in their order. Only where a chain does not begin with its first
//! block, because older ones were pruned, do the first blocks lack what their coinbases and lists follow from: those of
//! the oldest reward window are then judged by themselves (proof of work, binding, Bitcoin context, parent) alone.

use crate::api::export::{EndLine, Piece};
use bitcoin::block::Header;
use sharechain::bitcoin_headers::{AncestorsError, ContextError, HeaderError, HeaderTree};
use sharechain::chain::{BlockSummary, Freshness, ShareChain, Submission};
use sharechain::error::Refusal;
use sharechain::params::{ChainId, ChainParams, KEEP_MARGIN};
use sharechain::pool::Source;
use sharechain::share::{ShareBlock, ShareId, includes_hash};
use sharechain::target::{self, Work};
use sharechain::units::{BitcoinHeight, Height};
use sharechain::verify::{BindError, Bound};
use sharechain::window::{BlockCredits, Contribution};
use std::sync::Arc;
use thiserror::Error;

/// Why a chain is not valid, or not whole.
#[derive(Debug, Error)]
pub enum Fault {
    /// Pieces in an impossible order.
    #[error("{0}")]
    Order(&'static str),
    /// The headers up to the first Bitcoin block do not fit the chain.
    #[error("the Bitcoin headers up to the chain's first Bitcoin block do not fit it: {0}")]
    Ancestors(#[from] AncestorsError),
    /// A header breaks Bitcoin's rules.
    #[error("Bitcoin header at height {height}: {source}")]
    Header {
        /// The height that it is given for.
        height: BitcoinHeight,
        /// What is wrong.
        source: HeaderError,
    },
    /// A block breaks the rules.
    #[error("share block {id} at height {height}: {problem}")]
    Block {
        /// Its height.
        height: Height,
        /// Its id.
        id: ShareId,
        /// What is wrong.
        problem: Box<Problem>,
    },
    /// The end does not fit what came before.
    #[error("the last line tells of {told} {what}, but {found} came: the export is not whole")]
    End {
        /// What was counted.
        what: &'static str,
        /// What the line says.
        told: String,
        /// What came.
        found: String,
    },
}

/// What is wrong with a block.
#[derive(Debug, Error)]
pub enum Problem {
    /// It, or a share that it lists, is not bound by its proof of work.
    #[error("share {id}: {source}")]
    Bind {
        /// The share.
        id: ShareId,
        /// What is wrong.
        source: BindError,
    },
    /// It breaks a rule.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It is valid, and yet is not the best block after the one before it.
    #[error("it does not follow the block before it")]
    NotNext,
    /// Its Bitcoin header does not fit.
    #[error("{0}")]
    Context(#[from] ContextError),
    /// Its list is not the one that it commits to.
    #[error("its list of shares is not the one that its commitment names")]
    Includes,
}

/// A chain that is being judged.
#[derive(Default)]
pub(super) struct Replay {
    stage: Stage,
    counts: Counts,
    tip: Option<ShareId>,
}

/// What was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Bitcoin headers.
    pub(super) headers: u64,
    /// Share blocks.
    pub(super) blocks: u64,
    /// Shares, those that are blocks included.
    pub(super) shares: u64,
    /// Blocks that could only be judged by themselves.
    pub(super) by_themselves: u64,
}

#[derive(Default)]
enum Stage {
    #[default]
    Nothing,
    Headers(Box<ChainParams>, Vec<(BitcoinHeight, Header)>),
    /// The oldest window of a pruned chain.
    OldestWindow(Box<OldestWindow>),
    Blocks(Box<ShareChain>),
    Ended,
}

impl Replay {
    /// The chain's id, once its parameters have come.
    pub(super) fn chain(&self) -> Option<ChainId> {
        match &self.stage {
            Stage::Headers(params, _) => Some(params.chain_id()),
            Stage::OldestWindow(window) => Some(window.id),
            Stage::Blocks(chain) => Some(chain.id()),
            Stage::Nothing | Stage::Ended => None,
        }
    }

    /// What was judged so far.
    pub(super) const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the end has come, and all fits it.
    pub(super) const fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Ended)
    }

    /// The last block that was judged.
    pub(super) const fn tip(&self) -> Option<ShareId> {
        self.tip
    }

    /// Judges the next piece.
    pub(super) fn take(&mut self, piece: Piece) -> Result<(), Fault> {
        match (piece, &mut self.stage) {
            (Piece::Chain(params), Stage::Nothing) => {
                self.tip = Some(params.chain_id().as_block());
                self.stage = Stage::Headers(params, Vec::new());
                Ok(())
            }
            (Piece::Headers(more), Stage::Headers(_, headers)) => {
                headers.extend(more);
                Ok(())
            }
            (Piece::Blocks(blocks), Stage::Headers(..) | Stage::OldestWindow(_) | Stage::Blocks(_)) => {
                blocks.into_iter().try_for_each(|block| self.block(block))
            }
            (Piece::End(end), Stage::Headers(..) | Stage::OldestWindow(_) | Stage::Blocks(_)) => {
                self.end(end)
            }
            (_, Stage::Nothing) => Err(Fault::Order("the chain's parameters must come first")),
            (_, Stage::Ended) => Err(Fault::Order("nothing may follow the end")),
            (Piece::Chain(_), _) => Err(Fault::Order("the chain's parameters may come but once")),
            (Piece::Headers(_), _) => {
                Err(Fault::Order("all Bitcoin headers must come before the first block"))
            }
        }
    }

    fn block(&mut self, block: ShareBlock) -> Result<(), Fault> {
        if let Stage::Headers(params, headers) = &mut self.stage {
            self.counts.headers = headers.len() as u64;
            self.stage = begin(params, headers, block.share.commitment.height)?;
        }
        let shares = 1 + block.listed.len() as u64;
        let height = block.share.commitment.height;
        let judged = match &mut self.stage {
            Stage::OldestWindow(window) => {
                self.counts.by_themselves += 1;
                window.take(&block)
            }
            Stage::Blocks(chain) => judge(chain, block),
            Stage::Nothing | Stage::Headers(..) | Stage::Ended => {
                return Err(Fault::Order("a block stands where none can be"));
            }
        };
        let id = judged.map_err(|(id, problem)| Fault::Block { height, id, problem })?;
        self.tip = Some(id);
        self.counts.blocks += 1;
        self.counts.shares += shares;
        if let Stage::OldestWindow(window) = &mut self.stage
            && window.is_full()
        {
            self.stage = Stage::Blocks(Box::new(window.go_on()));
        }
        Ok(())
    }

    fn end(&mut self, end: EndLine) -> Result<(), Fault> {
        if let Stage::Headers(params, headers) = &self.stage {
            self.counts.headers = headers.len() as u64;
            header_tree(params, headers)?;
        }
        let counts = self.counts;
        let tip = self.tip.map(|id| id.to_string()).unwrap_or_default();
        for (what, told, found) in [
            ("share blocks", end.blocks.to_string(), counts.blocks.to_string()),
            ("shares", end.shares.to_string(), counts.shares.to_string()),
            ("as the tip", end.tip.0.to_string(), tip),
        ] {
            if told != found {
                return Err(Fault::End { what, told, found });
            }
        }
        self.stage = Stage::Ended;
        Ok(())
    }
}

fn begin(params: &ChainParams, headers: &[(BitcoinHeight, Header)], first: Height) -> Result<Stage, Fault> {
    let tree = header_tree(params, headers)?;
    Ok(if first <= Height(1) {
        Stage::Blocks(Box::new(ShareChain::new(params.clone(), tree)))
    } else {
        Stage::OldestWindow(Box::new(OldestWindow::new(params.clone(), tree)))
    })
}

fn header_tree(params: &ChainParams, headers: &[(BitcoinHeight, Header)]) -> Result<HeaderTree, Fault> {
    let first = params.first_bitcoin_block.0;
    let (ancestors, later) = headers.split_at(headers.partition_point(|(height, _)| *height <= first));
    let ancestors: Vec<Header> = ancestors.iter().map(|(_, header)| *header).collect();
    let mut tree = HeaderTree::new(params, &ancestors)?;
    for (height, header) in later {
        tree.insert(*header).map_err(|source| Fault::Header { height: *height, source })?;
    }
    Ok(tree)
}

/// The block's id, and with it what is wrong.
type Judged<T = ShareId> = Result<T, (ShareId, Box<Problem>)>;

/// A block and what it lists, bound (checks 1 and 2).
fn bind(params: &ChainParams, chain: ChainId, block: ShareBlock) -> Judged<(Bound, Vec<Bound>)> {
    let id = block.share.id(chain);
    let bind = |share: Arc<sharechain::share::Share>| {
        let of = share.id(chain);
        Bound::new(params, chain, share).map_err(|source| (id, Problem::Bind { id: of, source }.into()))
    };
    let share = bind(block.share)?;
    let listed = block.listed.into_iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    Ok((share, listed))
}

/// All checks.
fn judge(chain: &mut ShareChain, block: ShareBlock) -> Judged {
    let (share, bodies) = bind(chain.params(), chain.id(), block)?;
    let id = share.id();
    // The clock does not matter for what was accepted in the past, so it stands where the block was made.
    let now = share.share().commitment.time;
    let submission = Submission::whole_block(share, bodies, Source(0));
    let step = chain.judge(&submission, now).map_err(|refusal| (id, Problem::from(refusal).into()))?;
    if step.block.is_none() {
        return Err((id, step.not_a_block.map_or(Problem::NotNext, Problem::Refused).into()));
    }
    if chain.apply(step).new_tip { Ok(id) } else { Err((id, Problem::NotNext.into())) }
}

/// Blocks whose past is not there: what later blocks follow from is read from them, and no more is judged than can be.
struct OldestWindow {
    params: ChainParams,
    id: ChainId,
    headers: HeaderTree,
    blocks: Vec<BlockSummary>,
}

impl OldestWindow {
    fn new(params: ChainParams, headers: HeaderTree) -> Self {
        Self { id: params.chain_id(), params, headers, blocks: Vec::new() }
    }

    /// Whether the blocks hold a whole reward window below every payout block of what follows.
    fn is_full(&self) -> bool {
        self.blocks.len() as u64 >= u64::from(self.params.window_blocks) + u64::from(KEEP_MARGIN)
    }

    /// The chain that goes on from these blocks.
    fn go_on(&mut self) -> ShareChain {
        let tip = self.blocks.last().map(|block| block.id);
        let blocks = core::mem::take(&mut self.blocks);
        ShareChain::load(self.params.clone(), self.headers.clone(), blocks, tip)
    }

    fn take(&mut self, block: &ShareBlock) -> Judged {
        let (share, listed) = bind(&self.params, self.id, block.clone())?;
        let id = share.id();
        let fault = |problem: Problem| (id, Box::new(problem));
        let commitment = &share.share().commitment;
        let ids: Vec<ShareId> = listed.iter().map(Bound::id).collect();
        if includes_hash(&ids) != commitment.includes {
            return Err(fault(Problem::Includes));
        }
        let parent = self.blocks.last();
        let follows = parent.is_none_or(|parent| {
            commitment.parent == parent.id && commitment.height == parent.height.saturating_add(1)
        });
        let Some(block_target) = share.block_target().filter(|_| follows) else {
            return Err(fault(Problem::NotNext));
        };
        let context = self.headers.context(&share.share().header).map_err(|e| fault(e.into()))?;
        let own = Some(&share).filter(|share| share.is_share());
        let credited: Vec<&Bound> = own.into_iter().chain(&listed).collect();
        let contributions =
            credited.iter().map(|share| self.contribution(share)).collect::<Result<Vec<_>, _>>();
        let mut contributions = contributions.map_err(|e| fault(e.into()))?.into_iter();
        let summary = BlockSummary {
            id,
            parent: commitment.parent,
            height: commitment.height,
            time: commitment.time,
            bits: commitment.bits,
            work: parent.map_or(Work::ZERO, |parent| parent.work).saturating_add(block_target.work()),
            bitcoin_height: commitment.bitcoin_height,
            prev_block: share.share().header.prev_block,
            // Nothing is pruned here.
            listed_on: Box::default(),
            freshness: parent
                .map_or(Freshness::default(), |parent| parent.freshness)
                .after(&context, commitment.height),
            credits: Arc::new(BlockCredits {
                lister: commitment.owner,
                own: own.and_then(|_| contributions.next()),
                listed: contributions.collect(),
            }),
            credited: Arc::new(credited.iter().map(|share| share.id()).collect()),
        };
        self.blocks.push(summary);
        Ok(id)
    }

    fn contribution(&self, share: &Bound) -> Result<Contribution, ContextError> {
        let context = self.headers.context(&share.share().header)?;
        let commitment = &share.share().commitment;
        Ok(Contribution {
            owner: commitment.owner,
            signals: commitment.signals,
            score: target::score(share.share_target(), context.score_target),
        })
    }
}
