//! What every request must pass before anything is looked up: whom it was sent to, by whose page, how long it is, and
//! whether its path is plain.
//!
//! The interface has no password, so a page in a browser must not reach it: not under a name of its own (DNS rebinding),
//! and not from another origin, whose request the browser marks.

use super::reply::fault;
use crate::dashboard::is_page;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, ORIGIN, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a request's body.
pub(super) const MAX_BODY: usize = 4 * 1024;
/// What a browser says of the page that a request comes from.
const FETCH_SITE: &str = "sec-fetch-site";
/// What it says of how the request came about, and of what becomes of the answer.
const FETCH_MODE: &str = "sec-fetch-mode";
const FETCH_DEST: &str = "sec-fetch-dest";

/// Passes a request on, or says why not.
pub(super) async fn guard(request: Request, next: Next) -> Response {
    let mut response = match refusal(request.method(), request.uri(), request.headers()) {
        Some((status, why)) => fault(status, why),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    );
    response
}

fn refusal(method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<(StatusCode, &'static str)> {
    let Some(host) = only(headers, HOST.as_str()).filter(|host| names_loopback(host)) else {
        return Some((
            StatusCode::FORBIDDEN,
            "the Host header must name this machine, like 127.0.0.1 or localhost",
        ));
    };
    if uri.authority().is_some_and(|authority| !names_loopback(authority.as_str())) {
        return Some((StatusCode::FORBIDDEN, "the address must name this machine"));
    }
    let is_visit = method == Method::GET && is_page(uri.path()) && opens_a_page(headers);
    if !is_visit && !is_own_page(host, headers) {
        return Some((StatusCode::FORBIDDEN, "pages of other origins get no answer"));
    }
    if !is_plain(uri.path()) {
        return Some((StatusCode::NOT_FOUND, "there is nothing at this address"));
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > MAX_BODY as u64) {
        return Some((StatusCode::PAYLOAD_TOO_LARGE, "the body is too long"));
    }
    None
}

/// The value of a header that is there once.
fn only<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    first.to_str().ok()
}

/// Whether it was no page that sent this, or one that this interface served itself.
fn is_own_page(host: &str, headers: &HeaderMap) -> bool {
    let own_origin = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    };
    // `none` is somebody who typed the address.
    let own_site = |site: &HeaderValue| site == "same-origin" || site == "none";
    headers.get_all(ORIGIN).iter().all(own_origin) && headers.get_all(FETCH_SITE).iter().all(own_site)
}

/// Whether somebody follows a link, and sees the answer in place of the page with the link: not in a frame of it, and not
/// where its scripts could read it.
fn opens_a_page(headers: &HeaderMap) -> bool {
    only(headers, FETCH_MODE) == Some("navigate")
        && only(headers, FETCH_DEST) == Some("document")
        && !headers.contains_key(ORIGIN)
}

/// Whether a Host header (`HOST[:PORT]`) names loopback.
fn names_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<SocketAddr>() {
        return address.ip().is_loopback();
    }
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return ip.is_loopback();
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    name.eq_ignore_ascii_case("localhost") && port.parse::<u16>().is_ok()
}

/// Whether a path means what it says: no steps up, no empty steps, nothing that hides behind a percent sign.
fn is_plain(path: &str) -> bool {
    let is_allowed = |c: u8| c.is_ascii_alphanumeric() || b"-._~/".contains(&c);
    path.bytes().all(is_allowed)
        && !path.contains("//")
        && !path.split('/').any(|step| step == "." || step == "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_a_host() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:3380",
            "localhost",
            "LOCALHOST:3380",
            "[::1]",
            "[::1]:3380",
            "127.9.9.9:1",
        ] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "example.org",
            "127.0.0.1.example.org",
            "localhost.example.org:3380",
            "localhost:evil",
            "10.0.0.1:3380",
            "[::2]:1",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }

    #[test]
    fn only_plain_paths_are_looked_up() {
        for path in ["/", "/v1/tip", "/v1/shares/00ab", "/app.v2.js", "/a..b"] {
            assert!(is_plain(path), "{path}");
        }
        for path in ["//v1/tip", "/v1//tip", "/v1/../tip", "/..", "/v1/.", "/%2e%2e/x", "/v1/tip%00", "/a\\b"]
        {
            assert!(!is_plain(path), "{path}");
        }
    }

    fn status(headers: &[(&str, &str)]) -> Option<u16> {
        status_of(&Method::GET, "/v1/tip", headers)
    }

    fn status_of(method: &Method, path: &'static str, headers: &[(&str, &str)]) -> Option<u16> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        refusal(method, &Uri::from_static(path), &map).map(|(status, _)| status.as_u16())
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let host = ("host", "localhost:3380");
        for fine in [
            &[host][..],
            &[host, ("origin", "http://localhost:3380"), ("sec-fetch-site", "same-origin")],
            &[host, ("sec-fetch-site", "none")],
            &[host, ("content-length", "4096")],
        ] {
            assert_eq!(status(fine), None, "{fine:?}");
        }
        for foreign in [
            &[][..],
            &[host, host],
            &[host, ("origin", "http://localhost:8080")],
            &[host, ("origin", "https://localhost:3380")],
            &[host, ("origin", "http://evil.example")],
            &[host, ("origin", "null")],
            &[host, ("origin", "http://localhost:3380"), ("origin", "http://evil.example")],
            &[host, ("sec-fetch-site", "cross-site")],
            &[host, ("sec-fetch-site", "same-site")],
        ] {
            assert_eq!(status(foreign), Some(403), "{foreign:?}");
        }
        assert_eq!(status(&[host, ("content-length", "4097")]), Some(413));
    }

    #[test]
    fn links_lead_to_pages_and_nowhere_else() {
        let link = [
            ("host", "localhost:3380"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        for page in ["/", "/owners/bc1qxyz"] {
            assert_eq!(status_of(&Method::GET, page, &link), None, "{page}");
            assert_eq!(status_of(&Method::POST, page, &link), Some(403), "{page}");
            for (at, value) in [(2, "cors"), (2, "no-cors"), (3, "iframe"), (3, "script"), (3, "image")] {
                let mut other = link;
                other[at].1 = value;
                assert_eq!(status_of(&Method::GET, page, &other), Some(403), "{page} with {value}");
            }
            let with_origin = [&link[..], &[("origin", "http://evil.example")]].concat();
            assert_eq!(status_of(&Method::GET, page, &with_origin), Some(403), "{page}");
            let elsewhere = [&[("host", "evil.example")][..], &link[1..]].concat();
            assert_eq!(status_of(&Method::GET, page, &elsewhere), Some(403), "{page}");
        }
        for path in ["/v1/tip", "/v1/owners/bc1qxyz", "/dashboard/index.js", "/owners/", "/metrics"] {
            assert_eq!(status_of(&Method::GET, path, &link), Some(403), "{path}");
        }
    }
}
