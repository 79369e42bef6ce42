//! What the node counts and measures: numbers that any part of it may add to and that the interface shows to whoever
//! scrapes it.
//!
//! Adding is a few atomic additions and nothing else, since some of it happens at each submit. Names and texts of what is
//! shown are where it is shown, in `api::scrape`.

use crate::refused::Reason;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// All of them. Clones share the numbers.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Numbers>);

/// The numbers.
#[derive(Debug, Default)]
pub struct Numbers {
    /// Submits of miners that were accepted.
    pub submits_accepted: Counter,
    /// Submits of miners that were refused, by why.
    pub submits_refused: Refusals,
    /// From a submit being taken up to its answer being ready to be written.
    pub submit_to_answer: Timing,
    /// From a new template or tip to jobs for everybody.
    pub change_to_jobs: Timing,
    /// From the arrival of a gossiped share or share block to its being passed on.
    pub share_to_relay: Timing,
    /// From a found Bitcoin block to the answer of each bitcoind.
    pub block_to_answer: Timing,
    /// Shares taken into the pool.
    pub shares: Taken,
    /// Share blocks taken.
    pub share_blocks: Taken,
    /// Changes of the active branch.
    pub reorganisations: Counter,
    /// Bitcoin blocks submitted, each once.
    pub bitcoin_blocks: Counter,
    /// Answers to them by which a bitcoind has the block.
    pub bitcoin_blocks_accepted: Counter,
    /// Other ends of submitting one to a bitcoind.
    pub bitcoin_blocks_refused: Counter,
    /// Events that whoever tells of them missed.
    pub events_missed: Counter,
}

impl Deref for Metrics {
    type Target = Numbers;

    fn deref(&self) -> &Numbers {
        &self.0
    }
}

/// What was taken, by whose miners found it. Each is counted by itself: a difference of two numbers may fall.
#[derive(Debug, Default)]
pub struct Taken {
    /// This node's own.
    pub own: Counter,
    /// Those of all other nodes.
    pub others: Counter,
}

/// Submits that were refused, by why.
#[derive(Debug, Default)]
pub struct Refusals([Counter; Reason::ALL.len()]);

impl Refusals {
    /// Those for this reason.
    pub const fn of(&self, reason: Reason) -> &Counter {
        &self.0[reason as usize]
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How long something took, each time: a histogram whose sum is exact.
#[derive(Debug, Default)]
pub struct Timing {
    counts: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

/// Upper bounds of the buckets; one more holds what took longer.
const BOUNDS: [Duration; 19] = [
    Duration::from_micros(10),
    Duration::from_micros(25),
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

impl Timing {
    /// It took this long once more.
    pub fn observe(&self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// How often it took up to each bound, in seconds, and longer than the one before; the last bound is infinite.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        bounds.zip(&self.counts).map(|(bound, count)| (bound, count.load(Ordering::Relaxed))).collect()
    }

    /// How long it took in all, in seconds.
    pub fn seconds(&self) -> f64 {
        self.nanoseconds.load(Ordering::Relaxed) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_as_long_as_a_bound_is_within_it() {
        let timing = Timing::default();
        for took in [
            Duration::ZERO,
            BOUNDS[0],
            BOUNDS[0] + Duration::from_nanos(1),
            BOUNDS[18],
            Duration::from_secs(11),
        ] {
            timing.observe(took);
        }
        let buckets = timing.buckets();
        assert_eq!((buckets[0].1, buckets[1].1, buckets[18].1, buckets[19].1), (2, 1, 1, 1));
        assert_eq!(buckets.iter().map(|(_, count)| count).sum::<u64>(), 5);
        assert!((timing.seconds() - 21.000_020_001).abs() < 1e-9);
        assert!(buckets.is_sorted_by(|a, b| a.0 < b.0) && buckets[19].0 == f64::INFINITY);
    }

    #[test]
    fn clones_count_together() {
        let metrics = Metrics::default();
        metrics.clone().bitcoin_blocks.add(2);
        metrics.bitcoin_blocks.count();
        assert_eq!(metrics.bitcoin_blocks.get(), 3);
    }
}
