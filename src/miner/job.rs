//! A job as a miner sees it: the parameters of `mining.notify`, and the way from them to headers.

use primitive_types::U256;
use sha2::{Digest, Sha256};
use std::sync::atomic::{AtomicU64, Ordering};
use thiserror::Error;

/// Most bytes of a coinbase half, and most hashes of a branch: more than any server has cause to send.
const MOST_COINBASE: usize = 100_000;
const MOST_BRANCH: usize = 32;

/// A job.
#[derive(Debug)]
pub(crate) struct Job {
    /// The server's name for it.
    pub(crate) id: String,
    /// Header time, as it is submitted.
    pub(crate) time: u32,
    /// What a hash must not be above.
    pub(crate) target: U256,
    /// Before and after the miner's part of the extranonce.
    coinbase: [Vec<u8>; 2],
    extranonce2_size: usize,
    branch: Vec<[u8; 32]>,
    prev_block: [u8; 32],
    version: u32,
    bits: u32,
    /// Version bits that may be rolled.
    mask: u32,
    /// Counts the pieces of work that were taken.
    taken: AtomicU64,
}

/// What the server said before any job.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) extranonce1: Vec<u8>,
    pub(crate) extranonce2_size: usize,
    pub(crate) mask: u32,
    pub(crate) difficulty: f64,
}

/// One piece of work: all nonces of one header.
#[derive(Debug)]
pub(crate) struct Piece {
    /// As it is submitted.
    pub(crate) extranonce2: String,
    /// The rolled bits, as they are submitted.
    pub(crate) version_bits: u32,
    /// The header, without a nonce.
    pub(crate) header: [u8; 80],
}

/// The server's line cannot be a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the server sent a job whose {0} makes no sense")]
pub(crate) struct BadJob(&'static str);

impl Job {
    /// Reads the parameters of `mining.notify`.
    pub(crate) fn read(params: &serde_json::Value, subscription: &Subscription) -> Result<Self, BadJob> {
        let text = |index: usize, name| params[index].as_str().ok_or(BadJob(name));
        let bytes = |index, name| {
            hex(text(index, name)?).filter(|bytes| bytes.len() <= MOST_COINBASE).ok_or(BadJob(name))
        };
        let number = |index, name| {
            let digits = text(index, name)?;
            u32::from_str_radix(digits, 16).map_err(|_| BadJob(name))
        };
        let mut before = bytes(2, "coinbase")?;
        before.extend_from_slice(&subscription.extranonce1);
        let branch = params[4].as_array().ok_or(BadJob("merkle branch"))?;
        if branch.len() > MOST_BRANCH {
            return Err(BadJob("merkle branch"));
        }
        let branch = branch.iter().map(|hash| hash.as_str().and_then(hash_of).ok_or(BadJob("merkle branch")));
        let swapped = hash_of(text(1, "previous block")?).ok_or(BadJob("previous block"))?;
        Ok(Self {
            id: text(0, "id")?.to_owned(),
            time: number(7, "time")?,
            target: super::hash::target(subscription.difficulty),
            coinbase: [before, bytes(3, "coinbase")?],
            extranonce2_size: subscription.extranonce2_size,
            branch: branch.collect::<Result<_, _>>()?,
            prev_block: swap_words(swapped),
            version: number(5, "version")?,
            bits: number(6, "bits")?,
            mask: subscription.mask,
            taken: AtomicU64::new(0),
        })
    }

    /// The next piece of work that nobody has taken yet.
    pub(crate) fn take_piece(&self) -> Piece {
        let count = self.taken.fetch_add(1, Ordering::Relaxed);
        let counter = count.to_be_bytes();
        let skipped = counter.len().saturating_sub(self.extranonce2_size);
        let mut extranonce2 = vec![0; self.extranonce2_size.saturating_sub(counter.len())];
        extranonce2.extend_from_slice(&counter[skipped..]);
        let version_bits = spread(count, self.mask);
        let [before, after] = &self.coinbase;
        let mut root = double_sha256(&[before, &extranonce2, after]);
        for hash in &self.branch {
            root = double_sha256(&[&root, hash]);
        }
        let version = (self.version & !self.mask) | version_bits;
        let mut header = [0; 80];
        header[..4].copy_from_slice(&version.to_le_bytes());
        header[4..36].copy_from_slice(&self.prev_block);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&self.time.to_le_bytes());
        header[72..76].copy_from_slice(&self.bits.to_le_bytes());
        let extranonce2 = extranonce2.iter().map(|byte| format!("{byte:02x}")).collect();
        Piece { extranonce2, version_bits, header }
    }
}

/// Puts the low bits of a number, one by one, where the mask has ones.
fn spread(mut number: u64, mask: u32) -> u32 {
    let mut bits = 0;
    for position in (0..32).filter(|position| mask >> position & 1 == 1) {
        bits |= u32::from(number & 1 == 1) << position;
        number >>= 1;
    }
    bits
}

/// Reverses the bytes of each 4-byte word: from Stratum's order to the header's.
fn swap_words(mut hash: [u8; 32]) -> [u8; 32] {
    hash.as_chunks_mut::<4>().0.iter_mut().for_each(|word| word.reverse());
    hash
}

fn double_sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut first = Sha256::new();
    parts.iter().for_each(|part| first.update(part));
    Sha256::digest(first.finalize()).into()
}

/// Bytes from hexadecimal digits.
pub(crate) fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn hash_of(text: &str) -> Option<[u8; 32]> {
    hex(text)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn subscription() -> Subscription {
        Subscription { extranonce1: vec![0xaa; 4], extranonce2_size: 8, mask: 0x1fff_e000, difficulty: 1.0 }
    }

    fn notify() -> serde_json::Value {
        let zeros = "00".repeat(28);
        json!([
            "a",
            format!("01020304{zeros}"),
            "0102",
            "03",
            ["ff".repeat(32)],
            "20000000",
            "1d00ffff",
            "6b49d200",
            true
        ])
    }

    #[test]
    fn pieces_differ_and_have_the_headers_byte_order() {
        let job = Job::read(&notify(), &subscription()).expect("a job");
        let [first, second] = [job.take_piece(), job.take_piece()];
        assert_eq!((first.extranonce2.as_str(), first.version_bits), ("0000000000000000", 0));
        assert_eq!((second.extranonce2.as_str(), second.version_bits), ("0000000000000001", 0x2000));
        assert_eq!(second.header[..8], [0, 0x20, 0, 0x20, 4, 3, 2, 1]);
        assert_eq!(second.header[68..], [0, 0xd2, 0x49, 0x6b, 0xff, 0xff, 0, 0x1d, 0, 0, 0, 0]);
        assert_ne!(first.header[36..68], second.header[36..68]);
        let coinbase = [&[1, 2][..], &[0xaa; 4], &[0; 8], &[3]].concat();
        let expected = double_sha256(&[&double_sha256(&[&coinbase]), &[0xff; 32]]);
        assert_eq!(first.header[36..68], expected);
    }

    #[test]
    fn extranonces_have_the_size_that_the_server_wants() {
        for (size, last) in [(4, "00000001"), (10, "00000000000000000001"), (1, "01")] {
            let job = Job::read(&notify(), &Subscription { extranonce2_size: size, ..subscription() });
            let job = job.expect("a job");
            job.take_piece();
            assert_eq!(job.take_piece().extranonce2, last);
        }
    }

    #[test]
    fn nonsense_is_no_job() {
        assert_eq!(spread(0b101, 0xf000_0000), 0x5000_0000);
        for index in 0..8 {
            let mut params = notify();
            params[index] = json!("zz");
            let read = Job::read(&params, &subscription());
            assert_eq!(read.is_err(), index != 0, "{index}");
            params[index] = json!(null);
            assert!(Job::read(&params, &subscription()).is_err(), "{index}");
        }
        assert!(Job::read(&json!([]), &subscription()).is_err());
        assert!(Job::read(&json!(5), &subscription()).is_err());
    }
}
