//! Numbers on a page beside those of the interface.

use super::super::raw::{ask, body, status};
use super::browser::Browser;
use super::text::read;
use commonwork::api::Client;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

/// Numbers: each as the page keeps it, where it is from, what is shown, and of moments what is told to programs and to who
/// points at them, when the page was opened, and when it is now.
const NUMBERS: &str = "[...document.querySelectorAll('[data-value]')].map((one) => [one.dataset.value, \
                       one.dataset.from, one.textContent, one.dateTime ? [Date.parse(one.dateTime), \
                       Date.parse(one.title.replace(' ', 'T')), performance.timeOrigin, Date.now()] \
                       .map((ms) => ms / 1000) : null])";

/// A number of the page: its value, where it is from, what is shown, and the times of [`NUMBERS`].
type Number = (String, String, String, Option<[f64; 4]>);

/// What the interface says now at the addresses that a page names.
pub(super) struct Answers {
    address: SocketAddr,
    known: BTreeMap<String, Value>,
}

impl Answers {
    /// Of this node.
    pub(super) fn of(client: &Client) -> Self {
        Self { address: client.address(), known: BTreeMap::new() }
    }

    /// What is at an address.
    pub(super) async fn all(&mut self, path: &str) -> &Value {
        if let Entry::Vacant(free) = self.known.entry(path.to_owned()) {
            let answer = ask(self.address, &format!("GET {path}"), &[]).await;
            assert_eq!(status(&answer), Some(200), "{path}: {answer}");
            free.insert(serde_json::from_str(body(&answer)).expect("JSON"));
        }
        &self.known[path]
    }

    /// A number in it: of a list its length, of an object of numbers their sum; none where the interface knows none.
    pub(super) async fn number(&mut self, from: &str) -> Option<f64> {
        let (path, pointer) = from.split_once('#').expect("an address and a pointer");
        let mut value = self.all(path).await;
        for step in pointer.split('/').skip(1) {
            value = match value {
                Value::Null => return None,
                Value::Array(items) => &items[step.parse::<usize>().expect("a place in a list")],
                other => other.get(step).unwrap_or_else(|| panic!("the interface does not tell {from}")),
            };
        }
        match value {
            Value::Null => None,
            Value::Object(parts) => Some(parts.values().map(|part| part.as_f64().expect("a number")).sum()),
            Value::Array(items) => Some(items.len() as f64),
            value => Some(value.as_f64().unwrap_or_else(|| panic!("{from} is no number: {value}"))),
        }
    }
}

/// Compares all numbers on the page; says how many there are, and how many of them are neither nothing nor zero.
pub(super) async fn compare(browser: &mut Browser, client: &Client) -> [usize; 2] {
    let mut answers = Answers::of(client);
    let numbers: Vec<Number> =
        serde_json::from_value(browser.value(NUMBERS).await).expect("what was asked for");
    let mut more_than_zero = 0;
    for (value, from, text, times) in &numbers {
        let Some(told) = answers.number(from).await else {
            assert_eq!((value.as_str(), text.as_str()), ("", "–"), "{from}");
            continue;
        };
        let kept: f64 = value.parse().unwrap_or_else(|_| panic!("{from}: {value:?}, not {told}"));
        // What reads JSON here may be wrong in the last bit.
        assert!((kept - told).abs() <= told.abs() * 1e-15, "{from}: {kept}, not {told}");
        let is_said = match times {
            Some(times) => is_moment(text, told, *times),
            None => says(text, told, from),
        };
        assert!(is_said, "{from} is {told} and shown as {text:?}, {times:?}");
        more_than_zero += usize::from(told != 0.0);
    }
    [numbers.len(), more_than_zero]
}

/// Whether a text says this number, as closely as it says any.
fn says(text: &str, number: f64, from: &str) -> bool {
    // The one number that is told in another unit than it is shown in.
    let number = if from.ends_with("/per_10_000") { number / 10_000.0 } else { number };
    is_about(text, number)
}

/// Whether a text says about this number.
pub(super) fn is_about(text: &str, number: f64) -> bool {
    read(text).is_some_and(|(read, off)| (read - number).abs() <= off)
}

/// Whether a moment is told as it is, and as being so long ago as it was at some time since the page was opened.
fn is_moment(text: &str, told: f64, [to_programs, pointed_at, opened, now]: [f64; 4]) -> bool {
    let [most, least] = [now - told, opened - told];
    let is_ago = match text {
        "just now" => least < 1.0,
        _ => {
            text.ends_with(" ago")
                && read(text).is_some_and(|(read, off)| least - off <= read && read <= most + off)
        }
    };
    to_programs == told && pointed_at == told && is_ago
}
