//! What the interface says of the network between nodes, and what it lets its owner change. The test plays the network.

use crate::support::rig::Rig;
use commonwork::api::events::Events;
use commonwork::api::form::BanRequestForm;
use commonwork::api::health::Facts;
use commonwork::api::read::account::NextValue;
use commonwork::api::read::search::FoundBlocks;
use commonwork::api::{Client, ClientError, NetworkPort, NodePort, Opened, Ports, Token, serve};
use commonwork::history::keeper::HistoryHandle;
use commonwork::metrics::Metrics;
use commonwork::peers::status::{Admin, BanStatus, Lift, NetworkStatus, PeerStatus, Who};
use sharechain::owner::Owner;
use sharechain::units::BitcoinHeight;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub(crate) struct Served {
    pub(crate) client: Client,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) admin: mpsc::Receiver<Admin>,
    /// Cancelled by whoever asks for the node's end.
    pub(crate) stop: CancellationToken,
    pub(crate) events: Events,
    pub(crate) facts: Arc<Mutex<Facts>>,
    pub(crate) metrics: Metrics,
    pub(crate) history: HistoryHandle,
    _status: watch::Sender<Arc<NetworkStatus>>,
    _stop: tokio_util::sync::DropGuard,
}

pub(crate) async fn served() -> Served {
    served_on(Rig::new()).await
}

/// The same on a chain.
pub(crate) async fn served_on(rig: Rig) -> Served {
    served_for(rig, &[]).await
}

/// The same, where miners of these owners have worked.
pub(crate) async fn served_for(rig: Rig, owners: &[Owner]) -> Served {
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
            latency: Some(Duration::from_micros(12_345)),
            height: Some(8),
            score: None,
        }],
        bans: vec![BanStatus { id: "12D3they".into(), ip: None, until: 9, reason: "lies".into() }],
        known: 3,
    };
    let (status_sender, status) = watch::channel(Arc::new(status));
    let (admin_sender, admin) = mpsc::channel(1);
    let token = Token::make(folder.path()).expect("a token");
    let port = NetworkPort { status, admin: admin_sender };
    let (stop, events, metrics) = (CancellationToken::new(), Events::default(), Metrics::default());
    let facts = Arc::new(Mutex::new(Facts::default()));
    let for_node = facts.clone();
    let node = NodePort {
        facts: Arc::new(move || for_node.lock().expect("no test panics with it").clone()),
        next_value: Arc::new(|| Some(NextValue { height: BitcoinHeight(777), satoshis: 5_000_012_345 })),
        events: events.clone(),
        metrics: metrics.clone(),
        stop: stop.clone(),
    };
    let history = super::history::some(folder.path()).await;
    let (chain, mut found) = (Arc::new(Opened::new(rig.chain, rig.store)), FoundBlocks::default());
    found.worked(owners.iter().copied(), 1_700_000_000).await.expect("a ledger");
    found.catch_up(&*chain).await.expect("an answer");
    let (ports, end) = (
        Ports {
            network: Some(port),
            miners: Some(super::miners_port(vec![])),
            node: Some(node),
            token: Some(token),
            ledger: Some(found.view()),
            history: Some(history.clone()),
        },
        CancellationToken::new(),
    );
    tokio::spawn(serve(listener, Some(chain), ports, end.clone()));
    Served {
        client,
        folder,
        admin,
        stop,
        events,
        facts,
        metrics,
        history,
        _status: status_sender,
        _stop: end.drop_guard(),
    }
}

#[tokio::test]
async fn peers_and_bans_are_told_to_anybody_here() {
    let served = served().await;
    let peers = served.client.peers().await.expect("peers");
    assert_eq!((peers.id.as_str(), peers.known, peers.peers[0].id.as_str()), ("12D3me", 3, "12D3you"));
    assert_eq!((peers.peers[0].latency_ms, peers.peers[0].height), (Some(12.345), Some(8)));
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

#[tokio::test]
async fn peers_are_refused_and_connected_to_as_their_owner_asks() {
    let mut served = served().await;
    let token = Token::read(served.folder.path()).expect("a token");
    let ask = |who: &str| BanRequestForm { who: who.into(), seconds: Some(60), reason: None };
    for (who, wanted, found) in
        [("192.0.2.1", Who::Ip([192, 0, 2, 1].into()), 1), ("12D3they", Who::Id("12D3they".into()), 0)]
    {
        let network = async {
            let Some(Admin::Ban { who, seconds, reason, reply }) = served.admin.recv().await else {
                panic!("nothing asked")
            };
            reply.send(found).expect("the interface waits");
            (who, seconds, reason)
        };
        let request = ask(who);
        let (banned, asked) = tokio::join!(served.client.ban(&request, &token), network);
        assert_eq!(asked, (wanted, 60, "by this node's owner".into()));
        match found {
            0 => assert!(banned.expect_err("nobody").to_string().contains("nobody is meant")),
            _ => assert_eq!(banned.expect("banned").banned, 1),
        }
    }
    for answer in [Ok(()), Err("no address".to_owned())] {
        let network = async {
            let Some(Admin::Connect { address, reply }) = served.admin.recv().await else {
                panic!("nothing asked")
            };
            assert_eq!(address, "192.0.2.1:3338");
            reply.send(answer.clone()).expect("the interface waits");
        };
        let (connecting, ()) = tokio::join!(served.client.connect("192.0.2.1:3338", &token), network);
        assert_eq!(
            connecting.map(|form| form.connecting).ok(),
            answer.is_ok().then(|| "192.0.2.1:3338".into())
        );
    }
}

#[tokio::test]
async fn the_node_stops_for_whoever_shows_the_token_and_says_so() {
    let served = served().await;
    let token = Token::read(served.folder.path()).expect("a token");
    assert!(served.client.stop(&token).await.expect("an answer").stopping);
    assert!(served.stop.is_cancelled());
}
