//! Payouts as the interface tells them against a count of one's own from what `chain export` prints.

use super::hand::{Hand, Want};
use super::setup::{TestNode, regtest, upstream};
use crate::support::asking::Asking;
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::recount::{Counted, Paid, Recount, sum};
use crate::support::rig::owner;
use bitcoin::hex::FromHex;
use commonwork::address::address_of;
use serde_json::Value;
use sharechain::params::ChainParams;
use sharechain::units::Score;
use std::collections::BTreeMap;

/// More than all classes but the largest have outputs.
const OWNERS: u8 = 14;
/// The easiest shares score 1/2 each: of the oldest that is in the window, a quarter fits.
const WINDOW_SCORE: Score = Score((24 << 64) + (1 << 61));
/// What is due to somebody with two shares in that window or fewer is less, so that the largest class draws too.
const SMALLEST_PAYOUT: u64 = 250_000_000;

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
fn compare(told: &Value, Counted { paid, window, .. }: &Counted, what: &str) {
    let of_kind = |kind: &str| {
        let outputs = told["outputs"].as_array().expect("outputs").iter();
        let outputs = outputs.filter(|output| output["kind"] == kind);
        outputs.map(|o| (script(o), o["satoshis"].as_u64().expect("satoshis"))).collect()
    };
    let (outputs, to_finder) = (of_kind("payout"), of_kind("bonus"));
    let number = |name: &str| told[name].as_u64().unwrap_or_else(|| panic!("no {name}"));
    let (bitcoin_height, value, bonus) = (number("bitcoin_height"), number("value"), number("bonus"));
    assert_eq!(Paid { bitcoin_height, value, outputs, bonus, to_finder }, *paid, "{what}");

    let window = &window.ranked;
    let total = sum(window);
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
    let params = ChainParams {
        window_score: WINDOW_SCORE,
        smallest_payout: SMALLEST_PAYOUT,
        payout_interval: 2,
        classes: vec![3, 6, 10, 360],
        ..regtest()
    };
    let node = TestNode::start(params, vec![upstream(&daemon, true)]).await;
    let mut miners = Vec::new();
    for n in 0..OWNERS {
        let user = address_of(&owner(n + 1), node.params.network);
        let wish = ["c=3", "c=6", "c=10", "c=360"][usize::from(n) % 4];
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
    assert_eq!(recount.window_score(), WINDOW_SCORE.0);
    // By class: shares in all, and those for which every stage down to their class drew.
    let (mut classes, mut cut) = (BTreeMap::<u64, (u32, u32)>::new(), 0);
    for share in recount.shares() {
        let counted = recount.of_share(share);
        let told = told(&mut connection, &format!("/v1/payouts?share={}", share.id)).await;
        compare(&told, &counted, &share.id);
        let (all, drawn) = classes.entry(share.class).or_default();
        *all += 1;
        *drawn += u32::from(!counted.drew.is_empty() && counted.drew.iter().all(|drew| *drew));
        let full = sum(&counted.window.ranked) == WINDOW_SCORE.0;
        assert_eq!(counted.window.is_cut, full, "{}", share.id);
        cut += u32::from(full);
    }
    for class in recount.classes() {
        let told = told(&mut connection, &format!("/v1/payouts?class={class}")).await;
        let counted = recount.next(class);
        compare(&told, &counted, &format!("the next block, class {class}"));
        assert!(counted.window.is_cut && sum(&counted.window.ranked) == WINDOW_SCORE.0, "class {class}");
    }
    // It was no simple case: windows that end within a credit, and in each class draws from what was drawn before.
    let drawn_often = classes.values().all(|(all, drawn)| *all > 15 && *drawn > 8);
    assert!(classes.len() == 4 && drawn_often && cut > 30, "{classes:?}, {cut}");
    node.stop().await;
}
