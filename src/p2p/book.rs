//! The address book: where peers were or are said to be, kept in the data folder.
//!
//! An entry is new until this node has reached the peer there, and tried from then on. New ones come from others, so
//! they may only replace new ones, and one source fills only a part.

use super::address::{first_host, group_of, ip_of, is_circuit, is_dialable, is_public};
use crate::disk;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

/// Most peers in the book.
pub(super) const MAX_ENTRIES: usize = 1_024;
/// Most of them that were never reached.
const MAX_NEW: usize = 512;
/// Most new ones that one peer told of.
const MAX_NEW_OF_SOURCE: usize = 64;
/// Most addresses of a peer.
pub(super) const MAX_ADDRESSES: usize = 4;
/// Most bytes of the file: every entry full, with room.
const MAX_FILE: usize = 2 << 20;
/// Failures in a row after which a new entry goes.
const MAX_FAILURES_NEW: u32 = 4;
/// Failures in a row after which a tried entry goes, if it was not reached for a week.
const MAX_FAILURES_TRIED: u32 = 12;
const WEEK: u64 = 7 * 24 * 3_600;
/// The longest pause between two attempts, in seconds.
const LONGEST_PAUSE: u64 = 3_600;
const VERSION: u32 = 1;

/// What is known of a peer. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    addresses: Vec<Multiaddr>,
    /// When it was last reached, if ever.
    reached: Option<u64>,
    /// Seconds for which it has been an outgoing connection, all in all.
    together: u64,
    failures: u32,
    learned: u64,
    /// Not before this time again.
    #[serde(skip)]
    pause_until: u64,
    #[serde(skip)]
    source: Option<PeerId>,
}

impl Entry {
    const fn new(now: u64) -> Self {
        Self {
            addresses: Vec::new(),
            reached: None,
            together: 0,
            failures: 0,
            learned: now,
            pause_until: 0,
            source: None,
        }
    }

    /// Puts an address at the front.
    fn prefer(&mut self, address: Multiaddr) {
        self.addresses.retain(|known| *known != address);
        self.addresses.insert(0, address);
        self.addresses.truncate(MAX_ADDRESSES);
    }

    fn group(&self) -> Option<IpAddr> {
        self.addresses.first().and_then(ip_of).filter(|ip| is_public(*ip)).map(group_of)
    }
}

#[derive(Serialize, Deserialize)]
struct SavedBook {
    version: u32,
    peers: Vec<SavedEntry>,
}

#[derive(Serialize, Deserialize)]
struct SavedEntry {
    peer: String,
    #[serde(flatten)]
    entry: Entry,
}

/// What to look for when choosing whom to dial.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Peers that are connected, being dialed or banned.
    pub(super) without: HashSet<PeerId>,
    /// Parts of the network that have an outgoing connection already.
    pub(super) groups: HashSet<IpAddr>,
    /// Only those that were reached before.
    pub(super) only_tried: bool,
    /// Chance among equals.
    pub(super) random: u64,
}

/// The book.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: HashMap<PeerId, Entry>,
    own: Option<PeerId>,
}

impl Book {
    /// An empty book of a node with this identity.
    pub(super) fn new(own: PeerId) -> Self {
        Self { entries: HashMap::new(), own: Some(own) }
    }

    /// Reads a book. What cannot be used in it is left out.
    pub(super) fn load(path: &Path, own: PeerId, now: u64) -> io::Result<Self> {
        let mut book = Self::new(own);
        let Some(bytes) = disk::read(path, MAX_FILE)? else { return Ok(book) };
        let saved: SavedBook = serde_json::from_slice(&bytes)?;
        if saved.version != VERSION {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is of another version"));
        }
        for SavedEntry { peer, mut entry } in saved.peers.into_iter().take(MAX_ENTRIES) {
            entry.addresses.retain(is_usable);
            entry.addresses.truncate(MAX_ADDRESSES);
            entry.learned = entry.learned.min(now);
            if let Ok(peer) = peer.parse::<PeerId>()
                && peer != own
                && !entry.addresses.is_empty()
            {
                book.entries.insert(peer, entry);
            }
        }
        Ok(book)
    }

    /// What is to stand in the file.
    pub(super) fn to_save(&self) -> Vec<u8> {
        let mut peers: Vec<_> = self
            .entries
            .iter()
            .map(|(peer, entry)| SavedEntry { peer: peer.to_string(), entry: entry.clone() })
            .collect();
        peers.sort_by(|a, b| a.peer.cmp(&b.peer));
        // Texts and numbers only: nothing in it can fail.
        serde_json::to_vec(&SavedBook { version: VERSION, peers }).unwrap_or_default()
    }

    /// Peers in it.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Notes where a peer is said to be. None as source: it said so itself, from that address, or the local network did.
    pub(super) fn hear(
        &mut self,
        peer: PeerId,
        address: Multiaddr,
        source: Option<PeerId>,
        now: u64,
    ) -> bool {
        if !is_usable(&address) || self.own == Some(peer) {
            return false;
        }
        if let Some(entry) = self.entries.get_mut(&peer) {
            // Others do not get to push out what is known to work.
            if !entry.addresses.contains(&address) && entry.addresses.len() < MAX_ADDRESSES {
                entry.addresses.push(address);
            }
            return false;
        }
        if !self.make_room_for_new(source) {
            return false;
        }
        let entry = Entry { addresses: vec![address], source, ..Entry::new(now) };
        self.entries.insert(peer, entry);
        true
    }

    fn make_room_for_new(&mut self, source: Option<PeerId>) -> bool {
        let is_new = |entry: &&Entry| entry.reached.is_none();
        let new = self.entries.values().filter(is_new).count();
        let of_source = self.entries.values().filter(is_new).filter(|entry| entry.source == source).count();
        if source.is_some() && of_source >= MAX_NEW_OF_SOURCE {
            return false;
        }
        if new < MAX_NEW && self.entries.len() < MAX_ENTRIES {
            return true;
        }
        let worst = self.entries.iter().filter(|(_, entry)| entry.reached.is_none());
        let worst = worst.max_by_key(|(peer, entry)| (entry.failures, u64::MAX - entry.learned, **peer));
        let worst = worst.map(|(peer, _)| *peer);
        worst.is_some_and(|peer| self.entries.remove(&peer).is_some())
    }

    /// Notes that this node reached a peer there.
    pub(super) fn reached(&mut self, peer: PeerId, address: Multiaddr, now: u64) {
        if !is_usable(&address) || self.own == Some(peer) {
            return;
        }
        if !self.entries.contains_key(&peer) && self.entries.len() >= MAX_ENTRIES {
            let oldest =
                self.entries.iter().min_by_key(|(peer, entry)| (entry.reached, entry.together, **peer));
            let oldest = oldest.map(|(peer, _)| *peer);
            oldest.map(|peer| self.entries.remove(&peer));
        }
        let entry = self.entries.entry(peer).or_insert_with(|| Entry::new(now));
        entry.reached = Some(now);
        entry.failures = 0;
        entry.pause_until = 0;
        entry.prefer(address);
    }

    /// Notes how long an outgoing connection lasted, and that a pause is due before the next.
    pub(super) fn parted(&mut self, peer: &PeerId, lasted: u64, now: u64, random: u64) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.together = entry.together.saturating_add(lasted);
            // A connection that ends at once is no better than none.
            entry.failures = if lasted < 60 { entry.failures.saturating_add(1) } else { 0 };
            entry.pause_until = now + pause(entry.failures, LONGEST_PAUSE, random);
        }
    }

    /// Notes that a peer could not be reached.
    pub(super) fn failed(&mut self, peer: &PeerId, now: u64, random: u64) {
        let Some(entry) = self.entries.get_mut(peer) else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.pause_until = now + pause(entry.failures, LONGEST_PAUSE, random);
        let hopeless = match entry.reached {
            None => entry.failures >= MAX_FAILURES_NEW,
            Some(reached) => entry.failures >= MAX_FAILURES_TRIED && now.saturating_sub(reached) > WEEK,
        };
        if hopeless {
            self.entries.remove(peer);
        }
    }

    /// Forgets a peer: it is of another chain, or it is this node.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.entries.remove(peer);
    }

    /// Whom to dial next: for the reserved slots those with whom this node was together longest; else those that were
    /// reached before, and chance.
    pub(super) fn choose(&self, choice: &Choice, now: u64) -> Option<(PeerId, Vec<Multiaddr>)> {
        let ready = self.entries.iter().filter(|(peer, entry)| {
            entry.pause_until <= now
                && !entry.addresses.is_empty()
                && !choice.without.contains(*peer)
                && (!choice.only_tried || entry.reached.is_some())
                && entry.group().is_none_or(|group| !choice.groups.contains(&group))
        });
        let rank = |peer: &PeerId, entry: &Entry| {
            let together = if choice.only_tried { entry.together } else { 0 };
            (together, entry.reached.is_some(), shuffle(peer, choice.random))
        };
        ready
            .max_by_key(|(peer, entry)| rank(peer, entry))
            .map(|(peer, entry)| (*peer, entry.addresses.clone()))
    }

    /// Some peer that was never reached, to see whether it can be.
    pub(super) fn untried(
        &self,
        without: &HashSet<PeerId>,
        now: u64,
        random: u64,
    ) -> Option<(PeerId, Vec<Multiaddr>)> {
        let open = self.entries.iter().filter(|(peer, entry)| {
            entry.reached.is_none() && entry.pause_until <= now && !without.contains(*peer)
        });
        open.max_by_key(|(peer, _)| shuffle(peer, random))
            .map(|(peer, entry)| (*peer, entry.addresses.clone()))
    }

    /// Addresses that worked within the last week, to be told to others: to a public peer public ones only.
    pub(super) fn share(
        &self,
        to: PeerId,
        to_public: bool,
        most: usize,
        now: u64,
        random: u64,
    ) -> Vec<Multiaddr> {
        let good = self.entries.iter().filter(|(peer, entry)| {
            **peer != to && entry.reached.is_some_and(|at| now.saturating_sub(at) <= WEEK)
        });
        let mut good: Vec<_> = good
            .filter_map(|(peer, entry)| {
                let address = entry.addresses.first()?;
                let public = first_host(address).is_some_and(is_public);
                (public || !to_public).then(|| (shuffle(peer, random), address.clone(), *peer))
            })
            .collect();
        good.sort_by_key(|(chance, _, _)| *chance);
        good.truncate(most);
        good.into_iter().filter_map(|(_, address, peer)| address.with_p2p(peer).ok()).collect()
    }

    /// The parts of the network that these peers are in, public ones only.
    pub(super) fn groups<'a>(&self, peers: impl Iterator<Item = &'a PeerId>) -> HashSet<IpAddr> {
        peers.filter_map(|peer| self.entries.get(peer).and_then(Entry::group)).collect()
    }
}

/// Whether it can be dialed, directly or through a relay.
fn is_usable(address: &Multiaddr) -> bool {
    is_dialable(address) || is_circuit(address)
}

/// Seconds before the next attempt: doubled with each failure, and a quarter more or less by chance.
pub(super) fn pause(failures: u32, longest: u64, random: u64) -> u64 {
    let whole = 2_u64.saturating_mul(1 << failures.min(16)).min(longest);
    whole - whole / 4 + random % (whole / 2 + 1)
}

/// A number for a peer that nobody can foresee.
fn shuffle(peer: &PeerId, random: u64) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (random, peer).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("a multiaddress")
    }

    fn at(n: usize) -> Multiaddr {
        address(&format!("/ip4/8.{}.{}.1/tcp/3338", n / 256, n % 256))
    }

    fn book() -> Book {
        Book::new(PeerId::random())
    }

    #[test]
    fn hearsay_fills_only_its_part_and_never_pushes_out_what_works() {
        let mut book = book();
        let (liar, good) = (PeerId::random(), PeerId::random());
        book.reached(good, at(1), 10);
        for n in 0..200 {
            book.hear(PeerId::random(), at(n), Some(liar), 10);
        }
        assert_eq!(book.len(), 1 + MAX_NEW_OF_SOURCE);
        for n in 0..2_000 {
            book.hear(PeerId::random(), at(n), Some(PeerId::random()), 10);
        }
        assert_eq!(book.len(), 1 + MAX_NEW);
        for n in 0..100 {
            book.hear(good, at(1_000 + n), Some(liar), 10);
        }
        let entry = &book.entries[&good];
        assert_eq!((entry.addresses[0].clone(), entry.addresses.len()), (at(1), MAX_ADDRESSES));
    }

    #[test]
    fn the_book_is_bounded_in_all() {
        let mut book = book();
        for n in 0..MAX_ENTRIES as u64 + 100 {
            book.reached(PeerId::random(), at(1), n);
        }
        assert_eq!(book.len(), MAX_ENTRIES);
        assert!(book.entries.values().all(|entry| entry.reached >= Some(100)), "the oldest went");
        assert!(book.to_save().len() < MAX_FILE);
    }

    #[test]
    fn failures_lengthen_the_pause_and_end_in_oblivion() {
        let mut book = book();
        let (new, tried) = (PeerId::random(), PeerId::random());
        book.hear(new, at(1), None, 0);
        book.reached(tried, at(2), 0);
        let mut pauses = Vec::new();
        for _ in 0..MAX_FAILURES_NEW {
            book.failed(&tried, 0, 3);
            book.failed(&new, 0, 3);
            pauses.push(book.entries[&tried].pause_until);
        }
        assert!(pauses.is_sorted_by(|a, b| a < b), "{pauses:?}");
        assert!(!book.entries.contains_key(&new) && book.entries.contains_key(&tried));
        for _ in 0..20 {
            book.failed(&tried, 0, 3);
        }
        assert!(book.entries.contains_key(&tried), "not within a week");
        assert!(book.entries[&tried].pause_until <= LONGEST_PAUSE * 5 / 4);
        book.failed(&tried, WEEK + 1, 3);
        assert!(!book.entries.contains_key(&tried));
        assert!((0..1_000).all(|random| (45..=75).contains(&pause(30, 60, random))));
    }

    #[test]
    fn reserved_slots_go_to_those_known_longest_and_groups_are_not_doubled() {
        let mut book = book();
        let (old, young, new) = (PeerId::random(), PeerId::random(), PeerId::random());
        book.reached(old, at(1), 0);
        book.parted(&old, 5_000, 0, 0);
        book.reached(young, address("/ip4/9.9.9.9/tcp/1"), 0);
        book.hear(new, address("/ip4/9.1.9.9/tcp/1"), None, 0);
        let only_tried = |random| Choice { only_tried: true, random, ..Choice::default() };
        assert!((0..50).all(|random| book.choose(&only_tried(random), 100).map(|c| c.0) == Some(old)));
        let mut choice = only_tried(1);
        choice.groups = book.groups([old].iter());
        assert_eq!(book.choose(&choice, 100).map(|c| c.0), Some(young));
        choice.without = [young].into();
        assert_eq!(book.choose(&choice, 100), None, "new ones are not for these slots");
        choice.only_tried = false;
        assert_eq!(book.choose(&choice, 100).map(|c| c.0), Some(new));
    }

    #[test]
    fn only_what_worked_is_told_and_nothing_private_to_the_public() {
        let mut book = book();
        let (public, private, asker) = (PeerId::random(), PeerId::random(), PeerId::random());
        book.reached(public, at(1), 10);
        book.reached(private, address("/ip4/192.168.0.1/tcp/1"), 10);
        book.reached(asker, at(2), 10);
        book.hear(PeerId::random(), at(3), None, 10);
        let told = book.share(asker, true, 32, 20, 5);
        assert_eq!(told, [at(1).with_p2p(public).expect("no other peer in it")]);
        assert_eq!(book.share(asker, false, 32, 20, 5).len(), 2);
        assert_eq!(book.share(asker, false, 1, 20, 5).len(), 1);
        assert!(book.share(asker, false, 32, 11 + WEEK, 5).is_empty());
    }

    #[test]
    fn the_book_outlives_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("peers.json");
        let (own, peer) = (PeerId::random(), PeerId::random());
        let mut book = Book::load(&path, own, 5).expect("missing is empty");
        book.reached(peer, at(1), 7);
        book.reached(own, at(2), 7);
        disk::write(&path, &book.to_save()).expect("written");
        let read = Book::load(&path, own, 9).expect("read");
        assert_eq!(read.entries, book.entries);
        assert_eq!(read.len(), 1, "a node does not note itself");
        std::fs::write(&path, "[]").expect("written");
        assert!(Book::load(&path, own, 9).is_err());
    }
}
