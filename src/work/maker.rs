//! Making jobs: from a template, and the chain's draft if there is a chain, to a job for one owner and class. No clock, no
//! waiting.

use super::job::{BadJob, Job, JobIds, JobParts, Purpose};
use super::prefix::Shared;
use super::series::SeriesKey;
use crate::bitcoin::Template;
use sharechain::chain::{Draft, JobChoices};
use sharechain::coinbase::{self, CoinbaseInputs};
use sharechain::owner::Owner;
use sharechain::params::{ChainId, ChainParams, MAX_HEADER_TIME_AHEAD, Network};
use sharechain::payout::Payouts;
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
    /// What the jobs are for.
    pub aim: Aim,
}

/// What a round's jobs are for, besides Bitcoin blocks.
#[derive(Clone, Debug)]
pub enum Aim {
    /// Shares of a share chain.
    Pool(Arc<PoolAim>),
    /// Nothing: each Bitcoin block pays its finder alone.
    Solo(Network),
}

/// What is known of the share chain.
#[derive(Clone, Debug)]
pub struct PoolAim {
    /// Its parameters.
    pub params: Arc<ChainParams>,
    /// Its id.
    pub chain: ChainId,
    /// What it says.
    pub draft: Draft,
    /// How hard shares should be; the chain keeps it within what the base allows.
    pub share_target: Target,
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
    /// `salt` is random, so that no two starts of any nodes repeat each other's work.
    pub fn new(ids: Arc<JobIds>, salt: [u8; 4]) -> Self {
        Self { ids, salt, counter: 0, shared: Shared::default() }
    }

    /// A job with the whole template, of the class asked for or, where the template leaves too little room for such a
    /// coinbase, of the next smaller one that fits. Classes pay equally on average, while transactions left out are fees
    /// lost: so only for the smallest class is the template's tail trimmed.
    pub fn job(&mut self, round: &Round, key: SeriesKey) -> Result<Job, NoJob> {
        let template = &round.hashed.template;
        let classes: Vec<u16> = match &round.aim {
            Aim::Pool(pool) => {
                pool.params.classes.iter().copied().filter(|class| *class <= key.class).collect()
            }
            Aim::Solo(_) => vec![key.class],
        };
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

    fn parts(&mut self, round: &Round, key: SeriesKey) -> Result<Draught, NoJob> {
        self.counter += 1;
        let made = match &round.aim {
            Aim::Pool(pool) => pool.coinbase(&round.hashed, self.tag(), key).ok_or(NoJob::Coinbase)?,
            Aim::Solo(network) => {
                solo_coinbase(&round.hashed, &self.tag(), key.owner, (*network, round.header.time))
            }
        };
        let Hashed { template, branch, .. } = &round.hashed;
        Ok(Draught {
            coinbase_weight: coinbase::weight(made.prefix.len() + COINBASE_SUFFIX_LEN) as u64,
            coinbase_sigops: made.sigops,
            parts: JobParts {
                id: self.ids.next(),
                header: round.header,
                min_time: template.min_time.max(made.min_time),
                max_time: made.max_time,
                targets: made.targets,
                purpose: made.purpose,
                template: template.clone(),
                coinbase_prefix: self.shared.prefix(key.class, made.prefix),
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

/// A coinbase up to the commitment hash, and what follows from it.
struct Coinbase {
    prefix: Vec<u8>,
    /// Cost in signature operations.
    sigops: u64,
    purpose: Purpose,
    targets: Targets,
    /// The earliest header time, beside the template's, and the latest.
    min_time: u32,
    max_time: u32,
}

impl PoolAim {
    /// The coinbase that the share chain says; none when it has no such class.
    fn coinbase(&self, hashed: &Hashed, tag: Tag, SeriesKey { owner, class }: SeriesKey) -> Option<Coinbase> {
        let choices = JobChoices {
            coinbase_value: hashed.template.coinbase_value,
            tag,
            witness_commitment: hashed.witness_commitment,
            share_target: self.share_target,
            owner,
            class,
        };
        let made = self.draft.make(&self.params, self.chain, choices)?;
        let read = |bits| Target::from_compact(bits).unwrap_or(Target::MIN);
        Some(Coinbase {
            sigops: sigops(&made.payouts),
            targets: Targets {
                network: self.draft.context.network_target,
                block: read(made.commitment.bits),
                share: read(made.commitment.share_bits),
            },
            min_time: self.draft.context.median_time_past.saturating_add(1).max(self.draft.context.times.0),
            max_time: self.draft.context.times.1,
            prefix: made.coinbase_prefix,
            purpose: Purpose::Pool {
                chain: self.chain,
                commitment: Box::new(made.commitment),
                includes: self.draft.includes.clone(),
            },
        })
    }
}

/// The coinbase that pays everything to this owner, for a header of this time.
fn solo_coinbase(hashed: &Hashed, tag: &Tag, owner: Owner, (network, time): (Network, u32)) -> Coinbase {
    let template = &hashed.template;
    let (min_time, max_time) = solo_times(network, template, time);
    let payouts = Payouts { outputs: vec![(owner, template.coinbase_value)], bonus: None };
    Coinbase {
        prefix: coinbase::prefix(&CoinbaseInputs {
            bitcoin_height: template.height,
            tag,
            witness_commitment: &hashed.witness_commitment,
            payouts: &payouts,
        }),
        sigops: sigops(&payouts),
        purpose: Purpose::Solo { owner, witness_commitment: hashed.witness_commitment },
        // No hash is a share.
        targets: Targets { network: template.target, block: Target::MIN, share: Target::MIN },
        min_time,
        max_time,
    }
}

/// The first and the last header time for which the template's target holds. Where blocks that are late may be easy, the
/// template does not say when late begins: an easy one may be later, another earlier, than the time it was made for.
fn solo_times(network: Network, template: &Template, time: u32) -> (u32, u32) {
    let rules = network.rules();
    let latest = time.saturating_add(MAX_HEADER_TIME_AHEAD);
    if !rules.min_difficulty_blocks {
        (0, latest)
    } else if template.bits.to_consensus() == rules.limit {
        (template.current_time, latest)
    } else {
        (0, template.current_time)
    }
}

/// Cost in signature operations (BIP141) of what is paid: of standard outputs only P2PKH holds one, at four.
fn sigops(payouts: &Payouts) -> u64 {
    let paid = payouts.outputs.iter().chain(&payouts.bonus);
    paid.map(|(owner, _)| if owner.script().is_p2pkh() { 4 } else { 0 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitcoin::template::tests::with_transactions;
    use crate::test_jobs::owner;
    use crate::work::job::Solution;
    use bitcoin::consensus::encode::deserialize;

    #[test]
    fn solo_times_keep_the_target_where_late_blocks_may_be_easy() {
        let mut template = with_transactions(0);
        let (time, current) = (template.current_time + 9, template.current_time);
        assert_eq!(solo_times(Network::Main, &template, time), (0, time + 7_200));
        assert_eq!(solo_times(Network::Testnet4, &template, time), (0, current));
        template.bits = bitcoin::CompactTarget::from_consensus(Network::Testnet4.rules().limit);
        assert_eq!(solo_times(Network::Testnet4, &template, time), (current, time + 7_200));
    }

    fn solo(template: &Template) -> Arc<Job> {
        let round = Round {
            hashed: Hashed::new(Arc::new(template.clone())),
            header: ShareHeader {
                version: bitcoin::block::Version::from_consensus(template.version),
                prev_block: template.prev_block,
                time: template.current_time,
                bits: template.bits,
                nonce: 0,
            },
            aim: Aim::Solo(Network::Main),
        };
        let mut maker = JobMaker::new(Arc::new(JobIds::starting_at(1)), [0; 4]);
        Arc::new(maker.job(&round, SeriesKey { owner: owner(3), class: 1 }).expect("a job"))
    }

    #[test]
    fn a_solo_block_is_whole_and_pays_its_owner_all() {
        let template = with_transactions(7);
        let job = solo(&template);
        let time = template.current_time + 5;
        let solution = Solution { extranonce: *b"4567abcdefgh", version: template.version, time, nonce: 3 };
        let candidate = job.assemble(&solution);
        let found = candidate.block().expect("it decodes");
        let block: bitcoin::Block = deserialize(&found.bytes).expect("a block");
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        assert_eq!((block.block_hash(), block.txdata.len(), found.height), (found.hash, 8, template.height));
        let coinbase = &block.txdata[0];
        let paid: Vec<_> = coinbase.output.iter().map(|output| output.value.to_sat()).collect();
        assert_eq!(paid, [template.coinbase_value, 0, 0]);
        assert_eq!(coinbase.output[0].script_pubkey, owner(3).to_script_buf());
        assert_eq!(coinbase.lock_time.to_consensus_u32(), template.height.0 - 1);
        assert!(coinbase.base_size() < 256, "{}", coinbase.base_size());
        assert_eq!((job.owner(), job.max_time()), (&owner(3), template.current_time + 7_200));
        assert_eq!(*job.witness_commitment(), template.witness_commitment());
        assert_ne!(job.commitment_hash(), &[0; 32]);
        assert!(job.commitment().is_none() && candidate.share().is_none());
        let verdict = candidate.judge();
        assert!(!verdict.is_for_chain());
    }

    #[test]
    fn a_solo_block_keeps_within_the_templates_limits() {
        let plenty = with_transactions(7);
        // The header, a count, a coinbase and four transactions.
        let coinbase = solo(&plenty).coinbase(&[0; 12]).len();
        let weight_limit = 320 + 4 + coinbase::weight(coinbase) as u64 + 400;
        let tight = solo(&Template { weight_limit, ..plenty.clone() });
        assert_eq!(tight.template().transactions.len(), 4);
        assert_eq!(tight.template().coinbase_value, plenty.coinbase_value - 30, "without the fees of three");
        assert_eq!(
            solo(&Template { weight_limit: weight_limit - 1, ..plenty }).template().transactions.len(),
            3
        );
    }
}
