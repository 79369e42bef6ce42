//! The status again and again, on a screen or line by line, through the node's absences.

use super::screen::Screen;
use super::text::text;
use super::{Outcome, Status, StatusError, ask, seconds};
use crate::commands::output::print;
use crate::config::Place;
use serde_json::json;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Shows it every `pause`, for ever; only an output that cannot be written ends it.
pub(super) async fn watch(place: &Place, as_json: bool, pause: Duration) -> Result<Outcome, StatusError> {
    let mut ticks = interval(pause);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let screen = if as_json { None } else { Some(Screen::open()?) };
    let mut last = None;
    loop {
        ticks.tick().await;
        let answer = ask(place).await;
        match &screen {
            None => print(&line(&answer))?,
            Some(screen) => {
                let now = Instant::now();
                let gone = answer.map(|status| last = Some((now, text(&status, seconds())))).err();
                screen.show(&shown(gone.as_ref(), last.as_ref(), now))?;
            }
        }
    }
}

/// One line of JSON.
fn line(answer: &Result<Status, StatusError>) -> String {
    let value = match answer {
        Ok(status) => serde_json::to_string(status),
        Err(error) => serde_json::to_string(&json!({"error": error.to_string()})),
    };
    // Numbers, texts and lists of them can always be written as JSON.
    value.expect("it has no maps with other keys than texts") + "\n"
}

/// What stands on the screen: what the node said last, and before it, where it gives no answer now, that it does not.
fn shown(gone: Option<&StatusError>, last: Option<&(Instant, String)>, now: Instant) -> String {
    match (gone, last) {
        (None, last) => last.map_or_else(String::new, |(_, text)| text.clone()),
        (Some(error), None) => format!("NO NODE      {error}\n"),
        (Some(error), Some((seen, text))) => {
            let age = now.saturating_duration_since(*seen).as_secs();
            format!("NODE GONE    {error}\nlast seen    {age} s ago, when it said:\n\n{text}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::running::NoNode;

    #[test]
    fn a_node_that_went_away_is_told_with_what_it_said_last() {
        let gone = StatusError::NoNode(NoNode("/data".into()));
        let now = Instant::now();
        assert!(shown(Some(&gone), None, now).starts_with("NO NODE      no node runs on /data;"));
        let last = (now, "chain        main\n".to_owned());
        let text = shown(Some(&gone), Some(&last), now + Duration::from_secs(7));
        assert!(text.starts_with("NODE GONE    no node runs on /data;"), "{text}");
        assert!(text.ends_with("\nlast seen    7 s ago, when it said:\n\nchain        main\n"), "{text}");
        assert_eq!(shown(None, Some(&last), now), "chain        main\n");
        let object: serde_json::Value = serde_json::from_str(&line(&Err(gone))).expect("JSON");
        assert!(object["error"].as_str().is_some_and(|error| error.contains("/data")));
    }
}
