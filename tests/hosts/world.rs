//! Hosts of their own on one machine: network namespaces joined by `switch.py`, which delays, loses and cuts.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Names of the namespaces of one test process do not repeat.
static WORLDS: AtomicU32 = AtomicU32::new(0);

/// A number of hosts and what is between them.
pub(crate) struct World {
    prefix: String,
    switch: Child,
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl World {
    /// Makes the hosts. None, with the reason printed, where this machine or user may not: these tests need Linux, root
    /// and `/dev/net/tun`.
    pub(crate) fn new(hosts: u32) -> Option<Self> {
        let prefix = format!("w{}x{}n", std::process::id() % 100_000, WORLDS.fetch_add(1, Ordering::Relaxed));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/hosts/switch.py");
        let mut command = Command::new("python3");
        command.arg(script).arg(&prefix).arg(hosts.to_string());
        let mut switch =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().ok()?;
        let answers = BufReader::new(switch.stdout.take().expect("piped"));
        let commands = switch.stdin.take();
        let mut world = Self { prefix, switch, commands, answers };
        if world.answered() {
            return Some(world);
        }
        let mut said = String::new();
        let errors = world.switch.stderr.take().expect("piped");
        let _ = std::io::Read::read_to_string(&mut BufReader::new(errors), &mut said);
        eprintln!("SKIPPED: no network namespaces can be made here, so nothing was tested: {said}");
        None
    }

    /// Every packet takes this long on its way.
    pub(crate) fn delay(&mut self, milliseconds: u32) {
        self.say(&format!("delay {milliseconds}"));
    }

    /// This part of the packets is lost.
    pub(crate) fn lose(&mut self, percent: u32) {
        self.say(&format!("loss {percent}"));
    }

    /// Hosts of different groups do not reach each other from now on.
    pub(crate) fn cut(&mut self, groups: &[&[u32]]) {
        let text = |group: &&[u32]| group.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let groups: Vec<String> = groups.iter().map(text).collect();
        self.say(&format!("cut {}", groups.join(" ")));
    }

    /// All reach each other again.
    pub(crate) fn heal(&mut self) {
        self.say("heal");
    }

    /// The address of a host for other hosts, from 1 on.
    pub(crate) fn address(&self, host: u32) -> String {
        format!("10.77.0.{host}")
    }

    /// A command that runs on a host.
    pub(crate) fn on(&self, host: u32, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &format!("{}{host}", self.prefix), program]);
        command
    }

    fn say(&mut self, line: &str) {
        let commands = self.commands.as_mut().expect("the switch runs");
        writeln!(commands, "{line}").expect("the switch runs");
        assert!(self.answered(), "the switch did not take {line}");
    }

    fn answered(&mut self) -> bool {
        let mut line = String::new();
        self.answers.read_line(&mut line).is_ok_and(|_| line.trim() == "ok")
    }
}

/// The address of the test's own side for hosts, where nothing is delayed or cut.
pub(crate) const HOME: &str = "10.78.0.250";
/// The hosts' addresses on that side.
pub(crate) const SIDE: &str = "10.78.0.0/24";

impl Drop for World {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.commands.take());
        let _ = self.switch.wait();
    }
}
