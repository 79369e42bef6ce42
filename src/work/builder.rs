//! The builder: from a template and the chain's draft to a job for every series, whenever anything changes.
//!
//! It waits for whatever changes work (a template, the chain, a new series, thirty seconds), asks the chain what
//! jobs must say, and makes them with the functions that the chain checks with. It judges nothing.

use super::headers::HeaderFeed;
use super::job::{BadJob, Job, JobIds, JobParts};
use super::series::{SeriesKey, SeriesRegister};
use super::share_rate::{ShareCount, ShareRate};
use crate::bitcoin::Template;
use crate::chain::{ChainHandle, ChainState, Stopped, now};
use sharechain::chain::{Draft, JobChoices};
use sharechain::coinbase;
use sharechain::params::{ChainId, ChainParams};
use sharechain::share::{COINBASE_SUFFIX_LEN, ShareHeader, Tag};
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

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
    /// The chain's parameters.
    pub params: ChainParams,
    /// The share chain.
    pub chain: ChainHandle,
    /// The newest template; none while no bitcoind has given one.
    pub templates: watch::Receiver<Option<Arc<Template>>>,
    /// Makes the chain know a template's Bitcoin block.
    pub headers: HeaderFeed,
    /// What is asked for.
    pub series: Arc<SeriesRegister>,
    /// Shares found by this node's miners.
    pub found: Arc<ShareCount>,
    /// Where job ids come from; sessions take theirs from it too.
    pub ids: Arc<JobIds>,
    /// When jobs are made again.
    pub pace: Pace,
}

/// Why there are no jobs from a template.
#[derive(Debug, Error)]
enum NoJobs {
    #[error(transparent)]
    Chain(#[from] Stopped),
    #[error("the template does not fit the Bitcoin headers: {0}")]
    Context(#[from] sharechain::bitcoin_headers::ContextError),
    #[error("the template claims height {claimed}, its prev_block gives {actual}")]
    Height { claimed: u32, actual: u32 },
    #[error("no coinbase can be made from the template")]
    Coinbase,
    #[error(transparent)]
    Job(#[from] BadJob),
}

/// What all jobs of one round share.
struct Round {
    template: Arc<Template>,
    branch: Vec<[u8; 32]>,
    witness_commitment: [u8; 32],
    header: ShareHeader,
    draft: Draft,
    share_target: Target,
    clean: bool,
    now: sharechain::units::UnixTime,
}

/// What has been worked out of the newest template.
#[derive(Clone)]
struct Hashed {
    template: Arc<Template>,
    branch: Vec<[u8; 32]>,
    witness_commitment: [u8; 32],
}

impl Hashed {
    fn new(template: Arc<Template>) -> Self {
        Self { branch: template.merkle_branch(), witness_commitment: template.witness_commitment(), template }
    }
}

impl Builder {
    /// Works until the token is cancelled, the chain stops, or there will be no more templates.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut state = self.chain.state();
        let mut maker = match Maker::new(&self.params, self.ids.clone()) {
            Ok(maker) => maker,
            Err(error) => return error!("no randomness for job numbers: {error}"),
        };
        let mut seen = *state.borrow_and_update();
        let mut small_change = false;
        loop {
            let template = self.templates.borrow_and_update().clone();
            if let Some(template) = template {
                match self.round(&mut maker, template).await {
                    Ok(()) => {}
                    Err(NoJobs::Chain(Stopped)) => break,
                    Err(error) => warn!("no jobs: {error}"),
                }
            }
            let made = Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => break,
                more = self.wait(&mut maker, &mut state, &mut seen, &mut small_change, made) => if !more { break },
            }
        }
        self.series.close();
    }

    /// Waits until there is reason for new jobs; false when there will be none.
    async fn wait(
        &mut self,
        maker: &mut Maker,
        state: &mut watch::Receiver<ChainState>,
        seen: &mut ChainState,
        small_change: &mut bool,
        made: Instant,
    ) -> bool {
        loop {
            let pause = if *small_change { self.pace.small_changes } else { self.pace.refresh };
            tokio::select! {
                () = tokio::time::sleep_until((made + pause).into()) => {
                    *small_change = false;
                    return true;
                }
                () = self.series.asked() => return true,
                changed = state.changed() => {
                    if changed.is_err() { return false }
                    let new = *state.borrow_and_update();
                    let tip_changed = core::mem::replace(seen, new).tip != new.tip;
                    if tip_changed { return true }
                    *small_change = true;
                }
                changed = self.templates.changed() => {
                    if changed.is_err() { return false }
                    let prev_block = self.templates.borrow().as_ref().map(|template| template.prev_block);
                    if prev_block != maker.prev_block { return true }
                    *small_change = true;
                }
            }
        }
    }

    /// New jobs for every series.
    async fn round(&self, maker: &mut Maker, template: Arc<Template>) -> Result<(), NoJobs> {
        self.headers.ensure(template.prev_block).await?;
        let now = now();
        let header = ShareHeader {
            version: bitcoin::block::Version::from_consensus(template.version),
            prev_block: template.prev_block,
            time: now.0.max(template.min_time),
            bits: template.bits,
            nonce: 0,
        };
        let draft = self.chain.draft(header).await??;
        if draft.context.height != template.height {
            let (claimed, actual) = (template.height.0, draft.context.height.0);
            return Err(NoJobs::Height { claimed, actual });
        }
        if !draft.is_fresh {
            warn!(
                "bitcoind is behind the share chain: shares on its block may not be listed until it catches up"
            );
        }
        maker.share_rate.update(&self.found, Instant::now());
        let share_target = maker.share_rate.target(draft.easiest_share_target);
        let Hashed { template, branch, witness_commitment } = maker.hashed(template).clone();
        let round = Round {
            branch,
            witness_commitment,
            template,
            share_target,
            clean: maker.prev_block != Some(header.prev_block),
            header,
            draft,
            now,
        };
        maker.prev_block = Some(header.prev_block);
        let series = self.series.live();
        debug!(series = series.len(), height = %round.draft.height, bitcoin = %round.template.height, "new jobs");
        for (key, sender) in series {
            let job = maker.job(&self.params, &round, key)?;
            sender.send_replace(Some(Arc::new(job)));
        }
        Ok(())
    }
}

/// Numbers jobs and makes them.
struct Maker {
    chain: ChainId,
    ids: Arc<JobIds>,
    salt: [u8; 4],
    counter: u64,
    share_rate: ShareRate,
    prev_block: Option<bitcoin::BlockHash>,
    hashed: Option<Hashed>,
}

impl Maker {
    fn new(params: &ChainParams, ids: Arc<JobIds>) -> Result<Self, getrandom::Error> {
        let mut salt = [0; 4];
        getrandom::fill(&mut salt)?;
        Ok(Self {
            chain: params.chain_id(),
            ids,
            salt,
            counter: 0,
            share_rate: ShareRate::new(params, Instant::now()),
            prev_block: None,
            hashed: None,
        })
    }

    /// The template with its hashes, worked out once.
    fn hashed(&mut self, template: Arc<Template>) -> &Hashed {
        match &self.hashed {
            Some(hashed) if Arc::ptr_eq(&hashed.template, &template) => {}
            _ => self.hashed = None,
        }
        self.hashed.get_or_insert_with(|| Hashed::new(template))
    }

    /// A job with the whole template, or, where the coinbase needs the room, with its tail trimmed.
    fn job(&mut self, params: &ChainParams, round: &Round, key: SeriesKey) -> Result<Job, NoJobs> {
        let (parts, coinbase_len, outputs) = self.parts(params, round, key)?;
        let weight = coinbase::weight(coinbase_len) as u64;
        let sigops = coinbase_sigops(&outputs);
        if round.template.fitting(weight, sigops) == round.template.transactions.len() {
            return Ok(Job::new(parts)?);
        }
        let hashed = Hashed::new(Arc::new(round.template.trimmed_to(weight, sigops)));
        let trimmed = Round {
            template: hashed.template,
            branch: hashed.branch,
            witness_commitment: hashed.witness_commitment,
            draft: round.draft.clone(),
            ..*round
        };
        let (parts, ..) = self.parts(params, &trimmed, key)?;
        Ok(Job::new(parts)?)
    }

    fn parts(
        &mut self,
        params: &ChainParams,
        round: &Round,
        SeriesKey { owner, class }: SeriesKey,
    ) -> Result<(JobParts, usize, Vec<sharechain::owner::Owner>), NoJobs> {
        self.counter += 1;
        let choices = JobChoices {
            coinbase_value: round.template.coinbase_value,
            tag: self.tag(),
            witness_commitment: round.witness_commitment,
            share_target: round.share_target,
            owner,
            class,
        };
        let made = round.draft.make(params, self.chain, choices, round.now).ok_or(NoJobs::Coinbase)?;
        let read = |bits| Target::from_compact(bits).unwrap_or(Target::MIN);
        let targets = Targets {
            network: round.draft.context.network_target,
            block: read(made.commitment.bits),
            share: read(made.commitment.share_bits),
        };
        let coinbase_len = made.coinbase_prefix.len() + COINBASE_SUFFIX_LEN;
        let paid = made.payouts.outputs.iter().chain(&made.payouts.bonus).map(|(owner, _)| *owner).collect();
        let parts = JobParts {
            id: self.ids.next(),
            clean: round.clean,
            header: round.header,
            min_time: round.template.min_time.max(round.draft.context.median_time_past.saturating_add(1)),
            targets,
            chain: self.chain,
            commitment: made.commitment,
            includes: round.draft.includes.clone(),
            template: round.template.clone(),
            coinbase_prefix: made.coinbase_prefix,
            branch: round.branch.clone(),
        };
        Ok((parts, coinbase_len, paid))
    }

    /// The name of the pool, a salt of this start and a counter: no two jobs of any node repeat work.
    fn tag(&self) -> Tag {
        let data = [&b"/commonwork/"[..], &self.salt, &self.counter.to_be_bytes()].concat();
        Tag::pushing(&data).expect("24 bytes fit in a push")
    }
}

/// Cost in signature operations (BIP141) of outputs: only P2PKH holds one, at four each.
fn coinbase_sigops(owners: &[sharechain::owner::Owner]) -> u64 {
    4 * owners.iter().filter(|owner| owner.script().is_p2pkh()).count() as u64
}
