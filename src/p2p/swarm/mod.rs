//! The one task that owns the swarm: it takes libp2p's events, the node logic's commands and the passing of time, one
//! after the other, and waits for nobody but them.

mod dial;
mod events;
mod nat;

use super::behaviour::Node;
use super::book::Book;
use super::configured::Configured;
use super::connected::Connected;
use super::gossip::Verdicts;
use super::names::Names;
use super::outlet::Outlet;
use super::questions::{Incoming, Outgoing};
use super::quiet::Quiet;
use super::{Settings, StartError, address, ask, behaviour, clock};
use crate::disk;
use crate::metrics::Metrics;
use crate::peers::link::{
    Command, Event, MAX_ANSWER, MAX_GOSSIP, MAX_QUESTION, NoAnswer, Peer, Topic, Verdict,
};
use crate::peers::status::{Admin, NetworkStatus, PeerStatus, Who};
use dial::{Dialing, Lookup};
use futures::StreamExt;
use libp2p::gossipsub::MessageAcceptance;
use libp2p::{PeerId, Swarm};
use nat::Nat;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// How often time passes.
const TICK: Duration = Duration::from_millis(250);
/// How long listeners may take to come up before anybody is dialed.
const LISTEN_TIME: Duration = Duration::from_secs(2);
/// How long to wait when bytes in the channel to the node's logic stop the next event.
const BYTES_PAUSE: Duration = Duration::from_millis(5);
/// How often the address book is written.
const SAVE_EVERY: Duration = Duration::from_secs(300);
/// How long connections may take to close at the end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long a peer that floods is refused, in seconds.
const FLOOD_BAN: u64 = 600;

/// What a runner is made of.
pub(super) struct Parts {
    pub(super) swarm: Swarm<Node>,
    pub(super) names: Names,
    pub(super) book: Book,
    pub(super) book_path: PathBuf,
    pub(super) configured: Configured,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) admin: mpsc::Receiver<Admin>,
    pub(super) status: watch::Sender<Arc<NetworkStatus>>,
    pub(super) outbound: usize,
    pub(super) nat: bool,
    pub(super) listens: bool,
    pub(super) metrics: Metrics,
}

/// The task.
pub(super) struct Runner {
    swarm: Swarm<Node>,
    names: Names,
    book: Book,
    book_path: PathBuf,
    configured: Configured,
    outlet: Outlet,
    commands: mpsc::Receiver<Command>,
    admin: mpsc::Receiver<Admin>,
    status: watch::Sender<Arc<NetworkStatus>>,
    outbound: usize,
    connected: Connected,
    verdicts: Verdicts,
    incoming: Incoming,
    outgoing: Outgoing,
    dialing: Dialing,
    nat: Nat,
    lookups: JoinSet<Lookup>,
    saving: JoinSet<io::Result<()>>,
    to_save: BTreeMap<PathBuf, Vec<u8>>,
    quiet: Quiet<(IpAddr, &'static str)>,
    /// The picture for the owner is out of date.
    changed: bool,
    saved: Instant,
    started: Instant,
    /// Listeners that were asked for.
    listening: usize,
    random: u64,
    metrics: Metrics,
}

impl Runner {
    pub(super) fn new(parts: Parts) -> Result<Self, StartError> {
        let mut salt = [0; 24];
        getrandom::fill(&mut salt).map_err(|error| StartError::Setup(error.to_string()))?;
        let (number, random) = salt.split_at(16);
        let word = |bytes: &[u8]| bytes.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
        let mut number_salt = [0; 16];
        number_salt.copy_from_slice(number);
        Ok(Self {
            swarm: parts.swarm,
            names: parts.names,
            book: parts.book,
            book_path: parts.book_path,
            configured: parts.configured,
            outlet: Outlet::new(parts.events),
            commands: parts.commands,
            admin: parts.admin,
            status: parts.status,
            outbound: parts.outbound,
            connected: Connected::new(number_salt),
            verdicts: Verdicts::default(),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            dialing: Dialing::default(),
            nat: Nat::new(parts.nat, parts.listens),
            lookups: JoinSet::new(),
            saving: JoinSet::new(),
            to_save: BTreeMap::new(),
            quiet: Quiet::default(),
            changed: true,
            saved: Instant::now(),
            started: Instant::now(),
            listening: 0,
            random: word(random),
            metrics: parts.metrics,
        })
    }

    /// Listens. One that is not there (no IPv6) is let pass if another is.
    pub(super) fn listen(&mut self, settings: &Settings) -> Result<(), StartError> {
        let mut failed = None;
        for at in &settings.listen {
            for multiaddr in [address::tcp(*at), address::quic(*at)] {
                match self.swarm.listen_on(multiaddr) {
                    Ok(_) => self.listening += 1,
                    Err(error) => {
                        warn!(address = %at, %error, "cannot listen");
                        failed = Some(StartError::Listen { address: *at, reason: error.to_string() });
                    }
                }
            }
        }
        for at in &settings.external {
            self.swarm.add_external_address(address::tcp(*at));
            self.swarm.add_external_address(address::quic(*at));
        }
        failed.filter(|_| self.listening == 0).map_or(Ok(()), Err)
    }

    /// Runs until the token is cancelled or the node's logic has ended.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let too_many_bytes = self.outlet.flush();
            let room = self.outlet.sender();
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                command = self.commands.recv() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some(admin) = self.admin.recv() => self.on_admin(admin),
                Some(Ok(found)) = self.lookups.join_next() => self.on_lookup(found),
                Some(saved) = self.saving.join_next() => self.on_saved(saved),
                _ = room.reserve(), if !self.outlet.is_empty() && !too_many_bytes => {}
                () = sleep(BYTES_PAUSE), if too_many_bytes => {}
                _ = ticks.tick() => self.on_tick(),
            }
        }
        self.end().await;
    }

    /// Closes connections and writes the book.
    async fn end(mut self) {
        let peers: Vec<PeerId> = self.connected.iter().map(|(peer, _)| *peer).collect();
        for peer in peers {
            // It may have gone this moment.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        let closed = async {
            while self.connected.iter().next().is_some() {
                let event = self.swarm.select_next_some().await;
                self.on_event(event);
            }
        };
        if timeout(FAREWELL, closed).await.is_err() {
            debug!("some connections did not close in time");
        }
        self.save_book();
        self.save_bans();
        while let Some(saved) = self.saving.join_next().await {
            self.on_saved(saved);
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        while let Some((token, late)) = self.verdicts.take_late(now) {
            self.outlet.retract(token);
            self.report(&late.id, &late.source, MessageAcceptance::Ignore);
        }
        for peer in self.connected.unproven() {
            debug!(%peer, "says nothing of this chain");
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        if self.is_listening() {
            self.dial();
        }
        self.look_for_relay();
        if now.duration_since(self.saved) >= SAVE_EVERY {
            self.saved = now;
            self.save_book();
            self.changed = true;
        }
        if std::mem::take(&mut self.changed) {
            self.tell_status();
        }
    }

    /// Whether listeners are up, or have had time. A dial from before would not go out from the port that others can reach,
    /// so peers could not tell this node its address.
    fn is_listening(&self) -> bool {
        self.swarm.listeners().count() >= self.listening || self.started.elapsed() >= LISTEN_TIME
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Publish { topic, bytes } => {
                if bytes.len() > MAX_GOSSIP {
                    warn!(?topic, bytes = bytes.len(), "BUG: a message is too long to be gossiped");
                    return;
                }
                let hash = self.names.hash(topic);
                if let Err(error) = self.swarm.behaviour_mut().gossip.publish(hash, bytes) {
                    // Without peers, or for the second time.
                    debug!(?topic, %error, "not published");
                }
            }
            Command::Verdict { message, verdict } => {
                if let Some(waiting) = self.verdicts.take(message) {
                    let acceptance = match verdict {
                        Verdict::Accept => {
                            if waiting.topic != Topic::Solution {
                                self.metrics.share_to_relay.observe(waiting.since.elapsed());
                            }
                            MessageAcceptance::Accept
                        }
                        Verdict::Ignore => MessageAcceptance::Ignore,
                        Verdict::Reject => MessageAcceptance::Reject,
                    };
                    self.report(&waiting.id, &waiting.source, acceptance);
                }
            }
            Command::Ask { peer, request, bytes, most, patience } => {
                let answer = self.ask(peer, bytes, most, patience).map(|id| {
                    self.outgoing.add(id, peer, request, most);
                });
                if let Err(why) = answer {
                    self.outlet.push(Event::Answered { peer, request, answer: Err(why) });
                }
            }
            Command::Answer { question, bytes: None } => self.incoming.refuse(question),
            Command::Answer { question, bytes: Some(bytes) } => {
                if bytes.len() > MAX_ANSWER {
                    warn!(bytes = bytes.len(), "BUG: an answer is too long");
                    self.incoming.refuse(question);
                } else if let Some(channel) = self.incoming.answer(question, bytes.len()) {
                    // Who asked may have gone.
                    let _ = self.swarm.behaviour_mut().ask.send_response(channel, bytes);
                }
            }
            Command::Note { peer, height } => {
                let peer = self.connected.by_number(peer);
                if let Some(link) = peer.and_then(|peer| self.connected.get_mut(&peer)) {
                    link.height = Some(height);
                    self.changed = true;
                }
            }
            Command::Part { peer } => {
                if let Some(peer) = self.connected.by_number(peer) {
                    let _ = self.swarm.disconnect_peer_id(peer);
                }
            }
            Command::Ban { peer, seconds, reason } => {
                if let Some((peer, ip)) = self.connected.find(peer) {
                    self.ban(peer, ip, u64::from(seconds), &reason);
                }
            }
        }
    }

    fn ask(
        &mut self,
        peer: Peer,
        bytes: Vec<u8>,
        most: usize,
        patience: Duration,
    ) -> Result<libp2p::request_response::OutboundRequestId, NoAnswer> {
        let most = most.min(MAX_ANSWER);
        let id = self.connected.by_number(peer).ok_or(NoAnswer::Gone)?;
        if bytes.len() > MAX_QUESTION || !self.outgoing.has_room(peer, most) {
            warn!(bytes = bytes.len(), "BUG: a question is too long, or there are too many at once");
            return Err(NoAnswer::Gone);
        }
        let until = Instant::now() + patience.min(behaviour::MAX_PATIENCE);
        Ok(self.swarm.behaviour_mut().ask.send_request(&id, ask::Question::new(bytes, most, until)))
    }

    fn report(&mut self, id: &libp2p::gossipsub::MessageId, source: &PeerId, acceptance: MessageAcceptance) {
        self.swarm.behaviour_mut().gossip.report_message_validation_result(id, source, acceptance);
    }

    fn ban(&mut self, peer: PeerId, ip: Option<IpAddr>, seconds: u64, reason: &str) {
        let now = clock::now();
        let gate = &mut self.swarm.behaviour_mut().gate;
        let ip = ip.filter(|ip| !ip.is_loopback() && !gate.is_shared(*ip, peer));
        gate.bans_mut().ban(peer, ip, now.saturating_add(seconds), reason, now);
        info!(%peer, ip = ip.map(tracing::field::display), seconds, reason, "banned");
        self.book.forget(&peer);
        let _ = self.swarm.disconnect_peer_id(peer);
        self.save_bans();
        self.changed = true;
    }

    fn on_admin(&mut self, admin: Admin) {
        match admin {
            Admin::Lift(which, reply) => {
                let lifted = self.swarm.behaviour_mut().gate.bans_mut().lift(&which);
                info!(lifted, "bans lifted");
                self.save_bans();
                self.tell_status();
                // Whoever asked may have gone.
                let _ = reply.send(lifted);
            }
            Admin::Ban { who, seconds, reason, reply } => {
                let peers = self.meant_by(&who);
                for (peer, ip) in &peers {
                    self.ban(*peer, *ip, seconds, &reason);
                }
                self.tell_status();
                let _ = reply.send(peers.len());
            }
            Admin::Connect { address, reply } => {
                let added = self.configured.add(&address);
                info!(address, taken = added.is_ok(), "asked to connect");
                let _ = reply.send(added);
            }
        }
    }

    /// The peers that the owner means.
    fn meant_by(&self, who: &Who) -> Vec<(PeerId, Option<IpAddr>)> {
        let ip_of = |peer: &PeerId| self.connected.get(peer)?.connections.first()?.ip;
        match who {
            Who::Id(id) => id.parse().map_or(Vec::new(), |peer| vec![(peer, ip_of(&peer))]),
            Who::Ip(ip) => {
                let here = self.connected.iter().map(|(peer, _)| *peer);
                here.map(|peer| (peer, ip_of(&peer))).filter(|(_, at)| at.as_ref() == Some(ip)).collect()
            }
        }
    }

    fn save_bans(&mut self) {
        if let Some((path, bytes)) = self.swarm.behaviour().gate.bans().to_save() {
            self.save(path, bytes);
        }
    }

    fn save_book(&mut self) {
        let (path, bytes) = (self.book_path.clone(), self.book.to_save());
        self.save(path, bytes);
    }

    /// Writes a file beside the loop, one at a time, and of each file only its latest text.
    fn save(&mut self, path: PathBuf, bytes: Vec<u8>) {
        self.to_save.insert(path, bytes);
        self.save_next();
    }

    fn save_next(&mut self) {
        if self.saving.is_empty()
            && let Some((path, bytes)) = self.to_save.pop_first()
        {
            self.saving.spawn_blocking(move || disk::write(&path, &bytes));
        }
    }

    fn on_saved(&mut self, saved: Result<io::Result<()>, tokio::task::JoinError>) {
        if let Ok(Err(error)) = saved {
            warn!(%error, "the network's files in the data folder cannot be written");
        }
        self.save_next();
    }

    fn tell_status(&mut self) {
        let node = self.swarm.behaviour();
        let mut peers: Vec<PeerStatus> = self
            .connected
            .iter()
            .filter(|(_, link)| link.proven)
            .map(|(peer, link)| PeerStatus {
                peer: link.number.0,
                id: peer.to_string(),
                address: link.connections.first().map(|c| c.address.to_string()).unwrap_or_default(),
                outbound: link.connections.first().is_some_and(|c| c.outbound),
                since: link.since,
                latency: link.latency,
                height: link.height,
                score: node.gossip.peer_score(peer),
            })
            .collect();
        peers.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        let addresses = self.swarm.listeners().chain(self.swarm.external_addresses());
        let status = NetworkStatus {
            id: self.swarm.local_peer_id().to_string(),
            addresses: addresses.map(ToString::to_string).collect(),
            peers,
            bans: node.gate.bans().list(clock::now()),
            known: self.book.len(),
        };
        self.status.send_replace(Arc::new(status));
    }

    /// The next number of a sequence that nobody outside can foresee (splitmix64).
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
