//! Where money, rates and work stand on the pages, and where each is from: so that none is shown under another's name.

use super::browser::Browser;
use super::seen::owner_address;
use std::collections::BTreeSet;

/// Of each number its section, the heading and the name that it stands under, and where it is from. Those that follow
/// another one under the same name are numbered.
const FIND: &str = "[...document.querySelectorAll('[data-value]')].map((one) => {
    const [cell, fact] = [one.closest('td'), one.closest('.facts > div')];
    let heading = one.closest('.body > *');
    while (heading && heading.localName !== 'h3') heading = heading.previousElementSibling;
    let name = '';
    if (cell) {
        name = cell.closest('table').tHead.rows[0].cells[cell.cellIndex].textContent;
    } else if (fact) {
        name = fact.firstElementChild.textContent;
    } else if (one.closest('svg')) {
        let label = one;
        do { label = label.previousElementSibling; } while (label && !label.matches('.axis:not([data-value])'));
        name = `picture of ${label?.textContent}`;
    }
    const holder = cell ?? fact ?? one.closest('p');
    const before = holder ? [...holder.querySelectorAll('[data-value]')].indexOf(one) : 0;
    if (before > 0) name = `${name} ${before + 1}`;
    return [one.closest('section').id, heading?.textContent ?? '', name, one.dataset.from];
})";

/// What the last step of a pointer has where it is money, a rate or work.
const KINDS: [&str; 7] = ["satoshis", "hash", "per_day", "per_10_000", "score", "part", "difficulty"];

/// A section, the heading in it, the address that is asked, and names with pointers into its answer.
type Place = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

/// `OWNER` is the owner's address, `SECONDS` the range that is looked at, `*` any place in a list.
const INDEX: &[Place] = &[
    (
        "now",
        "",
        "/v1/pool",
        &[
            ("The pool", "/recent/hashes_per_second"),
            ("The pool's blocks", "/recent/bitcoin_blocks_per_day"),
            ("A Bitcoin block takes", "/hashes_per_bitcoin_block"),
            ("Reward window", "/window_score"),
        ],
    ),
    (
        "rates",
        "This node's miners",
        "/v1/history?series=node&seconds=SECONDS",
        &[
            ("", "/points/*/hash_rate"),
            ("Hash rate", "/points/*/hash_rate"),
            ("Best difficulty", "/points/*/best_difficulty"),
        ],
    ),
    ("rates", "The whole pool", "/v1/pool", &[("", "/recent/hashes_per_second")]),
    (
        "rates",
        "The whole pool",
        "/v1/history?series=pool&seconds=SECONDS",
        &[("Hash rate", "/points/*/hash_rate")],
    ),
    (
        "chain",
        "",
        "/v1/blocks?count=30",
        &[("Credits", "/blocks/*/score"), ("Credits", "/other_branches/*/score")],
    ),
    ("payouts", "Owner OWNER", "/v1/owners/OWNER?count=1", EXPECTED),
    (
        "payments",
        "",
        "/v1/payments?count=20",
        &[
            ("May be spent", "/owners/*/spendable_satoshis"),
            ("Not to be spent yet", "/owners/*/immature_satoshis"),
            ("Not in Bitcoin's chain yet", "/owners/*/waiting_satoshis"),
            ("Lost", "/owners/*/lost_satoshis"),
            ("Amount", "/payments/*/satoshis"),
        ],
    ),
    ("miners", "", "/v1/miners", &[("Best share ever", "/best/difficulty"), ("Fee", "/fee/per_10_000")]),
    ("miners", "", "/v1/miners", MINERS),
    (
        "found",
        "",
        "/v1/bitcoin-blocks?count=20",
        &[("Value", "/blocks/*/value_satoshis"), ("Amount", "/blocks/*/outputs/*/satoshis")],
    ),
    ("bitcoin", "", "/v1/bitcoinds", &[("It pays", "/template/satoshis")]),
    ("peers", "", "/v1/peers", &[("Gossip's score", "/peers/*/score")]),
];

const OWNER: &[Place] = &[
    ("expected", "", "/v1/owners/OWNER?count=1", EXPECTED),
    ("miners", "", "/v1/miners", MINERS),
    (
        "paid",
        "",
        "/v1/owners/OWNER?count=1",
        &[
            ("Amount", "/paid/payments/*/satoshis"),
            ("Of it the finder's bonus", "/paid/payments/*/bonus_satoshis"),
        ],
    ),
    ("credits", "", "/v1/owners/OWNER?count=50", &[("Score", "/credits/*/score")]),
];

const EXPECTED: &[(&str, &str)] = &[
    ("picture of Expected", "/expected/satoshis_per_day"),
    ("picture of Fair value", "/expected/fair_satoshis_per_day"),
    ("Expected a day", "/expected/satoshis_per_day"),
    ("Fair value a day", "/expected/fair_satoshis_per_day"),
    ("From the next block", "/expected/next_block_satoshis"),
    ("Of a block of", "/expected/block_satoshis"),
    ("Part of the window", "/window_part"),
    ("Work in the window", "/window_score"),
    ("Hash rate", "/recent/hashes_per_second"),
    ("Work", "/recent/bitcoin_blocks_per_day"),
    ("Paid", "/paid/satoshis"),
    ("Not yet to be spent", "/paid/immature_satoshis"),
];

const MINERS: &[(&str, &str)] = &[
    ("Difficulty", "/workers/*/difficulty"),
    ("Hash rate", "/workers/*/hash_rate"),
    ("Best difficulty", "/workers/*/best_difficulty"),
    ("Best difficulty 2", "/workers/*/best_ever_difficulty"),
];

/// Sees that each of these numbers is where it belongs, and that no other one is there; `page` is the index or an owner's.
pub(super) async fn check(browser: &mut Browser, page: &str, seconds: u64) {
    let places = if page == "/" { INDEX } else { OWNER };
    let all: BTreeSet<[String; 4]> = places.iter().flat_map(|place| each(place, seconds)).collect();
    let names: BTreeSet<&[String]> = all.iter().map(|one| &one[..3]).collect();
    let found: Vec<[String; 4]> =
        serde_json::from_value(browser.value(FIND).await).expect("what was asked for");
    let found: BTreeSet<[String; 4]> = found.into_iter().map(plain).collect();
    let concerned: BTreeSet<_> =
        found.into_iter().filter(|one| is_of_a_kind(&one[3]) || names.contains(&one[..3])).collect();
    let [missing, strange] = [&all - &concerned, &concerned - &all];
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

fn is_of_a_kind(from: &str) -> bool {
    let last = from.rsplit('/').next().unwrap_or_default();
    KINDS.iter().any(|kind| last.contains(kind))
}
