//! The real program as a process of its own, with its log and a miner's way in.

use crate::cli::Program;
use crate::support::ports::FREE_PORTS;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longer than the program ever has nothing to say while a test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running `commonwork run`; killed when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<Value>,
    /// What has been read of its log.
    pub(crate) log: Vec<Value>,
}

impl Process {
    /// Starts it on free ports with these further arguments.
    pub(crate) fn start(program: &Program, more: &[&str]) -> Self {
        Self::spawn(program.command(&[&["run", "--log-format", "json"], &FREE_PORTS[..], more].concat()))
    }

    /// Starts this command, which is to log as JSON.
    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("started");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let (sender, lines) = channel();
        // A pipe that nobody reads would hold the program up.
        std::thread::spawn(move || {
            for line in log.lines() {
                let line = line.expect("text");
                // The last words of a program that refuses to run are for people.
                let line = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines, log: Vec::new() }
    }

    /// Reads its log up to a line for which there is an answer.
    pub(crate) fn until<T>(&mut self, what: &str, is_it: impl Fn(&Value) -> Option<T>) -> T {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|why| panic!("waiting for {what}: {why}: {:#?}", self.log));
            self.log.push(line);
            if let Some(found) = self.log.last().and_then(&is_it) {
                return found;
            }
        }
    }

    /// Reads its log up to where it says this, anywhere in a line's message.
    pub(crate) fn until_it_says(&mut self, text: &str) -> Value {
        let says = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains(text));
        self.until(text, |line| says(line).then(|| line.clone()))
    }

    /// Waits until miners can connect; gives the address.
    pub(crate) fn stratum(&mut self) -> SocketAddr {
        let line = self.until_it_says("stratum+tcp://");
        let text = line["message"].as_str().expect("text");
        let (_, rest) = text.split_once("stratum+tcp://").expect("just seen");
        rest.split([',', ':']).take(2).collect::<Vec<_>>().join(":").parse().expect("an address")
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", name, &pid]).status().expect("sh");
        assert!(sent.success());
    }

    /// Kills it, without a warning to it, and reads the rest of its log.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("running");
        self.ended();
    }

    /// Waits for its end and reads the rest of its log.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let status = self.child.wait().expect("ended");
        self.log.extend(self.lines.iter());
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the program answers to a question in JSON, whether a node runs or not.
pub(crate) fn ask(program: &Program, arguments: &[&str]) -> Value {
    let ended = program.run(&[arguments, &["--json"]].concat());
    serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("{arguments:?}: {}", ended.errors))
}
