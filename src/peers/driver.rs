//! The task that runs the logic in a node: brings it what happens on the network and in the chain, and does what it says,
//! on other threads where that takes time.
//!
//! The logic never waits: its requests to the chain go through a queue to one task, which keeps their order; binding and
//! reading bodies go to the blocking pool. How much is under way is bounded by the logic itself, for each peer and in all.

use super::carry::{look_up, news, perhaps_untold};
use super::conduct::Fault;
use super::io::{BindJob, ChainAnswer, ChainRequest, ChainToken, News, Notice, Standing};
use super::link::{Command, Event, Peer, QuestionToken, Verdict};
use super::wire::Question;
use super::{Input, Now, Output, Peers, Progress, serve, solutions};
use crate::chain::{ChainHandle, Extended, Stopped, now};
use bitcoin::block::Header;
use sharechain::params::ChainParams;
use sharechain::verify::Bound;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, debug_span, info, warn};

/// Results that wait for the logic; whoever has one more waits.
const RESULTS: usize = 256;
/// How often the logic is told that time passes.
const TICK: Duration = Duration::from_millis(250);
/// Progress of a sync is logged this often.
const LOG_PROGRESS: Duration = Duration::from_secs(5);

/// What the task works with.
pub struct Parts {
    /// The chain's parameters.
    pub params: Arc<ChainParams>,
    /// The share chain.
    pub chain: ChainHandle,
    /// What happens on the network.
    pub events: mpsc::Receiver<Event>,
    /// What it is to do.
    pub commands: mpsc::Sender<Command>,
    /// Where events about found Bitcoin blocks go; see [`solutions`].
    pub solutions: mpsc::Sender<Event>,
    /// Faults of peers that were noticed there.
    pub faults: mpsc::Receiver<(Peer, Fault)>,
    /// Where Bitcoin headers of peers go that the node's bitcoind may lack.
    pub headers: mpsc::Sender<Vec<Header>>,
    /// What others are told of where the node stands.
    pub footing: watch::Sender<Footing>,
    /// Whether the node waits for peers before it serves miners.
    pub expects_peers: bool,
}

/// Where the node stands beside its peers, for those who show it or wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footing {
    /// Whether it is level with them.
    pub standing: Standing,
    /// How far a sync has come, while there is one.
    pub progress: Option<Progress>,
    /// Whether miners may be served.
    pub ready: bool,
}

impl Footing {
    /// At the start.
    pub const START: Self = Self { standing: Standing::Unknown, progress: None, ready: false };
}

/// Runs the logic until `stop`, or until the network or the chain ends.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let (results, mut done) = mpsc::channel(RESULTS);
    let (requests, asked) = mpsc::channel(1);
    let begun = Instant::now();
    let clocks = move || Now { since_start: begun.elapsed(), clock: now() };
    let state = *parts.chain.state().borrow();
    let mut driver = Driver {
        peers: Peers::new(&parts.params, state, parts.expects_peers, clocks()),
        results: results.clone(),
        requests: VecDeque::new(),
        logged: None,
        parts,
    };
    let carrier = carry_out_all(driver.parts.chain.clone(), asked, results);
    let ended = tokio::select! {
        () = stop.cancelled() => return,
        result = carrier => result,
        result = driver.run(&mut done, &requests, clocks) => result,
    };
    if ended.is_err() {
        debug!("the share chain has stopped, and so have the peers");
    }
}

type Request = (ChainToken, ChainRequest);

struct Driver {
    parts: Parts,
    peers: Peers,
    results: mpsc::Sender<Input>,
    /// Requests that wait for those before them. The loop must not wait for the chain, and how much is asked of it at a
    /// time the logic bounds itself.
    requests: VecDeque<Request>,
    /// When the progress of a sync was last logged.
    logged: Option<Instant>,
}

impl Driver {
    async fn run(
        &mut self,
        done: &mut mpsc::Receiver<Input>,
        requests: &mpsc::Sender<Request>,
        clocks: impl Fn() -> Now,
    ) -> Result<(), Stopped> {
        let mut happened = self.parts.chain.events();
        let mut state = self.parts.chain.state();
        let bodies = self.parts.chain.bodies();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let input = tokio::select! {
                permit = requests.reserve(), if !self.requests.is_empty() => {
                    let permit = permit.map_err(|_| Stopped)?;
                    if let Some(request) = self.requests.pop_front() {
                        permit.send(request);
                    }
                    continue;
                }
                event = self.parts.events.recv() => match event {
                    Some(event) if solutions::is_ours(&event) => {
                        self.hand_over(event).await?;
                        continue;
                    }
                    Some(event) => Input::Network(event),
                    None => return Ok(()),
                },
                Some(input) = done.recv() => input,
                Some((peer, fault)) = self.parts.faults.recv() => Input::Fault { peer, fault },
                event = happened.recv() => match event {
                    Ok(event) => match news(&event, &bodies) {
                        Some(news) => Input::News(news),
                        None => continue,
                    },
                    Err(RecvError::Lagged(missed)) => {
                        debug!(missed, "too slow for the chain's events; peers are told the newest again");
                        self.tell_again();
                        continue;
                    }
                    Err(RecvError::Closed) => return Err(Stopped),
                },
                changed = state.changed() => {
                    changed.map_err(|_| Stopped)?;
                    Input::News(News::State(*state.borrow_and_update()))
                }
                _ = ticks.tick() => Input::Tick,
            };
            if let Input::News(News::Share { id, own, .. } | News::Block { id, own, .. }) = &input {
                debug_span!("share", %id).in_scope(|| debug!(own, "peers are told of it"));
            }
            for output in self.peers.handle(clocks(), input) {
                self.act(output).await?;
            }
        }
    }

    /// Gives an event to the desk of found Bitcoin blocks; if that has too much to do, it is dropped.
    async fn hand_over(&self, event: Event) -> Result<(), Stopped> {
        let Err(mpsc::error::TrySendError::Full(event)) = self.parts.solutions.try_send(event) else {
            return Ok(());
        };
        match event {
            Event::Gossip { message, .. } => {
                self.command(Command::Verdict { message, verdict: Verdict::Ignore }).await
            }
            Event::Asked { question, .. } => self.command(Command::Answer { question, bytes: None }).await,
            Event::Answered { .. } | Event::Connected { .. } | Event::Disconnected { .. } => Ok(()),
        }
    }

    async fn act(&mut self, output: Output) -> Result<(), Stopped> {
        match output {
            Output::Network(command) => self.command(command).await?,
            Output::Bind(job) => self.bind(job),
            Output::Chain { token, request } => self.requests.push_back((token, request)),
            Output::Serve { token, question } => self.serve(token, question),
            // What does not fit will be heard of again.
            Output::BitcoinHeaders(headers) => drop(self.parts.headers.try_send(headers)),
            Output::Notice(notice) => self.tell(&notice),
        }
        Ok(())
    }

    /// The network takes commands at once, whatever else it does.
    async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.parts.commands.send(command).await.map_err(|_| Stopped)
    }

    fn bind(&self, BindJob { token, work }: BindJob) {
        let (params, results) = (self.parts.params.clone(), self.results.clone());
        tokio::spawn(async move {
            let chain = params.chain_id();
            let bind = move || work.bind(|share| Bound::new(&params, chain, share));
            match tokio::task::spawn_blocking(bind).await {
                // An error means that the node is ending.
                Ok(result) => drop(results.send(Input::Bound { token, result }).await),
                Err(panic) => warn!("BUG: binding panicked: {panic}"),
            }
        });
    }

    fn serve(&self, token: QuestionToken, question: Question) {
        let (chain, results) = (self.parts.chain.clone(), self.results.clone());
        tokio::spawn(async move {
            let answer = answer(&chain, question).await;
            let _ = results.send(Input::Served { token, answer }).await;
        });
    }

    /// Has the logic told what it may not have told peers, since it has missed events.
    fn tell_again(&self) {
        let (chain, results) = (self.parts.chain.clone(), self.results.clone());
        tokio::spawn(async move {
            // Errors mean that the node is ending.
            let Ok(events) = chain.read(|reader| perhaps_untold(reader.chain, now())).await else { return };
            let bodies = chain.bodies();
            for news in events.iter().filter_map(|event| news(event, &bodies)) {
                if results.send(Input::Untold(news)).await.is_err() {
                    return;
                }
            }
        });
    }

    fn tell(&mut self, notice: &Notice) {
        let height = self.parts.chain.state().borrow().height.0;
        let footing = &self.parts.footing;
        match notice {
            Notice::Standing(standing) => {
                footing.send_modify(|footing| {
                    *footing = Footing { standing: *standing, progress: None, ..*footing };
                });
                self.logged = None;
                match standing {
                    Standing::Current => info!(height, "level with the peers"),
                    Standing::Syncing => info!(height, "a peer has a heavier share chain: fetching it"),
                    Standing::Unknown => info!(height, "no peer says where it stands"),
                }
            }
            Notice::Progress(progress) => {
                footing.send_modify(|footing| footing.progress = Some(*progress));
                if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_PROGRESS) {
                    self.logged = Some(Instant::now());
                    let Progress { blocks, of, shares_a_second, left, .. } = *progress;
                    let left = left.map(|left| left.as_secs());
                    let bar = bar(blocks, of);
                    info!(blocks, of, shares_a_second, seconds_left = left, "syncing {bar}");
                }
            }
            Notice::Banned { peer, seconds, reason } => {
                warn!(peer = peer.0, seconds, reason, "a peer was sent away");
            }
            Notice::Ready { alone } => {
                footing.send_modify(|footing| footing.ready = true);
                if *alone {
                    warn!(
                        "ALARM: no peer could be reached, or none gave the chain that it claims; miners are served all the same, but perhaps nobody counts their shares"
                    );
                }
            }
            Notice::UnknownVersion(version) => {
                warn!(
                    version,
                    "ALARM: peers use rules that this program does not know: look for a newer release"
                );
            }
        }
    }
}

/// How far something is, for people.
fn bar(done: u32, of: u32) -> String {
    const WIDTH: u64 = 30;
    let filled = (WIDTH * u64::from(done)).checked_div(of.into()).unwrap_or(WIDTH).min(WIDTH);
    (0..WIDTH).map(|at| if at < filled { '#' } else { '.' }).collect()
}

/// The answer to a peer's question; none where the disk or the chain does not give it.
async fn answer(chain: &ChainHandle, question: Question) -> Option<Vec<u8>> {
    let Question::Blocks { from, ids } = question else {
        return chain.read(move |reader| serve::from_chain(reader.chain, &question)).await.ok().flatten();
    };
    let bodies = chain.bodies();
    let read = tokio::task::spawn_blocking(move || serve::from_bodies(&bodies, from, &ids)).await;
    match read {
        Ok(Ok(bytes)) => Some(bytes),
        Ok(Err(error)) => {
            warn!("bodies for a peer could not be read: {error}");
            None
        }
        Err(panic) => {
            warn!("BUG: reading bodies panicked: {panic}");
            None
        }
    }
}

/// Carries requests out one after the other, until there can be none any more or the chain stops.
async fn carry_out_all(
    chain: ChainHandle,
    mut requests: mpsc::Receiver<Request>,
    results: mpsc::Sender<Input>,
) -> Result<(), Stopped> {
    while let Some((token, request)) = requests.recv().await {
        let answer = carry_out(&chain, request).await?;
        if results.send(Input::Chain { token, answer }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// As [`super::carry::carry_out`], by the writer's handle.
async fn carry_out(chain: &ChainHandle, request: ChainRequest) -> Result<ChainAnswer, Stopped> {
    Ok(match request {
        ChainRequest::Submit(submission) => {
            let (span, source) = (debug_span!("share", id = %submission.share.id()), submission.source.0);
            let verdict = chain.judge(*submission).await?;
            span.in_scope(|| debug!(source, taken = verdict.is_ok(), "judged for a peer"));
            ChainAnswer::Submitted(verdict)
        }
        ChainRequest::Extend(blocks) => {
            let Extended { taken, refused } = chain.extend(blocks).await?;
            ChainAnswer::Extended { taken, refused }
        }
        ChainRequest::Headers(headers) => ChainAnswer::Headers(chain.add_headers(headers).await?),
        ChainRequest::BeginGraft(claim) => ChainAnswer::Begun(chain.begin_graft(claim).await?),
        ChainRequest::Adopt(tip) => ChainAnswer::Adopted(chain.adopt(tip).await?),
        ChainRequest::DropGraft => {
            chain.drop_graft().await?;
            ChainAnswer::Done
        }
        ChainRequest::Look(look) => chain.read(move |reader| look_up(reader.chain, look)).await?,
    })
}

#[cfg(test)]
mod tests {
    use super::bar;

    #[test]
    fn bars_are_as_long_as_what_is_done() {
        assert_eq!(bar(0, 7), ".".repeat(30));
        assert_eq!(bar(20_288, 40_576), format!("{}{}", "#".repeat(15), ".".repeat(15)));
        assert_eq!(bar(u32::MAX, u32::MAX), "#".repeat(30));
        assert_eq!(bar(3, 0), "#".repeat(30));
    }
}
