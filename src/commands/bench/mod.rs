//! `commonwork bench`: loads a running server and tells what it takes.

mod text;

use super::Outcome;
use super::mine::ServerUrl;
use super::output::{OutputError, print, print_json};
use crate::bench::{self, BenchError, Pace, Settings};
use crate::config::Secret;
use crate::open_files;
use clap::{Args, Subcommand};
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// Files that this program has open besides the connections.
const OTHER_FILES: usize = 50;

/// What to load.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Load a Stratum v1 server with connections and submits
    ///
    /// Submits are real: each has an extranonce of its own and, where the server's difficulty asks for more than any hash,
    /// a nonce that was searched for. The server should be on the same machine and give easy work, as a node on regtest
    /// does, or examples/stratum_server.rs, which is a server without a node. See docs/benchmarks.md.
    Stratum(StratumArgs),
}

/// How to load a Stratum server.
#[derive(Debug, Args)]
struct StratumArgs {
    /// Stratum server, as HOST:PORT or stratum+tcp://HOST:PORT
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1")]
    url: ServerUrl,
    /// User name: a Bitcoin address, where the server asks for one
    #[arg(long, value_name = "ADDRESS.WORKER", default_value = "bench")]
    user: String,
    /// Password; most servers take any
    #[arg(long, value_name = "TEXT", default_value = "x")]
    password: Secret,
    /// Connections
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    connections: u32,
    /// Submits without an answer on each connection at any time: as many a second as the server answers
    #[arg(long, value_name = "N", default_value_t = 8, conflicts_with = "rate", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    outstanding: u16,
    /// Submits a second on all connections together, whatever the server does; 0 only holds the connections
    #[arg(long, value_name = "N", value_parser = rate)]
    rate: Option<f64>,
    /// How long to measure, such as 10s or 10m
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = time)]
    time: Duration,
    /// Number of the server's process on this machine, to tell its processor time and memory (Linux)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Print all figures as JSON
    #[arg(long)]
    json: bool,
}

/// Why there is nothing to show.
#[derive(Debug, Error)]
pub enum BenchCommandError {
    /// The load.
    #[error(transparent)]
    Bench(#[from] BenchError),
    /// The output.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Loads the server until it is done or stopped; bad when connections ended or submits were refused.
pub async fn run(args: BenchArgs, stop: CancellationToken) -> Result<Option<Outcome>, BenchCommandError> {
    let What::Stratum(args) = args.what;
    let settings = Settings {
        server: args.url.to_string(),
        user: args.user,
        password: args.password.reveal().to_owned(),
        connections: args.connections.try_into().unwrap_or(usize::MAX),
        pace: args.rate.map_or(Pace::Closed(args.outstanding.into()), Pace::Open),
        time: args.time,
        server_pid: args.server_pid,
    };
    let most = open_files::raise();
    if most < settings.connections.saturating_add(OTHER_FILES) {
        warn!(
            "this system lets a program have {most} files open, too few for so many connections: see ulimit -n"
        );
    }
    let Some(report) = bench::run(&settings, &stop).await? else { return Ok(None) };
    if args.json {
        print_json(&report)?;
    } else {
        print(&text::report(&settings, &report))?;
    }
    Ok(Some(if report.is_clean() { Outcome::Good } else { Outcome::Bad }))
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate| (0.0..=1e6).contains(rate));
    rate.ok_or("a number from 0 to 1000000")
}

fn time(text: &str) -> Result<Duration, &'static str> {
    let unit = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let seconds = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => f64::NAN,
    };
    let time = number.parse().map(|number: f64| number * seconds).ok();
    let time = time.filter(|seconds| (0.1..=1e6).contains(seconds)).map(Duration::from_secs_f64);
    time.ok_or("a time such as 30s, 10m or 2h")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(time("10"), Ok(Duration::from_secs(10)));
        assert_eq!(time("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(time("2h"), Ok(Duration::from_secs(7_200)));
        for bad in ["", "m", "1d", "0s", "-1s", "1 s", "1e9"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        assert_eq!(rate("0"), Ok(0.0));
        assert!(["-1", "nan", "x", "1e7"].iter().all(|bad| rate(bad).is_err()));
    }
}
