//! Solo mining: the whole program on a real bitcoind, whose blocks pay their finders alone.

use super::coinbase::satoshis;
use super::hand::{Found, Hand, HandJob, Want};
use super::process::{Process, ask};
use crate::api::raw::ask as ask_raw;
use crate::cli::Program;
use crate::support::bitcoind::{BitcoinD, Chain, Options, wait_for};
use crate::support::jobs::owner;
use crate::support::ports::FREE_PORTS;
use commonwork::address::address_of;
use commonwork::api::{Client, Token};
use serde_json::{Value, json};
use sharechain::params::Network;
use std::net::SocketAddr;

const PLACE: [&str; 2] = ["--network", "regtest"];
/// What the first 149 blocks of regtest pay.
const SUBSIDY: u64 = 5_000_000_000;

/// The program, mining solo on a bitcoind.
pub(crate) struct Solo {
    pub(crate) program: Program,
    pub(crate) process: Process,
    pub(crate) daemon: BitcoinD,
}

impl Solo {
    pub(crate) fn start(more: &[&str]) -> Self {
        let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
        let (url, cookie) = (daemon.rpc_url(), daemon.cookie_file().display().to_string());
        let zmq = daemon.zmq_url().expect("asked for");
        let bitcoind = ["--solo", "--bitcoind", &url, "--rpc-cookie", &cookie, "--zmq", &zmq];
        let program = Program::new();
        let mut process = Process::start(&program, &[&PLACE[..], &bitcoind, more].concat());
        process.until_it_says("SOLO mining: nothing is shared");
        process.until_it_says("templates come in");
        Self { program, process, daemon }
    }

    pub(crate) fn status(&self) -> Value {
        ask(&self.program, &[&["status"], &PLACE[..]].concat())
    }

    pub(crate) fn stratum(&self) -> SocketAddr {
        let status = self.status();
        status["miners"]["stratum"][0].as_str().expect("an address").parse().expect("an address")
    }

    /// What the newest block pays: it is to be this one, and accepted. The outputs that pay nothing are two.
    pub(crate) fn paid_by(&self, hash: &str) -> Vec<(String, u64)> {
        wait_for("the block on the best chain", || (self.daemon.best_hash() == hash).then_some(()));
        let block = self.daemon.call("getblock", json!([hash, 2]));
        let outputs = block["tx"][0]["vout"].as_array().expect("outputs");
        let read = |output: &Value| {
            let address = output["scriptPubKey"]["address"].as_str().unwrap_or_default().to_owned();
            (address, satoshis(&output["value"]))
        };
        let (paying, others): (Vec<_>, Vec<_>) =
            outputs.iter().map(read).partition(|(address, _)| !address.is_empty());
        assert!(others.len() == 2 && others.iter().all(|(_, value)| *value == 0), "{others:?}");
        paying
    }
}

/// An address of an owner told apart by a number.
pub(crate) fn address(n: u8) -> String {
    address_of(&owner(n), Network::Regtest)
}

pub(crate) async fn find_block(hand: &mut Hand, job: &HandJob) -> Found {
    let found = hand.mine(job, Want::REGTEST_BLOCK);
    assert_eq!(hand.submit(&found).await.expect("served"), None);
    found
}

#[test]
fn a_second_node_on_its_folder_is_refused() {
    let solo = Solo::start(&[]);
    for second in [&["--solo"][..], &["--offline"]] {
        let bitcoind = ["--bitcoind", "http://127.0.0.1:1", "--rpc-user", "u", "--rpc-password", "p"];
        let arguments = [&["run"], &FREE_PORTS[..], &PLACE, &bitcoind, second].concat();
        let refused = solo.program.run(&arguments);
        assert!(
            refused.code == 1 && refused.errors.contains("is in use: another node"),
            "{}",
            refused.errors
        );
    }
    // The first one goes on, and its address and token are its own still.
    solo.status();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_pays_its_finder_alone_and_the_program_says_so() {
    let mut solo = Solo::start(&[]);
    let mut hands = Vec::new();
    for n in 1..=2 {
        hands.push(Hand::connect(solo.stratum(), address(n)).await.expect("served"));
    }
    // Shares are judged, and lead to nothing.
    let job = hands[0].newest().await.expect("served");
    for _ in 0..3 {
        let share = hands[0].mine(&job, Want::REGTEST_SHARE);
        assert_eq!(hands[0].submit(&share).await.expect("served"), None);
        assert_eq!(hands[0].submit(&share).await.expect("served"), Some(22), "once");
    }
    let mut last = None;
    for which in [0, 1, 1, 0] {
        let hand = &mut hands[which];
        let is_new = |job: &HandJob| last.as_ref().is_none_or(|last: &String| job.is_on(last));
        let job = hand.job_with(is_new).await.expect("served");
        let found = find_block(hand, &job).await;
        let id = found.id.to_string();
        let paid = solo.paid_by(&id);
        assert_eq!(paid, [(address(u8::try_from(which + 1).expect("small")), SUBSIDY)]);
        last = Some(id);
    }
    assert_eq!(solo.daemon.height(), 4);
    solo.process.until_it_says("BITCOIN BLOCK FOUND");

    let status = solo.status();
    assert_eq!((&status["miners"]["solo"], &status["chain"]), (&json!(true), &Value::Null));
    let numbers = numbers(&status).await;
    for line in [
        "commonwork_submits_total{result=\"accepted\"} 7",
        "commonwork_submits_total{result=\"repeated\"} 3",
        "commonwork_submit_answer_seconds_count 10",
        "commonwork_bitcoin_blocks_total 4",
        "commonwork_bitcoin_block_answers_total{result=\"accepted\"} 4",
        "commonwork_bitcoin_block_answer_seconds_count 4",
        "commonwork_miners 2.0",
    ] {
        assert!(numbers.lines().any(|other| other == line), "{line:?} is not in:\n{numbers}");
    }
    assert!(!numbers.contains("commonwork_jobs_seconds_count 0\n"), "{numbers}");
    let told = solo.program.run(&[&["status"], &PLACE[..]].concat());
    assert!(
        told.output.contains("SOLO: nothing is shared, and only a Bitcoin block pays"),
        "{}",
        told.output
    );
    for command in [&["chain", "tip"][..], &["chain", "blocks"], &["payouts"], &["chain", "export"]] {
        solo.program
            .refuses(&[command, &PLACE[..]].concat(), "this node mines solo: there is no share chain");
    }
    solo.process.signal("TERM");
    let ended = solo.process.ended();
    assert_eq!(ended.code(), Some(0), "{:#?}", solo.process.log);
    let folder = solo.program.home().join(".local/share/commonwork/regtest");
    assert!(folder.join("found").exists());
    assert!(!folder.join("sharechain").exists() && !folder.join("peers.json").exists(), "nothing of a pool");
}

/// What the node's interface counts, once the last block's answer is among it.
async fn numbers(status: &Value) -> String {
    let interface: SocketAddr =
        status["interface"].as_str().expect("an address").parse().expect("an address");
    loop {
        let numbers = ask_raw(interface, "GET /metrics", &[]).await;
        if numbers.contains("commonwork_bitcoin_block_answer_seconds_count 4\n") {
            return numbers;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_equal_jobs_two_are_mined_for_a_fee_of_a_tenth() {
    let fees = address(9);
    let mut solo = Solo::start(&["--fee", "10%", "--fee-address", &fees]);
    let told = solo.status()["miners"]["fee"].clone();
    assert_eq!(told, json!({"per_10_000": 1_000, "address": fees}));
    let mut hand = Hand::connect(solo.stratum(), address(1)).await.expect("served");
    let mut job = hand.newest().await.expect("served");
    let mut for_fee = 0;
    for _ in 0..20 {
        for _ in 0..5 {
            let share = hand.mine(&job, Want::REGTEST_SHARE);
            assert_eq!(hand.submit(&share).await.expect("served"), None);
        }
        let found = find_block(&mut hand, &job).await;
        let id = found.id.to_string();
        let paid = solo.paid_by(&id);
        assert!(paid == [(address(1), SUBSIDY)] || paid == [(fees.clone(), SUBSIDY)], "{paid:?}");
        for_fee += u32::from(paid[0].0 == fees);
        job = hand.job_with(|job| job.is_on(&id)).await.expect("served");
    }
    assert_eq!(for_fee, 2);
    // The operator's own hardware pays nothing.
    let mut own = Hand::connect(solo.stratum(), fees.clone()).await.expect("served");
    let job = own.newest().await.expect("served");
    let found = find_block(&mut own, &job).await;
    assert_eq!(solo.paid_by(&found.id.to_string()), [(fees, SUBSIDY)]);
    // Its owner ends it by the interface, in order.
    let interface = solo.status()["interface"].as_str().expect("an address").parse().expect("an address");
    let folder = solo.program.home().join(".local/share/commonwork/regtest");
    let token = Token::read(&folder).expect("the owner's");
    assert!(Client::new(interface).stop(&token).await.expect("an answer").stopping);
    assert_eq!(solo.process.ended().code(), Some(0), "{:#?}", solo.process.log);
}
