//! Every consensus constant, with its unit and reason, and the chain id that binds them (protocol section 3).
//!
//! A value that may differ between chains is a field of [`ChainParams`]; one that never does is a constant here.

use crate::codec::{Encode, put_size};
use crate::hash;
use crate::share::ShareId;
use crate::target::Target;
use crate::units::{BitcoinHeight, Score};
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use core::fmt;
use thiserror::Error;

/// Most hashes in a share's merkle branch: 65,536 transactions in a block.
pub const MAX_BRANCH: usize = 16;
/// Most bytes of the coinbase tag, its push opcode included.
pub const MAX_TAG: usize = 40;
/// Least bytes of a coinbase, so that it never passes for an inner merkle node (64 bytes) and has a midstate.
pub const MIN_COINBASE: usize = 128;
/// Most bytes of a coinbase.
pub const MAX_COINBASE: usize = 20_000;
/// Most satoshis that a coinbase can be worth: all there will ever be.
pub const MAX_MONEY: u64 = 21_000_000 * 100_000_000;
/// The share version that this code makes and knows.
pub const VERSION: u32 = 1;
/// A header's time may be this many seconds after its commitment's time: as far as Bitcoin lets headers run ahead.
pub const MAX_HEADER_TIME_AHEAD: u32 = 7_200;
/// Bitcoin blocks in a retarget period.
pub const RETARGET_PERIOD: u32 = 2_016;
/// Ancestors whose median time a new block must exceed, in Bitcoin and here.
pub const MEDIAN_SPAN: usize = 11;
/// A share that is more seconds than this ahead of the clock is dropped rather than held.
pub const FUTURE_DROP: u32 = 600;
/// A block's freshness is judged against the ancestor this many blocks before it (protocol section 4, check 7).
pub const FRESHNESS_DEPTH: u32 = 21;
/// One Bitcoin block less is fresh enough while it is news to no more than this many blocks.
pub const FRESHNESS_GRACE: u32 = 2;
/// A synced node never reorganises by itself deeper than this.
pub const MAX_REORG_DEPTH: u32 = 2_880;
/// A reorganisation deeper than this raises an alarm.
pub const ALARM_REORG_DEPTH: u32 = 120;
/// Blocks with less cumulative work than the tip's ancestor this deep are not kept.
pub const CHEAP_FORK_DEPTH: u32 = 120;
/// Shares are kept when their base's branch has at least the work of the tip's ancestor this deep.
pub const SHARE_FORK_DEPTH: u32 = 16;
/// Once synced, shares of others whose share target is more than so many times the easiest at the tip are not looked at.
pub const MOST_EASIER_THAN_TIP: u32 = 4;
/// Newest Bitcoin headers within which work counts between chains without a common ancestor.
pub const RECENT_HEADERS: u32 = 1_008;
/// Windows are read for signal bits at heights divisible by this, and a locked-in bit is active this much later.
pub const SIGNAL_INTERVAL: u32 = 2_016;
/// Blocks kept beyond two windows.
pub const KEEP_MARGIN: u32 = 256;
/// Blocks of context of a chain from the middle beyond base depth and include depth: more than medians and freshness
/// reach back.
pub const CONTEXT_MARGIN: u32 = 36;
/// Parts per 10,000 of the coinbase value that go to the finder.
pub const BONUS_PER_10_000: u64 = 50;

/// The Bitcoin network that a share chain mines on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Bitcoin.
    Main,
    /// Testnet 4 (BIP94).
    Testnet4,
    /// A signet (BIP325) whose challenge is trivially true.
    Signet,
    /// Regression test mode.
    Regtest,
    /// The in-process chain for trying out: regtest's rules at a difficulty of its own.
    Embedded {
        /// Network target of every block, in compact form.
        bits: u32,
    },
}

/// What decides the network target and the subsidy of a Bitcoin block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitcoinRules {
    /// The easiest network target, in compact form.
    pub limit: u32,
    /// Whether the target changes every 2,016 blocks.
    pub retargets: bool,
    /// Whether a block more than 20 minutes after its parent may have the easiest target.
    pub min_difficulty_blocks: bool,
    /// Whether BIP94 holds: the period's first block gives the base of the retarget, and may be 600 s at most before its parent.
    pub bip94: bool,
    /// Blocks between halvings of the subsidy.
    pub halving_interval: u32,
}

impl Network {
    /// The name used in files, arguments and addresses of files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
            Self::Embedded { .. } => "embedded",
        }
    }

    /// What the network itself demands of its blocks.
    pub const fn rules(self) -> BitcoinRules {
        let main = BitcoinRules {
            limit: 0x1d00_ffff,
            retargets: true,
            min_difficulty_blocks: false,
            bip94: false,
            halving_interval: 210_000,
        };
        match self {
            Self::Main => main,
            Self::Testnet4 => BitcoinRules { min_difficulty_blocks: true, bip94: true, ..main },
            Self::Signet => BitcoinRules { limit: 0x1e03_77ae, ..main },
            Self::Regtest => fixed(0x207f_ffff),
            Self::Embedded { bits } => fixed(bits),
        }
    }
}

const fn fixed(limit: u32) -> BitcoinRules {
    BitcoinRules {
        limit,
        retargets: false,
        min_difficulty_blocks: false,
        bip94: false,
        halving_interval: 150,
    }
}

/// The parameters of one share chain. Any change gives another chain id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainParams {
    /// Told apart from another chain with the same values, and shown to people. At most 32 bytes.
    pub name: String,
    /// The Bitcoin network mined on.
    pub network: Network,
    /// Target seconds between share blocks.
    pub spacing: u32,
    /// Expected shares for each share block: the easiest share target is this many times the block target.
    pub shares_per_block: u32,
    /// The easiest block target, in compact form.
    pub easiest_block_target: CompactTarget,
    /// Height and hash of the Bitcoin block that every prev_block is or descends from.
    pub first_bitcoin_block: (BitcoinHeight, BlockHash),
    /// Seconds of lateness of the parent that make the target twice as easy (protocol section 5).
    pub retarget_constant: u32,
    /// Seconds without a block after which the target doubles, and again after as many more.
    pub stall_relief: u32,
    /// Seconds that a share's time may be ahead of a receiver's clock, or a listed share's of its block's.
    pub future_limit: u32,
    /// Generations from a parent back to the base.
    pub base_depth: u32,
    /// A share may be listed by blocks up to this many above its height.
    pub include_depth: u32,
    /// Payout blocks are those whose height is a multiple of this.
    pub payout_interval: u32,
    /// Most shares that one block lists.
    pub max_listed: u32,
    /// Most blocks in the reward window.
    pub window_blocks: u32,
    /// Score that the reward window holds.
    pub window_score: Score,
    /// Satoshis below which no payout is made.
    pub smallest_payout: u64,
    /// Most outputs of each payout class, smallest first.
    pub classes: Vec<u16>,
}

/// Why chain parameters cannot make a chain.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("chain parameter {key}: {problem}")]
pub struct BadParams {
    /// The parameter, by the name it has in a chain file.
    pub key: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: &'static str,
}

impl ChainParams {
    /// The share chain on Bitcoin.
    pub fn main() -> Self {
        Self {
            name: "main".into(),
            network: Network::Main,
            spacing: 30,
            shares_per_block: 32,
            easiest_block_target: CompactTarget::from_consensus(0x1b07_fff8),
            first_bitcoin_block: (MAIN_FIRST.0, block_hash(MAIN_FIRST.1)),
            retarget_constant: 1_248,
            stall_relief: 600,
            future_limit: 120,
            base_depth: 32,
            include_depth: 60,
            payout_interval: 64,
            max_listed: 512,
            window_blocks: 20_160,
            window_score: Score(4 << 64),
            smallest_payout: 10_000,
            classes: vec![11, 38, 145, 360],
        }
    }

    /// The share chain on testnet 4.
    pub fn testnet4() -> Self {
        Self {
            name: "testnet4".into(),
            network: Network::Testnet4,
            easiest_block_target: CompactTarget::from_consensus(0x1d1f_ffe0),
            first_bitcoin_block: (TESTNET4_FIRST.0, block_hash(TESTNET4_FIRST.1)),
            ..Self::main()
        }
    }

    /// A share chain on a signet whose challenge is trivially true. Its first Bitcoin block is the genesis that all signets share.
    pub fn signet() -> Self {
        Self {
            name: "signet".into(),
            network: Network::Signet,
            easiest_block_target: CompactTarget::from_consensus(0x1d1f_ffe0),
            first_bitcoin_block: (BitcoinHeight(0), block_hash(SIGNET_GENESIS)),
            ..Self::main()
        }
    }

    /// A share chain on regtest, where every second hash is a block of both chains.
    pub fn regtest() -> Self {
        Self {
            name: "regtest".into(),
            network: Network::Regtest,
            easiest_block_target: CompactTarget::from_consensus(0x207f_ffff),
            first_bitcoin_block: (BitcoinHeight(0), block_hash(REGTEST_GENESIS)),
            payout_interval: 1,
            ..Self::main()
        }
    }

    /// A share chain on the embedded network of this target, for trying out.
    pub fn embedded(bits: u32) -> Self {
        Self {
            name: "embedded".into(),
            network: Network::Embedded { bits },
            first_bitcoin_block: (BitcoinHeight(0), embedded_genesis(bits).block_hash()),
            ..Self::regtest()
        }
    }

    /// Checks that the parameters make a chain. Everything else in this crate takes that for granted.
    pub fn validate(&self) -> Result<(), BadParams> {
        let bad = |key, problem| Err(BadParams { key, problem });
        if self.name.len() > 32 {
            return bad("name", "is longer than 32 bytes");
        }
        if Target::from_compact(self.easiest_block_target).is_err() {
            return bad("easiest_block_target", "is not the compact form of a target");
        }
        if Target::from_compact(CompactTarget::from_consensus(self.network.rules().limit)).is_err() {
            return bad("network", "has bits that are not the compact form of a target");
        }
        for (key, value, range) in [
            ("spacing", self.spacing, 1..=3_600),
            ("shares_per_block", self.shares_per_block, 1..=1_024),
            ("retarget_constant", self.retarget_constant, 1..=1_000_000),
            ("stall_relief", self.stall_relief, 1..=1_000_000),
            ("future_limit", self.future_limit, 0..=FUTURE_DROP),
            ("base_depth", self.base_depth, 1..=1_000),
            ("include_depth", self.include_depth, 1..=1_000),
            ("payout_interval", self.payout_interval, 1..=10_000),
            ("max_listed", self.max_listed, 1..=4_096),
            ("window_blocks", self.window_blocks, 1..=100_000),
        ] {
            if !range.contains(&value) {
                return bad(key, "is out of range; see docs/protocol.md, section 3");
            }
        }
        if self.window_score.is_zero() || self.window_score > MAX_WINDOW_SCORE {
            return bad("window_score", "must be above 0 and at most 4096 Bitcoin blocks");
        }
        if !(1..=MAX_MONEY).contains(&self.smallest_payout) {
            return bad("smallest_payout", "must be at least 1 sat and at most all there is");
        }
        let ascending = self.classes.is_sorted_by(|a, b| a < b);
        if !ascending || self.classes.is_empty() || self.classes.len() > 16 {
            return bad("classes", "must be 1 to 16 numbers of outputs, smallest first");
        }
        if self.classes.iter().any(|&class| class == 0 || class > MAX_CLASS) {
            return bad("classes", "must each be 1 to 360, as many as fit in a coinbase");
        }
        Ok(())
    }

    /// The easiest block target.
    pub fn easiest_target(&self) -> Target {
        Target::from_compact(self.easiest_block_target).unwrap_or(Target::MIN)
    }

    /// The easiest share target for shares whose base has this block target.
    pub fn easiest_share_target(&self, base_block_target: Target) -> Target {
        base_block_target.easier_by(self.shares_per_block).rounded()
    }

    /// Blocks whose bodies are kept: two windows and a margin. Where a window is shorter than the context of a chain from
    /// the middle, so many that such a chain can be checked from them.
    pub const fn kept_blocks(&self) -> u32 {
        self.graft_blocks().saturating_add(KEEP_MARGIN)
    }

    /// Least blocks of a chain from the middle: a window that is checked whole, and below it the windows that it paid by,
    /// or the context if that is longer.
    pub const fn graft_blocks(&self) -> u32 {
        let context = self.context_blocks();
        let older = if self.window_blocks > context { self.window_blocks } else { context };
        self.window_blocks.saturating_add(older)
    }

    /// The lowest blocks of a chain from the middle, which cannot be judged because what they follow from is not there:
    /// bases, credited shares, medians and freshness of all blocks above reach no further down than these.
    pub const fn context_blocks(&self) -> u32 {
        self.base_depth.saturating_add(self.include_depth).saturating_add(CONTEXT_MARGIN)
    }

    /// The subsidy in satoshis of the Bitcoin block at this height.
    pub fn subsidy(&self, height: BitcoinHeight) -> u64 {
        let halvings = height.0.checked_div(self.network.rules().halving_interval).unwrap_or(u32::MAX);
        5_000_000_000_u64.checked_shr(halvings).unwrap_or(0)
    }

    /// The hash of the canonical encoding of the parameters: the identity of the chain.
    pub fn chain_id(&self) -> ChainId {
        ChainId(hash::CHAIN_ID.hash(&self.to_bytes()))
    }
}

/// Most outputs of any payout class: 360 P2TR outputs make 15,722 bytes of coinbase.
const MAX_CLASS: u16 = 360;
/// Times any coinbase value (below 2^51) and 2, this fits in 128 bits, in which payouts are divided.
const MAX_WINDOW_SCORE: Score = Score(1 << 76);
const MAIN_FIRST: (BitcoinHeight, &str) =
    (BitcoinHeight(935_000), "0000000000000000000147034958af1652b2b91bba607beacc5e72a56f0fb5ee");
const TESTNET4_FIRST: (BitcoinHeight, &str) =
    (BitcoinHeight(120_000), "000000000bd2317e51b3c5794981c35ba894ce27d3e772d5c39ecd9cbce01dc8");
const SIGNET_GENESIS: &str = "00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6";
const REGTEST_GENESIS: &str = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206";

fn block_hash(hex: &str) -> BlockHash {
    hex.parse().unwrap_or_else(|_| BlockHash::all_zeros())
}

/// The header of the embedded network's block at height 0, which has no proof of work.
pub fn embedded_genesis(bits: u32) -> Header {
    Header {
        version: Version::ONE,
        prev_blockhash: BlockHash::all_zeros(),
        merkle_root: TxMerkleNode::from_byte_array(hash::sha256d(
            b"commonwork: embedded chain, for trying out",
        )),
        time: EMBEDDED_GENESIS_TIME,
        bits: CompactTarget::from_consensus(bits),
        nonce: 0,
    }
}

/// Before any clock on which a node runs.
const EMBEDDED_GENESIS_TIME: u32 = 1_700_000_000;

impl Encode for ChainParams {
    fn encode(&self, out: &mut Vec<u8>) {
        put_size(out, self.name.len());
        out.extend_from_slice(self.name.as_bytes());
        let (network, bits) = match self.network {
            Network::Main => (0, 0),
            Network::Testnet4 => (1, 0),
            Network::Signet => (2, 0),
            Network::Regtest => (3, 0),
            Network::Embedded { bits } => (4, bits),
        };
        out.push(network);
        let (first_height, first_hash) = self.first_bitcoin_block;
        out.extend_from_slice(&first_hash.to_byte_array());
        for number in [
            bits,
            first_height.0,
            self.spacing,
            self.shares_per_block,
            self.easiest_block_target.to_consensus(),
            self.retarget_constant,
            self.stall_relief,
            self.future_limit,
            self.base_depth,
            self.include_depth,
            self.payout_interval,
            self.max_listed,
            self.window_blocks,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.window_score.0.to_le_bytes());
        out.extend_from_slice(&self.smallest_payout.to_le_bytes());
        put_size(out, self.classes.len());
        for class in &self.classes {
            out.extend_from_slice(&class.to_le_bytes());
        }
    }
}

/// The identity of a share chain. It stands in for the parent and base of the first blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChainId(pub [u8; 32]);

impl ChainId {
    /// The chain id where the id of a block is asked for: the root of the chain.
    pub const fn as_block(self) -> ShareId {
        ShareId(self.0)
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_block().fmt(f)
    }
}

impl fmt::Debug for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChainId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_valid_and_different_chains() {
        let presets =
            [ChainParams::main(), ChainParams::testnet4(), ChainParams::signet(), ChainParams::regtest()];
        for params in &presets {
            params.validate().expect("valid");
            assert_ne!(
                params.first_bitcoin_block.1,
                BlockHash::all_zeros(),
                "a hash constant does not parse"
            );
        }
        let ids: std::collections::BTreeSet<_> = presets.iter().map(ChainParams::chain_id).collect();
        assert_eq!(ids.len(), presets.len());
    }

    #[test]
    fn every_parameter_is_in_the_chain_id() {
        let main = ChainParams::main();
        let changed = [
            ChainParams { name: "x".into(), ..main.clone() },
            ChainParams { network: Network::Embedded { bits: 0x207f_ffff }, ..main.clone() },
            ChainParams { network: Network::Embedded { bits: 0x1d00_ffff }, ..main.clone() },
            ChainParams { spacing: 31, ..main.clone() },
            ChainParams { shares_per_block: 31, ..main.clone() },
            ChainParams { easiest_block_target: CompactTarget::from_consensus(0x1b07_fff7), ..main.clone() },
            ChainParams {
                first_bitcoin_block: (BitcoinHeight(1), main.first_bitcoin_block.1),
                ..main.clone()
            },
            ChainParams { first_bitcoin_block: (MAIN_FIRST.0, BlockHash::all_zeros()), ..main.clone() },
            ChainParams { retarget_constant: 1, ..main.clone() },
            ChainParams { stall_relief: 1, ..main.clone() },
            ChainParams { future_limit: 1, ..main.clone() },
            ChainParams { base_depth: 1, ..main.clone() },
            ChainParams { include_depth: 1, ..main.clone() },
            ChainParams { payout_interval: 1, ..main.clone() },
            ChainParams { max_listed: 1, ..main.clone() },
            ChainParams { window_blocks: 1, ..main.clone() },
            ChainParams { window_score: Score::ONE, ..main.clone() },
            ChainParams { smallest_payout: 1, ..main.clone() },
            ChainParams { classes: vec![11], ..main.clone() },
        ];
        let ids: std::collections::BTreeSet<_> = changed.iter().map(ChainParams::chain_id).collect();
        assert_eq!(ids.len(), changed.len());
        assert!(!ids.contains(&main.chain_id()));
    }

    #[test]
    fn parameters_that_make_no_chain_are_named() {
        let key = |params: ChainParams| params.validate().expect_err("invalid").key;
        assert_eq!(key(ChainParams { spacing: 0, ..ChainParams::main() }), "spacing");
        let too_much = Score(MAX_WINDOW_SCORE.0 + 1);
        assert_eq!(key(ChainParams { window_score: too_much, ..ChainParams::main() }), "window_score");
        assert_eq!(key(ChainParams { classes: vec![38, 11], ..ChainParams::main() }), "classes");
        assert_eq!(key(ChainParams { classes: vec![361], ..ChainParams::main() }), "classes");
        assert_eq!(
            key(ChainParams { network: Network::Embedded { bits: 0 }, ..ChainParams::main() }),
            "network"
        );
    }

    #[test]
    fn subsidies_halve() {
        let main = ChainParams::main();
        assert_eq!(main.subsidy(BitcoinHeight(0)), 5_000_000_000);
        assert_eq!(main.subsidy(BitcoinHeight(840_000)), 312_500_000);
        assert_eq!(main.subsidy(BitcoinHeight(210_000 * 64)), 0);
        assert_eq!(ChainParams::regtest().subsidy(BitcoinHeight(150)), 2_500_000_000);
    }
}
