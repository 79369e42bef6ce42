//! `commonwork peers` and `commonwork bans`: asks the running node who is connected and who is refused.

use super::Outcome;
use super::output::{OutputError, print, print_json};
use super::running::{self, NoNode};
use super::table::{Column, Table};
use crate::api::form::{BansForm, PeersForm};
use crate::api::{ClientError, Token};
use crate::chain::now;
use crate::config::Place;
use clap::{Args, Subcommand};
use indicatif::HumanDuration;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use thiserror::Error;

/// Arguments of `peers`.
#[derive(Clone, Debug, Args)]
pub struct PeersArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bans`.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BansArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// What to do; without it the bans are listed.
    #[command(subcommand)]
    pub command: Option<BansCommand>,
}

/// What to do with bans.
#[derive(Clone, Debug, Subcommand)]
pub enum BansCommand {
    /// Lift bans before their time
    Lift {
        /// A peer's identity, an address, or `all`
        which: String,
    },
}

/// Why the command could not be carried out.
#[derive(Debug, Error)]
pub enum PeersError {
    /// Nobody to ask.
    #[error(transparent)]
    NoNode(#[from] NoNode),
    /// The running node gave no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The token cannot be read.
    #[error("the token for changes cannot be read in {}: {source}; run this as the user that the node runs as", folder.display())]
    Token {
        /// Where it should be.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Lists the connected peers.
pub async fn peers(place: &Place, args: &PeersArgs) -> Result<Outcome, PeersError> {
    let form = running::find(place)?.peers().await?;
    if args.json {
        print_json(&form)?
    } else {
        print(&peers_text(&form, seconds()))?
    }
    Ok(Outcome::Good)
}

/// Lists bans or lifts them.
pub async fn bans(place: &Place, args: &BansArgs) -> Result<Outcome, PeersError> {
    let client = running::find(place)?;
    match &args.command {
        None => {
            let form = client.bans().await?;
            if args.json { print_json(&form)? } else { print(&bans_text(&form, seconds()))? }
        }
        Some(BansCommand::Lift { which }) => {
            let folder = place.data_dir.clone();
            let token = Token::read(&folder).map_err(|source| PeersError::Token { folder, source })?;
            let lifted = client.lift(which, &token).await?.lifted;
            print(&format!("{lifted} lifted\n"))?;
            if lifted == 0 {
                return Ok(Outcome::Bad);
            }
        }
    }
    Ok(Outcome::Good)
}

fn seconds() -> u64 {
    u64::from(now().0)
}

fn peers_text(form: &PeersForm, now: u64) -> String {
    let mut text = format!("this node  {}\n", form.id);
    text.extend(form.addresses.iter().map(|address| format!("at         {address}\n")));
    text += &format!("knows      {} addresses of others\n\n", form.known);
    if form.peers.is_empty() {
        return text + "no peer is connected\n";
    }
    let mut table = Table::new([
        Column::Left("peer"),
        Column::Left("address"),
        Column::Left("direction"),
        Column::Left("for"),
        Column::Right("ping"),
        Column::Right("height"),
        Column::Right("score"),
    ]);
    for peer in &form.peers {
        table.row([
            peer.id.clone(),
            peer.address.clone(),
            if peer.outbound { "out" } else { "in" }.into(),
            HumanDuration(Duration::from_secs(now.saturating_sub(peer.since))).to_string(),
            peer.latency_ms.map_or("-".into(), |ms| format!("{ms:.1} ms")),
            peer.height.map_or("-".into(), |height| height.to_string()),
            peer.score.map_or("-".into(), |score| format!("{score:.1}")),
        ]);
    }
    text + &table.text()
}

fn bans_text(form: &BansForm, now: u64) -> String {
    if form.bans.is_empty() {
        return "nobody is banned\n".into();
    }
    let mut table = Table::new([
        Column::Left("peer"),
        Column::Left("address"),
        Column::Left("ends in"),
        Column::Left("why"),
    ]);
    for ban in &form.bans {
        table.row([
            ban.id.clone(),
            ban.ip.map_or("-".into(), |ip| ip.to_string()),
            HumanDuration(Duration::from_secs(ban.until.saturating_sub(now))).to_string(),
            ban.reason.clone(),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::{BanForm, PeerForm};

    #[test]
    fn lists_are_for_people() {
        let peer = PeerForm {
            id: "12D3".into(),
            address: "/ip4/192.0.2.1/tcp/3338".into(),
            outbound: true,
            since: 100,
            latency_ms: Some(12.345),
            height: Some(77),
            score: Some(-1.25),
        };
        let mut form = PeersForm {
            id: "12D4".into(),
            addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
            known: 3,
            peers: vec![],
        };
        assert!(peers_text(&form, 160).ends_with("\n\nno peer is connected\n"));
        form.peers.push(peer);
        let last = "12D3  /ip4/192.0.2.1/tcp/3338  out        60 seconds  12.3 ms      77   -1.2\n";
        assert!(peers_text(&form, 160).ends_with(last), "{}", peers_text(&form, 160));
        assert_eq!(bans_text(&BansForm { bans: vec![] }, 5), "nobody is banned\n");
        let ban = BanForm { id: "12D3".into(), ip: None, until: 7_200, reason: "lies".into() };
        let text = bans_text(&BansForm { bans: vec![ban] }, 0);
        assert_eq!(text, "peer  address  ends in  why\n12D3  -        2 hours  lies\n");
    }
}
