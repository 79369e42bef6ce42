//! A thread that hashes: takes the newest job, searches it in short batches, and reports what it finds.

use super::hash::Search;
use super::job::{Job, Piece};
use super::slot::Slot;
use super::{Counters, MinerConfig};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Hashes between two looks at the slot: some milliseconds.
const BATCH: u64 = 1 << 12;
const NONCES: u64 = 1 << 32;

/// A nonce that meets the target of a job.
#[derive(Debug)]
pub(super) struct Solution {
    pub(super) job: Arc<Job>,
    pub(super) extranonce2: String,
    pub(super) version_bits: u32,
    pub(super) nonce: u32,
}

/// What a thread needs.
pub(super) struct Worker {
    slot: Arc<Slot>,
    counters: Arc<Counters>,
    solutions: mpsc::Sender<Solution>,
    duty: f64,
    share_pause: Duration,
}

impl Worker {
    pub(super) fn new(
        config: &MinerConfig,
        slot: &Arc<Slot>,
        counters: &Arc<Counters>,
        solutions: &mpsc::Sender<Solution>,
    ) -> Self {
        let pause = config.shares_per_second.recip();
        Self {
            slot: Arc::clone(slot),
            counters: Arc::clone(counters),
            solutions: solutions.clone(),
            duty: config.duty.clamp(0.001, 1.0),
            share_pause: Duration::try_from_secs_f64(pause)
                .unwrap_or(Duration::ZERO)
                .min(Duration::from_secs(60)),
        }
    }

    /// Hashes until the slot is closed.
    pub(super) fn run(self) {
        while let Some((change, job)) = self.slot.wait() {
            if !self.mine(change, &job) {
                return;
            }
        }
    }

    /// Works on a job until there is another. False when nobody wants solutions any more.
    fn mine(&self, change: u64, job: &Arc<Job>) -> bool {
        loop {
            let piece = job.take_piece();
            let search = Search::new(&piece.header, job.target);
            let mut next = 0;
            while next < NONCES {
                if self.slot.changes() != change {
                    return true;
                }
                let began = Instant::now();
                let end = next + BATCH;
                let found = search.run(next..end);
                let reached = found.map_or(end, |nonce| u64::from(nonce) + 1);
                self.counters.hashes.fetch_add(reached - next, Ordering::Relaxed);
                next = reached;
                if let Some(nonce) = found
                    && !self.hand_in(job, &piece, nonce)
                {
                    return false;
                }
                let mut pause = began.elapsed().mul_f64(self.duty.recip() - 1.0);
                if found.is_some() {
                    pause = pause.max(self.share_pause.saturating_sub(began.elapsed()));
                }
                if !pause.is_zero() {
                    self.sleep(pause);
                }
            }
        }
    }

    fn hand_in(&self, job: &Arc<Job>, piece: &Piece, nonce: u32) -> bool {
        let (extranonce2, version_bits) = (piece.extranonce2.clone(), piece.version_bits);
        let solution = Solution { job: Arc::clone(job), extranonce2, version_bits, nonce };
        self.solutions.blocking_send(solution).is_ok()
    }

    /// Sleeps, but not through the end. A new job is no reason to wake: where every share brings one, the limit on
    /// shares would be none.
    fn sleep(&self, pause: Duration) {
        const LONGEST: Duration = Duration::from_millis(100);
        let until = Instant::now() + pause;
        while !self.slot.is_closed() {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(LONGEST));
        }
    }
}
