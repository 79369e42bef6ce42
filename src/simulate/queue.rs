//! The event queue and the virtual clock: events come out by time, and among equals in the order in which they went in.

use sharechain::units::UnixTime;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// The Unix time at which every simulation starts.
const START: u32 = 1_800_000_000;

/// Virtual microseconds since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    /// This many seconds after the start.
    pub fn at_seconds(seconds: f64) -> Self {
        Self((seconds * 1e6) as u64)
    }

    /// Seconds since the start.
    pub fn seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// This moment and some seconds more.
    pub fn after(self, seconds: f64) -> Self {
        Self(self.0.saturating_add((seconds * 1e6) as u64))
    }

    /// What clocks show.
    pub fn unix(self) -> UnixTime {
        UnixTime(START.saturating_add(u32::try_from(self.0 / 1_000_000).unwrap_or(u32::MAX)))
    }

    /// When clocks begin to show `time`.
    pub fn of_unix(time: UnixTime) -> Self {
        Self(u64::from(time.0.saturating_sub(START)) * 1_000_000)
    }
}

/// Events that have not happened yet.
#[derive(Debug)]
pub struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    sequence: u64,
    now: Moment,
}

#[derive(Debug)]
struct Entry<E> {
    at: Moment,
    sequence: u64,
    event: E,
}

impl<E> Queue<E> {
    /// Nothing is due, and the clock is at the start.
    pub const fn new() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0, now: Moment(0) }
    }

    /// The time of the event that came out last.
    pub const fn now(&self) -> Moment {
        self.now
    }

    /// Puts in an event; what is in the past happens now.
    pub fn push(&mut self, at: Moment, event: E) {
        self.sequence += 1;
        self.heap.push(Entry { at: at.max(self.now), sequence: self.sequence, event });
    }

    /// Puts in an event some seconds from now.
    pub fn push_after(&mut self, seconds: f64, event: E) {
        self.push(self.now.after(seconds), event);
    }

    /// The next event, if it comes before `end`; the clock is then at its time.
    pub fn pop_before(&mut self, end: Moment) -> Option<E> {
        if self.heap.peek().is_none_or(|entry| entry.at >= end) {
            return None;
        }
        let entry = self.heap.pop()?;
        self.now = entry.at;
        Some(entry.event)
    }

    /// How many events have gone in.
    pub const fn count(&self) -> u64 {
        self.sequence
    }
}

impl<E> Default for Queue<E> {
    fn default() -> Self {
        Self::new()
    }
}

// The heap gives the greatest first, so that the earliest must be the greatest.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_order() {
        let mut queue = Queue::new();
        for (at, name) in [(3, 'd'), (1, 'a'), (3, 'e'), (2, 'b'), (2, 'c'), (9, 'z')] {
            queue.push(Moment(at), name);
        }
        let order: String = std::iter::from_fn(|| queue.pop_before(Moment(9))).collect();
        assert_eq!(order, "abcde");
        assert_eq!(queue.now(), Moment(3));
        queue.push(Moment(1), 'f');
        assert_eq!(queue.pop_before(Moment(9)), Some('f'), "the past happens now");
        assert_eq!((queue.now(), queue.count()), (Moment(3), 7));
    }

    #[test]
    fn clocks_show_whole_seconds() {
        assert_eq!(Moment::at_seconds(1.999_999).unix(), UnixTime(START + 1));
        assert_eq!(Moment::of_unix(UnixTime(START + 2)), Moment::at_seconds(2.0));
    }
}
