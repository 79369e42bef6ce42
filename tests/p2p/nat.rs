//! Nodes that nobody can reach, and those that help them.

use super::node::{TestNode, folders, settings};
use commonwork::p2p::Settings;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_listens_nowhere_is_reached_through_a_relay() {
    let folders: [_; 3] = folders();
    // A relay has to know an address of its own that it can tell: one port for TCP and UDP that is free.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let at = format!("127.0.0.1:{port}").parse().expect("an address");
    let relay = Settings { relay: true, listen: vec![at], external: vec![at], ..settings(&folders[0], &[]) };
    let mut relay = TestNode::start(relay);
    let address = relay.address(false).await;
    let hidden = settings(&folders[1], std::slice::from_ref(&address));
    let mut hidden = TestNode::start(Settings { listen: Vec::new(), nat: true, ..hidden });
    hidden.connected().await;
    relay.connected().await;
    let is_circuit = |address: &&String| address.contains("/p2p-circuit");
    let status = hidden.status(|status| status.addresses.iter().any(|a| is_circuit(&a))).await;
    let place = status.addresses.iter().find(is_circuit).expect("waited for").clone();
    let place = if place.ends_with(&hidden.id) { place } else { format!("{place}/p2p/{}", hidden.id) };

    // Whoever is told of that place gets through, and no address is claimed to be the hidden node's.
    let visitor = settings(&folders[2], &[place]);
    let mut visitor = TestNode::start(Settings { listen: Vec::new(), outbound: 0, ..visitor });
    let hidden_id = hidden.id.clone();
    let status = visitor.status(|status| status.peers.iter().any(|peer| peer.id == hidden_id)).await;
    let seen = status.peers.iter().find(|peer| peer.id == hidden_id).expect("waited for");
    assert!(seen.address.contains("/p2p-circuit"), "{status:?}");
    hidden
        .event(|event| {
            use commonwork::peers::link::Event::Connected;
            matches!(event, Connected { ip: None, outbound: false, .. }).then_some(())
        })
        .await;
    for node in [visitor, hidden, relay] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_learns_from_others_that_it_can_be_reached() {
    let folders: [_; 2] = folders();
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let with_nat = |at: usize, peers: &[String]| Settings { nat: true, ..settings(&folders[at], peers) };
    let mut first = TestNode::start(with_nat(0, &[]));
    let at = format!("127.0.0.1:{port}").parse().expect("an address");
    let second = with_nat(1, &[first.address(false).await]);
    let mut second = TestNode::start(Settings { listen: vec![at], ..second });
    second.connected().await;
    // The first dials back, so the address is told once more: as one that works.
    let wanted = format!("/ip4/127.0.0.1/tcp/{port}");
    let told = |addresses: &[String]| addresses.iter().filter(|a| a.starts_with(&wanted)).count();
    second.status(|status| told(&status.addresses) == 2).await;
    first.stop().await;
    second.stop().await;
}
