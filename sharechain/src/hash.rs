//! SHA-256 as the share chain uses it: double hashes, tagged hashes, midstates and merkle paths.
//!
//! Built on the `sha2` crate's block function, since a share's coinbase is hashed from a midstate.

use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

/// Bytes that one SHA-256 compression takes in.
pub const BLOCK_LEN: usize = 64;

const INITIAL_STATE: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// SHA-256 state after a whole number of 64-byte blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Midstate([u32; 8]);

impl Midstate {
    /// The state before the first block.
    pub const INITIAL: Self = Self(INITIAL_STATE);

    /// The state after the first `whole_blocks(data)` blocks of `data`.
    pub fn of(data: &[u8]) -> Self {
        let mut state = INITIAL_STATE;
        let (blocks, _) = data.as_chunks::<BLOCK_LEN>();
        compress256(&mut state, blocks);
        Self(state)
    }

    /// The 32 bytes of the state: eight big-endian words, as SHA-256 writes its result.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (out, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(self.0) {
            *out = word.to_be_bytes();
        }
        bytes
    }

    /// Reads what [`Midstate::to_bytes`] wrote.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut state = [0; 8];
        for (word, chunk) in state.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *word = u32::from_be_bytes(*chunk);
        }
        Self(state)
    }

    /// SHA-256 of a message whose first `done` bytes (a multiple of 64) led to this state and whose rest is `tail`.
    ///
    /// `tail` is at most three blocks less the padding (183 bytes), which is all that a coinbase's end can be.
    pub fn finish(self, done: u64, tail: &[u8]) -> [u8; 32] {
        let mut buffer = [0u8; 3 * BLOCK_LEN];
        let padded = tail.len().saturating_add(9).div_ceil(BLOCK_LEN).saturating_mul(BLOCK_LEN);
        debug_assert!(padded <= buffer.len(), "the tail of a coinbase fits in three blocks");
        let bit_len = done.saturating_add(tail.len() as u64).saturating_mul(8);
        buffer[..tail.len()].copy_from_slice(tail);
        buffer[tail.len()] = 0x80;
        buffer[padded.saturating_sub(8)..padded].copy_from_slice(&bit_len.to_be_bytes());
        let mut state = self.0;
        compress256(&mut state, buffer[..padded].as_chunks::<BLOCK_LEN>().0);
        Self(state).to_bytes()
    }
}

/// SHA-256.
pub fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// SHA-256 of SHA-256, Bitcoin's hash.
pub fn sha256d(data: &[u8]) -> [u8; 32] {
    sha256_of_hash(&sha256(data))
}

/// SHA-256 of a 32-byte hash: one compression.
pub fn sha256_of_hash(hash: &[u8; 32]) -> [u8; 32] {
    Midstate::INITIAL.finish(0, hash)
}

/// Root of the merkle tree whose leftmost leaf is `leaf` and whose right siblings, from the bottom, are `branch`.
pub fn merkle_root(leaf: [u8; 32], branch: &[[u8; 32]]) -> [u8; 32] {
    let mut pair = [0; 64];
    branch.iter().fold(leaf, |left, right| {
        pair[..32].copy_from_slice(&left);
        pair[32..].copy_from_slice(right);
        sha256_of_hash(&Midstate::INITIAL.finish(0, &pair))
    })
}

/// A domain of tagged hashes in the manner of BIP340: SHA-256(SHA-256(tag) || SHA-256(tag) || message).
pub struct Tag {
    midstate: LazyLock<Midstate>,
}

impl Tag {
    const fn new(midstate: fn() -> Midstate) -> Self {
        Self { midstate: LazyLock::new(midstate) }
    }

    /// The tagged hash of `message`.
    pub fn hash(&self, message: &[u8]) -> [u8; 32] {
        let (blocks, rest) = message.as_chunks::<BLOCK_LEN>();
        let mut state = self.midstate.0;
        compress256(&mut state, blocks);
        let done = message.len().saturating_sub(rest.len()).saturating_add(BLOCK_LEN);
        Midstate(state).finish(done as u64, rest)
    }
}

fn tag_midstate(name: &str) -> Midstate {
    let hash = sha256(name.as_bytes());
    let mut block = [0; 64];
    block[..32].copy_from_slice(&hash);
    block[32..].copy_from_slice(&hash);
    Midstate::of(&block)
}

/// Chain parameters to chain id.
pub static CHAIN_ID: Tag = Tag::new(|| tag_midstate("commonwork/chain"));
/// Commitment fields to commitment hash.
pub static COMMITMENT: Tag = Tag::new(|| tag_midstate("commonwork/commitment"));
/// The ordered list of included share ids to the `includes` field.
pub static INCLUDES: Tag = Tag::new(|| tag_midstate("commonwork/includes"));
/// Chain id, prev_block and stage to the seed of payout sampling.
pub static PAYOUT_SEED: Tag = Tag::new(|| tag_midstate("commonwork/payout"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_midstate_finishes_to_the_plain_hash() {
        let data: Vec<u8> = (0..=255).cycle().take(400).collect();
        for cut in [0, 64, 128, 256] {
            for len in cut..(cut + 184).min(400) {
                let midstate = Midstate::of(&data[..cut]);
                assert_eq!(midstate.finish(cut as u64, &data[cut..len]), sha256(&data[..len]), "{cut} {len}");
            }
        }
        assert_eq!(Midstate::from_bytes(Midstate::of(&data).to_bytes()), Midstate::of(&data));
    }

    #[test]
    fn tagged_hashes_are_bip340s() {
        let tag = sha256(b"commonwork/includes");
        for len in [0, 1, 63, 64, 65, 300] {
            let message = vec![7; len];
            assert_eq!(INCLUDES.hash(&message), sha256(&[&tag[..], &tag[..], &message[..]].concat()));
        }
    }

    #[test]
    fn merkle_root_of_block_with_two_transactions() {
        let (a, b) = ([1; 32], [2; 32]);
        assert_eq!(merkle_root(a, &[]), a);
        assert_eq!(merkle_root(a, &[b]), sha256d(&[a, b].concat()));
    }
}
