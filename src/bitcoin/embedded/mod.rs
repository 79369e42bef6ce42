//! A Bitcoin-like chain in this process, as a [`Backend`]: for trying out, with nothing installed.
//!
//! It is no Bitcoin node: it has no peers, no transactions but coinbases, one fixed difficulty, and when the process
//! ends it forgets everything but the headers that the share chain saved. What it accepts it enforces (`rules`), so that a block built wrong is refused here as well.

mod rules;

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use bitcoin::{Block, BlockHash, Txid, block::Header, consensus::deserialize};
use hyper::body::Bytes;
use sharechain::{
    target::{BadCompactTarget, Target},
    units::BitcoinHeight,
};
use tokio::sync::watch;

use self::rules::{Place, Rules};
use super::{
    Backend, BackendError, ChainInfo, FoundHeader, MAX_HEADERS, MempoolEntry, Reply, Template, Verdict,
};

/// Its name as a chain: [`ChainInfo::chain`].
pub const CHAIN: &str = "embedded";
const NAME: &str = "the embedded chain";
/// Blocks between halvings of the subsidy of 50 bitcoins, as on regtest.
pub const HALVING_INTERVAL: u32 = 150;
/// Most headers without a block.
const MAX_BARE_HEADERS: usize = 10_000;
/// The error for bytes that are no block (`RPC_DESERIALIZATION_ERROR`).
const NO_BLOCK: i64 = -22;
/// The error for a header that is refused (`RPC_VERIFY_ERROR`).
const REFUSED: i64 = -25;

/// Seconds since 1970.
pub type Clock = Box<dyn Fn() -> u32 + Send + Sync>;

/// The chain.
pub struct Embedded {
    rules: Rules,
    clock: Clock,
    chain: Mutex<Chain>,
    /// The best block; long polls wait for it to change.
    tip: watch::Sender<BlockHash>,
}

struct Chain {
    blocks: HashMap<BlockHash, Node>,
    /// The best chain, by height.
    best: Vec<BlockHash>,
    bare_headers: usize,
}

#[derive(Clone, Copy)]
struct Node {
    header: Header,
    height: u32,
    has_block: bool,
}

impl Embedded {
    /// A chain that begins with this header, whose target all blocks have, on the clock of this machine.
    pub fn new(genesis: Header) -> Result<Self, BadCompactTarget> {
        let clock = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            since.map_or(0, |since| u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
        };
        Self::with_clock(genesis, Box::new(clock))
    }

    /// The same on a given clock.
    pub fn with_clock(genesis: Header, clock: Clock) -> Result<Self, BadCompactTarget> {
        let (bits, hash) = (genesis.bits, genesis.block_hash());
        let target = Target::from_compact(bits)?;
        tracing::warn!(
            "mining on the embedded chain: it exists in this process only, for trying out; nothing that is \
             mined here is worth anything"
        );
        let node = Node { header: genesis, height: 0, has_block: true };
        let chain = Chain { blocks: HashMap::from([(hash, node)]), best: vec![hash], bare_headers: 0 };
        let rules = Rules { bits, target };
        Ok(Self { rules, clock, chain: Mutex::new(chain), tip: watch::Sender::new(hash) })
    }

    fn lock(&self) -> MutexGuard<'_, Chain> {
        // Nothing here panics half way through a change.
        self.chain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_template(&self) -> Template {
        let chain = self.lock();
        let tip = chain.tip();
        let place = chain.place_after(&tip, (self.clock)());
        let min_time = place.median_time.saturating_add(1);
        Template {
            prev_block: tip.header.block_hash(),
            height: BitcoinHeight(place.height),
            version: 0x2000_0000,
            bits: self.rules.bits,
            target: self.rules.target,
            current_time: place.now.max(min_time),
            min_time,
            coinbase_value: rules::subsidy(place.height),
            transactions: Vec::new(),
            weight_limit: rules::MAX_WEIGHT,
            sigop_limit: rules::MAX_SIGOPS,
            known_commitment: None,
            long_poll_id: Some(tip.header.block_hash().to_string()),
        }
    }

    async fn next_template(&self, long_poll_id: Option<&str>) -> Template {
        if let Some(old) = long_poll_id {
            let mut tip = self.tip.subscribe();
            // The sender lives as long as this.
            let _ = tip.wait_for(|tip| tip.to_string() != old).await;
        }
        self.make_template()
    }

    fn take_block(&self, bytes: &[u8]) -> Result<Verdict, BackendError> {
        let decoded = deserialize::<Block>(bytes);
        let block = decoded.map_err(|error| refused("submitblock", NO_BLOCK, error.to_string()))?;
        let verdict = self.lock().take(&self.rules, &block, (self.clock)());
        self.tip.send_if_modified(|tip| {
            let now = self.lock().tip().header.block_hash();
            std::mem::replace(tip, now) != now
        });
        Ok(Verdict::from_bip22(verdict.err()))
    }
}

impl Chain {
    fn tip(&self) -> Node {
        let hash = self.best.last().expect("the genesis block is never taken away");
        self.blocks[hash]
    }

    fn take(&mut self, rules: &Rules, block: &Block, now: u32) -> Result<(), String> {
        let hash = block.block_hash();
        if self.blocks.get(&hash).is_some_and(|known| known.has_block) {
            return Err("duplicate".into());
        }
        let parent = self.blocks.get(&block.header.prev_blockhash).copied().filter(|parent| parent.has_block);
        let parent = parent.ok_or("prev-blk-not-found")?;
        let place = self.place_after(&parent, now);
        rules.check_header(&block.header, &place)?;
        rules.check_block(block, &place)?;
        let node = Node { header: block.header, height: place.height, has_block: true };
        if self.blocks.insert(hash, node).is_some() {
            self.bare_headers = self.bare_headers.saturating_sub(1);
        }
        // Every block has the same work, so more work is more height; of equals, the first one stays.
        if node.height > self.tip().height {
            self.switch_to(node);
            return Ok(());
        }
        Err("inconclusive".into())
    }

    fn switch_to(&mut self, tip: Node) {
        let mut branch = Vec::new();
        let mut node = tip;
        while self.best.get(node.height as usize) != Some(&node.header.block_hash()) {
            branch.push(node.header.block_hash());
            node = self.blocks[&node.header.prev_blockhash];
        }
        self.best.truncate(node.height as usize + 1);
        self.best.extend(branch.into_iter().rev());
    }

    fn take_header(&mut self, rules: &Rules, header: &Header, now: u32) -> Result<(), String> {
        let hash = header.block_hash();
        if self.blocks.contains_key(&hash) {
            return Ok(());
        }
        let parent = self.blocks.get(&header.prev_blockhash).copied();
        let parent =
            parent.ok_or_else(|| format!("the previous header ({}) is not known", header.prev_blockhash))?;
        let place = self.place_after(&parent, now);
        rules.check_header(header, &place)?;
        if self.bare_headers >= MAX_BARE_HEADERS {
            return Err(format!("more than {MAX_BARE_HEADERS} headers without their blocks"));
        }
        self.bare_headers += 1;
        self.blocks.insert(hash, Node { header: *header, height: place.height, has_block: false });
        Ok(())
    }

    /// Takes a header for its block, which was checked when it was new.
    fn restore(&mut self, rules: &Rules, header: &Header, now: u32) -> Result<(), &'static str> {
        let parent = self.blocks.get(&header.prev_blockhash).copied().ok_or("prev-blk-not-found")?;
        let place = self.place_after(&parent, now);
        rules.check_header(header, &place)?;
        let node = Node { header: *header, height: place.height, has_block: true };
        self.blocks.insert(header.block_hash(), node);
        if node.height > self.tip().height {
            self.switch_to(node);
        }
        Ok(())
    }

    fn place_after(&self, parent: &Node, now: u32) -> Place {
        let mut times = Vec::with_capacity(11);
        let mut node = Some(parent);
        while let Some(ancestor) = node.filter(|_| times.len() < 11) {
            times.push(ancestor.header.time);
            node = self.blocks.get(&ancestor.header.prev_blockhash);
        }
        times.sort_unstable();
        Place { height: parent.height.saturating_add(1), median_time: times[times.len() / 2], now }
    }

    fn found(&self, node: &Node) -> FoundHeader {
        let on_best_chain = self.best.get(node.height as usize) == Some(&node.header.block_hash());
        FoundHeader { header: node.header, height: BitcoinHeight(node.height), on_best_chain }
    }
}

impl Backend for Embedded {
    fn name(&self) -> &str {
        NAME
    }

    fn template<'a>(&'a self, long_poll_id: Option<&'a str>) -> Reply<'a, Template> {
        Box::pin(async move { Ok(self.next_template(long_poll_id).await) })
    }

    fn submit_block<'a>(&'a self, block: &'a [u8]) -> Reply<'a, Verdict> {
        Box::pin(async { self.take_block(block) })
    }

    fn header(&self, hash: BlockHash) -> Reply<'_, Option<FoundHeader>> {
        Box::pin(async move {
            let chain = self.lock();
            Ok(chain.blocks.get(&hash).map(|node| chain.found(node)))
        })
    }

    fn headers(&self, first: BitcoinHeight, count: u32) -> Reply<'_, Vec<Header>> {
        Box::pin(async move {
            let chain = self.lock();
            let hashes = chain.best.iter().skip(first.0 as usize).take(count.min(MAX_HEADERS) as usize);
            Ok(hashes.map(|hash| chain.blocks[hash].header).collect())
        })
    }

    fn submit_header<'a>(&'a self, header: &'a Header) -> Reply<'a, ()> {
        Box::pin(async {
            let taken = self.lock().take_header(&self.rules, header, (self.clock)());
            taken.map_err(|reason| refused("submitheader", REFUSED, reason))
        })
    }

    fn restore(&self, headers: &[Header]) {
        let mut chain = self.lock();
        for header in headers {
            if let Err(reason) = chain.restore(&self.rules, header, (self.clock)()) {
                tracing::warn!(hash = %header.block_hash(), reason, "a saved header is no part of the embedded chain");
            }
        }
        let tip = chain.tip().header.block_hash();
        drop(chain);
        self.tip.send_replace(tip);
    }

    /// There are no transactions in this chain but the coinbases.
    fn mempool(&self) -> Reply<'_, Vec<MempoolEntry>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn transactions<'a>(&'a self, ids: &'a [Txid]) -> Reply<'a, Vec<Option<Bytes>>> {
        Box::pin(async { Ok(vec![None; ids.len()]) })
    }

    fn chain_info(&self) -> Reply<'_, ChainInfo> {
        Box::pin(async {
            let chain = self.lock();
            let tip = chain.tip();
            let headers = chain.blocks.values().map(|node| node.height).max().unwrap_or(tip.height);
            Ok(ChainInfo {
                chain: CHAIN.to_owned(),
                blocks: BitcoinHeight(tip.height),
                headers: BitcoinHeight(headers),
                best: tip.header.block_hash(),
                initial_block_download: false,
                signet_challenge: None,
            })
        })
    }
}

fn refused(method: &'static str, code: i64, message: String) -> BackendError {
    BackendError::Rpc { backend: NAME.to_owned(), method, code, message }
}

#[cfg(test)]
mod tests;
