//! What the owner of a device should know, and how it is noticed: too little room, work that misses by far, work that
//! is refused without end.

use super::device::TooSmall;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Submits from the first on that must all miss by far before the device is told.
const MISSES: u8 = 8;
/// Refused submits in a row, and the time since the first of them, after which the device is asked to connect anew.
const MOST_REFUSED: u32 = 8;
const REFUSED_UNTIL_RECONNECT: Duration = Duration::from_secs(120);
/// How long after that first one the connection is closed.
const REFUSED_UNTIL_CLOSED: Duration = Duration::from_secs(180);
/// Refused submits in a row after which it is closed whatever the time.
const MOST_REFUSED_EVER: u32 = 4_096;

/// Told to the device by `client.show_message`, and to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Trouble {
    /// It gets no work.
    #[error("No work for this device: {0}. If you know that it holds more, put c={least} into its password.{way}",
        least = .0.least, way = other_way(*.1))]
    TooSmall(TooSmall, Option<u16>),
    /// It gets work, and does something else.
    #[error("None of the first {MISSES} submits came near the target: this device probably cuts the coinbase short. \
        Update its firmware, or ask for less with c={least} in its password.{way}", way = other_way(*.stratum_v2))]
    MissesByFar {
        /// The outputs of the smallest coinbase that there is.
        least: u16,
        /// The port of this node's Stratum V2.
        stratum_v2: Option<u16>,
    },
}

/// Where the coinbase does not matter.
fn other_way(stratum_v2: Option<u16>) -> String {
    stratum_v2
        .map(|port| format!(" Stratum V2 standard channels (port {port}) have no such limit."))
        .unwrap_or_default()
}

/// Looks at the first submits: a device that hashes another coinbase than it was given misses all of them by far.
#[derive(Debug, Default)]
pub(super) struct FirstSubmits {
    missed: u8,
    settled: bool,
}

impl FirstSubmits {
    /// Takes the next submit. True when there have been enough of them, all bad.
    pub(super) const fn on_submit(&mut self, missed_by_far: bool) -> bool {
        if self.settled {
            return false;
        }
        self.missed = self.missed.saturating_add(1);
        self.settled = !missed_by_far || self.missed >= MISSES;
        missed_by_far && self.settled
    }
}

/// Counts the submits that were refused since the last one that was accepted.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    count: u32,
    since: Option<Instant>,
    told: bool,
}

/// What is to be done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Measure {
    Nothing,
    /// Ask it to connect again, which helps devices that have lost track.
    Reconnect,
    Close,
}

impl Refusals {
    /// Counts a submit.
    pub(crate) fn on_submit(&mut self, accepted: bool, now: Instant) {
        if accepted {
            *self = Self::default();
        } else {
            self.count = self.count.saturating_add(1);
            self.since.get_or_insert(now);
        }
    }

    /// To be called every few seconds.
    pub(crate) fn on_tick(&mut self, now: Instant) -> Measure {
        let Some(since) = self.since else { return Measure::Nothing };
        let lasted = now.saturating_duration_since(since);
        if self.count >= MOST_REFUSED_EVER {
            return Measure::Close;
        }
        if self.count < MOST_REFUSED || lasted < REFUSED_UNTIL_RECONNECT {
            return Measure::Nothing;
        }
        if !std::mem::replace(&mut self.told, true) {
            return Measure::Reconnect;
        }
        if lasted >= REFUSED_UNTIL_CLOSED { Measure::Close } else { Measure::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_that_misses_from_the_start_is_told() {
        let mut first = FirstSubmits::default();
        let told: Vec<bool> = (0..20).map(|_| first.on_submit(true)).collect();
        assert_eq!(told.iter().position(|told| *told), Some(usize::from(MISSES) - 1));
        assert_eq!(told.iter().filter(|told| **told).count(), 1, "once");
        let mut first = FirstSubmits::default();
        assert!((0..40).all(|n| !first.on_submit(n != 3)), "one was near");
    }

    #[test]
    fn refusals_without_end_lead_to_a_new_connection_and_then_to_none() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.on_tick(at(1_000)), Measure::Nothing);
        (0..u64::from(MOST_REFUSED)).for_each(|n| refusals.on_submit(false, at(n)));
        assert_eq!(refusals.on_tick(at(119)), Measure::Nothing);
        assert_eq!(refusals.on_tick(at(120)), Measure::Reconnect);
        assert_eq!(refusals.on_tick(at(122)), Measure::Nothing, "once");
        assert_eq!(refusals.on_tick(at(180)), Measure::Close);
        refusals.on_submit(true, at(181));
        assert_eq!(refusals.on_tick(at(182)), Measure::Nothing, "one that is accepted makes up for all");
        (1..MOST_REFUSED).for_each(|_| refusals.on_submit(false, at(182)));
        assert_eq!(refusals.on_tick(at(900)), Measure::Nothing, "too few to tell");
        (0..MOST_REFUSED_EVER).for_each(|_| refusals.on_submit(false, at(901)));
        assert_eq!(refusals.on_tick(at(902)), Measure::Close);
    }

    #[test]
    fn the_texts_name_the_way_out() {
        let small = TooSmall { holds: 1, least: 11 };
        let text = Trouble::TooSmall(small, Some(34_254)).to_string();
        assert_eq!(
            text,
            "No work for this device: it holds coinbases of 1 outputs, and jobs here have up to 11. If you know that it \
             holds more, put c=11 into its password. Stratum V2 standard channels (port 34254) have no such limit."
        );
        let misses = Trouble::MissesByFar { least: 4, stratum_v2: Some(34_254) };
        assert!(misses.to_string().contains("c=4 "), "{misses}");
        // What devices show of a message.
        assert!(text.len() <= 256 && misses.to_string().len() <= 256);
        assert!(!Trouble::TooSmall(small, None).to_string().contains("V2"));
    }
}
