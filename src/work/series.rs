//! The jobs asked for: one series for each owner and payout class that somebody mines for.

use super::job::Job;
use super::source::WorkSource;
use sharechain::owner::Owner;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// Most series at a time: owners times classes that one node serves.
pub const MAX_SERIES: usize = 4_096;

/// What a series is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Whom the shares are credited to.
    pub owner: Owner,
    /// The payout class.
    pub class: u16,
}

type JobSender = watch::Sender<Option<Arc<Job>>>;

/// The register of series, shared by those who ask for jobs and the builder who makes them.
///
/// The lock is held for look-ups only, never while a job is made.
#[derive(Debug, Default)]
pub struct SeriesRegister {
    series: Mutex<BTreeMap<SeriesKey, JobSender>>,
    asked: Notify,
}

impl SeriesRegister {
    /// The series that somebody still listens to; the others are forgotten.
    pub fn live(&self) -> Vec<(SeriesKey, JobSender)> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|_, sender| sender.receiver_count() > 0);
        series.iter().map(|(key, sender)| (*key, sender.clone())).collect()
    }

    /// Waits until a new series is asked for.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Forgets all series, so that those who listen learn that there is no more work.
    pub fn close(&self) {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl WorkSource for SeriesRegister {
    fn subscribe(&self, owner: Owner, class: u16) -> watch::Receiver<Option<Arc<Job>>> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = series.get(&SeriesKey { owner, class }) {
            return sender.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        // Over the bound the sender is dropped here: the miner is told that there is no work, and others keep theirs.
        if series.len() < MAX_SERIES {
            series.insert(SeriesKey { owner, class }, sender);
            self.asked.notify_one();
        }
        receiver
    }
}
