//! Shares and share blocks that are wrong, forged, useless or only odd.

use crate::attacker::{Attacker, clock};
use crate::long_chain::{Maker, params};
use crate::victim::{Victim, wait_for};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use commonwork::peers::link::Topic;
use commonwork::peers::wire::{BlockMessage, ShareMessage};
use sharechain::chain::Submission;
use sharechain::codec::Encode;
use sharechain::params::ChainParams;
use sharechain::pool::Source;
use sharechain::share::{Share, ShareId};
use sharechain::units::{Height, UnixTime};
use sharechain::verify::Bound;
use std::ops::Range;
use std::time::Duration;

pub(crate) fn message(share: &Share) -> Vec<u8> {
    ShareMessage { round: 0, share: share.clone() }.to_bytes()
}

/// A block that lists nothing.
fn block_message(block: &Bound) -> Vec<u8> {
    BlockMessage { round: 0, share: Share::clone(block.share()), includes: Vec::new() }.to_bytes()
}

/// A block on the chain id and one on that; they list nothing.
fn two_blocks(maker: &mut Maker) -> (Bound, Bound) {
    let draft = maker.draft();
    let parent = maker.share(&draft, true, |_| ());
    let submission = Submission::block(parent.clone(), Vec::new(), Source(0));
    let step = maker.chain.judge(&submission, maker.now).expect("valid");
    assert!(maker.chain.apply(step).new_tip);
    maker.now = maker.now.saturating_add(5);
    let draft = maker.draft();
    (parent, maker.share(&draft, true, |_| ()))
}

/// A good share of this maker.
pub(crate) fn good(maker: &mut Maker) -> Bound {
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

/// Processor time of this thread (Linux only).
fn own_cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let spent = stat.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(spent.unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_altered_bodies_of_one_share_cost_less_than_a_second() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let bound = good(&mut attacker.maker);
    let share = Share::clone(bound.share());
    let altered = |n: u64| {
        let mut altered = share.clone();
        altered.commitment.coinbase_value += n + 1;
        altered
    };
    let before = victim.cpu();
    for n in 0..10_000 {
        attacker.publish(Topic::Share, message(&altered(n))).await;
    }
    attacker.is_sent_away().await;
    // With what the node and its miner take anyway in this time.
    let cost = victim.cpu() - before;
    eprintln!("the node took {cost:?}");
    assert!(cost < Duration::from_secs(1), "{cost:?}");
    // Many peers together could bring all of them: what looking at them takes.
    let (bodies, chain) = ((0..10_000).map(altered).collect::<Vec<_>>(), victim.params.chain_id());
    let before = own_cpu();
    let bound_too = bodies.into_iter().filter(|body| Bound::new(&victim.params, chain, body.clone()).is_ok());
    let by_chance = bound_too.count();
    let cost = own_cpu() - before;
    eprintln!("all of them take {cost:?}, {by_chance} prove something by chance");
    assert!(cost < Duration::from_secs(1), "{cost:?}");
    // The share itself is none the worse for it: another brings it.
    let mut honest = Attacker::at(&victim).await;
    honest.publish(Topic::Share, message(&share)).await;
    honest.sees(bound.id()).await;
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

/// Shares on bases that nobody has, so many.
async fn tell_orphans(attacker: &mut Attacker, numbers: Range<u32>) {
    let draft = attacker.maker.draft();
    for n in numbers {
        let base = ShareId(core::array::from_fn(|i| n.to_le_bytes()[i % 4] ^ 0x5a));
        let share = attacker.maker.share(&draft, false, |share| {
            share.commitment.base = base;
            share.commitment.parent = base;
        });
        attacker.publish(Topic::Share, message(share.share())).await;
        if n % 50 == 0 {
            // Its own network drops what it cannot send at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_orphans_fill_one_peers_part_and_no_more() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let mut honest = Attacker::at(&victim).await;
    // An honest peer's orphans, which wait longest.
    let (parent, child) = two_blocks(&mut honest.maker);
    honest.publish(Topic::Block, block_message(&child)).await;
    wait_for("an orphan", || (victim.count("waiting") == 1).then_some(()));
    tell_orphans(&mut attacker, 0..800).await;
    let waiting = wait_for("orphans", || Some(victim.count("waiting")).filter(|waiting| *waiting > 100));
    assert!(waiting <= 802, "{waiting} wait");
    tell_orphans(&mut attacker, 800..6_000).await;
    attacker.is_sent_away().await;
    victim.keeps_mining();
    victim.stays_small();
    assert!(victim.count("waiting") < 6_000);
    // What the honest one's waits for comes, and is taken whatever else waits.
    honest.publish(Topic::Block, block_message(&parent)).await;
    honest.sees_block(Height(2), child.id()).await;
    honest.is_kept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forks_at_the_easiest_target_do_not_grow_in_the_node() {
    // As long as it takes for work on the first block to be worth nothing.
    let victim = Victim::with(200, &[]);
    let mut attacker = Attacker::at(&victim).await;
    // Blocks that are not on the branch of the tip; a race of the node's own may leave one.
    let beside = || victim.count("blocks") - victim.height();
    let before = beside();
    let mut maker = Maker::new(&victim.params, UnixTime(clock().0 - 100_000));
    let draft = maker.draft();
    for n in 0..4_000 {
        let block = maker.share(&draft, true, |_| ());
        attacker.publish(Topic::Block, block_message(&block)).await;
        if n % 50 == 0 {
            // Its own network drops what it cannot send at once.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if n == 900 {
            victim.keeps_mining();
            assert!(beside() <= before + 3, "{} blocks beside the branch", beside());
        }
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
    victim.stays_small();
    assert!(beside() <= before + 3, "{} blocks beside the branch", beside());
}

#[tokio::test(flavor = "multi_thread")]
async fn times_at_the_limit_wait_or_are_dropped_and_nobody_is_blamed() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let draft = attacker.maker.draft();
    // The first three are taken, the next two wait, the others are dropped.
    let mut good = Vec::new();
    for ahead in [0, 60, 115, 150, 590, 620, 7_300, 1_000_000] {
        let time = clock().saturating_add(ahead);
        let share = attacker.maker.share(&draft, false, |share| share.commitment.time = time);
        attacker.publish(Topic::Share, message(share.share())).await;
        let block = attacker.maker.share(&draft, true, |share| share.commitment.time = time);
        if ahead < 120 {
            good.push(share.id());
        }
        attacker.publish(Topic::Block, block_message(&block)).await;
    }
    for id in good {
        attacker.sees(id).await;
    }
    wait_for("four that wait", || (victim.count("waiting") == 4).then_some(()));
    attacker.is_kept().await;
    victim.keeps_mining();
    assert!(victim.bans().is_empty());
}

/// What honest nodes say that are behind, on a branch, with a clock that is off, or with a bitcoind that has seen more.
#[tokio::test(flavor = "multi_thread")]
async fn honest_differences_are_nobodys_fault_however_many() {
    let victim = Victim::with(60, &[]);
    let mut peer = Attacker::at(&victim).await;
    let draft = peer.maker.draft();
    for n in 0..60_u8 {
        let changes: [fn(&mut Share, u8); 4] = [
            |_, _| (),
            |share, n| share.commitment.time = clock().saturating_add(100 + u32::from(n)),
            |share, n| share.header.prev_block = BlockHash::from_byte_array([n + 1; 32]),
            |share, n| {
                share.commitment.base = ShareId([n + 1; 32]);
                share.commitment.parent = ShareId([n + 1; 32]);
            },
        ];
        for change in changes {
            let share = peer.maker.share(&draft, false, |share| change(share, n));
            peer.publish(Topic::Share, message(share.share())).await;
            let block = peer.maker.share(&draft, true, |share| change(share, n));
            peer.publish(Topic::Block, block_message(&block)).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    peer.is_kept().await;
    assert!(victim.count("waiting") > 60, "they were looked at");
    assert!(victim.bans().is_empty());
    victim.keeps_mining();
    victim.stays_small();
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
