//! `commonwork simulate rewards`: what a miner is paid by each scheme, by formula and by Monte Carlo.

mod text;

use super::super::Outcome;
use super::super::output::{print, print_json};
use super::super::progress::Progress;
use super::{SimulateError, write};
use crate::rewards::{Settings, compare, page};
use clap::Args;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The miner, the pool, Bitcoin, and the knobs of the schemes.
#[derive(Debug, Args)]
pub(super) struct RewardsArgs {
    /// The miner's hash rate, such as 1.2T
    #[arg(long, default_value = "1T", value_parser = hash_rate)]
    hash_rate: f64,
    /// The pool's, the miner's included
    #[arg(long, default_value = "1E", value_parser = hash_rate)]
    pool: f64,
    /// Bitcoin's, the pool's included
    #[arg(long, default_value = "1000E", value_parser = hash_rate)]
    bitcoin: f64,
    /// Bitcoin height, which sets the subsidy
    #[arg(long, default_value_t = 975_000)]
    height: u32,
    /// Transaction fees of a block, in BTC
    #[arg(long, default_value = "0.025", value_parser = btc)]
    block_fees: u64,
    /// What operators of pools keep, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0)]
    fee: f64,
    /// Seconds from node to node, in P2Pool of old
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    latency: f64,
    /// Seconds by which hardware is late to leave old work, in P2Pool of old
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    device_latency: f64,
    /// Other miners in the pool
    #[arg(long, default_value_t = 200)]
    others: usize,
    /// The n-th largest of them has a hash rate that goes with n to the minus this
    #[arg(long, default_value_t = 1.0)]
    power_law_exponent: f64,
    /// Seconds between the miner's shares, at pools with an operator
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    share_seconds: f64,
    /// Expected blocks in the window of PPLNS
    #[arg(long, value_name = "BLOCKS", default_value_t = 2.0)]
    window: f64,
    /// Average variable fee c of the double geometric method; its fixed fee makes the whole what --fee says
    #[arg(long, value_name = "PART", default_value_t = 0.3)]
    variable_fee: f64,
    /// Leakage o of the double geometric method from round to round
    #[arg(long, value_name = "PART", default_value_t = 0.5)]
    leakage: f64,
    /// The operator's reserve, in block rewards
    #[arg(long, value_name = "BLOCKS", default_value_t = 10.0)]
    reserve: f64,
    /// The chance of ruin that a safe reserve leaves
    #[arg(long, value_name = "PART", default_value_t = 0.001)]
    ruin: f64,
    /// All coins at stake in the lottery of stakes, in BTC
    #[arg(long, default_value = "20000000", value_parser = btc)]
    stake: u64,
    /// Days over which to compare
    #[arg(long, value_name = "DAYS", value_delimiter = ',', default_value = "1,7,30,365")]
    days: Vec<f64>,
    /// Runs of the Monte Carlo, fewer where they would take long
    #[arg(long, default_value_t = 1_000)]
    runs: u32,
    /// Names the runs: the same seed gives the same figures
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write all figures as JSON into this file; - prints them instead of tables
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a page with charts into this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl RewardsArgs {
    fn settings(&self) -> Settings {
        Settings {
            hash_rate: self.hash_rate,
            pool_hash_rate: self.pool,
            network_hash_rate: self.bitcoin,
            height: self.height,
            block_fees: self.block_fees,
            fee: self.fee / 100.0,
            latency: self.latency,
            device_latency: self.device_latency,
            others: self.others,
            power_law_exponent: self.power_law_exponent,
            share_seconds: self.share_seconds,
            window: self.window,
            variable_fee: self.variable_fee,
            leakage: self.leakage,
            reserve: self.reserve,
            ruin: self.ruin,
            stake: self.stake,
            horizons: self.days.clone(),
            runs: self.runs,
            seed: self.seed,
        }
    }
}

/// A number with a prefix: 500G, 1.2 TH/s.
fn hash_rate(text: &str) -> Result<f64, String> {
    let bad = || "a number with a prefix from k to Z, such as 500G or 1.2TH/s".to_owned();
    let text = text.trim();
    let text = text.strip_suffix("H/s").or_else(|| text.strip_suffix("h/s")).unwrap_or(text).trim_end();
    let prefixes =
        [('k', 1e3), ('K', 1e3), ('M', 1e6), ('G', 1e9), ('T', 1e12), ('P', 1e15), ('E', 1e18), ('Z', 1e21)];
    let last = text.chars().last().ok_or_else(bad)?;
    let (number, factor) = match prefixes.iter().find(|(prefix, _)| *prefix == last) {
        Some((prefix, factor)) => (text.strip_suffix(*prefix).unwrap_or(text).trim_end(), *factor),
        None => (text, 1.0),
    };
    let number: f64 = number.parse().map_err(|_| bad())?;
    if number.is_finite() { Ok(number * factor) } else { Err(bad()) }
}

/// Bitcoins, to the satoshi.
fn btc(text: &str) -> Result<u64, String> {
    let amount = bitcoin::Amount::from_str_in(text.trim(), bitcoin::Denomination::Bitcoin);
    amount.map(bitcoin::Amount::to_sat).map_err(|error| error.to_string())
}

/// Compares, and tells what came of it; nothing when it was cancelled.
pub(super) fn run(args: &RewardsArgs, stop: &CancellationToken) -> Result<Option<Outcome>, SimulateError> {
    let settings = args.settings();
    let mut progress = Progress::new("comparing", Some(1_000));
    let mut before = 0;
    let report = compare(&settings, &mut |done| {
        progress.advance(done.saturating_sub(before));
        before = before.max(done);
        !stop.is_cancelled()
    })?;
    progress.finish();
    let Some(report) = report else { return Ok(None) };
    if let Some(path) = &args.html {
        write(path, &page::html(&report))?;
    }
    match args.json.as_deref() {
        Some(path) if path == Path::new("-") => print_json(&report)?,
        Some(path) => {
            write(path, &(super::text::pretty(&report)? + "\n"))?;
            print(&text::report(&report))?;
        }
        None => print(&text::report(&report))?,
    }
    Ok(Some(Outcome::Good))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_rates_have_prefixes() {
        let rates =
            ["1T", "500 GH/s", "1.2TH/s", "12", "1000E", "2k"].map(|text| hash_rate(text).expect("a rate"));
        assert_eq!(rates, [1e12, 5e11, 1.2e12, 12.0, 1e21, 2e3]);
        for bad in ["", "T", "1X", "1TT", "NaN", "inf", "one"] {
            assert!(hash_rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_options_defaults_are_the_settings() {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            args: RewardsArgs,
        }
        let args = <Alone as clap::Parser>::parse_from(["rewards"]).args;
        assert_eq!(args.settings(), Settings::default());
        assert_eq!(btc("3.125"), Ok(312_500_000));
    }
}
