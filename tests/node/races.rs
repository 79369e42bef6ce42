//! Templates that arrive while shares are being judged: no share and no Bitcoin block is lost to them.

use super::crew::{Crew, Habits, Outcomes};
use super::hand::{Hand, HandJob, Want};
use super::setup::{TestNode, quick, regtest, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;
use commonwork::node::NodeOptions;
use commonwork::work::builder::Pace;
use std::time::Duration;

/// The number that miners know stale work by.
const STALE: i64 = 21;

/// A block by the daemon itself, and the job on it.
async fn next_template(daemon: &BitcoinD, address: &str, hand: &mut Hand) -> HandJob {
    let hash = daemon.mine_to(address, 1).remove(0);
    let on_it = |job: &HandJob| job.is_on(&hash);
    hand.job_with(on_it).await.expect("served")
}

#[tokio::test(flavor = "multi_thread")]
async fn work_on_the_bitcoin_block_before_is_taken_and_its_bitcoin_blocks_are_submitted() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("test");
    let node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let outcomes = Outcomes::of(&node);
    let mut hand = Hand::at(&node, &owner(1)).await;

    //   genesis - A, by the daemon - B, by the daemon
    //         \ - late                \ - ours
    let old = hand.newest().await.expect("served");
    let (share, late) = (hand.mine(&old, Want::REGTEST_SHARE), hand.mine(&old, Want::REGTEST_BLOCK));
    let new = next_template(&daemon, &address, &mut hand).await;
    assert!(new.clean, "what was mined on before is to be dropped");
    assert_eq!(hand.submit(&share).await.expect("served"), None);
    assert_eq!(hand.submit(&late).await.expect("served"), None);
    outcomes.accepted_by(1, late.id).await;
    // The late block was a share block as well; the next one lists the share.
    assert_eq!(node.share(late.id).await.credited_by.map(|(_, id)| id), Some(late.id));
    let mut on_late = hand.job_with(|job| job.id() != new.id()).await.expect("served");
    while node.share(share.id).await.credited_by.is_none() {
        let block = hand.mine(&on_late, Want::REGTEST_BLOCK);
        assert_eq!(hand.submit(&block).await.expect("served"), None);
        outcomes.accepted_by(1, block.id).await;
        node.share(block.id).await;
        let worked_on = on_late.id().to_owned();
        on_late = hand.job_with(|job| job.id() != worked_on).await.expect("served");
    }

    // Two Bitcoin blocks behind: no share of the miner's any more, but a Bitcoin block is a Bitcoin block.
    next_template(&daemon, &address, &mut hand).await;
    let last = hand.mine(&old, Want::REGTEST_BLOCK);
    assert_eq!(hand.submit(&last).await.expect("served"), Some(STALE));
    outcomes.accepted_by(1, last.id).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_that_come_between_a_job_and_its_shares_lose_none() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("test");
    let node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let outcomes = Outcomes::of(&node);
    let habits = Habits { pause: Duration::from_millis(5), submits_per_job: 4 };
    let mut crew = Crew::at(&node, &[owner(1), owner(2), owner(3)], habits);
    for _ in 0..12 {
        crew.accepted_more(9).await;
        daemon.mine_to(&address, 1);
    }
    let account = crew.stop().await;
    assert!(account.refused.iter().all(|code| *code == STALE), "{:?}", account.refused);
    account.check(&node, &outcomes, 1).await;
    account.check_credited(&node, &owner(4)).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bitcoin_block_that_is_submitted_again_goes_out_once() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let mut node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let mut hand = Hand::at(&node, &owner(1)).await;
    let mut blocks = Vec::new();
    for _ in 0..2 {
        let job = hand.newest().await.expect("served");
        let block = hand.mine(&job, Want::REGTEST_BLOCK);
        assert_eq!(hand.submit(&block).await.expect("served"), None);
        for _ in 0..20 {
            assert_eq!(hand.submit(&block).await.expect("served"), Some(22));
        }
        blocks.push(block.id.to_string());
        hand.job_with(|next| next.id() != job.id() && next.is_on(&block.id.to_string()))
            .await
            .expect("served");
    }
    for block in &blocks {
        let found = node.found.recv().await.expect("the node runs");
        assert_eq!(found.header.block_hash().to_string(), *block);
        assert!(node.outcomes.recv().await.expect("the node runs").hash.to_string() == *block);
    }
    assert!(node.found.is_empty() && node.outcomes.is_empty());
    node.stop().await;
}

/// Whoever comes gets work at once, and does not set the pace for everybody else.
#[tokio::test(flavor = "multi_thread")]
async fn newcomers_get_their_jobs_and_the_others_keep_theirs() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("test");
    let options = NodeOptions { pace: Pace::default(), ..quick() };
    let node = TestNode::start_with(regtest(), vec![upstream(&daemon, true)], options).await;
    let mut hand = Hand::at(&node, &owner(1)).await;
    let newcomers = 40;
    for n in 0..newcomers {
        let mut other = Hand::at(&node, &owner(10 + n)).await;
        if n == 0 {
            let job = other.newest().await.expect("served");
            let share = other.mine(&job, Want::REGTEST_SHARE);
            assert_eq!(other.submit(&share).await.expect("served"), None, "it is work like any other");
        }
    }
    next_template(&daemon, &address, &mut hand).await;
    // One every five seconds.
    assert!(hand.heard < usize::from(newcomers) / 2, "{} jobs", hand.heard);
    node.stop().await;
}
