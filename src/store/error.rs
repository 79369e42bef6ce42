//! What can go wrong with the store, and what to do about it.

use sharechain::params::{ChainId, ChainParams};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why the store cannot be opened, read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error(
        "the store {} is in use: another node runs on this data folder. Stop it, or give this one a --data-dir of its own",
        .0.display()
    )]
    InUse(PathBuf),
    /// The store is of another share chain. Nothing in it was changed.
    #[error(
        "the store {} is of {found}, but this node is to follow {expected}. Give each chain a --data-dir of its own",
        .path.display()
    )]
    OtherChain {
        /// The store's folder.
        path: PathBuf,
        /// The chain that the store is of.
        found: Box<ChainName>,
        /// The chain that was asked for.
        expected: Box<ChainName>,
    },
    /// The store was written by a newer release. Nothing in it was changed.
    #[error(
        "the store {} has format {found}, this release knows formats up to {known}: run a newer release, or give \
         this one a --data-dir of its own",
        .path.display()
    )]
    TooNew {
        /// The store's folder.
        path: PathBuf,
        /// The store's format.
        found: u32,
        /// The newest format that this code knows.
        known: u32,
    },
    /// The store was written by a build from before the first release. Nothing in it was changed.
    #[error(
        "the store {} has format {found}, this release reads format {known}. Move the folder away: a new store is \
         begun, which other nodes fill again",
        .path.display()
    )]
    TooOld {
        /// The store's folder.
        path: PathBuf,
        /// The store's format.
        found: u32,
        /// The format that this code reads.
        known: u32,
    },
    /// What the store holds is not what was written to it.
    #[error(
        "the store {} is corrupt: {problem}. Check the disk. Run again with --move-corrupt-store-aside to keep the \
         folder under another name and to begin a new store, which other nodes fill again",
        .path.display()
    )]
    Corrupt {
        /// The store's folder.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The operating system refused to read or write.
    #[error("the store {} cannot be read or written: {source}. Check the disk's space and the folder's permissions", .path.display())]
    Disk {
        /// The store's folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the store is corrupt, so that moving it aside helps.
    pub const fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
    }

    pub(super) fn corrupt(path: &Path, problem: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_owned(), problem: problem.into() }
    }

    pub(super) fn disk(path: &Path, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), source }
    }

    pub(super) fn of_sled(path: &Path, error: sled::Error) -> Self {
        match error {
            sled::Error::Io(source) if is_damage(source.kind()) => Self::corrupt(path, source.to_string()),
            sled::Error::Io(source) => Self::disk(path, source),
            other => Self::corrupt(path, other.to_string()),
        }
    }
}

/// Kinds of error by which sled reports bytes that it did not write.
const fn is_damage(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput)
}

/// A share chain as people know it, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainName {
    /// The chain's name in its parameters.
    pub name: String,
    /// The Bitcoin network that it mines on.
    pub network: String,
    /// Its id.
    pub id: ChainId,
}

impl ChainName {
    pub(super) fn of(params: &ChainParams) -> Self {
        Self { name: params.name.clone(), network: params.network.name().into(), id: params.chain_id() }
    }
}

impl fmt::Display for ChainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain \"{}\" on {} (chain id {})", self.name, self.network, self.id)
    }
}
