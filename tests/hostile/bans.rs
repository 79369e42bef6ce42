//! Bans: kept when the program is killed, listed, lifted; and nobody else's trouble.

use crate::attacker::{Attacker, dial};
use crate::peer::{CHAIN, TestNode, settings};
use crate::victim::{Victim, wait_for};
use commonwork::peers::link::Event;
use commonwork::peers::link::Topic;
use std::time::Duration;
use tokio::time::timeout;

/// Whether a peer with the identity of this folder is let in.
async fn is_let_in(victim: &Victim, folder: &tempfile::TempDir) -> bool {
    let mut node = dial(victim, folder);
    let connected = timeout(Duration::from_secs(4), node.connected()).await.is_ok();
    let stays = connected && {
        let gone = node.event(|event| matches!(event, Event::Disconnected { .. }).then_some(()));
        timeout(Duration::from_secs(2), gone).await.is_err()
    };
    node.stop().await;
    stays
}

#[tokio::test(flavor = "multi_thread")]
async fn bans_outlast_the_process_and_hit_nobody_else_until_they_are_lifted() {
    let mut victim = Victim::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut banned = dial(&victim, &folder);
    let id = banned.id.clone();
    let peer = banned.connected().await;
    banned.gossip().await;
    for n in 0..10_u8 {
        banned.publish(Topic::Share, &[n; 50]).await;
    }
    banned.disconnected(peer).await;
    banned.stop().await;
    let listed = victim.bans_reach(1);
    assert_eq!(listed[0].0, id);
    assert!(!is_let_in(&victim, &folder).await);
    // From the same address.
    let mut honest = Attacker::at(&victim).await;
    honest.is_kept().await;
    victim.restart();
    assert_eq!(victim.bans(), listed, "as they were");
    assert!(!is_let_in(&victim, &folder).await);
    assert_eq!(victim.command(&["bans", "lift", "all"]), "1 lifted\n");
    wait_for("an empty list", || victim.bans().is_empty().then_some(()));
    assert!(is_let_in(&victim, &folder).await);
}

/// Over TCP only the dialer can tell: so one that dials says it, and one that is dialed lets nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_another_chain_part_at_once_and_say_so() {
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let mut other = TestNode::start(settings(&folders[0], &[]));
    let address = other.address(false).await;
    let victim = Victim::with(0, &["--peer", &address]);
    assert_ne!(victim.params.chain_id(), CHAIN);
    wait_for("a line about the other chain", || victim.said("another share chain").then_some(()));
    // Nor the other way round.
    let mut comer = TestNode::start(settings(&folders[1], &[victim.address()]));
    for node in [&mut comer, &mut other] {
        assert!(timeout(Duration::from_secs(3), node.connected()).await.is_err(), "no peer of that chain");
    }
    assert!(victim.bans().is_empty(), "a mistake is no crime");
    comer.stop().await;
    other.stop().await;
}
