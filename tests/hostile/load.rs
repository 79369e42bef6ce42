//! Too many connections, messages and questions.

use crate::attacker::Attacker;
use crate::victim::{GONE_AFTER, Victim};
use crate::work::{good, message};
use commonwork::peers::link::{Event, Topic};
use commonwork::peers::wire::Question;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The socket behind a multiaddress like `/ip4/127.0.0.1/tcp/1234`.
fn socket(address: &str) -> SocketAddr {
    let parts: Vec<&str> = address.split('/').collect();
    format!("{}:{}", parts[2], parts[4]).parse().expect("an address over TCP")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_do_not_keep_it_from_mining_nor_a_peer_from_coming() {
    let victim = Victim::start();
    let address = socket(&victim.address());
    let before = victim.cpu();
    let mut taken = 0;
    // A few hundred at a time stay open, so that the test fits into the usual number of open files.
    for _ in 0..20 {
        let mut open = Vec::new();
        for _ in 0..500 {
            // Refused, reset or taken: all is well as long as the node lives.
            let connect = timeout(Duration::from_secs(1), TcpStream::connect(address));
            open.extend(connect.await.ok().and_then(Result::ok));
        }
        taken += open.len();
        drop(open);
    }
    assert!(taken > 5_000, "only {taken} reached it");
    victim.keeps_mining();
    victim.stays_small();
    eprintln!("{taken} connections cost {:?}", victim.cpu() - before);
    // The last ones' handshakes end in seconds, if they have begun at all.
    let mut honest = Attacker::at(&victim).await;
    honest.is_kept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_says_too_much_is_sent_away_though_all_of_it_is_good() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    for n in 0..4_000 {
        let share = good(&mut attacker.maker);
        attacker.publish(Topic::Share, message(share.share())).await;
        if n % 100 == 0 {
            // Its own network drops what it cannot send at once.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
    victim.stays_small();
    victim.bans_reach(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_much_is_sent_away() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let (mut asked, begun) = (0_u32, Instant::now());
    let asking = async {
        let question = Question::Ids { locator: vec![attacker.maker.chain.id().as_block()] };
        // As many at a time as its own network lets it; for each answer another one.
        for _ in 0..8 {
            attacker.send(&question).await;
        }
        loop {
            match attacker.node.event(|event| Some(event.clone())).await {
                Event::Disconnected { .. } => return,
                Event::Answered { .. } => {
                    asked += 1;
                    attacker.send(&question).await;
                }
                _ => {}
            }
        }
    };
    assert!(timeout(GONE_AFTER, asking).await.is_ok(), "still there after {asked} questions");
    eprintln!("gone after {asked} questions and {:?}", begun.elapsed());
    assert!(asked > 200, "the first {asked} must be free");
    victim.keeps_mining();
    victim.stays_small();
    victim.bans_reach(1);
}
