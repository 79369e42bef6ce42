//! Gossip: from a message's bytes to its verdict, and this node's own finds.
//!
//! ```text
//! bytes ─ size, decode ─ bind (17 us) ─ hardest first ─ chain ─ ruling ─ Accept │ Ignore │ Reject
//!                                                          └ waits: ask the sender, judge again ┘
//! ```
//!
//! Before a share is bound its sender is to blame for what is wrong with it, after that its id is bad for good. What
//! waits for something keeps its message open for a few seconds, because what was asked for mostly comes. Later it is
//! said again in this node's own name, or a share that all neighbours of its finder had to hold back (its clock being
//! ahead) would never get any further.

mod fetch;
mod late;
mod missed;
mod passed_over;
mod ruling;

use super::conduct::Fault;
use super::desk::{BindFor, Desk, RequestFor};
use super::io::{BindResult, ChainAnswer, ChainRequest, Look, News, Unbound};
use super::link::{MessageToken, Peer, Topic, Verdict};
use super::sync::Sync;
use super::wire::{BlockMessage, ShareMessage};
use late::Late;
use missed::Missed;
use passed_over::PassedOver;
use ruling::{Ruling, ruling};
use sharechain::chain::Submission;
use sharechain::codec::{Decode, Encode};
use sharechain::error::{Missing, Refusal};
use sharechain::params::{ChainId, ChainParams};
use sharechain::share::{Share, ShareId};
use sharechain::verify::Bound;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) use fetch::MAX_SHARE;
pub(super) use fetch::{Asked, ask_headers};

/// Most messages of all peers without a verdict.
pub(super) const MAX_OPEN: usize = 1_024;
/// Most of one peer.
pub(super) const MAX_OPEN_PER_PEER: usize = 128;
/// Most submissions that wait at the chain; the others wait here, where the hardest go first.
pub(super) const MAX_AT_CHAIN: usize = 32;
/// Most own finds that are said again at a time.
pub(super) const MAX_SAID_AGAIN: usize = 64;
/// How long a message is kept open for what it lacks.
pub(super) const HOLD: Duration = Duration::from_secs(5);

/// A message on its way.
#[derive(Debug)]
pub(super) struct Arrival {
    peer: Peer,
    message: MessageToken,
    round: u8,
    /// The list, of a block.
    includes: Option<Vec<ShareId>>,
    /// Since when it has waited for something.
    waits_since: Option<Duration>,
    /// Whether its listed shares have been asked for.
    has_asked: bool,
}

/// A message that waits for something, its share bound.
#[derive(Debug)]
struct Held {
    arrival: Arrival,
    share: Bound,
    missing: Missing,
    since: Duration,
}

/// What is being bound.
#[derive(Debug)]
pub(super) enum Binding {
    /// A message's share.
    Gossip(Arrival),
    /// Listed shares that came as an answer.
    Listed { peer: Peer, block: ShareId, asked: Vec<ShareId> },
    /// A parent that came as an answer.
    Parent { peer: Peer, fetch: fetch::Parent },
    /// Missed shares that came as an answer.
    Missed { peer: Peer, asked: Vec<ShareId> },
}

/// What the chain is asked.
#[derive(Debug)]
pub(super) enum Requested {
    /// To judge a message's share.
    Gossip { arrival: Arrival, share: Bound },
    /// Which listed shares of a held block are not here.
    Unknown { block: ShareId },
    /// To take a parent.
    Parent { peer: Peer, fetch: fetch::Parent },
    /// Which missed shares of a peer are not here.
    Missed { peer: Peer },
    /// To take a share that was missed.
    Fetched { peer: Peer },
    /// What blocks pass over.
    PassedOver,
    /// To take Bitcoin headers.
    Headers { peer: Peer, headers: Vec<bitcoin::block::Header> },
}

/// Blocks before shares, then the smallest hash first.
type Rank = (bool, [u8; 32], MessageToken);

/// The relay's own state.
#[derive(Debug)]
pub(super) struct Relay {
    chain: ChainId,
    max_listed: u32,
    ready: BTreeMap<Rank, (Arrival, Bound)>,
    at_chain: usize,
    /// Ids of what is at the chain, of which a verdict will follow.
    judging: BTreeSet<ShareId>,
    open: usize,
    /// The block told of last: news of its share follow.
    last_block: Option<ShareId>,
    held: BTreeMap<ShareId, Held>,
    late: Late,
    missed: Missed,
    passed_over: PassedOver,
    fetches: fetch::Fetches,
}

impl Relay {
    pub(super) fn new(params: &ChainParams) -> Self {
        Self {
            chain: params.chain_id(),
            max_listed: params.max_listed,
            ready: BTreeMap::new(),
            at_chain: 0,
            judging: BTreeSet::new(),
            open: 0,
            last_block: None,
            held: BTreeMap::new(),
            late: Late::default(),
            missed: Missed::default(),
            passed_over: PassedOver::new(params),
            fetches: fetch::Fetches::default(),
        }
    }

    /// A message has come. While a long sync runs nothing can be judged, and what is missed comes with the blocks.
    pub(super) fn gossip(
        &mut self,
        desk: &mut Desk,
        sync: &Sync,
        (peer, topic, message): (Peer, Topic, MessageToken),
        bytes: &[u8],
    ) {
        let now = desk.time();
        let all_full = self.open >= MAX_OPEN;
        let Some(remote) = desk.peers.get_mut(&peer) else {
            return desk.verdict(message, Verdict::Ignore);
        };
        let is_flood = !remote.messages.take(1, now);
        let is_full = all_full || remote.open >= MAX_OPEN_PER_PEER;
        if is_flood {
            desk.fault(peer, Fault::Flood);
        }
        if is_flood || sync.is_far_behind() {
            return desk.verdict(message, Verdict::Ignore);
        }
        match read(topic, bytes) {
            // Nobody's fault: the sender may have another tip.
            Some((_, share, _)) if !sync.fits_tip(&share) => desk.verdict(message, Verdict::Ignore),
            Some((round, share, includes)) if is_full => {
                if includes.is_none() {
                    self.miss(peer, round, &share);
                }
                desk.verdict(message, Verdict::Ignore);
            }
            Some((round, share, includes)) => {
                self.open = self.open.saturating_add(1);
                if let Some(remote) = desk.peers.get_mut(&peer) {
                    remote.open = remote.open.saturating_add(1);
                }
                let arrival = Arrival { peer, message, round, includes, waits_since: None, has_asked: false };
                desk.bind(Unbound::Shares(vec![share]), BindFor::Relay(Binding::Gossip(arrival)));
            }
            None => {
                desk.verdict(message, Verdict::Reject);
                desk.fault(peer, Fault::BadEncoding);
            }
        }
    }

    pub(super) fn bound(&mut self, desk: &mut Desk, binding: Binding, result: BindResult) {
        match (binding, result) {
            (Binding::Gossip(arrival), BindResult::Shares(mut shares)) => match shares.pop() {
                Some(Ok(share)) => {
                    let rank = rank(&arrival, &share);
                    self.ready.insert(rank, (arrival, share));
                    self.hand_in(desk);
                }
                _ => self.close(desk, &arrival, Verdict::Reject),
            },
            (Binding::Listed { peer, block, asked }, BindResult::Shares(shares)) => {
                self.listed_bound(desk, peer, block, &asked, shares);
            }
            (Binding::Parent { peer, fetch }, BindResult::Blocks { blocks, fault }) => {
                fetch::parent_bound(self, desk, peer, fetch, blocks, fault);
            }
            (Binding::Missed { peer, asked }, BindResult::Shares(shares)) => {
                self.missed_bound(desk, peer, &asked, shares);
            }
            // A result has the form of its job.
            (Binding::Gossip(arrival), BindResult::Blocks { .. }) => {
                self.close(desk, &arrival, Verdict::Ignore)
            }
            (Binding::Listed { .. } | Binding::Missed { .. }, BindResult::Blocks { .. })
            | (Binding::Parent { .. }, BindResult::Shares(_)) => {}
        }
    }

    /// Gives the chain as many as it may have at a time.
    fn hand_in(&mut self, desk: &mut Desk) {
        while self.at_chain < MAX_AT_CHAIN
            && let Some((_, (arrival, share))) = self.ready.pop_first()
        {
            self.judge(desk, arrival, share, Vec::new());
        }
    }

    fn judge(&mut self, desk: &mut Desk, arrival: Arrival, share: Bound, bodies: Vec<Bound>) {
        let source = arrival.peer.into();
        let submission = match &arrival.includes {
            Some(includes) => {
                Submission { bodies, ..Submission::block(share.clone(), includes.clone(), source) }
            }
            None => Submission::share(share.clone(), source),
        };
        self.judging.insert(share.id());
        self.at_chain = self.at_chain.saturating_add(1);
        let requested = RequestFor::Relay(Requested::Gossip { arrival, share });
        desk.request(ChainRequest::Submit(Box::new(submission)), requested);
    }

    pub(super) fn answered(
        &mut self,
        desk: &mut Desk,
        sync: &mut Sync,
        asked: Requested,
        answer: ChainAnswer,
    ) {
        match (asked, answer) {
            (Requested::Gossip { arrival, share }, ChainAnswer::Submitted(result)) => {
                self.at_chain = self.at_chain.saturating_sub(1);
                self.judging.remove(&share.id());
                let is_wanted = arrival.includes.is_none()
                    && matches!(result, Err(Refusal::Known))
                    && self.passed_over.take(&share.id(), arrival.round);
                match ruling(&result, arrival.includes.is_some()) {
                    Ruling::Ignore if is_wanted => self.close(desk, &arrival, Verdict::Accept),
                    // The chain has released it by itself in the meantime.
                    Ruling::Ignore
                        if arrival.waits_since.is_some() && matches!(result, Err(Refusal::Known)) =>
                    {
                        self.close(desk, &arrival, Verdict::Accept);
                    }
                    Ruling::Accept => {
                        self.late.take(&share.id(), arrival.includes.is_some());
                        self.close(desk, &arrival, Verdict::Accept);
                    }
                    Ruling::Ignore => self.close(desk, &arrival, Verdict::Ignore),
                    Ruling::Reject => self.close(desk, &arrival, Verdict::Reject),
                    Ruling::Wait(missing) => self.wait(desk, sync, arrival, share, missing),
                }
                self.hand_in(desk);
            }
            (Requested::Unknown { block }, ChainAnswer::Unknown(ids)) => {
                self.ask_listed(desk, sync, block, ids)
            }
            (Requested::Missed { peer }, ChainAnswer::Unknown(ids)) => self.ask_missed(desk, peer, ids),
            (Requested::PassedOver, ChainAnswer::PassedOver(shares)) => self.are_passed_over(desk, &shares),
            (Requested::Fetched { peer }, ChainAnswer::Submitted(result))
                if ruling(&result, false) == Ruling::Reject =>
            {
                desk.fault(peer, Fault::InvalidWork);
            }
            (Requested::Parent { peer, fetch }, ChainAnswer::Submitted(result)) => {
                fetch::parent_judged(self, desk, sync, (peer, fetch), &result);
            }
            (Requested::Headers { peer, headers }, ChainAnswer::Headers(taken)) => {
                fetch::headers_taken(self, desk, peer, headers, &taken);
            }
            (Requested::Gossip { arrival, share }, _) => {
                self.at_chain = self.at_chain.saturating_sub(1);
                self.judging.remove(&share.id());
                self.close(desk, &arrival, Verdict::Ignore);
            }
            // An answer has the form of its request.
            _ => {}
        }
    }

    /// Keeps a message open and asks its sender for what is missing.
    fn wait(
        &mut self,
        desk: &mut Desk,
        sync: &mut Sync,
        mut arrival: Arrival,
        share: Bound,
        missing: Missing,
    ) {
        let id = share.id();
        let (peer, height) = (arrival.peer, share.share().commitment.height);
        if desk.peers.contains_key(&peer) {
            self.late.note(peer, id, arrival.round, arrival.includes.is_some());
        }
        let comes_soon = match &missing {
            Missing::Time(_) => false,
            Missing::Version(version) => {
                desk.unknown_version(*version);
                false
            }
            Missing::Base(_) => sync.heard_of(desk, peer, height),
            Missing::Parent(parent) => {
                let parent = fetch::Parent::of(*parent, height);
                self.fetches.parent(desk, sync, peer, parent, self.max_listed)
            }
            Missing::PrevBlock(hash) => self.fetches.headers(desk, peer, *hash),
            Missing::Share(_) => match &arrival.includes {
                Some(_) if arrival.has_asked => true,
                Some(ids) => {
                    let requested = RequestFor::Relay(Requested::Unknown { block: id });
                    desk.request(ChainRequest::Look(Look::Unknown(ids.clone())), requested);
                    true
                }
                None => false,
            },
        };
        if !comes_soon || self.held.contains_key(&id) {
            return self.close(desk, &arrival, Verdict::Ignore);
        }
        // Whatever else it lacks, its time counts from the first.
        let since = *arrival.waits_since.get_or_insert(desk.time());
        self.held.insert(id, Held { arrival, share, missing, since });
    }

    /// Something was released that messages may wait for: they are judged again, which shows what they lack next.
    fn again(&mut self, desk: &mut Desk, is_it: impl Fn(&Missing) -> bool) {
        let ids: Vec<ShareId> =
            self.held.iter().filter(|(_, held)| is_it(&held.missing)).map(|(id, _)| *id).collect();
        for id in ids {
            if let Some(Held { arrival, share, .. }) = self.held.remove(&id) {
                self.judge(desk, arrival, share, Vec::new());
            }
        }
    }

    /// The chain has taken something: it is handed on if that was not done yet, and what waited for it is judged again.
    pub(super) fn news(&mut self, desk: &mut Desk, news: &News) {
        if let News::Share { id, own: true, .. } | News::Block { id, own: true, .. } = news {
            self.passed_over.found(*id, desk.time());
        }
        self.untold(desk, news);
    }

    /// The same, of what peers may not have been told, whoever found it.
    pub(super) fn untold(&mut self, desk: &mut Desk, news: &News) {
        match news {
            News::State(_) => {}
            News::Share { id, share, own } => {
                let is_told = self.last_block == Some(*id);
                if let Some(round) = self.next_round(desk, *id, *own, false).filter(|_| !is_told) {
                    let message = ShareMessage { round, share: Share::clone(share) };
                    desk.publish(Topic::Share, message.to_bytes());
                }
                self.again(desk, |missing| *missing == Missing::Share(*id));
            }
            News::Block { id, share, listed, own } => {
                self.last_block = Some(*id);
                if let Some(round) = self.next_round(desk, *id, *own, true) {
                    let share = Share::clone(share);
                    let message = BlockMessage { round, share, includes: listed.clone() };
                    desk.publish(Topic::Block, message.to_bytes());
                }
                self.again(desk, |missing| [Missing::Parent(*id), Missing::Base(*id)].contains(missing));
            }
        }
    }

    /// The round in which something new is to be said; none when a verdict does that, or others did.
    fn next_round(&mut self, desk: &mut Desk, id: ShareId, own: bool, is_block: bool) -> Option<u8> {
        if self.judging.contains(&id) {
            return None;
        }
        let round = self.late.take(&id, is_block);
        let is_it = |held: &Held| held.arrival.includes.is_some() == is_block;
        if self.held.get(&id).is_some_and(is_it)
            && let Some(held) = self.held.remove(&id)
        {
            self.close(desk, &held.arrival, Verdict::Accept);
            return None;
        }
        round.or(own.then_some(0))
    }

    /// Gives a message its verdict.
    fn close(&mut self, desk: &mut Desk, arrival: &Arrival, verdict: Verdict) {
        self.open = self.open.saturating_sub(1);
        if let Some(remote) = desk.peers.get_mut(&arrival.peer) {
            remote.open = remote.open.saturating_sub(1);
        }
        desk.verdict(arrival.message, verdict);
        if verdict == Verdict::Reject {
            desk.fault(arrival.peer, Fault::InvalidWork);
        }
    }

    /// Messages that have been open for too long are not handed on; what there was no room for is fetched.
    pub(super) fn tick(&mut self, desk: &mut Desk) {
        let now = desk.time();
        let is_over = |held: &Held| now.saturating_sub(held.since) >= HOLD;
        let over: Vec<ShareId> =
            self.held.iter().filter(|(_, held)| is_over(held)).map(|(id, _)| *id).collect();
        for id in over {
            if let Some(held) = self.held.remove(&id) {
                self.close(desk, &held.arrival, Verdict::Ignore);
            }
        }
        self.catch_up(desk);
        self.look_after(desk);
    }

    pub(super) fn gone(&mut self, peer: Peer) {
        self.late.forget(peer);
        self.missed.forget(peer);
    }
}

type Read = (u8, Share, Option<Vec<ShareId>>);

fn read(topic: Topic, bytes: &[u8]) -> Option<Read> {
    match topic {
        Topic::Share => {
            ShareMessage::from_bytes(bytes).ok().map(|message| (message.round, message.share, None))
        }
        Topic::Block => BlockMessage::from_bytes(bytes)
            .ok()
            .map(|message| (message.round, message.share, Some(message.includes))),
        Topic::Solution => None,
    }
}

fn rank(arrival: &Arrival, share: &Bound) -> Rank {
    let mut hash = share.id().0;
    hash.reverse();
    (arrival.includes.is_none(), hash, arrival.message)
}
