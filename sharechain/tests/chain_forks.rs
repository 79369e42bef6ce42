//! Branches of the share chain: which are kept, which win, and what a reorganisation leaves behind (protocol section 7).

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use bitcoin::CompactTarget;
use sharechain::error::{Missing, Refusal};
use sharechain::params::{
    ALARM_REORG_DEPTH, CHEAP_FORK_DEPTH, ChainParams, MAX_REORG_DEPTH, RECENT_HEADERS, SHARE_FORK_DEPTH,
};
use sharechain::share::ShareId;
use sharechain::target::{Target, Work as TargetWork};
use sharechain::units::Height;
use support::{Rig, Want, Work, mine_header, params};

fn extend_by(rig: &mut Rig, blocks: u32, owner: u8) {
    for _ in 0..blocks {
        rig.block(owner);
    }
}

#[test]
fn a_branch_of_a_hundred_blocks_is_followed_once_it_has_more_work() {
    let mut rig = Rig::new();
    extend_by(&mut rig, 6, 1);
    let mut other = rig.fork();
    // Far beyond the depth at which lone shares are no longer kept, and short of an alarm.
    let depth = ALARM_REORG_DEPTH - 20;
    assert!(depth > SHARE_FORK_DEPTH + rig.chain.params().base_depth);
    extend_by(&mut rig, depth, 1);
    let mut branch: Vec<_> = (0..=depth).map(|_| other.extend(2).0).collect();
    rig.now = rig.now.max(other.now);
    let last = branch.pop().expect("not empty");
    for mined in &branch {
        let applied = rig.take(mined).expect("kept as a block");
        assert!(applied.block.is_some() && !applied.new_tip);
    }
    let reorganisation = rig.take(&last).expect("valid").reorganisation.expect("more work");
    assert_eq!(reorganisation.depth, depth);
    assert!(!reorganisation.is_alarming());
    let tip = other.chain.tip();
    assert_eq!(rig.chain.tip(), tip);
    assert_eq!(rig.chain.ranking(&tip), other.chain.ranking(&tip));
}

#[test]
fn a_block_with_less_work_than_the_tips_120th_ancestor_is_not_kept() {
    // With all targets at the easiest, work is height: the first block of a branch from a block `depth` below the tip
    // has the work of the tip's ancestor at `depth` - 1.
    for (depth, kept) in [(CHEAP_FORK_DEPTH + 1, true), (CHEAP_FORK_DEPTH + 2, false)] {
        let mut rig = Rig::new();
        extend_by(&mut rig, 4, 1);
        let mut other = rig.fork();
        extend_by(&mut rig, depth, 1);
        let (cheap, id) = other.extend(2);
        rig.now = rig.now.max(other.now);
        match rig.take(&cheap) {
            Ok(applied) => assert!(kept && applied.block.is_some() && !applied.new_tip),
            Err(refusal) => assert_eq!((kept, refusal), (false, Refusal::Behind)),
        }
        assert_eq!(rig.chain.block(&id).is_some(), kept);
    }
}

#[test]
fn a_lone_share_is_kept_while_its_branch_has_the_work_of_the_tips_16th_ancestor() {
    let mut rig = Rig::with(ChainParams { include_depth: 60, ..params() });
    extend_by(&mut rig, 4, 1);
    let mut other = rig.fork();
    // A share's base is a block of its own branch once the branch is longer than the base depth.
    extend_by(&mut rig, 5, 1);
    for _ in 0..4 {
        let (block, _) = other.extend(2);
        rig.now = rig.now.max(other.now);
        assert!(!rig.take(&block).expect("less work, but kept").new_tip);
    }
    let [in_time, late] = [0, 0].map(|_| other.mine(Work::of(3), Want::Share));
    let base = rig.chain.block(&in_time.share.commitment.base).expect("known").clone();
    assert!(!rig.chain.is_active(&base.id));
    // The branch ends at height 8: that of the 16th ancestor of block 24.
    extend_by(&mut rig, 24 - 9, 1);
    assert!(rig.take(&in_time).expect("still kept").share.is_some());
    extend_by(&mut rig, 1, 1);
    assert_eq!(rig.take(&late).map(|_| ()), Err(Refusal::Behind));
    // Such a block is still stored, for its branch may yet win, but it is no share to list.
    let (block, id) = other.extend(2);
    let applied = rig.take(&block).expect("kept");
    assert_eq!((applied.block.map(|block| block.id), applied.share), (Some(id), None));
}

#[test]
fn shares_that_came_inside_a_block_can_be_listed_after_it_is_abandoned() {
    //  f ── a1       a1 lists a share that this node hears of inside the block only
    //   └── b1 ── b2
    let mut rig = Rig::new();
    extend_by(&mut rig, 3, 1);
    let (mut a, mut b) = (rig.fork(), rig.fork());
    let share = a.share(5);
    let (_, a1) = a.extend(1);
    rig.now = rig.now.max(a.now);
    let applied = rig.submit(a.with_bodies(&a1)).expect("valid");
    assert!(applied.new_tip && rig.chain.block(&a1).expect("known").credited.contains(&share));
    let branch = [b.extend(2).0, b.extend(2).0];
    rig.now = rig.now.max(b.now);
    branch.iter().for_each(|block| drop(rig.take(block).expect("valid")));
    assert_eq!(rig.chain.tip(), b.chain.tip());
    let next = rig.block(1);
    let listed = &rig.chain.block(&next).expect("known").credited;
    assert!(listed.contains(&share) && listed.contains(&a1), "{listed:?}");
}

#[test]
fn no_node_reorganises_by_itself_deeper_than_the_limit() {
    //  ... ── f ── m1 ── m2 ── … ── m2880 (── m2881)     easy blocks after a long silence
    //          └── h1                                    one hard block with more work than all of those
    for (depth, switches) in [(MAX_REORG_DEPTH, true), (MAX_REORG_DEPTH + 1, false)] {
        let mut rig = Rig::with(ChainParams {
            easiest_block_target: CompactTarget::from_consensus(0x207f_ffff),
            shares_per_block: 2,
            retarget_constant: 60,
            // So many that none of them is pruned.
            window_blocks: 1_500,
            ..params()
        });
        // One second each: the target falls by almost a third with every block.
        let hard = TargetWork((MAX_REORG_DEPTH * 2 + 64).into());
        loop {
            rig.now = rig.now.saturating_add(1);
            let mined = rig.mine(Work::of(1), Want::Block);
            let bits = mined.share.commitment.bits;
            rig.take(&mined).expect("valid");
            // The next one is harder still.
            if Target::from_compact(bits).expect("a target").work() > hard {
                break;
            }
        }
        let mut other = rig.fork();
        other.now = other.now.saturating_add(1);
        let heavy = other.mine(Work::of(2), Want::Block);
        // Long silence makes the next target easiest, and it stays so.
        rig.now = rig.now.saturating_add(600 * 30);
        extend_by(&mut rig, depth, 1);
        let own = rig.chain.tip();
        let applied = rig.take(&heavy).expect("valid, and heavy enough to be kept");
        assert_eq!(applied.too_deep.map(|too_deep| too_deep.depth), (!switches).then_some(depth));
        let block = applied.block.expect("a block");
        assert!(block.work > rig.chain.block(&own).expect("known").work, "the branch has more work");
        assert_eq!(applied.new_tip, switches);
        assert_eq!(
            applied.reorganisation.map(|r| (r.depth, r.is_alarming())),
            switches.then_some((depth, true))
        );
        assert_eq!(rig.chain.tip(), if switches { block.id } else { own });
    }
}

#[test]
fn recent_work_counts_the_blocks_on_new_bitcoin_headers_and_their_stale_siblings() {
    let mut rig = Rig::new();
    let work = Target::from_compact(rig.chain.params().easiest_block_target).expect("a target").work();
    let times = |n: u32| TargetWork(work.0 * n);
    let recent = |rig: &Rig| rig.chain.recent_work(&rig.chain.tip());
    assert_eq!(recent(&rig), TargetWork::ZERO);
    assert_eq!(rig.chain.recent_work(&ShareId([1; 32])), TargetWork::ZERO);
    // Two blocks on the first Bitcoin block, one each on a header, its stale sibling, and the sibling's child.
    extend_by(&mut rig, 2, 1);
    rig.bitcoin_block();
    let before = rig.chain.headers().best();
    extend_by(&mut rig, 1, 1);
    let sibling = mine_header(before.header.prev_blockhash, rig.now.0, 2);
    rig.chain.add_header(sibling).expect("valid");
    rig.bitcoin_tip = sibling.block_hash();
    extend_by(&mut rig, 1, 1);
    let child = mine_header(sibling.block_hash(), rig.now.0, 2);
    rig.chain.add_header(child).expect("valid");
    rig.bitcoin_tip = child.block_hash();
    extend_by(&mut rig, 1, 1);
    assert_eq!(recent(&rig), times(5), "the sibling's branch is the best one now");
    // Bitcoin goes back to the first branch: the child is stale now and no sibling of an active block's.
    rig.bitcoin_tip = before.hash;
    rig.bitcoin_block();
    rig.bitcoin_block();
    extend_by(&mut rig, 1, 1);
    assert_eq!(recent(&rig), times(5), "all but the block on the stale child, and not only those after it");
    // Until the oldest headers are no longer recent. The first block's is at height 0.
    let to_go = RECENT_HEADERS - 1 - rig.chain.headers().best().height.0;
    (0..to_go).for_each(|_| rig.bitcoin_block());
    assert_eq!(recent(&rig), times(5));
    rig.bitcoin_block();
    assert_eq!(recent(&rig), times(3));
    rig.bitcoin_block();
    assert_eq!(recent(&rig), times(1));
    (0..2).for_each(|_| rig.bitcoin_block());
    assert_eq!(recent(&rig), TargetWork::ZERO);
}

#[test]
fn a_branch_on_an_unknown_block_waits_for_it() {
    let mut rig = Rig::new();
    extend_by(&mut rig, 2, 1);
    let mut other = rig.fork();
    let (first, first_id) = other.extend(2);
    let (second, _) = other.extend(2);
    rig.now = other.now;
    let applied = rig.take(&second).expect("a share all the same");
    assert!(applied.share.is_some() && applied.block.is_none());
    assert_eq!(rig.chain.waiting().missing().collect::<Vec<_>>(), [&Missing::Parent(first_id)]);
    rig.take(&first).expect("valid");
    assert_eq!((rig.chain.height(), rig.chain.tip()), (Height(4), other.chain.tip()));
    assert!(rig.chain.waiting().is_empty());
}
