//! Answers to the node's questions that do not end, do not come, or are lies.

use crate::attacker::{Attacker, is_tip};
use crate::evil::{Evil, Manner};
use crate::long_chain::Maker;
use crate::victim::{GONE_AFTER, Victim};
use crate::work::{good, message};
use commonwork::peers::link::{Command, Event, Topic};
use commonwork::peers::wire::{IdsAnswer, Question};
use sharechain::codec::{Decode, Encode};
use sharechain::share::ShareId;
use sharechain::units::Height;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_ten_gigabytes_is_cut_and_its_sender_sent_away() {
    let victim = Victim::start();
    let mut evil = Evil::at(&victim, Manner::Endless);
    let begun = Instant::now();
    let gone = timeout(GONE_AFTER, evil.until_sent_away()).await;
    assert!(gone.is_ok(), "still there after {} questions", evil.asked);
    eprintln!("gone after {:?}, {} questions", begun.elapsed(), evil.asked);
    assert!(evil.asked > 0, "it was never asked");
    victim.bans_reach(1);
    victim.keeps_mining();
    victim.stays_small();
}

/// Whoever is slow is asked less and less and may stay; but nobody waits for it, and others are heard.
async fn holds_nothing_up(manner: Manner) {
    let victim = Victim::start();
    let mut evil = Evil::at(&victim, manner);
    let (enough, done) = oneshot::channel::<()>();
    let slow = tokio::spawn(async move {
        let is_kept = tokio::select! {
            () = evil.until_sent_away() => false,
            _ = done => true,
        };
        (is_kept, evil.asked)
    });
    // By now it is being asked.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut honest = Attacker::at(&victim).await;
    let share = good(&mut honest.maker);
    honest.publish(Topic::Share, message(share.share())).await;
    honest.sees(share.id()).await;
    victim.keeps_mining();
    drop(enough);
    let (is_kept, asked) = slow.await.expect("no panic");
    assert!(is_kept, "it was there all the while");
    assert!(asked > 0, "it was never asked");
    victim.stays_small();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_a_second_holds_nothing_up() {
    holds_nothing_up(Manner::Drip).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_holds_nothing_up() {
    holds_nothing_up(Manner::Silent).await;
}

/// One that answers every question for ids with this and has no bodies, and claims the most work there is.
async fn is_found_lying(ids: impl Fn(&Maker) -> Vec<u8>) {
    let victim = Victim::start();
    let mut attacker = Attacker::boasting(&victim, 5_000).await;
    let begun = Instant::now();
    let lying = async {
        loop {
            let (question, bytes) = match attacker.node.event(|event| Some(event.clone())).await {
                Event::Asked { question, bytes, .. } => (question, bytes),
                Event::Disconnected { .. } => return,
                _ => continue,
            };
            let bytes = match Question::from_bytes(&bytes) {
                Ok(_) if is_tip(&bytes) => attacker.claim(),
                Ok(Question::Ids { .. }) => ids(&attacker.maker),
                _ => vec![0],
            };
            attacker.node.command(Command::Answer { question, bytes: Some(bytes) }).await;
        }
    };
    assert!(timeout(GONE_AFTER, lying).await.is_ok(), "still there");
    eprintln!("gone after {:?}", begun.elapsed());
    victim.bans_reach(1);
    victim.keeps_mining();
    victim.stays_small();
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_do_not_follow_each_other_are_lies() {
    let ids: Vec<ShareId> =
        (0..4_096_u32).map(|n| ShareId(core::array::from_fn(|at| n.to_le_bytes()[at % 4] ^ 7))).collect();
    is_found_lying(|_| IdsAnswer { from: Height(1), parent: ShareId([7; 32]), ids: ids.clone() }.to_bytes())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_garbage_are_faults() {
    is_found_lying(|_| vec![0xff; 1_000]).await;
}
