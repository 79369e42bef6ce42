//! What is counted of all connections together.

use super::histogram::Histogram;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Jobs of which the arrival is remembered, and different reasons that are told apart.
const JOBS: usize = 1 << 20;
const REASONS: usize = 16;

/// The counts, shared.
#[derive(Debug, Default)]
pub(super) struct Tally(Mutex<Counts>);

/// The counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Submits that were accepted.
    pub(super) accepted: u64,
    /// Refused ones by reason.
    pub(super) refused: BTreeMap<String, u64>,
    /// Times from submit to answer.
    pub(super) latency: Histogram,
    /// By how much submits were made later than they were due.
    pub(super) late: Histogram,
    /// Submits that were due and that a connection did not take.
    pub(super) unmade: u64,
    /// Connections that got a job.
    pub(super) ready: usize,
    /// When the last of them did.
    pub(super) last_ready: Option<Instant>,
    /// Connections that ended before they had a job, and after, by reason.
    pub(super) failed: BTreeMap<String, u64>,
    pub(super) dropped: BTreeMap<String, u64>,
    jobs: HashMap<String, Arrivals>,
}

/// A job's way to the connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrivals {
    /// Connections that have it.
    pub(super) count: usize,
    first: Instant,
    last: Instant,
}

impl Arrivals {
    /// From the first connection to the last.
    pub(super) fn spread(&self) -> Duration {
        self.last.saturating_duration_since(self.first)
    }
}

impl Tally {
    /// The counts, for a moment.
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Forgets the submits and jobs of before; the connections are the same.
    pub(super) fn begin(&mut self) {
        *self = Self {
            ready: self.ready,
            last_ready: self.last_ready,
            failed: std::mem::take(&mut self.failed),
            dropped: std::mem::take(&mut self.dropped),
            ..Self::default()
        };
    }

    /// Submits that were answered.
    pub(super) const fn answers(&self) -> u64 {
        self.latency.total()
    }

    pub(super) fn answered(&mut self, took: Duration, refused: Option<String>) {
        self.latency.record(took);
        match refused {
            None => self.accepted += 1,
            Some(reason) => count(&mut self.refused, reason),
        }
    }

    pub(super) fn job(&mut self, id: String, now: Instant) {
        if self.jobs.len() >= JOBS {
            return;
        }
        let arrivals = self.jobs.entry(id).or_insert(Arrivals { count: 0, first: now, last: now });
        arrivals.count += 1;
        arrivals.last = arrivals.last.max(now);
    }

    /// The jobs that reached so many connections at least. A job that only one got is one announced again.
    pub(super) fn jobs_of(&self, connections: usize) -> impl Iterator<Item = &Arrivals> {
        self.jobs.values().filter(move |arrivals| arrivals.count >= connections)
    }

    pub(super) fn is_ready(&mut self, now: Instant) {
        self.ready += 1;
        self.last_ready = self.last_ready.max(Some(now));
    }

    pub(super) fn failed(&mut self, reason: String) {
        count(&mut self.failed, reason);
    }

    pub(super) fn dropped(&mut self, reason: String) {
        count(&mut self.dropped, reason);
    }

    /// What most connections ended by that never had a job.
    pub(super) fn commonest_end(&self) -> String {
        let most = self.failed.iter().max_by_key(|(_, count)| **count);
        most.map_or_else(|| "it sent none within a minute".into(), |(reason, _)| reason.clone())
    }
}

fn count(counts: &mut BTreeMap<String, u64>, reason: String) {
    if counts.len() < REASONS || counts.contains_key(&reason) {
        *counts.entry(reason).or_default() += 1;
    } else {
        *counts.entry("other reasons".into()).or_default() += 1;
    }
}
