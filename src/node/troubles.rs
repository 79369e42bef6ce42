//! Alarms that begin and end: what `commonwork status` calls an ALARM, told once when it has stood for a while, and once when
//! it has been over for a while.
//!
//! Alarms of one moment, like a deep reorganisation, are told by whoever notices them, and have no end.

use super::tasks::Tasks;
use crate::api::NodePort;
use crate::api::form::{EventForm, HealthItem, Level};
use crate::api::health::{Facts, health};
use crate::stratum::server;
use crate::stratum::session::Now;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::{MissedTickBehavior, interval};

/// How often one looks.
const STEP: Duration = Duration::from_secs(10);
/// How long something must last to be told: a bitcoind may be started again without anybody being woken.
const SETTLED: Duration = Duration::from_secs(60);

/// Watches from now on.
pub(super) fn start(tasks: &Tasks, node: &NodePort) {
    let node = node.clone();
    tasks.spawn_until_stop("troubles", async move {
        let mut troubles = Troubles::default();
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            steps.tick().await;
            let standing = health(&Facts { alarms: Vec::new(), ..(node.facts)() });
            for event in troubles.step(&standing.items, server::now()) {
                node.events.tell(event);
            }
        }
    });
}

/// By the names that health has for them, which are few.
#[derive(Debug, Default)]
struct Troubles(BTreeMap<String, Trouble>);

#[derive(Debug)]
struct Trouble {
    stands: bool,
    /// Since when it stands, or does not.
    since: Instant,
    was_told: bool,
    item: HealthItem,
}

impl Troubles {
    /// What is to be told, now that these stand.
    fn step(&mut self, standing: &[HealthItem], now: Now) -> Vec<EventForm> {
        for trouble in self.0.values_mut() {
            let stands = standing.iter().any(|item| item.level == Level::Alarm && item.id == trouble.item.id);
            if stands != trouble.stands {
                (trouble.stands, trouble.since) = (stands, now.instant);
            }
        }
        for item in standing.iter().filter(|item| item.level == Level::Alarm) {
            let fresh = || Trouble { stands: true, since: now.instant, was_told: false, item: item.clone() };
            // What it says now, like how long it has lasted.
            self.0.entry(item.id.clone()).or_insert_with(fresh).item = item.clone();
        }
        let mut events = Vec::new();
        for trouble in self.0.values_mut() {
            let is_settled = now.instant.saturating_duration_since(trouble.since) >= SETTLED;
            if is_settled && trouble.stands != trouble.was_told {
                trouble.was_told = trouble.stands;
                events.push(trouble.event(now.unix));
            }
        }
        self.0.retain(|_, trouble| trouble.stands || trouble.was_told);
        events
    }
}

impl Trouble {
    fn event(&self, time: u32) -> EventForm {
        let HealthItem { id, says, cure, .. } = self.item.clone();
        if self.stands {
            EventForm::Alarm { time, id, says, cure }
        } else {
            EventForm::AlarmCleared { time, id, says }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(level: Level, id: &str) -> HealthItem {
        HealthItem { level, id: id.into(), says: format!("{id} is wrong"), cure: "mend it".into() }
    }

    #[test]
    fn an_alarm_is_told_when_it_has_stood_and_when_it_has_been_over_for_a_minute() {
        let (mut troubles, start) = (Troubles::default(), Instant::now());
        let mut step = |seconds: u32, standing: &[HealthItem]| -> Vec<String> {
            let now = Now { instant: start + Duration::from_secs(seconds.into()), unix: seconds };
            let brief = |event: EventForm| match event {
                EventForm::Alarm { time, id, says, cure } => format!("{time}: {id}, {says}, {cure}"),
                EventForm::AlarmCleared { time, id, says } => format!("{time}: over: {id}, {says}"),
                other => panic!("{other:?}"),
            };
            troubles.step(standing, now).into_iter().map(brief).collect()
        };
        let nothing: [&str; 0] = [];
        let (full, away) = (item(Level::Alarm, "full"), item(Level::Alarm, "away"));
        let warning = item(Level::Warning, "low");
        assert_eq!(step(0, &[full.clone(), warning.clone()]), nothing);
        assert_eq!(step(50, std::slice::from_ref(&warning)), nothing, "too short");
        assert_eq!(step(60, &[full.clone(), warning.clone()]), nothing, "it begins anew");
        assert_eq!(step(110, &[full.clone(), away.clone()]), nothing);
        assert_eq!(step(120, &[full.clone(), away.clone()]), ["120: full, full is wrong, mend it"]);
        assert_eq!(step(170, &[full.clone(), away.clone()]), ["170: away, away is wrong, mend it"]);
        assert_eq!(step(180, &[away.clone(), warning]), nothing);
        assert_eq!(step(230, &[full.clone(), away.clone()]), nothing, "it was not over");
        assert_eq!(step(240, &[]), nothing);
        let over = ["300: over: away, away is wrong", "300: over: full, full is wrong"];
        assert_eq!(step(300, &[]), over);
        assert_eq!(step(999, &[]), nothing);
        assert!(troubles.0.is_empty());
    }
}
