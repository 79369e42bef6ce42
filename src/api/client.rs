//! Asks the interface of a node that runs on this machine.

use super::form::{
    AccountForm, BanRequestForm, BannedForm, BansForm, BlocksForm, ConnectForm, ConnectingForm, ErrorForm,
    FoundForm, HealthForm, HistoryForm, LiftForm, LiftedForm, MinersForm, PaymentsForm, PayoutsForm,
    PeersForm, PoolForm, ShownForm, SignalsForm, StoppingForm, TipForm,
};
use super::token::Token;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sharechain::share::ShareId;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpStream;

/// How long the node may take for an answer, an export aside.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes of an answer, an export aside: a share block with 4,096 listed ids is far smaller.
const MAX_ANSWER: usize = 32 << 20;

/// A node's interface.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
}

/// Why a node gave no answer.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no node answers at {address}: {source}")]
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke, or an export was broken off by the node.
    #[error("the connection to the node at {address} broke: {reason}")]
    Broken {
        /// The address.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// The node says why not.
    #[error("{0}")]
    Refused(String),
    /// The answer is of another version.
    #[error(
        "the node at {address} gave an answer that this program does not understand ({reason}); are both of one version?"
    )]
    Answer {
        /// The address.
        address: SocketAddr,
        /// What is wrong with it.
        reason: String,
    },
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(#[source] io::Error),
}

impl Client {
    /// The interface at an address; nothing is opened yet.
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// The address.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The state of the chain.
    pub async fn tip(&self) -> Result<TipForm, ClientError> {
        self.get("/v1/tip").await
    }

    /// Blocks of the active branch, see [`super::read::blocks`].
    pub async fn blocks(&self, from: Option<u32>, count: u32) -> Result<BlocksForm, ClientError> {
        let from = from.map_or(String::new(), |from| format!("&from={from}"));
        self.get(&format!("/v1/blocks?count={count}{from}")).await
    }

    /// A share or share block.
    pub async fn show(&self, id: ShareId) -> Result<ShownForm, ClientError> {
        self.get(&format!("/v1/shares/{id}")).await
    }

    /// What a coinbase pays, see [`super::read`].
    pub async fn payouts(
        &self,
        share: Option<ShareId>,
        class: Option<u16>,
    ) -> Result<PayoutsForm, ClientError> {
        let share = share.map_or(String::new(), |id| format!("share={id}&"));
        let class = class.map_or(String::new(), |class| format!("class={class}"));
        self.get(&format!("/v1/payouts?{share}{class}")).await
    }

    /// Where miners connect, and all of them.
    pub async fn miners(&self) -> Result<MinersForm, ClientError> {
        let mut all: MinersForm = self.get("/v1/miners").await?;
        while let Some(from) = all.next_from {
            let page: MinersForm = self.get(&format!("/v1/miners?from={from}")).await?;
            all.workers.extend(page.workers);
            // A node that leads back would be asked for ever.
            all.next_from = page.next_from.filter(|next| *next > from);
        }
        Ok(all)
    }

    /// The connected peers.
    pub async fn peers(&self) -> Result<PeersForm, ClientError> {
        self.get("/v1/peers").await
    }

    /// The refused peers.
    pub async fn bans(&self) -> Result<BansForm, ClientError> {
        self.get("/v1/bans").await
    }

    /// The work of the whole pool.
    pub async fn pool(&self) -> Result<PoolForm, ClientError> {
        self.get("/v1/pool").await
    }

    /// What is known of the owner with this address; credits of share blocks below the height `before`, at most `count`.
    pub async fn owner(
        &self,
        address: &str,
        before: Option<u32>,
        count: u32,
    ) -> Result<AccountForm, ClientError> {
        let before = before.map_or(String::new(), |before| format!("&before={before}"));
        self.get(&format!("/v1/owners/{address}?count={count}{before}")).await
    }

    /// Bitcoin blocks that the pool has found, below the height `before`, at most `count`.
    pub async fn bitcoin_blocks(&self, before: Option<u32>, count: u32) -> Result<FoundForm, ClientError> {
        let before = before.map_or(String::new(), |before| format!("&before={before}"));
        self.get(&format!("/v1/bitcoin-blocks?count={count}{before}")).await
    }

    /// What they paid the owners that the node works for: below the height `before`, at most `count`.
    pub async fn payments(&self, before: Option<u32>, count: u32) -> Result<PaymentsForm, ClientError> {
        let before = before.map_or(String::new(), |before| format!("&before={before}"));
        self.get(&format!("/v1/payments?count={count}{before}")).await
    }

    /// The same as a table in CSV: as many of the newest as the node gives.
    pub async fn payments_csv(&self) -> Result<String, ClientError> {
        self.text("/v1/payments.csv").await
    }

    /// Signal bits, by the work that carries them.
    pub async fn signals(&self) -> Result<SignalsForm, ClientError> {
        self.get("/v1/signals").await
    }

    /// What miners did in so many seconds, of the series with this name.
    pub async fn history(&self, series: &str, seconds: u64) -> Result<HistoryForm, ClientError> {
        self.get(&history_path("/v1/history", series, seconds)).await
    }

    /// The same as a table in CSV.
    pub async fn history_csv(&self, series: &str, seconds: u64) -> Result<String, ClientError> {
        self.text(&history_path("/v1/history.csv", series, seconds)).await
    }

    async fn text(&self, path: &str) -> Result<String, ClientError> {
        let (status, body) = self.whole(self.ask(path)).await?;
        if status != StatusCode::OK {
            return Err(self.refusal(status, &body));
        }
        String::from_utf8(body.into()).map_err(|error| self.broken(error))
    }

    /// What should be looked at.
    pub async fn health(&self) -> Result<HealthForm, ClientError> {
        self.get("/v1/health").await
    }

    /// Lifts bans: `all`, those of an address, or that of an identity.
    pub async fn lift(&self, which: &str, token: &Token) -> Result<LiftedForm, ClientError> {
        self.post("/v1/bans/lift", &LiftForm { which: which.to_owned() }, token).await
    }

    /// Refuses peers.
    pub async fn ban(&self, request: &BanRequestForm, token: &Token) -> Result<BannedForm, ClientError> {
        self.post("/v1/bans", request, token).await
    }

    /// Has the node connect to another.
    pub async fn connect(&self, address: &str, token: &Token) -> Result<ConnectingForm, ClientError> {
        self.post("/v1/peers", &ConnectForm { address: address.to_owned() }, token).await
    }

    /// Stops the node.
    pub async fn stop(&self, token: &Token) -> Result<StoppingForm, ClientError> {
        let request = Request::post("/v1/stop").header(hyper::header::AUTHORIZATION, token.header());
        self.exchange(self.send(request, Bytes::new())).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        form: &impl Serialize,
        token: &Token,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(form).map_err(|e| self.broken(e))?;
        let request = Request::post(path).header(hyper::header::AUTHORIZATION, token.header());
        self.exchange(self.send(request, body.into())).await
    }

    /// The whole chain as lines of JSON (see [`super::export`]), given to `sink` in pieces that may end anywhere.
    pub async fn export(&self, mut sink: impl FnMut(&[u8]) -> io::Result<()>) -> Result<(), ClientError> {
        let response = self.within(PATIENCE, self.ask("/v1/export")).await?;
        let (status, mut body) = (response.status(), response.into_body());
        if status != StatusCode::OK {
            let whole = Limited::new(body, MAX_ANSWER).collect().await.map_err(|e| self.broken(e))?;
            return Err(self.refusal(status, &whole.to_bytes()));
        }
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(|e| self.broken(e))?.into_data() {
                sink(&data).map_err(ClientError::Output)?;
            }
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.exchange(self.ask(path)).await
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        asked: impl Future<Output = Result<Response<Incoming>, ClientError>>,
    ) -> Result<T, ClientError> {
        let (status, body) = self.whole(asked).await?;
        if status != StatusCode::OK {
            return Err(self.refusal(status, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| ClientError::Answer { address: self.address, reason: error.to_string() })
    }

    async fn whole(
        &self,
        asked: impl Future<Output = Result<Response<Incoming>, ClientError>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let exchange = async {
            let response = asked.await?;
            let status = response.status();
            let body =
                Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|e| self.broken(e))?;
            Ok((status, body.to_bytes()))
        };
        self.within(PATIENCE, exchange).await
    }

    async fn ask(&self, path: &str) -> Result<Response<Incoming>, ClientError> {
        self.send(Request::get(path), Bytes::new()).await
    }

    async fn send(&self, request: Builder, body: Bytes) -> Result<Response<Incoming>, ClientError> {
        let address = self.address;
        let stream =
            TcpStream::connect(address).await.map_err(|source| ClientError::Connect { address, source })?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(e))?;
        // Ends with the answer's body; its errors reach whoever reads that.
        tokio::spawn(connection);
        let request = request
            .header(hyper::header::HOST, address.to_string())
            .header(hyper::header::CONNECTION, "close")
            .body(Full::new(body))
            .map_err(|e| self.broken(e))?;
        sender.send_request(request).await.map_err(|e| self.broken(e))
    }

    async fn within<T>(
        &self,
        patience: Duration,
        exchange: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let late = |_| self.broken(format_args!("no answer in {} s", patience.as_secs()));
        tokio::time::timeout(patience, exchange).await.map_err(late)?
    }

    fn broken(&self, reason: impl ToString) -> ClientError {
        ClientError::Broken { address: self.address, reason: reason.to_string() }
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<ErrorForm>(body) {
            Ok(form) => ClientError::Refused(form.error),
            Err(_) => ClientError::Answer { address: self.address, reason: format!("HTTP status {status}") },
        }
    }
}

fn history_path(path: &str, series: &str, seconds: u64) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("series", series).append_pair("seconds", &seconds.to_string());
    format!("{path}?{}", query.finish())
}
