//! Answers to the node's questions that do not end, do not come, or are lies.

use crate::attacker::Attacker;
use crate::evil::{Evil, Manner};
use crate::victim::{GONE_AFTER, Victim};
use commonwork::peers::link::{Command, Event};
use commonwork::peers::wire::{IdsAnswer, Question};
use sharechain::codec::{Decode, Encode};
use sharechain::share::ShareId;
use sharechain::units::Height;
use std::time::Duration;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_ten_gigabytes_is_cut_and_its_sender_sent_away() {
    let victim = Victim::start();
    let mut evil = Evil::at(&victim, Manner::Endless);
    // It is asked again when the first answer was cut; two of them are too many.
    let gone = timeout(Duration::from_secs(120), evil.until_sent_away()).await;
    assert!(gone.is_ok(), "still there after {} questions", evil.asked);
    assert!(evil.asked > 0, "it was never asked");
    victim.keeps_mining();
    victim.stays_small();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_a_second_or_silence_holds_nothing_up() {
    let victim = Victim::start();
    for manner in [Manner::Drip, Manner::Silent] {
        let mut evil = Evil::at(&victim, manner);
        // Whoever is slow is asked less and less and may stay; it gets no further than that.
        let _ = timeout(GONE_AFTER, evil.until_sent_away()).await;
        assert!(evil.asked > 0, "it was never asked");
        victim.keeps_mining();
    }
    victim.stays_small();
}

/// One that answers every question for ids with this, and claims the most work there is.
async fn lies(victim: &Victim, ids: impl Fn() -> Vec<u8>) {
    let mut attacker = Attacker::at(victim).await;
    let claim = attacker.claim(5_000);
    let lying = async {
        loop {
            let (question, bytes) = match attacker.node.event(|event| Some(event.clone())).await {
                Event::Asked { question, bytes, .. } => (question, bytes),
                Event::Disconnected { .. } => return,
                _ => continue,
            };
            let bytes = match Question::from_bytes(&bytes) {
                Ok(Question::Tip) => Some(claim.to_bytes()),
                Ok(Question::Ids { .. }) => Some(ids()),
                // Bodies that it does not have.
                _ => Some(vec![0]),
            };
            attacker.node.command(Command::Answer { question, bytes }).await;
        }
    };
    // It claims once a question comes, which a peer is asked from time to time.
    assert!(timeout(Duration::from_secs(180), lying).await.is_ok(), "still there");
    victim.keeps_mining();
    victim.stays_small();
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_do_not_follow_each_other_are_lies() {
    let victim = Victim::start();
    let page = |n: u8| IdsAnswer {
        from: Height(1),
        parent: ShareId([n; 32]),
        ids: (0..4_096_u32)
            .map(|at| ShareId(core::array::from_fn(|i| at.to_le_bytes()[i % 4] ^ n)))
            .collect(),
    };
    lies(&victim, move || page(7).to_bytes()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_garbage_are_faults() {
    let victim = Victim::start();
    lies(&victim, || vec![0xff; 1_000]).await;
}
