//! Whom to dial and when: the owner's peers at all times, others until there are enough outgoing connections, and now and
//! then one only to see whether its address works.

use super::Runner;
use crate::p2p::book::Choice;
use crate::p2p::{address, clock, configured};
use libp2p::swarm::ConnectionId;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId};
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::debug;

/// Outgoing connections that only peers known for long may have.
const RESERVED: usize = 2;
/// Dials at a time.
const MAX_DIALING: usize = 8;
/// How long the system may take to look up a name.
const LOOKUP_TIME: Duration = Duration::from_secs(15);
/// How often an address is tried only to see whether it works.
const FEEL_EVERY: Duration = Duration::from_secs(10);
/// How often some peer is asked for addresses.
const EXCHANGE_EVERY: Duration = Duration::from_secs(300);
/// How often it is said that a peer of the owner's cannot be reached.
const COMPLAIN_EVERY: Duration = Duration::from_secs(600);

/// Why a dial was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The owner wants it.
    Configured(usize),
    /// For one of the slots.
    Slot,
    /// For one of the reserved slots.
    Anchor,
    /// To see whether the address works.
    Feeler,
}

/// A name that was looked up.
pub(super) type Lookup = (usize, io::Result<Vec<Multiaddr>>);

/// Dials under way.
#[derive(Debug, Default)]
pub(super) struct Dialing {
    under_way: HashMap<ConnectionId, (Option<PeerId>, Purpose)>,
    felt: Option<Instant>,
    exchanged: Option<Instant>,
    complained: HashMap<usize, Instant>,
}

impl Dialing {
    /// Ends one.
    pub(super) fn end(&mut self, id: ConnectionId) -> Option<Purpose> {
        self.under_way.remove(&id).map(|(_, purpose)| purpose)
    }

    fn count(&self, which: impl Fn(Purpose) -> bool) -> usize {
        self.under_way.values().filter(|(_, purpose)| which(*purpose)).count()
    }

    /// Whether to say that a peer of the owner's is not reached.
    pub(super) fn may_complain(&mut self, at: usize) -> bool {
        let now = Instant::now();
        let may = self.complained.get(&at).is_none_or(|last| now.duration_since(*last) >= COMPLAIN_EVERY);
        if may {
            self.complained.insert(at, now);
        }
        may
    }
}

/// Whether it is time, and if so, from now on again only after the pause.
fn is_time(last: &mut Option<Instant>, pause: Duration) -> bool {
    let now = Instant::now();
    let is_time = last.is_none_or(|last| now.duration_since(last) >= pause);
    if is_time {
        *last = Some(now);
    }
    is_time
}

impl Runner {
    /// Dials whoever is to be dialed now.
    pub(super) fn dial(&mut self) {
        self.dial_configured();
        self.fill_slots();
        if is_time(&mut self.dialing.felt, FEEL_EVERY) {
            self.feel();
        }
        if is_time(&mut self.dialing.exchanged, EXCHANGE_EVERY) {
            let peers: Vec<PeerId> = self.connected.outbound().map(|(peer, _)| *peer).collect();
            let random = self.random();
            if let Some(peer) = peers.get(random as usize % peers.len().max(1)) {
                self.ask_for_peers(*peer);
            }
        }
    }

    fn dial_configured(&mut self) {
        let now = clock::now();
        while let Some((at, named)) = self.configured.next(|peer| self.connected.get(peer).is_some(), now) {
            self.lookups.spawn(async move {
                let found = timeout(LOOKUP_TIME, configured::resolve(named)).await;
                (at, found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
            });
        }
    }

    pub(super) fn on_lookup(&mut self, (at, found): Lookup) {
        let addresses = match found {
            Ok(addresses) if !addresses.is_empty() => addresses,
            Ok(_) => return self.not_found(at, &io::ErrorKind::NotFound.into()),
            Err(error) => return self.not_found(at, &error),
        };
        addresses.iter().filter_map(address::ip_of).for_each(|ip| self.swarm.behaviour_mut().gate.trust(ip));
        let options = match self.configured.peer(at) {
            Some(peer) => DialOpts::peer_id(peer)
                .addresses(addresses)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .build(),
            None => match self.configured.turn(at, &addresses) {
                Some(address) => DialOpts::unknown_peer_id().address(address).build(),
                None => return,
            },
        };
        if !self.start_dial(options, Purpose::Configured(at)) {
            let random = self.random();
            self.configured.failed(at, clock::now(), random);
        }
    }

    fn not_found(&mut self, at: usize, error: &io::Error) {
        let (random, peer) = (self.random(), self.configured.text(at));
        self.configured.failed(at, clock::now(), random);
        if self.dialing.may_complain(at) {
            tracing::warn!(peer, %error, "the name of this peer cannot be looked up; it is tried again");
        }
    }

    /// Starts a dial; tells whether it is under way.
    fn start_dial(&mut self, options: DialOpts, purpose: Purpose) -> bool {
        let (id, peer) = (options.connection_id(), options.get_peer_id());
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dialing.under_way.insert(id, (peer, purpose));
                true
            }
            Err(error) => {
                debug!(%error, "not dialed");
                false
            }
        }
    }

    fn fill_slots(&mut self) {
        if self.dialing.under_way.len() >= MAX_DIALING {
            return;
        }
        let sought = |purpose| matches!(purpose, Purpose::Slot | Purpose::Anchor);
        let all = self.connected.outbound().count() + self.dialing.count(sought);
        if all >= self.outbound {
            return;
        }
        let anchors = self.connected.outbound().filter(|(_, connection)| connection.anchor).count()
            + self.dialing.count(|purpose| purpose == Purpose::Anchor);
        let mut choice = Choice {
            without: self.not_to_dial(),
            groups: self.book.groups(self.connected.outbound().map(|(peer, _)| peer)),
            only_tried: true,
            random: self.random(),
        };
        choice.without.extend(self.connected.iter().map(|(peer, _)| *peer));
        let now = clock::now();
        if anchors < RESERVED.min(self.outbound)
            && let Some((peer, addresses)) = self.book.choose(&choice, now)
        {
            self.dial_known(peer, addresses, Purpose::Anchor);
            return;
        }
        choice.only_tried = false;
        // While nobody else is known, the reserved slots stay free for those who will be.
        if all - anchors < self.outbound.saturating_sub(RESERVED).max(1)
            && let Some((peer, addresses)) = self.book.choose(&choice, now)
        {
            self.dial_known(peer, addresses, Purpose::Slot);
        }
    }

    /// Peers that are being dialed or are banned.
    fn not_to_dial(&self) -> HashSet<PeerId> {
        let mut without: HashSet<PeerId> =
            self.dialing.under_way.values().filter_map(|(peer, _)| *peer).collect();
        let bans = self.swarm.behaviour().gate.bans();
        without.extend(bans.peers());
        without
    }

    fn dial_known(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, purpose: Purpose) {
        let condition = match purpose {
            Purpose::Feeler => PeerCondition::Always,
            _ => PeerCondition::DisconnectedAndNotDialing,
        };
        let options = DialOpts::peer_id(peer).addresses(addresses).condition(condition).build();
        if !self.start_dial(options, purpose) {
            let random = self.random();
            self.book.failed(&peer, clock::now(), random);
        }
    }

    fn feel(&mut self) {
        let (without, random) = (self.not_to_dial(), self.random());
        if let Some((peer, addresses)) = self.book.untried(&without, clock::now(), random) {
            self.dial_known(peer, addresses, Purpose::Feeler);
        }
    }
}
