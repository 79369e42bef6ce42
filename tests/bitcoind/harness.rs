//! The test harness itself: that what the other tests stand on is really there.

use serde_json::json;

use crate::support::bitcoind::{BitcoinD, Chain, Options, RpcFailure, wait_for};

#[test]
fn regtest_has_a_wallet_a_miner_and_segwit_transactions() {
    let daemon = BitcoinD::regtest();
    daemon.create_funded_wallet(1);
    let txid = daemon.call("sendtoaddress", json!([daemon.new_address(), 1]));
    let template = daemon.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
    assert_eq!(template["transactions"][0]["txid"], txid);
    assert_ne!(
        template["transactions"][0]["hash"], txid,
        "a segwit transaction has another hash with its witness"
    );
}

#[test]
fn the_private_signet_needs_no_signature_and_has_real_difficulty() {
    let daemon = BitcoinD::start(Chain::Signet, Options::default());
    let info = daemon.call("getblockchaininfo", json!([]));
    assert_eq!((&info["chain"], &info["signet_challenge"]), (&json!("signet"), &json!("51")));
    let template = daemon.call("getblocktemplate", json!([{"rules": ["segwit", "signet"]}]));
    assert_eq!(template["bits"], "1e0377ae");
    let address = daemon.create_wallet("test");
    assert_eq!(daemon.mine_to(&address, 1), [daemon.best_hash()]);
}

#[test]
fn a_daemon_keeps_chain_and_ports_over_stop_kill_and_freeze() {
    let mut daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    assert!(daemon.zmq_url().is_some());
    let address = daemon.create_wallet("test");
    let url = daemon.rpc_url();
    daemon.mine_to(&address, 3);
    daemon.stop();
    assert!(matches!(daemon.rpc("getblockcount", json!([])), Err(RpcFailure::Transport(_))));
    daemon.start_again();
    assert_eq!((daemon.height(), daemon.rpc_url()), (3, url));
    daemon.kill();
    daemon.start_again();
    daemon.freeze();
    daemon.thaw();
    assert!(matches!(daemon.rpc("nonsense", json!([])), Err(RpcFailure::Refused { code: -32601, .. })));
}

#[test]
fn two_daemons_share_a_chain() {
    let (one, other) = (BitcoinD::regtest(), BitcoinD::regtest());
    other.connect_to(&one);
    let address = one.create_wallet("test");
    let hash = one.mine_to(&address, 1).remove(0);
    wait_for("the block to reach the other daemon", || (other.best_hash() == hash).then_some(()));
}
