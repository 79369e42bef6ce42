//! Making jobs: from a template and the chain's draft to a job for one owner and class. No clock, no waiting.

use super::job::{BadJob, Job, JobIds, JobParts};
use super::prefix::Shared;
use super::series::SeriesKey;
use crate::bitcoin::Template;
use sharechain::chain::{Draft, JobChoices};
use sharechain::coinbase;
use sharechain::owner::Owner;
use sharechain::params::{ChainId, ChainParams};
use sharechain::share::{COINBASE_SUFFIX_LEN, ShareHeader, Tag};
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::sync::Arc;
use thiserror::Error;

/// What is worked out of a template once for all jobs on it.
#[derive(Clone, Debug)]
pub struct Hashed {
    /// The template.
    pub template: Arc<Template>,
    branch: Arc<[[u8; 32]]>,
    witness_commitment: [u8; 32],
}

impl Hashed {
    /// Hashes the template's two merkle trees.
    pub fn new(template: Arc<Template>) -> Self {
        Self {
            branch: template.merkle_branch().into(),
            witness_commitment: template.witness_commitment(),
            template,
        }
    }
}

/// What all jobs of one round share.
#[derive(Clone, Debug)]
pub struct Round {
    /// The template.
    pub hashed: Hashed,
    /// The header that the jobs start with; the nonce is ignored.
    pub header: ShareHeader,
    /// What the chain says.
    pub draft: Draft,
    /// How hard shares should be; the chain keeps it within what the base allows.
    pub share_target: Target,
    /// Whether miners must drop what they are doing.
    pub clean: bool,
}

/// Why no job can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoJob {
    /// The payouts and the class do not make a coinbase.
    #[error("no coinbase can be made from the template")]
    Coinbase,
    /// The parts do not fit together.
    #[error(transparent)]
    Job(#[from] BadJob),
}

/// Numbers jobs and makes them.
#[derive(Debug)]
pub struct JobMaker {
    params: ChainParams,
    chain: ChainId,
    ids: Arc<JobIds>,
    salt: [u8; 4],
    counter: u64,
    shared: Shared,
}

/// A job's parts, and what its coinbase takes of the block.
struct Draught {
    parts: JobParts,
    coinbase_weight: u64,
    coinbase_sigops: u64,
}

impl JobMaker {
    /// Makes jobs of this chain. `salt` is random, so that no two starts of any nodes repeat each other's work.
    pub fn new(params: ChainParams, ids: Arc<JobIds>, salt: [u8; 4]) -> Self {
        Self { chain: params.chain_id(), params, ids, salt, counter: 0, shared: Shared::default() }
    }

    /// A job with the whole template, of the class asked for or, where the template leaves too little room for such a
    /// coinbase, of the next smaller one that fits. Classes pay equally on average, while transactions left out are fees
    /// lost: so only for the smallest class is the template's tail trimmed.
    pub fn job(&mut self, round: &Round, key: SeriesKey) -> Result<Job, NoJob> {
        let template = &round.hashed.template;
        let classes: Vec<u16> =
            self.params.classes.iter().copied().filter(|class| *class <= key.class).collect();
        let mut room = None;
        for class in classes.into_iter().rev() {
            let key = SeriesKey { class, ..key };
            let Draught { parts, coinbase_weight, coinbase_sigops } = self.parts(round, key)?;
            if template.fitting(coinbase_weight, coinbase_sigops) == template.transactions.len() {
                return Ok(Job::new(parts)?);
            }
            room = Some((key, coinbase_weight, coinbase_sigops));
        }
        let (key, coinbase_weight, coinbase_sigops) = room.ok_or(NoJob::Coinbase)?;
        let trimmed = Arc::new(template.trimmed_to(coinbase_weight, coinbase_sigops));
        let round = Round { hashed: Hashed::new(trimmed), ..round.clone() };
        Ok(Job::new(self.parts(&round, key)?.parts)?)
    }

    fn parts(&mut self, round: &Round, SeriesKey { owner, class }: SeriesKey) -> Result<Draught, NoJob> {
        self.counter += 1;
        let Hashed { template, branch, witness_commitment } = &round.hashed;
        let choices = JobChoices {
            coinbase_value: template.coinbase_value,
            tag: self.tag(),
            witness_commitment: *witness_commitment,
            share_target: round.share_target,
            owner,
            class,
        };
        let made = round.draft.make(&self.params, self.chain, choices).ok_or(NoJob::Coinbase)?;
        let context = &round.draft.context;
        let read = |bits| Target::from_compact(bits).unwrap_or(Target::MIN);
        let targets = Targets {
            network: context.network_target,
            block: read(made.commitment.bits),
            share: read(made.commitment.share_bits),
        };
        let paid = made.payouts.outputs.iter().chain(&made.payouts.bonus).map(|(owner, _)| owner);
        Ok(Draught {
            coinbase_weight: coinbase::weight(made.coinbase_prefix.len() + COINBASE_SUFFIX_LEN) as u64,
            coinbase_sigops: paid.map(sigops).sum(),
            parts: JobParts {
                id: self.ids.next(),
                clean: round.clean,
                header: round.header,
                min_time: template
                    .min_time
                    .max(context.median_time_past.saturating_add(1))
                    .max(context.times.0),
                max_time: context.times.1,
                targets,
                chain: self.chain,
                commitment: made.commitment,
                includes: round.draft.includes.clone(),
                template: template.clone(),
                coinbase_prefix: self.shared.prefix(class, made.coinbase_prefix),
                branch: branch.clone(),
            },
        })
    }

    /// The name of the pool, the salt and a counter: no two jobs repeat work.
    fn tag(&self) -> Tag {
        let data = [&b"/commonwork/"[..], &self.salt, &self.counter.to_be_bytes()].concat();
        Tag::pushing(&data).expect("24 bytes fit in a push")
    }
}

/// Cost in signature operations (BIP141) of an output: only P2PKH holds one, at four.
fn sigops(owner: &Owner) -> u64 {
    if owner.script().is_p2pkh() { 4 } else { 0 }
}
