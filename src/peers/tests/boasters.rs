//! Peers that claim a heavy chain and give nothing.

use super::*;
use crate::peers::wire::TipAnswer;
use sharechain::codec::Encode;
use sharechain::target::Work;

/// A peer that claims the most there is, another tip each time, and answers nothing else.
fn boaster(net: &mut Net) -> u64 {
    let mut told = 0_u8;
    net.puppet(move |question| {
        told = told.wrapping_add(1);
        match question {
            Question::Tip => {
                let work = Work(u64::MAX.into());
                let id = ShareId([told; 32]);
                Reply::Answer(TipAnswer { id, height: Height(9_999), recent_work: work, work }.to_bytes())
            }
            _ => Reply::Silence,
        }
    })
}

#[test]
fn whoever_claims_much_and_gives_nothing_keeps_nobody_from_hearing_the_others() {
    let mut rig = world(20);
    let mut net = Net::new();
    let (honest, new) = (net.node(rig.fork()), net.node(rig.fork()));
    for _ in 0..20 {
        let boaster = boaster(&mut net);
        net.connect(boaster, new);
    }
    net.connect(new, honest);
    net.run(seconds(1));
    for _ in 0..30 {
        let (block, _) = rig.extend(1);
        net.find(honest, &block);
        net.run(seconds(2));
        assert_eq!(net.tip(new), rig.chain.tip(), "after {:?}", net.now);
    }
}

#[test]
fn a_newcomer_turns_from_boasters_to_whoever_has_blocks_and_never_waits_for_them_for_ever() {
    let rig = world(60);
    let mut net = Net::new();
    let (honest, new) = (net.node(rig.fork()), net.node(rig.newcomer()));
    let alone = net.node(rig.newcomer());
    for _ in 0..20 {
        let boaster = boaster(&mut net);
        net.connect(boaster, new);
        net.connect(boaster, alone);
    }
    net.connect(new, honest);
    net.run(seconds(40));
    assert_eq!(net.tip(new), rig.chain.tip());
    net.run(seconds(160));
    assert!(net.at(new).notices.iter().any(|notice| matches!(notice, Notice::Ready { .. })));
    assert!(net.at(alone).notices.contains(&Notice::Ready { alone: true }));
}
