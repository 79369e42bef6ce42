//! One back end as a source of templates: asks, waits for news, asks again, and says how it went.
//!
//! Every back end has such a task at all times, so that the next one is warm when the first one fails.

use std::{pin::Pin, sync::Arc, time::Duration};

use bitcoin::BlockHash;
use sharechain::units::BitcoinHeight;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Backend, BackendError, Template, client::Timings, zmq::News};

/// How a source stands.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// Nothing asked yet.
    Starting,
    /// The last question was answered with this template.
    Alive(Arc<Template>),
    /// The last question was not.
    Failing(BackendError),
}

/// What a source says of itself.
#[derive(Clone, Debug)]
pub(super) struct SourceState {
    pub(super) condition: Condition,
    /// When it last gave a template.
    pub(super) last_answer: Option<Instant>,
}

impl SourceState {
    pub(super) const STARTING: Self = Self { condition: Condition::Starting, last_answer: None };

    pub(super) fn template(&self) -> Option<&Arc<Template>> {
        match &self.condition {
            Condition::Alive(template) => Some(template),
            Condition::Starting | Condition::Failing(_) => None,
        }
    }

    /// Height of the block that its template is for.
    pub(super) fn height(&self) -> Option<BitcoinHeight> {
        self.template().map(|template| template.height)
    }
}

/// The task of one back end.
pub(super) struct Source {
    pub(super) index: usize,
    pub(super) backend: Arc<dyn Backend>,
    /// The chain that it must be on, as [`ChainInfo::chain`](super::ChainInfo::chain) names it.
    pub(super) chain: String,
    pub(super) timings: Timings,
    pub(super) news: watch::Receiver<News>,
    /// States of all sources; this one writes its own.
    pub(super) states: watch::Sender<Vec<SourceState>>,
    /// Told when this source gives templates again, or on another tip: blocks that it did not take before may do now.
    pub(super) stirred: Arc<Notify>,
}

/// A long poll under way, and the tip that it waits to see replaced.
struct LongPoll {
    tip: BlockHash,
    since: Instant,
    answer: Pin<Box<dyn Future<Output = Result<Template, BackendError>> + Send>>,
}

impl Source {
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        cancel.run_until_cancelled(self.follow()).await;
    }

    async fn follow(&mut self) {
        let mut pause = self.timings.retry_first;
        loop {
            let error = match self.check_chain().await {
                Ok(()) => self.follow_while_alive(&mut pause).await,
                Err(error) => error,
            };
            self.publish(Condition::Failing(error));
            sleep(pause).await;
            pause = (pause * 2).min(self.timings.retry_most);
        }
    }

    /// Publishes template after template; returns why there is no further one.
    async fn follow_while_alive(&mut self, pause: &mut Duration) -> BackendError {
        let mut poll: Option<LongPoll> = None;
        let mut next: Option<Template> = None;
        let mut hold_off = false;
        loop {
            let template = match next.take() {
                Some(template) => template,
                None => match self.backend.template(None).await {
                    Ok(template) => template,
                    Err(error) => return error,
                },
            };
            *pause = self.timings.retry_first;
            // A poll on an older tip should have been answered: its connection may be dead. One on this tip is kept
            // even when it is not needed, for bitcoind holds a thread for it until the tip changes in any case.
            poll = poll.filter(|poll| poll.tip == template.prev_block);
            if poll.is_none() && !hold_off && !self.news.borrow().proven {
                poll = self.start_poll(&template);
            }
            let tip = template.prev_block;
            self.publish(Condition::Alive(Arc::new(template)));
            let patience = if hold_off { self.timings.retry_first } else { self.timings.refresh };
            hold_off = false;
            tokio::select! {
                (since, answer) = finished(&mut poll) => {
                    poll = None;
                    // An answer at once that tells nothing new: do not run in circles.
                    hold_off = since.elapsed() < self.timings.retry_first
                        && answer.as_ref().map_or(true, |template| template.prev_block == tip);
                    next = answer.ok();
                }
                () = changed(&mut self.news) => {}
                () = sleep(patience) => {}
            }
        }
    }

    fn start_poll(&self, template: &Template) -> Option<LongPoll> {
        let id = template.long_poll_id.clone()?;
        let backend = Arc::clone(&self.backend);
        let answer = Box::pin(async move { backend.template(Some(&id)).await });
        Some(LongPoll { tip: template.prev_block, since: Instant::now(), answer })
    }

    async fn check_chain(&self) -> Result<(), BackendError> {
        let info = self.backend.chain_info().await?;
        let found = if info.is_minable() {
            info.chain
        } else {
            format!("{} whose blocks need a signature", info.chain)
        };
        if found == self.chain {
            return Ok(());
        }
        let backend = self.backend.name().to_owned();
        Err(BackendError::WrongChain { backend, found, expected: self.chain.clone() })
    }

    fn publish(&self, condition: Condition) {
        let name = self.backend.name();
        self.states.send_modify(|states| {
            let Some(state) = states.get_mut(self.index) else { return };
            match (&state.condition, &condition) {
                (Condition::Alive(before), Condition::Alive(now)) => {
                    if before.prev_block != now.prev_block {
                        self.stirred.notify_one();
                    }
                }
                (_, Condition::Alive(template)) => {
                    info!(backend = name, height = template.height.0, "templates come in");
                    self.stirred.notify_one();
                }
                (Condition::Failing(before), Condition::Failing(now)) if before == now => {}
                (_, Condition::Failing(error)) => warn!(backend = name, "{error}"),
                (_, Condition::Starting) => {}
            }
            if let Condition::Alive(_) = condition {
                state.last_answer = Some(Instant::now());
            }
            state.condition = condition;
        });
    }
}

/// Waits for the poll to end, for ever if there is none.
async fn finished(poll: &mut Option<LongPoll>) -> (Instant, Result<Template, BackendError>) {
    match poll {
        Some(poll) => (poll.since, poll.answer.as_mut().await),
        None => std::future::pending().await,
    }
}

/// Waits for news, for ever if there is nobody to tell any.
async fn changed(news: &mut watch::Receiver<News>) {
    if news.changed().await.is_err() {
        std::future::pending().await
    }
}
