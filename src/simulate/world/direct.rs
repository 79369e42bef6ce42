//! The short way, for very many nodes: what is published comes to each node once, after the time of the fastest way
//! through the mesh. What is missing is asked of whoever sent it. The logic of peers has no part in this.

use super::{Event as WorldEvent, Lines, World};
use crate::simulate::node::{Mined, Taken};
use crate::simulate::queue::Moment;
use sharechain::chain::Submission;
use sharechain::error::Missing;
use sharechain::pool::Source;
use sharechain::share::ShareId;
use std::sync::Arc;

/// Most blocks in one answer: a peer's answers are bounded in bytes.
const BLOCKS_AT_ONCE: usize = 128;

/// What the direct network keeps in mind.
pub(super) struct Direct {
    /// Which nodes wait for blocks that they asked for.
    fetching: Vec<bool>,
}

/// Something that happens.
pub(super) enum Event {
    /// A published share or block comes to a node.
    Arrive { node: usize, from: usize, mined: Arc<Mined> },
    /// The answer to a question comes: what it holds is what the other has by then.
    Answer { node: usize, from: usize, wanted: Wanted },
    /// Something that waited for a time may be ready.
    Tick { node: usize },
}

/// What a question is for.
pub(super) enum Wanted {
    Blocks,
    Shares(Vec<ShareId>, Arc<Mined>),
    Header(bitcoin::BlockHash),
}

impl Direct {
    pub(super) fn new(nodes: usize) -> Self {
        Self { fetching: vec![false; nodes] }
    }
}

/// How a node numbers its peers.
fn source(node: usize) -> Source {
    Source(node as u64 + 1)
}

impl World {
    pub(super) fn publish_direct(&mut self, from: usize, mined: &Arc<Mined>) {
        for node in 0..self.nodes.len() {
            if node != from && self.reaches(from, node) {
                let delay = self.links.way(from, node, &mut self.random);
                let event = Event::Arrive { node, from, mined: mined.clone() };
                self.queue.push_after(delay, WorldEvent::Direct(event));
            }
        }
    }

    pub(super) fn happen_direct(&mut self, event: Event) {
        match event {
            Event::Arrive { node, from, mined } => self.arrive(node, from, &mined),
            Event::Answer { node, from, wanted } => self.answer_direct(node, from, wanted),
            Event::Tick { node } => {
                let taken = self.nodes[node].node.tick(self.queue.now());
                self.after_direct(node, node, taken);
            }
        }
    }

    fn arrive(&mut self, node: usize, from: usize, mined: &Arc<Mined>) {
        if !self.nodes[node].online {
            return;
        }
        let taken = self.nodes[node].node.take(vec![mined.submission(source(from))], self.queue.now());
        for missing in &taken.missing {
            self.ask(node, from, missing, mined);
        }
        self.after_direct(node, from, taken);
    }

    /// What follows whenever a node has taken something in.
    pub(super) fn after_direct(&mut self, node: usize, from: usize, taken: Taken) {
        self.tally.refusal(taken.refused.as_ref());
        self.moved(node, &taken.events);
        for missing in taken.missing {
            if let Missing::Time(time) = missing {
                let tick = WorldEvent::Direct(Event::Tick { node });
                self.queue.push(Moment::of_unix(time), tick);
            } else if node != from && matches!(missing, Missing::Parent(_) | Missing::Base(_)) {
                self.fetch_blocks(node, from);
            }
        }
    }

    /// Asks whoever sent something for what it needs.
    fn ask(&mut self, node: usize, from: usize, missing: &Missing, mined: &Arc<Mined>) {
        let wanted = match missing {
            Missing::Share(_) => {
                let pool = self.nodes[node].node.chain().shares();
                let lacking = mined.includes.iter().filter(|id| pool.get(id).is_none()).copied().collect();
                Wanted::Shares(lacking, mined.clone())
            }
            Missing::PrevBlock(hash) => Wanted::Header(*hash),
            _ => return,
        };
        self.question(node, from, wanted);
    }

    fn fetch_blocks(&mut self, node: usize, from: usize) {
        let Lines::Direct(direct) = &mut self.carrier else { return };
        if !std::mem::replace(&mut direct.fetching[node], true) {
            self.question(node, from, Wanted::Blocks);
        }
    }

    fn question(&mut self, node: usize, from: usize, wanted: Wanted) {
        self.tally.questions += 1;
        let there = self.links.way(node, from, &mut self.random);
        let back = self.links.way(from, node, &mut self.random);
        self.queue.push_after(there + back, WorldEvent::Direct(Event::Answer { node, from, wanted }));
    }

    fn answer_direct(&mut self, node: usize, from: usize, wanted: Wanted) {
        let now = self.queue.now();
        let is_blocks = matches!(wanted, Wanted::Blocks);
        if let Lines::Direct(direct) = &mut self.carrier {
            direct.fetching[node] &= !is_blocks;
        }
        if !self.reaches(node, from) {
            return;
        }
        let Ok([asker, asked]) = self.nodes.get_disjoint_mut([node, from]) else { return };
        let mut taken = Vec::new();
        match wanted {
            Wanted::Blocks => {
                for block in asked.node.blocks_for(&asker.node, BLOCKS_AT_ONCE) {
                    taken.push(asker.node.take(vec![block], now));
                }
            }
            Wanted::Shares(ids, block) => {
                let bodies = asked.node.shares(&ids);
                let block = Submission { bodies, ..block.submission(source(from)) };
                taken.push(asker.node.take(vec![block], now));
            }
            Wanted::Header(hash) => {
                taken.push(asker.node.take_headers(self.bitcoin.branch(&hash), now));
            }
        }
        let more = is_blocks && taken.len() == BLOCKS_AT_ONCE;
        for taken in taken {
            self.after_direct(node, from, taken);
        }
        if more {
            self.fetch_blocks(node, from);
        }
    }

    /// A node is back and asks a peer for what it missed.
    pub(super) fn return_direct(&mut self, node: usize) {
        let peers = self.links.peers(node);
        let peer = peers.get(self.random.below(peers.len())).copied();
        peer.into_iter().for_each(|peer| self.fetch_blocks(node, peer));
    }
}
