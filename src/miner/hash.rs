//! The search: double SHA-256 of a header with one nonce after the other, from the midstate of its first 64 bytes.

use primitive_types::U256;
use sha2::block_api::compress256;
use std::ops::Range;
use std::time::{Duration, Instant};

const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// A header ready to be searched.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    midstate: [u32; 8],
    /// The header's last 16 bytes and SHA-256's padding for 80 bytes.
    tail: [u8; 64],
    target: U256,
    /// The target's highest 32 bits: nearly every hash fails on them already.
    top: u32,
}

impl Search {
    /// Prepares the search of a header, whose nonce is ignored, for hashes of at most `target`.
    pub(crate) fn new(header: &[u8; 80], target: U256) -> Self {
        let mut midstate = INITIAL;
        compress256(&mut midstate, header.as_chunks::<64>().0);
        let mut tail = [0; 64];
        tail[..16].copy_from_slice(&header[64..]);
        tail[16] = 0x80;
        tail[62..].copy_from_slice(&640_u16.to_be_bytes());
        let top = u32::try_from(target >> 224).unwrap_or(u32::MAX);
        Self { midstate, tail, target, top }
    }

    /// The first of these nonces whose hash meets the target.
    pub(crate) fn run(&self, nonces: Range<u64>) -> Option<u32> {
        let mut first = [self.tail];
        let mut second = [[0; 64]];
        second[0][32] = 0x80;
        second[0][62..].copy_from_slice(&256_u16.to_be_bytes());
        for nonce in nonces {
            let nonce = u32::try_from(nonce).ok()?;
            first[0][12..16].copy_from_slice(&nonce.to_le_bytes());
            let mut state = self.midstate;
            compress256(&mut state, &first);
            put_words(&mut second[0], &state);
            state = INITIAL;
            compress256(&mut state, &second);
            if state[7].swap_bytes() <= self.top && self.meets(&state) {
                return Some(nonce);
            }
        }
        None
    }

    fn meets(&self, state: &[u32; 8]) -> bool {
        let mut hash = [0; 64];
        put_words(&mut hash, state);
        U256::from_little_endian(&hash[..32]) <= self.target
    }
}

fn put_words(bytes: &mut [u8; 64], words: &[u32; 8]) {
    for (chunk, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *chunk = word.to_be_bytes();
    }
}

/// The target of a Stratum difficulty: 0xffff × 2^208 / difficulty, to 53 bits.
pub(crate) fn target(difficulty: f64) -> U256 {
    // As mantissa × 2^exponent, since the number itself may be larger than any float's whole part.
    let quotient = 65_535.0 / difficulty;
    if !quotient.is_finite() || quotient <= 0.0 {
        return U256::zero();
    }
    let bits = quotient.to_bits();
    let mantissa = U256::from((bits & ((1 << 52) - 1)) | (1 << 52));
    let exponent = i64::try_from(bits >> 52).unwrap_or(0) - 1023 - 52 + 208;
    match usize::try_from(exponent) {
        Ok(left) if left + 53 > 256 => U256::MAX,
        Ok(left) => mantissa << left,
        Err(_) => mantissa >> usize::try_from(-exponent).unwrap_or(256).min(256),
    }
}

/// Hashes a second that one thread does, measured for `time`.
#[expect(clippy::cast_precision_loss, reason = "a rate, for people and for choosing a difficulty")]
pub fn search_rate(time: Duration) -> f64 {
    const BATCH: u64 = 1 << 12;
    let search = Search::new(&[0x5a; 80], U256::zero());
    let start = Instant::now();
    let mut done = 0;
    while start.elapsed() < time || done == 0 {
        std::hint::black_box(search.run(done..done + BATCH));
        done += BATCH;
    }
    done as f64 / start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::hashes::Hash;

    fn genesis() -> [u8; 80] {
        let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Bitcoin).header;
        bitcoin::consensus::serialize(&genesis).try_into().expect("80 bytes")
    }

    #[test]
    fn bitcoins_first_block_is_found_again() {
        let search = Search::new(&genesis(), target(1.0));
        assert_eq!(search.run(2_083_230_000..2_083_240_000), Some(2_083_236_893));
        assert_eq!(search.run(2_083_236_894..2_083_240_000), None);
    }

    #[test]
    fn the_search_finds_what_plain_hashing_finds() {
        let mut header = genesis();
        let target = U256::MAX >> 8;
        let search = Search::new(&header, target);
        let plain = (0..5_000_u32).filter(|nonce| {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let hash = bitcoin::hashes::sha256d::Hash::hash(&header).to_byte_array();
            U256::from_little_endian(&hash) <= target
        });
        let plain: Vec<u32> = plain.collect();
        let (mut found, mut next) = (Vec::new(), 0);
        while let Some(nonce) = search.run(next..5_000) {
            found.push(nonce);
            next = u64::from(nonce) + 1;
        }
        assert!(!plain.is_empty());
        assert_eq!(found, plain);
        assert_eq!(search.run((1 << 32)..(1 << 32) + 5), None, "past the last nonce");
    }

    #[test]
    fn targets_of_difficulties() {
        assert_eq!(target(1.0), U256::from(0xffff) << 208);
        assert_eq!(target(65_536.0), U256::from(0xffff) << 192);
        assert_eq!(target(f64::from(-32).exp2()), U256::from(0xffff) << 240);
        assert_eq!(target(1e-30), U256::MAX);
        assert_eq!(target(65_535.0 * f64::from(200).exp2()), U256::one() << 8);
        assert_eq!(target(65_535.0 * f64::from(300).exp2()), U256::zero());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!([U256::zero(), U256::MAX].contains(&target(bad)), "{bad}");
        }
    }
}
