//! The miners in `commonwork status`: the ones with most work first, as many as a screen takes.

use crate::api::form::WorkerForm;
use crate::commands::table::{Column, Table};

/// Miners that are listed; `--json` has all.
const LISTED: usize = 12;
/// Longest name and program that are shown whole, in characters.
const WIDEST: usize = 26;

/// The table, with a line of what is left out; nothing where there are none.
pub(super) fn text(workers: &[WorkerForm], now: u64) -> String {
    if workers.is_empty() {
        return String::new();
    }
    let mut table = Table::new([
        Column::Left("miner"),
        Column::Left("program"),
        Column::Right("hash rate"),
        Column::Right("difficulty"),
        Column::Right("accepted"),
        Column::Right("refused"),
        Column::Right("best"),
        Column::Right("last share"),
    ]);
    let mut workers: Vec<&WorkerForm> = workers.iter().collect();
    workers.sort_by(|a, b| b.hash_rate.total_cmp(&a.hash_rate));
    for worker in workers.iter().take(LISTED) {
        table.row([
            cut(&worker.name),
            cut(&worker.user_agent),
            rate(worker.hash_rate),
            worker.difficulty.map_or("-".into(), |difficulty| difficulty.to_string()),
            worker.accepted.to_string(),
            worker.refused.total().to_string(),
            worker.best_ever_difficulty.map_or("-".into(), difficulty),
            worker.last_share.map_or("-".into(), |time| format!("{} s ago", now.saturating_sub(time))),
        ]);
    }
    let more = match workers.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!("and {more} more, which --json lists\n"),
    };
    table.text() + &more
}

/// Hashes a second of all of them.
pub(super) fn together(workers: &[WorkerForm]) -> String {
    // A sum of no numbers would be -0.
    rate(workers.iter().fold(0.0, |sum, worker| sum + worker.hash_rate))
}

/// A hash rate for people.
fn rate(hashes_per_second: f64) -> String {
    const UNITS: [&str; 7] = ["H/s", "kH/s", "MH/s", "GH/s", "TH/s", "PH/s", "EH/s"];
    let (shown, unit) = in_unit(hashes_per_second, UNITS);
    format!("{shown:.2} {unit}")
}

/// A difficulty that was met, for people, as devices show it.
pub(in crate::commands) fn difficulty(met: f64) -> String {
    const UNITS: [&str; 7] = ["", "k", "M", "G", "T", "P", "E"];
    let (shown, unit) = in_unit(met, UNITS);
    format!("{shown:.2}{unit}")
}

fn in_unit<const N: usize>(number: f64, units: [&'static str; N]) -> (f64, &'static str) {
    let mut shown = number;
    let mut units = units.into_iter();
    let mut unit = units.next().unwrap_or("");
    // Not 1000.00 of the smaller unit either.
    while shown >= 999.995 {
        let Some(next) = units.next() else { break };
        (shown, unit) = (shown / 1_000.0, next);
    }
    (shown, unit)
}

/// What a device says of itself, as one short line: an address is told by its ends, and behind it stands the worker.
fn cut(text: &str) -> String {
    let text = plain(text);
    let length = text.chars().count();
    if length <= WIDEST {
        return text;
    }
    let head: String = text.chars().take(8).collect();
    let tail: String = text.chars().skip(length - (WIDEST - 10)).collect();
    format!("{head}..{tail}")
}

/// Without what a terminal would take for a command.
pub(in crate::commands) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::RefusedForm;

    fn worker(name: &str, hash_rate: f64) -> WorkerForm {
        WorkerForm {
            name: name.into(),
            address: None,
            user_agent: "bitaxe/BM1370".into(),
            remote: "127.0.0.1:1".parse().expect("an address"),
            protocol: "stratum".into(),
            port: 3333,
            class: Some(11),
            difficulty: Some(512.0),
            connected: 0,
            last_share: None,
            accepted: 7,
            refused: RefusedForm {
                stale: 1,
                unknown_job: 2,
                repeated: 0,
                too_easy: 0,
                untimely: 0,
                other: 3,
            },
            hash_rate,
            best_difficulty: None,
            best_ever_difficulty: None,
        }
    }

    #[test]
    fn the_strongest_come_first_and_the_rest_are_counted() {
        assert_eq!(text(&[], 9), "");
        let mut workers: Vec<WorkerForm> = (0..14).map(|n| worker(&format!("w{n}"), f64::from(n))).collect();
        workers[3].hash_rate = 1.2e12;
        workers[3].last_share = Some(40);
        workers[3].best_ever_difficulty = Some(1_234_567.0);
        let shown = text(&workers, 52);
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.len(), 1 + LISTED + 1, "{shown}");
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            words,
            ["w3", "bitaxe/BM1370", "1.20", "TH/s", "512", "7", "6", "1.23M", "12", "s", "ago"]
        );
        assert!(lines[2].starts_with("w13 ") && lines[2].ends_with('-'), "{shown}");
        assert_eq!(lines[13], "and 2 more, which --json lists");
        assert_eq!(together(&workers[..3]), "3.00 H/s");
    }

    #[test]
    fn rates_and_names_are_for_people() {
        assert_eq!([rate(0.0), rate(999.99), rate(999.996)], ["0.00 H/s", "999.99 H/s", "1.00 kH/s"]);
        assert_eq!([difficulty(0.25), difficulty(65_536.0)], ["0.25", "65.54k"]);
        assert_eq!([rate(1.5e18), rate(2e21)], ["1.50 EH/s", "2000.00 EH/s"]);
        assert_eq!(cut("short.rig"), "short.rig");
        assert_eq!(cut("bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080.cellar"), "bcrt1qw5..w7kygt080.cellar");
        assert_eq!(plain("a\x1b[2Jb\n"), "a?[2Jb?");
    }
}
