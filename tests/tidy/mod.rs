//! Rules of the source itself: who may use whom, what consensus code must not touch, how long a file may be.
//!
//! Each failure names the file and line and what to do. The rules are in `docs/architecture.md`.

mod docs;
mod edges;
mod files;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust source file of the project.
struct Source {
    /// Path from the project's root, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Numbered lines (from 1) without comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(i, line)| (i + 1, line.split("//").next().unwrap_or_default()))
    }
}

/// All Rust sources under these folders of the project, sorted; at least one, or the rule would hold of nothing.
fn sources(folders: &[&str]) -> Vec<Source> {
    let mut found = Vec::new();
    for folder in folders {
        walk(&root().join(folder), &mut found);
    }
    assert!(!found.is_empty(), "no sources under {folders:?}");
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn walk(folder: &Path, found: &mut Vec<Source>) {
    // Not every crate has every folder (benches, tests).
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path: PathBuf = entry.expect("a folder entry").path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let path = path.strip_prefix(root()).expect("under the root").to_str().expect("a plain name");
            found.push(Source { path: path.replace('\\', "/"), text });
        }
    }
}

/// Positions at which `word` stands in `line` with no letter, digit or underscore beside it.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

fn report(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}\n{}", faults.join("\n"));
}

#[test]
fn words_are_whole_words() {
    assert!(has_word("use std::net;", "std::net"));
    assert!(has_word("a: f64)", "f64"));
    assert!(!has_word("as_f64()", "f64"));
    assert!(!has_word("f640", "f64"));
}
