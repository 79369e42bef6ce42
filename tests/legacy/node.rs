//! A whole node on a real bitcoind: what old miners find is in the share chain and in Bitcoin's.

use super::getwork::{Work, get};
use super::template::{Made, ask, target, template};
use super::{Client, soon};
use crate::node::setup::{TestNode, regtest, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::jobs::owner;
use commonwork::address::address_of;
use serde_json::{Value, json};
use sharechain::share::ShareId;

fn client(node: &TestNode) -> Client {
    let user = format!("{}.rig", address_of(&owner(3), node.params.network));
    Client::new(node.node.legacy[0], &user, "x")
}

#[tokio::test(flavor = "multi_thread")]
async fn getwork_rolls_a_nonce_to_a_share_and_waits_for_the_next_block() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("test");
    daemon.mine_to(&address, 3);
    let node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let client = client(&node);
    let work = get(&client).await;
    let goal = work.target;
    let solved = work.mine(|hash| hash <= goal);
    let answer = client.call("getwork", json!([solved.data()])).await;
    assert_eq!(answer.result(), &Value::Bool(true), "{answer:?}");
    let found = node.share(ShareId(solved.hash())).await;
    assert_eq!(found.share.commitment.owner, owner(3));
    let status = node.ask_program(&["status"]).await;
    assert_eq!(status["miners"]["legacy"][0], node.node.legacy[0].to_string());
    assert_eq!(status["miners"]["count"], 1);

    // Polls until the daemon's new block is the one to build on: share blocks are news as well.
    let best = daemon.mine_to(&address, 1).remove(0);
    loop {
        let answer = client.request("GET", "/lp", b"").await.expect("an answer");
        let prev_block: Vec<u8> = Work::read(answer.result()).header()[4..36].iter().rev().copied().collect();
        if prev_block.iter().map(|byte| format!("{byte:02x}")).collect::<String>() == best {
            break;
        }
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_made_from_a_template_with_transactions_is_bitcoins_next() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_funded_wallet(10);
    let mut node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    // A chain of three: each but the first spends what the one before leaves over.
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..3 {
        let others = [daemon.new_address()];
        let everything = daemon.call("getbalance", json!([])).as_f64().expect("an amount");
        let id = daemon.call("sendall", json!([others, null, "unset", 2.0]));
        assert!(everything > 0.0 && id["complete"] == true, "{id}");
        ids.push(id["txid"].as_str().expect("an id").to_owned());
    }
    daemon.call("generateblock", json!([address, []]));
    let client = client(&node);
    let shown = loop {
        let shown = template(&client).await;
        if shown["transactions"].as_array().expect("a list").len() == 3 {
            break shown;
        }
        soon(ask(&client, json!({"longpollid": shown["longpollid"]}))).await;
    };
    let listed = &shown["transactions"];
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(listed[n]["txid"], id.as_str());
        let depends: Vec<usize> = if n == 0 { vec![] } else { vec![n] };
        assert_eq!(listed[n]["depends"], json!(depends));
        let entry = daemon.call("getmempoolentry", json!([id]));
        assert_eq!(listed[n]["hash"], entry["wtxid"]);
        assert_eq!(listed[n]["weight"], entry["weight"]);
    }
    let known = daemon.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
    for name in [
        "version",
        "previousblockhash",
        "bits",
        "height",
        "mintime",
        "sigoplimit",
        "weightlimit",
        "noncerange",
    ] {
        assert_eq!(shown[name], known[name], "{name}");
    }
    assert_eq!(shown["fulltarget"], known["target"]);
    assert_eq!(shown["default_witness_commitment"], known["default_witness_commitment"]);
    for name in ["fee", "sigops"] {
        assert_eq!(listed[0][name], known["transactions"][0][name], "{name}");
    }

    let network = target(&shown, "fulltarget");
    let solved = Made::from(&shown).mine(|hash| hash <= network);
    let answer = client.call("submitblock", json!([solved.whole(), {"workid": shown["workid"]}])).await;
    assert_eq!(answer.result(), &Value::Null);
    let (solution, outcome) = node.next_block().await;
    assert!(outcome.outcome.is_accepted(), "{outcome:?}");
    let hash = solution.header.block_hash().to_string();
    assert_eq!(
        (daemon.best_hash(), hash.as_str()),
        (hash.clone(), ShareId(solved.hash()).to_string().as_str())
    );
    let block = daemon.call("getblock", json!([hash, 1]));
    let in_block: Vec<String> = block["tx"].as_array().expect("ids")[1..]
        .iter()
        .map(|id| id.as_str().expect("an id").to_owned())
        .collect();
    assert_eq!(in_block, ids);
    node.share(ShareId(solved.hash())).await;
    node.stop().await;
}
