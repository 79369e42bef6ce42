//! The Bitcoin side of a node: the back ends that a configuration names, found blocks kept until one of them has them,
//! and the headers that a share chain begins with.

use crate::bitcoin::MAX_HEADERS;
use crate::bitcoin::client::{BitcoinClient, Lookup, Upstream};
use crate::bitcoin::embedded::Embedded;
use crate::bitcoin::found::{self, FoundFolder};
use crate::bitcoin::rpc::{BitcoindRpc, Patience};
use crate::config::{Bitcoind, Config};
use anyhow::Context;
use bitcoin::block::Header;
use sharechain::bitcoin_headers::first_ancestor_height;
use sharechain::params::{ChainParams, Network, embedded_genesis};
use sharechain::units::BitcoinHeight;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

/// Pause before asking again a bitcoind that the start needs.
const RETRY: Duration = Duration::from_secs(2);

/// The back ends that a configuration names.
pub fn upstreams(config: &Config) -> anyhow::Result<Vec<Upstream>> {
    if let Network::Embedded { bits } = config.place.params.network {
        let embedded = Embedded::new(embedded_genesis(bits))?;
        return Ok(vec![Upstream { backend: Arc::new(embedded), zmq: None }]);
    }
    Ok(config.bitcoinds.iter().map(upstream).collect())
}

fn upstream(bitcoind: &Bitcoind) -> Upstream {
    Upstream {
        backend: Arc::new(BitcoindRpc::new(bitcoind.endpoint(), bitcoind.credentials(), Patience::default())),
        zmq: bitcoind.zmq.as_ref().map(|url| url.as_str().to_owned()),
    }
}

/// The task that keeps found blocks on the disk; it outlives all others, for it must see what became of the last block.
pub(super) struct Guard {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Guard {
    /// Also submits again what an earlier run left behind.
    pub(super) fn start(
        folder: FoundFolder,
        bitcoin: &BitcoinClient,
        backends: usize,
    ) -> anyhow::Result<Self> {
        let left = folder.left().context("the folder of found blocks cannot be read")?;
        let stop = CancellationToken::new();
        let submitter = bitcoin.submitter();
        let guard =
            found::guard(folder, submitter.submitted(), bitcoin.outcomes(), backends, stop.child_token());
        let task = tokio::spawn(guard);
        for block in left {
            warn!(hash = %block.hash, height = block.height.0, "a block found earlier has not reached Bitcoin yet");
            submitter.submit(block);
        }
        Ok(Self { stop, task })
    }

    /// To be called when all else has ended.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if self.task.await.is_err() {
            error!("BUG: the task that keeps found blocks panicked");
        }
    }
}

/// The run of headers that ends with the chain's first Bitcoin block. Asks until there is an answer.
pub(super) async fn fetch_ancestors(lookup: &Lookup, params: &ChainParams) -> anyhow::Result<Vec<Header>> {
    let (from, to) = (first_ancestor_height(params).0, params.first_bitcoin_block.0.0);
    let mut headers: Vec<Header> = Vec::new();
    while let Some(missing) =
        (to - from + 1).checked_sub(u32::try_from(headers.len())?).filter(|left| *left > 0)
    {
        let next = BitcoinHeight(to + 1 - missing);
        match lookup.headers(next, missing.min(MAX_HEADERS)).await {
            Ok(more) if !more.is_empty() => headers.extend(more),
            Ok(_) => {
                warn!(
                    height = next.0,
                    "waiting for bitcoind to reach the chain's first Bitcoin block ({to})"
                );
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => {
                warn!("waiting for bitcoind: {error}");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    Ok(headers)
}
