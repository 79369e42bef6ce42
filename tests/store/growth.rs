//! How large the store gets: sled keeps old pages for a while, but not without end.

use super::*;
use std::fs;

/// Bytes of all files; one that sled removes meanwhile counts nothing.
fn size(path: &Path) -> u64 {
    let entries = fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path());
    let bytes = |path: std::path::PathBuf| {
        if path.is_dir() { size(&path) } else { path.metadata().map_or(0, |file| file.len()) }
    };
    entries.map(bytes).sum()
}

/// Segments that are open or not yet found to be free, whatever the store holds.
const SPARE: u64 = 16 * SEGMENT_BYTES as u64;

/// Writes `blocks`, keeping as many as they say; the file must stay within three times what is kept and some segments.
/// It must have stopped growing halfway, but for some segments more: which ones are found to be free goes by when sled
/// looks, so the file's size is not the same twice.
fn grow(blocks: &Blocks, count: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    write(&mut store, blocks, 1..=count / 2);
    let halfway = size(folder.path());
    write(&mut store, blocks, count / 2 + 1..=count);
    let end = size(folder.path());
    drop(store);
    let live: u64 = rows(folder.path()).iter().map(|(key, value)| (key.len() + value.len()) as u64).sum();
    println!(
        "{count} blocks, {} kept: {live} bytes of rows, {halfway} on disk halfway, {end} at the end",
        blocks.kept
    );
    assert!(end < 3 * live + SPARE, "{end} bytes on the disk for {live} bytes of rows");
    assert!(end < halfway + halfway / 4 + SPARE / 2, "{halfway} bytes halfway, {end} at the end");
}

#[test]
fn a_store_that_prunes_stops_growing() {
    grow(&Blocks { branch: 0, listed: 32, owners: 100, kept: 400 }, 2_400);
}

#[test]
#[ignore = "writes gigabytes; the short form is a_store_that_prunes_stops_growing"]
fn a_month_of_the_main_chain_stays_in_bounds() {
    let kept = ChainParams::main().kept_blocks();
    grow(&Blocks { branch: 0, listed: 32, owners: 10_000, kept }, 86_400);
}
