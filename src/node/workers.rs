//! The miners that are connected, as the interface tells of them.

use crate::address::address_of;
use crate::api::form::WorkerForm;
use crate::stratum::record::{MinerSnapshot, Tally};
use crate::stratum::server;
use crate::stratum::session::Now;
use crate::stratum::sessions::Sessions;
use crate::stratum::visitor::Protocol;
use sharechain::params::Network;
use std::ops::Range;
use std::time::Instant;

/// Those at these places, now.
pub(super) fn now(sessions: &Sessions, places: Range<usize>, network: Network) -> Vec<WorkerForm> {
    let now = server::now();
    sessions.snapshot(places, now.instant).into_iter().map(|miner| form(miner, network, now)).collect()
}

fn form(miner: MinerSnapshot, network: Network, now: Now) -> WorkerForm {
    let MinerSnapshot { visitor, who, difficulty, tally, last_share, hash_rate, best } = miner;
    let unix = |then: Instant| {
        u64::from(now.unix).saturating_sub(now.instant.saturating_duration_since(then).as_secs())
    };
    let Tally { accepted, refused } = tally;
    WorkerForm {
        name: who.user,
        address: who.owner.map(|owner| address_of(&owner, network)),
        user_agent: who.user_agent,
        remote: visitor.remote,
        protocol: word(visitor.protocol).to_owned(),
        port: visitor.port,
        class: who.class,
        difficulty: difficulty.map(|difficulty| f64::from(difficulty.exponent()).exp2()),
        connected: unix(visitor.since),
        last_share: last_share.map(unix),
        accepted,
        refused,
        hash_rate,
        best_difficulty: best,
        // The history has it.
        best_ever_difficulty: None,
    }
}

/// As the lists of ports are called.
const fn word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Stratum => "stratum",
        Protocol::StratumTls => "stratum_tls",
        Protocol::StratumV2 => "stratum_v2",
        Protocol::Legacy => "legacy",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused::Refused;
    use crate::stratum::difficulty::Difficulty;
    use crate::stratum::record::Who;
    use crate::stratum::visitor::Visitor;
    use crate::test_jobs::owner;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    #[test]
    fn times_are_told_by_the_clock_on_the_wall_and_owners_by_their_addresses() {
        let start = Instant::now();
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let miner = MinerSnapshot {
            visitor: Visitor { port: 3_333, ..Visitor::new(remote, Protocol::StratumTls, start) },
            who: Who { user_agent: "x".into(), user: "rig".into(), owner: Some(owner(1)), class: Some(11) },
            difficulty: Some(Difficulty::power_of_two(-3)),
            tally: Tally { accepted: 7, refused: Refused { stale: 1, ..Refused::default() } },
            last_share: Some(start + Duration::from_secs(60)),
            hash_rate: 2.5,
            best: Some(3.0),
        };
        let now = Now { instant: start + Duration::from_secs(100), unix: 1_700_000_000 };
        let form = form(miner, Network::Main, now);
        assert_eq!((form.connected, form.last_share), (1_699_999_900, Some(1_699_999_960)));
        assert_eq!((form.protocol.as_str(), form.port, form.difficulty), ("stratum_tls", 3_333, Some(0.125)));
        assert_eq!(form.address, Some(address_of(&owner(1), Network::Main)));
        assert_eq!((form.accepted, form.refused.stale, form.refused.other), (7, 1, 0));
    }
}
