//! Payouts as the interface tells them against a count of one's own from what `chain export` prints.

use super::hand::{Hand, Want};
use super::setup::{TestNode, regtest, upstream};
use crate::support::asking::Asking;
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::recount::{Paid, Ranked, Recount};
use crate::support::rig::owner;
use bitcoin::hex::FromHex;
use commonwork::address::address_of;
use serde_json::Value;
use sharechain::params::ChainParams;
use sharechain::units::Score;

/// More than the smallest class has outputs.
const OWNERS: u8 = 14;

/// What the interface tells.
async fn told(connection: &mut Asking, path: &str) -> Value {
    let answer = connection.get(path).await.expect("an answer");
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    serde_json::from_slice(&answer.body).expect("JSON")
}

fn script(form: &Value) -> Vec<u8> {
    Vec::from_hex(form["script"].as_str().expect("text")).expect("hexadecimal digits")
}

/// Compares all that is told of one coinbase.
fn compare(told: &Value, (paid, window): &(Paid, Ranked<u128>), what: &str) {
    let outputs = told["outputs"].as_array().expect("outputs").iter();
    let outputs = outputs.filter(|output| output["kind"] == "payout");
    let outputs = outputs.map(|o| (script(o), o["satoshis"].as_u64().expect("satoshis"))).collect();
    let number = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("no {name}"));
    let (bitcoin_height, value, bonus) = (number("bitcoin_height"), number("value"), number("bonus"));
    assert_eq!(Paid { bitcoin_height, value, outputs, bonus }, *paid, "{what}");

    let total: u128 = window.iter().map(|(_, score)| score).sum();
    let owners = told["owners"].as_array().expect("owners");
    assert_eq!((owners.len(), number("owners_total")), (window.len(), window.len() as u64), "{what}");
    for (told, (owner, score)) in owners.iter().zip(window) {
        assert_eq!(&script(&told["owner"]), owner, "{what}");
        let (score, total) = (*score as f64 / 64_f64.exp2(), total as f64 / 64_f64.exp2());
        let off = |name: &str, right: f64| (told[name].as_f64().expect("a number") / right - 1.0).abs();
        assert!(off("score", score) < 1e-12 && off("part", score / total) < 1e-12, "{what}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payouts_are_those_of_a_count_of_ones_own_from_the_export() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    // A window that all of them are in, and is full at last.
    let params = ChainParams { window_score: Score(24 << 64), ..regtest() };
    let node = TestNode::start(params, vec![upstream(&daemon, true)]).await;
    let mut miners = Vec::new();
    for n in 0..OWNERS {
        let user = address_of(&owner(n + 1), node.params.network);
        let wish = ["c=11", "c=38", "c=145", "c=360"][usize::from(n) % 4];
        miners.push(Hand::wishing(node.node.stratum[0], user, wish).await.expect("the node serves miners"));
    }
    for round in 0..usize::from(OWNERS) {
        // Each hands in as many shares as it likes, and one of them a block of both chains.
        for (n, miner) in miners.iter_mut().enumerate().skip(round % 3).step_by(3) {
            let job = miner.newest().await.expect("served");
            for _ in 0..=(n * n + round) % 4 {
                let found = miner.mine(&job, Want::REGTEST_SHARE);
                assert_eq!(miner.submit(&found).await.expect("served"), None);
                node.share(found.id).await;
            }
        }
        let finder = &mut miners[round * 5 % usize::from(OWNERS)];
        let job = finder.newest().await.expect("served");
        let found = finder.mine(&job, Want::bits(3));
        assert_eq!(finder.submit(&found).await.expect("served"), None);
        node.share(found.id).await;
        for miner in &mut miners {
            miner.job_with(|newer| newer.is_on(&found.id.to_string())).await.expect("served");
        }
    }

    let recount = Recount::of(&node.run_program(&["chain", "export"]).await);
    let mut connection = Asking::connect(node.node.api).await.expect("the interface listens");
    let (mut classes, mut drawn) = (std::collections::BTreeMap::new(), 0);
    for share in recount.shares() {
        let counted = recount.of_share(share);
        let told = told(&mut connection, &format!("/v1/payouts?share={}", share.id)).await;
        compare(&told, &counted, &share.id);
        *classes.entry(share.class).or_insert(0) += 1;
        drawn += u32::from(counted.0.outputs.len() < counted.1.len());
    }
    for class in recount.classes() {
        let told = told(&mut connection, &format!("/v1/payouts?class={class}")).await;
        compare(&told, &recount.next(class), &format!("the next block, class {class}"));
    }
    // It was no simple case: all classes, and more owners than some of them have outputs.
    assert!(classes.len() == 4 && classes.values().sum::<u32>() > 60 && drawn > 10, "{classes:?}, {drawn}");
    node.stop().await;
}
