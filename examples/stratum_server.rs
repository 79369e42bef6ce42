//! The Stratum v1 server without a node behind it, to be loaded by `commonwork bench stratum`: see docs/benchmarks.md.
//!
//! Jobs are made up; whatever hash meets their share target, so that the difficulty stays at the least and each submit is
//! accepted, judged in full and handed over as a share. Shares are counted and thrown away.

#[allow(dead_code, reason = "tests use more of it")]
#[path = "../tests/support/jobs.rs"]
mod jobs;

use anyhow::Result;
use bitcoin::hashes::Hash;
use bitcoin::{Txid, Wtxid};
use clap::Parser;
use commonwork::bitcoin::{Template, TemplateTx};
use commonwork::open_files;
use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::gate::Gate;
use commonwork::stratum::server::{House, Limits, Port, Server};
use commonwork::stratum::session::SessionConfig;
use commonwork::stratum::sessions::Sessions;
use commonwork::work::job::{Candidate, Job, JobIds, JobParts, Purpose};
use commonwork::work::outbox::{BlockSink, Outbox};
use commonwork::work::series::SeriesKey;
use commonwork::work::source::WorkSource;
use jobs::JobMaker;
use sharechain::hash::sha256d;
use sharechain::params::Network;
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{mpsc, watch};
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::Targets as Filter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// As many as a node admits.
const SESSIONS: usize = 10_000;
const SHARES: usize = 65_536;
const SHARES_LOOKED_AT: Duration = Duration::from_millis(10);

/// A Stratum v1 server with made-up jobs, to be loaded.
#[derive(Parser)]
struct Args {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:3399")]
    listen: SocketAddr,
    /// Transactions of the template: 4000 make a merkle path of 12 steps
    #[arg(long, default_value_t = 0)]
    transactions: u32,
    /// Payout outputs of the coinbase
    #[arg(long, default_value_t = 12)]
    outputs: u8,
    /// Seconds between jobs
    #[arg(long, default_value_t = 30.0)]
    jobs_every: f64,
    /// Tell of each job how long it took from the template to the last connection's write
    #[arg(long)]
    fanout: bool,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    open_files::raise();
    if args.fanout {
        let writes = Writes.with_filter(Filter::new().with_target("commonwork::stratum", Level::TRACE));
        tracing_subscriber::registry().with(writes).init();
    }
    let template = Arc::new(template(args.transactions));
    let (jobs, first) = watch::channel(Some(job(&args, &template, 1)));
    let (sender, shares) = mpsc::channel(SHARES);
    let (_open, open) = watch::channel(true);
    let classes = PayoutClasses::new(&[11], []);
    let ids = Arc::new(JobIds::starting_at(0x8000_0000));
    let server = Server {
        config: Arc::new(SessionConfig {
            default_owner: Some(jobs::owner(1)),
            ..SessionConfig::new(Network::Regtest, classes, ids)
        }),
        house: House {
            work: Arc::new(Series(first)),
            outbox: Outbox { blocks: Arc::new(NoBlocks), shares: sender },
            open,
            sessions: Sessions::new(0, SESSIONS),
            gate: Gate::default(),
        },
        limits: Limits::default(),
    };
    let port = Port::plain(args.listen)?;
    println!("commonwork bench stratum --url {} --server-pid {}", args.listen, std::process::id());
    tokio::spawn(throw_away(shares));
    tokio::spawn(server.run(vec![port], CancellationToken::new()));
    publish(&args, &template, &jobs).await;
    Ok(())
}

/// A new job now and then.
async fn publish(args: &Args, template: &Arc<Template>, jobs: &watch::Sender<Option<Arc<Job>>>) {
    let mut times = Vec::new();
    let mut due = interval(Duration::from_secs_f64(args.jobs_every));
    due.tick().await;
    for id in 2.. {
        due.tick().await;
        let began = Instant::now();
        WRITES.store(0, Ordering::Relaxed);
        let job = job(args, template, id);
        let made = began.elapsed();
        jobs.send_replace(Some(job));
        if args.fanout {
            // Until then the last connection has long been written to.
            sleep(Duration::from_secs_f64(args.jobs_every / 2.0)).await;
            let took = Duration::from_nanos(LAST_WRITE.load(Ordering::Relaxed))
                .saturating_sub(began.saturating_duration_since(*START));
            times.push(took);
            times.sort();
            let (writes, median) = (WRITES.load(Ordering::Relaxed), times[times.len() / 2]);
            println!(
                "job {id}: made in {made:.1?}, written to {writes} connections after {took:.1?}; median {median:.1?}"
            );
        }
    }
}

/// Everything that there is to do for a job, but for what the share chain says.
fn job(args: &Args, template: &Arc<Template>, id: u32) -> Arc<Job> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: Target::MAX };
    let time = u32::try_from(unix).unwrap_or(u32::MAX);
    let mut parts = JobMaker { id, time, outputs: args.outputs, targets, ..JobMaker::default() }.parts();
    if let Purpose::Pool { commitment, .. } = &mut parts.purpose {
        commitment.witness_commitment = template.witness_commitment();
    }
    let parts = JobParts { branch: template.merkle_branch().into(), template: Arc::clone(template), ..parts };
    Arc::new(Job::new(parts).expect("good parts"))
}

/// A template with transactions that are nothing but their ids.
fn template(transactions: u32) -> Template {
    let transaction = |n: u32| {
        let id = sha256d(&n.to_le_bytes());
        TemplateTx {
            raw: Default::default(),
            txid: Txid::from_byte_array(id),
            wtxid: Wtxid::from_byte_array(id),
            fee: 1,
            weight: 800,
            sigops: 4,
        }
    };
    let template = Arc::unwrap_or_clone(JobMaker::default().parts().template);
    // A Bitcoin node says it, and the node has checked it by then.
    let known_commitment = Some([7; 32]);
    Template { transactions: (0..transactions).map(transaction).collect(), known_commitment, ..template }
}

struct Series(watch::Receiver<Option<Arc<Job>>>);

impl WorkSource for Series {
    fn subscribe(&self, _: SeriesKey, _: Option<IpAddr>) -> Option<watch::Receiver<Option<Arc<Job>>>> {
        Some(self.0.clone())
    }
}

struct NoBlocks;

impl BlockSink for NoBlocks {
    fn bitcoin_block(&self, _: &Candidate) {
        unreachable!("no hash meets the network's target");
    }
}

async fn throw_away(mut shares: mpsc::Receiver<Candidate>) {
    let mut batch = Vec::new();
    while shares.recv_many(&mut batch, SHARES).await > 0 {
        batch.clear();
        sleep(SHARES_LOOKED_AT).await;
    }
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
static WRITES: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds since the start.
static LAST_WRITE: AtomicU64 = AtomicU64::new(0);

/// Hears of each job that a connection has written.
struct Writes;

impl<S: Subscriber> Layer<S> for Writes {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() == Level::TRACE {
            WRITES.fetch_add(1, Ordering::Relaxed);
            let now = u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX);
            LAST_WRITE.fetch_max(now, Ordering::Relaxed);
        }
    }
}
