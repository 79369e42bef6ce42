//! The questions under way, both ways, bounded for each peer and in all.

use crate::peers::link::{Peer, QuestionToken, RequestToken};
use libp2p::PeerId;
use libp2p::request_response::{InboundRequestId, OutboundRequestId, ResponseChannel};
use std::collections::HashMap;

/// Most questions of one peer that wait or whose answers are being sent.
const MAX_ASKED_BY_PEER: usize = 8;
/// The same of all peers.
const MAX_ASKED: usize = 64;
/// Most bytes of answers that are being sent to one peer; one answer always fits.
const MAX_ANSWERS_TO_PEER: usize = 8 << 20;
/// The same to all peers.
const MAX_ANSWERS: usize = 128 << 20;
/// Most questions of this node to one peer at a time: what the logic asks, and one for the transactions of a found block.
const MAX_ASKING_PEER: usize = 17;
/// Most questions of this node at a time.
const MAX_ASKING: usize = 256;
/// Most bytes of the answers that this node may be waiting for, at their longest.
const MAX_AWAITED: usize = 128 << 20;

#[derive(Debug)]
struct Asked {
    token: QuestionToken,
    peer: PeerId,
    /// Until it is answered.
    channel: Option<ResponseChannel<Vec<u8>>>,
    /// Bytes of the answer.
    bytes: usize,
}

/// Questions of others.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    asked: HashMap<InboundRequestId, Asked>,
    by_token: HashMap<QuestionToken, InboundRequestId>,
    next: u64,
}

impl Incoming {
    /// Takes a question, or none if there are too many: the channel is dropped then, which refuses.
    pub(super) fn add(
        &mut self,
        id: InboundRequestId,
        peer: PeerId,
        channel: ResponseChannel<Vec<u8>>,
    ) -> Option<QuestionToken> {
        let of_peer = self.asked.values().filter(|asked| asked.peer == peer).count();
        if of_peer >= MAX_ASKED_BY_PEER || self.asked.len() >= MAX_ASKED {
            return None;
        }
        self.next += 1;
        let token = QuestionToken(self.next);
        self.asked.insert(id, Asked { token, peer, channel: Some(channel), bytes: 0 });
        self.by_token.insert(token, id);
        Some(token)
    }

    /// The way back for an answer of so many bytes. None if nobody waits for it any more, or if too much is being sent:
    /// the question is refused then.
    pub(super) fn answer(&mut self, token: QuestionToken, bytes: usize) -> Option<ResponseChannel<Vec<u8>>> {
        let id = self.by_token.remove(&token)?;
        let peer = self.asked.get(&id)?.peer;
        let all: usize = self.asked.values().map(|asked| asked.bytes).sum();
        let to_peer: usize = self.asked.values().filter(|a| a.peer == peer).map(|a| a.bytes).sum();
        let asked = self.asked.get_mut(&id)?;
        let channel = asked.channel.take();
        if all + bytes > MAX_ANSWERS || (to_peer > 0 && to_peer + bytes > MAX_ANSWERS_TO_PEER) {
            return None;
        }
        asked.bytes = bytes;
        channel
    }

    /// Refuses a question.
    pub(super) fn refuse(&mut self, token: QuestionToken) {
        if let Some(asked) = self.by_token.remove(&token).and_then(|id| self.asked.get_mut(&id)) {
            asked.channel = None;
        }
    }

    /// Notes that an exchange is over, however it ended.
    pub(super) fn end(&mut self, id: InboundRequestId) {
        if let Some(asked) = self.asked.remove(&id) {
            self.by_token.remove(&asked.token);
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    peer: Peer,
    request: RequestToken,
    most: usize,
}

/// This node's questions.
#[derive(Debug, Default)]
pub(super) struct Outgoing(HashMap<OutboundRequestId, Asking>);

impl Outgoing {
    /// Whether one more may be asked.
    pub(super) fn has_room(&self, peer: Peer, most: usize) -> bool {
        let of_peer = self.0.values().filter(|asking| asking.peer == peer).count();
        let awaited: usize = self.0.values().map(|asking| asking.most).sum();
        of_peer < MAX_ASKING_PEER && self.0.len() < MAX_ASKING && awaited + most <= MAX_AWAITED
    }

    /// Notes a question.
    pub(super) fn add(&mut self, id: OutboundRequestId, peer: Peer, request: RequestToken, most: usize) {
        self.0.insert(id, Asking { peer, request, most });
    }

    /// Ends a question; once.
    pub(super) fn end(&mut self, id: OutboundRequestId) -> Option<(Peer, RequestToken)> {
        self.0.remove(&id).map(|asking| (asking.peer, asking.request))
    }
}
