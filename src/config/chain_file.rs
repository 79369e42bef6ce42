//! The parameters of a private share chain, from TOML: the keys of [`ChainParams`], those missing as the network's
//! own chain has them.
//!
//! Compact targets are hexadecimal texts (`easiest_block_target = "1d1fffe0"`, and `embedded_bits` for the embedded
//! network), `first_bitcoin_block` is `{ height = 0, hash = "…" }`, and `window_score` a decimal number of Bitcoin blocks.

use super::toml_file::{self, FileError};
use super::value::{NetworkName, from_text};
use bitcoin::{BlockHash, CompactTarget};
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use sharechain::params::{ChainParams, Network};
use sharechain::units::{BitcoinHeight, Score};
use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// Network target of the embedded network unless a chain file or the demo says otherwise: 16.8 million hashes.
const EMBEDDED_BITS: u32 = 0x1e00_ffff;
/// Easiest block target on the embedded network: 65,537 hashes.
const EMBEDDED_EASIEST: u32 = 0x1f00_ffff;

/// The chain that everybody on this network shares.
pub fn preset(network: NetworkName) -> ChainParams {
    match network {
        NetworkName::Main => ChainParams::main(),
        NetworkName::Testnet4 => ChainParams::testnet4(),
        NetworkName::Signet => ChainParams::signet(),
        NetworkName::Regtest => ChainParams::regtest(),
        NetworkName::Embedded => ChainParams {
            easiest_block_target: CompactTarget::from_consensus(EMBEDDED_EASIEST),
            ..ChainParams::embedded(EMBEDDED_BITS)
        },
    }
}

/// The keys of a chain file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ChainFile {
    pub(super) network: Option<NetworkName>,
    embedded_bits: Option<Bits>,
    name: Option<String>,
    spacing: Option<u32>,
    shares_per_block: Option<u32>,
    easiest_block_target: Option<Bits>,
    first_bitcoin_block: Option<FirstBlock>,
    retarget_constant: Option<u32>,
    stall_relief: Option<u32>,
    future_limit: Option<u32>,
    base_depth: Option<u32>,
    include_depth: Option<u32>,
    payout_interval: Option<u32>,
    max_listed: Option<u32>,
    window_blocks: Option<u32>,
    window_score: Option<Blocks>,
    smallest_payout: Option<u64>,
    classes: Option<Vec<u16>>,
}

impl ChainFile {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        toml_file::read(path)
    }

    /// The parameters, unchecked, or the reason why they contradict each other.
    pub(super) fn params(self, network: NetworkName) -> Result<ChainParams, &'static str> {
        let preset = preset(network);
        let base = match (preset.network, self.embedded_bits) {
            (Network::Embedded { .. }, Some(Bits(bits))) => ChainParams {
                easiest_block_target: preset.easiest_block_target,
                ..ChainParams::embedded(bits)
            },
            (_, Some(_)) => return Err("embedded_bits is for network = \"embedded\" only; leave it out"),
            (_, None) => preset,
        };
        let first = self.first_bitcoin_block.map(|first| (BitcoinHeight(first.height), first.hash));
        let easiest = self.easiest_block_target.map(|Bits(bits)| CompactTarget::from_consensus(bits));
        Ok(ChainParams {
            name: self.name.unwrap_or(base.name),
            network: base.network,
            spacing: self.spacing.unwrap_or(base.spacing),
            shares_per_block: self.shares_per_block.unwrap_or(base.shares_per_block),
            easiest_block_target: easiest.unwrap_or(base.easiest_block_target),
            first_bitcoin_block: first.unwrap_or(base.first_bitcoin_block),
            retarget_constant: self.retarget_constant.unwrap_or(base.retarget_constant),
            stall_relief: self.stall_relief.unwrap_or(base.stall_relief),
            future_limit: self.future_limit.unwrap_or(base.future_limit),
            base_depth: self.base_depth.unwrap_or(base.base_depth),
            include_depth: self.include_depth.unwrap_or(base.include_depth),
            payout_interval: self.payout_interval.unwrap_or(base.payout_interval),
            max_listed: self.max_listed.unwrap_or(base.max_listed),
            window_blocks: self.window_blocks.unwrap_or(base.window_blocks),
            window_score: self.window_score.map_or(base.window_score, |Blocks(score)| score),
            smallest_payout: self.smallest_payout.unwrap_or(base.smallest_payout),
            classes: self.classes.unwrap_or(base.classes),
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstBlock {
    height: u32,
    #[serde(deserialize_with = "block_hash")]
    hash: BlockHash,
}

fn block_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BlockHash, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::custom("a block hash is 64 hexadecimal digits"))
}

/// A compact target in hexadecimal, with or without `0x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits(u32);

impl FromStr for Bits {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        let hex = digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = u32::from_str_radix(digits, 16).ok().filter(|_| hex);
        bits.map(Self).ok_or("a compact target is a text of 8 hexadecimal digits, like \"1d00ffff\"")
    }
}

from_text!(Bits);

/// A score in Bitcoin blocks, from a decimal text or number, rounded down to the 64 fractional bits of [`Score`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Blocks(Score);

impl FromStr for Blocks {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "a score is a decimal number of Bitcoin blocks with at most 18 decimals, like 4.0";
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 18 {
            return Err(wrong);
        }
        let whole: u32 = whole.parse().map_err(|_| wrong)?;
        let numerator: u128 = decimals.parse().map_err(|_| wrong)?;
        let denominator = 10_u128.pow(decimals.len() as u32);
        // Below 10^18 × 2^64 < 2^124, so neither the shift nor the sum overflows.
        Ok(Self(Score((u128::from(whole) << 64) + (numerator << 64) / denominator)))
    }
}

impl<'de> Deserialize<'de> for Blocks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyNumber;
        impl Visitor<'_> for AnyNumber {
            type Value = Blocks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Blocks, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Blocks, E> {
                self.visit_str(&number.to_string())
            }

            // A float is shown as the shortest decimal that reads back as it: what stood in the file.
            fn visit_f64<E: de::Error>(self, number: f64) -> Result<Blocks, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(AnyNumber)
    }
}

#[cfg(test)]
mod tests {
    use super::super::toml_file::parse;
    use super::*;

    fn params(text: &str, network: NetworkName) -> ChainParams {
        parse::<ChainFile>(text).expect("right").params(network).expect("right")
    }

    #[test]
    fn every_preset_makes_a_chain_and_an_empty_file_changes_nothing() {
        for network in [
            NetworkName::Main,
            NetworkName::Testnet4,
            NetworkName::Signet,
            NetworkName::Regtest,
            NetworkName::Embedded,
        ] {
            preset(network).validate().expect("a chain");
            assert_eq!(params("", network), preset(network));
        }
    }

    #[test]
    fn every_key_reaches_its_parameter() {
        let text = "name = 'n'\nembedded_bits = '0x1d00ffff'\nspacing = 1\nshares_per_block = 2\n\
            easiest_block_target = '1d00ffff'\nretarget_constant = 3\nstall_relief = 4\nfuture_limit = 5\nbase_depth = 6\n\
            include_depth = 7\npayout_interval = 8\nmax_listed = 9\nwindow_blocks = 10\nwindow_score = 0.5\n\
            smallest_payout = 11\nclasses = [12]\n\
            first_bitcoin_block = { height = 13, hash = '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6' }\n";
        let wanted = ChainParams {
            name: "n".into(),
            network: Network::Embedded { bits: 0x1d00_ffff },
            spacing: 1,
            shares_per_block: 2,
            easiest_block_target: CompactTarget::from_consensus(0x1d00_ffff),
            first_bitcoin_block: (BitcoinHeight(13), ChainParams::signet().first_bitcoin_block.1),
            retarget_constant: 3,
            stall_relief: 4,
            future_limit: 5,
            base_depth: 6,
            include_depth: 7,
            payout_interval: 8,
            max_listed: 9,
            window_blocks: 10,
            window_score: Score(1 << 63),
            smallest_payout: 11,
            classes: vec![12],
        };
        assert_eq!(params(text, NetworkName::Embedded), wanted);
    }

    #[test]
    fn scores_are_read_exactly_and_rounded_down() {
        for (text, score) in [
            ("4", 4 << 64),
            ("4.0", 4 << 64),
            ("'0.25'", 1 << 62),
            ("'0.1'", (1_u128 << 64) / 10),
            ("0.1", (1_u128 << 64) / 10),
            ("'0.000000000000000001'", 18),
        ] {
            let params = params(&format!("window_score = {text}"), NetworkName::Main);
            assert_eq!(params.window_score, Score(score), "{text}");
        }
        for text in
            ["-1", "-0.5", "'1e5'", "'.5'", "'5.'", "'1.0000000000000000001'", "5000000000", "inf", "true"]
        {
            assert!(parse::<ChainFile>(&format!("window_score = {text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        for text in [
            "easiest_block_target = '1d00fff'",
            "easiest_block_target = '+d00ffff'",
            "easiest_block_target = 486604799",
            "first_bitcoin_block = { height = 1 }",
            "first_bitcoin_block = { height = 1, hash = 'x' }",
            "first_bitcoin_block = { height = 1, hsah = 'x' }",
            "spacing = -1",
            "spacing = 4294967296",
            "classes = [70000]",
            "spacin = 1",
        ] {
            assert!(parse::<ChainFile>(text).is_err(), "{text}");
        }
        let file: ChainFile = parse("embedded_bits = '1d00ffff'").expect("right as such");
        assert!(file.params(NetworkName::Regtest).is_err());
    }
}
