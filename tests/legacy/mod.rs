//! `getwork` and `getblocktemplate` over real sockets, with a client that shares no code with the server.

mod getwork;
mod limits;
mod long_poll;
mod node;
mod template;

use crate::support::jobs::{JobMaker, owner, target};
use crate::support::server::{Running, World, soon, unix_now};
use commonwork::legacy::server::{self, Limits, Server};
use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::gate::Gate;
use commonwork::stratum::session::SessionConfig;
use commonwork::work::fee::Fee;
use commonwork::work::job::{Candidate, JobIds};
use serde_json::{Value, json};
use sharechain::owner::Owner;
use sharechain::params::Network;
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How a server is to be.
struct Setup {
    default_owner: Option<Owner>,
    limits: Limits,
    share_queue: usize,
    fee: Option<Fee>,
    gate: Gate,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            default_owner: Some(owner(1)),
            limits: Limits::default(),
            share_queue: 10_000,
            fee: None,
            gate: Gate::default(),
        }
    }
}

impl Setup {
    fn start(self) -> Running {
        let listener = server::bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let ids = Arc::new(JobIds::starting_at(0x8000_0000));
        let classes = PayoutClasses::new(&[11, 38, 145, 360], []);
        let config = SessionConfig {
            default_owner: self.default_owner,
            fee: self.fee,
            ..SessionConfig::new(Network::Regtest, classes, ids)
        };
        let Self { share_queue, gate, limits, .. } = self;
        let world = World { share_queue, most_sessions: 2_000, gate, ..World::default() };
        world.start(address, |house, shutdown| {
            Server { config: Arc::new(config), house, limits }.run(vec![listener], shutdown)
        })
    }
}

/// A job that the operator's fee has a form of, for the owner 9.
fn publish_with_fee(running: &Running, job: JobMaker) {
    let job = JobMaker { time: unix_now(), ..job };
    let for_fee = JobMaker { id: job.id + 0x1000, owner: owner(9), ..job.clone() };
    running.publish_as_is(job.job().with_fee(Arc::new(for_fee.job())));
}

fn rig(running: &Running) -> Client {
    Client::new(running.address, "rig", "x")
}

fn found(running: &Running) -> Vec<Candidate> {
    running.blocks.0.lock().expect("no panic").clone()
}

/// Every hash is a share; one of 256 makes a share block, one of 4,096 a Bitcoin block.
fn easy(id: u32) -> JobMaker {
    let targets = Targets { network: target(-20), block: target(-24), share: Target::MAX };
    JobMaker { id, targets, branch_len: 3, ..JobMaker::default() }
}

/// A miner's HTTP, by hand.
#[derive(Clone)]
struct Client {
    server: SocketAddr,
    login: Option<String>,
    agent: String,
}

/// An answer.
#[derive(Debug)]
struct Answer {
    status: u16,
    /// Names in small letters.
    headers: BTreeMap<String, String>,
    body: Value,
}

impl Client {
    fn new(server: SocketAddr, user: &str, password: &str) -> Self {
        let login = base64(format!("{user}:{password}").as_bytes());
        Self { server, login: Some(format!("Basic {login}")), agent: "test".into() }
    }

    /// One call, on a connection of its own.
    async fn call(&self, method: &str, params: Value) -> Answer {
        self.post("/", &json!({"id": "an id", "method": method, "params": params}).to_string()).await
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.request("POST", path, body.as_bytes()).await.expect("an answer")
    }

    /// A request with a body; none when the server hangs up without an answer.
    async fn request(&self, method: &str, path: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = BufReader::new(soon(TcpStream::connect(self.server)).await.expect("a connection"));
        // A server that has heard enough hangs up.
        let _ = stream.write_all(&self.head(method, path, body.len())).await;
        let _ = stream.write_all(body).await;
        Answer::read(&mut stream).await
    }

    fn head(&self, method: &str, path: &str, length: usize) -> Vec<u8> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.server);
        if let Some(login) = &self.login {
            head += &format!("Authorization: {login}\r\n");
        }
        head += &format!("User-Agent: {}\r\nContent-Length: {length}\r\n\r\n", self.agent);
        head.into_bytes()
    }
}

impl Answer {
    async fn read(stream: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if soon(stream.read_line(&mut line)).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let status = lines.first()?.split(' ').nth(1)?.parse().ok()?;
        let headers: BTreeMap<String, String> = lines[1..]
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length")?.parse().ok()?;
        let mut body = vec![0; length];
        soon(stream.read_exact(&mut body)).await.ok()?;
        Some(Self { status, headers, body: serde_json::from_slice(&body).expect("JSON") })
    }

    fn result(&self) -> &Value {
        assert_eq!((self.status, &self.body["error"]), (200, &Value::Null), "{self:?}");
        &self.body["result"]
    }

    /// What an error says.
    fn error(&self) -> String {
        assert!(self.body["result"].is_null() && self.body["error"]["code"].is_i64(), "{self:?}");
        self.body["error"]["message"].as_str().expect("text").to_owned()
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let digit = |six: &[u8]| {
        let six = format!("{:0<6}", str::from_utf8(six).expect("digits"));
        char::from(DIGITS[usize::from_str_radix(&six, 2).expect("bits")])
    };
    let mut text: String = bits.as_bytes().chunks(6).map(digit).collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}
