//! Gossip and its verdicts.

use super::node::{TestNode, folders, pair, settings};
use commonwork::peers::link::{Command, MAX_GOSSIP, Topic, Verdict};

#[tokio::test(flavor = "multi_thread")]
async fn messages_travel_over_tcp_and_over_quic() {
    for quic in [false, true] {
        let folders = folders();
        let ([mut first, second], [peer, _]) = pair(&folders, quic).await;
        // The subscription comes after the connection.
        let longest = vec![5; MAX_GOSSIP];
        for (topic, bytes) in
            [(Topic::Share, &b"share"[..]), (Topic::Block, b"block"), (Topic::Solution, &longest)]
        {
            let told = until_heard(&second, &mut first, topic, bytes).await;
            assert_eq!((told.0, told.1, told.3), (peer, topic, bytes.to_vec()), "quic: {quic}");
        }
        first.stop().await;
        second.stop().await;
    }
}

/// Publishes again and again: nobody is told anything before the subscriptions have been exchanged, and a message that
/// reached nobody may be published again.
async fn until_heard(
    from: &TestNode,
    to: &mut TestNode,
    topic: Topic,
    bytes: &[u8],
) -> (commonwork::peers::link::Peer, Topic, commonwork::peers::link::MessageToken, Vec<u8>) {
    let again = async {
        let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            pause.tick().await;
            from.publish(topic, bytes).await;
        }
    };
    tokio::select! {
        heard = to.gossip() => heard,
        () = again => unreachable!("it goes on"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_is_accepted_is_forwarded() {
    // first - middle - last, and first and last know nothing of each other.
    let folders: [_; 3] = folders();
    let mut middle = TestNode::start(settings(&folders[1], &[]));
    let address = middle.address(false).await;
    let of = |at: usize| {
        let mut settings = settings(&folders[at], std::slice::from_ref(&address));
        (settings.listen, settings.outbound) = (Vec::new(), 1);
        settings
    };
    let (mut first, mut last) = (TestNode::start(of(0)), TestNode::start(of(2)));
    first.connected().await;
    last.connected().await;
    for _ in 0..2 {
        middle.connected().await;
    }
    // Both ways through the middle, so that everybody's subscriptions have arrived.
    let (_, _, token, _) = until_heard(&first, &mut middle, Topic::Share, b"one").await;
    middle.command(Command::Verdict { message: token, verdict: Verdict::Ignore }).await;
    let (_, _, token, _) = until_heard(&last, &mut middle, Topic::Share, b"two").await;
    middle.command(Command::Verdict { message: token, verdict: Verdict::Ignore }).await;

    for (bytes, verdict) in
        [(&b"bad"[..], Verdict::Reject), (b"dull", Verdict::Ignore), (b"good", Verdict::Accept)]
    {
        first.publish(Topic::Block, bytes).await;
        let (_, topic, message, heard) = middle.gossip().await;
        assert_eq!((topic, &heard[..]), (Topic::Block, bytes));
        middle.command(Command::Verdict { message, verdict }).await;
    }
    // The first thing that the last hears is the only one that was accepted.
    let (_, topic, _, heard) = last.gossip().await;
    assert_eq!((topic, &heard[..]), (Topic::Block, &b"good"[..]));
    for node in [first, middle, last] {
        node.stop().await;
    }
}
