//! The HTTP server on loopback. Everything about it is bounded: connections, time, sizes and questions at once.
//!
//! It has no password, so it must never listen elsewhere; what a request must pass is in `guard`, what there is to be
//! asked in `routes`.

use super::routes::{Ports, Shared, router};
use super::source::ChainSource;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 64;
/// Bytes of a request's head, and of what is read and written ahead.
const MAX_HEAD: usize = 16 * 1024;
/// How long a client may take to send a request, from the end of the one before.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a whole connection may last; an export of a full window takes seconds.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// How long an answer may take to be written when the node stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves until the token is cancelled; then connections get a moment to end.
///
/// The listener must be bound to loopback. A node that mines solo has no chain to ask.
pub async fn serve(
    listener: TcpListener,
    source: Option<Arc<dyn ChainSource>>,
    ports: Ports,
    stop: CancellationToken,
) {
    let app = router(Shared::new(source, ports, stop.clone()));
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let tasks = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (app, stop) = (app.clone(), stop.clone());
        tasks.spawn(async move {
            serve_one(stream, app, &stop).await;
            drop(permit);
        });
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            // Out of file descriptors, mostly; without a pause this would be a busy loop.
            tracing::warn!(%error, "the interface cannot accept a connection");
            sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_one(stream: TcpStream, app: Router, stop: &CancellationToken) {
    // Events and answers are small and should not wait for more of them.
    let _ = stream.set_nodelay(true);
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app));
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = sleep(CONNECTION_TIME) => return,
        () = stop.cancelled() => {
            // The answer to whoever asked for the stop is perhaps still to be written.
            connection.as_mut().graceful_shutdown();
            timeout(FAREWELL, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "interface connection ended");
    }
}
