//! The part of the interface that is about the node itself: how it does, its end, and who may change things.

use super::events::Events;
use super::form::{BitcoindForm, BitcoindsForm, StoppingForm, TemplateForm};
use super::health::{BitcoindFacts, ChainFacts, Facts, health};
use super::read::account::NextValue;
use super::reply::{fault, form};
use super::routes::Shared;
use super::source::{ReadError, ask};
use crate::chain::now;
use crate::metrics::Metrics;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use std::fmt;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// The node as the interface sees it.
#[derive(Clone)]
pub struct NodePort {
    /// What is known of it now; the chain's part is left out.
    pub facts: Arc<dyn Fn() -> Facts + Send + Sync>,
    /// The next Bitcoin block as the newest template has it.
    pub next_value: Arc<dyn Fn() -> Option<NextValue> + Send + Sync>,
    /// What happens.
    pub events: Events,
    /// What is counted and measured.
    pub metrics: Metrics,
    /// Cancelled by whoever wants the node to stop.
    pub stop: CancellationToken,
}

impl fmt::Debug for NodePort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodePort").finish_non_exhaustive()
    }
}

/// Whether the request shows the token.
pub(super) fn shows_token(shared: &Shared, headers: &HeaderMap) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shared.ports.token.as_ref();
    token.zip(shown).is_some_and(|(token, shown)| token.is_shown_by(shown))
}

/// The answer to a request that does not.
pub(super) fn token_wanted() -> Response {
    fault(
        StatusCode::UNAUTHORIZED,
        "this changes something, so the Authorization header must show the token of the file api-token",
    )
}

pub(super) async fn health_of(shared: Shared) -> Response {
    let Some(node) = &shared.ports.node else { return nothing_known() };
    form(health(&gather(&shared, node).await))
}

/// What the bitcoinds say, whether or not something is wrong.
pub(super) async fn bitcoinds(shared: Shared) -> Response {
    let Some(node) = &shared.ports.node else { return nothing_known() };
    let facts = (node.facts)();
    let bitcoinds = facts
        .bitcoinds
        .into_iter()
        .map(|BitcoindFacts { name, template_height, error }| BitcoindForm { name, template_height, error });
    form(BitcoindsForm {
        bitcoinds: bitcoinds.collect(),
        template: (node.next_value)()
            .map(|next| TemplateForm { bitcoin_height: next.height.0, satoshis: next.satoshis }),
        silent_seconds: facts.silent_seconds,
        clock_ahead_seconds: facts.clock_ahead_seconds,
    })
}

fn nothing_known() -> Response {
    fault(StatusCode::NOT_FOUND, "nothing is known of the node here")
}

/// All that is known of the node, the chain's part included.
pub(super) async fn gather(shared: &Shared, node: &NodePort) -> Facts {
    // Without an answer of the chain the rest is still worth telling.
    let chain = chain_facts(shared).await.unwrap_or_else(|error| {
        tracing::debug!(%error, "the chain gives no facts");
        None
    });
    Facts { chain, ..(node.facts)() }
}

async fn chain_facts(shared: &Shared) -> Result<Option<ChainFacts>, ReadError> {
    let Some(source) = &shared.source else { return Ok(None) };
    // This one waits: what is wrong should be told when much is asked, too.
    let Ok(_permit) = shared.questions.acquire().await else { return Ok(None) };
    ask(source.as_ref(), |reader| {
        let chain = &reader.chain;
        let tip = chain.block_at(chain.height());
        Ok(Some(ChainFacts {
            bitcoin_height: chain.headers().best().height.0,
            tip_age_seconds: tip.map(|tip| now().seconds_since(tip.time)),
            spacing_seconds: chain.params().spacing,
        }))
    })
    .await
}

pub(super) async fn stop(shared: Shared, headers: HeaderMap) -> Response {
    if !shows_token(&shared, &headers) {
        return token_wanted();
    }
    let Some(node) = &shared.ports.node else {
        return fault(StatusCode::NOT_FOUND, "there is no node here to be stopped");
    };
    tracing::info!("asked to stop by the interface");
    node.stop.cancel();
    form(StoppingForm { stopping: true })
}
