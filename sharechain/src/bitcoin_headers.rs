//! The Bitcoin headers that the share chain judges by, and the one rule for the bits of the next (protocol section 4, check 5).
//!
//! A tree in memory from the first Bitcoin block on. It holds no transactions and does not ask whether Bitcoin's nodes
//! accept a block's: the answer must be the same on every node, and only headers are. It has no clock: whoever takes headers from
//! others holds back those whose time is more than [`MAX_HEADER_TIME_AHEAD`](crate::params::MAX_HEADER_TIME_AHEAD) ahead of its own.

mod error;
mod rules;
#[cfg(test)]
mod tests;

pub use error::{AncestorsError, ContextError, HeaderError, TooEarly, WrongBits};
pub use rules::TimeRule;

use crate::params::{BitcoinRules, ChainParams, MEDIAN_SPAN, RECENT_HEADERS, RETARGET_PERIOD};
use crate::share::{ShareHeader, header_id};
use crate::target::{Target, Work};
use crate::units::BitcoinHeight;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, CompactTarget};
use rules::{Earliest, Previous};
use std::collections::BTreeMap;

/// Most headers off the best chain. On a network with cheap blocks anybody can make stale ones without end.
pub const MAX_STALE_HEADERS: usize = 4_096;

/// The least version of a block header since BIP34, BIP66 and BIP65.
const MIN_VERSION: i32 = 4;

/// What became of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was not known before.
    New,
    /// It was known.
    Known,
}

/// A header of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderInfo {
    /// Its hash.
    pub hash: BlockHash,
    /// The header.
    pub header: Header,
    /// Its height.
    pub height: BitcoinHeight,
    /// Work from the first Bitcoin block to this one, both included.
    pub work: Work,
}

/// What the Bitcoin block that a share would be follows from: a function of headers only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitcoinContext {
    /// Height of the block that the share would be.
    pub height: BitcoinHeight,
    /// Work from the first Bitcoin block to the previous block, both included.
    pub prev_work: Work,
    /// The same up to the previous block's parent: "one Bitcoin block less" in the freshness rule (protocol section 4, check 7).
    pub prev_parent_work: Work,
    /// The target that makes the share a Bitcoin block.
    pub network_target: Target,
    /// The target that scores are held against: that of the first Bitcoin block of the height's retarget period.
    pub score_target: Target,
    /// Median time of the previous block's last 11, in seconds since 1970.
    pub median_time_past: u32,
    /// The first and the last header time, in seconds since 1970, for which the network target is this one.
    pub times: (u32, u32),
}

/// The tree of Bitcoin headers from the first Bitcoin block on, with the few before it that its rules look back at.
#[derive(Clone, Debug)]
pub struct HeaderTree {
    rules: BitcoinRules,
    /// Parents stand before their children. In front are the ancestors of the first Bitcoin block.
    nodes: Vec<Node>,
    by_hash: BTreeMap<BlockHash, Index>,
    /// The first Bitcoin block.
    first: Index,
    /// The chain with the most work, the first seen among equals: from the front of `nodes`, without gaps in height.
    best_chain: Vec<Index>,
}

type Index = u32;

#[derive(Clone, Debug)]
struct Node {
    header: Header,
    height: u32,
    /// Itself where there is no parent.
    parent: Index,
    /// The first header of its retarget period; the front of the tree for those before the first Bitcoin block's period.
    period_first: Index,
    /// See [`Previous::real_bits`].
    real_bits: CompactTarget,
    /// See [`HeaderInfo::work`].
    work: Work,
}

/// The height from which on headers are needed before the first Bitcoin block: for its median time, and the first header of its
/// retarget period. All networks need the latter, those without retargets for BIP54.
pub fn first_ancestor_height(params: &ChainParams) -> BitcoinHeight {
    ancestors_from(params.first_bitcoin_block.0)
}

fn ancestors_from(first: BitcoinHeight) -> BitcoinHeight {
    const BEFORE: u32 = 10;
    const { assert!(BEFORE as usize + 1 == MEDIAN_SPAN, "the first Bitcoin block is one of the eleven") };
    let for_median = first.0.saturating_sub(BEFORE);
    BitcoinHeight(for_median.min(first.0.saturating_sub(first.0 % RETARGET_PERIOD)))
}

impl HeaderTree {
    /// The tree of the first Bitcoin block alone. `ancestors` are the headers from [`first_ancestor_height`] (or lower) to it, in
    /// order. The first Bitcoin block's hash proves them all, so that nothing else of them is checked.
    pub fn new(params: &ChainParams, ancestors: &[Header]) -> Result<Self, AncestorsError> {
        Self::with_rules(params.network.rules(), params.first_bitcoin_block, ancestors)
    }

    fn with_rules(
        rules: BitcoinRules,
        (first_height, first_hash): (BitcoinHeight, BlockHash),
        ancestors: &[Header],
    ) -> Result<Self, AncestorsError> {
        let from = ancestors_from(first_height);
        let needed = (first_height.0.saturating_sub(from.0) as usize).saturating_add(1);
        let run = match ancestors.len().checked_sub(needed) {
            Some(spare) => &ancestors[spare..],
            None => return Err(AncestorsError::TooFew { given: ancestors.len(), needed }),
        };
        authenticate(run, first_height, first_hash)?;
        let mut tree = Self {
            rules,
            nodes: Vec::with_capacity(needed),
            by_hash: BTreeMap::new(),
            first: 0,
            best_chain: Vec::with_capacity(needed),
        };
        for header in run {
            tree.first = tree.append(*header, from, Work::ZERO);
            tree.best_chain.push(tree.first);
        }
        let bits = run.last().map_or(CompactTarget::default(), |header| header.bits);
        let target = Target::from_compact(bits).map_err(|bad| AncestorsError::Bits(bad.0))?;
        if let Some(first) = tree.nodes.last_mut() {
            first.work = target.work();
        }
        Ok(tree)
    }

    /// Checks a header by Bitcoin's rules and adds it. Its parent must be there already.
    pub fn insert(&mut self, header: Header) -> Result<Inserted, HeaderError> {
        let hash = hash_of(&header);
        if self.by_hash.contains_key(&hash) {
            return Ok(Inserted::Known);
        }
        let target = self.check(&header)?;
        if !target.is_met_by(hash.as_byte_array()) {
            return Err(HeaderError::ProofOfWork(hash));
        }
        self.link(header, target)?;
        Ok(Inserted::New)
    }

    /// The target that a header with this time must have on top of `prev`: Bitcoin's own rule, for shares and headers alike.
    pub fn required_bits(&self, prev: &BlockHash, time: u32) -> Result<Target, ContextError> {
        let prev = self.previous(self.prev_block(prev)?);
        Ok(self.required(&prev, time))
    }

    /// The earliest header time on top of `prev` that [`HeaderTree::context`] lets pass, in seconds since 1970.
    ///
    /// It includes the boundary times of BIP54 ahead of that soft fork's activation. When no 32-bit time is left, the last one.
    pub fn earliest_time(&self, prev: &BlockHash) -> Result<u32, ContextError> {
        let prev = self.previous(self.prev_block(prev)?);
        Ok(u32::try_from(rules::earliest_with_bip54(&self.rules, &prev).0).unwrap_or(u32::MAX))
    }

    /// Check 5 of protocol section 4, as far as it depends on the Bitcoin header alone.
    ///
    /// The boundary times of BIP54 are demanded ahead of that soft fork's activation, so that no share is worth nothing after it.
    pub fn context(&self, header: &ShareHeader) -> Result<BitcoinContext, ContextError> {
        let node = self.prev_block(&header.prev_block)?;
        let prev = self.previous(node);
        check_version(header.version).map_err(ContextError::Version)?;
        check_time(header.time, rules::earliest_with_bip54(&self.rules, &prev))?;
        let network_target = self.required(&prev, header.time);
        check_bits(header.bits, network_target)?;
        let score_target =
            if prev.next_begins_period() { network_target } else { readable(prev.period_bits) };
        Ok(BitcoinContext {
            height: BitcoinHeight(node.height.saturating_add(1)),
            prev_work: node.work,
            prev_parent_work: node.work.saturating_sub(readable(node.header.bits).work()),
            network_target,
            score_target,
            median_time_past: prev.median,
            times: rules::times_alike(&self.rules, &prev, header.time),
        })
    }

    /// The header with this hash, if it is the first Bitcoin block or a known descendant of it.
    pub fn get(&self, hash: &BlockHash) -> Option<HeaderInfo> {
        self.prev_block(hash).ok().map(|node| node.info(*hash))
    }

    /// The tip of the chain with the most work, the first seen among equals.
    pub fn best(&self) -> HeaderInfo {
        let tip = self.tip();
        tip.info(hash_of(&tip.header))
    }

    /// The header of the best chain at this height, from the first Bitcoin block on.
    pub fn on_best_chain(&self, height: BitcoinHeight) -> Option<HeaderInfo> {
        let node = self.node(*self.best_chain.get(self.position(height.0)?)?);
        (node.height >= self.node(self.first).height).then(|| node.info(hash_of(&node.header)))
    }

    /// The headers that [`HeaderTree::new`] needs to make this tree again, in order; the last is the first Bitcoin block.
    pub fn ancestors(&self) -> impl Iterator<Item = &Header> {
        self.nodes[..=self.first as usize].iter().map(|node| &node.header)
    }

    /// The headers after the first Bitcoin block with their heights, stale ones included, each after its parent:
    /// inserted in this order into a new tree they make this one again.
    pub fn iter(&self) -> impl Iterator<Item = (BitcoinHeight, &Header)> {
        let nodes = &self.nodes[(self.first as usize).saturating_add(1)..];
        nodes.iter().map(|node| (BitcoinHeight(node.height), &node.header))
    }

    /// Whether this is one of the newest 1,008 headers of the best chain, or a stale sibling of one: a header at one of their
    /// heights whose parent is on the best chain (protocol section 7).
    pub fn is_recent(&self, hash: &BlockHash) -> bool {
        let Some(&index) = self.by_hash.get(hash).filter(|&&index| index >= self.first) else { return false };
        let node = self.node(index);
        let recent = node.height.saturating_add(RECENT_HEADERS) > self.tip().height;
        recent && (self.is_on_best_chain(index) || self.is_on_best_chain(node.parent))
    }

    /// Headers that are not on the best chain.
    pub const fn stale_count(&self) -> usize {
        self.nodes.len().saturating_sub(self.best_chain.len())
    }

    /// Drops the stale headers that `keep` does not want, unless they lead to one that it does. The best chain stays. Returns what was dropped.
    pub fn prune(&mut self, keep: impl Fn(&BlockHash) -> bool) -> Vec<HeaderInfo> {
        let mut kept: Vec<bool> = vec![false; self.nodes.len()];
        for (hash, &index) in &self.by_hash {
            kept[index as usize] = self.is_on_best_chain(index) || keep(hash);
        }
        for index in (0..self.nodes.len()).rev() {
            let parent = self.nodes[index].parent as usize;
            kept[parent] |= kept[index];
        }
        let dropped = self.dropped(&kept);
        if !dropped.is_empty() {
            self.compact(&kept);
        }
        dropped
    }
}

impl HeaderTree {
    fn node(&self, index: Index) -> &Node {
        &self.nodes[index as usize]
    }

    fn tip(&self) -> &Node {
        self.best_chain.last().map_or(&self.nodes[0], |&index| self.node(index))
    }

    /// The header that a share or another header may build on.
    fn prev_block(&self, hash: &BlockHash) -> Result<&Node, ContextError> {
        match self.by_hash.get(hash) {
            Some(&index) if index >= self.first => Ok(self.node(index)),
            Some(_) => Err(ContextError::BeforeFirst),
            None => Err(ContextError::UnknownPrevBlock(*hash)),
        }
    }

    fn position(&self, height: u32) -> Option<usize> {
        Some(height.checked_sub(self.nodes[0].height)? as usize)
    }

    fn is_on_best_chain(&self, index: Index) -> bool {
        let position = self.position(self.node(index).height);
        position.and_then(|position| self.best_chain.get(position)) == Some(&index)
    }

    fn previous(&self, node: &Node) -> Previous {
        let period_first = self.node(node.period_first);
        Previous {
            height: node.height,
            time: node.header.time,
            bits: node.header.bits,
            real_bits: node.real_bits,
            period_time: period_first.header.time,
            period_bits: period_first.header.bits,
            median: rules::median(self.and_ancestors(node).map(|node| node.header.time)),
        }
    }

    /// A node and its ancestors, newest first.
    fn and_ancestors<'a>(&'a self, node: &'a Node) -> impl Iterator<Item = &'a Node> {
        core::iter::successors(Some(node), |node| {
            let parent = self.node(node.parent);
            (parent.height < node.height).then_some(parent)
        })
    }

    fn required(&self, prev: &Previous, time: u32) -> Target {
        readable(rules::required_bits(&self.rules, prev, time))
    }

    /// All rules but the proof of work; gives the target for that.
    fn check(&self, header: &Header) -> Result<Target, HeaderError> {
        let node = self.prev_block(&header.prev_blockhash).map_err(|error| match error {
            ContextError::UnknownPrevBlock(hash) => HeaderError::UnknownParent(hash),
            _ => HeaderError::BeforeFirst,
        })?;
        let prev = self.previous(node);
        check_version(header.version).map_err(HeaderError::Version)?;
        check_time(header.time, rules::earliest(&self.rules, &prev))?;
        let target = self.required(&prev, header.time);
        check_bits(header.bits, target)?;
        Ok(target)
    }

    /// Adds a checked header and follows it if it has the most work.
    fn link(&mut self, header: Header, target: Target) -> Result<(), HeaderError> {
        let parent = self.prev_block(&header.prev_blockhash);
        let parent = parent.map_err(|_| HeaderError::UnknownParent(header.prev_blockhash))?;
        let work = parent.work.saturating_add(target.work());
        let is_best = work > self.tip().work;
        if !is_best && self.stale_count() >= MAX_STALE_HEADERS {
            return Err(HeaderError::TooManyStale);
        }
        let height = BitcoinHeight(parent.height.saturating_add(1));
        let index = self.append(header, height, work);
        if is_best {
            self.follow(index);
        }
        Ok(())
    }

    /// Adds a node. `height` is looked at only where the parent is not in the tree.
    fn append(&mut self, header: Header, height: BitcoinHeight, work: Work) -> Index {
        // No memory holds 2^32 nodes.
        let index = Index::try_from(self.nodes.len()).unwrap_or(Index::MAX);
        let parent = self.by_hash.get(&header.prev_blockhash).copied();
        let height = parent.map_or(height.0, |parent| self.node(parent).height.saturating_add(1));
        let begins_period = height % RETARGET_PERIOD == 0;
        let (mut period_first, mut real_bits) = (index, header.bits);
        if let Some(parent) = parent.map(|parent| self.node(parent)).filter(|_| !begins_period) {
            period_first = parent.period_first;
            if header.bits.to_consensus() == self.rules.limit {
                real_bits = parent.real_bits;
            }
        }
        let parent = parent.unwrap_or(index);
        self.by_hash.insert(hash_of(&header), index);
        self.nodes.push(Node { header, height, parent, period_first, real_bits, work });
        index
    }

    /// Makes the chain that ends with `index` the best one.
    fn follow(&mut self, index: Index) {
        let mut branch = Vec::new();
        let mut next = index;
        while !self.is_on_best_chain(next) {
            branch.push(next);
            next = self.node(next).parent;
        }
        let fork = self.position(self.node(next).height).unwrap_or(0);
        self.best_chain.truncate(fork.saturating_add(1));
        self.best_chain.extend(branch.iter().rev());
    }

    fn dropped(&self, kept: &[bool]) -> Vec<HeaderInfo> {
        let nodes = self.nodes.iter().zip(kept).filter(|(_, kept)| !**kept);
        nodes.map(|(node, _)| node.info(hash_of(&node.header))).collect()
    }

    /// Takes out the nodes that are not kept. Every node's parent and period's first are kept with it.
    fn compact(&mut self, kept: &[bool]) {
        let mut moved: Vec<Index> = Vec::with_capacity(kept.len());
        let mut next: Index = 0;
        for &is_kept in kept {
            moved.push(next);
            next = next.saturating_add(Index::from(is_kept));
        }
        let mut flags = kept.iter();
        self.nodes.retain(|_| flags.next() == Some(&true));
        for node in &mut self.nodes {
            node.parent = moved[node.parent as usize];
            node.period_first = moved[node.period_first as usize];
        }
        self.by_hash.retain(|_, index| kept[*index as usize]);
        let indices = self.by_hash.values_mut().chain(&mut self.best_chain);
        indices.for_each(|index| *index = moved[*index as usize]);
    }
}

impl Node {
    fn info(&self, hash: BlockHash) -> HeaderInfo {
        HeaderInfo { hash, header: self.header, height: BitcoinHeight(self.height), work: self.work }
    }
}

fn hash_of(header: &Header) -> BlockHash {
    header_id(header).into()
}

/// Follows the links back from the first Bitcoin block's hash.
fn authenticate(run: &[Header], height: BitcoinHeight, hash: BlockHash) -> Result<(), AncestorsError> {
    let mut expected = hash;
    for (back, header) in (0_u32..).zip(run.iter().rev()) {
        let found = hash_of(header);
        if found != expected {
            let broken =
                AncestorsError::Broken(BitcoinHeight(height.0.saturating_sub(back).saturating_add(1)));
            return Err(if back == 0 { AncestorsError::WrongEnd { found, expected } } else { broken });
        }
        expected = header.prev_blockhash;
    }
    let is_genesis = ancestors_from(height).0 == 0;
    if is_genesis == (expected == BlockHash::all_zeros()) { Ok(()) } else { Err(AncestorsError::WrongHeight) }
}

fn check_version(version: bitcoin::block::Version) -> Result<(), i32> {
    let version = version.to_consensus();
    if version >= MIN_VERSION { Ok(()) } else { Err(version) }
}

fn check_time(time: u32, (earliest, rule): Earliest) -> Result<(), TooEarly> {
    if u64::from(time) >= earliest { Ok(()) } else { Err(TooEarly { time, earliest, rule }) }
}

fn check_bits(given: CompactTarget, required: Target) -> Result<(), WrongBits> {
    let (given, required) = (given.to_consensus(), required.to_compact().to_consensus());
    if given == required { Ok(()) } else { Err(WrongBits { given, required }) }
}

/// The target of bits that were checked when they came into the tree.
fn readable(bits: CompactTarget) -> Target {
    Target::from_compact(bits).unwrap_or(Target::MIN)
}
