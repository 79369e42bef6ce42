//! Which module of the node may use which: the arrows of `docs/architecture.md`.

use super::{report, sources};
use std::collections::BTreeSet;

/// Modules that any other may use: they know nothing of the node, or are for its unit tests.
const FOR_ALL: &[&str] = &["address", "disk", "hashes", "metrics", "ports", "refused", "test_jobs"];

/// What each module may use besides those. `sharechain` is open to all. Only `node` and `commands` construct things.
const MAY_USE: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("disk", &[]),
    ("hashes", &[]),
    ("metrics", &[]),
    ("ports", &[]),
    ("refused", &[]),
    ("config", &["bitcoin"]),
    ("bitcoin", &[]),
    ("store", &[]),
    ("chain", &["store", "bitcoin"]),
    ("work", &["chain", "bitcoin"]),
    ("stratum", &["work"]),
    ("stratum_v2", &["stratum", "work"]),
    ("legacy", &["stratum", "work", "bitcoin"]),
    ("peers", &["chain", "bitcoin"]),
    ("p2p", &["peers"]),
    ("dashboard", &[]),
    ("api", &["chain", "store", "peers", "rewards", "history", "dashboard"]),
    ("miner", &[]),
    ("bench", &["miner"]),
    ("simulate", &["chain", "peers"]),
    ("rewards", &["simulate"]),
    ("history", &[]),
    ("logging", &["config"]),
    ("shutdown", &[]),
    ("open_files", &[]),
    (
        "node",
        &[
            "config",
            "bitcoin",
            "store",
            "chain",
            "work",
            "stratum",
            "stratum_v2",
            "legacy",
            "peers",
            "p2p",
            "api",
            "history",
            "miner",
            "open_files",
        ],
    ),
    (
        "commands",
        &[
            "config",
            "bitcoin",
            "store",
            "chain",
            "work",
            "stratum",
            "stratum_v2",
            "peers",
            "p2p",
            "api",
            "history",
            "miner",
            "bench",
            "simulate",
            "rewards",
            "logging",
            "shutdown",
            "open_files",
            "node",
        ],
    ),
];

/// The module at the top of the tree that a file belongs to; none for `lib.rs` and `main.rs`, which list them all.
fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let top = inside.split('/').next()?;
    let name = top.strip_suffix(".rs").unwrap_or(top);
    (!["lib", "main"].contains(&name)).then_some(name)
}

/// The modules that a line of code names by `crate::`, lists in braces included.
fn used(line: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        // `$crate` and `sharechain::…crate` are other things.
        if line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &line[at + "crate::".len()..];
        if let Some(list) = rest.strip_prefix('{') {
            let mut depth = 0_i32;
            let mut top = String::new();
            for c in list.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ if depth == 0 => top.push(c),
                    _ => {}
                }
            }
            names.extend(top.split(',').map(first_name));
        } else {
            names.push(first_name(rest));
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

#[test]
fn modules_use_only_what_they_may() {
    let mut faults = Vec::new();
    for source in sources(&["src"]) {
        let Some(module) = module_of(&source.path) else { continue };
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
            faults
                .push(format!("{}: the module `{module}` is not in the table MAY_USE; add it", source.path));
            continue;
        };
        // Statements, so that lists over several lines are seen whole.
        let code: String = source.code().map(|(_, line)| line).collect::<Vec<_>>().join(" ");
        let names: BTreeSet<String> = code.split(';').flat_map(used).collect();
        for name in names.iter().filter(|name| *name != module) {
            if !allowed.contains(&name.as_str()) && !FOR_ALL.contains(&name.as_str()) {
                faults.push(format!("{}: `{module}` uses `crate::{name}`, which it may not", source.path));
            }
        }
    }
    report("who may use whom is in docs/architecture.md, section 1, and in the table here:", &faults);
}

#[test]
fn the_table_has_no_cycle_and_keeps_stratum_and_p2p_apart() {
    let of = |name: &str| MAY_USE.iter().find(|(n, _)| *n == name).map(|(_, used)| *used).unwrap_or_default();
    for (name, _) in MAY_USE {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut open: Vec<&str> = of(name).to_vec();
        while let Some(next) = open.pop() {
            if reached.insert(next) {
                open.extend(of(next));
            }
        }
        assert!(!reached.contains(name), "{name} reaches itself");
        if *name == "stratum" {
            assert!(!reached.contains("p2p"));
        }
        if *name == "p2p" {
            assert!(!reached.contains("stratum"));
        }
    }
}

#[test]
fn uses_are_found_in_every_form() {
    assert_eq!(used("use crate::chain::Handle"), ["chain"]);
    assert_eq!(used("use crate::{chain::{self, A}, work, bitcoin::B}"), ["chain", "work", "bitcoin"]);
    assert_eq!(used("let x = crate::p2p::f(crate::api::G)"), ["p2p", "api"]);
    assert!(used("pub(crate) fn f()").is_empty());
    assert!(used("$crate::x").is_empty());
    assert_eq!(module_of("src/chain/writer.rs"), Some("chain"));
    assert_eq!(module_of("src/ports.rs"), Some("ports"));
    assert_eq!(module_of("src/main.rs"), None);
}
