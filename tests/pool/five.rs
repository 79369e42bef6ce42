//! Five nodes: one chain, the same payouts at every height, and what a split leaves behind.

use super::{agree, at, easy, height, reach, tip};
use crate::node::setup::{PATIENCE, TestNode, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;
use commonwork::miner::Miner;
use sharechain::share::ShareId;
use sharechain::units::Height;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

fn daemon() -> BitcoinD {
    BitcoinD::start(Chain::Testnet4, Options { zmq: true, ..Options::default() })
}

/// Nodes on one daemon, each of which knows the first.
async fn nodes(daemon: &BitcoinD, count: usize) -> Vec<TestNode> {
    let mut nodes: Vec<TestNode> = Vec::new();
    for _ in 0..count {
        let peers = match nodes.first() {
            Some(first) => vec![first.address().await],
            None => Vec::new(),
        };
        nodes.push(TestNode::join(easy(), vec![upstream(daemon, true)], &peers).await);
    }
    for node in &nodes[1..] {
        node.level().await;
    }
    nodes
}

/// A miner at each, for an owner of its own.
fn miners(nodes: &[TestNode], first_owner: u8) -> Vec<Miner> {
    let miner = |(node, number): (&TestNode, u8)| node.miner(&owner(number), 20.0, 0.12);
    nodes.iter().zip(first_owner..).map(miner).collect()
}

/// Ends the mining with one tip for all. Two blocks of equal work found at one moment divide the nodes until the next block,
/// so one miner goes on until there is no such tie.
async fn settle(nodes: &[&TestNode], mut miners: Vec<Miner>) {
    let last = miners.pop().expect("a miner");
    for miner in miners {
        miner.stop().await;
    }
    agree(nodes).await;
    last.stop().await;
    agree(nodes).await;
}

async fn mine_together(seconds: u64) {
    let daemon = daemon();
    let nodes = nodes(&daemon, 5).await;
    let miners = miners(&nodes, 1);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let all: Vec<&TestNode> = nodes.iter().collect();
    settle(&all, miners).await;
    let top = height(&nodes[0]);
    eprintln!("{top} share blocks in {seconds} s");
    assert!(u64::from(top) > seconds / 4, "{top} blocks");
    let mut owners = BTreeSet::new();
    for height in 1..=top {
        let first = at(&nodes[0], height).await.expect("a block and its window");
        for other in &nodes[1..] {
            assert_eq!(at(other, height).await.as_ref(), Some(&first), "height {height}");
        }
        owners.extend(first.1.iter().map(|entry| entry.split(',').next().expect("an owner").to_owned()));
    }
    assert_eq!(owners.len(), 5, "every owner is paid in the end: {owners:?}");
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_nodes_have_one_chain_and_the_same_payouts_at_every_height() {
    mine_together(20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes five minutes; the short form is five_nodes_have_one_chain_and_the_same_payouts_at_every_height"]
async fn five_nodes_mine_for_five_minutes_and_have_one_chain_and_the_same_payouts_at_every_height() {
    mine_together(300).await;
}

/// Ids of the shares that a node's chain credits, and of those that its own blocks are.
async fn credited(node: &TestNode) -> BTreeSet<ShareId> {
    let question = |reader: &mut commonwork::chain::Reader<'_>| {
        let chain = &reader.chain;
        let blocks = (1..=chain.height().0).filter_map(|height| chain.block_at(Height(height)));
        blocks.flat_map(|block| block.credited.iter().copied()).collect()
    };
    node.node.chain.read(question).await.expect("the node runs")
}

//   1 ─ 2   3 ─ 4 ─ 5     two groups that do not know each other
//       └─ 6 ─┘           until a sixth node knows one of each
#[tokio::test(flavor = "multi_thread")]
async fn two_groups_become_one_within_ten_blocks_and_no_share_stays_unpaid() {
    let daemon = daemon();
    let (left, right) = (nodes(&daemon, 2).await, nodes(&daemon, 3).await);
    let mut miners: Vec<Miner> = miners(&left, 1);
    miners.extend(self::miners(&right, 3));
    reach(&left[0], 12).await;
    reach(&right[0], 12).await;
    assert_ne!(tip(&left[0]), tip(&right[0]));
    let before = [credited(&left[0]).await, credited(&right[0]).await];
    let healed = height(&left[0]).max(height(&right[0]));
    let peers = [left[1].address().await, right[0].address().await];
    let bridge = TestNode::join(easy(), vec![upstream(&daemon, true)], &peers).await;
    bridge.level().await;
    let all: Vec<&TestNode> = left.iter().chain(&right).chain([&bridge]).collect();
    agree(&all).await;
    let agreed = height(&bridge);
    assert!(agreed <= healed + 10, "they met at {healed} and agreed at {agreed}");

    // The shares of the side that lost are known to that side, which lists them with its next block. Nothing ends their time:
    // their base is the chain id, as long as chains are this short, and no Bitcoin block comes.
    let wanted: BTreeSet<ShareId> = before.into_iter().flatten().collect();
    let end = Instant::now() + PATIENCE;
    while !wanted.is_subset(&credited(&bridge).await) && height(&bridge) <= agreed + 30 {
        assert!(
            Instant::now() < end,
            "the chain stands at {} since they agreed at {agreed}",
            height(&bridge)
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    settle(&all, miners).await;
    let paid = credited(&bridge).await;
    let unpaid: Vec<&ShareId> = wanted.difference(&paid).collect();
    assert!(unpaid.is_empty(), "{} of {} stay unpaid: {unpaid:?}", unpaid.len(), wanted.len());
    for node in left.into_iter().chain(right).chain([bridge]) {
        node.stop().await;
    }
}
