//! `commonwork status`, once and watched.

use super::Program;
use crate::node::process::Process;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const EMBEDDED: [&str; 2] = ["--network", "embedded"];
/// Far longer than the second between two lines.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first line of JSON that is so.
fn until(lines: &Receiver<String>, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|why| panic!("waiting for {what}: {why}"));
        let value: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        if is_it(&value) {
            return value;
        }
    }
}

#[test]
fn a_watched_node_may_go_away_and_come_back() {
    let program = Program::new();
    program.refuses(&["status", "--network", "embedded"], "no node runs on");
    let mut node = Process::start(&program, &EMBEDDED);
    node.until_it_says("stratum+tcp://");
    let once = program.run(&[&["status"], &EMBEDDED[..]].concat());
    for wanted in [
        "chain        ",
        "on embedded, height 0",
        "miners       0",
        "stratum+tcp://127.0.0.1:",
        "dashboard ",
        "health ",
        "no miner is connected\n             -> point hardware",
    ] {
        assert!(once.output.contains(wanted), "{wanted} is not in:\n{}{}", once.output, once.errors);
    }

    let mut watcher = program.command(&[&["status", "--watch=1", "--json"], &EMBEDDED[..]].concat());
    let mut watcher = watcher.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let output = BufReader::new(watcher.stdout.take().expect("piped"));
    let (sender, lines) = channel();
    std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let first = until(&lines, "an answer", |line| line["miners"].is_object());
    node.signal("TERM");
    assert_eq!(node.ended().code(), Some(0), "{:#?}", node.log);
    let gone = until(&lines, "its absence", |line| line["error"].is_string());
    assert!(gone["error"].as_str().is_some_and(|error| error.contains("no node")), "{gone}");
    let mut node = Process::start(&program, &EMBEDDED);
    let again = until(&lines, "its return", |line| line["miners"].is_object());
    assert_eq!(again["chain"]["chain_id"], first["chain"]["chain_id"]);

    let pid = watcher.id().to_string();
    assert!(Command::new("sh").args(["-c", "kill -INT $0", &pid]).status().expect("sh").success());
    let ended = watcher.wait_with_output().expect("ended");
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    node.signal("TERM");
    assert_eq!(node.ended().code(), Some(0));
}
