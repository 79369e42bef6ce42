//! Bitcoin reorganises under a running node, deeper than any block by block walk would reach.

use super::setup::{TestNode, params_for, upstream};
use crate::support::bitcoind::{BitcoinD, Chain};
use crate::support::rig::owner;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_go_on_after_a_bitcoin_reorganisation_of_any_depth() {
    let daemon = BitcoinD::regtest();
    let address = daemon.create_wallet("miner");
    daemon.mine_to(&address, 10);
    let mut node = TestNode::start(params_for(Chain::Regtest), vec![upstream(&daemon, false)]).await;
    let miner = node.miner(&owner(1), 4.0, 0.5);
    let (_, outcome) = node.next_block().await;
    assert!(outcome.outcome.is_accepted(), "{outcome:?}");

    let fork = daemon.call("getblockhash", json!([5]));
    daemon.call("invalidateblock", json!([fork]));
    // To another address, or the daemon would make the very blocks that it holds invalid now.
    daemon.mine_to(&daemon.new_address(), 200);
    // What was found before the reorganisation is answered first.
    loop {
        let (solution, outcome) = node.next_block().await;
        if solution.share.commitment.bitcoin_height.0 > 200 {
            assert!(outcome.outcome.is_accepted(), "{outcome:?}");
            break;
        }
    }
    miner.stop().await;
    node.stop().await;
}
