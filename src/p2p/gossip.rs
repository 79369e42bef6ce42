//! How gossipsub is set, and the messages that wait for the node's verdict.
//!
//! Messages carry neither author nor signature: a share proves itself by its work, an author would only tell who mines
//! where, and both would cost a hundred bytes a message.

use super::names::Names;
use crate::peers::link::{MAX_GOSSIP, MessageToken, Topic};
use libp2p::PeerId;
use libp2p::gossipsub::{
    Behaviour, ConfigBuilder, Message, MessageAuthenticity, MessageId, PeerScoreParams, PeerScoreThresholds,
    TopicScoreParams, ValidationMode, Version, WhitelistSubscriptionFilter, score_parameter_decay,
};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// Gossipsub on this chain's topics only.
pub(super) type Gossip = Behaviour<libp2p::gossipsub::IdentityTransform, WhitelistSubscriptionFilter>;

/// How long a message may wait for its verdict; gossipsub keeps it a little longer.
const VERDICT_TIME: Duration = Duration::from_secs(100);
/// Heartbeats of one second for which gossipsub keeps a message.
const HISTORY: usize = 120;
/// Most messages that wait for a verdict.
const MAX_WAITING: usize = 4_096;
/// Most bytes of messages that wait for a verdict.
const MAX_WAITING_BYTES: usize = 16 << 20;
/// Most messages of one peer that wait.
const MAX_WAITING_OF_PEER: usize = 512;
/// Most bytes of one peer's messages that wait.
const MAX_WAITING_BYTES_OF_PEER: usize = 2 << 20;
/// Room for what gossipsub puts around a message.
const ENVELOPE: usize = 4 << 10;

/// Gossipsub, subscribed to the chain's topics.
pub(super) fn behaviour(names: &Names) -> Result<Gossip, String> {
    let config = ConfigBuilder::default()
        .protocol_id(names.gossip.clone(), Version::V1_1)
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(MAX_GOSSIP + ENVELOPE)
        .heartbeat_interval(Duration::from_secs(1))
        .heartbeat_initial_delay(Duration::from_secs(1))
        .history_length(HISTORY)
        .history_gossip(5)
        .duplicate_cache_time(Duration::from_secs(HISTORY as u64))
        .mesh_n_low(5)
        .mesh_n(7)
        .mesh_n_high(10)
        .mesh_outbound_min(2)
        .flood_publish(true)
        .connection_handler_queue_len(1_024)
        .max_publish_messages(256)
        .build()
        .map_err(|error| error.to_string())?;
    let filter = WhitelistSubscriptionFilter(names.topics().map(|topic| topic.hash()).collect());
    let mut gossip = Gossip::new_with_subscription_filter(MessageAuthenticity::Anonymous, config, filter)?;
    gossip.with_peer_score(scores(names), thresholds())?;
    for topic in names.topics() {
        gossip.subscribe(topic).map_err(|error| error.to_string())?;
    }
    Ok(gossip)
}

/// The hash of everything in it.
fn message_id(message: &Message) -> MessageId {
    let mut hash = Sha256::new();
    hash.update(message.topic.as_str().as_bytes());
    hash.update(&message.data);
    MessageId::from(hash.finalize().to_vec())
}

/// Invalid messages cost much and for an hour. Silence costs nothing: topics are quiet when nobody finds anything.
fn scores(names: &Names) -> PeerScoreParams {
    let topic = TopicScoreParams {
        topic_weight: 1.0,
        time_in_mesh_weight: 0.01,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 1_000.0,
        first_message_deliveries_weight: 1.0,
        first_message_deliveries_decay: score_parameter_decay(Duration::from_secs(600)),
        first_message_deliveries_cap: 20.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -20.0,
        invalid_message_deliveries_decay: score_parameter_decay(Duration::from_secs(3_600)),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: names.topics().map(|ident| (ident.hash(), topic.clone())).collect(),
        // Good deeds never weigh more than a few bad ones.
        topic_score_cap: 50.0,
        ip_colocation_factor_weight: -1.0,
        ip_colocation_factor_threshold: 16.0,
        ip_colocation_factor_whitelist: [[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()].into(),
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: score_parameter_decay(Duration::from_secs(600)),
        ..PeerScoreParams::default()
    }
}

const fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: -40.0,
        publish_threshold: -80.0,
        graylist_threshold: -160.0,
        accept_px_threshold: 1_000.0,
        opportunistic_graft_threshold: 2.0,
    }
}

/// A message that waits.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// Its name in gossipsub.
    pub(super) id: MessageId,
    /// Who handed it on.
    pub(super) source: PeerId,
    pub(super) topic: Topic,
    length: usize,
    /// When it came.
    pub(super) since: Instant,
}

/// The messages that wait for a verdict, bounded in all and for each peer.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    waiting: BTreeMap<u64, Waiting>,
    bytes: usize,
    next: u64,
}

impl Verdicts {
    /// Adds a message and gives its token, with those that must go for it: the oldest of a peer that has too many, else
    /// the oldest share, else the oldest of all.
    pub(super) fn add(
        &mut self,
        id: MessageId,
        source: PeerId,
        topic: Topic,
        length: usize,
    ) -> (MessageToken, Vec<(MessageToken, Waiting)>) {
        let mut gone = Vec::new();
        while let Some(token) = self.too_much(source, length) {
            gone.extend(self.take(token).map(|waiting| (token, waiting)));
        }
        self.next += 1;
        self.bytes += length;
        self.waiting.insert(self.next, Waiting { id, source, topic, length, since: Instant::now() });
        (MessageToken(self.next), gone)
    }

    fn too_much(&self, source: PeerId, length: usize) -> Option<MessageToken> {
        let of_peer = || self.waiting.values().filter(|waiting| waiting.source == source);
        let (count, bytes) = of_peer().fold((0, length), |(n, bytes), w| (n + 1, bytes + w.length));
        let oldest = |which: &dyn Fn(&Waiting) -> bool| {
            self.waiting.iter().find(|(_, waiting)| which(waiting)).map(|(token, _)| MessageToken(*token))
        };
        if count >= MAX_WAITING_OF_PEER || (count > 0 && bytes > MAX_WAITING_BYTES_OF_PEER) {
            return oldest(&|waiting| waiting.source == source);
        }
        if self.waiting.len() >= MAX_WAITING || self.bytes + length > MAX_WAITING_BYTES {
            return oldest(&|waiting| waiting.topic == Topic::Share).or_else(|| oldest(&|_| true));
        }
        None
    }

    /// Takes a message out, if it still waits.
    pub(super) fn take(&mut self, token: MessageToken) -> Option<Waiting> {
        let waiting = self.waiting.remove(&token.0)?;
        self.bytes -= waiting.length;
        Some(waiting)
    }

    /// One that has waited too long.
    pub(super) fn take_late(&mut self, now: Instant) -> Option<(MessageToken, Waiting)> {
        let (token, oldest) = self.waiting.first_key_value()?;
        let token = MessageToken(*token);
        if now.duration_since(oldest.since) < VERDICT_TIME {
            return None;
        }
        self.take(token).map(|waiting| (token, waiting))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sharechain::params::ChainId;

    fn id(n: usize) -> MessageId {
        MessageId::from(n.to_le_bytes().to_vec())
    }

    #[test]
    fn the_settings_are_accepted() {
        behaviour(&Names::new(ChainId([7; 32]))).expect("gossipsub takes them");
    }

    #[test]
    fn one_peer_fills_only_its_own_part() {
        let mut verdicts = Verdicts::default();
        let (greedy, honest) = (PeerId::random(), PeerId::random());
        let (kept, gone) = verdicts.add(id(0), honest, Topic::Share, 1_000);
        assert!(gone.is_empty());
        let (first, _) = verdicts.add(id(1), greedy, Topic::Share, 10);
        for n in 2..=MAX_WAITING_OF_PEER {
            assert!(verdicts.add(id(n), greedy, Topic::Share, 10).1.is_empty());
        }
        let (_, gone) = verdicts.add(id(9_999), greedy, Topic::Share, 10);
        assert_eq!(gone.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [first]);
        let (_, gone) = verdicts.add(id(10_000), greedy, Topic::Share, MAX_WAITING_BYTES_OF_PEER);
        assert_eq!(gone.len(), MAX_WAITING_OF_PEER, "bytes count too");
        assert!(verdicts.take(kept).is_some(), "the honest peer's message stays");
        assert!(verdicts.take(kept).is_none());
    }

    #[test]
    fn shares_make_room_for_the_rest() {
        let mut verdicts = Verdicts::default();
        let (block, _) = verdicts.add(id(0), PeerId::random(), Topic::Block, 10);
        let (share, _) = verdicts.add(id(1), PeerId::random(), Topic::Share, 10);
        let mut n = 2;
        while n < MAX_WAITING {
            let peer = PeerId::random();
            for _ in 0..MAX_WAITING_OF_PEER.min(MAX_WAITING - n) {
                assert!(verdicts.add(id(n), peer, Topic::Block, 10).1.is_empty());
                n += 1;
            }
        }
        let (_, gone) = verdicts.add(id(n), PeerId::random(), Topic::Block, 10);
        assert_eq!(gone.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [share]);
        let (_, gone) = verdicts.add(id(n + 1), PeerId::random(), Topic::Block, 10);
        assert_eq!(gone.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [block]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_too_long_goes() {
        let mut verdicts = Verdicts::default();
        let (token, _) = verdicts.add(id(0), PeerId::random(), Topic::Share, 10);
        tokio::time::advance(VERDICT_TIME - Duration::from_millis(1)).await;
        assert!(verdicts.take_late(Instant::now()).is_none());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(verdicts.take_late(Instant::now()).map(|(late, _)| late), Some(token));
        assert_eq!(verdicts.bytes, 0);
    }
}
