//! Shares and share blocks in JSON, with every field that their canonical encoding has, and back.

use super::hex::{AnyBytes, Bits, Bytes, Hash, Hex, Text};
use bitcoin::BlockHash;
use bitcoin::block::Version;
use serde::{Deserialize, Serialize};
use sharechain::codec::{Decode, DecodeError, Encode, put_size};
use sharechain::owner::Owner;
use sharechain::params::ChainId;
use sharechain::share::{CoinbaseLink, Commitment, Share, ShareBlock, ShareHeader, ShareId, Tag};
use sharechain::units::{BitcoinHeight, Height, UnixTime};
use thiserror::Error;
use utoipa::ToSchema;

/// A share block: the height first, since it is what a reader looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BlockForm {
    /// Height in the share chain.
    pub height: u32,
    /// The share that is the block.
    pub share: ShareForm,
    /// The shares that it lists, in the order in which they are credited.
    pub listed: Vec<ShareForm>,
}

/// A share. Hashes of blocks and shares have the byte order that Bitcoin shows, all other bytes the order in which
/// they are hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ShareForm {
    /// The id: the hash of the Bitcoin header.
    #[schema(value_type = Hash)]
    pub id: Text<ShareId>,
    /// The Bitcoin header without its merkle root.
    pub header: HeaderForm,
    /// Extranonce.
    #[schema(value_type = Hex)]
    pub extranonce: Bytes<12>,
    /// Merkle branch of the coinbase, from the bottom.
    #[schema(value_type = Vec<Hex>)]
    pub branch: Vec<Bytes<32>>,
    /// The coinbase before the commitment hash.
    pub link: LinkForm,
    /// What the share says of itself.
    pub commitment: CommitmentForm,
}

/// A Bitcoin header without its merkle root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderForm {
    /// Block version.
    pub version: i32,
    /// The Bitcoin block built on.
    #[schema(value_type = Hash)]
    pub prev_block: Text<BlockHash>,
    /// Header time, seconds since 1970.
    pub time: u32,
    /// Network target.
    pub bits: Bits,
    /// Nonce.
    pub nonce: u32,
}

/// A coinbase link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkForm {
    /// SHA-256 state after the prefix's whole blocks.
    #[schema(value_type = Hex)]
    pub midstate: Bytes<32>,
    /// Length of the whole prefix in bytes.
    pub prefix_len: u16,
    /// The prefix's bytes after the midstate.
    pub rest: AnyBytes,
}

/// A commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CommitmentForm {
    /// Version of the rules.
    pub version: u32,
    /// Signal bits.
    pub signals: u32,
    /// Height of the Bitcoin block that this would be.
    pub bitcoin_height: u32,
    /// Value of the coinbase in satoshis.
    pub coinbase_value: u64,
    /// What follows the height in the coinbase's scriptSig, the push opcode included.
    pub tag: AnyBytes,
    /// The hash in the witness commitment output.
    #[schema(value_type = Hex)]
    pub witness_commitment: Bytes<32>,
    /// The share block mined on, or the chain id.
    #[schema(value_type = Hash)]
    pub parent: Text<ShareId>,
    /// The base, or the chain id.
    #[schema(value_type = Hash)]
    pub base: Text<ShareId>,
    /// The parent's height and 1.
    pub height: u32,
    /// When the job was made, seconds since 1970.
    pub time: u32,
    /// Block target.
    pub bits: Bits,
    /// Share target.
    pub share_bits: Bits,
    /// The scriptPubKey credited.
    pub owner: AnyBytes,
    /// Payout class.
    pub class: u16,
    /// Hash of the ordered list of included ids.
    #[schema(value_type = Hex)]
    pub includes: Bytes<32>,
}

/// A form that no share has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormError {
    /// A field's bytes cannot be what the field is.
    #[error("share {id}: {field}: {source}")]
    Field {
        /// The id that the form gives.
        id: ShareId,
        /// The field.
        field: &'static str,
        /// What is wrong.
        source: DecodeError,
    },
    /// The id does not belong to the fields.
    #[error("share {given}: its fields hash to {computed}, so the form was changed or is of another chain")]
    Id {
        /// The id that the form gives.
        given: ShareId,
        /// The id that its fields give.
        computed: ShareId,
    },
    /// The height beside the block is not the block's.
    #[error("share block {0}: the height beside it is not the one that it commits to")]
    Height(ShareId),
}

impl BlockForm {
    /// The form of a block of this chain.
    pub fn new(block: &ShareBlock, chain: ChainId) -> Self {
        Self {
            height: block.share.commitment.height.0,
            share: ShareForm::new(&block.share, chain),
            listed: block.listed.iter().map(|share| ShareForm::new(share, chain)).collect(),
        }
    }

    /// The block, with every id in it checked.
    pub fn to_block(&self, chain: ChainId) -> Result<ShareBlock, FormError> {
        let share = self.share.to_share(chain)?;
        if share.commitment.height.0 != self.height {
            return Err(FormError::Height(self.share.id.0));
        }
        let listed = self.listed.iter().map(|share| share.to_share(chain).map(Into::into));
        Ok(ShareBlock { share: share.into(), listed: listed.collect::<Result<_, _>>()? })
    }
}

impl ShareForm {
    /// The form of a share of this chain.
    pub fn new(share: &Share, chain: ChainId) -> Self {
        Self {
            id: Text(share.id(chain)),
            header: HeaderForm::new(&share.header),
            extranonce: Bytes(share.extranonce),
            branch: share.branch.iter().copied().map(Bytes).collect(),
            link: LinkForm::new(&share.link),
            commitment: CommitmentForm::new(&share.commitment),
        }
    }

    /// The share, with its id checked.
    pub fn to_share(&self, chain: ChainId) -> Result<Share, FormError> {
        let given = self.id.0;
        let wrong = |(field, source)| FormError::Field { id: given, field, source };
        let share = Share {
            header: self.header.to_header(),
            extranonce: self.extranonce.0,
            branch: self.branch.iter().map(|hash| hash.0).collect(),
            link: self.link.to_link().map_err(|e| wrong(("link", e)))?,
            commitment: self.commitment.to_commitment().map_err(wrong)?,
        };
        // The encoding bounds what no type does: the length of the branch.
        Share::from_bytes(&share.to_bytes()).map_err(|e| wrong(("share", e)))?;
        let computed = share.id(chain);
        if computed == given { Ok(share) } else { Err(FormError::Id { given, computed }) }
    }
}

impl HeaderForm {
    fn new(header: &ShareHeader) -> Self {
        Self {
            version: header.version.to_consensus(),
            prev_block: Text(header.prev_block),
            time: header.time,
            bits: Bits(header.bits),
            nonce: header.nonce,
        }
    }

    fn to_header(&self) -> ShareHeader {
        ShareHeader {
            version: Version::from_consensus(self.version),
            prev_block: self.prev_block.0,
            time: self.time,
            bits: self.bits.0,
            nonce: self.nonce,
        }
    }
}

/// Bytes of a link's midstate in its encoding.
const MIDSTATE_LEN: usize = 32;

impl LinkForm {
    fn new(link: &CoinbaseLink) -> Self {
        let bytes = link.to_bytes();
        let midstate =
            bytes.first_chunk::<MIDSTATE_LEN>().copied().expect("a link's encoding begins with it");
        Self {
            midstate: Bytes(midstate),
            prefix_len: link.prefix_len(),
            rest: AnyBytes(link.rest().to_vec()),
        }
    }

    fn to_link(&self) -> Result<CoinbaseLink, DecodeError> {
        CoinbaseLink::from_bytes(
            &[&self.midstate.0[..], &self.prefix_len.to_le_bytes(), &self.rest.0].concat(),
        )
    }
}

impl CommitmentForm {
    fn new(commitment: &Commitment) -> Self {
        Self {
            version: commitment.version,
            signals: commitment.signals,
            bitcoin_height: commitment.bitcoin_height.0,
            coinbase_value: commitment.coinbase_value,
            tag: AnyBytes(commitment.tag.as_bytes().to_vec()),
            witness_commitment: Bytes(commitment.witness_commitment),
            parent: Text(commitment.parent),
            base: Text(commitment.base),
            height: commitment.height.0,
            time: commitment.time.0,
            bits: Bits(commitment.bits),
            share_bits: Bits(commitment.share_bits),
            owner: AnyBytes(commitment.owner.as_bytes().to_vec()),
            class: commitment.class,
            includes: Bytes(commitment.includes),
        }
    }

    fn to_commitment(&self) -> Result<Commitment, (&'static str, DecodeError)> {
        Ok(Commitment {
            version: self.version,
            signals: self.signals,
            bitcoin_height: BitcoinHeight(self.bitcoin_height),
            coinbase_value: self.coinbase_value,
            tag: Tag::from_bytes(&with_length(&self.tag)).map_err(|e| ("tag", e))?,
            witness_commitment: self.witness_commitment.0,
            parent: self.parent.0,
            base: self.base.0,
            height: Height(self.height),
            time: UnixTime(self.time),
            bits: self.bits.0,
            share_bits: self.share_bits.0,
            owner: Owner::from_bytes(&with_length(&self.owner)).map_err(|e| ("owner", e))?,
            class: self.class,
            includes: self.includes.0,
        })
    }
}

fn with_length(bytes: &AnyBytes) -> Vec<u8> {
    let mut encoded = Vec::new();
    put_size(&mut encoded, bytes.0.len());
    encoded.extend_from_slice(&bytes.0);
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::CompactTarget;
    use bitcoin::hashes::Hash;
    use proptest::prelude::*;

    const CHAIN: ChainId = ChainId([7; 32]);

    prop_compose! {
        fn any_share()(
            numbers: [u32; 8], value: u64, hashes: [[u8; 32]; 5], owner_hash: [u8; 20], extranonce: [u8; 12],
            class: u16, version: i32,
            branch in prop::collection::vec(any::<[u8; 32]>(), 0..=16),
            tag in prop::collection::vec(any::<u8>(), 0..=39),
            prefix in prop::collection::vec(any::<u8>(), 80..500),
        ) -> Share {
            let script = [&[0, 20][..], &owner_hash].concat();
            Share {
                header: ShareHeader {
                    version: Version::from_consensus(version),
                    prev_block: BlockHash::from_byte_array(hashes[0]),
                    time: numbers[0],
                    bits: CompactTarget::from_consensus(numbers[1]),
                    nonce: numbers[2],
                },
                extranonce,
                branch,
                link: CoinbaseLink::of_prefix(&prefix).expect("long enough"),
                commitment: Commitment {
                    version: numbers[3],
                    signals: numbers[4],
                    bitcoin_height: BitcoinHeight(numbers[5]),
                    coinbase_value: value,
                    tag: Tag::pushing(&tag).unwrap_or_default(),
                    witness_commitment: hashes[1],
                    parent: ShareId(hashes[2]),
                    base: ShareId(hashes[3]),
                    height: Height(numbers[6]),
                    time: UnixTime(numbers[7]),
                    bits: CompactTarget::from_consensus(numbers[1]),
                    share_bits: CompactTarget::from_consensus(numbers[0]),
                    owner: Owner::new(bitcoin::Script::from_bytes(&script)).expect("P2WPKH"),
                    class,
                    includes: hashes[4],
                },
            }
        }
    }

    proptest! {
        #[test]
        fn blocks_round_trip_through_their_text(share in any_share(), listed in prop::collection::vec(any_share(), 0..3)) {
            let listed = listed.into_iter().map(Into::into).collect();
            let block = ShareBlock { share: share.into(), listed };
            let text = serde_json::to_string(&BlockForm::new(&block, CHAIN)).expect("written");
            let form: BlockForm = serde_json::from_str(&text).expect("read back");
            prop_assert_eq!(form.to_block(CHAIN), Ok(block));
        }

        #[test]
        fn a_changed_form_or_another_chain_is_noticed(share in any_share(), other: u32) {
            let form = ShareForm::new(&share, CHAIN);
            prop_assume!(other != form.commitment.signals);
            let mut changed = form.clone();
            changed.commitment.signals = other;
            let noticed = matches!(changed.to_share(CHAIN), Err(FormError::Id { .. }));
            prop_assert!(noticed);
            let noticed = matches!(form.to_share(ChainId([8; 32])), Err(FormError::Id { .. }));
            prop_assert!(noticed);
        }

        #[test]
        fn forms_of_impossible_shares_are_refused(share in any_share()) {
            let form = ShareForm::new(&share, CHAIN);
            let broken: [fn(&mut ShareForm); 5] = [
                |f| f.branch = vec![Bytes([0; 32]); 17],
                |f| f.link.prefix_len = 10,
                |f| f.link.rest.0.push(0),
                |f| f.commitment.tag = AnyBytes(vec![5, 0]),
                |f| f.commitment.owner = AnyBytes(vec![0x6a]),
            ];
            for break_it in broken {
                let mut form = form.clone();
                break_it(&mut form);
                let refused = matches!(form.to_share(CHAIN), Err(FormError::Field { .. }));
                prop_assert!(refused);
            }
        }
    }

    #[test]
    fn unknown_and_missing_fields_are_refused() {
        let text = r#"{"version":1,"prev_block":"00","time":1,"bits":"1d00ffff","nonce":1,"more":1}"#;
        assert!(serde_json::from_str::<HeaderForm>(text).is_err());
        assert!(serde_json::from_str::<HeaderForm>(r#"{"version":1}"#).is_err());
    }
}
