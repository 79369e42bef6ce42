//! What happens, told to whoever listens: a bounded stream that waits for nobody, and the alarms of late.

use super::form::EventForm;
use super::health::Alarm;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Events that a listener may be behind before it misses some.
const MAX_BEHIND: usize = 1_024;
/// Alarms that are remembered: the newest.
const MAX_ALARMS: usize = 64;

/// An event with its number, which counts up from 1 in each run of the node.
#[derive(Clone, Debug)]
pub struct Told {
    /// The number.
    pub number: u64,
    /// The event.
    pub event: EventForm,
}

/// Where events are told. Clones share it.
#[derive(Clone, Debug)]
pub struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Tells the runs of nodes apart; drawn.
    run: u64,
    sender: broadcast::Sender<Arc<Told>>,
    /// Of the newest event. Held while one is told, so that events come in the order of their numbers.
    number: Mutex<u64>,
    alarms: Mutex<VecDeque<Alarm>>,
}

impl Default for Events {
    fn default() -> Self {
        let sender = broadcast::Sender::new(MAX_BEHIND);
        let run = RandomState::new().build_hasher().finish();
        Self(Arc::new(Shared { run, sender, number: Mutex::new(0), alarms: Mutex::default() }))
    }
}

impl Events {
    /// Tells all who listen.
    pub fn tell(&self, event: EventForm) {
        self.tell_after(0, event);
    }

    fn tell_after(&self, missed: u64, event: EventForm) {
        let mut number = self.number();
        *number += missed + 1;
        // An error means that nobody listens.
        let _ = self.0.sender.send(Arc::new(Told { number: *number, event }));
    }

    /// Whether anybody listens.
    pub fn is_heard(&self) -> bool {
        self.0.sender.receiver_count() > 0
    }

    /// Counts events that could not be told.
    pub fn skip(&self, events: u64) {
        self.tell_after(events, EventForm::Missed { events, restarted: false });
    }

    /// Remembers an alarm and tells of it.
    pub fn alarm(&self, alarm: Alarm) {
        self.tell(EventForm::Alarm {
            time: alarm.time,
            id: alarm.id.to_owned(),
            says: alarm.says.clone(),
            cure: alarm.cure.to_owned(),
        });
        let mut alarms = self.alarms_kept();
        if alarms.len() >= MAX_ALARMS {
            alarms.pop_front();
        }
        alarms.push_back(alarm);
    }

    /// The alarms of late, oldest first.
    pub fn alarms(&self) -> Vec<Alarm> {
        self.alarms_kept().iter().cloned().collect()
    }

    /// The number of the newest event, and what comes after it.
    pub fn listen(&self) -> (u64, broadcast::Receiver<Arc<Told>>) {
        let number = self.number();
        (*number, self.0.sender.subscribe())
    }

    /// What names the event of this number among those of all runs.
    pub fn id(&self, number: u64) -> String {
        format!("{:016x}-{number}", self.0.run)
    }

    /// The number that such a name tells; none where it is not of this run.
    pub fn number_of(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        let is_of_this = u64::from_str_radix(run, 16) == Ok(self.0.run);
        number.parse().ok().filter(|_| is_of_this)
    }

    fn number(&self) -> MutexGuard<'_, u64> {
        self.0.number.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn alarms_kept(&self) -> MutexGuard<'_, VecDeque<Alarm>> {
        self.0.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::broadcast::error::TryRecvError;

    #[test]
    fn a_slow_listener_learns_how_many_it_missed() {
        let events = Events::default();
        assert!(!events.is_heard());
        events.tell(EventForm::Missed { events: 0, restarted: false });
        let (number, mut slow) = events.listen();
        assert_eq!(number, 1);
        for _ in 0..MAX_BEHIND + 7 {
            events.tell(EventForm::Missed { events: 0, restarted: false });
        }
        assert!(matches!(slow.try_recv(), Err(TryRecvError::Lagged(7))));
        assert_eq!(slow.try_recv().expect("the next").number, 9);
    }

    #[test]
    fn names_of_events_tell_runs_apart() {
        let (this, other) = (Events::default(), Events::default());
        assert_eq!(this.number_of(&this.id(7)), Some(7));
        assert_eq!(this.number_of(&other.id(7)), None);
        for id in ["", "7", "-7", "x-7", "7-", "0-0-0"] {
            assert_eq!(this.number_of(id), None, "{id}");
        }
    }

    #[test]
    fn alarms_are_kept_up_to_a_bound() {
        let events = Events::default();
        for time in 0..100 {
            events.alarm(Alarm { time, id: "x", says: String::new(), cure: "" });
        }
        let alarms = events.alarms();
        assert_eq!((alarms.len(), alarms[0].time, alarms[63].time), (MAX_ALARMS, 36, 99));
    }
}
