//! What is told of the Bitcoin blocks that the pool has found.

use super::account::CoinbaseState;
use super::hex::{Hash, Text};
use super::view::{OutputForm, OwnerForm};
use bitcoin::{BlockHash, Txid};
use serde::{Deserialize, Serialize};
use sharechain::share::ShareId;
use utoipa::ToSchema;

/// Bitcoin blocks found by the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FoundForm {
    /// How many are known here.
    pub total: u64,
    /// Newest first.
    pub blocks: Vec<FoundBlockForm>,
    /// Where to go on, as `before`; none at the end.
    pub next_before: Option<u32>,
}

/// A Bitcoin block found by the pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FoundBlockForm {
    /// Its height.
    pub bitcoin_height: u32,
    /// Its hash.
    #[schema(value_type = Hash)]
    pub hash: Text<BlockHash>,
    /// The share that it is: the same hash, as the share chain has it.
    #[schema(value_type = Hash)]
    pub share: Text<ShareId>,
    /// Header time, seconds since 1970.
    pub time: u32,
    /// Who found it.
    pub finder: OwnerForm,
    /// Whether this node's own miners did.
    pub own: bool,
    /// Whether it is on the best Bitcoin chain that this node knows.
    pub on_best_chain: bool,
    /// Blocks of the best chain from this one on, itself included; 0 where it is not on that.
    pub confirmations: u32,
    /// What has become of its coinbase.
    pub state: CoinbaseState,
    /// Payout class.
    pub class: u16,
    /// Value of the coinbase in satoshis.
    pub value_satoshis: u64,
    /// The coinbase's txid; none where what it follows from is no longer kept.
    #[schema(value_type = Option<Hash>)]
    pub txid: Option<Text<Txid>>,
    /// The coinbase's outputs in their order, as far as they are known.
    pub outputs: Vec<OutputForm>,
    /// Whether these are all of them. Of old blocks only those to owners that this node works for are kept, and of some that
    /// were long past when this node first saw them none is known.
    pub outputs_whole: bool,
}
