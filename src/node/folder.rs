//! One node on a data folder: a second one would take the first one's token, keys and found blocks for its own.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;

const FILE: &str = "lock";

/// The folder is this node's until this is dropped, or the process ends in whatever way. The file stays: it means nothing.
pub(super) struct FolderLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl FolderLock {
    /// Takes it, if no other node has it.
    pub(super) fn take(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(FILE);
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.with_context(|| format!("{} cannot be written", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => bail!(
                "the data folder {} is in use: another node runs on it. Stop it, or give this one a --data-dir of its own",
                folder.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_nodes_until_that_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = FolderLock::take(folder.path()).expect("it is free");
        let refused = FolderLock::take(folder.path()).err().expect("it is taken").to_string();
        assert!(refused.contains("is in use") && refused.contains("--data-dir"), "{refused}");
        drop(first);
        FolderLock::take(folder.path()).expect("it is free again");
    }
}
