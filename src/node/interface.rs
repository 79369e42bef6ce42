//! The interface's thread, and what it is told of the node: facts for its health, and what happens.

use super::Asked;
use super::tasks::Tasks;
use crate::api::events::Events;
use crate::api::form::{EventForm, OwnerForm, Text, blocks_of};
use crate::api::health::{Alarm, BitcoindFacts, Facts, NetworkFacts, Standing};
use crate::api::read::account::NextValue;
use crate::api::{self, ChainSource, MinersPort, NodePort, Ports};
use crate::bitcoin::Template;
use crate::bitcoin::Verdict;
use crate::bitcoin::client::{BitcoinClient, Health};
use crate::bitcoin::submit::{BlockOutcome, FoundBlock, Outcome};
use crate::chain::{ChainEvent, ChainHandle, OWN_MINERS, now};
use crate::disk;
use crate::metrics::Metrics;
use crate::peers::driver::Footing;
use crate::peers::io;
use crate::peers::status::NetworkStatus;
use anyhow::Context;
use bitcoin::BlockHash;
use sharechain::chain::{LockedIn, TooDeep};
use sharechain::params::Network;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;
use tracing::{debug, error};

/// Serves the interface on a thread of its own, so that however much is asked, miners do not wait for it.
pub(super) fn serve(
    tasks: &Tasks,
    listener: TcpListener,
    source: Option<Arc<dyn ChainSource>>,
    ports: Ports,
) -> anyhow::Result<()> {
    // It belongs to the runtime that it was made in.
    let listener = listener.into_std().context("the interface's port")?;
    let stop = tasks.stop.child_token();
    let task = async move {
        match TcpListener::from_std(listener) {
            Ok(listener) => api::serve(listener, source, ports, stop).await,
            Err(error) => error!(%error, "the interface's port cannot be listened on"),
        }
    };
    tasks.spawn_apart("api", task).context("the interface gets no thread")
}

/// Where facts come from.
pub(super) struct Gauges {
    pub(super) health: watch::Receiver<Health>,
    pub(super) templates: watch::Receiver<Option<Arc<Template>>>,
    pub(super) footing: watch::Receiver<Footing>,
    /// None for a node that mines alone.
    pub(super) network: Option<watch::Receiver<Arc<NetworkStatus>>>,
    pub(super) miners: MinersPort,
    pub(super) data_dir: PathBuf,
    pub(super) events: Events,
    pub(super) metrics: Metrics,
}

impl Gauges {
    /// The node as the interface sees it.
    pub(super) fn port(self, asked: &Asked) -> NodePort {
        let (events, metrics, templates) =
            (self.events.clone(), self.metrics.clone(), self.templates.clone());
        let started = Instant::now();
        NodePort {
            facts: Arc::new(move || self.facts(started)),
            next_value: Arc::new(move || {
                let template = templates.borrow().clone()?;
                Some(NextValue { height: template.height, satoshis: template.coinbase_value })
            }),
            events,
            metrics,
            stop: asked.0.clone(),
        }
    }

    fn facts(&self, started: Instant) -> Facts {
        let health = self.health.borrow().clone();
        let bitcoinds = health.backends.iter().map(|backend| BitcoindFacts {
            name: backend.name.clone(),
            template_height: backend.height.map(|height| height.0),
            error: backend.error.as_ref().map(ToString::to_string),
        });
        Facts {
            solo: self.miners.solo,
            uptime_seconds: started.elapsed().as_secs(),
            bitcoinds: bitcoinds.collect(),
            silent_seconds: health.silent_since.map(|since| since.elapsed().as_secs()),
            network: self.network.as_ref().map(|network| {
                let footing = *self.footing.borrow();
                network_facts(&network.borrow(), footing)
            }),
            serving: *self.miners.serving.borrow(),
            miners: (self.miners.count)(),
            clock_ahead_seconds: self.clock_ahead(&health),
            disk_free_bytes: disk::free(&self.data_dir).unwrap_or_else(|error| {
                debug!(%error, "the room on the disk cannot be told");
                None
            }),
            chain: None,
            alarms: self.events.alarms(),
        }
    }

    /// How far this machine's clock was ahead of the Bitcoin node's when that last gave a template.
    fn clock_ahead(&self, health: &Health) -> Option<i64> {
        let age = health.backends.get(health.active?)?.last_answer?.elapsed().as_secs();
        let template = self.templates.borrow().clone()?;
        let then = i64::from(now().0).saturating_sub(i64::try_from(age).ok()?);
        Some(then.saturating_sub(i64::from(template.current_time)))
    }
}

fn network_facts(status: &NetworkStatus, footing: Footing) -> NetworkFacts {
    NetworkFacts {
        peers: status.peers.len() as u64,
        outbound: status.peers.iter().filter(|peer| peer.outbound).count() as u64,
        standing: match footing.standing {
            io::Standing::Unknown => Standing::Unknown,
            io::Standing::Syncing => Standing::Syncing,
            io::Standing::Current => Standing::Level,
        },
        progress: footing.progress.map(|progress| (progress.blocks, progress.of)),
    }
}

/// Tells what happens in the chain and to found Bitcoin blocks, and counts it.
pub(super) struct Teller {
    events: Events,
    metrics: Metrics,
    network: Network,
    /// None for a node that mines solo.
    chain: Option<broadcast::Receiver<ChainEvent>>,
    submitted: broadcast::Receiver<Arc<FoundBlock>>,
    outcomes: broadcast::Receiver<BlockOutcome>,
    /// When Bitcoin blocks were submitted, newest last.
    since: VecDeque<(BlockHash, Instant)>,
}

/// Bitcoin blocks whose answers are waited for to be measured.
const MOST_MEASURED: usize = 64;

impl Teller {
    /// Of everything from now on.
    pub(super) fn new(
        (events, metrics): (Events, Metrics),
        network: Network,
        bitcoin: &BitcoinClient,
        chain: Option<&ChainHandle>,
    ) -> Self {
        let (submitted, outcomes) = (bitcoin.submitter().submitted(), bitcoin.outcomes());
        let chain = chain.map(ChainHandle::events);
        Self { events, metrics, network, chain, submitted, outcomes, since: VecDeque::new() }
    }

    /// Until the chain or the Bitcoin side ends.
    pub(super) async fn run(mut self) {
        loop {
            let heard = tokio::select! {
                event = next(&mut self.chain) => event.map(|event| self.tell_of_chain(&event)),
                block = self.submitted.recv() => block.map(|block| self.tell_of_block(&block)),
                outcome = self.outcomes.recv() => outcome.map(|outcome| self.tell_of_outcome(outcome)),
            };
            match heard {
                Ok(()) => {}
                Err(RecvError::Lagged(missed)) => {
                    self.metrics.events_missed.add(missed);
                    self.events.skip(missed);
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn count(&self, event: &ChainEvent) {
        let (taken, source) = match event {
            ChainEvent::Share { source, .. } => (&self.metrics.shares, source),
            ChainEvent::Block { source, .. } => (&self.metrics.share_blocks, source),
            ChainEvent::Reorganised(_) => return self.metrics.reorganisations.count(),
            _ => return,
        };
        if *source == OWN_MINERS { taken.own.count() } else { taken.others.count() }
    }

    fn tell_of_chain(&self, event: &ChainEvent) {
        self.count(event);
        match event {
            ChainEvent::Share { share, source } if self.events.is_heard() => {
                let commitment = &share.share().commitment;
                self.events.tell(EventForm::Share {
                    id: Text(share.id()),
                    owner: OwnerForm::new(&commitment.owner, self.network),
                    score: blocks_of(share.score()),
                    time: commitment.time.0,
                    own: *source == OWN_MINERS,
                });
            }
            ChainEvent::Block { block, is_tip, source, wanted: false } => {
                self.events.tell(EventForm::ShareBlock {
                    height: block.height.0,
                    id: Text(block.id),
                    parent: Text(block.parent),
                    owner: OwnerForm::new(&block.credits.lister, self.network),
                    time: block.time.0,
                    listed: block.credits.listed.len() as u64,
                    score: blocks_of(block.credits.total()),
                    tip: *is_tip,
                    own: *source == OWN_MINERS,
                });
            }
            ChainEvent::Reorganised(reorganisation) => {
                self.events
                    .tell(EventForm::Reorganised { from: Text(reorganisation.from), depth: reorganisation.depth });
                if reorganisation.is_alarming() {
                    self.alarm(
                        "deep-reorganisation",
                        format!("the share chain was reorganised {} blocks deep", reorganisation.depth),
                        "ask others whether the network was split; your payouts are told by the new branch",
                    );
                }
            }
            ChainEvent::TooDeep(TooDeep { tip, depth }) => self.alarm(
                "branch-too-deep",
                format!("a heavier branch of the share chain begins {depth} blocks deep, with the tip {tip}; it is not followed"),
                "ask others which branch is theirs; to follow it, stop the node and begin with an empty store",
            ),
            ChainEvent::LockedIn(LockedIn { unknown, active_from, .. }) if *unknown != 0 => self.alarm(
                "unknown-rules",
                format!("rules that this release does not know are in force from share block {active_from} on"),
                "install a newer release before that",
            ),
            ChainEvent::Share { .. }
            | ChainEvent::Block { .. }
            | ChainEvent::LockedIn(_)
            | ChainEvent::Adopted { .. }
            | ChainEvent::BitcoinTip(_)
            | ChainEvent::HeaderWanted(_) => {}
        }
    }

    fn tell_of_block(&mut self, block: &FoundBlock) {
        self.metrics.bitcoin_blocks.count();
        self.since.push_back((block.hash, Instant::now()));
        if self.since.len() > MOST_MEASURED {
            self.since.pop_front();
        }
        self.events.tell(EventForm::BitcoinBlock {
            bitcoin_height: block.height.0,
            hash: Text(block.hash),
            own: block.own,
        });
    }

    fn tell_of_outcome(&self, BlockOutcome { hash, height, backend, outcome }: BlockOutcome) {
        let (accepted, note) = match outcome {
            Outcome::Answered(Verdict::Accepted { note }) => (true, note),
            Outcome::Answered(Verdict::Rejected { reason }) | Outcome::GaveUp { reason } => {
                (false, Some(reason))
            }
        };
        let counter = if accepted {
            &self.metrics.bitcoin_blocks_accepted
        } else {
            &self.metrics.bitcoin_blocks_refused
        };
        counter.count();
        if let Some((_, since)) = self.since.iter().find(|(known, _)| *known == hash) {
            self.metrics.block_to_answer.observe(since.elapsed());
        }
        if !accepted {
            let reason = note.as_deref().unwrap_or_default();
            self.alarm(
                "block-not-taken",
                format!("{backend} did not take the Bitcoin block {hash} at height {height}: {reason}"),
                "see the log; a block that lost a race is bad luck, other reasons are faults",
            );
        }
        let (bitcoin_height, hash) = (height.0, Text(hash));
        self.events.tell(EventForm::BitcoinBlockAnswered {
            bitcoin_height,
            hash,
            bitcoind: backend,
            accepted,
            note,
        });
    }

    fn alarm(&self, id: &'static str, says: String, cure: &'static str) {
        self.events.alarm(Alarm { time: now().0, id, says, cure });
    }
}

/// The next event, for ever none where there is no chain.
async fn next(chain: &mut Option<broadcast::Receiver<ChainEvent>>) -> Result<ChainEvent, RecvError> {
    match chain {
        Some(events) => events.recv().await,
        None => std::future::pending().await,
    }
}
