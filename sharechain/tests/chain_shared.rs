//! Chains that share their verdicts come to the same ones as chains that do not.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use sharechain::chain::{ShareChain, SharedVerdicts};
use sharechain::error::{Missing, Refusal};
use sharechain::units::Height;
use support::{Rig, Want, Work};

fn sharing(shared: &SharedVerdicts) -> Rig {
    let mut rig = Rig::new();
    let chain = ShareChain::new(rig.chain.params().clone(), rig.chain.headers().clone());
    rig.chain = chain.with_shared_verdicts(shared.clone());
    rig
}

#[test]
fn a_share_is_judged_once_for_all_who_know_what_it_depends_on() {
    let shared = SharedVerdicts::default();
    let mut first = sharing(&shared);
    let mut alone = Rig::new();
    for n in 0..12 {
        if n % 5 == 4 {
            first.bitcoin_block();
        }
        first.share(2);
        first.block(1);
    }
    assert_eq!(shared.len(), 24);
    // One that knows the headers takes the verdicts; one that does not waits as ever.
    let mut second = sharing(&shared);
    second.now = first.now;
    let early = first.chain.block_at(Height(6)).expect("active").id;
    let waits = second.submit(first.with_bodies(&early)).map(|_| ());
    assert!(matches!(waits, Err(Refusal::Waits(Missing::Base(_)))), "{waits:?}");
    for (_, header) in first.chain.headers().iter() {
        second.chain.add_header(*header).expect("valid");
        alone.chain.add_header(*header).expect("valid");
    }
    alone.now = first.now;
    first.copy_to(&mut second);
    first.copy_to(&mut alone);
    assert_eq!(shared.len(), 24, "nothing was judged twice");
    let tip = first.chain.tip();
    assert_eq!((second.chain.tip(), alone.chain.tip()), (tip, tip));
    assert_eq!(second.chain.block(&tip), alone.chain.block(&tip));
    assert_eq!(second.chain.ranking(&tip), alone.chain.ranking(&tip));
    let credits = |rig: &Rig| rig.chain.block(&tip).expect("known").credits.clone();
    assert!(std::sync::Arc::ptr_eq(&credits(&first), &credits(&second)), "and kept once");
    // What was forgotten is judged again.
    shared.prune_below(Height(100));
    assert!(shared.is_empty());
    let mined = first.mine(Work::of(3), Want::Share);
    first.take(&mined).expect("valid");
    second.bitcoin_tip = first.bitcoin_tip;
    second.take(&mined).expect("valid");
    assert_eq!(shared.len(), 1);
}
