//! A long chain of real share blocks in a store, mined at targets of a few hashes: what a newcomer fetches.

#![allow(dead_code, reason = "the bench and the tests use parts of it")]

use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{CompactTarget, Script, TxMerkleNode};
use commonwork::store::OpenStore;
use sharechain::bitcoin_headers::HeaderTree;
use sharechain::chain::{ChangeSet, Draft, JobChoices, ShareChain, Submission};
use sharechain::owner::Owner;
use sharechain::params::{ChainParams, Network, embedded_genesis};
use sharechain::pool::Source;
use sharechain::share::{Share, ShareHeader, Tag, header_id, includes_hash};
use sharechain::store::ShareStore;
use sharechain::target::Target;
use sharechain::units::{BitcoinHeight, Score, UnixTime};
use sharechain::verify::Bound;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Shares that a block lists; it is the 32nd itself.
pub(crate) const LISTED: u64 = 31;
const OWNERS: u64 = 200;
/// So hard that the reward window is as long as it may be, and that nobody finds a Bitcoin block.
const HARD_BITS: u32 = 0x1d00_ffff;
/// A header takes 16,384 hashes.
const EASY_BITS: u32 = 0x1f04_0000;
/// Share blocks from one Bitcoin block to the next.
const BITCOIN_EVERY: u32 = 20;
const VALUE: u64 = 5_000_000_000;

/// The easiest targets there are: a share takes one hash or two, a block 32 times as many. There are no Bitcoin blocks.
pub(crate) fn params() -> ChainParams {
    params_at(HARD_BITS)
}

/// The same with Bitcoin blocks, which do not take long either. Their reward window is as long as it may be, since it
/// holds the score of more of them.
pub(crate) fn params_with_bitcoin(window_blocks: u32) -> ChainParams {
    ChainParams { window_blocks, window_score: Score(4_096 << 64), ..params_at(EASY_BITS) }
}

fn params_at(bits: u32) -> ChainParams {
    ChainParams {
        name: "first sync".into(),
        network: Network::Embedded { bits },
        first_bitcoin_block: (BitcoinHeight(0), embedded_genesis(bits).block_hash()),
        easiest_block_target: Target::MAX.harder_by(48).to_compact(),
        ..ChainParams::main()
    }
}

const fn network_bits(params: &ChainParams) -> u32 {
    match params.network {
        Network::Embedded { bits } => bits,
        _ => panic!("only the embedded network is so easy"),
    }
}

/// Mines a chain on the embedded network that ends now, and saves it where a node with this data folder looks for it.
pub(crate) fn make_chain(params: &ChainParams, folder: &Path, blocks: u32) {
    make_chain_and(params, folder, blocks, 0);
}

/// The same, for a chain that will end now when `more` blocks have been mined by the maker that it gives.
pub(crate) fn make_chain_and(params: &ChainParams, folder: &Path, blocks: u32, more: u32) -> Maker {
    make_chain_of(params, folder, (blocks, more), OWNERS)
}

/// The same, of the work of so many owners.
pub(crate) fn make_chain_of(
    params: &ChainParams,
    folder: &Path,
    (blocks, more): (u32, u32),
    owners: u64,
) -> Maker {
    let path = folder.join("embedded/sharechain");
    fs::create_dir_all(&path).expect("made");
    let open = OpenStore { path: &path, params, move_corrupt_aside: false };
    let mut store = open.open().expect("an empty store").store;
    let genesis = embedded_genesis(network_bits(params));
    store.commit_headers(&[(BitcoinHeight(0), genesis)]).expect("room on the disk");
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let start = u32::try_from(since).expect("before 2106") - 30 * (blocks + more + 1);
    let mut maker = Maker { owners, ..Maker::new(params, UnixTime(start)) };
    let has_bitcoin = network_bits(params) == EASY_BITS;
    for n in 0..blocks {
        if has_bitcoin && n % BITCOIN_EVERY == 0 {
            maker.bitcoin_block();
        }
        let block = maker.block();
        store.write(&block).expect("room on the disk");
    }
    store.flush().expect("room on the disk");
    maker
}

/// A node without a store or a network that mines by itself, as fast as it likes.
pub(crate) struct Maker {
    pub(crate) chain: ShareChain,
    /// Its clock.
    pub(crate) now: UnixTime,
    owners: u64,
    jobs: u64,
}

impl Maker {
    pub(crate) fn new(params: &ChainParams, now: UnixTime) -> Self {
        let genesis = embedded_genesis(network_bits(params));
        let headers = HeaderTree::new(params, &[genesis]).expect("the first block");
        Self { chain: ShareChain::new(params.clone(), headers), now, owners: OWNERS, jobs: 0 }
    }

    /// Mines a Bitcoin block on the best one.
    pub(crate) fn bitcoin_block(&mut self) {
        let best = self.chain.headers().best();
        let mut header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: best.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: self.now.0,
            bits: CompactTarget::from_consensus(network_bits(self.chain.params())),
            nonce: 0,
        };
        let target = Target::from_compact(header.bits).expect("a target");
        while !target.is_met_by(header.block_hash().as_byte_array()) {
            header.nonce += 1;
        }
        self.chain.add_header(header).expect("valid");
    }

    /// Mines 31 shares on the tip, and a block that lists them, 30 s after the last one.
    pub(crate) fn block(&mut self) -> ChangeSet {
        self.now = self.now.saturating_add(30);
        // One draft does for all: a share that is no block binds nothing by its list.
        let draft = self.draft();
        let shares: Vec<Bound> = (0..LISTED).map(|_| self.share(&draft, false, |_| ())).collect();
        let includes: Vec<_> = draft.includes.iter().copied().chain(shares.iter().map(Bound::id)).collect();
        for share in shares {
            let step = self.chain.judge(&Submission::share(share, Source(0)), self.now).expect("valid");
            self.chain.apply(step);
        }
        let list = includes_hash(&includes);
        let block = self.share(&draft, true, |share| share.commitment.includes = list);
        let submission = Submission::block(block, includes, Source(0));
        let step = self.chain.judge(&submission, self.now).expect("valid");
        let change = step.block.clone().expect("a block");
        assert!(self.chain.apply(step).new_tip);
        change
    }

    pub(crate) fn draft(&mut self) -> Draft {
        let (header, now) = (self.header(), self.now);
        self.chain.draft(&header, now).expect("the genesis block is known")
    }

    fn header(&self) -> ShareHeader {
        ShareHeader {
            version: Version::from_consensus(0x2000_0000),
            prev_block: self.chain.headers().best().hash,
            time: self.now.0,
            bits: CompactTarget::from_consensus(network_bits(self.chain.params())),
            nonce: 0,
        }
    }

    /// A share with twelve steps to the merkle root, as on a busy Bitcoin; a block or certainly none. `edit` changes it
    /// before it is mined, so that its work binds the change.
    pub(crate) fn share(&mut self, draft: &Draft, block: bool, edit: impl FnOnce(&mut Share)) -> Bound {
        self.jobs += 1;
        let choices = JobChoices {
            coinbase_value: VALUE,
            tag: Tag::pushing(format!("/bench/{:010}", self.jobs).as_bytes()).expect("short"),
            witness_commitment: [3; 32],
            share_target: draft.easiest_share_target,
            owner: owner(self.jobs % self.owners),
            class: 11,
        };
        let made = draft.make(self.chain.params(), self.chain.id(), choices).expect("a class");
        let mut share = Share {
            header: self.header(),
            extranonce: [0; 12],
            branch: (1..=12).map(|step| [step; 32]).collect(),
            link: made.link,
            commitment: made.commitment,
        };
        edit(&mut share);
        // Only the header's hash changes from one nonce to the next.
        let (params, id) = (self.chain.params(), self.chain.id());
        let commitment = &share.commitment;
        let [share_target, block_target] = [commitment.share_bits, commitment.bits]
            .map(|bits| Target::from_compact(bits).expect("a target"));
        let mut header = share.full_header(id);
        loop {
            header.nonce = share.header.nonce;
            let hash = header_id(&header).0;
            if share_target.is_met_by(&hash) && block_target.is_met_by(&hash) == block {
                return Bound::new(params, id, Arc::new(share)).expect("mined");
            }
            share.header.nonce += 1;
        }
    }
}

fn owner(n: u64) -> Owner {
    let mut script = [0; 34];
    script[..2].copy_from_slice(&[0x51, 0x20]);
    script[2..10].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Owner::new(Script::from_bytes(&script)).expect("P2TR")
}
