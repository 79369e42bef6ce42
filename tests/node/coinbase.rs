//! A coinbase as the daemon tells it, against what the node and the program say is due.

use super::setup::TestNode;
use crate::support::bitcoind::BitcoinD;
use serde_json::{Value, json};
use sharechain::owner::Owner;
use sharechain::share::ShareId;
use sharechain::store::Solution;

/// The outputs of a coinbase as the daemon tells them: script in hex, satoshis.
fn outputs_by_daemon(coinbase: &Value) -> Vec<(String, u64)> {
    let outputs = coinbase["vout"].as_array().expect("outputs");
    outputs.iter().map(|output| (script(output), satoshis(&output["value"]))).collect()
}

fn script(output: &Value) -> String {
    output["scriptPubKey"]["hex"].as_str().expect("a script").to_owned()
}

/// The daemon writes amounts with eight decimals.
pub(crate) fn satoshis(value: &Value) -> u64 {
    let text = value.to_string();
    let (whole, decimals) = text.split_once('.').unwrap_or((&text, ""));
    format!("{whole}{decimals:0<8}").parse().expect("an amount")
}

/// The block with its transactions, as the daemon tells it.
pub(crate) fn block_by_daemon(daemon: &BitcoinD, solution: &Solution) -> Value {
    daemon.call("getblock", json!([solution.header.block_hash().to_string(), 2]))
}

/// The payouts that the node says are due for a share.
async fn payouts_by_node(node: &TestNode, solution: &Solution) -> Vec<(Owner, u64)> {
    let share = solution.share.clone();
    let payouts = node.node.chain.read(move |reader| reader.payouts(&share)).await.expect("the node runs");
    let payouts = payouts.expect("the share's base is known");
    payouts.outputs.into_iter().chain(payouts.bonus).collect()
}

/// Every output but the last two, which are the witness commitment and the commitment, pays as the node says.
pub(crate) async fn check_coinbase(
    node: &TestNode,
    daemon: &BitcoinD,
    solution: &Solution,
) -> Vec<(Owner, u64)> {
    let expected = payouts_by_node(node, solution).await;
    let actual = outputs_by_daemon(&block_by_daemon(daemon, solution)["tx"][0]);
    let expected_text: Vec<_> =
        expected.iter().map(|(owner, value)| (format!("{:x}", owner.script()), *value)).collect();
    assert_eq!(actual[..actual.len() - 2], expected_text);
    assert!(actual[actual.len() - 2..].iter().all(|(_, value)| *value == 0));
    let paid: u64 = expected.iter().map(|(_, value)| value).sum();
    assert_eq!(paid, solution.share.commitment.coinbase_value);
    expected
}

/// The whole coinbase, output by output, is what `commonwork payouts --share ID` says.
pub(crate) async fn check_with_program(node: &TestNode, daemon: &BitcoinD, solution: &Solution) {
    let id = solution.header.block_hash().to_string();
    // The node judges a share in its own time, after the block is on its way.
    node.share(id.parse::<ShareId>().expect("a share's id is its header's hash")).await;
    let told = node.ask_program(&["payouts", "--share", &id]).await;
    let block = block_by_daemon(daemon, solution);
    let outputs = told["outputs"].as_array().expect("outputs").iter();
    let told_outputs: Vec<(String, u64)> = outputs
        .map(|output| {
            let script = output["script"].as_str().expect("a script").to_owned();
            (script, output["satoshis"].as_u64().expect("satoshis"))
        })
        .collect();
    assert_eq!(told_outputs, outputs_by_daemon(&block["tx"][0]));
    assert_eq!((&told["txid"], &told["bitcoin_height"]), (&block["tx"][0]["txid"], &block["height"]));
    assert_eq!(told["prev_block"], block["previousblockhash"]);
}
