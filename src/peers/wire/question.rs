//! What one node may ask another.

use super::gossip::{ids, put_ids};
use super::{MAX_BLOCKS, MAX_LOCATOR, MAX_SHARES};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use sharechain::codec::{Decode, DecodeError, Encode, Reader};
use sharechain::share::ShareId;
use sharechain::units::Height;

/// A question. Its first byte is its kind; the answers have none, since they belong to a question.
///
/// Kind 6 is about found Bitcoin blocks and none of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Where the answerer stands.
    Tip,
    /// Ids of the blocks after the newest of these that is on the answerer's active branch.
    Ids {
        /// Ids of the asker's active branch, newest first.
        locator: Vec<ShareId>,
    },
    /// Blocks with the shares that they list.
    Blocks {
        /// Height of the first.
        from: Height,
        /// Their ids, at consecutive heights.
        ids: Vec<ShareId>,
    },
    /// Shares that no block may have listed yet.
    Shares {
        /// Their ids.
        ids: Vec<ShareId>,
    },
    /// Bitcoin headers up to this one.
    BitcoinHeaders {
        /// Hash of the last.
        hash: BlockHash,
    },
}

const TIP: u8 = 0;
const IDS: u8 = 1;
const BLOCKS: u8 = 2;
const SHARES: u8 = 3;
const BITCOIN_HEADERS: u8 = 4;

impl Encode for Question {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Tip => out.push(TIP),
            Self::Ids { locator } => {
                out.push(IDS);
                put_ids(out, locator);
            }
            Self::Blocks { from, ids } => {
                out.push(BLOCKS);
                out.extend_from_slice(&from.0.to_le_bytes());
                put_ids(out, ids);
            }
            Self::Shares { ids } => {
                out.push(SHARES);
                put_ids(out, ids);
            }
            Self::BitcoinHeaders { hash } => {
                out.push(BITCOIN_HEADERS);
                out.extend_from_slice(hash.as_byte_array());
            }
        }
    }
}

impl Decode for Question {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8("kind of question")? {
            TIP => Ok(Self::Tip),
            IDS => Ok(Self::Ids { locator: ids(reader, MAX_LOCATOR, "locator")? }),
            BLOCKS => Ok(Self::Blocks {
                from: Height(reader.u32("height")?),
                ids: ids(reader, MAX_BLOCKS, "block ids")?,
            }),
            SHARES => Ok(Self::Shares { ids: ids(reader, MAX_SHARES, "share ids")? }),
            BITCOIN_HEADERS => {
                Ok(Self::BitcoinHeaders { hash: BlockHash::from_byte_array(reader.array("block hash")?) })
            }
            _ => Err(DecodeError::BadValue("kind of question")),
        }
    }
}
