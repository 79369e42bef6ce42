//! Gossiped shares and share blocks.

use super::MAX_LIST;
use sharechain::codec::{Decode, DecodeError, Encode, Reader, put_hashes};
use sharechain::share::{Share, ShareId};

/// A share on its way through the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareMessage {
    /// 0 when its finder says it. A node that could not judge it when it came, and so did not hand it on, says it again
    /// with a number that it has not heard once it can: the network drops what repeats byte for byte.
    pub round: u8,
    /// The share.
    pub share: Share,
}

/// A share block on its way through the pool, with the list that its commitment names but no bodies: most are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockMessage {
    /// As for [`ShareMessage::round`].
    pub round: u8,
    /// The share that is the block.
    pub share: Share,
    /// Ids of the listed shares, in order.
    pub includes: Vec<ShareId>,
}

impl Encode for ShareMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.round);
        self.share.encode(out);
    }
}

impl Decode for ShareMessage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { round: reader.u8("round")?, share: Share::decode(reader)? })
    }
}

impl Encode for BlockMessage {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.round);
        self.share.encode(out);
        put_ids(out, &self.includes);
    }
}

impl Decode for BlockMessage {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            round: reader.u8("round")?,
            share: Share::decode(reader)?,
            includes: ids(reader, MAX_LIST, "listed ids")?,
        })
    }
}

/// Appends a compact size and the ids.
pub(super) fn put_ids(out: &mut Vec<u8>, ids: &[ShareId]) {
    let hashes: Vec<[u8; 32]> = ids.iter().map(|id| id.0).collect();
    put_hashes(out, &hashes);
}

/// A compact size and that many ids.
pub(super) fn ids(
    reader: &mut Reader<'_>,
    most: usize,
    field: &'static str,
) -> Result<Vec<ShareId>, DecodeError> {
    Ok(reader.hashes(most, field)?.into_iter().map(ShareId).collect())
}
