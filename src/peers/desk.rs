//! What all parts of the logic share: the clock, the peers, what is under way, and what is to be done.

use super::bucket::Bucket;
use super::conduct::{Fault, Offenders, Record};
use super::io::{BindJob, BindToken, ChainRequest, ChainToken, Notice, Now, Output, Unbound};
use super::link::{Command, MessageToken, NoAnswer, Peer, QuestionToken, RequestToken, Topic, Verdict};
use super::wire::{Question, TipAnswer};
use super::{relay, sync};
use core::cmp::Reverse;
use sharechain::codec::Encode;
use sharechain::units::Height;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Gossiped messages of one peer in a row.
pub(super) const MESSAGES_AT_ONCE: u64 = 1_000;
/// And each second: fifty times what a whole pool says.
const MESSAGES_A_SECOND: u64 = 50;
/// Questions of one peer in a row.
const QUESTIONS_AT_ONCE: u64 = 200;
/// And each second: with answers of a megabyte, more than any line carries.
const QUESTIONS_A_SECOND: u64 = 100;
/// Most questions of this node that one peer may be answering.
pub(super) const MAX_ASKED: usize = 16;
/// Most unknown versions that are told of.
const MAX_VERSIONS: usize = 16;
/// How long a peer that stalls is asked nothing big; twice as long each further time.
const FIRST_REST: Duration = Duration::from_secs(15);
/// At most.
const LONGEST_REST: Duration = Duration::from_secs(300);

/// A connected peer.
#[derive(Debug)]
pub(super) struct Remote {
    record: Record,
    /// What it may still say.
    pub(super) messages: Bucket,
    /// What it may still ask.
    pub(super) questions: Bucket,
    /// Messages of its without a verdict.
    pub(super) open: usize,
    /// Questions to it without an answer.
    asked: usize,
    /// Where it says it stands.
    pub(super) claim: Option<TipAnswer>,
    /// When it was last asked that.
    pub(super) tip_asked: Option<Duration>,
    /// Until when it is asked nothing big, and for how long the next time that it stalls.
    rests_until: Duration,
    next_rest: Duration,
    /// Whether this node chose it.
    pub(super) outbound: bool,
}

impl Remote {
    fn new(outbound: bool) -> Self {
        Self {
            record: Record::default(),
            messages: Bucket::new(MESSAGES_AT_ONCE, MESSAGES_A_SECOND),
            questions: Bucket::new(QUESTIONS_AT_ONCE, QUESTIONS_A_SECOND),
            open: 0,
            asked: 0,
            claim: None,
            tip_asked: None,
            rests_until: Duration::ZERO,
            next_rest: FIRST_REST,
            outbound,
        }
    }
}

/// What a question to a peer is for.
#[derive(Debug)]
pub(super) enum AskFor {
    Relay(relay::Asked),
    Sync(sync::Asked),
}

/// What bound work is for.
#[derive(Debug)]
pub(super) enum BindFor {
    Relay(relay::Binding),
    Sync(sync::Binding),
}

/// What a request to the chain is for.
#[derive(Debug)]
pub(super) enum RequestFor {
    Relay(relay::Requested),
    Sync(sync::Requested),
}

/// The shared state.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) now: Now,
    pub(super) peers: BTreeMap<Peer, Remote>,
    offenders: Offenders,
    /// Peers banned while the present input is handled.
    pub(super) just_banned: Vec<Peer>,
    /// Unknown versions that were told of.
    versions: BTreeSet<u32>,
    outputs: Vec<Output>,
    next: u64,
    asks: BTreeMap<RequestToken, (Peer, AskFor)>,
    binds: BTreeMap<BindToken, BindFor>,
    requests: BTreeMap<ChainToken, RequestFor>,
}

impl Desk {
    pub(super) const fn new(now: Now) -> Self {
        Self {
            now,
            peers: BTreeMap::new(),
            offenders: Offenders::new(),
            just_banned: Vec::new(),
            versions: BTreeSet::new(),
            outputs: Vec::new(),
            next: 0,
            asks: BTreeMap::new(),
            binds: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// Time since the start.
    pub(super) const fn time(&self) -> Duration {
        self.now.since_start
    }

    pub(super) fn take_outputs(&mut self) -> Vec<Output> {
        core::mem::take(&mut self.outputs)
    }

    pub(super) fn connect(&mut self, peer: Peer, outbound: bool) {
        self.peers.insert(peer, Remote::new(outbound));
    }

    pub(super) fn disconnect(&mut self, peer: Peer) {
        self.peers.remove(&peer);
    }

    pub(super) fn output(&mut self, output: Output) {
        self.outputs.push(output);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.output(Output::Notice(notice));
    }

    /// Asks a peer, unless it has too many questions to answer already. The answer may have `most` bytes.
    pub(super) fn ask(
        &mut self,
        peer: Peer,
        question: &Question,
        most: usize,
        patience: Duration,
        what_for: AskFor,
    ) -> bool {
        let Some(remote) = self.peers.get_mut(&peer).filter(|remote| remote.asked < MAX_ASKED) else {
            return false;
        };
        remote.asked = remote.asked.saturating_add(1);
        let request = RequestToken(self.token());
        self.asks.insert(request, (peer, what_for));
        let bytes = question.to_bytes();
        self.output(Output::Network(Command::Ask { peer, request, bytes, most, patience }));
        true
    }

    /// What an answer is to, if it is to a question of this logic.
    pub(super) fn answered(&mut self, request: RequestToken) -> Option<(Peer, AskFor)> {
        let (peer, what_for) = self.asks.remove(&request)?;
        if let Some(remote) = self.peers.get_mut(&peer) {
            remote.asked = remote.asked.saturating_sub(1);
        }
        Some((peer, what_for))
    }

    pub(super) fn bind(&mut self, work: Unbound, what_for: BindFor) {
        let token = BindToken(self.token());
        self.binds.insert(token, what_for);
        self.output(Output::Bind(BindJob { token, work }));
    }

    pub(super) fn bound(&mut self, token: BindToken) -> Option<BindFor> {
        self.binds.remove(&token)
    }

    pub(super) fn request(&mut self, request: ChainRequest, what_for: RequestFor) {
        let token = ChainToken(self.token());
        self.requests.insert(token, what_for);
        self.output(Output::Chain { token, request });
    }

    pub(super) fn requested(&mut self, token: ChainToken) -> Option<RequestFor> {
        self.requests.remove(&token)
    }

    pub(super) fn verdict(&mut self, message: MessageToken, verdict: Verdict) {
        self.output(Output::Network(Command::Verdict { message, verdict }));
    }

    pub(super) fn publish(&mut self, topic: Topic, bytes: Vec<u8>) {
        self.output(Output::Network(Command::Publish { topic, bytes }));
    }

    pub(super) fn refuse(&mut self, question: QuestionToken) {
        self.output(Output::Network(Command::Answer { question, bytes: None }));
    }

    /// Has it told at which height a peer says it stands.
    pub(super) fn note(&mut self, peer: Peer, height: Height) {
        self.output(Output::Network(Command::Note { peer, height: height.0 }));
    }

    /// Shares of a version come that this program does not know; said once for each.
    pub(super) fn unknown_version(&mut self, version: u32) {
        if self.versions.len() < MAX_VERSIONS && self.versions.insert(version) {
            self.notice(Notice::UnknownVersion(version));
        }
    }

    /// Charges a peer with a fault, and sends it away when that was one too many. Those that have left are past charging.
    pub(super) fn fault(&mut self, peer: Peer, fault: Fault) {
        let now = self.time();
        let Some(remote) = self.peers.get_mut(&peer) else { return };
        if !remote.record.add(fault, now) {
            return;
        }
        self.peers.remove(&peer);
        self.just_banned.push(peer);
        let seconds = u32::try_from(self.offenders.next_ban(peer).as_secs()).unwrap_or(u32::MAX);
        let reason = fault.reason().to_owned();
        self.output(Output::Network(Command::Ban { peer, seconds, reason: reason.clone() }));
        self.notice(Notice::Banned { peer, seconds, reason });
    }

    /// A question was not answered.
    pub(super) fn unanswered(&mut self, peer: Peer, why: NoAnswer) {
        match why {
            NoAnswer::TimedOut => {
                self.rest(peer);
                self.fault(peer, Fault::Stalled);
            }
            NoAnswer::TooLong => self.fault(peer, Fault::EndlessAnswer),
            NoAnswer::Refused => self.rest(peer),
            NoAnswer::Gone => {}
        }
    }

    /// Asks a peer nothing big for a while, each time for longer.
    pub(super) fn rest(&mut self, peer: Peer) {
        let now = self.time();
        if let Some(remote) = self.peers.get_mut(&peer)
            && remote.rests_until <= now
        {
            remote.rests_until = now.saturating_add(remote.next_rest);
            remote.next_rest = remote.next_rest.saturating_mul(2).min(LONGEST_REST);
        }
    }

    /// A peer has shown that it is up to it.
    pub(super) fn revive(&mut self, peer: Peer) {
        if let Some(remote) = self.peers.get_mut(&peer) {
            remote.next_rest = FIRST_REST;
        }
    }

    pub(super) fn is_resting(&self, peer: Peer) -> bool {
        self.peers.get(&peer).is_none_or(|remote| remote.rests_until > self.time())
    }

    /// Whether nothing is under way.
    #[cfg(test)]
    pub(in crate::peers) fn is_idle(&self) -> bool {
        self.asks.is_empty() && self.binds.is_empty() && self.requests.is_empty()
    }

    /// Whom to believe first: those that have not stalled lately, and those that this node chose, since whoever comes in
    /// may come in under many names.
    pub(super) fn trust(&self, peer: Peer) -> (Reverse<Duration>, bool) {
        self.peers
            .get(&peer)
            .map_or((Reverse(Duration::MAX), false), |remote| (Reverse(remote.next_rest), remote.outbound))
    }

    /// The points that a peer has now.
    #[cfg(test)]
    pub(in crate::peers) fn points(&mut self, peer: Peer) -> u32 {
        let now = self.time();
        self.peers.get_mut(&peer).map_or(0, |remote| remote.record.points(now))
    }

    fn token(&mut self) -> u64 {
        self.next = self.next.saturating_add(1);
        self.next
    }
}
