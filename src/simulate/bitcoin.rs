//! Bitcoin as the pool sees it: blocks with real work from outside and from the pool, and a bitcoind for each node that
//! hears of them in its own time.
//!
//! A bitcoind does not hear of a block that is no better than its tip: Bitcoin nodes do not relay the losing tip of a
//! race. So in a race some nodes know one block and some the other, until the next one decides.

use super::hashes::grind_header;
use super::queue::Moment;
use super::random::Random;
use super::settings::BITCOIN_SPACING;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, TxMerkleNode};
use sharechain::bitcoin_headers::HeaderTree;
use sharechain::params::{ChainParams, embedded_genesis};
use sharechain::target::Target;
use std::collections::HashMap;

/// Miners outside of the pool, of equal size.
const OUTSIDERS: usize = 12;
/// Seconds that a block takes to another bitcoind, at the median.
const BLOCK_DELAY: f64 = 1.0;
/// Its spread.
const BLOCK_JITTER: f64 = 0.7;
/// The version of all blocks' headers.
pub const HEADER_VERSION: i32 = 0x2000_0000;

/// A Bitcoin block by number; 0 is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockNumber(pub usize);

/// All blocks, and what each site knows.
pub struct Bitcoin {
    tree: HeaderTree,
    target: Target,
    blocks: Vec<Block>,
    numbers: HashMap<BlockHash, usize>,
    /// The tip of each node's bitcoind, then of each outsider.
    tips: Vec<usize>,
    nodes: usize,
    outside_rate: f64,
    random: Random,
}

struct Block {
    header: Header,
    height: usize,
    parent: usize,
    by_pool: bool,
}

impl Bitcoin {
    /// The first block, known to all.
    pub fn new(params: &ChainParams, nodes: usize, pool_part: f64, random: Random) -> Option<Self> {
        let bits = params.network.rules().limit;
        let genesis = embedded_genesis(bits);
        Some(Self {
            tree: HeaderTree::new(params, &[genesis]).ok()?,
            target: Target::from_compact(genesis.bits).ok()?,
            blocks: vec![Block { header: genesis, height: 0, parent: 0, by_pool: false }],
            numbers: HashMap::from([(genesis.block_hash(), 0)]),
            tips: vec![0; nodes + OUTSIDERS],
            nodes,
            outside_rate: (1.0 - pool_part) / BITCOIN_SPACING,
            random,
        })
    }

    /// Seconds until somebody outside finds a block; none when there is nobody.
    pub fn next_outside(&mut self) -> Option<f64> {
        (self.outside_rate > 0.0).then(|| self.random.exponential(1.0 / self.outside_rate))
    }

    /// Somebody outside finds a block, on what it knows: the block, and when each site hears of it.
    pub fn found_outside(&mut self, now: Moment) -> Option<(BlockNumber, Vec<f64>)> {
        let site = self.nodes + self.random.below(OUTSIDERS);
        let parent = self.tips[site];
        let prev_blockhash = self.blocks[parent].header.block_hash();
        let mut root = [0; 32];
        root[24..].copy_from_slice(&(self.blocks.len() as u64).to_be_bytes());
        let header = Header {
            version: Version::from_consensus(HEADER_VERSION),
            prev_blockhash,
            merkle_root: TxMerkleNode::from_byte_array(root),
            time: now.unix().0.max(self.tree.earliest_time(&prev_blockhash).ok()?),
            bits: self.target.to_compact(),
            nonce: 0,
        };
        self.add(grind_header(header, self.target), site, false)
    }

    /// A node of the pool found a block.
    pub fn found_by_pool(&mut self, header: Header, node: usize) -> Option<(BlockNumber, Vec<f64>)> {
        self.add(header, node, true)
    }

    fn add(&mut self, header: Header, site: usize, by_pool: bool) -> Option<(BlockNumber, Vec<f64>)> {
        let parent = *self.numbers.get(&header.prev_blockhash)?;
        self.tree.insert(header).ok()?;
        let number = self.blocks.len();
        let height = self.blocks[parent].height + 1;
        self.numbers.insert(header.block_hash(), number);
        self.blocks.push(Block { header, height, parent, by_pool });
        let mut delays: Vec<f64> =
            self.tips.iter().map(|_| BLOCK_DELAY * self.random.jitter(BLOCK_JITTER)).collect();
        delays[site] = 0.0;
        Some((BlockNumber(number), delays))
    }

    /// A block comes to a site. True when it is its new tip.
    pub fn hear(&mut self, site: usize, block: BlockNumber) -> bool {
        let better = self.blocks[block.0].height > self.blocks[self.tips[site]].height;
        if better {
            self.tips[site] = block.0;
        }
        better
    }

    /// The tip of a node's bitcoind.
    pub fn tip(&self, node: usize) -> BlockHash {
        self.blocks[self.tips[node]].header.block_hash()
    }

    /// The earliest time of a header on this block.
    pub fn earliest_time(&self, prev: &BlockHash) -> u32 {
        self.tree.earliest_time(prev).unwrap_or(0)
    }

    /// A block's header and its ancestors', newest first.
    pub fn branch(&self, hash: &BlockHash) -> impl Iterator<Item = Header> {
        let first = self.numbers.get(hash).copied();
        let up = |number: &usize| (*number != 0).then(|| self.blocks[*number].parent);
        std::iter::successors(first, up).map(|number| self.blocks[number].header)
    }

    /// Blocks of the best chain, how many of them the pool found, and blocks that lost a race.
    pub fn counts(&self) -> (usize, usize, usize) {
        let best = self.tree.best();
        let on_chain = self.branch(&best.hash).filter_map(|header| self.numbers.get(&header.block_hash()));
        let by_pool = on_chain.filter(|number| self.blocks[**number].by_pool).count();
        let height = best.height.0 as usize;
        (height, by_pool, self.blocks.len() - 1 - height)
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::*;

    fn bitcoin(nodes: usize) -> Bitcoin {
        Bitcoin::new(&Settings::default().params(), nodes, 0.4, Random::new(3, "bitcoin"))
            .expect("a first block")
    }

    #[test]
    fn the_loser_of_a_race_is_not_heard_of() {
        let mut bitcoin = bitcoin(2);
        let (first, delays) = bitcoin.found_outside(Moment::at_seconds(10.0)).expect("found");
        let (second, _) = bitcoin.found_outside(Moment::at_seconds(11.0)).expect("found");
        assert_eq!(delays.len(), 2 + OUTSIDERS);
        assert!(bitcoin.hear(0, first) && bitcoin.hear(1, second));
        assert!(!bitcoin.hear(0, second) && !bitcoin.hear(1, first));
        assert_ne!(bitcoin.tip(0), bitcoin.tip(1));
        assert_eq!(bitcoin.branch(&bitcoin.tip(1)).count(), 2);
        assert_eq!(bitcoin.counts(), (1, 0, 1));
    }

    #[test]
    fn outsiders_find_their_part() {
        let mut bitcoin = bitcoin(1);
        let sum: f64 = (0..4_000).filter_map(|_| bitcoin.next_outside()).sum();
        assert!((sum / 4_000.0 - 1_000.0).abs() < 40.0, "600 s for all, 1000 s for 60 %: {sum}");
    }
}
