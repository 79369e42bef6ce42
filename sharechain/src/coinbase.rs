//! The coinbase, byte for byte (protocol section 4). The maker of a job and the checker of a share call the same function.
//!
//! Only the prefix is built here, up to the commitment hash; what follows it differs from share to share.

use crate::codec::put_size;
use crate::owner::Owner;
use crate::payout::Payouts;
use crate::share::{COMMITMENT_OUTPUT_HEAD, Extranonce, Tag};
use crate::units::BitcoinHeight;
use bitcoin::consensus::encode;
use bitcoin::{Transaction, Witness};

/// What the prefix of a coinbase is built from.
#[derive(Clone, Copy, Debug)]
pub struct CoinbaseInputs<'a> {
    /// Height of the Bitcoin block, at least 1.
    pub bitcoin_height: BitcoinHeight,
    /// What follows the height in the scriptSig.
    pub tag: &'a Tag,
    /// The hash in the witness commitment output.
    pub witness_commitment: &'a [u8; 32],
    /// The payouts and the finder's bonus.
    pub payouts: &'a Payouts,
}

/// Sequence of the input: not final, so that the locktime counts (BIP54).
const SEQUENCE: u32 = 0xffff_fffe;
/// Value 0, script of 38 bytes, OP_RETURN, PUSH36, and the header of BIP141.
const WITNESS_OUTPUT_HEAD: [u8; 15] = [0, 0, 0, 0, 0, 0, 0, 0, 38, 0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
/// Bytes besides the payouts: more than enough for every tag and count.
const FIXED_LEN: usize = 224;
const OUTPUT_LEN: usize = 43;

/// The coinbase without its witness, up to the commitment hash.
pub fn prefix(inputs: &CoinbaseInputs<'_>) -> Vec<u8> {
    let Payouts { outputs, bonus } = inputs.payouts;
    let mut out = Vec::with_capacity(outputs.len().saturating_mul(OUTPUT_LEN).saturating_add(FIXED_LEN));
    out.extend_from_slice(&2_u32.to_le_bytes());
    out.push(1);
    out.extend_from_slice(&[0; 32]);
    out.extend_from_slice(&u32::MAX.to_le_bytes());
    let height = height_push(inputs.bitcoin_height);
    let tag = inputs.tag.as_bytes();
    put_size(&mut out, height.len().saturating_add(tag.len()));
    out.extend_from_slice(&height);
    out.extend_from_slice(tag);
    out.extend_from_slice(&SEQUENCE.to_le_bytes());
    put_size(&mut out, outputs.len().saturating_add(usize::from(bonus.is_some())).saturating_add(2));
    outputs.iter().chain(bonus).for_each(|(owner, value)| put_output(&mut out, owner, *value));
    out.extend_from_slice(&WITNESS_OUTPUT_HEAD);
    out.extend_from_slice(inputs.witness_commitment);
    out.extend_from_slice(&COMMITMENT_OUTPUT_HEAD);
    out
}

/// The whole coinbase without its witness, as txids are hashed and as Stratum sends it.
pub fn serialize(prefix: &[u8], commitment: &[u8; 32], extranonce: &Extranonce, locktime: u32) -> Vec<u8> {
    [prefix, commitment, extranonce, &locktime.to_le_bytes()].concat()
}

/// Reads a coinbase that [`serialize`] made and adds the witness that BIP141 demands: one item of 32 zero bytes.
pub fn with_witness(serialized: &[u8]) -> Result<Transaction, encode::Error> {
    let mut transaction: Transaction = encode::deserialize(serialized)?;
    if let Some(input) = transaction.input.first_mut() {
        input.witness = Witness::from_slice(&[[0_u8; 32]]);
    }
    Ok(transaction)
}

/// Weight units of a coinbase with this many bytes without the witness: marker, flag and the witness add 36.
pub const fn weight(serialized_len: usize) -> usize {
    serialized_len.saturating_mul(4).saturating_add(36)
}

fn put_output(out: &mut Vec<u8>, owner: &Owner, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
    put_size(out, owner.as_bytes().len());
    out.extend_from_slice(owner.as_bytes());
}

/// The height as BIP34 wants it: OP_1 to OP_16, above that the shortest little-endian push.
fn height_push(height: BitcoinHeight) -> Vec<u8> {
    if let Ok(small @ 1..=16) = u8::try_from(height.0) {
        return vec![small.saturating_add(0x50)];
    }
    let bytes = height.0.to_le_bytes();
    let mut number = bytes.as_slice();
    while let [rest @ .., 0] = number {
        number = rest;
    }
    // A set top bit would read as negative.
    let sign: &[u8] = if number.last().is_some_and(|top| top & 0x80 != 0) { &[0] } else { &[] };
    let len = u8::try_from(number.len().saturating_add(sign.len())).unwrap_or(u8::MAX);
    [&[len], number, sign].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::script::Builder;
    use bitcoin::{ScriptBuf, WPubkeyHash, absolute, hashes::Hash};

    fn owner(byte: u8) -> Owner {
        Owner::new(&ScriptBuf::new_p2wpkh(&WPubkeyHash::from_byte_array([byte; 20]))).expect("standard")
    }

    #[test]
    fn heights_are_pushed_as_bitcoin_core_pushes_them() {
        for height in [1, 2, 16, 17, 75, 127, 128, 255, 256, 32_767, 32_768, 8_388_607, 8_388_608, u32::MAX] {
            let expected = Builder::new().push_int(i64::from(height)).into_script();
            assert_eq!(height_push(BitcoinHeight(height)), expected.as_bytes(), "{height}");
        }
    }

    #[test]
    fn the_prefix_and_its_suffix_are_the_transaction() {
        let payouts = Payouts { outputs: vec![(owner(1), 700), (owner(2), 300)], bonus: Some((owner(3), 5)) };
        let tag = Tag::pushing(b"/test/").expect("short");
        let prefix = prefix(&CoinbaseInputs {
            bitcoin_height: BitcoinHeight(900_000),
            tag: &tag,
            witness_commitment: &[9; 32],
            payouts: &payouts,
        });
        let bytes = serialize(&prefix, &[7; 32], &[8; 12], 899_999);
        let transaction = with_witness(&bytes).expect("a transaction");
        assert!(transaction.is_coinbase());
        assert_eq!(transaction.version.0, 2);
        assert_eq!(transaction.lock_time, absolute::LockTime::from_consensus(899_999));
        assert_eq!(transaction.input[0].sequence.0, SEQUENCE);
        assert_eq!(transaction.base_size(), bytes.len());
        assert_eq!(transaction.weight().to_wu(), weight(bytes.len()) as u64);
        let outputs: Vec<_> = transaction.output.iter().map(|out| out.value.to_sat()).collect();
        assert_eq!(outputs, [700, 300, 5, 0, 0]);
        assert_eq!(transaction.output[2].script_pubkey, owner(3).to_script_buf());
        let commitment = [&[0x6a, 44][..], &[7; 32], &[8; 12]].concat();
        assert_eq!(transaction.output[4].script_pubkey.as_bytes(), commitment);
        let witness = [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed][..], &[9; 32]].concat();
        assert_eq!(transaction.output[3].script_pubkey.as_bytes(), witness);
    }
}
