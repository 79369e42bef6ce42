//! What each request does: who asks, what for, and the answer.
//!
//! From the last byte of a submission to the node's queue there is nothing to wait for, so a miner that hangs up at once
//! loses nothing. Where the queue is full, the share waits for room whether or not its miner does.

use super::answer::{LONG_POLL_PATH, Pieces, ROLL_SECONDS, Refused, refusal, result};
use super::getwork::{self, WorkForm};
use super::login::{Login, user_agent};
use super::server::{Limits, Server};
use super::submission::Submission;
use super::template::{self, Lists, Wanted};
use super::worker::{Rejection, Work};
use super::workers::{Entry, Workers};
use crate::stratum::harvest::Harvest;
use crate::stratum::message::{self, Params};
use crate::stratum::server::{House, now};
use crate::stratum::session::MOST_USER_AGENT;
use crate::stratum::visitor::Visitor;
use crate::work::job::{Job, JobId, JobIds};
use crate::work::outbox::Outbox;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::debug;

/// Bytes of a request's body: a full block in hexadecimal digits, and what is said around it.
const MAX_BODY: usize = 8_100_000;
/// Bytes of a body that is read whoever else is heard; of longer ones only so many at once.
const MAX_SMALL_BODY: usize = 8 * 1024;
const MAX_LARGE_BODIES: usize = 4;

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
    pub(super) place: Arc<OwnedSemaphorePermit>,
}

/// Answers requests.
pub(super) struct Service {
    workers: Workers,
    ids: Arc<JobIds>,
    outbox: Outbox,
    open: watch::Receiver<bool>,
    limits: Limits,
    lists: Arc<Lists>,
    large_bodies: Semaphore,
    /// Has the shares that wait for room.
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// The parameters of `submitblock` besides the block.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SubmitOptions {
    workid: Option<String>,
}

type Answer = Result<Response<Pieces>, Refused>;

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
            lists: Arc::default(),
            large_bodies: Semaphore::new(MAX_LARGE_BODIES),
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
        let mut id = "null".to_owned();
        let answer = self.try_answer(&caller, request, &mut id).await;
        answer.unwrap_or_else(|why| {
            debug!(remote = %caller.visitor.remote, "request refused: {why}");
            refusal(&id, &why)
        })
    }

    /// `id` becomes that of the call as soon as it is known.
    async fn try_answer(&self, caller: &Caller, request: Request<Incoming>, id: &mut String) -> Answer {
        let login = Login::read(request.headers()).ok_or(Refused::NoLogin)?;
        let agent = user_agent(request.headers(), MOST_USER_AGENT);
        let is_long_poll = request.uri().path() == LONG_POLL_PATH;
        let is_get = request.method() == Method::GET;
        if !(request.method() == Method::POST || is_get && is_long_poll) {
            return Err(Refused::NotPost);
        }
        let body = self.read(request.into_body()).await?;
        let entry = self.workers.at_request(caller.visitor, login, agent, now().instant)?;
        if is_get {
            return self.getwork(&entry, id, true).await;
        }
        let call = message::parse(body.trim_ascii()).map_err(|_| Refused::NoCall)?;
        call.id.unwrap_or("null").clone_into(id);
        match call.method.as_deref().unwrap_or("") {
            "getwork" => match call.params.text(0) {
                None if call.params.raw(0).is_none() => self.getwork(&entry, id, is_long_poll).await,
                digits => self.submit_data(caller, &entry, digits.as_deref().unwrap_or(""), id).await,
            },
            "getblocktemplate" => self.getblocktemplate(&entry, &call.params, id).await,
            "submitblock" => self.submitblock(caller, &entry, &call.params, id).await,
            other => Err(Refused::NoMethod(message::Refusal::unsupported(other).to_string())),
        }
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Refused> {
        let is_small = body.size_hint().upper().is_some_and(|most| most <= MAX_SMALL_BODY as u64);
        let read = async {
            let permit = if is_small { None } else { self.large_bodies.acquire().await.ok() };
            let body = Limited::new(body, MAX_BODY).collect().await;
            drop(permit);
            // The limit is the only error of the body that is not the connection's.
            body.map_err(|error| if error.is::<hyper::Error>() { Refused::NoBody } else { Refused::TooLong })
        };
        let read = timeout(self.limits.body, read).await.map_err(|_| Refused::NoBody)?;
        Ok(read?.to_bytes())
    }

    async fn getwork(&self, entry: &Entry, id: &str, waits: bool) -> Answer {
        let known = if waits { entry.worker().last_news() } else { None };
        let work = self.work(entry, known).await?;
        let form = serde_json::to_vec(&WorkForm::new(&work)).unwrap_or_default();
        let mut response = result(id, [Bytes::from(form)]);
        response.headers_mut().insert(X_LONG_POLLING, HeaderValue::from_static(LONG_POLL_PATH));
        set(&mut response, X_ROLL_NTIME, &format!("expire={ROLL_SECONDS}"));
        tell_of_fee(&mut response, entry);
        Ok(response)
    }

    async fn submit_data(&self, caller: &Caller, entry: &Entry, digits: &str, id: &str) -> Answer {
        let submission = getwork::read(digits).map_err(|error| unreadable(entry, &error))?;
        let answer = self.submit(caller, entry, &submission).await;
        let mut response = result(id, [Bytes::from(answer.is_ok().to_string())]);
        if let Err(rejection) = answer {
            set(&mut response, X_REJECT_REASON, &rejection.to_string());
        }
        Ok(response)
    }

    async fn getblocktemplate(&self, entry: &Entry, params: &Params<'_>, id: &str) -> Answer {
        let wanted: Wanted = params
            .raw(0)
            .map_or(Ok(Wanted::default()), serde_json::from_str)
            .map_err(|error| Refused::BadParams(format!("The template request cannot be read: {error}")))?;
        if wanted.mode.as_deref() == Some("proposal") {
            return propose(entry, &wanted, id);
        }
        if let Some(objection) = wanted.objection() {
            return Err(Refused::BadParams(objection.to_owned()));
        }
        let known = wanted.long_poll_id.as_deref().and_then(|id| id.parse().ok());
        let work = self.work(entry, known).await?;
        let (lists, template) = (Arc::clone(&self.lists), Arc::clone(work.served.job.template()));
        let list = tokio::task::spawn_blocking(move || lists.of(&template)).await;
        let list = list.map_err(|_| Refused::NoWork)?;
        let mut response = result(id, template::result(&work, list, now()));
        tell_of_fee(&mut response, entry);
        Ok(response)
    }

    async fn submitblock(&self, caller: &Caller, entry: &Entry, params: &Params<'_>, id: &str) -> Answer {
        let digits = params
            .text(0)
            .ok_or_else(|| Refused::BadParams("submitblock takes a block in hexadecimal digits".into()))?;
        let options: Option<SubmitOptions> =
            params.raw(1).map_or(Ok(None), serde_json::from_str).map_err(|error| {
                Refused::BadParams(format!("The parameters of submitblock cannot be read: {error}"))
            })?;
        let work_id = options.and_then(|options| options.workid);
        let submission = Submission::read(&digits, work_id.as_deref().and_then(|id| id.parse().ok()))
            .map_err(|error| unreadable(entry, &error))?;
        let answer = self.submit(caller, entry, &submission).await;
        Ok(result(id, [verdict(answer)]))
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
            let place = Arc::clone(&caller.place);
            let passed_on = self.tasks.spawn(async move {
                harvest.finish().await;
                drop(place);
            });
            let _ = passed_on.await;
        }
        answer
    }
}

/// Sets a header; the text must be one that HTTP allows, as all of ours are.
fn set(response: &mut Response<Pieces>, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        response.headers_mut().insert(name, value);
    }
}

fn tell_of_fee(response: &mut Response<Pieces>, entry: &Entry) {
    if let Some(notice) = &entry.fee_notice {
        set(response, X_FEE, notice);
    }
}

/// Judges a block that was not mined (BIP23).
fn propose(entry: &Entry, wanted: &Wanted, id: &str) -> Answer {
    let work_id = wanted.work_id.as_deref().and_then(|id| id.parse().ok());
    let submission = Submission::read(wanted.data.as_deref().unwrap_or(""), work_id)
        .map_err(|error| Refused::Unreadable(error.to_string()))?;
    let newest = entry.newest();
    let answer = entry.worker().check(&submission, newest.as_deref(), now());
    Ok(result(id, [verdict(answer)]))
}

/// Null, or what is wrong.
fn verdict(answer: Result<(), Rejection>) -> Bytes {
    match answer {
        Ok(()) => Bytes::from_static(b"null"),
        Err(rejection) => Bytes::from(serde_json::Value::from(rejection.to_string()).to_string()),
    }
}

/// Counts a submission that is none.
fn unreadable(entry: &Entry, error: &impl ToString) -> Refused {
    entry.worker().refuse(now().instant);
    Refused::Unreadable(error.to_string())
}
