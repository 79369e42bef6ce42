//! A block template: what a Bitcoin node proposes to mine on, checked once when it came in.
//!
//! It builds no coinbase: it says what a coinbase needs (value, merkle branch, witness commitment, room) and puts a
//! finished one, a header and its own transactions together into a block.

use bitcoin::{BlockHash, CompactTarget, Txid, VarInt, Wtxid, consensus::Encodable, hashes::Hash as _};
use hyper::body::Bytes;
use sharechain::{hash, target::Target, units::BitcoinHeight};
use std::thread;

/// Weight of a block's header: 80 bytes without witness.
const HEADER_WEIGHT: u64 = 80 * 4;
/// Leaves of a merkle tree from which on two threads share it: hashing half of them takes many times as long as starting
/// a thread.
const WORTH_A_THREAD: usize = 1_024;
/// Levels in which each of the two has a part of its own.
const LEVELS_APART: u32 = 6;

/// A block to be mined, without its coinbase. Made by [`Template::from_json`] or by the embedded chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Hash of the block to build on.
    pub prev_block: BlockHash,
    /// Height of the block to be mined.
    pub height: BitcoinHeight,
    /// Version that the header should have.
    pub version: i32,
    /// Network target in the header's compact form, always one that [`Target::from_compact`] reads.
    pub bits: CompactTarget,
    /// The same target as a number.
    pub target: Target,
    /// The Bitcoin node's time when it made this, in seconds since 1970.
    pub current_time: u32,
    /// Earliest time that the header may have, in seconds since 1970.
    pub min_time: u32,
    /// What the coinbase may pay in satoshis: the subsidy and the fees of `transactions`.
    pub coinbase_value: u64,
    /// Everything but the coinbase, each after those it spends from: any head of this list is valid too.
    pub transactions: Vec<TemplateTx>,
    /// Most weight units (BIP141) of a whole block.
    pub weight_limit: u64,
    /// Most signature operations (BIP141's cost) of a whole block.
    pub sigop_limit: u64,
    /// The witness commitment of all `transactions` where it has been worked out already, as it has been when a Bitcoin node
    /// named one to be checked: half of the hashing that jobs need.
    pub known_commitment: Option<[u8; 32]>,
    /// What to name when asking to be told of the next template, if that can be asked for.
    pub long_poll_id: Option<String>,
}

/// A transaction of a [`Template`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateTx {
    /// The consensus encoding, with witness.
    pub raw: Bytes,
    /// Its id, the leaf of the block's merkle tree.
    pub txid: Txid,
    /// Its id with witness, the leaf of the witness commitment.
    pub wtxid: Wtxid,
    /// What it pays to the coinbase, in satoshis.
    pub fee: u64,
    /// Its weight units (BIP141).
    pub weight: u64,
    /// Its cost in signature operations (BIP141).
    pub sigops: u64,
}

impl Template {
    /// The right siblings, from the bottom, on the way from the coinbase (the leftmost leaf) to the merkle root.
    pub fn merkle_branch(&self) -> Vec<[u8; 32]> {
        branch_of_first(self.transactions.iter().map(|tx| tx.txid.to_byte_array()).collect())
    }

    /// The hash in the coinbase's commitment output (BIP141), for a coinbase whose witness is 32 zero bytes.
    pub fn witness_commitment(&self) -> [u8; 32] {
        if let Some(known) = self.known_commitment {
            return known;
        }
        let branch = branch_of_first(self.transactions.iter().map(|tx| tx.wtxid.to_byte_array()).collect());
        // The coinbase's own leaf is zero, and so is the reserved value.
        let root = hash::merkle_root([0; 32], &branch);
        hash::sha256d(&[root, [0; 32]].concat())
    }

    /// The subsidy in satoshis: the coinbase value without the fees.
    pub fn subsidy(&self) -> u64 {
        let fees: u64 = self.transactions.iter().map(|tx| tx.fee).sum();
        self.coinbase_value.saturating_sub(fees)
    }

    /// How many of the transactions, from the first on, fit into a block beside such a coinbase.
    ///
    /// `coinbase_weight` in weight units, its witness included; `coinbase_sigops` in BIP141's cost.
    pub fn fitting(&self, coinbase_weight: u64, coinbase_sigops: u64) -> usize {
        let count_bytes = VarInt::from(self.transactions.len().saturating_add(1)).size() as u64;
        let mut weight = coinbase_weight.saturating_add(HEADER_WEIGHT).saturating_add(count_bytes * 4);
        let mut sigops = coinbase_sigops;
        self.transactions
            .iter()
            .take_while(|tx| {
                weight = weight.saturating_add(tx.weight);
                sigops = sigops.saturating_add(tx.sigops);
                weight <= self.weight_limit && sigops <= self.sigop_limit
            })
            .count()
    }

    /// This template without the tail that does not fit beside such a coinbase, and without that tail's fees.
    ///
    /// Parents come before children in a template, so cutting the tail never leaves a child without its parent.
    pub fn trimmed_to(&self, coinbase_weight: u64, coinbase_sigops: u64) -> Self {
        let kept = self.fitting(coinbase_weight, coinbase_sigops);
        let mut trimmed = self.clone();
        let lost: u64 = trimmed.transactions.drain(kept..).map(|tx| tx.fee).sum();
        trimmed.coinbase_value = trimmed.coinbase_value.saturating_sub(lost);
        trimmed.known_commitment = None;
        trimmed
    }

    /// The whole block in consensus encoding.
    ///
    /// `coinbase` with its witness; the header's merkle root is the caller's concern ([`Template::merkle_branch`]).
    pub fn block(&self, header: &[u8; 80], coinbase: &[u8]) -> Vec<u8> {
        let body: usize = self.transactions.iter().map(|tx| tx.raw.len()).sum();
        let count = VarInt::from(self.transactions.len().saturating_add(1));
        let mut block = Vec::with_capacity(80 + count.size() + coinbase.len() + body);
        block.extend_from_slice(header);
        count.consensus_encode(&mut block).expect("a vector takes every byte");
        block.extend_from_slice(coinbase);
        for tx in &self.transactions {
            block.extend_from_slice(&tx.raw);
        }
        block
    }
}

/// The right siblings on the way up from a first leaf that is not in `level`, in which the others are.
fn branch_of_first(mut level: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    let mut branch = Vec::new();
    if level.len() >= WORTH_A_THREAD {
        level = climb_apart(&level, &mut branch);
    }
    while !level.is_empty() {
        level = climb(&level, &mut branch);
    }
    branch
}

/// One level up from one whose first node is missing, as in the next.
fn climb(level: &[[u8; 32]], branch: &mut Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    let Some((sibling, rest)) = level.split_first() else { return Vec::new() };
    branch.push(*sibling);
    parents(rest)
}

/// Some levels up at once, the left and the right part at the same time.
fn climb_apart(level: &[[u8; 32]], branch: &mut Vec<[u8; 32]>) -> Vec<[u8; 32]> {
    // The left part is whole subtrees, the missing first leaf included: no pair has one node in each part.
    let middle = (level.len() / 2) >> LEVELS_APART << LEVELS_APART;
    let (left, right) = level.split_at(middle.saturating_sub(1));
    let climb_right = || (0..LEVELS_APART).fold(right.to_vec(), |level, _| parents(&level));
    thread::scope(|scope| {
        let other = thread::Builder::new().spawn_scoped(scope, climb_right).ok();
        let left = (0..LEVELS_APART).fold(left.to_vec(), |level, _| climb(&level, branch));
        // Where the system has no other thread to give, this one does it all.
        let right = other.and_then(|other| other.join().ok()).unwrap_or_else(climb_right);
        [left, right].concat()
    })
}

fn parents(level: &[[u8; 32]]) -> Vec<[u8; 32]> {
    // Bitcoin pairs the last node of an odd level with itself.
    level.chunks(2).map(|pair| parent(&pair[0], pair.last().unwrap_or(&pair[0]))).collect()
}

fn parent(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hash::merkle_root(*left, core::slice::from_ref(right))
}

#[cfg(test)]
pub(crate) mod tests {
    use bitcoin::{Amount, Transaction, TxIn, TxMerkleNode, TxOut, absolute, merkle_tree, transaction};
    use proptest::prelude::*;

    use super::*;

    /// A template with this many transactions of 100 weight units and 10 satoshis.
    pub(crate) fn with_transactions(count: u32) -> Template {
        let bits = CompactTarget::from_consensus(0x207f_ffff);
        Template {
            prev_block: BlockHash::all_zeros(),
            height: BitcoinHeight(7),
            version: 0x2000_0000,
            bits,
            target: Target::from_compact(bits).expect("regtest's target"),
            current_time: 1_700_000_000,
            min_time: 1_600_000_000,
            coinbase_value: 5_000_000_000 + 10 * u64::from(count),
            transactions: (0..count).map(transaction).collect(),
            weight_limit: 4_000_000,
            sigop_limit: 80_000,
            known_commitment: None,
            long_poll_id: None,
        }
    }

    fn transaction(number: u32) -> TemplateTx {
        let tx = Transaction {
            version: transaction::Version::TWO,
            lock_time: absolute::LockTime::ZERO,
            input: vec![TxIn {
                witness: bitcoin::Witness::from_slice(&[number.to_le_bytes()]),
                ..TxIn::default()
            }],
            output: vec![TxOut {
                value: Amount::from_sat(number.into()),
                script_pubkey: bitcoin::ScriptBuf::default(),
            }],
        };
        let raw = bitcoin::consensus::serialize(&tx).into();
        TemplateTx {
            raw,
            txid: tx.compute_txid(),
            wtxid: tx.compute_wtxid(),
            fee: 10,
            weight: 100,
            sigops: 1,
        }
    }

    proptest! {
        #[test]
        fn branch_and_commitment_are_those_of_the_bitcoin_crate(count in 0_u32..40, coinbase: [u8; 32]) {
            let template = with_transactions(count);
            let root = hash::merkle_root(coinbase, &template.merkle_branch());
            let ids = template.transactions.iter().map(|tx| TxMerkleNode::from_raw_hash(tx.txid.into()));
            let leaves = core::iter::once(TxMerkleNode::from_byte_array(coinbase)).chain(ids);
            prop_assert_eq!(Some(TxMerkleNode::from_byte_array(root)), merkle_tree::calculate_root(leaves));

            let ids = template.transactions.iter().map(|tx| bitcoin::WitnessMerkleNode::from_raw_hash(tx.wtxid.into()));
            let leaves = core::iter::once(bitcoin::WitnessMerkleNode::all_zeros()).chain(ids);
            let root = merkle_tree::calculate_root(leaves).expect("a leaf");
            let expected = bitcoin::Block::compute_witness_commitment(&root, &[0; 32]);
            prop_assert_eq!(template.witness_commitment(), expected.to_byte_array());
        }

        #[test]
        fn a_trimmed_template_is_the_longest_head_that_fits(count in 0_u32..300, weight in 0_u64..8_000, sigops in 0_u64..60) {
            let template = Template { weight_limit: 8_000, sigop_limit: 60, ..with_transactions(count) };
            let trimmed = template.trimmed_to(weight, sigops);
            let kept = trimmed.transactions.len();
            prop_assert_eq!(&trimmed.transactions[..], &template.transactions[..kept]);
            prop_assert_eq!(trimmed.subsidy(), template.subsidy());
            prop_assert_eq!(trimmed.coinbase_value, 5_000_000_000 + 10 * kept as u64);
            let count_bytes = if count < 252 { 1 } else { 3 };
            let fits = |n: u64| weight + 320 + 4 * count_bytes + 100 * n <= 8_000 && sigops + n <= 60;
            prop_assert!(kept == 0 || fits(kept as u64));
            prop_assert!(kept == count as usize || !fits(kept as u64 + 1));
        }
    }

    #[test]
    fn two_threads_climb_the_same_branch_as_one() {
        let leaves: Vec<[u8; 32]> = (0..4_100_u32).map(|n| hash::sha256d(&n.to_le_bytes())).collect();
        for count in (WORTH_A_THREAD - 1..WORTH_A_THREAD + 130).chain([2_047, 4_000, 4_095, 4_096, 4_099]) {
            let root = hash::merkle_root([7; 32], &branch_of_first(leaves[..count].to_vec()));
            let all = core::iter::once(&[7; 32]).chain(&leaves[..count]).copied();
            let expected = merkle_tree::calculate_root(all.map(TxMerkleNode::from_byte_array));
            assert_eq!(Some(TxMerkleNode::from_byte_array(root)), expected, "{count}");
        }
    }

    #[test]
    fn a_block_is_what_the_bitcoin_crate_reads() {
        let template = with_transactions(300);
        let coinbase = transaction(9_999).raw;
        let block = template.block(&[7; 80], &coinbase);
        let read: bitcoin::Block = bitcoin::consensus::deserialize(&block).expect("a block");
        assert_eq!(bitcoin::consensus::serialize(&read.header), [7; 80]);
        assert_eq!(bitcoin::consensus::serialize(&read.txdata[0]), coinbase);
        let ids: Vec<Txid> = read.txdata[1..].iter().map(Transaction::compute_txid).collect();
        assert_eq!(ids, template.transactions.iter().map(|tx| tx.txid).collect::<Vec<_>>());
    }
}
