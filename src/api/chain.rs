//! The part of the interface that is about the chain: what is asked of it, and by how many at once.

use super::export::Exporter;
use super::form::PayoutsForm;
use super::read::account::{CreditsPage, MAX_CREDITS};
use super::read::found::{self, MAX_FOUND_PAGE};
use super::read::payments::{self, MAX_PAYMENTS_PAGE, MAX_PAYMENTS_TABLE};
use super::read::{self, MAX_OWNERS, OwnersPage};
use super::reply::{Asked, fault, outcome, refuse};
use super::routes::Shared;
use super::source::{ChainSource, ReadError};
use crate::address::parse_owner;
use crate::history::ledger::Ledger;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sharechain::share::ShareId;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Pieces of an export (eight blocks each) that wait for a slow client.
const EXPORT_PIECES: usize = 4;

/// The chain, with leave to ask it one question.
pub(super) struct Chain {
    pub(super) source: Arc<dyn ChainSource>,
    _permit: OwnedSemaphorePermit,
}

impl FromRequestParts<Shared> for Chain {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let Some(source) = shared.source.clone() else {
            return Err(fault(
                StatusCode::NOT_FOUND,
                "this node mines solo: there is no share chain, and a Bitcoin block pays its finder alone",
            ));
        };
        // Others wait their turn: there are no more of them than connections.
        let permit = shared.questions.clone().acquire_owned().await.expect("nobody closes it");
        Ok(Self { source, _permit: permit })
    }
}

impl Chain {
    fn source(&self) -> &dyn ChainSource {
        self.source.as_ref()
    }
}

/// The found Bitcoin blocks, and whom this node works for.
pub(super) struct Found(Arc<Ledger>);

impl FromRequestParts<Shared> for Found {
    type Rejection = Response;

    async fn from_request_parts(_: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        shared.ledger().await.map(Self).map_err(|error| refuse(&error))
    }
}

fn answer(answer: Result<impl Serialize, ReadError>) -> Response {
    outcome(answer)
}

pub(super) async fn tip(chain: Chain) -> Response {
    answer(read::tip(chain.source()).await)
}

#[derive(Deserialize)]
pub(super) struct BlocksQuery {
    from: Option<u32>,
    #[serde(default = "few")]
    count: u32,
}

const fn few() -> u32 {
    20
}

pub(super) async fn blocks(chain: Chain, Asked(query): Asked<BlocksQuery>) -> Response {
    answer(read::blocks(chain.source(), query.from, query.count).await)
}

pub(super) async fn share(Path(id): Path<String>, chain: Chain) -> Response {
    match id.parse::<ShareId>() {
        Ok(id) => answer(read::show(chain.source(), id).await),
        Err(error) => fault(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

#[derive(Deserialize)]
pub(super) struct PayoutsQuery {
    share: Option<String>,
    class: Option<u16>,
    #[serde(default)]
    from: usize,
    count: Option<usize>,
}

pub(super) async fn payouts(chain: Chain, Asked(query): Asked<PayoutsQuery>) -> Response {
    let page = OwnersPage { from: query.from, count: query.count.unwrap_or(MAX_OWNERS) };
    let payouts: Result<PayoutsForm, ReadError> = match query.share.map(|id| id.parse::<ShareId>()) {
        Some(Ok(id)) => read::payouts_of_share(chain.source(), id, page).await,
        Some(Err(error)) => return fault(StatusCode::BAD_REQUEST, &error.to_string()),
        None => read::payouts_now(chain.source(), query.class, page).await,
    };
    answer(payouts)
}

pub(super) async fn pool(shared: Shared, chain: Chain) -> Response {
    answer(read::account::pool(chain.source(), &shared.day, shared.next_value()).await)
}

#[derive(Deserialize)]
pub(super) struct PageQuery {
    before: Option<u32>,
    count: Option<u32>,
}

pub(super) async fn owner(
    shared: Shared,
    Path(address): Path<String>,
    Found(ledger): Found,
    chain: Chain,
    Asked(query): Asked<PageQuery>,
) -> Response {
    let network = match read::network(chain.source()).await {
        Ok(network) => network,
        Err(error) => return refuse(&error),
    };
    let owner = match parse_owner(&address, network) {
        Ok(owner) => owner,
        Err(error) => return fault(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let page = CreditsPage { before: query.before, count: query.count.unwrap_or(MAX_CREDITS / 10) };
    let kept = (&*ledger, &shared.day);
    answer(read::account::account(chain.source(), kept, owner, shared.next_value(), page).await)
}

pub(super) async fn bitcoin_blocks(
    Found(ledger): Found,
    chain: Chain,
    Asked(query): Asked<PageQuery>,
) -> Response {
    let count = query.count.unwrap_or(MAX_FOUND_PAGE);
    answer(found::page(&ledger, chain.source(), query.before, count).await)
}

/// Payments in an answer that says nothing of how many there should be.
const USUAL_PAYMENTS: u32 = 100;

pub(super) async fn payments(Found(ledger): Found, chain: Chain, Asked(query): Asked<PageQuery>) -> Response {
    let count = query.count.unwrap_or(USUAL_PAYMENTS).clamp(1, MAX_PAYMENTS_PAGE);
    answer(payments::payments(&ledger, chain.source(), query.before, count).await)
}

/// The same as a table, with as many as there may be.
pub(super) async fn payments_csv(
    Found(ledger): Found,
    chain: Chain,
    Asked(query): Asked<PageQuery>,
) -> Response {
    let count = query.count.unwrap_or(MAX_PAYMENTS_TABLE).clamp(1, MAX_PAYMENTS_TABLE);
    match payments::payments(&ledger, chain.source(), query.before, count).await {
        Ok(form) => {
            ([(CONTENT_TYPE, "text/csv; charset=utf-8")], payments::table(&form.payments)).into_response()
        }
        Err(error) => refuse(&error),
    }
}

pub(super) async fn signals(shared: Shared, chain: Chain) -> Response {
    answer(shared.signals.read(chain.source()).await)
}

pub(super) async fn export(shared: Shared, chain: Chain) -> Response {
    let Chain { source, .. } = chain;
    // Whoever reads an export slowly must not keep others from asking.
    let Ok(permit) = shared.exports.clone().try_acquire_owned() else {
        return fault(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many exports at once; ask again when one has ended",
        );
    };
    let mut exporter = match Exporter::start(source).await {
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
