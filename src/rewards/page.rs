//! The comparison as one HTML file: no scripts, nothing fetched, for phone and desk, light and dark.

use super::chart::{Bar, Chart, escaped};
use super::figure::{estimate, formula, hash_rate, number, percent, percent_estimate, span, span_estimate};
use super::report::{Horizon, Report, Row};
use super::scheme::Formula;
use crate::simulate::report::Estimate;
use std::fmt::Write;

/// Satoshis of a bitcoin.
const COIN: f64 = 1e8;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1a202c; --paper: #ffffff; --soft: #5a6577; --line: #d5dbe5; --bar: #2b6cb0;
  --rail: #edf1f6; --mark: #c05621; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #14181f; --soft: #9aa5b5; --line: #323b49;
  --bar: #4a8fd6; --rail: #222a35; --mark: #f0a060; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2rem; } h3 { font-size: 1rem; }
p.soft, figcaption, dt { color: var(--soft); }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0.1rem 1rem; } dd { margin: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem; }
figure { margin: 0; } svg { width: 100%; height: auto; font: 13px system-ui, sans-serif; fill: var(--ink); }
.bar { fill: var(--bar); } .rail { fill: var(--rail); } circle.mark { fill: var(--mark); }
line.mark { stroke: var(--mark); stroke-width: 2; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: 0.3rem 0.6rem; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; }
";

/// The page.
pub fn html(report: &Report) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <title>What mining pays: {}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n",
        escaped(&hash_rate(report.settings.hash_rate))
    );
    head(&mut page, report);
    pictures(&mut page, report);
    for place in 0..report.fair.len() {
        horizon(&mut page, report, place);
    }
    first(&mut page, report);
    operators(&mut page, report);
    ends(&mut page, report);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report) {
    let settings = &report.settings;
    let facts = [
        ("Miner", hash_rate(settings.hash_rate)),
        ("Pool", hash_rate(settings.pool_hash_rate)),
        ("Bitcoin", hash_rate(settings.network_hash_rate)),
        ("The miner's part of the pool", percent(settings.part())),
        ("Bitcoin blocks of the pool", format!("one in {}", span(1.0 / report.blocks_per_day))),
        ("A block", format!("{} sat, fees included", number(report.block_value as f64))),
        ("Operators' fee", percent(settings.fee)),
        ("Seed", settings.seed.to_string()),
    ];
    page.push_str("<h1>What mining pays, by the way it is paid</h1>\n<dl>\n");
    for (name, value) in facts {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(&value));
    }
    page.push_str(
        "</dl>\n<p>Every number twice: by formula, and drawn many times at random, with the standard error of that. \
         A tilde (~) marks a formula that is only near. Money is in satoshis, and the mean is what matters in the \
         long run; the rest is luck, and who bears it.</p>\n",
    );
}

/// The charts of one kind.
fn chart(page: &mut String, id: &str, chart: &Chart) {
    let scale = if chart.logarithmic { " Lengths are logarithmic." } else { "" };
    let _ = writeln!(
        page,
        "<figure>\n<h3>{}</h3>\n{}<figcaption>{}{scale}</figcaption>\n</figure>",
        escaped(&chart.title),
        chart.svg(id),
        escaped(&chart.about)
    );
}

/// Bars of something of each scheme at a horizon, as a part of `whole`. What is a mean or a spread has no mark where no run
/// had a payout.
fn bars(
    report: &Report,
    place: usize,
    whole: f64,
    of: impl Fn(&Horizon) -> (Formula, Option<Estimate>),
) -> Vec<Bar> {
    let bar = |row: &Row| {
        let (formula, drawn) = of(&row.horizons[place]);
        let mark = |drawn: Estimate| {
            let (value, error) = (drawn.mean / whole, drawn.error.unwrap_or(0.0) / whole);
            (value, error, percent(value))
        };
        let value = formula.value / whole;
        Bar { label: row.name.clone(), formula: value, text: percent(value), drawn: drawn.map(mark) }
    };
    report.rows.iter().map(bar).collect()
}

/// Something of a horizon, unless no run had a payout in it.
fn if_paid(horizon: &Horizon, value: Estimate) -> Option<Estimate> {
    (horizon.nothing.mean < 1.0).then_some(value)
}

fn pictures(page: &mut String, report: &Report) {
    page.push_str(
        "<h2>In pictures</h2>\n<p class=\"soft\">Bars are by formula, dots are drawn; there is no dot where none of the \
         runs had a payout.</p>\n<div class=\"charts\">\n",
    );
    let days = |place: usize| span(report.settings.horizons[place]);
    let last = report.fair.len().saturating_sub(1);
    let mean = Chart {
        title: format!("Mean income over {}", days(last)),
        about: "As a part of what the hash rate is worth.".into(),
        logarithmic: false,
        bars: bars(report, last, report.fair[last], |h| (h.formula.mean, if_paid(h, h.mean))),
    };
    chart(page, "mean", &mean);
    for (place, fair) in report.fair.iter().enumerate() {
        let spread = Chart {
            title: format!("Spread over {}", days(place)),
            about:
                "Standard deviation of the income, as a part of what the hash rate is worth: the less, the \
                    steadier."
                    .into(),
            logarithmic: true,
            bars: bars(report, place, *fair, |h| (h.formula.spread, if_paid(h, h.spread))),
        };
        let nothing = Chart {
            title: format!("Chance of nothing over {}", days(place)),
            about: "How likely it is that not one payout comes.".into(),
            logarithmic: false,
            bars: bars(report, place, 1.0, |h| (h.formula.nothing, Some(h.nothing))),
        };
        chart(page, &format!("spread{place}"), &spread);
        chart(page, &format!("nothing{place}"), &nothing);
    }
    let first = |row: &Row| Bar {
        label: row.name.clone(),
        formula: row.first.formula.value,
        text: span(row.first.formula.value),
        drawn: row.first.drawn.map(|drawn| (drawn.mean, drawn.error.unwrap_or(0.0), span(drawn.mean))),
    };
    let first = Chart {
        title: "Time to the first payout".into(),
        about: "From the first hash, on average.".into(),
        logarithmic: true,
        bars: report.rows.iter().map(first).collect(),
    };
    chart(page, "first", &first);
    page.push_str("</div>\n");
}

fn table<const N: usize>(page: &mut String, titles: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    page.push_str(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"table\">\n<table>\n<thead><tr>",
    );
    titles.iter().for_each(|title| page.push_str(&format!("<th scope=\"col\">{}</th>", escaped(title))));
    page.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        row.iter().for_each(|cell| page.push_str(&format!("<td>{}</td>", escaped(cell))));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody>\n</table>\n</div>\n");
}

/// The cells of a scheme at a horizon, in the order of [`INCOME_TITLES`].
pub fn income_cells(row: &Row, place: usize) -> [String; 7] {
    let Horizon { formula: by, mean, spread, nothing, .. } = row.horizons[place];
    // Without one payout in all runs there is no error to tell.
    let drawn = |value| if nothing.mean < 1.0 { estimate(value) } else { "no payout".into() };
    [
        row.name.clone(),
        formula(by.mean, number),
        drawn(mean),
        formula(by.spread, number),
        drawn(spread),
        formula(by.nothing, percent),
        percent_estimate(nothing),
    ]
}

/// Titles of the table of a horizon.
pub const INCOME_TITLES: [&str; 7] =
    ["scheme", "mean, sat", "drawn", "spread, sat", "drawn", "nothing", "drawn"];

fn horizon(page: &mut String, report: &Report, place: usize) {
    let _ = writeln!(
        page,
        "<h2>Over {}</h2>\n<p>The hash rate is worth {} sat.</p>",
        span(report.settings.horizons[place]),
        number(report.fair[place])
    );
    table(page, INCOME_TITLES, report.rows.iter().map(|row| income_cells(row, place)));
}

/// Titles of the table of first payouts.
pub const FIRST_TITLES: [&str; 4] = ["scheme", "first payout after", "drawn", "runs"];

/// The cells of a scheme in it.
pub fn first_cells(row: &Row) -> [String; 4] {
    let drawn = row.first.drawn.map_or_else(|| "takes too long to draw".into(), span_estimate);
    [row.name.clone(), formula(row.first.formula, span), drawn, row.first.runs.to_string()]
}

fn first(page: &mut String, report: &Report) {
    page.push_str("<h2>The first payout</h2>\n<p>From the first hash, on average.</p>\n");
    table(page, FIRST_TITLES, report.rows.iter().map(first_cells));
}

/// Titles of the table of operators.
pub const OPERATOR_TITLES: [&str; 8] =
    ["operator of", "days", "mean, BTC", "drawn", "spread, BTC", "drawn", "ruin", "drawn"];

fn btc(satoshis: f64) -> String {
    number(satoshis / COIN)
}

fn in_btc(satoshis: Estimate) -> Estimate {
    Estimate { mean: satoshis.mean / COIN, error: satoshis.error.map(|error| error / COIN) }
}

/// All rows of it.
pub fn operator_rows(report: &Report) -> Vec<[String; 8]> {
    let rows = report.operators.iter().flat_map(|operator| {
        operator.horizons.iter().map(|horizon| {
            let by = horizon.formula;
            [
                operator.name.clone(),
                number(horizon.days),
                formula(by.mean, btc),
                estimate(in_btc(horizon.mean)),
                formula(by.spread, btc),
                estimate(in_btc(horizon.spread)),
                formula(by.ruin, percent),
                percent_estimate(horizon.ruin),
            ]
        })
    });
    rows.collect()
}

/// What is to be said of operators' reserves.
pub fn reserve_lines(report: &Report) -> Vec<String> {
    let settings = &report.settings;
    let mut lines = vec![format!(
        "Ruin: a reserve of {} block rewards is used up within the days. Solo, proportional, PPLNS, P2Pool and this chain \
         leave all luck to the miners, so nobody needs one.",
        number(settings.reserve)
    )];
    for operator in &report.operators {
        lines.push(match operator.safe_reserve {
            Some(reserve) => format!(
                "{}: a reserve of {} block rewards ({} BTC) is ever used up with a chance of {}.",
                operator.name,
                number(reserve),
                btc(reserve * report.block_value as f64),
                percent(settings.ruin)
            ),
            None if operator.name == "PPS" => {
                "PPS: without a fee, ruin is certain, whatever the reserve.".into()
            }
            None => format!("{}: no formula is known for a reserve that is safe for ever.", operator.name),
        });
    }
    lines
}

fn operators(page: &mut String, report: &Report) {
    page.push_str("<h2>The operator's risk</h2>\n");
    table(page, OPERATOR_TITLES, operator_rows(report).into_iter());
    for line in reserve_lines(report) {
        let _ = writeln!(page, "<p>{}</p>", escaped(&line));
    }
}

/// What is to be said of rules, and of formulas that are not exact.
pub fn rule_lines(report: &Report) -> Vec<String> {
    let rules = &report.rules;
    vec![
        format!(
            "Proportional: who leaves each round after {} expected blocks for fair pay elsewhere has {} of what is fair, \
             and those who stay pay for it.",
            number(rules.hop_off),
            percent(rules.hopper)
        ),
        format!(
            "PPLNS by the difficulty at payment: a share just before a rise of 5 % is worth {}. By that at submission: 100 %.",
            percent(rules.before_rise)
        ),
        format!(
            "P2Pool of old, while its window counts shares: a share just before the pool halves is worth {}, before it \
             doubles {}.",
            percent(rules.before_halving),
            percent(rules.before_doubling)
        ),
        format!(
            "A share of this pool is never paid with a chance of {} in P2Pool of old and {} in this chain; the mean is the \
             same, for others are paid more.",
            percent(rules.old_unpaid),
            percent(rules.chain_unpaid)
        ),
    ]
}

/// Remarks on formulas, each with the schemes that it is about.
pub fn remark_lines(report: &Report) -> Vec<String> {
    let mut lines: Vec<(String, String)> = Vec::new();
    for row in report.rows.iter().filter(|row| !row.remark.is_empty()) {
        match lines.last_mut().filter(|(_, remark)| *remark == row.remark) {
            // The classes of one chain.
            Some((name, _)) => *name = "this chain".into(),
            None => lines.push((row.name.clone(), row.remark.clone())),
        }
    }
    lines.into_iter().map(|(name, remark)| format!("{name}: {remark}")).collect()
}

fn ends(page: &mut String, report: &Report) {
    page.push_str("<h2>What rules do</h2>\n<ul>\n");
    rule_lines(report).iter().for_each(|line| page.push_str(&format!("<li>{}</li>\n", escaped(line))));
    page.push_str("</ul>\n<h2>Where no formula is exact</h2>\n<ul>\n");
    remark_lines(report).iter().for_each(|line| page.push_str(&format!("<li>{}</li>\n", escaped(line))));
    let _ = writeln!(
        page,
        "</ul>\n<p class=\"soft\">{} runs at most, seed {}; commonwork {}.</p>",
        report.settings.runs,
        report.settings.seed,
        env!("CARGO_PKG_VERSION")
    );
}
