//! The dashboard: what is sent to browsers, byte by byte, and what a real one makes of it.

mod browser;
mod compare;
mod places;
mod seen;
mod text;
mod words;

use super::network::served;
use super::raw::{ask, body, raw, status};
use commonwork::dashboard::{INDEX, OWNER, POLICY, files};

/// Where a page is, and where a part of one is.
const PAGES: [&str; 2] = ["/", "/owners/bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"];

#[tokio::test]
async fn pages_and_their_parts_are_sent_as_they_are_in_the_program() {
    let served = served().await;
    let address = served.client.address();
    let pages = PAGES.map(str::to_owned).into_iter().zip([INDEX, OWNER]);
    for (path, file) in pages.chain(files()) {
        let answer = ask(address, &format!("GET {path}"), &[]).await;
        assert_eq!(status(&answer), Some(200), "{path}: {answer}");
        assert_eq!(body(&answer), file.text, "{path}");
        let (head, _) = answer.split_once("\r\n\r\n").expect("a head");
        for wanted in [
            format!("content-type: {}", file.kind),
            format!("content-security-policy: {POLICY}"),
            "x-content-type-options: nosniff".into(),
            "referrer-policy: no-referrer".into(),
            "cross-origin-resource-policy: same-origin".into(),
        ] {
            assert!(head.lines().any(|line| line == wanted), "{path}: {wanted} is not in {head}");
        }
        assert!(!head.contains("access-control-allow"), "{path}: {head}");
        let other = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        assert_eq!(status(&raw(address, other.as_bytes()).await), Some(405), "{path}");
    }
    for directive in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(POLICY.split("; ").any(|one| one == directive), "{directive}");
    }
    assert!(!POLICY.contains("unsafe"), "{POLICY}");
}

#[tokio::test]
async fn nothing_else_is_at_the_dashboards_addresses() {
    let served = served().await;
    let address = served.client.address();
    for path in [
        "/index.html",
        "/dashboard",
        "/dashboard/",
        "/dashboard/index.html",
        "/dashboard/mod.rs",
        "/dashboard/../api-token",
        "/dashboard/%2e%2e/mod.rs",
        "/dashboard//style.css",
        "/dashboard/style.css/",
        "/owners",
        "/owners/",
        "/owners/..",
        "/owners/a/b",
        "/owners/%3Cscript%3E",
    ] {
        let answer = ask(address, &format!("GET {path}"), &[]).await;
        assert_eq!(status(&answer), Some(404), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_link_opens_a_page_and_reads_nothing() {
    let served = served().await;
    let address = served.client.address();
    let link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    let typed = ["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"];
    let frame = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"];
    let fetched = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: cors", "Origin: http://evil.example"];
    for page in PAGES {
        let line = format!("GET {page}");
        for (headers, wanted) in [(&link, 200), (&typed, 200), (&frame, 403), (&fetched, 403)] {
            let answer = ask(address, &line, headers).await;
            assert_eq!(status(&answer), Some(wanted), "{page} with {headers:?}: {answer}");
        }
    }
    for path in ["/v1/tip", "/v1/miners", "/v1/export", "/metrics", "/dashboard/index.js", "/nowhere"] {
        let answer = ask(address, &format!("GET {path}"), &link).await;
        assert_eq!(status(&answer), Some(403), "{path}: {answer}");
    }
}
