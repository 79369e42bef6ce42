//! What a session remembers: the jobs that it served, and the shares that it accepted. Both are bounded.

use super::difficulty::Difficulty;
use crate::work::job::{Job, JobId};
use sharechain::share::{Extranonce, ShareId};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a job is remembered after it was served.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(600);
/// Most jobs that a session remembers: one every five seconds for ten minutes, and a few changes of difficulty.
const MAX_JOBS: usize = 128;
/// Most shares that a session remembers, to recognise duplicates. A share forgotten by then is recognised by the
/// share chain; only the miner's own count would be off.
const MAX_SHARES: usize = 4_096;

/// A job as one session served it.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// The id that the miner knows it by.
    pub(crate) id: JobId,
    /// The job.
    pub(crate) job: Arc<Job>,
    /// The header time that it was announced with.
    pub(crate) time: u32,
    /// The difficulty that holds for it.
    pub(crate) difficulty: Difficulty,
    /// The version bits that the miner could roll when it was served.
    pub(crate) mask: u32,
    /// The whole extranonce, where the miner hashes headers only and counts none.
    pub(crate) extranonce: Option<Extranonce>,
    /// When it was served.
    pub(crate) at: Instant,
}

/// The highest difficulty at which no share, share block or Bitcoin block of the job is refused.
pub(crate) fn most(job: &Job) -> Difficulty {
    let targets = job.targets();
    let each = [targets.network, targets.block, targets.share].map(Difficulty::within);
    each.into_iter().min().unwrap_or(Difficulty::MIN)
}

/// The jobs that a session served, oldest first.
#[derive(Debug, Default)]
pub(crate) struct ServedJobs(VecDeque<Served>);

impl ServedJobs {
    /// Adds a job and forgets those that are too old or too many.
    pub(crate) fn push(&mut self, served: Served) {
        let now = served.at;
        self.0.push_back(served);
        let outdated = |first: &Served| now.saturating_duration_since(first.at) > MAX_AGE;
        while self.0.len() > MAX_JOBS || (self.0.len() > 1 && self.0.front().is_some_and(outdated)) {
            self.0.pop_front();
        }
    }

    /// The job that was served by this id.
    pub(crate) fn get(&self, id: JobId) -> Option<&Served> {
        self.0.iter().rev().find(|served| served.id == id)
    }

    /// When this very job was served last, if it was.
    pub(crate) fn last_of(&self, job: &Arc<Job>) -> Option<&Served> {
        self.0.iter().rev().find(|served| Arc::ptr_eq(&served.job, job))
    }

    /// The job served last.
    pub(crate) fn last(&self) -> Option<&Served> {
        self.0.back()
    }
}

/// The shares accepted last.
#[derive(Debug, Default)]
pub(crate) struct SeenShares {
    set: HashSet<u64>,
    order: VecDeque<u64>,
}

impl SeenShares {
    /// Remembers a share. False when it was remembered already.
    pub(crate) fn insert(&mut self, id: &ShareId) -> bool {
        // The first bytes are the low ones of the number: random, where the last ones are the zeros of the work.
        let key = id.0.first_chunk().copied().map_or(0, u64::from_le_bytes);
        if !self.set.insert(key) {
            return false;
        }
        self.order.push_back(key);
        if self.order.len() > MAX_SHARES
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::JobMaker;

    fn served(id: u32, job: &Arc<Job>, at: Instant) -> Served {
        Served {
            id: JobId(id),
            job: Arc::clone(job),
            time: 0,
            difficulty: Difficulty::ONE,
            mask: 0,
            extranonce: None,
            at,
        }
    }

    #[test]
    fn jobs_are_kept_for_ten_minutes_and_the_last_one_for_ever() {
        let (mut jobs, job, start) =
            (ServedJobs::default(), Arc::new(JobMaker::default().job()), Instant::now());
        jobs.push(served(1, &job, start));
        jobs.push(served(2, &job, start + MAX_AGE));
        assert!(jobs.get(JobId(1)).is_some());
        jobs.push(served(3, &job, start + MAX_AGE + Duration::from_secs(1)));
        assert!(jobs.get(JobId(1)).is_none());
        assert!(jobs.get(JobId(2)).is_some());
        assert_eq!(jobs.last().map(|last| last.id), Some(JobId(3)));
        jobs.push(served(4, &job, start + 10 * MAX_AGE));
        assert!(jobs.get(JobId(3)).is_none());
        assert!(jobs.get(JobId(4)).is_some());
    }

    #[test]
    fn both_memories_are_bounded() {
        let (mut jobs, job, start) =
            (ServedJobs::default(), Arc::new(JobMaker::default().job()), Instant::now());
        for id in 0..1_000 {
            jobs.push(served(id, &job, start));
        }
        assert_eq!(jobs.0.len(), MAX_JOBS);
        assert!(jobs.get(JobId(999)).is_some());

        let mut shares = SeenShares::default();
        let id = |n: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_le_bytes());
            ShareId(id)
        };
        for n in 0..10_000 {
            assert!(shares.insert(&id(n)));
        }
        assert!(!shares.insert(&id(9_999)));
        assert!(shares.insert(&id(0)), "forgotten");
        assert_eq!((shares.set.len(), shares.order.len()), (MAX_SHARES, MAX_SHARES));
    }
}
