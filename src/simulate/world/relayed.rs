//! The whole way: every node has the real logic of peers, and what it says goes over lines of the mesh, from peer to
//! peer, as gossip after the verdict, or as a question and its answer.
//!
//! This takes the place of libp2p. A message goes on to the peers it did not come from, as gossipsub's mesh does, once.
//! What gossipsub and the transport say for themselves is not counted.

use super::{Event as WorldEvent, Lines, World};
use crate::chain::ChainEvent;
use crate::peers::carry::{carry_out, news};
use crate::peers::io::{BindResult, ChainAnswer, News, Notice, Unbound};
use crate::peers::link::Event as LinkEvent;
use crate::peers::link::{
    Command, MessageToken, NoAnswer, Peer, QuestionToken, RequestToken, Topic, Verdict,
};
use crate::peers::wire::Question;
use crate::peers::{Input, Now, Output, Peers, serve};
use crate::simulate::links::mesh;
use crate::simulate::queue::Moment;
use sharechain::codec::Encode;
use sharechain::error::Refusal;
use sharechain::params::ChainParams;
use sharechain::share::Share;
use sharechain::store::{Bodies, ShareStore};
use sharechain::verify::{BindError, Bound};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

/// Seconds between two ticks of a node's logic.
const TICK: f64 = 1.0;
/// Bytes a second of a line, for answers.
const LINE_SPEED: f64 = 2e6;
/// Seconds for which a message is known again, as gossipsub does by default.
const REMEMBERED: f64 = 60.0;
/// Most shares whose binding is kept for the other nodes.
const MAX_BOUND: usize = 20_000;

/// What the relayed network keeps in mind.
#[derive(Default)]
pub(super) struct Relayed {
    nodes: Vec<Ends>,
    /// Connections by their lower end.
    lines: BTreeSet<(usize, usize)>,
    flights: HashMap<u64, Flight>,
    /// Flights by age.
    aging: VecDeque<(Moment, u64)>,
    /// Whose question it is.
    questions: BTreeMap<u64, (usize, RequestToken)>,
    /// Questions without an answer: asker, its token, and who was asked.
    open: BTreeMap<(usize, RequestToken), usize>,
    next: u64,
    bound: RefCell<HashMap<u64, Result<Bound, BindError>>>,
}

/// One node's end of the network.
struct Ends {
    logic: Peers,
    bodies: Bodies,
    /// Shares that came into the chain.
    shares: u64,
}

/// A message on its way through the mesh.
struct Flight {
    topic: Topic,
    bytes: Arc<Vec<u8>>,
    /// How each node stands to it.
    seen: Vec<Seen>,
    /// Who has had it from whom.
    heard: BTreeSet<(usize, usize)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    Waits,
    Done,
}

/// Something that happens.
pub(super) enum Event {
    /// A message comes over a line.
    Message { to: usize, from: usize, flight: u64 },
    /// A question comes over a line.
    Question { to: usize, from: usize, request: RequestToken, bytes: Vec<u8> },
    /// An answer comes back, or there is none.
    Answer { to: usize, request: RequestToken, answer: Result<Vec<u8>, NoAnswer> },
    /// Time passes for a node.
    Tick { node: usize },
}

/// How a node numbers its peers.
fn peer(node: usize) -> Peer {
    Peer(node as u64 + 1)
}

fn node_of(peer: Peer) -> usize {
    usize::try_from(peer.0.saturating_sub(1)).unwrap_or(usize::MAX)
}

/// Why the chain did not take something.
fn refused(answer: &ChainAnswer) -> Option<&Refusal> {
    match answer {
        ChainAnswer::Submitted(Ok(taken)) => taken.not_a_block.as_ref(),
        ChainAnswer::Submitted(Err(refusal)) => Some(refusal),
        ChainAnswer::Extended { refused, .. } => refused.as_ref(),
        _ => None,
    }
}

fn key(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

impl Relayed {
    /// Binds shares; each once for all nodes.
    fn bind(&self, params: &ChainParams, work: Unbound) -> BindResult {
        let chain = params.chain_id();
        work.bind(|share: Arc<Share>| {
            let key = key(&share.to_bytes());
            let known = self.bound.borrow().get(&key).cloned();
            if let Some(Ok(bound)) = known.filter(|bound| matches!(bound, Ok(b) if *b.share() == share)) {
                return Ok(bound);
            }
            let bound = Bound::new(params, chain, share);
            let mut all = self.bound.borrow_mut();
            if all.len() >= MAX_BOUND {
                all.clear();
            }
            all.insert(key, bound.clone());
            bound
        })
    }

    fn peers_of(&self, node: usize) -> Vec<usize> {
        let ends = self.lines.iter().filter(|(a, b)| *a == node || *b == node);
        ends.map(|(a, b)| if *a == node { *b } else { *a }).collect()
    }

    fn is_connected(&self, a: usize, b: usize) -> bool {
        self.lines.contains(&(a.min(b), a.max(b)))
    }

    fn forget_old(&mut self, now: Moment) {
        while let Some((since, flight)) = self.aging.front().copied()
            && now.seconds() - since.seconds() > REMEMBERED
        {
            self.aging.pop_front();
            self.flights.remove(&flight);
        }
    }
}

impl World {
    fn relayed(&mut self) -> &mut Relayed {
        match &mut self.carrier {
            Lines::Relayed(relayed) => relayed,
            Lines::Direct(_) => unreachable!("a world is of one kind from its beginning"),
        }
    }

    fn clocks(&self) -> Now {
        let now = self.queue.now();
        Now { since_start: Duration::from_micros(now.0), clock: now.unix() }
    }

    /// Starts the logic of all nodes, and connects them.
    pub(super) fn begin_relayed(&mut self) {
        let clocks = self.clocks();
        let params = self.params.clone();
        let ends: Vec<Ends> = self
            .nodes
            .iter_mut()
            .map(|site| {
                let keeper = site.node.keeper();
                Ends {
                    logic: Peers::new(&params, keeper.state(0), true, clocks),
                    bodies: keeper.store().bodies(),
                    shares: 0,
                }
            })
            .collect();
        let count = ends.len();
        self.relayed().nodes = ends;
        self.rewire(&vec![false; count]);
        for node in 0..count {
            let phase = self.random.fraction() * TICK;
            self.queue.push_after(phase, WorldEvent::Relayed(Event::Tick { node }));
        }
    }

    pub(super) fn happen_relayed(&mut self, event: Event) {
        match event {
            Event::Message { to, from, flight } => self.message(to, from, flight),
            Event::Question { to, from, request, bytes } => {
                let relayed = self.relayed();
                if !relayed.is_connected(to, from) {
                    return;
                }
                relayed.next += 1;
                let question = QuestionToken(relayed.next);
                relayed.questions.insert(question.0, (from, request));
                self.tally.download(to, bytes.len());
                self.feed(to, Input::Network(LinkEvent::Asked { peer: peer(from), question, bytes }));
            }
            Event::Answer { to, request, answer } => {
                // Whichever of the answer and the end of its time comes first counts.
                let Some(asked) = self.relayed().open.remove(&(to, request)) else { return };
                let bytes = answer.as_ref().map_or(0, Vec::len);
                self.tally.download(to, bytes);
                let event = LinkEvent::Answered { peer: peer(asked), request, answer };
                self.feed(to, Input::Network(event));
            }
            Event::Tick { node } => {
                let taken = self.nodes[node].node.tick(self.queue.now());
                self.tally.refusal(taken.refused.as_ref());
                if !taken.events.is_empty() {
                    self.tell_logic(node, taken.events);
                }
                self.feed(node, Input::Tick);
                self.queue.push_after(TICK, WorldEvent::Relayed(Event::Tick { node }));
            }
        }
    }

    /// Tells a node's logic what has happened in its chain.
    pub(super) fn tell_logic(&mut self, node: usize, events: Vec<ChainEvent>) {
        let mut inputs = VecDeque::new();
        self.news(node, &events, &mut inputs);
        self.feed_all(node, inputs);
        self.moved(node, &events);
    }

    fn news(&mut self, node: usize, events: &[ChainEvent], inputs: &mut VecDeque<Input>) {
        if events.is_empty() {
            return;
        }
        let Lines::Relayed(relayed) = &mut self.carrier else { return };
        let ends = &mut relayed.nodes[node];
        ends.shares += events.iter().filter(|event| matches!(event, ChainEvent::Share { .. })).count() as u64;
        let state = self.nodes[node].node.keeper().state(ends.shares);
        inputs.extend(events.iter().filter_map(|event| news(event, &ends.bodies)).map(Input::News));
        inputs.push_back(Input::News(News::State(state)));
    }

    fn feed(&mut self, node: usize, input: Input) {
        self.feed_all(node, VecDeque::from([input]));
    }

    /// Gives a node's logic inputs and carries out what it says, until it has nothing more to say.
    fn feed_all(&mut self, node: usize, mut inputs: VecDeque<Input>) {
        let mut happened = Vec::new();
        while let Some(input) = inputs.pop_front() {
            let clocks = self.clocks();
            let outputs = self.relayed().nodes[node].logic.handle(clocks, input);
            for output in outputs {
                match output {
                    Output::Network(command) => self.command(node, command),
                    Output::Bind(job) => {
                        let Lines::Relayed(relayed) = &self.carrier else { return };
                        let result = relayed.bind(&self.params, job.work);
                        inputs.push_back(Input::Bound { token: job.token, result });
                    }
                    Output::Chain { token, request } => {
                        let now = self.queue.now();
                        let Ok((answer, events)) =
                            carry_out(self.nodes[node].node.keeper(), request, now.unix());
                        self.nodes[node].node.tell_secret(&events, now);
                        self.tally.refusal(refused(&answer));
                        inputs.push_back(Input::Chain { token, answer });
                        self.news(node, &events, &mut inputs);
                        happened.extend(events);
                    }
                    Output::Serve { token, question } => {
                        let answer = self.serve(node, &question);
                        inputs.push_back(Input::Served { token, answer });
                    }
                    Output::Notice(Notice::Banned { reason, .. }) => self.tally.banned(reason),
                    Output::Notice(_) | Output::BitcoinHeaders(_) => {}
                }
            }
        }
        self.moved(node, &happened);
    }

    fn serve(&mut self, node: usize, question: &Question) -> Option<Vec<u8>> {
        match question {
            Question::Blocks { from, ids } => {
                serve::from_bodies(&self.relayed().nodes[node].bodies, *from, ids).ok()
            }
            _ => serve::from_chain(self.nodes[node].node.keeper().chain_mut(), question),
        }
    }

    fn command(&mut self, node: usize, command: Command) {
        match command {
            Command::Publish { topic, bytes } => self.publish_relayed(node, topic, bytes),
            Command::Verdict { message, verdict } => self.verdict(node, message, verdict),
            Command::Ask { peer, request, bytes, patience, .. } => {
                let to = node_of(peer);
                self.relayed().open.insert((node, request), to);
                self.tally.questions += 1;
                self.tally.upload(node, bytes.len());
                let late = Event::Answer { to: node, request, answer: Err(NoAnswer::TimedOut) };
                self.queue.push_after(patience.as_secs_f64(), WorldEvent::Relayed(late));
                let delay = self.links.hop(node, to, &mut self.random);
                let event = Event::Question { to, from: node, request, bytes };
                self.queue.push_after(delay, WorldEvent::Relayed(event));
            }
            Command::Answer { question, bytes } => {
                let Some((asker, request)) = self.relayed().questions.remove(&question.0) else { return };
                let len = bytes.as_ref().map_or(0, Vec::len);
                self.tally.upload(node, len);
                let delay = self.links.hop(node, asker, &mut self.random) + len as f64 / LINE_SPEED;
                let answer = bytes.ok_or(NoAnswer::Refused);
                let event = Event::Answer { to: asker, request, answer };
                self.queue.push_after(delay, WorldEvent::Relayed(event));
            }
            Command::Part { peer } | Command::Ban { peer, .. } => self.disconnect(node, node_of(peer)),
            Command::Note { .. } => {}
        }
    }

    // Gossip.

    fn publish_relayed(&mut self, node: usize, topic: Topic, bytes: Vec<u8>) {
        let (now, id, count) = (self.queue.now(), key(&bytes), self.nodes.len());
        let relayed = self.relayed();
        relayed.forget_old(now);
        let flight = relayed.flights.entry(id).or_insert_with(|| {
            relayed.aging.push_back((now, id));
            Flight { topic, bytes: Arc::new(bytes), seen: vec![Seen::Not; count], heard: BTreeSet::new() }
        });
        if std::mem::replace(&mut flight.seen[node], Seen::Done) != Seen::Done {
            self.forward(node, id);
        }
    }

    /// Sends a message to all peers that it did not come from.
    fn forward(&mut self, node: usize, id: u64) {
        let relayed = self.relayed();
        let peers = relayed.peers_of(node);
        let Some(flight) = relayed.flights.get(&id) else { return };
        let len = flight.bytes.len();
        let to: Vec<usize> =
            peers.into_iter().filter(|peer| !flight.heard.contains(&(node, *peer))).collect();
        for to in to {
            self.tally.upload(node, len);
            let delay = self.links.hop(node, to, &mut self.random);
            let event = Event::Message { to, from: node, flight: id };
            self.queue.push_after(delay, WorldEvent::Relayed(event));
        }
    }

    fn message(&mut self, to: usize, from: usize, id: u64) {
        let relayed = self.relayed();
        if !relayed.is_connected(to, from) {
            return;
        }
        let Some(flight) = relayed.flights.get_mut(&id) else { return };
        let len = flight.bytes.len();
        flight.heard.insert((to, from));
        let is_new = flight.seen[to] == Seen::Not;
        let event = is_new.then(|| {
            flight.seen[to] = Seen::Waits;
            let bytes = flight.bytes.to_vec();
            LinkEvent::Gossip { peer: peer(from), topic: flight.topic, message: MessageToken(id), bytes }
        });
        self.tally.download(to, len);
        self.tally.copy(is_new);
        event.into_iter().for_each(|event| self.feed(to, Input::Network(event)));
    }

    fn verdict(&mut self, node: usize, message: MessageToken, verdict: Verdict) {
        let Some(flight) = self.relayed().flights.get_mut(&message.0) else { return };
        let waited = std::mem::replace(&mut flight.seen[node], Seen::Done) == Seen::Waits;
        if waited && verdict == Verdict::Accept {
            self.forward(node, message.0);
        }
    }

    // Lines.

    /// Connects the nodes as the mesh says, on each side of a split by itself: whoever loses peers finds others.
    pub(super) fn rewire(&mut self, sides: &[bool]) {
        let is_whole = sides.iter().all(|side| !side);
        let mut wanted = BTreeSet::new();
        if is_whole {
            for node in 0..sides.len() {
                wanted.extend(self.links.peers(node).iter().map(|peer| (node.min(*peer), node.max(*peer))));
            }
        } else {
            for side in [false, true] {
                let inside: Vec<usize> = (0..sides.len()).filter(|node| sides[*node] == side).collect();
                wanted.extend(mesh(&inside, &mut self.random));
            }
        }
        wanted.retain(|(a, b)| self.nodes[*a].online && self.nodes[*b].online);
        let old = self.relayed().lines.clone();
        old.difference(&wanted).for_each(|(a, b)| self.disconnect(*a, *b));
        wanted.difference(&old).for_each(|(a, b)| self.connect(*a, *b));
    }

    /// A node has gone away or come back.
    pub(super) fn churn_relayed(&mut self, node: usize) {
        if self.nodes[node].online {
            let peers: Vec<usize> = self.links.peers(node).to_vec();
            for peer in peers {
                if self.reaches(node, peer) {
                    self.connect(node, peer);
                }
            }
        } else {
            let peers = self.relayed().peers_of(node);
            peers.into_iter().for_each(|peer| self.disconnect(node, peer));
        }
    }

    fn connect(&mut self, a: usize, b: usize) {
        if self.relayed().lines.insert((a.min(b), a.max(b))) {
            for (at, other) in [(a, b), (b, a)] {
                let event = LinkEvent::Connected { peer: peer(other), ip: None, outbound: at == a };
                self.feed(at, Input::Network(event));
            }
        }
    }

    fn disconnect(&mut self, a: usize, b: usize) {
        if !self.relayed().lines.remove(&(a.min(b), a.max(b))) {
            return;
        }
        for (at, other) in [(a, b), (b, a)] {
            let open: Vec<RequestToken> = self
                .relayed()
                .open
                .iter()
                .filter(|((asker, _), asked)| *asker == at && **asked == other)
                .map(|((_, request), _)| *request)
                .collect();
            for request in open {
                self.relayed().open.remove(&(at, request));
                let event = LinkEvent::Answered { peer: peer(other), request, answer: Err(NoAnswer::Gone) };
                self.feed(at, Input::Network(event));
            }
            self.feed(at, Input::Network(LinkEvent::Disconnected { peer: peer(other) }));
        }
    }
}
