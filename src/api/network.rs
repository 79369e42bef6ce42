//! The part of the interface that is about the network between nodes: peers and bans, and what their owner changes.

use super::control::{shows_token, token_wanted};
use super::form::{
    BanRequestForm, BannedForm, BansForm, ConnectForm, ConnectingForm, LiftForm, LiftedForm, PeersForm,
};
use super::reply::{body, fault, form};
use super::routes::Shared;
use crate::peers::status::{Admin, Lift, NetworkStatus, Who};
use axum::body::Body;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};

/// The longest ban that can be asked for, in seconds: ten years.
const MAX_BAN: u64 = 10 * 365 * 86_400;
/// The ban where no time is asked for.
const USUAL_BAN: u64 = 86_400;

/// The network as the interface sees it.
#[derive(Clone, Debug)]
pub struct NetworkPort {
    /// A moment's picture.
    pub status: watch::Receiver<Arc<NetworkStatus>>,
    /// What the owner asks for.
    pub admin: mpsc::Sender<Admin>,
}

pub(super) async fn peers(shared: Shared) -> Response {
    let status = shared.ports.network.as_ref().map(|network| network.status.borrow().clone());
    status.map_or_else(alone, |status| form(PeersForm::from(status.as_ref())))
}

pub(super) async fn bans(shared: Shared) -> Response {
    let status = shared.ports.network.as_ref().map(|network| network.status.borrow().clone());
    status.map_or_else(alone, |status| form(BansForm::from(status.as_ref())))
}

pub(super) async fn lift(shared: Shared, headers: HeaderMap, body: Body) -> Response {
    lift_bans(&shared, &headers, body).await.unwrap_or_else(|refused| refused)
}

pub(super) async fn ban(shared: Shared, headers: HeaderMap, body: Body) -> Response {
    ban_peers(&shared, &headers, body).await.unwrap_or_else(|refused| refused)
}

pub(super) async fn connect(shared: Shared, headers: HeaderMap, body: Body) -> Response {
    connect_to(&shared, &headers, body).await.unwrap_or_else(|refused| refused)
}

async fn lift_bans(shared: &Shared, headers: &HeaderMap, sent: Body) -> Result<Response, Response> {
    let network = may_change(shared, headers).await?;
    let LiftForm { which } = body(sent, r#"{"which": "all"}"#).await?;
    let which = match which.parse::<IpAddr>() {
        Ok(ip) => Lift::Ip(ip),
        Err(_) if which == "all" => Lift::All,
        Err(_) => Lift::Id(which),
    };
    let lifted = ask(network, |reply| Admin::Lift(which, reply)).await?;
    Ok(form(LiftedForm { lifted: lifted as u64 }))
}

async fn ban_peers(shared: &Shared, headers: &HeaderMap, sent: Body) -> Result<Response, Response> {
    let network = may_change(shared, headers).await?;
    let asked: BanRequestForm = body(sent, r#"{"who": "192.0.2.1", "seconds": 3600}"#).await?;
    let who = match asked.who.parse::<IpAddr>() {
        Ok(ip) => Who::Ip(ip),
        Err(_) => Who::Id(asked.who),
    };
    let seconds = asked.seconds.unwrap_or(USUAL_BAN).min(MAX_BAN);
    let reason = asked.reason.unwrap_or_else(|| "by this node's owner".into());
    let banned = ask(network, |reply| Admin::Ban { who, seconds, reason, reply }).await?;
    if banned == 0 {
        return Err(fault(
            StatusCode::NOT_FOUND,
            "nobody is meant: no identity, or nobody connected from there",
        ));
    }
    Ok(form(BannedForm { banned: banned as u64, seconds }))
}

async fn connect_to(shared: &Shared, headers: &HeaderMap, sent: Body) -> Result<Response, Response> {
    let network = may_change(shared, headers).await?;
    let ConnectForm { address } = body(sent, r#"{"address": "pool.example.org:3338"}"#).await?;
    match ask(network, |reply| Admin::Connect { address: address.clone(), reply }).await? {
        Ok(()) => Ok(form(ConnectingForm { connecting: address })),
        Err(why) => Err(fault(StatusCode::BAD_REQUEST, &why)),
    }
}

/// Has the network do something, and waits for what came of it.
async fn ask<T>(
    network: &NetworkPort,
    request: impl FnOnce(oneshot::Sender<T>) -> Admin,
) -> Result<T, Response> {
    let stopping = || fault(StatusCode::SERVICE_UNAVAILABLE, "the node is stopping");
    let (reply, answer) = oneshot::channel();
    network.admin.send(request(reply)).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())
}

/// The network, for a request that may change something in it.
async fn may_change<'s>(shared: &'s Shared, headers: &HeaderMap) -> Result<&'s NetworkPort, Response> {
    if !shows_token(shared, headers) {
        return Err(token_wanted());
    }
    shared.ports.network.as_ref().ok_or_else(alone)
}

fn alone() -> Response {
    fault(StatusCode::NOT_FOUND, "this node mines alone: it was started with --offline")
}
