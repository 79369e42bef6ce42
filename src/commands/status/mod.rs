//! `commonwork status`: asks the running node how it does, and where miners connect; once, or again and again on
//! one screen.

mod health;
mod miners;
mod screen;
mod text;
mod watch;

pub(super) use miners::{difficulty, plain};

use super::Outcome;
use super::output::{OutputError, print, print_json};
use super::running::{self, NoNode};
use crate::api::ClientError;
use crate::api::form::{HealthForm, MinersForm, PeersForm, TipForm};
use crate::chain::now;
use crate::config::Place;
use clap::Args;
use serde::Serialize;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

/// Arguments.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Print JSON; with --watch one object a line
    #[arg(long)]
    pub json: bool,
    /// Show it again every so many seconds (2 if none are given), until Ctrl-C
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u16).range(1..=3_600),
    )]
    pub watch: Option<u16>,
}

/// Why the command could not be carried out.
#[derive(Debug, Error)]
pub enum StatusError {
    /// Nobody to ask.
    #[error(transparent)]
    NoNode(#[from] NoNode),
    /// The running node gave no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// All that is told.
#[derive(Debug, Serialize)]
struct Status {
    interface: SocketAddr,
    /// None where the node mines solo.
    chain: Option<TipForm>,
    /// None where it has no network between nodes.
    peers: Option<PeersForm>,
    miners: MinersForm,
    health: HealthForm,
}

/// Tells how the running node does, until `stop` where it is to be watched.
pub async fn run(place: &Place, args: &StatusArgs, stop: &CancellationToken) -> Result<Outcome, StatusError> {
    if let Some(seconds) = args.watch {
        let pause = Duration::from_secs(seconds.into());
        // Whoever ends the watching has seen what there was to see.
        let watched = stop.run_until_cancelled(watch::watch(place, args.json, pause)).await;
        return watched.unwrap_or(Ok(Outcome::Good));
    }
    let Some(status) = stop.run_until_cancelled(ask(place)).await else { return Ok(Outcome::Bad) };
    let status = status?;
    if args.json {
        print_json(&status)?
    } else {
        print(&text::text(&status, seconds()))?
    }
    Ok(Outcome::Good)
}

/// Since 1970.
fn seconds() -> u64 {
    u64::from(now().0)
}

async fn ask(place: &Place) -> Result<Status, StatusError> {
    let client = running::find(place)?;
    let interface = client.address();
    let miners = client.miners().await?;
    let chain = if miners.solo { None } else { Some(client.tip().await?) };
    let peers = match client.peers().await {
        Ok(peers) => Some(peers),
        Err(ClientError::Refused(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let health = client.health().await?;
    Ok(Status { interface, chain, peers, miners, health })
}
