//! Questions and answers.

use super::node::{TestNode, folders, pair};
use commonwork::peers::link::{Command, MAX_ANSWER, NoAnswer, Peer, RequestToken};
use std::time::Duration;

async fn ask(node: &TestNode, peer: Peer, request: u64, bytes: &[u8], most: usize, patience: Duration) {
    let (request, bytes) = (RequestToken(request), bytes.to_vec());
    node.command(Command::Ask { peer, request, bytes, most, patience }).await;
}

const PATIENCE: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn questions_are_answered_refused_cut_off_and_waited_for_only_so_long() {
    let folders = folders();
    let ([mut first, mut second], [at_first, at_second]) = pair(&folders, false).await;

    ask(&second, at_second, 1, b"what?", 100, PATIENCE).await;
    let (peer, question, bytes) = first.asked().await;
    assert_eq!((peer, &bytes[..]), (at_first, &b"what?"[..]));
    first.command(Command::Answer { question, bytes: Some(b"that".to_vec()) }).await;
    assert_eq!(second.answered(1).await, Ok(b"that".to_vec()));

    ask(&second, at_second, 2, b"", 100, PATIENCE).await;
    let (_, question, _) = first.asked().await;
    first.command(Command::Answer { question, bytes: None }).await;
    assert_eq!(second.answered(2).await, Err(NoAnswer::Refused));

    for (request, length, answer) in [(3, 101, None), (4, 100, Some(100)), (5, MAX_ANSWER, None)] {
        ask(&second, at_second, request, b"more", 100, PATIENCE).await;
        let (_, question, _) = first.asked().await;
        first.command(Command::Answer { question, bytes: Some(vec![3; length]) }).await;
        let wanted = answer.map(|length| vec![3; length]).ok_or(NoAnswer::TooLong);
        assert_eq!(second.answered(request).await, wanted);
    }

    ask(&second, at_second, 6, b"the longest", MAX_ANSWER, PATIENCE).await;
    let (_, question, _) = first.asked().await;
    first.command(Command::Answer { question, bytes: Some(vec![4; MAX_ANSWER]) }).await;
    assert_eq!(second.answered(6).await, Ok(vec![4; MAX_ANSWER]));

    ask(&second, at_second, 7, b"slow", 100, Duration::from_millis(300)).await;
    let (_, question, _) = first.asked().await;
    assert_eq!(second.answered(7).await, Err(NoAnswer::TimedOut));
    first.command(Command::Answer { question, bytes: Some(vec![]) }).await;

    // One that was never connected, and one that goes while it is asked.
    ask(&second, Peer(1), 8, b"", 100, PATIENCE).await;
    assert_eq!(second.answered(8).await, Err(NoAnswer::Gone));
    ask(&second, at_second, 9, b"last", 100, PATIENCE).await;
    first.asked().await;
    first.stop().await;
    assert_eq!(second.answered(9).await, Err(NoAnswer::Gone));
    second.disconnected(at_second).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_questions_at_once_than_a_peer_may_ask_are_refused() {
    let folders = folders();
    let ([mut first, mut second], [_, at_second]) = pair(&folders, true).await;
    for request in 0..16 {
        ask(&second, at_second, request, b"?", 100, PATIENCE).await;
    }
    // Eight are let through, the other eight are refused before any is answered.
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(first.asked().await.1);
    }
    let mut refused = 0;
    while refused < 8 {
        let answer = second
            .event(|event| match event {
                commonwork::peers::link::Event::Answered { answer, .. } => Some(answer.clone()),
                _ => None,
            })
            .await;
        assert_eq!(answer, Err(NoAnswer::Refused));
        refused += 1;
    }
    for question in open {
        first.command(Command::Answer { question, bytes: Some(vec![]) }).await;
    }
    for _ in 0..8 {
        let answer = second
            .event(|event| match event {
                commonwork::peers::link::Event::Answered { answer, .. } => Some(answer.clone()),
                _ => None,
            })
            .await;
        assert_eq!(answer, Ok(vec![]));
    }
    first.stop().await;
    second.stop().await;
}
