//! Opening and closing: what comes back, and stores that are in use or of another kind.

use super::*;
use crate::support::stored::{bitcoin_header, owner};
use sharechain::store::Solution;
use sharechain::units::BitcoinHeight;
use std::fs;
use std::sync::mpsc;

#[test]
fn what_was_saved_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let headers: Vec<_> = (0..5).map(|height| (BitcoinHeight(height), bitcoin_header(height))).collect();
    let side = Blocks { branch: 1, ..BLOCKS };
    let solution = |height| Solution {
        header: bitcoin_header(height),
        coinbase: vec![1, 2, 3],
        share: BLOCKS.share(height * 20, 0),
    };
    let unlisted: Vec<_> = (0..300).map(|number| BLOCKS.share(9, number)).collect();
    {
        let mut store = open(&path);
        assert_eq!(store.load().expect("nothing yet").tip, None);
        store.commit_headers(&headers[..2]).expect("saved");
        write(&mut store, &BLOCKS, 1..=9);
        // A block that does not become the tip, with headers that came since.
        let mut change = side.change(9);
        change.summary.parent = BLOCKS.id(8);
        change.tip = BLOCKS.id(9);
        change.headers = headers[2..].to_vec();
        store.commit(&change).expect("saved");
        store.commit_solution(&solution(12)).expect("saved");
        store.commit_solution(&solution(11)).expect("saved");
        store.commit_shares([BLOCKS.share(8, 1)].iter()).expect("saved");
        store.commit_shares(unlisted.iter()).expect("saved");
        assert_eq!(store.load().expect("as saved").blocks.len(), 10);
    }
    let store = open(&path);
    let saved = store.load().expect("as saved");
    assert_eq!(saved.headers, headers);
    assert_eq!(saved.tip, Some(BLOCKS.id(9)));
    let heights: Vec<_> = saved.blocks.iter().map(|block| block.height.0).collect();
    assert_eq!(heights, [1, 2, 3, 4, 5, 6, 7, 8, 9, 9]);
    assert_eq!(store.block(Height(9), &side.id(9)).expect("readable"), Some(side.block(9)));
    assert_eq!(store.block(Height(9), &side.id(8)).expect("readable"), None);
    assert_eq!(store.block(Height(8), &side.id(9)).expect("readable"), None);
    assert_eq!(store.solutions().expect("readable"), [solution(11), solution(12)]);
    assert_eq!(store.load_shares().expect("readable"), unlisted);
    assert_ne!(owner(0), owner(1), "owners differ, or the above says little");
}

#[test]
fn bodies_that_are_too_old_go_in_the_batch_that_makes_them_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocks = Blocks { kept: 10, ..BLOCKS };
    let mut store = open(folder.path());
    write(&mut store, &blocks, 1..=25);
    assert_eq!(store.block(Height(15), &blocks.id(15)).expect("readable"), None);
    assert_eq!(store.block(Height(16), &blocks.id(16)).expect("readable"), Some(blocks.block(16)));
    drop(store);
    assert_eq!(expect_blocks(folder.path(), &blocks).expect("whole"), 25);
}

#[test]
fn a_store_of_another_chain_is_refused_by_name_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&mut open(folder.path()), &BLOCKS, 1..=3);
    let before = rows(folder.path());
    let params = ChainParams { name: "another".into(), ..ChainParams::signet() };
    let open = OpenStore { path: folder.path(), params: &params, move_corrupt_aside: true };
    let error = open.open().expect_err("another chain");
    let StoreError::OtherChain { found, expected, .. } = &error else { panic!("{error}") };
    assert_eq!((found.id, expected.id), (ChainParams::regtest().chain_id(), params.chain_id()));
    for part in ["\"regtest\" on regtest", "\"another\" on signet", &params.chain_id().to_string()] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(rows(folder.path()), before);
    assert_eq!(expect_blocks(folder.path(), &BLOCKS).expect("still whole"), 3);
}

#[test]
fn a_store_of_a_newer_release_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&mut open(folder.path()), &BLOCKS, 1..=3);
    let newer = sealed(b"mschema", &3_u32.to_le_bytes());
    tamper(folder.path(), |db| drop(db.insert(b"mschema", newer).expect("inserted")));
    let before = rows(folder.path());
    let error = try_open(folder.path()).expect_err("too new");
    assert!(matches!(error, StoreError::TooNew { found: 3, known: 2, .. }), "{error}");
    assert_eq!(rows(folder.path()), before);
}

#[test]
fn a_store_from_before_the_first_release_is_refused_and_not_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    write(&mut open(folder.path()), &BLOCKS, 1..=3);
    let older = sealed(b"mschema", &1_u32.to_le_bytes());
    tamper(folder.path(), |db| drop(db.insert(b"mschema", older).expect("inserted")));
    let before = rows(folder.path());
    // As such a store was written: with sled's own size of segments.
    let old = folder.path().join("old");
    let open_old = || sled::Config::new().path(&old).flush_every_ms(None).open().expect("opens");
    let db = open_old();
    before.iter().for_each(|(key, value)| drop(db.insert(key, value.as_slice()).expect("written")));
    db.flush().expect("written");
    drop(db);
    for path in [folder.path(), &old] {
        let error = try_open(path).expect_err("too old");
        assert!(matches!(error, StoreError::TooOld { found: 1, known: 2, .. }), "{error}");
        assert!(error.to_string().contains("Move the folder away"), "{error}");
    }
    assert_eq!(rows(folder.path()), before);
    let rows = open_old().iter().map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())));
    assert_eq!(rows.collect::<Result<Vec<_>, _>>().expect("readable"), before);
}

#[test]
fn a_store_in_use_is_waited_for_and_then_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    let error = try_open(folder.path()).expect_err("in use");
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    assert!(error.to_string().contains("another node runs on this data folder"), "{error}");

    let (started, starts) = mpsc::channel();
    let path = folder.path().to_owned();
    let second = std::thread::spawn(move || {
        started.send(()).expect("somebody listens");
        expect_blocks(&path, &BLOCKS)
    });
    starts.recv().expect("the thread starts");
    write(&mut store, &BLOCKS, 1..=2);
    drop(store);
    assert_eq!(second.join().expect("no panic").expect("opens once the first is closed"), 2);
}

#[test]
fn a_folder_that_cannot_be_made_is_the_disks_fault() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, b"not a folder").expect("written");
    let error = try_open(&file.join("store")).expect_err("no folder");
    assert!(matches!(error, StoreError::Disk { .. }), "{error}");
}
