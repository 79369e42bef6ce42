//! Blocks that a real bitcoind takes, with the coinbases that the share chain says.

use super::setup::{TestNode, params_for, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;
use serde_json::{Value, json};
use sharechain::owner::Owner;
use sharechain::store::Solution;

/// The outputs of a block's coinbase as the daemon tells them: script in hex, satoshis.
fn outputs_by_daemon(daemon: &BitcoinD, hash: &str) -> Vec<(String, u64)> {
    let block = daemon.call("getblock", json!([hash, 2]));
    let outputs = block["tx"][0]["vout"].as_array().expect("outputs");
    outputs.iter().map(|output| (script(output), satoshis(&output["value"]))).collect()
}

fn script(output: &Value) -> String {
    output["scriptPubKey"]["hex"].as_str().expect("a script").to_owned()
}

/// The daemon writes amounts with eight decimals.
fn satoshis(value: &Value) -> u64 {
    let text = value.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{decimals:0<8}").parse().expect("an amount")
}

/// The payouts that the node says are due for a share.
async fn payouts_by_node(node: &TestNode, solution: &Solution) -> Vec<(Owner, u64)> {
    let share = solution.share.clone();
    let payouts = node.node.chain.read(move |reader| reader.payouts(&share)).await.expect("the node runs");
    let payouts = payouts.expect("the share's base is known");
    payouts.outputs.into_iter().chain(payouts.bonus).collect()
}

/// Every output but the last two, which are the witness commitment and the commitment, pays as the node says.
async fn check_coinbase(node: &TestNode, daemon: &BitcoinD, solution: &Solution) -> Vec<(Owner, u64)> {
    let expected = payouts_by_node(node, solution).await;
    let actual = outputs_by_daemon(daemon, &solution.header.block_hash().to_string());
    let expected_text: Vec<_> =
        expected.iter().map(|(owner, value)| (format!("{:x}", owner.script()), *value)).collect();
    assert_eq!(actual[..actual.len() - 2], expected_text);
    assert!(actual[actual.len() - 2..].iter().all(|(_, value)| *value == 0));
    let paid: u64 = expected.iter().map(|(_, value)| value).sum();
    assert_eq!(paid, solution.share.commitment.coinbase_value);
    expected
}

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
