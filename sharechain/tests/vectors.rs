//! The code gives the published test vectors, byte for byte: a change of any of them is a change of the protocol. And
//! what the protocol's text quotes is what they say.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

#[path = "vectors/build.rs"]
mod build;
#[path = "vectors/json.rs"]
mod json;
mod support;

use bitcoin::CompactTarget;
use sharechain::params::ChainParams;
use sharechain::retarget::{RetargetInput, next_target};
use sharechain::target::Target;
use sharechain::units::UnixTime;

const PUBLISHED: &str = include_str!("vectors/protocol-1.json");
/// The text that the vectors belong to.
const PROTOCOL: &str = include_str!("../../docs/protocol.md");

#[test]
fn the_code_gives_the_published_vectors() {
    let made = build::text();
    for (number, (made, published)) in (1..).zip(made.lines().zip(PUBLISHED.lines())) {
        assert_eq!(
            made, published,
            "line {number} differs from what is published. If the protocol is meant to change, then \
             `cargo run -p sharechain --example vectors > sharechain/tests/vectors/protocol-1.json`, \
             and a new version of the protocol where anyone uses this one"
        );
    }
    assert_eq!(made.len(), PUBLISHED.len());
}

/// Cells of the rows of all tables of the protocol's text, without their backticks.
fn rows() -> impl Iterator<Item = Vec<String>> {
    let tables = PROTOCOL.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    tables.map(|row| row.split(" | ").map(|cell| cell.trim().replace('`', "")).collect())
}

#[test]
fn every_hash_in_the_text_is_in_the_vectors() {
    let words = PROTOCOL.split(|c: char| !c.is_ascii_hexdigit());
    let hashes: Vec<_> = words.filter(|word| word.len() == 64).collect();
    assert!(hashes.len() > 12, "{}", hashes.len());
    for hash in hashes {
        assert!(PUBLISHED.contains(hash), "docs/protocol.md has {hash}");
    }
}

#[test]
fn the_share_in_the_text_is_that_of_the_vectors() {
    let (_, block) = PROTOCOL.split_once("```share\n").expect("quoted");
    let (block, _) = block.split_once("```").expect("ends");
    let bytes: String = block.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(PUBLISHED.contains(&format!("\"bytes\": \"{bytes}\"")));
}

#[test]
fn the_texts_parameters_are_mains() {
    let main = ChainParams::main();
    let classes: Vec<_> = main.classes.iter().map(u16::to_string).collect();
    let values = [
        ("first_bitcoin_block", main.first_bitcoin_block.0.to_string()),
        ("spacing", main.spacing.to_string()),
        ("shares_per_block", main.shares_per_block.to_string()),
        ("easiest_block_target", format!("{:08x}", main.easiest_block_target.to_consensus())),
        ("retarget_constant", main.retarget_constant.to_string()),
        ("stall_relief", main.stall_relief.to_string()),
        ("future_limit", main.future_limit.to_string()),
        ("base_depth", main.base_depth.to_string()),
        ("include_depth", main.include_depth.to_string()),
        ("payout_interval", main.payout_interval.to_string()),
        ("max_listed", main.max_listed.to_string()),
        ("window_score", (main.window_score.0 >> 64).to_string()),
        ("window_blocks", main.window_blocks.to_string()),
        ("smallest_payout", main.smallest_payout.to_string()),
        ("classes", classes.join(", ")),
    ];
    for (key, value) in values {
        let row = rows().find(|row| row[0] == key).unwrap_or_else(|| panic!("no row of {key}"));
        assert_eq!(row[1], value, "{key}");
    }
    for params in [main, ChainParams::testnet4(), ChainParams::signet(), ChainParams::regtest()] {
        let id: String = params.chain_id().0.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(rows().any(|row| row == [params.name.clone(), id.clone()]), "{} {id}", params.name);
    }
}

#[test]
fn the_texts_block_targets_are_right() {
    let bits = |text: &str| {
        let compact = u32::from_str_radix(text, 16).ok().filter(|_| text.len() == 8)?;
        Target::from_compact(CompactTarget::from_consensus(compact)).ok()
    };
    let table = rows().filter_map(|row| match &row[..] {
        [parent, late, silence, next] => {
            Some((bits(parent)?, late.parse::<i64>().ok()?, silence.parse::<i64>().ok()?, bits(next)?))
        }
        _ => None,
    });
    let params = ChainParams::main();
    let time = |after: i64| UnixTime(u32::try_from(1_800_000_000 + after).expect("in range"));
    let mut checked = 0;
    for (parent_target, late, silence, next) in table {
        let input = RetargetInput {
            parent_target,
            parent_time: time(0),
            grandparent_time: Some(time(-late - i64::from(params.spacing))),
            newest_time: time(0),
        };
        assert_eq!(next_target(&params, Some(&input), time(silence)), next, "{late} {silence}");
        checked += 1;
    }
    assert_eq!(checked, 10);
}
