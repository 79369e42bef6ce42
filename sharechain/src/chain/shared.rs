//! Verdicts that several chains of the same parameters share, for whoever runs many of them: the simulator. A node has
//! one chain and no use for it.
//!
//! Checks 4 to 6 of a share depend on its base and on Bitcoin headers alone, so two chains that know both come to the
//! same verdict. What a block leaves behind follows from its id, too.

use crate::share::{ShareBlock, ShareId};
use crate::units::Height;
use crate::verify::VerifiedShare;
use crate::window::BlockCredits;
use bitcoin::BlockHash;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Valid shares and the parts of blocks, for all chains that were given a clone.
#[derive(Clone, Debug, Default)]
pub struct SharedVerdicts(Arc<Mutex<Shared>>);

#[derive(Debug, Default)]
struct Shared {
    shares: BTreeMap<ShareId, VerifiedShare>,
    blocks: BTreeMap<ShareId, (Height, BlockParts)>,
}

/// What of a block is the same wherever it is known.
#[derive(Clone, Debug)]
pub(super) struct BlockParts {
    pub(super) block: Arc<ShareBlock>,
    pub(super) credits: Arc<BlockCredits>,
    pub(super) credited: Arc<Vec<ShareId>>,
    pub(super) listed_on: Box<[BlockHash]>,
}

impl SharedVerdicts {
    /// Forgets what is below this height: chains that meet it again judge it themselves.
    pub fn prune_below(&self, height: Height) {
        let mut shared = self.lock();
        shared.shares.retain(|_, share| share.share().commitment.height >= height);
        shared.blocks.retain(|_, (at, _)| *at >= height);
    }

    /// Number of shares whose verdict is known.
    pub fn len(&self) -> usize {
        self.lock().shares.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn share(&self, id: &ShareId) -> Option<VerifiedShare> {
        self.lock().shares.get(id).cloned()
    }

    pub(super) fn insert(&self, share: &VerifiedShare) {
        self.lock().shares.insert(share.id(), share.clone());
    }

    pub(super) fn block(&self, id: ShareId, height: Height, make: impl FnOnce() -> BlockParts) -> BlockParts {
        self.lock().blocks.entry(id).or_insert_with(|| (height, make())).1.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A panic in between leaves maps that are whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
