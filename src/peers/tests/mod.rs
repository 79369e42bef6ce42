//! Scripted scenarios: real chains, a virtual clock, and a network of direct lines with a delay.
//!
//! Nodes have the real logic and a real chain in memory; puppets answer as the test says.

mod boasters;
mod hostile;
mod relay;
#[path = "../../../sharechain/tests/support/mod.rs"]
mod rig;
mod sync;
mod wire;

use super::carry::{carry_out, news};
use super::io::{ChainRequest, News, Notice, Standing};
use super::link::{
    Command, Event, MessageToken, NoAnswer, Peer, QuestionToken, RequestToken, Topic, Verdict,
};
use super::wire::Question;
use super::{Input, Now, Output, Peers, serve};
use crate::chain::{ChainEvent, Keeper, OWN_MINERS};
use rig::{Mined, Rig, START};
use sharechain::chain::{ShareChain, Submission};
use sharechain::codec::Decode;
use sharechain::share::ShareId;
use sharechain::store::{MemoryStore, ShareStore};
use sharechain::units::{Height, UnixTime};
use sharechain::verify::Bound;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// What a puppet does with a question.
enum Reply {
    Answer(Vec<u8>),
    Silence,
}

type Script = Box<dyn FnMut(Question) -> Reply>;

enum Role {
    Node(Box<Node>),
    Puppet(Script),
}

struct Node {
    keeper: Keeper<MemoryStore>,
    peers: Peers,
    notices: Vec<Notice>,
}

/// What is under way.
enum Delivery {
    Event(Event),
    /// The end of a question's time.
    Deadline(RequestToken),
}

/// All of them, and the lines between them. The n-th is `Peer(n)`; 0, which no peer is, is a puppet without lines.
struct Net {
    roles: Vec<Role>,
    lines: BTreeSet<(u64, u64)>,
    delay: BTreeMap<u64, Duration>,
    now: Duration,
    queue: BTreeMap<(Duration, u64), (u64, Delivery)>,
    next: u64,
    /// Whom the answer to a question goes to.
    questions: BTreeMap<QuestionToken, (u64, u64, RequestToken)>,
    /// Questions without an answer, by asker.
    open: BTreeMap<(u64, RequestToken), u64>,
    messages: BTreeMap<MessageToken, (u64, Topic, Vec<u8>)>,
    seen: BTreeSet<(u64, Vec<u8>)>,
    /// Everything that each commanded.
    verdicts: Vec<(u64, MessageToken, Verdict)>,
    published: Vec<(u64, Topic, Vec<u8>)>,
    asked: Vec<(u64, u64, Question)>,
    bans: Vec<(u64, u64)>,
    /// The height at which each says that each other stands.
    noted: BTreeMap<(u64, u64), u32>,
}

const DELAY: Duration = Duration::from_millis(50);

impl Net {
    fn new() -> Self {
        Self {
            roles: vec![Role::Puppet(Box::new(|_| Reply::Silence))],
            lines: BTreeSet::new(),
            delay: BTreeMap::new(),
            now: Duration::ZERO,
            queue: BTreeMap::new(),
            next: 0,
            questions: BTreeMap::new(),
            open: BTreeMap::new(),
            messages: BTreeMap::new(),
            seen: BTreeSet::new(),
            verdicts: Vec::new(),
            published: Vec::new(),
            asked: Vec::new(),
            bans: Vec::new(),
            noted: BTreeMap::new(),
        }
    }

    /// A node with the chain of this rig.
    fn node(&mut self, rig: Rig) -> u64 {
        let keeper = Keeper::new(rig.chain, rig.store);
        self.add_node(keeper)
    }

    fn add_node(&mut self, keeper: Keeper<MemoryStore>) -> u64 {
        let now = self.time();
        let peers = Peers::new(keeper.chain().params(), keeper.state(0), true, now);
        self.roles.push(Role::Node(Box::new(Node { keeper, peers, notices: Vec::new() })));
        self.roles.len() as u64 - 1
    }

    /// The node's process ends and begins again with what its store has.
    fn restart(&mut self, node: u64) {
        let old = self.at_mut(node);
        let (params, headers) = (old.keeper.chain().params().clone(), old.keeper.chain().headers().clone());
        let store = old.keeper.store().clone();
        let saved = store.load().expect("memory");
        let mut chain = ShareChain::load(params.clone(), headers, saved.blocks, saved.tip);
        if let Some(claim) = saved.graft {
            chain.resume_graft(claim);
        }
        let keeper = Keeper::new(chain, store);
        let peers = Peers::new(&params, keeper.state(0), true, self.time());
        self.roles[node as usize] = Role::Node(Box::new(Node { keeper, peers, notices: Vec::new() }));
    }

    fn puppet(&mut self, script: impl FnMut(Question) -> Reply + 'static) -> u64 {
        self.roles.push(Role::Puppet(Box::new(script)));
        self.roles.len() as u64 - 1
    }

    /// A puppet that answers truly from this chain, but may change each answer.
    fn liar(&mut self, mut rig: Rig, mut change: impl FnMut(&Question, Vec<u8>) -> Reply + 'static) -> u64 {
        let bodies = rig.store.bodies();
        self.puppet(move |question| {
            let truth = match &question {
                Question::Blocks { from, ids } => serve::from_bodies(&bodies, *from, ids).expect("memory"),
                _ => serve::from_chain(&mut rig.chain, &question).expect("an answer"),
            };
            change(&question, truth)
        })
    }

    fn time(&self) -> Now {
        let seconds = u32::try_from(self.now.as_secs()).expect("small");
        Now { since_start: self.now, clock: UnixTime(START + 1_000_000 + seconds) }
    }

    fn at(&self, node: u64) -> &Node {
        match &self.roles[node as usize] {
            Role::Node(node) => node,
            Role::Puppet(_) => panic!("{node} is a puppet"),
        }
    }

    fn at_mut(&mut self, node: u64) -> &mut Node {
        match &mut self.roles[node as usize] {
            Role::Node(node) => node,
            Role::Puppet(_) => panic!("{node} is a puppet"),
        }
    }

    fn tip(&self, node: u64) -> ShareId {
        self.at(node).keeper.chain().tip()
    }

    fn height(&self, node: u64) -> Height {
        self.at(node).keeper.chain().height()
    }

    fn standing(&self, node: u64) -> Option<Standing> {
        let notices = self.at(node).notices.iter().rev();
        notices
            .filter_map(|notice| if let Notice::Standing(standing) = notice { Some(*standing) } else { None })
            .next()
    }

    fn points(&mut self, node: u64, of: u64) -> u32 {
        self.at_mut(node).peers.desk.points(Peer(of))
    }

    fn connect(&mut self, a: u64, b: u64) {
        self.lines.insert((a.min(b), a.max(b)));
        for (at, peer) in [(a, b), (b, a)] {
            let event = Event::Connected { peer: Peer(peer), ip: None, outbound: at == a };
            self.deliver(at, event);
        }
    }

    fn disconnect(&mut self, a: u64, b: u64) {
        if !self.lines.remove(&(a.min(b), a.max(b))) {
            return;
        }
        let ended: Vec<_> = self
            .open
            .iter()
            .filter(|((asker, _), peer)| (*asker, **peer) == (a, b) || (*asker, **peer) == (b, a))
            .map(|((asker, request), peer)| (*asker, *request, *peer))
            .collect();
        for (asker, request, peer) in ended {
            self.open.remove(&(asker, request));
            self.deliver(asker, Event::Answered { peer: Peer(peer), request, answer: Err(NoAnswer::Gone) });
        }
        for (at, peer) in [(a, b), (b, a)] {
            self.deliver(at, Event::Disconnected { peer: Peer(peer) });
        }
    }

    fn deliver(&mut self, to: u64, event: Event) {
        let delay = self.delay.get(&to).copied().unwrap_or(DELAY);
        self.put(self.now + delay, to, Delivery::Event(event));
    }

    fn put(&mut self, at: Duration, to: u64, delivery: Delivery) {
        self.next += 1;
        self.queue.insert((at, self.next), (to, delivery));
    }

    fn neighbours(&self, of: u64) -> Vec<u64> {
        let other = |(a, b): &(u64, u64)| {
            if *a == of {
                Some(*b)
            } else if *b == of {
                Some(*a)
            } else {
                None
            }
        };
        self.lines.iter().filter_map(other).collect()
    }

    /// Sends a gossiped message along one line, as the network does: once to each.
    fn gossip(&mut self, from: u64, to: u64, topic: Topic, bytes: &[u8]) -> Option<MessageToken> {
        if !self.seen.insert((to, bytes.to_vec())) {
            return None;
        }
        self.next += 1;
        let message = MessageToken(self.next);
        self.messages.insert(message, (to, topic, bytes.to_vec()));
        self.deliver(to, Event::Gossip { peer: Peer(from), topic, message, bytes: bytes.to_vec() });
        Some(message)
    }

    fn verdict(&self, message: MessageToken) -> Option<Verdict> {
        self.verdicts.iter().find(|(_, token, _)| *token == message).map(|(_, _, verdict)| *verdict)
    }

    /// Something happens to a node, and whatever that entails at once.
    fn input(&mut self, to: u64, input: Input) {
        let now = self.time();
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Role::Node(node) = &mut self.roles[to as usize] else { return };
            for output in node.peers.handle(now, input) {
                let Role::Node(node) = &mut self.roles[to as usize] else { return };
                match output {
                    Output::Bind(job) => {
                        let chain = node.keeper.chain();
                        let result = job.work.bind(|share| Bound::new(chain.params(), chain.id(), share));
                        inputs.push_back(Input::Bound { token: job.token, result });
                    }
                    Output::Chain { token, request } => {
                        let (answer, events) = carry(node, request, now);
                        inputs.push_back(Input::Chain { token, answer });
                        inputs.extend(told(node, &events));
                    }
                    Output::Serve { token, question } => {
                        let bodies = node.keeper.store().bodies();
                        let answer = match &question {
                            Question::Blocks { from, ids } => serve::from_bodies(&bodies, *from, ids).ok(),
                            _ => serve::from_chain(node.keeper.chain_mut(), &question),
                        };
                        inputs.push_back(Input::Served { token, answer });
                    }
                    Output::BitcoinHeaders(_) => {}
                    Output::Notice(notice) => node.notices.push(notice),
                    Output::Network(command) => self.command(to, command),
                }
            }
        }
    }

    fn command(&mut self, from: u64, command: Command) {
        match command {
            Command::Publish { topic, bytes } => {
                self.seen.insert((from, bytes.clone()));
                for to in self.neighbours(from) {
                    self.gossip(from, to, topic, &bytes);
                }
                self.published.push((from, topic, bytes));
            }
            Command::Verdict { message, verdict } => {
                let (_, topic, bytes) = self.messages.get(&message).expect("a message").clone();
                assert!(self.verdict(message).is_none(), "one verdict for each message");
                self.verdicts.push((from, message, verdict));
                if verdict == Verdict::Accept {
                    for to in self.neighbours(from) {
                        self.gossip(from, to, topic, &bytes);
                    }
                }
            }
            Command::Ask { peer, request, bytes, most, patience } => {
                assert!(bytes.len() <= super::link::MAX_QUESTION && most <= super::link::MAX_ANSWER);
                let question = Question::from_bytes(&bytes).expect("canonical");
                self.asked.push((from, peer.0, question.clone()));
                if !self.lines.contains(&(from.min(peer.0), from.max(peer.0))) {
                    return self
                        .deliver(from, Event::Answered { peer, request, answer: Err(NoAnswer::Gone) });
                }
                self.open.insert((from, request), peer.0);
                self.put(self.now + patience, from, Delivery::Deadline(request));
                if let Role::Puppet(script) = &mut self.roles[peer.0 as usize] {
                    let answer = match script(question) {
                        Reply::Answer(bytes) if bytes.len() > most => Err(NoAnswer::TooLong),
                        Reply::Answer(bytes) => Ok(bytes),
                        Reply::Silence => return,
                    };
                    return self.answered(peer.0, from, request, answer);
                }
                self.next += 1;
                let token = QuestionToken(self.next);
                self.questions.insert(token, (peer.0, from, request));
                self.deliver(peer.0, Event::Asked { peer: Peer(from), question: token, bytes });
            }
            Command::Answer { question, bytes } => {
                let (by, asker, request) =
                    self.questions.remove(&question).expect("one answer for each question");
                self.answered(by, asker, request, bytes.ok_or(NoAnswer::Refused));
            }
            Command::Note { peer, height } => {
                self.noted.insert((from, peer.0), height);
            }
            Command::Part { peer } | Command::Ban { peer, .. } => {
                self.bans.push((from, peer.0));
                self.disconnect(from, peer.0);
            }
        }
    }

    /// An answer sets out; what comes after the end is nothing.
    fn answered(&mut self, by: u64, asker: u64, request: RequestToken, answer: Result<Vec<u8>, NoAnswer>) {
        if self.open.contains_key(&(asker, request)) {
            let delay = self.delay.get(&by).copied().unwrap_or(DELAY);
            let event = Event::Answered { peer: Peer(by), request, answer };
            self.put(self.now + delay, asker, Delivery::Event(event));
        }
    }

    /// Lets so much time pass, with ticks.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        let tick = Duration::from_millis(250);
        while self.now < end {
            let next_tick = Duration::from_millis((self.now.as_millis() as u64 / 250 + 1) * 250);
            self.run_until(next_tick.min(end));
            if self.now.as_millis().is_multiple_of(tick.as_millis()) {
                for node in 0..self.roles.len() as u64 {
                    let now = self.time();
                    if let Role::Node(inner) = &mut self.roles[node as usize] {
                        let events = inner.keeper.tick(now.clock, |_| {}).expect("memory");
                        for input in told(inner, &events) {
                            self.input(node, input);
                        }
                        self.input(node, Input::Tick);
                    }
                }
            }
        }
    }

    fn run_until(&mut self, end: Duration) {
        while let Some((&(at, _), _)) = self.queue.first_key_value()
            && at <= end
        {
            let ((at, _), (to, delivery)) = self.queue.pop_first().expect("it is there");
            self.now = at;
            match delivery {
                Delivery::Event(event) => {
                    if let Event::Answered { request, answer, .. } = &event
                        && self.open.remove(&(to, *request)).is_none()
                        && !matches!(answer, Err(NoAnswer::Gone))
                    {
                        continue;
                    }
                    self.input(to, Input::Network(event));
                }
                Delivery::Deadline(request) => {
                    if let Some(peer) = self.open.remove(&(to, request)) {
                        let answer = Err(NoAnswer::TimedOut);
                        self.input(to, Input::Network(Event::Answered { peer: Peer(peer), request, answer }));
                    }
                }
            }
        }
        self.now = end;
    }

    /// A node's own miners find something.
    fn find(&mut self, node: u64, mined: &Mined) {
        let now = self.time();
        let inner = self.at_mut(node);
        let chain = inner.keeper.chain();
        let share = Bound::new(chain.params(), chain.id(), mined.share.clone()).expect("bound");
        let submission = Submission::block(share, mined.includes.clone(), OWN_MINERS);
        let (_, events) = carry(inner, ChainRequest::Submit(Box::new(submission)), now);
        for input in told(inner, &events) {
            self.input(node, input);
        }
    }
}

fn carry(node: &mut Node, request: ChainRequest, now: Now) -> (super::io::ChainAnswer, Vec<ChainEvent>) {
    carry_out(&mut node.keeper, request, now.clock).expect("memory")
}

fn told(node: &Node, events: &[ChainEvent]) -> Vec<Input> {
    let bodies = node.keeper.store().bodies();
    let news = events.iter().filter_map(|event| news(event, &bodies));
    news.chain([News::State(node.keeper.state(0))]).map(Input::News).collect()
}

/// A chain of so many blocks, each with a share or two listed.
fn world(blocks: u32) -> Rig {
    let mut rig = Rig::new();
    grow(&mut rig, blocks);
    rig
}

fn grow(rig: &mut Rig, blocks: u32) {
    for n in 0..blocks {
        rig.share((n % 5) as u8 + 1);
        if n.is_multiple_of(3) {
            rig.share(9);
        }
        rig.block((n % 3) as u8);
    }
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
