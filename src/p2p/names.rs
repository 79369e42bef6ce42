//! The names of everything that nodes negotiate. Each holds the chain's id, so that nodes of two chains find nothing to
//! talk about.

use crate::peers::link::Topic;
use libp2p::StreamProtocol;
use libp2p::gossipsub::{IdentTopic, TopicHash};
use sharechain::params::ChainId;

/// The names on one chain.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Questions of the node's logic.
    pub(super) ask: StreamProtocol,
    /// Peer exchange.
    pub(super) peers: StreamProtocol,
    /// Kademlia.
    pub(super) kad: StreamProtocol,
    /// Gossipsub.
    pub(super) gossip: String,
    /// What identify calls the protocol's version.
    pub(super) version: String,
    /// Mixed into the Noise handshake.
    pub(super) prologue: Vec<u8>,
    topics: [(Topic, IdentTopic, TopicHash); 3],
}

impl Names {
    /// The names on this chain.
    pub(super) fn new(chain: ChainId) -> Self {
        let protocol = |name: &str| {
            StreamProtocol::try_from_owned(format!("/commonwork/{chain}/{name}"))
                .expect("it begins with a slash")
        };
        let topic = |topic, name: &str| {
            let ident = IdentTopic::new(format!("{chain}/{name}"));
            let hash = ident.hash();
            (topic, ident, hash)
        };
        Self {
            ask: protocol("ask/1"),
            peers: protocol("peers/1"),
            kad: protocol("kad/1"),
            gossip: format!("/commonwork/{chain}/gossip/1"),
            version: format!("/commonwork/{chain}/1"),
            prologue: format!("/commonwork/{chain}/noise").into_bytes(),
            topics: [
                topic(Topic::Share, "share"),
                topic(Topic::Block, "block"),
                topic(Topic::Solution, "solution"),
            ],
        }
    }

    /// All topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = &IdentTopic> {
        self.topics.iter().map(|(_, ident, _)| ident)
    }

    /// How gossipsub names a topic.
    pub(super) fn hash(&self, topic: Topic) -> TopicHash {
        let named = self.topics.iter().find(|(known, _, _)| *known == topic);
        named.map(|(_, _, hash)| hash.clone()).expect("every topic is in the table")
    }

    /// The topic that gossipsub calls so.
    pub(super) fn topic(&self, hash: &TopicHash) -> Option<Topic> {
        self.topics.iter().find(|(_, _, known)| known == hash).map(|(topic, _, _)| *topic)
    }
}
