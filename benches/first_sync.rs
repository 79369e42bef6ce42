//! The first sync of a newcomer: two full windows of real share blocks, fetched from one peer on loopback.
//!
//! Not a microbenchmark: it makes a chain by mining it (once, at targets of a few hashes), then runs the real program
//! twice, one serving and one without a share chain, and tells how long the newcomer takes until it is current, with
//! the processor time and the memory of both. Aim: 15,000 shares a second, 100 s in all and 700 MB at most.
//!
//! As on a chain that is older than two windows, the server has let go of the oldest blocks, so the newcomer joins in
//! the middle and checks the older window less than the newer; there is a Bitcoin block for every 20 share blocks; and
//! the newcomer has their headers, as it has on Bitcoin from its bitcoind.
//!
//! `cargo bench --bench first_sync`, or `cargo bench --bench first_sync -- BLOCKS [FOLDER]` for two shorter windows, or
//! to keep the chain in a folder and take it from there the next time.

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs};

/// Two windows of 20,160 blocks and 256: all that a newcomer fetches, but for some at the end that the server may drop
/// meanwhile.
const BLOCKS: u32 = 40_576;
/// What of it does not grow with the window.
const MARGIN: u32 = 256;
/// Blocks that the server has had, and dropped.
const DROPPED: u32 = 100;
/// The lowest blocks are left out: the server may drop them meanwhile.
const LEFT_OUT: u32 = 16;
/// Ends a run that hangs.
const PATIENCE: Duration = Duration::from_secs(600);

#[path = "../tests/support/chain_file.rs"]
mod chain_file;
#[path = "../tests/support/long_chain.rs"]
mod long_chain;
#[path = "../tests/support/ports.rs"]
mod ports;

use commonwork::store::OpenStore;
use long_chain::{LISTED, make_chain, params_with_bitcoin};
use ports::FREE_PORTS;
use sharechain::params::ChainParams;
use sharechain::store::ShareStore;

fn main() {
    // `cargo test` runs benches once: then a short chain is enough.
    let is_bench = env::args().any(|argument| argument == "--bench");
    let asked = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let blocks = asked.unwrap_or(if is_bench { BLOCKS } else { 600 });
    let kept = env::args().skip(1).find(|argument| argument.contains('/'));
    let folder = tempfile::tempdir().expect("a folder");
    let newcomer = folder.path().join("newcomer");
    let server = kept.map_or_else(|| folder.path().join("server"), Into::into);
    let params = params_with_bitcoin((blocks - MARGIN) / 2);
    let chain_file = folder.path().join("chain.toml");
    fs::write(&chain_file, chain_file::chain_toml(&params)).expect("written");

    let begun = Instant::now();
    let height = blocks + DROPPED;
    let shares = u64::from(params.kept_blocks() + 1 - LEFT_OUT) * (LISTED + 1);
    if !server.exists() {
        make_chain(&params, &server, height);
        println!("made {height} blocks of {} shares in {:.0?}", LISTED + 1, begun.elapsed());
    }
    copy_headers(&params, &server, &newcomer);

    let run = |data: &Path, more: &[&str]| Node::start(&chain_file, data, more);
    let mut serving = run(&server, &["--listen", "127.0.0.1:0"]);
    let address = serving.until(|line| {
        let address = line["address"].as_str()?;
        (line["message"] == "listening for nodes").then(|| address.to_owned())
    });
    let before = serving.cpu();
    let begun = Instant::now();
    let mut fetching = run(&newcomer, &["--listen", "127.0.0.1:0", "--peer", &address]);
    let reached = fetching.until(|line| {
        let is_done = line["message"] == "level with the peers";
        is_done.then(|| line["height"].as_u64().expect("a height"))
    });
    let took = begun.elapsed();
    assert_eq!(reached, u64::from(height), "the newcomer has another chain");
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

/// Gives the newcomer the Bitcoin headers that the server has.
fn copy_headers(params: &ChainParams, server: &Path, newcomer: &Path) {
    let open = |folder: &Path| {
        let path = folder.join("embedded/sharechain");
        let open = OpenStore { path: &path, params, move_corrupt_aside: false };
        open.open().expect("a store").store
    };
    let headers = open(server).load().expect("as made").headers;
    fs::create_dir_all(newcomer).expect("made");
    open(newcomer).commit_headers(&headers).expect("room on the disk");
}

/// A running program.
struct Node {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Node {
    fn start(chain_file: &Path, data: &Path, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commonwork"));
        command.args(["run", "--log-format", "json"]).args(FREE_PORTS);
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
