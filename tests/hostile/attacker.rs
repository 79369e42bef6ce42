//! A peer that says what a test wants, over the project's own network code, and a miner of its own on the same chain.

use crate::long_chain::Maker;
use crate::peer::{TestNode, settings};
use crate::victim::{GONE_AFTER, Victim};
use commonwork::p2p::Settings;
use commonwork::peers::link::{Command, Event, Peer, QuestionToken, Topic};
use commonwork::peers::wire::{Question, TipAnswer};
use sharechain::codec::{Decode, Encode};
use sharechain::share::ShareId;
use sharechain::target::Work;
use sharechain::units::{Height, UnixTime};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A connected attacker.
pub(crate) struct Attacker {
    pub(crate) node: TestNode,
    pub(crate) victim: Peer,
    pub(crate) maker: Maker,
    _folder: tempfile::TempDir,
}

/// This machine's clock, from which makers begin.
pub(crate) fn clock() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    UnixTime(u32::try_from(since).expect("before 2106"))
}

impl Attacker {
    /// Connects, and waits until gossip flows.
    pub(crate) async fn at(victim: &Victim) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = Settings { chain: victim.params.chain_id(), ..settings(&folder, &[victim.address()]) };
        let mut node = TestNode::start(settings);
        let peer = node.connected().await;
        let maker = Maker::new(&victim.params, clock());
        // The victim's miner tells of a share before long: then the mesh stands.
        let mut attacker = Self { node, victim: peer, maker, _folder: folder };
        attacker.until_gossip().await;
        attacker
    }

    async fn until_gossip(&mut self) {
        self.serve_until(|event| matches!(event, Event::Gossip { .. })).await;
    }

    /// Answers questions as one who has nothing, until an event comes.
    async fn serve_until(&mut self, wanted: impl Fn(&Event) -> bool) {
        loop {
            let event = self.node.event(|event| Some(event.clone())).await;
            if wanted(&event) {
                return;
            }
            if let Event::Asked { question, bytes, .. } = &event {
                let nothing = self.claim(0);
                self.answer_tip(*question, bytes, &nothing).await;
            }
        }
    }

    /// A claim to stand this many blocks higher than anybody.
    pub(crate) fn claim(&self, height: u32) -> TipAnswer {
        let work = if height == 0 { Work::ZERO } else { Work(u64::MAX.into()) };
        let id = if height == 0 { self.maker.chain.id().as_block() } else { ShareId([0xee; 32]) };
        TipAnswer { id, height: Height(height), recent_work: work, work }
    }

    /// Answers the question where this peer stands; whether it was that question.
    pub(crate) async fn answer_tip(&self, question: QuestionToken, bytes: &[u8], claim: &TipAnswer) -> bool {
        let is_tip = Question::from_bytes(bytes).is_ok_and(|question| question == Question::Tip);
        let bytes = is_tip.then(|| claim.to_bytes());
        self.node.command(Command::Answer { question, bytes }).await;
        is_tip
    }

    pub(crate) async fn publish(&self, topic: Topic, bytes: Vec<u8>) {
        self.node.command(Command::Publish { topic, bytes }).await;
    }

    /// Fails unless the victim sends this peer away in the stated time.
    pub(crate) async fn is_sent_away(&mut self) {
        let begun = Instant::now();
        let gone = self.serve_until(|event| matches!(event, Event::Disconnected { .. }));
        let gone = tokio::time::timeout(GONE_AFTER, gone).await;
        assert!(gone.is_ok(), "still there after {:?}", begun.elapsed());
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
