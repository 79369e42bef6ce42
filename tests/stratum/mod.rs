//! Miners and the Stratum server over real sockets.

mod classes;
mod limits;
mod load;
mod mining;
mod proxy;
mod rebuild;
mod resume;
mod tls;
mod transcripts;
mod wire;

use crate::support::server::{Running, World, soon, unix_now};
use commonwork::stratum::certificate::Identity;
use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::gate::Gate;
use commonwork::stratum::server::{Limits, Port, Server};
use commonwork::stratum::session::SessionConfig;
use commonwork::work::job::{Job, JobIds};
use ipnet::IpNet;
use sharechain::owner::Owner;
use sharechain::params::Network;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// How a server is to be.
struct Setup {
    default_owner: Option<Owner>,
    limits: Limits,
    most_sessions: usize,
    share_queue: usize,
    address: SocketAddr,
    /// What it shows to miners; none for a server that speaks plainly.
    tls: Option<Identity>,
    /// Proxies that it believes.
    proxies: Vec<IpNet>,
    /// The jobs of each class.
    by_class: Vec<Job>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            default_owner: Some(crate::support::jobs::owner(1)),
            limits: Limits::default(),
            most_sessions: 100,
            share_queue: 10_000,
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            tls: None,
            proxies: Vec::new(),
            by_class: Vec::new(),
        }
    }
}

impl Setup {
    fn start(self) -> Running {
        let port = match self.tls {
            None => Port::plain(self.address),
            Some(identity) => Port::tls(self.address, identity),
        };
        let port = port.expect("a free port");
        let address = port.local_addr().expect("an address");
        let ids = Arc::new(JobIds::starting_at(0x8000_0000));
        let classes = PayoutClasses::new(&[11, 38, 145, 360], []);
        let config = SessionConfig {
            default_owner: self.default_owner,
            ..SessionConfig::new(Network::Regtest, classes, ids)
        };
        let Self { most_sessions, share_queue, by_class, limits, proxies, .. } = self;
        let world = World { most_sessions, share_queue, by_class, gate: Gate::new(&proxies) };
        world.start(address, |house, shutdown| {
            Server { config: Arc::new(config), house, limits }.run(vec![port], shutdown)
        })
    }
}

/// A client that says what a test wants.
struct Client {
    read: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    write: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let (read, write) = soon(TcpStream::connect(address)).await.expect("a connection").into_split();
        Self { read: BufReader::new(Box::new(read)), write: Box::new(write) }
    }

    /// Logged in, with the first job announced.
    async fn mining(running: &Running) -> (Self, [u8; 4]) {
        let mut client = Self::connect(running.address).await;
        let extranonce1 = client.log_in().await;
        (client, extranonce1)
    }

    async fn log_in(&mut self) -> [u8; 4] {
        let answer = self.ask(r#"{"id":1,"method":"mining.subscribe","params":["test"]}"#).await;
        let extranonce1 = answer["result"][1].as_str().expect("text").to_owned();
        self.ask(r#"{"id":2,"method":"mining.authorize","params":["rig"]}"#).await;
        assert_eq!(self.line().await["method"], "mining.set_difficulty");
        assert_eq!(self.line().await["method"], "mining.notify");
        u32::from_str_radix(&extranonce1, 16).expect("digits").to_be_bytes()
    }

    async fn say(&mut self, line: &str) {
        self.write.write_all(format!("{line}\n").as_bytes()).await.expect("written");
    }

    /// The next line, or none when the server has hung up.
    async fn next(&mut self) -> Option<serde_json::Value> {
        let mut line = String::new();
        match soon(self.read.read_line(&mut line)).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(serde_json::from_str(&line).expect("JSON")),
        }
    }

    async fn line(&mut self) -> serde_json::Value {
        self.next().await.expect("a line")
    }

    async fn ask(&mut self, line: &str) -> serde_json::Value {
        self.say(line).await;
        self.line().await
    }
}
