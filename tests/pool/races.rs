//! A race of two Bitcoin blocks, one of which a node's bitcoind never sees.

use super::{agree, tip};
use crate::node::hand::{Hand, Want};
use crate::node::setup::{TestNode, regtest, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options, wait_for};
use crate::support::rig::owner;
use serde_json::json;

fn daemon() -> BitcoinD {
    BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() })
}

fn part(daemon: &BitcoinD) {
    for peer in daemon.call("getpeerinfo", json!([])).as_array().expect("a list") {
        daemon.call("disconnectnode", json!([peer["addr"]]));
    }
}

//              ┌─ lost      the first node's bitcoind, for a while
//   ... ─ base ┤
//              └─ won ─ more   the second's, and the third's: they never see the lost block
#[tokio::test(flavor = "multi_thread")]
async fn shares_on_the_losing_block_are_valid_for_all_and_a_later_first_sync_passes() {
    let (first, second) = (daemon(), daemon());
    let address = first.create_wallet("test");
    first.mine_to(&address, 5);
    second.connect_to(&first);
    wait_for("both at the same block", || (first.best_hash() == second.best_hash()).then_some(()));
    part(&second);
    wait_for("no peers", || (first.call("getconnectioncount", json!([])) == 0).then_some(()));

    let here = TestNode::join(regtest(), vec![upstream(&first, true)], &[]).await;
    let there = TestNode::join(regtest(), vec![upstream(&second, true)], &[here.address().await]).await;
    there.level().await;
    let lost = first.mine_to(&address, 1).remove(0);
    let won = second.mine_to(&address, 1).remove(0);
    let mut miner = Hand::at(&here, &owner(1)).await;
    let job = miner.job_with(|job| job.is_on(&lost)).await.expect("served");
    let shares = [miner.mine(&job, Want::REGTEST_SHARE), miner.mine(&job, Want::REGTEST_SHARE)];
    for share in &shares {
        assert_eq!(miner.submit(share).await.expect("served"), None);
        here.share(share.id).await;
        // The other node's bitcoind has never heard of the block that it builds on.
        there.share(share.id).await;
    }
    let block = miner.mine(&job, Want::REGTEST_BLOCK);
    assert_eq!(miner.submit(&block).await.expect("served"), None);
    there.share(block.id).await;
    agree(&[&here, &there]).await;
    assert_eq!(tip(&there), block.id, "a share block on the losing block is a block for all");

    // The other branch wins by two, and everybody goes on there.
    let more = second.mine_to(&address, 2).remove(1);
    assert_ne!(won, more);
    first.connect_to(&second);
    wait_for("the race to be over", || (first.best_hash() == second.best_hash()).then_some(()));
    let mut other = Hand::at(&there, &owner(2)).await;
    let job = other.job_with(|job| job.is_on(&more)).await.expect("served");
    let next = other.mine(&job, Want::REGTEST_BLOCK);
    assert_eq!(other.submit(&next).await.expect("served"), None);
    agree(&[&here, &there]).await;

    // A newcomer whose bitcoind knows the winning branch only.
    let third = daemon();
    third.connect_to(&second);
    wait_for("the third daemon", || (third.best_hash() == second.best_hash()).then_some(()));
    let new = TestNode::join(regtest(), vec![upstream(&third, true)], &[there.address().await]).await;
    new.level().await;
    agree(&[&here, &there, &new]).await;
    for share in &shares {
        assert!(
            new.share(share.id).await.credited_by.is_some(),
            "the shares on the losing block are credited"
        );
    }
    for node in [here, there, new] {
        node.stop().await;
    }
}
