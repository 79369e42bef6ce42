//! What it costs to check a share: its proof of work, and all of it when its payout block's list is known.
//!
//! Run with `cargo bench -p sharechain --bench verify`.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a bench")]

mod fixture;
#[path = "../tests/support/mod.rs"]
mod support;

use divan::Bencher;
use fixture::{Node, owner, params};
use sharechain::share::Share;
use sharechain::verify::Bound;
use support::Want;

fn main() {
    divan::main();
}

/// A node whose next coinbase is paid by a full window, and a share of this class.
fn node_and_share(class: u16) -> (Node, Share) {
    let mut node = Node::with_full_window(&params());
    node.bitcoin_block();
    let draft = node.draft();
    let entries =
        draft.selections.iter().find(|selection| selection.class() == class).expect("a class").entries();
    assert_eq!(entries.len(), usize::from(class), "as many outputs as the class may have");
    let share = node.mine(&draft, owner(3), class, Want::Share);
    (node, share)
}

/// Checks 1 and 2, of a share with a merkle branch of twelve.
#[divan::bench]
fn context_free(bencher: Bencher) {
    let (node, share) = node_and_share(38);
    let (params, chain) = (node.chain.params(), node.chain.id());
    bencher.with_inputs(|| share.clone()).bench_values(|share| Bound::new(params, chain, share));
}

/// The hashes of checks 1 and 2 alone.
#[divan::bench]
fn hashing_alone(bencher: Bencher) {
    let (node, share) = node_and_share(38);
    let chain = node.chain.id();
    bencher.bench(|| share.id(chain));
}

/// Checks 1 to 6. The list of whom the payout block pays is known, as for all shares but the first on a Bitcoin block.
#[divan::bench(args = [11, 38, 145, 360])]
fn full(bencher: Bencher, class: u16) {
    let (mut node, share) = node_and_share(class);
    node.chain.verify(node.bind(share.clone())).expect("valid");
    let (params, chain) = (node.chain.params().clone(), node.chain.id());
    bencher.with_inputs(|| share.clone()).bench_local_values(|share| {
        let bound = Bound::new(&params, chain, share).expect("binds");
        node.chain.verify(bound).expect("valid")
    });
}
