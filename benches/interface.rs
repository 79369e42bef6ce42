//! What questions to a node's interface cost: the node, and a miner that waits for its submit's answer.
//!
//! Not a microbenchmark: it makes a chain with a full reward window by mining it (once, at targets of a few hashes), runs
//! the real program on it, and tells first what one question of each kind takes. Then it has `commonwork bench stratum`
//! submit for a minute without questions and for a minute with a thousand of all kinds a second, by turns. Goal: a submit's
//! median answer comes at most 0.2 ms later with them. It fails where a submit or a question is refused or lost.
//!
//! `cargo bench --bench interface`, or `cargo bench --bench interface -- BLOCKS SECONDS [FOLDER]` for a shorter window or
//! less time, or to keep the chain in a folder and take it from there the next time.

use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

#[path = "../tests/support/asking.rs"]
mod asking;
#[path = "../tests/support/chain_file.rs"]
mod chain_file;
#[path = "../tests/support/long_chain.rs"]
mod long_chain;
#[path = "../tests/support/ports.rs"]
mod ports;

use asking::{Asking, paths};
use commonwork::api::{self, Client};
use long_chain::{make_chain_of, params_with_bitcoin};
use ports::FREE_PORTS;

/// The longest reward window, and some.
const BLOCKS: u32 = 20_416;
/// What of it does not grow with the window.
const MARGIN: u32 = 256;
const OWNERS: u64 = 2_000;
/// How long each load is on.
const SECONDS: u32 = 60;
/// Times without and with questions, by turns.
const ROUNDS: usize = 3;
/// Questions a second, and the connections that they come on.
const QUESTIONS: u32 = 1_000;
const CONNECTIONS: u32 = 25;
/// Questions of a kind one after the other, to tell what one costs.
const ALONE: u32 = 500;
/// Submits a second, and the connections that they come on. Every one is a share, so more than that would make the pool's
/// work harder and harder: a share block of 32 is due each 30 s.
const SUBMITS: u32 = 1;
const MINERS: u32 = 10;
/// Milliseconds that the median answer to a submit may come later with questions.
const GOAL: f64 = 0.2;
/// Of the submits and questions that are due, the part below which the load was not what is to be measured.
const LOADED: f64 = 0.95;
/// Ends a run that hangs.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    // `cargo test` runs benches once: then a short chain is enough.
    let is_bench = env::args().any(|argument| argument == "--bench");
    let mut numbers = env::args().skip(1).filter_map(|argument| argument.parse().ok());
    let blocks = numbers.next().unwrap_or(if is_bench { BLOCKS } else { 600 });
    let seconds = numbers.next().unwrap_or(if is_bench { SECONDS } else { 1 });
    let kept = env::args().skip(1).find(|argument| argument.contains('/'));
    let folder = tempfile::tempdir().expect("a folder");
    let data = kept.map_or_else(|| folder.path().join("node"), Into::into);
    let params = params_with_bitcoin(blocks - MARGIN);
    let chain_file = folder.path().join("chain.toml");
    fs::write(&chain_file, chain_file::chain_toml(&params)).expect("written");
    if !data.exists() {
        let begun = Instant::now();
        make_chain_of(&params, &data, (blocks, 0), OWNERS);
        println!("made {blocks} blocks of 32 shares of {OWNERS} owners in {:.0?}", begun.elapsed());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.expect("a runtime").block_on(measure(&chain_file, &data, seconds));
}

async fn measure(chain_file: &Path, data: &Path, seconds: u32) {
    let node = Node::start(chain_file, data);
    let (interface, stratum) = node.serves(data).await;
    let client = Client::new(interface);
    let owners = client.payouts(None, None).await.expect("payouts").owners;
    let owners: Vec<String> = owners.into_iter().map(|owner| owner.owner.address).collect();
    assert!(!owners.is_empty(), "the window is empty");
    let tip = client.tip().await.expect("a tip").tip.expect("a block").id.0.to_string();

    alone(&node, interface, &paths(&owners[0], &tip)).await;
    let unknown = format!("/v1/owners/{}?count=1000", owners[owners.len() - 1]);
    alone(&node, interface, &[unknown, "/v1/payouts".into()]).await;

    println!("submits of miners, {SUBMITS} a second on {MINERS} connections, for {seconds} s:");
    let (mut without, mut with, mut loaded) = (Vec::new(), Vec::new(), true);
    for _ in 0..ROUNDS {
        let cpu = node.cpu();
        without.push(submits(stratum, &owners[0], seconds).await);
        let idle = (node.cpu() - cpu).as_secs_f64() / f64::from(seconds);
        println!("  without questions: {}, node {idle:.2} cores", without.last().expect("just pushed"));
        let cpu = node.cpu();
        let asked = tokio::spawn(ask(interface, owners.clone(), tip.clone(), seconds + 1));
        with.push(submits(stratum, &owners[0], seconds).await);
        let busy = (node.cpu() - cpu).as_secs_f64() / f64::from(seconds);
        println!("  with questions:    {}, node {busy:.2} cores", with.last().expect("just pushed"));
        let asked = asked.await.expect("no panic");
        println!("                     {asked}");
        assert_eq!(asked.refused, 0, "questions were refused");
        for submits in without.iter().chain(&with) {
            assert!(submits.are_clean, "submits were refused or lost");
            loaded &= submits.a_second >= LOADED * f64::from(SUBMITS);
        }
        loaded &= asked.a_second() >= LOADED * f64::from(QUESTIONS);
    }
    let [without, with] = [without, with].map(|mut rounds| {
        rounds.sort_by(|a, b| a.median.total_cmp(&b.median));
        rounds[rounds.len() / 2].median
    });
    let later = with - without;
    let goal = match (loaded, later <= GOAL) {
        (false, _) => "NOT MEASURED, fewer submits or questions a second than wanted",
        (true, false) => "MISSED",
        (true, true) => "met",
    };
    println!("the median answer comes {later:+.3} ms later with questions; goal, at most {GOAL} ms: {goal}");
}

/// What one question of each kind takes, asked one after the other.
async fn alone(node: &Node, interface: SocketAddr, paths: &[String]) {
    println!("{:<50} {:>10} {:>12} {:>10}", "question", "answer ms", "node's CPU us", "bytes");
    for path in paths {
        let mut connection = Asking::connect(interface).await.expect("the interface listens");
        connection.get(path).await.expect("an answer");
        let (cpu, begun, mut bytes) = (node.cpu(), Instant::now(), 0);
        for _ in 0..ALONE {
            let answer = connection.get(path).await.expect("an answer");
            assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            bytes = answer.body.len();
        }
        let each = |time: Duration| time.as_secs_f64() / f64::from(ALONE);
        let (took, cpu) = (each(begun.elapsed()) * 1e3, each(node.cpu() - cpu) * 1e6);
        println!("{:<50} {took:>10.3} {cpu:>12.0} {bytes:>10}", path.chars().take(50).collect::<String>());
    }
}

/// Asks by the clock, on connections that are kept.
async fn ask(interface: SocketAddr, owners: Vec<String>, tip: String, seconds: u32) -> Asked {
    let (owners, answered) = (Arc::new(owners), Arc::new(AtomicU64::new(0)));
    let start = tokio::time::Instant::now() + Duration::from_millis(50);
    let mut asking = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (owners, answered, tip) = (owners.clone(), answered.clone(), tip.clone());
        asking.spawn(async move {
            let mut connection = Asking::connect(interface).await.expect("the interface listens");
            let pause = Duration::from_secs(1) * CONNECTIONS / QUESTIONS;
            let mut due = interval_at(start + pause * n / CONNECTIONS, pause);
            // What is late is asked all the same.
            due.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut times = Vec::new();
            let mut refused = 0_u64;
            for round in 0..(seconds * QUESTIONS / CONNECTIONS) as usize {
                let due = due.tick().await;
                let turn = round * CONNECTIONS as usize + n as usize;
                let paths = paths(&owners[turn % owners.len()], &tip);
                let answer = connection.get(&paths[turn % paths.len()]).await.expect("an answer");
                times.push(due.elapsed());
                refused += u64::from(answer.status != 200);
                answered.fetch_add(answer.body.len() as u64, Ordering::Relaxed);
            }
            (times, refused)
        });
    }
    let (mut times, mut refused) = (Vec::new(), 0);
    for (more, no) in asking.join_all().await {
        times.extend(more);
        refused += no;
    }
    times.sort_unstable();
    Asked { times, refused, bytes: answered.load(Ordering::Relaxed), took: start.elapsed() }
}

/// How questions were answered.
struct Asked {
    /// From when each was due, shortest first.
    times: Vec<Duration>,
    refused: u64,
    bytes: u64,
    took: Duration,
}

impl Asked {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn a_second(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }
}

impl std::fmt::Display for Asked {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let part = |of: usize| self.times[(self.times.len() - 1) * of / 100].as_secs_f64() * 1e3;
        let a_second = self.a_second();
        let megabytes = self.bytes as f64 / 1e6 / self.took.as_secs_f64();
        write!(
            f,
            "{} answers, {a_second:.0} a second, {megabytes:.1} MB/s, {} refused; p50 {:.2} ms, p99 {:.2} ms",
            self.times.len(),
            self.refused,
            part(50),
            part(99)
        )
    }
}

/// What `commonwork bench stratum` measures.
struct Submits {
    median: f64,
    p99: f64,
    answered: u64,
    accepted: u64,
    a_second: f64,
    /// Whether none was refused or lost, and no connection failed or ended.
    are_clean: bool,
}

impl std::fmt::Display for Submits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { median, p99, answered, accepted, .. } = self;
        write!(f, "p50 {median:.3} ms, p99 {p99:.3} ms, {accepted} of {answered} accepted")
    }
}

async fn submits(stratum: SocketAddr, user: &str, seconds: u32) -> Submits {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_commonwork"));
    command.args(["bench", "stratum", "--json", "--user", user, "--url", &stratum.to_string()]);
    command.args(["--rate", &SUBMITS.to_string(), "--connections", &MINERS.to_string()]);
    command.args(["--for", &format!("{seconds}s")]);
    let output = command.output().await.expect("the program starts");
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let number = |of: &Value| of.as_u64().expect("a number");
    let unmade = number(&report["submits"]["unmade"]);
    Submits {
        median: report["latency"]["p50_ms"].as_f64().expect("a time"),
        p99: report["latency"]["p99_ms"].as_f64().expect("a time"),
        answered: number(&report["submits"]["answered"]),
        accepted: number(&report["submits"]["accepted"]),
        a_second: report["submits"]["a_second"].as_f64().expect("a rate"),
        are_clean: output.status.success() && unmade == 0,
    }
}

/// A running program.
struct Node(Child);

impl Node {
    fn start(chain_file: &Path, data: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commonwork"));
        command.args(["run", "--offline"]).args(FREE_PORTS).stderr(Stdio::null());
        command.arg("--chain").arg(chain_file).arg("--data-dir").arg(data);
        Self(command.spawn().expect("the program starts"))
    }

    /// Waits until it lets miners in; tells where it is asked, and where they connect.
    async fn serves(&self, data: &Path) -> (SocketAddr, SocketAddr) {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(interface) = api::find(&data.join("embedded"))
                && let Ok(miners) = Client::new(interface).miners().await
                && miners.serving
            {
                return (interface, miners.stratum[0]);
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("not in time");
    }

    /// Processor time so far, of all its threads (Linux only).
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap_or_default();
        // Behind the name: state is field 3, user and system time are fields 14 and 15, in hundredths of a second.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).collect();
        Duration::from_millis(10 * fields.iter().filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
