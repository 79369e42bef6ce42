//! From a store to a running writer.

use super::keeper::{Keeper, readmit};
use super::writer::Writer;
use super::{ChainHandle, EVENTS, QUEUE};
use bitcoin::block::Header;
use sharechain::bitcoin_headers::{AncestorsError, HeaderError, HeaderTree, first_ancestor_height};
use sharechain::chain::ShareChain;
use sharechain::params::ChainParams;
use sharechain::store::{Saved, ShareStore};
use sharechain::units::BitcoinHeight;
use std::thread::JoinHandle;
use thiserror::Error;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::info;

/// Why a chain could not be brought up from its store.
#[derive(Debug, Error)]
pub enum OpenError<E: std::error::Error> {
    /// The disk's fault.
    #[error(transparent)]
    Store(E),
    /// There are no Bitcoin headers yet: they must be fetched first.
    #[error("the store holds no Bitcoin headers yet; start the node once with its bitcoind running")]
    NoHeaders,
    /// The first headers do not lead to the chain's first Bitcoin block.
    #[error("the Bitcoin headers up to the chain's first Bitcoin block do not fit it: {0}")]
    Ancestors(#[from] AncestorsError),
    /// A saved header breaks Bitcoin's rules.
    #[error("a saved Bitcoin header is not valid: {0}; the store is damaged")]
    Header(#[from] HeaderError),
}

/// Saves the run of Bitcoin headers that ends with the chain's first Bitcoin block, once, before the first
/// [`load`]: `headers` start at [`first_ancestor_height`].
pub fn save_ancestors<S: ShareStore>(
    store: &mut S,
    params: &ChainParams,
    headers: &[Header],
) -> Result<(), OpenError<S::Error>> {
    HeaderTree::new(params, headers)?;
    let heights = first_ancestor_height(params).0..;
    let rows: Vec<_> = heights.map(BitcoinHeight).zip(headers.iter().copied()).collect();
    store.commit_headers(&rows).map_err(OpenError::Store)
}

/// The chain that a store holds, with the shares in its pool that may still be listed.
pub fn load<S: ShareStore>(store: &S, params: ChainParams) -> Result<ShareChain, OpenError<S::Error>> {
    let Saved { headers, blocks, tip, graft } = store.load().map_err(OpenError::Store)?;
    let headers = header_tree(&params, &headers)?;
    let mut chain = ShareChain::load(params, headers, blocks, tip);
    if let Some(claim) = graft {
        chain.resume_graft(claim);
    }
    let read = readmit(&mut chain, store).map_err(OpenError::Store)?;
    if read > 0 {
        info!(read, kept = chain.shares().len(), "shares of the newest blocks read back");
    }
    Ok(chain)
}

fn header_tree<E: std::error::Error>(
    params: &ChainParams,
    saved: &[(BitcoinHeight, Header)],
) -> Result<HeaderTree, OpenError<E>> {
    let first = params.first_bitcoin_block.0;
    let split = saved.partition_point(|(height, _)| *height <= first);
    let (ancestors, later) = saved.split_at(split);
    if ancestors.is_empty() {
        return Err(OpenError::NoHeaders);
    }
    let ancestors: Vec<_> = ancestors.iter().map(|(_, header)| *header).collect();
    let mut tree = HeaderTree::new(params, &ancestors)?;
    for (_, header) in later {
        tree.insert(*header)?;
    }
    Ok(tree)
}

/// Starts the writer thread. It ends when it is stopped, or with the disk's error.
pub fn spawn<S>(chain: ShareChain, store: S) -> (ChainHandle, JoinHandle<Result<(), S::Error>>)
where
    S: ShareStore + Send + 'static,
{
    let (command_sender, commands) = mpsc::channel(QUEUE);
    let (events, _) = broadcast::channel(EVENTS);
    let bodies = store.bodies();
    let keeper = Keeper::new(chain, store);
    let (state, state_reader) = watch::channel(keeper.state(0));
    let handle =
        ChainHandle { commands: command_sender, state: state_reader, events: events.clone(), bodies };
    let writer = Writer { keeper, commands, state, events };
    let thread = std::thread::Builder::new()
        .name("chain".into())
        .spawn(move || writer.run())
        .expect("a thread can be started at start-up");
    (handle, thread)
}
