//! `commonwork check` against what it is to find.

use super::{Ended, Program};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::ports::FREE_PORTS;
use serde_json::{Value, json};
use std::net::TcpListener;

fn check(program: &Program, arguments: &[&str]) -> (Ended, Value) {
    let ended = program.run(&[&["check", "--json"], arguments, &FREE_PORTS].concat());
    let findings = serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("{}", ended.errors));
    (ended, findings)
}

/// The one finding whose name ends so.
fn finding<'a>(findings: &'a Value, check: &str) -> &'a Value {
    let list = findings.as_array().expect("a list");
    let found =
        list.iter().find(|finding| finding["check"].as_str().is_some_and(|name| name.ends_with(check)));
    found.unwrap_or_else(|| panic!("no {check} in {findings:#}"))
}

fn seen(findings: &Value, check: &str) -> String {
    let finding = finding(findings, check);
    format!("{} {} -> {}", finding["ok"], finding["seen"], finding["cure"])
}

fn arguments(daemon: &BitcoinD) -> Vec<String> {
    let cookie = daemon.cookie_file().to_str().expect("a plain path").to_owned();
    ["--bitcoind", &daemon.rpc_url(), "--rpc-cookie", &cookie].map(str::to_owned).to_vec()
}

fn texts(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn a_synced_regtest_with_zmq_is_ready() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("w");
    daemon.mine_to(&address, 1);
    let (zmq, base) = (daemon.zmq_url().expect("asked for"), arguments(&daemon));
    let all = [&texts(&base)[..], &["--network", "regtest", "--zmq", &zmq, "--address", &address]].concat();
    let (ended, findings) = check(&Program::new(), &all);
    assert_eq!(ended.code, 0, "{findings:#}");
    assert!(findings.as_array().is_some_and(|list| list.len() >= 10 && list.iter().all(|f| f["ok"] == true)));
    assert!(seen(&findings, "templates").contains("block 2"));
    let human = Program::new().run(&[&["check"], &all[..], &FREE_PORTS].concat());
    assert!(human.output.contains("\nReady: ") && human.code == 0, "{}", human.output);
}

#[test]
fn each_thing_wrong_with_a_bitcoind_is_told_with_its_cure() {
    let daemon = BitcoinD::regtest();
    let base = arguments(&daemon);
    let with = |more: &[&str]| check(&Program::new(), &[&texts(&base)[..], more].concat());

    let (ended, findings) = with(&["--network", "regtest"]);
    assert_eq!(ended.code, 1, "an unsynced bitcoind is not good enough");
    let told = seen(&findings, "synced");
    assert!(told.starts_with("false"), "{told}");
    for wanted in ["the chain's first block alone, made ", " years ago", "one mined block ends it"] {
        assert!(told.contains(wanted), "{wanted} is not in {told}");
    }

    let (ended, findings) = with(&["--network", "signet"]);
    let told = seen(&findings, "chain");
    assert!(told.contains("it is on regtest, not on signet") && told.contains("chain=signet"), "{told}");
    assert_eq!(ended.code, 1);

    let program = Program::new();
    let hash = "11".repeat(32);
    let chain = program.file(
        "chain.toml",
        &format!("network = 'regtest'\nfirst_bitcoin_block = {{ height = 0, hash = '{hash}' }}\n"),
    );
    let (_, findings) = check(&program, &[&texts(&base)[..], &["--chain", &chain]].concat());
    assert!(seen(&findings, "first Bitcoin block").contains(&format!("this share chain begins with {hash}")));

    // The daemon's RPC port speaks HTTP, not ZMQ, and says nothing until it is asked.
    let zmq = daemon.rpc_url().replace("http", "tcp");
    let (_, findings) = with(&["--network", "regtest", "--zmq", &zmq]);
    assert!(seen(&findings, &zmq).contains("zmqpubhashblock="), "{findings:#}");
}

#[test]
fn a_bitcoind_that_is_not_there_or_admits_nobody_is_told() {
    let (ended, findings) =
        check(&Program::new(), &["--network", "regtest", "--bitcoind", "http://127.0.0.1:1"]);
    let told = seen(&findings, "127.0.0.1:1");
    assert!(told.contains("cannot be reached") && told.contains("start bitcoind with server=1"), "{told}");
    assert_eq!(ended.code, 1);

    let daemon = BitcoinD::regtest();
    let url = daemon.rpc_url();
    let login = ["--network", "regtest", "--bitcoind", &url, "--rpc-user", "me", "--rpc-password", "wrong"];
    let (_, findings) = check(&Program::new(), &login);
    let told = seen(&findings, &url);
    assert!(told.contains("refused the credentials") && told.contains("see that --rpc-user"), "{told}");
}

#[test]
fn the_cookie_is_found_where_bitcoind_keeps_it() {
    let daemon = BitcoinD::regtest();
    let program = Program::new();
    let folder = program.home().join(".bitcoin/regtest");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::copy(daemon.cookie_file(), folder.join(".cookie")).expect("copied");
    let (_, findings) = check(&program, &["--network", "regtest", "--bitcoind", &daemon.rpc_url()]);
    assert_eq!(finding(&findings, ": chain")["seen"], json!("regtest"));
}

#[test]
fn a_private_signet_can_be_mined_and_the_public_one_cannot() {
    let open = BitcoinD::start(Chain::Signet, Options::default());
    let (_, findings) =
        check(&Program::new(), &[&texts(&arguments(&open))[..], &["--network", "signet"]].concat());
    assert_eq!(finding(&findings, ": chain")["ok"], json!(true), "{findings:#}");

    let signed = BitcoinD::start(Chain::PublicSignet, Options::default());
    let (ended, findings) =
        check(&Program::new(), &[&texts(&arguments(&signed))[..], &["--network", "signet"]].concat());
    let told = seen(&findings, ": chain");
    assert!(told.contains("the public signet cannot be mined"), "{told}");
    assert_eq!(ended.code, 1);
}

#[test]
fn a_port_in_use_and_a_folder_that_cannot_be_are_told() {
    let program = Program::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("bound").to_string();
    let file = program.file("file", "");
    let ended = program.run(&[
        "check",
        "--network",
        "embedded",
        "--stratum",
        &taken,
        "--stratum-v2",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
        "--data-dir",
        &file,
    ]);
    assert_eq!(ended.code, 1);
    for wanted in [
        &format!("FAIL Stratum port {taken}"),
        "another program listens there",
        "is a file, not a folder",
        "2 things are wrong",
    ] {
        assert!(ended.output.contains(wanted), "{wanted} is not in:\n{}", ended.output);
    }
}
