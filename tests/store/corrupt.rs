//! Damaged stores: said so, never believed, never a panic; moved aside only when asked to.

use super::*;
use std::fs;
use std::io::{Seek, SeekFrom, Write};

fn written(heights: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&mut open(folder.path()), &BLOCKS, 1..=heights);
    folder
}

fn key(prefix: u8, height: u32) -> Vec<u8> {
    [&[prefix], &height.to_be_bytes()[..], &BLOCKS.id(height).0].concat()
}

fn expect_corrupt(path: &Path, problem: &str) {
    let error = try_open(path).expect_err("damaged");
    assert!(error.is_corrupt(), "{error}");
    let text = error.to_string();
    assert!(text.contains(problem) && text.contains("--move-corrupt-store-aside"), "{text}");
}

type Damage = Box<dyn FnOnce(&sled::Db)>;

#[test]
fn changed_and_missing_rows_are_found_when_the_store_is_opened() {
    let remove =
        |key: Vec<u8>| move |db: &sled::Db| drop(db.remove(key).expect("removed").expect("was there"));
    let flip = |key: Vec<u8>| {
        move |db: &sled::Db| {
            let mut value = db.get(&key).expect("readable").expect("there").to_vec();
            *value.last_mut().expect("not empty") ^= 1;
            db.insert(key, value).expect("inserted");
        }
    };
    let other = sealed(b"mtip", &BLOCKS.id(7).0);
    let short = sealed(b"mtip", &[1; 31]);
    let damages: Vec<(&str, Damage)> = vec![
        ("its checksum is wrong", Box::new(flip(key(b'i', 3)))),
        ("its checksum is wrong", Box::new(flip(key(b'b', 5)))),
        ("its checksum is wrong", Box::new(flip(b"mchain".to_vec()))),
        ("the parent of share block", Box::new(remove(key(b'i', 3)))),
        ("the body of share block", Box::new(remove(key(b'b', 5)))),
        ("its tip is missing", Box::new(remove(key(b'i', 5)))),
        ("its tip is missing", Box::new(remove(b"mtip".to_vec()))),
        ("its tip is missing", Box::new(move |db| drop(db.insert(b"mtip", other)))),
        ("its tip is not an id", Box::new(move |db| drop(db.insert(b"mtip", short)))),
        ("the number of its format is missing", Box::new(remove(b"mschema".to_vec()))),
        ("the name of its chain is missing", Box::new(remove(b"mchain".to_vec()))),
        ("the number of its format is missing", Box::new(|db| db.clear().expect("cleared"))),
        ("a row's key is not of its kind", Box::new(|db| drop(db.insert(b"i", b"").expect("inserted")))),
    ];
    for (problem, damage) in damages {
        let folder = written(5);
        tamper(folder.path(), damage);
        expect_corrupt(folder.path(), problem);
    }
}

#[test]
fn a_row_under_another_key_is_not_believed() {
    let folder = written(5);
    tamper(folder.path(), |db| {
        let third = db.get(key(b'b', 3)).expect("readable").expect("there");
        db.insert(key(b'b', 2), third).expect("inserted");
        db.remove(key(b'b', 4)).expect("removed");
    });
    let store = open(folder.path());
    for height in [2, 4] {
        let error = store.block(Height(height), &BLOCKS.id(height)).expect_err("damaged");
        assert!(error.is_corrupt(), "{error}");
    }
    assert_eq!(store.block(Height(3), &BLOCKS.id(3)).expect("readable"), Some(BLOCKS.block(3)));
}

#[test]
fn a_corrupt_store_is_moved_aside_when_asked_to_and_only_then() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store");
    let open_aside = OpenStore { path: &path, params: &ChainParams::regtest(), move_corrupt_aside: true };
    for number in 1..=2 {
        let opened = open_aside.open().expect("nothing is wrong");
        assert_eq!(opened.moved_aside, None);
        let mut store = opened.store;
        write(&mut store, &BLOCKS, 1..=5);
        drop(store);
        tamper(&path, |db| drop(db.remove(key(b'i', 2)).expect("removed")));
        let damaged = rows(&path);
        expect_corrupt(&path, "the parent of share block");
        assert_eq!(rows(&path), damaged, "nothing is done without being asked");

        let opened = open_aside.open().expect("a new store");
        let aside = folder.path().join(format!("store.corrupt-{number}"));
        assert_eq!(opened.moved_aside.as_deref(), Some(&*aside));
        assert_eq!(opened.store.load().expect("empty").blocks, []);
        drop(opened);
        assert_eq!(rows(&aside), damaged, "nothing is thrown away");
    }
}

/// Copies a store's folder.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).expect("made");
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Opens a copy with something wrong with its file: corrupt, or a store that ends earlier, but never other blocks.
fn survives(original: &Path, damage: impl FnOnce(&mut fs::File), what: &str) -> bool {
    let folder = tempfile::tempdir().expect("a folder");
    copy(original, folder.path());
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("db"));
    damage(&mut file.expect("sled's file"));
    match expect_blocks(folder.path(), &BLOCKS) {
        Ok(_) => true,
        Err(error) => {
            assert!(error.is_corrupt(), "{what}: {error}");
            false
        }
    }
}

/// Flips bytes all over sled's file; sees that some flips are found and some do no harm.
fn flip_bytes(blocks: u32, flips: u64) {
    let folder = written(blocks);
    // Opened once more, so that there is a snapshot too.
    drop(open(folder.path()));
    let len = fs::metadata(folder.path().join("db")).expect("sled's file").len();
    let whole = (0..flips).filter(|flip| {
        let at = flip * (len / flips) + flip % 97;
        let damage = |file: &mut fs::File| {
            file.seek(SeekFrom::Start(at)).expect("sought");
            file.write_all(&[0x5a; 16]).expect("written");
        };
        survives(folder.path(), damage, &format!("bytes at {at}"))
    });
    let whole = whole.count() as u64;
    assert!(whole < flips, "no damage was found");
}

#[test]
fn damaged_bytes_in_the_file_are_found_or_do_no_harm() {
    flip_bytes(60, 24);
}

#[test]
#[ignore = "takes minutes; the short form is damaged_bytes_in_the_file_are_found_or_do_no_harm"]
fn damaged_bytes_all_over_a_large_file_are_found_or_do_no_harm() {
    flip_bytes(400, 600);
}

#[test]
fn a_file_of_garbage_and_one_that_was_cut_off_are_no_new_store() {
    let folder = written(20);
    let garbage = |file: &mut fs::File| {
        let len = file.metadata().expect("sled's file").len();
        file.write_all(&vec![0xa5; len.try_into().expect("small")]).expect("written");
    };
    assert!(!survives(folder.path(), garbage, "garbage"));
    assert!(!survives(folder.path(), |file| file.set_len(0).expect("cut off"), "an empty file"));
}
