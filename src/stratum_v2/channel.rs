//! One channel: what a connection holds of one miner. The counterpart of a session of Stratum v1.

use crate::stratum::account::Account;
use crate::stratum::difficulty::Difficulty;
use crate::stratum::record::{Accepted, Reason};
use crate::stratum::served::{Due, ServedJobs, most};
use crate::stratum::session::Now;
use crate::stratum::sessions::Place;
use crate::stratum::submit::{Fault, Found, weigh};
use crate::stratum::vardiff::{Vardiff, rate_at};
use crate::work::fee::Fee;
use crate::work::job::{Job, JobId, Solution};
use crate::work::series::SeriesKey;
use bitcoin::{BlockHash, CompactTarget};
use mining_sv2::{
    ERROR_CODE_SUBMIT_SHARES_BAD_EXTRANONCE_SIZE as BAD_EXTRANONCE,
    ERROR_CODE_SUBMIT_SHARES_DIFFICULTY_TOO_LOW as TOO_EASY,
    ERROR_CODE_SUBMIT_SHARES_DUPLICATE_SHARE as REPEATED,
    ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID as NO_CHANNEL,
    ERROR_CODE_SUBMIT_SHARES_INVALID_JOB_ID as NO_JOB,
    ERROR_CODE_SUBMIT_SHARES_INVALID_NON_ROLLABLE_VERSION_BIT as BAD_VERSION,
    ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE as BAD_TIME, ERROR_CODE_SUBMIT_SHARES_STALE_SHARE as STALE,
    SubmitSharesExtended, SubmitSharesStandard,
};
use primitive_types::U256;
use sharechain::share::Extranonce;
use sharechain::target::Target;
use std::sync::Arc;
use std::time::Instant;

/// Bytes of the extranonce that are the channel's own.
pub(super) const PREFIX: usize = 4;
/// Bytes of the extranonce that an extended channel counts in.
pub(super) const ROLLED: usize = 8;
/// The version bits that miners may roll (BIP323).
pub(super) const ROLLABLE: u32 = 0x1fff_ffe0;

/// Headers of one merkle root and time: 32 bits of nonce, and the 16 bits of the version that devices of today roll.
const HEADERS: f64 = (1_u64 << 48) as f64;

/// The two kinds of channels that miners open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Hashes headers, and never sees a coinbase.
    Standard,
    /// Counts an extranonce in the coinbase.
    Extended,
}

/// What the miner mines on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tip {
    pub(super) prev_block: BlockHash,
    pub(super) bits: CompactTarget,
    /// The earliest header time that it was told; no later job on the same block may have an earlier one.
    pub(super) min_time: u32,
}

impl Tip {
    pub(super) fn is_of(&self, job: &Job) -> bool {
        (self.prev_block, self.bits) == (job.header().prev_block, job.header().bits)
    }
}

/// Shares that are accepted and not acknowledged yet.
#[derive(Debug, Default)]
pub(super) struct Unacknowledged {
    pub(super) count: u32,
    pub(super) last: u32,
    /// Sum of their difficulties, with what was too little to be acknowledged before.
    credit: f64,
}

impl Unacknowledged {
    fn add(&mut self, sequence: u32, difficulty: Difficulty) {
        self.count = self.count.saturating_add(1);
        self.last = sequence;
        self.credit += f64::from(difficulty.exponent()).exp2();
    }

    /// Begins anew; the count, the last sequence number and the whole part of the sum.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "never negative, and `as` saturates"
    )]
    pub(super) fn take(&mut self) -> Option<(u32, u32, u64)> {
        let count = std::mem::take(&mut self.count);
        let sum = self.credit.floor();
        self.credit -= if count > 0 { sum } else { 0.0 };
        (count > 0).then_some((count, self.last, sum as u64))
    }
}

/// What a miner submits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Submit<'a> {
    pub(super) sequence: u32,
    pub(super) job: u32,
    pub(super) nonce: u32,
    pub(super) time: u32,
    pub(super) version: u32,
    /// What an extended channel counted.
    pub(super) extranonce: Option<&'a [u8]>,
}

impl From<&SubmitSharesStandard> for Submit<'_> {
    fn from(message: &SubmitSharesStandard) -> Self {
        Self {
            sequence: message.sequence_number,
            job: message.job_id,
            nonce: message.nonce,
            time: message.ntime,
            version: message.version,
            extranonce: None,
        }
    }
}

impl<'a> From<&'a SubmitSharesExtended<'a>> for Submit<'a> {
    fn from(message: &'a SubmitSharesExtended<'a>) -> Self {
        Self {
            sequence: message.sequence_number,
            job: message.job_id,
            nonce: message.nonce,
            time: message.ntime,
            version: message.version,
            extranonce: Some(message.extranonce.as_bytes()),
        }
    }
}

/// Why a submit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoChannel,
    NoJob,
    BadExtranonce,
    BadVersion,
    /// What is wrong in any protocol.
    Fault(Fault),
}

impl Refused {
    /// The word that Stratum V2 has for it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::NoChannel => NO_CHANNEL,
            Self::NoJob => NO_JOB,
            Self::BadExtranonce => BAD_EXTRANONCE,
            Self::BadVersion => BAD_VERSION,
            Self::Fault(Fault::TooOld | Fault::TooFarAhead) => BAD_TIME,
            Self::Fault(Fault::Stale) => STALE,
            Self::Fault(Fault::Repeated) => REPEATED,
            Self::Fault(Fault::TooEasy) => TOO_EASY,
        }
    }
}

impl From<Refused> for Reason {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NoJob => Self::UnknownJob,
            Refused::NoChannel | Refused::BadExtranonce | Refused::BadVersion => Self::Other,
            Refused::Fault(fault) => fault.into(),
        }
    }
}

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) kind: Kind,
    pub(super) key: SeriesKey,
    pub(super) group: u32,
    /// Its place among all that mine.
    pub(super) place: Place,
    pub(super) vardiff: Vardiff,
    /// Hashes a second, as the miner says; 0 where it does not know.
    pub(super) rate: f32,
    pub(super) most: Difficulty,
    pub(super) due: Due,
    pub(super) tip: Option<Tip>,
    pub(super) work: Work,
    /// The newest job as it was offered, whatever form of it is mined.
    offered: Option<Arc<Job>>,
    /// Times that a job was served again.
    again: u64,
    pub(super) unacknowledged: Unacknowledged,
}

/// What it takes to judge a channel's submits, which is all that is left of one that is closed.
#[derive(Debug)]
pub(super) struct Work {
    number: [u8; PREFIX],
    /// The difficulty that the miner was told last.
    pub(super) told: Difficulty,
    /// The newest job.
    pub(super) job: Option<Arc<Job>>,
    pub(super) jobs: ServedJobs,
    account: Account,
}

impl Channel {
    /// For a series and a group of channels.
    pub(super) fn new(
        kind: Kind,
        (key, group): (SeriesKey, u32),
        place: Place,
        vardiff: Vardiff,
        fee: Option<&Fee>,
    ) -> Self {
        let number = place.extranonce1();
        let work = Work {
            number,
            told: vardiff.difficulty(),
            job: None,
            jobs: ServedJobs::default(),
            account: Account::new(fee, number),
        };
        Self {
            kind,
            key,
            group,
            place,
            vardiff,
            rate: 0.0,
            most: Difficulty::MAX,
            due: Due::Nothing,
            tip: None,
            work,
            offered: None,
            again: 0,
            unacknowledged: Unacknowledged::default(),
        }
    }

    /// Takes the newest job of the series, to be announced. One that is published while the channel opens may be offered
    /// twice.
    pub(super) fn on_job(&mut self, job: Arc<Job>) {
        if self.offered.as_ref().is_some_and(|last| Arc::ptr_eq(last, &job)) {
            return;
        }
        self.offered = Some(Arc::clone(&job));
        self.work.job = Some(self.work.account.choose(job, self.vardiff.difficulty()));
        self.due = Due::New;
    }

    /// The bytes of the extranonce that no other channel has: all of them in a standard channel.
    pub(super) fn prefix(&self) -> Vec<u8> {
        match self.kind {
            Kind::Standard => self.work.extranonce([0; ROLLED]).to_vec(),
            Kind::Extended => self.work.number.to_vec(),
        }
    }

    /// The extranonce that a header-only job is made with: the prefix the first time, then another each time.
    pub(super) fn fixed_extranonce(&mut self, due: Due) -> Option<Extranonce> {
        if self.kind == Kind::Extended {
            return None;
        }
        if due == Due::Again {
            self.again += 1;
            return Some(self.work.extranonce(self.again.to_be_bytes()));
        }
        Some(self.work.extranonce([0; ROLLED]))
    }

    /// Keeps the difficulty at what a job allows.
    pub(super) fn limit(&mut self, job: &Job, now: Instant) {
        self.most = most(job);
        self.vardiff.limit(self.most, now);
    }

    /// The earliest time that a job may be announced with.
    pub(super) fn earliest(&self, job: &Job) -> u32 {
        self.tip.filter(|tip| tip.is_of(job)).map_or(0, |tip| tip.min_time)
    }

    /// The job that it has is to be served again, as new work.
    pub(super) fn serve_again(&mut self) {
        if self.due == Due::Nothing && self.work.jobs.last().is_some() {
            self.due = Due::Again;
        }
    }

    /// Whether a miner of the rate that it tells, or its difficulty if that is higher, has gone through all headers of its
    /// job, at one time and with the version bits that devices roll. Those that roll the time too have more.
    pub(super) fn is_exhausted(&self, now: Instant) -> bool {
        let Some(last) = self.work.jobs.last().filter(|_| self.kind == Kind::Standard) else { return false };
        // The difficulty alone would not do: it is never above what the job allows.
        let rate = f64::from(self.rate).max(rate_at(self.work.told));
        rate * now.saturating_duration_since(last.at).as_secs_f64() >= HEADERS
    }

    /// Judges a submit, and counts it.
    pub(super) fn on_submit(
        &mut self,
        submit: &Submit<'_>,
        now: Now,
    ) -> (Option<Found>, Result<Accepted, Refused>) {
        let (found, answer) = self.work.judge(submit, now);
        self.place.record.on_submit(answer.map_err(Reason::from), now.instant);
        if let Ok(Accepted { difficulty, id }) = answer {
            self.unacknowledged.add(submit.sequence, difficulty);
            let meets_present = self.vardiff.difficulty().accepted_target().is_met_by(&id.0);
            if meets_present && self.vardiff.on_share(self.most, now.instant) {
                self.serve_again();
            }
        }
        (found, answer)
    }
}

impl Work {
    fn extranonce(&self, rolled: [u8; ROLLED]) -> Extranonce {
        let mut extranonce = [0; PREFIX + ROLLED];
        extranonce[..PREFIX].copy_from_slice(&self.number);
        extranonce[PREFIX..].copy_from_slice(&rolled);
        extranonce
    }

    /// Judges a submit: what is to be passed on, and whether it is accepted. The first does not depend on the second.
    pub(super) fn judge(
        &mut self,
        submit: &Submit<'_>,
        now: Now,
    ) -> (Option<Found>, Result<Accepted, Refused>) {
        let Some(served) = self.jobs.get(JobId(submit.job)) else { return (None, Err(Refused::NoJob)) };
        let extranonce = match (served.extranonce, submit.extranonce) {
            (Some(fixed), None) => fixed,
            (None, Some(rolled)) => match rolled.try_into() {
                Ok(rolled) => self.extranonce(rolled),
                Err(_) => return (None, Err(Refused::BadExtranonce)),
            },
            _ => return (None, Err(Refused::BadExtranonce)),
        };
        let solution = Solution {
            extranonce,
            version: submit.version.cast_signed(),
            time: submit.time,
            nonce: submit.nonce,
        };
        let version = served.job.header().version.to_consensus().cast_unsigned();
        // A target told later holds for some of the jobs told before it; the easier one is taken.
        let difficulty = served.difficulty.min(self.told);
        let newest = self.job.as_ref().unwrap_or(&served.job);
        let (found, fault) = weigh((served, &solution), difficulty, newest, &mut self.account, now);
        let answer = match fault {
            _ if (version ^ submit.version) & !ROLLABLE != 0 => Err(Refused::BadVersion),
            Some(fault) => Err(Refused::Fault(fault)),
            None => Ok(Accepted { difficulty, id: found.candidate.id }),
        };
        (found.is_worth_something().then_some(found), answer)
    }
}

/// The lowest difficulty whose target is not above `target`, if there is one.
pub(super) fn at_least(target: &[u8]) -> Option<Difficulty> {
    let target = Target::new(U256::from_little_endian(target))?;
    let all = Difficulty::MIN.exponent()..=Difficulty::MAX.exponent();
    all.map(Difficulty::power_of_two).find(|difficulty| difficulty.target() <= target)
}
