//! All addresses of the interface, each with what is documented of it: nothing is served that the document leaves out,
//! but for the document itself and the dashboard's pages.

use super::chain::{
    bitcoin_blocks, blocks, export, owner, payments, payments_csv, payouts, pool, share, signals, tip,
};
use super::control::{NodePort, bitcoinds, health_of, stop};
use super::form::{
    AccountForm, BanRequestForm, BannedForm, BansForm, BitcoindsForm, BlocksForm, ConnectForm,
    ConnectingForm, EventForm, FoundForm, HealthForm, HistoryForm, LiftForm, LiftedForm, MinersForm,
    PaymentsForm, PayoutsForm, PeersForm, PoolForm, SeriesListForm, ShownForm, SignalsForm, StoppingForm,
    TipForm,
};
use super::guard::guard;
use super::history::{history, history_csv, series};
use super::miners::{MinersPort, miners};
use super::network::{NetworkPort, ban, bans, connect, lift, peers};
use super::openapi::{Answer, Document, Operation, Parameter};
use super::pages::with_pages;
use super::read::account::NextValue;
use super::read::day::Day;
use super::read::search::{LedgerView, Shown};
use super::read::signals::Signals;
use super::reply::fault;
use super::scrape::metrics;
use super::source::{ChainSource, ReadError};
use super::stream::events;
use super::token::Token;
use crate::history::keeper::HistoryHandle;
use crate::history::ledger::Ledger;
use axum::Router;
use axum::extract::FromRequestParts;
use axum::handler::Handler;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Questions that are worked on at once; further ones wait.
const MAX_QUESTIONS: usize = 4;
/// Streams of events at once; they leave most connections to others.
const MAX_STREAMS: usize = 8;
/// Exports at once.
const MAX_EXPORTS: usize = 2;
/// How long the first look for found blocks is waited for.
const FIRST_LOOK: Duration = Duration::from_secs(5);

/// What is told besides the chain, and what can be changed.
#[derive(Debug, Default)]
pub struct Ports {
    /// None for a node that mines alone.
    pub network: Option<NetworkPort>,
    /// None for a node without miners.
    pub miners: Option<MinersPort>,
    /// The node itself.
    pub node: Option<NodePort>,
    /// Shown by whoever may change something; nobody may where there is none.
    pub token: Option<Token>,
    /// The Bitcoin blocks that the pool has found; without it none are told.
    pub ledger: Option<LedgerView>,
    /// What miners did; none where it could not be opened.
    pub history: Option<HistoryHandle>,
}

/// What every request is answered from. Clones share it.
#[derive(Clone)]
pub(super) struct Shared(Arc<State>);

pub(super) struct State {
    /// None for a node that mines solo.
    pub(super) source: Option<Arc<dyn ChainSource>>,
    pub(super) questions: Arc<Semaphore>,
    pub(super) streams: Arc<Semaphore>,
    pub(super) exports: Arc<Semaphore>,
    ledger: LedgerView,
    pub(super) day: Mutex<Day>,
    pub(super) signals: Signals,
    pub(super) ports: Ports,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn new(
        source: Option<Arc<dyn ChainSource>>,
        mut ports: Ports,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(State {
            source,
            questions: Arc::new(Semaphore::new(MAX_QUESTIONS)),
            streams: Arc::new(Semaphore::new(MAX_STREAMS)),
            exports: Arc::new(Semaphore::new(MAX_EXPORTS)),
            ledger: ports.ledger.take().unwrap_or_else(|| watch::channel(Shown::Ledger(Arc::default())).1),
            day: Mutex::default(),
            signals: Signals::default(),
            ports,
            stop,
        }))
    }

    /// The next Bitcoin block as the newest template has it.
    pub(super) fn next_value(&self) -> Option<NextValue> {
        self.ports.node.as_ref().and_then(|node| (node.next_value)())
    }

    /// The ledger as it is now. Just after a start it is waited for.
    pub(super) async fn ledger(&self) -> Result<Arc<Ledger>, ReadError> {
        let mut ledger = self.ledger.clone();
        let read = ledger.wait_for(|shown| !matches!(shown, Shown::Nothing));
        match timeout(FIRST_LOOK, read).await.map_err(|_| ReadError::NotYet)?.as_deref() {
            Ok(Shown::Ledger(ledger)) => Ok(Arc::clone(ledger)),
            Ok(Shown::Unreadable(error)) => Err(ReadError::clone(error)),
            Ok(Shown::Nothing) => Err(ReadError::NotYet),
            Err(_) => Err(ReadError::Stopping),
        }
    }
}

impl Deref for Shared {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl FromRequestParts<Self> for Shared {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, shared: &Self) -> Result<Self, Infallible> {
        Ok(shared.clone())
    }
}

/// Routes that are documented as they are added.
struct Routes {
    router: Router<Shared>,
    document: Document,
}

impl Routes {
    fn get<H: Handler<T, Shared>, T: 'static>(self, operation: Operation, handler: H) -> Self {
        self.route("get", operation, get(handler))
    }

    fn post<H: Handler<T, Shared>, T: 'static>(self, operation: Operation, handler: H) -> Self {
        self.route("post", operation, post(handler))
    }

    fn route(mut self, method: &str, operation: Operation, handler: MethodRouter<Shared>) -> Self {
        self.router = self.router.route(operation.path, handler);
        self.document.add(method, operation);
        self
    }
}

pub(super) fn router(shared: Shared) -> Router {
    let routes = Routes { router: Router::new(), document: Document::default() };
    let Routes { router, document } = of_history(of_node(of_chain(routes)));
    let text: Arc<str> = document.text().into();
    let document =
        move || async move { ([(CONTENT_TYPE, "application/json")], text.to_string()).into_response() };
    with_pages(router)
        .route(super::openapi::PATH, get(document))
        .method_not_allowed_fallback(|| async {
            fault(StatusCode::METHOD_NOT_ALLOWED, "this address is asked in another way")
        })
        .fallback(|| async { fault(StatusCode::NOT_FOUND, "there is nothing at this address") })
        .layer(middleware::from_fn(guard))
        .with_state(shared)
}

fn of_chain(routes: Routes) -> Routes {
    const BEFORE: Parameter = Parameter::number("before", "only what is below this height");
    const COUNT: Parameter = Parameter::number("count", "how many at most");
    routes
        .get(Operation::new("/v1/tip", "Where the chain stands", Answer::of::<TipForm>()), tip)
        .get(
            Operation::new(
                "/v1/blocks",
                "Share blocks, those of other branches apart",
                Answer::of::<BlocksForm>(),
            )
            .with(Parameter::number("from", "the lowest height; the newest blocks where it is left out"))
            .with(COUNT),
            blocks,
        )
        .get(
            Operation::new("/v1/shares/{id}", "A share or share block", Answer::of::<ShownForm>())
                .with(Parameter::in_path("id", "the share's id")),
            share,
        )
        .get(
            Operation::new("/v1/payouts", "What a coinbase pays", Answer::of::<PayoutsForm>())
                .with(Parameter::text(
                    "share",
                    "the share whose coinbase it is; else the next Bitcoin block's",
                ))
                .with(Parameter::number("class", "payout class of the next Bitcoin block"))
                .with(Parameter::number("from", "owners with larger scores that are left out"))
                .with(Parameter::number("count", "owners at most")),
            payouts,
        )
        .get(Operation::new("/v1/pool", "The work of the whole pool", Answer::of::<PoolForm>()), pool)
        .get(
            Operation::new(
                "/v1/owners/{address}",
                "An owner's work, expectations, payments and credits",
                Answer::of::<AccountForm>(),
            )
            .with(Parameter::in_path("address", "the owner's Bitcoin address"))
            .with(BEFORE)
            .with(COUNT),
            owner,
        )
        .get(
            Operation::new(
                "/v1/bitcoin-blocks",
                "Bitcoin blocks that the pool has found, newest first",
                Answer::of::<FoundForm>(),
            )
            .with(BEFORE)
            .with(COUNT),
            bitcoin_blocks,
        )
        .get(
            Operation::new(
                "/v1/payments",
                "What Bitcoin blocks paid the owners that this node works for, newest first",
                Answer::of::<PaymentsForm>(),
            )
            .with(BEFORE)
            .with(COUNT),
            payments,
        )
        .get(
            Operation::new("/v1/payments.csv", "The same as a table", Answer::Lines("text/csv"))
                .with(BEFORE)
                .with(COUNT),
            payments_csv,
        )
        .get(
            Operation::new(
                "/v1/signals",
                "Signal bits, by the work that carries them",
                Answer::of::<SignalsForm>(),
            ),
            signals,
        )
        .get(
            Operation::new(
                "/v1/export",
                "The whole chain, a JSON object a line",
                Answer::Lines("application/x-ndjson"),
            ),
            export,
        )
}

fn of_history(routes: Routes) -> Routes {
    const SERIES: Parameter = Parameter::text("series", "node (the usual one), pool, or worker:NAME");
    const SECONDS: Parameter = Parameter::number(
        "seconds",
        "how far back, six hours where it is left out; the further, the coarser",
    );
    routes
        .get(
            Operation::new("/v1/history", "What miners did, over time", Answer::of::<HistoryForm>())
                .with(SERIES)
                .with(SECONDS),
            history,
        )
        .get(
            Operation::new("/v1/history.csv", "The same as a table", Answer::Lines("text/csv"))
                .with(SERIES)
                .with(SECONDS),
            history_csv,
        )
        .get(Operation::new("/v1/history/series", "All series", Answer::of::<SeriesListForm>()), series)
}

fn of_node(routes: Routes) -> Routes {
    routes
        .get(Operation::new("/v1/health", "What should be looked at", Answer::of::<HealthForm>()), health_of)
        .get(
            Operation::new("/v1/bitcoinds", "What Bitcoin's side says", Answer::of::<BitcoindsForm>()),
            bitcoinds,
        )
        .get(
            Operation::new("/v1/miners", "Miners, and where they connect", Answer::of::<MinersForm>())
                .with(Parameter::number("from", "miners that came earlier and are left out"))
                .with(Parameter::number("count", "miners at most")),
            miners,
        )
        .get(Operation::new("/v1/peers", "Connected nodes", Answer::of::<PeersForm>()), peers)
        .get(Operation::new("/v1/bans", "Refused nodes", Answer::of::<BansForm>()), bans)
        .get(
            Operation::new(
                "/v1/events",
                "What happens, as it happens (server-sent events)",
                Answer::events::<EventForm>(),
            ),
            events,
        )
        .get(
            Operation::new(
                "/metrics",
                "Numbers for Prometheus",
                Answer::Lines("application/openmetrics-text"),
            ),
            metrics,
        )
        .post(
            Operation::new("/v1/bans", "Refuses nodes", Answer::of::<BannedForm>())
                .taking::<BanRequestForm>(),
            ban,
        )
        .post(
            Operation::new("/v1/bans/lift", "Lifts bans", Answer::of::<LiftedForm>()).taking::<LiftForm>(),
            lift,
        )
        .post(
            Operation::new("/v1/peers", "Connects to a node", Answer::of::<ConnectingForm>())
                .taking::<ConnectForm>(),
            connect,
        )
        .post(Operation::new("/v1/stop", "Stops the node", Answer::of::<StoppingForm>()).writing(), stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_first_search_is_waited_for_but_not_for_long() {
        let (shown, view) = watch::channel(Shown::Nothing);
        let ports = Ports { ledger: Some(view), ..Ports::default() };
        let shared = Shared::new(None, ports, CancellationToken::new());
        assert_eq!(shared.ledger().await.err(), Some(ReadError::NotYet));
        let late = async {
            tokio::time::sleep(FIRST_LOOK / 2).await;
            shown.send_replace(Shown::Ledger(Arc::default()));
        };
        let (ledger, ()) = tokio::join!(shared.ledger(), late);
        assert!(ledger.expect("it came in time").blocks().is_empty());
    }
}
