//! What is told of connected peers.

use super::node::{TestNode, folders, settings};
use commonwork::peers::link::Command;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn peers_are_told_with_their_latency_and_their_height() {
    let folders: [_; 2] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let address = first.address(false).await;
    let mut second = TestNode::start(settings(&folders[1], &[address]));
    let (at_first, _) = (first.connected().await, second.connected().await);
    for height in [7, 9] {
        first.command(Command::Note { peer: at_first, height }).await;
        first.status(|status| status.peers.iter().any(|peer| peer.height == Some(height))).await;
    }
    let status = first.status(|status| status.peers.iter().any(|peer| peer.latency.is_some())).await;
    let [peer] = &status.peers[..] else { panic!("one peer: {status:?}") };
    assert!(peer.latency.is_some_and(|time| time > Duration::ZERO) && peer.id == second.id);
    let other = second.status(|status| status.peers.iter().any(|peer| peer.latency.is_some())).await;
    assert_eq!(other.peers[0].height, None, "it has not said");
    first.stop().await;
    second.stop().await;
}
