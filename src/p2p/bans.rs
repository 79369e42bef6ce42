//! Who is refused until when, and why. Kept in the data folder, so that a restart forgives nobody.
//!
//! A ban holds for an identity. Its address is refused too, unless that would hit others: loopback, and an address
//! from which another peer is connected, are left open.

use crate::disk;
use crate::peers::status::{BanStatus, Lift};
use libp2p::PeerId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// Most bans at a time; the one that ends first makes room.
pub(super) const MAX_BANS: usize = 4_096;
/// Most bytes of the file of bans.
const MAX_FILE: usize = 4 << 20;
/// Most characters of a reason.
const MAX_REASON: usize = 200;
const VERSION: u32 = 1;

/// A ban as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    peer: String,
    ip: Option<IpAddr>,
    until: u64,
    reason: String,
}

#[derive(Serialize, Deserialize)]
struct SavedBans {
    version: u32,
    bans: Vec<Saved>,
}

#[derive(Clone, Debug)]
struct Ban {
    ip: Option<IpAddr>,
    until: u64,
    reason: String,
}

/// The list. Times are seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Bans {
    by_peer: HashMap<PeerId, Ban>,
    path: Option<PathBuf>,
}

impl Bans {
    /// Reads the list; what has ended is left out. A broken file is an error: an empty list would let everybody in.
    pub(super) fn load(path: PathBuf, now: u64) -> io::Result<Self> {
        let mut bans = Self { by_peer: HashMap::new(), path: None };
        if let Some(bytes) = disk::read(&path, MAX_FILE)? {
            let saved: SavedBans = serde_json::from_slice(&bytes)?;
            if saved.version != VERSION {
                let text = format!("it has version {}, this program knows {VERSION}", saved.version);
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            for ban in saved.bans {
                let peer = ban.peer.parse().map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
                bans.insert(peer, Ban { ip: ban.ip, until: ban.until, reason: ban.reason }, now);
            }
        }
        bans.path = Some(path);
        Ok(bans)
    }

    /// Adds or prolongs a ban.
    pub(super) fn ban(&mut self, peer: PeerId, ip: Option<IpAddr>, until: u64, reason: &str, now: u64) {
        let reason = reason.chars().filter(|c| !c.is_control()).take(MAX_REASON).collect();
        let until = self.by_peer.get(&peer).map_or(until, |old| old.until.max(until));
        let ip = ip.filter(|ip| !ip.is_loopback());
        self.insert(peer, Ban { ip, until, reason }, now);
    }

    fn insert(&mut self, peer: PeerId, ban: Ban, now: u64) {
        self.by_peer.retain(|_, ban| ban.until > now);
        if self.by_peer.len() >= MAX_BANS
            && !self.by_peer.contains_key(&peer)
            && let Some(first) = self.by_peer.iter().min_by_key(|(_, ban)| ban.until).map(|(peer, _)| *peer)
        {
            self.by_peer.remove(&first);
        }
        if ban.until > now {
            self.by_peer.insert(peer, ban);
        }
    }

    /// Whether an identity is refused.
    pub(super) fn refuses(&self, peer: &PeerId, now: u64) -> bool {
        self.by_peer.get(peer).is_some_and(|ban| ban.until > now)
    }

    /// The identities on the list.
    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> {
        self.by_peer.keys().copied()
    }

    /// Whether an address is refused.
    pub(super) fn refuses_ip(&self, ip: IpAddr, now: u64) -> bool {
        !ip.is_loopback() && self.by_peer.values().any(|ban| ban.ip == Some(ip) && ban.until > now)
    }

    /// Lifts bans; tells how many.
    pub(super) fn lift(&mut self, which: &Lift) -> usize {
        let before = self.by_peer.len();
        self.by_peer.retain(|peer, ban| match which {
            Lift::All => false,
            Lift::Ip(ip) => ban.ip != Some(*ip),
            Lift::Id(id) => peer.to_string() != *id,
        });
        before - self.by_peer.len()
    }

    /// What holds now, the first to end first.
    pub(super) fn list(&self, now: u64) -> Vec<BanStatus> {
        let held = self.by_peer.iter().filter(|(_, ban)| ban.until > now);
        let mut list: Vec<_> = held
            .map(|(peer, ban)| BanStatus {
                id: peer.to_string(),
                ip: ban.ip,
                until: ban.until,
                reason: ban.reason.clone(),
            })
            .collect();
        list.sort_by(|a, b| (a.until, &a.id).cmp(&(b.until, &b.id)));
        list
    }

    /// The file and what is to stand in it.
    pub(super) fn to_save(&self) -> Option<(PathBuf, Vec<u8>)> {
        let path = self.path.clone()?;
        let mut bans: Vec<_> = self
            .by_peer
            .iter()
            .map(|(peer, ban)| Saved {
                peer: peer.to_string(),
                ip: ban.ip,
                until: ban.until,
                reason: ban.reason.clone(),
            })
            .collect();
        bans.sort_by(|a, b| a.peer.cmp(&b.peer));
        // Texts and numbers only: nothing in it can fail.
        let bytes = serde_json::to_vec_pretty(&SavedBans { version: VERSION, bans }).ok()?;
        Some((path, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn bans_end_are_prolonged_and_lifted() {
        let mut bans = Bans::default();
        let (a, b) = (PeerId::random(), PeerId::random());
        bans.ban(a, Some(ip("192.0.2.1")), 100, "x", 10);
        bans.ban(b, Some(ip("127.0.0.1")), 50, "y", 10);
        assert!(bans.refuses(&a, 99) && !bans.refuses(&a, 100));
        assert!(bans.refuses_ip(ip("192.0.2.1"), 99) && !bans.refuses_ip(ip("192.0.2.1"), 100));
        assert!(bans.refuses(&b, 49) && !bans.refuses_ip(ip("127.0.0.1"), 49), "loopback stays open");
        // A shorter one later does not shorten it.
        bans.ban(a, None, 60, "z", 20);
        assert!(bans.refuses(&a, 99));
        assert_eq!(bans.list(20).len(), 2);
        assert_eq!(bans.lift(&Lift::Ip(ip("192.0.2.1"))), 0, "the later ban had no address");
        assert_eq!(bans.lift(&Lift::Id(a.to_string())), 1);
        assert_eq!(bans.lift(&Lift::All), 1);
        assert!(!bans.refuses(&a, 20));
    }

    #[test]
    fn bans_are_bounded_and_the_first_to_end_goes() {
        let mut bans = Bans::default();
        let first = PeerId::random();
        bans.ban(first, None, 1_000, "x", 0);
        for _ in 1..=MAX_BANS {
            bans.ban(PeerId::random(), None, 2_000, "x", 0);
        }
        assert_eq!(bans.list(0).len(), MAX_BANS);
        assert!(!bans.refuses(&first, 0));
    }

    #[test]
    fn bans_outlive_the_process() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("bans.json");
        let peer = PeerId::random();
        let mut bans = Bans::load(path.clone(), 0).expect("missing is empty");
        bans.ban(peer, Some(ip("192.0.2.1")), 100, "bad\nwork", 0);
        let (file, bytes) = bans.to_save().expect("a file");
        disk::write(&file, &bytes).expect("written");
        let read = Bans::load(path.clone(), 50).expect("read");
        assert_eq!(read.list(50), bans.list(50));
        assert_eq!(read.list(50)[0].reason, "badwork");
        assert!(Bans::load(path.clone(), 100).expect("read").list(0).is_empty());
        for text in ["", "{}", r#"{"version":2,"bans":[]}"#] {
            std::fs::write(&path, text).expect("written");
            assert!(Bans::load(path.clone(), 0).is_err(), "{text}");
        }
    }
}
