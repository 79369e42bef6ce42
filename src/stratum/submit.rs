//! One `mining.submit`: from five or six texts to a hash, and what is to be said of it.
//!
//! What the work is worth is found out first and does not depend on whether it is stale, repeated or misformed in
//! what only the pool minds: a Bitcoin block is a Bitcoin block.

use super::account::Account;
use super::difficulty::Difficulty;
use super::hex;
use super::message::{Params, Refusal};
use super::record::{Accepted, Reason};
use super::served::Served;
use super::session::{Now, Session};
use crate::work::job::{Candidate, Job, JobId, Solution};
use sharechain::params::MAX_HEADER_TIME_AHEAD;
use sharechain::verify::Verdict;
use std::borrow::Cow;

/// The parameters of a submit, read.
#[derive(Debug)]
pub(super) struct Submit<'a> {
    pub(super) worker: Cow<'a, str>,
    job: JobId,
    extranonce2: [u8; 8],
    time: u32,
    nonce: u32,
    /// None from those who leave them out: they have hashed the version of the job.
    version_bits: Option<u32>,
}

/// Work that is worth something to somebody.
#[derive(Clone, Debug)]
pub struct Found {
    /// The work.
    pub candidate: Candidate,
    /// What its hash is.
    pub verdict: Verdict,
    /// Whether the same miner submitted the same work before.
    pub repeated: bool,
}

impl Found {
    /// Whether the share chain is to have it.
    pub const fn is_for_chain(&self) -> bool {
        self.verdict.is_for_chain() && !self.repeated
    }

    /// Whether it is to be passed on at all.
    pub const fn is_worth_something(&self) -> bool {
        self.verdict.bitcoin_block || self.is_for_chain()
    }
}

/// What is to be done about a submit. The parts do not depend on each other.
pub(super) struct Judged {
    /// To be passed on.
    pub(super) found: Option<Found>,
    /// Whether the miner gets a yes or a no.
    pub(super) answer: Result<Accepted, Refusal>,
    /// Whether the hash would do at the difficulty that the next job will have.
    pub(super) meets_present: bool,
    /// Whether the hash is as good as any: not just too easy, but that of something else.
    pub(super) misses_by_far: bool,
}

impl<'a> Submit<'a> {
    pub(super) fn read(params: &Params<'a>) -> Result<Self, Refusal> {
        let text = |index, what| params.text(index).ok_or(Refusal::BadParams(what));
        let job = text(1, "The job id must be a string")?;
        let version_bits = match params.raw(5) {
            None | Some("null") => None,
            Some(_) => Some(
                params
                    .text(5)
                    .and_then(|bits| hex::u32(&bits))
                    .ok_or(Refusal::BadParams("The version bits must be 1 to 8 hexadecimal digits"))?,
            ),
        };
        Ok(Self {
            worker: text(0, "The user name must be a string")?,
            // An id that cannot be one of ours is a job that is not there.
            job: job.parse().map_err(|_| Refusal::JobNotFound)?,
            extranonce2: params
                .text(2)
                .and_then(|digits| hex::bytes(&digits))
                .ok_or(Refusal::BadParams("The extranonce2 must be exactly 16 hexadecimal digits"))?,
            time: params
                .text(3)
                .and_then(|digits| hex::u32(&digits))
                .ok_or(Refusal::BadParams("The time must be 1 to 8 hexadecimal digits"))?,
            nonce: params
                .text(4)
                .and_then(|digits| hex::u32(&digits))
                .ok_or(Refusal::BadParams("The nonce must be 1 to 8 hexadecimal digits"))?,
            version_bits,
        })
    }
}

/// What is wrong with work, if anything, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Bitcoin's median time has passed the header's.
    TooOld,
    /// The header's time is too far ahead.
    TooFarAhead,
    /// The job is for a Bitcoin block that is long past.
    Stale,
    /// The same miner submitted it before.
    Repeated,
    /// The hash does not meet the miner's difficulty.
    TooEasy,
}

/// Judges a solution of a served job, in any protocol. `newest` is the job served last, `difficulty` what the hash is
/// held against. What the work is worth does not depend on the fault found in it. Without one it is counted.
pub(crate) fn weigh(
    (served, solution): (&Served, &Solution),
    difficulty: Difficulty,
    newest: &Job,
    account: &mut Account,
    now: Now,
) -> (Found, Option<Fault>) {
    let job = &served.job;
    let candidate = job.assemble(solution);
    let verdict = candidate.judge();
    let enough = difficulty.accepted_target().is_met_by(&candidate.id.0);
    let repeated = (enough || verdict.is_for_chain()) && !account.insert(&candidate.id, now.instant);
    let untimely = untimely(job, solution.time, newest, now);
    let fault = if untimely.is_some() {
        untimely
    } else if repeated {
        Some(Fault::Repeated)
    } else if !enough {
        Some(Fault::TooEasy)
    } else {
        None
    };
    if fault.is_none() {
        account.count(job, difficulty);
    }
    (Found { candidate, verdict, repeated }, fault)
}

/// What is wrong with the time of work: the header's, or that it comes too late. `newest` is the job served last.
pub(crate) fn untimely(job: &Job, time: u32, newest: &Job, now: Now) -> Option<Fault> {
    let height = |job: &Job| job.template().height.0;
    let latest = job.max_time().min(now.unix.saturating_add(MAX_HEADER_TIME_AHEAD));
    if time < job.min_time() {
        Some(Fault::TooOld)
    } else if time > latest {
        Some(Fault::TooFarAhead)
    } else {
        (height(newest) > height(job).saturating_add(1)).then_some(Fault::Stale)
    }
}

/// Judges a submit of the session. An error means that there is no job to judge it by.
pub(super) fn judge(session: &mut Session, submit: &Submit<'_>, now: Now) -> Result<Judged, Refusal> {
    let served = session.jobs.get(submit.job).ok_or(Refusal::JobNotFound)?;
    let (version, version_allowed) = rolled_version(served, submit.version_bits, session.mask);
    let mut extranonce = [0; 12];
    extranonce[..4].copy_from_slice(&session.place.extranonce1());
    extranonce[4..].copy_from_slice(&submit.extranonce2);
    let solution = Solution { extranonce, version, time: submit.time, nonce: submit.nonce };
    let newest = session.job.as_ref().unwrap_or(&served.job);
    let (found, fault) = weigh((served, &solution), served.difficulty, newest, &mut session.account, now);
    let answer = match fault {
        _ if !version_allowed => Err(Refusal::BadParams(
            "The version bits are outside of the mask that mining.configure agreed on",
        )),
        Some(fault) => Err(fault.into()),
        None => Ok(Accepted { difficulty: served.difficulty, id: found.candidate.id }),
    };
    let meets_present = session.vardiff.difficulty().accepted_target().is_met_by(&found.candidate.id.0);
    let misses_by_far = !near(served.difficulty).accepted_target().is_met_by(&found.candidate.id.0);
    let found = found.is_worth_something().then_some(found);
    Ok(Judged { found, answer, meets_present, misses_by_far })
}

/// What work that was only held against another difficulty meets: a 256th of the difficulty, and 24 zero bits, which
/// are fewer than any device is content with where it must be content with less than difficulty 1.
fn near(difficulty: Difficulty) -> Difficulty {
    difficulty.min(Difficulty::ONE).times_power(-8)
}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooOld | Fault::TooFarAhead => Self::Untimely,
            Fault::Stale => Self::Stale,
            Fault::Repeated => Self::Repeated,
            Fault::TooEasy => Self::TooEasy,
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TooOld => Self::BadTime("The time is too old: Bitcoin's median time has passed it"),
            Fault::TooFarAhead => Self::BadTime("The time is more than two hours ahead"),
            Fault::Stale => Self::Stale,
            Fault::Repeated => Self::Duplicate,
            Fault::TooEasy => Self::LowDifficulty,
        }
    }
}

/// The version field with the miner's bits in it (BIP310) if there are any, and whether the miner could roll those.
///
/// Either of the masks in force then and now will do, since a change of mask and a submit can cross. Bits outside of
/// both are taken as they are: a device that sets them has hashed them.
fn rolled_version(served: &Served, bits: Option<u32>, mask_now: u32) -> (i32, bool) {
    let Some(bits) = bits else { return (served.job.header().version.to_consensus(), true) };
    let fits = |mask: &u32| bits & !mask == 0;
    let mask = [mask_now, served.mask].into_iter().find(fits);
    let version = served.job.header().version.to_consensus().cast_unsigned();
    let rolled = (version & !mask.unwrap_or(mask_now | bits)) | bits;
    (rolled.cast_signed(), mask.is_some())
}
