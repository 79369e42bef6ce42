//! Writes into the history, every half minute, what miners did and the pool's hash rate.

use super::crew::Crew;
use super::ledger::Worked;
use super::tasks::Tasks;
use crate::api::events::Events;
use crate::chain::ChainHandle;
use crate::config::Config;
use crate::hashes;
use crate::history::Series;
use crate::history::keeper::{self, HistoryHandle, Wanted};
use crate::history::point::Point;
use crate::history::tier::{TIERS, Tier};
use crate::peers::driver::Footing;
use crate::stratum::record::{News, Tally, Who};
use crate::stratum::server;
use crate::stratum::session::Now;
use crate::stratum::sessions::Sessions;
use sharechain::chain::ShareChain;
use sharechain::owner::Owner;
use sharechain::target::Work;
use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// As fine as the history is.
const STEP: Duration = Duration::from_secs(TIERS[0].step as u64);
/// Seconds after which hardly a share block is still on its way.
const SETTLED: u32 = 60;
/// Seconds before a start in which a worker must have been at work to be missed afterwards, at least.
const EXPECTED: u64 = 3_600;
/// Seconds by which a share block may be older than one before it, for this purpose.
const OUT_OF_ORDER: u32 = 600;

/// What is needed to tell of the pool.
pub(super) struct Pool {
    pub(super) chain: ChainHandle,
    /// Where the node stands beside its peers.
    pub(super) footing: watch::Receiver<Footing>,
    /// Where it is noted whom miners worked for.
    pub(super) notes: mpsc::Sender<Worked>,
    /// Owners that this node works for whoever its miners are: the operator's.
    pub(super) operators: Vec<Owner>,
}

/// Opens the history. One that cannot be opened is said, and gone without.
pub(super) fn open(config: &Config) -> Option<HistoryHandle> {
    keeper::start(&config.place.history_dir())
        .map_err(|error| warn!("{error}. The node goes on without"))
        .ok()
}

/// What is needed to tell of miners.
pub(super) struct Miners {
    pub(super) sessions: Sessions,
    /// Whether they are let in.
    pub(super) serving: watch::Receiver<bool>,
    /// How long a worker hands in nothing until it has gone.
    pub(super) gone_after: Duration,
}

/// Records from now on. Without a history it is still told who has gone, and noted whom miners worked for.
pub(super) fn start(
    history: Option<HistoryHandle>,
    (tasks, events): (&Tasks, &Events),
    miners: Miners,
    pool: Option<Pool>,
) {
    let recorder = Recorder::new(history, events.clone(), miners, pool);
    tasks.spawn("recorder", recorder.run(tasks.stop.child_token()));
}

/// Counts what happens from one step to the next.
struct Recorder {
    /// None where there is none, or it has ended.
    history: Option<HistoryHandle>,
    /// Where it is told who has gone.
    events: Events,
    crew: Crew,
    /// Workers of before the start, who cannot come back until miners are let in.
    expected: Vec<String>,
    miners: Miners,
    /// None for a node that mines solo.
    pool: Option<Pool>,
    counted_until: Instant,
}

impl Recorder {
    fn new(history: Option<HistoryHandle>, events: Events, miners: Miners, pool: Option<Pool>) -> Self {
        let (expected, counted_until) = (Vec::new(), Instant::now());
        let crew = Crew::new(miners.gone_after);
        Self { history, events, crew, expected, miners, pool, counted_until }
    }

    /// Runs until the stop, at which the last part of a step is written.
    async fn run(mut self, stop: CancellationToken) {
        self.note(BTreeSet::new(), server::now().unix.into()).await;
        self.recall_crew(server::now()).await;
        let mut steps = interval(STEP);
        steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first comes at once.
        steps.tick().await;
        while stop.run_until_cancelled(steps.tick()).await.is_some() {
            self.record(server::now()).await;
        }
        // The chain may be gone by then; that costs the pool's last half minute.
        self.record(server::now()).await;
        if let Some(history) = &self.history {
            // Its answer comes after what was sent before it has been written.
            let _ = history.list().await;
        }
    }

    async fn record(&mut self, now: Now) {
        let passed = now.instant.saturating_duration_since(self.counted_until);
        // A step is a little shorter or longer than 30 s.
        let seconds = u32::try_from((passed + Duration::from_millis(500)).as_secs()).unwrap_or(u32::MAX);
        self.counted_until = now.instant;
        let begin = now.unix.saturating_sub(seconds);
        if *self.miners.serving.borrow() {
            self.crew.expect(mem::take(&mut self.expected), now.instant);
        }
        let (points, owners) = self.count(seconds);
        let worked = points.iter().filter_map(|(series, point)| match series {
            Series::Worker(name) if point.accepted > 0 => Some(name.as_str()),
            _ => None,
        });
        self.crew.step(worked, now).into_iter().for_each(|event| self.events.tell(event));
        self.add(begin, points).await;
        self.note(owners, now.unix.into()).await;
        let settled = begin.saturating_sub(SETTLED);
        if let Some(hashes) = self.pool(settled, settled.saturating_add(seconds)).await {
            let point = Point { seconds, hashes, ..Point::default() };
            self.add(settled, BTreeMap::from([(Series::Pool, point)])).await;
        }
    }

    async fn add(&mut self, time: u32, points: BTreeMap<Series, Point>) {
        let Some(history) = &self.history else { return };
        if history.add(time.into(), points).await.is_err() {
            error!(
                "BUG: the history has ended before its time; nothing is written into it until the next start"
            );
            self.history = None;
        }
    }

    /// Who was at work shortly before the node was stopped should come back.
    async fn recall_crew(&mut self, now: Now) {
        let Some(history) = &self.history else { return };
        let reach = self.miners.gone_after.as_secs().max(EXPECTED);
        let to = u64::from(now.unix);
        let (from, tier) = (to.saturating_sub(reach), Tier::reaching(reach));
        let series = history.list().await.unwrap_or_default().into_iter();
        for series in series.filter(|(_, last)| *last >= from).map(|(series, _)| series) {
            let Series::Worker(name) = &series else { continue };
            let wanted = Wanted { series: series.clone(), tier, from, to };
            let points = history.read(wanted).await.unwrap_or_default();
            if points.iter().any(|(_, point)| point.accepted > 0) {
                self.expected.push(name.clone());
            }
        }
    }

    /// Has it noted whom miners worked for.
    async fn note(&self, mut owners: BTreeSet<Owner>, time: u64) {
        let Some(pool) = &self.pool else { return };
        owners.extend(&pool.operators);
        // An error means that the node goes down.
        let _ = pool.notes.send(Worked { owners, time }).await;
    }

    /// What the miners did, each name by itself and all together, and the owners of whom a share was accepted: a name
    /// alone costs nobody anything.
    fn count(&self, seconds: u32) -> (BTreeMap<Series, Point>, BTreeSet<Owner>) {
        let (live, gone) = self.miners.sessions.take_records();
        let mut owners = BTreeSet::new();
        let mut points = BTreeMap::from([(Series::Node, Point { seconds, ..Point::default() })]);
        for (record, miners) in
            gone.iter().map(|record| (record, 0)).chain(live.iter().map(|record| (record, 1)))
        {
            let (Who { user, owner, .. }, news) = record.take_news();
            // Who has not said who it is has done nothing.
            if let Some(owner) = owner {
                if news.tally.accepted > 0 {
                    owners.insert(owner);
                }
                let point = point(seconds, miners, &news);
                for series in [Series::Node, Series::worker(&user)] {
                    points.entry(series).or_default().join(&point);
                }
            }
        }
        (points, owners)
    }

    /// Hashes that the share blocks with a time from `begin` to before `end` are expected to have taken all miners; none
    /// while the node is not level with its peers.
    async fn pool(&self, begin: u32, end: u32) -> Option<f64> {
        let pool = self.pool.as_ref().filter(|pool| pool.footing.borrow().ready)?;
        let work = pool.chain.read(move |reader| work_between(reader.chain, begin, end)).await.ok()?;
        Some(hashes::of_work(work))
    }
}

/// The work of the active branch's blocks with such times. Times need not be in order, but are nearly.
fn work_between(chain: &ShareChain, begin: u32, end: u32) -> Work {
    let tip = chain.block(&chain.tip());
    let down = std::iter::successors(tip, |block| chain.block(&block.parent));
    let late_enough = down.take_while(|block| block.time.0.saturating_add(OUT_OF_ORDER) >= begin);
    let within = late_enough.filter(|block| (begin..end).contains(&block.time.0));
    within.fold(Work::ZERO, |sum, block| {
        let before = chain.block(&block.parent).map_or(Work::ZERO, |parent| parent.work);
        sum.saturating_add(block.work.saturating_sub(before))
    })
}

fn point(seconds: u32, miners: u32, news: &News) -> Point {
    let Tally { accepted, refused } = news.tally;
    Point { seconds, hashes: news.hashes, accepted, refused, miners, best_difficulty: news.best }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::EventForm;
    use crate::stratum::difficulty::Difficulty;
    use crate::stratum::record::{Accepted, Reason};
    use crate::stratum::visitor::{Protocol, Visitor};
    use crate::test_jobs::owner;
    use sharechain::share::ShareId;
    use std::net::{Ipv4Addr, SocketAddr};

    const UNIX: u32 = 1_700_000_010;

    fn who(user: &str) -> Who {
        Who { user: user.into(), owner: Some(owner(1)), ..Who::default() }
    }

    fn miners(sessions: Sessions) -> Miners {
        Miners { sessions, serving: watch::channel(true).1, gone_after: Duration::from_secs(600) }
    }

    #[tokio::test]
    async fn connections_of_one_name_are_one_worker_and_who_has_gone_is_counted_to_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let history = keeper::start(folder.path()).expect("it opens");
        let (sessions, events) = (Sessions::new(0, 10), Events::default());
        let (_, mut told) = events.listen();
        let mut recorder =
            Recorder::new(Some(history.clone()), events.clone(), miners(sessions.clone()), None);
        let start = recorder.counted_until;
        let at =
            |seconds: u32| Now { instant: start + Duration::from_secs(seconds.into()), unix: UNIX + seconds };
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let visitor = || Visitor::new(remote, Protocol::Stratum, start);
        let [first, second, nobody] = [(); 3].map(|()| sessions.admit(visitor()).expect("a place"));
        first.record.set_who(who("rig"));
        second.record.set_who(who("rig"));
        let share = |exponent, top: u8| {
            let mut id = [0xff; 32];
            id[31] = top;
            Ok(Accepted { difficulty: Difficulty::power_of_two(exponent), id: ShareId(id) })
        };
        first.record.on_submit(share(-20, 0), start);
        second.record.on_submit(share(-21, 1), start);
        second.record.on_submit(Err(Reason::Stale), start);
        recorder.record(at(30)).await;
        first.record.on_submit(share(-22, 1), start);
        drop(first);
        drop(nobody);
        recorder.record(at(60)).await;
        recorder.record(at(90)).await;

        let wanted = |series| Wanted { series, tier: &TIERS[0], from: 0, to: u64::MAX };
        let rig = history.read(wanted(Series::worker("rig"))).await.expect("it is read");
        let brief: Vec<_> =
            rig.iter().map(|(time, p)| (*time, p.hashes, p.accepted, p.refused.stale, p.miners)).collect();
        let begin = |step: u64| u64::from(UNIX) + 30 * step;
        assert_eq!(
            brief,
            [
                (begin(0), f64::from((1 << 12) + (1 << 11)), 2, 1, 2),
                (begin(1), f64::from(1 << 10), 1, 0, 1),
                (begin(2), 0.0, 0, 0, 1)
            ]
        );
        assert!((5.9e-8..6e-8).contains(&rig[0].1.best_difficulty), "{}", rig[0].1.best_difficulty);
        assert_eq!(history.read(wanted(Series::Node)).await, Ok(rig));
        let names: Vec<_> = history.list().await.expect("it is read").into_keys().collect();
        assert_eq!(names, [Series::Node, Series::worker("rig")]);

        // Its other connection is still there, but does nothing.
        recorder.record(at(630)).await;
        assert!(told.try_recv().is_err());
        recorder.record(at(660)).await;
        let gone = |seconds, silent_seconds| EventForm::WorkerGone {
            time: UNIX + seconds,
            name: "rig".into(),
            silent_seconds,
        };
        assert_eq!(told.try_recv().expect("told").event, gone(660, 600));
        // A node that was started again waits for it, too.
        let mut recorder = Recorder::new(Some(history), events, miners(Sessions::new(0, 10)), None);
        recorder.recall_crew(at(690)).await;
        assert_eq!(recorder.expected, ["rig"]);
        recorder.record(at(700)).await;
        assert!(told.try_recv().is_err());
        recorder.record(at(1_300)).await;
        assert_eq!(told.try_recv().expect("told").event, gone(1_300, 600));
    }
}
