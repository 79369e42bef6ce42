//! Lone shares whose messages were ignored because too much was open: asked for by id when there is room again. The
//! network does not bring a message twice, and only blocks are found by comparing tips.

use super::fetch::{Asked, MAX_SHARE, PATIENCE};
use super::{MAX_AT_CHAIN, MAX_OPEN, MAX_OPEN_PER_PEER, Relay, Requested};
use crate::peers::conduct::Fault;
use crate::peers::desk::{AskFor, Desk, RequestFor};
use crate::peers::io::{ChainRequest, Look};
use crate::peers::link::Peer;
use crate::peers::wire::Question;
use sharechain::chain::Submission;
use sharechain::share::{Share, ShareId};
use sharechain::verify::{BindError, Bound};
use std::collections::{BTreeMap, VecDeque};

/// Most of one peer; its oldest are forgotten.
pub(super) const MAX_MISSED_PER_PEER: usize = 128;

/// Ids by the peer that said them.
#[derive(Debug, Default)]
pub(super) struct Missed(BTreeMap<Peer, VecDeque<ShareId>>);

impl Missed {
    fn note(&mut self, peer: Peer, id: ShareId) {
        let ids = self.0.entry(peer).or_default();
        if ids.len() >= MAX_MISSED_PER_PEER {
            ids.pop_front();
        }
        ids.push_back(id);
    }

    pub(super) fn forget(&mut self, peer: Peer) {
        self.0.remove(&peer);
    }
}

impl Relay {
    /// A lone share is ignored for load. Should it be taken later, it is said in this node's own name.
    pub(super) fn miss(&mut self, peer: Peer, round: u8, share: &Share) {
        let id = share.id(self.chain);
        self.late.note(peer, id, round, false);
        self.missed.note(peer, id);
    }

    /// When half of what may be open is free again, looks which of a peer's missed shares are still not here.
    pub(super) fn catch_up(&mut self, desk: &mut Desk) {
        if self.open > MAX_OPEN / 2 {
            return;
        }
        let has_room =
            |peer: &Peer| desk.peers.get(peer).is_some_and(|remote| remote.open <= MAX_OPEN_PER_PEER / 2);
        let Some(peer) = self.missed.0.keys().copied().find(has_room) else { return };
        let Some(ids) = self.missed.0.get_mut(&peer) else { return };
        let first = ids.drain(..ids.len().min(MAX_AT_CHAIN)).collect();
        if ids.is_empty() {
            self.missed.forget(peer);
        }
        let requested = RequestFor::Relay(Requested::Missed { peer });
        desk.request(ChainRequest::Look(Look::Unknown(first)), requested);
    }

    /// Asks for those that are not here; later, if the peer owes too many answers.
    pub(super) fn ask_missed(&mut self, desk: &mut Desk, peer: Peer, ids: Vec<ShareId>) {
        if ids.is_empty() || !desk.peers.contains_key(&peer) {
            return;
        }
        let most = ids.len().saturating_add(1).saturating_mul(MAX_SHARE);
        let question = Question::Shares { ids: ids.clone() };
        let asked = Asked::Missed { ids: ids.clone() };
        if !desk.ask(peer, &question, most, PATIENCE, AskFor::Relay(asked)) {
            ids.into_iter().for_each(|id| self.missed.note(peer, id));
        }
    }

    /// They have come, and go the way of a message that nobody waits for.
    pub(super) fn missed_bound(
        &mut self,
        desk: &mut Desk,
        peer: Peer,
        asked: &[ShareId],
        shares: Vec<Result<Bound, BindError>>,
    ) {
        for share in shares {
            let Ok(share) = share else { return desk.fault(peer, Fault::InvalidWork) };
            if !asked.contains(&share.id()) {
                return desk.fault(peer, Fault::LyingAnswer);
            }
            let submission = Submission::share(share, peer.into());
            let requested = RequestFor::Relay(Requested::Fetched { peer });
            desk.request(ChainRequest::Submit(Box::new(submission)), requested);
        }
    }
}
