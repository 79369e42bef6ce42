//! `commonwork run` as a process of its own, from start to stop, and what can be asked of it meanwhile.

use super::Program;
use crate::support::bitcoind::wait_for;
use crate::support::ports::FREE_PORTS;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const EMBEDDED: [&str; 2] = ["--network", "embedded"];

/// A running node of the embedded network on free ports; killed when dropped.
struct Running {
    child: Child,
    program: Program,
}

impl Running {
    fn start(program: Program, more: &[&str]) -> Self {
        let mut command = program.command(&[&["run"], &EMBEDDED[..], &FREE_PORTS, more].concat());
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
        let announced = program.home().join(".local/share/commonwork/embedded/api.json");
        wait_for("the node's interface", || announced.exists().then_some(()));
        Self { child, program }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &pid]).status().expect("sh");
        assert!(sent.success());
    }

    /// Waits for its end; gives its exit code and its log.
    fn ended(&mut self) -> (Option<i32>, Vec<String>) {
        let log = BufReader::new(self.child.stderr.take().expect("piped"));
        let lines = log.lines().map(|line| line.expect("text")).collect();
        (self.child.wait().expect("ended").code(), lines)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_node_answers_while_it_runs_and_leaves_a_store_that_can_be_read() {
    let mut node = Running::start(Program::new(), &["--log-format", "json"]);
    let tip = node.program.run(&[&["chain", "tip", "--json"], &EMBEDDED[..]].concat());
    let tip: Value = serde_json::from_str(&tip.output).unwrap_or_else(|_| panic!("{}", tip.errors));
    assert_eq!((&tip["network"], &tip["tip"]), (&json!("embedded"), &Value::Null));
    let second = node.program.run(&[&["run"], &FREE_PORTS[..], &EMBEDDED].concat());
    assert!(second.code == 1 && second.errors.contains("is in use: another node runs"), "{}", second.errors);
    let tip_after = node.program.run(&[&["chain", "tip"], &EMBEDDED[..]].concat());
    assert!(
        tip_after.output.contains("from     the node at "),
        "the second attempt took nothing away: {}",
        tip_after.errors
    );

    node.signal("TERM");
    let (code, log) = node.ended();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(!log.is_empty());
    for line in log {
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        assert!(line["level"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    let stored = node.program.run(&[&["chain", "tip"], &EMBEDDED[..]].concat());
    assert!(stored.output.contains("from     the store "), "{}", stored.errors);
    assert!(
        node.program
            .run(&[&["chain", "verify"], &EMBEDDED[..]].concat())
            .output
            .ends_with("The chain is valid.\n")
    );
}

/// Bitcoin blocks of 4,096 hashes, share blocks of 1,024, shares of 32.
const EASY_CHAIN: &str = "name = 'easy'\nnetwork = 'embedded'\nembedded_bits = '1f0fffff'\neasiest_block_target = '1f3fffff'\n\
                          base_depth = 2\nspacing = 1\n";

#[test]
fn what_a_miner_finds_is_told_paid_and_verified() {
    let program = Program::new();
    let chain = program.file("easy.toml", EASY_CHAIN);
    let mut node = Running::start(program, &["--chain", &chain]);
    let ask = |program: &Program, arguments: &[&str]| {
        let ended = program.run(&[arguments, &["--chain", &chain, "--json"]].concat());
        serde_json::from_str::<Value>(&ended.output)
            .unwrap_or_else(|_| panic!("{arguments:?}: {}", ended.errors))
    };
    let log = BufReader::new(node.child.stderr.take().expect("piped"));
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let server = lines.iter().find_map(|line| {
        let (_, address) = line.split_once("stratum+tcp://")?;
        address.split([',', ' ']).next().map(str::to_owned)
    });
    let server = server.expect("the log names it");
    let owner = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
    let mut miner = node.program.command(&[
        "mine",
        "--url",
        &server,
        "--user",
        owner,
        "--threads",
        "1",
        "--shares-per-second",
        "500",
    ]);
    let mut miner = miner.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    let bitcoin_block = wait_for("a Bitcoin block after three share blocks", || {
        let tip = ask(&node.program, &["chain", "tip"]);
        let height = tip["tip"]["height"].as_u64()?;
        (height >= 3 && tip["bitcoin"]["height"].as_u64()? >= 1).then_some(tip)
    });
    miner.kill().expect("running");
    miner.wait().expect("killed");

    let id = bitcoin_block["tip"]["id"].as_str().expect("an id").to_owned();
    let shown = ask(&node.program, &["chain", "show", &id]);
    assert_eq!(shown["owner"]["address"], json!(owner));
    let payouts = ask(&node.program, &["payouts", "--share", &id]);
    let paid = payouts["outputs"].as_array().expect("outputs").iter().filter_map(|o| o["satoshis"].as_u64());
    assert_eq!(paid.sum::<u64>(), payouts["value"].as_u64().expect("a value"));
    let asked = ask(&node.program, &["chain", "verify"]);
    assert_eq!(asked["valid"], json!(true), "{asked:#}");
    node.signal("TERM");
    assert_eq!(node.child.wait().expect("ended").code(), Some(0));
    let stored = ask(&node.program, &["chain", "verify"]);
    assert_eq!(stored["valid"], json!(true), "{stored:#}");
    assert!(stored["blocks"].as_u64() >= asked["blocks"].as_u64());
}

#[test]
fn ctrl_c_ends_a_node_in_order() {
    let mut node = Running::start(Program::new(), &[]);
    node.signal("INT");
    let (code, log) = node.ended();
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("stopping")), "{log:#?}");
}

#[test]
fn a_node_that_was_killed_leaves_nothing_that_stops_the_next() {
    let mut node = Running::start(Program::new(), &[]);
    node.child.kill().expect("running");
    node.child.wait().expect("killed");
    let left = node.program.run(&[&["chain", "tip"], &EMBEDDED[..]].concat());
    assert!(left.output.contains("from     the store "), "its address leads nowhere: {}", left.errors);
}
