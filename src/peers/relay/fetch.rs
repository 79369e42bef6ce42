//! Asking a sender for what its message lacks: the parent, listed shares, Bitcoin headers.
//!
//! Each thing is asked of one peer at a time. What lies deeper than a few blocks is a matter of the sync.

use super::{Binding, Relay, Requested};
use crate::chain::{HeadersTaken, Taken};
use crate::peers::conduct::Fault;
use crate::peers::desk::{AskFor, BindFor, Desk, RequestFor};
use crate::peers::io::{ChainRequest, Output, Unbound, WholeBlock};
use crate::peers::link::{NoAnswer, Peer};
use crate::peers::sync::Sync;
use crate::peers::wire::{BlocksAnswer, HeadersAnswer, MAX_HEADERS, MAX_SHARES, Question, SharesAnswer};
use bitcoin::BlockHash;
use bitcoin::block::Header;
use sharechain::bitcoin_headers::HeaderError;
use sharechain::chain::Submission;
use sharechain::codec::Decode;
use sharechain::error::{Blame, Missing, Refusal};
use sharechain::params::MAX_HEADER_TIME_AHEAD;
use sharechain::share::ShareId;
use sharechain::units::Height;
use sharechain::verify::{BindError, Bound};
use std::collections::BTreeSet;
use std::time::Duration;

/// More bytes than any share has.
pub(crate) const MAX_SHARE: usize = 1_024;
/// Parents asked for in a row before it is a matter of the sync.
pub(crate) const MAX_STEPS: u32 = 4;
/// How long an answer to these small questions may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a question of the relay was about.
#[derive(Debug)]
pub(in crate::peers) enum Asked {
    Parent(Parent),
    Listed { block: ShareId, ids: Vec<ShareId> },
    Missed { ids: Vec<ShareId> },
    Headers { hash: BlockHash },
}

/// A parent that is being fetched.
#[derive(Clone, Copy, Debug)]
pub(in crate::peers) struct Parent {
    id: ShareId,
    height: Height,
    /// How many were fetched above it.
    steps: u32,
}

impl Parent {
    pub(super) const fn of(id: ShareId, child: Height) -> Self {
        Self { id, height: child.saturating_sub(1), steps: 0 }
    }
}

/// What is asked for at the moment.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    blocks: BTreeSet<ShareId>,
    headers: BTreeSet<BlockHash>,
}

impl Fetches {
    /// Asks for a parent; whether it may come.
    pub(super) fn parent(
        &mut self,
        desk: &mut Desk,
        sync: &mut Sync,
        peer: Peer,
        parent: Parent,
        max_listed: u32,
    ) -> bool {
        if parent.steps >= MAX_STEPS || sync.is_far_above(parent.height) {
            return sync.heard_of(desk, peer, parent.height);
        }
        if parent.height == Height::ROOT || self.blocks.contains(&parent.id) {
            return parent.height != Height::ROOT;
        }
        let question = Question::Blocks { from: parent.height, ids: vec![parent.id] };
        let listed = usize::try_from(max_listed).unwrap_or(usize::MAX);
        let most = listed.saturating_add(2).saturating_mul(MAX_SHARE);
        let asked = desk.ask(peer, &question, most, PATIENCE, AskFor::Relay(Asked::Parent(parent)));
        if asked {
            self.blocks.insert(parent.id);
        }
        asked
    }

    /// Asks for Bitcoin headers; whether they may come.
    pub(super) fn headers(&mut self, desk: &mut Desk, peer: Peer, hash: BlockHash) -> bool {
        let is_coming = self.headers.contains(&hash) || ask_headers(desk, peer, hash);
        if is_coming {
            self.headers.insert(hash);
        }
        is_coming
    }
}

/// Asks for the Bitcoin headers up to this one; whether an answer will come.
pub(in crate::peers) fn ask_headers(desk: &mut Desk, peer: Peer, hash: BlockHash) -> bool {
    let most = MAX_HEADERS.saturating_add(1).saturating_mul(80);
    let question = Question::BitcoinHeaders { hash };
    desk.ask(peer, &question, most, PATIENCE, AskFor::Relay(Asked::Headers { hash }))
}

impl Relay {
    /// The chain says which listed shares of a held block are not here: its sender has them.
    /// They are asked for once: with an answer that lacks some, the block waits for the others by themselves.
    pub(super) fn ask_listed(&mut self, desk: &mut Desk, sync: &mut Sync, block: ShareId, ids: Vec<ShareId>) {
        let Some(held) = self.held.get_mut(&block) else { return };
        held.arrival.has_asked = true;
        let (peer, height) = (held.arrival.peer, held.share.share().commitment.height);
        if ids.is_empty() {
            // All have come in the meantime.
            return self.again(desk, |missing| matches!(missing, Missing::Share(_)));
        }
        if ids.len() > MAX_SHARES {
            let whole = Parent { id: block, height, steps: 0 };
            self.fetches.parent(desk, sync, peer, whole, self.max_listed);
            return;
        }
        let most = ids.len().saturating_add(1).saturating_mul(MAX_SHARE);
        let question = Question::Shares { ids: ids.clone() };
        desk.ask(peer, &question, most, PATIENCE, AskFor::Relay(Asked::Listed { block, ids }));
    }

    /// A peer has answered, or has not.
    pub(in crate::peers) fn fetched(
        &mut self,
        desk: &mut Desk,
        peer: Peer,
        asked: Asked,
        answer: Result<Vec<u8>, NoAnswer>,
    ) {
        match &asked {
            Asked::Parent(parent) => drop(self.fetches.blocks.remove(&parent.id)),
            Asked::Listed { .. } | Asked::Missed { .. } => {}
            Asked::Headers { hash } => drop(self.fetches.headers.remove(hash)),
        }
        let bytes = match answer {
            Ok(bytes) => bytes,
            Err(no_answer) => return desk.unanswered(peer, no_answer),
        };
        match asked {
            Asked::Parent(fetch) => match BlocksAnswer::from_bytes(&bytes) {
                Ok(BlocksAnswer { blocks }) if blocks.len() <= 1 => {
                    if !blocks.is_empty() {
                        desk.bind(Unbound::Blocks(blocks), BindFor::Relay(Binding::Parent { peer, fetch }));
                    }
                }
                Ok(_) => desk.fault(peer, Fault::LyingAnswer),
                Err(_) => desk.fault(peer, Fault::BadEncoding),
            },
            Asked::Listed { block, ids } => {
                let most = ids.len();
                bind_shares(desk, peer, &bytes, most, Binding::Listed { peer, block, asked: ids });
            }
            Asked::Missed { ids } => {
                let most = ids.len();
                bind_shares(desk, peer, &bytes, most, Binding::Missed { peer, asked: ids });
            }
            Asked::Headers { hash } => match HeadersAnswer::from_bytes(&bytes) {
                Ok(HeadersAnswer { headers }) => offer_headers(desk, peer, hash, headers),
                Err(_) => desk.fault(peer, Fault::BadEncoding),
            },
        }
    }

    /// Listed shares have come: the block is judged with them.
    pub(super) fn listed_bound(
        &mut self,
        desk: &mut Desk,
        peer: Peer,
        block: ShareId,
        asked: &[ShareId],
        shares: Vec<Result<Bound, BindError>>,
    ) {
        let Ok(bodies) = shares.into_iter().collect::<Result<Vec<Bound>, BindError>>() else {
            return desk.fault(peer, Fault::InvalidWork);
        };
        let wanted: BTreeSet<&ShareId> = asked.iter().collect();
        if !bodies.iter().all(|share| wanted.contains(&share.id())) {
            return desk.fault(peer, Fault::LyingAnswer);
        }
        if !bodies.is_empty()
            && let Some(held) = self.held.remove(&block)
        {
            self.judge(desk, held.arrival, held.share, bodies);
        }
    }
}

/// Has the shares of an answer bound, if there are not too many.
fn bind_shares(desk: &mut Desk, peer: Peer, bytes: &[u8], most: usize, binding: Binding) {
    match SharesAnswer::from_bytes(bytes) {
        Ok(SharesAnswer { shares }) if shares.len() <= most => {
            desk.bind(Unbound::Shares(shares), BindFor::Relay(binding));
        }
        Ok(_) => desk.fault(peer, Fault::LyingAnswer),
        Err(_) => desk.fault(peer, Fault::BadEncoding),
    }
}

/// A parent has come: the chain judges it.
pub(super) fn parent_bound(
    relay: &mut Relay,
    desk: &mut Desk,
    peer: Peer,
    fetch: Parent,
    mut blocks: Vec<WholeBlock>,
    fault: bool,
) {
    let Some(block) = blocks.pop().filter(|_| !fault) else {
        return desk.fault(peer, Fault::InvalidWork);
    };
    if block.share.id() != fetch.id {
        return desk.fault(peer, Fault::LyingAnswer);
    }
    let submission = Submission::whole_block(block.share, block.listed, peer.into());
    relay.fetches.blocks.insert(fetch.id);
    let requested = RequestFor::Relay(Requested::Parent { peer, fetch });
    desk.request(ChainRequest::Submit(Box::new(submission)), requested);
}

/// The chain's answer to a parent. What waits for it is judged again when the news of it comes.
pub(super) fn parent_judged(
    relay: &mut Relay,
    desk: &mut Desk,
    sync: &mut Sync,
    (peer, fetch): (Peer, Parent),
    result: &Result<Taken, Refusal>,
) {
    relay.fetches.blocks.remove(&fetch.id);
    let refusal = match result {
        Ok(taken) => taken.not_a_block.as_ref(),
        Err(refusal) => Some(refusal),
    };
    let Some(refusal) = refusal else { return };
    match refusal {
        Refusal::Waits(Missing::Parent(id)) => {
            let height = fetch.height.saturating_sub(1);
            let parent = Parent { id: *id, height, steps: fetch.steps.saturating_add(1) };
            relay.fetches.parent(desk, sync, peer, parent, relay.max_listed);
        }
        Refusal::Waits(Missing::Base(_)) => drop(sync.heard_of(desk, peer, fetch.height)),
        Refusal::Waits(Missing::PrevBlock(hash)) => drop(relay.fetches.headers(desk, peer, *hash)),
        refusal if refusal.blame() == Blame::Sender => desk.fault(peer, Fault::InvalidWork),
        _ => {}
    }
}

/// Headers have come: the chain judges them, unless they are no answer or too far ahead of the clock.
fn offer_headers(desk: &mut Desk, peer: Peer, hash: BlockHash, headers: Vec<Header>) {
    let Some(last) = headers.last() else { return };
    let follows = |pair: &[Header]| pair[0].block_hash() == pair[1].prev_blockhash;
    if last.block_hash() != hash || !headers.windows(2).all(follows) {
        return desk.fault(peer, Fault::LyingAnswer);
    }
    let latest = desk.now.clock.saturating_add(MAX_HEADER_TIME_AHEAD);
    if headers.iter().all(|header| header.time <= latest.0) {
        let requested = RequestFor::Relay(Requested::Headers { peer, headers: headers.clone() });
        desk.request(ChainRequest::Headers(headers), requested);
    }
}

/// The chain's answer to headers.
pub(super) fn headers_taken(
    relay: &mut Relay,
    desk: &mut Desk,
    peer: Peer,
    headers: Vec<Header>,
    taken: &HeadersTaken,
) {
    if let Some(error) = &taken.refused
        && is_fault(error)
    {
        desk.fault(peer, Fault::InvalidWork);
    }
    let known: Vec<Header> = headers.into_iter().take(taken.known).collect();
    if known.is_empty() {
        return;
    }
    let hashes: BTreeSet<BlockHash> = known.iter().map(Header::block_hash).collect();
    desk.output(Output::BitcoinHeaders(known));
    relay.again(desk, |missing| matches!(missing, Missing::PrevBlock(hash) if hashes.contains(hash)));
}

/// Whether a header breaks Bitcoin's rules, rather than standing where this node cannot see.
const fn is_fault(error: &HeaderError) -> bool {
    match error {
        HeaderError::Version(_)
        | HeaderError::Time(_)
        | HeaderError::Bits(_)
        | HeaderError::ProofOfWork(_) => true,
        HeaderError::UnknownParent(_)
        | HeaderError::BeforeFirst
        | HeaderError::TooManyStale
        | HeaderError::FarAhead(_) => false,
    }
}
