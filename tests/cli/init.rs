//! `commonwork init` against a real bitcoind, and where there is none.

use super::Program;
use crate::node::process::Process;
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use std::fs;

/// A program whose home has this bitcoind's cookie where bitcoind itself would keep it.
fn beside(daemon: &BitcoinD, folder: &str) -> Program {
    let program = Program::new();
    let folder = program.home().join(".bitcoin").join(folder);
    fs::create_dir_all(&folder).expect("made");
    fs::copy(daemon.cookie_file(), folder.join(".cookie")).expect("copied");
    program
}

#[test]
fn what_bitcoind_says_becomes_a_file_that_a_node_runs_with() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("w");
    let program = beside(&daemon, "regtest");
    let file = program.home().join("node.toml");
    let file = file.to_str().expect("a plain path");
    let (url, data) = (daemon.rpc_url(), program.home().join("data"));
    let init = ["init", file, "--bitcoind", &url, "--address", &address, "--data-dir"];
    let init = [&init[..], &[data.to_str().expect("a plain path")]].concat();

    let ended = program.run(&init);
    assert_eq!(ended.code, 0, "{}", ended.errors);
    let zmq = daemon.zmq_url().expect("asked for");
    let cookie = program.home().join(".bitcoin/regtest/.cookie").display().to_string();
    for wanted in ["on regtest at block 0", &cookie, &zmq, &format!("\ncommonwork run --config {file}\n")] {
        assert!(ended.output.contains(wanted), "{wanted} is not in:\n{}", ended.output);
    }
    let text = fs::read_to_string(file).expect("written");
    for wanted in [
        "\nnetwork = \"regtest\"\n",
        &format!("\nbitcoind = \"{url}\"\n"),
        &format!("\nrpc-cookie = \"{cookie}\"\n"),
        &format!("\nzmq = \"{zmq}\"\n"),
        &format!("\naddress = \"{address}\"\n"),
        "\n#stratum = ",
    ] {
        assert!(text.contains(wanted), "{wanted} is not in:\n{text}");
    }

    // Named by a name of which nobody knows whose machine it is.
    let other = program.home().join("other.toml");
    let (other, login) = (other.to_str().expect("a plain path"), daemon.cookie_file());
    let named = url.replace("127.0.0.1", "127.1");
    let ended =
        program.run(&["init", other, "--bitcoind", &named, "--rpc-cookie", login.to_str().expect("plain")]);
    assert_eq!(ended.code, 0, "{}", ended.errors);
    assert!(
        ended.output.contains(&format!("ZMQ      at {zmq}, which bitcoind's own machine alone")),
        "{}",
        ended.output
    );
    let text_of_other = fs::read_to_string(other).expect("written");
    assert!(text_of_other.contains(&format!("\n#zmq = \"{zmq}\"\n")), "{text_of_other}");

    // What is there may hold somebody's settings.
    program.refuses(&init, "is there already and was left as it is");
    let changed = format!("{text}# mine\n");
    fs::write(file, &changed).expect("written");
    program.refuses(&init, "--force");
    assert_eq!(fs::read_to_string(file).expect("there"), changed);
    assert_eq!(program.run(&[&init[..], &["--force"]].concat()).code, 0);
    assert_eq!(fs::read_to_string(file).expect("there"), text);

    let mut node = Process::start(&program, &["--config", file, "--offline"]);
    node.until_it_says("stratum+tcp://");
    node.signal("TERM");
    assert_eq!(node.ended().code(), Some(0), "{:#?}", node.log);
    assert!(data.join("regtest/sharechain").exists(), "the file's folder was used");
}

#[test]
fn a_bitcoind_that_is_missing_or_on_another_chain_is_told_and_nothing_written() {
    let nothing_written = |program: &Program, arguments: &[&str], wanted: &str| {
        let file = program.home().join("commonwork.toml");
        let all = [&["init", file.to_str().expect("a plain path")], arguments].concat();
        program.refuses(&all, wanted);
        assert!(!file.exists(), "{arguments:?}");
    };
    let empty = Program::new();
    nothing_written(&empty, &["--network", "testnet4"], ".bitcoin/testnet4/.cookie");

    let daemon = BitcoinD::regtest();
    let cookie = daemon.cookie_file();
    let url = daemon.rpc_url();
    let there = ["--bitcoind", &url, "--rpc-cookie", cookie.to_str().expect("a plain path")];
    nothing_written(&empty, &[&there[..], &["--network", "signet"]].concat(), "is on regtest");
    let elsewhere = "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4";
    nothing_written(&empty, &[&there[..], &["--address", elsewhere]].concat(), "is an address of");
    let wrong = ["--bitcoind", &url, "--rpc-user", "u", "--rpc-password", "wrong"];
    nothing_written(&empty, &wrong, "refused the credentials");

    let signed = BitcoinD::start(Chain::PublicSignet, Options::default());
    let program = beside(&signed, "signet");
    nothing_written(&program, &["--bitcoind", &signed.rpc_url()], "is on the public signet");
}

#[test]
fn a_file_with_a_password_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let daemon = BitcoinD::regtest();
    let cookie = fs::read_to_string(daemon.cookie_file()).expect("a cookie");
    let (user, password) = cookie.split_once(':').expect("user and password");
    let program = Program::new().with("COMMONWORK_RPC_PASSWORD", password);
    // Others could read this one.
    let file = program.file("c.toml", "old");
    let url = daemon.rpc_url();
    let ended = program.run(&["init", &file, "--force", "--bitcoind", &url, "--rpc-user", user]);
    assert_eq!(ended.code, 0, "{}", ended.errors);
    assert!(!ended.output.contains(password), "{}", ended.output);
    let text = fs::read_to_string(&file).expect("written");
    assert!(text.contains(&format!("\nrpc-password = \"{password}\"\n")), "{text}");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn no_bitcoind_is_asked_for_the_embedded_network() {
    let program = Program::new();
    let file = program.home().join("c.toml");
    let file = file.to_str().expect("a plain path");
    let ended = program.run(&["init", file, "--network", "embedded"]);
    assert_eq!(ended.code, 0, "{}", ended.errors);
    let checked = program.run(&[
        "check",
        "--config",
        file,
        "--stratum",
        "127.0.0.1:0",
        "--stratum-v2",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
    ]);
    assert!(checked.code == 0 && checked.output.contains("network   embedded"), "{}", checked.output);
}
