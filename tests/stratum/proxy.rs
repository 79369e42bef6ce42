//! Proxies in front of the node, which say for whom they connect.

use super::{Client, Running, Setup, soon, tls, wire};
use crate::support::server::knock_too_often;
use commonwork::stratum::server::Limits;
use rustls::version::TLS13;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const HEADER: &str = "PROXY TCP4 192.0.2.7 10.0.0.1 56324 3333\r\n";
const SUBSCRIBE: &str = r#"{"id":1,"method":"mining.subscribe","params":[]}"#;

/// A server that believes proxies on this machine.
fn believing() -> Setup {
    Setup { proxies: vec!["127.0.0.0/8".parse().expect("a network")], ..Setup::default() }
}

/// The one session's address, as the server sees it.
fn remote(running: &Running) -> String {
    let snapshot = running.miners();
    assert_eq!(snapshot.len(), 1);
    snapshot[0].visitor.remote.to_string()
}

#[tokio::test]
async fn a_connection_has_the_address_that_its_proxy_says() {
    let version_2 = [
        &b"\r\n\r\n\0\r\nQUIT\n"[..],
        &[0x21, 0x11, 0, 15, 192, 0, 2, 7, 10, 0, 0, 1, 0xdc, 0x04, 0x0d, 0x05, 4, 0, 0],
    ];
    for header in [HEADER.as_bytes(), &version_2.concat()] {
        let running = believing().start();
        running.publish(wire::easy(1));
        let mut client = Client::connect(running.address).await;
        // In two parts, with the first line behind the second.
        client.write.write_all(&header[..9]).await.expect("written");
        tokio::task::yield_now().await;
        client.write.write_all(&[&header[9..], SUBSCRIBE.as_bytes(), b"\n"].concat()).await.expect("written");
        assert!(client.line().await["error"].is_null());
        assert_eq!(remote(&running), "192.0.2.7:56324");
        client.log_in().await;
        assert_eq!(client.ask(&wire::submit(3, 1, 1)).await["result"], true);
        soon(running.stop()).await;
    }
}

#[tokio::test]
async fn a_proxy_that_says_nothing_of_it_is_served_as_what_it_is() {
    let running = believing().start();
    running.publish(wire::easy(1));
    let (_client, _) = Client::mining(&running).await;
    assert!(remote(&running).starts_with("127.0.0.1:"));
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_proxy_speaks_before_tls_does() {
    let (folder, identity) = tls::identity();
    let running = Setup { tls: Some(identity), ..believing() }.start();
    let mut stream = soon(TcpStream::connect(running.address)).await.expect("a connection");
    stream.write_all(HEADER.as_bytes()).await.expect("written");
    let certificate = folder.path().join("certificate");
    let mut client = tls::over(stream, &certificate, &TLS13).await.expect("trusted");
    assert!(client.ask(SUBSCRIBE).await["error"].is_null());
    assert_eq!(remote(&running), "192.0.2.7:56324");
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_is_not_believed_or_says_it_wrongly_is_sent_away() {
    let running = Setup::default().start();
    let mut stranger = Client::connect(running.address).await;
    stranger.write.write_all([HEADER, SUBSCRIBE, "\n"].concat().as_bytes()).await.expect("written");
    assert!(stranger.next().await.is_none());
    soon(running.stop()).await;

    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let running = Setup { limits, ..believing() }.start();
    for wrong in ["PROXY TCP4 1 2 3 4\r\n", "PROXY "] {
        let mut client = Client::connect(running.address).await;
        client.write.write_all(wrong.as_bytes()).await.expect("written");
        assert!(client.next().await.is_none(), "{wrong}");
    }
    assert_eq!(running.sessions.count(), 0);
    soon(running.stop()).await;
}

/// A connection for this address, if it is let in; without one, for whom is not said.
async fn connect_for(running: &Running, ip: Option<&str>) -> Option<BufReader<TcpStream>> {
    let mut stream = BufReader::new(soon(TcpStream::connect(running.address)).await.expect("a connection"));
    let header = ip.map(|ip| format!("PROXY TCP4 {ip} 10.0.0.1 1 2\r\n")).unwrap_or_default();
    let said = format!("{header}{SUBSCRIBE}\n");
    stream.write_all(said.as_bytes()).await.expect("written");
    matches!(soon(stream.read_u8()).await, Ok(b'{')).then_some(stream)
}

/// Whether a connection for this address is let in.
async fn is_let_in(running: &Running, ip: &str) -> bool {
    connect_for(running, Some(ip)).await.is_some()
}

#[tokio::test]
async fn limits_are_for_the_address_that_is_said() {
    let running = Setup { most_sessions: 10_000, ..believing() }.start();
    knock_too_often(async || is_let_in(&running, "192.0.2.9").await).await;
    assert!(is_let_in(&running, "192.0.2.10").await, "others are undisturbed");
    soon(running.stop()).await;
}

#[tokio::test]
async fn one_address_gets_every_fourth_place_and_leaves_the_others() {
    let running = Setup { most_sessions: 8, ..believing() }.start();
    let mut held = Vec::new();
    for ip in ["192.0.2.9", "192.0.2.10"] {
        held.push(connect_for(&running, Some(ip)).await.expect("a place"));
        held.push(connect_for(&running, Some(ip)).await.expect("another"));
        assert!(!is_let_in(&running, ip).await, "two of eight are its part");
    }
    // Of many behind one proxy nobody knows whose they are.
    for _ in 0..4 {
        held.push(connect_for(&running, None).await.expect("a place"));
    }
    assert_eq!(running.sessions.count(), 8);
    assert!(!is_let_in(&running, "192.0.2.11").await, "all are taken");
    soon(running.stop()).await;
}
