//! What `commonwork status` shows, line by line.

use super::{Status, health, miners};
use crate::work::fee::percent;
use indicatif::HumanDuration;
use std::time::Duration;

/// The whole screen; every line is ended. `now` is in seconds since 1970.
pub(super) fn text(status: &Status, now: u64) -> String {
    let list = miners::text(&status.miners.workers, now);
    let gap = if list.is_empty() { "" } else { "\n" };
    lines(status, now) + &health::text(&status.health) + gap + &list
}

fn lines(Status { interface, chain, peers, miners, .. }: &Status, now: u64) -> String {
    let mut text = match chain {
        Some(chain) => {
            let height = chain.tip.as_ref().map_or(0, |tip| tip.height);
            let bitcoin = &chain.bitcoin;
            format!(
                "chain        {} on {}, height {height}\nwindow       {:.3} Bitcoin blocks' worth of work by {} owners\n\
                 bitcoin      height {}, {}\n",
                chain.name,
                chain.network,
                chain.window.score,
                chain.window.owners,
                bitcoin.height,
                bitcoin.hash.0
            )
        }
        None => {
            "mode         SOLO: nothing is shared, and only a Bitcoin block pays, its finder alone\n".into()
        }
    };
    if let Some(peers) = peers {
        let dialed = peers.peers.iter().filter(|peer| peer.outbound).count();
        let connected = peers.peers.len();
        text +=
            &format!("peers        {connected} connected, {dialed} of them dialed; {} known\n", peers.known);
    }
    let served = if miners.serving { "served" } else { "not let in now" };
    let together = miners::together(&miners.workers);
    text += &format!("miners       {}, {served}; {together} together\n", miners.count);
    if let Some(best) = &miners.best {
        let ago = HumanDuration(Duration::from_secs(now.saturating_sub(best.time)));
        let (best, worker) = (miners::difficulty(best.difficulty), miners::plain(&best.worker));
        text += &format!("best share   {best} by {worker}, {ago} ago\n");
    }
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
    text + &format!("dashboard    http://{interface}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::{
        BestForm, BitcoinForm, FeeForm, HealthForm, MinersForm, PeerForm, PeersForm, Text, TipForm,
        WindowForm,
    };
    use bitcoin::BlockHash;
    use bitcoin::hashes::Hash;
    use sharechain::share::ShareId;
    use std::net::SocketAddr;

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
            best: Some(BestForm { difficulty: 1.5e9, time: 880, worker: "rig\u{1b}".into() }),
            workers: vec![],
            next_from: None,
        };
        let peer = |outbound| PeerForm {
            id: String::new(),
            address: String::new(),
            outbound,
            since: 0,
            latency_ms: None,
            height: None,
            score: None,
        };
        let peers = vec![peer(true), peer(false), peer(true)];
        let peers = PeersForm { id: String::new(), addresses: vec![], known: 9, peers };
        let health = HealthForm { healthy: true, items: vec![] };
        let mut status = Status { interface: port, chain: Some(chain), peers: Some(peers), miners, health };
        let shown = text(&status, 1_000);
        for wanted in [
            "main on main, height 0\n",
            "0.000 Bitcoin blocks' worth of work by 0 owners\n",
            "height 7, 00",
            "3 connected, 2 of them dialed; 9 known\n",
            "3, served; 0.00 H/s together\n",
            "best share   1.50G by rig?, 2 minutes ago\n",
            "stratum+tcp://127.0.0.1:1\n",
            "stratum+tls://127.0.0.1:1\n",
            "certificate  AB:CD (SHA-256)\n",
            "stratum2+tcp://127.0.0.1:1/9bX\n",
            "getwork      http://127.0.0.1:1\n",
            "authority    9bX\n",
            "fee          0.5 % of others' work, for bc1q\n",
            "dashboard    http://127.0.0.1:1\nhealth       all is well\n",
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
            best: None,
            fee: None,
            ..status.miners
        };
        status.peers = None;
        let shown = text(&status, 0);
        assert!(shown.contains("not let in now"), "{shown}");
        for unwanted in ["best share", "TLS", "certificate", "authority", "V2", "getwork", "fee", "peers"] {
            assert!(!shown.contains(unwanted), "{unwanted:?} is in:\n{shown}");
        }
        let miners = MinersForm { solo: true, ..status.miners };
        let shown = text(&Status { chain: None, miners, ..status }, 0);
        assert!(shown.starts_with("mode         SOLO: ") && !shown.contains("chain  "), "{shown}");
    }
}
