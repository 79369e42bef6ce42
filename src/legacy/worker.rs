//! One worker: what a miner was given, and what it hands in. Pure: no socket, no clock.
//!
//! A request over HTTP has no connection to hold on to, so a worker is a name at an address. Whatever it asks for is
//! work of its own: each answer has an extranonce that no other has, so that a miner need not change the coinbase.

use super::submission::Submission;
use crate::stratum::account::Account;
use crate::stratum::configure::VERSION_MASK;
use crate::stratum::difficulty::Difficulty;
use crate::stratum::record::{Accepted, Reason};
use crate::stratum::served::{MAX_AGE, Served, most};
use crate::stratum::session::Now;
use crate::stratum::sessions::Place;
use crate::stratum::submit::{Fault, Found, untimely, weigh};
use crate::stratum::trouble::{Measure, Refusals};
use crate::stratum::vardiff::Vardiff;
use crate::work::fee::Fee;
use crate::work::job::{Job, JobId, Solution};
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use sharechain::share::Extranonce;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most pieces of work that a worker may be at.
const MAX_WORKS: usize = 512;
/// A worker that was silent for longer had nothing to do: its silence says nothing of its rate.
const PAUSE: Duration = Duration::from_secs(150);
/// Bytes of the extranonce that the node sets: the worker's number, and that of the work. The others are the miner's.
pub(super) const FIXED: usize = 8;

/// How hard the work is.
#[derive(Clone, Debug)]
pub(super) enum Hardness {
    /// As the password says.
    Fixed(Difficulty),
    /// By the rate of the worker's shares.
    Measured(Vardiff),
}

/// A piece of work that was given out.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// Its job and how it was served.
    pub(super) served: Served,
    /// The job of its owner that was the newest then: the served one, unless that is mined for the operator's fee.
    pub(super) news: JobId,
    /// The extranonce that it was given out with.
    pub(super) extranonce: Extranonce,
    /// The merkle root with that extranonce.
    pub(super) root: [u8; 32],
}

impl Work {
    /// The header to be solved.
    pub(super) fn header(&self) -> Header {
        self.served.job.header().with_merkle_root(self.root)
    }
}

/// Why a submission is refused, in the words of BIP22.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejection {
    /// Nothing like it was given to this worker in the last ten minutes.
    UnknownWork,
    /// The previous block is not that of the work.
    PrevBlock,
    /// The bits are not those of the work.
    Bits,
    /// Version bits were changed that may not be.
    Version,
    /// More was changed in the coinbase than the miner's part of the extranonce.
    Coinbase,
    /// The merkle root is not that of the work's transactions.
    MerkleRoot,
    /// What is wrong in any protocol.
    Fault(Fault),
}

impl From<Rejection> for Reason {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::UnknownWork => Self::UnknownJob,
            Rejection::Fault(fault) => fault.into(),
            Rejection::PrevBlock
            | Rejection::Bits
            | Rejection::Version
            | Rejection::Coinbase
            | Rejection::MerkleRoot => Self::Other,
        }
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownWork => "unknown-work",
            Self::PrevBlock => "bad-prevblk",
            Self::Bits => "bad-diffbits",
            Self::Version => "bad-version",
            Self::Coinbase => {
                "bad-cb-prefix: the share commitment fixes the coinbase; only the last 4 bytes before its locktime may change"
            }
            Self::MerkleRoot => {
                "bad-txnmrklroot: the share commitment fixes the transactions; a set of your own cannot be credited"
            }
            Self::Fault(Fault::TooOld) => "time-too-old",
            Self::Fault(Fault::TooFarAhead) => "time-too-new",
            Self::Fault(Fault::Stale) => "stale-prevblk",
            Self::Fault(Fault::Repeated) => "duplicate",
            Self::Fault(Fault::TooEasy) => "high-hash",
        })
    }
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    place: Place,
    hardness: Hardness,
    /// The highest difficulty that the newest work allowed.
    most: Difficulty,
    /// Oldest first.
    works: VecDeque<Work>,
    /// Pieces of work given out.
    count: u32,
    /// The newest job that it was given work of, and the form in which that is served.
    chosen: Option<(JobId, Arc<Job>)>,
    account: Account,
    refusals: Refusals,
    /// Whether vardiff has had anything to count.
    measured: bool,
    heard: Instant,
}

impl Worker {
    /// A worker that has done nothing yet.
    pub(super) fn new(place: Place, hardness: Hardness, fee: Option<&Fee>, now: Instant) -> Self {
        Self {
            account: Account::new(fee, place.extranonce1()),
            place,
            hardness,
            most: Difficulty::MAX,
            works: VecDeque::new(),
            count: 0,
            chosen: None,
            refusals: Refusals::default(),
            measured: false,
            heard: now,
        }
    }

    /// To be called at each request. False for a worker all of whose work has been refused for too long.
    pub(super) fn on_request(&mut self, now: Instant) -> bool {
        let silent = now.saturating_duration_since(self.heard);
        self.heard = now;
        match &mut self.hardness {
            Hardness::Measured(vardiff) if silent > PAUSE || self.works.is_empty() => vardiff.restart(now),
            Hardness::Measured(vardiff) => drop(vardiff.on_tick(now)),
            Hardness::Fixed(_) => {}
        }
        // There is no way to tell it to connect again.
        self.refusals.on_tick(now) != Measure::Close
    }

    /// Forgets that all of its work was refused, and at which difficulty. What it was given counts all the same.
    pub(super) fn begin_anew(&mut self, hardness: Hardness) {
        self.hardness = hardness;
        self.measured = false;
        self.refusals = Refusals::default();
    }

    /// Whether it has been silent for so long that none of its work counts any more.
    pub(super) fn is_gone(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.heard) > MAX_AGE
    }

    /// The difficulty that it was found to suit, if that was measured.
    pub(super) const fn learnt(&self) -> Option<Difficulty> {
        match &self.hardness {
            Hardness::Measured(vardiff) if self.measured => Some(vardiff.difficulty()),
            _ => None,
        }
    }

    /// The newest job that it was given work of.
    pub(super) fn last_news(&self) -> Option<JobId> {
        self.works.back().map(|work| work.news)
    }

    /// Gives out a piece of work under this id.
    pub(super) fn serve(&mut self, job: Arc<Job>, id: JobId, now: Now) -> Work {
        self.most = most(&job);
        let difficulty = self.difficulty(now.instant);
        let news = job.id();
        let job = self.choose(job, difficulty);
        self.place.record.on_work(difficulty, now.instant);
        let mut extranonce = Extranonce::default();
        extranonce[..4].copy_from_slice(&self.place.extranonce1());
        extranonce[4..FIXED].copy_from_slice(&self.count.to_be_bytes());
        self.count = self.count.wrapping_add(1);
        let root = job.merkle_root(&extranonce);
        let time = job.header().time;
        let served = Served {
            id,
            job,
            time,
            difficulty,
            mask: VERSION_MASK,
            extranonce: Some(extranonce),
            at: now.instant,
        };
        let work = Work { served, news, extranonce, root };
        self.works.push_back(work.clone());
        self.forget(now.instant);
        work
    }

    /// Judges what is handed in: what is to be passed on, and the answer. The first does not depend on the second.
    pub(super) fn submit(
        &mut self,
        submission: &Submission,
        newest: Option<&Job>,
        now: Now,
    ) -> (Option<Found>, Result<(), Rejection>) {
        let judged = self.judge(submission, newest, now);
        let (found, answer) = match judged {
            Ok((found, answer)) => (found.is_worth_something().then_some(found), answer),
            Err(rejection) => (None, Err(rejection)),
        };
        self.place.record.on_submit(answer.map_err(Reason::from), now.instant);
        self.refusals.on_submit(answer.is_ok(), now.instant);
        (found, answer.map(drop))
    }

    /// Whether a block would be taken if its hash were good enough (BIP23's proposals).
    pub(super) fn check(
        &self,
        submission: &Submission,
        newest: Option<&Job>,
        now: Now,
    ) -> Result<(), Rejection> {
        let (work, _) = self.find(submission)?;
        let job = &work.served.job;
        check_version(&submission.header, job)?;
        match untimely(job, submission.header.time, newest.unwrap_or(job), now) {
            Some(fault) => Err(Rejection::Fault(fault)),
            None => Ok(()),
        }
    }

    /// Counts a submit that could not even be read.
    pub(super) fn refuse(&mut self, now: Instant) {
        self.place.record.on_submit(Err(Reason::Other), now);
        self.refusals.on_submit(false, now);
    }

    fn judge(
        &mut self,
        submission: &Submission,
        newest: Option<&Job>,
        now: Now,
    ) -> Result<(Found, Result<Accepted, Rejection>), Rejection> {
        let (work, extranonce) = self.find(submission)?;
        let served = work.served.clone();
        let Header { version, time, nonce, .. } = submission.header;
        let solution = Solution { extranonce, version: version.to_consensus(), time, nonce };
        let newest = newest.unwrap_or(&served.job);
        let (found, fault) = weigh((&served, &solution), served.difficulty, newest, &mut self.account, now);
        let judged = match fault {
            Some(fault) => Err(Rejection::Fault(fault)),
            None => Ok(Accepted { difficulty: served.difficulty, id: found.candidate.id }),
        };
        let answer = check_version(&submission.header, &served.job).and(judged);
        if let Hardness::Measured(vardiff) = &mut self.hardness
            && answer.is_ok()
            && vardiff.difficulty().accepted_target().is_met_by(&found.candidate.id.0)
        {
            self.measured = true;
            vardiff.on_share(self.most, now.instant);
        }
        Ok((found, answer))
    }

    /// The work that this is a solution of, and its whole extranonce; all else is as it was given out, but for version,
    /// time and nonce.
    fn find(&self, submission: &Submission) -> Result<(&Work, Extranonce), Rejection> {
        let header = &submission.header;
        let root = header.merkle_root.to_byte_array();
        // A header of known work solves it, whatever is said besides.
        let as_given = self.works.iter().rev().find(|work| work.root == root);
        let (work, extranonce) = match as_given {
            Some(work) => (work, work.extranonce),
            None => self.find_changed(submission)?,
        };
        let given = work.served.job.header();
        if header.prev_blockhash != given.prev_block {
            Err(Rejection::PrevBlock)
        } else if header.bits != given.bits {
            Err(Rejection::Bits)
        } else if work.served.job.merkle_root(&extranonce) != root {
            Err(Rejection::MerkleRoot)
        } else {
            Ok((work, extranonce))
        }
    }

    /// The work that has this coinbase but for the miner's part of the extranonce.
    fn find_changed(
        &self,
        Submission { coinbase, id, .. }: &Submission,
    ) -> Result<(&Work, Extranonce), Rejection> {
        let is_named = id.is_some_and(|id| self.works.iter().any(|work| work.served.id == id));
        let or_unknown = |named| if is_named { named } else { Rejection::UnknownWork };
        let coinbase = coinbase.as_ref().ok_or(or_unknown(Rejection::MerkleRoot))?;
        let known = coinbase.commitment().and_then(|(commitment, extranonce)| {
            let is_it = |work: &&Work| {
                work.served.job.commitment_hash() == &commitment
                    && work.extranonce[..FIXED] == extranonce[..FIXED]
            };
            Some((self.works.iter().rev().find(is_it)?, extranonce))
        });
        let (work, extranonce) = known.ok_or(or_unknown(Rejection::Coinbase))?;
        if coinbase.without_witness() == work.served.job.coinbase(&extranonce) {
            Ok((work, extranonce))
        } else {
            Err(Rejection::Coinbase)
        }
    }

    /// The form in which a job is served, to be the same for all work of it.
    fn choose(&mut self, job: Arc<Job>, difficulty: Difficulty) -> Arc<Job> {
        match &self.chosen {
            Some((id, chosen)) if *id == job.id() => Arc::clone(chosen),
            _ => {
                let id = job.id();
                let chosen = self.account.choose(job, difficulty);
                self.chosen = Some((id, Arc::clone(&chosen)));
                chosen
            }
        }
    }

    /// The difficulty of work given out now.
    fn difficulty(&mut self, now: Instant) -> Difficulty {
        match &mut self.hardness {
            Hardness::Fixed(difficulty) => (*difficulty).min(self.most),
            Hardness::Measured(vardiff) => {
                vardiff.limit(self.most, now);
                vardiff.difficulty()
            }
        }
    }

    fn forget(&mut self, now: Instant) {
        let is_outdated = |work: &Work| now.saturating_duration_since(work.served.at) > MAX_AGE;
        while self.works.len() > MAX_WORKS || self.works.front().is_some_and(is_outdated) {
            self.works.pop_front();
        }
    }
}

/// Whether only those version bits were changed that devices may roll.
fn check_version(header: &Header, job: &Job) -> Result<(), Rejection> {
    let changed = header.version.to_consensus() ^ job.header().version.to_consensus();
    if changed.cast_unsigned() & !VERSION_MASK == 0 { Ok(()) } else { Err(Rejection::Version) }
}

#[cfg(test)]
mod tests;
