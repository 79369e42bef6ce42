//! Signal bits: a mock rule that comes into force by 95 % of the window's score (protocol section 7.4).

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use sharechain::chain::{LockedIn, ShareChain, Upgrade, Upgrades};
use sharechain::error::{InvalidShare, Missing, Refusal};
use sharechain::params::ChainParams;
use sharechain::share::Commitment;
use sharechain::store::ShareStore;
use sharechain::units::Height;
use support::{Rig, Want, altered, params};

const INTERVAL: u32 = 20;
const BIT: u32 = 3;

/// Windows of 20 blocks without listed shares: each block is 5 % of the score.
fn rig(rules: Vec<Upgrade>) -> Rig {
    let mut rig = Rig::with(ChainParams { window_blocks: 20, ..params() });
    let chain = ShareChain::new(rig.chain.params().clone(), rig.chain.headers().clone());
    rig.chain = chain.with_upgrades(Upgrades { rules, interval: INTERVAL });
    rig
}

fn mock() -> Vec<Upgrade> {
    vec![Upgrade { bit: BIT, version: 2, buried: None }]
}

fn fork(of: &Rig, rules: Vec<Upgrade>) -> Rig {
    let mut other = rig(rules);
    other.now = of.now;
    of.copy_to(&mut other);
    other
}

/// A block that carries these bits, whatever its maker would set.
fn block(rig: &mut Rig, signals: u32) -> Option<LockedIn> {
    let mined = rig.mine_next(1);
    let mined = altered(rig, &mined, Want::Block, |commitment| commitment.signals = signals);
    let applied = rig.take(&mined).expect("valid");
    assert!(applied.new_tip);
    applied.locked_in
}

fn until(rig: &mut Rig, height: u32) {
    while rig.chain.height() < Height(height) {
        rig.block(1);
    }
}

fn version(rig: &mut Rig) -> u32 {
    rig.mine_next(1).share.commitment.version
}

fn taken(rig: &mut Rig, change: impl FnOnce(&mut Commitment)) -> Result<(), Refusal> {
    let mined = rig.mine_next(1);
    let mined = altered(rig, &mined, Want::Block, change);
    rig.take(&mined).map(|_| ())
}

#[test]
fn a_rule_locks_in_by_95_percent_and_is_in_force_an_interval_later() {
    for (silent, locks_in) in [(1, true), (2, false)] {
        let mut rig = rig(mock());
        for n in 1..=INTERVAL {
            let locked_in = block(&mut rig, if n <= silent { 0 } else { 1 << BIT });
            let expected = LockedIn { bits: 1 << BIT, unknown: 0, active_from: Height(2 * INTERVAL) };
            assert_eq!(locked_in, (n == INTERVAL && locks_in).then_some(expected));
        }
        // The base of a block is 4 below it, and it is the base's height that matters.
        while rig.chain.height() < Height(2 * INTERVAL + 3) {
            assert_eq!(version(&mut rig), 1);
            block(&mut rig, 0);
        }
        if locks_in {
            assert_eq!(version(&mut rig), 2);
            assert_eq!(rig.mine_next(1).share.commitment.signals, 0, "it is in force");
            let old = Err(Refusal::Share(InvalidShare::Version { due: 2 }));
            assert_eq!(taken(&mut rig, |commitment| commitment.version = 1), old);
        } else {
            assert_eq!(rig.mine_next(1).share.commitment.signals, 1 << BIT, "it is wanted still");
            let new = Err(Refusal::Share(InvalidShare::Version { due: 1 }));
            assert_eq!(taken(&mut rig, |commitment| commitment.version = 2), new);
        }
        rig.block(1);
        // Who hears of the chain later, or loads it, comes to the same answer.
        assert_eq!(fork(&rig, mock()).chain.tip(), rig.chain.tip());
        let due = version(&mut rig);
        let Ok(saved) = rig.store.load();
        let (params, headers) = (rig.chain.params().clone(), rig.chain.headers().clone());
        let upgrades = Upgrades { rules: mock(), interval: INTERVAL };
        rig.chain = ShareChain::load(params, headers, saved.blocks, saved.tip).with_upgrades(upgrades);
        assert_eq!(version(&mut rig), due);
    }
}

#[test]
fn each_branch_has_its_own_rules() {
    // Both branches begin before the height at which the window is read; only one locks in, the other wins.
    let mut a = rig(mock());
    for n in 1..=INTERVAL - 2 {
        block(&mut a, if n == 1 { 0 } else { 1 << BIT });
    }
    let mut b = fork(&a, mock());
    for _ in 0..2 {
        block(&mut a, 1 << BIT);
        block(&mut b, 0);
    }
    until(&mut a, 2 * INTERVAL + 6);
    while b.chain.height() < Height(2 * INTERVAL + 7) {
        block(&mut b, 0);
    }
    assert_eq!((version(&mut a), version(&mut b)), (2, 1));
    a.now = a.now.max(b.now);
    b.copy_to(&mut a);
    assert_eq!(a.chain.tip(), b.chain.tip());
    assert_eq!(version(&mut a), 1, "on the branch that won it never locked in");
    a.block(1);
}

#[test]
fn who_does_not_know_a_rule_is_told_and_blames_nobody() {
    let mut new = rig(mock());
    let mut old = rig(Vec::new());
    until(&mut new, INTERVAL - 1);
    old.now = new.now;
    new.copy_to(&mut old);
    let (mined, _) = new.extend(1);
    old.now = new.now;
    let told = old.take(&mined).expect("valid").locked_in;
    let bits = 1 << BIT;
    assert_eq!(told, Some(LockedIn { bits, unknown: bits, active_from: Height(2 * INTERVAL) }));
    until(&mut new, 2 * INTERVAL + 3);
    old.now = new.now;
    new.copy_to(&mut old);
    let (mined, _) = new.extend(1);
    old.now = new.now;
    assert_eq!(old.take(&mined).map(|_| ()), Err(Refusal::Waits(Missing::Version(2))));
}

#[test]
fn a_buried_rule_is_in_force_without_a_window() {
    let mut rig = rig(vec![Upgrade { bit: BIT, version: 2, buried: Some(Height(5)) }]);
    until(&mut rig, 7);
    assert_eq!(version(&mut rig), 1, "its base has height 4");
    rig.block(1);
    assert_eq!(version(&mut rig), 2, "its base has height 5");
    rig.block(1);
}
