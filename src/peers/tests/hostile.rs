//! Peers that mean harm, and what an honest node may not be made to do by them.

use super::rig::{Want, Work};
use super::*;
use crate::peers::conduct::{Fault, LIMIT};
use crate::peers::desk::MESSAGES_AT_ONCE;
use crate::peers::link::{MAX_GOSSIP, MAX_QUESTION};
use crate::peers::relay::{MAX_OPEN_PER_PEER, MAX_SHARE};
use crate::peers::wire::{BlockMessage, ShareMessage, SharesAnswer, TipAnswer};
use sharechain::codec::Encode;
use sharechain::share::Share;

/// A node with a chain, and a puppet that only talks.
fn pair(rig: &Rig) -> (Net, u64, u64) {
    let mut net = Net::new();
    let (node, puppet) = (net.node(rig.fork()), net.puppet(|_| Reply::Silence));
    net.connect(node, puppet);
    net.run(seconds(1));
    (net, node, puppet)
}

fn say(share: &Share) -> Vec<u8> {
    ShareMessage { round: 0, share: share.clone() }.to_bytes()
}

/// Says all of these as fast as it can; how many the node looked at before the peer was gone.
fn flood(net: &mut Net, node: u64, puppet: u64, messages: impl Iterator<Item = (Topic, Vec<u8>)>) -> usize {
    for (topic, bytes) in messages {
        if net.lines.contains(&(node.min(puppet), node.max(puppet))) {
            net.gossip(puppet, node, topic, &bytes);
            net.run_until(net.now + Duration::from_millis(1));
        }
    }
    net.run(seconds(2));
    net.verdicts.iter().filter(|(by, _, verdict)| *by == node && *verdict == Verdict::Reject).count()
}

#[test]
fn altered_bodies_of_one_share_end_with_the_third() {
    let mut rig = world(5);
    let (mut net, node, puppet) = pair(&rig);
    let share = rig.mine(Work::of(1), Want::Share).share;
    let altered = (0..10_000_u32).map(|n| {
        let mut share = share.clone();
        share.commitment.witness_commitment[..4].copy_from_slice(&(n + 1).to_le_bytes());
        (Topic::Share, say(&share))
    });
    let rejected = flood(&mut net, node, puppet, altered);
    assert!(net.bans.contains(&(node, puppet)));
    let on_the_way = DELAY.as_millis() as usize + 10;
    assert!((3..on_the_way).contains(&rejected), "{rejected}");
    // The true one is not shadowed by them.
    let honest = net.puppet(|_| Reply::Silence);
    net.connect(node, honest);
    let token = net.gossip(honest, node, Topic::Share, &say(&share)).expect("new");
    net.run(seconds(1));
    assert_eq!(net.verdict(token), Some(Verdict::Accept));
}

#[test]
fn garbage_ends_with_the_third() {
    let rig = world(3);
    for topic in [Topic::Share, Topic::Block] {
        let (mut net, node, puppet) = pair(&rig);
        let garbage = (0..100_u8).map(|n| (topic, vec![n; 1 + usize::from(n) * 1_000]));
        flood(&mut net, node, puppet, garbage);
        assert!(net.bans.contains(&(node, puppet)));
        assert_eq!(net.at(node).peers.desk.peers.len(), 0);
    }
}

#[test]
fn wrong_proof_of_work_is_the_senders_fault() {
    let mut rig = world(3);
    let (mut net, node, puppet) = pair(&rig);
    let mut share = rig.mine(Work::of(1), Want::Share).share;
    share.header.nonce ^= 0x5555;
    let token = net.gossip(puppet, node, Topic::Share, &say(&share)).expect("new");
    net.run(seconds(1));
    assert_eq!(net.verdict(token), Some(Verdict::Reject));
    assert!(net.points(node, puppet) >= Fault::InvalidWork.points() - 1);
}

/// Shares on bases that nobody has: they wait, within the sender's part of the pool, and cost no more than that.
#[test]
fn orphans_without_end_fill_their_senders_part_only() {
    let rig = world(5);
    let mut elsewhere = Rig::new();
    elsewhere.now = elsewhere.now.saturating_add(7);
    grow(&mut elsewhere, 12);
    let (mut net, node, puppet) = pair(&rig);
    let orphans: Vec<_> = (0..300).map(|n| elsewhere.mine(Work::of(n as u8), Want::Share).share).collect();
    let mut most_open = 0;
    for share in &orphans {
        net.gossip(puppet, node, Topic::Share, &say(share));
        net.run_until(net.now + Duration::from_millis(1));
        most_open = most_open.max(net.at(node).peers.desk.peers[&Peer(puppet)].open);
    }
    assert!((1..=MAX_OPEN_PER_PEER).contains(&most_open));
    net.run(seconds(10));
    assert_eq!(net.at(node).peers.desk.peers[&Peer(puppet)].open, 0, "all have their verdict");
    assert!(net.verdicts.iter().all(|(.., verdict)| *verdict == Verdict::Ignore));
    assert_eq!(net.tip(node), rig.chain.tip());
}

/// A list that is not the block's does not keep the right one out.
#[test]
fn a_forged_list_does_not_shadow_the_right_one() {
    let mut rig = world(5);
    let (mut net, node, puppet) = pair(&rig);
    let share = rig.mine(Work::of(4), Want::Share);
    rig.take(&share).expect("valid");
    let (block, id) = rig.extend(1);
    let mut forged = block.includes.clone();
    forged.push(ShareId([7; 32]));
    let message = |includes| BlockMessage { round: 0, share: block.share.clone(), includes }.to_bytes();
    let token = net.gossip(puppet, node, Topic::Block, &message(forged)).expect("new");
    net.run(seconds(1));
    assert_eq!(net.verdict(token), Some(Verdict::Reject));
    let honest = net.node(rig.fork());
    net.connect(honest, node);
    let token = net.gossip(honest, node, Topic::Block, &message(block.includes.clone()));
    net.run(seconds(3));
    assert_eq!(net.tip(node), id);
    assert!(token.is_none_or(|token| net.verdict(token) != Some(Verdict::Reject)));
    assert_eq!(net.points(node, honest), 0);
}

#[test]
fn more_messages_than_anybody_needs_are_not_looked_at_and_end() {
    let mut rig = world(5);
    let (mut net, node, puppet) = pair(&rig);
    let share = rig.mine(Work::of(1), Want::Share).share;
    // All valid but for being the same: each alone is nobody's fault.
    let rounds = (0..MESSAGES_AT_ONCE + 500).map(|n| {
        let mut message = ShareMessage { round: 0, share: share.clone() };
        message.round = (n % 250) as u8;
        message.share.extranonce[0] = 0;
        (Topic::Share, message.to_bytes())
    });
    for (topic, bytes) in rounds {
        // Not by `Net::gossip`, which leaves out what repeats, as the network does.
        net.next += 1;
        let message = MessageToken(net.next);
        net.messages.insert(message, (node, topic, bytes.clone()));
        net.input(node, Input::Network(Event::Gossip { peer: Peer(puppet), topic, message, bytes }));
    }
    assert!(net.bans.contains(&(node, puppet)));
}

#[test]
fn more_questions_than_anybody_needs_are_refused_and_end() {
    let rig = world(5);
    let (mut net, node, puppet) = pair(&rig);
    for n in 0..1_000 {
        let question = QuestionToken(1_000_000 + n);
        net.questions.insert(question, (node, puppet, RequestToken(n)));
        let bytes = Question::Tip.to_bytes();
        net.input(node, Input::Network(Event::Asked { peer: Peer(puppet), question, bytes }));
    }
    assert!(net.bans.contains(&(node, puppet)));
    assert!(net.questions.is_empty(), "each has its answer, or was refused");
}

#[test]
fn questions_that_are_none_cost_points() {
    let rig = world(5);
    for bytes in [vec![], vec![99], vec![1; MAX_QUESTION], vec![0, 0]] {
        let (mut net, node, puppet) = pair(&rig);
        let question = QuestionToken(77);
        net.questions.insert(question, (node, puppet, RequestToken(1)));
        net.input(node, Input::Network(Event::Asked { peer: Peer(puppet), question, bytes }));
        assert!(net.points(node, puppet) > 0);
        assert!(net.questions.is_empty(), "refused");
    }
}

#[test]
fn who_left_is_forgotten_whole() {
    let mut rig = world(5);
    let (mut net, node, puppet) = pair(&rig);
    let share = rig.mine(Work::of(1), Want::Share).share;
    net.gossip(puppet, node, Topic::Share, &say(&share));
    net.run(seconds(1));
    net.disconnect(node, puppet);
    net.run(seconds(60));
    let peers = &net.at(node).peers;
    assert!(peers.desk.peers.is_empty());
    assert!(peers.desk.is_idle(), "nothing is under way for it");
}

/// A clock that is off, a chain that is another, a Bitcoin block that is not known: none of them costs a point, however
/// often it happens.
#[test]
fn honest_differences_cost_nothing() {
    let mut rig = world(20);
    let mut other = rig.fork();
    grow(&mut other, 6);
    let (mut net, node, puppet) = pair(&rig);
    let say_share = |net: &mut Net, share: &Share| {
        net.gossip(puppet, node, Topic::Share, &say(share));
        net.run_until(net.now + Duration::from_millis(60));
    };
    let clock = net.time().clock;
    for n in 0..20 {
        // A clock two minutes ahead, and one ten.
        rig.now = clock.saturating_add(if n % 2 == 0 { 150 } else { 900 });
        say_share(&mut net, &rig.mine(Work::of(n), Want::Share).share);
        // Another tip.
        say_share(&mut net, &other.mine(Work::of(n), Want::Share).share);
    }
    // A Bitcoin block ahead.
    other.bitcoin_block();
    for n in 0..20 {
        say_share(&mut net, &other.mine(Work::of(n), Want::Share).share);
    }
    net.run(seconds(3));
    assert!(net.points(node, puppet) == 0, "{}", net.points(node, puppet));
    assert!(net.verdicts.iter().all(|(.., verdict)| *verdict != Verdict::Reject));
}

#[test]
fn faults_have_reasons_and_few_ban_by_themselves() {
    for fault in Fault::ALL {
        assert!(!fault.reason().is_empty());
        let at_once = [Fault::InvalidChain, Fault::EndlessAnswer].contains(&fault);
        assert_eq!(fault.points() >= LIMIT, at_once);
    }
    const { assert!(MAX_GOSSIP > 4_000 * 32 + MAX_SHARE, "long lists fit") };
}

/// A claim to any height must not make a node deaf that has been level with its peers.
#[test]
fn a_claim_does_not_keep_a_node_from_hearing_others() {
    let mut rig = world(20);
    let mut net = Net::new();
    let (node, honest) = (net.node(rig.fork()), net.node(rig.fork()));
    net.connect(node, honest);
    net.run(seconds(3));
    let liar = net.liar(rig.fork(), |question, truth| match question {
        Question::Tip => {
            let mut tip = TipAnswer::from_bytes(&truth).expect("canonical");
            tip.height = Height(1_000_000);
            tip.work = sharechain::target::Work(tip.work.0 * 1_000);
            tip.id.0[3] ^= 1;
            Reply::Answer(tip.to_bytes())
        }
        _ => Reply::Silence,
    });
    net.connect(node, liar);
    net.run(seconds(5));
    assert_eq!(net.standing(node), Some(Standing::Syncing), "it looks into the claim");
    let (block, id) = rig.extend(1);
    net.find(honest, &block);
    net.run(seconds(1));
    assert_eq!(net.tip(node), id);
}

/// A sender that has only one of two listed shares is asked once, and the block is let go in time.
#[test]
fn a_list_that_comes_in_part_is_not_asked_for_again() {
    let mut rig = world(5);
    let mut net = Net::new();
    let node = net.node(rig.fork());
    let have = rig.mine(Work::of(1), Want::Share);
    rig.take(&have).expect("valid");
    rig.share(2);
    let answer = SharesAnswer { shares: vec![have.share] }.to_bytes();
    let puppet = net.puppet(move |question| match question {
        Question::Shares { .. } => Reply::Answer(answer.clone()),
        _ => Reply::Silence,
    });
    net.connect(node, puppet);
    net.run(seconds(1));
    let (block, _) = rig.extend(1);
    let message = BlockMessage { round: 0, share: block.share, includes: block.includes }.to_bytes();
    let token = net.gossip(puppet, node, Topic::Block, &message).expect("new");
    net.run(seconds(9));
    assert_eq!(net.verdict(token), Some(Verdict::Ignore));
    let asked = net.asked.iter().filter(|(.., question)| matches!(question, Question::Shares { .. }));
    assert_eq!(asked.count(), 1);
}
