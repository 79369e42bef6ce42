//! The node under attack: the real program with a miner, and what can be seen of it from outside.

use crate::chain_file::chain_toml;
use crate::long_chain::{make_chain, params};
use crate::ports::FREE_PORTS;
use serde_json::Value;
use sharechain::params::ChainParams;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_commonwork");
/// Nobody has the key.
const OWNER: &str = "bcrt1qs758ursh4q9z627kt3pp5yysm78ddny6txaqgw.miner";
/// Its witness program.
const OWN_SCRIPT: &str = "87a87e0e17a80a2d2bd65c421a1090df8ed6cc9a";
/// What the node may take at most, whatever is sent to it; idle it takes about 45.
pub(crate) const MOST_MEGABYTES: u64 = 150;
/// How soon a hostile peer is gone.
pub(crate) const GONE_AFTER: Duration = Duration::from_secs(30);
/// How long is waited for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node with a miner.
pub(crate) struct Victim {
    node: Child,
    miner: Child,
    log: Arc<Mutex<Vec<Value>>>,
    pub(crate) params: ChainParams,
    folder: tempfile::TempDir,
}

impl Victim {
    pub(crate) fn start() -> Self {
        Self::with(0, &[])
    }

    /// With a chain of so many blocks, and with these options.
    pub(crate) fn with(blocks: u32, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let params = params();
        fs::write(folder.path().join("chain.toml"), chain_toml(&params)).expect("written");
        if blocks > 0 {
            make_chain(&params, folder.path(), blocks);
        }
        let log = Arc::default();
        let (node, miner) = run(folder.path(), options, &log);
        let victim = Self { node, miner, log, params, folder };
        if options.is_empty() {
            victim.keeps_mining();
        }
        victim
    }

    /// The process is killed, and another one begins with what is on the disk.
    pub(crate) fn restart(&mut self) {
        self.end();
        self.log.lock().expect("whole").clear();
        (self.node, self.miner) = run(self.folder.path(), &[], &self.log);
        self.keeps_mining();
    }

    fn end(&mut self) {
        for child in [&mut self.miner, &mut self.node] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Where other nodes reach it.
    pub(crate) fn address(&self) -> String {
        wait_for("the address", || {
            let log = self.log.lock().expect("whole");
            let mut said = log.iter().filter(|line| line["message"] == "listening for nodes");
            said.find_map(|line| line["address"].as_str().map(str::to_owned))
        })
    }

    /// Fails unless the node takes new shares of its own miner.
    pub(crate) fn keeps_mining(&self) {
        let before = self.own_shares();
        wait_for("new shares of the node's own miner", || (self.own_shares() > before + 2).then_some(()));
    }

    /// Shares of its own miner that the chain has taken, as the log says.
    fn own_shares(&self) -> usize {
        let is_own = |line: &&Value| line["owner"].as_str().is_some_and(|owner| owner.contains(OWN_SCRIPT));
        self.log
            .lock()
            .expect("whole")
            .iter()
            .filter(|line| line["message"] == "share")
            .filter(is_own)
            .count()
    }

    /// Fails unless so many are banned before long; why.
    pub(crate) fn bans_reach(&self, count: usize) -> Vec<(String, String)> {
        wait_for("bans", || Some(self.bans()).filter(|bans| bans.len() >= count))
    }

    /// What `chain tip` says.
    pub(crate) fn tip(&self) -> Value {
        self.ask(&["chain", "tip", "--json"])
    }

    /// A number in it.
    pub(crate) fn count(&self, what: &str) -> u64 {
        self.tip()[what].as_u64().expect("a number")
    }

    pub(crate) fn height(&self) -> u64 {
        self.tip()["tip"]["height"].as_u64().unwrap_or(0)
    }

    /// Whom it refuses, each with the reason.
    pub(crate) fn bans(&self) -> Vec<(String, String)> {
        let bans = self.ask(&["bans", "--json"]);
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let bans = bans["bans"].as_array().expect("a list");
        bans.iter().map(|ban| (text(&ban["id"]), text(&ban["reason"]))).collect()
    }

    fn ask(&self, arguments: &[&str]) -> Value {
        let said = self.command(arguments);
        serde_json::from_str(&said).expect("JSON")
    }

    /// What a command says about this node.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--data-dir").arg(self.folder.path());
        command.arg("--chain").arg(self.folder.path().join("chain.toml"));
        let output = command.output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Fails if it ever took more memory than it may (Linux only).
    pub(crate) fn stays_small(&self) {
        let status = fs::read_to_string(format!("/proc/{}/status", self.node.id())).unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak =
            peak.and_then(|peak| peak.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) / 1_000;
        eprintln!("at most {peak} MB, {:?} of processor time", self.cpu());
        assert!(peak <= MOST_MEGABYTES, "{peak} MB");
    }

    /// Processor time so far (Linux only).
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.node.id())).unwrap_or_default();
        // Behind the name: state is field 3, user and system time are fields 14 and 15, in hundredths of a second.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        Duration::from_millis(10 * fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
    }

    /// Whether a line of the log has this message.
    pub(crate) fn said(&self, message: &str) -> bool {
        let log = self.log.lock().expect("whole");
        log.iter().any(|line| line["message"].as_str().is_some_and(|said| said.contains(message)))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log.lock().map(|log| log.clone()).unwrap_or_default();
            for line in &log[log.len().saturating_sub(40)..] {
                eprintln!("{line}");
            }
        }
        self.end();
    }
}

/// Starts a node and a miner.
fn run(folder: &Path, options: &[&str], log: &Arc<Mutex<Vec<Value>>>) -> (Child, Child) {
    let mut command = Command::new(PROGRAM);
    command.args(["run", "--log-format", "json"]).args(FREE_PORTS);
    command.args(["--listen", "127.0.0.1:0", "--no-mdns"]).args(options);
    command.arg("--data-dir").arg(folder).arg("--chain").arg(folder.join("chain.toml"));
    command.env("COMMONWORK_LOG", "info,commonwork::chain::writer=debug");
    let mut node = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("it starts");
    let (lines, kept) = (BufReader::new(node.stderr.take().expect("piped")), log.clone());
    std::thread::spawn(move || {
        for line in lines.lines().map_while(Result::ok) {
            kept.lock().expect("whole").push(serde_json::from_str(&line).unwrap_or(Value::String(line)));
        }
    });
    let stratum = wait_for("stratum", || {
        let log = log.lock().expect("whole");
        log.iter().filter_map(|line| line["message"].as_str()).find_map(|message| {
            let (_, rest) = message.split_once("stratum+tcp://")?;
            Some(rest.split([',', ' ']).next()?.to_owned())
        })
    });
    let mut command = Command::new(PROGRAM);
    command.args(["mine", "--url", &stratum, "--user", OWNER, "--threads", "1", "--shares-per-second", "2"]);
    command.args(["--load", "5"]).stdout(Stdio::null()).stderr(Stdio::null());
    (node, command.spawn().expect("it starts"))
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < end, "waiting for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
