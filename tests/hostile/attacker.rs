//! A peer that says what a test wants, over the project's own network code, and a miner of its own on the same chain.

use crate::long_chain::Maker;
use crate::peer::{TestNode, settings};
use crate::victim::{GONE_AFTER, Victim};
use commonwork::p2p::Settings;
use commonwork::peers::link::{Command, Event, Peer, RequestToken, Topic};
use commonwork::peers::wire::{BlocksAnswer, Question, SharesAnswer, TipAnswer};
use sharechain::codec::{Decode, Encode};
use sharechain::share::ShareId;
use sharechain::target::Work;
use sharechain::units::{Height, UnixTime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A connected attacker, or an honest peer.
pub(crate) struct Attacker {
    pub(crate) node: TestNode,
    pub(crate) victim: Peer,
    pub(crate) maker: Maker,
    /// What it claims to have; 0 is nothing.
    height: u32,
    claims: u32,
    requests: u64,
}

/// This machine's clock, from which makers begin.
pub(crate) fn clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    UnixTime(u32::try_from(since).expect("before 2106"))
}

impl Attacker {
    /// Connects, and waits until gossip flows.
    pub(crate) async fn at(victim: &Victim) -> Self {
        Self::boasting(victim, 0).await
    }

    /// The same, with a claim to a chain of this height.
    pub(crate) async fn boasting(victim: &Victim, height: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut node = dial(victim, &folder);
        let peer = node.connected().await;
        let maker = Maker::new(&victim.params, clock());
        let mut attacker = Self { node, victim: peer, maker, height, claims: 0, requests: 0 };
        if height == 0 {
            // The victim's miner tells of a share before long: then the mesh stands.
            attacker.serve_until(|event| matches!(event, Event::Gossip { .. })).await;
        }
        attacker
    }

    /// Answers where it stands and nothing else, until an event comes.
    async fn serve_until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.node.event(|event| Some(event.clone())).await;
            if wanted(&event) {
                return event;
            }
            if let Event::Asked { question, bytes, .. } = &event {
                let bytes = is_tip(bytes).then(|| self.claim());
                self.node.command(Command::Answer { question: *question, bytes }).await;
            }
        }
    }

    /// Where it says it stands: another tip each time, unless it has nothing.
    pub(crate) fn claim(&mut self) -> Vec<u8> {
        self.claims += 1;
        let id = match self.height {
            0 => self.maker.chain.id().as_block(),
            _ => ShareId(core::array::from_fn(|at| self.claims.to_le_bytes()[at % 4] ^ 0xee)),
        };
        let work = if self.height == 0 { Work::ZERO } else { Work(u64::MAX.into()) };
        TipAnswer { id, height: Height(self.height), recent_work: work, work }.to_bytes()
    }

    pub(crate) async fn publish(&self, topic: Topic, bytes: Vec<u8>) {
        self.node.command(Command::Publish { topic, bytes }).await;
    }

    /// Asks without waiting for the answer.
    pub(crate) async fn send(&mut self, question: &Question) -> RequestToken {
        self.requests += 1;
        let request = RequestToken(self.requests);
        let (peer, bytes, patience) = (self.victim, question.to_bytes(), Duration::from_secs(20));
        self.node.command(Command::Ask { peer, request, bytes, most: 1 << 20, patience }).await;
        request
    }

    async fn ask(&mut self, question: &Question) -> Option<Vec<u8>> {
        let sent = self.send(question).await;
        let answered = |event: &Event| matches!(event, Event::Answered { request, .. } if *request == sent);
        match self.serve_until(answered).await {
            Event::Answered { answer, .. } => answer.ok(),
            _ => None,
        }
    }

    /// Fails unless the victim has this share before long.
    pub(crate) async fn sees(&mut self, id: ShareId) {
        let has_it =
            |bytes: &[u8]| SharesAnswer::from_bytes(bytes).is_ok_and(|answer| !answer.shares.is_empty());
        self.hears(&Question::Shares { ids: vec![id] }, has_it).await;
    }

    /// Fails unless the victim has this share block before long.
    pub(crate) async fn sees_block(&mut self, from: Height, id: ShareId) {
        let has_it =
            |bytes: &[u8]| BlocksAnswer::from_bytes(bytes).is_ok_and(|answer| !answer.blocks.is_empty());
        self.hears(&Question::Blocks { from, ids: vec![id] }, has_it).await;
    }

    async fn hears(&mut self, question: &Question, wanted: impl Fn(&[u8]) -> bool) {
        for _ in 0..50 {
            if self.ask(question).await.is_some_and(|answer| wanted(&answer)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        panic!("the node does not have it: {question:?}");
    }

    /// Fails unless the victim sends this peer away in the stated time.
    pub(crate) async fn is_sent_away(&mut self) {
        let begun = Instant::now();
        let gone = self.serve_until(|event| matches!(event, Event::Disconnected { .. }));
        let gone = tokio::time::timeout(GONE_AFTER, gone).await;
        assert!(gone.is_ok(), "still there after {:?}", begun.elapsed());
        eprintln!("gone after {:?}", begun.elapsed());
    }

    /// Fails if the victim sends this peer away within some seconds.
    pub(crate) async fn is_kept(&mut self) {
        let gone = self.serve_until(|event| matches!(event, Event::Disconnected { .. }));
        assert!(
            tokio::time::timeout(Duration::from_secs(3), gone).await.is_err(),
            "an honest peer was sent away"
        );
    }
}

/// A network that dials the victim, with the identity that is in this folder.
pub(crate) fn dial(victim: &Victim, folder: &tempfile::TempDir) -> TestNode {
    let chain = victim.params.chain_id();
    TestNode::start(Settings { chain, ..settings(folder, &[victim.address()]) })
}

pub(crate) fn is_tip(question: &[u8]) -> bool {
    Question::from_bytes(question).is_ok_and(|question| question == Question::Tip)
}
