//! What is kept of one miner's work, in any protocol: the shares seen, and how it stands with the operator's fee.

use super::difficulty::Difficulty;
use super::served::SeenShares;
use super::vardiff::SHARES_PER_MINUTE;
use crate::work::fee::{Fee, Toll};
use crate::work::job::Job;
use sharechain::share::ShareId;
use std::sync::Arc;
use std::time::Instant;

/// Shares that a miner may be expected to find on a job, which lasts 25 s at most.
const SHARES_PER_JOB: u128 = (SHARES_PER_MINUTE * 25.0 / 60.0) as u128;

/// One miner's account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    seen: SeenShares,
    /// None where the node takes no fee.
    toll: Option<Toll>,
}

impl Account {
    /// For the miner with this number, the four bytes of the extranonce that no other has.
    pub(crate) fn new(fee: Option<&Fee>, number: [u8; 4]) -> Self {
        Self { seen: SeenShares::default(), toll: fee.map(|fee| fee.toll(number)) }
    }

    /// The form in which a new job is to be served, to a miner of this difficulty: to be called for each job, once.
    pub(crate) fn choose(&mut self, job: Arc<Job>, difficulty: Difficulty) -> Arc<Job> {
        match &mut self.toll {
            Some(toll) => toll.choose(job, difficulty.work() * SHARES_PER_JOB),
            None => job,
        }
    }

    /// Remembers a share. False when it was remembered already.
    pub(super) fn insert(&mut self, id: &ShareId, now: Instant) -> bool {
        self.seen.insert(id, now)
    }

    /// Counts an accepted share of a job that was served.
    pub(super) fn count(&mut self, job: &Job, difficulty: Difficulty) {
        if let Some(toll) = &mut self.toll {
            toll.count(job, difficulty.work());
        }
    }
}
