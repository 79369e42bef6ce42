//! Kill -9 at random moments of mining: the next start goes on from the last block that was accepted.

use super::process::{Process, ask};
use crate::cli::Program;
use commonwork::miner::{Miner, MinerConfig};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Share blocks of 4,096 hashes, shares of 128, Bitcoin blocks of 8,192; a miner is quicker than the spacing, and the
/// targets stay as they are.
const CHAIN: &str = "name = 'crash'\nnetwork = 'embedded'\nembedded_bits = '1f07ffff'\neasiest_block_target = '1f0fffff'\n\
                     base_depth = 2\nspacing = 1\nretarget_constant = 1000000\nwindow_blocks = 60\n";
const OWNER: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Random numbers that a failed test can be repeated with.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The tips that a log tells of, oldest first.
fn tips(log: &[Value]) -> Vec<&Value> {
    let of_tip = |line: &&Value| line["message"] == "share block" && line["tip"] == true;
    log.iter().filter(of_tip).map(|line| &line["block"]).collect()
}

async fn crash(kills: u32) {
    let program = Program::new();
    let chain_file = program.file("crash.toml", CHAIN);
    let chain = ["--chain", &chain_file];
    let seed = getrandom::u64().expect("the system's randomness");
    let mut random = Random(seed);
    let (mut tip, mut bitcoin_height, mut said, mut began) = (Value::Null, 0, 0, Instant::now());
    for kill in 1..=kills {
        let place = format!("kill {kill}, seed {seed}");
        let mut node = Process::start(&program, &chain);
        let loaded = node.until_it_says("share chain loaded");
        if tip["id"].is_string() {
            assert_eq!(loaded["tip"], tip["id"], "{place}: the tip was there before the start");
        }
        let server = node.stratum().to_string();
        let config = MinerConfig { shares_per_second: 400.0, ..MinerConfig::new(server, OWNER) };
        let miner = Miner::spawn(config).expect("a thread");
        for _ in 0..=random.below(12) {
            node.until_it_says("share block");
        }
        // Any moment of the next few blocks' making.
        sleep(Duration::from_micros(random.below(100_000))).await;
        node.kill();
        miner.stop().await;

        let told = tips(&node.log);
        let last = told.last().copied().expect("waited for");
        said += told.len();
        let found = ask(&program, &[&["chain", "tip"][..], &chain].concat());
        let before = std::mem::replace(&mut tip, found["tip"].clone());
        // One more may have been saved without having been told of.
        assert!(&tip["id"] == last || &tip["parent"] == last, "{place}: {last} was the tip, {tip} is there");
        assert!(tip["height"].as_u64() > before["height"].as_u64(), "{place}: {tip} after {before}");
        let height = found["bitcoin"]["height"].as_u64().expect("a height");
        assert!(height >= bitcoin_height, "{place}: Bitcoin at {height} after {bitcoin_height}");
        bitcoin_height = height;
        let report = ask(&program, &[&["chain", "verify"][..], &chain].concat());
        assert_eq!((&report["valid"], &report["tip"]), (&json!(true), &tip["id"]), "{place}: {report:#}");
        let behind = node.log.iter().find(|line| line["level"] == "WARN" && line["message"] != Value::Null);
        let behind = behind.filter(|line| line.to_string().contains("behind the share chain"));
        assert_eq!(behind, None, "{place}: the embedded chain went on as well");
        if kill % 10 == 0 || kill == kills {
            eprintln!(
                "{kill} kills in {:?}, {said} tips told, height {}, Bitcoin at {bitcoin_height}, {} shares verified",
                began.elapsed(),
                tip["height"],
                report["shares"]
            );
            began = Instant::now();
        }
    }
    assert!(bitcoin_height > 0, "Bitcoin blocks were among what was found");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_killed_goes_on_from_its_last_block() {
    crash(7).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; the short form is a_node_that_is_killed_goes_on_from_its_last_block"]
async fn a_node_that_is_killed_fifty_times_goes_on_from_its_last_block() {
    crash(50).await;
}
