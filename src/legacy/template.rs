//! `getblocktemplate`: a work and all its transactions, in the pooled form of BIP23.
//!
//! The share commitment fixes the coinbase and the transactions, so little is the miner's to change, and `mutable` says
//! no more than that. The coinbase comes without its witness, as txids are made from it; the node adds it.

use super::answer::ROLL_SECONDS;
use super::worker::{FIXED, Work};
use crate::bitcoin::{Template, TemplateTx};
use crate::stratum::configure::VERSION_MASK;
use crate::stratum::session::Now;
use bitcoin::consensus::deserialize;
use bitcoin::hex::DisplayHex;
use bitcoin::{Transaction, Txid};
use hyper::body::Bytes;
use serde::{Deserialize, Serialize};
use sharechain::coinbase;
use sharechain::hash::sha256d;
use sharechain::params::MAX_HEADER_TIME_AHEAD;
use sharechain::share::Extranonce;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Lists of transactions that are kept as text, each of up to some eight megabytes.
const MAX_LISTS: usize = 2;

/// What is asked for (BIP22, BIP23).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    /// `template` or `proposal`.
    pub(super) mode: Option<String>,
    /// What the miner can do.
    pub(super) capabilities: Option<Vec<String>>,
    /// The rules that it knows.
    pub(super) rules: Vec<String>,
    /// The id of the template that it has, when it waits for another.
    #[serde(rename = "longpollid")]
    pub(super) long_poll_id: Option<String>,
    /// A proposal's block.
    pub(super) data: Option<String>,
    /// The work that a proposal is about.
    #[serde(rename = "workid")]
    pub(super) work_id: Option<String>,
}

impl Wanted {
    /// Why this miner cannot be served, if so.
    pub(super) fn objection(&self) -> Option<&'static str> {
        let lacks = |capability: &str| {
            self.capabilities.as_ref().is_some_and(|all| !all.iter().any(|each| each == capability))
        };
        if self.mode.as_deref().is_some_and(|mode| mode != "template") {
            Some("mode must be template or proposal")
        } else if !self.rules.iter().any(|rule| rule == "segwit") {
            Some("getblocktemplate must be called with the segwit rule set: {\"rules\": [\"segwit\"]}")
        } else if lacks("coinbasetxn") {
            Some(
                "The miner must have the capability coinbasetxn: the share commitment fixes coinbase and transactions, \
                 so a block of the miner's own making cannot be credited",
            )
        } else {
            None
        }
    }
}

/// The coinbase.
#[derive(Debug, Serialize)]
struct CoinbaseForm {
    data: String,
    txid: String,
    depends: [u32; 0],
    required: bool,
    weight: usize,
}

/// Where in the coinbase the miner may count; not in any BIP.
#[derive(Debug, Serialize)]
struct ExtranonceForm {
    offset: usize,
    length: usize,
}

/// The result of `getblocktemplate` but for the transactions.
#[derive(Debug, Serialize)]
struct TemplateForm<'a> {
    capabilities: [&'a str; 1],
    version: i32,
    rules: [&'a str; 3],
    vbavailable: BTreeMap<String, u8>,
    vbrequired: u32,
    previousblockhash: String,
    coinbaseaux: BTreeMap<String, String>,
    coinbasetxn: CoinbaseForm,
    longpollid: String,
    submitold: bool,
    workid: String,
    target: String,
    fulltarget: String,
    mintime: u32,
    maxtime: u32,
    curtime: u32,
    mutable: [&'a str; 4],
    noncerange: &'a str,
    expires: u32,
    sigoplimit: u64,
    sizelimit: u64,
    weightlimit: u64,
    bits: String,
    height: u32,
    default_witness_commitment: String,
    extranonce: ExtranonceForm,
    version_mask: String,
}

/// The result, in pieces around the list of transactions.
pub(super) fn result(work: &Work, transactions: Bytes, now: Now) -> [Bytes; 3] {
    let mut fields = serde_json::to_string(&form(work, now)).unwrap_or_default();
    fields.pop();
    [Bytes::from(fields + ",\"transactions\":"), transactions, Bytes::from_static(b"}")]
}

fn form(Work { served, news, extranonce, .. }: &Work, now: Now) -> TemplateForm<'static> {
    let job = &served.job;
    let (header, template) = (job.header(), job.template());
    let coinbase = job.coinbase(extranonce);
    let locktime_len = 4;
    TemplateForm {
        capabilities: ["proposal"],
        version: header.version.to_consensus(),
        rules: ["csv", "!segwit", "taproot"],
        vbavailable: BTreeMap::new(),
        vbrequired: 0,
        previousblockhash: header.prev_block.to_string(),
        coinbaseaux: BTreeMap::new(),
        coinbasetxn: CoinbaseForm {
            data: coinbase.to_lower_hex_string(),
            txid: reversed(sha256d(&coinbase)),
            depends: [],
            required: true,
            weight: coinbase::weight(coinbase.len()),
        },
        longpollid: news.to_string(),
        submitold: true,
        workid: served.id.to_string(),
        target: served.difficulty.target().value().to_big_endian().to_lower_hex_string(),
        fulltarget: job.targets().network.value().to_big_endian().to_lower_hex_string(),
        mintime: job.min_time(),
        maxtime: job.max_time().min(now.unix.saturating_add(MAX_HEADER_TIME_AHEAD)),
        curtime: served.time,
        mutable: ["time", "version/force", "submit/coinbase", "submit/truncate"],
        noncerange: "00000000ffffffff",
        expires: ROLL_SECONDS,
        sigoplimit: template.sigop_limit,
        sizelimit: template.weight_limit,
        weightlimit: template.weight_limit,
        bits: format!("{:08x}", header.bits.to_consensus()),
        height: template.height.0,
        default_witness_commitment: format!("6a24aa21a9ed{}", job.witness_commitment().to_lower_hex_string()),
        extranonce: ExtranonceForm {
            offset: coinbase.len() - locktime_len - (size_of::<Extranonce>() - FIXED),
            length: size_of::<Extranonce>() - FIXED,
        },
        version_mask: format!("{VERSION_MASK:08x}"),
    }
}

/// A hash as Bitcoin writes hashes.
fn reversed(mut hash: [u8; 32]) -> String {
    hash.reverse();
    hash.to_lower_hex_string()
}

/// The transactions of templates, as JSON: made once for all who ask.
#[derive(Debug, Default)]
pub(super) struct Lists(Mutex<Vec<(Arc<Template>, List)>>);

/// Empty until whoever asked first has made it.
type List = Arc<OnceCell<Bytes>>;

impl Lists {
    /// The list of a template; none while the node goes down.
    pub(super) async fn of(&self, template: &Arc<Template>) -> Option<Bytes> {
        let list = self.place(template);
        let made = list.get_or_try_init(|| {
            let template = Arc::clone(template);
            // It takes some ten milliseconds for a full block.
            spawn_blocking(move || to_json(&template.transactions))
        });
        made.await.ok().cloned()
    }

    fn place(&self, template: &Arc<Template>) -> List {
        let mut lists = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, list)) = lists.iter().find(|(other, _)| Arc::ptr_eq(other, template)) {
            return Arc::clone(list);
        }
        let list = List::default();
        lists.truncate(MAX_LISTS - 1);
        lists.insert(0, (Arc::clone(template), Arc::clone(&list)));
        list
    }
}

/// A transaction of a template.
#[derive(Debug, Serialize)]
struct TransactionForm {
    data: String,
    txid: String,
    hash: String,
    depends: Vec<usize>,
    fee: u64,
    sigops: u64,
    weight: u64,
}

fn to_json(transactions: &[TemplateTx]) -> Bytes {
    // Counted from 1.
    let numbers: HashMap<Txid, usize> = transactions.iter().map(|tx| tx.txid).zip(1..).collect();
    let forms: Vec<TransactionForm> = transactions
        .iter()
        .map(|tx| TransactionForm {
            data: tx.raw.to_lower_hex_string(),
            txid: tx.txid.to_string(),
            hash: tx.wtxid.to_string(),
            depends: depends(&tx.raw, &numbers),
            fee: tx.fee,
            sigops: tx.sigops,
            weight: tx.weight,
        })
        .collect();
    Bytes::from(serde_json::to_vec(&forms).unwrap_or_else(|_| b"[]".to_vec()))
}

/// The numbers of the transactions that this one spends from.
fn depends(raw: &[u8], numbers: &HashMap<Txid, usize>) -> Vec<usize> {
    let Ok(transaction) = deserialize::<Transaction>(raw) else { return Vec::new() };
    let mut depends: Vec<usize> = transaction
        .input
        .iter()
        .filter_map(|input| numbers.get(&input.previous_output.txid).copied())
        .collect();
    depends.sort_unstable();
    depends.dedup();
    depends
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::JobMaker;
    use futures::FutureExt;

    #[tokio::test]
    async fn a_list_is_made_once_and_then_at_hand() {
        let (lists, [first, second, third]) = (Lists::default(), [1, 2, 3].map(template));
        let (one, other) = tokio::join!(lists.of(&first), lists.of(&first));
        let [one, other] = [one, other].map(|list| list.expect("a list"));
        assert_eq!((one.as_ptr(), &one[..]), (other.as_ptr(), &b"[]"[..]));
        // Nobody waits for a thread.
        let known = |template| lists.of(template).now_or_never().is_some();
        let count = || lists.0.lock().expect("no panic").len();
        assert!(known(&first) && count() == 1);
        lists.of(&second).await;
        assert!(known(&first) && known(&second) && count() == 2);
        lists.of(&third).await;
        assert!(known(&third) && count() == MAX_LISTS);
    }

    fn template(id: u32) -> Arc<Template> {
        Arc::clone(JobMaker { id, ..JobMaker::default() }.job().template())
    }
}
