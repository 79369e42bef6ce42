//! What rows look like on the disk, and their way from and to the working types.
//!
//! Every row is an envelope: 8 bytes of SHA-256 over key and content, then the content. So a row that sled lost, mixed up or took
//! from another key is seen. Share blocks, shares and Bitcoin headers are in their canonical bytes; the rest is bincode with
//! fixed integers. The structs here are the format: to change one is to make a new schema.

use bincode::Options;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, Script};
use primitive_types::U256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sharechain::chain::{BlockSummary, Freshness, GraftClaim};
use sharechain::codec::{Decode, Encode};
use sharechain::owner::Owner;
use sharechain::params::ChainId;
use sharechain::share::{Share, ShareId};
use sharechain::store::Solution;
use sharechain::target::Work;
use sharechain::units::{BitcoinHeight, Height, Score, UnixTime};
use sharechain::window::{BlockCredits, Contribution};
use std::sync::Arc;
use thiserror::Error;

use super::error::ChainName;

/// Most bytes of a bincode row. The largest, an index row of 4,096 listed shares, has at most 530,000.
const MAX_ROW: u64 = 1 << 20;
const CHECKSUM: usize = 8;

/// Why a row cannot be read.
#[derive(Debug, Error)]
pub(super) enum BadRow {
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it does not decode ({0})")]
    Bincode(#[from] bincode::Error),
    #[error("it does not decode ({0})")]
    Canonical(#[from] sharechain::codec::DecodeError),
    #[error("it does not decode ({0})")]
    Bitcoin(#[from] bitcoin::consensus::encode::Error),
    #[error("it holds a script that cannot own shares")]
    Owner(#[from] sharechain::owner::BadOwner),
}

fn options() -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().reject_trailing_bytes().with_limit(MAX_ROW)
}

fn checksum(key: &[u8], content: &[u8]) -> [u8; CHECKSUM] {
    let hash: [u8; 32] = Sha256::new().chain_update(key).chain_update(content).finalize().into();
    let mut sum = [0; CHECKSUM];
    sum.copy_from_slice(&hash[..CHECKSUM]);
    sum
}

/// The value to store under `key`.
pub(super) fn seal(key: &[u8], content: &[u8]) -> Vec<u8> {
    [&checksum(key, content), content].concat()
}

/// The content of the value stored under `key`.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<&'a [u8], BadRow> {
    match value.split_first_chunk::<CHECKSUM>() {
        Some((sum, content)) if *sum == checksum(key, content) => Ok(content),
        _ => Err(BadRow::Checksum),
    }
}

#[derive(Serialize, Deserialize)]
struct ChainRow {
    name: String,
    network: String,
    id: [u8; 32],
}

#[derive(Serialize, Deserialize)]
struct IndexRow<'a> {
    parent: [u8; 32],
    time: u32,
    bits: u32,
    work: [u8; 32],
    bitcoin_height: u32,
    prev_block: [u8; 32],
    fresh_work: [u8; 32],
    fresh_parent_work: [u8; 32],
    fresh_at: u32,
    #[serde(borrow)]
    lister: &'a [u8],
    #[serde(borrow)]
    own: Option<ContributionRow<'a>>,
    #[serde(borrow)]
    listed: Vec<ContributionRow<'a>>,
    credited: Vec<[u8; 32]>,
    listed_on: Vec<[u8; 32]>,
}

#[derive(Serialize, Deserialize)]
struct ContributionRow<'a> {
    #[serde(borrow)]
    owner: &'a [u8],
    signals: u32,
    score: u128,
}

#[derive(Serialize, Deserialize)]
struct SolutionRow {
    header: Vec<u8>,
    coinbase: Vec<u8>,
    share: Vec<u8>,
}

/// The content of the chain row.
pub(super) fn encode_chain(chain: &ChainName) -> Result<Vec<u8>, BadRow> {
    let row = ChainRow { name: chain.name.clone(), network: chain.network.clone(), id: chain.id.0 };
    Ok(options().serialize(&row)?)
}

/// The chain that a chain row names.
pub(super) fn decode_chain(content: &[u8]) -> Result<ChainName, BadRow> {
    let row: ChainRow = options().deserialize(content)?;
    Ok(ChainName { name: row.name, network: row.network, id: ChainId(row.id) })
}

/// The content of an index row; height and id are in its key.
pub(super) fn encode_index(summary: &BlockSummary) -> Result<Vec<u8>, BadRow> {
    let credits = &summary.credits;
    let row = IndexRow {
        parent: summary.parent.0,
        time: summary.time.0,
        bits: summary.bits.to_consensus(),
        work: summary.work.0.to_little_endian(),
        bitcoin_height: summary.bitcoin_height.0,
        prev_block: summary.prev_block.to_byte_array(),
        fresh_work: summary.freshness.work.0.to_little_endian(),
        fresh_parent_work: summary.freshness.parent_work.0.to_little_endian(),
        fresh_at: summary.freshness.reached_at.0,
        lister: credits.lister.as_bytes(),
        own: credits.own.as_ref().map(contribution_row),
        listed: credits.listed.iter().map(contribution_row).collect(),
        credited: summary.credited.iter().map(|id| id.0).collect(),
        listed_on: summary.listed_on.iter().map(|hash| hash.to_byte_array()).collect(),
    };
    Ok(options().serialize(&row)?)
}

/// The content of the graft row.
pub(super) fn encode_graft(claim: &GraftClaim) -> Vec<u8> {
    [&claim.anchor.0[..], &claim.at.0.to_le_bytes(), &claim.tip.0.to_le_bytes()].concat()
}

/// The claim of a graft row.
pub(super) fn decode_graft(content: &[u8]) -> Option<GraftClaim> {
    let (anchor, rest) = content.split_first_chunk::<32>()?;
    let (at, rest) = rest.split_first_chunk::<4>()?;
    let height = |bytes: [u8; 4]| Height(u32::from_le_bytes(bytes));
    Some(GraftClaim { anchor: ShareId(*anchor), at: height(*at), tip: height(rest.try_into().ok()?) })
}

/// The summary of the block with this height and id.
pub(super) fn decode_index(height: Height, id: ShareId, content: &[u8]) -> Result<BlockSummary, BadRow> {
    let row: IndexRow<'_> = options().deserialize(content)?;
    let credits = BlockCredits {
        lister: owner(row.lister)?,
        own: row.own.as_ref().map(contribution).transpose()?,
        listed: row.listed.iter().map(contribution).collect::<Result<_, _>>()?,
    };
    Ok(BlockSummary {
        id,
        parent: ShareId(row.parent),
        height,
        time: UnixTime(row.time),
        bits: CompactTarget::from_consensus(row.bits),
        work: work(&row.work),
        bitcoin_height: BitcoinHeight(row.bitcoin_height),
        prev_block: BlockHash::from_byte_array(row.prev_block),
        listed_on: row.listed_on.into_iter().map(BlockHash::from_byte_array).collect(),
        freshness: Freshness {
            work: work(&row.fresh_work),
            parent_work: work(&row.fresh_parent_work),
            reached_at: Height(row.fresh_at),
        },
        credits: Arc::new(credits),
        credited: Arc::new(row.credited.into_iter().map(ShareId).collect()),
    })
}

fn contribution_row(contribution: &Contribution) -> ContributionRow<'_> {
    ContributionRow {
        owner: contribution.owner.as_bytes(),
        signals: contribution.signals,
        score: contribution.score.0,
    }
}

fn contribution(row: &ContributionRow<'_>) -> Result<Contribution, BadRow> {
    Ok(Contribution { owner: owner(row.owner)?, signals: row.signals, score: Score(row.score) })
}

fn owner(bytes: &[u8]) -> Result<Owner, BadRow> {
    Ok(Owner::new(Script::from_bytes(bytes))?)
}

fn work(bytes: &[u8; 32]) -> Work {
    Work(U256::from_little_endian(bytes))
}

/// The content of a solution row.
pub(super) fn encode_solution(solution: &Solution) -> Result<Vec<u8>, BadRow> {
    let row = SolutionRow {
        header: serialize(&solution.header),
        coinbase: solution.coinbase.clone(),
        share: solution.share.to_bytes(),
    };
    Ok(options().serialize(&row)?)
}

/// The solution of a solution row.
pub(super) fn decode_solution(content: &[u8]) -> Result<Solution, BadRow> {
    let row: SolutionRow = options().deserialize(content)?;
    Ok(Solution {
        header: deserialize(&row.header)?,
        coinbase: row.coinbase,
        share: Share::from_bytes(&row.share)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_binds_its_content_to_its_key() {
        let value = seal(b"key", b"content");
        assert_eq!(unseal(b"key", &value).expect("as sealed"), b"content");
        assert!(matches!(unseal(b"kex", &value), Err(BadRow::Checksum)));
        for at in 0..value.len() {
            let mut flipped = value.clone();
            flipped[at] ^= 1;
            assert!(matches!(unseal(b"key", &flipped), Err(BadRow::Checksum)), "byte {at}");
        }
        assert!(matches!(unseal(b"key", &value[..7]), Err(BadRow::Checksum)));
    }

    #[test]
    fn trailing_bytes_and_huge_lengths_are_refused() {
        let chain = ChainName { name: "a".into(), network: "b".into(), id: ChainId([1; 32]) };
        let mut bytes = encode_chain(&chain).expect("encodes");
        assert_eq!(decode_chain(&bytes).expect("as encoded"), chain);
        bytes.push(0);
        assert!(matches!(decode_chain(&bytes), Err(BadRow::Bincode(_))));
        bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(matches!(decode_chain(&bytes), Err(BadRow::Bincode(_))));
    }
}
