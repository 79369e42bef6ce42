//! Shares and blocks that could not be judged when they came, so that they are said again once they can.

use crate::peers::link::Peer;
use sharechain::share::ShareId;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most of one peer; its oldest are forgotten.
pub(super) const MAX_LATE_PER_PEER: usize = 256;

#[derive(Debug)]
struct Early {
    peer: Peer,
    /// The rounds in which it was heard.
    heard: BTreeSet<u8>,
    is_block: bool,
}

/// Ids with the rounds in which each came, by the peer that said it first.
#[derive(Debug, Default)]
pub(super) struct Late {
    rounds: BTreeMap<ShareId, Early>,
    order: BTreeMap<Peer, VecDeque<ShareId>>,
}

impl Late {
    /// Remembers an id and the round. What came as a block is one.
    pub(super) fn note(&mut self, peer: Peer, id: ShareId, round: u8, is_block: bool) {
        if let Some(early) = self.rounds.get_mut(&id) {
            early.heard.insert(round);
            early.is_block |= is_block;
            return;
        }
        let order = self.order.entry(peer).or_default();
        order.push_back(id);
        self.rounds.insert(id, Early { peer, heard: BTreeSet::from([round]), is_block });
        if order.len() > MAX_LATE_PER_PEER
            && let Some(oldest) = order.pop_front()
        {
            self.rounds.remove(&oldest);
        }
    }

    /// The first round after 0 in which an id that came too early, as a block or as a share, was not heard, to say it in;
    /// none if it did not, or was heard in all: it takes 255 copies to silence this node.
    pub(super) fn take(&mut self, id: &ShareId, is_block: bool) -> Option<u8> {
        if self.rounds.get(id)?.is_block != is_block {
            return None;
        }
        let Early { peer, heard, .. } = self.rounds.remove(id)?;
        if let Some(order) = self.order.get_mut(&peer) {
            order.retain(|noted| noted != id);
        }
        (1..=u8::MAX).find(|round| !heard.contains(round))
    }

    /// The peer has left.
    pub(super) fn forget(&mut self, peer: Peer) {
        for id in self.order.remove(&peer).unwrap_or_default() {
            self.rounds.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> ShareId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        ShareId(bytes)
    }

    #[test]
    fn the_round_is_the_first_that_was_not_heard() {
        let mut late = Late::default();
        late.note(Peer(1), id(1), 0, false);
        late.note(Peer(2), id(1), 3, false);
        late.note(Peer(2), id(1), 1, false);
        late.note(Peer(1), id(2), 255, false);
        assert_eq!(late.take(&id(1), false), Some(2));
        assert_eq!(late.take(&id(1), false), None, "said again once");
        assert_eq!(late.take(&id(2), false), Some(1), "however late the round that was heard");
        (0..255).for_each(|round| late.note(Peer(1), id(3), round, false));
        late.note(Peer(1), id(4), 255, false);
        late.note(Peer(1), id(3), 255, true);
        assert_eq!(late.take(&id(3), true), None, "rounds end");
    }

    #[test]
    fn a_block_is_not_said_again_because_its_share_is_here() {
        let mut late = Late::default();
        late.note(Peer(1), id(1), 0, false);
        late.note(Peer(1), id(1), 0, true);
        assert_eq!(late.take(&id(1), false), None);
        assert_eq!(late.take(&id(1), true), Some(1));
    }

    #[test]
    fn a_peer_pushes_out_its_own_only() {
        let mut late = Late::default();
        late.note(Peer(2), id(0), 0, false);
        (1..=MAX_LATE_PER_PEER + 1).for_each(|n| late.note(Peer(1), id(n), 0, false));
        assert_eq!(late.take(&id(1), false), None);
        assert_eq!(late.take(&id(2), false), Some(1));
        late.forget(Peer(1));
        assert_eq!(late.take(&id(3), false), None);
        assert_eq!(late.take(&id(0), false), Some(1));
        assert!(late.rounds.is_empty());
    }
}
