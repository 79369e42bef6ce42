//! This node's own finds, said again while no block lists them. Who was cut off, alone or with others, has said them to
//! nobody; and the side that loses a split loses the blocks that listed them. Nobody else would see that they are paid.

use super::{Relay, Requested};
use crate::peers::desk::{Desk, RequestFor};
use crate::peers::io::{ChainRequest, Look};
use crate::peers::link::Topic;
use crate::peers::wire::ShareMessage;
use sharechain::codec::Encode;
use sharechain::params::ChainParams;
use sharechain::share::{Share, ShareId};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Most finds that are looked after; the oldest, which have the least time left, are let go.
pub(super) const MAX_OWN_FINDS: usize = 8_192;
/// Most that are said again at a time.
pub(in crate::peers) const MAX_SAID_AGAIN: usize = 64;
/// Share blocks, by the clock, that others have to list a find before it is said again.
const BLOCKS_TO_LIST_IT: u32 = 4;

#[derive(Debug)]
struct Find {
    since: Duration,
    said: Duration,
    /// The round in which it was said last.
    round: u8,
}

/// What was found here, as long as a block may list it.
#[derive(Debug)]
pub(super) struct Own {
    spacing: Duration,
    /// For twice the depth, since branches do not grow alike.
    kept_for: Duration,
    finds: BTreeMap<ShareId, Find>,
    /// The oldest first.
    order: VecDeque<ShareId>,
    looked: Duration,
}

impl Own {
    pub(super) fn new(params: &ChainParams) -> Self {
        let spacing = Duration::from_secs(params.spacing.into());
        let kept_for = spacing.saturating_mul(params.include_depth.saturating_mul(2));
        Self { spacing, kept_for, finds: BTreeMap::new(), order: VecDeque::new(), looked: Duration::ZERO }
    }

    /// It has been found and said.
    pub(super) fn note(&mut self, id: ShareId, now: Duration) {
        if self.finds.contains_key(&id) {
            return;
        }
        if self.order.len() >= MAX_OWN_FINDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.finds.remove(&oldest);
        }
        self.order.push_back(id);
        self.finds.insert(id, Find { since: now, said: now, round: 0 });
    }

    /// Once a block: those that a block should have listed by now.
    fn due(&mut self, now: Duration) -> Vec<ShareId> {
        if now.saturating_sub(self.looked) < self.spacing {
            return Vec::new();
        }
        self.looked = now;
        while let Some(oldest) = self.order.front().copied()
            && self.finds.get(&oldest).is_none_or(|find| now.saturating_sub(find.since) > self.kept_for)
        {
            self.order.pop_front();
            self.finds.remove(&oldest);
        }
        let patience = self.spacing.saturating_mul(BLOCKS_TO_LIST_IT);
        let is_due = |find: &Find| now.saturating_sub(find.said) >= patience && find.round < u8::MAX;
        self.finds.iter().filter(|(_, find)| is_due(find)).map(|(id, _)| *id).collect()
    }

    /// The round to say it in; none for what is not looked after any more.
    fn say(&mut self, id: &ShareId, now: Duration) -> Option<u8> {
        let find = self.finds.get_mut(id)?;
        find.said = now;
        find.round = find.round.checked_add(1)?;
        Some(find.round)
    }
}

impl Relay {
    /// Asks the chain which of them no block lists, if there is anybody to tell.
    pub(super) fn look_after_own(&mut self, desk: &mut Desk) {
        if desk.peers.is_empty() {
            return;
        }
        let ids = self.own.due(desk.time());
        if !ids.is_empty() {
            let look = Look::Unlisted { ids, now: desk.now.clock };
            desk.request(ChainRequest::Look(look), RequestFor::Relay(Requested::Unlisted));
        }
    }

    /// No block lists them: they are said in the next round, since the network drops what repeats byte for byte.
    pub(super) fn say_again(&mut self, desk: &mut Desk, shares: &[Arc<Share>]) {
        for share in shares {
            if let Some(round) = self.own.say(&share.id(self.chain), desk.time()) {
                let message = ShareMessage { round, share: Share::clone(share) };
                desk.publish(Topic::Share, message.to_bytes());
            }
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
    fn a_find_is_due_after_four_blocks_and_again_after_four_until_it_is_too_old() {
        let mut own = Own::new(&ChainParams::main());
        own.note(id(1), at(1_000));
        own.note(id(1), at(1_100));
        assert!(own.due(at(1_119)).is_empty());
        assert!(own.due(at(1_121)).is_empty(), "looked a moment ago");
        assert_eq!(own.due(at(1_150)), [id(1)]);
        assert_eq!(own.say(&id(1), at(1_150)), Some(1));
        assert!(own.due(at(1_269)).is_empty());
        assert_eq!(own.due(at(1_300)), [id(1)]);
        assert_eq!(own.say(&id(1), at(1_300)), Some(2));
        assert_eq!(own.due(at(4_600)), [id(1)], "an hour");
        assert!(own.due(at(4_631)).is_empty() && own.finds.is_empty() && own.order.is_empty());
        assert_eq!(own.say(&id(1), at(4_632)), None);
    }

    #[test]
    fn the_oldest_of_too_many_go_and_rounds_end() {
        let mut own = Own::new(&ChainParams::main());
        let most = u32::try_from(MAX_OWN_FINDS).expect("some thousand");
        (0..=most).for_each(|n| own.note(id(n), at(0)));
        assert_eq!((own.finds.len(), own.order.len()), (MAX_OWN_FINDS, MAX_OWN_FINDS));
        assert_eq!(own.say(&id(0), at(0)), None);
        assert_eq!((1..=300).filter_map(|_| own.say(&id(1), at(0))).last(), Some(u8::MAX));
        assert!(!own.due(at(3_600)).contains(&id(1)), "said in every round");
    }
}
