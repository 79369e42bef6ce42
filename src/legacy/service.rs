//! What each request does: who asks, what for, and the answer.
//!
//! From the last byte that counts of a submission to the node's queue there is nothing to wait for, so a miner that hangs up
//! at once loses nothing. Where the queue is full, the share waits for room whether or not its miner does.

use super::answer::{LONG_POLL_PATH, Pieces, ROLL_SECONDS, Refused, Reply, refusal};
use super::body::Received;
use super::call::{Call, Form};
use super::getwork::WorkForm;
use super::login::Asker;
use super::server::{Limits, Server};
use super::submission::Submission;
use super::template::{self, Lists};
use super::worker::{Rejection, Work};
use super::workers::{Entry, Workers};
use crate::stratum::harvest::Harvest;
use crate::stratum::seats::Seat;
use crate::stratum::server::{House, now};
use crate::stratum::visitor::Visitor;
use crate::work::job::{Job, JobId, JobIds};
use crate::work::outbox::Outbox;
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderName;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

const X_LONG_POLLING: HeaderName = HeaderName::from_static("x-long-polling");
const X_ROLL_NTIME: HeaderName = HeaderName::from_static("x-roll-ntime");
const X_REJECT_REASON: HeaderName = HeaderName::from_static("x-reject-reason");
/// Of our own: who pays a fee shall know it.
const X_FEE: HeaderName = HeaderName::from_static("x-fee");

/// Who is at the other end of a connection.
#[derive(Clone)]
pub(super) struct Caller {
    /// Where it is.
    pub(super) visitor: Visitor,
    /// The connection's place, held as long as anything of it waits.
    pub(super) seat: Arc<Seat>,
}

/// Answers requests.
pub(super) struct Service {
    workers: Workers,
    ids: Arc<JobIds>,
    outbox: Outbox,
    open: watch::Receiver<bool>,
    limits: Limits,
    lists: Lists,
    /// Has the shares that wait for room.
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Service {
    pub(super) fn new(server: &Server, tasks: TaskTracker, shutdown: CancellationToken) -> Self {
        let Server { config, house, limits } = server;
        let House { work, sessions, outbox, open, .. } = house;
        Self {
            workers: Workers::new(Arc::clone(config), Arc::clone(work), sessions.clone()),
            ids: Arc::clone(&config.ids),
            outbox: outbox.clone(),
            open: open.clone(),
            limits: *limits,
            lists: Lists::default(),
            tasks,
            shutdown,
        }
    }

    /// Forgets workers that are gone.
    pub(super) fn on_tick(&self) {
        self.workers.on_tick(now().instant);
    }

    /// Answers one request.
    pub(super) async fn answer(&self, caller: Caller, request: Request<Incoming>) -> Response<Pieces> {
        let (head, body) = request.into_parts();
        let mut body = Received::new(body, self.limits.body);
        let reply = self.try_answer(&caller, &head, &mut body).await;
        let id = body.id().await;
        reply.map(|reply| reply.under(&id)).unwrap_or_else(|why| {
            debug!(remote = %caller.visitor.remote, "request refused: {why}");
            refusal(&id, &why)
        })
    }

    async fn try_answer(
        &self,
        caller: &Caller,
        head: &Parts,
        body: &mut Received<Incoming>,
    ) -> Result<Reply, Refused> {
        let asker = Asker::read(caller.visitor, &head.headers).ok_or(Refused::NoLogin)?;
        let is_long_poll = head.uri.path() == LONG_POLL_PATH;
        let call = if head.method == Method::GET && is_long_poll {
            Call::Getwork { waits: true }
        } else if head.method == Method::POST {
            body.call(is_long_poll).await?
        } else {
            return Err(Refused::NotPost);
        };
        match call {
            Call::Getwork { waits } => self.getwork(&asker, waits).await,
            Call::Template { known } => self.template(&asker, known).await,
            Call::Proposal(proposal) => Ok(self.check(&asker, &proposal)),
            Call::Solved(solved, form) => self.take(caller, &asker, solved, form).await,
        }
    }

    async fn getwork(&self, asker: &Asker, waits: bool) -> Result<Reply, Refused> {
        let entry = self.workers.for_work(asker, now().instant)?;
        let known = if waits { entry.worker().last_news() } else { None };
        let work = self.work(&entry, known).await?;
        let form = serde_json::to_vec(&WorkForm::new(&work)).unwrap_or_default();
        let reply = Reply::new([Bytes::from(form)])
            .with(X_LONG_POLLING, LONG_POLL_PATH)
            .with(X_ROLL_NTIME, format!("expire={ROLL_SECONDS}"));
        Ok(telling_of_fee(reply, &entry))
    }

    async fn template(&self, asker: &Asker, known: Option<JobId>) -> Result<Reply, Refused> {
        let entry = self.workers.for_work(asker, now().instant)?;
        let work = self.work(&entry, known).await?;
        let list = self.lists.of(work.served.job.template()).await.ok_or(Refused::NoWork)?;
        Ok(telling_of_fee(Reply::new(template::result(&work, list, now())), &entry))
    }

    /// Judges a block that was not mined (BIP23).
    fn check(&self, asker: &Asker, proposal: &Submission) -> Reply {
        let now = now();
        let answer = match self.workers.known(asker, now.instant) {
            Some(entry) => entry.worker().check(proposal, entry.newest().as_deref(), now),
            None => Err(Rejection::UnknownWork),
        };
        Form::Submitblock.reply(answer)
    }

    /// Takes what a miner has solved. Whatever becomes of the miner, this is judged.
    async fn take(
        &self,
        caller: &Caller,
        asker: &Asker,
        solved: Result<Submission, String>,
        form: Form,
    ) -> Result<Reply, Refused> {
        let entry = self.workers.known(asker, now().instant);
        let answer = match (entry, solved) {
            (Some(entry), Ok(submission)) => self.submit(caller, &entry, &submission).await,
            (None, Ok(_)) => Err(Rejection::UnknownWork),
            (entry, Err(why)) => {
                if let Some(entry) = entry {
                    entry.worker().refuse(now().instant);
                }
                return Err(Refused::Unreadable(why));
            }
        };
        Ok(form.reply(answer))
    }

    /// A new piece of work: at once, or when there is another job than the one `known`.
    async fn work(&self, entry: &Entry, known: Option<JobId>) -> Result<Work, Refused> {
        if !*self.open.borrow() {
            return Err(Refused::NoWork);
        }
        let job = match entry.newest().filter(|job| Some(job.id()) != known) {
            Some(job) => job,
            None => {
                let _permit = match known {
                    Some(_) => {
                        entry.polls.try_acquire().map(Some).map_err(|_| Refused::TooMany("long polls"))?
                    }
                    None => None,
                };
                let patience = if known.is_some() { self.limits.long_poll } else { self.limits.first_job };
                self.wait_for_job(entry, known, patience).await?
            }
        };
        Ok(entry.worker().serve(job, self.ids.next(), now()))
    }

    /// Another job than the one known, or that one if no other comes.
    async fn wait_for_job(
        &self,
        entry: &Entry,
        known: Option<JobId>,
        patience: Duration,
    ) -> Result<Arc<Job>, Refused> {
        let (mut jobs, mut open) = (entry.jobs.clone(), self.open.clone());
        let is_new = |job: &Option<Arc<Job>>| job.as_ref().is_some_and(|job| Some(job.id()) != known);
        tokio::select! {
            () = self.shutdown.cancelled() => Err(Refused::NoWork),
            _ = open.wait_for(|open| !open) => Err(Refused::NoWork),
            job = timeout(patience, jobs.wait_for(is_new)) => match job {
                Ok(Ok(job)) => Ok(job.clone()),
                Ok(Err(_)) => Err(Refused::NoWork),
                Err(_) => Ok(entry.newest()),
            },
        }?
        .ok_or(Refused::NoWork)
    }

    /// Judges a submission and passes on what was found.
    async fn submit(&self, caller: &Caller, entry: &Entry, submission: &Submission) -> Result<(), Rejection> {
        let newest = entry.newest();
        let (found, answer) = entry.worker().submit(submission, newest.as_deref(), now());
        let mut harvest = Harvest::new(self.outbox.clone());
        if let Some(found) = found {
            harvest.pass_on(found);
        }
        if harvest.is_waiting() {
            // The miner waits with its share; the share does not leave with the miner.
            let seat = Arc::clone(&caller.seat);
            let passed_on = self.tasks.spawn(async move {
                harvest.finish().await;
                drop(seat);
            });
            let _ = passed_on.await;
        }
        answer
    }
}

impl Form {
    fn reply(self, answer: Result<(), Rejection>) -> Reply {
        let reason = answer.err().map(|rejection| rejection.to_string());
        match (self, reason) {
            (Self::Submitblock, reason) => Reply::new([Bytes::from(Value::from(reason).to_string())]),
            (Self::Getwork, None) => Reply::new([Bytes::from_static(b"true")]),
            (Self::Getwork, Some(reason)) => {
                Reply::new([Bytes::from_static(b"false")]).with(X_REJECT_REASON, reason)
            }
        }
    }
}

fn telling_of_fee(reply: Reply, entry: &Entry) -> Reply {
    match &entry.fee_notice {
        Some(notice) => reply.with(X_FEE, notice),
        None => reply,
    }
}
