//! The share chain on the disk: sled behind [`ShareStore`].
//!
//! One change set is one atomic batch; `commit` flushes it before it returns, `write` leaves that to `flush`. All calls block; they belong on the
//! writer's thread, not on an async worker. Nothing is judged here: what is saved was valid, and a checksum on each
//! row says whether it still is what was saved.
//!
//! Reading order: `keys` and `rows` (the format), `table` (reading), this file (writing), `open`.

mod error;
mod keys;
mod open;
mod rows;
mod table;

pub use error::{ChainName, StoreError};
pub use open::{OpenStore, Opened, SCHEMA};

use bitcoin::BlockHash;
use bitcoin::block::Header;
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use keys::Kind;
use sharechain::chain::{ChangeSet, GraftChange};
use sharechain::codec::Encode;
use sharechain::share::{Share, ShareBlock, ShareId};
use sharechain::store::{Bodies, Saved, ShareStore, Solution};
use sharechain::units::{BitcoinHeight, Height};
use sled::Batch;
use std::cell::Cell;
use std::fs::File;
use table::Table;

/// The store of one node, opened with [`OpenStore`].
///
/// After an error of a `commit` it is not known whether the change is on the disk: the store must be opened again
/// before anything is built on it.
pub struct SledStore {
    table: Table,
    /// sled's file. sled has its pages written, but does not have the file's new length kept through a power cut.
    file: File,
    /// What opening has read, until it is asked for or changes.
    loaded: Cell<Option<Saved>>,
}

impl ShareStore for SledStore {
    type Error = StoreError;

    fn load(&self) -> Result<Saved, StoreError> {
        self.loaded.take().map_or_else(|| self.table.load(), Ok)
    }

    fn write(&mut self, change: &ChangeSet) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        let (height, id) = (change.summary.height.0, &change.summary.id.0);
        put(&mut batch, &Kind::Body.key(height, id), &change.block.to_bytes());
        let index_key = Kind::Index.key(height, id);
        let index = rows::encode_index(&change.summary);
        put(&mut batch, &index_key, &index.map_err(|bad| self.table.bad_row(&index_key, &bad))?);
        put_headers(&mut batch, &change.headers);
        remove_blocks(&mut batch, &change.pruned);
        if change.is_new_tip() {
            put(&mut batch, keys::TIP, &change.tip.0);
        }
        self.apply_unflushed(batch)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.table.db.flush().map_err(|error| self.table.sled_error(error))?;
        self.file.sync_data().map_err(|source| StoreError::disk(&self.table.path, source))
    }

    fn commit_graft(&mut self, change: &GraftChange) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        match &change.graft {
            Some(claim) => put(&mut batch, keys::GRAFT, &rows::encode_graft(claim)),
            None => batch.remove(keys::GRAFT),
        }
        if let Some(tip) = &change.tip {
            put(&mut batch, keys::TIP, &tip.0);
        }
        remove_blocks(&mut batch, &change.dropped);
        self.apply(batch)
    }

    fn forget_headers(&mut self, headers: &[(BitcoinHeight, BlockHash)]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for (height, hash) in headers {
            batch.remove(&Kind::BitcoinHeader.key(height.0, hash.as_byte_array())[..]);
        }
        self.apply_unflushed(batch)
    }

    fn commit_headers(&mut self, headers: &[(BitcoinHeight, Header)]) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        put_headers(&mut batch, headers);
        self.apply(batch)
    }

    fn commit_shares<'a>(&mut self, shares: impl Iterator<Item = &'a Share>) -> Result<(), StoreError> {
        let mut batch = Batch::default();
        for key in self.table.db.scan_prefix(keys::UNLISTED).keys() {
            batch.remove(key.map_err(|error| self.table.sled_error(error))?);
        }
        for (number, share) in (0_u32..).zip(shares) {
            put(&mut batch, &keys::unlisted(number), &share.to_bytes());
        }
        self.apply(batch)
    }

    fn load_shares(&self) -> Result<Vec<Share>, StoreError> {
        self.table.unlisted()
    }

    fn commit_solution(&mut self, solution: &Solution) -> Result<(), StoreError> {
        let height = solution.share.commitment.bitcoin_height.0;
        let key = Kind::Solution.key(height, solution.header.block_hash().as_byte_array());
        let row = rows::encode_solution(solution).map_err(|bad| self.table.bad_row(&key, &bad))?;
        let mut batch = Batch::default();
        put(&mut batch, &key, &row);
        self.apply(batch)
    }

    fn solutions(&self) -> Result<Vec<Solution>, StoreError> {
        self.table.solutions()
    }

    fn block(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, StoreError> {
        self.table.block(height, id)
    }

    fn bodies(&self) -> Bodies {
        Bodies::new(self.table.clone())
    }
}

impl SledStore {
    /// Applies a batch as a whole and waits until it is on the disk.
    fn apply(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.apply_unflushed(batch)?;
        self.flush()
    }

    /// Applies a batch as a whole. sled's log is read in order, so a crash loses the newest batches or none.
    fn apply_unflushed(&mut self, batch: Batch) -> Result<(), StoreError> {
        self.loaded.take();
        self.table.db.apply_batch(batch).map_err(|error| self.table.sled_error(error))
    }
}

impl std::fmt::Debug for SledStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SledStore").field("path", &self.table.path).finish_non_exhaustive()
    }
}

fn put(batch: &mut Batch, key: &[u8], content: &[u8]) {
    batch.insert(key, rows::seal(key, content));
}

fn remove_blocks(batch: &mut Batch, blocks: &[(Height, ShareId)]) {
    for (height, id) in blocks {
        batch.remove(&Kind::Body.key(height.0, &id.0)[..]);
        batch.remove(&Kind::Index.key(height.0, &id.0)[..]);
    }
}

fn put_headers(batch: &mut Batch, headers: &[(BitcoinHeight, Header)]) {
    for (height, header) in headers {
        let key = Kind::BitcoinHeader.key(height.0, header.block_hash().as_byte_array());
        put(batch, &key, &serialize(header));
    }
}
