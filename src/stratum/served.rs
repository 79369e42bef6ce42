//! What a session remembers: the jobs that it served, and the shares that it accepted. Both are bounded.

use super::difficulty::Difficulty;
use crate::work::job::{Job, JobId};
use sharechain::share::{Extranonce, ShareId};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a job is remembered after it was served.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(600);
/// Most jobs that a session remembers. One every five seconds for ten minutes is 120, so it is age that ends a job's
/// life unless Bitcoin and the share chain move faster than they ever do.
const MAX_JOBS: usize = 1_024;
/// Jobs of ten minutes with a share block every half minute, and those that are made again meanwhile. Room for them is
/// taken at once, so that what a connection needs is seen when it is made.
const QUIET_JOBS: usize = 64;
/// Most shares that a session remembers, to recognise duplicates. A share forgotten by then is recognised by the
/// share chain; only the miner's own count would be off.
const MAX_SHARES: usize = 4_096;

/// What is to be announced to a miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    /// A job that the miner does not have.
    New,
    /// The job that it has, as new work.
    Again,
}

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
        let outdated = |first: &Served| now.saturating_duration_since(first.at) > MAX_AGE;
        while self.0.len() >= MAX_JOBS || self.0.front().is_some_and(outdated) {
            self.0.pop_front();
        }
        if self.0.capacity() == 0 {
            self.0.reserve_exact(QUIET_JOBS);
        }
        self.0.push_back(served);
    }

    /// The job that was served by this id.
    pub(crate) fn get(&self, id: JobId) -> Option<&Served> {
        self.0.iter().rev().find(|served| served.id == id)
    }

    /// When this very job was served last, if it was.
    pub(crate) fn last_of(&self, job: &Arc<Job>) -> Option<&Served> {
        self.0.iter().rev().find(|served| Arc::ptr_eq(&served.job, job))
    }

    /// Gives back the memory for jobs that will not come.
    pub(crate) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }

    /// For how many jobs it has memory.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// The job served last.
    pub(crate) fn last(&self) -> Option<&Served> {
        self.0.back()
    }
}

/// The shares accepted last.
///
/// Two generations: when the young one is full, or as old as the jobs that are remembered, it becomes the old one, and
/// what was old is forgotten. So a miner takes as much memory as it finds shares in the life of a job.
#[derive(Debug, Default)]
pub(crate) struct SeenShares {
    young: HashSet<u64>,
    old: HashSet<u64>,
    /// When the first of the young was seen.
    since: Option<Instant>,
}

impl SeenShares {
    /// Remembers a share. False when it was remembered already.
    pub(crate) fn insert(&mut self, id: &ShareId, now: Instant) -> bool {
        // The first bytes are the low ones of the number: random, where the last ones are the zeros of the work.
        let key = id.0.first_chunk().copied().map_or(0, u64::from_le_bytes);
        let since = *self.since.get_or_insert(now);
        if self.young.len() >= MAX_SHARES / 2 || now.saturating_duration_since(since) >= MAX_AGE {
            self.old = std::mem::take(&mut self.young);
            self.since = Some(now);
        }
        !self.old.contains(&key) && self.young.insert(key)
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
        for id in 0..5_000 {
            jobs.push(served(id, &job, start));
        }
        assert_eq!(jobs.0.len(), MAX_JOBS);
        assert!(jobs.get(JobId(4_999)).is_some());
        assert!(jobs.0.capacity() <= MAX_JOBS);

        let mut shares = SeenShares::default();
        let id = |n: u32| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_le_bytes());
            ShareId(id)
        };
        for n in 0..10_000 {
            assert!(shares.insert(&id(n), start));
            assert!(shares.young.len() + shares.old.len() <= MAX_SHARES);
        }
        assert!((10_000 - 2_048..10_000).all(|n| !shares.insert(&id(n), start)));
        assert!(shares.insert(&id(0), start), "forgotten");
    }

    #[test]
    fn shares_are_remembered_as_long_as_jobs_and_then_forgotten() {
        let (mut shares, start) = (SeenShares::default(), Instant::now());
        let id = |n| ShareId([n; 32]);
        assert!(shares.insert(&id(1), start));
        assert!(!shares.insert(&id(1), start + MAX_AGE), "in the old generation");
        assert!(shares.insert(&id(2), start + MAX_AGE));
        assert!(shares.insert(&id(1), start + MAX_AGE * 2), "forgotten");
        assert!(!shares.insert(&id(2), start + MAX_AGE * 2));
    }

    #[test]
    fn jobs_that_come_quickly_are_kept_for_their_ten_minutes() {
        let (mut jobs, job, start) =
            (ServedJobs::default(), Arc::new(JobMaker::default().job()), Instant::now());
        (0..600).for_each(|n| jobs.push(served(n, &job, start + Duration::from_secs(n.into()))));
        assert!(jobs.get(JobId(0)).is_some());
    }
}
