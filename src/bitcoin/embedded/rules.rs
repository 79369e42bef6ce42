//! What the embedded chain demands of headers and blocks: Bitcoin's rules, for blocks with nothing but a coinbase.
//!
//! The reasons are Bitcoin Core's words where it has one. Pure: the clock's time comes in with the place.

use bitcoin::{
    Amount, Block, CompactTarget, Script, Transaction, TxMerkleNode,
    absolute::{LOCK_TIME_THRESHOLD, LockTime},
    block::Header,
    hashes::Hash as _,
    script::Builder,
};
use sharechain::{hash::sha256d, target::Target};

/// Most weight units of a block.
pub(super) const MAX_WEIGHT: u64 = 4_000_000;
/// Most signature operations of a block, in BIP141's cost.
pub(super) const MAX_SIGOPS: u64 = 80_000;
/// How far a header's time may be ahead of the clock, in seconds.
const MAX_AHEAD: u32 = 7_200;
/// The subsidy of the first blocks in satoshis.
const FIRST_SUBSIDY: u64 = 5_000_000_000;
/// OP_RETURN, a push of 36 bytes and the magic of a witness commitment (BIP141).
const COMMITMENT_HEAD: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];

/// What the chain fixes for ever.
pub(super) struct Rules {
    pub(super) bits: CompactTarget,
    pub(super) target: Target,
}

/// Where a header would stand.
pub(super) struct Place {
    pub(super) height: u32,
    /// Median of the times of the eleven blocks before.
    pub(super) median_time: u32,
    /// The clock's time.
    pub(super) now: u32,
}

type Checked = Result<(), &'static str>;

/// The subsidy at this height in satoshis.
pub(super) fn subsidy(height: u32) -> u64 {
    FIRST_SUBSIDY.checked_shr(height / super::HALVING_INTERVAL).unwrap_or(0)
}

impl Rules {
    pub(super) fn check_header(&self, header: &Header, place: &Place) -> Checked {
        check(header.bits == self.bits, "bad-diffbits")?;
        check(self.target.is_met_by(&header.block_hash().to_byte_array()), "high-hash")?;
        check(header.version.to_consensus() >= 4, "bad-version")?;
        check(header.time > place.median_time, "time-too-old")?;
        check(header.time <= place.now.saturating_add(MAX_AHEAD), "time-too-new")
    }

    /// Checks everything of a block but its header.
    pub(super) fn check_block(&self, block: &Block, place: &Place) -> Checked {
        let coinbase = block.txdata.first().filter(|tx| tx.is_coinbase()).ok_or("bad-cb-missing")?;
        check(block.txdata.len() == 1, "the embedded chain takes blocks with nothing but a coinbase")?;
        // The root of a tree with one leaf is the leaf.
        let root = TxMerkleNode::from_raw_hash(coinbase.compute_txid().to_raw_hash());
        check(block.header.merkle_root == root, "bad-txnmrklroot")?;
        check(block.weight().to_wu() <= MAX_WEIGHT, "bad-blk-weight")?;
        check(coinbase.total_sigop_cost(|_| None) as u64 <= MAX_SIGOPS, "bad-blk-sigops")?;
        check_script_sig(coinbase, place.height)?;
        check(is_final(coinbase, place), "bad-txns-nonfinal")?;
        check_outputs(coinbase, subsidy(place.height))?;
        check_witness(coinbase)
    }
}

/// Length, and the height as BIP34 wants it: the very push that Bitcoin's own script builder makes.
fn check_script_sig(coinbase: &Transaction, height: u32) -> Checked {
    let script = coinbase.input[0].script_sig.as_bytes();
    check((2..=100).contains(&script.len()), "bad-cb-length")?;
    let push = Builder::new().push_int(height.into()).into_script();
    check(script.starts_with(push.as_bytes()), "bad-cb-height")
}

/// Locktime, with the median time as the time of the block (BIP113).
fn is_final(coinbase: &Transaction, place: &Place) -> bool {
    let lock = coinbase.lock_time.to_consensus_u32();
    let reached = if lock < LOCK_TIME_THRESHOLD { lock < place.height } else { lock < place.median_time };
    coinbase.lock_time == LockTime::ZERO
        || reached
        || coinbase.input.iter().all(|input| input.sequence.is_final())
}

fn check_outputs(coinbase: &Transaction, most: u64) -> Checked {
    check(!coinbase.output.is_empty(), "bad-txns-vout-empty")?;
    check(coinbase.output.iter().all(|output| output.value <= Amount::MAX_MONEY), "bad-txns-vout-toolarge")?;
    let paid = coinbase.output.iter().try_fold(Amount::ZERO, |sum, output| sum.checked_add(output.value));
    check(paid.is_some_and(|paid| paid.to_sat() <= most), "bad-cb-amount")
}

/// The commitment of a block whose only transaction is the coinbase, with the reserved value zero (BIP141).
fn check_witness(coinbase: &Transaction) -> Checked {
    let witness: Vec<&[u8]> = coinbase.input[0].witness.iter().collect();
    check(witness == [[0; 32]], "bad-witness-nonce-size")?;
    let is_commitment =
        |script: &&Script| script.len() >= 38 && script.as_bytes().starts_with(&COMMITMENT_HEAD);
    // The last one counts.
    let scripts = coinbase.output.iter().map(|output| output.script_pubkey.as_script());
    let commitment = scripts.rev().find(is_commitment).ok_or("bad-witness-commitment-missing")?;
    check(commitment.as_bytes()[6..38] == sha256d(&[0; 64]), "bad-witness-merkle-match")
}

fn check(holds: bool, reason: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(reason) }
}
