//! Keeps the log from being filled by others: one line for each address and reason in ten minutes.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;
use tokio::time::Instant;

/// Most addresses that are remembered; then all are forgotten.
const MAX_REMEMBERED: usize = 1_024;
const PAUSE: Duration = Duration::from_secs(600);

/// What was said lately.
#[derive(Debug)]
pub(super) struct Quiet<K>(HashMap<K, Instant>);

impl<K> Default for Quiet<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq> Quiet<K> {
    /// Whether to say it; from now on it has been said.
    pub(super) fn may_say(&mut self, about: K) -> bool {
        let now = Instant::now();
        if self.0.get(&about).is_some_and(|said| now.duration_since(*said) < PAUSE) {
            return false;
        }
        if self.0.len() >= MAX_REMEMBERED {
            self.0.clear();
        }
        self.0.insert(about, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn everything_is_said_once_in_a_while() {
        let mut quiet = Quiet::default();
        assert!(quiet.may_say(1) && !quiet.may_say(1) && quiet.may_say(2));
        tokio::time::advance(PAUSE).await;
        assert!(quiet.may_say(1));
        for n in 0..10_000 {
            quiet.may_say(n);
        }
        assert!(quiet.0.len() <= MAX_REMEMBERED);
    }
}
