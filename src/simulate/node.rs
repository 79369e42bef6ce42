//! One simulated node: the real chain behind its real keeper, and the way from a job to a share.
//!
//! What a node tells others and asks of them is not here; see `direct` and `relayed`.

use super::bitcoin::HEADER_VERSION;
use super::hashes;
use super::queue::Moment;
use super::tally::is_final;
use crate::chain::keeper::Judged;
use crate::chain::{ChainEvent, Keeper, OWN_MINERS};
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, WPubkeyHash};
use sharechain::bitcoin_headers::HeaderTree;
use sharechain::chain::{Draft, JobChoices, ShareChain, SharedVerdicts, Submission};
use sharechain::error::{Missing, Refusal};
use sharechain::owner::Owner;
use sharechain::params::{ChainParams, embedded_genesis};
use sharechain::pool::Source;
use sharechain::share::{Share, ShareBlock, ShareHeader, ShareId, Tag, includes_hash};
use sharechain::store::{MemoryStore, ShareStore};
use sharechain::target::Target;
use sharechain::units::{Height, UnixTime};
use sharechain::verify::Bound;
use std::sync::Arc;

/// Satoshis of fees in every block.
const FEES: u64 = 10_956_789;
/// Merkle steps of the coinbase: a block of some 4,000 transactions.
const BRANCH: usize = 12;

/// A node.
pub struct Node {
    /// The chain that it shows to others.
    keeper: Keeper<MemoryStore>,
    /// A selfish miner's own: what others know, and what it holds back.
    secret: Option<Keeper<MemoryStore>>,
    number: usize,
    owner: Owner,
    jobs: u64,
}

/// What taking something in did.
#[derive(Debug, Default)]
pub struct Taken {
    /// What happened in the chain.
    pub events: Vec<ChainEvent>,
    /// What is missing for what came.
    pub missing: Vec<Missing>,
    /// What was refused for good, and why: never what honest nodes send.
    pub refused: Option<Refusal>,
}

/// How a job departs from what the chain proposes.
#[derive(Clone, Debug, Default)]
pub struct Twist {
    /// The clock that the job is made by.
    pub clock: Option<UnixTime>,
    /// Whether it lists shares of its own owner only.
    pub own_only: bool,
    /// Whether it picks the class that pays its owner most.
    pub pick_class: bool,
    /// The class else.
    pub class: u16,
}

/// A share with its proof of work.
#[derive(Clone, Debug)]
pub struct Mined {
    /// The share, bound to its hash.
    pub bound: Bound,
    /// What it lists if it is a block.
    pub includes: Vec<ShareId>,
    /// Its Bitcoin header.
    pub header: Header,
}

impl Mined {
    /// Whether it meets its block target, so that it is offered as a block.
    pub fn is_block(&self) -> bool {
        self.bound.block_target().is_some()
    }

    /// The height that it claims.
    pub fn height(&self) -> Height {
        self.bound.share().commitment.height
    }

    /// Bytes of its message: the share, and the ids that it lists if it is a block.
    pub fn bytes(&self) -> usize {
        let ids = if self.is_block() { 32 * self.includes.len() } else { 0 };
        self.bound.share().encoded_len() + ids
    }

    /// The same, to be judged.
    pub fn submission(&self, source: Source) -> Submission {
        if self.is_block() {
            Submission::block(self.bound.clone(), self.includes.clone(), source)
        } else {
            Submission::share(self.bound.clone(), source)
        }
    }
}

impl Taken {
    /// Whether the tip is another one now.
    pub fn new_tip(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, ChainEvent::Block { is_tip: true, .. } | ChainEvent::Adopted { .. }))
    }

    fn note(&mut self, judged: &Judged) {
        let refusal = match &judged.verdict {
            Ok(done) => done.not_a_block.as_ref(),
            Err(refusal) => Some(refusal),
        };
        match refusal {
            Some(Refusal::Waits(missing)) if !self.missing.contains(missing) => {
                self.missing.push(missing.clone())
            }
            Some(refusal) if is_final(refusal) => self.refused = Some(refusal.clone()),
            _ => {}
        }
    }
}

fn keeper(params: &ChainParams, verdicts: &SharedVerdicts) -> Option<Keeper<MemoryStore>> {
    let genesis = embedded_genesis(params.network.rules().limit);
    let headers = HeaderTree::new(params, &[genesis]).ok()?;
    let chain = ShareChain::new(params.clone(), headers).with_shared_verdicts(verdicts.clone());
    Some(Keeper::new(chain, MemoryStore::new()))
}

fn take(keeper: &mut Keeper<MemoryStore>, submissions: Vec<Submission>, now: Moment) -> Taken {
    let mut taken = Taken::default();
    let Ok(events) = keeper.take(submissions, now.unix(), |judged| taken.note(judged));
    taken.events = events;
    taken
}

impl Node {
    /// A node that has heard of nothing but the first Bitcoin block. All of them share `verdicts`.
    pub fn new(
        params: &ChainParams,
        number: usize,
        has_secrets: bool,
        verdicts: &SharedVerdicts,
    ) -> Option<Self> {
        Some(Self {
            keeper: keeper(params, verdicts)?,
            secret: if has_secrets { Some(keeper(params, verdicts)?) } else { None },
            number,
            owner: owner(number)?,
            jobs: 0,
        })
    }

    /// The chain that it shows to others.
    pub const fn chain(&self) -> &ShareChain {
        self.keeper.chain()
    }

    /// The keeper of that chain.
    pub const fn keeper(&mut self) -> &mut Keeper<MemoryStore> {
        &mut self.keeper
    }

    /// The chain that it mines on.
    pub fn mining(&self) -> &ShareChain {
        self.secret.as_ref().unwrap_or(&self.keeper).chain()
    }

    /// Its owner.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// The share target of its jobs: the easiest that the base of the next block allows.
    pub fn share_target(&self) -> Target {
        let chain = self.mining();
        let easiest = || chain.params().easiest_share_target(chain.params().easiest_target());
        chain.share_target().unwrap_or_else(easiest)
    }

    /// Makes a job on the tip and Bitcoin block `prev_block`, and mines a share on it.
    pub fn mine(
        &mut self,
        prev_block: BlockHash,
        earliest: u32,
        now: Moment,
        twist: &Twist,
    ) -> Option<Mined> {
        let clock = twist.clock.unwrap_or_else(|| now.unix());
        let keeper = self.secret.as_mut().unwrap_or(&mut self.keeper);
        let header = ShareHeader {
            version: Version::from_consensus(HEADER_VERSION),
            prev_block,
            time: now.unix().0.max(earliest),
            bits: CompactTarget::from_consensus(keeper.chain().params().network.rules().limit),
            nonce: 0,
        };
        let draft = keeper.draft(&header, clock).ok()?;
        let chain = keeper.chain();
        self.jobs += 1;
        let tag = ((self.number as u64) << 40) | self.jobs;
        let choices = JobChoices {
            coinbase_value: chain.params().subsidy(draft.context.height) + FEES,
            tag: Tag::pushing(&tag.to_le_bytes())?,
            witness_commitment: [7; 32],
            share_target: draft.easiest_share_target,
            owner: self.owner,
            class: if twist.pick_class { best_class(&draft, self.owner) } else { twist.class },
        };
        let mut made = draft.make(chain.params(), chain.id(), choices)?;
        let mut includes = draft.includes.to_vec();
        if twist.own_only {
            let own =
                |share: &sharechain::verify::VerifiedShare| share.share().commitment.owner == self.owner;
            includes.retain(|id| chain.shares().get(id).is_some_and(own));
            made.commitment.includes = includes_hash(&includes);
        }
        let share = Share {
            header,
            extranonce: [0; 12],
            branch: vec![[9; 32]; BRANCH],
            link: made.link,
            commitment: made.commitment,
        };
        let (share, _) = hashes::grind(chain.id(), share);
        let header = share.full_header(chain.id());
        let bound = Bound::new(chain.params(), chain.id(), share).ok()?;
        Some(Mined { bound, includes, header })
    }

    /// Takes in what it hears, by the one door.
    pub fn take(&mut self, submissions: Vec<Submission>, now: Moment) -> Taken {
        let taken = take(&mut self.keeper, submissions, now);
        self.tell_secret(&taken.events, now);
        taken
    }

    /// Takes in what it found without showing it.
    pub fn take_secretly(&mut self, submission: Submission, now: Moment) -> Taken {
        match &mut self.secret {
            Some(secret) => take(secret, vec![submission], now),
            None => self.take(vec![submission], now),
        }
    }

    /// Takes in Bitcoin headers, given newest first, as far as they are new.
    pub fn take_headers(&mut self, branch: impl Iterator<Item = Header>, now: Moment) -> Taken {
        let knows = |chain: &ShareChain, header: &Header| chain.headers().get(&header.block_hash()).is_some();
        let known = |header: &Header| knows(self.chain(), header) && knows(self.mining(), header);
        let mut new: Vec<Header> = branch.take_while(|header| !known(header)).collect();
        new.reverse();
        let mut taken = Taken::default();
        let Ok((_, events)) = self.keeper.add_headers(&new, now.unix(), |judged| taken.note(judged));
        taken.events = events;
        if let Some(secret) = &mut self.secret {
            let Ok(_) = secret.add_headers(&new, now.unix(), |_| {});
        }
        self.tell_secret(&taken.events, now);
        taken
    }

    /// Takes in what waited for a time that has come.
    pub fn tick(&mut self, now: Moment) -> Taken {
        let mut taken = Taken::default();
        let Ok(events) = self.keeper.tick(now.unix(), |judged| taken.note(judged));
        taken.events = events;
        self.tell_secret(&taken.events, now);
        taken
    }

    /// What comes into the shown chain comes into the secret one too.
    pub fn tell_secret(&mut self, events: &[ChainEvent], now: Moment) {
        let Some(secret) = &mut self.secret else { return };
        let (params, chain) = (self.keeper.chain().params(), self.keeper.chain().id());
        let bind = |share: &Arc<Share>| Bound::new(params, chain, share.clone()).ok();
        let submissions = events.iter().filter_map(|event| match event {
            ChainEvent::Share { share, .. } => Some(Submission::share(bind(share.share())?, OWN_MINERS)),
            ChainEvent::Block { block, .. } => {
                let Ok(body) = self.keeper.store().block(block.height, &block.id);
                whole(&body?, bind, OWN_MINERS)
            }
            _ => None,
        });
        take(secret, submissions.collect(), now);
    }

    /// The blocks of this node's active branch that `other` lacks, lowest first, with their bodies.
    pub fn blocks_for(&self, other: &Self, most: usize) -> Vec<Submission> {
        let lacks = |height: &u32| {
            let block = self.chain().block_at(Height(*height));
            block.is_some_and(|block| other.chain().block(&block.id).is_none())
        };
        let top = self.chain().height().0;
        let lowest = (1..=top).rev().take_while(lacks).last().unwrap_or(top + 1);
        (lowest..=top).take(most).filter_map(|height| self.with_bodies(Height(height))).collect()
    }

    fn with_bodies(&self, height: Height) -> Option<Submission> {
        let id = self.chain().block_at(height)?.id;
        let Ok(body) = self.keeper.store().block(height, &id);
        whole(&body?, |share| self.bind(share), Source(self.number as u64 + 1))
    }

    /// The shares of its pool with these ids.
    pub fn shares(&self, ids: &[ShareId]) -> Vec<Bound> {
        let shares = ids.iter().filter_map(|id| self.chain().shares().get(id));
        shares.filter_map(|share| self.bind(share.share())).collect()
    }

    fn bind(&self, share: &Arc<Share>) -> Option<Bound> {
        Bound::new(self.chain().params(), self.chain().id(), share.clone()).ok()
    }
}

/// A block with all that it lists.
fn whole(
    body: &ShareBlock,
    bind: impl Fn(&Arc<Share>) -> Option<Bound>,
    source: Source,
) -> Option<Submission> {
    let listed = body.listed.iter().map(&bind).collect::<Option<_>>()?;
    Some(Submission::whole_block(bind(&body.share)?, listed, source))
}

/// The class in which the owner's part is largest; the largest among equals, since it pays exactly.
fn best_class(draft: &Draft, owner: Owner) -> u16 {
    let part = |selection: &sharechain::payout::Selection| {
        selection.entries().iter().find(|(paid, _)| *paid == owner).map_or(0, |(_, score)| score.0)
    };
    let best = draft.selections.iter().max_by_key(|selection| (part(selection), selection.class()));
    best.map_or(0, |selection| selection.class())
}

/// The owner of a node's shares.
pub fn owner(number: usize) -> Option<Owner> {
    let mut bytes = [0; 20];
    bytes[12..].copy_from_slice(&(number as u64).to_be_bytes());
    Owner::new(&ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array(bytes))).ok()
}
