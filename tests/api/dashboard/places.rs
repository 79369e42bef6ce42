//! Where every number stands on the pages, and where each is from: so that none is shown under another's name.

use super::browser::Browser;
use super::seen::owner_address;
use std::collections::BTreeSet;

/// Of each number its section, the heading that it stands under (its table's where there is no other), the name that it
/// stands under, and where it is from. Those that follow another one under the same name are numbered; those in a list have
/// the words beside them, those in the picture of the chain whether they are above a box or below one.
const FIND: &str = "[...document.querySelectorAll('[data-value]')].map((one) => {
    const [cell, fact, item] = [one.closest('td'), one.closest('.facts > div'), one.closest('td li')];
    const caption = one.closest('table')?.caption.textContent.replace(/[0-9]+/g, '#');
    let heading = one.closest('.body > *');
    while (heading && heading.localName !== 'h3') heading = heading.previousElementSibling;
    let name = '';
    if (one.closest('caption')) {
        name = 'caption';
    } else if (cell) {
        name = cell.closest('table').tHead.rows[0].cells[cell.cellIndex].textContent;
        if (item) name += item.textContent.replace(one.textContent, '');
    } else if (fact) {
        name = fact.firstElementChild.textContent;
    } else if (one.closest('#chain svg')) {
        const same = (other) => other.matches('.inbox') && other.getAttribute('x') === one.getAttribute('x');
        const box = [...one.parentElement.children].filter(same).map((other) => Number(other.getAttribute('y')));
        const y = Number(one.getAttribute('y'));
        name = box.length === 0 ? 'no box' : y < Math.min(...box) ? 'above a box' : 'below a box';
    } else if (one.closest('svg')) {
        let label = one;
        do { label = label.previousElementSibling; } while (label && !label.matches('.axis:not([data-value])'));
        name = `picture of ${label?.textContent}`;
    }
    const holder = one.closest('caption') ?? item ?? cell ?? fact ?? one.closest('p');
    const before = holder ? [...holder.querySelectorAll('[data-value]')].indexOf(one) : 0;
    if (before > 0) name = `${name} ${before + 1}`;
    return [one.closest('section').id, heading?.textContent ?? caption ?? '', name, one.dataset.from];
})";

/// A section, the heading in it, the address that is asked, and names with pointers into its answer.
type Place = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// `OWNER` is the owner's address, `SECONDS` the range that is looked at, `*` any place in a list, `#` in a heading any
/// number.
const INDEX: &[Place] = &[
    ("now", "", "/v1/miners", &[("My miners", "/count")]),
    (
        "now",
        "",
        "/v1/pool",
        &[
            ("The pool", "/recent/hashes_per_second"),
            ("The pool 2", "/recent/seconds"),
            ("The pool's blocks", "/recent/bitcoin_blocks_per_day"),
            ("A Bitcoin block takes", "/hashes_per_bitcoin_block"),
            ("Owners", "/window_owners"),
            ("Reward window", "/window_score"),
        ],
    ),
    (
        "now",
        "",
        "/v1/tip",
        &[
            ("Share chain's height", "/tip/height"),
            ("Share chain's height 2", "/tip/time"),
            ("Shares that wait", "/waiting"),
        ],
    ),
    (
        "rates",
        "This node's miners",
        "/v1/history?series=node&seconds=SECONDS",
        &[
            ("", "/points/*/hash_rate"),
            (" 2", "/step"),
            (" 3", "/points/*/time"),
            ("From", "/points/*/time"),
            ("Hash rate", "/points/*/hash_rate"),
            ("Miners", "/points/*/miners"),
            ("Accepted", "/points/*/accepted"),
            ("Refused", "/points/*/refused"),
            ("Best difficulty", "/points/*/best_difficulty"),
        ],
    ),
    ("rates", "The whole pool", "/v1/pool", &[("", "/recent/hashes_per_second"), (" 2", "/recent/seconds")]),
    (
        "rates",
        "The whole pool",
        "/v1/history?series=pool&seconds=SECONDS",
        &[("From", "/points/*/time"), ("Hash rate", "/points/*/hash_rate")],
    ),
    (
        "chain",
        "",
        "/v1/blocks?count=30",
        &[("above a box", "/blocks/*/height"), ("below a box", "/blocks/*/listed")],
    ),
    (
        "chain",
        "The newest share blocks of the active branch",
        "/v1/blocks?count=30",
        &[
            ("Height", "/blocks/*/height"),
            ("Made", "/blocks/*/time"),
            ("Shares listed", "/blocks/*/listed"),
            ("Credits", "/blocks/*/score"),
        ],
    ),
    (
        "chain",
        "Blocks of other branches at these heights",
        "/v1/blocks?count=30",
        &[
            ("Height", "/other_branches/*/height"),
            ("Made", "/other_branches/*/time"),
            ("Shares listed", "/other_branches/*/listed"),
            ("Credits", "/other_branches/*/score"),
        ],
    ),
    ("payouts", "Owner OWNER", "/v1/owners/OWNER?count=1", EXPECTED),
    (
        "payments",
        "Paid in all, by owner",
        "/v1/payments?count=20",
        &[
            ("Worked here last", "/owners/*/worked"),
            ("May be spent", "/owners/*/spendable_satoshis"),
            ("Not to be spent yet", "/owners/*/immature_satoshis"),
            ("Not in Bitcoin's chain yet", "/owners/*/waiting_satoshis"),
            ("Lost", "/owners/*/lost_satoshis"),
        ],
    ),
    ("payments", "", "/v1/payments?count=20", &[("", "/total")]),
    (
        "payments",
        "Payments, newest first",
        "/v1/payments?count=20",
        &[
            ("Bitcoin height", "/payments/*/bitcoin_height"),
            ("Found", "/payments/*/time"),
            ("Amount", "/payments/*/satoshis"),
            ("To be spent from height", "/payments/*/spendable_at_bitcoin_height"),
        ],
    ),
    (
        "miners",
        "",
        "/v1/miners",
        &[
            ("Miners", "/count"),
            ("Best share ever", "/best/difficulty"),
            ("Best share ever 2", "/best/time"),
            ("Fee", "/fee/per_10_000"),
        ],
    ),
    ("miners", "Miners, strongest first", "/v1/miners", MINERS),
    ("found", "", "/v1/bitcoin-blocks?count=20", &[("", "/total")]),
    (
        "found",
        "The newest #, newest first",
        "/v1/bitcoin-blocks?count=20",
        &[
            ("caption", "/blocks"),
            ("Height", "/blocks/*/bitcoin_height"),
            ("Found", "/blocks/*/time"),
            ("Stands", "/blocks/*/confirmations"),
            ("Class", "/blocks/*/class"),
            ("Value", "/blocks/*/value_satoshis"),
            ("Coinbase", "/blocks/*/outputs"),
        ],
    ),
    (
        "found",
        "Coinbase of block #",
        "/v1/bitcoin-blocks?count=20",
        &[("caption", "/blocks/*/bitcoin_height"), ("Amount", "/blocks/*/outputs/*/satoshis")],
    ),
    ("bitcoin", "", "/v1/tip", &[("Height", "/bitcoin/height")]),
    (
        "bitcoin",
        "",
        "/v1/bitcoinds",
        &[
            ("Mined on now", "/template/bitcoin_height"),
            ("It pays", "/template/satoshis"),
            ("Silent for", "/silent_seconds"),
            ("This machine's clock", "/clock_ahead_seconds"),
        ],
    ),
    (
        "bitcoin",
        "The configured bitcoinds",
        "/v1/bitcoinds",
        &[("Its template is for", "/bitcoinds/*/template_height")],
    ),
    ("peers", "", "/v1/peers", &[("Known nodes", "/known")]),
    (
        "peers",
        "Connected nodes, oldest first; heights as they told when they were last asked, every minute",
        "/v1/peers",
        &[
            ("Connected", "/peers/*/since"),
            ("Latency", "/peers/*/latency_ms"),
            ("Says it is at height", "/peers/*/height"),
            ("Gossip's score", "/peers/*/score"),
        ],
    ),
];

const OWNER: &[Place] = &[
    ("expected", "", "/v1/owners/OWNER?count=1", EXPECTED),
    ("miners", "Its miners on this node, strongest first", "/v1/miners", MINERS),
    ("paid", "", "/v1/owners/OWNER?count=1", &[("", "/paid/bitcoin_blocks")]),
    (
        "paid",
        "Payments, newest first",
        "/v1/owners/OWNER?count=1",
        &[
            ("Bitcoin height", "/paid/payments/*/bitcoin_height"),
            ("Found", "/paid/payments/*/time"),
            ("Amount", "/paid/payments/*/satoshis"),
            ("Of it the finder's bonus", "/paid/payments/*/bonus_satoshis"),
            ("Confirmations", "/paid/payments/*/confirmations"),
            ("To be spent from height", "/paid/payments/*/spendable_at_bitcoin_height"),
        ],
    ),
    (
        "credits",
        "Share blocks that credit it, newest first",
        "/v1/owners/OWNER?count=20",
        &[
            ("Height", "/credits/*/height"),
            ("Made", "/credits/*/time"),
            ("Its shares", "/credits/*/shares"),
            ("Score", "/credits/*/score"),
        ],
    ),
];

const EXPECTED: &[(&str, &str)] = &[
    ("picture of Expected", "/expected/satoshis_per_day"),
    ("picture of Fair value", "/expected/fair_satoshis_per_day"),
    ("Expected a day", "/expected/satoshis_per_day"),
    ("Expected a day 2", "/recent/seconds"),
    ("Fair value a day", "/expected/fair_satoshis_per_day"),
    ("Fair value a day 2", "/recent/seconds"),
    ("From the next block", "/expected/next_block_satoshis"),
    ("Of a block of", "/expected/block_satoshis"),
    ("Part of the window", "/window_part"),
    ("Work in the window", "/window_score"),
    ("Place", "/window_rank"),
    ("Hash rate", "/recent/hashes_per_second"),
    ("Hash rate 2", "/recent/seconds"),
    ("Work", "/recent/bitcoin_blocks_per_day"),
    ("Paid", "/paid/satoshis"),
    ("Not yet to be spent", "/paid/immature_satoshis"),
];

const MINERS: &[(&str, &str)] = &[
    ("Device", "/workers/*/port"),
    ("Class", "/workers/*/class"),
    ("Difficulty", "/workers/*/difficulty"),
    ("Hash rate", "/workers/*/hash_rate"),
    ("Best difficulty", "/workers/*/best_difficulty"),
    ("Best difficulty 2", "/workers/*/best_ever_difficulty"),
    ("Accepted", "/workers/*/accepted"),
    ("Refused", "/workers/*/refused"),
    ("Refused stale", "/workers/*/refused/stale"),
    ("Refused of an unknown job", "/workers/*/refused/unknown_job"),
    ("Refused repeated", "/workers/*/refused/repeated"),
    ("Refused too easy", "/workers/*/refused/too_easy"),
    ("Refused untimely", "/workers/*/refused/untimely"),
    ("Refused for other reasons", "/workers/*/refused/other"),
    ("Last share", "/workers/*/last_share"),
    ("Connected", "/workers/*/connected"),
];

/// Sees that each of these numbers is where it belongs, and that there is no other; `page` is the index or an owner's.
pub(super) async fn check(browser: &mut Browser, page: &str, seconds: u64) {
    let places = if page == "/" { INDEX } else { OWNER };
    let all: BTreeSet<[String; 4]> = places.iter().flat_map(|place| each(place, seconds)).collect();
    let found: Vec<[String; 4]> =
        serde_json::from_value(browser.value(FIND).await).expect("what was asked for");
    let found: BTreeSet<[String; 4]> = found.into_iter().map(plain).collect();
    let [missing, strange] = [&all - &found, &found - &all];
    assert!(missing.is_empty() && strange.is_empty(), "{page}: missing {missing:#?}, strange {strange:#?}");
}

fn each(&(section, heading, address, list): &Place, seconds: u64) -> impl Iterator<Item = [String; 4]> {
    let address = address.replace("SECONDS", &seconds.to_string());
    list.iter().map(move |(name, pointer)| {
        [section.to_owned(), heading.to_owned(), (*name).to_owned(), format!("{address}#{pointer}")]
    })
}

/// The same for any owner, and for any place in a list.
fn plain([section, heading, name, from]: [String; 4]) -> [String; 4] {
    let (owner, (path, pointer)) = (owner_address(), from.split_once('#').expect("an address and a pointer"));
    let steps = pointer.split('/').map(|step| if step.parse::<usize>().is_ok() { "*" } else { step });
    let from = format!("{}#{}", path.replace(&owner, "OWNER"), steps.collect::<Vec<_>>().join("/"));
    [section, heading.replace(&owner, "OWNER"), name, from]
}
