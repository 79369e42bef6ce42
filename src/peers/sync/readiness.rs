//! When miners may be served: once level with the peers, at once where none are expected, and after a while in which
//! nothing has come of them, since a pool of one is better than idle machines.

use std::time::Duration;

/// How long peers are waited for.
pub(super) const ALONE_AFTER: Duration = Duration::from_secs(120);

/// Decides once.
#[derive(Debug)]
pub(super) struct Readiness {
    expects_peers: bool,
    /// When a peer was first reached, or blocks of one came.
    got_on: Duration,
    is_ready: bool,
}

impl Readiness {
    pub(super) const fn new(expects_peers: bool, now: Duration) -> Self {
        Self { expects_peers, got_on: now, is_ready: false }
    }

    /// Whether miners may be served from now on, told once; true when that is only because
    /// nothing comes of the peers.
    pub(super) fn tick(&mut self, is_getting_on: bool, is_current: bool, now: Duration) -> Option<bool> {
        if is_getting_on {
            self.got_on = now;
        }
        let is_alone = now.saturating_sub(self.got_on) >= ALONE_AFTER;
        if self.is_ready || !(is_current || is_alone || !self.expects_peers) {
            return None;
        }
        self.is_ready = true;
        Some(self.expects_peers && !is_current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_node_that_expects_nobody_is_ready_at_once_and_says_so_once() {
        let mut readiness = Readiness::new(false, at(5));
        assert_eq!(readiness.tick(false, false, at(5)), Some(false));
        assert_eq!(readiness.tick(false, true, at(6)), None);
    }

    #[test]
    fn a_node_is_ready_when_level_with_its_peers() {
        let mut readiness = Readiness::new(true, at(0));
        assert_eq!(readiness.tick(true, false, at(119)), None);
        assert_eq!(readiness.tick(true, false, at(238)), None, "it syncs, however long");
        assert_eq!(readiness.tick(false, false, at(239)), None);
        assert_eq!(readiness.tick(true, true, at(240)), Some(false));
    }

    #[test]
    fn two_minutes_alone_are_enough() {
        let mut readiness = Readiness::new(true, at(0));
        assert_eq!(readiness.tick(false, false, at(119)), None);
        assert_eq!(readiness.tick(false, false, at(120)), Some(true));
        let mut left = Readiness::new(true, at(0));
        assert_eq!(left.tick(true, false, at(100)), None);
        assert_eq!(left.tick(false, false, at(219)), None, "counted from the last block that came");
        assert_eq!(left.tick(false, false, at(220)), Some(true));
    }
}
