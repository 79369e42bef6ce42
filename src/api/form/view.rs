//! What is told about the chain in answer to a question: tip, blocks, one share, payouts.
//!
//! Scores and parts are approximate numbers for people here; whoever must have them exactly reads an export.

use super::hex::{AnyBytes, Bits, Hash, Text};
use super::share::ShareForm;
use bitcoin::{BlockHash, Txid};
use serde::{Deserialize, Serialize};
use sharechain::owner::Owner;
use sharechain::params::Network;
use sharechain::share::ShareId;
use sharechain::units::Score;
use utoipa::ToSchema;

/// The state of the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TipForm {
    /// Identity of the chain.
    #[schema(value_type = Hash)]
    pub chain_id: Text<ShareId>,
    /// Its name.
    pub name: String,
    /// Its Bitcoin network.
    pub network: String,
    /// The newest share block; none in a chain that has not begun.
    pub tip: Option<BlockLine>,
    /// Share blocks in memory, those on other branches included.
    pub blocks: u64,
    /// Shares that are valid and may still be listed or needed.
    pub shares: u64,
    /// Shares that wait for something they build on.
    pub waiting: u64,
    /// The reward window at the tip.
    pub window: WindowForm,
    /// The newest Bitcoin header.
    pub bitcoin: BitcoinForm,
}

/// Size of a reward window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WindowForm {
    /// Score in it, in expected Bitcoin blocks.
    pub score: f64,
    /// Owners with a score in it.
    pub owners: u64,
}

/// A place in the Bitcoin chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BitcoinForm {
    /// Height.
    pub height: u32,
    /// Hash.
    #[schema(value_type = Hash)]
    pub hash: Text<BlockHash>,
}

/// A share block in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlockLine {
    /// Height in the share chain.
    pub height: u32,
    /// Id.
    #[schema(value_type = Hash)]
    pub id: Text<ShareId>,
    /// Its parent, or the chain id.
    #[schema(value_type = Hash)]
    pub parent: Text<ShareId>,
    /// When its job was made, seconds since 1970.
    pub time: u32,
    /// Block target.
    pub bits: Bits,
    /// Who made it.
    pub owner: OwnerForm,
    /// Shares that it lists.
    pub listed: u64,
    /// Score that it credits, its own and that of what it lists, in expected Bitcoin blocks.
    pub score: f64,
    /// Height of the Bitcoin block that it would be.
    pub bitcoin_height: u32,
    /// The Bitcoin block that it builds on.
    #[schema(value_type = Hash)]
    pub prev_block: Text<BlockHash>,
}

/// Blocks of the active branch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BlocksForm {
    /// Lowest first.
    pub blocks: Vec<BlockLine>,
    /// Blocks of other branches at the same heights that are still in memory, lowest first; at most 1,000.
    #[serde(default)]
    pub other_branches: Vec<BlockLine>,
}

/// An owner, as people and as programs name one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnerForm {
    /// Address on the chain's network.
    pub address: String,
    /// scriptPubKey.
    pub script: AnyBytes,
}

impl OwnerForm {
    /// The form of an owner on a network.
    pub fn new(owner: &Owner, network: Network) -> Self {
        Self {
            address: crate::address::address_of(owner, network),
            script: AnyBytes(owner.as_bytes().to_vec()),
        }
    }
}

/// A share and its place in the chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShownForm {
    /// Where it stands.
    pub place: PlaceForm,
    /// Whom it is credited to.
    pub owner: OwnerForm,
    /// The whole share.
    pub share: ShareForm,
    /// The ids that it lists, in order, if it is a share block.
    #[schema(value_type = Vec<Hash>)]
    pub listed: Vec<Text<ShareId>>,
}

/// Where a share stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum PlaceForm {
    /// It is a share block.
    Block {
        /// Its height.
        height: u32,
        /// Whether it is on the active branch.
        active: bool,
    },
    /// A share block lists it.
    Listed {
        /// The listing block's height.
        height: u32,
        /// The listing block.
        #[schema(value_type = Hash)]
        by: Text<ShareId>,
        /// Whether that block is on the active branch.
        active: bool,
    },
    /// No share block that is known here lists it yet.
    Unlisted,
}

/// What a coinbase pays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PayoutsForm {
    /// The share whose coinbase it is; none where it is the next Bitcoin block's, not found yet.
    #[schema(value_type = Option<Hash>)]
    pub share: Option<Text<ShareId>>,
    /// Height of the Bitcoin block.
    pub bitcoin_height: u32,
    /// The Bitcoin block before it.
    #[schema(value_type = Hash)]
    pub prev_block: Text<BlockHash>,
    /// Payout class.
    pub class: u16,
    /// Value of the coinbase in satoshis.
    pub value: u64,
    /// Whom the bonus goes to, where that is known.
    pub finder: Option<OwnerForm>,
    /// Satoshis of the finder's bonus; where no share is known and the window is empty, all.
    pub bonus: u64,
    /// The coinbase's txid, where its share is known.
    #[schema(value_type = Option<Hash>)]
    pub txid: Option<Text<Txid>>,
    /// The outputs in their order in the coinbase; where no share is known, the payouts alone.
    pub outputs: Vec<OutputForm>,
    /// How many owners are in the reward window.
    pub owners_total: u64,
    /// A page of them, largest score first: for a share those of the window that pays it, else those of the tip's.
    pub owners: Vec<PartForm>,
}

/// An output of a coinbase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputForm {
    /// What it is for.
    pub kind: OutputKind,
    /// Its value.
    pub satoshis: u64,
    /// Its scriptPubKey.
    pub script: AnyBytes,
    /// The address of that script, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// What an output of a coinbase is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutputKind {
    /// Pays for work in the reward window.
    Payout,
    /// Pays the finder.
    Bonus,
    /// BIP141's witness commitment.
    WitnessCommitment,
    /// The share's commitment and extranonce.
    ShareCommitment,
}

/// An owner's part of the reward window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PartForm {
    /// The owner.
    pub owner: OwnerForm,
    /// Score in expected Bitcoin blocks.
    pub score: f64,
    /// Part of the window's score, 0 to 1.
    pub part: f64,
}

/// A score as a number for people: expected Bitcoin blocks.
pub fn blocks_of(score: Score) -> f64 {
    score.0 as f64 / Score::ONE.0 as f64
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorForm {
    /// For people.
    pub error: String,
}
