//! What a miner hands in: a header, and for `submitblock` what follows it.

use crate::work::job::JobId;
use bitcoin::block::Header;
use bitcoin::consensus::Decodable;
use bitcoin::consensus::encode::serialize;
use bitcoin::hex::FromHex;
use bitcoin::{Transaction, VarInt, Witness};
use sharechain::params::MAX_COINBASE;
use sharechain::share::Extranonce;
use thiserror::Error;

/// Hexadecimal digits that are looked at: header, count and coinbase with its witness. The transactions behind are the
/// node's own, and what a block is put together from is not taken from the miner.
pub(super) const LOOKED_AT: usize = 2 * (80 + 9 + MAX_COINBASE + 256);
/// What stands before the hash in the script of the commitment output: OP_RETURN, and a push of hash and extranonce.
const COMMITMENT_SCRIPT_HEAD: [u8; 2] = [0x6a, 44];

/// A solved header, and what else may say which work it solves.
#[derive(Clone, Debug)]
pub(super) struct Submission {
    /// The header, whose merkle root says it if nothing in the coinbase was changed.
    pub(super) header: Header,
    /// The coinbase, which says it in any case, where it was handed in.
    pub(super) coinbase: Option<Coinbase>,
    /// The work's id. It says nothing that the others do not, but helps to name what is wrong.
    pub(super) id: Option<JobId>,
}

/// The coinbase of a block that was handed in.
#[derive(Clone, Debug)]
pub(super) struct Coinbase(Transaction);

impl Coinbase {
    /// The share commitment and the extranonce, which a coinbase of this chain has in its last output.
    pub(super) fn commitment(&self) -> Option<([u8; 32], Extranonce)> {
        let script = self.0.output.last()?.script_pubkey.as_bytes();
        let pushed = script.strip_prefix(&COMMITMENT_SCRIPT_HEAD)?;
        let (commitment, extranonce) = pushed.split_first_chunk()?;
        Some((*commitment, extranonce.try_into().ok()?))
    }

    /// As txids are made from it.
    pub(super) fn without_witness(&self) -> Vec<u8> {
        let mut transaction = self.0.clone();
        transaction.input.iter_mut().for_each(|input| input.witness = Witness::new());
        serialize(&transaction)
    }
}

/// What was handed in is no block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Unreadable {
    /// Not hexadecimal digits.
    #[error("Block decode failed: not hexadecimal digits")]
    Hex,
    /// Fewer than the 80 bytes of a header.
    #[error("Block decode failed: it has no whole header")]
    Header,
    /// No transaction behind the header.
    #[error("Block decode failed: what follows the header is no count and coinbase")]
    Coinbase,
}

impl Submission {
    /// Reads a block (BIP22), whose transactions behind the coinbase may be left out, or a header alone (BIP23), and the
    /// id of the work that it is said to solve.
    pub(super) fn read(digits: &str, id: Option<JobId>) -> Result<Self, Unreadable> {
        let digits = digits.as_bytes();
        if !digits.len().is_multiple_of(2) {
            return Err(Unreadable::Hex);
        }
        let head = digits.get(..LOOKED_AT).unwrap_or(digits);
        let head = std::str::from_utf8(head).map_err(|_| Unreadable::Hex)?;
        let bytes = Vec::<u8>::from_hex(head).map_err(|_| Unreadable::Hex)?;
        let mut rest = bytes.as_slice();
        let header = Header::consensus_decode(&mut rest).map_err(|_| Unreadable::Header)?;
        if rest.is_empty() {
            return Ok(Self { header, coinbase: None, id });
        }
        VarInt::consensus_decode(&mut rest).map_err(|_| Unreadable::Coinbase)?;
        let coinbase = Transaction::consensus_decode(&mut rest).map_err(|_| Unreadable::Coinbase)?;
        Ok(Self { header, coinbase: Some(Coinbase(coinbase)), id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hex::DisplayHex;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>, text: String) {
            let _ = Submission::read(&text, None);
            let _ = Submission::read(&bytes.to_lower_hex_string(), Some(JobId(1)));
        }
    }

    #[test]
    fn what_is_no_block_is_refused() {
        let header = "00".repeat(80);
        let read = |digits: &str| Submission::read(digits, None).map(|_| ()).err();
        assert_eq!(read(&header), None);
        for (digits, error) in [
            ("", Unreadable::Header),
            ("0", Unreadable::Hex),
            ("zz", Unreadable::Hex),
            ("é", Unreadable::Hex),
            (&header[2..], Unreadable::Header),
            (&format!("{header}01"), Unreadable::Coinbase),
            (&format!("{header}01ffff"), Unreadable::Coinbase),
        ] {
            assert_eq!(read(digits), Some(error), "{digits}");
        }
    }
}
