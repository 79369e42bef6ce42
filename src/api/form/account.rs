//! What is told of an owner's account, and of the pool's work as a whole.

use super::hex::{Hash, Text};
use super::view::OwnerForm;
use bitcoin::{BlockHash, Txid};
use serde::{Deserialize, Serialize};
use sharechain::share::ShareId;
use utoipa::ToSchema;

/// The work of the whole pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PoolForm {
    /// Height of the tip that this is seen from.
    pub height: u32,
    /// Score in the reward window, in expected Bitcoin blocks.
    pub window_score: f64,
    /// Owners with a score in it.
    pub window_owners: u64,
    /// Share blocks that the window reaches into.
    pub window_blocks: u64,
    /// What was measured of the newest share blocks.
    pub recent: RecentForm,
    /// Satoshis of the next Bitcoin block: subsidy and, where a template is there, fees.
    pub next_block_satoshis: u64,
    /// Hashes that a Bitcoin block takes at the present difficulty, on average.
    pub hashes_per_bitcoin_block: f64,
}

/// What was measured of share blocks: those of the last day by their own times, at most 5,760 of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecentForm {
    /// Seconds that they took; 0 where there are fewer than two, and then the rest is 0 too.
    pub seconds: u32,
    /// How many there are.
    pub share_blocks: u64,
    /// The work that they credit, in expected Bitcoin blocks a day.
    pub bitcoin_blocks_per_day: f64,
    /// The same in hashes a second.
    pub hashes_per_second: f64,
}

/// What is known of an owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccountForm {
    /// The owner.
    pub owner: OwnerForm,
    /// Height of the tip that this is seen from.
    pub height: u32,
    /// Its score in the reward window, in expected Bitcoin blocks.
    pub window_score: f64,
    /// Its part of the window's score, 0 to 1.
    pub window_part: f64,
    /// Its place among the owners of the window, 1 for the largest score; none without a score.
    pub window_rank: Option<u64>,
    /// Its own work of the last day.
    pub recent: RecentForm,
    /// What it may expect.
    pub expected: ExpectedForm,
    /// What it has been paid.
    pub paid: PaidForm,
    /// Share blocks of the active branch that credit it, newest first.
    pub credits: Vec<CreditForm>,
    /// Where to go on, as `before`; none where all have been looked at. There may be no credits on a page and more after it.
    pub next_before: Option<u32>,
}

/// What an owner may expect, on average over all that may be drawn and found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedForm {
    /// Satoshis of the Bitcoin block that this assumes: subsidy and, where a template is there, fees.
    pub block_satoshis: u64,
    /// Satoshis from the next Bitcoin block if it were found now, whoever finds it.
    pub next_block_satoshis: u64,
    /// Satoshis a day, if the pool works on as in the last day and the owner's part of the window stays.
    pub satoshis_per_day: u64,
    /// What its own work of the last day is worth: the satoshis a day that it would bring on average without a pool.
    pub fair_satoshis_per_day: u64,
}

/// What an owner has been paid by the Bitcoin blocks that this node knows the coinbases of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PaidForm {
    /// Satoshis in all, in blocks of the best Bitcoin chain.
    pub satoshis: u64,
    /// Of them those that cannot be spent yet: in blocks with fewer than 100 confirmations.
    pub immature_satoshis: u64,
    /// How many Bitcoin blocks paid it.
    pub bitcoin_blocks: u64,
    /// The newest of them, newest first; at most 100.
    pub payments: Vec<PaymentForm>,
}

/// What a Bitcoin block paid an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentForm {
    /// Its height.
    pub bitcoin_height: u32,
    /// Its hash.
    #[schema(value_type = Hash)]
    pub hash: Text<BlockHash>,
    /// The coinbase's txid.
    #[schema(value_type = Hash)]
    pub txid: Text<Txid>,
    /// Header time of the block, seconds since 1970.
    pub time: u32,
    /// Satoshis, the finder's bonus included.
    pub satoshis: u64,
    /// Of them the finder's bonus.
    pub bonus_satoshis: u64,
    /// Blocks of the best Bitcoin chain from this one on, itself included; 0 where it is not on that.
    pub confirmations: u32,
    /// What has become of it.
    pub state: CoinbaseState,
    /// The height of the first Bitcoin block that may spend it.
    pub spendable_at_bitcoin_height: u32,
}

/// What has become of a coinbase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CoinbaseState {
    /// Bitcoin's best chain has not come beyond its block's height.
    Waiting,
    /// Its block has fewer than 100 confirmations.
    Immature,
    /// The next Bitcoin block may spend it.
    Spendable,
    /// The best chain has another block at that height, and more on it: it pays nobody.
    Lost,
}

impl CoinbaseState {
    /// As it is written.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Immature => "immature",
            Self::Spendable => "spendable",
            Self::Lost => "lost",
        }
    }
}

/// What Bitcoin blocks of the pool paid the owners that this node works for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PaymentsForm {
    /// These owners: those whose shares were accepted here, and the operator's; at most 1,024.
    pub owners: Vec<OwnerPaymentsForm>,
    /// How many payments there are.
    pub total: u64,
    /// A page of them, newest first.
    pub payments: Vec<PaymentLine>,
    /// Where to go on, as `before`; none at the end.
    pub next_before: Option<u32>,
}

/// What an owner was paid, by what has become of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OwnerPaymentsForm {
    /// The owner.
    pub owner: OwnerForm,
    /// When it last worked here, to ten minutes, in seconds since 1970; of the operator's, when the node last ran.
    pub worked: u64,
    /// Satoshis that may be spent, or have been.
    pub spendable_satoshis: u64,
    /// Satoshis in blocks with fewer than 100 confirmations.
    pub immature_satoshis: u64,
    /// Satoshis in blocks that Bitcoin's chain has not come to.
    pub waiting_satoshis: u64,
    /// Satoshis in blocks that were orphaned.
    pub lost_satoshis: u64,
}

impl OwnerPaymentsForm {
    /// Nothing so far.
    pub const fn none(owner: OwnerForm, worked: u64) -> Self {
        Self {
            owner,
            worked,
            spendable_satoshis: 0,
            immature_satoshis: 0,
            waiting_satoshis: 0,
            lost_satoshis: 0,
        }
    }

    /// Adds a payment.
    pub const fn add(&mut self, state: CoinbaseState, satoshis: u64) {
        let sum = match state {
            CoinbaseState::Waiting => &mut self.waiting_satoshis,
            CoinbaseState::Immature => &mut self.immature_satoshis,
            CoinbaseState::Spendable => &mut self.spendable_satoshis,
            CoinbaseState::Lost => &mut self.lost_satoshis,
        };
        *sum = sum.saturating_add(satoshis);
    }
}

/// What a Bitcoin block paid one of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PaymentLine {
    /// Whom.
    pub owner: OwnerForm,
    /// The block's height.
    pub bitcoin_height: u32,
    /// Its hash.
    #[schema(value_type = Hash)]
    pub hash: Text<BlockHash>,
    /// The coinbase's txid.
    #[schema(value_type = Hash)]
    pub txid: Text<Txid>,
    /// Header time of the block, seconds since 1970.
    pub time: u32,
    /// Satoshis, the finder's bonus included.
    pub satoshis: u64,
    /// Of them the finder's bonus.
    pub bonus_satoshis: u64,
    /// Blocks of the best Bitcoin chain from this one on, itself included; 0 where it is not on that.
    pub confirmations: u32,
    /// What has become of it.
    pub state: CoinbaseState,
    /// The height of the first Bitcoin block that may spend it.
    pub spendable_at_bitcoin_height: u32,
}

impl PaymentLine {
    /// A payment to this owner.
    pub fn new(owner: OwnerForm, payment: PaymentForm) -> Self {
        let PaymentForm { bitcoin_height, hash, txid, time, satoshis, bonus_satoshis, .. } = payment;
        let PaymentForm { confirmations, state, spendable_at_bitcoin_height, .. } = payment;
        Self {
            owner,
            bitcoin_height,
            hash,
            txid,
            time,
            satoshis,
            bonus_satoshis,
            confirmations,
            state,
            spendable_at_bitcoin_height,
        }
    }
}

/// What a share block credits to an owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreditForm {
    /// Height in the share chain.
    pub height: u32,
    /// The share block.
    #[schema(value_type = Hash)]
    pub id: Text<ShareId>,
    /// When its job was made, seconds since 1970.
    pub time: u32,
    /// Its shares among those that the block credits.
    pub shares: u64,
    /// Score, in expected Bitcoin blocks, what it gets for listing others' shares included.
    pub score: f64,
}
