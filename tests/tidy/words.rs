//! Words that must not stand in consensus code, and words that must not stand anywhere.

use super::{has_word, report, sources};

/// What would make consensus depend on the machine, the clock or the order of a hash table. Tests are no exception:
/// one that depends on them would pass on one machine and fail on the next.
const NOT_IN_CONSENSUS: &[&str] = &[
    "std::net",
    "std::fs",
    "std::io",
    "std::env",
    "std::time",
    "std::thread",
    "std::process",
    "SystemTime",
    "Instant",
    "HashMap",
    "HashSet",
    "RandomState",
    "f32",
    "f64",
    "tokio",
    "libp2p",
    "sled",
    "bincode",
    "getrandom",
    "println",
    "eprintln",
];

/// Stubs, and queues without a bound.
const NOWHERE: &[&str] = &["todo!", "unimplemented!", "dbg!", "unbounded_channel", "UnboundedSender"];

/// The crates that consensus may be built from.
const CONSENSUS_CRATES: &[&str] = &["bitcoin", "primitive-types", "sha2", "thiserror"];

fn faults(folders: &[&str], words: &[&str]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources(folders) {
        // This file names the words.
        if source.path == "tests/tidy/words.rs" {
            continue;
        }
        for (number, line) in source.code() {
            for word in words.iter().filter(|word| has_word(line, word)) {
                faults.push(format!("{}:{number}: {word}", source.path));
            }
        }
    }
    faults
}

#[test]
fn consensus_touches_no_clock_no_disk_no_socket_no_float_and_no_hash_table() {
    let faults = faults(&["sharechain/src", "sharechain/tests"], NOT_IN_CONSENSUS);
    report("sharechain must give the same answer on every machine; it may not name these:", &faults);
}

#[test]
fn consensus_is_built_from_few_crates() {
    let manifest = std::fs::read_to_string(super::root().join("sharechain/Cargo.toml")).expect("a manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let dependencies = manifest["dependencies"].as_table().expect("a table");
    let others: Vec<_> =
        dependencies.keys().filter(|name| !CONSENSUS_CRATES.contains(&name.as_str())).cloned().collect();
    report("sharechain may not depend on these:", &others);
}

#[test]
fn there_are_no_stubs_and_no_unbounded_queues() {
    let faults = faults(&["src", "sharechain/src", "sharechain/tests", "tests"], NOWHERE);
    report("these may stand nowhere:", &faults);
}
