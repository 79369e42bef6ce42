//! What steady traffic of a pool costs a node with eight peers: bytes a second each way.
//!
//! Nine networks on loopback, each connected to the other eight. Shares of real size are published at the rate of a whole
//! pool, 32 in 30 s, by one node after the other, and with them a share block that lists 31; every node accepts all. What
//! is counted is what the loopback interface carries, IP and TCP headers and all else that nodes say by themselves
//! included, divided by nine: each byte is sent by one node and received by one. So nothing else may use the interface.
//! Aim: 20 kB/s each way.
//!
//! `cargo bench --bench traffic --no-run`, then run what it made in a network of its own:
//! `unshare -rn sh -c 'ip link set lo up; BINARY --bench'`, with a number for more or fewer seconds.

use commonwork::p2p::{self, Network, Settings};
use commonwork::peers::link::{Command, Event, Topic, Verdict};
use commonwork::peers::wire::{BlockMessage, ShareMessage};
use sharechain::codec::Encode;
use sharechain::params::ChainId;
use sharechain::share::Share;
use sharechain::units::UnixTime;
use std::path::Path;
use std::time::Duration;
use std::{env, fs};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep};
use tokio_util::sync::CancellationToken;

#[path = "../tests/support/long_chain.rs"]
mod long_chain;

const NODES: usize = 9;
/// Two share blocks' time.
const SECONDS: u64 = 60;
/// A share block and 31 shares in this time.
const BLOCK_EVERY: Duration = Duration::from_secs(30);
const SHARES_PER_BLOCK: u32 = 32;
/// Until nodes know each other and the meshes stand.
const SETTLE: Duration = Duration::from_secs(15);

fn main() {
    // `cargo test` runs benches once: then there is nothing to measure.
    let is_bench = env::args().any(|argument| argument == "--bench");
    let asked = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let (seconds, settle) = if is_bench { (asked.unwrap_or(SECONDS), SETTLE) } else { (2, SETTLE / 5) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(Duration::from_secs(seconds), settle));
}

async fn measure(time: Duration, settle: Duration) {
    let folder = tempfile::tempdir().expect("a folder");
    let stop = CancellationToken::new();
    let (mut commands, mut counts, mut tasks, mut addresses) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for at in 0..NODES {
        let network = network(&folder.path().join(at.to_string()), &addresses, &stop);
        let Network { id, events, commands: sender, mut status, task, .. } = network;
        tasks.push(tokio::spawn(task));
        let is_tcp = |address: &&String| !address.ends_with("/quic-v1");
        let listens = status.wait_for(|status| status.addresses.iter().any(|address| is_tcp(&address))).await;
        let address = listens.expect("it runs").addresses.iter().find(is_tcp).cloned().expect("waited for");
        addresses.push(format!("{address}/p2p/{id}"));
        counts.push(tokio::spawn(accept_all(events, sender.clone())));
        commands.push(sender);
    }
    sleep(settle).await;

    let messages = messages();
    println!("a share has {} bytes, a share block {}", messages.0.len(), messages.1.len());
    let idle = bytes_of(settle).await;
    let (before, begun) = (carried(), Instant::now());
    let said = publish(&commands, &messages, time).await;
    let (carried, took) = (carried() - before, begun.elapsed());
    stop.cancel();
    for task in tasks {
        task.await.expect("no panic");
    }
    let mut heard = 0;
    for count in counts {
        heard += count.await.expect("no panic");
    }
    println!("{said} messages, heard {heard} times by {NODES} nodes");
    println!("idle: {:.1} kB/s each way", each_way(idle, settle));
    println!("with them: {:.1} kB/s each way", each_way(carried, took));
}

fn network(folder: &Path, peers: &[String], stop: &CancellationToken) -> Network {
    fs::create_dir_all(folder).expect("made");
    let settings = Settings {
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        peers: peers.to_vec(),
        ..Settings::new(ChainId([7; 32]), folder.to_owned())
    };
    p2p::start(settings, stop.clone()).expect("a network")
}

/// Accepts what comes until the network ends, and counts it.
async fn accept_all(mut events: mpsc::Receiver<Event>, commands: mpsc::Sender<Command>) -> usize {
    let mut heard = 0;
    while let Some(event) = events.recv().await {
        if let Event::Gossip { message, .. } = event {
            heard += 1;
            let _ = commands.send(Command::Verdict { message, verdict: Verdict::Accept }).await;
        }
    }
    heard
}

/// A share and a share block as they are gossiped.
fn messages() -> (Vec<u8>, Vec<u8>) {
    let mut maker = long_chain::Maker::new(&long_chain::params(), UnixTime(1_700_003_600));
    let block = maker.block();
    let share = Share::clone(&block.block.listed[0]);
    let includes = block.block.listed.iter().map(|share| share.id(maker.chain.id())).collect();
    let block = BlockMessage { round: 0, share: Share::clone(&block.block.share), includes };
    (ShareMessage { round: 0, share }.to_bytes(), block.to_bytes())
}

/// Publishes at the pool's rate, each message once.
async fn publish(commands: &[mpsc::Sender<Command>], messages: &(Vec<u8>, Vec<u8>), time: Duration) -> u32 {
    let mut ticks = interval(BLOCK_EVERY / SHARES_PER_BLOCK);
    let (begun, mut said) = (Instant::now(), 0_u32);
    while begun.elapsed() < time {
        ticks.tick().await;
        let (topic, bytes) = match said % SHARES_PER_BLOCK {
            0 => (Topic::Block, &messages.1),
            _ => (Topic::Share, &messages.0),
        };
        let mut bytes = bytes.clone();
        // The network looks at nothing in it.
        bytes[..4].copy_from_slice(&said.to_le_bytes());
        let node = usize::try_from(said).expect("small") % commands.len();
        commands[node].send(Command::Publish { topic, bytes }).await.expect("it runs");
        said += 1;
    }
    said
}

async fn bytes_of(time: Duration) -> u64 {
    let before = carried();
    sleep(time).await;
    carried() - before
}

/// Bytes that the loopback interface has carried (Linux only).
fn carried() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap_or_default();
    let line = text.lines().find_map(|line| line.trim().strip_prefix("lo:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[expect(clippy::cast_precision_loss, reason = "bytes of a minute")]
fn each_way(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / NODES as f64 / time.as_secs_f64() / 1e3
}
