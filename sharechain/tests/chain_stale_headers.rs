//! Bitcoin headers off the best chain: kept while a stored block or a share that it lists builds on them, else let go
//! when there are too many.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use bitcoin::block::Header;
use sharechain::bitcoin_headers::{HeaderTree, MAX_STALE_HEADERS};
use sharechain::chain::ShareChain;
use sharechain::share::header_id;
use sharechain::store::ShareStore;
use sharechain::target::Target;
use support::{Rig, mine_header};

/// The chain as it comes up again from what the store holds: nothing is in the pool of shares.
fn restart(rig: &mut Rig) {
    let Ok(saved) = rig.store.load();
    let first: Vec<Header> = rig.chain.headers().ancestors().copied().collect();
    let mut headers = HeaderTree::new(rig.chain.params(), &first).expect("as before");
    for (_, header) in &saved.headers {
        headers.insert(*header).expect("it was valid before");
    }
    rig.chain = ShareChain::load(rig.chain.params().clone(), headers, saved.blocks, saved.tip);
}

/// The next header after `nonce` that meets its target.
fn sibling(like: &Header, target: Target, nonce: &mut u32) -> Header {
    loop {
        *nonce += 1;
        let header = Header { nonce: *nonce, ..*like };
        if target.is_met_by(&header_id(&header).0) {
            return header;
        }
    }
}

#[test]
fn a_stale_header_that_only_a_listed_share_names_outlives_a_flood_and_restarts() {
    let mut rig = Rig::new();
    rig.block(1);
    let first = rig.bitcoin_tip;
    rig.bitcoin_block();
    let best = rig.bitcoin_tip;
    let stale = mine_header(first, rig.now.0, 2);
    let named = stale.block_hash();
    rig.chain.add_header(stale).expect("valid");
    rig.bitcoin_tip = named;
    rig.now = rig.now.saturating_add(1);
    let listed = rig.share(2);
    rig.bitcoin_tip = best;
    let block = rig.block(1);
    let summary = rig.chain.block(&block).expect("taken");
    assert!(summary.credited.contains(&listed));
    assert_eq!((summary.prev_block, &*summary.listed_on), (best, &[named][..]));
    rig.bitcoin_block();
    rig.block(1);

    restart(&mut rig);
    assert_eq!(rig.chain.headers().stale_count(), 1);
    let like = Header { time: stale.time + 1, ..stale };
    let target = Target::from_compact(stale.bits).expect("a target");
    let mut nonce = 0;
    for _ in 1..=MAX_STALE_HEADERS {
        rig.chain.add_header(sibling(&like, target, &mut nonce)).expect("room is made");
    }
    let dropped = rig.chain.take_dropped_headers();
    assert_eq!(
        dropped.len(),
        MAX_STALE_HEADERS - 1,
        "all but the one that is named and the one that came too much"
    );
    let Ok(()) = rig.store.forget_headers(&dropped);
    rig.block(1);

    restart(&mut rig);
    let served = rig.chain.headers().get(&named).expect("named");
    assert_eq!(served.header, stale);
    let mut newcomer = rig.newcomer();
    rig.copy_to(&mut newcomer);
    assert_eq!(newcomer.chain.tip(), rig.chain.tip());
}
