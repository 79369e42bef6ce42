//! The sessions that are alive: their number is bounded, and each has an extranonce of its own.

use super::stats::{SessionSnapshot, SessionStats};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All sessions of all listeners. Clones share them.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    next: u32,
    most: usize,
    live: BTreeMap<u32, (SocketAddr, Arc<SessionStats>)>,
}

/// A place among the sessions, given back when dropped.
#[derive(Debug)]
pub struct Place {
    sessions: Sessions,
    number: u32,
    /// The session's counters.
    pub stats: Arc<SessionStats>,
}

impl Sessions {
    /// None yet, and room for `most`. Extranonces count up from `start`, which should be random, so that work done
    /// before a restart is not done again.
    pub fn new(start: u32, most: usize) -> Self {
        Self(Arc::new(Mutex::new(State { next: start, most, live: BTreeMap::new() })))
    }

    /// A place for a new session, if there is one.
    pub fn admit(&self, remote: SocketAddr) -> Option<Place> {
        let mut state = self.state();
        if state.live.len() >= state.most {
            return None;
        }
        while state.live.contains_key(&state.next) {
            state.next = state.next.wrapping_add(1);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let stats = Arc::new(SessionStats::default());
        state.live.insert(number, (remote, Arc::clone(&stats)));
        Some(Place { sessions: self.clone(), number, stats })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.state().live.len()
    }

    /// The counters of all, with the address of each.
    pub fn snapshot(&self) -> Vec<(SocketAddr, SessionSnapshot)> {
        let live: Vec<_> = self.state().live.values().cloned().collect();
        live.into_iter().map(|(remote, stats)| (remote, stats.snapshot())).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The four bytes that no other live session has.
    pub const fn extranonce1(&self) -> [u8; 4] {
        self.number.to_be_bytes()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sessions.state().live.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn live_sessions_never_share_an_extranonce_and_are_bounded() {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let sessions = Sessions::new(u32::MAX, 3);
        let first = sessions.admit(remote).expect("room");
        let second = sessions.admit(remote).expect("room");
        assert_eq!((first.extranonce1(), second.extranonce1()), ([0xff; 4], [0; 4]));
        sessions.state().next = u32::MAX;
        let third = sessions.admit(remote).expect("room");
        assert_eq!(third.extranonce1(), [0, 0, 0, 1], "those in use are passed over");
        assert!(sessions.admit(remote).is_none());
        drop(second);
        assert_eq!(sessions.count(), 2);
        let fourth = sessions.admit(remote).expect("room again");
        assert_eq!(fourth.extranonce1(), [0, 0, 0, 2], "an extranonce rests before it comes back");
        fourth.stats.count(true);
        assert_eq!(sessions.snapshot().iter().map(|(_, snapshot)| snapshot.accepted).sum::<u64>(), 1);
    }
}
