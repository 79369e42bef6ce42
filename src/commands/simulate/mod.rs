//! `commonwork simulate`: pools that are made up, to see what the protocol does to those who mine by it.

mod rewards;
mod text;

use super::Outcome;
use super::output::{OutputError, print, print_json};
use crate::simulate::rewrite::{Times, races};
use crate::simulate::{
    BadSettings, Carrier, Partition, Report, RunReport, Settings, Strategist, Strategy, World, figures,
};
use clap::{Args, Subcommand};
use std::fs;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Why a simulation did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The settings.
    #[error("these settings cannot be simulated: {0}")]
    Settings(#[from] BadSettings),
    /// What is to be compared.
    #[error("these settings cannot be compared: {0}")]
    Rewards(#[from] crate::rewards::BadSettings),
    /// The parameters that follow from them.
    #[error("the settings make no chain")]
    Chain,
    /// The output.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        error: std::io::Error,
    },
}

/// What to simulate.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Many nodes and one share chain, by a virtual clock: spacing, losing blocks, fairness, gains of ill will
    Network(Box<NetworkArgs>),
    /// Races of a secret branch against the public one, by the times that it gives its blocks
    Rewrite(RewriteArgs),
    /// What a miner is paid by each scheme, from solo to this share chain: mean, spread, chance of nothing, first payout
    Rewards(Box<rewards::RewardsArgs>),
    /// Plots from the figures that a simulated network left
    Plot(PlotArgs),
}

/// The races to run.
#[derive(Debug, Args)]
struct RewriteArgs {
    /// The secret branch's part of the hash rate
    #[arg(long, default_value_t = 0.4)]
    part: f64,
    /// Depth in share blocks
    #[arg(long, default_value_t = 120)]
    blocks: u32,
    /// Races for each way to give times
    #[arg(long, default_value_t = 2_000)]
    races: u32,
    /// Names the run
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The figures to plot.
#[derive(Debug, Args)]
struct PlotArgs {
    /// The file of figures, report.json
    figures: PathBuf,
    /// The folder for the plots
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The network to simulate.
#[derive(Debug, Args)]
struct NetworkArgs {
    /// Nodes, each with one miner
    #[arg(long, default_value_t = 50)]
    nodes: usize,
    /// Virtual hours to measure
    #[arg(long, default_value_t = 24.0, conflicts_with = "days")]
    hours: f64,
    /// Virtual days to measure
    #[arg(long)]
    days: Option<f64>,
    /// Virtual hours before that, while the block target is found
    #[arg(long, default_value_t = 2.0)]
    warm_up_hours: f64,
    /// Names the run: the same seed gives the same figures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs, with this seed and those after it
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Median time of a message from node to node
    #[arg(long, default_value_t = 150.0)]
    latency_ms: f64,
    /// Time between a node and its miners, there and back
    #[arg(long, default_value_t = 100.0)]
    miner_ms: f64,
    /// The n-th largest miner's hash rate goes with n to the minus this
    #[arg(long, default_value_t = 1.0)]
    power_law_exponent: f64,
    /// The pool's part of Bitcoin's hash rate
    #[arg(long, default_value_t = 0.4)]
    pool_part: f64,
    /// Most blocks in the reward window
    #[arg(long, default_value_t = 256)]
    window_blocks: u32,
    /// Give each message to each node once, in the time of the fastest way: for very many nodes. The logic of peers
    /// has no part in it
    #[arg(long)]
    direct: bool,
    /// Splits the network: start in minutes, length in minutes, part of the hash rate on one side
    #[arg(long, value_name = "START,MINUTES,FRACTION", value_parser = partition)]
    partition: Vec<Partition>,
    /// Nodes go away for some 10 minutes after so many hours, on average
    #[arg(long, value_name = "HOURS")]
    churn: Option<f64>,
    /// A selfish miner with this part of the hash rate
    #[arg(long, value_name = "FRACTION")]
    selfish: Option<f64>,
    /// A selfish miner that lists its own shares only
    #[arg(long, value_name = "FRACTION")]
    censor: Option<f64>,
    /// A miner that gives false times: lowest or zigzag, and its part of the hash rate
    #[arg(long, value_name = "KIND:FRACTION", value_parser = timestamps)]
    timestamps: Option<Strategist>,
    /// A miner that picks the payout class that pays it most
    #[arg(long, value_name = "FRACTION")]
    picker: Option<f64>,
    /// Write figures and plots into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print all figures as JSON
    #[arg(long)]
    json: bool,
}

impl NetworkArgs {
    fn settings(&self) -> Settings {
        let miner =
            |fraction: Option<f64>, strategy| fraction.map(|fraction| Strategist { fraction, strategy });
        let strategists = [
            miner(self.selfish, Strategy::Selfish),
            miner(self.censor, Strategy::Censor),
            self.timestamps,
            miner(self.picker, Strategy::Picker),
        ];
        let measured = self.days.map_or(self.hours, |days| days * 24.0);
        Settings {
            nodes: self.nodes,
            hours: self.warm_up_hours + measured,
            warm_up_hours: self.warm_up_hours,
            seed: self.seed,
            latency_ms: self.latency_ms,
            miner_ms: self.miner_ms,
            power_law_exponent: self.power_law_exponent,
            pool_part: self.pool_part,
            window_blocks: self.window_blocks,
            carrier: if self.direct { Carrier::Direct } else { Carrier::Relayed },
            partitions: self.partition.clone(),
            churn_hours: self.churn,
            strategists: strategists.into_iter().flatten().collect(),
        }
    }
}

fn partition(text: &str) -> Result<Partition, String> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[start_minute, minutes, fraction]) => Ok(Partition { start_minute, minutes, fraction }),
        _ => Err("three numbers, such as 240,30,0.5".into()),
    }
}

fn timestamps(text: &str) -> Result<Strategist, String> {
    let (kind, fraction) = text.split_once(':').ok_or("a kind and a part, such as lowest:0.35")?;
    let strategy = match kind {
        "lowest" => Strategy::LowestTime,
        "zigzag" => Strategy::ZigzagTime,
        _ => return Err("the kind is lowest or zigzag".into()),
    };
    let fraction = fraction.parse().map_err(|_| "the part is a number, such as 0.35")?;
    Ok(Strategist { fraction, strategy })
}

/// Simulates, and prints what came of it. Gives up when the token is cancelled.
pub fn run(args: &SimulateArgs, stop: &CancellationToken) -> Result<Option<Outcome>, SimulateError> {
    match &args.what {
        What::Network(args) => network(args, stop),
        What::Rewards(args) => rewards::run(args, stop),
        What::Rewrite(args) => {
            let races: Vec<_> = Times::ALL
                .into_iter()
                .map(|times| races(args.part.clamp(0.0, 1.0), args.blocks, args.races, times, args.seed))
                .collect();
            print(&text::races(&races, args.blocks))?;
            Ok(Some(Outcome::Good))
        }
        What::Plot(args) => {
            let failed = |error| SimulateError::File { path: args.figures.clone(), error };
            let text = fs::read_to_string(&args.figures).map_err(failed)?;
            let report: Report = serde_json::from_str(&text).map_err(|error| failed(error.into()))?;
            write_plots(&report, &args.out)?;
            print(&text::report(&report))?;
            Ok(Some(Outcome::Good))
        }
    }
}

fn network(args: &NetworkArgs, stop: &CancellationToken) -> Result<Option<Outcome>, SimulateError> {
    let settings = args.settings();
    settings.validate()?;
    let mut runs = Vec::new();
    for seed in settings.seed..settings.seed.saturating_add(args.runs.max(1)) {
        let Some(run) = one_run(&Settings { seed, ..settings.clone() }, stop)? else { return Ok(None) };
        runs.push(run);
    }
    let report = Report::new(&settings, runs).ok_or(SimulateError::Chain)?;
    if let Some(folder) = &args.out {
        write_plots(&report, folder)?;
        write(&folder.join("report.json"), &(text::pretty(&report)? + "\n"))?;
    }
    if args.json {
        print_json(&report)?
    } else {
        print(&text::report(&report))?
    }
    Ok(Some(Outcome::Good))
}

/// One run; none when it was cancelled.
fn one_run(settings: &Settings, stop: &CancellationToken) -> Result<Option<RunReport>, SimulateError> {
    let mut world = World::new(settings).ok_or(SimulateError::Chain)?;
    let mut hours = 0.0;
    while world.run_to(hours) {
        if stop.is_cancelled() {
            return Ok(None);
        }
        hours += 0.1;
    }
    Ok(Some(RunReport::new(&world.finish())))
}

fn write_plots(report: &Report, folder: &Path) -> Result<(), SimulateError> {
    let failed = |error| SimulateError::File { path: folder.into(), error };
    fs::create_dir_all(folder).map_err(failed)?;
    for (name, plot) in figures::plots(report) {
        write(&folder.join(name), &plot.svg())?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), SimulateError> {
    fs::write(path, text).map_err(|error| SimulateError::File { path: path.into(), error })
}
