//! The event loop: who finds what when, and what follows. How it reaches others is in `direct` and `relayed`.

mod direct;
mod relayed;

use super::bitcoin::{Bitcoin, BlockNumber};
use super::hashes;
use super::ledger::Ledger;
use super::links::{Links, group};
use super::node::{Mined, Node};
use super::queue::{Moment, Queue};
use super::random::Random;
use super::settings::{Carrier, Settings, Strategy};
use super::strategy::Mind;
use super::tally::Tally;
use crate::chain::{ChainEvent, OWN_MINERS};
use direct::Direct;
use relayed::Relayed;
use sharechain::chain::SharedVerdicts;
use sharechain::params::ChainParams;
use sharechain::target::Target;
use sharechain::units::Height;
use std::sync::Arc;

/// Minutes that a node stays away, on average.
const AWAY_MINUTES: f64 = 10.0;
/// Blocks below the observer's tip whose verdicts are still shared by all.
const SHARED_DEPTH: u32 = 512;
/// Blocks after which older verdicts are dropped again.
const SHARED_STEP: u32 = 64;

/// All nodes, and what lies between them.
pub struct World {
    settings: Settings,
    params: ChainParams,
    network: Target,
    nodes: Vec<Site>,
    links: Links,
    carrier: Lines,
    bitcoin: Bitcoin,
    queue: Queue<Event>,
    ledger: Ledger,
    tally: Tally,
    verdicts: SharedVerdicts,
    random: Random,
    mining: Random,
}

/// What carries messages.
enum Lines {
    Direct(Direct),
    Relayed(Box<Relayed>),
}

/// A node and its surroundings.
struct Site {
    node: Node,
    hash_rate: f64,
    strategy: Option<Strategy>,
    mind: Mind,
    class: u16,
    online: bool,
    /// Which side of the split it is on, while there is one.
    side: bool,
    /// The target that its next find was drawn for, and which drawing counts.
    target: Target,
    drawing: u32,
}

enum Event {
    /// A miner finds something on the job that its node has now.
    Find { node: usize, drawing: u32 },
    /// The node hears of it.
    Found { node: usize, mined: Box<Mined> },
    /// Somebody outside finds a Bitcoin block.
    BitcoinFind,
    /// A bitcoind hears of a Bitcoin block.
    BitcoinBlock { site: usize, block: BlockNumber },
    /// The warm-up is over.
    WarmedUp,
    /// A split begins or ends.
    Split { partition: usize, begins: bool },
    /// A node goes away or comes back.
    Churn { node: usize },
    /// Something happens in the direct network.
    Direct(direct::Event),
    /// Something happens in the relayed one.
    Relayed(relayed::Event),
}

impl World {
    /// A world before anything has happened. None where the settings make no chain.
    pub fn new(settings: &Settings) -> Option<Self> {
        let params = settings.params();
        let random = |purpose: &str| Random::new(settings.seed, purpose);
        let verdicts = SharedVerdicts::default();
        let bits = bitcoin::CompactTarget::from_consensus(params.network.rules().limit);
        let sites = settings.parts().into_iter().enumerate().map(|(number, part)| {
            let strategy = settings.strategy(number);
            let has_secrets = strategy.is_some_and(Strategy::has_secrets);
            Some(Site {
                node: Node::new(&params, number, has_secrets, &verdicts)?,
                hash_rate: part * settings.hash_rate(),
                strategy,
                mind: Mind::default(),
                class: params.classes[number % params.classes.len()],
                online: true,
                side: false,
                target: Target::MIN,
                drawing: 0,
            })
        });
        let nodes: Vec<Site> = sites.collect::<Option<_>>()?;
        let mut world = Self {
            network: Target::from_compact(bits).ok()?,
            links: Links::new(settings.nodes, settings.latency_ms, &mut random("mesh")),
            carrier: match settings.carrier {
                Carrier::Direct => Lines::Direct(Direct::new(settings.nodes)),
                Carrier::Relayed => Lines::Relayed(Box::default()),
            },
            bitcoin: Bitcoin::new(&params, settings.nodes, settings.pool_part, random("bitcoin"))?,
            queue: Queue::new(),
            ledger: Ledger::default(),
            tally: Tally::new(settings),
            verdicts,
            random: random("delays"),
            mining: random("mining"),
            settings: settings.clone(),
            params,
            nodes,
        };
        world.prepare();
        Some(world)
    }

    /// Puts in the first events.
    fn prepare(&mut self) {
        if self.settings.carrier == Carrier::Relayed {
            self.begin_relayed();
        }
        (0..self.nodes.len()).for_each(|node| self.draw(node));
        self.draw_bitcoin();
        let warm_up = self.settings.warm_up_hours * 3_600.0;
        self.queue.push(Moment::at_seconds(warm_up), Event::WarmedUp);
        for (partition, split) in self.settings.partitions.iter().enumerate() {
            let start = split.start_minute * 60.0;
            self.queue.push(Moment::at_seconds(start), Event::Split { partition, begins: true });
            let end = Moment::at_seconds(start + split.minutes * 60.0);
            self.queue.push(end, Event::Split { partition, begins: false });
        }
        if let Some(hours) = self.settings.churn_hours {
            let observer = self.observer();
            for node in (0..self.nodes.len()).filter(|node| *node != observer) {
                let stay = self.random.exponential(hours * 3_600.0);
                self.queue.push_after(stay, Event::Churn { node });
            }
        }
    }

    /// Lets time pass until the end of the run or for this many hours, whichever is less. True while there is more.
    pub fn run_to(&mut self, hours: f64) -> bool {
        let end = Moment::at_seconds(self.settings.hours.min(hours) * 3_600.0);
        while let Some(event) = self.queue.pop_before(end) {
            self.happen(event);
        }
        hours < self.settings.hours
    }

    /// Ends the run.
    pub fn finish(mut self) -> Outcome {
        let observer = self.observer();
        self.ledger.finish(self.nodes[observer].node.chain());
        self.tally.events = self.queue.count();
        Outcome {
            settings: self.settings,
            params: self.params,
            ledger: self.ledger,
            tally: self.tally,
            bitcoin: self.bitcoin.counts(),
        }
    }

    /// The node whose chain is taken for the winning one: the largest that plays by the book.
    fn observer(&self) -> usize {
        self.settings.strategists.len().min(self.nodes.len() - 1)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Find { node, drawing } => self.find(node, drawing),
            Event::Found { node, mined } => self.found(node, *mined),
            Event::BitcoinFind => {
                let found = self.bitcoin.found_outside(self.queue.now());
                self.spread_bitcoin(found);
                self.draw_bitcoin();
            }
            Event::BitcoinBlock { site, block } => self.bitcoin_block(site, block),
            Event::WarmedUp => self.tally.warmed_up(),
            Event::Split { partition, begins } => self.split(partition, begins),
            Event::Churn { node } => self.churn(node),
            Event::Direct(event) => self.happen_direct(event),
            Event::Relayed(event) => self.happen_relayed(event),
        }
    }

    // Mining.

    /// Draws when the node's miners find something next, if the share target they work at is another one now.
    fn draw(&mut self, node: usize) {
        let target = self.nodes[node].node.share_target();
        if self.nodes[node].target != target {
            self.nodes[node].target = target;
            self.draw_again(node);
        }
    }

    /// Waiting has no memory, so that what was drawn before can be thrown away at any time.
    fn draw_again(&mut self, node: usize) {
        let site = &mut self.nodes[node];
        site.drawing = site.drawing.wrapping_add(1);
        if site.online {
            let wait = hashes::wait(&mut self.mining, site.hash_rate, site.target);
            let drawing = site.drawing;
            self.queue.push_after(wait, Event::Find { node, drawing });
        }
    }

    fn find(&mut self, node: usize, drawing: u32) {
        if self.nodes[node].drawing != drawing {
            return;
        }
        let now = self.queue.now();
        let prev_block = self.bitcoin.tip(node);
        let earliest = self.bitcoin.earliest_time(&prev_block);
        let site = &mut self.nodes[node];
        let tip = site.node.mining().height();
        let twist = Mind::twist(site.strategy, self.params.future_limit, now, tip, site.class);
        if let Some(mined) = site.node.mine(prev_block, earliest, now, &twist) {
            let delay = self.settings.miner_ms / 1_000.0;
            self.ledger.note((node, site.side), &mined, self.network, now.after(delay));
            self.queue.push_after(delay, Event::Found { node, mined: Box::new(mined) });
        }
        self.draw_again(node);
    }

    fn found(&mut self, node: usize, mined: Mined) {
        if self.network.is_met_by(&mined.bound.id().0) {
            let found = self.bitcoin.found_by_pool(mined.header, node);
            self.spread_bitcoin(found);
        }
        let mined = Arc::new(mined);
        let site = &mut self.nodes[node];
        if !site.has_secrets() {
            return self.publish(node, &mined);
        }
        let taken = site.node.take_secretly(mined.submission(OWN_MINERS), self.queue.now());
        let published = site.mind.found(mined, taken.new_tip());
        self.draw(node);
        published.into_iter().for_each(|mined| self.publish(node, &mined));
    }

    /// A node shows what it found.
    fn publish(&mut self, from: usize, mined: &Arc<Mined>) {
        let now = self.queue.now();
        self.tally.message(now, mined);
        let taken = self.nodes[from].node.take(vec![mined.submission(OWN_MINERS)], now);
        self.tally.own_refusal(taken.refused.as_ref());
        match &self.carrier {
            Lines::Direct(_) => {
                self.moved(from, &taken.events);
                self.publish_direct(from, mined);
            }
            Lines::Relayed(_) => self.tell_logic(from, taken.events),
        }
    }

    /// What follows whenever something has happened in a node's chain.
    fn moved(&mut self, node: usize, events: &[ChainEvent]) {
        let now = self.queue.now();
        let (mut new_tip, mut of_others) = (false, None);
        for event in events {
            match event {
                ChainEvent::Block { block, is_tip, source, .. } => {
                    new_tip |= is_tip;
                    let height = Some(block.height).filter(|_| *source != OWN_MINERS);
                    of_others = of_others.max(height);
                }
                ChainEvent::Reorganised(change) => self.tally.reorganisation(now, change.depth),
                ChainEvent::Adopted { .. } => new_tip = true,
                _ => {}
            }
        }
        if new_tip {
            self.draw(node);
            self.watch(node);
        }
        if let Some(height) = of_others {
            self.react(node, height);
        }
    }

    /// What is measured at a new tip.
    fn watch(&mut self, node: usize) {
        if node == self.observer() {
            let chain = self.nodes[node].node.chain();
            self.ledger.settle(chain);
            if chain.height().0.is_multiple_of(SHARED_STEP) {
                self.verdicts.prune_below(chain.height().saturating_sub(SHARED_DEPTH));
            }
        }
        if self.tally.is_healing() {
            let online = self.nodes.iter().filter(|site| site.online);
            self.tally.look_for_heal(self.queue.now(), online.map(|site| site.node.chain()));
        }
    }

    /// A selfish miner's answer to others' block.
    fn react(&mut self, node: usize, height: Height) {
        let site = &mut self.nodes[node];
        if site.has_secrets() {
            let published = site.mind.heard(height, site.node.mining());
            self.draw(node);
            published.into_iter().for_each(|mined| self.publish(node, &mined));
        }
    }

    /// Whether messages go from one to the other at all.
    fn reaches(&self, a: usize, b: usize) -> bool {
        let (a, b) = (&self.nodes[a], &self.nodes[b]);
        a.online && b.online && a.side == b.side
    }

    // The Bitcoin side.

    fn draw_bitcoin(&mut self) {
        if let Some(wait) = self.bitcoin.next_outside() {
            self.queue.push_after(wait, Event::BitcoinFind);
        }
    }

    fn spread_bitcoin(&mut self, found: Option<(BlockNumber, Vec<f64>)>) {
        let Some((block, delays)) = found else { return };
        for (site, delay) in delays.into_iter().enumerate() {
            self.queue.push_after(delay, Event::BitcoinBlock { site, block });
        }
    }

    fn bitcoin_block(&mut self, site: usize, block: BlockNumber) {
        if !self.bitcoin.hear(site, block) || site >= self.nodes.len() {
            return;
        }
        let tip = self.bitcoin.tip(site);
        let taken = self.nodes[site].node.take_headers(self.bitcoin.branch(&tip), self.queue.now());
        match &self.carrier {
            Lines::Direct(_) => self.after_direct(site, site, taken),
            Lines::Relayed(_) => {
                self.tally.refusal(taken.refused.as_ref());
                self.tell_logic(site, taken.events);
            }
        }
        if site == self.observer() {
            let owners: Vec<_> = self.nodes.iter().map(|site| site.node.owner()).collect();
            let chain = self.nodes[site].node.keeper().chain_mut();
            self.tally.best_response(self.queue.now(), chain, tip, &owners);
        }
    }

    // Splits and churn.

    fn split(&mut self, partition: usize, begins: bool) {
        let fraction = self.settings.partitions[partition].fraction;
        let parts: Vec<f64> = self.nodes.iter().map(|site| site.hash_rate).collect();
        let whole: f64 = parts.iter().sum();
        let sides = if begins {
            group(&parts, fraction * whole, &mut self.random)
        } else {
            let highest = self.nodes.iter().map(|site| site.node.chain().height()).max();
            self.tally.split_ended(partition, self.queue.now(), highest.unwrap_or_default());
            vec![false; parts.len()]
        };
        self.nodes.iter_mut().zip(&sides).for_each(|(site, side)| site.side = *side);
        if matches!(self.carrier, Lines::Relayed(_)) {
            self.rewire(&sides);
        }
    }

    fn churn(&mut self, node: usize) {
        let online = !self.nodes[node].online;
        self.nodes[node].online = online;
        self.draw_again(node);
        let stay = self.settings.churn_hours.unwrap_or(1.0) * 3_600.0;
        let wait = self.random.exponential(if online { stay } else { AWAY_MINUTES * 60.0 });
        self.queue.push_after(wait, Event::Churn { node });
        match &self.carrier {
            Lines::Direct(_) if online => self.return_direct(node),
            Lines::Direct(_) => {}
            Lines::Relayed(_) => self.churn_relayed(node),
        }
    }
}

impl Site {
    /// Whether it holds things back.
    fn has_secrets(&self) -> bool {
        self.strategy.is_some_and(Strategy::has_secrets)
    }
}

/// What is left of a run.
pub struct Outcome {
    /// What was asked for.
    pub settings: Settings,
    /// The chain's parameters.
    pub params: ChainParams,
    /// What was mined.
    pub ledger: Ledger,
    /// What was counted.
    pub tally: Tally,
    /// Bitcoin blocks, those of the pool, those that lost a race.
    pub bitcoin: (usize, usize, usize),
}
