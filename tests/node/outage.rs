//! bitcoinds that go away and come back: mining goes on meanwhile, and neither a share nor a block is lost.

use super::crew::{Crew, Habits, Outcomes};
use super::hand::{Hand, Want};
use super::setup::{PATIENCE, TestNode, quick, regtest, upstream, upstream_with};
use crate::support::bitcoind::{BitcoinD, wait_for};
use crate::support::rig::owner;
use commonwork::address::address_of;
use commonwork::bitcoin::client::Timings;
use commonwork::bitcoin::rpc::Patience;
use commonwork::node::NodeOptions;
use std::time::Duration;
use tokio::time::{sleep, timeout};

fn habits(pause: u64) -> Habits {
    Habits { pause: Duration::from_millis(pause), submits_per_job: 1 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bitcoind_that_is_stopped_and_started_costs_no_share_and_no_block() {
    let mut daemon = BitcoinD::regtest();
    let node = TestNode::start(regtest(), vec![upstream(&daemon, false)]).await;
    let outcomes = Outcomes::of(&node);
    let mut crew = Crew::at(&node, &[owner(1), owner(2)], habits(50));
    crew.accepted_more(10).await;
    daemon.stop();
    let before = crew.account().accepted.len();
    crew.accepted_more(20).await;
    let during = crew.account().accepted[before..].to_vec();
    daemon.start_again();
    // What was found meanwhile is the first that the daemon hears of, so it is on its best chain, or beside it.
    for accepted in during.iter().filter(|accepted| accepted.is_block) {
        outcomes.accepted_by(1, accepted.id).await;
        daemon.call("getblockheader", serde_json::json!([accepted.id.to_string()]));
    }
    let height = daemon.height();
    crew.accepted_more(20).await;
    let account = crew.stop().await;
    assert_eq!((account.hung_up, account.refused.as_slice()), (0, &[][..]), "nobody noticed");
    account.check(&node, &outcomes, 1).await;
    account.check_credited(&node, &owner(3)).await;
    assert!(daemon.height() > height, "the miners went on to the daemon's new blocks");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes; the short form is a_bitcoind_that_is_stopped_and_started_costs_no_share_and_no_block"]
async fn a_bitcoind_that_is_away_for_a_minute_costs_no_share_and_no_block() {
    let mut daemon = BitcoinD::regtest();
    let options = NodeOptions { timings: Timings::default(), ..quick() };
    let node = TestNode::start_with(regtest(), vec![upstream(&daemon, false)], options).await;
    let outcomes = Outcomes::of(&node);
    // On regtest every other submit is a Bitcoin block, and 256 of them are kept for a bitcoind that is away.
    let mut crew = Crew::at(&node, &[owner(1), owner(2)], habits(700));
    crew.accepted_more(10).await;
    daemon.stop();
    sleep(Duration::from_secs(65)).await;
    crew.until(|account| account.hung_up >= 2).await;
    let before = crew.account().accepted.len();
    daemon.start_again();
    crew.accepted_more(40).await;
    let account = crew.stop().await;
    assert!(before > 60, "most of a minute was mined through: {before}");
    assert_eq!(account.refused, [0; 0]);
    account.check(&node, &outcomes, 1).await;
    account.check_credited(&node, &owner(3)).await;
    eprintln!("{} submits accepted, {before} of them before it came back", account.accepted.len());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_bitcoinds_the_first_dies_and_comes_back_and_nobody_notices() {
    let (mut one, two) = (BitcoinD::regtest(), BitcoinD::regtest());
    two.connect_to(&one);
    let node = TestNode::start(regtest(), vec![upstream(&one, false), upstream(&two, false)]).await;
    let outcomes = Outcomes::of(&node);
    let mut crew = Crew::at(&node, &[owner(1), owner(2)], habits(50));
    crew.accepted_more(10).await;
    one.kill();
    let (before, height) = (crew.account().accepted.len(), two.height());
    crew.accepted_more(30).await;
    wait_for("the other daemon's templates to be mined on", || (two.height() > height + 2).then_some(()));
    let during = crew.account().accepted[before..].to_vec();
    for accepted in during.iter().filter(|accepted| accepted.is_block) {
        outcomes.accepted_by(1, accepted.id).await;
    }
    one.start_again();
    one.connect_to(&two);
    crew.accepted_more(20).await;
    let account = crew.stop().await;
    assert_eq!((account.hung_up, account.refused.as_slice()), (0, &[][..]), "nobody noticed");
    // Both have taken every block in the end, the first those that it had missed too.
    account.check(&node, &outcomes, 2).await;
    account.check_credited(&node, &owner(3)).await;
    wait_for("the daemons to agree", || (one.best_hash() == two.best_hash()).then_some(()));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_found_while_no_bitcoind_was_there_is_submitted_after_a_restart() {
    let mut daemon = BitcoinD::regtest();
    let node = TestNode::start(regtest(), vec![upstream(&daemon, false)]).await;
    let mut hand = Hand::at(&node, &owner(1)).await;
    let job = hand.newest().await.expect("served");
    daemon.stop();
    let found = hand.mine(&job, Want::REGTEST_BLOCK);
    assert_eq!(hand.submit(&found).await.expect("served"), None);
    let folder = node.stop().await;
    daemon.start_again();
    assert_eq!(daemon.height(), 0);
    let node = TestNode::start_in(folder, regtest(), vec![upstream(&daemon, false)], quick()).await;
    wait_for("the block to be submitted", || (daemon.best_hash() == found.id.to_string()).then_some(()));
    let folder = node.stop().await;
    let left = std::fs::read_dir(folder.path().join("regtest/found")).expect("the folder is there");
    assert_eq!(left.count(), 0, "a block that was taken is not kept");
}

/// Takes the only bitcoind away until miners have been sent away, and gives it back.
async fn silence(take_away: fn(&mut BitcoinD), give_back: fn(&mut BitcoinD)) {
    let mut daemon = BitcoinD::regtest();
    let mut options = quick();
    options.timings.silence = Duration::from_secs(1);
    let patience = Patience { call: Duration::from_secs(1), ..Patience::default() };
    let backend = upstream_with(&daemon, false, patience);
    let node = TestNode::start_with(regtest(), vec![backend], options).await;
    let outcomes = Outcomes::of(&node);
    let hand = Hand::at(&node, &owner(1)).await;
    let mut crew = Crew::at(&node, &[owner(2)], habits(20));
    crew.accepted_more(10).await;
    take_away(&mut daemon);
    timeout(PATIENCE, hand.hung_up()).await.expect("sent away");
    let user = address_of(&owner(1), node.params.network);
    let refused = Hand::connect(node.node.stratum[0], user.clone()).await;
    assert!(refused.is_err(), "nobody is let in");
    crew.until(|account| account.hung_up == 1).await;
    give_back(&mut daemon);
    crew.accepted_more(10).await;
    let mut hand = Hand::connect(node.node.stratum[0], user).await.expect("served again");
    hand.newest().await.expect("served");
    let account = crew.stop().await;
    assert_eq!((account.hung_up, account.refused.as_slice()), (1, &[][..]));
    account.check(&node, &outcomes, 1).await;
    account.check_credited(&node, &owner(3)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn miners_are_sent_away_while_every_bitcoind_is_silent_and_served_again_after() {
    // A daemon that is killed may forget its newest blocks, which on a network its peers would give back to it.
    silence(BitcoinD::stop, BitcoinD::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bitcoind_that_hangs_is_as_silent_as_one_that_is_gone() {
    silence(|daemon| daemon.freeze(), |daemon| daemon.thaw()).await;
}
