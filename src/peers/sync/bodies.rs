//! The bodies of a chain whose ids are known: asked for in batches of about a megabyte from all who have them, bound on
//! other threads, taken by the chain in order. All three go on at the same time, within bounds.
//!
//! ```text
//! ids   ├──────────┼──────────┼──────────┼──────────┼──────────┼─────────
//!        at chain    bound      binding    got        asked      wanted
//! ```

use super::job::{Ending, Requested};
use super::progress::{Meter, Progress};
use super::{Asked, Binding};
use crate::peers::conduct::Fault;
use crate::peers::desk::{AskFor, BindFor, Desk, RequestFor};
use crate::peers::io::{BindResult, ChainRequest, Unbound, WholeBlock};
use crate::peers::link::{MAX_ANSWER, NoAnswer, Peer};
use crate::peers::relay;
use crate::peers::wire::{BlocksAnswer, MAX_BLOCKS, Question};
use sharechain::chain::Submission;
use sharechain::codec::Decode;
use sharechain::error::{Blame, Missing, Refusal};
use sharechain::params::ChainParams;
use sharechain::share::ShareId;
use sharechain::units::Height;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Bytes of bodies that an answer is meant to have.
pub(super) const BATCH_BYTES: usize = 1 << 20;
/// Most batches from the one at the chain to the one asked for last.
pub(super) const MAX_BATCHES: usize = 24;
/// Most bytes of bodies that wait for those before them; the lowest batch is asked for all the same.
pub(super) const MAX_BUFFER: usize = 24 << 20;
/// Most batches that one peer is asked for at a time.
pub(super) const MAX_BATCHES_PER_PEER: usize = 3;
/// Most batches that are being bound.
const MAX_BINDING: usize = 3;
/// Most batches, counted from the lowest, that may be bound: decoded shares take more room than their bytes.
const MAX_BOUND: usize = 6;
/// Most batches at the chain, so that it never waits for the next.
const MAX_AT_CHAIN: usize = 2;
/// How long a batch may take: a megabyte at 20 kB/s.
pub(super) const PATIENCE: Duration = Duration::from_secs(50);
/// After this time another peer is asked for the same batch, if there is one.
pub(super) const SLOW: Duration = Duration::from_secs(8);
/// How long the sync goes on with nobody to ask.
const IDLE: Duration = Duration::from_secs(30);
/// What must come in a while in which something was asked for: nobody may hold up a sync by answering little at a time.
const LEAST_BYTES: u64 = 512 << 10;
/// That while.
pub(super) const CRAWL: Duration = Duration::from_secs(60);
/// When a refusal for want of something is tried again at the latest.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How often.
const MAX_TRIES: u32 = 24;
/// Bytes of a block, as long as none has come.
const FIRST_GUESS: usize = 24 << 10;

/// What the pipeline must know of its job.
pub(super) struct Sources<'a> {
    pub(super) job: u64,
    pub(super) leader: Peer,
    pub(super) ids: &'a [ShareId],
}

#[derive(Debug)]
struct Batch {
    serial: u64,
    /// Index of its first id.
    first: usize,
    count: usize,
    /// Who was slow with it or sent something else.
    avoid: Option<Peer>,
    state: State,
}

#[derive(Debug)]
enum State {
    Wanted,
    Asked { peer: Peer, since: Duration },
    Got { peer: Peer, blocks: Vec<Vec<u8>>, bytes: usize },
    Binding { peer: Peer, bytes: usize },
    Bound { peer: Peer, blocks: Vec<WholeBlock>, bytes: usize },
    AtChain { peer: Peer, blocks: Vec<WholeBlock>, bytes: usize },
}

impl Batch {
    const fn bytes(&self) -> usize {
        match &self.state {
            State::Wanted | State::Asked { .. } => BATCH_BYTES,
            State::Got { bytes, .. }
            | State::Binding { bytes, .. }
            | State::Bound { bytes, .. }
            | State::AtChain { bytes, .. } => *bytes,
        }
    }

    fn want_from_another(&mut self, than: Peer) {
        self.avoid = Some(than);
        self.state = State::Wanted;
    }
}

/// The pipeline.
#[derive(Debug)]
pub(super) struct Pipeline {
    from: Height,
    most_bytes: usize,
    /// In the order of the ids, without gaps from the first that the chain has not taken.
    batches: VecDeque<Batch>,
    /// The first id that is in no batch.
    next: usize,
    done: usize,
    /// How many were here before.
    known: usize,
    serial: u64,
    block_bytes: usize,
    /// Peers that said that they do not have these blocks.
    lacking: BTreeSet<Peer>,
    idle_since: Option<Duration>,
    /// When the present while began, and the bytes until then; none as long as nothing is asked for.
    crawl: Option<(Duration, u64)>,
    try_again_at: Option<Duration>,
    tries: u32,
    meter: Meter,
}

impl Pipeline {
    pub(super) fn new(now: Duration, params: &ChainParams, from: Height, known: usize) -> Self {
        let listed = usize::try_from(params.max_listed).unwrap_or(usize::MAX);
        let one_block = listed.saturating_add(2).saturating_mul(relay::MAX_SHARE);
        Self {
            from,
            most_bytes: BATCH_BYTES.max(one_block).saturating_add(16 << 10).min(MAX_ANSWER),
            batches: VecDeque::new(),
            next: known,
            done: known,
            known,
            serial: 0,
            block_bytes: FIRST_GUESS,
            lacking: BTreeSet::new(),
            idle_since: None,
            crawl: None,
            try_again_at: None,
            tries: 0,
            meter: Meter::new(now, known),
        }
    }

    /// How many of the ids the chain has.
    pub(super) const fn done(&self) -> usize {
        self.done
    }

    /// How many of them were fetched.
    pub(super) const fn gained(&self) -> usize {
        self.done.saturating_sub(self.known)
    }

    pub(super) fn progress(&self, now: Duration, all: usize) -> Progress {
        self.meter.progress(self.done, all, now)
    }

    pub(super) fn due_progress(&mut self, now: Duration, all: usize) -> Option<Progress> {
        self.meter.tick(self.done, all, now)
    }

    /// Starts whatever there is room for.
    pub(super) fn pump(&mut self, desk: &mut Desk, sources: &Sources<'_>) -> Option<Ending> {
        self.plan(sources.ids.len());
        let ending = self.ask(desk, sources);
        self.bind(desk, sources.job);
        self.hand_in(desk, sources.job);
        ending
    }

    /// Makes batches of the next ids.
    fn plan(&mut self, all: usize) {
        let mut bytes: usize = self.batches.iter().map(Batch::bytes).sum();
        while self.next < all && self.batches.len() < MAX_BATCHES && bytes < MAX_BUFFER {
            let fits = BATCH_BYTES.checked_div(self.block_bytes).unwrap_or(1).clamp(1, MAX_BLOCKS);
            let count = fits.min(all.saturating_sub(self.next));
            let batch = self.batch(self.next, count, None);
            self.next = self.next.saturating_add(count);
            bytes = bytes.saturating_add(batch.bytes());
            self.batches.push_back(batch);
        }
    }

    const fn batch(&mut self, first: usize, count: usize, avoid: Option<Peer>) -> Batch {
        self.serial = self.serial.saturating_add(1);
        Batch { serial: self.serial, first, count, avoid, state: State::Wanted }
    }

    /// Asks for the wanted batches, lowest first, those who have least to do.
    fn ask(&mut self, desk: &mut Desk, sources: &Sources<'_>) -> Option<Ending> {
        let now = desk.time();
        let mut busy: BTreeMap<Peer, usize> = BTreeMap::new();
        for batch in &self.batches {
            if let State::Asked { peer, .. } = batch.state {
                let count = busy.entry(peer).or_default();
                *count = count.saturating_add(1);
            }
        }
        let mut is_stuck = false;
        for at in 0..self.batches.len() {
            let batch = &self.batches[at];
            if !matches!(batch.state, State::Wanted) {
                continue;
            }
            let able = self.able(desk, sources, batch);
            is_stuck |= able.is_empty();
            let busy_with = |peer: &Peer| busy.get(peer).copied().unwrap_or(0);
            let least = able.into_iter().filter(|peer| busy_with(peer) < MAX_BATCHES_PER_PEER);
            let Some(peer) = least.min_by_key(|peer| (busy_with(peer), *peer)) else { continue };
            let ids = sources.ids[batch.first..batch.first.saturating_add(batch.count)].to_vec();
            let from = self.from.saturating_add(u32::try_from(batch.first).unwrap_or(u32::MAX));
            let asked = AskFor::Sync(Asked::Batch { job: sources.job, batch: batch.serial });
            if desk.ask(peer, &Question::Blocks { from, ids }, self.most_bytes, PATIENCE, asked) {
                self.batches[at].state = State::Asked { peer, since: now };
                let count = busy.entry(peer).or_default();
                *count = count.saturating_add(1);
            }
        }
        self.ending_if_idle(is_stuck && busy.is_empty(), now)
    }

    fn ending_if_idle(&mut self, is_idle: bool, now: Duration) -> Option<Ending> {
        if !is_idle {
            self.idle_since = None;
            return None;
        }
        let since = *self.idle_since.get_or_insert(now);
        (now.saturating_sub(since) >= IDLE).then_some(Ending::Broken)
    }

    /// Who may have a batch: those who say that they stand as high. Whoever was slow with it only if nobody else has.
    fn able(&self, desk: &Desk, sources: &Sources<'_>, batch: &Batch) -> Vec<Peer> {
        let last = batch.first.saturating_add(batch.count).saturating_sub(1);
        let height = self.from.saturating_add(u32::try_from(last).unwrap_or(u32::MAX));
        let has = |peer: &Peer| {
            let claim = desk.peers.get(peer).and_then(|remote| remote.claim);
            let is_high = claim.is_some_and(|claim| claim.height >= height) || *peer == sources.leader;
            is_high && !self.lacking.contains(peer)
        };
        let is_fit = |peer: &Peer| has(peer) && !desk.is_resting(*peer);
        let fit: Vec<Peer> = desk.peers.keys().copied().filter(is_fit).collect();
        let others: Vec<Peer> = fit.iter().copied().filter(|peer| batch.avoid != Some(*peer)).collect();
        if others.is_empty() { fit } else { others }
    }

    /// A peer has answered, or has not. An answer is good even when another has been asked in the meantime.
    pub(super) fn told(
        &mut self,
        desk: &mut Desk,
        peer: Peer,
        serial: u64,
        answer: Result<Vec<u8>, NoAnswer>,
    ) {
        let decoded = answer.map(|bytes| (bytes.len(), BlocksAnswer::from_bytes(&bytes)));
        let at = self.batches.iter().position(|batch| batch.serial == serial);
        let is_open = |batch: &&mut Batch| matches!(batch.state, State::Wanted | State::Asked { .. });
        let batch = at.and_then(|at| self.batches.get_mut(at)).filter(is_open);
        let count = batch.as_ref().map_or(MAX_BLOCKS, |batch| batch.count);
        let fault = match decoded {
            Ok((bytes, Ok(BlocksAnswer { blocks }))) if (1..=count).contains(&blocks.len()) => {
                desk.revive(peer);
                self.meter.bytes = self.meter.bytes.saturating_add(bytes as u64);
                if let Some(at) = at.filter(|_| batch.is_some()) {
                    self.got(at, peer, blocks, bytes);
                }
                return;
            }
            Ok((_, Ok(BlocksAnswer { blocks }))) if blocks.is_empty() => {
                self.lacking.insert(peer);
                None
            }
            Ok((_, Ok(_))) => Some(Fault::LyingAnswer),
            Ok((_, Err(_))) => Some(Fault::BadEncoding),
            Err(no_answer) => {
                desk.unanswered(peer, no_answer);
                None
            }
        };
        // Unless another has been asked for it already.
        if let Some(batch) = batch
            && matches!(batch.state, State::Asked { peer: asked, .. } if asked == peer)
        {
            batch.want_from_another(peer);
        }
        if let Some(fault) = fault {
            desk.fault(peer, fault);
        }
    }

    /// Blocks have come; what did not fit is a batch of its own.
    fn got(&mut self, at: usize, peer: Peer, blocks: Vec<Vec<u8>>, bytes: usize) {
        let count = blocks.len();
        self.block_bytes = bytes.checked_div(count).unwrap_or(FIRST_GUESS).max(1);
        let Some(batch) = self.batches.get_mut(at) else { return };
        let rest = (batch.first.saturating_add(count), batch.count.saturating_sub(count));
        batch.count = count;
        batch.state = State::Got { peer, blocks, bytes };
        if rest.1 > 0 {
            let rest = self.batch(rest.0, rest.1, None);
            self.batches.insert(at.saturating_add(1), rest);
        }
    }

    /// Gives batches to be bound: of the lowest, those that have come.
    fn bind(&mut self, desk: &mut Desk, job: u64) {
        let is_binding = |batch: &&Batch| matches!(batch.state, State::Binding { .. });
        let mut binding = self.batches.iter().filter(is_binding).count();
        for batch in self.batches.iter_mut().take(MAX_BOUND) {
            if binding >= MAX_BINDING {
                return;
            }
            if let State::Got { peer, blocks, bytes } = &mut batch.state {
                let (peer, blocks, bytes) = (*peer, core::mem::take(blocks), *bytes);
                batch.state = State::Binding { peer, bytes };
                binding = binding.saturating_add(1);
                desk.bind(Unbound::Blocks(blocks), BindFor::Sync(Binding { job, batch: batch.serial }));
            }
        }
    }

    /// A batch has been bound: are they the blocks that were asked for?
    pub(super) fn bound(&mut self, desk: &mut Desk, sources: &Sources<'_>, serial: u64, result: BindResult) {
        let Some(batch) = self.batches.iter_mut().find(|batch| batch.serial == serial) else { return };
        let State::Binding { peer, bytes } = batch.state else { return };
        let BindResult::Blocks { blocks, fault } = result else { return };
        let ids = sources.ids.iter().skip(batch.first).take(batch.count);
        let is_asked_for =
            blocks.len() == batch.count && blocks.iter().map(|block| block.share.id()).eq(ids.copied());
        if is_asked_for && !fault {
            batch.state = State::Bound { peer, blocks, bytes };
        } else {
            batch.want_from_another(peer);
            desk.fault(peer, if fault { Fault::InvalidWork } else { Fault::LyingAnswer });
        }
    }

    /// Gives the chain the lowest batches, in order.
    fn hand_in(&mut self, desk: &mut Desk, job: u64) {
        if self.try_again_at.is_some() {
            return;
        }
        for batch in self.batches.iter_mut().take(MAX_AT_CHAIN) {
            match &mut batch.state {
                State::AtChain { .. } => {}
                State::Bound { peer, blocks, bytes } => {
                    let (peer, blocks, bytes) = (*peer, core::mem::take(blocks), *bytes);
                    let wanted = |block: &WholeBlock| {
                        let WholeBlock { share, listed } = block.clone();
                        Submission::whole_block(share, listed, peer.into()).wanted()
                    };
                    let request = ChainRequest::Extend(blocks.iter().map(wanted).collect());
                    let requested = Requested::Extend(batch.serial);
                    desk.request(request, RequestFor::Sync(super::Requested::Job(job, requested)));
                    batch.state = State::AtChain { peer, blocks, bytes };
                }
                _ => return,
            }
        }
    }

    /// The chain has taken blocks of a batch.
    pub(super) fn taken(
        &mut self,
        desk: &mut Desk,
        sources: &Sources<'_>,
        serial: u64,
        taken: usize,
        refused: Option<Refusal>,
    ) -> Option<Ending> {
        let at = self.batches.iter().position(|batch| batch.serial == serial)?;
        let batch = self.batches.get_mut(at)?;
        let State::AtChain { peer, blocks, bytes } = &mut batch.state else { return None };
        let (peer, mut blocks, bytes) = (*peer, core::mem::take(blocks), *bytes);
        if at > 0 {
            // What is below it was refused, so this one had to be.
            batch.state = State::Bound { peer, blocks, bytes };
            return None;
        }
        let taken = taken.min(blocks.len());
        let shares = blocks.drain(..taken).map(|block| block.listed.len().saturating_add(1));
        self.meter.shares = self.meter.shares.saturating_add(shares.sum::<usize>() as u64);
        self.done = self.done.saturating_add(taken);
        batch.first = batch.first.saturating_add(taken);
        batch.count = batch.count.saturating_sub(taken);
        if taken > 0 {
            self.tries = 0;
        }
        if blocks.is_empty() {
            self.batches.pop_front();
            return None;
        }
        batch.state = State::Bound { peer, blocks, bytes };
        refused.map_or(Some(Ending::Broken), |refusal| self.refused(desk, sources, peer, &refusal))
    }

    /// The lowest block was refused.
    fn refused(
        &mut self,
        desk: &mut Desk,
        sources: &Sources<'_>,
        peer: Peer,
        refusal: &Refusal,
    ) -> Option<Ending> {
        match refusal {
            Refusal::Waits(Missing::Version(version)) => {
                desk.unknown_version(*version);
                return Some(Ending::Settled);
            }
            Refusal::Waits(Missing::PrevBlock(hash)) => {
                let asked = if desk.peers.contains_key(&peer) { peer } else { sources.leader };
                relay::ask_headers(desk, asked, *hash);
            }
            Refusal::Waits(Missing::Time(_)) => {}
            // That its body is the one that its id names was checked before.
            refusal if refusal.blame() == Blame::Sender => return Some(Ending::Fault(Fault::InvalidChain)),
            // What it stands on has gone in the meantime, or never was there: a window that is looked back to.
            _ => return Some(Ending::Hopeless),
        }
        self.tries = self.tries.saturating_add(1);
        self.try_again_at = Some(desk.time().saturating_add(TRY_AGAIN));
        (self.tries > MAX_TRIES).then_some(Ending::Broken)
    }

    /// What the chain refused for want of something may pass now.
    pub(super) const fn try_again(&mut self) {
        self.try_again_at = None;
    }

    /// Time has passed: slow batches are asked of others.
    pub(super) fn tick(&mut self, desk: &mut Desk, sources: &Sources<'_>) -> Option<Ending> {
        let now = desk.time();
        if self.try_again_at.is_some_and(|at| now >= at) {
            self.try_again_at = None;
        }
        for at in 0..self.batches.len() {
            let batch = &self.batches[at];
            let State::Asked { peer, since } = batch.state else { continue };
            let is_slow = now.saturating_sub(since) >= SLOW;
            let able = if is_slow { self.able(desk, sources, batch) } else { Vec::new() };
            if able.iter().any(|other| *other != peer) {
                desk.rest(peer);
                self.batches[at].want_from_another(peer);
            }
        }
        self.ending_if_crawling(now)
    }

    fn ending_if_crawling(&mut self, now: Duration) -> Option<Ending> {
        if !self.batches.iter().any(|batch| matches!(batch.state, State::Asked { .. })) {
            self.crawl = None;
            return None;
        }
        let (since, bytes) = *self.crawl.get_or_insert((now, self.meter.bytes));
        if now.saturating_sub(since) < CRAWL {
            return None;
        }
        self.crawl = Some((now, self.meter.bytes));
        (self.meter.bytes.saturating_sub(bytes) < LEAST_BYTES).then_some(Ending::Broken)
    }
}
