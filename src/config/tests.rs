//! What arguments and file come to together. (What the environment does to arguments is in `tests/cli`.)

use super::*;
use clap::Parser;
use std::fs;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    node: NodeArgs,
}

/// The settings of a command line and a file; the environment of the test must say nothing.
fn config(line: &str, file: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("c.toml");
    fs::write(&path, file).expect("written");
    let line = Line::try_parse_from(["x"].into_iter().chain(line.split_whitespace())).expect("arguments");
    Config::new(&line.place, &line.node, &FileConfig::read(&path).expect("a file"))
}

fn error(line: &str, file: &str) -> String {
    config(line, file).expect_err("wrong").to_string()
}

fn auths(config: &Config) -> Vec<String> {
    let show = |daemon: &Bitcoind| match &daemon.auth {
        RpcAuth::Cookie(path, CookieFrom::Settings) => format!("cookie {}", path.display()),
        RpcAuth::Cookie(_, CookieFrom::Default) => "default cookie".to_owned(),
        RpcAuth::Password { user, password } => format!("{user}:{}", password.reveal()),
    };
    config.bitcoinds.iter().map(show).collect()
}

#[test]
fn with_nothing_said_it_is_this_machines_bitcoind_on_main() {
    let config = config("", "").expect("right");
    assert_eq!(config.place.params, ChainParams::main());
    assert!(config.place.data_dir.ends_with("commonwork/main"), "{:?}", config.place.data_dir);
    assert_eq!(
        config.bitcoinds.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["http://127.0.0.1:8332"]
    );
    assert_eq!(auths(&config), ["default cookie"]);
    assert_eq!(config.stratum, ["127.0.0.1:3333".parse().expect("an address")]);
    assert_eq!(config.stratum_tls, None);
    assert_eq!(config.stratum_v2, ["127.0.0.1:34254".parse().expect("an address")]);
    assert_eq!(config.api, "127.0.0.1:3380".parse().expect("an address"));
    assert_eq!((config.address, config.move_corrupt_store_aside), (None, false));
    assert_eq!(config.place.log_format, LogFormat::Human);
}

#[test]
fn who_is_silent_for_ten_minutes_has_gone_where_nothing_else_was_said() {
    let minutes = |line: &str, file: &str| {
        let file = format!("network = 'regtest'\nbitcoind = 'http://127.0.0.1:3'\n{file}");
        config(line, &file).map(|config| config.worker_gone.as_secs() / 60)
    };
    assert_eq!(minutes("", "").expect("right"), 10);
    assert_eq!(minutes("", "worker-gone = 60").expect("right"), 60);
    assert_eq!(minutes("--worker-gone 5", "worker-gone = 60").expect("right"), 5);
    assert!(Line::try_parse_from(["x", "--worker-gone", "0"]).is_err(), "at once is never");
}

#[test]
fn arguments_win_over_the_file() {
    let file = "network = 'testnet4'\ndata-dir = '/file'\nstratum = '0.0.0.0:1'\napi = '127.0.0.1:2'\n\
                bitcoind = 'http://127.0.0.1:3'\nlog-format = 'json'\nzmq = 'tcp://h:4'";
    let from_file = config("", file).expect("right");
    assert_eq!(from_file.place.data_dir, PathBuf::from("/file/testnet4"));
    assert_eq!((from_file.stratum[0].port(), from_file.api.port(), from_file.bitcoinds[0].port), (1, 2, 3));
    assert_eq!(from_file.place.log_format, LogFormat::Json);
    let line = "--network regtest --data-dir /arg --stratum 0.0.0.0:5 --api [::1]:6 --bitcoind http://localhost \
                --log-format human --zmq tcp://h:7";
    let from_line = config(line, file).expect("right");
    assert_eq!(from_line.place.data_dir, PathBuf::from("/arg/regtest"));
    assert_eq!(
        (from_line.stratum[0].port(), from_line.api.port(), from_line.bitcoinds[0].port),
        (5, 6, 18443)
    );
    assert_eq!(from_line.bitcoinds[0].zmq, Some("tcp://h:7".parse().expect("an address")));
    assert_eq!(from_line.place.log_format, LogFormat::Human);
}

#[test]
fn logins_are_one_for_all_or_one_for_each() {
    let two = "--bitcoind http://127.0.0.1:1,http://127.0.0.1:2";
    let of =
        |rest: &str, file: &str| config(&format!("{two} {rest}"), file).map(|c| auths(&c)).expect("right");
    assert_eq!(of("", ""), ["default cookie"; 2]);
    assert_eq!(of("--rpc-cookie /c", ""), ["cookie /c"; 2]);
    assert_eq!(of("--rpc-cookie /c --rpc-cookie /d", ""), ["cookie /c", "cookie /d"]);
    assert_eq!(of("--rpc-user u", "rpc-password = ['p', 'q']"), ["u:p", "u:q"]);
    assert_eq!(of("--rpc-cookie /c", "rpc-user = 'u'\nrpc-password = 'p'"), ["cookie /c"; 2]);
    assert_eq!(of("--rpc-user u --rpc-password p", "rpc-cookie = '/c'"), ["u:p"; 2]);
    let in_url = config("--bitcoind http://a:b@far:1 --rpc-cookie /c", "").expect("right");
    assert_eq!(auths(&in_url), ["a:b"]);
}

#[test]
fn logins_that_cannot_be_meant_are_errors() {
    assert!(error("--rpc-user u", "").contains("--rpc-password is missing"));
    assert!(error("--rpc-password p", "rpc-cookie = '/c'").contains("--rpc-user is missing"));
    assert!(error("--rpc-cookie /c --rpc-user u --rpc-password p", "").contains("both given"));
    assert!(error("", "rpc-cookie = '/c'\nrpc-user = 'u'\nrpc-password = 'p'").contains("both given"));
    assert!(error("--rpc-cookie /c --rpc-cookie /d", "").contains("given 2 times for 1 bitcoind(s)"));
    assert!(error("--bitcoind http://far:1", "").contains("on another machine"));
}

#[test]
fn one_zmq_address_is_the_first_bitcoinds() {
    let three = "--bitcoind http://127.0.0.1:1 --bitcoind http://127.0.0.1:2 --bitcoind http://127.0.0.1:3";
    let zmqs = |rest: &str| {
        let config = config(&format!("{three} {rest}"), "").expect("right");
        config.bitcoinds.iter().map(|d| d.zmq.as_ref().map(|z| z.host_port().to_owned())).collect::<Vec<_>>()
    };
    assert_eq!(zmqs("--zmq tcp://h:1"), [Some("h:1".into()), None, None]);
    assert_eq!(zmqs("--zmq tcp://h:1,tcp://h:2,tcp://h:3").iter().flatten().count(), 3);
    assert!(
        error(&format!("{three} --zmq tcp://h:1 --zmq tcp://h:2"), "").contains("--zmq was given 2 times")
    );
}

#[test]
fn the_embedded_network_takes_no_bitcoind() {
    let embedded =
        config("--network embedded", "bitcoind = 'http://far'").expect("a file may serve several networks");
    assert!(embedded.bitcoinds.is_empty() && embedded.place.data_dir.ends_with("embedded"));
    assert!(error("--network embedded --bitcoind http://127.0.0.1", "").contains("leave out --bitcoind"));
}

#[test]
fn the_address_must_be_of_the_network() {
    let address = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";
    let config = config(&format!("--address {address}"), "").expect("right");
    assert_eq!(config.address_text().as_deref(), Some(address));
    let error = error("--network signet", &format!("address = '{address}'"));
    assert!(error.contains("an address of main, but this node mines on signet"), "{error}");
}

#[test]
fn the_interface_stays_on_loopback() {
    assert!(error("--api 0.0.0.0:3380", "").contains("must stay on this machine"));
    assert_eq!(config("--api 127.0.0.1:0", "").expect("right").api.port(), 0);
}

#[test]
fn a_chain_file_gives_the_network_and_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chain.toml");
    let with = |text: &str, line: &str| {
        fs::write(&path, text).expect("written");
        config(&format!("--chain {} {line}", path.display()), "")
    };
    let private = with("network = 'regtest'\nname = 'mine'\nspacing = 1", "").expect("right");
    assert_eq!(
        private.place.params,
        ChainParams { name: "mine".into(), spacing: 1, ..ChainParams::regtest() }
    );
    assert_ne!(private.place.params.chain_id(), ChainParams::regtest().chain_id());
    assert_eq!(with("spacing = 1", "--network signet").expect("right").place.network(), Network::Signet);
    for (text, line, wanted) in [
        (
            "network = 'regtest'",
            "--network main",
            "describes a chain on regtest, but the network is set to main",
        ),
        ("spacing = 0", "", "chain parameter spacing: is out of range"),
        ("classes = [38, 11]", "", "chain parameter classes"),
        ("base_dept = 3", "", "line 1: unknown key `base_dept`; did you mean `base_depth`?"),
        ("embedded_bits = '1d00ffff'", "", "embedded_bits is for network = \"embedded\" only"),
    ] {
        let error = with(text, line).expect_err("wrong").to_string();
        assert!(error.contains(wanted) && error.contains("chain.toml"), "{error}");
    }
}

#[test]
fn nodes_listen_everywhere_unless_told_otherwise() {
    let peers = |line: &str, file: &str| config(line, file).expect("right").p2p;
    let listen = |line: &str, file: &str| {
        peers(line, file).expect("a network").listen.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listen("", ""), ["0.0.0.0:3338", "[::]:3338"]);
    assert_eq!(listen("--listen 127.0.0.1:0", "listen = '10.0.0.1'"), ["127.0.0.1:0"]);
    assert_eq!(listen("", "listen = ['10.0.0.1', '10.0.0.1:3338']"), ["10.0.0.1:3338"]);
    assert!(listen("--no-listen", "listen = '10.0.0.1'").is_empty());
    assert_eq!(listen("--listen 10.0.0.1", "no-listen = true"), ["10.0.0.1:3338"]);
    let asked =
        peers("--peer a:1,b:2 --no-mdns --max-inbound 0 --outbound 3", "peer = 'c:3'").expect("a network");
    assert_eq!(asked.peers.iter().map(PeerAddr::as_str).collect::<Vec<_>>(), ["a:1", "b:2"]);
    assert_eq!((asked.mdns, asked.max_inbound, asked.outbound), (false, Some(0), Some(3)));
    assert!(peers("", "").expect("a network").mdns);
}

#[test]
fn stratum_v2_listens_on_loopback_where_told_or_not_at_all() {
    let listen = |line: &str, file: &str| {
        let addresses = config(line, file).expect("right").stratum_v2;
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(listen("", ""), ["127.0.0.1:34254"]);
    assert_eq!(listen("", "stratum-v2 = '0.0.0.0'"), ["0.0.0.0:34254"]);
    let both = listen("--stratum-v2 10.0.0.1:5,10.0.0.2", "stratum-v2 = '0.0.0.0'");
    assert_eq!(both, ["10.0.0.1:5", "10.0.0.2:34254"]);
    assert!(listen("--no-stratum-v2", "stratum-v2 = '0.0.0.0'").is_empty());
    assert!(listen("", "no-stratum-v2 = true").is_empty());
    assert_eq!(listen("--stratum-v2 10.0.0.1", "no-stratum-v2 = true"), ["10.0.0.1:34254"]);
}

#[test]
fn tls_is_there_where_told_with_the_files_that_are_given() {
    let tls = |line: &str, file: &str| config(line, file).expect("right").stratum_tls.expect("wanted");
    let plain = tls("", "stratum-tls = '0.0.0.0'");
    assert_eq!((plain.listen, plain.files), (vec!["0.0.0.0:4333".parse().expect("an address")], None));
    let both = tls(
        "--stratum-tls 10.0.0.1:5 --tls-key k",
        "stratum-tls = '::1'\ntls-certificate = '/c'\ntls-key = 'x'",
    );
    assert_eq!(both.listen, ["10.0.0.1:5".parse().expect("an address")]);
    assert_eq!(both.files, Some(("/c".into(), "k".into())));
    assert!(error("--stratum-tls ::1 --tls-key k", "").contains("--tls-certificate is missing"));
    assert!(error("--stratum-tls ::1", "tls-certificate = 'c'").contains("--tls-key is missing"));
    assert!(error("--tls-certificate c --tls-key k", "").contains("--stratum-tls ADDR:PORT"));
}

#[test]
fn proxies_are_believed_where_they_are_named() {
    let proxies = |line: &str, file: &str| {
        let nets = config(line, file).expect("right").proxy_protocol_from;
        nets.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(proxies("", "").is_empty());
    assert_eq!(proxies("", "proxy-protocol-from = ['10.0.0.0/8', '::1']"), ["10.0.0.0/8", "::1/128"]);
    let line = "--proxy-protocol-from 192.0.2.1,192.0.2.8/29";
    assert_eq!(proxies(line, "proxy-protocol-from = '::1'"), ["192.0.2.1/32", "192.0.2.8/29"]);
}

#[test]
fn old_protocols_are_served_where_told_and_nowhere_else() {
    let listen = |line: &str, file: &str| {
        let addresses = config(line, file).expect("right").legacy;
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(listen("", "").is_empty());
    assert_eq!(listen("", "legacy = '0.0.0.0'"), ["0.0.0.0:9332"]);
    assert_eq!(listen("--legacy 10.0.0.1:5,10.0.0.2", "legacy = '0.0.0.0'"), ["10.0.0.1:5", "10.0.0.2:9332"]);
}

#[test]
fn a_node_may_mine_alone() {
    let peers = |line: &str, file: &str| config(line, file).expect("right").p2p;
    assert_eq!(peers("--offline", ""), None);
    assert_eq!(peers("", "offline = true"), None);
    assert_eq!(peers("--network embedded", ""), None);
    assert!(peers("--network embedded --peer 127.0.0.1:1", "").is_some());
    assert!(error("--offline --peer a:1", "").contains("leave out --listen and --peer"));
    assert!(error("--external 0.0.0.0:1", "").contains("--external 0.0.0.0:1"));
}

#[test]
fn solo_and_a_fee_come_from_line_or_file_and_solo_has_no_peers() {
    let plain = config("", "").expect("right");
    assert!(!plain.solo && plain.p2p.is_some() && plain.fee.is_none());
    for (line, file) in [("--solo", ""), ("", "solo = true"), ("--solo", "peer = 'a:1'")] {
        let solo = config(line, file).expect("right");
        assert!(solo.solo && solo.p2p.is_none(), "{line} {file}");
    }
    for (line, file) in
        [("--solo --peer a:1", ""), ("--solo --listen 0.0.0.0", ""), ("--peer a:1", "solo = true")]
    {
        assert!(error(line, file).contains("--solo means no share chain"), "{line} {file}");
    }
    let address = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";
    let with_fee = config("--fee 1.5%", &format!("fee = '0.5%'\nfee-address = '{address}'")).expect("right");
    let fee = with_fee.fee.expect("a fee");
    assert_eq!((fee.rate.per_10_000(), with_fee.address), (150, None));
    assert_eq!(address_of(&fee.owner, Network::Main), address);
    assert!(error("--fee 1%", "").contains("--fee-address ADDR"));
}
