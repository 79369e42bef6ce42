//! Several real nodes in one process, on real bitcoinds: one share chain, and found blocks that find their way.

mod five;
mod races;
mod solutions;

use crate::node::setup::{PATIENCE, TestNode};
use sharechain::params::ChainParams;
use sharechain::share::ShareId;
use sharechain::target::Target;
use sharechain::units::{BitcoinHeight, Height};
use std::time::{Duration, Instant};

const TESTNET4_GENESIS: &str = "00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043";

/// Share blocks every second at what a test's processor can do, and none of them a Bitcoin block.
pub(crate) fn easy() -> ChainParams {
    quick("pool", 1, 60_000)
}

/// A chain with a block every so many seconds of so many hashes at the easiest, on testnet4 from its genesis block on. The
/// retarget's times are to the spacing as on the main chain.
pub(crate) fn quick(name: &str, spacing: u32, hashes: u32) -> ChainParams {
    ChainParams {
        name: name.into(),
        easiest_block_target: Target::MAX.harder_by(hashes).to_compact(),
        shares_per_block: 8,
        spacing,
        retarget_constant: 42 * spacing,
        stall_relief: 20 * spacing,
        base_depth: 16,
        payout_interval: 1,
        first_bitcoin_block: (BitcoinHeight(0), TESTNET4_GENESIS.parse().expect("a hash")),
        ..ChainParams::testnet4()
    }
}

fn height(node: &TestNode) -> u32 {
    node.node.chain.state().borrow().height.0
}

fn tip(node: &TestNode) -> ShareId {
    node.node.chain.state().borrow().tip
}

/// Waits until a node is at this height or above.
async fn reach(node: &TestNode, wanted: u32) {
    let mut state = node.node.chain.state();
    let reached = state.wait_for(|state| state.height >= Height(wanted));
    tokio::time::timeout(PATIENCE, reached).await.expect("in time").expect("the node runs");
}

/// Waits until all have the same tip.
async fn agree(nodes: &[&TestNode]) {
    let end = Instant::now() + PATIENCE;
    while nodes.windows(2).any(|pair| tip(pair[0]) != tip(pair[1])) {
        let heights: Vec<u32> = nodes.iter().map(|node| height(node)).collect();
        assert!(Instant::now() < end, "they do not agree: heights {heights:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The block at a height of a node's chain, and whom the window there pays, largest first.
async fn at(node: &TestNode, height: u32) -> Option<(ShareId, Vec<String>)> {
    let question = move |reader: &mut commonwork::chain::Reader<'_>| {
        let id = reader.chain.block_at(Height(height))?.id;
        let ranking = reader.chain.ranking(&id)?;
        Some((id, ranking.iter().map(|entry| format!("{entry:?}")).collect()))
    };
    node.node.chain.read(question).await.expect("the node runs")
}
