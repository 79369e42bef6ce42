//! Too many connections and too many questions.

use crate::attacker::Attacker;
use crate::victim::Victim;
use commonwork::peers::link::{Command, RequestToken, Topic};
use commonwork::peers::wire::Question;
use sharechain::codec::Encode;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;

/// The socket behind a multiaddress like `/ip4/127.0.0.1/tcp/1234`.
fn socket(address: &str) -> SocketAddr {
    let parts: Vec<&str> = address.split('/').collect();
    format!("{}:{}", parts[2], parts[4]).parse().expect("an address over TCP")
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_connections_do_not_keep_it_from_mining_nor_a_peer_from_coming() {
    let victim = Victim::start();
    let address = socket(&victim.address());
    // A thousand at a time stay open, so that the test fits into the usual number of open files.
    for _ in 0..10 {
        let mut open = Vec::new();
        for _ in 0..1_000 {
            // Refused, reset or taken: all is well as long as the node lives.
            let connect = TcpStream::connect(address);
            open.extend(
                tokio::time::timeout(Duration::from_secs(1), connect).await.ok().and_then(Result::ok),
            );
        }
        drop(open);
    }
    victim.keeps_mining();
    victim.stays_small();
    let mut honest = Attacker::at(&victim).await;
    honest.is_kept().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_messages_and_questions_are_cut_off() {
    let victim = Victim::start();
    let mut attacker = Attacker::at(&victim).await;
    let share = {
        let draft = attacker.maker.draft();
        attacker.maker.share(&draft, false, |_| ())
    };
    for n in 0..20_000_u64 {
        let request = RequestToken(n);
        let bytes = Question::Ids { locator: vec![attacker.maker.chain.id().as_block()] }.to_bytes();
        let ask = Command::Ask {
            peer: attacker.victim,
            request,
            bytes,
            most: 1 << 20,
            patience: Duration::from_secs(5),
        };
        attacker.node.command(ask).await;
        // Each differs, so that none is dropped as a repetition.
        let mut message = n.to_le_bytes().to_vec();
        message.extend(share.share().to_bytes());
        attacker.publish(Topic::Share, message).await;
    }
    attacker.is_sent_away().await;
    victim.keeps_mining();
    victim.stays_small();
}
