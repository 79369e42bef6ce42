//! The store: what it gives back, what it refuses, what it survives, how large it gets.

mod corrupt;
mod crash;
mod format;
mod graft;
mod growth;
mod open;

use crate::support::stored::Blocks;
use commonwork::store::{OpenStore, Opened, SledStore, StoreError};
use sharechain::params::ChainParams;
use sharechain::store::ShareStore;
use sharechain::units::Height;
use std::path::Path;

/// Small blocks.
const BLOCKS: Blocks = Blocks { branch: 0, listed: 3, owners: 5, kept: 1_000 };

/// sled must be told what the store's file was begun with.
const SEGMENT_BYTES: usize = 2 << 20;

fn try_open(path: &Path) -> Result<Opened, StoreError> {
    OpenStore { path, params: &ChainParams::regtest(), move_corrupt_aside: false }.open()
}

fn open(path: &Path) -> SledStore {
    try_open(path).expect("a store that is whole").store
}

/// Writes the blocks of these heights.
fn write(store: &mut SledStore, blocks: &Blocks, heights: std::ops::RangeInclusive<u32>) {
    for height in heights {
        store.commit(&blocks.change(height)).expect("room on the disk");
    }
}

/// Opens the store and holds all that is in it to what was written: the blocks of one branch, up to a tip.
fn expect_blocks(path: &Path, blocks: &Blocks) -> Result<u32, StoreError> {
    let store = try_open(path)?.store;
    let saved = store.load()?;
    let highest = saved.blocks.last().map_or(0, |block| block.height.0);
    assert_eq!(saved.tip, (highest > 0).then(|| blocks.id(highest)));
    let lowest = highest.saturating_sub(blocks.kept) + 1;
    assert_eq!(saved.blocks.len(), (lowest..=highest).count());
    for (height, summary) in (lowest..).zip(&saved.blocks) {
        let block = store.block(Height(height), &blocks.id(height))?;
        assert_eq!(block.as_ref(), Some(&blocks.block(height)), "height {height}");
        assert_eq!(*summary, blocks.summary(height, &blocks.block(height)));
    }
    Ok(highest)
}

/// The database of a store that was closed. A process that another test is just starting may hold its lock a moment longer.
fn closed(path: &Path) -> sled::Db {
    let open = || sled::Config::new().path(path).segment_size(SEGMENT_BYTES).open();
    for _ in 0..40 {
        if let Ok(db) = open() {
            return db;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    open().expect("a closed store")
}

/// All rows as sled has them.
fn rows(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let db = closed(path);
    db.iter().map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).expect("a row")).collect()
}

/// Changes rows behind the store's back.
fn tamper(path: &Path, change: impl FnOnce(&sled::Db)) {
    let db = closed(path);
    change(&db);
    db.flush().expect("room on the disk");
}

/// The value that a row of this content has.
fn sealed(key: &[u8], content: &[u8]) -> Vec<u8> {
    let sum = sharechain::hash::sha256(&[key, content].concat());
    [&sum[..8], content].concat()
}
