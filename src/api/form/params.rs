//! Chain parameters in JSON, and back.

use super::hex::{Bits, Text};
use bitcoin::{BlockHash, CompactTarget};
use serde::{Deserialize, Serialize};
use sharechain::params::{BadParams, ChainParams, Network};
use sharechain::share::ShareId;
use sharechain::units::{BitcoinHeight, Score};
use thiserror::Error;

/// The parameters of a chain, by the names that a chain file has for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamsForm {
    /// Hash of the canonical encoding of all the rest.
    pub chain_id: Text<ShareId>,
    /// Name.
    pub name: String,
    /// Bitcoin network.
    pub network: String,
    /// Network target of the embedded network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedded_bits: Option<Bits>,
    /// Seconds between share blocks.
    pub spacing: u32,
    /// Shares for each share block.
    pub shares_per_block: u32,
    /// Easiest block target.
    pub easiest_block_target: Bits,
    /// The Bitcoin block that every prev_block is or descends from.
    pub first_bitcoin_block: FirstBlockForm,
    /// Seconds of lateness that make the target twice as easy.
    pub retarget_constant: u32,
    /// Seconds without a block after which the target doubles.
    pub stall_relief: u32,
    /// Seconds that a time may be ahead.
    pub future_limit: u32,
    /// Generations from parent to base.
    pub base_depth: u32,
    /// Blocks within which a share may be listed.
    pub include_depth: u32,
    /// Payout blocks are those whose height is a multiple of this.
    pub payout_interval: u32,
    /// Most shares that a block lists.
    pub max_listed: u32,
    /// Most blocks in the reward window.
    pub window_blocks: u32,
    /// Score of the reward window: Bitcoin blocks × 2^64, as a decimal text, for no JSON number holds it.
    pub window_score: Text<u128>,
    /// Satoshis below which no payout is made.
    pub smallest_payout: u64,
    /// Most outputs of each payout class.
    pub classes: Vec<u16>,
}

/// Height and hash of a Bitcoin block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstBlockForm {
    /// Height.
    pub height: u32,
    /// Hash.
    pub hash: Text<BlockHash>,
}

/// A form that no chain has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParamsFormError {
    /// A network that this program does not know.
    #[error("{0:?} is no network that this version knows")]
    Network(String),
    /// `embedded_bits` missing where it belongs, or given where it does not.
    #[error("embedded_bits belongs to the embedded network, and only to it")]
    EmbeddedBits,
    /// The parameters make no chain.
    #[error(transparent)]
    Params(#[from] BadParams),
    /// The chain id belongs to other parameters.
    #[error("the parameters hash to {computed}, not to the chain id beside them, {given}: they were changed")]
    ChainId {
        /// The id that the form gives.
        given: ShareId,
        /// The id that its parameters give.
        computed: ShareId,
    },
}

impl ParamsForm {
    /// The form of a chain's parameters.
    pub fn new(params: &ChainParams) -> Self {
        let embedded_bits = match params.network {
            Network::Embedded { bits } => Some(Bits(CompactTarget::from_consensus(bits))),
            _ => None,
        };
        let (height, hash) = params.first_bitcoin_block;
        Self {
            chain_id: Text(params.chain_id().as_block()),
            name: params.name.clone(),
            network: params.network.name().to_owned(),
            embedded_bits,
            spacing: params.spacing,
            shares_per_block: params.shares_per_block,
            easiest_block_target: Bits(params.easiest_block_target),
            first_bitcoin_block: FirstBlockForm { height: height.0, hash: Text(hash) },
            retarget_constant: params.retarget_constant,
            stall_relief: params.stall_relief,
            future_limit: params.future_limit,
            base_depth: params.base_depth,
            include_depth: params.include_depth,
            payout_interval: params.payout_interval,
            max_listed: params.max_listed,
            window_blocks: params.window_blocks,
            window_score: Text(params.window_score.0),
            smallest_payout: params.smallest_payout,
            classes: params.classes.clone(),
        }
    }

    /// The parameters, checked, and their chain id with them.
    pub fn to_params(&self) -> Result<ChainParams, ParamsFormError> {
        let params = ChainParams {
            name: self.name.clone(),
            network: self.network()?,
            spacing: self.spacing,
            shares_per_block: self.shares_per_block,
            easiest_block_target: self.easiest_block_target.0,
            first_bitcoin_block: (
                BitcoinHeight(self.first_bitcoin_block.height),
                self.first_bitcoin_block.hash.0,
            ),
            retarget_constant: self.retarget_constant,
            stall_relief: self.stall_relief,
            future_limit: self.future_limit,
            base_depth: self.base_depth,
            include_depth: self.include_depth,
            payout_interval: self.payout_interval,
            max_listed: self.max_listed,
            window_blocks: self.window_blocks,
            window_score: Score(self.window_score.0),
            smallest_payout: self.smallest_payout,
            classes: self.classes.clone(),
        };
        params.validate()?;
        let (given, computed) = (self.chain_id.0, params.chain_id().as_block());
        if given == computed { Ok(params) } else { Err(ParamsFormError::ChainId { given, computed }) }
    }

    fn network(&self) -> Result<Network, ParamsFormError> {
        let network = match (self.network.as_str(), self.embedded_bits) {
            ("embedded", Some(Bits(bits))) => return Ok(Network::Embedded { bits: bits.to_consensus() }),
            ("embedded", None) => return Err(ParamsFormError::EmbeddedBits),
            ("main", _) => Network::Main,
            ("testnet4", _) => Network::Testnet4,
            ("signet", _) => Network::Signet,
            ("regtest", _) => Network::Regtest,
            (other, _) => return Err(ParamsFormError::Network(other.to_owned())),
        };
        if self.embedded_bits.is_some() { Err(ParamsFormError::EmbeddedBits) } else { Ok(network) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_chain_round_trips() {
        let embedded =
            ChainParams { network: Network::Embedded { bits: 0x1e00_ffff }, ..ChainParams::regtest() };
        for params in [
            ChainParams::main(),
            ChainParams::testnet4(),
            ChainParams::signet(),
            ChainParams::regtest(),
            embedded,
        ] {
            let text = serde_json::to_string(&ParamsForm::new(&params)).expect("written");
            let form: ParamsForm = serde_json::from_str(&text).expect("read back");
            assert_eq!(form.to_params(), Ok(params));
        }
    }

    #[test]
    fn changed_parameters_are_noticed() {
        let form = ParamsForm::new(&ChainParams::main());
        let changed = |change: fn(&mut ParamsForm)| {
            let mut form = form.clone();
            change(&mut form);
            form.to_params().expect_err("changed")
        };
        assert!(matches!(changed(|f| f.spacing = 31), ParamsFormError::ChainId { .. }));
        assert!(matches!(changed(|f| f.spacing = 0), ParamsFormError::Params(_)));
        assert!(matches!(changed(|f| f.network = "moon".into()), ParamsFormError::Network(_)));
        assert!(matches!(changed(|f| f.network = "embedded".into()), ParamsFormError::EmbeddedBits));
        let bits = |f: &mut ParamsForm| f.embedded_bits = Some(f.easiest_block_target);
        assert!(matches!(changed(bits), ParamsFormError::EmbeddedBits));
    }
}
