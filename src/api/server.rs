//! The HTTP server on loopback. Everything about it is bounded: connections, time, sizes and questions at once.
//!
//! It has no password, so it must never listen elsewhere, and asks that the Host header names this machine: else a
//! page in a browser could reach it under a name of its own (DNS rebinding).

use super::export::Exporter;
use super::form::ErrorForm;
use super::miners::{self, MinersPort};
use super::network::{self, NetworkPort};
use super::read;
use super::source::{ChainSource, ReadError};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};
use sharechain::share::ShareId;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections at once; further ones wait in the system's queue.
const MAX_CONNECTIONS: usize = 32;
/// Questions that are worked on at once; further ones are told to come back.
const MAX_QUESTIONS: usize = 4;
/// Bytes of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long a client may take to send its request.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a whole connection may last; an export of a full window takes seconds.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
/// Pieces of an export (eight blocks each) that wait for a slow client.
const EXPORT_PIECES: usize = 4;

/// What is told besides the chain.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// None for a node that mines alone.
    pub network: Option<NetworkPort>,
    /// None for a node without miners.
    pub miners: Option<MinersPort>,
}

/// Serves until the token is cancelled; then connections get a moment to end.
///
/// The listener must be bound to loopback. A node that mines solo has no chain to ask.
pub async fn serve(
    listener: TcpListener,
    source: Option<Arc<dyn ChainSource>>,
    ports: Ports,
    stop: CancellationToken,
) {
    let app = router(source, ports);
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
            tokio::select! {
                () = stop.cancelled() => {}
                result = tokio::time::timeout(CONNECTION_TIME, serve_one(stream, app)) => {
                    if let Ok(Err(error)) = result {
                        tracing::debug!(%error, "interface connection ended");
                    }
                }
            }
            drop(permit);
        });
    }
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
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn serve_one(stream: TcpStream, app: Router) -> Result<(), hyper::Error> {
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(app))
        .await
}

/// What every request is answered from.
#[derive(Clone)]
pub(super) struct Shared {
    /// None for a node that mines alone.
    pub(super) network: Option<NetworkPort>,
    /// None for a node without miners.
    pub(super) miners: Option<MinersPort>,
}

/// What requests about the chain are answered from.
#[derive(Clone)]
struct Chain {
    source: Arc<dyn ChainSource>,
    questions: Arc<Semaphore>,
}

fn router(source: Option<Arc<dyn ChainSource>>, Ports { network, miners }: Ports) -> Router {
    let chain = match source {
        Some(source) => Router::new()
            .route("/v1/tip", get(tip))
            .route("/v1/blocks", get(blocks))
            .route("/v1/shares/{id}", get(show))
            .route("/v1/payouts", get(payouts))
            .route("/v1/export", get(export))
            .with_state(Chain { source, questions: Arc::new(Semaphore::new(MAX_QUESTIONS)) }),
        None => ["/v1/tip", "/v1/blocks", "/v1/shares/{id}", "/v1/payouts", "/v1/export"]
            .into_iter()
            .fold(Router::new(), |router, path| router.route(path, get(no_chain))),
    };
    Router::new()
        .route("/v1/miners", miners::miners())
        .route("/v1/peers", network::peers())
        .route("/v1/bans", network::bans())
        .route("/v1/bans/lift", network::lift())
        .with_state(Shared { network, miners })
        .merge(chain)
        .fallback(|| async { fault(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .layer(middleware::from_fn(only_for_this_machine))
}

async fn no_chain() -> Response {
    fault(
        StatusCode::NOT_FOUND,
        "this node mines solo: there is no share chain, and a Bitcoin block pays its finder alone",
    )
}

async fn only_for_this_machine(headers: HeaderMap, request: Request, next: Next) -> Response {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    if host.is_some_and(names_loopback) {
        next.run(request).await
    } else {
        fault(StatusCode::FORBIDDEN, "the Host header must name this machine, like 127.0.0.1 or localhost")
    }
}

/// Whether a Host header (`HOST[:PORT]`) names loopback.
fn names_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return ip.is_loopback();
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost")
}

async fn tip(State(chain): State<Chain>) -> Response {
    answer(&chain, read::tip(chain.source.as_ref())).await
}

#[derive(Deserialize)]
struct BlocksQuery {
    from: Option<u32>,
    count: u32,
}

async fn blocks(State(chain): State<Chain>, Query(query): Query<BlocksQuery>) -> Response {
    answer(&chain, read::blocks(chain.source.as_ref(), query.from, query.count)).await
}

async fn show(State(chain): State<Chain>, Path(id): Path<String>) -> Response {
    match id.parse::<ShareId>() {
        Ok(id) => answer(&chain, read::show(chain.source.as_ref(), id)).await,
        Err(error) => fault(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

#[derive(Deserialize)]
struct PayoutsQuery {
    share: Option<String>,
    class: Option<u16>,
}

async fn payouts(State(chain): State<Chain>, Query(query): Query<PayoutsQuery>) -> Response {
    let source = chain.source.as_ref();
    match query.share.map(|id| id.parse::<ShareId>()) {
        Some(Ok(id)) => answer(&chain, read::payouts_of_share(source, id)).await,
        Some(Err(error)) => fault(StatusCode::BAD_REQUEST, &error.to_string()),
        None => answer(&chain, read::payouts_now(source, query.class)).await,
    }
}

async fn answer<T: Serialize>(chain: &Chain, answer: impl Future<Output = Result<T, ReadError>>) -> Response {
    let Ok(_permit) = chain.questions.try_acquire() else { return busy() };
    match answer.await {
        Ok(form) => Json(form).into_response(),
        Err(error) => refuse(&error),
    }
}

async fn export(State(chain): State<Chain>) -> Response {
    let Ok(permit) = chain.questions.clone().try_acquire_owned() else { return busy() };
    let mut exporter = match Exporter::start(chain.source.clone()).await {
        Ok(exporter) => exporter,
        Err(error) => return refuse(&error),
    };
    let (sender, lines) = mpsc::channel(EXPORT_PIECES);
    tokio::spawn(async move {
        let _permit = permit;
        loop {
            let piece = match exporter.next_text().await {
                Ok(Some(lines)) => Ok(Bytes::from(lines)),
                Ok(None) => return,
                // Breaks the answer off, so that nobody takes half an export for a whole one.
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.send(piece).await.is_err() || failed {
                return;
            }
        }
    });
    ([(CONTENT_TYPE, "application/x-ndjson")], Body::new(Pieces(lines))).into_response()
}

fn busy() -> Response {
    fault(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once; ask again in a moment")
}

fn status_of(error: &ReadError) -> StatusCode {
    match error {
        ReadError::UnknownShare(_) | ReadError::Pruned(_) | ReadError::Gone(_) => StatusCode::NOT_FOUND,
        ReadError::Class { .. } => StatusCode::BAD_REQUEST,
        ReadError::NextBlock(_) | ReadError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        ReadError::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn refuse(error: &ReadError) -> Response {
    fault(status_of(error), &error.to_string())
}

pub(super) fn fault(status: StatusCode, message: &str) -> Response {
    (status, Json(ErrorForm { error: message.to_owned() })).into_response()
}

/// A body that is sent while it is made.
struct Pieces(mpsc::Receiver<Result<Bytes, ReadError>>);

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = ReadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, ReadError>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| line.map(hyper::body::Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_host() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:3380",
            "localhost",
            "LOCALHOST:3380",
            "[::1]",
            "[::1]:3380",
            "127.9.9.9:1",
        ] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "127.0.0.1.example.org",
            "localhost.example.org:3380",
            "10.0.0.1:3380",
            "[::2]:1",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
