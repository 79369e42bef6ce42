//! The owner's command: the whole program runs it when a Bitcoin block is found.

use super::hand::Hand;
use super::solo::{Solo, address, find_block};

#[tokio::test(flavor = "multi_thread")]
async fn a_found_block_is_told_to_the_owners_command() {
    let mut solo = Solo::start(&["--on-event", "cat"]);
    let mut hand = Hand::connect(solo.stratum(), address(1)).await.expect("served");
    let job = hand.newest().await.expect("served");
    let id = find_block(&mut hand, &job).await.id.to_string();
    // What it writes goes into the log; `cat` writes what it is told.
    let told = solo.process.until("what the command says", |line| {
        let is_output = line["message"].as_str()?.contains("output of --on-event");
        (is_output && line["event"] == "bitcoin-block").then(|| line["text"].to_string())
    });
    assert!(told.contains(&id), "{told}");
    solo.process.signal("TERM");
    assert_eq!(solo.process.ended().code(), Some(0), "{:#?}", solo.process.log);
}
