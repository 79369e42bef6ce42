//! Shares that blocks pass over, so that each is listed by somebody. What was found here is said again: who was cut off, alone
//! or with others, has said it to nobody, and the side that loses a split loses the blocks that listed it. What others say again
//! is handed on though it is known here, since somebody behind may lack it.

use super::{MAX_SAID_AGAIN, Relay, Requested};
use crate::peers::desk::{Desk, RequestFor};
use crate::peers::io::{ChainRequest, Look};
use crate::peers::link::Topic;
use crate::peers::wire::ShareMessage;
use sharechain::codec::Encode;
use sharechain::params::ChainParams;
use sharechain::share::{Share, ShareId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Most own finds that are remembered; the oldest, which have the least time left, are forgotten.
pub(super) const MAX_OWN_FINDS: usize = 8_192;
/// The chain is asked once a spacing, but not more often than this.
const LEAST_PAUSE: Duration = Duration::from_secs(5);
/// Pauses before a find is said again.
const PATIENCE: u32 = 4;

/// An own find.
#[derive(Debug)]
struct Find {
    said: Duration,
    /// The round in which it was said last.
    round: u8,
}

/// What was found here, and what blocks pass over.
#[derive(Debug)]
pub(super) struct PassedOver {
    pause: Duration,
    finds: BTreeMap<ShareId, Find>,
    /// The oldest first.
    order: VecDeque<ShareId>,
    /// Shares that the next block could list, and that have not been handed on since the chain was asked.
    shares: BTreeSet<ShareId>,
    /// What the chain named when it was asked last.
    seen: BTreeSet<ShareId>,
    asked: Duration,
    is_asked: bool,
}

impl PassedOver {
    pub(super) fn new(params: &ChainParams) -> Self {
        Self {
            pause: Duration::from_secs(params.spacing.into()).max(LEAST_PAUSE),
            finds: BTreeMap::new(),
            order: VecDeque::new(),
            shares: BTreeSet::new(),
            seen: BTreeSet::new(),
            asked: Duration::ZERO,
            is_asked: false,
        }
    }

    /// It has been found here and said.
    pub(super) fn found(&mut self, id: ShareId, now: Duration) {
        if self.finds.contains_key(&id) {
            return;
        }
        if self.order.len() >= MAX_OWN_FINDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.finds.remove(&oldest);
        }
        self.order.push_back(id);
        self.finds.insert(id, Find { said: now, round: 0 });
    }

    /// Whether somebody's saying it again is to be handed on, though it is known here: once, until the chain is asked again.
    /// Nobody has to work for a further round.
    pub(super) fn take(&mut self, id: &ShareId, round: u8) -> bool {
        round > 0 && self.shares.remove(id)
    }

    fn is_due(&self, now: Duration) -> bool {
        !self.is_asked && now.saturating_sub(self.asked) >= self.pause
    }

    /// The round to say it in, if it was found here and has not been said lately.
    fn next_round(&mut self, id: &ShareId, now: Duration) -> Option<u8> {
        let patience = self.pause.saturating_mul(PATIENCE);
        let find = self.finds.get_mut(id).filter(|find| now.saturating_sub(find.said) >= patience)?;
        find.round = find.round.checked_add(1)?;
        find.said = now;
        Some(find.round)
    }
}

impl Relay {
    /// Asks the chain what blocks pass over, if there is anybody to tell.
    pub(super) fn look_after(&mut self, desk: &mut Desk) {
        if self.passed_over.is_due(desk.time()) && !desk.peers.is_empty() {
            self.passed_over.asked = desk.time();
            self.passed_over.is_asked = true;
            let look = Look::PassedOver { now: desk.now.clock };
            desk.request(ChainRequest::Look(look), RequestFor::Relay(Requested::PassedOver));
        }
    }

    /// No block lists these: own ones are said in the next round, since the network drops what repeats byte for byte. Not when
    /// that is seen for the first time, so that others have seen it too and hand them on.
    pub(super) fn are_passed_over(&mut self, desk: &mut Desk, shares: &[(ShareId, Arc<Share>)]) {
        let (now, passed_over) = (desk.time(), &mut self.passed_over);
        passed_over.is_asked = false;
        let ids: BTreeSet<ShareId> = shares.iter().map(|(id, _)| *id).collect();
        let before = core::mem::replace(&mut passed_over.seen, ids.clone());
        passed_over.shares = ids;
        let again = shares
            .iter()
            .filter(|(id, _)| before.contains(id))
            .filter_map(|(id, share)| passed_over.next_round(id, now).map(|round| (round, share)));
        for (round, share) in again.take(MAX_SAID_AGAIN) {
            let message = ShareMessage { round, share: Share::clone(share) };
            desk.publish(Topic::Share, message.to_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u32) -> ShareId {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&n.to_le_bytes());
        ShareId(bytes)
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_find_is_said_again_every_four_spacings_in_the_next_round() {
        let mut own = PassedOver::new(&ChainParams::main());
        own.found(id(1), at(1_000));
        own.found(id(1), at(1_100));
        assert_eq!(own.next_round(&id(1), at(1_119)), None);
        assert_eq!(own.next_round(&id(2), at(1_120)), None, "somebody else's");
        assert_eq!(own.next_round(&id(1), at(1_120)), Some(1));
        assert_eq!(own.next_round(&id(1), at(1_239)), None);
        assert_eq!(own.next_round(&id(1), at(1_240)), Some(2));
    }

    #[test]
    fn the_oldest_of_too_many_are_forgotten_and_rounds_end() {
        let mut own = PassedOver::new(&ChainParams::main());
        let most = u32::try_from(MAX_OWN_FINDS).expect("some thousand");
        (0..=most).for_each(|n| own.found(id(n), at(0)));
        assert_eq!((own.finds.len(), own.order.len()), (MAX_OWN_FINDS, MAX_OWN_FINDS));
        assert_eq!(own.next_round(&id(0), at(1_000)), None);
        let rounds = (1..=300).filter_map(|n| own.next_round(&id(1), at(n * 120)));
        assert_eq!(rounds.last(), Some(u8::MAX));
    }
}
