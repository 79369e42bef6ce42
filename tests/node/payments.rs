//! What found Bitcoin blocks pay, on a real bitcoind: through a restart, until it can be spent, and when Bitcoin drops them.

use super::process::{Process, ask};
use super::setup::{PATIENCE, TestNode, params_for, quick, upstream};
use crate::cli::Program;
use crate::support::bitcoind::{BitcoinD, Chain, wait_for};
use crate::support::rig::owner;
use commonwork::address::address_of;
use commonwork::api::Client;
use commonwork::api::form::{CoinbaseState, PaymentLine};
use commonwork::history::book::Book;
use commonwork::miner::{Miner, MinerConfig};
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
    wait_for("the history to be closed", || Book::open(&history).ok());

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

/// Share blocks of 4,096 hashes, Bitcoin blocks of 8,192.
const CHAIN: &str = "name = 'payments'\nnetwork = 'embedded'\nembedded_bits = '1f07ffff'\neasiest_block_target = '1f0fffff'\n\
                     base_depth = 2\nspacing = 1\nretarget_constant = 1000000\nwindow_blocks = 60\n";
const OWNER: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

#[tokio::test(flavor = "multi_thread")]
async fn payments_survive_a_kill_and_the_loss_of_the_share_chain() {
    let program = Program::new();
    let chain_file = program.file("chain.toml", CHAIN);
    let place = ["--chain", &chain_file, "--address", OWNER];
    let mut node = Process::start(&program, &place);
    let server = node.stratum().to_string();
    let config = MinerConfig { shares_per_second: 400.0, ..MinerConfig::new(server, OWNER) };
    let miner = Miner::spawn(config).expect("a thread");
    for _ in 0..3 {
        node.until_it_says("BITCOIN BLOCK FOUND");
    }
    let question = ["history", "--payments", "--chain", &chain_file];
    // What is told is on the disk.
    let told = wait_for("a payment", || Some(ask(&program, &question)).filter(|told| told["total"] != 0));
    node.kill();
    miner.stop().await;
    let paid = |told: &serde_json::Value| -> Vec<_> {
        let payments = told["payments"].as_array().expect("a list").iter();
        payments.map(|payment| (payment["txid"].clone(), payment["satoshis"].clone())).collect()
    };
    let before = paid(&told);

    let folder = program.home().join(".local/share/commonwork/embedded");
    std::fs::remove_dir_all(folder.join("sharechain")).expect("removed");
    let mut node = Process::start(&program, &place);
    node.stratum();
    let after = paid(&ask(&program, &question));
    assert!(before.iter().all(|payment| after.contains(payment)), "{before:?} and then {after:?}");
    node.kill();
}
