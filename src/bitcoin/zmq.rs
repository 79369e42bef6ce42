//! A bitcoind's `hashblock` notices over ZMQ: only that there is a new block, which one a template says.
//!
//! It reconnects for ever and makes no noise about it: a node without notices still has long polling.

use std::time::Duration;

use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};
use zeromq::{Socket as _, SocketEvent, SocketRecv as _, SubSocket, ZmqError};

const TOPIC: &str = "hashblock";
/// Pause before a new connection.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known from the notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Notices so far.
    pub(super) blocks: u64,
    /// Whether a notice came over the present connection. Before that it may be a port that never tells of blocks.
    pub(super) proven: bool,
}

/// Listens until cancelled; every change is published.
pub(super) async fn follow(url: String, news: watch::Sender<News>, cancel: CancellationToken) {
    while let Some(ended) = cancel.run_until_cancelled(listen(&url, &news)).await {
        if news.send_if_modified(|news| std::mem::take(&mut news.proven)) {
            info!(%url, "no more block notices over ZMQ, using long polling until there are");
        }
        if let Err(error) = ended {
            debug!(%url, %error, "ZMQ connection failed");
        }
        if cancel.run_until_cancelled(sleep(PAUSE)).await.is_none() {
            break;
        }
    }
}

/// One connection, until it ends.
async fn listen(url: &str, news: &watch::Sender<News>) -> Result<(), ZmqError> {
    // The library reconnects too, but more and more slowly, up to 30 s, and says nothing of what was missed.
    let mut socket = SubSocket::new();
    let mut monitor = socket.monitor();
    socket.connect(url).await?;
    socket.subscribe(TOPIC).await?;
    loop {
        tokio::select! {
            event = monitor.recv() => match event {
                Ok(SocketEvent::Disconnected(_)) | Err(_) => return Ok(()),
                Ok(_) => {}
            },
            message = socket.recv() => {
                // The topic is a prefix, and some daemons publish several.
                if message?.get(0).is_some_and(|topic| topic.as_ref() == TOPIC.as_bytes()) {
                    news.send_modify(|news| *news = News { blocks: news.blocks.wrapping_add(1), proven: true });
                }
            }
        }
    }
}
