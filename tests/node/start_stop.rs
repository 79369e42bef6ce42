//! How the real program ends, and what it says of data that it cannot begin with.

use super::hand::{Hand, Want};
use super::process::{Process, ask};
use crate::cli::Program;
use crate::support::bitcoind::BitcoinD;
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// Share blocks of 65,536 hashes, shares of 256, and no Bitcoin blocks.
const CHAIN: &str = "name = 'first'\nnetwork = 'embedded'\nembedded_bits = '1d00ffff'\neasiest_block_target = '1f00ffff'\n\
                     shares_per_block = 256\nbase_depth = 2\nspacing = 1\nretarget_constant = 1000000\n";
/// Zero bits of a share that is no block, and of a block.
const SHARE: Want = Want { from: 9, below: 16 };
const BLOCK: Want = Want::bits(17);
const OWNER: &str = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";

/// Longer than any orderly end takes, on however busy a machine. On an idle one it is far below 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks it to end, which it does in good order: no task has to be dropped.
fn terminate(mut node: Process) {
    let asked = Instant::now();
    node.signal("TERM");
    let status = node.ended();
    let took = asked.elapsed();
    println!("from SIGTERM to the end: {took:?}");
    assert_eq!(status.code(), Some(0), "{:#?}", node.log);
    let says = |text: &str| node.log.iter().any(|line| line.to_string().contains(text));
    assert!(says("stopping") && !says("did not end in time"), "{:#?}", node.log);
    assert!(took < PATIENCE, "it took {took:?}: {:#?}", node.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_told_to_stop_keeps_the_shares_that_no_block_lists_yet() {
    let program = Program::new();
    let chain_file = program.file("first.toml", CHAIN);
    let chain = ["--chain", &chain_file];
    let mut node = Process::start(&program, &chain);
    let mut hand = Hand::connect(node.stratum(), OWNER.into()).await.expect("served");
    let mut shares = Vec::new();
    for _ in 0..100 {
        let job = hand.newest().await.expect("served");
        let found = hand.mine(&job, SHARE);
        assert_eq!(hand.submit(&found).await.expect("served"), None);
        shares.push(found.id.to_string());
    }
    // Right behind the last answer: what is still on its way within the node is kept too.
    terminate(node);
    let tip = ask(&program, &[&["chain", "tip"][..], &chain].concat());
    assert_eq!((&tip["tip"], &tip["shares"]), (&Value::Null, &json!(shares.len())));

    let mut node = Process::start(&program, &chain);
    let mut hand = Hand::connect(node.stratum(), OWNER.into()).await.expect("served");
    let job = hand.newest().await.expect("served");
    let block = hand.mine(&job, BLOCK);
    assert_eq!(hand.submit(&block).await.expect("served"), None);
    node.until_it_says("share block");
    let id = block.id.to_string();
    let shown = ask(&program, &[&["chain", "show", &id][..], &chain].concat());
    let mut listed: Vec<&str> =
        shown["listed"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    listed.sort_unstable();
    shares.sort_unstable();
    assert_eq!(listed, shares, "the first block after the start pays them all");
    terminate(node);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_is_told_of_the_end_and_the_next_start_goes_on_from_the_tip() {
    let (program, chain_file) = mined().await;
    let chain = ["--chain", &chain_file];
    let tip = |program: &Program| ask(program, &[&["chain", "tip"][..], &chain].concat())["tip"].clone();
    let mut node = Process::start(&program, &chain);
    let mut hand = Hand::connect(node.stratum(), OWNER.into()).await.expect("served");
    let job = hand.newest().await.expect("served");
    let block = hand.mine(&job, BLOCK);
    assert_eq!(hand.submit(&block).await.expect("served"), None);
    let listening = tokio::spawn(hand.last_words());
    // At once: the block is on its way to the chain when the end is asked for.
    terminate(node);
    let last = listening.await.expect("no panic");
    assert_eq!(last.last().map(String::as_str), Some("client.reconnect"), "{last:?}");

    let left = tip(&program);
    assert_eq!((&left["id"], &left["height"]), (&json!(block.id.to_string()), &json!(4)), "from the store");
    let mut node = Process::start(&program, &chain);
    let mut hand = Hand::connect(node.stratum(), OWNER.into()).await.expect("served");
    assert_eq!(tip(&program), left, "from the node");
    let job = hand.newest().await.expect("served");
    let next = hand.mine(&job, BLOCK);
    assert_eq!(hand.submit(&next).await.expect("served"), None);
    node.until_it_says("share block");
    let shown = ask(&program, &[&["chain", "show", &next.id.to_string()][..], &chain].concat());
    assert_eq!(shown["place"]["height"], json!(5), "{shown:#}");
    terminate(node);
}

#[test]
fn a_bitcoind_that_does_not_answer_does_not_keep_a_node_from_ending() {
    let mut daemon = BitcoinD::regtest();
    let cookie = daemon.cookie_file();
    let program = Program::new();
    let arguments = ["--network", "regtest", "--bitcoind", &daemon.rpc_url(), "--rpc-cookie"];
    let arguments = [&arguments[..], &[cookie.to_str().expect("a plain path")]].concat();
    let mut node = Process::start(&program, &arguments);
    node.until_it_says("stratum+tcp://");
    daemon.freeze();
    terminate(node);
    daemon.thaw();

    // A node without headers waits for the daemon to give it some.
    daemon.stop();
    let fresh = Program::new();
    let mut node = Process::start(&fresh, &arguments);
    node.until_it_says("waiting for bitcoind");
    terminate(node);
}

/// A program whose store holds a few blocks.
async fn mined() -> (Program, String) {
    let program = Program::new();
    let chain_file = program.file("first.toml", CHAIN);
    let mut node = Process::start(&program, &["--chain", &chain_file]);
    let mut hand = Hand::connect(node.stratum(), OWNER.into()).await.expect("served");
    for _ in 0..3 {
        let job = hand.newest().await.expect("served");
        let block = hand.mine(&job, BLOCK);
        assert_eq!(hand.submit(&block).await.expect("served"), None);
        node.until_it_says("share block");
        hand.job_with(|newer| newer.id() != job.id()).await.expect("served");
    }
    terminate(node);
    (program, chain_file)
}

/// A node that does not start; gives what it says at the end.
fn refuses(program: &Program, arguments: &[&str]) -> String {
    let mut node = Process::start(program, arguments);
    let said = node.until("the end", |line| {
        assert!(!line.to_string().contains("stratum+tcp://"), "it serves miners");
        line.as_str().filter(|text| text.starts_with("error: ")).map(str::to_owned)
    });
    assert_eq!(node.ended().code(), Some(1), "{:#?}", node.log);
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_chain_is_refused_and_left_as_it_is() {
    let (program, chain_file) = mined().await;
    let export = || program.run(&["chain", "export", "--chain", &chain_file]).output;
    let before = export();
    assert!(before.lines().count() > 4, "{before}");
    let other = program.file("second.toml", &CHAIN.replace("'first'", "'second'"));
    let said = refuses(&program, &["--chain", &other]);
    for wanted in ["chain \"first\" on embedded", "chain \"second\" on embedded", "--data-dir"] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    // Not even when a corrupt store may be moved: this one is whole.
    assert_eq!(refuses(&program, &["--chain", &other, "--move-corrupt-store-aside"]), said);
    assert_eq!(export(), before);
    let folder = program.home().join(".local/share/commonwork/embedded");
    let names = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("readable").file_name());
    let mut names: Vec<_> = names.collect();
    names.sort();
    let expected = ["api-token", "found", "history", "lock", "sharechain", "stratum-v2-authority"];
    assert_eq!(names, expected, "nothing was moved, and no address is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrupt_store_is_refused_and_moved_aside_only_when_asked() {
    let (program, chain_file) = mined().await;
    let folder = program.home().join(".local/share/commonwork/embedded");
    let store = folder.join("sharechain/db");
    let mut bytes = fs::read(&store).expect("sled's file");
    // Its beginning, for a log that breaks off later is to sled what a crash leaves behind.
    bytes[..1_000].iter_mut().for_each(|byte| *byte ^= 0x55);
    fs::write(&store, &bytes).expect("written");
    for _ in 0..2 {
        let said = refuses(&program, &["--chain", &chain_file]);
        assert!(said.contains("is corrupt") && said.contains("--move-corrupt-store-aside"), "{said}");
    }
    assert!(!folder.join("sharechain.corrupt-1").exists(), "nobody asked for it");

    let mut node = Process::start(&program, &["--chain", &chain_file, "--move-corrupt-store-aside"]);
    let warned = node.until_it_says("has been moved aside");
    assert!(warned["to"].as_str().is_some_and(|to| to.ends_with("sharechain.corrupt-1")), "{warned}");
    let mut hand = Hand::connect(node.stratum(), OWNER.into()).await.expect("served");
    let job = hand.newest().await.expect("served");
    let block = hand.mine(&job, BLOCK);
    assert_eq!(hand.submit(&block).await.expect("served"), None);
    node.until_it_says("share block");
    terminate(node);
    assert!(folder.join("sharechain.corrupt-1/db").exists(), "nothing is thrown away");
    let tip = ask(&program, &["chain", "tip", "--chain", &chain_file]);
    assert_eq!(tip["tip"]["id"], json!(block.id.to_string()));
}
