//! Questions that need both the chain in memory and the bodies in the store.
//!
//! A running node answers them on the writer thread; a command without a node opens the store and asks the same way.

use sharechain::chain::ShareChain;
use sharechain::payout::Payouts;
use sharechain::share::{Share, ShareBlock, ShareId};
use sharechain::store::{ShareStore, Solution};
use sharechain::units::Height;
use std::error::Error;
use std::sync::Arc;
use thiserror::Error;

/// The disk did not give a body.
#[derive(Debug, Error)]
#[error("reading the share chain's store: {0}")]
pub struct ReadError(Box<dyn Error + Send + Sync>);

/// Reads bodies from any store.
trait Bodies {
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, ReadError>;
    fn all_solutions(&self) -> Result<Vec<Solution>, ReadError>;
}

impl<S: ShareStore> Bodies for S {
    fn body(&self, height: Height, id: &ShareId) -> Result<Option<ShareBlock>, ReadError> {
        self.block(height, id).map_err(|error| ReadError(Box::new(error)))
    }

    fn all_solutions(&self) -> Result<Vec<Solution>, ReadError> {
        self.solutions().map_err(|error| ReadError(Box::new(error)))
    }
}

/// The chain and its bodies, for one question.
pub struct Reader<'a> {
    /// The chain in memory.
    pub chain: &'a mut ShareChain,
    bodies: &'a dyn Bodies,
}

/// A share and where it was found.
#[derive(Clone, Debug)]
pub struct FoundShare {
    /// The share.
    pub share: Arc<Share>,
    /// The block that it is or that lists it; none while it is not listed.
    pub credited_by: Option<(Height, ShareId)>,
}

impl<'a> Reader<'a> {
    /// Reads from these two.
    pub fn new<S: ShareStore>(chain: &'a mut ShareChain, store: &'a S) -> Self {
        Self { chain, bodies: store }
    }

    /// The block with this id, with its listed shares, on any branch.
    pub fn block(&self, id: &ShareId) -> Result<Option<ShareBlock>, ReadError> {
        match self.chain.block(id) {
            Some(block) => self.bodies.body(block.height, id),
            None => Ok(None),
        }
    }

    /// The share with this id: a block, a listed share of the active branch, or one that is not listed yet.
    pub fn share(&self, id: &ShareId) -> Result<Option<FoundShare>, ReadError> {
        let lists = |block: &&sharechain::chain::BlockSummary| block.credited.contains(id);
        if let Some(block) = self.chain.block(id) {
            let credited_by = Some((block.height, block.id));
            return Ok(self.block(id)?.map(|body| FoundShare { share: body.share, credited_by }));
        }
        let lowest = self.chain.height().0.saturating_sub(self.chain.params().kept_blocks());
        let heights = (lowest..=self.chain.height().0).rev();
        if let Some(block) = heights.filter_map(|height| self.chain.block_at(Height(height))).find(lists) {
            let credited_by = Some((block.height, block.id));
            let share = self.credited(&block.id, id)?;
            return Ok(share.map(|share| FoundShare { share, credited_by }));
        }
        let pooled = self.chain.shares().get(id);
        Ok(pooled.map(|share| FoundShare { share: share.share().clone(), credited_by: None }))
    }

    /// A share of those that a block credits: itself or a listed one.
    pub fn credited(&self, block: &ShareId, id: &ShareId) -> Result<Option<Arc<Share>>, ReadError> {
        let Some(body) = self.block(block)? else { return Ok(None) };
        if block == id {
            return Ok(Some(body.share));
        }
        let position = self.chain.block(block).and_then(|block| {
            let position = block.credited.iter().position(|credited| credited == id)?;
            position.checked_sub(usize::from(block.credits.own.is_some()))
        });
        Ok(position.and_then(|index| body.listed.get(index).cloned()))
    }

    /// All Bitcoin blocks found by this node, lowest first.
    pub fn solutions(&self) -> Result<Vec<Solution>, ReadError> {
        self.bodies.all_solutions()
    }

    /// Whom the coinbase of a share pays; none when its base or payout block has been pruned.
    pub fn payouts(&mut self, share: &Share) -> Option<Payouts> {
        self.chain.payouts_of(share)
    }
}
