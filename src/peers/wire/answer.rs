//! Answers, one form for each kind of question.

use super::gossip::{ids, put_ids};
use super::{MAX_BLOCKS, MAX_HEADERS, MAX_IDS, MAX_SHARES};
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use primitive_types::U256;
use sharechain::chain::TipClaim;
use sharechain::codec::{Decode, DecodeError, Encode, Reader, put_size};
use sharechain::share::{Share, ShareId};
use sharechain::target::Work;
use sharechain::units::Height;

/// Where a node stands, by its own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TipAnswer {
    /// Its tip, or the chain id.
    pub id: ShareId,
    /// The tip's height.
    pub height: Height,
    /// Work of its blocks on recent Bitcoin blocks (protocol section 7.1).
    pub recent_work: Work,
    /// Work of all blocks up to the tip.
    pub work: Work,
}

impl From<TipClaim> for TipAnswer {
    fn from(claim: TipClaim) -> Self {
        let TipClaim { id, height, recent_work, work } = claim;
        Self { id, height, recent_work, work }
    }
}

/// Ids of consecutive blocks of the answerer's active branch, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdsAnswer {
    /// Height of the first.
    pub from: Height,
    /// Parent of the first.
    pub parent: ShareId,
    /// The ids; none when the answerer has nothing after the locator.
    pub ids: Vec<ShareId>,
}

/// The blocks asked for, from the first on, as many as there is room for; none when the first is not there.
///
/// Each is the canonical form of a [`sharechain::share::ShareBlock`], not looked into here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlocksAnswer {
    /// The blocks.
    pub blocks: Vec<Vec<u8>>,
}

/// Those of the shares asked for that the answerer has, in the order of the question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharesAnswer {
    /// The shares.
    pub shares: Vec<Share>,
}

/// Bitcoin headers, each the parent of the next; the last is the one asked for. None when it is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadersAnswer {
    /// The headers.
    pub headers: Vec<Header>,
}

impl Encode for TipAnswer {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.height.0.to_le_bytes());
        out.extend_from_slice(&self.recent_work.0.to_little_endian());
        out.extend_from_slice(&self.work.0.to_little_endian());
    }
}

impl Decode for TipAnswer {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: ShareId(reader.array("tip")?),
            height: Height(reader.u32("height")?),
            recent_work: work(reader, "recent work")?,
            work: work(reader, "work")?,
        })
    }
}

fn work(reader: &mut Reader<'_>, field: &'static str) -> Result<Work, DecodeError> {
    Ok(Work(U256::from_little_endian(&reader.array::<32>(field)?)))
}

impl Encode for IdsAnswer {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.from.0.to_le_bytes());
        out.extend_from_slice(&self.parent.0);
        put_ids(out, &self.ids);
    }
}

impl Decode for IdsAnswer {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            from: Height(reader.u32("height")?),
            parent: ShareId(reader.array("parent")?),
            ids: ids(reader, MAX_IDS, "block ids")?,
        })
    }
}

impl Encode for BlocksAnswer {
    fn encode(&self, out: &mut Vec<u8>) {
        put_size(out, self.blocks.len());
        for block in &self.blocks {
            put_size(out, block.len());
            out.extend_from_slice(block);
        }
    }
}

impl Decode for BlocksAnswer {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.size(MAX_BLOCKS, "blocks")?;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let len = reader.size(reader.remaining(), "block")?;
            blocks.push(reader.bytes(len, "block")?.to_vec());
        }
        Ok(Self { blocks })
    }
}

impl Encode for SharesAnswer {
    fn encode(&self, out: &mut Vec<u8>) {
        put_size(out, self.shares.len());
        self.shares.iter().for_each(|share| share.encode(out));
    }
}

impl Decode for SharesAnswer {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.size(MAX_SHARES, "shares")?;
        let mut shares = Vec::new();
        for _ in 0..count {
            shares.push(Share::decode(reader)?);
        }
        Ok(Self { shares })
    }
}

impl Encode for HeadersAnswer {
    fn encode(&self, out: &mut Vec<u8>) {
        put_size(out, self.headers.len());
        for header in &self.headers {
            out.extend_from_slice(&header.version.to_consensus().to_le_bytes());
            out.extend_from_slice(header.prev_blockhash.as_byte_array());
            out.extend_from_slice(header.merkle_root.as_byte_array());
            for word in [header.time, header.bits.to_consensus(), header.nonce] {
                out.extend_from_slice(&word.to_le_bytes());
            }
        }
    }
}

impl Decode for HeadersAnswer {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let count = reader.size(MAX_HEADERS, "headers")?;
        let mut headers = Vec::new();
        for _ in 0..count {
            headers.push(Header {
                version: Version::from_consensus(reader.i32("version")?),
                prev_blockhash: BlockHash::from_byte_array(reader.array("previous block")?),
                merkle_root: TxMerkleNode::from_byte_array(reader.array("merkle root")?),
                time: reader.u32("time")?,
                bits: CompactTarget::from_consensus(reader.u32("bits")?),
                nonce: reader.u32("nonce")?,
            });
        }
        Ok(Self { headers })
    }
}
