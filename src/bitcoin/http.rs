//! JSON-RPC over HTTP/1.1 with kept connections: one request, one bounded answer, in bounded time.
//!
//! Small on purpose: bitcoind needs no redirects, cookies, TLS or proxies, so a full HTTP client would bring only risk.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Request, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json, value::RawValue};
use tokio::{net::TcpStream, time::timeout};

use super::{
    BackendError,
    endpoint::{Credentials, Endpoint},
};

/// Longest answer that is read, in bytes; the template of a full block is some 10 MB of JSON.
const MAX_ANSWER: usize = 64 << 20;
/// Most idle connections that are kept.
const MAX_IDLE: usize = 4;
/// Longest excerpt of an unusable answer in an error.
const EXCERPT: usize = 120;

/// JSON-RPC: an error that bitcoind raises while it starts (`RPC_IN_WARMUP`).
const IN_WARMUP: i64 = -28;
/// An error while it fetches old blocks (`RPC_CLIENT_IN_INITIAL_DOWNLOAD`).
const IN_INITIAL_DOWNLOAD: i64 = -10;
/// An error while it has no peers (`RPC_CLIENT_NOT_CONNECTED`).
const NOT_CONNECTED: i64 = -9;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a TCP connection.
    pub connect: Duration,
    /// For a whole call, the connection included.
    pub call: Duration,
    /// For a call that answers when something happens. It only has to end at last.
    pub long_poll: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self { connect: secs(5), call: secs(20), long_poll: secs(6 * 3_600) }
    }
}

/// The error of a single call, as JSON-RPC gives it.
#[derive(Debug, Deserialize)]
pub(super) struct CallError {
    pub(super) code: i64,
    pub(super) message: String,
}

/// A JSON-RPC server.
pub(super) struct JsonRpc {
    name: String,
    endpoint: Endpoint,
    credentials: Credentials,
    patience: Patience,
    idle: Mutex<Vec<Connection>>,
}

type Connection = SendRequest<Full<Bytes>>;

impl JsonRpc {
    pub(super) fn new(endpoint: Endpoint, credentials: Credentials, patience: Patience) -> Self {
        let name = format!("bitcoind at {endpoint}");
        Self { name, endpoint, credentials, patience, idle: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Calls a method and reads its result.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, BackendError> {
        let answer = self.post(method, request(0, method, params), self.patience.call).await?;
        self.result(method, &answer, |json| serde_json::from_str(json).map_err(|e| e.to_string()))
    }

    /// Calls a method that waits for something to happen; the answer is passed on unread.
    pub(super) async fn call_raw(
        &self,
        method: &'static str,
        params: Value,
        long: bool,
    ) -> Result<Bytes, BackendError> {
        let patience = if long { self.patience.long_poll } else { self.patience.call };
        self.post(method, request(0, method, params), patience).await
    }

    /// Calls a method once for each set of parameters, all in one request; the results are in the same order.
    pub(super) async fn call_each<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: impl Iterator<Item = Value>,
    ) -> Result<Vec<Result<T, CallError>>, BackendError> {
        let calls: Vec<Value> = params.enumerate().map(|(id, params)| request(id, method, params)).collect();
        let count = calls.len();
        let answer = self.post(method, Value::Array(calls), self.patience.call).await?;
        let answers: Vec<Answer<'_>> = serde_json::from_slice(&answer)
            .map_err(|e| self.malformed(method, format!("{e}: {}", excerpt(&answer))))?;
        if answers.len() != count || answers.iter().enumerate().any(|(id, answer)| answer.id != Some(id)) {
            return Err(self.malformed(method, "the answers to a batch are not those to its calls".into()));
        }
        answers
            .into_iter()
            .map(|answer| match answer.error {
                Some(error) => Ok(Err(error)),
                None => serde_json::from_str(answer.result())
                    .map(Ok)
                    .map_err(|e| self.malformed(method, e.to_string())),
            })
            .collect()
    }

    /// The result in an answer, read by `read`.
    pub(super) fn result<T>(
        &self,
        method: &'static str,
        answer: &[u8],
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, BackendError> {
        let envelope: Answer<'_> = serde_json::from_slice(answer)
            .map_err(|e| self.malformed(method, format!("{e}: {}", excerpt(answer))))?;
        match envelope.error {
            Some(error) => Err(self.refused(method, error)),
            None => read(envelope.result()).map_err(|reason| self.malformed(method, reason)),
        }
    }

    /// The error for a call that was answered with an error.
    pub(super) fn refused(
        &self,
        method: &'static str,
        CallError { code, message }: CallError,
    ) -> BackendError {
        let backend = self.name.clone();
        match code {
            IN_WARMUP | IN_INITIAL_DOWNLOAD | NOT_CONNECTED => BackendError::Syncing { backend, message },
            _ => BackendError::Rpc { backend, method, code, message },
        }
    }

    pub(super) fn malformed(&self, method: &'static str, reason: String) -> BackendError {
        BackendError::Malformed { backend: self.name.clone(), method, reason }
    }

    fn unreachable(&self, reason: impl ToString) -> BackendError {
        BackendError::Unreachable { backend: self.name.clone(), reason: reason.to_string() }
    }

    fn unauthorized(&self, reason: impl ToString) -> BackendError {
        BackendError::Unauthorized { backend: self.name.clone(), reason: reason.to_string() }
    }

    /// Sends a body and gives the answer's body, if it is one that JSON-RPC servers send.
    async fn post(
        &self,
        method: &'static str,
        body: Value,
        patience: Duration,
    ) -> Result<Bytes, BackendError> {
        let exchange = async {
            let body = Bytes::from(body.to_string());
            let (status, answer) = self.send(method, &body).await?;
            match status {
                StatusCode::UNAUTHORIZED => Err(self.unauthorized("wrong user, password or cookie")),
                StatusCode::FORBIDDEN => Err(self.unauthorized("this address is not allowed")),
                // "Work queue depth exceeded": nothing was done.
                StatusCode::SERVICE_UNAVAILABLE => Err(self.unreachable(excerpt(&answer))),
                // Errors come as 404 and 500 with a JSON body.
                _ if answer.is_empty() => Err(self.malformed(method, format!("HTTP status {status}"))),
                _ => Ok(answer),
            }
        };
        match timeout(patience, exchange).await {
            Ok(result) => result,
            Err(_) => Err(self.unreachable(format!("no answer to {method} in {} s", patience.as_secs_f32()))),
        }
    }

    async fn send(&self, method: &'static str, body: &Bytes) -> Result<(StatusCode, Bytes), BackendError> {
        let authorization = self.credentials.header().await.map_err(|error| {
            if error.is_missing() { self.unreachable(error) } else { self.unauthorized(error) }
        })?;
        let request = || {
            Request::post(self.endpoint.path())
                .header(header::HOST, self.endpoint.to_string())
                .header(header::AUTHORIZATION, &authorization)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(body.clone()))
                .map_err(|_| {
                    self.unauthorized("the cookie or the path holds characters that HTTP does not allow")
                })
        };
        // bitcoind closes idle connections, and a restart breaks them: then a new one is worth a second try. Every
        // call of this program may be made twice.
        if let Some(mut connection) = self.take_idle()
            && let Ok(response) = connection.send_request(request()?).await
        {
            return self.read(method, connection, response).await;
        }
        let mut connection = self.connect().await?;
        let response = connection.send_request(request()?).await.map_err(|e| self.unreachable(e))?;
        self.read(method, connection, response).await
    }

    async fn read(
        &self,
        method: &'static str,
        connection: Connection,
        response: hyper::Response<Incoming>,
    ) -> Result<(StatusCode, Bytes), BackendError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(|error| {
            // The limit is the only error of the body that is not the connection's.
            if error.is::<hyper::Error>() {
                self.unreachable(error)
            } else {
                self.malformed(method, error.to_string())
            }
        })?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(connection);
        }
        Ok((status, body.to_bytes()))
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, BackendError> {
        let connect = async {
            let stream = TcpStream::connect((self.endpoint.host(), self.endpoint.port())).await?;
            stream.set_nodelay(true)?;
            Ok::<_, std::io::Error>(stream)
        };
        let patience = self.patience.connect;
        let stream = timeout(patience, connect)
            .await
            .map_err(|_| self.unreachable(format!("no connection in {} s", patience.as_secs_f32())))?
            .map_err(|e| self.unreachable(e))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| self.unreachable(e))?;
        // Ends with the last use of the sender; its errors reach whoever waits for an answer.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// An answer; one that has neither result nor error answers with null.
#[derive(Deserialize)]
struct Answer<'a> {
    id: Option<usize>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<CallError>,
}

impl Answer<'_> {
    fn result(&self) -> &str {
        self.result.map_or("null", RawValue::get)
    }
}

fn request(id: usize, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "1.0", "id": id, "method": method, "params": params})
}

fn excerpt(answer: &[u8]) -> String {
    String::from_utf8_lossy(&answer[..answer.len().min(EXCERPT)]).trim().to_owned()
}

#[cfg(test)]
mod tests;
