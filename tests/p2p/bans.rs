//! Bans, and peers of another chain.

use super::node::{TestNode, folders, settings};
use commonwork::peers::link::Command;
use commonwork::peers::status::{Lift, Who};
use sharechain::params::ChainId;

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_ends_the_connection_outlives_a_restart_and_can_be_lifted() {
    let folders: [_; 2] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let address = first.address(false).await;
    let listen = address.split("/p2p/").next().and_then(|a| a.rsplit('/').next()).expect("a port").to_owned();
    let mut second = TestNode::start(settings(&folders[1], std::slice::from_ref(&address)));
    let (at_first, at_second) = (first.connected().await, second.connected().await);
    let reason = "it told\nlies".to_owned();
    first.command(Command::Ban { peer: at_first, seconds: 3_600, reason }).await;
    first.disconnected(at_first).await;
    second.disconnected(at_second).await;
    let status = first.status(|status| !status.bans.is_empty()).await;
    let ban = &status.bans[0];
    assert_eq!((&ban.id, ban.ip, &ban.reason[..]), (&second.id, None, "it toldlies"), "loopback is for all");
    first.stop().await;
    second.stop().await;

    // Both start again; the first listens where it did.
    let mut again = settings(&folders[0], &[]);
    again.listen = vec![format!("127.0.0.1:{listen}").parse().expect("an address")];
    let mut first = TestNode::start(again);
    let status = first.status(|status| !status.bans.is_empty()).await;
    assert_eq!(status.bans.len(), 1);
    let mut second = TestNode::start(settings(&folders[1], &[address]));
    // It keeps dialing; what it tries is refused until the ban is lifted, so no connection is told before that.
    assert_eq!(first.lift(Lift::Id("nobody".into())).await, 0);
    assert_eq!(first.lift(Lift::Id(second.id.clone())).await, 1);
    first.status(|status| status.bans.is_empty()).await;
    first.connected().await;
    second.connected().await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_banned_are_refused_until_the_ban_is_lifted() {
    let folders: [_; 3] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let address = first.address(true).await;
    let mut banned = TestNode::start(settings(&folders[1], std::slice::from_ref(&address)));
    let (at_first, at_banned) = (first.connected().await, banned.connected().await);
    first.command(Command::Ban { peer: at_first, seconds: 3_600, reason: "x".into() }).await;
    banned.disconnected(at_banned).await;
    first.disconnected(at_first).await;
    // It dials again within seconds, in vain; another peer comes in meanwhile.
    let mut good = TestNode::start(settings(&folders[2], &[address]));
    good.connected().await;
    assert_ne!(first.connected().await, at_first);
    let told = tokio::time::timeout(std::time::Duration::from_secs(8), first.connected()).await;
    assert!(told.is_err(), "the banned peer got in");
    assert_eq!(first.lift(Lift::All).await, 1);
    assert_eq!(first.connected().await, at_first, "the same number as before");
    for node in [first, banned, good] {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_names_peers_and_refuses_them_while_the_node_runs() {
    let folders: [_; 2] = folders();
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let mut second = TestNode::start(settings(&folders[1], &[]));
    let address = first.address(false).await;
    assert!(second.name("nowhere").await.expect_err("no address").contains("is no peer's address"));
    second.name(&address).await.expect("an address");
    let (at_first, at_second) = (first.connected().await, second.connected().await);
    for nobody in [Who::Id("nobody".into()), Who::Ip([192, 0, 2, 1].into())] {
        assert_eq!(first.refuse(nobody).await, 0);
    }
    assert_eq!(first.refuse(Who::Ip([127, 0, 0, 1].into())).await, 1);
    first.disconnected(at_first).await;
    second.disconnected(at_second).await;
    let status = first.status(|status| !status.bans.is_empty()).await;
    assert_eq!((&status.bans[0].id, status.bans[0].reason.as_str()), (&second.id, "wanted"));
    // It is dialed again and again, so it is back as soon as it may be.
    assert_eq!(first.lift(Lift::All).await, 1);
    first.connected().await;
    second.connected().await;
    assert_eq!(first.refuse(Who::Id(second.id.clone())).await, 1);
    first.disconnected(at_first).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_two_chains_part_at_once() {
    for quic in [false, true] {
        let folders: [_; 3] = folders();
        let mut first = TestNode::start(settings(&folders[0], &[]));
        let address = first.address(quic).await;
        let mut stranger = settings(&folders[1], std::slice::from_ref(&address));
        stranger.chain = ChainId([8; 32]);
        let mut stranger = TestNode::start(stranger);
        // One of the same chain comes later and gets in all the same.
        let mut friend = TestNode::start(settings(&folders[2], &[address]));
        friend.connected().await;
        let friend_at_first = first.connected().await;
        let status = first.status(|status| !status.peers.is_empty()).await;
        assert_eq!(status.peers.len(), 1);
        assert_eq!(status.peers[0].id, friend.id);
        assert_eq!(status.peers[0].peer, friend_at_first.0);
        let nobody = stranger.status(|status| !status.addresses.is_empty()).await;
        assert!(nobody.peers.is_empty());
        for node in [first, stranger, friend] {
            node.stop().await;
        }
    }
}
