//! Events as they happen, in the form that browsers know (server-sent events).

use super::events::{Events, Told};
use super::form::EventForm;
use super::reply::fault;
use super::routes::Shared;
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::Stream;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// How long a stream lasts; a browser connects again by itself, and says what it saw last.
const STREAM_TIME: Duration = Duration::from_secs(540);
/// How often something is sent when nothing happens.
const STILL_HERE: Duration = Duration::from_secs(15);
/// What a browser says of the last event that it saw.
const LAST_EVENT: &str = "last-event-id";

pub(super) async fn events(shared: Shared, headers: HeaderMap) -> Response {
    let Some(node) = &shared.ports.node else {
        return fault(StatusCode::NOT_FOUND, "nothing happens here");
    };
    let Ok(permit) = shared.streams.clone().try_acquire_owned() else {
        return fault(StatusCode::SERVICE_UNAVAILABLE, "too many listen to events already");
    };
    let (newest, events) = node.events.listen();
    let last = headers.get(LAST_EVENT).map(|id| node.events.number_of(id.to_str().unwrap_or_default()));
    let missed = match last {
        None => None,
        Some(Some(last)) => newest.checked_sub(last).filter(|missed| *missed > 0).map(Missed::events),
        // Of an earlier run. What was missed of that nobody knows; of this one it was all.
        Some(None) => Some(Missed { events: newest, restarted: true }),
    };
    let listener = Listener {
        all: node.events.clone(),
        events,
        number: newest,
        missed,
        end: Instant::now() + STREAM_TIME,
        stop: shared.stop.clone(),
        _permit: permit,
    };
    Sse::new(listener.stream()).keep_alive(KeepAlive::new().interval(STILL_HERE)).into_response()
}

struct Listener {
    all: Events,
    events: broadcast::Receiver<Arc<Told>>,
    /// Of the newest event that it was told, or missed.
    number: u64,
    /// What it is to be told that it missed, if anything.
    missed: Option<Missed>,
    end: Instant,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// What a listener was not told.
struct Missed {
    /// Events of this run.
    events: u64,
    /// Whether what it heard last was of an earlier one.
    restarted: bool,
}

impl Missed {
    const fn events(events: u64) -> Self {
        Self { events, restarted: false }
    }
}

impl Listener {
    fn stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut listener| async move {
            let told = listener.next().await?;
            Some((Ok(event_of(&told, &listener.all)), listener))
        })
    }

    /// The next event; none at the end.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(Missed { events, restarted }) = self.missed.take() {
                return Some(Told { number: self.number, event: EventForm::Missed { events, restarted } });
            }
            let next = self.stop.run_until_cancelled(timeout_at(self.end, self.events.recv())).await;
            match next?.ok()? {
                // It came between listening and counting.
                Ok(told) if told.number <= self.number => {}
                Ok(told) => {
                    self.number = told.number;
                    return Some(Told::clone(&told));
                }
                Err(RecvError::Lagged(missed)) => {
                    self.number += missed;
                    self.missed = Some(Missed::events(missed));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }
}

fn event_of(told: &Told, all: &Events) -> Event {
    let data = serde_json::to_string(&told.event).expect("an event holds nothing that JSON cannot say");
    Event::default().id(all.id(told.number)).event(told.event.name()).data(data)
}
