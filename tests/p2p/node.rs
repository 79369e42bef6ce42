//! A network without a node: the test plays the node's logic.

use commonwork::p2p::{self, Network, Settings};
use commonwork::peers::link::{
    Command, Event, MessageToken, NoAnswer, Peer, QuestionToken, RequestToken, Topic,
};
use commonwork::peers::status::{Admin, Lift, NetworkStatus, Who};
use sharechain::params::ChainId;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Long enough for anything that is going to happen, on a busy machine too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The chain of most tests.
pub(crate) const CHAIN: ChainId = ChainId([7; 32]);

pub(crate) struct TestNode {
    pub(crate) id: String,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) status: watch::Receiver<Arc<NetworkStatus>>,
    pub(crate) admin: mpsc::Sender<Admin>,
    events: mpsc::Receiver<Event>,
    /// Told, but not asked for yet.
    kept: VecDeque<Event>,
    stop: CancellationToken,
    task: JoinHandle<()>,
    folder: PathBuf,
}

/// Settings of a node on loopback that knows these peers.
pub(crate) fn settings(folder: &tempfile::TempDir, peers: &[String]) -> Settings {
    let listen = vec!["127.0.0.1:0".parse().expect("an address")];
    Settings { listen, peers: peers.to_vec(), ..Settings::new(CHAIN, folder.path().to_owned()) }
}

impl TestNode {
    pub(crate) fn start(settings: Settings) -> Self {
        let stop = CancellationToken::new();
        let folder = settings.folder.clone();
        let Network { id, events, commands, status, admin, task } =
            p2p::start(settings, stop.clone()).expect("a network");
        let task = tokio::spawn(task);
        Self { id, commands, status, admin, events, kept: VecDeque::new(), stop, task, folder }
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.expect("stopped in time").expect("without a panic");
    }

    /// Waits for a picture of the network.
    pub(crate) async fn status(&mut self, wanted: impl Fn(&NetworkStatus) -> bool) -> Arc<NetworkStatus> {
        let status = timeout(PATIENCE, self.status.wait_for(|status| wanted(status))).await;
        status.expect("a picture in time").expect("a running network").clone()
    }

    /// Where others reach it: over TCP, or over QUIC.
    pub(crate) async fn address(&mut self, quic: bool) -> String {
        let is_wanted = |address: &&String| address.ends_with("/quic-v1") == quic;
        let status = self.status(|status| status.addresses.iter().any(|a| is_wanted(&a))).await;
        let address = status.addresses.iter().find(is_wanted).expect("waited for");
        format!("{address}/p2p/{}", self.id)
    }

    /// Waits for an event of a kind; the others are kept for later.
    pub(crate) async fn event<T>(&mut self, pick: impl Fn(&Event) -> Option<T>) -> T {
        if let Some(at) = self.kept.iter().position(|event| pick(event).is_some()) {
            return self.kept.remove(at).as_ref().and_then(pick).expect("picked before");
        }
        let found = async {
            loop {
                let event = self.events.recv().await.expect("a running network");
                if let Some(found) = pick(&event) {
                    return found;
                }
                self.kept.push_back(event);
            }
        };
        timeout(PATIENCE, found).await.expect("an event in time")
    }

    /// Waits until somebody is connected.
    pub(crate) async fn connected(&mut self) -> Peer {
        self.event(|event| match event {
            Event::Connected { peer, .. } => Some(*peer),
            _ => None,
        })
        .await
    }

    pub(crate) async fn disconnected(&mut self, wanted: Peer) {
        self.event(|event| matches!(event, Event::Disconnected { peer } if *peer == wanted).then_some(()))
            .await;
    }

    pub(crate) async fn gossip(&mut self) -> (Peer, Topic, MessageToken, Vec<u8>) {
        self.event(|event| match event {
            Event::Gossip { peer, topic, message, bytes } => Some((*peer, *topic, *message, bytes.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn asked(&mut self) -> (Peer, QuestionToken, Vec<u8>) {
        self.event(|event| match event {
            Event::Asked { peer, question, bytes } => Some((*peer, *question, bytes.clone())),
            _ => None,
        })
        .await
    }

    pub(crate) async fn answered(&mut self, wanted: u64) -> Result<Vec<u8>, NoAnswer> {
        self.event(|event| match event {
            Event::Answered { request, answer, .. } if *request == RequestToken(wanted) => {
                Some(answer.clone())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn command(&self, command: Command) {
        self.commands.send(command).await.expect("a running network");
    }

    pub(crate) async fn publish(&self, topic: Topic, bytes: &[u8]) {
        self.command(Command::Publish { topic, bytes: bytes.to_vec() }).await;
    }

    pub(crate) async fn lift(&self, which: Lift) -> usize {
        let (reply, lifted) = oneshot::channel();
        self.admin.send(Admin::Lift(which, reply)).await.expect("a running network");
        lifted.await.expect("an answer")
    }

    /// Has the owner refuse somebody; tells how many are meant.
    pub(crate) async fn refuse(&self, who: Who) -> usize {
        let (reply, refused) = oneshot::channel();
        let request = Admin::Ban { who, seconds: 3_600, reason: "wanted".into(), reply };
        self.admin.send(request).await.expect("a running network");
        refused.await.expect("an answer")
    }

    /// Has the owner name a peer.
    pub(crate) async fn name(&self, address: &str) -> Result<(), String> {
        let (reply, taken) = oneshot::channel();
        let request = Admin::Connect { address: address.to_owned(), reply };
        self.admin.send(request).await.expect("a running network");
        taken.await.expect("an answer")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Two nodes; the second dials the first.
pub(crate) async fn pair(folders: &[tempfile::TempDir; 2], quic: bool) -> ([TestNode; 2], [Peer; 2]) {
    let mut first = TestNode::start(settings(&folders[0], &[]));
    let address = first.address(quic).await;
    let mut second = TestNode::start(settings(&folders[1], &[address]));
    let peers = [first.connected().await, second.connected().await];
    ([first, second], peers)
}

pub(crate) fn folders<const N: usize>() -> [tempfile::TempDir; N] {
    std::array::from_fn(|_| tempfile::tempdir().expect("a folder"))
}
