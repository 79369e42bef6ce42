//! What strangers and pages of other origins get from the interface, and what it takes to change something.

use super::network::served;
use super::raw::{ask, raw, status};
use commonwork::api::Token;
use std::time::Duration;

/// Each thing that can be changed, with a body that would do it.
const WRITES: [(&str, &str); 4] = [
    ("/v1/bans/lift", r#"{"which":"all"}"#),
    ("/v1/bans", r#"{"who":"192.0.2.1"}"#),
    ("/v1/peers", r#"{"address":"192.0.2.1:3338"}"#),
    ("/v1/stop", ""),
];

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn bearer(token: &Token) -> String {
    format!("Authorization: {}\r\n", token.header())
}

#[tokio::test]
async fn without_the_token_no_write_succeeds() {
    let mut served = served().await;
    let (client, folder, stop) = (&served.client, &served.folder, &served.stop);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let wrong = Token::make(elsewhere.path()).expect("a token");
    let right = Token::read(folder.path()).expect("a token").header();
    let attempts = [
        String::new(),
        bearer(&wrong),
        format!("Authorization: {}\r\n", &right[..right.len() - 1]),
        format!("Authorization: {}\r\n", right.to_lowercase()),
        format!("Authorization: Basic {}\r\n", &right["Bearer ".len()..]),
        format!("Cookie: token={}\r\n", &right["Bearer ".len()..]),
    ];
    for (path, body) in WRITES {
        for headers in &attempts {
            let answer = raw(client.address(), &post(path, headers, body)).await;
            assert_eq!(status(&answer), Some(401), "{path} with {headers:?}: {answer}");
        }
        let answer =
            ask(client.address(), &format!("GET {path}?token={}", &right["Bearer ".len()..]), &[]).await;
        assert!(matches!(status(&answer), Some(200 | 405)), "{path}: {answer}");
    }
    assert!(served.admin.try_recv().is_err(), "nothing reached the network");
    assert!(!stop.is_cancelled(), "and the node runs");
}

#[tokio::test]
async fn with_a_foreign_host_or_origin_there_is_no_answer_even_with_the_token() {
    let mut served = served().await;
    let (client, folder, stop) = (&served.client, &served.folder, &served.stop);
    let token = bearer(&Token::read(folder.path()).expect("a token"));
    let foreign = [
        "Origin: http://evil.example\r\n",
        "Origin: http://localhost:8080\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ];
    for headers in foreign {
        for (path, body) in WRITES {
            let answer = raw(client.address(), &post(path, &format!("{token}{headers}"), body)).await;
            assert_eq!(status(&answer), Some(403), "{path} with {headers:?}: {answer}");
        }
        for path in ["/v1/tip", "/v1/peers", "/v1/health", "/v1/events", "/v1/openapi.json", "/nowhere"] {
            let answer = ask(client.address(), &format!("GET {path}"), &[headers.trim_end()]).await;
            assert_eq!(status(&answer), Some(403), "{path} with {headers:?}: {answer}");
            assert!(!answer.to_lowercase().contains("access-control-allow"), "{answer}");
        }
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:3380", "192.0.2.1", ""] {
        let request = format!("GET /v1/tip HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{token}\r\n");
        let answer = raw(client.address(), request.as_bytes()).await;
        assert!(matches!(status(&answer), Some(400 | 403)), "{host:?}: {answer}");
    }
    for request in [
        "GET /v1/tip HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /v1/tip HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        "GET http://evil.example/v1/tip HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /v1/tip HTTP/1.0\r\n\r\n",
    ] {
        let answer = raw(client.address(), request.as_bytes()).await;
        assert!(matches!(status(&answer), Some(400 | 403)), "{request:?}: {answer}");
    }
    assert!(served.admin.try_recv().is_err(), "nothing reached the network");
    assert!(!stop.is_cancelled(), "and the node runs");
}

#[tokio::test]
async fn path_tricks_lead_nowhere() {
    let served = served().await;
    let client = &served.client;
    for path in [
        "/v1/../v1/tip",
        "/../../../../etc/passwd",
        "/..",
        "/v1/./tip",
        "//v1/tip",
        "/v1//tip",
        "/v1/tip/",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/%2E%2E%2fetc/passwd",
        "/v1%2ftip",
        "/..%5c..%5cetc",
        "/..\\..\\etc",
        "/v1/tip%00",
        "/v1/tip%00.html",
        "/v1/shares/%2e%2e",
        "/v1/shares/..",
        "/v1/owners/%00",
        "/v1/owners/..%2f..%2fapi-token",
        "/api-token",
        "/\u{ff0e}\u{ff0e}/x",
    ] {
        let answer = ask(client.address(), &format!("GET {path}"), &[]).await;
        assert!(matches!(status(&answer), Some(400 | 404)), "{path}: {answer}");
    }
    for line in [&b"GET /v1/tip\0 HTTP/1.1"[..], b"GET /\0 HTTP/1.1", b"GET /v1/t\xff\xfeip HTTP/1.1"] {
        let answer =
            raw(client.address(), &[line, b"\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat())
                .await;
        assert!(matches!(status(&answer), Some(400 | 404)), "{line:?}: {answer}");
    }
    client.tip().await.expect("it still answers");
}

#[tokio::test]
async fn ten_megabytes_are_refused_unread() {
    let mut served = served().await;
    let (client, folder) = (&served.client, &served.folder);
    let token = bearer(&Token::read(folder.path()).expect("a token"));
    const LONG: usize = 10_000_000;
    for (path, _) in WRITES {
        // The head alone: the answer does not wait for the body.
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Length: {LONG}\r\n\r\n");
        let answer =
            tokio::time::timeout(Duration::from_secs(60), raw(client.address(), head.as_bytes())).await;
        let answer = answer.expect("an answer before the body");
        assert_eq!(status(&answer), Some(413), "{path}: {answer}");
        // All of it: the line may be cut before the answer is read, and nothing else may come of it.
        let answer = raw(client.address(), &[head.as_bytes(), &vec![b' '; LONG]].concat()).await;
        assert!(matches!(status(&answer), None | Some(413)), "{path}: {answer}");
        // The same without saying how long it will be.
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{token}Transfer-Encoding: chunked\r\n\r\n");
        let chunk =
            [format!("{LONG:x}\r\n").into_bytes(), vec![b' '; LONG], b"\r\n0\r\n\r\n".to_vec()].concat();
        if path != "/v1/stop" {
            let answer = raw(client.address(), &[head.as_bytes(), &chunk].concat()).await;
            assert!(matches!(status(&answer), None | Some(413)), "{path}: {answer}");
        }
    }
    let head = format!("GET /v1/tip HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LONG}\r\n\r\n");
    assert_eq!(status(&raw(client.address(), head.as_bytes()).await), Some(413));
    assert!(served.admin.try_recv().is_err(), "nothing reached the network");
    client.tip().await.expect("it still answers");
}

#[tokio::test]
async fn answers_are_not_for_other_pages_nor_for_keeping() {
    let served = served().await;
    let client = &served.client;
    let answer = ask(client.address(), "GET /v1/tip", &[]).await.to_lowercase();
    for wanted in [
        "x-content-type-options: nosniff",
        "cache-control: no-store",
        "cross-origin-resource-policy: same-origin",
    ] {
        assert!(answer.contains(wanted), "{wanted} is not in {answer}");
    }
    let own = ["Origin: http://localhost", "Sec-Fetch-Site: same-origin"];
    assert_eq!(status(&ask(client.address(), "GET /v1/tip", &own).await), Some(200), "its own page");
}
