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

use crate::support::jobs::JobMaker;
use commonwork::stratum::certificate::Identity;
use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::gate::Gate;
use commonwork::stratum::server::{Limits, Port, Server};
use commonwork::stratum::session::SessionConfig;
use commonwork::stratum::sessions::Sessions;
use commonwork::work::job::{Candidate, Job, JobIds};
use commonwork::work::outbox::{BlockSink, Outbox};
use commonwork::work::source::WorkSource;
use ipnet::IpNet;
use sharechain::owner::Owner;
use sharechain::params::Network;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Long enough that only a fault takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must happen.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens within a minute")
}

/// Seconds since 1970, as the server sees them.
fn unix_now() -> u32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    u32::try_from(seconds).expect("before 2106")
}

/// One series of jobs, whoever asks, but for classes that have jobs of their own.
struct TestSource(watch::Sender<Option<Arc<Job>>>, BTreeMap<u16, watch::Sender<Option<Arc<Job>>>>);

impl WorkSource for TestSource {
    fn subscribe(&self, _: Owner, class: u16) -> watch::Receiver<Option<Arc<Job>>> {
        self.1.get(&class).unwrap_or(&self.0).subscribe()
    }
}

#[derive(Default)]
struct Blocks(Mutex<Vec<Candidate>>);

impl BlockSink for Blocks {
    fn bitcoin_block(&self, candidate: &Candidate) {
        self.0.lock().expect("no panic").push(candidate.clone());
    }
}

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

/// A server at work.
struct Running {
    address: SocketAddr,
    work: Arc<TestSource>,
    blocks: Arc<Blocks>,
    shares: mpsc::Receiver<Candidate>,
    open: watch::Sender<bool>,
    sessions: Sessions,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Setup {
    fn start(self) -> Running {
        let port = match self.tls {
            None => Port::plain(self.address),
            Some(identity) => Port::tls(self.address, identity),
        };
        let port = port.expect("a free port");
        let address = port.local_addr().expect("an address");
        let series = |job: Job| (job.commitment().class, watch::channel(Some(Arc::new(job))).0);
        let by_class = self.by_class.into_iter().map(series).collect();
        let work = Arc::new(TestSource(watch::channel(None).0, by_class));
        let blocks = Arc::new(Blocks::default());
        let (share_sender, shares) = mpsc::channel(self.share_queue);
        let (open, is_open) = watch::channel(true);
        let sessions = Sessions::new(0xfffe_0000, self.most_sessions);
        let ids = Arc::new(JobIds::starting_at(0x8000_0000));
        let classes = PayoutClasses::new(&[11, 38, 145, 360], []);
        let config = SessionConfig {
            default_owner: self.default_owner,
            ..SessionConfig::new(Network::Regtest, classes, ids)
        };
        let server = Server {
            config: Arc::new(config),
            work: Arc::<TestSource>::clone(&work),
            outbox: Outbox { blocks: Arc::<Blocks>::clone(&blocks), shares: share_sender },
            open: is_open,
            sessions: sessions.clone(),
            gate: Gate::new(&self.proxies),
            limits: self.limits,
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.run(vec![port], shutdown.clone()));
        Running { address, work, blocks, shares, open, sessions, shutdown, task }
    }
}

impl Running {
    fn publish(&self, job: JobMaker) {
        self.work.0.send_replace(Some(Arc::new(JobMaker { time: unix_now(), ..job }.job())));
    }

    /// Ends the server, and with it everything that waits for its shares.
    async fn stop(self) -> mpsc::Receiver<Candidate> {
        self.shutdown.cancel();
        soon(self.task).await.expect("no panic");
        self.shares
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
