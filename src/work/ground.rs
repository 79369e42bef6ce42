//! What jobs are made on besides templates: a share chain, or nothing.

use super::headers::HeaderFeed;
use super::maker::{Aim, NoJob, PoolAim};
use super::share_rate::{ShareCount, ShareRate};
use crate::bitcoin::Template;
use crate::chain::{ChainHandle, ChainState, Stopped};
use bitcoin::BlockHash;
use sharechain::params::{ChainId, ChainParams, Network};
use sharechain::share::ShareHeader;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;
use tokio::sync::watch;
use tracing::warn;

/// What jobs are made on.
pub enum Ground {
    /// A share chain, whose next share each job may become.
    Pool(Box<Pool>),
    /// Nothing: who finds a Bitcoin block on this network is paid all of it.
    Solo(Network),
}

/// A share chain as a builder of jobs sees it.
pub struct Pool {
    params: Arc<ChainParams>,
    id: ChainId,
    chain: ChainHandle,
    headers: HeaderFeed,
    share_count: Arc<ShareCount>,
    share_rate: ShareRate,
    state: watch::Receiver<ChainState>,
    seen: ChainState,
}

/// Why there are no jobs from a template.
#[derive(Debug, Error)]
pub(super) enum NoJobs {
    #[error(transparent)]
    Chain(#[from] Stopped),
    #[error("no work can be made from the template: {0}")]
    Draft(#[from] sharechain::chain::DraftError),
    #[error("the template claims height {claimed}, its prev_block gives {actual}")]
    Height { claimed: u32, actual: u32 },
    #[error(transparent)]
    Job(#[from] NoJob),
}

/// How much has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Something that can wait a little.
    Small,
    /// What miners do is outdated.
    Tip,
}

impl Pool {
    /// `headers` makes a template's Bitcoin block known to the chain; `share_count` counts the shares of this node's miners.
    pub fn new(
        params: ChainParams,
        chain: ChainHandle,
        headers: HeaderFeed,
        share_count: Arc<ShareCount>,
    ) -> Self {
        let mut state = chain.state();
        let seen = *state.borrow_and_update();
        Self {
            id: params.chain_id(),
            share_rate: ShareRate::new(&params, Instant::now()),
            params: Arc::new(params),
            chain,
            headers,
            share_count,
            state,
            seen,
        }
    }

    async fn news(&mut self) -> Option<News> {
        self.state.changed().await.ok()?;
        let new = *self.state.borrow_and_update();
        let tip_changed = core::mem::replace(&mut self.seen, new).tip != new.tip;
        Some(if tip_changed { News::Tip } else { News::Small })
    }

    async fn aim(&mut self, header: ShareHeader, template: &Template) -> Result<Aim, NoJobs> {
        let draft = self.chain.draft(header).await??;
        if draft.context.height != template.height {
            let (claimed, actual) = (template.height.0, draft.context.height.0);
            return Err(NoJobs::Height { claimed, actual });
        }
        if !draft.is_fresh {
            warn!(
                "bitcoind is behind the share chain: shares on its block may not be listed until it catches up"
            );
        }
        self.share_rate.update(&self.share_count, Instant::now());
        let share_target = self.share_rate.target(draft.easiest_share_target);
        let (params, chain) = (Arc::clone(&self.params), self.id);
        Ok(Aim::Pool(Arc::new(PoolAim { params, chain, draft, share_target })))
    }
}

impl Ground {
    /// The Bitcoin network.
    pub(super) fn network(&self) -> Network {
        match self {
            Self::Pool(pool) => pool.params.network,
            Self::Solo(network) => *network,
        }
    }

    /// Waits for something to change; none when nothing will any more.
    pub(super) async fn news(&mut self) -> Option<News> {
        match self {
            Self::Pool(pool) => pool.news().await,
            Self::Solo(_) => std::future::pending().await,
        }
    }

    /// Has the block known that a template builds on.
    pub(super) async fn prepare(&self, prev_block: BlockHash) -> Result<(), Stopped> {
        match self {
            Self::Pool(pool) => pool.headers.ensure(prev_block).await,
            Self::Solo(_) => Ok(()),
        }
    }

    /// What jobs with this header are for.
    pub(super) async fn aim(&mut self, header: ShareHeader, template: &Template) -> Result<Aim, NoJobs> {
        match self {
            Self::Pool(pool) => pool.aim(header, template).await,
            Self::Solo(network) => Ok(Aim::Solo(*network)),
        }
    }
}
