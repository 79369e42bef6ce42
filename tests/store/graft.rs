//! A chain from the middle on the disk: what is claimed of it and its blocks, until it is dropped or followed.

use super::*;
use sharechain::chain::{GraftChange, GraftClaim};
use sharechain::share::ShareId;

/// Another branch, whose first block here has no parent.
const OTHER: Blocks = Blocks { branch: 1, ..BLOCKS };

fn claim() -> GraftClaim {
    GraftClaim { anchor: OTHER.id(100), at: Height(100), tip: Height(400) }
}

/// A store with a chain of three blocks, and three of another from block 100 on.
fn write_both(store: &mut SledStore) {
    write(store, &BLOCKS, 1..=3);
    let begun = GraftChange { graft: Some(claim()), tip: None, dropped: Vec::new() };
    store.commit_graft(&begun).expect("room on the disk");
    for height in 100..=102 {
        let change = sharechain::chain::ChangeSet { tip: BLOCKS.id(3), ..OTHER.change(height) };
        store.commit(&change).expect("room on the disk");
    }
}

fn keys(blocks: &Blocks, heights: std::ops::RangeInclusive<u32>) -> Vec<(Height, ShareId)> {
    heights.map(|height| (Height(height), blocks.id(height))).collect()
}

/// The graft, the tip, and the blocks of a store that is opened again.
fn read(path: &Path) -> (Option<GraftClaim>, Option<ShareId>, Vec<(Height, ShareId)>) {
    let saved = open(path).load().expect("whole");
    (saved.graft, saved.tip, saved.blocks.iter().map(|block| (block.height, block.id)).collect())
}

#[test]
fn a_graft_is_there_after_a_restart_beside_the_own_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    write_both(&mut open(folder.path()));
    let all = [keys(&BLOCKS, 1..=3), keys(&OTHER, 100..=102)].concat();
    assert_eq!(read(folder.path()), (Some(claim()), Some(BLOCKS.id(3)), all));
}

#[test]
fn a_graft_that_is_dropped_leaves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    write_both(&mut store);
    let dropped = GraftChange { graft: None, tip: None, dropped: keys(&OTHER, 100..=102) };
    store.commit_graft(&dropped).expect("room on the disk");
    assert!(store.block(Height(101), &OTHER.id(101)).expect("readable").is_none(), "nor a body");
    drop(store);
    assert_eq!(read(folder.path()), (None, Some(BLOCKS.id(3)), keys(&BLOCKS, 1..=3)));
}

#[test]
fn a_graft_that_is_followed_takes_the_place_of_the_own_chain() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    write_both(&mut store);
    let adopted = GraftChange { graft: None, tip: Some(OTHER.id(102)), dropped: keys(&BLOCKS, 1..=3) };
    store.commit_graft(&adopted).expect("room on the disk");
    drop(store);
    assert_eq!(read(folder.path()), (None, Some(OTHER.id(102)), keys(&OTHER, 100..=102)));
}

#[test]
fn a_block_without_its_parent_is_damage_unless_a_graft_explains_it() {
    let folder = tempfile::tempdir().expect("a folder");
    write_both(&mut open(folder.path()));
    tamper(folder.path(), |db| drop(db.remove(b"mgraft").expect("removed")));
    let error = try_open(folder.path()).expect_err("a gap");
    assert!(error.is_corrupt() && error.to_string().contains("the parent of share block"), "{error}");
}
