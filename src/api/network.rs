//! The part of the interface that is about the network between nodes: peers and bans, and the lifting of bans.

use super::form::{BansForm, LiftForm, LiftedForm, PeersForm};
use super::server::{Shared, fault};
use super::token::Token;
use crate::peers::status::{Admin, Lift, NetworkStatus};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get, post};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// Bytes of a request to change something.
const MAX_BODY: usize = 4 * 1024;

/// The network as the interface sees it.
#[derive(Clone, Debug)]
pub struct NetworkPort {
    /// A moment's picture.
    pub status: watch::Receiver<Arc<NetworkStatus>>,
    /// What the owner asks for.
    pub admin: mpsc::Sender<Admin>,
    /// Shown by whoever may change something.
    pub token: Token,
}

pub(super) fn peers() -> MethodRouter<Shared> {
    get(|State(shared): State<Shared>| async move {
        shared.network.as_ref().map_or_else(none, |network| {
            let status = network.status.borrow().clone();
            Json(PeersForm::from(status.as_ref())).into_response()
        })
    })
}

pub(super) fn bans() -> MethodRouter<Shared> {
    get(|State(shared): State<Shared>| async move {
        shared.network.as_ref().map_or_else(none, |network| {
            let status = network.status.borrow().clone();
            Json(BansForm::from(status.as_ref())).into_response()
        })
    })
}

pub(super) fn lift() -> MethodRouter<Shared> {
    post(lift_bans).layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn lift_bans(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(network) = &shared.network else { return none() };
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if !shown.is_some_and(|shown| network.token.is_shown_by(shown)) {
        return fault(
            StatusCode::UNAUTHORIZED,
            "this changes something, so the Authorization header must show the token of the file api-token",
        );
    }
    let Ok(form) = serde_json::from_slice::<LiftForm>(&body) else {
        return fault(StatusCode::BAD_REQUEST, "the body must be like {\"which\": \"all\"}");
    };
    let which = match form.which.parse::<IpAddr>() {
        Ok(ip) => Lift::Ip(ip),
        Err(_) if form.which == "all" => Lift::All,
        Err(_) => Lift::Id(form.which),
    };
    let (reply, lifted) = oneshot::channel();
    let sent = network.admin.send(Admin::Lift(which, reply)).await.is_ok();
    match lifted.await {
        Ok(lifted) if sent => Json(LiftedForm { lifted: lifted as u64 }).into_response(),
        _ => fault(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping"),
    }
}

fn none() -> Response {
    fault(StatusCode::NOT_FOUND, "this node mines alone: it was started with --offline")
}
