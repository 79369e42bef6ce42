//! The peers that the owner named: dialed first, and again for as long as the node runs.

use super::address::{BadPeer, Named, quic, tcp};
use super::book::pause;
use libp2p::{Multiaddr, PeerId};
use std::io;
use std::net::SocketAddr;

/// The longest pause between two attempts, in seconds. They are few and the owner wants them: a node whose line is back
/// should not miss more than a share block for it.
const LONGEST_PAUSE: u64 = 15;
/// Most peers that are named, those of the settings included.
const MAX_NAMED: usize = 64;
/// Most addresses of a name that are tried.
const MAX_RESOLVED: usize = 8;

/// One of them.
#[derive(Clone, Debug)]
struct Wanted {
    named: Named,
    /// Who answered there last.
    found: Option<PeerId>,
    /// As the owner wrote it.
    text: String,
    busy: bool,
    failures: u32,
    pause_until: u64,
}

impl Wanted {
    fn new(text: &str) -> Result<Self, BadPeer> {
        Ok(Self {
            named: Named::parse(text)?,
            text: text.to_owned(),
            found: None,
            busy: false,
            failures: 0,
            pause_until: 0,
        })
    }

    const fn peer(&self) -> Option<PeerId> {
        match &self.named {
            Named::Direct(_, Some(peer)) | Named::Host(_, _, Some(peer)) => Some(*peer),
            _ => self.found,
        }
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Configured(Vec<Wanted>);

impl Configured {
    /// Reads what the owner wrote.
    pub(super) fn parse(texts: &[String]) -> Result<Self, BadPeer> {
        Ok(Self(texts.iter().map(|text| Wanted::new(text)).collect::<Result<_, _>>()?))
    }

    /// Adds one. One that is there already is dialed at the next opportunity.
    pub(super) fn add(&mut self, text: &str) -> Result<(), String> {
        if let Some(wanted) = self.0.iter_mut().find(|wanted| wanted.text == text) {
            wanted.pause_until = 0;
            return Ok(());
        }
        if self.0.len() >= MAX_NAMED {
            return Err(format!("{MAX_NAMED} peers are named already; restart the node to forget some"));
        }
        self.0.push(Wanted::new(text).map_err(|error| error.to_string())?);
        Ok(())
    }

    /// One that is to be dialed now; from here on it is busy until [`Self::reached`] or [`Self::failed`].
    pub(super) fn next(
        &mut self,
        is_connected: impl Fn(&PeerId) -> bool,
        now: u64,
    ) -> Option<(usize, Named)> {
        let at = self.0.iter().position(|wanted| {
            !wanted.busy
                && wanted.pause_until <= now
                && !wanted.peer().is_some_and(|peer| is_connected(&peer))
        })?;
        let wanted = &mut self.0[at];
        wanted.busy = true;
        Some((at, wanted.named.clone()))
    }

    /// Which of these addresses to dial when it is not known who is there: another one after each failure.
    pub(super) fn turn(&self, at: usize, addresses: &[Multiaddr]) -> Option<Multiaddr> {
        let failures = self.0.get(at)?.failures as usize;
        addresses.get(failures % addresses.len().max(1)).cloned()
    }

    /// Who is known to be there.
    pub(super) fn peer(&self, at: usize) -> Option<PeerId> {
        self.0.get(at)?.peer()
    }

    /// As the owner wrote it.
    pub(super) fn text(&self, at: usize) -> String {
        self.0.get(at).map(|wanted| wanted.text.clone()).unwrap_or_default()
    }

    /// Dials it no more.
    pub(super) fn give_up(&mut self, at: usize) {
        if let Some(wanted) = self.0.get_mut(at) {
            wanted.busy = true;
        }
    }

    /// A peer answered.
    pub(super) fn reached(&mut self, at: usize, peer: PeerId, now: u64) {
        if let Some(wanted) = self.0.get_mut(at) {
            (wanted.busy, wanted.failures, wanted.found) = (false, 0, Some(peer));
            // Should the connection end at once, the next one waits a little.
            wanted.pause_until = now + 1;
        }
    }

    /// Nobody answered, or somebody else.
    pub(super) fn failed(&mut self, at: usize, now: u64, random: u64) {
        if let Some(wanted) = self.0.get_mut(at) {
            // Another identity may live there now.
            (wanted.busy, wanted.found) = (false, None);
            wanted.failures = wanted.failures.saturating_add(1);
            wanted.pause_until = now + pause(wanted.failures - 1, LONGEST_PAUSE, random);
        }
    }
}

/// The addresses of a named peer, names looked up by the system; TCP before QUIC.
pub(super) async fn resolve(named: Named) -> io::Result<Vec<Multiaddr>> {
    match named {
        Named::Direct(address, _) => Ok(vec![address]),
        Named::Host(host, port, _) => {
            let sockets: Vec<SocketAddr> =
                tokio::net::lookup_host((host, port)).await?.take(MAX_RESOLVED).collect();
            Ok(sockets.iter().flat_map(|socket| [tcp(*socket), quic(*socket)]).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_dialed_once_at_a_time_and_again_later() {
        let peer = PeerId::random();
        let mut configured =
            Configured::parse(&["127.0.0.1:1".into(), format!("{peer}@127.0.0.1:2")]).expect("right");
        let nobody = |_: &PeerId| false;
        assert_eq!(configured.next(nobody, 10).map(|(at, _)| at), Some(0));
        assert_eq!(configured.next(|other| *other == peer, 10), None, "the other is connected");
        assert_eq!(configured.next(nobody, 10).map(|(at, _)| at), Some(1));
        configured.failed(0, 10, 0);
        assert_eq!(configured.next(nobody, 10), None);
        assert_eq!(configured.next(nobody, 100).map(|(at, _)| at), Some(0));
        let other = PeerId::random();
        configured.reached(0, other, 100);
        assert_eq!(configured.peer(0), Some(other));
        assert_eq!(configured.next(|peer| *peer == other, 200), None);
        assert_eq!(configured.next(nobody, 200).map(|(at, _)| at), Some(0));
    }

    #[test]
    fn however_long_it_was_away_a_peer_is_dialed_again_soon() {
        for random in [0, 7, u64::MAX] {
            let mut configured = Configured::parse(&["127.0.0.1:1".into()]).expect("right");
            (0..100).for_each(|_| configured.failed(0, 0, random));
            assert!(configured.next(|_| false, 10).is_none());
            assert!(configured.next(|_| false, 19).is_some(), "{random}");
        }
    }

    #[test]
    fn every_address_has_its_turn() {
        let mut configured = Configured::parse(&["127.0.0.1:1".into()]).expect("right");
        let addresses: Vec<Multiaddr> =
            ["/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/quic-v1"].map(|a| a.parse().expect("one")).into();
        assert_eq!(configured.turn(0, &addresses).as_ref(), addresses.first());
        configured.failed(0, 0, 0);
        assert_eq!(configured.turn(0, &addresses).as_ref(), addresses.last());
        assert_eq!(configured.turn(0, &[]), None);
    }

    #[test]
    fn more_can_be_named_up_to_a_bound() {
        let mut configured = Configured::parse(&["127.0.0.1:1".into()]).expect("right");
        assert!(configured.add("nowhere").is_err());
        for port in 1..=MAX_NAMED {
            configured.add(&format!("127.0.0.1:{port}")).expect("room, or there already");
        }
        assert!(configured.add("127.0.0.1:999").expect_err("too many").contains("64 peers"));
        configured.failed(0, 10, 0);
        let nobody = |_: &PeerId| false;
        while configured.next(nobody, 10).is_some_and(|(at, _)| at != 0) {}
        configured.failed(0, 10, 0);
        configured.add("127.0.0.1:1").expect("there already");
        assert_eq!(configured.next(nobody, 10).map(|(at, _)| at), Some(0), "at once");
    }
}
