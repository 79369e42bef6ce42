//! Size and head of every file.

use super::{report, sources};

const MOST_LINES: usize = 700;
const ALL: &[&str] = &["src", "tests", "benches", "sharechain/src", "sharechain/tests", "sharechain/benches"];

#[test]
fn no_file_is_longer_than_its_limit() {
    let long = sources(ALL).into_iter().map(|s| (s.text.lines().count(), s.path));
    let faults: Vec<_> =
        long.filter(|(n, _)| *n > MOST_LINES).map(|(n, p)| format!("{p}: {n} lines")).collect();
    report(&format!("a file has at most {MOST_LINES} lines; make modules of its parts:"), &faults);
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    let silent = sources(ALL).into_iter().filter(|source| !source.text.starts_with("//! "));
    let faults: Vec<_> = silent.map(|source| source.path).collect();
    report("a file begins with `//! ` and what the module does and does not do:", &faults);
}
