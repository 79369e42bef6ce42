//! A share chain with a miner of its own: real proof of work at small targets, on a Bitcoin chain of headers alone.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]
#![allow(dead_code, reason = "each test binary uses its own part")]

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, TxMerkleNode, WPubkeyHash};
use sharechain::bitcoin_headers::HeaderTree;
use sharechain::chain::{Applied, Draft, JobChoices, ShareChain, Submission};
use sharechain::error::Refusal;
use sharechain::owner::Owner;
use sharechain::params::{ChainId, ChainParams, Network};
use sharechain::pool::Source;
use sharechain::share::{Share, ShareHeader, ShareId, Tag, header_id};
use sharechain::store::{MemoryStore, ShareStore};
use sharechain::target::Target;
use sharechain::units::{BitcoinHeight, Height, UnixTime};
use sharechain::verify::Bound;

/// The time at which every test begins.
pub(crate) const START: u32 = 1_700_000_000;
/// A network target that takes 2,048 hashes: blocks take 64, shares 8.
const NETWORK_BITS: u32 = 0x1f1f_ffff;
const BLOCK_BITS: u32 = 0x2003_ffff;

/// Small numbers, so that depths are reached soon.
pub(crate) fn params() -> ChainParams {
    let genesis = genesis();
    ChainParams {
        name: "test".into(),
        network: Network::Embedded { bits: NETWORK_BITS },
        easiest_block_target: CompactTarget::from_consensus(BLOCK_BITS),
        shares_per_block: 8,
        first_bitcoin_block: (BitcoinHeight(0), genesis.block_hash()),
        base_depth: 3,
        include_depth: 8,
        payout_interval: 2,
        window_blocks: 50,
        max_listed: 64,
        ..ChainParams::main()
    }
}

fn genesis() -> Header {
    header(BlockHash::all_zeros(), START - 10_000, 0)
}

fn header(prev_blockhash: BlockHash, time: u32, salt: u8) -> Header {
    Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash,
        merkle_root: TxMerkleNode::from_byte_array([salt; 32]),
        time,
        bits: CompactTarget::from_consensus(NETWORK_BITS),
        nonce: 0,
    }
}

/// A Bitcoin header with real work on `prev`.
pub(crate) fn mine_header(prev: BlockHash, time: u32, salt: u8) -> Header {
    let target = Target::from_compact(CompactTarget::from_consensus(NETWORK_BITS)).expect("a target");
    let mut header = header(prev, time, salt);
    while !target.is_met_by(&header.block_hash().to_byte_array()) {
        header.nonce += 1;
    }
    header
}

/// The owner with this number.
pub(crate) fn owner(n: u8) -> Owner {
    Owner::new(&ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([n; 20]))).expect("standard")
}

/// What a miner looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A share that is no block.
    Share,
    /// A share block.
    Block,
}

/// A job's choices that tests vary.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) owner: u8,
    pub(crate) class: u16,
    pub(crate) value: u64,
}

impl Work {
    pub(crate) fn of(owner: u8) -> Self {
        Self { owner, class: 11, value: 5_000_000_000 }
    }
}

/// One node without a network: chain, store, clock, and the Bitcoin tip that it mines on.
pub(crate) struct Rig {
    pub(crate) chain: ShareChain,
    pub(crate) store: MemoryStore,
    pub(crate) now: UnixTime,
    pub(crate) bitcoin_tip: BlockHash,
    jobs: u64,
}

/// A share as it was mined, with the list for the case that it is a block.
#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) share: Share,
    pub(crate) includes: Vec<ShareId>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(params())
    }

    pub(crate) fn with(params: ChainParams) -> Self {
        let headers = HeaderTree::new(&params, &[genesis()]).expect("the first block");
        let bitcoin_tip = genesis().block_hash();
        Self {
            chain: ShareChain::new(params, headers),
            store: MemoryStore::new(),
            now: UnixTime(START),
            bitcoin_tip,
            jobs: 0,
        }
    }

    /// Another node that has heard nothing yet but the Bitcoin headers.
    pub(crate) fn newcomer(&self) -> Self {
        let mut other = Self::with(self.chain.params().clone());
        for (_, header) in self.chain.headers().iter() {
            other.chain.add_header(*header).expect("valid here, valid there");
        }
        other.now = self.now;
        other.bitcoin_tip = self.bitcoin_tip;
        // Two nodes never make the same job.
        other.jobs = self.jobs + 1_000_000;
        other
    }

    /// A Bitcoin block is found on the tip.
    pub(crate) fn bitcoin_block(&mut self) {
        let header = mine_header(self.bitcoin_tip, self.now.0, 1);
        self.chain.add_header(header).expect("a valid header");
        self.bitcoin_tip = header.block_hash();
        // The next header must be later than the median of the last 11, which may all be of this second.
        self.now = self.now.saturating_add(1);
    }

    pub(crate) fn header(&self) -> ShareHeader {
        ShareHeader {
            version: Version::from_consensus(0x2000_0000),
            prev_block: self.bitcoin_tip,
            time: self.now.0,
            bits: CompactTarget::from_consensus(NETWORK_BITS),
            nonce: 0,
        }
    }

    pub(crate) fn draft(&mut self) -> Draft {
        let (header, now) = (self.header(), self.now);
        self.chain.draft(&header, now).expect("a known Bitcoin tip")
    }

    /// Mines on the tip with real hashes.
    pub(crate) fn mine(&mut self, work: Work, want: Want) -> Mined {
        let draft = self.draft();
        self.mine_on(&draft, work, want)
    }

    pub(crate) fn mine_on(&mut self, draft: &Draft, work: Work, want: Want) -> Mined {
        let tag = self.next_tag();
        let share = self.job(draft, work, tag, draft.easiest_share_target);
        Mined { share: grind(self.chain.id(), share, want), includes: draft.includes.to_vec() }
    }

    /// A tag that no other job has.
    pub(crate) fn next_tag(&mut self) -> Tag {
        self.jobs += 1;
        Tag::pushing(&self.jobs.to_le_bytes()).expect("eight bytes")
    }

    /// A share before it is mined.
    pub(crate) fn job(&self, draft: &Draft, work: Work, tag: Tag, share_target: Target) -> Share {
        let choices = JobChoices {
            coinbase_value: work.value,
            tag,
            witness_commitment: [3; 32],
            share_target,
            owner: owner(work.owner),
            class: work.class,
        };
        let made = draft.make(self.chain.params(), self.chain.id(), choices);
        let made = made.expect("a class of the chain");
        Share {
            header: self.header(),
            extranonce: [0; 12],
            branch: vec![[9; 32]],
            link: made.link,
            commitment: made.commitment,
        }
    }

    pub(crate) fn bind(&self, share: &Share) -> Bound {
        Bound::new(self.chain.params(), self.chain.id(), share.clone()).expect("binds")
    }

    pub(crate) fn submission(&self, mined: &Mined) -> Submission {
        Submission::block(self.bind(&mined.share), mined.includes.clone(), Source(0))
    }

    /// The one door: judge, save, apply, and whatever that releases.
    pub(crate) fn submit(&mut self, submission: Submission) -> Result<Applied, Refusal> {
        let step = self.chain.judge(&submission, self.now);
        match step {
            Err(Refusal::Waits(missing)) => {
                self.chain.hold(submission, missing.clone());
                Err(Refusal::Waits(missing))
            }
            Err(refusal) => Err(refusal),
            Ok(step) => {
                if let Some(change) = &step.block {
                    let Ok(()) = self.store.commit(change);
                }
                if let Some(Refusal::Waits(missing)) = &step.not_a_block {
                    self.chain.hold(submission, missing.clone());
                }
                let mut applied = self.chain.apply(step);
                for released in std::mem::take(&mut applied.released) {
                    let _ = self.submit(released);
                }
                Ok(applied)
            }
        }
    }

    pub(crate) fn take(&mut self, mined: &Mined) -> Result<Applied, Refusal> {
        let submission = self.submission(mined);
        self.submit(submission)
    }

    /// Mines and takes a share that is no block.
    pub(crate) fn share(&mut self, owner: u8) -> ShareId {
        let mined = self.mine(Work::of(owner), Want::Share);
        self.take(&mined).expect("a valid share").share.expect("new")
    }

    /// Mines a share block a spacing after the last, without taking it.
    pub(crate) fn mine_next(&mut self, owner: u8) -> Mined {
        self.now = self.now.saturating_add(self.chain.params().spacing);
        self.mine(Work::of(owner), Want::Block)
    }

    /// Mines and takes a share block, a spacing after the last.
    pub(crate) fn block(&mut self, owner: u8) -> ShareId {
        self.extend(owner).1
    }

    /// The same, and gives what others need to take it too.
    pub(crate) fn extend(&mut self, owner: u8) -> (Mined, ShareId) {
        let mined = self.mine_next(owner);
        let id = self.take(&mined).expect("a valid share").block.expect("a valid block").id;
        (mined, id)
    }

    /// A saved block as it is sent to a node that may know none of the shares that it lists.
    pub(crate) fn with_bodies(&self, id: &ShareId) -> Submission {
        let height = self.chain.block(id).expect("in memory").height;
        let Ok(block) = self.store.block(height, id);
        let block = block.expect("saved");
        let bodies = block.listed.iter().map(|share| self.bind(share)).collect();
        Submission::whole_block(self.bind(&block.share), bodies, Source(9))
    }

    /// Gives `to` all blocks of the active branch with their bodies.
    pub(crate) fn copy_to(&self, to: &mut Self) {
        for height in 1..=self.chain.height().0 {
            let id = self.chain.block_at(Height(height)).expect("active").id;
            if to.chain.block(&id).is_none() {
                to.submit(self.with_bodies(&id)).expect("valid there, valid here").block.expect("a block");
            }
        }
    }

    /// Another node with the same active branch, shares, clock and Bitcoin headers.
    pub(crate) fn fork(&self) -> Self {
        let mut other = self.newcomer();
        self.copy_to(&mut other);
        for share in self.chain.shares().iter() {
            // Those that the blocks brought along are there, and some are too old to be listed any more.
            let _ = other.submit(Submission::share(other.bind(share.share()), Source(9)));
        }
        other
    }
}

/// Fisher-Yates with a small generator, so that a failure names its seed.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, usize::try_from(state % (i as u64 + 1)).expect("small"));
    }
}

/// Changes a mined share's commitment and mines it again, so that only the rule in question is broken.
pub(crate) fn altered(
    rig: &Rig,
    mined: &Mined,
    want: Want,
    change: impl FnOnce(&mut sharechain::share::Commitment),
) -> Mined {
    let mut share = mined.share.clone();
    change(&mut share.commitment);
    Mined { share: grind(rig.chain.id(), share, want), includes: mined.includes.clone() }
}

/// Rolls the extranonce and the nonce until the hash is what is wanted.
pub(crate) fn grind(chain: ChainId, share: Share, want: Want) -> Share {
    let share_target = Target::from_compact(share.commitment.share_bits).expect("made by us");
    let block_target = Target::from_compact(share.commitment.bits).expect("made by us");
    grind_until(chain, share, |hash| match want {
        Want::Share => share_target.is_met_by(hash) && !block_target.is_met_by(hash),
        Want::Block => block_target.is_met_by(hash),
    })
}

/// Rolls the extranonce and the nonce until the hash will do.
pub(crate) fn grind_until(chain: ChainId, mut share: Share, will_do: impl Fn(&[u8; 32]) -> bool) -> Share {
    for extranonce in 0_u32.. {
        share.extranonce[4..8].copy_from_slice(&extranonce.to_le_bytes());
        let mut header = share.full_header(chain);
        for nonce in 0..4_096 {
            header.nonce = nonce;
            if will_do(&header_id(&header).0) {
                share.header.nonce = nonce;
                return share;
            }
        }
    }
    unreachable!("a hash is found before the extranonce ends")
}
