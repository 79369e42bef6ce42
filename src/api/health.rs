//! How the node does, in plain words: from facts to a list of what should be looked at, each with what to do about it.
//!
//! [`health`] is one pure function, so that the commands, the dashboard and the interface say the same. Whoever gathers
//! the facts says nothing about them.

use super::form::{HealthForm, HealthItem, Level};

/// What is known of the node at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Whether a Bitcoin block pays its finder alone: there is no share chain.
    pub solo: bool,
    /// Seconds since the node started.
    pub uptime_seconds: u64,
    /// The configured bitcoinds.
    pub bitcoinds: Vec<BitcoindFacts>,
    /// Seconds since any of them gave something to mine on; none while one does.
    pub silent_seconds: Option<u64>,
    /// The network between nodes; none where the node mines alone.
    pub network: Option<NetworkFacts>,
    /// Whether miners are let in.
    pub serving: bool,
    /// How many there are.
    pub miners: u64,
    /// Seconds that this machine's clock is ahead of the Bitcoin node's; negative where it is behind.
    pub clock_ahead_seconds: Option<i64>,
    /// Bytes free where the data folder is.
    pub disk_free_bytes: Option<u64>,
    /// The share chain, where there is one.
    pub chain: Option<ChainFacts>,
    /// What happened since the start that people should look at, oldest first.
    pub alarms: Vec<Alarm>,
}

/// One bitcoind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitcoindFacts {
    /// Its name.
    pub name: String,
    /// Height of the block that its template is for; none while it gives none.
    pub template_height: Option<u32>,
    /// Why it gives none, with what to do.
    pub error: Option<String>,
}

/// The network between nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// Connected peers.
    pub peers: u64,
    /// Of them those that this node dialed.
    pub outbound: u64,
    /// Where the node stands beside them.
    pub standing: Standing,
    /// Share blocks fetched, and in all, while it fetches them.
    pub progress: Option<(u32, u32)>,
}

/// Where a node stands beside its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// No peer has said yet where it stands.
    #[default]
    Unknown,
    /// A peer has a heavier chain, which is being fetched.
    Syncing,
    /// No peer claims a heavier chain.
    Level,
}

/// The share chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChainFacts {
    /// Height of the newest Bitcoin header that it knows.
    pub bitcoin_height: u32,
    /// Seconds since the newest share block; none in a chain without blocks.
    pub tip_age_seconds: Option<i64>,
    /// Seconds between share blocks that the chain aims at.
    pub spacing_seconds: u32,
}

/// Something that happened that people should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// When, in seconds since 1970.
    pub time: u32,
    /// What it is, for programs.
    pub id: &'static str,
    /// What happened.
    pub says: String,
    /// What to do about it.
    pub cure: &'static str,
}

/// Free bytes below which the store may soon not be written any more.
const LITTLE_ROOM: u64 = 256 << 20;
/// Free bytes that are worth a warning.
const LESS_ROOM: u64 = 2 << 30;
/// Seconds of a clock's error that are worth a warning, and those at which shares are lost.
const CLOCK_OFF: u64 = 15;
const CLOCK_WRONG: u64 = 120;
/// Spacings without a share block that hardly happen by chance.
const LONG_SILENCE: i64 = 40;
/// Seconds after a start in which nobody need be connected yet.
const WARM_UP: u64 = 120;
/// Alarms that are told of: the newest.
const ALARMS_TOLD: usize = 8;

/// What should be looked at, worst first.
pub fn health(facts: &Facts) -> HealthForm {
    let mut items = Vec::new();
    bitcoin(facts, &mut items);
    network(facts, &mut items);
    chain(facts, &mut items);
    machine(facts, &mut items);
    miners(facts, &mut items);
    let newest = facts.alarms.iter().rev().take(ALARMS_TOLD);
    items.extend(newest.map(|alarm| item(Level::Alarm, alarm.id, alarm.says.clone(), alarm.cure)));
    items.sort_by_key(|item| item.level);
    HealthForm { healthy: items.iter().all(|item| item.level == Level::Notice), items }
}

fn item(level: Level, id: &str, says: impl Into<String>, cure: impl Into<String>) -> HealthItem {
    HealthItem { level, id: id.to_owned(), says: says.into(), cure: cure.into() }
}

fn bitcoin(facts: &Facts, items: &mut Vec<HealthItem>) {
    if let Some(seconds) = facts.silent_seconds {
        items.push(item(
            Level::Alarm,
            "no-bitcoind",
            format!("no bitcoind has given anything to mine on for {}", span(seconds)),
            "see below what each of them says; miners stay on old work, then are sent away",
        ));
    }
    let heights = facts.bitcoinds.iter().filter_map(|bitcoind| bitcoind.template_height);
    let known = facts.chain.map(|chain| chain.bitcoin_height.saturating_add(1));
    let newest = heights.chain(known).max().unwrap_or(0);
    for bitcoind in &facts.bitcoinds {
        let name = &bitcoind.name;
        match (&bitcoind.error, bitcoind.template_height) {
            (Some(error), _) => items.push(item(
                Level::Warning,
                "bitcoind-failing",
                error.clone(),
                format!("look at the log of the bitcoind {name}; `commonwork check` tells more"),
            )),
            (None, Some(height)) if height.saturating_add(1) < newest => items.push(item(
                Level::Warning,
                "bitcoind-behind",
                format!("{name} is {} Bitcoin blocks behind", newest - height),
                "wait until it has caught up; if it does not, see whether it has peers (bitcoin-cli getpeerinfo)",
            )),
            (None, None) => items.push(item(
                Level::Notice,
                "bitcoind-starting",
                format!("{name} has not answered yet"),
                "wait a moment; if this stays, see that it runs",
            )),
            (None, Some(_)) => {}
        }
    }
}

fn network(facts: &Facts, items: &mut Vec<HealthItem>) {
    let Some(network) = &facts.network else {
        if !facts.solo {
            items.push(item(
                Level::Notice,
                "offline",
                "this node has no network between nodes, so its share chain is its own miners' alone",
                "start it without --offline to mine with others",
            ));
        }
        return;
    };
    let settled = facts.uptime_seconds >= WARM_UP;
    if network.peers == 0 {
        items.push(item(
            if settled { Level::Alarm } else { Level::Notice },
            "no-peers",
            "no other node is connected, so nobody counts this node's shares",
            "name one with --peer HOST:PORT, and let TCP and UDP port 3338 through the firewall",
        ));
    } else if network.outbound == 0 && settled {
        items.push(item(
            Level::Warning,
            "no-outbound-peers",
            "all connected nodes came by themselves; none was chosen by this node",
            "name one that you trust with --peer HOST:PORT",
        ));
    }
    match (network.standing, network.progress) {
        (Standing::Level, _) => {}
        (Standing::Syncing, Some((blocks, of))) => items.push(item(
            Level::Notice,
            "syncing",
            format!("fetching the share chain: {blocks} of {of} blocks"),
            "wait; miners are served when it is done",
        )),
        (Standing::Syncing, None) => items.push(item(
            Level::Notice,
            "syncing",
            "a peer has a heavier share chain, which is being fetched",
            "wait; miners are served when it is done",
        )),
        (Standing::Unknown, _) if network.peers == 0 => {}
        (Standing::Unknown, _) => items.push(item(
            if settled { Level::Warning } else { Level::Notice },
            "not-level",
            "no peer has said yet where it stands, so this node may be on a chain of its own",
            "wait a moment; if this stays, name other peers with --peer",
        )),
    }
}

fn chain(facts: &Facts, items: &mut Vec<HealthItem>) {
    let Some(chain) = facts.chain else { return };
    let Some(age) = chain.tip_age_seconds else { return };
    let is_level = facts.network.as_ref().is_none_or(|network| network.standing == Standing::Level);
    if is_level && age > i64::from(chain.spacing_seconds).saturating_mul(LONG_SILENCE) {
        items.push(item(
            Level::Warning,
            "no-share-blocks",
            format!("no share block has come for {}", span(age.unsigned_abs())),
            "see whether peers are connected and somebody mines; the target falls by itself when many have left",
        ));
    }
}

fn machine(facts: &Facts, items: &mut Vec<HealthItem>) {
    if let Some(ahead) = facts.clock_ahead_seconds.filter(|ahead| ahead.unsigned_abs() > CLOCK_OFF) {
        let direction = if ahead > 0 { "ahead of" } else { "behind" };
        items.push(item(
            if ahead.unsigned_abs() > CLOCK_WRONG { Level::Alarm } else { Level::Warning },
            "clock-off",
            format!("this machine's clock is {} {direction} the Bitcoin node's", span(ahead.unsigned_abs())),
            "set both clocks by the network (timedatectl set-ntp true): others do not take shares from the future",
        ));
    }
    let cure = "make room where the data folder is, or move it with --data-dir: a full disk stops the node";
    match facts.disk_free_bytes {
        Some(free) if free < LITTLE_ROOM => {
            items.push(item(
                Level::Alarm,
                "disk-full",
                format!("only {} are free on the disk", bytes(free)),
                cure,
            ));
        }
        Some(free) if free < LESS_ROOM => {
            items.push(item(
                Level::Warning,
                "disk-low",
                format!("{} are free on the disk", bytes(free)),
                cure,
            ));
        }
        _ => {}
    }
}

fn miners(facts: &Facts, items: &mut Vec<HealthItem>) {
    if !facts.serving {
        items.push(item(
            Level::Warning,
            "miners-not-let-in",
            "miners are not let in now",
            "they are as soon as a bitcoind answers and this node is level with its peers",
        ));
    } else if facts.miners == 0 {
        items.push(item(
            Level::Notice,
            "no-miners",
            "no miner is connected",
            "point hardware at the addresses that `commonwork status` shows, with your address as the user name",
        ));
    }
}

/// A time for people.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A size for people.
fn bytes(count: u64) -> String {
    if count < 1 << 30 { format!("{} MiB", count >> 20) } else { format!("{} GiB", count >> 30) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node that lacks nothing.
    fn good() -> Facts {
        let bitcoind =
            |name: &str| BitcoindFacts { name: name.into(), template_height: Some(101), error: None };
        Facts {
            solo: false,
            uptime_seconds: 3_600,
            bitcoinds: vec![bitcoind("one"), bitcoind("two")],
            silent_seconds: None,
            network: Some(NetworkFacts { peers: 8, outbound: 8, standing: Standing::Level, progress: None }),
            serving: true,
            miners: 3,
            clock_ahead_seconds: Some(2),
            disk_free_bytes: Some(100 << 30),
            chain: Some(ChainFacts { bitcoin_height: 100, tip_age_seconds: Some(29), spacing_seconds: 30 }),
            alarms: Vec::new(),
        }
    }

    fn ids(change: impl FnOnce(&mut Facts)) -> Vec<(Level, String)> {
        let mut facts = good();
        change(&mut facts);
        let form = health(&facts);
        assert_eq!(form.healthy, form.items.iter().all(|item| item.level == Level::Notice));
        assert!(form.items.iter().all(|item| !item.says.is_empty() && !item.cure.is_empty()));
        form.items.into_iter().map(|item| (item.level, item.id)).collect()
    }

    fn one(level: Level, id: &str) -> Vec<(Level, String)> {
        vec![(level, id.to_owned())]
    }

    #[test]
    fn nothing_is_said_of_a_node_that_lacks_nothing() {
        assert_eq!(health(&good()), HealthForm { healthy: true, items: Vec::new() });
    }

    #[test]
    fn each_lack_is_told_by_its_name() {
        use Level::{Alarm, Notice, Warning};
        assert_eq!(ids(|f| f.bitcoinds[0].error = Some("no".into())), one(Warning, "bitcoind-failing"));
        assert_eq!(ids(|f| f.bitcoinds[0].template_height = Some(100)), [], "a moment is no matter");
        assert_eq!(ids(|f| f.bitcoinds[0].template_height = Some(99)), one(Warning, "bitcoind-behind"));
        assert_eq!(ids(|f| f.bitcoinds[1].template_height = None), one(Notice, "bitcoind-starting"));
        assert_eq!(ids(|f| f.silent_seconds = Some(61)), one(Alarm, "no-bitcoind"));
        assert_eq!(ids(|f| f.network = None), one(Notice, "offline"));
        assert_eq!(ids(|f| f.clock_ahead_seconds = Some(-16)), one(Warning, "clock-off"));
        assert_eq!(ids(|f| f.clock_ahead_seconds = Some(121)), one(Alarm, "clock-off"));
        assert_eq!(ids(|f| f.disk_free_bytes = Some((2 << 30) - 1)), one(Warning, "disk-low"));
        assert_eq!(ids(|f| f.disk_free_bytes = Some((256 << 20) - 1)), one(Alarm, "disk-full"));
        assert_eq!(ids(|f| f.miners = 0), one(Notice, "no-miners"));
        assert_eq!(ids(|f| f.serving = false), one(Warning, "miners-not-let-in"));
        let tip_is = |age| {
            move |f: &mut Facts| {
                f.chain = f.chain.map(|chain| ChainFacts { tip_age_seconds: Some(age), ..chain });
            }
        };
        assert_eq!(ids(tip_is(1_200)), []);
        assert_eq!(ids(tip_is(1_201)), one(Warning, "no-share-blocks"));
    }

    #[test]
    fn where_a_node_stands_is_told_while_it_is_not_level() {
        use Level::{Alarm, Notice, Warning};
        let network =
            |peers, standing| Some(NetworkFacts { peers, outbound: peers, standing, progress: None });
        assert_eq!(ids(|f| f.network = network(0, Standing::Unknown)), one(Alarm, "no-peers"));
        let fresh = |f: &mut Facts| {
            f.network = network(0, Standing::Unknown);
            f.uptime_seconds = 5;
        };
        assert_eq!(ids(fresh), one(Notice, "no-peers"));
        assert_eq!(ids(|f| f.network = network(2, Standing::Unknown)), one(Warning, "not-level"));
        assert_eq!(ids(|f| f.network = network(2, Standing::Syncing)), one(Notice, "syncing"));
        let inbound = |f: &mut Facts| f.network.as_mut().expect("there").outbound = 0;
        assert_eq!(ids(inbound), one(Warning, "no-outbound-peers"));
    }

    #[test]
    fn the_worst_comes_first_and_alarms_are_told_newest_first() {
        let alarm = |time| Alarm { time, id: "deep", says: format!("at {time}"), cure: "look" };
        let mut facts = Facts { miners: 0, alarms: (0..20).map(alarm).collect(), ..good() };
        facts.disk_free_bytes = Some(1 << 30);
        let form = health(&facts);
        assert!(!form.healthy);
        assert_eq!((form.items.len(), form.items[0].says.as_str()), (ALARMS_TOLD + 2, "at 19"));
        assert_eq!(form.items[8].id, "disk-low");
        assert_eq!(form.items[9].id, "no-miners");
    }

    #[test]
    fn times_and_sizes_are_for_people() {
        assert_eq!([span(119), span(120), span(7_200), span(200_000)], ["119 s", "2 min", "2 h", "2 days"]);
        assert_eq!([bytes(5 << 20), bytes(3 << 30)], ["5 MiB", "3 GiB"]);
    }
}
