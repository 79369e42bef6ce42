//! What the share chain costs beyond single shares: blocks, drafts and reorganisations, over a full reward window.
//!
//! Run with `cargo bench -p sharechain --bench chain`.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a bench")]

mod fixture;
#[path = "../tests/support/mod.rs"]
mod support;

use divan::Bencher;
use fixture::{LISTED, Node, history, owner, params};
use sharechain::chain::{BlockSummary, Submission};
use sharechain::params::ChainParams;
use sharechain::pool::Source;
use sharechain::units::UnixTime;
use sharechain::verify::Bound;
use support::Want;

fn main() {
    divan::main();
}

/// Check 7 of a block that lists 31 shares, all of them known, and checks 3 to 6 of its own share.
#[divan::bench]
fn judge_block_of_32(bencher: Bencher) {
    let mut node = Node::with_full_window(&params());
    node.bitcoin_block();
    node.shares(LISTED, 11);
    let block = node.block();
    assert_eq!(block.includes.as_ref().map(Vec::len), Some(31));
    let now = node.now;
    bencher.bench_local(|| node.chain.judge(&block, now).expect("valid"));
}

/// The same when none of the listed shares has been heard of.
#[divan::bench]
fn judge_block_of_32_unheard(bencher: Bencher) {
    let mut maker = Node::with_full_window(&params());
    let header = maker.bitcoin_block();
    let bodies = maker.shares(LISTED, 11);
    let block = Submission { bodies, ..maker.block() };
    let mut node = Node::with_full_window(&params());
    node.hear(header);
    node.draft();
    let now = maker.now;
    bencher.bench_local(|| node.chain.judge(&block, now).expect("valid"));
}

/// What a job on the tip says, with 1,000 shares to choose from.
#[divan::bench]
fn draft_of_1000_shares(bencher: Bencher) {
    let mut node = Node::with_full_window(&params());
    node.bitcoin_block();
    node.shares(1_000, 11);
    assert_eq!(node.draft().includes.len(), 512);
    bencher.bench_local(|| node.draft());
}

/// A share that is new: all checks but the hashing, and its way into the pool.
#[divan::bench(sample_count = 100, sample_size = 10)]
fn judge_and_apply_share(bencher: Bencher) {
    let mut node = Node::with_full_window(&params());
    node.bitcoin_block();
    let draft = node.draft();
    let mined: Vec<_> = (0..1_000).map(|n| node.mine(&draft, owner(n), 11, Want::Share)).collect();
    let bound = mined.into_iter().map(|share| Submission::share(node.bind(share), Source(0)));
    let mut mined: Vec<_> = bound.collect();
    bencher.bench_local(|| node.take(&mined.pop().expect("as many as the samples take")));
}

/// Two branches of so many blocks of 32 shares on a full window.
struct Fork {
    params: ChainParams,
    blocks: Vec<BlockSummary>,
    shares: Vec<Bound>,
    last: Submission,
    header: bitcoin::block::Header,
    now: UnixTime,
}

impl Fork {
    fn new(params: ChainParams, depth: u32) -> Self {
        let mut node = Node::with_full_window(&params);
        let mut other = Node::with_full_window(&params);
        let header = node.bitcoin_block();
        other.hear(header);
        let mut blocks = history(&params, u64::from(params.window_blocks) + 200);
        let (mut shares, mut branch) = (Vec::new(), Vec::new());
        for _ in 0..depth {
            for (node, kept) in [(&mut node, &mut blocks), (&mut other, &mut branch)] {
                let new = node.shares(LISTED, 11);
                let block = node.block();
                node.take(&block);
                shares.extend(new);
                shares.push(block.share.clone());
                kept.push(node.chain.block(&node.chain.tip()).expect("just added").clone());
            }
        }
        let new = other.shares(LISTED, 11);
        let last = other.block();
        shares.extend(new);
        // The active branch last, so that its end is the tip.
        let tip = blocks.split_off(blocks.len() - depth as usize);
        blocks.extend(branch);
        blocks.extend(tip);
        Self { params, blocks, shares, last, header, now: other.now }
    }

    /// A node on the first branch that knows all but the block that will make it leave.
    fn node(&self) -> Node {
        let mut node = Node::load(&self.params, self.blocks.clone(), self.now);
        node.hear(self.header);
        for share in &self.shares {
            node.chain.readmit(share.clone()).expect("valid");
        }
        node.draft();
        node
    }

    /// The last block's judgement, the change of branch, and the first draft after it.
    fn bench(&self, bencher: Bencher) {
        bencher.with_inputs(|| self.node()).bench_local_values(|mut node| {
            assert!(node.take(&self.last));
            (node.draft(), node)
        });
    }
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn reorganisation_of_20(bencher: Bencher) {
    Fork::new(params(), 20).bench(bencher);
}

/// The payout block is the base and the base close to the tip: the window itself walks back 20 blocks and forth again.
#[divan::bench(sample_count = 10, sample_size = 1)]
fn reorganisation_of_20_through_the_window(bencher: Bencher) {
    Fork::new(ChainParams { base_depth: 1, payout_interval: 1, ..params() }, 20).bench(bencher);
}
