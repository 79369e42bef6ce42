//! One miner's session as a pure state machine: lines and jobs in, lines and found work out.
//!
//! It knows no socket and no clock. Answers come in the order of their requests and before any announcement that
//! is due with them; an announcement is a `mining.notify` with, where the difficulty differs from the one
//! announced before, one `mining.set_difficulty` directly in front. Announcements are composed only when they can be
//! written, so a slow reader gets the newest job and never a queue of old ones. What each method does is in `requests`.

mod requests;

pub(crate) use requests::MOST_USER_AGENT;

use super::account::Account;
use super::device::PayoutClasses;
use super::difficulty::Difficulty;
use super::memory::LastDifficulties;
use super::message::{self, Refusal};
use super::password::Wishes;
use super::served::{Due, Served, ServedJobs, most};
use super::sessions::{Place, Rest};
use super::submit::Found;
use super::trouble::{FirstSubmits, Measure, Refusals, Trouble};
use super::vardiff::Vardiff;
use crate::address::address_of;
use crate::work::fee::Fee;
use crate::work::job::{Job, JobIds};
use sharechain::owner::Owner;
use sharechain::params::Network;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// A job is announced again, as new work, when none came for this long: many devices give up on a silent pool. Another
/// comes every 25 s, unless the node cannot make any.
pub const KEEPALIVE: Duration = Duration::from_secs(28);
/// Lines that are no requests, one after the other, until the connection is given up.
const MOST_GARBAGE: u8 = 3;

/// What is the same for all sessions.
#[derive(Debug)]
pub struct SessionConfig {
    /// The network whose addresses are taken.
    pub network: Network,
    /// Who is credited for user names that are no addresses.
    pub default_owner: Option<Owner>,
    /// Which payout class each device gets.
    pub classes: PayoutClasses,
    /// Where ids for jobs that are announced again come from; the builder of jobs uses the same.
    pub ids: Arc<JobIds>,
    /// The port of this node's Stratum V2, whose standard channels suit devices of any size; none where there is none.
    pub stratum_v2: Option<u16>,
    /// The operator's fee, if there is one.
    pub fee: Option<Fee>,
    /// What is known of workers that were here before.
    pub memory: LastDifficulties,
}

impl SessionConfig {
    /// For these addresses and payout classes; everything else is left out.
    pub fn new(network: Network, classes: PayoutClasses, ids: Arc<JobIds>) -> Self {
        Self {
            network,
            default_owner: None,
            classes,
            ids,
            stratum_v2: None,
            fee: None,
            memory: LastDifficulties::default(),
        }
    }

    /// What those who mine for this owner are to be told of the operator's fee, if they pay one.
    pub(crate) fn fee_notice(&self, owner: &Owner) -> Option<String> {
        let fee = self.fee.as_ref().filter(|fee| fee.is_paid_by(owner))?;
        let to = address_of(fee.owner(), self.network);
        Some(format!("This node takes a fee: {fee} of your work is mined for {to}."))
    }
}

/// The present moment, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The clock that never jumps.
    pub instant: Instant,
    /// Seconds since 1970.
    pub unix: u32,
}

/// What whoever drives the session must do.
#[derive(Debug)]
pub enum Event {
    /// The miner has subscribed and authorized: get jobs for this owner and payout class and give them to
    /// [`Session::on_job`].
    Ready {
        /// Whom the work is for.
        owner: Owner,
        /// The payout class.
        class: u16,
    },
    /// Pass this on, before the answer is written. It does not depend on what the answer is.
    Found(Box<Found>),
    /// Write what there is and hang up.
    Close(Close),
}

/// Why a session ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// Too many lines made no sense.
    Garbage,
    /// All work has been refused for too long.
    Refused,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    /// Its place among all that are alive, with an extranonce of its own.
    pub(super) place: Place,
    subscribed: bool,
    user_agent: String,
    /// The difficulty of the session that it resumed.
    resumed: Option<Difficulty>,
    worker: Option<Worker>,
    pub(super) mask: u32,
    pub(super) vardiff: Vardiff,
    /// The highest difficulty that the present job allows.
    pub(super) most: Difficulty,
    /// The difficulty that the device asked for last, and the least that was demanded.
    asked: Option<Difficulty>,
    floor: Option<Difficulty>,
    /// Whether its first difficulty was its owner's wish or is remembered.
    known: bool,
    pub(super) job: Option<Arc<Job>>,
    due: Due,
    pub(super) jobs: ServedJobs,
    /// Whether the last of them is of this connection, and not of the one that it resumed.
    announced: bool,
    pub(super) account: Account,
    garbage: u8,
    first_submits: FirstSubmits,
    refusals: Refusals,
    /// Whether vardiff has had anything to count.
    measured: bool,
    replies: Vec<u8>,
    /// Notifications that are due after the answers.
    notices: Vec<u8>,
}

/// Who works here.
#[derive(Debug)]
struct Worker {
    owner: Owner,
    /// The user names, the one that was authorized first in front.
    names: Vec<String>,
    wishes: Wishes,
}

impl Session {
    /// A session that has not said anything yet.
    pub fn new(config: Arc<SessionConfig>, place: Place, now: Now) -> Self {
        Self {
            account: Account::new(config.fee.as_ref(), place.extranonce1()),
            config,
            place,
            subscribed: false,
            user_agent: String::new(),
            resumed: None,
            worker: None,
            mask: 0,
            vardiff: Vardiff::new(Difficulty::ONE, now.instant),
            most: Difficulty::MAX,
            asked: None,
            floor: None,
            known: false,
            job: None,
            due: Due::Nothing,
            jobs: ServedJobs::default(),
            announced: false,
            garbage: 0,
            first_submits: FirstSubmits::default(),
            refusals: Refusals::default(),
            measured: false,
            replies: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Takes one line, with or without its line end.
    pub fn on_line(&mut self, line: &[u8], now: Now) -> Option<Event> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return None;
        }
        match message::parse(line) {
            Ok(request) => {
                self.garbage = 0;
                self.on_request(&request, now)
            }
            Err(refusal) => {
                self.garbage += 1;
                message::write_refusal(&mut self.replies, Some("null"), "null", &refusal);
                (self.garbage >= MOST_GARBAGE).then_some(Event::Close(Close::Garbage))
            }
        }
    }

    /// A line was so long that it was not even looked at.
    pub fn on_long_line(&mut self) {
        let refusal = Refusal::NotARequest("a line has at most 8192 bytes");
        message::write_refusal(&mut self.replies, Some("null"), "null", &refusal);
    }

    /// There are no jobs for its owner, and will be none.
    pub fn on_no_room(&mut self) {
        let text = "This node mines for as many addresses as it can. Use one that it mines for already, or another node.";
        message::write_notice(&mut self.notices, "client.show_message", Some(text));
    }

    /// Takes the newest job.
    pub fn on_job(&mut self, job: Arc<Job>) {
        self.job = Some(self.account.choose(job, self.vardiff.difficulty()));
        self.due = Due::New;
    }

    /// To be called every two seconds or so.
    pub fn on_tick(&mut self, now: Now) -> Option<Close> {
        match self.refusals.on_tick(now.instant) {
            Measure::Nothing => {}
            Measure::Reconnect => self.send_away(),
            Measure::Close => return Some(Close::Refused),
        }
        let at = self.last_announced()?.at;
        let fell = self.vardiff.on_tick(now.instant);
        let silent = now.instant.saturating_duration_since(at) >= KEEPALIVE;
        if fell || silent {
            self.announce_again();
        }
        None
    }

    /// Asks the miner to connect again, to wherever it is set to.
    pub fn send_away(&mut self) {
        message::write_notice(&mut self.notices, "client.reconnect", None);
    }

    /// The connection has ended: what was learnt of the worker is kept for the next one, and what a device needs that
    /// comes back, unless that would only go on as before.
    pub fn end(self, may_resume: bool, now: Instant) {
        let name = self.worker.as_ref().and_then(|worker| worker.names.first());
        if let Some(name) = name.filter(|_| self.measured) {
            self.config.memory.remember(name, &self.user_agent, self.vardiff.difficulty());
        }
        if may_resume && self.jobs.last().is_some() {
            let Self { place, jobs, account, vardiff, .. } = self;
            place.leave(Rest { jobs, account, difficulty: vardiff.difficulty(), since: now });
        }
    }

    /// Whether the miner has said who it is and can be given work.
    pub const fn is_ready(&self) -> bool {
        self.subscribed && self.worker.is_some()
    }

    /// Bytes of answers that wait to be taken.
    pub const fn waiting(&self) -> usize {
        self.replies.len()
    }

    /// Moves everything that is to be written to the end of `out`: the answers, then messages, then an announcement if
    /// one is due.
    pub fn take_output(&mut self, out: &mut Vec<u8>, now: Now) {
        out.append(&mut self.replies);
        out.append(&mut self.notices);
        if self.is_ready() && self.due != Due::Nothing {
            self.announce(out, now);
        }
    }

    /// Tells the device, and the log.
    fn tell(&mut self, trouble: Trouble) {
        message::write_notice(&mut self.notices, "client.show_message", Some(&trouble.to_string()));
        warn!(remote = %self.place.record.visitor().remote, "{trouble}");
    }

    /// What was announced last on this connection.
    fn last_announced(&self) -> Option<&Served> {
        self.jobs.last().filter(|_| self.announced)
    }

    fn announce_again(&mut self) {
        if self.due == Due::Nothing && self.announced {
            self.due = Due::Again;
        }
    }

    fn announce(&mut self, out: &mut Vec<u8>, now: Now) {
        let due = std::mem::replace(&mut self.due, Due::Nothing);
        let Some(job) = self.job.clone() else { return };
        // Work again under the same id or time would be work done twice.
        let before = match due {
            Due::Again => self.jobs.last(),
            // The one it had before it came back.
            _ if !self.announced => self.jobs.last_of(&job),
            _ => None,
        };
        let (id, time) = match before {
            Some(before) => (self.config.ids.next(), now.unix.max(before.time.saturating_add(1))),
            None => (job.id(), job.header().time),
        };
        if time > job.max_time() {
            return;
        }
        if !self.announced {
            self.vardiff.restart(now.instant);
        }
        self.most = most(&job);
        self.vardiff.limit(self.most, now.instant);
        let difficulty = self.vardiff.difficulty();
        let last = self.last_announced();
        let moved = last.is_none_or(|last| last.job.header().prev_block != job.header().prev_block);
        if last.is_none_or(|last| last.difficulty != difficulty) {
            message::write_difficulty(out, difficulty);
        }
        self.place.record.on_work(difficulty, now.instant);
        job.write_notify(id, time, moved, out);
        self.announced = true;
        let (mask, at) = (self.mask, now.instant);
        self.jobs.push(Served { id, job, time, difficulty, mask, extranonce: None, at });
    }
}

#[cfg(test)]
mod tests;
