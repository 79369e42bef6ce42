//! One miner's session as a pure state machine: lines and jobs in, lines and found work out.
//!
//! It knows no socket and no clock. Answers come in the order of their requests and before any announcement that
//! is due with them; an announcement is a `mining.notify` with, where the difficulty differs from the one
//! announced before, one `mining.set_difficulty` directly in front. Announcements are composed only when they can be
//! written, so a slow reader gets the newest job and never a queue of old ones.

use super::configure::configure;
use super::difficulty::Difficulty;
use super::message::{self, Params, Refusal, Request};
use super::served::{SeenShares, Served, ServedJobs};
use super::stats::SessionStats;
use super::submit::{self, Found, Judged, Submit};
use super::user::{UserError, owner_of};
use super::vardiff::Vardiff;
use crate::work::job::{Job, JobIds};
use bitcoin::BlockHash;
use sharechain::owner::Owner;
use sharechain::params::Network;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that the miner counts in the extranonce.
pub const EXTRANONCE2_SIZE: usize = 8;
/// A job is announced again, as new work, when none came for this long: many devices give up on a silent pool.
pub const KEEPALIVE: Duration = Duration::from_secs(28);
/// Lines that are no requests, one after the other, until the connection is given up.
const MOST_GARBAGE: u8 = 3;
/// User names that are remembered; the work of others is looked at more slowly.
const MOST_NAMES: usize = 16;
const MOST_USER_AGENT: usize = 64;

/// What is the same for all sessions.
#[derive(Debug)]
pub struct SessionConfig {
    /// The network whose addresses are taken.
    pub network: Network,
    /// Who is credited for user names that are no addresses.
    pub default_owner: Option<Owner>,
    /// The payout class of the jobs.
    pub class: u16,
    /// Where ids for jobs that are announced again come from; the builder of jobs uses the same.
    pub ids: Arc<JobIds>,
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
    /// Get jobs for this owner and payout class and give them to [`Session::on_job`].
    Authorized {
        /// Whom the work is for.
        owner: Owner,
        /// The payout class.
        class: u16,
    },
    /// Pass this on, before the answer is written. It does not depend on what the answer is.
    Found(Box<Found>),
    /// Write what there is and hang up.
    Close,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    config: Arc<SessionConfig>,
    stats: Arc<SessionStats>,
    pub(super) extranonce1: [u8; 4],
    subscribed: bool,
    worker: Option<Worker>,
    pub(super) mask: u32,
    pub(super) vardiff: Vardiff,
    /// The highest difficulty that the present job allows.
    pub(super) most: Difficulty,
    /// The difficulty that the miner asked for last.
    asked: Option<Difficulty>,
    pub(super) job: Option<Arc<Job>>,
    due: Due,
    announced: Option<Announced>,
    pub(super) jobs: ServedJobs,
    pub(super) seen: SeenShares,
    garbage: u8,
    replies: Vec<u8>,
}

/// Who works here.
#[derive(Debug)]
struct Worker {
    owner: Owner,
    names: Vec<String>,
}

/// What was announced last.
#[derive(Clone, Copy, Debug)]
struct Announced {
    difficulty: Difficulty,
    prev_block: BlockHash,
    at: Instant,
}

/// What is to be announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    /// A job that the miner does not have.
    New,
    /// The job that it has, as new work.
    Again,
}

impl Session {
    /// A session that has not said anything yet. `extranonce1` is its own among all that are alive.
    pub fn new(config: Arc<SessionConfig>, stats: Arc<SessionStats>, extranonce1: [u8; 4], now: Now) -> Self {
        Self {
            config,
            stats,
            extranonce1,
            subscribed: false,
            worker: None,
            mask: 0,
            vardiff: Vardiff::new(Difficulty::ONE, now.instant),
            most: Difficulty::MAX,
            asked: None,
            job: None,
            due: Due::Nothing,
            announced: None,
            jobs: ServedJobs::default(),
            seen: SeenShares::default(),
            garbage: 0,
            replies: Vec::new(),
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
                (self.garbage >= MOST_GARBAGE).then_some(Event::Close)
            }
        }
    }

    /// A line was so long that it was not even looked at.
    pub fn on_long_line(&mut self) {
        let refusal = Refusal::NotARequest("a line has at most 8192 bytes");
        message::write_refusal(&mut self.replies, Some("null"), "null", &refusal);
    }

    /// Takes the newest job.
    pub fn on_job(&mut self, job: Arc<Job>) {
        self.job = Some(job);
        self.due = Due::New;
    }

    /// To be called every two seconds or so.
    pub fn on_tick(&mut self, now: Now) {
        let Some(announced) = self.announced else { return };
        let fell = self.vardiff.on_tick(now.instant);
        let silent = now.instant.saturating_duration_since(announced.at) >= KEEPALIVE;
        if fell || silent {
            self.announce_again();
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

    /// Moves everything that is to be written to the end of `out`: the answers, then an announcement if one is due.
    pub fn take_output(&mut self, out: &mut Vec<u8>, now: Now) {
        out.append(&mut self.replies);
        if self.is_ready() && self.due != Due::Nothing {
            self.announce(out, now);
        }
    }

    fn announce_again(&mut self) {
        if self.due == Due::Nothing && self.announced.is_some() {
            self.due = Due::Again;
        }
    }

    fn announce(&mut self, out: &mut Vec<u8>, now: Now) {
        let due = std::mem::replace(&mut self.due, Due::Nothing);
        let Some(job) = self.job.clone() else { return };
        // Work again under the same id or time would be work done twice.
        let (id, time) = match self.jobs.last() {
            Some(last) if due == Due::Again => {
                (self.config.ids.next(), now.unix.max(last.time.saturating_add(1)))
            }
            _ => (job.id(), job.header().time),
        };
        if time > job.max_time() {
            return;
        }
        if self.announced.is_none() {
            self.vardiff.restart(now.instant);
        }
        let targets = job.targets();
        self.most = [targets.network, targets.block, targets.share]
            .into_iter()
            .map(Difficulty::within)
            .min()
            .unwrap_or(Difficulty::MIN);
        self.vardiff.limit(self.most, now.instant);
        let difficulty = self.vardiff.difficulty();
        if self.announced.is_none_or(|announced| announced.difficulty != difficulty) {
            message::write_difficulty(out, difficulty);
            self.stats.set_difficulty(difficulty);
        }
        let prev_block = job.header().prev_block;
        let moved = self.announced.is_none_or(|announced| announced.prev_block != prev_block);
        job.write_notify(id, time, moved || (due == Due::New && job.clean()), out);
        self.announced = Some(Announced { difficulty, prev_block, at: now.instant });
        let (mask, at) = (self.mask, now.instant);
        self.jobs.push(Served { id, job, time, difficulty, mask, extranonce: None, at });
    }

    fn on_request(&mut self, request: &Request<'_>, now: Now) -> Option<Event> {
        let Request { id, method, params } = request;
        // A line without a method answers something: nothing that is sent here asks.
        let method = method.as_deref()?;
        let mut event = None;
        let result = match method {
            "mining.submit" => return self.on_submit(*id, params, now),
            "mining.subscribe" => Ok(self.on_subscribe(params, now)),
            "mining.configure" => self.on_configure(params, now),
            "mining.suggest_difficulty" => self.on_suggest_difficulty(params, now),
            "mining.authorize" => self.on_authorize(params, now).map(|first| {
                event = first;
                "true".into()
            }),
            // Some firmware answers a ping, which is never sent, with this method.
            "pong" => return None,
            _ => Err(Refusal::unsupported(method)),
        };
        match result {
            Ok(result) => message::write_result(&mut self.replies, *id, &result),
            Err(refusal) => {
                let result = if method == "mining.authorize" { "false" } else { "null" };
                message::write_refusal(&mut self.replies, *id, result, &refusal);
            }
        }
        event
    }

    fn on_submit(&mut self, id: Option<&str>, params: &Params<'_>, now: Now) -> Option<Event> {
        let (found, answer) = match self.judge_submit(params, now) {
            Ok(Judged { found, answer, .. }) => (found, answer),
            Err(refusal) => (None, Err(refusal)),
        };
        self.stats.count(answer.is_ok());
        match answer {
            Ok(()) => message::write_result(&mut self.replies, id, "true"),
            Err(refusal) => message::write_refusal(&mut self.replies, id, "null", &refusal),
        }
        found.map(|found| Event::Found(Box::new(found)))
    }

    fn judge_submit(&mut self, params: &Params<'_>, now: Now) -> Result<Judged, Refusal> {
        if !self.subscribed {
            return Err(Refusal::NotSubscribed);
        }
        if self.worker.is_none() {
            return Err(Refusal::Unauthorized);
        }
        let submit = Submit::read(params)?;
        let mut judged = submit::judge(self, &submit, now)?;
        judged.answer = judged.answer.and_then(|()| self.check_name(&submit.worker));
        let counts = judged.answer.is_ok() && judged.meets_present;
        if counts && self.vardiff.on_share(self.most, now.instant) {
            self.announce_again();
        }
        Ok(judged)
    }

    fn on_subscribe(&mut self, params: &Params<'_>, now: Now) -> String {
        if let Some(agent) = params.text(0) {
            let agent: String = agent.chars().filter(|c| !c.is_control()).take(MOST_USER_AGENT).collect();
            if self.asked.is_none() && self.announced.is_none() {
                self.vardiff = Vardiff::new(start_difficulty(&agent), now.instant);
            }
            self.stats.set_who(|who| who.user_agent = agent);
        }
        self.subscribed = true;
        let extranonce1 = format!("{:08x}", u32::from_be_bytes(self.extranonce1));
        format!(
            "[[[\"mining.set_difficulty\",\"{extranonce1}\"],[\"mining.notify\",\"{extranonce1}\"]],\
             \"{extranonce1}\",{EXTRANONCE2_SIZE}]"
        )
    }

    fn on_configure(&mut self, params: &Params<'_>, now: Now) -> Result<String, Refusal> {
        let granted = configure(params)?;
        if let Some(mask) = granted.mask {
            self.mask = mask;
        }
        if let Some(difficulty) = granted.minimum_difficulty.and_then(Difficulty::at_most) {
            self.ask(difficulty, now);
        }
        Ok(granted.result)
    }

    fn on_suggest_difficulty(&mut self, params: &Params<'_>, now: Now) -> Result<String, Refusal> {
        let difficulty = params
            .number(0)
            .and_then(Difficulty::at_most)
            .ok_or(Refusal::BadParams("mining.suggest_difficulty takes a number above 0"))?;
        self.ask(difficulty, now);
        Ok("true".into())
    }

    /// Some devices repeat their wish every half minute to keep the connection alive; only a new one counts.
    fn ask(&mut self, difficulty: Difficulty, now: Now) {
        if self.asked != Some(difficulty) {
            self.asked = Some(difficulty);
            self.vardiff.suggest(difficulty, now.instant);
            self.announce_again();
        }
    }

    fn on_authorize(&mut self, params: &Params<'_>, now: Now) -> Result<Option<Event>, Refusal> {
        let user = params.text(0).ok_or(Refusal::BadParams("mining.authorize takes a user name"))?;
        let user = user.trim();
        let owner = owner_of(user, self.config.network, self.config.default_owner)?;
        match &mut self.worker {
            Some(worker) if worker.owner != owner => return Err(UserError::OtherOwner.into()),
            Some(worker) => {
                if worker.names.len() < MOST_NAMES && !worker.names.iter().any(|name| name == user) {
                    worker.names.push(user.to_owned());
                }
                return Ok(None);
            }
            None => {}
        }
        self.worker = Some(Worker { owner, names: vec![user.to_owned()] });
        self.stats.set_who(|who| {
            who.user = user.chars().filter(|c| !c.is_control()).collect();
            who.owner = Some(owner);
        });
        if let Some(difficulty) = params.text(1).as_deref().and_then(password_difficulty) {
            self.ask(difficulty, now);
        }
        Ok(Some(Event::Authorized { owner, class: self.config.class }))
    }

    /// Any worker of the same owner may submit.
    fn check_name(&self, name: &str) -> Result<(), Refusal> {
        let name = name.trim();
        let worker = self.worker.as_ref().ok_or(Refusal::Unauthorized)?;
        if worker.names.iter().any(|known| known == name) {
            return Ok(());
        }
        match owner_of(name, self.config.network, self.config.default_owner) {
            Ok(owner) if owner == worker.owner => Ok(()),
            _ => Err(Refusal::Unauthorized),
        }
    }
}

/// Difficulty to begin with, by the name that the mining program gives itself. Vardiff rises at once from one that is
/// too low, but needs half a minute for each step down.
fn start_difficulty(user_agent: &str) -> Difficulty {
    const STARTS: &[(&str, i32)] = &[
        ("nerdminer", -13),
        ("commonwork", -10),
        ("cpuminer", -10),
        ("bitaxe", 9),
        ("antminer", 14),
        ("bmminer", 14),
        ("bosminer", 14),
        ("whatsminer", 14),
    ];
    let agent = user_agent.to_ascii_lowercase();
    let exponent = STARTS.iter().find(|(name, _)| agent.contains(name)).map_or(0, |(_, exponent)| *exponent);
    Difficulty::power_of_two(exponent)
}

/// The difficulty asked for by `d=…` among the parts of a password.
fn password_difficulty(password: &str) -> Option<Difficulty> {
    let mut parts = password.split([',', ';', ' ']);
    let value = parts.find_map(|part| part.trim().strip_prefix("d="))?;
    value.parse().ok().and_then(Difficulty::at_most)
}

#[cfg(test)]
mod tests;
