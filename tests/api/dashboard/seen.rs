//! The dashboard as a real browser shows it: its numbers beside the interface's, on a phone and on a desk, by keyboard, with
//! names that mean harm, and when the node goes away.

use super::super::network::{Served, served_on};
use super::super::owners::pool;
use super::super::raw::{ask, body, status};
use super::super::worker;
use super::browser::Browser;
use bitcoin::hashes::Hash;
use commonwork::api::form::{EventForm, Text};
use serde_json::Value;
use sharechain::share::ShareId;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;

/// Every section has shown what it asked for.
const READY: &str =
    "document.querySelector('main section .body > *') && !document.querySelector('[aria-busy=true]')";
/// Opens what is folded away, so that it is drawn.
const UNFOLD: &str = "document.querySelectorAll('details').forEach((one) => { one.open = true; })";
/// Numbers, each with where it is from and what is shown.
const NUMBERS: &str = "[...document.querySelectorAll('[data-value]')].map((one) => \
                       [one.dataset.value, one.dataset.from, one.textContent])";

async fn served_pool() -> Served {
    served_on(pool().0).await
}

/// The page of the owner whose miner is connected.
fn owner_page() -> String {
    format!("/owners/{}", worker().address.expect("it has one"))
}

async fn open(browser: &mut Browser, served: &Served, page: &str) {
    browser.go(&format!("http://{}{page}", served.client.address())).await;
    browser.until(READY).await;
    browser.value(UNFOLD).await;
    // A coinbase is drawn when its fold tells of its opening.
    browser
        .until("[...document.querySelectorAll('details')].every((one) => one.childElementCount > 1)")
        .await;
}

/// What the interface says now at the addresses that a page names.
struct Answers {
    address: SocketAddr,
    known: BTreeMap<String, Value>,
}

impl Answers {
    async fn number(&mut self, from: &str) -> Option<f64> {
        let (path, pointer) = from.split_once('#').expect("an address and a pointer");
        if let Entry::Vacant(free) = self.known.entry(path.to_owned()) {
            let answer = ask(self.address, &format!("GET {path}"), &[]).await;
            assert_eq!(status(&answer), Some(200), "{path}: {answer}");
            free.insert(serde_json::from_str(body(&answer)).expect("JSON"));
        }
        match self.known[path].pointer(pointer) {
            None | Some(Value::Null) => None,
            Some(Value::Object(parts)) => {
                Some(parts.values().map(|part| part.as_f64().expect("a number")).sum())
            }
            Some(value) => Some(value.as_f64().unwrap_or_else(|| panic!("{from} is no number: {value}"))),
        }
    }
}

/// Compares all numbers on the page; says how many there are.
async fn compare(browser: &mut Browser, served: &Served) -> usize {
    let mut answers = Answers { address: served.client.address(), known: BTreeMap::new() };
    let numbers: Vec<(String, String, String)> =
        serde_json::from_value(browser.value(NUMBERS).await).expect("three texts each");
    for (value, from, text) in &numbers {
        let shown = (!value.is_empty()).then(|| value.parse::<f64>().expect("a number"));
        match (shown, answers.number(from).await) {
            // What reads JSON here may be wrong in the last bit.
            (Some(shown), Some(told)) => {
                assert!((shown - told).abs() <= told.abs() * 1e-15, "{from}: {shown}, not {told}")
            }
            (shown, told) => assert_eq!(shown, told, "{from}"),
        }
        let nonsense =
            ["NaN", "undefined", "Infinity", "null", "[object"].iter().find(|word| text.contains(**word));
        assert!(nonsense.is_none() && !text.is_empty(), "{from} is shown as {text:?}");
    }
    numbers.len()
}

#[tokio::test]
async fn every_number_is_the_interfaces_on_a_phone_and_on_a_desk() {
    let served = served_pool().await;
    for (width, scheme) in [(360, "dark"), (1440, "light")] {
        let mut browser = Browser::start(width, scheme).await;
        for (page, least) in [("/".to_owned(), 100), (owner_page(), 30)] {
            open(&mut browser, &served, &page).await;
            let numbers = compare(&mut browser, &served).await;
            assert!(numbers >= least, "{page} has {numbers} numbers");
            let unmarked = "[...document.querySelectorAll('td.number')].filter((one) => \
                            !one.querySelector('[data-value]')).map((one) => one.outerHTML)";
            assert_eq!(
                browser.value(unmarked).await,
                serde_json::json!([]),
                "{page}: numbers without their value"
            );
            let wide = browser.value("document.documentElement.scrollWidth").await;
            assert!(wide.as_u64().expect("pixels") <= u64::from(width), "{page} at {width} is {wide} wide");
            let empty = "[...document.querySelectorAll('svg[role=img]')].filter((one) => \
                         !one.querySelector('rect, polyline')).length";
            assert_eq!(browser.value(empty).await, 0, "{page}: pictures of nothing");
            assert_eq!(browser.value("document.body.textContent.includes('[object')").await, false, "{page}");
            let nameless = "[...document.querySelectorAll('svg[role=img]')].filter((one) => \
                            !one.querySelector('title')?.textContent || !one.querySelector('desc')?.textContent).length";
            assert_eq!(browser.value(nameless).await, 0, "{page}: pictures without a text");
            assert_eq!(
                browser.value("document.querySelectorAll('table:not(:has(caption))').length").await,
                0,
                "{page}"
            );
            assert_eq!(browser.take_errors(), [""; 0], "{page} at {width}");
        }
        browser.close().await;
    }
}

#[tokio::test]
async fn names_that_mean_harm_are_shown_as_they_are() {
    let served = served_pool().await;
    let mut browser = Browser::start(1440, "light").await;
    open(&mut browser, &served, "/").await;
    let row = browser.value("document.querySelector('#miners tbody tr').textContent").await;
    let row = row.as_str().expect("a text");
    assert!(row.contains(&worker().name) && row.contains(&worker().user_agent), "{row}");
    assert_eq!(browser.value("document.querySelectorAll('#miners img, #miners b').length").await, 0);
    assert_eq!(browser.take_errors(), [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn what_happens_is_seen_when_it_happens() {
    let served = served_pool().await;
    let mut browser = Browser::start(1440, "light").await;
    open(&mut browser, &served, "/").await;
    let blocks = served.client.blocks(None, 5).await.expect("blocks").blocks;
    // Whether the page listens already is told by what it shows of the events.
    let fork = EventForm::ShareBlock {
        height: blocks[3].height,
        id: Text(ShareId([7; 32])),
        parent: blocks[2].id,
        owner: blocks[3].owner.clone(),
        time: blocks[3].time,
        listed: 0,
        score: 0.5,
        tip: false,
        own: false,
    };
    let found = EventForm::BitcoinBlock {
        bitcoin_height: 1_234,
        hash: Text(bitcoin::BlockHash::all_zeros()),
        own: true,
    };
    while browser.value("document.querySelectorAll('#log li.share-block').length").await == 0 {
        served.events.tell(fork.clone());
        browser.value("new Promise((done) => setTimeout(done, 100))").await;
    }
    served.events.tell(found);
    browser.until("document.querySelector('#log li.bitcoin-block')?.textContent.includes('1234')").await;
    browser.until("document.querySelectorAll('#chain .box.aside').length === 1").await;
    let all = served.client.blocks(Some(0), 1_000).await.expect("blocks").blocks.len();
    assert!(all <= 22, "they fit into the picture");
    assert_eq!(browser.value("document.querySelectorAll('#chain .box:not(.aside)').length").await, all);
    assert_eq!(browser.take_errors(), [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn the_keyboard_reaches_everything_and_the_focus_is_seen_and_kept() {
    let served = served_pool().await;
    let mut browser = Browser::start(360, "light").await;
    open(&mut browser, &served, "/").await;
    browser.press("Tab", 9, "").await;
    assert_eq!(browser.value("document.activeElement.className").await, "skip");
    let outline = "getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(browser.value(outline).await, "solid", "it is seen where one is");
    browser.value("document.querySelector('#rates .choice button').focus()").await;
    browser.press("Enter", 13, "\r").await;
    browser
        .until("document.querySelector('#rates .choice button').getAttribute('aria-pressed') === 'true'")
        .await;
    browser.until("document.querySelector('#rates .body').textContent.includes('last hour')").await;
    assert_eq!(browser.value("document.querySelectorAll('#rates [aria-pressed=true]').length").await, 1);
    // What is drawn anew keeps the focus, and what was open stays open.
    browser.value("document.querySelector('[data-key=blocks-title]').focus()").await;
    browser.value("document.querySelector('#chain .body > svg').setAttribute('data-old', '')").await;
    browser.resize(420).await;
    browser.until("document.querySelector('#chain .body > svg:not([data-old])')").await;
    assert_eq!(browser.value("document.activeElement.dataset.key").await, "blocks-title");
    assert_eq!(browser.value("document.querySelector('[data-key=blocks]').open").await, true);
    browser.value("document.querySelector('#chain td button').focus()").await;
    browser.press("Enter", 13, "\r").await;
    browser.until("document.querySelector('#listed h3')?.textContent.includes('Share block')").await;
    assert_eq!(browser.take_errors(), [""; 0]);
    browser.close().await;
}

#[tokio::test]
async fn a_page_says_when_its_node_is_gone_and_what_it_cannot_show() {
    let served = served_pool().await;
    let mut browser = Browser::start(360, "dark").await;
    open(&mut browser, &served, &owner_page()).await;
    assert_eq!(browser.take_errors(), [""; 0]);
    assert_eq!(browser.value("document.getElementById('gone').hidden").await, true);
    drop(served);
    browser.until("!document.getElementById('gone').hidden").await;
    let said = browser.value("document.getElementById('gone').textContent").await;
    assert!(said.as_str().expect("a text").contains("does not answer"), "{said}");
    assert_ne!(
        browser.value("document.querySelectorAll('#expected [data-value]').length").await,
        0,
        "old, and there"
    );
    let thrown: Vec<_> =
        browser.take_errors().into_iter().filter(|error| !error.contains("net::ERR_")).collect();
    assert_eq!(thrown, [""; 0]);
    browser.close().await;
}
