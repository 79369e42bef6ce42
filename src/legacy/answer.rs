//! Answers: JSON-RPC in HTTP, in pieces so that a long list of transactions is shared and not copied.

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use thiserror::Error;

/// Where miners that speak `getwork` wait for new work.
pub(super) const LONG_POLL_PATH: &str = "/lp";
/// Seconds by which the time of a header may be raised: the miner should have asked again by then.
pub(super) const ROLL_SECONDS: u32 = 120;

/// The body of an answer.
#[derive(Debug, Default)]
pub(super) struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// Why a request is not granted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Refused {
    /// The node is not level with its peers, no bitcoind answers, or it goes down.
    #[error(
        "There is nothing to mine on: the node is not level with its peers, has no bitcoind, or goes down"
    )]
    NoWork,
    /// So many of something at once.
    #[error("Too many {0} at once; come back in a moment")]
    TooMany(&'static str),
    /// Neither user nor password.
    #[error("Give the user name ADDRESS.worker and any password by HTTP's basic authentication")]
    NoLogin,
    /// A user that nobody can be credited for, or a password that asks for too little.
    #[error("{0}")]
    Login(String),
    /// All work has been refused for minutes.
    #[error("All work of this miner has been refused for minutes; it begins anew")]
    Broken,
    /// Not a request that is understood here.
    #[error("Send JSON-RPC by POST; {LONG_POLL_PATH} takes GET too")]
    NotPost,
    /// The body did not come in time or whole.
    #[error("The request's body did not come")]
    NoBody,
    /// The body is longer than what is asked for could make it.
    #[error("The request is longer than it need be: only blocks are long")]
    TooLong,
    /// No JSON-RPC.
    #[error("Expected a JSON object with id (of at most 256 bytes), method and params")]
    NoCall,
    /// A method that is not here.
    #[error("{0}. There are getwork, getblocktemplate and submitblock")]
    NoMethod(String),
    /// Parameters that cannot be right.
    #[error("{0}")]
    BadParams(String),
    /// A submission that could not be read.
    #[error("{0}")]
    Unreadable(String),
}

impl Refused {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NoWork | Self::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoLogin | Self::Login(_) => StatusCode::UNAUTHORIZED,
            Self::Broken => StatusCode::FORBIDDEN,
            Self::NotPost => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoBody => StatusCode::REQUEST_TIMEOUT,
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoMethod(_) => StatusCode::NOT_FOUND,
            Self::NoCall | Self::BadParams(_) | Self::Unreadable(_) => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether there is nothing more to say to whoever asks so.
    const fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::NoLogin | Self::Login(_) | Self::Broken | Self::NotPost | Self::TooLong | Self::NoBody
        )
    }

    /// The number that bitcoind has for it.
    const fn code(&self) -> i32 {
        match self {
            Self::NoWork | Self::TooMany(_) | Self::Broken => -10,
            Self::NoLogin | Self::Login(_) => -1,
            Self::NotPost | Self::NoBody | Self::TooLong | Self::NoCall => -32_700,
            Self::NoMethod(_) => -32_601,
            Self::BadParams(_) => -8,
            Self::Unreadable(_) => -22,
        }
    }
}

/// The result of a call, in JSON and in pieces: an answer once the id of the call is put to it.
#[derive(Debug)]
pub(super) struct Reply {
    headers: Vec<(HeaderName, String)>,
    result: Vec<Bytes>,
}

impl Reply {
    /// With this result.
    pub(super) fn new(result: impl Into<Vec<Bytes>>) -> Self {
        Self { headers: Vec::new(), result: result.into() }
    }

    /// And this header besides; the text must be one that HTTP allows, as all of ours are.
    pub(super) fn with(mut self, name: HeaderName, text: impl Into<String>) -> Self {
        self.headers.push((name, text.into()));
        self
    }

    /// The answer to the call with this id.
    pub(super) fn under(self, id: &str) -> Response<Pieces> {
        let head = Bytes::from_static(b"{\"result\":");
        let tail = Bytes::from(format!(",\"error\":null,\"id\":{id}}}\n"));
        let mut response =
            json(StatusCode::OK, [head].into_iter().chain(self.result).chain([tail]).collect());
        let headers = self.headers.into_iter();
        let headers = headers.filter_map(|(name, text)| Some((name, HeaderValue::try_from(text).ok()?)));
        response.headers_mut().extend(headers);
        response
    }
}

/// The answer to a call that is not granted.
pub(super) fn refusal(id: &str, why: &Refused) -> Response<Pieces> {
    let message = serde_json::Value::from(why.to_string());
    let code = why.code();
    let body =
        format!("{{\"result\":null,\"error\":{{\"code\":{code},\"message\":{message}}},\"id\":{id}}}\n");
    let mut response = json(why.status(), [Bytes::from(body)].into());
    let headers = response.headers_mut();
    match why {
        Refused::NoWork | Refused::TooMany(_) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("5"));
        }
        Refused::NoLogin | Refused::Login(_) => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"commonwork\""));
        }
        _ => {}
    }
    if why.ends_connection() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn json(status: StatusCode, pieces: VecDeque<Bytes>) -> Response<Pieces> {
    let mut response = Response::new(Pieces(pieces));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
