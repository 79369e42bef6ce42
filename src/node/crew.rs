//! Who of the miners has gone, and who has come back: one rule, and no clock of its own.
//!
//! A worker is a name. It is at work from its first accepted share on; it is gone when there was none for as long as
//! the settings say, connected or not: a device that is connected and finds nothing is as bad as one that is switched off.

use crate::api::form::EventForm;
use crate::stratum::session::Now;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Most workers that are watched; beyond it the one that has been silent for the longest is forgotten.
const MAX_WATCHED: usize = 1_024;

/// The workers that are watched.
#[derive(Debug)]
pub(super) struct Crew {
    workers: BTreeMap<String, Worker>,
    /// How long a worker may be silent.
    gone_after: Duration,
}

#[derive(Debug)]
struct Worker {
    last_share: Instant,
    is_gone: bool,
}

impl Crew {
    /// Nobody yet; who is silent for so long is gone.
    pub(super) const fn new(gone_after: Duration) -> Self {
        Self { workers: BTreeMap::new(), gone_after }
    }

    /// Takes it that these were at work just now: those of an earlier run of the node.
    pub(super) fn expect(&mut self, names: impl IntoIterator<Item = String>, now: Instant) {
        self.workers.extend(names.into_iter().map(|name| (name, Worker { last_share: now, is_gone: false })));
        self.forget();
    }

    /// What has changed, now that these have handed in shares since the last time.
    pub(super) fn step<'a>(&mut self, worked: impl IntoIterator<Item = &'a str>, now: Now) -> Vec<EventForm> {
        let mut events = Vec::new();
        for name in worked {
            let fresh = Worker { last_share: now.instant, is_gone: false };
            if let Some(Worker { last_share, is_gone: true }) = self.workers.insert(name.to_owned(), fresh) {
                let silent_seconds = now.instant.saturating_duration_since(last_share).as_secs();
                events.push(EventForm::WorkerBack { time: now.unix, name: name.to_owned(), silent_seconds });
            }
        }
        for (name, worker) in &mut self.workers {
            let silent = now.instant.saturating_duration_since(worker.last_share);
            if !worker.is_gone && silent >= self.gone_after {
                worker.is_gone = true;
                let (name, silent_seconds) = (name.clone(), silent.as_secs());
                events.push(EventForm::WorkerGone { time: now.unix, name, silent_seconds });
            }
        }
        self.forget();
        events
    }

    fn forget(&mut self) {
        while self.workers.len() > MAX_WATCHED {
            let silent = self.workers.iter().min_by_key(|(_, worker)| worker.last_share);
            let Some(name) = silent.map(|(name, _)| name.clone()) else { return };
            self.workers.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn who_has_worked_and_is_silent_is_gone_once_and_is_back_with_the_next_share() {
        let (mut crew, start) = (Crew::new(TEN_MINUTES), Instant::now());
        let mut step = |seconds: u32, worked: &[&str]| -> Vec<String> {
            let now = Now { instant: start + Duration::from_secs(seconds.into()), unix: seconds };
            let events = crew.step(worked.iter().copied(), now);
            let brief = |event: EventForm| match event {
                EventForm::WorkerGone { time, name, silent_seconds } => {
                    format!("{time}: {name} -{silent_seconds}")
                }
                EventForm::WorkerBack { time, name, silent_seconds } => {
                    format!("{time}: {name} +{silent_seconds}")
                }
                other => panic!("{other:?}"),
            };
            events.into_iter().map(brief).collect()
        };
        let nothing: [&str; 0] = [];
        assert_eq!(step(0, &["a", "b"]), nothing);
        assert_eq!(step(300, &["a"]), nothing);
        assert_eq!(step(599, &[]), nothing);
        assert_eq!(step(600, &[]), ["600: b -600"]);
        assert_eq!(step(630, &[]), nothing, "it is said once");
        assert_eq!(step(899, &["c"]), nothing);
        assert_eq!(step(930, &["b"]), ["930: b +930", "930: a -630"]);
        assert_eq!(step(1_529, &["a"]), ["1529: a +1229", "1529: c -630"]);
        assert_eq!(step(1_530, &[]), ["1530: b -600"], "again, since it was back");
    }

    #[test]
    fn who_was_here_before_a_restart_is_missed_and_their_number_is_bounded() {
        let (mut crew, start) = (Crew::new(TEN_MINUTES), Instant::now());
        let after = |seconds: u64| Now { instant: start + Duration::from_secs(seconds), unix: 7 };
        crew.expect(["early".to_owned()], start);
        assert_eq!(crew.step(["late"], after(599)), []);
        let gone = EventForm::WorkerGone { time: 7, name: "early".into(), silent_seconds: 600 };
        assert_eq!(crew.step([], after(600)), [gone]);
        let many: Vec<String> = (0..MAX_WATCHED).map(|n| n.to_string()).collect();
        crew.step(many.iter().map(String::as_str), after(700));
        assert!(crew.workers.len() == MAX_WATCHED && many.iter().all(|name| crew.workers.contains_key(name)));
    }
}
