//! `commonwork status`: asks the running node where its chain stands, and where miners connect.

use super::Outcome;
use super::output::{OutputError, print, print_json};
use crate::api::form::{MinersForm, TipForm};
use crate::api::{self, Client, ClientError};
use crate::config::Place;
use crate::work::fee::percent;
use clap::Args;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Arguments.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why the command could not be carried out.
#[derive(Debug, Error)]
pub enum StatusError {
    /// Nobody to ask.
    #[error("no node runs on {}; start one with `commonwork run`, or say where its data is with --data-dir and --network", .0.display())]
    NoNode(PathBuf),
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
    miners: MinersForm,
}

/// Tells how the running node does.
pub async fn run(place: &Place, args: &StatusArgs) -> Result<Outcome, StatusError> {
    let interface = api::find(&place.data_dir).ok_or_else(|| StatusError::NoNode(place.data_dir.clone()))?;
    let client = Client::new(interface);
    let miners = client.miners().await?;
    let chain = if miners.solo { None } else { Some(client.tip().await?) };
    let status = Status { interface, chain, miners };
    if args.json {
        print_json(&status)?
    } else {
        print(&text(&status))?
    }
    Ok(Outcome::Good)
}

fn text(Status { interface, chain, miners }: &Status) -> String {
    let mut text = match chain {
        Some(chain) => {
            let height = chain.tip.as_ref().map_or(0, |tip| tip.height);
            let bitcoin = &chain.bitcoin;
            format!(
                "chain        {} on {}, height {height}\nbitcoin      height {}, {}\n",
                chain.name, chain.network, bitcoin.height, bitcoin.hash.0
            )
        }
        None => {
            "mode         SOLO: nothing is shared, and only a Bitcoin block pays, its finder alone\n".into()
        }
    };
    let served = if miners.serving { "served" } else { "not let in now" };
    text += &format!("miners       {}, {served}\n", miners.count);
    for address in &miners.stratum {
        text += &format!("Stratum      stratum+tcp://{address}\n");
    }
    for address in &miners.stratum_tls {
        text += &format!("over TLS     stratum+tls://{address}\n");
    }
    if let Some(fingerprint) = &miners.fingerprint {
        text += &format!("certificate  {fingerprint} (SHA-256)\n");
    }
    let key = miners.authority.as_deref().unwrap_or_default();
    for address in &miners.stratum_v2 {
        text += &format!("Stratum V2   stratum2+tcp://{address}/{key}\n");
    }
    for address in &miners.legacy {
        text += &format!("getwork      http://{address}\n");
    }
    if !key.is_empty() {
        text += &format!("authority    {key}\n");
    }
    if let Some(fee) = &miners.fee {
        let part = percent(fee.per_10_000);
        text += &format!("fee          {part} of others' work, for {}\n", fee.address);
    }
    text + &format!("interface    http://{interface}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::{BitcoinForm, FeeForm, Text, WindowForm};
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash;
    use sharechain::share::ShareId;

    #[test]
    fn what_devices_are_to_trust_is_shown_where_there_is_any() {
        let port: SocketAddr = "127.0.0.1:1".parse().expect("an address");
        let chain = TipForm {
            chain_id: Text(ShareId([0; 32])),
            name: "main".into(),
            network: "main".into(),
            tip: None,
            blocks: 0,
            shares: 0,
            waiting: 0,
            window: WindowForm { score: 0.0, owners: 0 },
            bitcoin: BitcoinForm { height: 7, hash: Text(BlockHash::all_zeros()) },
        };
        let miners = MinersForm {
            serving: true,
            count: 3,
            stratum: vec![port],
            stratum_tls: vec![port],
            fingerprint: Some("AB:CD".into()),
            stratum_v2: vec![port],
            legacy: vec![port],
            authority: Some("9bX".into()),
            solo: false,
            fee: Some(FeeForm { per_10_000: 50, address: "bc1q".into() }),
            workers: vec![],
        };
        let mut status = Status { interface: port, chain: Some(chain), miners };
        let shown = text(&status);
        for wanted in [
            "main on main, height 0\n",
            "height 7, 00",
            "3, served\n",
            "stratum+tcp://127.0.0.1:1\n",
            "stratum+tls://127.0.0.1:1\n",
            "certificate  AB:CD (SHA-256)\n",
            "stratum2+tcp://127.0.0.1:1/9bX\n",
            "getwork      http://127.0.0.1:1\n",
            "authority    9bX\n",
            "fee          0.5 % of others' work, for bc1q\n",
            "http://127.0.0.1:1\n",
        ] {
            assert!(shown.contains(wanted), "{wanted:?} is not in:\n{shown}");
        }
        status.miners = MinersForm {
            serving: false,
            stratum_tls: vec![],
            fingerprint: None,
            stratum_v2: vec![],
            legacy: vec![],
            authority: None,
            fee: None,
            ..status.miners
        };
        let shown = text(&status);
        assert!(shown.contains("not let in now"), "{shown}");
        for unwanted in ["TLS", "certificate", "authority", "V2", "getwork", "fee"] {
            assert!(!shown.contains(unwanted), "{unwanted:?} is in:\n{shown}");
        }
        let miners = MinersForm { solo: true, ..status.miners };
        let shown = text(&Status { chain: None, miners, ..status });
        assert!(shown.starts_with("mode         SOLO: ") && !shown.contains("chain  "), "{shown}");
    }
}
