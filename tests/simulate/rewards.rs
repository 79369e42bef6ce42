//! `commonwork simulate rewards` as its user sees it: tables, JSON, a page, and what it refuses.

use crate::cli::Program;
use commonwork::rewards::figure::{number, percent};
use commonwork::rewards::page::income_cells;
use commonwork::rewards::{Report, Settings};

/// Quick: few runs over two horizons.
const QUICK: [&str; 6] = ["simulate", "rewards", "--runs", "20", "--days", "1,30"];

fn read(program: &Program, name: &str) -> String {
    std::fs::read_to_string(program.home().join(name)).expect(name)
}

#[test]
fn tables_json_and_page_have_the_same_numbers_and_a_seed_gives_them_again() {
    let program = Program::new();
    let [json, html] = ["figures.json", "page.html"].map(|name| program.home().join(name));
    let files =
        ["--json", json.to_str().expect("a plain name"), "--html", html.to_str().expect("a plain name")];
    let ended = program.run(&[&QUICK[..], &files].concat());
    assert_eq!(ended.code, 0, "{}", ended.errors);
    let report: Report = serde_json::from_str(&read(&program, "figures.json")).expect("JSON");
    assert_eq!(report.settings.horizons, [1.0, 30.0]);
    assert_eq!((report.rows.len(), report.operators.len()), (11, 2));
    let page = read(&program, "page.html");
    for row in &report.rows {
        for place in 0..2 {
            let line: Vec<&str> = ended.output.lines().filter(|line| line.starts_with(&row.name)).collect();
            for cell in income_cells(row, place) {
                assert!(line.iter().any(|line| line.contains(&cell)), "{cell} is not in {line:?}");
                assert!(
                    page.contains(&format!("<td>{}</td>", cell.replace('>', "&gt;").replace('<', "&lt;"))),
                    "{cell}"
                );
            }
        }
    }
    assert!(page.contains(&number(report.fair[1])) && page.contains(&percent(report.rules.hopper)));

    let again = program.run(&[&QUICK[..], &["--json", "-"]].concat());
    assert_eq!(again.output, read(&program, "figures.json"), "the same seed gives the same figures");
    let other = program.run(&[&QUICK[..], &["--json", "-", "--seed", "2"]].concat());
    assert!(other.code == 0 && other.output != again.output);
}

/// Every tag is closed where it should be, and nothing is fetched or run.
fn assert_stands_alone(page: &str) {
    let body = page.strip_prefix("<!DOCTYPE html>\n").expect("a document of HTML");
    let mut open = Vec::new();
    for part in body.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag ends");
        assert!(!text.contains('>'), "{text} has a character that should be escaped");
        let name = tag.split([' ', '/']).find(|name| !name.is_empty()).expect("a name");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "<{tag}> closes what is open");
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
    }
    assert_eq!(open, Vec::<&str>::new());
    for word in ["<script", "http:", "https:", "src=", "href=", "@import", "url("] {
        assert!(!page.contains(word), "the page has {word}");
    }
}

#[test]
fn the_page_stands_alone_and_is_for_everybody() {
    let program = Program::new();
    let html = program.home().join("page.html");
    let ended = program.run(&[&QUICK[..], &["--html", html.to_str().expect("a plain name")]].concat());
    assert_eq!(ended.code, 0, "{}", ended.errors);
    let page = read(&program, "page.html");
    assert_stands_alone(&page);
    assert!(page.contains("name=\"viewport\"") && page.contains("prefers-color-scheme: dark"));
    // Two charts for each horizon, the means and the first payouts, each in words, too.
    let charts: Vec<&str> = page.split("<svg ").skip(1).collect();
    assert_eq!(charts.len(), 6);
    for chart in charts {
        assert!(chart.starts_with("role=\"img\" aria-labelledby="), "{chart}");
        assert!(chart.contains("<title id=") && chart.contains("this chain, 11 outputs: "), "{chart}");
    }
}

#[test]
fn the_defaults_are_told_and_need_no_options() {
    let ended = Program::new().run(&["simulate", "rewards", "--help"]);
    let settings = Settings::default();
    assert!(ended.output.contains("[default: 1T]") && ended.output.contains("[default: 1000E]"));
    assert!(ended.output.contains(&format!("[default: {}]", settings.height)), "{}", ended.output);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_option_named() {
    let program = Program::new();
    for (arguments, told) in [
        (&["--hash-rate", "0"][..], "--hash-rate: 1 H/s at least"),
        (&["--hash-rate", "many"], "such as 500G"),
        (&["--hash-rate", "2E"], "--pool: the pool's hash rate includes the miner's"),
        (&["--bitcoin", "1P"], "--bitcoin: Bitcoin's hash rate includes the pool's"),
        (&["--pool", "1e40"], "--pool: 1 H/s at least, and no more than 10^30"),
        (&["--days", "7,1"], "--days: ascending"),
        (&["--days", "100000"], "--days: each from 0.01 to 366 days"),
        (&["--runs", "1000000"], "--runs: 20 to 10000"),
        (&["--others", "1000000"], "--others: 1 to 2000 miners"),
        (&["--fee", "60"], "--fee: 0 to 50 %"),
        (&["--block-fees", "1e9"], "--block-fees"),
    ] {
        program.refuses(&[&["simulate", "rewards"], arguments].concat(), told);
    }
}
