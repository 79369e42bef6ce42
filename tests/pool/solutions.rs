//! A found Bitcoin block whose finder has lost its bitcoind.

use crate::node::hand::{Hand, Want};
use crate::node::setup::{TestNode, regtest, upstream};
use crate::support::asking::BitcoinBlocks;
use crate::support::bitcoind::{BitcoinD, Chain, Options, wait_for};
use crate::support::rig::owner;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_block_whose_finder_has_lost_its_bitcoind_reaches_bitcoin_through_another_node() {
    let daemon = || BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let (mut finders, others) = (daemon(), daemon());
    let address = finders.create_funded_wallet(3);
    others.connect_to(&finders);
    wait_for("both at the same block", || (finders.best_hash() == others.best_hash()).then_some(()));
    let pay = |amount: u32| finders.call("sendtoaddress", json!([address, amount]));
    let known = pay(1);
    let in_mempool = |daemon: &BitcoinD, id: &serde_json::Value| {
        let mempool = daemon.call("getrawmempool", json!([]));
        mempool.as_array().expect("a list").contains(id).then_some(())
    };
    wait_for("the transaction at both", || in_mempool(&others, &known));
    for peer in others.call("getpeerinfo", json!([])).as_array().expect("a list") {
        others.call("disconnectnode", json!([peer["addr"]]));
    }
    // The other bitcoind will never hear of this one.
    let missing = pay(2);

    let helper = TestNode::join(regtest(), vec![upstream(&others, true)], &[]).await;
    let finder = TestNode::join(regtest(), vec![upstream(&finders, true)], &[helper.address().await]).await;
    finder.level().await;
    let mut miner = Hand::at(&finder, &owner(1)).await;
    let [at_helper, at_finder] = [&helper, &finder].map(|node| BitcoinBlocks::listen(node.node.api));
    let at_helper = tokio::spawn(at_helper.await.expect("the interface listens").own());
    let at_finder = tokio::spawn(at_finder.await.expect("the interface listens").own());
    let job = miner.job_with(|job| job.branch.len() == 2).await.expect("served");
    finders.kill();
    let found = miner.mine(&job, Want::REGTEST_BLOCK);
    assert_eq!(miner.submit(&found).await.expect("served"), None);
    wait_for("the block at the other bitcoind", || {
        (others.best_hash() == found.id.to_string()).then_some(())
    });
    let block = others.call("getblock", json!([found.id.to_string()]));
    let transactions = block["tx"].as_array().expect("a list");
    assert!(transactions.contains(&known) && transactions.contains(&missing), "{block}");
    helper.stop().await;
    finder.stop().await;
    // Both tell of it, and whose it is.
    assert_eq!(at_helper.await.expect("no panic"), [false]);
    assert_eq!(at_finder.await.expect("no panic"), [true]);
}
