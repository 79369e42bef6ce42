//! Shares, share blocks and their ids: the plain data, its canonical form and the hash that commits to it.
//!
//! Nothing here is judged: a value of these types may be nonsense in every field that its encoding allows.
//! [`crate::verify`] turns a [`Share`] into a `Bound` and a `Verified` one.

use crate::codec::{Decode, DecodeError, Encode, Reader, put_hashes, put_size};
use crate::hash::{self, BLOCK_LEN, Midstate};
use crate::owner::Owner;
use crate::params::{ChainId, MAX_BRANCH, MAX_COINBASE, MAX_TAG, MIN_COINBASE};
use crate::units::{BitcoinHeight, Height, UnixTime};
use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget, TxMerkleNode};
use core::fmt;
use std::sync::Arc;

/// The id of a share and of the share block that it may be: the hash of its Bitcoin header.
///
/// Held in the byte order that SHA-256 gives, shown reversed as Bitcoin shows block hashes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShareId(pub [u8; 32]);

impl ShareId {
    const fn head(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl Ord for ShareId {
    /// The order of the bytes. The first eight nearly always decide, and are compared as one number.
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.head().cmp(&other.head()).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for ShareId {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ShareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShareId({self})")
    }
}

/// Not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a share id is 64 hexadecimal digits")]
pub struct BadShareId;

impl core::str::FromStr for ShareId {
    type Err = BadShareId;

    fn from_str(text: &str) -> Result<Self, BadShareId> {
        text.parse::<BlockHash>().map(|hash| Self(hash.to_byte_array())).map_err(|_| BadShareId)
    }
}

impl From<ShareId> for BlockHash {
    fn from(id: ShareId) -> Self {
        Self::from_byte_array(id.0)
    }
}

/// A Bitcoin header without its merkle root, which follows from the rest of the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareHeader {
    /// Block version; miners may roll bits of it.
    pub version: Version,
    /// The Bitcoin block built on.
    pub prev_block: BlockHash,
    /// Header time; miners may roll it.
    pub time: u32,
    /// Network target in compact form.
    pub bits: CompactTarget,
    /// Nonce.
    pub nonce: u32,
}

impl ShareHeader {
    /// The whole 80-byte header.
    pub fn with_merkle_root(&self, merkle_root: [u8; 32]) -> bitcoin::block::Header {
        bitcoin::block::Header {
            version: self.version,
            prev_blockhash: self.prev_block,
            merkle_root: TxMerkleNode::from_byte_array(merkle_root),
            time: self.time,
            bits: self.bits,
            nonce: self.nonce,
        }
    }
}

/// What of the coinbase prefix a share carries: enough to hash the coinbase, and to compare it with the one due.
///
/// The prefix is all of the coinbase up to the commitment hash. It ends with the head of the commitment output
/// (8 bytes of value, script length, OP_RETURN, PUSH44).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbaseLink {
    midstate: Midstate,
    prefix_len: u16,
    rest: RestBytes,
}

/// Up to 74 bytes in place: a share has no other small heap block.
type RestBytes = [u8; MAX_REST];

/// Head of the commitment output: value 0, script of 46 bytes, OP_RETURN, PUSH44.
pub const COMMITMENT_OUTPUT_HEAD: [u8; 11] = [0, 0, 0, 0, 0, 0, 0, 0, 46, 0x6a, 44];
/// Bytes of a coinbase after its prefix: commitment hash, extranonce, locktime.
pub const COINBASE_SUFFIX_LEN: usize = 48;
const MAX_REST: usize = BLOCK_LEN + COMMITMENT_OUTPUT_HEAD.len() - 1;
const MIN_PREFIX: usize = MIN_COINBASE - COINBASE_SUFFIX_LEN;
const MAX_PREFIX: usize = MAX_COINBASE - COINBASE_SUFFIX_LEN;

impl CoinbaseLink {
    /// The link of a coinbase with this prefix, or none when the coinbase would be too short or too long.
    pub fn of_prefix(prefix: &[u8]) -> Option<Self> {
        if !(MIN_PREFIX..=MAX_PREFIX).contains(&prefix.len()) {
            return None;
        }
        let prefix_len = u16::try_from(prefix.len()).ok()?;
        let (hashed, rest_bytes) = prefix.split_at(hashed_len(prefix.len()));
        let mut rest = [0; MAX_REST];
        rest[..rest_bytes.len()].copy_from_slice(rest_bytes);
        Some(Self { midstate: Midstate::of(hashed), prefix_len, rest })
    }

    /// Length of the whole coinbase prefix in bytes.
    pub const fn prefix_len(&self) -> u16 {
        self.prefix_len
    }

    /// The prefix's bytes after the midstate: 11 to 74.
    pub fn rest(&self) -> &[u8] {
        let len = usize::from(self.prefix_len);
        &self.rest[..len.saturating_sub(hashed_len(len))]
    }

    /// The coinbase's txid, in the byte order that SHA-256 gives.
    pub fn txid(&self, commitment: &[u8; 32], extranonce: &Extranonce, locktime: u32) -> [u8; 32] {
        let mut tail = [0u8; MAX_REST + COINBASE_SUFFIX_LEN];
        let mut len = 0_usize;
        for part in [self.rest(), commitment, extranonce, &locktime.to_le_bytes()] {
            let end = len.saturating_add(part.len());
            tail[len..end].copy_from_slice(part);
            len = end;
        }
        let done = hashed_len(usize::from(self.prefix_len)) as u64;
        hash::sha256_of_hash(&self.midstate.finish(done, &tail[..len]))
    }
}

/// Bytes of a prefix behind the midstate: whole blocks that leave at least the commitment output's head.
const fn hashed_len(prefix_len: usize) -> usize {
    let hashed = prefix_len.saturating_sub(COMMITMENT_OUTPUT_HEAD.len());
    hashed.saturating_sub(hashed % BLOCK_LEN)
}

/// Extranonce: 4 bytes chosen by the node, 8 by the miner.
pub type Extranonce = [u8; 12];

/// A coinbase tag: nothing, or one direct push (opcodes 1 to 75) of at most 40 bytes in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tag(Vec<u8>);

impl Tag {
    /// The tag that pushes `data`, or none when it is empty or longer than 39 bytes.
    pub fn pushing(data: &[u8]) -> Option<Self> {
        let len = u8::try_from(data.len()).ok()?;
        let fits = (1..MAX_TAG).contains(&data.len());
        fits.then(|| Self([&[len], data].concat()))
    }

    /// The bytes as they stand in the scriptSig, the push opcode included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a share says of itself; its hash stands in the coinbase (protocol section 4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Version of the rules, 1.
    pub version: u32,
    /// Signal bits (protocol section 7).
    pub signals: u32,
    /// Height of the Bitcoin block that this would be.
    pub bitcoin_height: BitcoinHeight,
    /// Value of the coinbase in satoshis: subsidy and fees.
    pub coinbase_value: u64,
    /// What follows the height in the coinbase's scriptSig.
    pub tag: Tag,
    /// The hash in the BIP141 witness commitment output.
    pub witness_commitment: [u8; 32],
    /// The share block mined on, or the chain id.
    pub parent: ShareId,
    /// The block `base_depth` generations before the parent, or the chain id.
    pub base: ShareId,
    /// The parent's height and 1.
    pub height: Height,
    /// When the job was made.
    pub time: UnixTime,
    /// Block target in compact form.
    pub bits: CompactTarget,
    /// Share target in compact form.
    pub share_bits: CompactTarget,
    /// Whom the share is credited to.
    pub owner: Owner,
    /// The payout class: most payout outputs of the coinbase.
    pub class: u16,
    /// Hash of the ordered list of included share ids.
    pub includes: [u8; 32],
}

impl Commitment {
    /// The hash that stands in the coinbase: a tagged hash of the chain id and the canonical encoding.
    pub fn hash(&self, chain: ChainId) -> [u8; 32] {
        let mut message = Vec::with_capacity(320);
        message.extend_from_slice(&chain.0);
        self.encode(&mut message);
        hash::COMMITMENT.hash(&message)
    }

    /// The coinbase's locktime: the height before, so that the transaction obeys BIP54 already.
    pub const fn locktime(&self) -> u32 {
        self.bitcoin_height.0.saturating_sub(1)
    }
}

/// The `includes` hash of an ordered list of share ids.
pub fn includes_hash(ids: &[ShareId]) -> [u8; 32] {
    let mut message = Vec::with_capacity(ids.len().saturating_mul(32).saturating_add(9));
    put_size(&mut message, ids.len());
    ids.iter().for_each(|id| message.extend_from_slice(&id.0));
    hash::INCLUDES.hash(&message)
}

/// A share as it travels and is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The Bitcoin header.
    pub header: ShareHeader,
    /// Extranonce in the coinbase's last output.
    pub extranonce: Extranonce,
    /// Merkle branch of the coinbase, from the bottom.
    pub branch: Vec<[u8; 32]>,
    /// The coinbase before the commitment hash.
    pub link: CoinbaseLink,
    /// What the share says.
    pub commitment: Commitment,
}

impl Share {
    /// The Bitcoin header with the merkle root that follows from the link, the commitment, the extranonce and the branch.
    pub fn full_header(&self, chain: ChainId) -> bitcoin::block::Header {
        let commitment = self.commitment.hash(chain);
        let txid = self.link.txid(&commitment, &self.extranonce, self.commitment.locktime());
        self.header.with_merkle_root(hash::merkle_root(txid, &self.branch))
    }

    /// Bytes of the canonical form.
    pub fn encoded_len(&self) -> usize {
        let variable = [
            self.branch.as_flattened().len(),
            self.link.rest().len(),
            self.commitment.tag.as_bytes().len(),
            self.commitment.owner.as_bytes().len(),
        ];
        variable.into_iter().fold(FIXED_LEN, usize::saturating_add)
    }

    /// The id: the hash of the Bitcoin header. Costs the whole chain of hashes; keep the result.
    pub fn id(&self, chain: ChainId) -> ShareId {
        header_id(&self.full_header(chain))
    }
}

/// Bytes of a share besides branch, prefix rest, tag and owner: header 48, extranonce 12, link 34, commitment 166, and
/// the three lengths.
const FIXED_LEN: usize = 263;

/// The id of the share with this header.
pub fn header_id(header: &bitcoin::block::Header) -> ShareId {
    let mut bytes = [0; 80];
    bytes[..4].copy_from_slice(&header.version.to_consensus().to_le_bytes());
    bytes[4..36].copy_from_slice(header.prev_blockhash.as_byte_array());
    bytes[36..68].copy_from_slice(header.merkle_root.as_byte_array());
    bytes[68..72].copy_from_slice(&header.time.to_le_bytes());
    bytes[72..76].copy_from_slice(&header.bits.to_consensus().to_le_bytes());
    bytes[76..].copy_from_slice(&header.nonce.to_le_bytes());
    ShareId(hash::sha256d(&bytes))
}

/// A share block: its own share and the shares that it lists, in order, bodies included. This is what the store keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareBlock {
    /// The share that is the block.
    pub share: Arc<Share>,
    /// The listed shares, in the order in which they are credited.
    pub listed: Vec<Arc<Share>>,
}

impl Encode for ShareHeader {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_consensus().to_le_bytes());
        out.extend_from_slice(self.prev_block.as_byte_array());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.bits.to_consensus().to_le_bytes());
        out.extend_from_slice(&self.nonce.to_le_bytes());
    }
}

impl Decode for ShareHeader {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: Version::from_consensus(reader.i32("version")?),
            prev_block: BlockHash::from_byte_array(reader.array("prev_block")?),
            time: reader.u32("header time")?,
            bits: CompactTarget::from_consensus(reader.u32("header bits")?),
            nonce: reader.u32("nonce")?,
        })
    }
}

impl Encode for CoinbaseLink {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.midstate.to_bytes());
        out.extend_from_slice(&self.prefix_len.to_le_bytes());
        out.extend_from_slice(self.rest());
    }
}

impl Decode for CoinbaseLink {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let midstate = Midstate::from_bytes(reader.array("midstate")?);
        let prefix_len = reader.u16("prefix length")?;
        let len = usize::from(prefix_len);
        if !(MIN_PREFIX..=MAX_PREFIX).contains(&len) {
            return Err(DecodeError::BadValue("prefix length"));
        }
        let bytes = reader.bytes(len.saturating_sub(hashed_len(len)), "prefix rest")?;
        let mut rest = [0; MAX_REST];
        rest[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { midstate, prefix_len, rest })
    }
}

impl Encode for Tag {
    fn encode(&self, out: &mut Vec<u8>) {
        put_size(out, self.0.len());
        out.extend_from_slice(&self.0);
    }
}

impl Decode for Tag {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let len = reader.size(MAX_TAG, "tag")?;
        match reader.bytes(len, "tag")? {
            [] => Ok(Self::default()),
            [_] => Err(DecodeError::BadValue("tag")),
            bytes @ [push, data @ ..] if usize::from(*push) == data.len() => Ok(Self(bytes.to_vec())),
            _ => Err(DecodeError::BadValue("tag")),
        }
    }
}

impl Encode for Commitment {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.version.to_le_bytes());
        out.extend_from_slice(&self.signals.to_le_bytes());
        out.extend_from_slice(&self.bitcoin_height.0.to_le_bytes());
        out.extend_from_slice(&self.coinbase_value.to_le_bytes());
        self.tag.encode(out);
        out.extend_from_slice(&self.witness_commitment);
        out.extend_from_slice(&self.parent.0);
        out.extend_from_slice(&self.base.0);
        out.extend_from_slice(&self.height.0.to_le_bytes());
        out.extend_from_slice(&self.time.0.to_le_bytes());
        out.extend_from_slice(&self.bits.to_consensus().to_le_bytes());
        out.extend_from_slice(&self.share_bits.to_consensus().to_le_bytes());
        self.owner.encode(out);
        out.extend_from_slice(&self.class.to_le_bytes());
        out.extend_from_slice(&self.includes);
    }
}

impl Decode for Commitment {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u32("commitment version")?,
            signals: reader.u32("signal bits")?,
            bitcoin_height: BitcoinHeight(reader.u32("Bitcoin height")?),
            coinbase_value: reader.u64("coinbase value")?,
            tag: Tag::decode(reader)?,
            witness_commitment: reader.array("witness commitment")?,
            parent: ShareId(reader.array("parent")?),
            base: ShareId(reader.array("base")?),
            height: Height(reader.u32("height")?),
            time: UnixTime(reader.u32("time")?),
            bits: CompactTarget::from_consensus(reader.u32("block bits")?),
            share_bits: CompactTarget::from_consensus(reader.u32("share bits")?),
            owner: Owner::decode(reader)?,
            class: reader.u16("class")?,
            includes: reader.array("includes")?,
        })
    }
}

impl Encode for Share {
    fn encode(&self, out: &mut Vec<u8>) {
        self.header.encode(out);
        out.extend_from_slice(&self.extranonce);
        put_hashes(out, &self.branch);
        self.link.encode(out);
        self.commitment.encode(out);
    }
}

impl Decode for Share {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            header: ShareHeader::decode(reader)?,
            extranonce: reader.array("extranonce")?,
            branch: reader.hashes(MAX_BRANCH, "merkle branch")?,
            link: CoinbaseLink::decode(reader)?,
            commitment: Commitment::decode(reader)?,
        })
    }
}

/// Bytes of the smallest share, so that a count of shares is held against the bytes behind it before memory is taken.
const MIN_SHARE: usize = 296;
/// More than any chain's `max_listed`.
const MAX_LISTED: usize = 4_096;

impl Encode for ShareBlock {
    fn encode(&self, out: &mut Vec<u8>) {
        self.share.encode(out);
        put_size(out, self.listed.len());
        self.listed.iter().for_each(|share| share.encode(out));
    }
}

impl Decode for ShareBlock {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let share = Arc::new(Share::decode(reader)?);
        let count = reader.size(MAX_LISTED, "listed shares")?;
        if count.saturating_mul(MIN_SHARE) > reader.remaining() {
            return Err(DecodeError::Truncated("listed shares"));
        }
        let mut listed = Vec::with_capacity(count);
        for _ in 0..count {
            listed.push(Arc::new(Share::decode(reader)?));
        }
        Ok(Self { share, listed })
    }
}
