//! What a server for miners is given in tests, in any protocol, and what the test keeps of it: jobs, a place for what is
//! found, and patience.

use super::jobs::JobMaker;
use commonwork::stratum::gate::Gate;
use commonwork::stratum::record::MinerSnapshot;
use commonwork::stratum::server::House;
use commonwork::stratum::sessions::Sessions;
use commonwork::work::job::{Candidate, Job};
use commonwork::work::outbox::{BlockSink, Outbox};
use commonwork::work::series::SeriesKey;
use commonwork::work::source::WorkSource;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Long enough that only a fault takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits for something that must happen.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("it happens within a minute")
}

/// Connects for one address until it has connected too often; `is_let_in` connects once.
pub(crate) async fn knock_too_often(is_let_in: impl AsyncFn() -> bool) {
    for _ in 0..50 {
        assert!(is_let_in().await);
    }
    let mut more = 0;
    while is_let_in().await {
        more += 1;
        assert!(more < 2_000, "ten a second are too slow to matter");
    }
}

/// Seconds since 1970, as the server sees them.
pub(crate) fn unix_now() -> u32 {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    u32::try_from(seconds).expect("before 2106")
}

type Series = watch::Sender<Option<Arc<Job>>>;

/// One series of jobs, whoever asks, but for classes that have jobs of their own.
struct TestSource {
    everybody: Series,
    by_class: BTreeMap<u16, Series>,
    asked: Mutex<Vec<u16>>,
    /// Whether there is no room for another owner.
    full: AtomicBool,
}

impl WorkSource for TestSource {
    fn subscribe(
        &self,
        SeriesKey { class, .. }: SeriesKey,
        _: Option<IpAddr>,
    ) -> Option<watch::Receiver<Option<Arc<Job>>>> {
        self.asked.lock().expect("no panic").push(class);
        let series = self.by_class.get(&class).unwrap_or(&self.everybody);
        (!self.full.load(Ordering::Relaxed)).then(|| series.subscribe())
    }
}

/// The Bitcoin blocks found so far.
#[derive(Default)]
pub(crate) struct Blocks(pub(crate) Mutex<Vec<Candidate>>);

impl BlockSink for Blocks {
    fn bitcoin_block(&self, candidate: &Candidate) {
        self.0.lock().expect("no panic").push(candidate.clone());
    }
}

/// What is behind a server.
pub(crate) struct World {
    pub(crate) most_sessions: usize,
    pub(crate) share_queue: usize,
    /// The jobs of each class that has its own.
    pub(crate) by_class: Vec<Job>,
    pub(crate) gate: Gate,
}

/// A server at work.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) shares: mpsc::Receiver<Candidate>,
    pub(crate) open: watch::Sender<bool>,
    pub(crate) sessions: Sessions,
    pub(crate) shutdown: CancellationToken,
    pub(crate) blocks: Arc<Blocks>,
    work: Arc<TestSource>,
    task: JoinHandle<()>,
}

impl Default for World {
    fn default() -> Self {
        Self { most_sessions: 100, share_queue: 10_000, by_class: Vec::new(), gate: Gate::default() }
    }
}

impl World {
    /// Starts what `serve` makes, which listens at this address until it is told to end.
    pub(crate) fn start<F>(
        self,
        address: SocketAddr,
        serve: impl FnOnce(House, CancellationToken) -> F,
    ) -> Running
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let series = |job: Job| {
            (job.commitment().expect("a share chain's").class, watch::channel(Some(Arc::new(job))).0)
        };
        let work = Arc::new(TestSource {
            everybody: watch::channel(None).0,
            by_class: self.by_class.into_iter().map(series).collect(),
            asked: Mutex::default(),
            full: AtomicBool::new(false),
        });
        let blocks = Arc::new(Blocks::default());
        let (share_sender, shares) = mpsc::channel(self.share_queue);
        let (open, is_open) = watch::channel(true);
        let sessions = Sessions::new(0xfffe_0000, self.most_sessions);
        let shutdown = CancellationToken::new();
        let house = House {
            work: Arc::<TestSource>::clone(&work),
            outbox: Outbox { blocks: Arc::<Blocks>::clone(&blocks), shares: share_sender },
            open: is_open,
            sessions: sessions.clone(),
            gate: self.gate,
        };
        let task = tokio::spawn(serve(house, shutdown.clone()));
        Running { address, shares, open, sessions, shutdown, work, blocks, task }
    }
}

impl Running {
    /// A new job for everybody, of this time.
    pub(crate) fn publish(&self, job: JobMaker) -> Arc<Job> {
        self.publish_as_is(JobMaker { time: unix_now(), ..job }.job())
    }

    /// The same, of its own time.
    pub(crate) fn publish_as_is(&self, job: Job) -> Arc<Job> {
        let job = Arc::new(job);
        self.work.everybody.send_replace(Some(Arc::clone(&job)));
        job
    }

    /// No owner gets jobs any more.
    pub(crate) fn fill(&self) {
        self.work.full.store(true, Ordering::Relaxed);
    }

    /// The miners that are connected.
    pub(crate) fn miners(&self) -> Vec<MinerSnapshot> {
        self.sessions.snapshot(0..usize::MAX, Instant::now())
    }

    /// The classes that jobs were asked for.
    pub(crate) fn asked(&self) -> Vec<u16> {
        self.work.asked.lock().expect("no panic").clone()
    }

    /// Ends the server, and with it everything that waits for its shares.
    pub(crate) async fn stop(self) -> mpsc::Receiver<Candidate> {
        self.shutdown.cancel();
        soon(self.task).await.expect("no panic");
        self.shares
    }
}
