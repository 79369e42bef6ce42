//! Miners at work while the node's interface is asked a great deal.

use super::crew::{Crew, Habits, Outcomes};
use super::setup::{PATIENCE, TestNode, regtest, upstream};
use crate::support::asking::{Asking, BitcoinBlocks, paths};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;
use commonwork::address::address_of;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Together a thousand questions, on no more connections than the interface takes.
const CONNECTIONS: usize = 50;
const QUESTIONS: usize = 20;

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

    let blocks = BitcoinBlocks::listen(node.node.api).await.expect("the interface listens");
    let blocks = tokio::spawn(blocks.own());
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
