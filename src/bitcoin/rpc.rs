//! A bitcoind (Bitcoin Core, Knots or one that speaks like them) over JSON-RPC, as a [`Backend`].

use std::{borrow::Cow, collections::BTreeMap, fmt::Display, str::FromStr, sync::Arc};

use bitcoin::{
    BlockHash, CompactTarget, TxMerkleNode, Txid, Wtxid,
    block::{Header, Version},
    consensus::encode::{deserialize_hex, serialize_hex},
    hashes::Hash as _,
    hex::{DisplayHex as _, FromHex as _},
};
use hyper::body::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use sharechain::units::BitcoinHeight;

pub use super::http::Patience;
use super::{
    Backend, BackendError, ChainInfo, FoundHeader, MAX_HEADERS, MempoolEntry, Reply, Template, Verdict,
    endpoint::{Credentials, Endpoint},
    http::{CallError, JsonRpc},
};

/// Headers asked for in one request.
const BATCH: u32 = 512;
/// The error for a hash that is not known (`RPC_INVALID_ADDRESS_OR_KEY`).
const NOT_FOUND: i64 = -5;
/// The error for a height above the best block's (`RPC_INVALID_PARAMETER`).
const OUT_OF_RANGE: i64 = -8;

/// A bitcoind.
pub struct BitcoindRpc {
    rpc: Arc<JsonRpc>,
}

impl BitcoindRpc {
    /// A bitcoind at this address; nothing is opened before the first call.
    pub fn new(endpoint: Endpoint, credentials: Credentials, patience: Patience) -> Self {
        Self { rpc: Arc::new(JsonRpc::new(endpoint, credentials, patience)) }
    }

    /// What it calls itself, like `/Satoshi:29.0.0/`; Knots adds a name of its own.
    pub async fn user_agent(&self) -> Result<String, BackendError> {
        let info: WireNetworkInfo = self.rpc.call("getnetworkinfo", json!([])).await?;
        Ok(info.subversion)
    }

    /// Where it publishes the hashes of new blocks over ZMQ, as it was told to.
    pub async fn block_publishers(&self) -> Result<Vec<String>, BackendError> {
        let all: Vec<WirePublisher> = self.rpc.call("getzmqnotifications", json!([])).await?;
        Ok(all.into_iter().filter(|one| one.kind == "pubhashblock").map(|one| one.address).collect())
    }

    async fn get_template(&self, long_poll_id: Option<&str>) -> Result<Template, BackendError> {
        const METHOD: &str = "getblocktemplate";
        // A signet's node insists on the rule signet, every other ignores it.
        let mut request = json!({"rules": ["segwit", "signet"]});
        if let Some(id) = long_poll_id {
            request["longpollid"] = id.into();
        }
        let answer = self.rpc.call_raw(METHOD, json!([request]), long_poll_id.is_some()).await?;
        let rpc = Arc::clone(&self.rpc);
        // Some milliseconds of work for a full block, which would hold up every other task of this thread.
        let parse =
            move || rpc.result(METHOD, &answer, |json| Template::from_json(json).map_err(|e| e.to_string()));
        tokio::task::spawn_blocking(parse)
            .await
            .unwrap_or_else(|error| Err(self.rpc.malformed(METHOD, error.to_string())))
    }

    async fn get_header(&self, hash: BlockHash) -> Result<Option<FoundHeader>, BackendError> {
        const METHOD: &str = "getblockheader";
        let found: WireHeader = match self.rpc.call(METHOD, json!([hash.to_string(), true])).await {
            Ok(found) => found,
            Err(BackendError::Rpc { code: NOT_FOUND, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let header = found.header().map_err(|field| self.rpc.malformed(METHOD, format!("field {field}")))?;
        if header.block_hash() != hash {
            return Err(self.rpc.malformed(METHOD, format!("asked for {hash}, got {}", header.block_hash())));
        }
        let on_best_chain = found.confirmations >= 0;
        Ok(Some(FoundHeader { header, height: BitcoinHeight(found.height), on_best_chain }))
    }

    async fn get_headers(&self, first: BitcoinHeight, count: u32) -> Result<Vec<Header>, BackendError> {
        let end = first.0.saturating_add(count.min(MAX_HEADERS));
        let mut headers: Vec<Header> = Vec::new();
        let mut next = first.0;
        while next < end {
            let wanted = BATCH.min(end - next);
            let batch = self.get_header_batch(next, wanted).await?;
            let complete = batch.len() == wanted as usize;
            for header in batch {
                if headers.last().is_some_and(|last| last.block_hash() != header.prev_blockhash) {
                    let reason = "the best chain changed while its headers were read".to_owned();
                    return Err(BackendError::Unreachable { backend: self.rpc.name().to_owned(), reason });
                }
                headers.push(header);
            }
            if !complete {
                break;
            }
            next += wanted;
        }
        Ok(headers)
    }

    async fn get_header_batch(&self, first: u32, count: u32) -> Result<Vec<Header>, BackendError> {
        let heights = (first..first + count).map(|height| json!([height]));
        let hashes = self.rpc.call_each::<Text<BlockHash>>("getblockhash", heights).await?;
        let known =
            |answer: &Result<_, CallError>| !matches!(answer, Err(CallError { code: OUT_OF_RANGE, .. }));
        let hashes: Vec<Text<BlockHash>> = hashes
            .into_iter()
            .take_while(known)
            .collect::<Result<_, _>>()
            .map_err(|error| self.rpc.refused("getblockhash", error))?;
        if hashes.is_empty() {
            return Ok(Vec::new());
        }
        const METHOD: &str = "getblockheader";
        let raw = self
            .rpc
            .call_each::<String>(METHOD, hashes.iter().map(|hash| json!([hash.0.to_string(), false])))
            .await?;
        raw.into_iter()
            .map(|raw| {
                let raw = raw.map_err(|error| self.rpc.refused(METHOD, error))?;
                deserialize_hex(&raw).map_err(|e| self.rpc.malformed(METHOD, e.to_string()))
            })
            .collect()
    }

    async fn get_mempool(&self) -> Result<Vec<MempoolEntry>, BackendError> {
        const METHOD: &str = "getrawmempool";
        let answer = self.rpc.call_raw(METHOD, json!([true]), false).await?;
        let rpc = Arc::clone(&self.rpc);
        // A full mempool is tens of megabytes of JSON.
        let parse = move || {
            rpc.result(METHOD, &answer, |json| {
                let entries: BTreeMap<&str, WireMempoolEntry> =
                    serde_json::from_str(json).map_err(|error| error.to_string())?;
                let entry = |(txid, entry): (&str, WireMempoolEntry)| {
                    let txid = txid.parse().map_err(|_| format!("{txid} is no transaction id"))?;
                    Ok(MempoolEntry { txid, wtxid: entry.wtxid.0 })
                };
                entries.into_iter().map(entry).collect()
            })
        };
        tokio::task::spawn_blocking(parse)
            .await
            .unwrap_or_else(|error| Err(self.rpc.malformed(METHOD, error.to_string())))
    }

    async fn get_transactions(&self, ids: &[Txid]) -> Result<Vec<Option<Bytes>>, BackendError> {
        const METHOD: &str = "getrawtransaction";
        let mut transactions = Vec::with_capacity(ids.len());
        for batch in ids.chunks(BATCH as usize) {
            let calls = batch.iter().map(|id| json!([id.to_string(), false]));
            for answer in self.rpc.call_each::<String>(METHOD, calls).await? {
                transactions.push(match answer {
                    Ok(hex) => Some(
                        Vec::from_hex(&hex).map_err(|e| self.rpc.malformed(METHOD, e.to_string()))?.into(),
                    ),
                    Err(CallError { code: NOT_FOUND, .. }) => None,
                    Err(error) => return Err(self.rpc.refused(METHOD, error)),
                });
            }
        }
        Ok(transactions)
    }

    async fn get_chain_info(&self) -> Result<ChainInfo, BackendError> {
        const METHOD: &str = "getblockchaininfo";
        let info: WireChainInfo = self.rpc.call(METHOD, json!([])).await?;
        let challenge = info.signet_challenge.map(|hex| Vec::from_hex(&hex)).transpose();
        Ok(ChainInfo {
            chain: info.chain,
            blocks: BitcoinHeight(info.blocks),
            headers: BitcoinHeight(info.headers),
            best: info.bestblockhash.0,
            initial_block_download: info.initialblockdownload,
            signet_challenge: challenge.map_err(|e| self.rpc.malformed(METHOD, e.to_string()))?,
        })
    }
}

impl Backend for BitcoindRpc {
    fn name(&self) -> &str {
        self.rpc.name()
    }

    fn template<'a>(&'a self, long_poll_id: Option<&'a str>) -> Reply<'a, Template> {
        Box::pin(self.get_template(long_poll_id))
    }

    fn submit_block<'a>(&'a self, block: &'a [u8]) -> Reply<'a, Verdict> {
        Box::pin(async {
            let answer = self.rpc.call("submitblock", json!([block.to_lower_hex_string()])).await?;
            Ok(Verdict::from_bip22(answer))
        })
    }

    fn header(&self, hash: BlockHash) -> Reply<'_, Option<FoundHeader>> {
        Box::pin(self.get_header(hash))
    }

    fn headers(&self, first: BitcoinHeight, count: u32) -> Reply<'_, Vec<Header>> {
        Box::pin(self.get_headers(first, count))
    }

    fn submit_header<'a>(&'a self, header: &'a Header) -> Reply<'a, ()> {
        Box::pin(self.rpc.call("submitheader", json!([serialize_hex(header)])))
    }

    fn mempool(&self) -> Reply<'_, Vec<MempoolEntry>> {
        Box::pin(self.get_mempool())
    }

    fn transactions<'a>(&'a self, ids: &'a [Txid]) -> Reply<'a, Vec<Option<Bytes>>> {
        Box::pin(self.get_transactions(ids))
    }

    fn chain_info(&self) -> Reply<'_, ChainInfo> {
        Box::pin(self.get_chain_info())
    }
}

/// A value that JSON holds as text.
struct Text<T>(T);

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

#[derive(Deserialize)]
struct WireNetworkInfo {
    subversion: String,
}

#[derive(Deserialize)]
struct WirePublisher {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

#[derive(Deserialize)]
struct WireChainInfo {
    chain: String,
    blocks: u32,
    headers: u32,
    bestblockhash: Text<BlockHash>,
    initialblockdownload: bool,
    signet_challenge: Option<String>,
}

#[derive(Deserialize)]
struct WireMempoolEntry {
    wtxid: Text<Wtxid>,
}

#[derive(Deserialize)]
struct WireHeader {
    version: i32,
    /// Absent in the genesis block's.
    previousblockhash: Option<Text<BlockHash>>,
    merkleroot: Text<TxMerkleNode>,
    time: u32,
    bits: String,
    nonce: u32,
    height: u32,
    /// Negative beside the best chain.
    confirmations: i64,
}

impl WireHeader {
    fn header(&self) -> Result<Header, &'static str> {
        let bits = u32::from_str_radix(&self.bits, 16).map_err(|_| "bits")?;
        Ok(Header {
            version: Version::from_consensus(self.version),
            prev_blockhash: self.previousblockhash.as_ref().map_or_else(BlockHash::all_zeros, |hash| hash.0),
            merkle_root: self.merkleroot.0,
            time: self.time,
            bits: CompactTarget::from_consensus(bits),
            nonce: self.nonce,
        })
    }
}
