//! What found Bitcoin blocks pay, on a real bitcoind: through a restart, until it can be spent, and when Bitcoin drops them.

use super::setup::{PATIENCE, TestNode, params_for, quick, upstream};
use crate::support::bitcoind::{BitcoinD, Chain};
use crate::support::rig::owner;
use commonwork::address::address_of;
use commonwork::api::Client;
use commonwork::api::form::{CoinbaseState, PaymentLine};
use commonwork::history::book::Book;
use serde_json::json;
use std::time::Duration;

/// What the node says of the payment in this block, once it is in this state with so many confirmations.
async fn payment(node: &TestNode, hash: &str, state: CoinbaseState, confirmations: u32) -> PaymentLine {
    let client = Client::new(node.node.api);
    let wait = async {
        loop {
            let told = client.payments(None, 1_000).await.expect("payments");
            let payment = told.payments.into_iter().find(|payment| payment.hash.0.to_string() == hash);
            let payment = payment.expect("it is not forgotten");
            if (payment.state, payment.confirmations) == (state, confirmations) {
                return payment;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let told = tokio::time::timeout(PATIENCE, wait).await;
    told.unwrap_or_else(|_| panic!("{hash} is not {state:?} with {confirmations} confirmations"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payment_survives_a_restart_matures_and_is_lost_with_its_block() {
    let daemon = BitcoinD::regtest();
    let params = params_for(Chain::Regtest);
    let mut node = TestNode::start(params.clone(), vec![upstream(&daemon, false)]).await;
    let miner = node.miner(&owner(1), 4.0, 0.5);
    let (_, outcome) = node.next_block().await;
    assert!(outcome.outcome.is_accepted(), "{outcome:?}");
    miner.stop().await;
    let folder = node.stop().await;
    let history = folder.path().join(params.network.name()).join("history");
    // Its thread has let go of it when it can be opened.
    while Book::open(&history).is_err() {
        tokio::task::yield_now().await;
    }

    let node = TestNode::start_in(folder, params.clone(), vec![upstream(&daemon, false)], quick()).await;
    let hash = daemon.call("getblockhash", json!([1])).as_str().expect("a hash").to_owned();
    let found = u32::try_from(daemon.height()).expect("few blocks");
    let paid = payment(&node, &hash, CoinbaseState::Immature, found).await;
    let coinbase = daemon.call("getblock", json!([hash, 2]))["tx"][0].clone();
    assert_eq!(coinbase["txid"], paid.txid.0.to_string());
    let address = address_of(&owner(1), params.network);
    let outputs = coinbase["vout"].as_array().expect("outputs").iter();
    let to_it = outputs.filter(|output| output["scriptPubKey"]["address"] == address.as_str());
    let bitcoins: f64 = to_it.map(|output| output["value"].as_f64().expect("an amount")).sum();
    assert_eq!(((bitcoins * 1e8).round() as u64, paid.owner.address), (paid.satoshis, address));
    assert_eq!((paid.bitcoin_height, paid.spendable_at_bitcoin_height), (1, 101));

    let elsewhere = address_of(&owner(9), params.network);
    daemon.mine_to(&elsewhere, 99 - found);
    payment(&node, &hash, CoinbaseState::Immature, 99).await;
    daemon.mine_to(&elsewhere, 1);
    payment(&node, &hash, CoinbaseState::Spendable, 100).await;
    let told = node.ask_program(&["history", "--payments"]).await;
    assert_eq!(told["payments"].as_array().expect("a list").last().expect("one")["state"], "spendable");
    assert!(told["owners"][0]["spendable_satoshis"].as_u64() >= Some(paid.satoshis), "{told}");

    daemon.call("invalidateblock", json!([hash]));
    daemon.mine_to(&elsewhere, 101);
    payment(&node, &hash, CoinbaseState::Lost, 0).await;
    node.stop().await;
}
