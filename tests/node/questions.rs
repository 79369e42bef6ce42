//! Miners at work while the node's interface is asked a great deal.

use super::crew::{Crew, Habits, Outcomes};
use super::setup::{PATIENCE, TestNode, regtest, upstream};
use crate::support::asking::{Asking, paths};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;
use commonwork::address::address_of;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Together a thousand questions, on no more connections than the interface takes.
const CONNECTIONS: usize = 50;
const QUESTIONS: usize = 20;

/// Of each Bitcoin block that is told of until the node ends, whether it is told as its own.
async fn bitcoin_blocks(interface: SocketAddr) -> Vec<bool> {
    let mut stream = TcpStream::connect(interface).await.expect("the interface listens");
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await.expect("sent");
    let mut lines = BufReader::new(stream).lines();
    let mut own = Vec::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let event =
            line.strip_prefix("data: ").map(|data| serde_json::from_str::<Value>(data).expect("JSON"));
        own.extend(event.filter(|event| event["is"] == "bitcoin-block").map(|event| event["own"] == true));
    }
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_questions_at_once_are_answered_and_cost_no_miner_a_submit() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let outcomes = Outcomes::of(&node);
    // As many as the chain's thread takes in: questions wait in its queue as shares do.
    let habits = Habits { pause: Duration::from_millis(200), submits_per_job: 4 };
    let mut crew = Crew::at(&node, &[owner(1), owner(2), owner(3)], habits);
    crew.accepted_more(10).await;
    let share = crew.account().accepted[0].id.to_string();

    let blocks = tokio::spawn(bitcoin_blocks(node.node.api));
    let paths = paths(&address_of(&owner(2), node.params.network), &share);
    let mut asking = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (api, paths) = (node.node.api, paths.clone());
        asking.spawn(async move {
            let mut connection = Asking::connect(api).await.expect("the interface listens");
            for path in paths.iter().cycle().skip(n).take(QUESTIONS) {
                let answer = connection.get(path).await.expect("an answer");
                assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            }
        });
    }
    let answered = async { while asking.join_next().await.transpose().expect("no panic").is_some() {} };
    timeout(PATIENCE, answered).await.expect("answered in time");

    crew.accepted_more(10).await;
    let account = crew.stop().await;
    assert_eq!((account.refused.len(), account.hung_up), (0, 0), "{:?}", account.refused);
    account.check(&node, &outcomes, 1).await;
    node.stop().await;
    // All were found here, however quickly they went out.
    let own = blocks.await.expect("no panic");
    assert!(!own.is_empty() && own.iter().all(|own| *own), "{own:?}");
}
