//! What a node says to other nodes, and what it does with what they say. No sockets, no threads and no clock in here
//! but in [`driver`] and in [`solutions`], a task of its own for found Bitcoin blocks: [`Peers::handle`] takes an [`Input`] and the time, and gives [`Output`]s.
//!
//! ```text
//!            Event                    Bind ──────> other threads ──┐
//! network ─────────> Peers::handle ── Chain ─────> the writer ─────┤
//!    ^                 │     ^        Serve ─────> the bodies ─────┤
//!    └──── Command ────┘     └──────────────── Input <─────────────┘
//! ```
//!
//! Reading order: [`link`] (the seam to the network), [`wire`] (bytes), [`io`] (inputs and outputs), this file,
//! `relay` (gossip), `sync` (catching up), [`serve`] (answers), [`conduct`] (faults and what they cost).

pub mod bucket;
pub mod carry;
pub mod conduct;
mod desk;
pub mod driver;
pub mod io;
pub mod link;
mod relay;
pub mod serve;
pub mod solutions;
pub mod status;
mod sync;
#[cfg(test)]
mod tests;
pub mod wire;

pub use io::{Input, Now, Output};
pub use sync::Progress;

use crate::chain::ChainState;
use conduct::Fault;
use desk::{AskFor, BindFor, Desk, RequestFor};
use io::News;
use link::{Command, Event, Peer, QuestionToken};
use relay::Relay;
use sharechain::codec::Decode;
use sharechain::params::ChainParams;
use sync::Sync;
use wire::Question;

/// The logic of one node among others.
#[derive(Debug)]
pub struct Peers {
    desk: Desk,
    relay: Relay,
    sync: Sync,
}

impl Peers {
    /// A node of this chain, which stands where `state` says. `expects_peers` is whether it waits for others before it
    /// serves miners.
    pub fn new(params: &ChainParams, state: ChainState, expects_peers: bool, now: Now) -> Self {
        Self {
            desk: Desk::new(now),
            relay: Relay::new(params),
            sync: Sync::new(params, state, expects_peers, now.since_start),
        }
    }

    /// Takes something that happened, and says what is to be done, in this order.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        self.desk.now = now;
        match input {
            Input::Network(event) => self.network(event),
            Input::Bound { token, result } => match self.desk.bound(token) {
                Some(BindFor::Relay(binding)) => self.relay.bound(&mut self.desk, binding, result),
                Some(BindFor::Sync(binding)) => self.sync.bound(&mut self.desk, &binding, result),
                None => {}
            },
            Input::Chain { token, answer } => match self.desk.requested(token) {
                Some(RequestFor::Relay(requested)) => {
                    let is_headers = matches!(answer, io::ChainAnswer::Headers(_));
                    self.relay.answered(&mut self.desk, &mut self.sync, requested, answer);
                    if is_headers {
                        self.sync.headers_came(&mut self.desk);
                    }
                }
                Some(RequestFor::Sync(requested)) => {
                    for (question, bytes) in self.sync.answered(&mut self.desk, requested, answer) {
                        self.answer(question, Some(bytes));
                    }
                }
                None => {}
            },
            Input::Served { token, answer } => self.answer(token, answer),
            Input::News(News::State(state)) => self.sync.chain_moved(state),
            Input::News(news) => self.relay.news(&mut self.desk, &news),
            Input::Untold(news) => self.relay.untold(&mut self.desk, &news),
            Input::Fault { peer, fault } => self.desk.fault(peer, fault),
            Input::Tick => {
                self.relay.tick(&mut self.desk);
                self.sync.tick(&mut self.desk);
            }
        }
        self.forget_banned();
        self.desk.take_outputs()
    }

    fn network(&mut self, event: Event) {
        match event {
            Event::Connected { peer, outbound, .. } => {
                self.desk.connect(peer, outbound);
                Sync::ask_tip(&mut self.desk, peer);
            }
            Event::Disconnected { peer } => {
                self.desk.disconnect(peer);
                self.relay.gone(peer);
                self.sync.gone(&mut self.desk, peer);
            }
            Event::Gossip { peer, topic, message, bytes } => {
                self.relay.gossip(&mut self.desk, &self.sync, (peer, topic, message), &bytes);
            }
            Event::Asked { peer, question, bytes } => self.asked(peer, question, &bytes),
            Event::Answered { request, answer, .. } => match self.desk.answered(request) {
                Some((peer, AskFor::Relay(asked))) => self.relay.fetched(&mut self.desk, peer, asked, answer),
                Some((peer, AskFor::Sync(asked))) => self.sync.told(&mut self.desk, peer, asked, answer),
                None => {}
            },
        }
    }

    /// A peer asks. What is too much is refused, which costs it little: whoever syncs from many may ask a lot. How much is
    /// answered at a time is bounded by the network.
    fn asked(&mut self, peer: Peer, question: QuestionToken, bytes: &[u8]) {
        let now = self.desk.time();
        let Some(remote) = self.desk.peers.get_mut(&peer) else { return self.desk.refuse(question) };
        if !remote.questions.take(1, now) {
            self.desk.refuse(question);
            return self.desk.fault(peer, Fault::Flood);
        }
        let Ok(asked) = Question::from_bytes(bytes) else {
            self.desk.refuse(question);
            return self.desk.fault(peer, Fault::BadEncoding);
        };
        if asked != Question::Tip {
            return self.desk.output(Output::Serve { token: question, question: asked });
        }
        if let Some(answer) = self.sync.tip_asked(&mut self.desk, question) {
            self.answer(question, Some(answer));
        }
    }

    fn answer(&mut self, question: QuestionToken, bytes: Option<Vec<u8>>) {
        self.desk.output(Output::Network(Command::Answer { question, bytes }));
    }

    /// Those just banned are treated as gone, before the network says so.
    fn forget_banned(&mut self) {
        for peer in core::mem::take(&mut self.desk.just_banned) {
            self.relay.gone(peer);
            self.sync.gone(&mut self.desk, peer);
        }
    }
}
