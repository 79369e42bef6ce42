//! What there is to say at the end: plain numbers, with their units in their names.

use super::histogram::Histogram;
use super::line::Shared;
use super::process::{Process, Usage};
use super::tally::Counts;
use super::{Pace, Settings};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::time::{interval, timeout};

/// Looks at the server's memory while it is measured, and the least time between two.
const LOOKS: u32 = 20;
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// How a server did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Connections that were tried.
    pub connections: usize,
    /// Those that got a job.
    pub ready: usize,
    /// Seconds from the first connect to the last first job.
    pub ready_seconds: f64,
    /// Connections that got none, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Connections that ended later, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Submits in that time.
    pub submits: Submits,
    /// Times from a submit to its answer.
    pub latency: Latency,
    /// By how much submits were made later than they were due; that is the generator's fault, or its machine's.
    pub late: Option<Latency>,
    /// Jobs on their way to the connections.
    pub fanout: Fanout,
    /// What the server took.
    pub server: Option<ServerUse>,
    /// What this program took.
    pub own: Option<ServerUse>,
}

/// Submits.
#[derive(Clone, Debug, Serialize)]
pub struct Submits {
    /// With an answer.
    pub answered: u64,
    /// Of them, those that were accepted.
    pub accepted: u64,
    /// And the others, by what the server said.
    pub refused: BTreeMap<String, u64>,
    /// Answers a second.
    pub a_second: f64,
    /// Due, but not made, since the connection had ended or took no more.
    pub unmade: u64,
}

/// Times, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// Half of them were not longer.
    pub p50_ms: f64,
    /// 95 of 100.
    pub p95_ms: f64,
    /// 99 of 100.
    pub p99_ms: f64,
    /// All.
    pub max_ms: f64,
}

/// Jobs that reached every connection: from the first that read it to the last.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fanout {
    /// How many.
    pub jobs: usize,
    /// Milliseconds at the median.
    pub p50_ms: f64,
    /// Milliseconds at most.
    pub max_ms: f64,
}

/// What a process took.
#[derive(Clone, Debug, Serialize)]
pub struct ServerUse {
    /// Processor time in seconds for each second.
    pub cores: f64,
    /// Microseconds of processor time for each answer.
    pub us_per_submit: f64,
    /// Most bytes of memory since it began.
    pub most_memory: u64,
    /// Its memory while it was measured.
    pub memory: Vec<Memory>,
}

/// Memory at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// When.
    pub seconds: f64,
    /// Bytes.
    pub bytes: u64,
}

/// What was taken down while the load was on.
pub(super) struct Measured {
    time: Duration,
    submits: Submits,
    latency: Histogram,
    late: Histogram,
    server: Option<Look>,
    own: Option<Look>,
}

/// A process over a time.
struct Look {
    before: Usage,
    after: Usage,
    memory: Vec<Memory>,
}

impl Measured {
    /// Counts for so long, from now on.
    pub(super) async fn take(shared: &Shared, server: Option<&Process>, time: Duration) -> Self {
        let own = Process::own();
        let look = || (server.and_then(Process::usage), own.usage());
        shared.tally.counts().begin();
        let (began, before) = (Instant::now(), look());
        let mut memory = Vec::new();
        let watch = async {
            let mut looks = interval((time / LOOKS).max(LEAST_PAUSE));
            loop {
                looks.tick().await;
                if let Some(usage) = server.and_then(Process::usage) {
                    memory.push(Memory { seconds: began.elapsed().as_secs_f64(), bytes: usage.memory });
                }
            }
        };
        let _: Result<(), _> = timeout(time, watch).await;
        let (time, after) = (began.elapsed(), look());
        let pair = |before: Option<Usage>, after: Option<Usage>, memory| {
            before.zip(after).map(|(before, after)| Look { before, after, memory })
        };
        let counts = shared.tally.counts();
        let answered = counts.answers();
        Self {
            time,
            submits: Submits {
                answered,
                accepted: counts.accepted,
                refused: counts.refused.clone(),
                a_second: rate(answered, time),
                unmade: counts.unmade,
            },
            latency: counts.latency.clone(),
            late: counts.late.clone(),
            server: pair(before.0, after.0, memory),
            own: pair(before.1, after.1, Vec::new()),
        }
    }
}

impl Report {
    pub(super) fn new(
        settings: &Settings,
        ready: usize,
        ready_in: Duration,
        measured: Measured,
        counts: &Counts,
    ) -> Self {
        let Measured { time, submits, latency, late, server, own } = measured;
        let dropped: u64 = counts.dropped.values().sum();
        let alive = ready.saturating_sub(usize::try_from(dropped).unwrap_or(usize::MAX));
        let mut spreads = Histogram::default();
        counts.jobs_of(alive.max(1)).for_each(|arrivals| spreads.record(arrivals.spread()));
        let used = |look: Look| ServerUse::new(look, submits.answered, time);
        Self {
            connections: settings.connections,
            ready,
            ready_seconds: ready_in.as_secs_f64(),
            failed: counts.failed.clone(),
            dropped: counts.dropped.clone(),
            seconds: time.as_secs_f64(),
            latency: Latency::of(&latency),
            late: matches!(settings.pace, Pace::Open(rate) if rate > 0.0).then(|| Latency::of(&late)),
            fanout: Fanout {
                jobs: usize::try_from(spreads.total()).unwrap_or(usize::MAX),
                p50_ms: milliseconds(spreads.percentile(50)),
                max_ms: milliseconds(spreads.longest()),
            },
            server: server.map(used),
            own: own.map(used),
            submits,
        }
    }

    /// Whether all connections got a job and kept their connection, and nothing was refused.
    pub fn is_clean(&self) -> bool {
        self.failed.is_empty() && self.dropped.is_empty() && self.submits.refused.is_empty()
    }
}

impl ServerUse {
    fn new(look: Look, answers: u64, time: Duration) -> Self {
        let processor = look.after.processor.saturating_sub(look.before.processor);
        Self {
            cores: processor.as_secs_f64() / time.as_secs_f64().max(1e-9),
            us_per_submit: 1e6 / rate(answers, processor).max(1e-9) * f64::from(u8::from(answers > 0)),
            most_memory: look.after.most_memory,
            memory: look.memory,
        }
    }
}

impl Latency {
    fn of(times: &Histogram) -> Self {
        let [p50_ms, p95_ms, p99_ms] = [50, 95, 99].map(|percent| milliseconds(times.percentile(percent)));
        Self { p50_ms, p95_ms, p99_ms, max_ms: milliseconds(times.longest()) }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn rate(count: u64, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}
