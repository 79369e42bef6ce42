//! Opening a store: the lock, the format, the chain, and what to do with a corrupt one.

use super::error::{ChainName, StoreError};
use super::table::Table;
use super::{SledStore, keys, rows};
use crate::disk;
use sharechain::params::ChainParams;
use std::any::Any;
use std::cell::Cell;
use std::fs::{self, File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The format that this code writes. Format 1, whose index rows lacked what Bitcoin blocks the listed shares build on, was
/// never in a release.
pub const SCHEMA: u32 = 2;
/// Memory for sled's cache. Its default of 1 GB is more than the whole store; a node reads few rows twice.
const CACHE_BYTES: u64 = 64 << 20;
/// Part of the file that sled writes as a whole. A page of more than a quarter of it goes into a file of its own and is
/// then never counted in the cache: with sled's default of half a MiB that was all bodies, and whoever served a first
/// sync held them all in memory. This has room for a page of 17 bodies of 32 shares.
const SEGMENT_BYTES: usize = 2 << 20;
/// A store that was just closed may hold its lock a moment longer.
const LOCK_ATTEMPTS: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Which store to open.
#[derive(Clone, Copy, Debug)]
pub struct OpenStore<'a> {
    /// Its folder; made when it does not exist.
    pub path: &'a Path,
    /// The chain that it must be of.
    pub params: &'a ChainParams,
    /// Whether a corrupt store is renamed and a new one begun.
    pub move_corrupt_aside: bool,
}

/// An open store.
#[derive(Debug)]
pub struct Opened {
    /// The store, its index read and checked.
    pub store: SledStore,
    /// Where a corrupt store was moved to.
    pub moved_aside: Option<PathBuf>,
}

impl OpenStore<'_> {
    /// Opens the store and reads its index. Blocks the thread: a full store takes seconds, one in use is waited for.
    pub fn open(&self) -> Result<Opened, StoreError> {
        match self.open_whole() {
            Err(error) if error.is_corrupt() && self.move_corrupt_aside => {
                let moved_aside =
                    Some(disk::move_aside(self.path).map_err(|source| StoreError::disk(self.path, source))?);
                Ok(Opened { store: self.open_whole()?, moved_aside })
            }
            opened => Ok(Opened { store: opened?, moved_aside: None }),
        }
    }

    fn open_whole(&self) -> Result<SledStore, StoreError> {
        fs::create_dir_all(self.path).map_err(|source| StoreError::disk(self.path, source))?;
        // On damaged files some of sled's assertions fail. Nothing of it outlives the unwinding.
        let opened = catch_unwind(AssertUnwindSafe(|| self.open_and_read()));
        opened.unwrap_or_else(|panic| Err(StoreError::corrupt(self.path, text_of(panic.as_ref()))))
    }

    fn open_and_read(&self) -> Result<SledStore, StoreError> {
        let table = Table { db: self.open_locked()?, path: self.path.into() };
        check_or_begin(&table, self.params)?;
        let saved = table.load()?;
        let file = File::open(db_file(self.path)).map_err(|source| StoreError::disk(self.path, source))?;
        Ok(SledStore { table, file, loaded: Cell::new(Some(saved)) })
    }

    fn open_locked(&self) -> Result<sled::Db, StoreError> {
        // Every commit is flushed, so that nothing is left for a flusher thread.
        let config = sled::Config::new().path(self.path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let config = config.segment_size(SEGMENT_BYTES);
        let mut opened = config.open();
        for _ in 0..LOCK_ATTEMPTS {
            if !matches!(opened, Err(sled::Error::Io(_))) {
                break;
            }
            if is_locked(self.path) {
                thread::sleep(LOCK_PAUSE);
            }
            opened = config.open();
        }
        match opened {
            Err(sled::Error::Io(_)) if is_locked(self.path) => Err(StoreError::InUse(self.path.into())),
            // Other segments, which sled looks at before any row can be read, are those of format 1.
            Err(sled::Error::Unsupported(_)) => {
                Err(StoreError::TooOld { path: self.path.into(), found: 1, known: SCHEMA })
            }
            opened => opened.map_err(|error| StoreError::of_sled(self.path, error)),
        }
    }
}

/// Checks that a store is of this format and chain; an empty one is made so.
fn check_or_begin(table: &Table, params: &ChainParams) -> Result<(), StoreError> {
    let path = &table.path;
    let expected = ChainName::of(params);
    let Some(schema) = table.get(keys::SCHEMA)? else {
        // A file that sled can read nothing of is an empty store to it.
        return if table.db.is_empty() && !begun_file(path).exists() {
            begin(table, &expected)
        } else {
            Err(StoreError::corrupt(path, "the number of its format is missing"))
        };
    };
    let schema = schema.as_slice().try_into().map(u32::from_le_bytes);
    match schema {
        Ok(SCHEMA) => {}
        Ok(found) if found > SCHEMA => {
            return Err(StoreError::TooNew { path: path.clone(), found, known: SCHEMA });
        }
        Ok(found) if found > 0 => {
            return Err(StoreError::TooOld { path: path.clone(), found, known: SCHEMA });
        }
        _ => return Err(StoreError::corrupt(path, "the number of its format is none that ever was")),
    }
    let chain = table.get(keys::CHAIN)?;
    let chain = chain.ok_or_else(|| StoreError::corrupt(path, "the name of its chain is missing"))?;
    let found = rows::decode_chain(&chain).map_err(|bad| table.bad_row(keys::CHAIN, &bad))?;
    if found.id != expected.id {
        return Err(StoreError::OtherChain {
            path: path.clone(),
            found: found.into(),
            expected: expected.into(),
        });
    }
    if begun_file(path).exists() { Ok(()) } else { mark_begun(path, &expected) }
}

fn begin(table: &Table, name: &ChainName) -> Result<(), StoreError> {
    let chain = rows::encode_chain(name).map_err(|bad| table.bad_row(keys::CHAIN, &bad))?;
    let mut batch = sled::Batch::default();
    batch.insert(keys::SCHEMA, rows::seal(keys::SCHEMA, &SCHEMA.to_le_bytes()));
    batch.insert(keys::CHAIN, rows::seal(keys::CHAIN, &chain));
    let applied = table.db.apply_batch(batch).and_then(|()| table.db.flush());
    applied.map_err(|error| table.sled_error(error))?;
    mark_begun(&table.path, name)
}

fn mark_begun(path: &Path, name: &ChainName) -> Result<(), StoreError> {
    fs::write(begun_file(path), format!("{name}\n")).map_err(|source| StoreError::disk(path, source))
}

/// Says in plain text which chain the store is of. That it exists says that the store has been begun.
fn begun_file(path: &Path) -> PathBuf {
    path.join("chain.txt")
}

/// sled's file of rows.
fn db_file(path: &Path) -> PathBuf {
    path.join("db")
}

/// Whether another process, or another handle of this one, holds sled's lock. sled itself says so in words only.
fn is_locked(path: &Path) -> bool {
    let file = File::open(db_file(path));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled gave up on it ({})", text.unwrap_or("without saying why"))
}
