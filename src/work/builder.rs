//! The builder: from a template and the chain's draft to a job for every series, whenever anything changes.
//!
//! It waits for whatever changes work (a template, the chain, a new series, thirty seconds), asks the chain, if there is
//! one, what jobs must say, and makes them with the functions that the chain checks with. It judges nothing.

use super::fee::Fee;
use super::ground::{Ground, News, NoJobs};
use super::job::JobIds;
use super::maker::{Hashed, JobMaker, Round};
use super::series::{SeriesRegister, Whose};
use crate::bitcoin::Template;
use crate::chain::{Stopped, now};
use crate::metrics::Metrics;
use bitcoin::BlockHash;
use sharechain::share::ShareHeader;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// When jobs are made again.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// A notify is due after this much silence, or devices take the pool for dead.
    pub refresh: Duration,
    /// New shares and new transactions of the same Bitcoin block wait at least this long after the last jobs.
    pub small_changes: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { refresh: Duration::from_secs(25), small_changes: Duration::from_secs(5) }
    }
}

/// Makes the jobs. See [`Builder::run`].
pub struct Builder {
    /// What they are made on besides templates.
    pub ground: Ground,
    /// The newest template; none while no bitcoind has given one.
    pub templates: watch::Receiver<Option<Arc<Template>>>,
    /// What is asked for.
    pub series: Arc<SeriesRegister>,
    /// Where job ids come from; sessions take theirs from it too.
    pub ids: Arc<JobIds>,
    /// Random, so that no two starts repeat each other's work.
    pub salt: [u8; 4],
    /// When jobs are made again.
    pub pace: Pace,
    /// The operator's fee, if there is one.
    pub fee: Option<Fee>,
    /// Told how long jobs take.
    pub metrics: Metrics,
}

/// What the builder remembers between rounds.
struct Memory {
    maker: JobMaker,
    prev_block: Option<BlockHash>,
    /// The last round, for series that come after it.
    round: Option<Round>,
    hashed: Option<Hashed>,
    /// Whether something changed that can wait a little.
    small_change: bool,
    /// When something changed that cannot wait, until there are jobs for it.
    changed: Option<Instant>,
}

impl Memory {
    /// Notes that everybody waits for new jobs from now on. True.
    fn must_hurry(&mut self) -> bool {
        self.changed.get_or_insert_with(Instant::now);
        true
    }

    /// The template with its hashes, worked out once.
    fn hashed(&mut self, template: Arc<Template>) -> Hashed {
        match &self.hashed {
            Some(hashed) if Arc::ptr_eq(&hashed.template, &template) => hashed.clone(),
            _ => self.hashed.insert(Hashed::new(template)).clone(),
        }
    }
}

impl Builder {
    /// Works until the token is cancelled, the chain stops, or there will be no more templates.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut memory = Memory {
            maker: JobMaker::new(self.ids.clone(), self.salt),
            prev_block: None,
            round: None,
            hashed: None,
            small_change: false,
            changed: None,
        };
        loop {
            let template = self.templates.borrow_and_update().clone();
            if let Some(template) = template {
                match self.round(&mut memory, template).await {
                    Ok(()) => {}
                    Err(NoJobs::Chain(Stopped)) => break,
                    Err(error) => {
                        warn!("no jobs: {error}");
                        // Tried again soon, not only when the next refresh is due.
                        memory.small_change = true;
                    }
                }
            }
            let more = shutdown.run_until_cancelled(self.wait(&mut memory)).await;
            if more != Some(true) {
                break;
            }
        }
        self.series.close();
    }

    /// Waits until there is reason for new jobs; false when there will be none.
    async fn wait(&mut self, memory: &mut Memory) -> bool {
        let made = Instant::now();
        loop {
            let pause = if memory.small_change { self.pace.small_changes } else { self.pace.refresh };
            tokio::select! {
                () = tokio::time::sleep_until((made + pause).into()) => {
                    memory.small_change = false;
                    return true;
                }
                () = self.series.asked() => self.serve_newcomers(memory),
                news = self.ground.news() => match news {
                    None => return false,
                    Some(News::Tip) => return memory.must_hurry(),
                    Some(News::Small) => memory.small_change = true,
                },
                changed = self.templates.changed() => {
                    if changed.is_err() { return false }
                    let prev_block = self.templates.borrow().as_ref().map(|template| template.prev_block);
                    if prev_block != memory.prev_block { return memory.must_hurry() }
                    memory.small_change = true;
                }
            }
        }
    }

    /// New jobs for every series.
    async fn round(&mut self, memory: &mut Memory, template: Arc<Template>) -> Result<(), NoJobs> {
        self.ground.prepare(template.prev_block).await?;
        let header = ShareHeader {
            version: unrolled(template.version),
            prev_block: template.prev_block,
            time: self.header_time(&template),
            bits: template.bits,
            nonce: 0,
        };
        let aim = self.ground.aim(header, &template).await?;
        let height = template.height;
        let round = Round { hashed: memory.hashed(template), header, aim };
        memory.prev_block = Some(header.prev_block);
        let round = memory.round.insert(round);
        let count = self.series.renew(Whose::All, self.fee.as_ref(), |key| memory.maker.job(round, key))?;
        if let Some(since) = memory.changed.take() {
            self.metrics.change_to_jobs.observe(since.elapsed());
        }
        debug!(series = count, bitcoin = %height, "new jobs");
        Ok(())
    }

    /// Jobs of the last round for the series that have none yet. Everybody else's wait for their turn, or whoever comes
    /// and goes would set the pace for all.
    fn serve_newcomers(&self, memory: &mut Memory) {
        let Some(round) = &memory.round else { return };
        let made = self.series.renew(Whose::Newcomers, self.fee.as_ref(), |key| memory.maker.job(round, key));
        match made {
            Ok(count) => debug!(series = count, "jobs for newcomers"),
            Err(error) => {
                warn!("no jobs: {error}");
                memory.small_change = true;
            }
        }
    }

    /// The present, but where the required target depends on the time (BIP94's networks), the time that bitcoind gave the
    /// template's target for.
    fn header_time(&self, template: &Template) -> u32 {
        let by_time = self.ground.network().rules().min_difficulty_blocks;
        let time = if by_time { template.current_time } else { now().0 };
        time.max(template.min_time)
    }
}

/// A version with all bits zero that miners roll (BIP320): whether a device replaces them, adds to them or leaves them
/// out, it then means the same.
const fn unrolled(version: i32) -> bitcoin::block::Version {
    bitcoin::block::Version::from_consensus(version & !ROLLED_BITS)
}

/// Bits 13 to 28.
const ROLLED_BITS: i32 = 0x1fff_e000;
