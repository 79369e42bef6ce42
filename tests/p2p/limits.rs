//! How many may come in.

use super::node::{TestNode, folders, settings};
use commonwork::p2p::Limits;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_full_further_peers_are_refused_and_nobody_is_sent_away() {
    let folders: [_; 4] = folders();
    let mut full = settings(&folders[0], &[]);
    (full.limits, full.outbound) = (Limits { inbound: 2, ..Limits::default() }, 0);
    let mut full = TestNode::start(full);
    let address = full.address(false).await;
    let guest = |at: usize| {
        let mut guest = settings(&folders[at], std::slice::from_ref(&address));
        (guest.listen, guest.outbound) = (Vec::new(), 1);
        TestNode::start(guest)
    };
    let (mut one, mut two) = (guest(1), guest(2));
    one.connected().await;
    two.connected().await;
    let at_full = [full.connected().await, full.connected().await];
    let mut three = guest(3);
    assert!(timeout(Duration::from_secs(6), three.connected()).await.is_err(), "the third got in");
    assert_eq!(full.status(|_| true).await.peers.len(), 2);
    // As soon as one goes there is room.
    one.stop().await;
    full.event(|event| {
        use commonwork::peers::link::Event::Disconnected;
        matches!(event, Disconnected { peer } if at_full.contains(peer)).then_some(())
    })
    .await;
    three.connected().await;
    for node in [full, two, three] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_take_no_place_for_long() {
    let folders: [_; 2] = folders();
    let mut host = settings(&folders[0], &[]);
    host.limits = Limits { pending: 4, ..Limits::default() };
    let mut host = TestNode::start(host);
    let address = host.address(false).await;
    let port: u16 = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let mut silent = Vec::new();
    for _ in 0..40 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.expect("the system accepts"));
    }
    // All are closed by the host: most at once, four after the time for a handshake.
    for mut stream in silent {
        let mut bytes = Vec::new();
        timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.expect("closed in time").ok();
        assert!(bytes.len() < 1_000);
    }
    let mut guest = TestNode::start(settings(&folders[1], &[address]));
    guest.connected().await;
    host.connected().await;
    host.stop().await;
    guest.stop().await;
}
