//! Share blocks as a store sees them: well-formed, of no work, each a function of its height and branch alone.

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, TxMerkleNode};
use primitive_types::U256;
use sharechain::chain::{BlockSummary, ChangeSet, Freshness};
use sharechain::hash::sha256;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::share::{COMMITMENT_OUTPUT_HEAD, CoinbaseLink, Commitment, Share, ShareBlock, ShareHeader};
use sharechain::share::{ShareId, Tag};
use sharechain::target::Work;
use sharechain::units::{BitcoinHeight, Height, Score, UnixTime};
use sharechain::window::{BlockCredits, Contribution};
use std::sync::Arc;

/// A chain of such blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocks {
    /// Told apart from other branches.
    pub(crate) branch: u8,
    /// Shares that each block lists.
    pub(crate) listed: u32,
    /// Owners among them.
    pub(crate) owners: u32,
    /// Blocks that are kept.
    pub(crate) kept: u32,
}

impl Blocks {
    /// The change that adds the block at this height to its branch, as the tip.
    pub(crate) fn change(&self, height: u32) -> ChangeSet {
        let block = self.block(height);
        let pruned = height.checked_sub(self.kept).filter(|height| *height > 0);
        let pruned = pruned.map(|height| (Height(height), self.id(height)));
        ChangeSet {
            tip: self.id(height),
            summary: self.summary(height, &block),
            block: Arc::new(block),
            headers: Vec::new(),
            pruned: pruned.into_iter().collect(),
        }
    }

    /// The id of the block at this height; at 0 that of a chain.
    pub(crate) fn id(&self, height: u32) -> ShareId {
        if height == 0 { ChainParams::regtest().chain_id().as_block() } else { self.share_id(height, 0) }
    }

    fn share_id(&self, height: u32, number: u32) -> ShareId {
        ShareId(self.salt("id", height, number))
    }

    fn salt(&self, what: &str, height: u32, number: u32) -> [u8; 32] {
        sha256(format!("{what} {} {height} {number}", self.branch).as_bytes())
    }

    /// The block at this height with its listed shares.
    pub(crate) fn block(&self, height: u32) -> ShareBlock {
        let listed = (1..=self.listed).map(|number| self.share(height, number).into()).collect();
        ShareBlock { share: self.share(height, 0).into(), listed }
    }

    /// What of the block at this height stays in memory.
    pub(crate) fn summary(&self, height: u32, block: &ShareBlock) -> BlockSummary {
        let commitment = &block.share.commitment;
        let contribution = |(number, share): (u32, &Arc<Share>)| Contribution {
            owner: share.commitment.owner,
            signals: share.commitment.signals,
            score: Score(u128::from(height) << 30 | u128::from(number)),
        };
        let bitcoin_work = |blocks: u32| Work(U256::from(blocks) << 70);
        BlockSummary {
            id: self.id(height),
            parent: self.id(height - 1),
            height: Height(height),
            time: commitment.time,
            bits: commitment.bits,
            work: Work(U256::from(height) << 40),
            bitcoin_height: commitment.bitcoin_height,
            prev_block: block.share.header.prev_block,
            // Every fifth block lists shares on an older Bitcoin block.
            listed_on: (height % 5 == 2)
                .then(|| bitcoin_header(height / 20 + 1_000).block_hash())
                .into_iter()
                .collect(),
            freshness: Freshness {
                work: bitcoin_work(height / 20 + 1),
                parent_work: bitcoin_work(height / 20),
                reached_at: Height(height / 20 * 20),
            },
            credits: Arc::new(BlockCredits {
                lister: commitment.owner,
                // Some blocks miss their own share target.
                own: (height % 7 != 3).then(|| contribution((0, &block.share))),
                listed: (1..).zip(&block.listed).map(contribution).collect(),
            }),
            credited: Arc::new(
                (u32::from(height % 7 == 3)..=self.listed).map(|n| self.share_id(height, n)).collect(),
            ),
        }
    }

    /// A share of the size that shares have on a busy chain: a merkle path of 12 steps.
    pub(crate) fn share(&self, height: u32, number: u32) -> Share {
        let salt = self.salt("share", height, number);
        Share {
            header: ShareHeader {
                version: Version::from_consensus(0x2000_0000),
                prev_block: bitcoin_header(height / 20).block_hash(),
                time: 1_800_000_000 + height * 30,
                bits: CompactTarget::from_consensus(0x1702_3a04),
                nonce: number,
            },
            extranonce: [salt[0]; 12],
            branch: vec![salt; 12],
            link: self.link(),
            commitment: self.commitment(height, number, salt),
        }
    }

    fn link(&self) -> CoinbaseLink {
        let prefix = [&vec![7; 713][..], &COMMITMENT_OUTPUT_HEAD].concat();
        CoinbaseLink::of_prefix(&prefix).expect("neither too short nor too long")
    }

    fn commitment(&self, height: u32, number: u32, salt: [u8; 32]) -> Commitment {
        Commitment {
            version: 1,
            signals: number,
            bitcoin_height: BitcoinHeight(935_001 + height / 20),
            coinbase_value: 312_500_000 + u64::from(number),
            tag: Tag::pushing(&salt[..8]).expect("eight bytes"),
            witness_commitment: salt,
            parent: self.id(height - 1),
            base: self.id(height.saturating_sub(33)),
            height: Height(height),
            time: UnixTime(1_800_000_000 + height * 30),
            bits: CompactTarget::from_consensus(0x1a07_fff8),
            share_bits: CompactTarget::from_consensus(0x1b00_ffff),
            owner: owner((height + number) % self.owners),
            class: 11,
            includes: salt,
        }
    }
}

/// The owner with this number: every third has a short script.
pub(crate) fn owner(number: u32) -> Owner {
    let hash = sha256(&number.to_le_bytes());
    let script = if number.is_multiple_of(3) {
        [&[0x00, 0x14], &hash[..20]].concat()
    } else {
        [&[0x51, 0x20], &hash[..]].concat()
    };
    Owner::new(&ScriptBuf::from_bytes(script)).expect("a witness program")
}

/// A Bitcoin header for this height, of no work.
pub(crate) fn bitcoin_header(height: u32) -> Header {
    Header {
        version: Version::from_consensus(0x2000_0000),
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::from_byte_array(sha256(&height.to_le_bytes())),
        time: 1_800_000_000 + height * 600,
        bits: CompactTarget::from_consensus(0x1702_3a04),
        nonce: height,
    }
}
