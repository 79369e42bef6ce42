//! Blocks that a real bitcoind takes, with the coinbases that the share chain says.

use super::coinbase::check_coinbase;
use super::setup::{TestNode, params_for, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;

#[tokio::test(flavor = "multi_thread")]
async fn regtest_blocks_from_height_one_on_are_accepted_and_pay_what_the_node_says() {
    let daemon = BitcoinD::regtest();
    let mut node = TestNode::start(params_for(Chain::Regtest), vec![upstream(&daemon, false)]).await;
    let miner = node.miner(&owner(1), 4.0, 0.5);
    // Up to height 16 the height is pushed as OP_1 to OP_16.
    while daemon.height() < 18 {
        let (solution, outcome) = node.next_block().await;
        assert!(outcome.outcome.is_accepted(), "{outcome:?}");
        // A second block at the same height is taken as well, but is not on the best chain.
        check_coinbase(&node, &daemon, &solution).await;
    }
    miner.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_signet_shares_come_first_and_a_later_block_pays_other_owners_for_them() {
    let daemon = BitcoinD::start(Chain::Signet, Options { zmq: true, ..Options::default() });
    let mut node = TestNode::start(params_for(Chain::Signet), vec![upstream(&daemon, true)]).await;
    let miners: Vec<_> = (1..=3).map(|n| node.miner(&owner(n), 100.0, 0.6)).collect();
    // The first pays its finder; from the second on the window holds shares of before.
    for _ in 0..12 {
        let (solution, outcome) = node.next_block().await;
        assert!(outcome.outcome.is_accepted(), "{outcome:?}");
        let paid = check_coinbase(&node, &daemon, &solution).await;
        let finder = solution.share.commitment.owner;
        let mut others: Vec<_> =
            paid.iter().map(|(owner, _)| *owner).filter(|owner| *owner != finder).collect();
        others.sort();
        others.dedup();
        if others.len() >= 2 {
            for miner in miners {
                miner.stop().await;
            }
            node.stop().await;
            return;
        }
    }
    panic!("no Bitcoin block paid two other owners");
}
