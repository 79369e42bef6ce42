//! A client's side of a job, with byte order code of its own: from the texts of a `mining.notify` to a header's hash.

use bitcoin::hashes::{Hash, sha256d};
use bitcoin::hex::FromHex;
use primitive_types::U256;
use serde_json::Value;

/// A job as it was announced.
#[derive(Clone, Debug)]
pub(super) struct Notified {
    pub(super) id: String,
    prev_block: Vec<u8>,
    coinbase: [Vec<u8>; 2],
    branch: Vec<Vec<u8>>,
    version: u32,
    bits: u32,
    pub(super) time: u32,
}

/// What a miner fills in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Filled<'a> {
    pub(super) extranonce1: &'a str,
    pub(super) extranonce2: &'a str,
    pub(super) mask: u32,
    pub(super) bits: u32,
    pub(super) nonce: u32,
}

impl Notified {
    /// Reads a line, which must be a notify.
    pub(super) fn read(line: &Value) -> Self {
        assert_eq!(line["method"], "mining.notify", "{line}");
        let text = |index: usize| line["params"][index].as_str().expect("text");
        assert_eq!(
            line["params"].as_array().expect("an array").len(),
            9,
            "some devices look at the last one"
        );
        // Eight words, each of which is turned around.
        let words = text(1).as_bytes().chunks(8).map(|word| str::from_utf8(word).expect("digits"));
        let prev_block = words.flat_map(|word| number(word).to_le_bytes()).collect();
        let branch = line["params"][4].as_array().expect("a branch").iter();
        Self {
            id: text(0).to_owned(),
            prev_block,
            coinbase: [unhex(text(2)), unhex(text(3))],
            branch: branch.map(|hash| unhex(hash.as_str().expect("text"))).collect(),
            version: number(text(5)),
            bits: number(text(6)),
            time: number(text(7)),
        }
    }

    /// The bytes of a coinbase with twelve of extranonce.
    pub(super) fn coinbase_len(&self) -> usize {
        self.coinbase[0].len() + 12 + self.coinbase[1].len()
    }

    /// The header's hash, in the order in which it comes out.
    pub(super) fn hash(&self, filled: &Filled<'_>) -> [u8; 32] {
        self.hashes(filled)(filled.nonce)
    }

    /// The first nonce whose hash meets a difficulty.
    pub(super) fn mine(&self, filled: &Filled<'_>, difficulty: f64) -> u32 {
        let (hash, target) = (self.hashes(filled), target(difficulty));
        let met = |nonce: &u32| U256::from_little_endian(&hash(*nonce)) <= target;
        (0..u32::MAX).find(met).expect("easy enough")
    }

    fn hashes(&self, filled: &Filled<'_>) -> impl Fn(u32) -> [u8; 32] {
        let [head, tail] = &self.coinbase;
        let coinbase =
            [head.as_slice(), &unhex(filled.extranonce1), &unhex(filled.extranonce2), tail].concat();
        let mut root = sha256d::Hash::hash(&coinbase).to_byte_array().to_vec();
        for right in &self.branch {
            root = sha256d::Hash::hash(&[root, right.clone()].concat()).to_byte_array().to_vec();
        }
        let version = (self.version & !filled.mask) | (filled.bits & filled.mask);
        let start = [&version.to_le_bytes()[..], &self.prev_block, &root].concat();
        let end = [self.time.to_le_bytes(), self.bits.to_le_bytes()].concat();
        move |nonce| {
            let header = [&start[..], &end, &nonce.to_le_bytes()].concat();
            assert_eq!(header.len(), 80);
            sha256d::Hash::hash(&header).to_byte_array()
        }
    }
}

/// The target of a difficulty that is a power of two.
fn target(difficulty: f64) -> U256 {
    let one = U256::from(0xffff) << 208;
    let factor = |value: f64| format!("{value:.0}").parse::<u64>().expect("a power of two");
    if difficulty >= 1.0 { one / factor(difficulty) } else { one * factor(1.0 / difficulty) }
}

fn number(digits: &str) -> u32 {
    assert_eq!(digits.len(), 8, "some devices want all eight");
    u32::from_str_radix(digits, 16).expect("digits")
}

fn unhex(digits: &str) -> Vec<u8> {
    Vec::from_hex(digits).expect("hexadecimal digits")
}
