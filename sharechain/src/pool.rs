//! What is not in the chain (yet): valid shares that blocks may list, things that wait for something, and ids known
//! to be invalid. Everything here is bounded in bytes or in number, and what waits also by its source.

use crate::error::Missing;
use crate::share::ShareId;
use crate::units::{Height, UnixTime};
use crate::verify::VerifiedShare;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Most bytes of valid shares kept for listing. A busy hour (120 blocks of 32 shares) takes about 3 MB.
pub const MAX_SHARE_BYTES: usize = 64 << 20;
/// Most bytes that wait, from all sources.
pub const MAX_WAITING_BYTES: usize = 32 << 20;
/// Most bytes that wait from one source.
pub const MAX_WAITING_BYTES_PER_SOURCE: usize = 4 << 20;
/// Most ids remembered as invalid.
pub const MAX_INVALID: usize = 16_384;

/// Valid shares by id, listed already or not: a share leaves by age or for want of room, so a reorganisation finds
/// the abandoned blocks' shares still here.
#[derive(Debug, Default)]
pub struct SharePool {
    shares: BTreeMap<ShareId, VerifiedShare>,
    by_height: BTreeSet<(Height, ShareId)>,
    bytes: usize,
}

impl SharePool {
    /// The share with this id.
    pub fn get(&self, id: &ShareId) -> Option<&VerifiedShare> {
        self.shares.get(id)
    }

    /// Adds a share. When there is no room the lowest ones go, which have the least time left to be listed.
    pub fn insert(&mut self, share: VerifiedShare) {
        let (id, height, len) = (share.id(), share.share().commitment.height, share.share().encoded_len());
        if self.shares.insert(id, share).is_some() {
            return;
        }
        self.by_height.insert((height, id));
        self.bytes = self.bytes.saturating_add(len);
        while self.bytes > MAX_SHARE_BYTES {
            let Some((_, lowest)) = self.by_height.pop_first() else { break };
            self.forget(&lowest);
        }
    }

    /// Drops the shares below `height`.
    pub fn prune_below(&mut self, height: Height) {
        while let Some((lowest, id)) = self.by_height.first().copied()
            && lowest < height
        {
            self.by_height.pop_first();
            self.forget(&id);
        }
    }

    /// Drops the shares that `keep` does not want.
    pub fn retain(&mut self, keep: impl Fn(&VerifiedShare) -> bool) {
        let unwanted = self.shares.values().filter(|share| !keep(share));
        let unwanted: Vec<_> = unwanted.map(|share| (share.share().commitment.height, share.id())).collect();
        for key in unwanted {
            self.by_height.remove(&key);
            self.forget(&key.1);
        }
    }

    /// Shares with a height in this range, lowest first, then by id.
    pub fn range(&self, from: Height, to: Height) -> impl Iterator<Item = &VerifiedShare> {
        let (from, to) = ((from, ShareId([0; 32])), (to, ShareId([0xff; 32])));
        self.by_height.range(from..=to).filter_map(|(_, id)| self.shares.get(id))
    }

    /// All shares, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = &VerifiedShare> {
        self.by_height.iter().filter_map(|(_, id)| self.shares.get(id))
    }

    /// Number of shares.
    pub fn len(&self) -> usize {
        self.shares.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    fn forget(&mut self, id: &ShareId) {
        if let Some(share) = self.shares.remove(id) {
            self.bytes = self.bytes.saturating_sub(share.share().encoded_len());
        }
    }
}

/// Where a submission came from, as the node numbers its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source(pub u64);

/// Things that wait for what is missing, each under its share's id.
#[derive(Debug)]
pub struct WaitingPool<T> {
    held: BTreeMap<u64, Held<T>>,
    by_missing: BTreeSet<(Missing, u64)>,
    by_id: BTreeMap<ShareId, u64>,
    by_source: BTreeMap<Source, BTreeMap<u64, usize>>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Held<T> {
    id: ShareId,
    missing: Missing,
    source: Source,
    bytes: usize,
    item: T,
}

impl<T> Default for WaitingPool<T> {
    fn default() -> Self {
        Self {
            held: BTreeMap::new(),
            by_missing: BTreeSet::new(),
            by_id: BTreeMap::new(),
            by_source: BTreeMap::new(),
            bytes: 0,
            next: 0,
        }
    }
}

impl<T> WaitingPool<T> {
    /// Holds `item` until `missing` comes. An earlier one of the same id is replaced. Over a source's bound its own
    /// oldest go; over the whole bound the oldest of the source that holds most.
    pub fn hold(&mut self, id: ShareId, missing: Missing, source: Source, bytes: usize, item: T) {
        if bytes > MAX_WAITING_BYTES_PER_SOURCE {
            return;
        }
        if let Some(earlier) = self.by_id.get(&id).copied() {
            self.take(earlier);
        }
        let sequence = self.next;
        self.next = self.next.saturating_add(1);
        self.by_missing.insert((missing.clone(), sequence));
        self.by_id.insert(id, sequence);
        self.by_source.entry(source).or_default().insert(sequence, bytes);
        self.held.insert(sequence, Held { id, missing, source, bytes, item });
        self.bytes = self.bytes.saturating_add(bytes);
        while self.bytes_of(source) > MAX_WAITING_BYTES_PER_SOURCE {
            self.drop_oldest_of(source);
        }
        while self.bytes > MAX_WAITING_BYTES {
            let Some(largest) = self.by_source.keys().copied().max_by_key(|source| self.bytes_of(*source))
            else {
                break;
            };
            self.drop_oldest_of(largest);
        }
    }

    /// Takes out all that waits for this.
    pub fn release(&mut self, missing: &Missing) -> Vec<T> {
        let range = (missing.clone(), 0)..=(missing.clone(), u64::MAX);
        let ready: Vec<u64> = self.by_missing.range(range).map(|(_, sequence)| *sequence).collect();
        ready.into_iter().filter_map(|sequence| self.take(sequence)).collect()
    }

    /// Takes out all that waits for a time that has come.
    pub fn release_until(&mut self, now: UnixTime) -> Vec<T> {
        let range = (Missing::Time(UnixTime(0)), 0)..=(Missing::Time(now), u64::MAX);
        let ready: Vec<u64> = self.by_missing.range(range).map(|(_, sequence)| *sequence).collect();
        ready.into_iter().filter_map(|sequence| self.take(sequence)).collect()
    }

    /// What is missing, each once.
    pub fn missing(&self) -> impl Iterator<Item = &Missing> {
        let mut last = None;
        self.by_missing.iter().map(|(missing, _)| missing).filter(move |missing| {
            let new = last != Some(*missing);
            last = Some(*missing);
            new
        })
    }

    /// Whether something waits under this id.
    pub fn contains(&self, id: &ShareId) -> bool {
        self.by_id.contains_key(id)
    }

    /// Number of things held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    fn bytes_of(&self, source: Source) -> usize {
        self.by_source.get(&source).map_or(0, |held| held.values().sum())
    }

    fn drop_oldest_of(&mut self, source: Source) {
        let oldest = self.by_source.get(&source).and_then(|held| held.keys().next().copied());
        match oldest {
            Some(sequence) => drop(self.take(sequence)),
            None => drop(self.by_source.remove(&source)),
        }
    }

    fn take(&mut self, sequence: u64) -> Option<T> {
        let held = self.held.remove(&sequence)?;
        self.by_missing.remove(&(held.missing, sequence));
        self.by_id.remove(&held.id);
        self.bytes = self.bytes.saturating_sub(held.bytes);
        if let Some(of_source) = self.by_source.get_mut(&held.source) {
            of_source.remove(&sequence);
            if of_source.is_empty() {
                self.by_source.remove(&held.source);
            }
        }
        Some(held.item)
    }
}

/// The last ids found invalid, so that none is judged twice.
#[derive(Debug, Default)]
pub struct InvalidIds {
    ids: BTreeSet<ShareId>,
    order: VecDeque<ShareId>,
}

impl InvalidIds {
    /// Whether this id was found invalid.
    pub fn contains(&self, id: &ShareId) -> bool {
        self.ids.contains(id)
    }

    /// Remembers an id, and forgets the oldest when there are too many.
    pub fn insert(&mut self, id: ShareId) {
        if self.ids.insert(id) {
            self.order.push_back(id);
        }
        if self.order.len() > MAX_INVALID
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ShareId {
        ShareId([n; 32])
    }

    #[test]
    fn what_waits_is_released_by_what_was_missing_only() {
        let mut pool = WaitingPool::default();
        pool.hold(id(1), Missing::Base(id(9)), Source(0), 10, "a");
        pool.hold(id(2), Missing::Parent(id(9)), Source(0), 10, "b");
        pool.hold(id(3), Missing::Base(id(9)), Source(1), 10, "c");
        pool.hold(id(4), Missing::Time(UnixTime(100)), Source(1), 10, "d");
        assert_eq!(pool.missing().count(), 3);
        assert_eq!(pool.release(&Missing::Base(id(9))), ["a", "c"]);
        assert!(pool.release(&Missing::Base(id(9))).is_empty());
        assert!(pool.release_until(UnixTime(99)).is_empty());
        assert_eq!(pool.release_until(UnixTime(100)), ["d"]);
        assert_eq!(pool.len(), 1);
    }

    #[test]
    fn one_source_fills_its_own_part_only() {
        let mut pool = WaitingPool::default();
        pool.hold(id(0), Missing::Base(id(9)), Source(7), 1 << 20, 0);
        for n in 1..100 {
            pool.hold(id(n), Missing::Base(id(9)), Source(1), 1 << 20, n);
        }
        assert_eq!(pool.bytes_of(Source(1)), MAX_WAITING_BYTES_PER_SOURCE);
        assert_eq!(pool.bytes_of(Source(7)), 1 << 20);
        for source in 10..30 {
            for n in 0..4 {
                let share = u8::try_from(100 + (source - 10) * 4 + n).expect("below 180");
                pool.hold(id(share), Missing::Base(id(9)), Source(source), 1 << 20, share);
            }
        }
        assert!(pool.bytes <= MAX_WAITING_BYTES);
        assert_eq!(pool.held.len(), pool.by_missing.len());
        assert_eq!(pool.held.len(), pool.by_id.len());
        assert_eq!(pool.bytes_of(Source(7)), 1 << 20, "a small source keeps what it has");
    }

    #[test]
    fn the_same_id_waits_once() {
        let mut pool = WaitingPool::default();
        pool.hold(id(1), Missing::Base(id(9)), Source(0), 10, "old");
        pool.hold(id(1), Missing::Parent(id(8)), Source(1), 10, "new");
        assert!(pool.release(&Missing::Base(id(9))).is_empty());
        assert_eq!(pool.release(&Missing::Parent(id(8))), ["new"]);
        assert!(pool.is_empty() && pool.by_source.is_empty() && pool.bytes == 0);
    }

    #[test]
    fn invalid_ids_are_forgotten_in_order() {
        let mut ids = InvalidIds::default();
        let nth = |n: usize| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&n.to_le_bytes());
            ShareId(bytes)
        };
        (0..=MAX_INVALID).for_each(|n| ids.insert(nth(n)));
        assert!(!ids.contains(&nth(0)) && ids.contains(&nth(1)) && ids.contains(&nth(MAX_INVALID)));
    }
}
