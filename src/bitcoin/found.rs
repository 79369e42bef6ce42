//! Found blocks on the disk, from the moment they are found until a Bitcoin node has taken them.
//!
//! A kill, or a stop while every bitcoind is away, must not lose what miners were paid to find: at the next start
//! whatever is left here is submitted again. All calls of [`FoundFolder`] block; [`guard`] is the task that makes them.

use super::Verdict;
use super::submit::{BlockOutcome, FoundBlock, Outcome};
use crate::disk;
use bitcoin::consensus::encode::deserialize;
use bitcoin::{Block, BlockHash};
use sharechain::units::BitcoinHeight;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;
use tracing::error;

/// Most blocks kept; beyond it the lowest goes. A Bitcoin block takes 4 MB at most.
const MAX_BLOCKS: usize = 64;
const ENDING: &str = "block";
/// Before the ending, where this node's own miners found it.
const OWN: &str = "-own";

/// The folder of found blocks.
#[derive(Clone, Debug)]
pub struct FoundFolder {
    path: PathBuf,
}

impl FoundFolder {
    /// The folder at this path, made if it is not there.
    pub fn open(path: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&path)?;
        Ok(Self { path })
    }

    /// Keeps a block; it is on the disk when this returns.
    pub fn keep(&self, block: &FoundBlock) -> io::Result<()> {
        disk::write(&self.file(block.height, block.hash, block.own), &block.bytes)?;
        File::open(&self.path)?.sync_all()?;
        let mut names = self.names()?;
        while names.len() > MAX_BLOCKS {
            fs::remove_file(names.remove(0))?;
        }
        Ok(())
    }

    /// Forgets a block that a Bitcoin node has answered for.
    pub fn forget(&self, height: BitcoinHeight, hash: BlockHash) -> io::Result<()> {
        for own in [false, true] {
            match fs::remove_file(self.file(height, hash, own)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The blocks that are left, lowest first. Files that are no blocks are left alone.
    pub fn left(&self) -> io::Result<Vec<FoundBlock>> {
        let mut blocks = Vec::new();
        for path in self.names()? {
            blocks.extend(height_of(&path).and_then(|height| read(&path, height)));
        }
        Ok(blocks)
    }

    fn file(&self, height: BitcoinHeight, hash: BlockHash, own: bool) -> PathBuf {
        let own = if own { OWN } else { "" };
        self.path.join(format!("{:010}-{hash}{own}.{ENDING}", height.0))
    }

    /// The paths of the blocks, lowest first.
    fn names(&self) -> io::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
        paths.retain(|path| path.extension().is_some_and(|ending| ending == ENDING));
        paths.sort_unstable();
        Ok(paths)
    }
}

/// Keeps every block that is submitted until one back end has taken it or all of them have refused it. After `stop`
/// it still takes what it has been told of before.
pub async fn guard(
    folder: FoundFolder,
    mut submitted: broadcast::Receiver<Arc<FoundBlock>>,
    mut outcomes: broadcast::Receiver<BlockOutcome>,
    backends: usize,
    stop: CancellationToken,
) {
    let mut refusals = BTreeMap::new();
    loop {
        let folder = folder.clone();
        tokio::select! {
            // In this order: a block is kept before its outcome is looked at, and all that came before the stop counts.
            biased;
            Ok(block) = received(&mut submitted) => blocking(move || folder.keep(&block)).await,
            Ok(outcome) = received(&mut outcomes) => {
                if is_settled(&outcome, backends, &mut refusals) {
                    refusals.remove(&outcome.hash);
                    blocking(move || folder.forget(outcome.height, outcome.hash)).await;
                }
            }
            () = stop.cancelled() => return,
        }
    }
}

/// The next message; one that was missed is no reason to stop.
async fn received<T: Clone>(receiver: &mut broadcast::Receiver<T>) -> Result<T, RecvError> {
    loop {
        match receiver.recv().await {
            Err(RecvError::Lagged(_)) => {}
            other => return other,
        }
    }
}

fn is_settled(outcome: &BlockOutcome, backends: usize, refusals: &mut BTreeMap<BlockHash, usize>) -> bool {
    match &outcome.outcome {
        Outcome::Answered(Verdict::Accepted { .. }) => true,
        Outcome::Answered(Verdict::Rejected { .. }) => {
            let count = refusals.entry(outcome.hash).or_default();
            *count += 1;
            *count >= backends
        }
        Outcome::GaveUp { .. } => false,
    }
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) {
    let result = tokio::task::spawn_blocking(work).await.unwrap_or_else(|panic| Err(io::Error::other(panic)));
    if let Err(error) = result {
        error!("a found block cannot be kept on the disk while it waits for bitcoind: {error}");
    }
}

fn height_of(path: &Path) -> Option<BitcoinHeight> {
    path.file_name()?.to_str()?.split('-').next()?.parse().ok().map(BitcoinHeight)
}

fn read(path: &Path, height: BitcoinHeight) -> Option<FoundBlock> {
    let bytes = fs::read(path).ok()?;
    let block: Block = deserialize(&bytes).ok()?;
    let own = path.file_stem()?.to_str()?.ends_with(OWN);
    Some(FoundBlock { hash: block.block_hash(), height, bytes, own })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitcoin::template::tests::with_transactions;
    use crate::bitcoin::test_blocks::solved;
    use bitcoin::consensus::serialize;

    fn found(height: u32) -> FoundBlock {
        let block = solved(&with_transactions(2), &height.to_le_bytes());
        let (hash, bytes) = (block.block_hash(), serialize(&block));
        FoundBlock { hash, height: BitcoinHeight(height), bytes, own: height.is_multiple_of(2) }
    }

    #[test]
    fn what_was_kept_is_left_until_it_is_forgotten() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || FoundFolder::open(folder.path().join("found")).expect("it can be made");
        let (high, low) = (found(1_000), found(9));
        assert!(open().left().expect("readable").is_empty());
        open().keep(&high).expect("room");
        open().keep(&low).expect("room");
        assert!(open().left().expect("readable") == [low.clone(), high.clone()]);
        fs::write(folder.path().join("found/0000000001-x.block"), b"no block").expect("room");
        open().forget(low.height, low.hash).expect("it is there");
        open().forget(low.height, low.hash).expect("twice is no error");
        assert!(open().left().expect("readable") == [high]);
    }

    fn answered(block: &FoundBlock, verdict: Verdict) -> BlockOutcome {
        let outcome = Outcome::Answered(verdict);
        BlockOutcome { hash: block.hash, height: block.height, backend: "a".into(), outcome }
    }

    #[tokio::test]
    async fn a_block_is_guarded_until_one_takes_it_or_all_refuse_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let found_folder = FoundFolder::open(folder.path().to_owned()).expect("it is there");
        let (submitted, outcomes) = (broadcast::Sender::new(8), broadcast::Sender::new(8));
        let stop = CancellationToken::new();
        let guard = guard(found_folder.clone(), submitted.subscribe(), outcomes.subscribe(), 2, stop.clone());
        let (taken, refused, waiting) = (found(1), found(2), found(3));
        let rejected = || Verdict::Rejected { reason: "bad".into() };
        for block in [&taken, &refused, &waiting] {
            assert!(submitted.send(Arc::new(block.clone())).is_ok());
        }
        for outcome in [
            answered(&taken, Verdict::Accepted { note: None }),
            answered(&refused, rejected()),
            answered(&waiting, rejected()),
            answered(&refused, rejected()),
        ] {
            assert!(outcomes.send(outcome).is_ok());
        }
        stop.cancel();
        guard.await;
        assert!(found_folder.left().expect("readable") == [waiting]);
    }

    #[test]
    fn the_lowest_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let found_folder = FoundFolder::open(folder.path().to_owned()).expect("it is there");
        for height in 0..=u32::try_from(MAX_BLOCKS).expect("small") {
            found_folder.keep(&found(height + 1)).expect("room");
        }
        let left = found_folder.left().expect("readable");
        assert_eq!((left.len(), left[0].height), (MAX_BLOCKS, BitcoinHeight(2)));
    }
}
