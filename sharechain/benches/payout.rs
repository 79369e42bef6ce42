//! Costs of a share block's arithmetic: the window one block on, who is paid, the split of a coinbase, the next target.
//!
//! Run with `cargo bench -p sharechain --bench payout`.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a bench")]

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script};
use divan::{Bencher, black_box};
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::payout::{Selection, select_all, select_for_class, split};
use sharechain::retarget::{RetargetInput, next_target};
use sharechain::units::{BitcoinHeight, Score, UnixTime};
use sharechain::window::{BlockCredits, Contribution, Window};
use std::sync::{Arc, LazyLock};

const OWNERS: u64 = 10_000;
const BLOCKS: u64 = 20_160;
/// With the own one 32 shares a block: 645,120 in the window.
const LISTED: u64 = 31;
const HEIGHT: BitcoinHeight = BitcoinHeight(940_000);
const VALUE: u64 = 323_456_789;

fn main() {
    divan::main();
}

fn owner(n: u64) -> Owner {
    let mut script = [0; 34];
    script[..2].copy_from_slice(&[0x51, 0x20]);
    // Spread over the byte order, as keys are.
    script[2..10].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Owner::new(Script::from_bytes(&script)).expect("P2TR")
}

/// Shares of owners of all sizes: the number is skewed towards small ones.
fn contribution(n: u64) -> Contribution {
    let random = n.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(29) % OWNERS;
    let who = random * random / OWNERS;
    Contribution {
        owner: owner(who),
        signals: 0,
        score: Score((4 << 64) / u128::from(BLOCKS * (LISTED + 1))),
    }
}

fn block(height: u64) -> Arc<BlockCredits> {
    let first = height * (LISTED + 1);
    let own = contribution(first);
    let listed = (1..=LISTED).map(|n| contribution(first + n)).collect();
    Arc::new(BlockCredits { lister: own.owner, own: Some(own), listed })
}

static WINDOW: LazyLock<Window> =
    LazyLock::new(|| Window::from_path(&ChainParams::main(), (0..BLOCKS + 1_000).map(block)));

/// The largest of the targets: what one more block costs until every class's payouts are known.
#[divan::bench]
fn one_more_block_to_all_payouts(bencher: Bencher) {
    let params = ChainParams::main();
    let mut window = WINDOW.clone();
    let mut height = BLOCKS + 1_000;
    bencher
        .with_inputs(|| {
            height += 1;
            block(height)
        })
        .bench_local_values(|block| {
            window.push(block);
            let ranked = window.ranked();
            let selections = select_all(&params, &ranked, BlockHash::from_byte_array([7; 32]), HEIGHT);
            let finder = ranked[0].0;
            selections.iter().map(|selection| split(selection, VALUE, finder).outputs.len()).sum::<usize>()
        });
}

#[divan::bench]
fn push(bencher: Bencher) {
    let mut window = WINDOW.clone();
    let mut height = BLOCKS + 1_000;
    bencher
        .with_inputs(|| {
            height += 1;
            block(height)
        })
        .bench_local_values(|block| window.push(block));
}

#[divan::bench]
fn push_and_pop(bencher: Bencher) {
    let mut window = WINDOW.clone();
    let block = block(BLOCKS + 1_001);
    bencher.bench_local(|| {
        window.push(block.clone());
        window.pop()
    });
}

#[divan::bench]
fn ranked(bencher: Bencher) {
    bencher.bench(|| WINDOW.ranked());
}

#[divan::bench]
fn select_every_class(bencher: Bencher) {
    let (params, ranked) = (ChainParams::main(), WINDOW.ranked());
    bencher.bench(|| select_all(&params, black_box(&ranked), BlockHash::from_byte_array([7; 32]), HEIGHT));
}

fn selection(class: u16) -> Selection {
    let ranked = WINDOW.ranked();
    let prev_block = BlockHash::from_byte_array([7; 32]);
    let selection =
        select_for_class(&ChainParams::main(), &ranked, prev_block, HEIGHT, class).expect("a class");
    assert_eq!(selection.entries().len(), usize::from(class), "enough owners to fill it");
    selection
}

#[divan::bench(args = [11, 38, 145, 360])]
fn split_a_coinbase(bencher: Bencher, class: u16) {
    let selection = selection(class);
    let finder = selection.entries()[0].0;
    bencher.bench(|| split(black_box(&selection), black_box(VALUE), finder));
}

#[divan::bench]
fn retarget(bencher: Bencher) {
    let params = ChainParams::main();
    let parent = RetargetInput {
        parent_target: params.easiest_target().harder_by(1_000),
        parent_time: UnixTime(1_800_000_000),
        grandparent_time: Some(UnixTime(1_799_999_963)),
        newest_time: UnixTime(1_800_000_000),
    };
    bencher.bench(|| next_target(&params, Some(black_box(&parent)), UnixTime(1_800_000_021)));
}

/// Loading: the window of a whole path at once.
#[divan::bench(sample_count = 5)]
fn build_over_a_full_window(bencher: Bencher) {
    let params = ChainParams::main();
    let path: Vec<_> = (0..BLOCKS).map(block).collect();
    bencher.bench_local(|| Window::from_path(&params, path.iter().cloned()));
}

/// A scan, done once in 2,016 blocks.
#[divan::bench(sample_count = 10)]
fn signal_scores(bencher: Bencher) {
    bencher.bench(|| WINDOW.signal_scores());
}
