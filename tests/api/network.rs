//! What the interface says of the network between nodes, and what it lets its owner change. The test plays the network.

use crate::support::rig::Rig;
use commonwork::api::{Client, ClientError, NetworkPort, Opened, Ports, Token, serve};
use commonwork::peers::status::{Admin, BanStatus, Lift, NetworkStatus, PeerStatus};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

struct Served {
    client: Client,
    folder: tempfile::TempDir,
    admin: mpsc::Receiver<Admin>,
    _status: watch::Sender<Arc<NetworkStatus>>,
    _stop: tokio_util::sync::DropGuard,
}

async fn served() -> Served {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::new(listener.local_addr().expect("bound"));
    let status = NetworkStatus {
        id: "12D3me".into(),
        addresses: vec!["/ip4/127.0.0.1/tcp/3338".into()],
        peers: vec![PeerStatus {
            peer: 5,
            id: "12D3you".into(),
            address: "/ip4/192.0.2.1/tcp/3338".into(),
            outbound: true,
            since: 7,
            score: None,
        }],
        bans: vec![BanStatus { id: "12D3they".into(), ip: None, until: 9, reason: "lies".into() }],
        known: 3,
    };
    let (status_sender, status) = watch::channel(Arc::new(status));
    let (admin_sender, admin) = mpsc::channel(1);
    let token = Token::make(folder.path()).expect("a token");
    let port = NetworkPort { status, admin: admin_sender, token };
    let rig = Rig::new();
    let stop = CancellationToken::new();
    tokio::spawn(serve(
        listener,
        Some(Arc::new(Opened::new(rig.chain, rig.store))),
        Ports { network: Some(port), ..Ports::default() },
        stop.clone(),
    ));
    Served { client, folder, admin, _status: status_sender, _stop: stop.drop_guard() }
}

#[tokio::test]
async fn peers_and_bans_are_told_to_anybody_here() {
    let served = served().await;
    let peers = served.client.peers().await.expect("peers");
    assert_eq!((peers.id.as_str(), peers.known, peers.peers[0].id.as_str()), ("12D3me", 3, "12D3you"));
    let bans = served.client.bans().await.expect("bans");
    assert_eq!((bans.bans[0].id.as_str(), bans.bans[0].until), ("12D3they", 9));
}

#[tokio::test]
async fn bans_are_lifted_only_for_whoever_can_read_the_token() {
    let mut served = served().await;
    let other = tempfile::tempdir().expect("a folder");
    let wrong = Token::make(other.path()).expect("a token");
    let error = served.client.lift("all", &wrong).await.expect_err("the wrong token");
    assert!(matches!(&error, ClientError::Refused(text) if text.contains("api-token")), "{error}");
    assert!(served.admin.try_recv().is_err(), "nothing reached the network");

    let right = Token::read(served.folder.path()).expect("a token");
    for (which, wanted) in [
        ("all", Lift::All),
        ("192.0.2.1", Lift::Ip([192, 0, 2, 1].into())),
        ("12D3they", Lift::Id("12D3they".into())),
    ] {
        let network = async {
            let Some(Admin::Lift(lift, reply)) = served.admin.recv().await else { panic!("nothing asked") };
            reply.send(2).expect("the interface waits");
            lift
        };
        let (lifted, asked) = tokio::join!(served.client.lift(which, &right), network);
        assert_eq!((lifted.expect("lifted").lifted, asked), (2, wanted));
    }
}
