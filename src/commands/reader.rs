//! Where a command reads the chain: from the node that runs on the data folder, or else from the store itself.

use crate::api::export::Exporter;
use crate::api::form::{BlocksForm, PayoutsForm, ShownForm, TipForm};
use crate::api::read::OwnersPage;
use crate::api::{self, ChainSource, Client, ClientError, Opened, ReadError, read};
use crate::chain::open::{self, OpenError};
use crate::config::Place;
use crate::store::{OpenStore, StoreError};
use sharechain::params::ChainId;
use sharechain::share::ShareId;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Opening a store that takes longer is worth a line.
const QUIET: Duration = Duration::from_secs(1);

/// Why the chain cannot be read.
#[derive(Debug, Error)]
pub enum ReaderError {
    /// The running node is of another chain.
    #[error(
        "the node that runs on this data folder follows the chain {found}, not {wanted}; give the same --chain and --network as it has"
    )]
    OtherChain {
        /// The node's chain.
        found: ShareId,
        /// The chain that was asked for.
        wanted: ChainId,
    },
    /// The running node gave no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There is nothing to read.
    #[error("there is no share chain at {}: start a node with `commonwork run`, or say where its data is with --data-dir and --network", .0.display())]
    NoStore(PathBuf),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError<StoreError>),
    /// The chain has no answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Nobody takes the answer.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
    /// A thread of this program ended before its time.
    #[error("BUG: reading the store ended before its time; the log says more")]
    Thread,
}

/// A chain to be read.
pub(super) enum ChainReader {
    /// Through a running node.
    Node(Client),
    /// From the store.
    Store(Arc<dyn ChainSource>, PathBuf),
}

impl ChainReader {
    /// Finds the chain of this place.
    pub(super) async fn open(place: &Place) -> Result<Self, ReaderError> {
        if let Some(address) = api::find(&place.data_dir) {
            let client = Client::new(address);
            match client.tip().await {
                Ok(tip) => {
                    return check_chain(tip.chain_id.0, place.params.chain_id()).map(|()| Self::Node(client));
                }
                // A node that was killed could not take its address back.
                Err(ClientError::Connect { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let path = place.store_dir();
        // Opening would make one.
        if !path.exists() {
            return Err(ReaderError::NoStore(path));
        }
        let params = place.params.clone();
        let mut opening = tokio::task::spawn_blocking(move || {
            let opening = OpenStore { path: &path, params: &params, move_corrupt_aside: false };
            let store = opening.open().map_err(OpenError::Store)?.store;
            let chain = open::load(&store, params)?;
            Ok::<_, OpenError<StoreError>>(Self::Store(Arc::new(Opened::new(chain, store)), path))
        });
        let opened = match tokio::time::timeout(QUIET, &mut opening).await {
            Ok(opened) => opened,
            Err(_) => {
                eprintln!("no node runs; reading the store, which takes a while");
                opening.await
            }
        };
        Ok(opened.map_err(|_| ReaderError::Thread)??)
    }

    /// Where the answers come from, for people.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Node(client) => format!("the node at {}", client.address()),
            Self::Store(_, path) => format!("the store {}", path.display()),
        }
    }

    pub(super) async fn tip(&self) -> Result<TipForm, ReaderError> {
        match self {
            Self::Node(client) => Ok(client.tip().await?),
            Self::Store(source, _) => Ok(read::tip(source.as_ref()).await?),
        }
    }

    pub(super) async fn blocks(&self, from: Option<u32>, count: u32) -> Result<BlocksForm, ReaderError> {
        match self {
            Self::Node(client) => Ok(client.blocks(from, count).await?),
            Self::Store(source, _) => Ok(read::blocks(source.as_ref(), from, count).await?),
        }
    }

    pub(super) async fn show(&self, id: ShareId) -> Result<ShownForm, ReaderError> {
        match self {
            Self::Node(client) => Ok(client.show(id).await?),
            Self::Store(source, _) => Ok(read::show(source.as_ref(), id).await?),
        }
    }

    pub(super) async fn payouts(
        &self,
        share: Option<ShareId>,
        class: Option<u16>,
    ) -> Result<PayoutsForm, ReaderError> {
        match (self, share) {
            (Self::Node(client), share) => Ok(client.payouts(share, class).await?),
            (Self::Store(source, _), Some(id)) => {
                Ok(read::payouts_of_share(source.as_ref(), id, OwnersPage::ALL).await?)
            }
            (Self::Store(source, _), None) => {
                Ok(read::payouts_now(source.as_ref(), class, OwnersPage::ALL).await?)
            }
        }
    }

    /// The whole chain as lines of JSON, given to `sink` in pieces that may end anywhere.
    pub(super) async fn export(
        &self,
        mut sink: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ReaderError> {
        match self {
            Self::Node(client) => Ok(client.export(sink).await?),
            Self::Store(source, _) => {
                let mut exporter = Exporter::start(source.clone()).await?;
                while let Some(text) = exporter.next_text().await? {
                    sink(text.as_bytes()).map_err(ReaderError::Output)?;
                }
                Ok(())
            }
        }
    }
}

fn check_chain(found: ShareId, wanted: ChainId) -> Result<(), ReaderError> {
    if found == wanted.as_block() { Ok(()) } else { Err(ReaderError::OtherChain { found, wanted }) }
}
