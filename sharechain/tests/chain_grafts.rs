//! Chains from the middle: what of them is checked where, when they are followed, and that they come and go whole.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use sharechain::chain::{GraftClaim, GraftError, NotAdopted, ShareChain};
use sharechain::error::{InvalidBlock, InvalidShare, Missing, Refusal};
use sharechain::params::ChainParams;
use sharechain::share::{CoinbaseLink, ShareId};
use sharechain::store::ShareStore;
use sharechain::units::Height;
use std::sync::LazyLock;
use support::{Mined, Rig, Want, Work, grind, mine_header, params};

const ANCHOR: Height = Height(40);
const TIP: Height = Height(172);

/// A chain with shares, payouts and Bitcoin blocks, whose first blocks nobody will hear of.
static SOURCE: LazyLock<Rig> = LazyLock::new(|| {
    let mut rig = Rig::new();
    extend(&mut rig, TIP.0, 1);
    rig
});

fn extend(rig: &mut Rig, blocks: u32, owner: u8) {
    for n in 1..=blocks {
        if n % 3 == 0 {
            rig.share(owner + 1);
        }
        if n % 17 == 0 {
            rig.bitcoin_block();
        }
        rig.block(owner + (n % 2) as u8);
    }
}

fn claim(source: &Rig) -> GraftClaim {
    GraftClaim { anchor: id_at(source, ANCHOR), at: ANCHOR, tip: source.chain.height() }
}

fn id_at(rig: &Rig, height: Height) -> ShareId {
    rig.chain.block_at(height).expect("active").id
}

fn begin(rig: &mut Rig, claim: GraftClaim) {
    let change = rig.chain.begin_graft(claim).expect("long enough");
    let Ok(()) = rig.store.commit_graft(&change);
    rig.chain.apply_graft(&change);
}

fn adopt(rig: &mut Rig, tip: ShareId) -> Result<(), NotAdopted> {
    let change = rig.chain.adopt(tip)?;
    let Ok(()) = rig.store.commit_graft(&change);
    rig.chain.apply_graft(&change);
    Ok(())
}

/// Hands over the source's active branch between these heights, as the answer to a sync; gives the first refusal.
fn sync(from: &Rig, to: &mut Rig, heights: impl IntoIterator<Item = u32>) -> Result<(), (u32, Refusal)> {
    for height in heights {
        let submission = from.with_bodies(&id_at(from, Height(height))).wanted();
        let applied = to.submit(submission).map_err(|refusal| (height, refusal))?;
        assert!(applied.block.is_some() && !applied.new_tip && applied.reorganisation.is_none());
    }
    Ok(())
}

fn reload(rig: &mut Rig) {
    let Ok(saved) = rig.store.load();
    let (params, headers) = (rig.chain.params().clone(), rig.chain.headers().clone());
    rig.chain = ShareChain::load(params, headers, saved.blocks, saved.tip);
    if let Some(claim) = saved.graft {
        rig.chain.resume_graft(claim);
    }
}

#[test]
fn a_newcomer_takes_a_chain_from_the_middle_and_mines_on_it() {
    let source = &*SOURCE;
    let mut rig = source.newcomer();
    begin(&mut rig, claim(source));
    sync(source, &mut rig, ANCHOR.0..=TIP.0).expect("all valid");
    assert_eq!((rig.chain.height(), rig.chain.shares().len()), (Height::ROOT, 0), "nothing is followed yet");
    let tip = source.chain.tip();
    assert!(rig.chain.is_grafted(&tip) && !rig.chain.is_active(&tip));
    adopt(&mut rig, tip).expect("better than nothing");
    assert_eq!((rig.chain.tip(), rig.chain.height(), rig.chain.graft()), (tip, TIP, None));
    let mut source = source.fork();
    assert_eq!(rig.chain.ranking(&tip).expect("whole"), source.chain.ranking(&tip).expect("whole"));
    let (mined, id) = rig.extend(7);
    source.now = rig.now;
    assert_eq!(source.take(&mined).expect("valid").block.expect("a block").id, id);
    let (mined, id) = source.extend(8);
    rig.now = source.now;
    assert_eq!(rig.take(&mined).expect("valid").block.expect("a block").id, id);
    // And it is the same after a restart.
    reload(&mut rig);
    assert_eq!((rig.chain.tip(), rig.chain.height()), (source.chain.tip(), Height(TIP.0 + 2)));
    rig.block(3);
}

#[test]
fn the_anchor_is_taken_only_when_it_was_asked_for() {
    let source = &*SOURCE;
    let mut rig = source.newcomer();
    let anchor = source.with_bodies(&id_at(source, ANCHOR));
    let parent = anchor.share.share().commitment.base;
    let waits = Err(Refusal::Waits(Missing::Base(parent)));
    assert_eq!(rig.submit(anchor.clone().wanted()).map(|_| ()), waits, "no graft was begun");
    begin(&mut rig, claim(source));
    assert_eq!(rig.submit(anchor.clone()).map(|_| ()), waits, "nobody asked for it");
    let elsewhere = GraftClaim { at: Height(ANCHOR.0 + 1), ..claim(source) };
    let mut other = source.newcomer();
    begin(&mut other, elsewhere);
    assert_eq!(other.submit(anchor.clone().wanted()).map(|_| ()), waits, "at another height");
    rig.submit(anchor.wanted()).expect("asked for").block.expect("a block");
    // What stands where less than all is checked must have been asked for, too.
    let next = source.with_bodies(&id_at(source, Height(ANCHOR.0 + 1)));
    assert_eq!(rig.submit(next.clone()).map(|_| ()), Err(Refusal::Behind));
    rig.submit(next.wanted()).expect("asked for").block.expect("a block");
}

#[test]
fn claims_that_cannot_be_checked_are_refused() {
    let source = &*SOURCE;
    let rig = source.newcomer();
    let needed = rig.chain.params().graft_blocks();
    assert_eq!(needed, 100);
    let honest = claim(source);
    let refused = |claim| rig.chain.begin_graft(claim).expect_err("refused");
    let short = GraftClaim { tip: Height(honest.at.0 + needed - 2), ..honest };
    assert_eq!(refused(short), GraftError::TooShort { given: needed - 1, needed });
    assert!(rig.chain.begin_graft(GraftClaim { tip: Height(short.tip.0 + 1), ..short }).is_ok());
    assert!(matches!(refused(GraftClaim { tip: Height(5_000), ..honest }), GraftError::TooLong { .. }));
    assert_eq!(source.chain.begin_graft(honest), Err(GraftError::Known(honest.anchor)));
    let mut busy = source.newcomer();
    begin(&mut busy, honest);
    let other = GraftClaim { anchor: ShareId([7; 32]), ..honest };
    assert_eq!(busy.chain.begin_graft(other), Err(GraftError::Busy(honest.anchor)));
    // The same again goes on by the first claim, by which blocks were checked.
    begin(&mut busy, GraftClaim { tip: Height(honest.tip.0 + 9), ..honest });
    assert_eq!(busy.chain.graft().expect("under way").claim, honest);
}

/// The source's chain up to `height`, one block that pays nobody but its finder, and honest blocks on it up to [`TIP`].
fn dishonest(height: u32) -> Rig {
    let mut maker = SOURCE.newcomer();
    for at in 1..=height {
        maker.submit(SOURCE.with_bodies(&id_at(&SOURCE, Height(at)))).expect("valid");
    }
    let draft = maker.draft();
    let tag = maker.next_tag();
    let mut share = maker.job(&draft, Work::of(9), tag.clone(), draft.easiest_share_target);
    let other =
        maker.job(&draft, Work { value: 5_100_000_000, ..Work::of(9) }, tag, draft.easiest_share_target);
    share.link = CoinbaseLink::clone(&other.link);
    let bad = Mined { share: grind(maker.chain.id(), share, Want::Block), includes: draft.includes.to_vec() };
    // Only a chain from the middle whose claim lies takes it: so its summary is got.
    let mut helper = SOURCE.newcomer();
    begin(&mut helper, GraftClaim { tip: Height(ANCHOR.0 + 300), ..claim(&SOURCE) });
    sync(&SOURCE, &mut helper, ANCHOR.0..=height).expect("valid");
    let whole = maker.submission(&bad);
    let bodies = whole.includes.iter().flatten();
    let bodies = bodies.map(|id| maker.bind(maker.chain.shares().get(id).expect("listed").share())).collect();
    let block = sharechain::chain::Submission { bodies, ..whole }.wanted();
    let block = helper.submit(block).expect("not checked there").block.expect("a block");
    let Ok(saved) = helper.store.load();
    let (params, headers) = (maker.chain.params().clone(), maker.chain.headers().clone());
    maker.chain = ShareChain::load(params, headers, saved.blocks, Some(block.id));
    maker.store = helper.store;
    // The helper's blocks begin at the anchor, and so do the windows.
    while maker.chain.height() < TIP {
        maker.block(4);
    }
    maker
}

#[test]
fn a_wrong_coinbase_is_seen_in_the_newer_window_and_not_below_it() {
    let window = params().window_blocks;
    // The highest of the older blocks, and the lowest of the newer.
    for (height, seen) in [(TIP.0 - window, false), (TIP.0 - window + 1, true)] {
        let source = dishonest(height - 1);
        let mut rig = source.newcomer();
        begin(&mut rig, claim(&source));
        let synced = sync(&source, &mut rig, ANCHOR.0..=TIP.0);
        if seen {
            assert_eq!(synced, Err((height, Refusal::Share(InvalidShare::Coinbase))));
        } else {
            synced.expect("not checked there");
            adopt(&mut rig, source.chain.tip()).expect("better than nothing");
        }
        // A claim that moves the newer window up lets it pass, but not for long.
        let mut rig = source.newcomer();
        let lie = GraftClaim { tip: Height(TIP.0 + 1), ..claim(&source) };
        begin(&mut rig, lie);
        sync(&source, &mut rig, ANCHOR.0..=TIP.0).expect("not checked there");
        let unchecked = NotAdopted::Unchecked { tip: TIP, claimed: lie.tip };
        assert_eq!(adopt(&mut rig, source.chain.tip()), Err(unchecked));
        assert_eq!(rig.chain.height(), Height::ROOT);
    }
}

#[test]
fn blocks_above_the_context_are_held_to_the_rules_of_blocks() {
    let source = &*SOURCE;
    let context = source.chain.params().context_blocks();
    for (height, refused) in [(ANCHOR.0 + context - 1, false), (ANCHOR.0 + context, true)] {
        let mut rig = source.newcomer();
        begin(&mut rig, claim(source));
        sync(source, &mut rig, ANCHOR.0..height).expect("valid");
        let mut maker = source.newcomer();
        (1..height).for_each(|at| {
            drop(maker.submit(source.with_bodies(&id_at(source, Height(at)))).expect("valid"))
        });
        let mined = maker.mine_next(5);
        let bad = support::altered(&maker, &mined, Want::Block, |commitment| {
            commitment.base = maker.chain.block_at(Height(height - 2)).expect("active").id;
        });
        let listed =
            mined.includes.iter().map(|id| maker.bind(maker.chain.shares().get(id).expect("here").share()));
        let block = sharechain::chain::Submission { bodies: listed.collect(), ..maker.submission(&bad) };
        rig.now = maker.now;
        let result = rig.submit(block.wanted()).map(|applied| applied.block.is_some());
        let wrong_height = Refusal::Share(InvalidShare::Height(Height(height)));
        assert_eq!(result, if refused { Err(wrong_height) } else { Ok(true) });
    }
    // Even the lowest are linked by their heights and credit nothing twice.
    let mut rig = source.newcomer();
    begin(&mut rig, claim(source));
    sync(source, &mut rig, [ANCHOR.0]).expect("valid");
    let skipping = source.with_bodies(&id_at(source, Height(ANCHOR.0 + 2))).wanted();
    let parent = skipping.share.share().commitment.parent;
    assert!(
        matches!(rig.submit(skipping), Err(Refusal::Waits(Missing::Base(_) | Missing::Parent(_)))),
        "{parent}"
    );
    let mut forged = source.with_bodies(&id_at(source, Height(ANCHOR.0 + 1))).wanted();
    forged.includes = Some(vec![parent]);
    let refusal = rig.submit(forged).map(|_| ());
    assert_eq!(refusal, Err(Refusal::Block(InvalidBlock::Includes)));
}

#[test]
fn a_chain_from_the_middle_needs_clearly_more_recent_work() {
    let source = &*SOURCE;
    // Of the own chain's blocks all are recent, as the other's are: 133 of them against 125 and 126.
    let theirs = TIP.0 - ANCHOR.0 + 1;
    let enough = (theirs * 16 - 1) / 17;
    let too_many = enough + 1;
    for (own, better) in [(enough, true), (too_many, false)] {
        let mut rig = source.newcomer();
        rig.now = sharechain::units::UnixTime(support::START);
        rig.bitcoin_tip = rig.chain.headers().ancestors().last().expect("the first").block_hash();
        let first = rig.block(9);
        (1..own).for_each(|_| {
            rig.block(9);
        });
        (rig.now, rig.bitcoin_tip) = (source.now, source.bitcoin_tip);
        begin(&mut rig, claim(source));
        sync(source, &mut rig, ANCHOR.0..=TIP.0).expect("valid");
        let old_tip = rig.chain.tip();
        match adopt(&mut rig, source.chain.tip()) {
            Ok(()) => assert!(better),
            Err(error) => assert!(!better && matches!(error, NotAdopted::NotBetter { .. }), "{own}: {error}"),
        }
        let Ok(saved) = rig.store.load();
        if better {
            assert_eq!((rig.chain.tip(), rig.chain.len()), (source.chain.tip(), theirs as usize));
            assert!(rig.chain.block(&first).is_none() && rig.chain.block(&old_tip).is_none());
            assert_eq!(rig.chain.shares().len(), 0, "no share of the chain that was left is worth anything");
            assert_eq!((saved.blocks.len(), saved.tip), (theirs as usize, Some(source.chain.tip())));
            rig.block(3);
        } else {
            assert_eq!((rig.chain.tip(), saved.tip), (old_tip, Some(old_tip)));
            // It goes on growing beside the other, until that is dropped.
            rig.block(9);
            let change = rig.chain.drop_graft().expect("under way");
            let Ok(()) = rig.store.commit_graft(&change);
            rig.chain.apply_graft(&change);
            assert_eq!((rig.chain.len(), rig.chain.graft()), (own as usize + 1, None));
            let Ok(saved) = rig.store.load();
            assert_eq!((saved.blocks.len(), saved.graft), (own as usize + 1, None));
            rig.block(9);
        }
    }
}

#[test]
fn a_graft_goes_on_after_a_restart() {
    let source = &*SOURCE;
    let mut rig = source.newcomer();
    begin(&mut rig, claim(source));
    reload(&mut rig);
    assert_eq!(rig.chain.graft().expect("under way").highest, None);
    sync(source, &mut rig, ANCHOR.0..=100).expect("valid");
    let middle = Some((Height(100), id_at(source, Height(100))));
    for _ in 0..2 {
        let graft = rig.chain.graft().expect("under way");
        assert_eq!((graft.claim, graft.highest), (claim(source), middle));
        let locator = rig.chain.graft_locator();
        assert_eq!(
            (locator[0], locator.last()),
            (id_at(source, Height(100)), Some(&rig.chain.id().as_block()))
        );
        let after = source.chain.ids_after(&locator, 3);
        assert_eq!((after.from, after.parent, after.ids.len()), (Height(101), locator[0], 3));
        assert_eq!(rig.chain.height(), Height::ROOT);
        reload(&mut rig);
    }
    sync(source, &mut rig, 101..=TIP.0).expect("valid");
    adopt(&mut rig, source.chain.tip()).expect("better than nothing");
    assert_eq!(rig.chain.tip(), source.chain.tip());
}

#[test]
fn pruning_the_own_chain_leaves_the_other_alone() {
    let mut source = Rig::with(ChainParams { window_blocks: 10, ..params() });
    extend(&mut source, 110, 1);
    let mut rig = source.newcomer();
    let kept = rig.chain.params().kept_blocks();
    for n in 0..=kept {
        if n % 10 == 9 {
            rig.bitcoin_block();
        }
        rig.block(9);
    }
    let at = Height(30);
    begin(&mut rig, GraftClaim { anchor: id_at(&source, at), at, tip: source.chain.height() });
    sync(&source, &mut rig, at.0..=100).expect("valid");
    for _ in 0..3 {
        let lowest = rig.chain.ids_after(&[], 1).from;
        rig.block(9);
        assert_eq!(rig.chain.ids_after(&[], 1).from, Height(lowest.0 + 1), "pruned");
    }
    assert!(rig.chain.block(&id_at(&source, at)).is_some());
    sync(&source, &mut rig, 101..=source.chain.height().0).expect("valid");
    let Ok(saved) = rig.store.load();
    assert_eq!(saved.blocks.len(), rig.chain.len());
    assert_eq!(rig.chain.len(), kept as usize + 1 + 81);
    rig.block(9);
}

#[test]
fn a_split_deeper_than_cheap_forks_heals_by_what_was_asked_for() {
    let mut rig = Rig::new();
    (0..4).for_each(|_| {
        rig.block(1);
    });
    let mut other = rig.fork();
    (0..130).for_each(|_| {
        rig.block(1);
    });
    (0..131).for_each(|_| {
        other.block(2);
    });
    rig.now = rig.now.max(other.now);
    let first = other.with_bodies(&id_at(&other, Height(5)));
    assert_eq!(rig.submit(first).map(|_| ()), Err(Refusal::Behind), "nobody asked for it");
    let missing = other.chain.ids_after(&rig.chain.locator(), 4_096);
    assert_eq!(missing.ids.last(), Some(&other.chain.tip()));
    for id in missing.ids.iter().filter(|id| !rig.chain.is_active(id)).collect::<Vec<_>>() {
        rig.submit(other.with_bodies(id).wanted()).expect("asked for").block.expect("a block");
    }
    assert_eq!(rig.chain.tip(), other.chain.tip());
}

#[test]
fn work_on_the_losing_block_of_a_bitcoin_race_is_good_for_all() {
    // Two Bitcoin blocks at one height. This node's own bitcoind never hears of the loser, whose header a peer sends.
    let mut source = Rig::new();
    extend(&mut source, 20, 1);
    let before = source.bitcoin_tip;
    let mut behind = source.fork();
    source.bitcoin_block();
    let loser = source.bitcoin_tip;
    let share = source.mine(Work::of(6), Want::Share);
    source.take(&share).expect("valid");
    let (block, _) = source.extend(6);
    let winner = mine_header(before, behind.now.0, 2);
    behind.chain.add_header(winner).expect("valid");
    behind.bitcoin_tip = winner.block_hash();
    behind.now = source.now;
    let waits = Err(Refusal::Waits(Missing::PrevBlock(loser)));
    assert_eq!(behind.take(&share).map(|_| ()), waits);
    assert_eq!(behind.take(&block).map(|_| ()), waits);
    let header = source.chain.headers().get(&loser).expect("known").header;
    let released = behind.chain.add_header(header).expect("valid");
    assert_eq!(released.len(), 2);
    released.into_iter().for_each(|submission| drop(behind.submit(submission).expect("valid")));
    assert_eq!(behind.chain.tip(), source.chain.tip());
    // The winner's branch of Bitcoin goes on, and so does the chain, listing the loser's share.
    behind.bitcoin_block();
    let left = TIP.0 - behind.chain.height().0;
    extend(&mut behind, left, 3);
    assert_eq!(
        behind
            .chain
            .headers()
            .on_best_chain(behind.chain.headers().get(&loser).expect("kept").height)
            .expect("there")
            .hash,
        winner.block_hash()
    );
    let mut rig = behind.newcomer();
    begin(&mut rig, claim(&behind));
    sync(&behind, &mut rig, ANCHOR.0..=TIP.0).expect("valid");
    adopt(&mut rig, behind.chain.tip()).expect("better than nothing");
    let mut from_the_start = behind.newcomer();
    behind.copy_to(&mut from_the_start);
    assert_eq!((rig.chain.tip(), from_the_start.chain.tip()), (behind.chain.tip(), behind.chain.tip()));
    let credited = |rig: &Rig| {
        (1..TIP.0).filter_map(|at| rig.chain.block_at(Height(at))).any(|block| block.prev_block == loser)
    };
    assert!(credited(&from_the_start));
}

#[test]
fn shares_far_easier_than_the_tips_do_not_fit_it() {
    let mut rig = Rig::new();
    // Blocks a second apart make the target harder.
    while rig.draft().base_target > rig.chain.params().easiest_target().harder_by(6) {
        rig.now = rig.now.saturating_add(1);
        let mined = rig.mine(Work::of(1), Want::Block);
        rig.take(&mined).expect("valid");
    }
    let draft = rig.draft();
    let limit = draft.easiest_share_target.easier_by(4);
    let mut share = rig.mine_on(&draft, Work::of(2), Want::Share).share;
    share.commitment.share_bits = limit.easier_by(2).to_compact();
    assert_eq!(rig.chain.easiest_share(), Some(limit));
    assert!(!rig.chain.fits_tip(&share));
    share.commitment.share_bits = limit.rounded().to_compact();
    assert!(rig.chain.fits_tip(&share));
}
