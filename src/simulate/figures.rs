//! The plots of a report.

use super::plot::{Plot, Series, Shape};
use super::report::{INTERVAL_BAR, Report};
use std::collections::BTreeMap;

/// All plots of a report, with the names of their files.
pub fn plots(report: &Report) -> Vec<(&'static str, Plot)> {
    let plots = [
        ("spacing.svg", spacing(report)),
        ("fairness.svg", fairness(report)),
        ("losing.svg", losing(report)),
        ("reorganisations.svg", reorganisations(report)),
        ("picking.svg", picking(report)),
        ("traffic.svg", traffic(report)),
    ];
    plots.into_iter().filter(|(_, plot)| !plot.series.is_empty()).collect()
}

fn series(name: &str, shape: Shape) -> Series {
    Series { name: name.into(), shape }
}

fn spacing(report: &Report) -> Plot {
    let mut bars: Vec<f64> = Vec::new();
    for run in &report.runs {
        bars.resize(run.intervals.len(), 0.0);
        bars.iter_mut().zip(&run.intervals).for_each(|(bar, count)| *bar += *count as f64);
    }
    let whole: f64 = bars.iter().sum::<f64>().max(1.0);
    let measured = bars.iter().enumerate().map(|(n, count)| (n as f64 * INTERVAL_BAR, count / whole * 100.0));
    let mean = report.spacing.mean;
    let expected = (0..bars.len()).map(|n| {
        let (from, to) = (n as f64 * INTERVAL_BAR, (n + 1) as f64 * INTERVAL_BAR);
        ((from + to) / 2.0, ((-from / mean).exp() - (-to / mean).exp()) * 100.0)
    });
    Plot {
        title: format!("Time between share blocks (mean {mean:.2} s)"),
        x_label: "seconds between share blocks; the last bar has all longer ones".into(),
        y_label: "% of the blocks".into(),
        log_x: false,
        y_range: None,
        series: vec![
            series("measured", Shape::Bars(INTERVAL_BAR, measured.collect())),
            series("exponential", Shape::Line(expected.collect())),
        ],
    }
}

/// Means over runs of a value of each miner, with standard errors, by the miner's part of the pool in percent.
fn by_miner(values: &[Vec<(f64, f64)>]) -> Vec<(f64, f64, f64)> {
    let count = values.len() as f64;
    let miners = values.iter().map(Vec::len).min().unwrap_or(0);
    let of = |miner: usize| values.iter().map(move |run| run[miner].1);
    let point = |miner: usize| {
        let mean = of(miner).sum::<f64>() / count;
        let variance = of(miner).map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
        (values[0][miner].0 * 100.0, mean, (variance / count).sqrt())
    };
    (0..miners).map(point).collect()
}

fn fairness(report: &Report) -> Plot {
    let values: Vec<_> = report.runs.iter().map(|run| run.miners.clone()).collect();
    Plot {
        title: "Fairness: credited score over score found, each miner".into(),
        x_label: "part of the pool, %".into(),
        y_label: "credited / found".into(),
        log_x: true,
        y_range: Some((0.99, 1.01)),
        series: vec![series("miners", Shape::Points(by_miner(&values)))],
    }
}

fn losing(report: &Report) -> Plot {
    let bars = |of: &dyn Fn(&super::RunReport) -> f64| {
        report.runs.iter().map(|run| (run.seed as f64 - 0.4, of(run) * 100.0)).collect::<Vec<_>>()
    };
    let unpaid = |run: &super::RunReport| (run.seed as f64, run.unpaid_part * 100.0, 0.0);
    Plot {
        title: "Share blocks that lost, and shares never paid".into(),
        x_label: "run (seed)".into(),
        y_label: "%".into(),
        log_x: false,
        y_range: Some((0.0, 1.0)),
        series: vec![
            series("losing share blocks", Shape::Bars(0.8, bars(&|run| run.losing_part))),
            series("unpaid shares", Shape::Points(report.runs.iter().map(unpaid).collect())),
        ],
    }
}

fn reorganisations(report: &Report) -> Plot {
    let mut depths: BTreeMap<u32, f64> = BTreeMap::new();
    let mut chances = 0.0;
    for run in &report.runs {
        chances += (run.blocks * report.settings.nodes) as f64;
        run.reorganisations
            .iter()
            .for_each(|(depth, count)| *depths.entry(*depth).or_default() += *count as f64);
    }
    let bars = depths.into_iter().map(|(depth, count)| (f64::from(depth) - 0.4, count / chances * 100.0));
    let bars: Vec<_> = bars.collect();
    let shape = Shape::Bars(0.8, bars.clone());
    Plot {
        title: "Reorganisations".into(),
        x_label: "blocks that left a node's active branch".into(),
        y_label: "% of a node's blocks".into(),
        log_x: false,
        y_range: None,
        series: if bars.is_empty() { Vec::new() } else { vec![series("reorganisations", shape)] },
    }
}

fn picking(report: &Report) -> Plot {
    let gains = |of: &dyn Fn(&super::report::PickingFigures) -> f64| {
        let runs = report.runs.iter();
        let values: Vec<Vec<_>> =
            runs.map(|run| run.picking.iter().map(|p| (p.part, of(p) * 100.0)).collect()).collect();
        Shape::Points(by_miner(&values))
    };
    let bound = report.runs.iter().take(1).flat_map(|run| &run.picking);
    let bound = bound.map(|picking| (picking.part * 100.0, picking.closed_form * 100.0));
    Plot {
        title: "What a miner would gain by picking payout class and base".into(),
        x_label: "part of the pool, %".into(),
        y_label: "% of its income".into(),
        log_x: true,
        y_range: Some((0.0, 1.0)),
        series: vec![
            series("class", gains(&|picking| picking.by_class)),
            series("class and base", gains(&|picking| picking.by_base)),
            series("q (1 - 11 q)", Shape::Line(bound.collect())),
        ],
    }
}

fn traffic(report: &Report) -> Plot {
    let bars = |shift: f64, of: &dyn Fn(&super::RunReport) -> f64| {
        let runs = report.runs.iter();
        Shape::Bars(0.4, runs.map(|run| (run.seed as f64 + shift, of(run) / 1_000.0)).collect())
    };
    let is_relayed = report.runs.iter().any(|run| run.traffic.up.0 > 0.0);
    let both = vec![
        series("mean of all nodes, up", bars(-0.4, &|run| run.traffic.up.0)),
        series("busiest node, up", bars(0.0, &|run| run.traffic.up.1)),
    ];
    let estimate = vec![series("estimate", bars(-0.2, &|run| run.traffic.most_node_bytes))];
    Plot {
        title: "Traffic of a node, gossipsub's own messages left out".into(),
        x_label: "run (seed)".into(),
        y_label: "kB/s".into(),
        log_x: false,
        y_range: Some((0.0, 10.0)),
        series: if is_relayed { both } else { estimate },
    }
}
