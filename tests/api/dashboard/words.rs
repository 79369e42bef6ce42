//! Sentences on a page beside what the interface says: those that it makes itself, and those with numbers in them.

use super::browser::Browser;
use super::compare::{Answers, is_about};
use super::seen::owner_address;
use commonwork::api::Client;
use serde_json::{Value, json};

/// What should be looked at, as it is shown.
const ITEMS: &str =
    "[...document.querySelectorAll('#health .item')].map((one) => [one.dataset.id, one.textContent])";

/// Sees that all that should be looked at is said in the interface's words.
pub(super) async fn health_is_the_interfaces(browser: &mut Browser, client: &Client) {
    let mut answers = Answers::of(client);
    let told = answers.all("/v1/health").await;
    let items = told["items"].as_array().expect("a list");
    assert!(!items.is_empty(), "something to be looked at");
    let words = |item: &Value| {
        let [level, says, cure] = ["level", "says", "cure"].map(|name| item[name].as_str().expect("a text"));
        let level = match level {
            "alarm" => "Alarm",
            "warning" => "Warning",
            "notice" => "Notice",
            other => panic!("a level {other}"),
        };
        json!([item["id"], format!("{level}: {says}{cure}")])
    };
    let wanted: Vec<Value> = items.iter().map(words).collect();
    assert_eq!(browser.value(ITEMS).await, json!(wanted));
    let verdict = if told["healthy"] == true { "All is well." } else { "Something is wrong." };
    assert_eq!(browser.value("document.querySelector('#health .body > p').textContent").await, verdict);
}

/// Sees that the texts of this page's pictures say the interface's numbers.
pub(super) async fn pictures_say_the_interfaces(
    browser: &mut Browser,
    client: &Client,
    page: &str,
    seconds: u64,
) {
    let mut answers = Answers::of(client);
    let account = format!("/v1/owners/{}?count=1#/expected", owner_address());
    let mut expected = Vec::new();
    for name in ["satoshis_per_day", "fair_satoshis_per_day"] {
        expected.push(answers.number(&format!("{account}/{name}")).await.expect("expected"));
    }
    let a_day = "Expected {} a day; its own work is worth {} a day.";
    let mut wanted = vec![("payouts", a_day, expected)];
    if page != "/" {
        wanted[0].0 = "expected";
    } else {
        for (place, series) in ["node", "pool"].iter().enumerate() {
            let told = answers.all(&format!("/v1/history?series={series}&seconds={seconds}")).await;
            let points = told["points"].as_array().expect("a list").iter();
            let rates: Vec<f64> = points.map(|point| point["hash_rate"].as_f64().expect("a rate")).collect();
            let (most, least) = rates
                .iter()
                .fold((f64::MIN, f64::MAX), |(most, least), &one| (one.max(most), one.min(least)));
            let numbers = vec![rates.len() as f64, *rates.last().expect("a point"), most, least];
            wanted.insert(
                place,
                (
                    "rates",
                    "{} points. Newest {}, highest {}, lowest {}. The table below has all of them.",
                    numbers,
                ),
            );
        }
        let told = answers.all("/v1/blocks?count=30").await;
        let (blocks, others) =
            (told["blocks"].as_array().expect("a list"), told["other_branches"].as_array().expect("a list"));
        let drawn = browser.value("document.querySelectorAll('#chain .box:not(.aside)').length").await;
        let drawn = usize::try_from(drawn.as_u64().expect("a number")).expect("few");
        let ends = [&blocks[blocks.len() - drawn], &blocks[blocks.len() - 1]];
        let mut numbers: Vec<f64> =
            ends.iter().map(|block| block["height"].as_f64().expect("a height")).collect();
        numbers
            .push(others.iter().filter(|block| block["height"].as_f64() >= Some(numbers[0])).count() as f64);
        let says = "Heights {} to {}, each block with the shares that it lists as dots. {} of other branches. \
                    The table below has the same.";
        wanted.insert(2, ("chain", says, numbers));
    }
    let all = "[...document.querySelectorAll('svg[role=img]')].map((one) => [one.closest('section').id, one.querySelector('desc').textContent])";
    let said: Vec<(String, String)> =
        serde_json::from_value(browser.value(all).await).expect("what was asked for");
    assert_eq!(said.len(), wanted.len(), "{said:?}");
    for ((section, text), (where_, pattern, numbers)) in said.iter().zip(wanted) {
        assert!(
            section == where_ && fits(text, pattern, &numbers),
            "{section}: {text:?} is not {pattern:?} of {numbers:?}"
        );
    }
}

/// What the list of what happens says of the newest event of this kind, without when.
pub(super) async fn logged(browser: &mut Browser, kind: &str) -> String {
    let line = format!(
        "[...document.querySelector('#log li.{kind}').childNodes].slice(2).map((one) => one.textContent).join('')"
    );
    browser.value(&line).await.as_str().expect("a text").to_owned()
}

/// Whether a text is this pattern, with each `{}` saying about a number.
fn fits(text: &str, pattern: &str, numbers: &[f64]) -> bool {
    let mut pieces = pattern.split("{}");
    let Some(mut rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    assert_eq!(pieces.len(), numbers.len(), "{pattern:?}");
    for (piece, number) in pieces.into_iter().zip(numbers) {
        let at = if piece.is_empty() { Some(rest.len()) } else { rest.find(piece) };
        let Some((said, after)) = at.map(|at| rest.split_at(at)) else { return false };
        if !is_about(said, *number) {
            return false;
        }
        rest = &after[piece.len()..];
    }
    rest.is_empty()
}

#[test]
fn sentences_are_held_to_their_numbers() {
    let pattern = "{} points. Newest {} so far";
    assert!(fits("3 points. Newest 1.25 kH/s so far", pattern, &[3.0, 1_250.0]));
    for (text, numbers) in [
        ("3 points. Newest 1.25 kH/s so far", [1_250.0, 3.0]),
        ("3 points. Newest 1.25 kH/s so far, they say", [3.0, 1_250.0]),
        ("3 points. Oldest 1.25 kH/s so far", [3.0, 1_250.0]),
        ("some points. Newest 1.25 kH/s so far", [3.0, 1_250.0]),
    ] {
        assert!(!fits(text, pattern, &numbers), "{text:?}, {numbers:?}");
    }
}
