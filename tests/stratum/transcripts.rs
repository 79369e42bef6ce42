//! The way known devices talk, replayed against the real program: each gets a share accepted, or is told that it is too
//! small.
//!
//! One file in `tests/stratum/transcripts` for each device. Its lines:
//!
//! | line | meaning |
//! |---|---|
//! | `> TEXT` | the device sends this; `<name>` stands for what has that name |
//! | `< TEXT` | the next line from the server is this; `<name>` is any text, and has that name from then on |
//! | `mine` | the device finds a share for the newest job; with `bits`, it rolls the version too |
//! | `tls` | the device tries TLS, is hung up on, and connects again |
//! | `log TEXT` | the program's log says this |
//! | `# …` | for the reader |
//!
//! A new job may come at any time after the first one; the device takes note of it wherever it comes.

use super::rebuild::{Filled, Notified};
use crate::cli::Program;
use crate::node::process::Process;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// Shares of 256 hashes, share blocks of 65,536, and no Bitcoin blocks.
const CHAIN: &str = "name = 'devices'\nnetwork = 'embedded'\nembedded_bits = '1d00ffff'\n\
                     easiest_block_target = '1f00ffff'\nshares_per_block = 256\nbase_depth = 2\nspacing = 1\n\
                     retarget_constant = 1000000\n";
const USER: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
/// Longer than the server ever takes for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A device and what it has learnt so far.
struct Device<'a> {
    server: SocketAddr,
    node: &'a mut Process,
    stream: BufReader<TcpStream>,
    names: BTreeMap<String, String>,
    job: Option<Notified>,
    /// A difficulty was announced, and its job is not yet.
    awaits_job: bool,
    /// Ids of jobs, and beginnings of coinbases with times: what makes work new.
    announced: BTreeSet<String>,
    /// Counts up, so that no share is found twice.
    extranonce2: u64,
    /// The id of the submit that waits for its answer.
    submitted: Value,
    accepted: u32,
}

fn connect(server: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(server).expect("the node serves miners");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    BufReader::new(stream)
}

impl<'a> Device<'a> {
    fn new(node: &'a mut Process, server: SocketAddr) -> Self {
        let names = [("user".to_owned(), USER.to_owned())].into();
        Self {
            server,
            node,
            stream: connect(server),
            names,
            job: None,
            awaits_job: false,
            announced: BTreeSet::new(),
            extranonce2: 0,
            submitted: Value::Null,
            accepted: 0,
        }
    }

    fn step(&mut self, line: &str) {
        match line.split_once(' ').unwrap_or((line, "")) {
            (">", text) => self.send(&self.filled_in(text)),
            ("<", pattern) => self.expect(pattern),
            ("mine", how) => self.mine(how == "bits"),
            ("tls", "") => self.try_tls(),
            ("log", text) => drop(self.node.until_it_says(text)),
            other => panic!("no such step: {other:?}"),
        }
    }

    fn send(&mut self, text: &str) {
        let value: Value = serde_json::from_str(text).expect("JSON");
        if value["method"] == "mining.submit" {
            self.submitted = value["id"].clone();
        }
        self.stream.get_mut().write_all(format!("{text}\n").as_bytes()).expect("written");
    }

    /// Text with what is known in place of its names.
    fn filled_in(&self, text: &str) -> String {
        let filled =
            |text: String, (name, value): (&String, &String)| text.replace(&format!("<{name}>"), value);
        let text = self.names.iter().fold(text.to_owned(), filled);
        assert!(!text.contains('<'), "not known yet: {text}");
        text
    }

    fn expect(&mut self, pattern: &str) {
        let wants_notice = pattern.contains("\"method\"");
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("a line in time");
            let line = line.strip_suffix('\n').unwrap_or_else(|| panic!("hung up instead of {pattern}"));
            let is_news = self.job.is_some() && line.contains("\"method\":\"mining.");
            self.note(line);
            if is_news && !wants_notice {
                continue;
            }
            let found = matched(pattern, line).unwrap_or_else(|| panic!("not {pattern}\nbut {line}"));
            self.names.extend(found);
            let answer: Value = serde_json::from_str(line).expect("JSON");
            let is_share = !self.submitted.is_null() && answer["id"] == self.submitted;
            self.accepted += u32::from(is_share && answer["result"] == true);
            return;
        }
    }

    /// Takes note of a new job or difficulty, wherever they come.
    fn note(&mut self, line: &str) {
        let value: Value = serde_json::from_str(line).expect("JSON");
        let is_job = value["method"] == "mining.notify";
        assert!(is_job || !self.awaits_job, "between a difficulty and its job: {line}");
        self.awaits_job = value["method"] == "mining.set_difficulty";
        if is_job {
            let [id, coinbase, time] = [0, 2, 7].map(|n| value["params"][n].as_str().expect("text"));
            assert!(self.announced.insert(id.to_owned()), "an id that was there: {line}");
            assert!(self.announced.insert(format!("{coinbase} {time}")), "work that was there: {line}");
            self.job = Some(Notified::read(&value));
        } else if value["method"] == "mining.set_difficulty" {
            self.names.insert("difficulty".into(), value["params"][0].to_string());
        }
    }

    fn mine(&mut self, rolls: bool) {
        let job = self.job.clone().expect("a job");
        self.extranonce2 += 1;
        let extranonce2 = format!("{:016x}", self.extranonce2);
        let name = |name: &str| self.names.get(name).map_or("", String::as_str);
        let mask = u32::from_str_radix(name("mask"), 16).unwrap_or(0);
        let bits = if rolls { 0x0040_2000 & mask } else { 0 };
        assert_eq!(rolls, bits != 0, "it has a mask");
        let extranonce1 = name("extranonce1");
        let filled = Filled {
            extranonce1,
            extranonce2: &extranonce2,
            mask: if rolls { mask } else { 0 },
            bits,
            nonce: 0,
        };
        let nonce = job.mine(&filled, name("difficulty").parse().expect("a number"));
        for (name, value) in [
            ("job", job.id.clone()),
            ("time", format!("{:08x}", job.time)),
            ("nonce", format!("{nonce:08x}")),
            ("short nonce", format!("{nonce:x}")),
            ("bits", format!("{bits:08x}")),
            ("extranonce2", extranonce2),
        ] {
            self.names.insert(name.into(), value);
        }
    }

    fn try_tls(&mut self) {
        let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
        self.stream.get_mut().write_all(&hello).expect("written");
        let ended = self.stream.read(&mut [0; 1]);
        let is_end = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionReset;
        assert!(ended.as_ref().map_or_else(is_end, |read| *read == 0), "{ended:?}");
        self.stream = connect(self.server);
    }
}

/// What the names in the pattern stand for, if the line is like it.
fn matched(pattern: &str, line: &str) -> Option<Vec<(String, String)>> {
    let (mut names, mut rest) = (Vec::new(), line);
    let mut parts = pattern.split('<');
    rest = rest.strip_prefix(parts.next()?)?;
    for part in parts {
        let (name, literal) = part.split_once('>').expect("a name ends");
        let end = if literal.is_empty() { rest.len() } else { rest.find(literal)? };
        names.push((name.to_owned(), rest[..end].to_owned()));
        rest = &rest[end + literal.len()..];
    }
    rest.is_empty().then_some(names)
}

/// The devices and their steps.
fn transcripts() -> Vec<(String, Vec<String>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stratum/transcripts");
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.sort();
    let steps = |path: &Path| {
        let text = fs::read_to_string(path).expect("text");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    files.iter().map(|path| (name(path), steps(path))).collect()
}

#[test]
fn every_device_gets_a_share_accepted_or_is_told_that_it_is_too_small() {
    let program = Program::new();
    let chain_file = program.file("devices.toml", CHAIN);
    let mut node = Process::start(&program, &["--chain", &chain_file]);
    let server = node.stratum();
    // Stays, so that there are jobs for whoever comes, and whoever gets none is not just early.
    let (mut first, mut told) = (Device::new(&mut node, server), 0);
    first.send(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    first.send(&format!(r#"{{"id":2,"method":"mining.authorize","params":["{USER}"]}}"#));
    (0..4).for_each(|_| first.expect("<any>"));
    let (_kept, devices) = (first.stream, transcripts());
    assert_eq!(devices.len(), 12);
    for (name, steps) in devices {
        let mut device = Device::new(&mut node, server);
        steps.iter().for_each(|step| device.step(step));
        if steps.iter().any(|step| step.starts_with("log No work")) {
            assert!(device.job.is_none(), "{name}");
            told += 1;
        } else {
            assert!(device.accepted > 0, "{name}: no share");
        }
    }
    assert_eq!(told, 2);
}
