//! How far a sync has come, for a progress bar or a line in the log.

use std::time::Duration;

/// How far a sync has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Blocks that the chain has taken.
    pub blocks: u32,
    /// Blocks in all.
    pub of: u32,
    /// Shares in the blocks taken, the blocks themselves included.
    pub shares: u64,
    /// Shares a second since the bodies began to come.
    pub shares_a_second: u64,
    /// Bytes received.
    pub bytes: u64,
    /// How long the rest will take at this rate; none while there is no rate.
    pub left: Option<Duration>,
}

/// Counts.
#[derive(Debug)]
pub(super) struct Meter {
    since: Duration,
    told: Duration,
    /// Blocks that were here before.
    before: usize,
    pub(super) shares: u64,
    pub(super) bytes: u64,
}

/// How often progress is told.
const EVERY: Duration = Duration::from_secs(1);

impl Meter {
    pub(super) const fn new(now: Duration, before: usize) -> Self {
        Self { since: now, told: now, before, shares: 0, bytes: 0 }
    }

    /// What there is to tell, if it is time.
    pub(super) fn tick(&mut self, done: usize, all: usize, now: Duration) -> Option<Progress> {
        if now.saturating_sub(self.told) < EVERY {
            return None;
        }
        self.told = now;
        Some(self.progress(done, all, now))
    }

    pub(super) fn progress(&self, done: usize, all: usize, now: Duration) -> Progress {
        let passed = u64::try_from(now.saturating_sub(self.since).as_millis()).unwrap_or(u64::MAX).max(1);
        let fetched = done.saturating_sub(self.before) as u64;
        let missing = all.saturating_sub(done) as u64;
        let left = passed.saturating_mul(missing).checked_div(fetched).map(Duration::from_millis);
        Progress {
            blocks: u32::try_from(done).unwrap_or(u32::MAX),
            of: u32::try_from(all).unwrap_or(u32::MAX),
            shares: self.shares,
            shares_a_second: self.shares.saturating_mul(1_000) / passed,
            bytes: self.bytes,
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_what_was_fetched_not_from_what_was_here() {
        let mut meter = Meter::new(Duration::from_secs(10), 400);
        meter.shares = 3_000;
        let at = Duration::from_secs;
        assert_eq!(meter.tick(400, 1_000, Duration::from_millis(10_999)), None);
        assert_eq!(meter.tick(400, 1_000, at(11)).and_then(|progress| progress.left), None);
        let progress = meter.tick(600, 1_000, at(20)).expect("it is time");
        assert_eq!(progress.left, Some(at(20)));
        assert_eq!((progress.blocks, progress.of, progress.shares_a_second), (600, 1_000, 300));
    }
}
