//! How nodes find each other.

use super::node::{TestNode, folders, settings};

#[tokio::test(flavor = "multi_thread")]
async fn a_third_node_is_learned_of_through_the_second() {
    let folders: [_; 3] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let mut second = TestNode::start(settings(&folders[1], &[first.address(false).await]));
    first.connected().await;
    second.connected().await;
    let mut third = TestNode::start(settings(&folders[2], &[second.address(false).await]));
    // The second is the only one that the third was told of.
    let first_id = first.id.clone();
    let status = third.status(|status| status.peers.iter().any(|peer| peer.id == first_id)).await;
    assert_eq!(status.peers.len(), 2);
    for node in [first, second, third] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_book_brings_a_node_back_after_a_restart() {
    let folders: [_; 2] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let mut second = TestNode::start(settings(&folders[1], &[first.address(false).await]));
    second.connected().await;
    let at_first = first.connected().await;
    let (second_id, book) = (second.id.clone(), second.file("peers.json"));
    second.stop().await;
    first.disconnected(at_first).await;
    assert!(std::fs::read_to_string(book).expect("a book").contains(&first.id));

    // Nobody names the first any more.
    let mut second = TestNode::start(settings(&folders[1], &[]));
    assert_eq!(second.id, second_id, "the identity is kept");
    second.connected().await;
    let status = first.status(|status| status.peers.iter().any(|peer| peer.id == second_id)).await;
    assert!(!status.peers[0].outbound || status.peers.len() > 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            |name: &str| std::fs::metadata(second.file(name)).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode("identity"), 0o600);
    }
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up_and_a_peer_may_be_named_before_it_is_there() {
    let folders: [_; 2] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let address = first.address(false).await;
    let port = address.split('/').nth(4).expect("a port").to_owned();
    first.stop().await;
    let mut second = TestNode::start(settings(&folders[1], &[format!("localhost:{port}")]));
    second.status(|status| !status.addresses.is_empty()).await;
    let mut again = settings(&folders[0], &[]);
    again.listen = vec![format!("127.0.0.1:{port}").parse().expect("an address")];
    let mut first = TestNode::start(again);
    second.connected().await;
    first.connected().await;
    first.stop().await;
    second.stop().await;
}
