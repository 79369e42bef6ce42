//! Answers and what requests are read from, in one form for all addresses.

use super::form::ErrorForm;
use super::guard::MAX_BODY;
use super::source::ReadError;
use axum::body::Body;
use axum::extract::{FromRequestParts, Query};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Json, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An error in words.
pub(super) fn fault(status: StatusCode, message: &str) -> Response {
    (status, Json(ErrorForm { error: message.to_owned() })).into_response()
}

/// A form.
pub(super) fn form(form: impl Serialize) -> Response {
    Json(form).into_response()
}

/// The answer to a question to the chain.
pub(super) fn outcome(answer: Result<impl Serialize, ReadError>) -> Response {
    match answer {
        Ok(answer) => form(answer),
        Err(error) => refuse(&error),
    }
}

/// Why the chain has no answer.
pub(super) fn refuse(error: &ReadError) -> Response {
    let status = match error {
        ReadError::UnknownShare(_) | ReadError::Pruned(_) | ReadError::Gone(_) => StatusCode::NOT_FOUND,
        ReadError::Class { .. } => StatusCode::BAD_REQUEST,
        ReadError::NextBlock(_) | ReadError::NotYet | ReadError::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        ReadError::Store(_) | ReadError::Ledger(_) | ReadError::OtherCoinbase(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    fault(status, &error.to_string())
}

/// What stands behind the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(fault(StatusCode::BAD_REQUEST, &error.body_text())),
        }
    }
}

/// Reads a body that has not been looked at yet. `like` shows people a right one.
pub(super) async fn body<T: DeserializeOwned>(body: Body, like: &str) -> Result<T, Response> {
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY).await else {
        return Err(fault(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or broke off"));
    };
    serde_json::from_slice(&bytes)
        .map_err(|_| fault(StatusCode::BAD_REQUEST, &format!("the body must be like {like}")))
}
