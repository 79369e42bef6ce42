//! Where the client puts the newest job and the threads find it.

use super::job::Job;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One job, or none while there is no connection.
#[derive(Debug, Default)]
pub(super) struct Slot {
    state: Mutex<State>,
    changed: Condvar,
    /// Counts the changes, so that threads notice one without the lock.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    job: Option<Arc<Job>>,
    closed: bool,
}

impl Slot {
    /// Replaces the job.
    pub(super) fn put(&self, job: Option<Arc<Job>>) {
        self.state().job = job;
        self.notify();
    }

    /// There will be no more jobs.
    pub(super) fn close(&self) {
        self.state().closed = true;
        self.notify();
    }

    /// Whether there will be no more jobs.
    pub(super) fn is_closed(&self) -> bool {
        self.state().closed
    }

    /// A number that is another after every change.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The job and the number of the change that brought it, waited for if there is none; none after the end.
    pub(super) fn wait(&self) -> Option<(u64, Arc<Job>)> {
        let mut state = self.state();
        loop {
            if state.closed {
                return None;
            }
            if let Some(job) = &state.job {
                return Some((self.changes(), Arc::clone(job)));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn notify(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
