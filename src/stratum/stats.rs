//! What is counted of each session, for the operator to look at. Written by the session, read by anybody.

use super::difficulty::Difficulty;
use sharechain::owner::Owner;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The counters of one session.
#[derive(Debug, Default)]
pub struct SessionStats {
    accepted: AtomicU64,
    rejected: AtomicU64,
    difficulty: AtomicI32,
    who: Mutex<Who>,
}

/// Who a session says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Name and version of the mining program, cut to a bounded length.
    pub user_agent: String,
    /// The user name that was authorized first.
    pub user: String,
    /// Whom its shares are credited to, once authorized.
    pub owner: Option<Owner>,
}

/// The counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionSnapshot {
    /// Who it is.
    pub who: Who,
    /// Submits that were accepted.
    pub accepted: u64,
    /// Submits that were refused.
    pub rejected: u64,
    /// The difficulty announced last.
    pub difficulty: Difficulty,
}

impl SessionStats {
    /// Counts a submit.
    pub fn count(&self, accepted: bool) {
        let counter = if accepted { &self.accepted } else { &self.rejected };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the difficulty that was announced.
    pub fn set_difficulty(&self, difficulty: Difficulty) {
        self.difficulty.store(difficulty.exponent(), Ordering::Relaxed);
    }

    /// Changes what is known of who it is.
    pub fn set_who(&self, change: impl FnOnce(&mut Who)) {
        change(&mut self.who.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All of it, now.
    pub fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot {
            who: self.who.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            accepted: self.accepted.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            difficulty: Difficulty::power_of_two(self.difficulty.load(Ordering::Relaxed)),
        }
    }
}
