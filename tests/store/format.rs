//! The format on the disk, pinned by a file: a release must read what an earlier one wrote.

use super::*;
use crate::support::stored::bitcoin_header;
use sharechain::store::Solution;
use sharechain::units::BitcoinHeight;
use std::fmt::Write;
use std::fs;

/// Keys and values in hexadecimal. To change it is to make a new schema, and from the first release on a migration from this one.
const GOLDEN: &str = include_str!("schema-2.txt");

/// One row of every kind, with and without what is optional.
fn write_all(store: &mut SledStore) {
    store.commit_headers(&[(BitcoinHeight(1), bitcoin_header(1))]).expect("saved");
    let blocks = Blocks { listed: 1, ..BLOCKS };
    for height in 2..=3 {
        let mut change = blocks.change(height);
        change.headers = vec![(BitcoinHeight(height), bitcoin_header(height))];
        store.commit(&change).expect("saved");
    }
    store.commit_shares([blocks.share(4, 1)].iter()).expect("saved");
    let solution = Solution { header: bitcoin_header(4), coinbase: vec![1, 2, 3], share: blocks.share(4, 2) };
    store.commit_solution(&solution).expect("saved");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all");
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("a hexadecimal digit");
    (0..hex.len()).step_by(2).map(digit).collect()
}

#[test]
fn rows_are_written_as_they_always_were() {
    let folder = tempfile::tempdir().expect("a folder");
    write_all(&mut open(folder.path()));
    let written: String =
        rows(folder.path()).iter().map(|(k, v)| format!("{} {}\n", hex(k), hex(v))).collect();
    if written != GOLDEN {
        let found = concat!(env!("CARGO_TARGET_TMPDIR"), "/schema-2.txt");
        fs::write(found, &written).expect("room on the disk");
        panic!("the format has changed; what is written now is in {found}");
    }
}

#[test]
fn rows_are_read_as_they_always_were() {
    let (old, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    tamper(old.path(), |db| {
        for line in GOLDEN.lines() {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            db.insert(bytes(key), bytes(value)).expect("inserted");
        }
    });
    write_all(&mut open(new.path()));
    let (old, new) = (open(old.path()), open(new.path()));
    let (from_old, from_new) = (old.load().expect("whole"), new.load().expect("whole"));
    assert_eq!(from_old.blocks, from_new.blocks);
    assert_eq!((from_old.headers, from_old.tip), (from_new.headers, from_new.tip));
    assert_eq!(old.load_shares().expect("readable"), new.load_shares().expect("readable"));
    assert_eq!(old.solutions().expect("readable"), new.solutions().expect("readable"));
    for block in &from_new.blocks {
        let body = old.block(block.height, &block.id).expect("readable");
        assert_eq!(body, new.block(block.height, &block.id).expect("readable"));
        assert!(body.is_some());
    }
}
