//! What waits to be told to the node's logic. The swarm never waits for it; what is more urgent is told first.
//!
//! Everything in here is bounded by its sender: connections by their limits, answers by the questions that were
//! admitted, gossip by [`super::gossip::Verdicts`], questions of others by [`super::questions`].

use crate::peers::link::{Event, MessageToken, Peer, Topic};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Events that lie in the channel to the node's logic.
pub(super) const CHANNEL: usize = 256;
/// Most bytes that lie in that channel, or one event.
const MAX_CHANNEL_BYTES: usize = 16 << 20;

/// The queues in front of the channel.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: mpsc::Sender<Event>,
    /// By urgency: connections and answers; blocks and solutions; questions; shares.
    lanes: [VecDeque<Event>; 4],
    /// Bytes of the latest events in the channel, oldest first.
    sent: VecDeque<usize>,
}

fn lane_of(event: &Event) -> usize {
    match event {
        Event::Connected { .. } | Event::Disconnected { .. } | Event::Answered { .. } => 0,
        Event::Gossip { topic: Topic::Block | Topic::Solution, .. } => 1,
        Event::Asked { .. } => 2,
        Event::Gossip { topic: Topic::Share, .. } => 3,
    }
}

fn bytes_of(event: &Event) -> usize {
    match event {
        Event::Gossip { bytes, .. }
        | Event::Asked { bytes, .. }
        | Event::Answered { answer: Ok(bytes), .. } => bytes.len(),
        _ => 0,
    }
}

impl Outlet {
    pub(super) fn new(sender: mpsc::Sender<Event>) -> Self {
        Self { sender, lanes: Default::default(), sent: VecDeque::new() }
    }

    /// Queues an event. A peer that goes before its coming was told was never there.
    pub(super) fn push(&mut self, event: Event) {
        if let Event::Disconnected { peer } = event
            && let Some(at) = self.untold(peer)
        {
            self.lanes[0].remove(at);
            return;
        }
        self.lanes[lane_of(&event)].push_back(event);
    }

    fn untold(&self, wanted: Peer) -> Option<usize> {
        self.lanes[0]
            .iter()
            .rposition(|event| matches!(event, Event::Connected { peer, .. } if *peer == wanted))
    }

    /// Takes back a gossiped message that was not told yet.
    pub(super) fn retract(&mut self, token: MessageToken) {
        for lane in [1, 3] {
            let queue = &mut self.lanes[lane];
            if let Some(at) = queue
                .iter()
                .position(|event| matches!(event, Event::Gossip { message, .. } if *message == token))
            {
                queue.remove(at);
                return;
            }
        }
    }

    /// Whether something waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(VecDeque::is_empty)
    }

    /// The channel, to wait for room in it.
    pub(super) fn sender(&self) -> mpsc::Sender<Event> {
        self.sender.clone()
    }

    /// Hands on as much as there is room for. Tells whether it stopped because of bytes, so that waiting for room in
    /// the channel would not help.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(lane) = self.lanes.iter().position(|lane| !lane.is_empty()) {
            let lying = self.sender.max_capacity() - self.sender.capacity();
            while self.sent.len() > lying {
                self.sent.pop_front();
            }
            let bytes: usize = self.sent.iter().sum();
            let Some(next) = self.lanes[lane].front().map(bytes_of) else { return false };
            if lying > 0 && bytes + next > MAX_CHANNEL_BYTES {
                return true;
            }
            let Ok(permit) = self.sender.try_reserve() else { return false };
            if let Some(event) = self.lanes[lane].pop_front() {
                self.sent.push_back(next);
                permit.send(event);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers::link::QuestionToken;

    const PEER: Peer = Peer(7);

    fn gossip(token: u64, topic: Topic, bytes: usize) -> Event {
        Event::Gossip { peer: PEER, topic, message: MessageToken(token), bytes: vec![0; bytes] }
    }

    #[test]
    fn the_urgent_goes_first() {
        let (sender, mut events) = mpsc::channel(10);
        let mut outlet = Outlet::new(sender);
        let asked = Event::Asked { peer: PEER, question: QuestionToken(1), bytes: vec![] };
        let connected = Event::Connected { peer: PEER, ip: None, outbound: true };
        let (share, block) = (gossip(1, Topic::Share, 1), gossip(2, Topic::Block, 1));
        for event in [&share, &asked, &block, &connected] {
            outlet.push(event.clone());
        }
        assert!(!outlet.flush());
        let told: Vec<_> = std::iter::from_fn(|| events.try_recv().ok()).collect();
        assert_eq!(told, [connected, block, asked, share]);
    }

    #[test]
    fn bytes_in_the_channel_are_bounded() {
        let (sender, mut events) = mpsc::channel(10);
        let mut outlet = Outlet::new(sender);
        for token in 0..4 {
            outlet.push(gossip(token, Topic::Block, MAX_CHANNEL_BYTES / 2));
        }
        assert!(outlet.flush(), "it stops because of bytes");
        assert_eq!(events.len(), 2);
        assert!(events.try_recv().is_ok());
        assert!(outlet.flush());
        assert_eq!(events.len(), 2);
    }

    #[test]
    fn visits_that_nobody_heard_of_are_not_told() {
        let (sender, mut events) = mpsc::channel(1);
        let mut outlet = Outlet::new(sender);
        let connected = || Event::Connected { peer: PEER, ip: None, outbound: false };
        outlet.push(connected());
        outlet.push(Event::Disconnected { peer: PEER });
        assert!(outlet.is_empty());
        outlet.push(connected());
        outlet.flush();
        outlet.push(Event::Disconnected { peer: PEER });
        outlet.push(connected());
        outlet.push(Event::Disconnected { peer: PEER });
        assert_eq!(events.try_recv(), Ok(connected()));
        outlet.flush();
        assert_eq!(events.try_recv(), Ok(Event::Disconnected { peer: PEER }));
        assert!(outlet.is_empty());
    }

    #[test]
    fn what_is_taken_back_is_not_told() {
        let (sender, mut events) = mpsc::channel(4);
        let mut outlet = Outlet::new(sender);
        outlet.push(gossip(1, Topic::Share, 1));
        outlet.push(gossip(2, Topic::Share, 1));
        outlet.retract(MessageToken(1));
        outlet.flush();
        assert_eq!(events.try_recv(), Ok(gossip(2, Topic::Share, 1)));
        assert!(events.try_recv().is_err());
    }
}
