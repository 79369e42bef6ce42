//! Blocks with other people's transactions in them: with and without witnesses, none at all, and too many.

use super::coinbase::{block_by_daemon, check_coinbase, check_with_program, satoshis};
use super::hand::{Hand, HandJob, Want};
use super::setup::{TestNode, regtest, upstream};
use crate::support::bitcoind::{BitcoinD, Chain, Options};
use crate::support::rig::owner;
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, WitnessProgram, WitnessVersion,
    transaction,
};
use serde_json::{Value, json};
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::store::Solution;
use sharechain::units::Score;
use std::sync::Arc;

/// Mines the job, on which the node, the daemon and the program must agree. Gives the ids of the other transactions.
async fn mine(node: &mut TestNode, daemon: &BitcoinD, hand: &mut Hand, job: &HandJob) -> Mined {
    let found = hand.mine(job, Want::REGTEST_BLOCK);
    assert_eq!(hand.submit(&found).await.expect("served"), None);
    let (solution, outcome) = node.next_block().await;
    assert_eq!(solution.header.block_hash().to_string(), found.id.to_string());
    assert!(outcome.outcome.is_accepted(), "{outcome:?}");
    assert_eq!(daemon.best_hash(), found.id.to_string());
    check_coinbase(node, daemon, &solution).await;
    check_with_program(node, daemon, &solution).await;
    let block = block_by_daemon(daemon, &solution);
    let ids = block["tx"].as_array().expect("transactions")[1..].iter();
    let mut ids: Vec<String> = ids.map(|tx| tx["txid"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    Mined { solution, ids }
}

struct Mined {
    solution: Arc<Solution>,
    ids: Vec<String>,
}

/// A job on the daemon's best block with a merkle branch of this length.
async fn job(hand: &mut Hand, daemon: &BitcoinD, branch: usize) -> HandJob {
    let best = daemon.best_hash();
    hand.job_with(|job| job.is_on(&best) && job.branch.len() == branch).await.expect("served")
}

/// An empty block by the daemon, whatever its mempool holds. A daemon tells of a new mempool only every five seconds,
/// but of a new block at once.
fn empty_block(daemon: &BitcoinD, address: &str) {
    daemon.call("generateblock", json!([address, []]));
}

fn text(value: Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// Signs with the wallet and sends.
fn sign_and_send(daemon: &BitcoinD, raw: Value) -> String {
    let signed = daemon.call("signrawtransactionwithwallet", json!([raw]));
    assert_eq!(signed["complete"], true, "{signed}");
    text(daemon.call("sendrawtransaction", json!([signed["hex"], 0])))
}

/// Spends this output of the wallet, all of it but a fee, to an address.
fn spend(daemon: &BitcoinD, coin: &Value, address: &str) -> String {
    let mut amounts = serde_json::Map::new();
    amounts.insert(address.to_owned(), amount(satoshis(&coin["amount"]) - 10_000));
    let inputs = json!([{"txid": coin["txid"], "vout": coin["vout"]}]);
    sign_and_send(daemon, daemon.call("createrawtransaction", json!([inputs, amounts])))
}

fn amount(satoshis: u64) -> Value {
    format!("{}.{:08}", satoshis / 100_000_000, satoshis % 100_000_000).into()
}

fn sorted<const N: usize>(mut ids: [String; N]) -> Vec<String> {
    ids.sort();
    ids.to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_with_and_without_witnesses_and_none_at_all() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_funded_wallet(11);
    let mut node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let mut hand = Hand::at(&node, &owner(1)).await;
    let node = &mut node;

    let empty = job(&mut hand, &daemon, 0).await;
    assert_eq!(mine(node, &daemon, &mut hand, &empty).await.ids, [""; 0]);

    // From the wallet's segwit outputs to two segwit addresses and two of the old kind.
    let segwit = [daemon.new_address(), daemon.new_address()];
    let old = [(); 2].map(|()| text(daemon.call("getnewaddress", json!(["", "legacy"]))));
    let send = |to: &String| text(daemon.call("sendtoaddress", json!([to, 1])));
    let ids = sorted([send(&segwit[0]), send(&segwit[1]), send(&old[0]), send(&old[1])]);
    empty_block(&daemon, &address);
    // Five leaves.
    let full = job(&mut hand, &daemon, 3).await;
    assert_eq!(mine(node, &daemon, &mut hand, &full).await.ids, ids);

    let coins_of = |addresses: [&String; 2]| {
        let coins = daemon.call("listunspent", json!([1, 9_999_999, addresses]));
        <[Value; 2]>::try_from(coins.as_array().expect("coins").clone()).expect("one for each address")
    };
    let without_witness = coins_of([&old[0], &old[1]]).map(|coin| spend(&daemon, &coin, &old[0]));
    for id in &without_witness {
        let entry = daemon.call("getmempoolentry", json!([id]));
        assert_eq!(entry["wtxid"], json!(id), "no witness");
    }
    empty_block(&daemon, &address);
    let full = job(&mut hand, &daemon, 2).await;
    assert_eq!(mine(node, &daemon, &mut hand, &full).await.ids, sorted(without_witness));

    let old_coins = daemon.call("listunspent", json!([1, 9_999_999, [&old[0]]]));
    let [one, other] = <[Value; 2]>::try_from(old_coins.as_array().expect("coins").clone()).expect("both");
    let [third, _] = coins_of([&segwit[0], &segwit[1]]);
    let mixed = [&one, &other, &third].map(|coin| spend(&daemon, coin, &segwit[0]));
    empty_block(&daemon, &address);
    let full = job(&mut hand, &daemon, 2).await;
    assert_eq!(mine(node, &daemon, &mut hand, &full).await.ids, sorted(mixed));

    let empty = job(&mut hand, &daemon, 0).await;
    assert_eq!(mine(node, &daemon, &mut hand, &empty).await.ids, [""; 0]);
}

/// The P2TR owner with this number: the largest output that a payout can have.
fn taproot_owner(n: u8) -> Owner {
    let program = WitnessProgram::new(WitnessVersion::V1, &[n; 32]).expect("32 bytes");
    Owner::new(&ScriptBuf::new_witness_program(&program)).expect("standard")
}

/// A signed transaction from this coin to so many outputs, and its weight; `fee` in satoshis.
fn spread(daemon: &BitcoinD, coin: &Value, outputs: u64, fee: u64) -> (Value, u64) {
    let script_pubkey = owner(200).to_script_buf();
    let each = (satoshis(&coin["amount"]) - fee) / outputs;
    let output = TxOut { value: Amount::from_sat(each), script_pubkey };
    let previous_output = OutPoint {
        txid: coin["txid"].as_str().expect("text").parse().expect("an id"),
        vout: u32::try_from(coin["vout"].as_u64().expect("a number")).expect("a number"),
    };
    let unsigned = Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn { previous_output, sequence: Sequence::MAX, ..TxIn::default() }],
        output: vec![output; usize::try_from(outputs).expect("some thousands")],
    };
    let signed = daemon.call("signrawtransactionwithwallet", json!([serialize_hex(&unsigned)]));
    let signed = signed["hex"].clone();
    let read: Transaction = deserialize_hex(signed.as_str().expect("text")).expect("a transaction");
    (signed, read.weight().to_wu())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_template_loses_its_tail_to_the_coinbase() {
    // The daemon leaves 2,000 weight units for header and coinbase, which needs 3,000 for eleven payouts to P2TR.
    const LARGE: usize = 10;
    const SMALL: usize = 5;
    const ROOM: u64 = 4_000_000 - 2_000;
    /// Weight of a P2WPKH output.
    const OUTPUT: u64 = 31 * 4;
    let arguments = ["-blockmaxweight=4000000", "-blockreservedweight=2000"].map(str::to_owned).to_vec();
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, arguments });
    let address = daemon.create_wallet("test");
    daemon.mine_to(&address, 120);
    let params = ChainParams { window_score: Score(16 << 64), ..regtest() };
    let mut node = TestNode::start(params, vec![upstream(&daemon, true)]).await;
    let node = &mut node;
    for n in 1..=14 {
        let mut hand = Hand::at(node, &taproot_owner(n)).await;
        let job = job(&mut hand, &daemon, 0).await;
        mine(node, &daemon, &mut hand, &job).await;
    }

    let coins = daemon.call("listunspent", json!([100]));
    let coins = &coins.as_array().expect("coins")[..LARGE + SMALL];
    let (large, small) = coins.split_at(LARGE);
    let mut weight = 0;
    for coin in small {
        let (signed, more) = spread(&daemon, coin, 1, 200);
        weight += more;
        daemon.call("sendrawtransaction", json!([signed, 0]));
    }
    let (_, sample) = spread(&daemon, &large[0], 3_000, 1_000_000);
    for (index, coin) in large.iter().enumerate() {
        // An equal part of what is left; a little stays empty, since signatures vary by a weight unit.
        let part = (ROOM - 20 - weight) / (LARGE - index) as u64;
        let (signed, more) = spread(&daemon, coin, 3_000 + (part - sample) / OUTPUT, 1_000_000);
        weight += more;
        daemon.call("sendrawtransaction", json!([signed, 0]));
    }
    assert!((ROOM - 20 - OUTPUT..=ROOM).contains(&weight), "{weight}");
    empty_block(&daemon, &address);
    let full = daemon.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
    let in_template = full["transactions"].as_array().expect("transactions");
    assert_eq!(in_template.len(), LARGE + SMALL, "the daemon's own template has room for all");

    let mut hand = Hand::at(node, &owner(1)).await;
    let trimmed = job(&mut hand, &daemon, 4).await;
    let Mined { solution, ids } = mine(node, &daemon, &mut hand, &trimmed).await;
    assert!((10..LARGE + SMALL).contains(&ids.len()), "{} transactions", ids.len());
    let (kept, lost) = in_template.split_at(ids.len());
    assert!(kept.iter().all(|tx| ids.contains(&text(tx["txid"].clone()))), "only the tail is left out");
    let fees: u64 = lost.iter().map(|tx| tx["fee"].as_u64().expect("satoshis")).sum();
    let value = full["coinbasevalue"].as_u64().expect("satoshis");
    assert_eq!(solution.share.commitment.coinbase_value, value - fees, "and its fees with it");

    // The next block has room for them.
    let rest = job(&mut hand, &daemon, (lost.len() + 1).next_power_of_two().ilog2() as usize).await;
    let Mined { ids, .. } = mine(node, &daemon, &mut hand, &rest).await;
    assert_eq!(ids.len(), lost.len());
    assert!(lost.iter().all(|tx| ids.contains(&text(tx["txid"].clone()))));
}

/// Regtest signals for a deployment in bit 28 once a period is over.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_leave_the_bits_free_that_miners_roll() {
    let daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("test");
    daemon.mine_to(&address, 150);
    let template = daemon.call("getblocktemplate", json!([{"rules": ["segwit"]}]));
    assert_eq!(template["version"], 0x3000_0000, "the daemon would set one of them");
    let mut node = TestNode::start(regtest(), vec![upstream(&daemon, true)]).await;
    let mut hand = Hand::at(&node, &owner(1)).await;
    let job = hand.newest().await.expect("served");
    assert_eq!(job.version, 0x2000_0000);
    mine(&mut node, &daemon, &mut hand, &job).await;
    node.stop().await;
}
