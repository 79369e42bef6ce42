//! The share chain as a whole: what is credited, what is refused, forks, and that all nodes agree.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use sharechain::error::{InvalidBlock, InvalidShare, ListedProblem, Missing, Refusal};
use sharechain::share::{ShareId, includes_hash};
use sharechain::store::ShareStore;
use sharechain::units::{Height, Score, UnixTime};
use support::{Mined, Rig, Want, Work, altered, grind, owner, shuffle};

/// The score that each owner has been credited with on the active branch.
fn credited(rig: &Rig) -> Vec<(u8, u128)> {
    let sums = rig.chain.credited_since(u32::MAX);
    sums.into_iter().map(|(owner, score)| (owner.as_bytes()[2], score.0)).collect()
}

#[test]
fn shares_are_credited_by_the_next_block_and_the_lister_has_its_part() {
    let mut rig = Rig::new();
    let (first, second) = (rig.share(1), rig.share(2));
    let block = rig.block(3);
    let summary = rig.chain.block(&block).expect("just added").clone();
    assert_eq!(summary.height, Height(1));
    let mut listed = vec![first, second];
    listed.sort();
    assert_eq!(*summary.credited, [vec![block], listed].concat());
    let score = summary.credits.own.expect("it meets its share target").score;
    let (fee, rest) = score.split_listing_fee();
    assert_eq!(credited(&rig), [(1, rest.0), (2, rest.0), (3, score.0 + 2 * fee.0)]);
    // And never again.
    let next = rig.block(3);
    assert_eq!(rig.chain.block(&next).expect("added").credited[..], [next]);
}

#[test]
fn a_share_on_a_block_that_lost_is_paid_all_the_same() {
    //   a1 ── b2        the share s is mined on b2, which loses
    //     └── c2 ── d3  d3 lists b2 itself and s
    let mut rig = Rig::new();
    rig.block(1);
    let mut other = rig.newcomer();
    rig.copy_to(&mut other);
    let b2 = rig.block(2);
    let on_b2 = rig.mine(Work::of(4), Want::Share);
    let s = rig.take(&on_b2).expect("valid").share.expect("new");
    let c2 = other.mine_next(3);
    let d3 = {
        other.take(&c2).expect("valid");
        other.mine_next(3)
    };
    rig.take(&c2).expect("a fork of equal work is kept");
    assert_eq!(rig.chain.tip(), b2, "the first complete one wins among equals");
    let applied = rig.take(&d3).expect("valid");
    assert_eq!(applied.reorganisation.expect("b2 is left").depth, 1);
    let e4 = rig.block(5);
    let listed = &rig.chain.block(&e4).expect("added").credited;
    assert!(listed.contains(&b2) && listed.contains(&s), "{listed:?}");
}

#[test]
fn a_newcomer_that_replays_the_bodies_has_the_same_chain_window_and_payouts() {
    let mut rig = Rig::new();
    for n in 0..40_u8 {
        for k in 0..n % 4 {
            rig.share(1 + (n + k) % 5);
        }
        rig.block(1 + n % 3);
        if n % 13 == 12 {
            rig.bitcoin_block();
        }
    }
    let mut other = rig.newcomer();
    rig.copy_to(&mut other);
    assert_eq!(other.chain.tip(), rig.chain.tip());
    let tip = rig.chain.tip();
    assert_eq!(other.chain.ranking(&tip), rig.chain.ranking(&tip));
    let (a, b) = (rig.draft(), other.draft());
    assert_eq!(a.selections, b.selections);
    assert!(!a.selections[0].entries().is_empty(), "payouts have begun");
}

#[test]
fn blocks_and_shares_in_any_order_give_the_same_tip_and_credits() {
    let mut rig = Rig::new();
    let mut all = Vec::new();
    for n in 0..12_u8 {
        for k in 0..2 {
            let mined = rig.mine(Work::of(1 + (n + k) % 4), Want::Share);
            rig.take(&mined).expect("valid");
            all.push(mined);
        }
        let block = rig.mine_next(1 + n % 3);
        rig.take(&block).expect("valid");
        all.push(block);
    }
    for seed in 0..6_u64 {
        let mut other = rig.newcomer();
        shuffle(&mut all, seed);
        for mined in &all {
            let _ = other.take(mined);
        }
        assert_eq!(other.chain.tip(), rig.chain.tip(), "seed {seed}");
        assert_eq!(credited(&other), credited(&rig), "seed {seed}");
        assert!(other.chain.waiting().is_empty(), "seed {seed}");
    }
}

fn refusal(rig: &mut Rig, mined: &Mined) -> Refusal {
    rig.take(mined).map(|applied| format!("{applied:?}")).expect_err("must be refused")
}

#[test]
fn each_rule_on_a_share_is_checked() {
    let mut rig = Rig::new();
    for n in 0..8 {
        rig.block(n % 3);
    }
    let good = rig.mine(Work::of(1), Want::Share);
    let harder = rig.chain.params().easiest_target().harder_by(8).to_compact();
    type Change = Box<dyn FnOnce(&mut sharechain::share::Commitment)>;
    let cases: Vec<(Change, Refusal)> = vec![
        (Box::new(|c| c.height = Height(c.height.0 + 1)), Refusal::Share(InvalidShare::Height(Height(10)))),
        (
            Box::new(|c| c.bitcoin_height.0 += 1),
            Refusal::Share(InvalidShare::BitcoinHeight { claimed: 2, actual: 1 }),
        ),
        (Box::new(|c| c.coinbase_value += 1), Refusal::Share(InvalidShare::Coinbase)),
        (Box::new(|c| c.owner = owner(77)), Refusal::Share(InvalidShare::Coinbase)),
        (Box::new(|c| c.witness_commitment = [1; 32]), Refusal::Share(InvalidShare::Coinbase)),
        (Box::new(|c| c.time.0 -= 8_000), Refusal::Share(InvalidShare::HeaderTime)),
        (Box::new(|c| c.base = ShareId([5; 32])), Refusal::Waits(Missing::Base(ShareId([5; 32])))),
        (Box::new(|c| c.version = 2), Refusal::Waits(Missing::Version(2))),
    ];
    for (change, expected) in cases {
        let bad = altered(&rig, &good, Want::Share, change);
        assert_eq!(refusal(&mut rig, &bad), expected);
    }
    // No hash meets a share target above its block target and is no block.
    let too_hard = altered(&rig, &good, Want::Block, |c| c.share_bits = harder);
    assert_eq!(refusal(&mut rig, &too_hard), Refusal::Share(InvalidShare::ShareTarget));
    let far = altered(&rig, &good, Want::Share, |c| c.time.0 += 121);
    let ready = UnixTime(far.share.commitment.time.0 - 120);
    assert_eq!(refusal(&mut rig, &far), Refusal::Waits(Missing::Time(ready)));
    let farther = altered(&rig, &good, Want::Share, |c| c.time.0 += 601);
    assert_eq!(refusal(&mut rig, &farther), Refusal::FarAhead);
    rig.take(&good).expect("the unaltered share is valid");
    assert_eq!(refusal(&mut rig, &good), Refusal::Known);
}

#[test]
fn an_invalid_id_is_remembered_and_a_held_share_is_judged_when_its_time_comes() {
    let mut rig = Rig::new();
    rig.block(1);
    let good = rig.mine(Work::of(1), Want::Share);
    let bad = altered(&rig, &good, Want::Share, |c| c.owner = owner(66));
    assert_eq!(refusal(&mut rig, &bad), Refusal::Share(InvalidShare::Coinbase));
    assert_eq!(refusal(&mut rig, &bad), Refusal::KnownInvalid);
    let early = altered(&rig, &good, Want::Share, |c| c.time.0 += 300);
    assert!(matches!(refusal(&mut rig, &early), Refusal::Waits(Missing::Time(_))));
    let ready = UnixTime(early.share.commitment.time.0 - rig.chain.params().future_limit);
    assert!(rig.chain.tick(UnixTime(ready.0 - 1)).is_empty());
    let released = rig.chain.tick(ready);
    assert_eq!(released.len(), 1);
}

#[test]
fn each_rule_on_a_block_is_checked_and_what_breaks_it_is_still_a_share() {
    let mut rig = Rig::new();
    rig.share(7);
    for n in 0..8 {
        rig.block(n % 3);
    }
    let pending = rig.share(1);
    let good = rig.mine_next(2);
    assert_eq!(good.includes, [pending]);
    let old_share = rig.chain.block_at(Height(1)).expect("active").credited[1];
    let mut problem = |bad: &Mined| {
        let applied = rig.chain.judge(&rig.submission(bad), rig.now).expect("a share all the same");
        assert!(applied.block.is_none() && applied.share.is_some());
        applied.not_a_block.expect("refused as a block")
    };
    let block = |broken| Refusal::Block(broken);
    let half = support::params().easiest_target().harder_by(2).to_compact();
    let harder = |c: &mut sharechain::share::Commitment| c.bits = half;
    let rig2 = Rig::new();
    let id = rig2.chain.id();
    let change = |change: &dyn Fn(&mut sharechain::share::Commitment)| {
        let mut share = good.share.clone();
        change(&mut share.commitment);
        Mined { share: grind(id, share, Want::Block), includes: good.includes.clone() }
    };
    assert_eq!(problem(&change(&harder)), block(InvalidBlock::Bits));
    let parent = ShareId([4; 32]);
    assert_eq!(problem(&change(&|c| c.parent = parent)), Refusal::Waits(Missing::Parent(parent)));
    assert_eq!(problem(&change(&|c| c.time.0 -= 120)), block(InvalidBlock::Time));
    let listing = |ids: &[ShareId]| {
        let mut bad = change(&|c| c.includes = includes_hash(ids));
        bad.includes = ids.to_vec();
        bad
    };
    let listed = |id, problem| block(InvalidBlock::Listed { id, problem });
    assert_eq!(problem(&listing(&[pending, pending])), listed(pending, ListedProblem::Twice));
    assert_eq!(problem(&listing(&[old_share])), listed(old_share, ListedProblem::Credited));
    let unknown = ShareId([8; 32]);
    assert_eq!(problem(&listing(&[unknown])), Refusal::Waits(Missing::Share(unknown)));
    let mut other_list = good.clone();
    other_list.includes = vec![];
    assert_eq!(problem(&other_list), block(InvalidBlock::Includes));
    rig.take(&good).expect("valid").block.expect("the unaltered block is valid");
}

#[test]
fn shares_can_be_listed_up_to_the_include_depth_and_not_beyond() {
    let mut rig = Rig::new();
    let depth = rig.chain.params().include_depth;
    let late = rig.mine(Work::of(9), Want::Share);
    let later = rig.mine(Work::of(9), Want::Share);
    for _ in 0..depth {
        rig.block(1);
    }
    // Both have height 1; the next block has height 1 + depth.
    let id = rig.take(&late).expect("still in time").share.expect("new");
    let block = rig.block(1);
    assert!(rig.chain.block(&block).expect("added").credited.contains(&id));
    assert_eq!(refusal(&mut rig, &later), Refusal::Behind);
}

#[test]
fn work_on_an_old_bitcoin_block_is_fresh_for_a_while_and_then_stale() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.block(1);
    }
    let old_tip = rig.bitcoin_tip;
    rig.bitcoin_block();
    let new_tip = rig.bitcoin_tip;
    rig.block(1);
    // The Bitcoin block is news to 1, 2, 3 ancestors: the old one is allowed while it is among the parent and the two before.
    for blocks_seen in 1..=5 {
        rig.bitcoin_tip = old_tip;
        let fresh = rig.draft().is_fresh;
        let mined = rig.mine_next(2);
        let step = rig.chain.judge(&rig.submission(&mined), rig.now).expect("a valid share");
        assert_eq!(step.block.is_some(), fresh, "the maker's and the checker's rule are one");
        assert_eq!(fresh, blocks_seen <= 3, "{blocks_seen}");
        rig.bitcoin_tip = new_tip;
        rig.block(1);
    }
}

#[test]
fn payouts_come_from_the_newest_payout_block_of_a_lower_bitcoin_height() {
    let mut rig = Rig::new();
    for n in 0..20 {
        rig.block(1 + n % 2);
    }
    // All blocks so far claim Bitcoin height 1, as a share now does: no payout block is older than its Bitcoin block.
    let draft = rig.draft();
    assert!(draft.selections.iter().all(|selection| selection.entries().is_empty()));
    rig.bitcoin_block();
    let draft = rig.draft();
    let paid: Vec<_> = draft.selections[0].entries().iter().map(|(owner, _)| owner.as_bytes()[2]).collect();
    assert_eq!(
        {
            let mut paid = paid;
            paid.sort();
            paid
        },
        [1, 2]
    );
    let total: Score = draft.selections[0].entries().iter().map(|(_, score)| *score).sum();
    // The base is block 17 (the tip is 20), the payout block 16.
    let block = rig.chain.block_at(Height(16)).expect("active").id;
    let expected: Score = rig.chain.ranking(&block).expect("known").iter().map(|(_, score)| *score).sum();
    assert_eq!(total, expected);
}

#[test]
fn a_chain_that_is_loaded_goes_on_where_it_was() {
    let mut rig = Rig::new();
    for n in 0..30 {
        rig.share(n % 4);
        rig.block(n % 3);
        if n == 10 || n == 20 {
            rig.bitcoin_block();
        }
    }
    let Ok(saved) = rig.store.load();
    assert_eq!(saved.blocks.len(), 30);
    let mut again = rig.newcomer();
    let headers = again.chain.headers().clone();
    again.chain =
        sharechain::chain::ShareChain::load(rig.chain.params().clone(), headers, saved.blocks, saved.tip);
    assert_eq!(again.chain.tip(), rig.chain.tip());
    assert_eq!(again.draft().selections, rig.draft().selections);
    let next = rig.mine_next(1);
    rig.take(&next).expect("valid").block.expect("a block");
    again.now = rig.now;
    again.take(&next).expect("valid").block.expect("the same block is valid there");
    assert_eq!(again.chain.tip(), rig.chain.tip());
}

#[test]
fn old_blocks_are_pruned_and_the_chain_goes_on() {
    let mut params = support::params();
    params.window_blocks = 10;
    let mut rig = Rig::with(params);
    let kept = rig.chain.params().kept_blocks();
    for n in 0..kept + 20 {
        rig.block(u8::try_from(n % 3).expect("small"));
        if n % 50 == 0 {
            rig.bitcoin_block();
        }
    }
    // Blocks from tip - kept up to the tip.
    assert_eq!(rig.chain.len(), kept as usize + 1);
    assert!(rig.chain.block_at(Height(19)).is_none());
    let Ok(saved) = rig.store.load();
    assert_eq!(saved.blocks.len(), rig.chain.len());
    rig.bitcoin_block();
    assert!(!rig.draft().selections[0].entries().is_empty());
}
