//! The bytes of `getwork`: headers with each 32-bit word turned around, padded as SHA-256 pads them.

use super::submission::Submission;
use super::worker::Work;
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hex::{DisplayHex, FromHex};
use serde::Serialize;
use sharechain::hash::Midstate;
use thiserror::Error;

/// Bytes of a header.
const HEADER: usize = 80;
/// Bytes of `data`: the two blocks that SHA-256 makes of a header.
const DATA: usize = 128;
/// The second hash's input but for the first's result: the padding of 32 bytes, each word turned around.
const HASH1: &str = "00000000000000000000000000000000000000000000000000000000000000000000008000000000000000000000\
                     000000000000000000000000000000010000";

/// The result of `getwork`.
#[derive(Debug, Serialize)]
pub(super) struct WorkForm {
    data: String,
    target: String,
    /// For miners from before 2011, which take these two rather than work them out.
    midstate: String,
    hash1: &'static str,
    /// Read in answers to long polls: shares of older work still count.
    submitold: bool,
}

/// What was handed in is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("getwork takes nothing, or 256 hexadecimal digits of data")]
pub(super) struct NoData;

impl WorkForm {
    /// A piece of work.
    pub(super) fn new(work: &Work) -> Self {
        let mut data = [0; DATA];
        data[..HEADER].copy_from_slice(&serialize(&work.header()));
        data[HEADER] = 0x80;
        data[DATA - 8..].copy_from_slice(&(8 * HEADER as u64).to_be_bytes());
        let mut midstate = Midstate::of(&data[..DATA / 2]).to_bytes();
        turn_words(&mut midstate);
        turn_words(&mut data);
        let target = work.served.difficulty.target().value().to_little_endian();
        Self {
            data: data.to_lower_hex_string(),
            target: target.to_lower_hex_string(),
            midstate: midstate.to_lower_hex_string(),
            hash1: HASH1,
            submitold: true,
        }
    }
}

/// Reads what a miner made of `data`. Some leave out the padding.
pub(super) fn read(digits: &str) -> Result<Submission, NoData> {
    let mut bytes = Vec::<u8>::from_hex(digits.trim()).map_err(|_| NoData)?;
    if ![DATA, HEADER].contains(&bytes.len()) {
        return Err(NoData);
    }
    bytes.truncate(HEADER);
    turn_words(&mut bytes);
    let header: Header = deserialize(&bytes).map_err(|_| NoData)?;
    Ok(Submission { header, coinbase: None, id: None })
}

fn turn_words(bytes: &mut [u8]) {
    bytes.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
}
