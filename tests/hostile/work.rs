//! Shares and share blocks that are wrong, forged, useless or only odd.

use crate::attacker::{Attacker, clock};
use crate::long_chain::{Maker, params};
use crate::victim::Victim;
use commonwork::peers::link::Topic;
use commonwork::peers::wire::{BlockMessage, ShareMessage};
use sharechain::codec::Encode;
use sharechain::params::ChainParams;
use sharechain::share::{Share, ShareId};
use sharechain::units::{Height, UnixTime};
use sharechain::verify::Bound;
use std::time::Duration;

fn message(share: &Share) -> Vec<u8> {
    ShareMessage { round: 0, share: share.clone() }.to_bytes()
}

/// A good share of this maker, the n-th.
fn good(maker: &mut Maker) -> Bound {
    let draft = maker.draft();
    maker.share(&draft, false, |_| ())
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_proof_of_work_is_refused_and_its_sender_sent_away() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    for n in 0..50 {
        let mut share = Share::clone(good(&mut attacker.maker).share());
        // One in some has work all the same, which is no matter.
        share.header.nonce = n;
        share.header.time += 1;
        attacker.publish(Topic::Share, message(&share)).await;
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
    victim.stays_small();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_altered_bodies_of_one_share_cost_less_than_a_second() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let share = Share::clone(good(&mut attacker.maker).share());
    let before = victim.cpu();
    for n in 0..10_000_u64 {
        let mut altered = share.clone();
        altered.commitment.coinbase_value += n + 1;
        attacker.publish(Topic::Share, message(&altered)).await;
    }
    attacker.is_sent_away().await;
    // With what the node and its miner take anyway in this time.
    let cost = victim.cpu() - before;
    assert!(cost < Duration::from_secs(1), "{cost:?}");
    // The share itself is none the worse for it: another brings it.
    let mut honest = Attacker::at(&victim).await;
    honest.publish(Topic::Share, message(&share)).await;
    honest.is_kept().await;
    victim.keeps_mining();
    victim.stays_small();
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_binds_a_broken_rule_is_refused_and_its_sender_sent_away() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    for n in 0..5_u8 {
        let draft = attacker.maker.draft();
        // A coinbase that pays somebody else: good work on a wrong link.
        let other = attacker.maker.share(&draft, false, |share| share.commitment.class = 38);
        let share = attacker.maker.share(&draft, false, |share| {
            share.link = other.share().link.clone();
            share.commitment.height = Height(200 + u32::from(n));
        });
        attacker.publish(Topic::Share, message(share.share())).await;
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_orphans_fill_one_peers_part_and_no_more() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let draft = attacker.maker.draft();
    for n in 0..20_000_u32 {
        let base = ShareId(core::array::from_fn(|i| n.to_le_bytes()[i % 4] ^ 0x5a));
        let share = attacker.maker.share(&draft, false, |share| {
            share.commitment.base = base;
            share.commitment.parent = base;
        });
        attacker.publish(Topic::Share, message(share.share())).await;
        if n % 100 == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    victim.keeps_mining();
    victim.stays_small();
    let waiting = victim.tip()["waiting"].as_u64().expect("a number");
    assert!(waiting < 10_000, "{waiting} wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_at_the_easiest_target_do_not_grow_in_the_node() {
    let victim = Victim::start();
    let attacker = Attacker::at(&victim).await;
    let blocks = || victim.tip()["blocks"].as_u64().expect("a number");
    let before = blocks();
    // All on the chain id: at first as good as the node's own, soon with less work than it had 120 blocks ago.
    let mut maker = Maker::new(&victim.params, UnixTime(clock().0 - 100_000));
    for _ in 0..2_000 {
        let draft = maker.draft();
        let block = maker.share(&draft, true, |_| ());
        let message = BlockMessage { round: 0, share: Share::clone(block.share()), includes: Vec::new() };
        attacker.publish(Topic::Block, message.to_bytes()).await;
    }
    victim.keeps_mining();
    victim.stays_small();
    assert!(blocks() < before + 2_100, "{} blocks", blocks());
}

#[tokio::test(flavor = "multi_thread")]
async fn times_at_the_limit_wait_or_are_dropped_and_nobody_is_blamed() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let draft = attacker.maker.draft();
    for ahead in [0, 60, 119, 121, 599, 601, 7_300, 1_000_000] {
        let time = clock().saturating_add(ahead);
        let share = attacker.maker.share(&draft, false, |share| share.commitment.time = time);
        attacker.publish(Topic::Share, message(share.share())).await;
        let block = attacker.maker.share(&draft, true, |share| share.commitment.time = time);
        let block =
            BlockMessage { round: 0, share: Share::clone(block.share()), includes: draft.includes.to_vec() };
        attacker.publish(Topic::Block, block.to_bytes()).await;
    }
    attacker.is_kept().await;
    victim.keeps_mining();
}

#[tokio::test(flavor = "multi_thread")]
async fn replays_of_another_chain_prove_nothing_here() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let other = ChainParams { name: "another".into(), ..params() };
    let mut maker = Maker::new(&other, clock());
    for _ in 0..200 {
        let share = good(&mut maker);
        // An easy target is met by chance; then it says a base that is not there.
        attacker.publish(Topic::Share, message(share.share())).await;
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_refused_and_its_sender_sent_away() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    for n in 0..10_u8 {
        for topic in [Topic::Share, Topic::Block, Topic::Solution] {
            attacker.publish(topic, vec![n; 1 << n]).await;
        }
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
}
