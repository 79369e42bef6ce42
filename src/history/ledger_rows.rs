//! The ledger on the disk: a tree of its own in the database of the history.
//!
//! | key | value |
//! |---|---|
//! | 0 | number of the format, one byte |
//! | 1, Bitcoin height in 4 bytes, hash | [`FoundBlock`], bincode |
//! | 2, scriptPubKey | when that owner last worked here, seconds since 1970, 8 bytes |
//!
//! Numbers are big-endian. A row that cannot be read is passed over: most can be found again.

use super::ledger::{BlockKey, Changes, FoundBlock, Ledger};
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script};
use sharechain::owner::Owner;
use sharechain::units::BitcoinHeight;
use sled::{Batch, Db, Tree};

const FORMAT: u8 = 1;

/// The tree. All calls block.
#[derive(Debug)]
pub(super) struct LedgerRows(Tree);

impl LedgerRows {
    /// Opens it; the number of its format where that is a newer release's.
    pub(super) fn open(db: &Db) -> sled::Result<Result<Self, u8>> {
        let tree = db.open_tree("ledger")?;
        match tree.get([0])?.as_deref() {
            Some([found]) if *found > FORMAT => return Ok(Err(*found)),
            Some(_) => {}
            None => drop(tree.insert([0], &[FORMAT])?),
        }
        Ok(Ok(Self(tree)))
    }

    /// All of it.
    pub(super) fn load(&self) -> sled::Result<Ledger> {
        let (mut blocks, mut owners) = (Vec::new(), Vec::new());
        for row in self.0.scan_prefix([1]) {
            let (key, value) = row?;
            blocks.extend(key_of(&key).zip(bincode::deserialize::<FoundBlock>(&value).ok()));
        }
        for row in self.0.scan_prefix([2]) {
            let (key, value) = row?;
            let owner = key.get(1..).and_then(|script| Owner::new(Script::from_bytes(script)).ok());
            owners.extend(owner.zip(value.as_ref().try_into().ok().map(u64::from_be_bytes)));
        }
        Ok(Ledger::of_rows(blocks, owners))
    }

    /// Writes changes, all or none; they are on the disk when this returns.
    pub(super) fn save(&self, changes: &Changes) -> sled::Result<()> {
        let mut batch = Batch::default();
        if changes.anew {
            for key in self.0.scan_prefix([1]).keys().chain(self.0.scan_prefix([2]).keys()) {
                batch.remove(key?);
            }
        }
        for (key, block) in &changes.blocks {
            match block {
                Some(block) => batch
                    .insert(block_key(key), bincode::serialize(&**block).expect("a vector takes any bytes")),
                None => batch.remove(block_key(key)),
            }
        }
        for (owner, time) in &changes.owners {
            let key = [&[2], owner.as_bytes()].concat();
            match time {
                Some(time) => batch.insert(key, &time.to_be_bytes()),
                None => batch.remove(key),
            }
        }
        self.0.apply_batch(batch)?;
        self.0.flush().map(drop)
    }
}

fn block_key((height, hash): &BlockKey) -> Vec<u8> {
    [&[1], &height.0.to_be_bytes()[..], hash.as_byte_array()].concat()
}

fn key_of(key: &[u8]) -> Option<BlockKey> {
    let (height, hash) = key.get(1..)?.split_first_chunk()?;
    Some((BitcoinHeight(u32::from_be_bytes(*height)), BlockHash::from_byte_array(hash.try_into().ok()?)))
}
