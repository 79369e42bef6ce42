//! The dashboard as a real browser shows it: its numbers beside the interface's, on a phone and on a desk, by keyboard, with
//! names that mean harm, and when the node goes away.

use super::super::history::now;
use super::super::network::{Served, served_for, served_on};
use super::super::owners::pool;
use super::super::{miners_port, worker};
use super::browser::Browser;
use super::compare::compare;
use super::{places, words};
use crate::support::rig::{Rig, owner};
use bitcoin::hashes::Hash;
use commonwork::api::form::{EventForm, Text};
use commonwork::api::health::{BitcoindFacts, Facts};
use commonwork::api::{Client, Ports, serve};
use commonwork::history::Series;
use commonwork::history::point::Point;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Every section has shown what it asked for.
const READY: &str =
    "document.querySelector('main section .body > *') && !document.querySelector('[aria-busy=true]')";
/// Opens what is folded away, so that it is drawn.
const UNFOLD: &str = "document.querySelectorAll('details').forEach((one) => { one.open = true; })";
/// A coinbase is drawn when its fold tells of its opening.
const UNFOLDED: &str = "[...document.querySelectorAll('details')].every((one) => one.childElementCount > 1)";
/// Sections that show no number.
const WITHOUT_NUMBERS: &str = "[...document.querySelectorAll('main section')].filter((one) => \
                               !one.querySelector('[data-value]')).map((one) => one.id)";

/// From now on the interface tells of one Bitcoin block more, so that their section is drawn anew.
const ANOTHER_TOTAL: &str = "{ const real = window.fetch; window.fetch = async (...asked) => { \
                             const answer = await real(...asked); \
                             if (!answer.url.includes('/v1/bitcoin-blocks')) return answer; \
                             const data = await answer.json(); data.total += 1; \
                             return new Response(JSON.stringify(data)); }; }";

/// What must not be on a page, each with the script that finds it.
const WRONG: &[(&str, &str)] = &[
    (
        "numbers in tables without their value",
        "[...document.querySelectorAll('td.number')].filter((one) => !one.querySelector('[data-value]'))",
    ),
    (
        "numbers in writing without their value",
        "((walker) => { const all = []; while (walker.nextNode()) all.push(walker.currentNode); return all; })(\
         document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)).filter((one) => /\\d/.test(one.data) \
         && !one.parentElement.closest('[data-value], code, .cut, .name, #health, #log, title, desc, .axis, .inbox, [data-label=Output]') \
         && !['1 is the largest', '100 confirmations', 'newest 100 are below at most', 'Stratum V2'] \
         .some((said) => one.data.includes(said))).map((one) => one.parentElement)",
    ),
    (
        "columns of the picture with a number of another share block",
        "[...document.querySelectorAll('#chain svg [data-from]')].filter((one) => [...one.parentElement.children].some((other) => \
         other.dataset.from && other.getAttribute('x') === one.getAttribute('x') \
         && other.dataset.from.split('/').at(-2) !== one.dataset.from.split('/').at(-2)))",
    ),
    (
        "tables with a row of several things, or with one thing twice",
        "[...document.querySelectorAll('table')].filter((table) => { \
         const rows = [...table.tBodies[0].rows].map((row) => new Set([...row.querySelectorAll('[data-from]')] \
         .filter((one) => one.closest('tr') === row).map((one) => one.dataset.from.match(/^.*\\/\\d+(?=\\/|$)/)?.[0]))); \
         return rows.some((row) => row.size > 1) || new Set(rows.flatMap((row) => [...row])).size < rows.filter((row) => row.size).length; })",
    ),
    (
        "pictures of nothing",
        "[...document.querySelectorAll('svg[role=img]')].filter((one) => !one.querySelector('rect, polyline'))",
    ),
    (
        "pictures without a text",
        "[...document.querySelectorAll('svg[role=img]')].filter((one) => \
         !one.querySelector('title')?.textContent || !one.querySelector('desc')?.textContent)",
    ),
    ("tables without a caption", "[...document.querySelectorAll('table:not(:has(caption))')]"),
    (
        "what is wider than its section",
        "[...document.querySelectorAll('section *:not(code):not(thead *)')].filter((one) => one.getBoundingClientRect().right > innerWidth)",
    ),
    (
        "faults in a text",
        "[...document.querySelectorAll('section')].filter((one) => \
         /NaN|undefined|Infinity|\\[object/.test(one.textContent))",
    ),
];

/// A pool of three owners with two Bitcoin blocks that paid them, a share block on another branch, and ten minutes of history.
async fn served_pool() -> Served {
    let mut rig = pool().0;
    let (aside, _) = rig.fork().extend(2);
    rig.block(3);
    rig.block(1);
    rig.take(&aside).expect("a valid block");
    let served = served_for(rig, &[owner(1), owner(2)]).await;
    *served.facts.lock().expect("whole") = Facts {
        serving: true,
        miners: 1,
        bitcoinds: vec![
            BitcoindFacts { name: "one".into(), template_height: Some(777), error: None },
            BitcoindFacts { name: "two".into(), template_height: None, error: Some("it is away".into()) },
        ],
        silent_seconds: Some(61),
        clock_ahead_seconds: Some(-40),
        ..Facts::default()
    };
    for ago in [600, 300] {
        let known = Point { seconds: 30, miners: 1, best_difficulty: 64.0, ..Point::default() };
        let point = |hashes| Point { hashes, ..known };
        let points = [(Series::Pool, point(9e14)), (Series::Node, point(6e13))];
        served.history.add(now() - ago, points.into()).await.expect("it runs");
    }
    served
}

/// The owner whose miner is connected.
pub(super) fn owner_address() -> String {
    worker().address.expect("it has one")
}

/// The page of that owner.
fn owner_page() -> String {
    format!("/owners/{}", owner_address())
}

async fn open(browser: &mut Browser, client: &Client, page: &str) {
    browser.go(&format!("http://{}{page}", client.address())).await;
    browser.until(READY).await;
    browser.value(UNFOLD).await;
    browser.until(UNFOLDED).await;
}

/// Looks for all that is [`WRONG`], and for errors.
async fn inspect(browser: &mut Browser, page: &str, width: u32) {
    for (what, script) in WRONG {
        let found = browser.value(&format!("({script}).map((one) => one.outerHTML.slice(0, 300))")).await;
        assert_eq!(found, json!([]), "{page} at {width}: {what}");
    }
    let wide = browser.value("document.documentElement.scrollWidth").await;
    assert!(wide.as_u64().expect("pixels") <= u64::from(width), "{page} at {width} is {wide} wide");
    assert_eq!(browser.take_errors(), [""; 0], "{page} at {width}");
}

/// One browser for all, since to start one takes longer than to look at a page.
#[tokio::test]
async fn a_real_browser_shows_what_the_interface_says() {
    let mut browser = Browser::start().await;
    every_number_is_the_interfaces_on_a_phone_and_on_a_desk(&mut browser).await;
    nodes_without_anything_to_show_say_so(&mut browser).await;
    names_that_mean_harm_are_shown_as_they_are(&mut browser).await;
    what_happens_is_seen_when_it_happens(&mut browser).await;
    the_keyboard_reaches_everything_and_the_focus_is_seen_and_kept(&mut browser).await;
    a_page_says_when_its_node_is_gone_and_what_it_cannot_show(&mut browser).await;
    browser.close().await;
}

async fn every_number_is_the_interfaces_on_a_phone_and_on_a_desk(browser: &mut Browser) {
    let served = served_pool().await;
    for (width, scheme) in [(360, "dark"), (1440, "light")] {
        browser.open(width, scheme).await;
        for (page, least) in [("/".to_owned(), [150, 100]), (owner_page(), [50, 40])] {
            open(browser, &served.client, &page).await;
            let numbers = compare(browser, &served.client).await;
            assert!(numbers >= least && numbers[1] >= least[1], "{page} has {numbers:?} numbers");
            let without = browser.value(WITHOUT_NUMBERS).await;
            assert_eq!(without, if page == "/" { json!(["health", "log"]) } else { json!([]) }, "{page}");
            inspect(browser, &page, width).await;
            places::check(browser, &page, 86_400).await;
            words::pictures_say_the_interfaces(browser, &served.client, &page, 86_400).await;
            if page == "/" {
                words::health_is_the_interfaces(browser, &served.client).await;
            }
        }
        open(browser, &served.client, "/").await;
        for (seconds, range) in [(3_600, "last hour"), (604_800, "last week")] {
            let button = format!("#rates [data-seconds='{seconds}']");
            browser.value(&format!("document.querySelector(\"{button}\").click()")).await;
            let drawn = format!("document.querySelector('#rates .body').textContent.includes('{range}')");
            browser.until(&drawn).await;
            browser.value(UNFOLD).await;
            compare(browser, &served.client).await;
            inspect(browser, &format!("/ over the {range}"), width).await;
            places::check(browser, "/", seconds).await;
            words::pictures_say_the_interfaces(browser, &served.client, "/", seconds).await;
        }
    }
}

async fn nodes_without_anything_to_show_say_so(browser: &mut Browser) {
    let young = served_on(Rig::new()).await;
    browser.open(360, "light").await;
    open(browser, &young.client, "/").await;
    compare(browser, &young.client).await;
    inspect(browser, "/ of a young node", 360).await;
    assert_eq!(browser.value("document.querySelectorAll('#chain .note').length").await, 1);

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (client, stop) = (Client::new(listener.local_addr().expect("bound")), CancellationToken::new());
    let ports = Ports { miners: Some(miners_port(vec![])), ..Ports::default() };
    tokio::spawn(serve(listener, None, ports, stop.clone()));
    open(browser, &client, "/").await;
    let said = browser.value("document.querySelector('#chain .body').textContent").await;
    assert!(said.as_str().expect("a text").contains("mines solo"), "{said}");
    // A browser calls it an error that there is nothing at an address.
    let thrown: Vec<_> = browser
        .take_errors()
        .into_iter()
        .filter(|error| !error.contains("Failed to load resource"))
        .collect();
    assert_eq!(thrown, [""; 0]);
    stop.cancel();
}

async fn names_that_mean_harm_are_shown_as_they_are(browser: &mut Browser) {
    let served = served_pool().await;
    browser.open(1440, "light").await;
    open(browser, &served.client, "/").await;
    let row = browser.value("document.querySelector('#miners tbody tr').textContent").await;
    let row = row.as_str().expect("a text");
    assert!(row.contains(&worker().name) && row.contains(&worker().user_agent), "{row}");
    assert_eq!(browser.value("document.querySelectorAll('#miners img, #miners b').length").await, 0);
    assert_eq!(browser.take_errors(), [""; 0]);
}

async fn what_happens_is_seen_when_it_happens(browser: &mut Browser) {
    let served = served_pool().await;
    browser.open(1440, "light").await;
    open(browser, &served.client, "/").await;
    let blocks = served.client.blocks(None, 1_000).await.expect("blocks").blocks;
    assert!(blocks.len() <= 24, "they fit into the picture");
    let drawn = "document.querySelectorAll('#chain .box:not(.aside)').length";
    assert_eq!(browser.value(drawn).await, blocks.len());
    assert_eq!(browser.value("document.querySelectorAll('#chain .box.aside').length").await, 1);
    let own = blocks.iter().filter(|block| Some(&block.owner.address) == worker().address.as_ref()).count();
    assert!(own > 0 && browser.value("document.querySelectorAll('#chain .box.own').length").await == own);
    // Whether the page listens already is told by what it shows of the events.
    let newest = &blocks[blocks.len() - 1];
    let block = EventForm::ShareBlock {
        height: newest.height,
        id: newest.id,
        parent: newest.parent,
        owner: newest.owner.clone(),
        time: newest.time,
        listed: newest.listed,
        score: newest.score,
        tip: true,
        own: false,
    };
    let asked =
        "performance.getEntriesByType('resource').filter((one) => one.name.includes('/v1/blocks')).length";
    let before = browser.value(asked).await.as_u64().expect("a number");
    let mut tries = 0;
    while browser.value("document.querySelectorAll('#log li.share-block').length").await == 0 {
        tries += 1;
        assert!(tries < 600, "the page hears of nothing");
        served.events.tell(block.clone());
        browser.value("new Promise((done) => setTimeout(done, 100))").await;
    }
    browser.until(&format!("{asked} > {before}")).await;
    let (said, height, listed) = (words::logged(browser, "share-block").await, newest.height, newest.listed);
    assert_eq!(said, format!("Share block {height} by others, with {listed} shares"));
    for own in [true, false, false] {
        let (id, owner, time) = (newest.id, newest.owner.clone(), newest.time);
        served.events.tell(EventForm::Share { id, owner, score: newest.score, time, own });
    }
    browser.until("document.querySelector('#log li.share')?.textContent.includes('3 shares')").await;
    assert_eq!(words::logged(browser, "share").await, "3 shares, 1 by this node's miners");
    a_found_block_is_told_and_leaves_the_focus_where_it_was(browser, &served).await;
    let gone = EventForm::WorkerGone { time: 1, name: worker().name, silent_seconds: 600 };
    served.events.tell(gone);
    browser.until("document.querySelector('#log li.worker-gone')").await;
    let said = words::logged(browser, "worker-gone").await;
    assert_eq!(said, format!("Worker {} has handed in nothing for 10 min", worker().name));
    for (restarted, says) in [
        (false, "This page missed 7 events"),
        (true, "The node was started again: what happened before that"),
    ] {
        served.events.tell(EventForm::Missed { events: 7, restarted });
        browser
            .until(&format!("document.querySelector('#log li.missed')?.textContent.includes('{says}')"))
            .await;
    }
    assert_eq!(browser.take_errors(), [""; 0]);
}

/// Also where it was in a coinbase that is open.
async fn a_found_block_is_told_and_leaves_the_focus_where_it_was(browser: &mut Browser, served: &Served) {
    browser.value(ANOTHER_TOTAL).await;
    let inside = "#found td [data-key^=out-]";
    browser.value(&format!("document.querySelector('{inside}').focus()")).await;
    browser.value("document.querySelector('#found table').setAttribute('data-old', '')").await;
    let focus = browser.value("document.activeElement.dataset.key").await;
    let (bitcoin_height, hash) = (1_234, Text(bitcoin::BlockHash::all_zeros()));
    served.events.tell(EventForm::BitcoinBlock { bitcoin_height, hash, own: true });
    browser.until("document.querySelector('#log li.bitcoin-block')?.textContent.includes('1234')").await;
    let (said, hash) = (words::logged(browser, "bitcoin-block").await, bitcoin::BlockHash::all_zeros());
    assert_eq!(
        said,
        format!("Bitcoin block 1234 found by this node's miners: {hash}"),
        "all of it can be copied"
    );
    browser.until("document.querySelector('#found table:not([data-old])')").await;
    assert!(focus.as_str().is_some_and(|key| key.starts_with("out-")), "{focus}");
    assert_eq!(browser.value("document.activeElement.dataset.key").await, focus);
}

async fn the_keyboard_reaches_everything_and_the_focus_is_seen_and_kept(browser: &mut Browser) {
    let served = served_pool().await;
    browser.open(360, "light").await;
    open(browser, &served.client, "/").await;
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
    browser.until("document.querySelector('#listed h3')").await;
    let newest = served.client.blocks(None, 1).await.expect("a block").blocks.remove(0);
    let listed = served.client.show(newest.id.0).await.expect("a block").listed;
    let ids = listed.iter().map(|id| id.0.to_string()).collect::<String>();
    let said = format!("Share block {}{}{ids}", newest.height, newest.id.0);
    let texts =
        "[...document.querySelectorAll('#listed h3, #listed code')].map((one) => one.textContent).join('')";
    assert_eq!(browser.value(texts).await, said);
    browser.value("document.querySelector('[data-key=close-listed]').focus()").await;
    browser.press("Enter", 13, "\r").await;
    browser.until("document.querySelector('#listed').childElementCount === 0").await;
    let key = browser.value("document.activeElement.dataset.key").await;
    assert_eq!(key, format!("listed-{}", newest.id.0), "where the list was asked for");
    older_rows_are_folded_away(browser).await;
    assert_eq!(browser.take_errors(), [""; 0]);
}

/// On a phone each row is a card, and what stands below a long table is far away.
async fn older_rows_are_folded_away(browser: &mut Browser) {
    for (rows, wanted) in [(8, json!([[8], []])), (11, json!([[8], [3]]))] {
        let script = format!(
            "import('/dashboard/dom.js').then(({{ longTable, make }}) => {{ \
             const rows = Array.from({{ length: {rows} }}, (_, index) => [String(index)]); \
             const all = make('div', {{}}, longTable('key', 'Things', [{{ title: 'A' }}], rows)); \
             const texts = [...all.querySelectorAll('td')].map((one) => one.textContent); \
             if (texts.join() !== rows.join()) throw texts; \
             const sizes = (where) => [...all.querySelectorAll(where)].map((one) => one.tBodies[0].rows.length); \
             return [sizes(':scope > table'), sizes('details:not([open]) > table')]; }})"
        );
        assert_eq!(browser.value(&script).await, wanted, "{rows} rows");
    }
}

async fn a_page_says_when_its_node_is_gone_and_what_it_cannot_show(browser: &mut Browser) {
    let served = served_pool().await;
    browser.open(360, "dark").await;
    open(browser, &served.client, &owner_page()).await;
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
}
