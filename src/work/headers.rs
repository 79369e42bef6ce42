//! Makes the share chain know the Bitcoin headers that it needs, in order, whoever asks for one.

use crate::bitcoin::client::Lookup;
use crate::bitcoin::{BackendError, MAX_HEADERS};
use crate::chain::{ChainEvent, ChainHandle, Stopped};
use bitcoin::BlockHash;
use sharechain::bitcoin_headers::HeaderError;
use sharechain::units::BitcoinHeight;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Most headers walked back one by one from an unknown block that is not on bitcoind's best chain.
const MAX_WALK: usize = 144;

/// Brings Bitcoin headers from bitcoind to the share chain.
#[derive(Clone)]
pub struct HeaderFeed {
    bitcoin: Lookup,
    chain: ChainHandle,
}

impl HeaderFeed {
    /// From this Bitcoin side to this chain.
    pub const fn new(bitcoin: Lookup, chain: ChainHandle) -> Self {
        Self { bitcoin, chain }
    }

    /// Makes `hash` known to the chain if bitcoind knows it. When it does not, the chain will say what it lacks.
    pub async fn ensure(&self, hash: BlockHash) -> Result<(), Stopped> {
        if self.is_known(hash).await? {
            return Ok(());
        }
        // After a long pause the way back is long, so first whatever bitcoind has on top of what is known here.
        let mut result = self.catch_up().await?;
        if result.is_ok() && !self.is_known(hash).await? {
            result = self.fetch(hash).await?;
        }
        if let Err(error) = result {
            warn!(%hash, "Bitcoin header could not be fetched: {error}");
        }
        Ok(())
    }

    async fn is_known(&self, hash: BlockHash) -> Result<bool, Stopped> {
        self.chain.read(move |reader| reader.chain.headers().get(&hash).is_some()).await
    }

    /// Brings all headers of bitcoind's best chain that are not known yet.
    ///
    /// Begins after the best header known here; where bitcoind's chain forks off below it, further and further back.
    pub async fn catch_up(&self) -> Result<Result<(), BackendError>, Stopped> {
        let (best, first) = self
            .chain
            .read(|reader| {
                (reader.chain.headers().best().height.0, reader.chain.params().first_bitcoin_block.0.0)
            })
            .await?;
        let (mut next, mut step) = (best.saturating_add(1), 1_u32);
        loop {
            let headers = match self.bitcoin.headers(BitcoinHeight(next), MAX_HEADERS).await {
                Ok(headers) => headers,
                Err(error) => return Ok(Err(error)),
            };
            let count = u32::try_from(headers.len()).unwrap_or(u32::MAX);
            let taken = self.chain.add_headers(headers).await?;
            match taken.refused {
                Some(HeaderError::UnknownParent { .. })
                    if taken.known == 0 && next > first.saturating_add(1) =>
                {
                    next = next.saturating_sub(step).max(first.saturating_add(1));
                    step = step.saturating_mul(2);
                }
                Some(refused) => {
                    warn!(from = next, "a Bitcoin header from bitcoind was refused: {refused}");
                    return Ok(Ok(()));
                }
                None => {
                    if count > 0 {
                        info!(from = next, count, "Bitcoin headers read");
                    }
                    if count < MAX_HEADERS {
                        return Ok(Ok(()));
                    }
                    next = next.saturating_add(count);
                }
            }
        }
    }

    /// Walks back from `hash` to a known header, then hands the run in.
    async fn fetch(&self, hash: BlockHash) -> Result<Result<(), BackendError>, Stopped> {
        let mut run = Vec::new();
        let mut at = hash;
        while run.len() < MAX_WALK {
            let found = match self.bitcoin.header(at).await {
                Ok(Some(found)) => found,
                Ok(None) => {
                    debug!(%at, "no bitcoind knows this Bitcoin header");
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            };
            at = found.header.prev_blockhash;
            run.push(found.header);
            if self.is_known(at).await? {
                break;
            }
        }
        run.reverse();
        let taken = self.chain.add_headers(run).await?;
        if let Some(refused) = taken.refused {
            warn!(%hash, "a Bitcoin header from bitcoind was refused: {refused}");
        }
        Ok(Ok(()))
    }

    /// Fetches whatever headers the chain says are wanted, until the token is cancelled or the chain stops.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut events = self.chain.events();
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => event,
            };
            let result = match event {
                Ok(ChainEvent::HeaderWanted(hash)) => self.ensure(hash).await,
                // What was missed asks again with the next share that needs it.
                Ok(_) | Err(RecvError::Lagged(_)) => Ok(()),
                Err(RecvError::Closed) => return,
            };
            if result.is_err() {
                return;
            }
        }
    }
}
