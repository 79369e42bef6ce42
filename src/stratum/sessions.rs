//! The sessions that are alive: their number is bounded, and each has an extranonce of its own. And what is left of
//! those that ended lately, for devices that come back.

use super::account::Account;
use super::difficulty::Difficulty;
use super::record::{MinerRecord, MinerSnapshot};
use super::seats::{NoSeat, Seat, Seats};
use super::served::{MAX_AGE, ServedJobs};
use super::visitor::Visitor;
use crate::metrics::Metrics;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Most ended sessions that can be resumed.
const MAX_RESTING: usize = 1_024;
/// Most records of miners that have gone; what the oldest counted since somebody looked is then not added up.
const MAX_GONE: usize = 4_096;

/// All sessions of all listeners. Clones share them.
#[derive(Clone, Debug)]
pub struct Sessions {
    seats: Seats,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    next: u32,
    live: BTreeMap<u32, Arc<MinerRecord>>,
    /// In the order in which they ended.
    resting: VecDeque<(u32, Rest)>,
    /// Records of miners that have gone, until somebody adds them up.
    gone: VecDeque<Arc<MinerRecord>>,
    metrics: Metrics,
}

/// What is left of a session that ended: all that makes late shares and repeated work known.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) jobs: ServedJobs,
    pub(crate) account: Account,
    pub(crate) difficulty: Difficulty,
    /// When it ended.
    pub(crate) since: Instant,
}

/// A place among the sessions, given back when dropped.
#[derive(Debug)]
pub struct Place {
    sessions: Sessions,
    _seat: Seat,
    number: u32,
    /// What is to be kept when it is given back.
    rest: Option<Box<Rest>>,
    /// What the operator sees of whoever has it.
    pub(crate) record: Arc<MinerRecord>,
}

impl Sessions {
    /// None yet, and room for `most`, of which one address gets a part. Extranonces count up from `start`, which should be random, so that work done
    /// before a restart is not done again.
    pub fn new(start: u32, most: usize) -> Self {
        let (live, resting, gone) = (BTreeMap::new(), VecDeque::new(), VecDeque::new());
        let state = State { next: start, live, resting, gone, metrics: Metrics::default() };
        Self { seats: Seats::new(most), state: Arc::new(Mutex::new(state)) }
    }

    /// The same, and the submits of all of them are counted there.
    #[must_use]
    pub fn measured_by(self, metrics: Metrics) -> Self {
        self.state().metrics = metrics;
        self
    }

    /// A place for a new session, if there is one for this visitor.
    pub fn admit(&self, visitor: Visitor) -> Result<Place, NoSeat> {
        let seat = self.seats.take(&visitor)?;
        let mut state = self.state();
        while state.is_taken(state.next) {
            state.next = state.next.wrapping_add(1);
        }
        let number = state.next;
        state.next = number.wrapping_add(1);
        let record = Arc::new(MinerRecord::new(visitor, state.metrics.clone()));
        state.live.insert(number, Arc::clone(&record));
        Ok(Place { sessions: self.clone(), _seat: seat, number, rest: None, record })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.seats.taken()
    }

    /// The miners at these places, as they are now; whoever came first is at 0.
    pub fn snapshot(&self, places: Range<usize>, now: Instant) -> Vec<MinerSnapshot> {
        let mut live = self.records();
        live.sort_by_key(|record| record.visitor().since);
        live.iter().skip(places.start).take(places.len()).map(|record| record.snapshot(now)).collect()
    }

    /// What is known of each miner.
    fn records(&self) -> Vec<Arc<MinerRecord>> {
        self.state().live.values().cloned().collect()
    }

    /// What is known of each miner, and of those that have gone since this was last asked for. For one reader.
    pub(crate) fn take_records(&self) -> (Vec<Arc<MinerRecord>>, Vec<Arc<MinerRecord>>) {
        let mut state = self.state();
        (state.live.values().cloned().collect(), state.gone.drain(..).collect())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_taken(&self, number: u32) -> bool {
        self.live.contains_key(&number) || self.resting.iter().any(|(resting, _)| *resting == number)
    }

    /// Forgets what ended too long ago, or is too much.
    fn forget(&mut self, now: Instant) {
        let is_old = |(_, rest): &(u32, Rest)| now.saturating_duration_since(rest.since) > MAX_AGE;
        while self.resting.len() > MAX_RESTING || self.resting.front().is_some_and(is_old) {
            self.resting.pop_front();
        }
    }
}

impl Place {
    /// The four bytes that no other live session has.
    pub const fn extranonce1(&self) -> [u8; 4] {
        self.number.to_be_bytes()
    }

    /// Takes the extranonce of a session that ended lately instead, and what is left of that.
    pub(crate) fn resume(&mut self, extranonce1: [u8; 4], now: Instant) -> Option<Rest> {
        let wanted = u32::from_be_bytes(extranonce1);
        let mut state = self.sessions.state();
        state.forget(now);
        let at = state.resting.iter().position(|(number, _)| *number == wanted)?;
        let (_, rest) = state.resting.remove(at)?;
        if let Some(this) = state.live.remove(&self.number) {
            state.live.insert(wanted, this);
        }
        drop(state);
        self.number = wanted;
        Some(rest)
    }

    /// Gives the place back, so that a device that comes back can resume.
    pub(crate) fn leave(mut self, rest: Rest) {
        self.rest = Some(Box::new(rest));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.sessions.state();
        state.live.remove(&self.number);
        if state.gone.len() == MAX_GONE {
            state.gone.pop_front();
        }
        state.gone.push_back(Arc::clone(&self.record));
        if let Some(rest) = self.rest.take() {
            let now = rest.since;
            state.resting.push_back((self.number, *rest));
            state.forget(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::record::Reason;
    use crate::stratum::visitor::Protocol;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    fn visitor() -> Visitor {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        Visitor::new(remote, Protocol::Stratum, Instant::now())
    }

    fn rest(since: Instant) -> Rest {
        let (jobs, account) = (ServedJobs::default(), Account::default());
        Rest { jobs, account, difficulty: Difficulty::ONE, since }
    }

    #[test]
    fn an_extranonce_is_given_back_once_and_only_for_some_minutes() {
        let (sessions, start) = (Sessions::new(7, 3), Instant::now());
        let admit = || sessions.admit(visitor()).expect("room");
        let (first, mut second) = (admit(), admit());
        let seventh = first.extranonce1();
        assert!(second.resume(seventh, start).is_none(), "it is alive");
        first.leave(rest(start));
        sessions.state().next = 7;
        assert_eq!(admit().extranonce1(), [0, 0, 0, 9], "nobody else gets it");
        assert!(second.resume(seventh, start + MAX_AGE).is_some());
        assert_eq!((second.extranonce1(), sessions.count()), (seventh, 1));
        assert!(admit().resume(seventh, start).is_none(), "not twice");
        second.leave(rest(start));
        assert!(admit().resume(seventh, start + MAX_AGE + Duration::from_secs(1)).is_none());
        assert_eq!((sessions.count(), sessions.state().resting.len()), (0, 0));
    }

    #[test]
    fn what_rests_is_bounded() {
        let (sessions, now) = (Sessions::new(0, 1), Instant::now());
        for _ in 0..2 * MAX_RESTING {
            sessions.admit(visitor()).expect("room").leave(rest(now));
        }
        assert_eq!(sessions.state().resting.len(), MAX_RESTING);
        let last = u32::try_from(2 * MAX_RESTING - 1).expect("small").to_be_bytes();
        assert!(sessions.admit(visitor()).expect("room").resume(last, now).is_some(), "the newest are kept");
    }

    #[test]
    fn live_sessions_never_share_an_extranonce_and_are_bounded() {
        let sessions = Sessions::new(u32::MAX, 3);
        let first = sessions.admit(visitor()).expect("room");
        let second = sessions.admit(visitor()).expect("room");
        assert_eq!((first.extranonce1(), second.extranonce1()), ([0xff; 4], [0; 4]));
        sessions.state().next = u32::MAX;
        let third = sessions.admit(visitor()).expect("room");
        assert_eq!(third.extranonce1(), [0, 0, 0, 1], "those in use are passed over");
        assert!(sessions.admit(visitor()).is_err());
        drop(second);
        assert_eq!(sessions.count(), 2);
        let fourth = sessions.admit(visitor()).expect("room again");
        assert_eq!(fourth.extranonce1(), [0, 0, 0, 2], "an extranonce rests before it comes back");
        let now = Instant::now();
        fourth.record.on_submit(Err(Reason::Stale), now);
        let stale = |places| -> Vec<u64> {
            sessions.snapshot(places, now).iter().map(|miner| miner.tally.refused.stale).collect()
        };
        assert_eq!(stale(0..9), [0, 0, 1], "in the order in which they came");
        assert_eq!((stale(2..3), stale(0..2), stale(3..9)), (vec![1], vec![0, 0], vec![]));
    }
}
