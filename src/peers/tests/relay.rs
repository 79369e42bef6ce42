//! Gossip: what is handed on, what is asked for, what is said again.

use super::rig::{Want, Work};
use super::*;
use crate::peers::carry::perhaps_untold;
use crate::peers::io::ChainAnswer;
use crate::peers::relay::{MAX_OPEN_PER_PEER, MAX_SAID_AGAIN};
use crate::peers::wire::{BlockMessage, ShareMessage};
use sharechain::bitcoin_headers::HeaderError;
use sharechain::codec::Encode;
use sharechain::error::Missing;
use sharechain::params::MAX_HEADER_TIME_AHEAD;

/// `a ── b ── c`, all with the chain of the rig.
fn row(rig: &Rig) -> (Net, [u64; 3]) {
    let mut net = Net::new();
    let nodes = [net.node(rig.fork()), net.node(rig.fork()), net.node(rig.fork())];
    net.connect(nodes[0], nodes[1]);
    net.connect(nodes[1], nodes[2]);
    net.run(seconds(3));
    (net, nodes)
}

#[test]
fn own_finds_go_round_once() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    let share = rig.mine(Work::of(1), Want::Share);
    rig.take(&share).expect("valid");
    net.find(a, &share);
    let (block, id) = rig.extend(2);
    net.find(a, &block);
    net.run(seconds(2));
    for node in [b, c] {
        assert_eq!(net.tip(node), id);
        assert_eq!(net.points(node, if node == b { a } else { b }), 0);
    }
    let topics: Vec<_> = net.published.iter().map(|(by, topic, _)| (*by, *topic)).collect();
    assert_eq!(topics.iter().filter(|(_, topic)| *topic == Topic::Block).count(), 1, "{topics:?}");
    assert!(topics.iter().all(|(by, _)| *by == a), "others hand on and do not say it again: {topics:?}");
    assert!(net.verdicts.iter().all(|(.., verdict)| *verdict != Verdict::Reject));
}

#[test]
fn a_block_whose_shares_are_missing_asks_for_them_in_one_question() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    let shares: Vec<_> = (0..4).map(|n| rig.mine(Work::of(n), Want::Share)).collect();
    for share in &shares {
        rig.take(share).expect("valid");
        // Said before anybody hears: the line is cut.
        net.disconnect(a, b);
        net.run(seconds(1));
        net.find(a, share);
        net.run(seconds(1));
    }
    net.connect(a, b);
    net.run(seconds(3));
    net.asked.clear();
    let (block, id) = rig.extend(3);
    net.find(a, &block);
    net.run(seconds(2));
    assert_eq!([net.tip(b), net.tip(c)], [id, id]);
    let of_shares = |(asker, _, question): &&(u64, u64, Question)| {
        *asker == b && matches!(question, Question::Shares { ids } if ids.len() == 4)
    };
    assert_eq!(net.asked.iter().filter(of_shares).count(), 1, "{:?}", net.asked);
    assert!(net.published.iter().all(|(by, ..)| *by == a), "c has it from b's verdict");
}

#[test]
fn missing_parents_are_asked_for_one_by_one_and_the_child_goes_on() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    net.disconnect(a, b);
    net.run(seconds(1));
    for _ in 0..2 {
        let (block, _) = rig.extend(1);
        net.find(a, &block);
    }
    net.connect(a, b);
    // Before the claims are compared.
    let (block, id) = rig.extend(1);
    net.find(a, &block);
    net.run(seconds(3));
    assert_eq!([net.tip(b), net.tip(c)], [id, id]);
    assert_eq!((net.points(b, a), net.points(c, b)), (0, 0));
}

#[test]
fn a_bitcoin_block_that_is_not_known_is_asked_for() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    // Only a's bitcoind hears of it.
    rig.bitcoin_block();
    let header = rig.chain.headers().best().header;
    let now = net.time();
    carry(net.at_mut(a), ChainRequest::Headers(vec![header]), now);
    let (block, id) = rig.extend(1);
    net.find(a, &block);
    net.run(seconds(2));
    assert_eq!([net.tip(b), net.tip(c)], [id, id]);
    let asked =
        |(_, _, question): &&(u64, u64, Question)| matches!(question, Question::BitcoinHeaders { .. });
    assert_eq!(net.asked.iter().filter(asked).count(), 2, "b asks a, c asks b");
    assert_eq!((net.points(b, a), net.points(c, b)), (0, 0));
}

/// A share whose finder's clock is 150 s ahead waits at all neighbours; they say it again when they may.
#[test]
fn what_had_to_wait_for_the_clock_is_said_again() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    let clock = net.time().clock;
    rig.now = clock.saturating_add(150);
    let share = rig.mine(Work::of(1), Want::Share);
    let id = rig.bind(&share.share).id();
    let message = ShareMessage { round: 0, share: share.share.clone() }.to_bytes();
    let token = net.gossip(a, b, Topic::Share, &message).expect("new");
    net.run(seconds(10));
    assert_eq!(net.verdict(token), Some(Verdict::Ignore));
    assert!(net.at(c).keeper.chain().shares().get(&id).is_none());
    net.run(seconds(40));
    assert!(net.at(b).keeper.chain().shares().get(&id).is_some(), "released");
    assert!(net.at(c).keeper.chain().shares().get(&id).is_some(), "said again");
    let again = net.published.iter().filter(|(by, ..)| *by == b).collect::<Vec<_>>();
    assert_eq!(again.len(), 1);
    assert_eq!(ShareMessage::from_bytes(&again[0].2).expect("canonical").round, 1);
    assert_eq!(net.points(b, a), 0, "a clock that is off costs nothing");
}

/// The driver missed what the chain said of two finds, and of one it did not.
#[test]
fn finds_that_were_not_told_are_told_when_that_is_noticed() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    let now = net.time();
    let told = rig.mine(Work::of(4), Want::Share);
    rig.take(&told).expect("valid");
    net.find(a, &told);
    net.run(seconds(2));
    let (block, tip) = rig.extend(1);
    let share = rig.mine(Work::of(3), Want::Share);
    let id = rig.bind(&share.share).id();
    for mined in [&block, &share] {
        let submission = Submission::block(rig.bind(&mined.share), mined.includes.clone(), OWN_MINERS);
        carry(net.at_mut(a), ChainRequest::Submit(Box::new(submission)), now);
    }
    let untold = perhaps_untold(net.at_mut(a).keeper.chain_mut(), now.clock);
    for input in super::told(net.at(a), &untold) {
        net.input(a, input);
    }
    net.run(seconds(2));
    for node in [b, c] {
        assert_eq!(net.tip(node), tip);
        assert!(net.at(node).keeper.chain().shares().get(&id).is_some());
    }
    let said = net.published.iter().filter(|(by, ..)| *by == a).count();
    assert_eq!(said, 3, "what a block lists is not said again");
}

/// Whoever says the last round first takes no other node's voice away.
#[test]
fn a_copy_in_the_last_round_does_not_silence_a_share() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    rig.now = net.time().clock.saturating_add(150);
    let share = rig.mine(Work::of(1), Want::Share);
    let id = rig.bind(&share.share).id();
    for round in [255, 0, 254] {
        let message = ShareMessage { round, share: share.share.clone() }.to_bytes();
        net.gossip(a, b, Topic::Share, &message).expect("new");
    }
    net.run(seconds(50));
    assert!(net.at(c).keeper.chain().shares().get(&id).is_some(), "said again");
    let again: Vec<_> = net.published.iter().filter(|(by, ..)| *by == b).collect();
    assert_eq!(again.len(), 1);
    assert_eq!(ShareMessage::from_bytes(&again[0].2).expect("canonical").round, 1);
}

#[test]
fn what_never_becomes_whole_is_let_go() {
    let mut rig = world(5);
    let (mut net, [_, b, _]) = row(&rig);
    let silent = net.puppet(|_| Reply::Silence);
    net.connect(silent, b);
    rig.share(1);
    let (block, _) = rig.extend(1);
    let message = BlockMessage { round: 0, share: block.share.clone(), includes: block.includes.clone() };
    let token = net.gossip(silent, b, Topic::Block, &message.to_bytes()).expect("new");
    net.run(seconds(4));
    assert_eq!(net.verdict(token), None, "kept open while the shares may come");
    net.run(seconds(4));
    assert_eq!(net.verdict(token), Some(Verdict::Ignore));
    let waiting = net.at(b).keeper.chain().waiting();
    assert!(
        waiting.missing().any(|missing| matches!(missing, Missing::Share(_))),
        "the chain still holds it"
    );
}

#[test]
fn of_another_chain_nothing_binds() {
    let rig = world(3);
    let (mut net, [a, b, _]) = row(&rig);
    let mut other =
        Rig::with(sharechain::params::ChainParams { name: "other".into(), ..super::rig::params() });
    let share = other.mine(Work::of(1), Want::Share);
    let message = ShareMessage { round: 0, share: share.share }.to_bytes();
    let token = net.gossip(a, b, Topic::Share, &message).expect("new");
    net.run(seconds(1));
    assert_eq!(net.verdict(token), Some(Verdict::Reject));
    assert!(net.points(b, a) > 0);
}

#[test]
fn repeats_and_the_past_cost_nothing() {
    let mut rig = world(30);
    let (mut net, [a, b, _]) = row(&rig);
    let old = rig.chain.block_at(Height(2)).expect("active").id;
    let old = rig.store.block(Height(2), &old).expect("memory").expect("kept");
    let known = rig.mine(Work::of(1), Want::Share);
    for (round, share) in [(1, &*old.share), (0, &known.share), (1, &known.share), (2, &known.share)] {
        let bytes = ShareMessage { round, share: share.clone() }.to_bytes();
        net.gossip(a, b, Topic::Share, &bytes);
        net.run(seconds(1));
    }
    let verdicts: Vec<_> =
        net.verdicts.iter().filter(|(by, ..)| *by == b).map(|(.., verdict)| *verdict).collect();
    assert_eq!(verdicts, [Verdict::Ignore, Verdict::Accept, Verdict::Ignore, Verdict::Ignore]);
    assert_eq!(net.points(b, a), 0);
}

/// A peer whose messages all wait for a Bitcoin header says one more.
#[test]
fn a_share_that_there_was_no_room_for_is_asked_for_later() {
    let mut rig = world(5);
    let (mut net, [_, b, c]) = row(&rig);
    let one_more = rig.mine(Work::of(2), Want::Share);
    let id = rig.take(&one_more).expect("valid").share.expect("new");
    rig.bitcoin_block();
    let held: Vec<_> = (0..MAX_OPEN_PER_PEER).map(|_| rig.mine(Work::of(1), Want::Share)).collect();
    let busy = net.liar(rig, |question, truth| match question {
        Question::BitcoinHeaders { .. } => Reply::Silence,
        _ => Reply::Answer(truth),
    });
    net.connect(busy, b);
    net.run(seconds(1));
    for mined in &held {
        let message = ShareMessage { round: 0, share: mined.share.clone() }.to_bytes();
        net.gossip(busy, b, Topic::Share, &message).expect("new");
    }
    let message = ShareMessage { round: 0, share: one_more.share }.to_bytes();
    let token = net.gossip(busy, b, Topic::Share, &message).expect("new");
    net.run(seconds(1));
    assert_eq!(net.verdict(token), Some(Verdict::Ignore), "there is no room");
    assert!(net.at(b).keeper.chain().shares().get(&id).is_none());
    net.run(seconds(8));
    for node in [b, c] {
        assert!(net.at(node).keeper.chain().shares().get(&id).is_some(), "{node}");
    }
    assert_eq!(net.points(b, busy), 0);
}

#[test]
fn an_unknown_version_is_told_of_once() {
    let mut rig = world(5);
    let (mut net, [a, b, _]) = row(&rig);
    for _ in 0..3 {
        let mined = rig.mine(Work::of(1), Want::Share);
        let newer = super::rig::altered(&rig, &mined, Want::Share, |commitment| commitment.version = 2);
        let message = ShareMessage { round: 0, share: newer.share }.to_bytes();
        net.gossip(a, b, Topic::Share, &message).expect("new");
    }
    net.run(seconds(2));
    let told = net.at(b).notices.iter().filter(|notice| **notice == Notice::UnknownVersion(2));
    assert_eq!(told.count(), 1);
    assert_eq!(net.points(b, a), 0);
}

/// Time tells when a header is due, so it is refused and not held against anybody.
#[test]
fn a_bitcoin_header_far_ahead_of_the_clock_is_refused_until_its_time_comes() {
    let rig = world(3);
    let (mut net, [_, b, _]) = row(&rig);
    let best = rig.chain.headers().best();
    let mut now = net.time();
    let latest = now.clock.saturating_add(MAX_HEADER_TIME_AHEAD).0;
    let header = super::rig::mine_header(best.hash, latest + 1, 1);
    let mut offer = |now| match carry(net.at_mut(b), ChainRequest::Headers(vec![header]), now).0 {
        ChainAnswer::Headers(taken) => (taken.known, taken.refused),
        other => panic!("{other:?}"),
    };
    assert_eq!(offer(now), (0, Some(HeaderError::FarAhead(latest + 1))));
    now.clock = now.clock.saturating_add(1);
    assert_eq!(offer(now), (1, None));
}

/// How often a node has said this share, alone or as a block.
fn said(net: &Net, by: u64, id: ShareId) -> usize {
    let chain = net.at(by).keeper.chain().id();
    let is_it = |topic: Topic, bytes: &[u8]| match topic {
        Topic::Share => ShareMessage::from_bytes(bytes).expect("canonical").share.id(chain) == id,
        Topic::Block => BlockMessage::from_bytes(bytes).expect("canonical").share.id(chain) == id,
        Topic::Solution => false,
    };
    net.published.iter().filter(|(node, topic, bytes)| *node == by && is_it(*topic, bytes)).count()
}

#[test]
fn what_was_found_alone_is_said_again_until_a_block_lists_it() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    net.disconnect(a, b);
    net.run(seconds(1));
    let alone = rig.mine(Work::of(1), Want::Share);
    let id = rig.bind(&alone.share).id();
    net.find(a, &alone);
    let spacing = u64::from(rig.chain.params().spacing);
    for _ in 0..3 {
        let (block, _) = rig.extend(2);
        net.find(b, &block);
        net.run(seconds(2 * spacing));
    }
    assert_eq!(said(&net, a, id), 1, "to nobody, and then not again while nobody hears it");
    net.connect(a, b);
    net.run(seconds(3 * spacing));
    for node in [b, c] {
        assert!(net.at(node).keeper.chain().shares().get(&id).is_some(), "said again");
    }

    rig.take(&alone).expect("valid");
    let (block, tip) = rig.extend(2);
    assert!(block.includes.contains(&id));
    net.find(b, &block);
    net.run(seconds(1));
    assert_eq!(net.tip(a), tip);
    let before = said(&net, a, id);
    net.run(seconds(20 * spacing));
    assert_eq!(said(&net, a, id), before, "once it is listed, no more");
    assert_eq!((net.points(b, a), net.points(a, b)), (0, 0));
}

/// ```text
/// common ──┬── 4 blocks: b
///          └── share, block that lists it: a, alone
/// ```
#[test]
fn finds_of_the_side_that_loses_a_split_are_said_again() {
    let mut left = world(5);
    let mut right = left.fork();
    let mut net = Net::new();
    let (a, b) = (net.node(left.fork()), net.node(right.fork()));
    let share = left.mine(Work::of(1), Want::Share);
    left.take(&share).expect("valid");
    let (block, lost) = left.extend(1);
    assert!(block.includes.contains(&left.bind(&share.share).id()));
    net.find(a, &share);
    net.find(a, &block);
    assert_eq!(net.tip(a), lost);
    for _ in 0..4 {
        let (block, _) = right.extend(2);
        net.find(b, &block);
    }
    net.connect(a, b);
    net.run(seconds(6 * u64::from(left.chain.params().spacing)));
    assert_eq!(net.tip(a), right.chain.tip());
    let chain = net.at_mut(b).keeper.chain_mut();
    let listable = chain.listable(right.now);
    for id in [left.bind(&share.share).id(), lost] {
        assert!(listable.contains(&id), "a block is a share, too");
    }
}

/// ```text
/// a ── b ┊ c    a's share is known to b, and its round 1 goes no further than b unless b hands it on
/// ```
#[test]
fn what_is_said_again_passes_those_who_know_it() {
    let mut rig = world(5);
    let (mut net, [a, b, c]) = row(&rig);
    let spacing = u64::from(rig.chain.params().spacing);
    net.disconnect(b, c);
    net.run(seconds(1));
    let share = rig.mine(Work::of(1), Want::Share);
    let id = rig.bind(&share.share).id();
    net.find(a, &share);
    net.run(seconds(1));
    assert!(net.at(b).keeper.chain().shares().get(&id).is_some());
    for _ in 0..3 {
        let (block, _) = rig.extend(2);
        net.find(c, &block);
    }
    net.connect(b, c);
    net.run(seconds(6 * spacing));
    assert_eq!(net.tip(a), rig.chain.tip());
    assert!(net.at(c).keeper.chain().shares().get(&id).is_some(), "b has handed it on");
    assert_eq!(said(&net, a, id), 2);
    assert_eq!((net.points(b, a), net.points(c, b)), (0, 0));

    // Somebody says all rounds at once: one of them is handed on until the chain is asked again.
    net.run(seconds(spacing));
    let messages: Vec<MessageToken> = (10..30)
        .map(|round| {
            let message = ShareMessage { round, share: share.share.clone() }.to_bytes();
            net.gossip(a, b, Topic::Share, &message).expect("new")
        })
        .collect();
    net.run(seconds(2));
    let accepted = messages.iter().filter(|message| net.verdict(**message) == Some(Verdict::Accept));
    assert_eq!(accepted.count(), 1);
    assert!(messages.iter().all(|message| net.verdict(*message).is_some()));
}

/// Others have room for shares of everybody: a node that was long alone does not say all at once.
#[test]
fn many_finds_are_said_again_in_parts() {
    let mut rig = world(5);
    let mut net = Net::new();
    let (a, b) = (net.node(rig.fork()), net.node(rig.fork()));
    let shares: Vec<_> = (0..100).map(|_| rig.mine(Work::of(1), Want::Share)).collect();
    for share in &shares {
        net.find(a, share);
    }
    for _ in 0..3 {
        let (block, _) = rig.extend(2);
        net.find(b, &block);
    }
    let spacing = u64::from(rig.chain.params().spacing);
    net.run(seconds(5 * spacing));
    net.connect(a, b);
    net.published.clear();
    // The first look, at once, finds a chain that others have yet to bring forward; the second what was passed over.
    net.run(seconds(2 * spacing + 1));
    assert_eq!(net.published.len(), MAX_SAID_AGAIN);
    net.run(seconds(spacing));
    assert_eq!(net.published.len(), shares.len());
    let there =
        |share: &&Mined| net.at(b).keeper.chain().shares().get(&rig.bind(&share.share).id()).is_some();
    assert_eq!(shares.iter().filter(there).count(), shares.len());
}
