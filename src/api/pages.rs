//! The dashboard's files, served as they are in the program.

use crate::dashboard::{File, INDEX, OWNER, POLICY, files};
use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

/// Adds the pages and what they are made of. They are no part of the interface's document: programs do not ask for them.
pub(super) fn with_pages<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    let router = router
        .route("/", get(|| async { answer(INDEX) }))
        .route("/owners/{address}", get(|| async { answer(OWNER) }));
    files().fold(router, |router, (path, file)| router.route(&path, get(move || async move { answer(file) })))
}

fn answer(file: File) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, file.kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        // Addresses of owners are nobody's business.
        (REFERRER_POLICY, "no-referrer"),
    ];
    (headers, file.text).into_response()
}
