//! Connections that must end, and those that must not begin.

use super::{Client, Running, Said, Setup, setup, soon};
use crate::support::jobs::JobMaker;
use crate::support::server::knock_too_often;
use codec_sv2::{Handshake, SerializedFrame};
use commonwork::stratum::server::Limits;
use noise_sv2::Initiator;
use parsers_sv2::CommonMessagesOwned;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SHORT: Duration = Duration::from_millis(50);
/// Long enough to say something first.
const BRIEF: Duration = Duration::from_secs(2);
/// So long that whoever is dropped is dropped for another reason.
const LONG: Duration = Duration::from_secs(3_600);

/// A server that lets everybody take their time.
fn patient() -> Setup {
    Setup { limits: Limits { handshake: LONG, ..Limits::default() }, ..Setup::default() }
}

/// Reads until the other side hangs up.
async fn ends(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

#[tokio::test]
async fn what_is_not_encrypted_is_the_end() {
    let running = patient().start();
    for said in [
        &[b'{'; 200][..],
        &[0x16; 200],
        b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"cgminer/4.11.1\"]}\n{\"id\":2,\"method\":\"x\"}\n",
    ] {
        let mut stream = soon(TcpStream::connect(running.address)).await.expect("a connection");
        stream.write_all(said).await.expect("written");
        ends(&mut stream).await;
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_message_longer_than_any_is_the_end_before_it_is_there() {
    let running = Setup::default().start();
    for length in [8 * 1024 + 1, 60_000] {
        let mut client = running.client(0).await;
        // The header alone says how long it would be; the body need not come.
        let mut frame = vec![0; 6 + length];
        frame[2] = 0x10;
        frame[3..6].copy_from_slice(&u32::try_from(length).expect("short").to_le_bytes()[..3]);
        let frame = SerializedFrame::from_bytes(frame).expect("a frame");
        let sealed = client.encoder.encode_transport(frame, &mut client.encrypt).expect("sealed");
        client.stream.write_all(&sealed[..22]).await.expect("written");
        ends(&mut client.stream).await;
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_does_not_set_up_or_goes_silent_is_dropped() {
    let running =
        Setup { limits: Limits { handshake: BRIEF, ..Limits::default() }, ..Setup::default() }.start();
    let mut mute = soon(TcpStream::connect(running.address)).await.expect("a connection");
    ends(&mut mute).await;
    let mut half = Client::connect(running.address, None).await.expect("connected");
    assert!(half.next().await.is_none());
    soon(running.stop()).await;

    let limits = Limits { handshake: LONG, idle: SHORT, ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    let mut client = Client::connect(running.address, None).await.expect("connected");
    client.say_common(CommonMessagesOwned::SetupConnection(setup(0))).await;
    while client.next().await.is_some() {}
    soon(running.stop()).await;
}

#[tokio::test]
async fn connections_are_counted_and_places_given_back() {
    let running = Setup { most_connections: 1, ..patient() }.start();
    running.publish(JobMaker::default());
    let mut first = running.client(1).await;
    first.standard("rig").await;
    assert_eq!(running.sessions.count(), 1);
    let mut second = soon(TcpStream::connect(running.address)).await.expect("a connection");
    ends(&mut second).await;
    drop(first);
    while running.sessions.count() > 0 {
        tokio::task::yield_now().await;
    }
    soon(async {
        while Client::connect_quietly(running.address).await.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_refused_set_up_is_answered_before_the_end() {
    let running = Setup::default().start();
    let mut client = Client::connect(running.address, None).await.expect("connected");
    client.say_common(CommonMessagesOwned::SetupConnection(setup(0b10))).await;
    let said = client.hear().await;
    assert!(
        matches!(&said, Said::Common(CommonMessagesOwned::SetupConnectionError(error)) if error.flags == 2)
    );
    client.stream.shutdown().await.expect("open until now");
    assert!(client.next().await.is_none());
    soon(running.stop()).await;
}

#[tokio::test]
async fn without_work_miners_are_sent_away() {
    let running = Setup::default().start();
    running.publish(JobMaker::default());
    let mut client = running.client(1).await;
    client.standard("rig").await;
    running.open.send_replace(false);
    assert!(matches!(client.hear().await, Said::Common(CommonMessagesOwned::Reconnect(_))));
    assert!(client.next().await.is_none());
    let mut late = soon(TcpStream::connect(running.address)).await.expect("a connection");
    ends(&mut late).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_reads_nothing_gets_no_queue_and_is_cut_off() {
    let limits = Limits { stalled: SHORT, handshake: Duration::from_millis(500), ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    running.publish(JobMaker::default());
    let mut client = running.client(0).await;
    for _ in 0..20 {
        client.extended("rig").await;
    }
    assert_eq!(running.sessions.count(), 20);
    // Each announcement has some kilobytes; nobody reads them.
    soon(async {
        for id in 2.. {
            if running.sessions.count() == 0 {
                break;
            }
            running.publish(JobMaker { id, outputs: 200, ..JobMaker::default() });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    soon(running.stop()).await;
}

/// Connects as a proxy for this address; whether there is an answer.
async fn is_let_in(running: &Running, ip: &str) -> bool {
    let mut stream = soon(TcpStream::connect(running.address)).await.expect("a connection");
    let (hello, _) = Handshake::initiator(Initiator::without_pk().expect("ready")).step_0().expect("ready");
    let said = [format!("PROXY TCP4 {ip} 10.0.0.1 1 2\r\n").as_bytes(), hello.payload()].concat();
    stream.write_all(&said).await.expect("written");
    soon(stream.read_u8()).await.is_ok()
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_refused_whoever_connects_for_it() {
    let proxies = vec!["127.0.0.1/32".parse().expect("an address")];
    let running = Setup { proxies, most_connections: 10_000, ..Setup::default() }.start();
    knock_too_often(async || is_let_in(&running, "192.0.2.9").await).await;
    let mut stream = soon(TcpStream::connect(running.address)).await.expect("a connection");
    stream.write_all(b"PROXY TCP4 192.0.2.10 10.0.0.1 5 6\r\n").await.expect("written");
    let key = *running.authority.public();
    let mut other = Client::over(stream, Some(key)).await.expect("others are undisturbed");
    running.publish(JobMaker::default());
    other.set_up(0).await;
    other.standard("rig").await;
    let snapshot = running.miners();
    assert_eq!(snapshot[0].visitor.remote.to_string(), "192.0.2.10:5");
    soon(running.stop()).await;
}
