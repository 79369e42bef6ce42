//! Tables for people.

use super::super::output::OutputError;
use super::super::table::{Column, Table};
use crate::simulate::report::{Estimate, SIZES};
use crate::simulate::rewrite::Races;
use crate::simulate::{Report, RunReport, Strategy};

/// All figures as JSON.
pub(super) fn pretty(report: &impl serde::Serialize) -> Result<String, OutputError> {
    serde_json::to_string_pretty(report).map_err(|error| OutputError::from(std::io::Error::from(error)))
}

/// The tables of a report.
pub(super) fn report(report: &Report) -> String {
    let parts = [
        Some(network(report)),
        Some(sizes(report)),
        strategists(report),
        Some(picking(report)),
        depths(report),
        heals(report),
        faults(report),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn network(report: &Report) -> String {
    let mut table = Table::new([Column::Left("figure"), Column::Right("value"), Column::Left("")]);
    let mut row = |name: &str, value: String, unit: &str| table.row([name.into(), value, unit.into()]);
    let runs = &report.runs;
    let sum = |of: &dyn Fn(&RunReport) -> usize| runs.iter().map(of).sum::<usize>().to_string();
    let mean = |of: &dyn Fn(&RunReport) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64;
    row("blocks of the winning chain", sum(&|run| run.blocks), "");
    row("shares", sum(&|run| run.shares), "");
    row("spacing, mean", plus_minus(report.spacing, 1.0, 2), "s");
    row("spacing, standard deviation", plus_minus(report.spacing_deviation, 1.0, 2), "s");
    row("difficulty, standard deviation", plus_minus(report.difficulty_deviation, 100.0, 1), "%");
    row("losing blocks", plus_minus(report.losing, 100.0, 2), "% of those found");
    row("unpaid shares", plus_minus(report.unpaid, 100.0, 4), "%");
    row("  with their base on the winning chain", sum(&|run| run.unpaid), "");
    row("  the same, outdated by a split", sum(&|run| run.outdated), "");
    row("  with their base on another", sum(&|run| run.lost), "");
    row("Bitcoin blocks", sum(&|run| run.bitcoin.0), "");
    row("  of the pool", sum(&|run| run.bitcoin.1), "");
    row("  that lost a race", sum(&|run| run.bitcoin.2), "");
    row("messages", format!("{:.3}", mean(&|run| run.traffic.messages)), "a second");
    row("  of a share", format!("{:.0}", mean(&|run| run.traffic.share_bytes)), "bytes");
    row("  of a block", format!("{:.0}", mean(&|run| run.traffic.block_bytes)), "bytes");
    if runs.iter().any(|run| run.traffic.up.0 > 0.0) {
        row("  copies that a node gets of each", format!("{:.2}", mean(&|run| run.traffic.copies)), "");
        let pair = |of: &dyn Fn(&RunReport) -> (f64, f64)| {
            format!("{:.2}, {:.2}", mean(&|run| of(run).0) / 1e3, mean(&|run| of(run).1) / 1e3)
        };
        row("traffic up, mean node and busiest", pair(&|run| run.traffic.up), "kB/s");
        row("traffic down, mean node and busiest", pair(&|run| run.traffic.down), "kB/s");
    } else {
        let estimate = mean(&|run| run.traffic.most_node_bytes) / 1e3;
        row("traffic of a node, estimate", format!("{estimate:.2}"), "kB/s each way");
    }
    table.text()
}

fn sizes(report: &Report) -> String {
    let mut table = Table::new([
        Column::Left("part of the pool"),
        Column::Right("miners"),
        Column::Right("shares"),
        Column::Right("credited / found"),
    ]);
    for (size, fairness) in &report.fairness {
        let (miners, shares) = (size.miners.to_string(), size.shares.to_string());
        table.row([size.name.clone(), miners, shares, plus_minus(*fairness, 1.0, 5)]);
    }
    table.text()
}

fn strategists(report: &Report) -> Option<String> {
    let mut table = Table::new([
        Column::Left("strategist"),
        Column::Right("part, %"),
        Column::Right("of the blocks, %"),
        Column::Right("gain, %"),
    ]);
    for (place, (strategist, gain)) in report.gains.iter().enumerate() {
        let blocks = report.runs.iter().map(|run| run.strategists[place].block_part).sum::<f64>();
        let name = match strategist.strategy {
            Strategy::Selfish => "selfish",
            Strategy::Censor => "selfish, lists own shares only",
            Strategy::LowestTime => "lowest times",
            Strategy::ZigzagTime => "times in zigzag",
            Strategy::Picker => "picker",
        };
        table.row([
            name.into(),
            format!("{:.1}", strategist.fraction * 100.0),
            format!("{:.2}", blocks / report.runs.len() as f64 * 100.0),
            plus_minus(*gain, 100.0, 3),
        ]);
    }
    (!report.gains.is_empty()).then(|| table.text())
}

fn picking(report: &Report) -> String {
    let mut table = Table::new([
        Column::Left("part of the pool"),
        Column::Right("gain by class, %"),
        Column::Right("by class and base, %"),
        Column::Right("q (1 - 11 q), %"),
    ]);
    let mut above = f64::INFINITY;
    for (least, name) in SIZES {
        let all = report.runs.iter().flat_map(|run| &run.picking);
        let inside: Vec<_> = all.filter(|picking| (least..above).contains(&picking.part)).collect();
        above = least;
        if inside.is_empty() {
            continue;
        }
        let count = inside.len() as f64;
        let mean = |of: &dyn Fn(&crate::simulate::report::PickingFigures) -> f64| {
            format!("{:.3}", inside.iter().map(|picking| of(picking)).sum::<f64>() / count * 100.0)
        };
        let by_class = mean(&|picking| picking.by_class);
        let by_base = mean(&|picking| picking.by_base);
        table.row([name.into(), by_class, by_base, mean(&|picking| picking.closed_form)]);
    }
    table.text()
}

fn depths(report: &Report) -> Option<String> {
    let mut table = Table::new([Column::Right("reorganisation of"), Column::Right("times")]);
    let all = report.runs.iter().flat_map(|run| &run.reorganisations);
    let mut sums = std::collections::BTreeMap::new();
    all.for_each(|(depth, count)| *sums.entry(*depth).or_insert(0) += *count);
    sums.iter().for_each(|(depth, count)| table.row([format!("{depth} blocks"), count.to_string()]));
    (!sums.is_empty()).then(|| table.text())
}

fn heals(report: &Report) -> Option<String> {
    let mut table = Table::new([
        Column::Right("seed"),
        Column::Right("blocks until healed"),
        Column::Right("seconds until healed"),
    ]);
    let mut any = false;
    for run in &report.runs {
        for heal in &run.heals {
            any = true;
            let blocks = heal.blocks.map_or_else(|| "never".into(), |blocks| blocks.to_string());
            let seconds = heal.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"));
            table.row([run.seed.to_string(), blocks, seconds]);
        }
    }
    any.then(|| table.text())
}

/// What should not be.
fn faults(report: &Report) -> Option<String> {
    let mut table = Table::new([Column::Left("fault"), Column::Right("times")]);
    let mut any = false;
    for run in &report.runs {
        if run.wrong_credits > 0 {
            any = true;
            table.row(["blocks with wrong credits".into(), run.wrong_credits.to_string()]);
        }
        let named = [("refused", &run.refused), ("own refused", &run.own_refused), ("ban", &run.bans)];
        for (name, counts) in named {
            for (reason, count) in counts {
                any = true;
                table.row([format!("{name}: {reason}"), count.to_string()]);
            }
        }
    }
    any.then(|| table.text())
}

/// The table of races.
pub(super) fn races(races: &[Races], blocks: u32) -> String {
    let mut table = Table::new([
        Column::Left("times of the secret branch"),
        Column::Right("ahead at the depth"),
        Column::Right("ahead then or later"),
        Column::Right("races"),
    ]);
    for race in races {
        let part = |won: u32| format!("{:.2} %", f64::from(won) / f64::from(race.races.max(1)) * 100.0);
        table.row([race.times.name().into(), part(race.won), part(race.won_later), race.races.to_string()]);
    }
    format!("depth: {blocks} share blocks\n{}", table.text())
}

fn plus_minus(estimate: Estimate, factor: f64, digits: usize) -> String {
    let mean = estimate.mean * factor;
    match estimate.error {
        Some(error) => format!("{mean:.digits$} ± {:.digits$}", error * factor),
        None => format!("{mean:.digits$}"),
    }
}
