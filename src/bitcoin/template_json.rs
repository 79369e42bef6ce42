//! The border where the JSON of `getblocktemplate` (BIP22, BIP23, BIP145) becomes a [`Template`] that cannot be wrong.
//!
//! The Bitcoin node is trusted that its transactions are valid; that its numbers fit together is checked, because a
//! block built from numbers that do not is a lost block.

use bitcoin::{CompactTarget, Txid, Wtxid, hex::FromHex as _};
use serde::Deserialize;
use sharechain::{
    target::{BadCompactTarget, Target},
    units::BitcoinHeight,
};
use thiserror::Error;

use super::template::{Template, TemplateTx};

/// Rules that this node knows, among those that the template calls binding (with a leading `!`).
const KNOWN_RULES: [&str; 4] = ["segwit", "signet", "csv", "taproot"];
/// No amount can be larger: 21 million bitcoins in satoshis.
const MAX_MONEY: u64 = 2_100_000_000_000_000;

/// Why a template cannot be mined on.
#[derive(Debug, Error)]
pub enum BadTemplate {
    /// Not the JSON of BIP22.
    #[error("the template cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    /// A field of hexadecimal digits holds something else.
    #[error("the template's field {field} is no hexadecimal number of the right length")]
    Hex {
        /// Name of the field.
        field: &'static str,
    },
    /// The compact target is not the one form that a target has.
    #[error("the template's bits make no sense: {0}")]
    Bits(#[from] BadCompactTarget),
    /// A rule must be known to mine on this template, and is not.
    #[error("the template asks for the rule {0}, which this version does not know: update this program")]
    UnknownRule(String),
    /// A transaction comes before one that it spends from.
    #[error("the template's transaction {index} comes before one that it depends on")]
    Order {
        /// Position, counted from 1 as `depends` counts.
        index: usize,
    },
    /// Fees above the coinbase value, or amounts that no bitcoins can make.
    #[error("the template's amounts do not add up: coinbase value {value}, fees {fees}")]
    Amounts {
        /// `coinbasevalue` in satoshis.
        value: u64,
        /// Sum of all fees in satoshis.
        fees: u64,
    },
    /// The witness commitment computed from the transactions is not the one that the template names.
    #[error("the template's witness commitment is not that of its transactions")]
    Commitment,
}

impl Template {
    /// Reads the result of `getblocktemplate`.
    pub fn from_json(json: &str) -> Result<Self, BadTemplate> {
        let wire: WireTemplate<'_> = serde_json::from_str(json)?;
        let known = |rule: &str| KNOWN_RULES.contains(&rule);
        if let Some(rule) = wire.rules.iter().find(|r| r.strip_prefix('!').is_some_and(|r| !known(r))) {
            return Err(BadTemplate::UnknownRule(rule.clone()));
        }
        let bits = u32::from_str_radix(wire.bits, 16).map_err(|_| BadTemplate::Hex { field: "bits" })?;
        let bits = CompactTarget::from_consensus(bits);
        let mut template = Self {
            prev_block: parse_id("previousblockhash", wire.previousblockhash)?,
            height: BitcoinHeight(wire.height),
            version: wire.version,
            bits,
            target: Target::from_compact(bits)?,
            current_time: wire.curtime,
            min_time: wire.mintime,
            coinbase_value: wire.coinbasevalue,
            transactions: wire.transactions.iter().enumerate().map(transaction).collect::<Result<_, _>>()?,
            weight_limit: wire.weightlimit,
            sigop_limit: wire.sigoplimit,
            known_commitment: None,
            long_poll_id: wire.longpollid,
        };
        template.check_amounts()?;
        template.known_commitment = template.checked_commitment(wire.default_witness_commitment)?;
        Ok(template)
    }

    fn check_amounts(&self) -> Result<(), BadTemplate> {
        let fees = self.transactions.iter().fold(0_u64, |sum, tx| sum.saturating_add(tx.fee));
        let value = self.coinbase_value;
        if fees <= value && value <= MAX_MONEY { Ok(()) } else { Err(BadTemplate::Amounts { value, fees }) }
    }

    fn checked_commitment(&self, script: Option<&str>) -> Result<Option<[u8; 32]>, BadTemplate> {
        let Some(script) = script else { return Ok(None) };
        // BIP141: OP_RETURN, a push of 36 bytes, the magic aa21a9ed, the hash.
        let named = script.strip_prefix("6a24aa21a9ed").and_then(|hex| <[u8; 32]>::from_hex(hex).ok());
        if named == Some(self.witness_commitment()) { Ok(named) } else { Err(BadTemplate::Commitment) }
    }
}

fn transaction((position, wire): (usize, &WireTransaction<'_>)) -> Result<TemplateTx, BadTemplate> {
    // `depends` counts from 1, so a position counted from 0 is the number of the transaction before.
    if wire.depends.iter().any(|parent| *parent == 0 || *parent > position) {
        return Err(BadTemplate::Order { index: position + 1 });
    }
    Ok(TemplateTx {
        raw: Vec::from_hex(wire.data).map_err(|_| BadTemplate::Hex { field: "data" })?.into(),
        txid: parse_id::<Txid>("txid", wire.txid)?,
        wtxid: parse_id::<Wtxid>("hash", wire.hash)?,
        fee: wire.fee,
        weight: wire.weight,
        sigops: wire.sigops,
    })
}

fn parse_id<T: core::str::FromStr>(field: &'static str, hex: &str) -> Result<T, BadTemplate> {
    hex.parse().map_err(|_| BadTemplate::Hex { field })
}

/// The answer as it comes: borrowed, since the transactions' hexadecimal is most of it.
#[derive(Deserialize)]
struct WireTemplate<'a> {
    previousblockhash: &'a str,
    height: u32,
    version: i32,
    bits: &'a str,
    curtime: u32,
    mintime: u32,
    coinbasevalue: u64,
    #[serde(borrow)]
    transactions: Vec<WireTransaction<'a>>,
    weightlimit: u64,
    sigoplimit: u64,
    #[serde(default)]
    rules: Vec<String>,
    longpollid: Option<String>,
    default_witness_commitment: Option<&'a str>,
}

#[derive(Deserialize)]
struct WireTransaction<'a> {
    data: &'a str,
    txid: &'a str,
    hash: &'a str,
    depends: Vec<usize>,
    fee: u64,
    sigops: u64,
    weight: u64,
}

#[cfg(test)]
mod tests {
    use bitcoin::{Transaction, consensus::deserialize};
    use serde_json::{Value, json};

    use super::*;

    const EMPTY: &str = include_str!("testdata/template-empty.json");
    const FULL: &str = include_str!("testdata/template.json");

    fn changed(change: impl FnOnce(&mut Value)) -> Result<Template, BadTemplate> {
        let mut json: Value = serde_json::from_str(FULL).expect("captured JSON");
        change(&mut json);
        Template::from_json(&json.to_string())
    }

    #[test]
    fn what_a_daemon_says_is_read() {
        let template = Template::from_json(FULL).expect("captured from a daemon");
        assert_eq!((template.height, template.bits.to_consensus()), (BitcoinHeight(103), 0x207f_ffff));
        assert_eq!((template.subsidy(), template.coinbase_value), (5_000_000_000, 5_000_005_710));
        assert_eq!((template.weight_limit, template.sigop_limit), (4_000_000, 80_000));
        for tx in &template.transactions {
            let read: Transaction = deserialize(&tx.raw).expect("a transaction");
            assert_eq!((read.compute_txid(), read.compute_wtxid()), (tx.txid, tx.wtxid));
            assert_eq!(read.weight().to_wu(), tx.weight);
        }
        let segwit: Vec<bool> =
            template.transactions.iter().map(|tx| tx.txid.to_string() != tx.wtxid.to_string()).collect();
        assert_eq!(segwit, [true, true, false]);
    }

    #[test]
    fn an_empty_template_has_the_well_known_commitment() {
        let template = Template::from_json(EMPTY).expect("captured from a daemon");
        assert_eq!(template.merkle_branch(), Vec::<[u8; 32]>::new());
        let hex = "e2f61c3f71d1defd3fa999dfa36953755c690689799962b48bebd836974e8cf9";
        assert_eq!(template.witness_commitment(), <[u8; 32]>::from_hex(hex).expect("hex"));
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let reasons = [
            changed(|t| t["bits"] = json!("ff7fffff")),
            changed(|t| t["bits"] = json!("nonsense")),
            changed(|t| t["previousblockhash"] = json!("00")),
            changed(|t| t["height"] = json!(-1)),
            changed(|t| t["rules"] = json!(["!segwit", "!quantum"])),
            changed(|t| t["coinbasevalue"] = json!(5_709)),
            changed(|t| t["coinbasevalue"] = json!(MAX_MONEY + 1)),
            changed(|t| t["transactions"][0]["depends"] = json!([1])),
            changed(|t| t["transactions"][2]["depends"] = json!([0])),
            changed(|t| t["transactions"][1]["data"] = json!("abc")),
            changed(|t| t["transactions"][1]["hash"] = t["transactions"][0]["hash"].clone()),
            changed(|t| t["transactions"][1]["fee"] = json!(-1)),
            changed(|t| t["default_witness_commitment"] = json!("6a24aa21a9ed00")),
        ]
        .map(|result| result.expect_err("bad").to_string());
        let expected = [
            "bits make no sense",
            "field bits",
            "field previousblockhash",
            "cannot be read",
            "rule !quantum",
            "do not add up",
            "do not add up",
            "transaction 1 comes before",
            "transaction 3 comes before",
            "field data",
            "commitment is not",
            "cannot be read",
            "commitment is not",
        ];
        for (reason, part) in reasons.iter().zip(expected) {
            assert!(reason.contains(part), "{reason:?} should name {part:?}");
        }
    }
}
