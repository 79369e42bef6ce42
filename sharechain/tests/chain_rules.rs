//! Single rules at their edges: what binds, what is held and released, what may be listed, when work is fresh.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use bitcoin::{BlockHash, CompactTarget};
use proptest::prelude::*;
use sharechain::chain::Submission;
use sharechain::coinbase::{self, CoinbaseInputs};
use sharechain::error::{InvalidBlock, InvalidShare, ListedProblem, Missing, Refusal};
use sharechain::params::ChainParams;
use sharechain::pool::Source;
use sharechain::share::{CoinbaseLink, ShareId, Tag, includes_hash};
use sharechain::target::Target;
use sharechain::units::{Height, UnixTime};
use sharechain::verify::{BindError, Bound};
use support::{Mined, Rig, Want, Work, altered, grind, grind_until, owner, params};

fn target(bits: u32) -> Target {
    Target::from_compact(CompactTarget::from_consensus(bits)).expect("a target")
}

/// Parameters whose block target falls fast, so that few hashes make it hard.
fn quick() -> ChainParams {
    ChainParams { retarget_constant: 60, ..params() }
}

fn blocks(rig: &mut Rig, count: u32) {
    for _ in 0..count {
        rig.block(1);
    }
}

/// Why a share is not a block, though it is offered as one.
fn not_a_block(rig: &mut Rig, mined: &Mined) -> Refusal {
    let step = rig.chain.judge(&rig.submission(mined), rig.now).expect("a share all the same");
    assert!(step.block.is_none());
    step.not_a_block.expect("offered as a block")
}

/// The block with another list.
fn listing(rig: &Rig, mined: &Mined, ids: &[ShareId]) -> Mined {
    let mut other = altered(rig, mined, Want::Block, |commitment| commitment.includes = includes_hash(ids));
    other.includes = ids.to_vec();
    other
}

fn refused_listing(id: ShareId, problem: ListedProblem) -> Refusal {
    Refusal::Block(InvalidBlock::Listed { id, problem })
}

#[test]
fn only_the_chains_own_targets_bind() {
    let mut rig = Rig::new();
    let draft = rig.draft();
    let tag = rig.next_tag();
    let job = rig.job(&draft, Work::of(1), tag, draft.easiest_share_target);
    let easiest = draft.easiest_share_target;
    let missed = |hash: &[u8; 32]| !easiest.is_met_by(hash);
    let bound = |share| Bound::new(rig.chain.params(), rig.chain.id(), share).map(|bound| bound.id());
    // However easy the block target is that work claims, below the chain's easiest there is no proof of work in it.
    for bits in [0x2100_ffff, 0x207f_ffff, 0x2003_ffff, 0, 0xff7f_ffff] {
        let mut share = job.clone();
        share.commitment.bits = CompactTarget::from_consensus(bits);
        assert_eq!(bound(grind_until(rig.chain.id(), share, missed)), Err(BindError::NotBound), "{bits:#x}");
    }
    for bits in [0x2020_0000, 0x2100_ffff, 0, 0xff7f_ffff] {
        let mut share = job.clone();
        share.commitment.share_bits = CompactTarget::from_consensus(bits);
        assert_eq!(bound(share), Err(BindError::ShareBits), "{bits:#x}");
    }
    // What claims an impossible block target is a share all the same.
    let mut share = job;
    share.commitment.bits = CompactTarget::from_consensus(0x2100_ffff);
    let share = grind_until(rig.chain.id(), share, |hash| easiest.is_met_by(hash));
    let found = Bound::new(rig.chain.params(), rig.chain.id(), share).expect("a share");
    assert!(found.is_share() && found.block_target().is_none());
}

/// Gives a rig whatever it released; the number of things that came of it.
fn resubmit(rig: &mut Rig, released: Vec<Submission>) -> usize {
    released.into_iter().filter(|submission| rig.submit(submission.clone()).is_ok()).count()
}

#[test]
fn what_waits_is_taken_when_what_it_lacks_comes() {
    let mut maker = Rig::new();
    blocks(&mut maker, 3);
    let mut rig = maker.fork();

    // The base, of a share that is no block.
    let first = maker.extend(1).0;
    blocks(&mut maker, 3);
    let on_first = maker.mine(Work::of(2), Want::Share);
    rig.now = maker.now;
    let base = on_first.share.commitment.base;
    assert_eq!(rig.take(&on_first).map(|_| ()), Err(Refusal::Waits(Missing::Base(base))));
    rig.take(&first).expect("valid");
    let id = rig.bind(&on_first.share).id();
    assert!(rig.chain.shares().get(&id).is_some(), "released by its base");

    // The parents, of blocks that come last first; each is a share at once.
    let ids: Vec<_> = (5..=7).map(|h| maker.chain.block_at(Height(h)).expect("active").id).collect();
    for id in ids.iter().rev() {
        let applied = rig.submit(maker.with_bodies(id)).expect("a share at once");
        assert_eq!(applied.block.is_some(), id == &ids[0]);
    }
    assert_eq!(rig.chain.tip(), maker.chain.tip());

    // A listed share that has not come yet.
    let late = maker.mine(Work::of(3), Want::Share);
    let late_id = maker.take(&late).expect("valid").share.expect("new");
    let (block, block_id) = maker.extend(1);
    rig.now = maker.now;
    assert_eq!(not_a_block(&mut rig, &block), Refusal::Waits(Missing::Share(late_id)));
    assert!(rig.take(&block).expect("a share").block.is_none());
    rig.take(&late).expect("valid");
    assert_eq!(rig.chain.tip(), block_id, "released by the share");

    // A Bitcoin header.
    maker.bitcoin_block();
    let header = maker.chain.headers().best().header;
    let on_new = maker.mine(Work::of(4), Want::Share);
    rig.now = maker.now;
    let missing = Missing::PrevBlock(header.block_hash());
    assert_eq!(rig.take(&on_new).map(|_| ()), Err(Refusal::Waits(missing)));
    let released = rig.chain.add_header(header).expect("valid");
    assert_eq!(resubmit(&mut rig, released), 1);
    assert!(rig.chain.add_header(header).expect("known").is_empty());

    // Its time.
    maker.now = maker.now.saturating_add(200);
    let early = maker.mine(Work::of(5), Want::Share);
    let ready = UnixTime(maker.now.0 - rig.chain.params().future_limit);
    assert_eq!(rig.take(&early).map(|_| ()), Err(Refusal::Waits(Missing::Time(ready))));
    assert!(rig.chain.tick(UnixTime(ready.0 - 1)).is_empty());
    rig.now = ready;
    let released = rig.chain.tick(ready);
    assert_eq!(resubmit(&mut rig, released), 1);
    assert!(rig.chain.waiting().is_empty());
    assert_eq!(rig.take(&early).map(|_| ()), Err(Refusal::Known));
}

#[test]
fn nothing_takes_the_place_of_a_block_that_waits() {
    let mut maker = Rig::new();
    blocks(&mut maker, 3);
    let mut rig = maker.fork();
    let first = maker.extend(1).0;
    blocks(&mut maker, 3);
    let listed = maker.share(2);
    let (block, id) = maker.extend(1);
    rig.now = maker.now;
    let base = Missing::Base(block.share.commitment.base);
    let forged = Mined { includes: vec![ShareId([9; 32])], ..block.clone() };
    let plain = Submission::share(maker.bind(&block.share), Source(1));
    // Whatever comes before or after it.
    for submission in [plain.clone(), rig.submission(&block), rig.submission(&forged), plain] {
        assert_eq!(rig.submit(submission).map(|_| ()), Err(Refusal::Waits(base.clone())));
        assert_eq!(rig.chain.waiting().len(), 1);
    }
    rig.take(&first).expect("valid");
    // Its share is here now, and it waits for its parent with its list.
    let missing: Vec<_> = rig.chain.waiting().missing().cloned().collect();
    assert_eq!(missing, [Missing::Parent(block.share.commitment.parent)]);
    for height in 5..maker.chain.height().0 {
        let id = maker.chain.block_at(Height(height)).expect("active").id;
        rig.submit(maker.with_bodies(&id)).expect("valid").block.expect("a block");
    }
    let missing: Vec<_> = rig.chain.waiting().missing().cloned().collect();
    assert_eq!(missing, [Missing::Share(listed)]);
    let body = maker.chain.shares().get(&listed).expect("kept").share().clone();
    rig.submit(Submission::share(maker.bind(&body), Source(1))).expect("valid");
    assert_eq!(rig.chain.tip(), id);
}

#[test]
fn a_block_that_misses_its_share_target_is_credited_for_what_it_lists_only() {
    let mut rig = Rig::with(quick());
    // Ten blocks in ten seconds make the target hard …
    for _ in 0..10 {
        rig.now = rig.now.saturating_add(1);
        let mined = rig.mine(Work::of(1), Want::Block);
        rig.take(&mined).expect("valid");
    }
    let listed = rig.share(2);
    // … and ten minutes of silence make it easy, while that of the base stays.
    rig.now = rig.now.saturating_add(1_200);
    let draft = rig.draft();
    let tag = rig.next_tag();
    let job = rig.job(&draft, Work::of(3), tag, draft.base_target);
    let (share_target, block_target) =
        (target(job.commitment.share_bits.to_consensus()), target(job.commitment.bits.to_consensus()));
    assert!(block_target > share_target);
    let job = grind_until(rig.chain.id(), job, |hash| {
        block_target.is_met_by(hash) && !share_target.is_met_by(hash)
    });
    let mined = Mined { share: job, includes: draft.includes.to_vec() };
    assert_eq!(
        rig.take(&Mined { includes: vec![], ..mined.clone() }).map(|_| ()),
        Err(Refusal::Block(InvalidBlock::Includes))
    );
    let plain = Submission::share(rig.bind(&mined.share), Source(1));
    assert_eq!(rig.submit(plain.clone()).map(|_| ()), Err(Refusal::Behind), "nothing to credit, and no list");
    let applied = rig.take(&mined).expect("valid");
    let block = applied.block.expect("a block");
    assert_eq!((applied.share, block.credits.own, &block.credited[..]), (None, None, &[listed][..]));
    let score = block.credits.listed[0].score;
    let (fee, rest) = score.split_listing_fee();
    assert_eq!(block.credits.credits().collect::<Vec<_>>(), [(owner(3), fee), (owner(2), rest)]);
    assert_eq!(rig.submit(plain).map(|_| ()), Err(Refusal::Known));
    // Nor can another block list it.
    let next = rig.mine_next(1);
    let mut bad = listing(&rig, &next, &[block.id]);
    let body = rig.bind(&mined.share);
    bad.includes = vec![block.id];
    let submission = Submission { bodies: vec![body], ..rig.submission(&bad) };
    let step = rig.chain.judge(&submission, rig.now).expect("a share");
    assert_eq!(step.not_a_block, Some(refused_listing(block.id, ListedProblem::NotAShare)));
}

#[test]
fn a_block_lists_as_many_as_it_may_and_the_rest_wait() {
    for most in [64, 512] {
        let mut rig = Rig::with(ChainParams { max_listed: most, ..params() });
        rig.block(1);
        let mut ids: Vec<_> = (0..most + 6).map(|_| rig.share(1)).collect();
        ids.sort();
        let good = rig.mine_next(1);
        assert_eq!(good.includes, ids[..most as usize]);
        let too_many = listing(&rig, &good, &ids[..=most as usize]);
        assert_eq!(not_a_block(&mut rig, &too_many), Refusal::Block(InvalidBlock::TooManyListed));
        rig.take(&good).expect("valid").block.expect("a block");
        assert_eq!(*rig.draft().includes, ids[most as usize..]);
    }
}

#[test]
fn up_to_bitcoin_height_16_a_tag_is_due() {
    let mut rig = Rig::new();
    for height in 1..=18_u8 {
        let draft = rig.draft();
        assert_eq!(draft.context.height.0, u32::from(height));
        let job = rig.job(&draft, Work::of(1), Tag::default(), draft.easiest_share_target);
        let untagged = grind(rig.chain.id(), job, Want::Share);
        let bound = Bound::new(rig.chain.params(), rig.chain.id(), untagged);
        match bound {
            Err(BindError::Field { field, .. }) => assert!(height <= 16 && field == "tag"),
            bound => assert!(height > 16 && rig.chain.verify(bound.expect("binds")).is_ok()),
        }
        let tagged = rig.mine(Work::of(1), Want::Share);
        rig.take(&tagged).expect("valid");
        // The scriptSig stands behind version, count and outpoint.
        let commitment = &tagged.share.commitment;
        let prefix = coinbase::prefix(&CoinbaseInputs {
            bitcoin_height: commitment.bitcoin_height,
            tag: &commitment.tag,
            witness_commitment: &commitment.witness_commitment,
            payouts: &rig.chain.payouts_of(&tagged.share).expect("known"),
        });
        assert_eq!(CoinbaseLink::of_prefix(&prefix).as_ref(), Some(&tagged.share.link));
        let push = if height <= 16 { vec![0x50 + height] } else { vec![1, height] };
        let script_sig = [&push, commitment.tag.as_bytes()].concat();
        assert_eq!(usize::from(prefix[41]), script_sig.len());
        assert_eq!(prefix[42..42 + script_sig.len()], script_sig);
        rig.bitcoin_block();
    }
}

/// A block that lists nothing, so that nothing is credited.
fn empty_block(rig: &mut Rig) {
    let mined = rig.mine_next(1);
    let empty = listing(rig, &mined, &[]);
    rig.take(&empty).expect("valid").block.expect("a block");
}

#[test]
fn each_rule_on_a_listed_share_is_checked() {
    let mut rig = Rig::with(ChainParams { include_depth: 12, ..params() });
    // Above the block's height, which only shares on the root can be without a base above the block's.
    let first = rig.mine_next(1);
    rig.block(1);
    let above = rig.share(2);
    let bad = listing(&rig, &first, &[above]);
    assert_eq!(not_a_block(&mut rig, &bad), refused_listing(above, ListedProblem::Height));
    blocks(&mut rig, 3);

    // On a base that only another branch has.
    let mut other = rig.fork();
    let old = rig.share(2);
    (0..5).for_each(|_| empty_block(&mut rig));
    for _ in 0..4 {
        let (block, _) = other.extend(3);
        rig.now = rig.now.max(other.now);
        assert!(!rig.take(&block).expect("kept").new_tip);
    }
    let foreign = other.mine(Work::of(4), Want::Share);
    let foreign = rig.take(&foreign).expect("kept").share.expect("new");
    let next = rig.mine_next(1);
    assert!(next.includes.contains(&old) && !next.includes.contains(&foreign));
    let bad = listing(&rig, &next, &[foreign]);
    assert_eq!(not_a_block(&mut rig, &bad), refused_listing(foreign, ListedProblem::Base));

    // Too far below the block's height.
    let limit = 5 + rig.chain.params().include_depth;
    while rig.chain.height().0 < limit - 1 {
        empty_block(&mut rig);
    }
    assert!(rig.draft().includes.contains(&old));
    empty_block(&mut rig);
    assert!(!rig.draft().includes.contains(&old));
    let next = rig.mine_next(1);
    let bad = listing(&rig, &next, &[old]);
    assert_eq!(not_a_block(&mut rig, &bad), refused_listing(old, ListedProblem::Height));

    // Later than the block by more than the future limit.
    let now = rig.now;
    rig.now = now.saturating_add(rig.chain.params().future_limit);
    let late = rig.share(5);
    rig.now = now;
    assert!(rig.draft().includes.contains(&late));
    rig.now = UnixTime(now.0 - 1);
    assert!(!rig.draft().includes.contains(&late));
    let next = rig.mine(Work::of(1), Want::Block);
    let bad = listing(&rig, &next, &[late]);
    assert_eq!(not_a_block(&mut rig, &bad), refused_listing(late, ListedProblem::Time));
    rig.now = now;

    // Invalid by itself, and known to be.
    let good = rig.mine(Work::of(6), Want::Share);
    let invalid = altered(&rig, &good, Want::Share, |commitment| commitment.owner = owner(66));
    let body = rig.bind(&invalid.share);
    let next = rig.mine_next(1);
    let bad = listing(&rig, &next, &[body.id()]);
    let submission = Submission { bodies: vec![body.clone()], ..rig.submission(&bad) };
    for problem in [ListedProblem::Invalid(InvalidShare::Coinbase), ListedProblem::KnownInvalid] {
        let step = rig.chain.judge(&submission, rig.now).expect("a share all the same");
        assert_eq!(step.not_a_block, Some(refused_listing(body.id(), problem)));
    }
    let newer = altered(&rig, &good, Want::Share, |commitment| commitment.version = 2);
    let body = rig.bind(&newer.share);
    let unclear = listing(&rig, &next, &[body.id()]);
    let submission = Submission { bodies: vec![body], ..rig.submission(&unclear) };
    let step = rig.chain.judge(&submission, rig.now).expect("a share all the same");
    assert_eq!(step.not_a_block, Some(Refusal::Waits(Missing::Version(2))));
}

/// The freshness rule by its definition. `blocks` are the Bitcoin blocks, by their number, that the share blocks from
/// height 1 on build on; whether work on `prev` is fresh behind the share block at height `at`.
fn is_fresh(blocks: &[usize], prev: usize, at: usize) -> bool {
    let Some(newest) = blocks[..at].iter().max() else { return true };
    let first = blocks.iter().position(|block| block == newest).expect("it is one of them") + 1;
    prev >= *newest || (first + 2 >= at && prev + 1 >= *newest)
}

/// What happens at each height: Bitcoin blocks found, and by how many a share and the share block are behind.
fn fresh_as_defined(steps: &[(usize, usize, usize)]) {
    let mut rig = Rig::with(ChainParams { include_depth: 60, ..params() });
    let mut bitcoin: Vec<BlockHash> = vec![rig.bitcoin_tip];
    let (mut blocks, mut shares) = (Vec::new(), Vec::new());
    for (found, share_behind, block_behind) in steps {
        for _ in 0..*found {
            rig.bitcoin_tip = bitcoin[bitcoin.len() - 1];
            rig.bitcoin_block();
            bitcoin.push(rig.bitcoin_tip);
        }
        let newest = bitcoin.len() - 1;
        let height = blocks.len() + 1;
        let prev = newest.saturating_sub(*share_behind);
        rig.bitcoin_tip = bitcoin[prev];
        shares.push((rig.share(1), prev, height));

        let draft = rig.draft();
        let fresh = |(_, prev, share_height): &&(ShareId, usize, usize)| {
            is_fresh(&blocks, *prev, (share_height - 1).max(height.saturating_sub(21)))
        };
        let mut expected: Vec<_> =
            shares.iter().filter(fresh).map(|(id, _, height)| (*height, *id)).collect();
        expected.sort();
        expected.truncate(64);
        let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
        assert_eq!(*draft.includes, expected, "height {height}");
        assert_eq!(draft.is_fresh, is_fresh(&blocks, prev, height - 1), "height {height}");

        let old = newest.saturating_sub(*block_behind);
        let prev = if is_fresh(&blocks, old, height - 1) { old } else { newest };
        rig.bitcoin_tip = bitcoin[prev];
        empty_block(&mut rig);
        blocks.push(prev);
    }
}

#[test]
fn a_share_that_was_fresh_can_be_listed_for_23_blocks_after_bitcoin_has_moved_on_by_one() {
    let mut rig = Rig::with(ChainParams { include_depth: 60, ..params() });
    (0..3).for_each(|_| empty_block(&mut rig));
    let share = rig.share(1);
    rig.bitcoin_block();
    // The share has height 4, as the first block on the new Bitcoin block.
    while rig.chain.height().0 < 4 + 22 {
        empty_block(&mut rig);
    }
    assert!(rig.draft().includes.contains(&share), "block 27 looks at ancestor 6, two after 4");
    empty_block(&mut rig);
    let next = rig.mine_next(1);
    assert!(!next.includes.contains(&share));
    let bad = listing(&rig, &next, &[share]);
    assert_eq!(not_a_block(&mut rig, &bad), refused_listing(share, ListedProblem::Stale));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn work_is_fresh_as_the_definition_says(
        steps in prop::collection::vec((prop_oneof![6 => Just(0_usize), 2 => Just(1), 1 => Just(2)], 0_usize..4, 0_usize..3), 1..55),
    ) {
        fresh_as_defined(&steps);
    }
}
