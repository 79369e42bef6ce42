//! The first sync of a newcomer: two full windows of real share blocks, fetched from one peer on loopback.
//!
//! Not a microbenchmark: it makes a chain by mining it (once, at targets of a few hashes), then runs the real program
//! twice, one serving and one with an empty data folder, and tells how long the newcomer takes until it is current, with
//! the processor time and the memory of both. Aim: 15,000 shares a second, 100 s in all and 700 MB at most.
//!
//! `cargo bench --bench first_sync`, or `cargo bench --bench first_sync -- BLOCKS [FOLDER]` for a shorter chain, or to
//! keep the chain in a folder and take it from there the next time.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

/// Two windows of 20,160 blocks and 256: all that a newcomer fetches.
const BLOCKS: u32 = 40_576;
/// Ends a run that hangs.
const PATIENCE: Duration = Duration::from_secs(600);

#[path = "../tests/support/chain_file.rs"]
mod chain_file;
#[path = "../tests/support/long_chain.rs"]
mod long_chain;

use long_chain::{LISTED, make_chain, params};

fn main() {
    // `cargo test` runs benches once: then a short chain is enough.
    let is_bench = env::args().any(|argument| argument == "--bench");
    let asked = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let blocks = asked.unwrap_or(if is_bench { BLOCKS } else { 300 });
    let kept = env::args().skip(1).find(|argument| argument.contains('/'));
    let folder = tempfile::tempdir().expect("a folder");
    let newcomer = folder.path().join("newcomer");
    let server = kept.map_or_else(|| folder.path().join("server"), Into::into);
    let params = params();
    let chain_file = folder.path().join("chain.toml");
    fs::write(&chain_file, chain_file::chain_toml(&params)).expect("written");

    let begun = Instant::now();
    let shares = u64::from(blocks) * (LISTED + 1);
    if !server.exists() {
        make_chain(&params, &server, blocks);
        println!("made {blocks} blocks of {} shares in {:.0?}", LISTED + 1, begun.elapsed());
    }

    let run = |data: &Path, more: &[&str]| Node::start(&chain_file, data, more);
    let mut serving = run(&server, &["--listen", "127.0.0.1:0"]);
    let address = serving.until(|line| {
        let address = line["address"].as_str()?;
        (line["message"] == "listening for nodes").then(|| address.to_owned())
    });
    let before = serving.cpu();
    let begun = Instant::now();
    let mut fetching = run(&newcomer, &["--listen", "127.0.0.1:0", "--peer", &address]);
    let height = fetching.until(|line| {
        let is_done = line["message"] == "level with the peers";
        is_done.then(|| line["height"].as_u64().expect("a height"))
    });
    let took = begun.elapsed();
    assert_eq!(height, u64::from(blocks), "the newcomer has another chain");
    #[expect(clippy::cast_precision_loss, reason = "a count of shares")]
    let rate = |time: Duration| shares as f64 / time.as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / rate(Duration::from_secs(1));
    println!("synced {shares} shares in {took:.1?}: {:.0} shares/s", rate(took));
    println!(
        "newcomer: {:.1} us of CPU a share, peak memory {} MB",
        each(fetching.cpu()),
        fetching.peak_megabytes()
    );
    println!(
        "server: {:.1} us of CPU a share, peak memory {} MB",
        each(serving.cpu() - before),
        serving.peak_megabytes()
    );
}

/// A running program.
struct Node {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Node {
    fn start(chain_file: &Path, data: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commonwork"));
        command.args(["run", "--log-format", "json", "--stratum", "127.0.0.1:0", "--api", "127.0.0.1:0"]);
        command.arg("--chain").arg(chain_file).arg("--data-dir").arg(data).args(more);
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, log }
    }

    /// Reads the log up to a line that says what is wanted.
    fn until<T>(&mut self, wanted: impl Fn(&Value) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        let (mut line, mut before) = (String::new(), String::new());
        while Instant::now() < end {
            before.clone_from(&line);
            line.clear();
            assert!(self.log.read_line(&mut line).expect("text") > 0, "the program ended: {before}");
            if let Some(found) = serde_json::from_str(&line).ok().and_then(|line| wanted(&line)) {
                return found;
            }
        }
        panic!("not in time");
    }

    /// Processor time so far, of all its threads (Linux only).
    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // Behind the name: state is field 3, user and system time are fields 14 and 15, in hundredths of a second.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2).collect();
        Duration::from_millis(10 * fields.iter().filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
    }

    fn peak_megabytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|peak| peak.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1_000
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
