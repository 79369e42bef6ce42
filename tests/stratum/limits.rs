//! Connections that must end, and those that must not begin.

use super::{Client, Setup, soon};
use crate::support::jobs::JobMaker;
use commonwork::stratum::server::{Limits, Port};
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const SHORT: Duration = Duration::from_millis(50);
/// Long enough to say something first.
const BRIEF: Duration = Duration::from_secs(2);

/// A server that lets everybody take their time: whoever is dropped is dropped for another reason.
fn patient() -> Setup {
    Setup {
        limits: Limits { handshake: Duration::from_secs(3_600), ..Limits::default() },
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_line_without_an_end_is_an_error_and_the_end() {
    let running = Setup::default().start();
    for line in [vec![b'a'; 8_192], [vec![b' '; 9_000], b"\n".to_vec()].concat(), vec![b'{'; 50_000]] {
        let mut client = Client::connect(running.address).await;
        client.write.write_all(&line).await.expect("written");
        let answer = client.line().await;
        assert_eq!(answer["error"][0], 20, "{answer}");
        assert!(answer["id"].is_null());
        assert!(client.next().await.is_none(), "hung up");
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn garbage_is_an_error_and_in_the_end_the_end() {
    let running = Setup::default().start();
    let mut client = Client::connect(running.address).await;
    for _ in 0..3 {
        assert_eq!(client.ask("GET / HTTP/1.1").await["error"][0], 20);
    }
    assert!(client.next().await.is_none());
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_client_that_begins_with_tls_is_sent_away_at_once() {
    let running = patient().start();
    let mut client = Client::connect(running.address).await;
    client.write.write_all(&[0x16, 3, 1, 0, 5]).await.expect("written");
    assert!(client.next().await.is_none());
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_does_not_log_in_or_goes_silent_is_dropped() {
    let limits = Limits { handshake: BRIEF, ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    let mut mute = Client::connect(running.address).await;
    let mut half = Client::connect(running.address).await;
    half.ask(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).await;
    assert!(mute.next().await.is_none());
    assert!(half.next().await.is_none());
    soon(running.stop()).await;

    let limits = Limits { idle: SHORT, ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    running.publish(JobMaker::default());
    let (mut client, _) = Client::mining(&running).await;
    assert!(client.next().await.is_none());
    soon(running.stop()).await;
}

#[tokio::test]
async fn miners_are_sent_away_while_there_is_nothing_to_mine_on() {
    let running = Setup::default().start();
    running.publish(JobMaker::default());
    let (mut client, _) = Client::mining(&running).await;
    running.open.send_replace(false);
    assert!(client.next().await.is_none());
    let mut refused = Client::connect(running.address).await;
    assert!(refused.next().await.is_none());
    running.open.send_replace(true);
    Client::mining(&running).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn the_number_of_connections_is_bounded() {
    let running = Setup { most_sessions: 2, ..patient() }.start();
    running.publish(JobMaker::default());
    let (first, _) = Client::mining(&running).await;
    let (mut second, _) = Client::mining(&running).await;
    let mut third = Client::connect(running.address).await;
    assert!(third.next().await.is_none());
    drop(first);
    // The place is free once the server has noticed.
    while running.sessions.count() == 2 {
        tokio::task::yield_now().await;
    }
    Client::mining(&running).await;
    assert_eq!(second.ask(r#"{"id":5,"method":"x"}"#).await["error"][0], 20, "the others are undisturbed");
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_is_one_owner_too_many_is_told_so() {
    let running = Setup::default().start();
    running.fill();
    let mut client = Client::connect(running.address).await;
    client.ask(r#"{"id":1,"method":"mining.subscribe","params":["test"]}"#).await;
    client.ask(r#"{"id":2,"method":"mining.authorize","params":["rig"]}"#).await;
    let told = client.line().await;
    assert_eq!(told["method"], "client.show_message");
    assert!(told["params"][0].as_str().is_some_and(|text| text.contains("another node")), "{told}");
    assert!(client.next().await.is_none());
    soon(running.stop()).await;
}

#[tokio::test]
async fn shutting_down_ends_every_connection() {
    let running = Setup::default().start();
    running.publish(JobMaker::default());
    let (mut client, _) = Client::mining(&running).await;
    let sessions = running.sessions.clone();
    soon(running.stop()).await;
    let goodbye = client.line().await;
    assert_eq!(goodbye, json!({"id": null, "method": "client.reconnect", "params": []}));
    assert!(client.next().await.is_none());
    assert_eq!(sessions.count(), 0);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_what_to_do() {
    let running = Setup::default().start();
    let error = Port::plain(running.address).expect_err("in use").to_string();
    assert!(error.contains(&running.address.to_string()) && error.contains("--stratum"), "{error}");
    soon(running.stop()).await;
}
