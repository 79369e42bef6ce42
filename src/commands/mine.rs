//! `commonwork mine`: a small CPU miner against any Stratum v1 server, for trying out.

use super::output::{OutputError, print};
use crate::config::Secret;
use crate::miner::{Miner, MinerConfig, MinerError, MinerReport};
use crate::ports;
use clap::Args;
use std::fmt;
use std::num::NonZero;
use std::str::FromStr;
use std::thread::available_parallelism;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// What `commonwork mine` is told.
#[derive(Clone, Debug, Args)]
pub struct MineArgs {
    /// Stratum server, as HOST:PORT or stratum+tcp://HOST:PORT
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1", env = "COMMONWORK_MINE_URL")]
    pub url: ServerUrl,
    /// User name: the Bitcoin address to be credited, and a name for this miner if you like
    #[arg(long, value_name = "ADDRESS.WORKER", env = "COMMONWORK_MINE_USER")]
    pub user: String,
    /// Password; most servers take any
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "x",
        hide_env_values = true,
        env = "COMMONWORK_MINE_PASSWORD"
    )]
    pub password: Secret,
    /// Threads that hash [default: one for each processor]
    #[arg(long, value_name = "N", env = "COMMONWORK_MINE_THREADS")]
    pub threads: Option<NonZero<u16>>,
    /// Part of the time, in per cent, that the threads hash; they sleep the rest
    #[arg(long, value_name = "PERCENT", default_value = "100", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub load: u8,
    /// Most shares that each thread submits in a second; on regtest every other hash is a share, and a block
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..))]
    pub shares_per_second: u16,
    /// Do not ask for version bits to roll
    #[arg(long)]
    pub no_version_rolling: bool,
    /// Stop after this many seconds [default: mine until stopped]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<u64>,
}

/// A server, as `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl(String);

/// The text names no server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no Stratum server. Give HOST:PORT, like 127.0.0.1:3333 or stratum+tcp://miner.local:3333")]
pub struct BadUrl(String);

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerUrl {
    type Err = BadUrl;

    fn from_str(text: &str) -> Result<Self, BadUrl> {
        let bad = || BadUrl(text.chars().take(200).collect());
        let rest = match text.split_once("://") {
            None => text,
            Some(("stratum+tcp" | "stratum" | "tcp", rest)) => rest,
            Some(_) => return Err(bad()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        // The colons of a bare IPv6 address stand inside brackets.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (rest, ports::STRATUM),
        };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let plain = |c: char| c.is_alphanumeric() || "-._".contains(c) || (bracketed && "[:]%".contains(c));
        if host.is_empty() || port == 0 || !host.chars().all(plain) {
            return Err(bad());
        }
        Ok(Self(format!("{host}:{port}")))
    }
}

/// Why mining ended otherwise than asked for.
#[derive(Debug, Error)]
pub enum MineError {
    /// The miner gave up.
    #[error(transparent)]
    Miner(#[from] MinerError),
    /// The summary cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Mines until `stop`, or for as long as the arguments say, and prints what came of it.
///
/// Progress is logged every ten seconds at the level "info".
pub async fn run(args: MineArgs, stop: CancellationToken) -> Result<(), MineError> {
    let all = || available_parallelism().map_or(1, NonZero::get);
    let config = MinerConfig {
        password: args.password.reveal().to_owned(),
        threads: args.threads.map_or_else(all, |threads| threads.get().into()),
        duty: f64::from(args.load) / 100.0,
        shares_per_second: f64::from(args.shares_per_second),
        version_rolling: !args.no_version_rolling,
        ..MinerConfig::new(args.url.0, args.user)
    };
    let mut miner = Miner::spawn(config)?;
    let time_is_up = async {
        match args.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let ended = tokio::select! {
        ended = miner.ended() => ended,
        () = stop.cancelled() => Ok(()),
        () = time_is_up => Ok(()),
    };
    let report = miner.stop().await;
    print(&format!("{}\n", summary(&report)))?;
    Ok(ended?)
}

/// One line that says it all.
fn summary(report: &MinerReport) -> String {
    let MinerReport { hashes, accepted, rejected, elapsed, .. } = report;
    format!(
        "{hashes} hashes in {:.1} s, {:.3} MH/s; {accepted} shares accepted, {rejected} refused",
        elapsed.as_secs_f64(),
        report.hash_rate() / 1e6
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_as_devices_name_them() {
        for (text, server) in [
            ("127.0.0.1:3333", "127.0.0.1:3333"),
            ("stratum+tcp://pool.local:4444", "pool.local:4444"),
            ("stratum+tcp://pool.local:4444/", "pool.local:4444"),
            ("tcp://[::1]:5", "[::1]:5"),
            ("[::1]", "[::1]:3333"),
            ("pool", "pool:3333"),
        ] {
            assert_eq!(text.parse(), Ok(ServerUrl(server.into())));
        }
        for bad in ["", ":3333", "a:0", "a:x", "http://a:1", "stratum+ssl://a:1", "::1", "a b:1", "user@a:1"]
        {
            assert_eq!(bad.parse::<ServerUrl>(), Err(BadUrl(bad.into())), "{bad}");
        }
    }

    #[test]
    fn the_summary_has_the_rate() {
        let report = MinerReport {
            hashes: 3_000_000,
            accepted: 4,
            rejected: 1,
            elapsed: Duration::from_secs(2),
            connected: true,
        };
        let expected = "3000000 hashes in 2.0 s, 1.500 MH/s; 4 shares accepted, 1 refused";
        assert_eq!(summary(&report), expected);
    }
}
