//! The whole program: a share mined over Stratum V2 is in the share chain.

use super::{Client, Said};
use crate::cli::Program;
use crate::node::process::Process;
use crate::support::bitcoind::wait_for;
use crate::support::chain_file::chain_toml;
use crate::support::jobs::owner;
use bitcoin::base58;
use commonwork::address::address_of;
use parsers_sv2::MiningOwned;
use serde_json::{Value, json};
use sharechain::params::ChainParams;
use sharechain::share::ShareId;
use sharechain::target::Target;
use std::net::SocketAddr;

/// The address and the authority key that the program logs.
fn listening(process: &mut Process) -> (SocketAddr, String) {
    let line = process.until_it_says("stratum2+tcp://");
    let text = line["message"].as_str().expect("text");
    let (_, rest) = text.split_once("stratum2+tcp://").expect("just seen");
    let (address, rest) = rest.split_once('/').expect("a key behind it");
    (address.parse().expect("an address"), rest.split(',').next().expect("a key").to_owned())
}

/// Share blocks every 64 hashes at first, Bitcoin blocks out of reach.
fn params() -> ChainParams {
    let network = Target::MAX.harder_by(1 << 30).to_compact();
    ChainParams {
        easiest_block_target: Target::MAX.harder_by(64).to_compact(),
        ..ChainParams::embedded(network.to_consensus())
    }
}

async fn share(client: &mut Client, extended: bool, user: &str) -> ShareId {
    let mut channel = if extended { client.extended(user).await } else { client.standard(user).await };
    // What is asked for may be easier than a share of the chain.
    channel.target[30..].copy_from_slice(&[0x0f, 0]);
    let solved = channel.solve(0);
    client.say(solved.submit).await;
    let said = channel.answer(client).await;
    assert!(matches!(said, Said::Mining(MiningOwned::SubmitSharesSuccess(_))), "{said:?}");
    ShareId(solved.hash)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_over_stratum_v2_is_in_the_share_chain() {
    let program = Program::new();
    let chain = program.file("chain.toml", &chain_toml(&params()));
    let place = ["--network", "embedded", "--chain", &chain];
    let mut process = Process::start(&program, &place);
    let (address, key) = listening(&mut process);
    let raw = base58::decode_check(&key).expect("base58check");
    assert_eq!((raw.len(), &raw[..2]), (34, &[1, 0][..]));
    let key_bytes: [u8; 32] = raw[2..].try_into().expect("32 bytes");

    let ask = || {
        let told = program.run(&[&["status", "--json"], &place[..]].concat());
        serde_json::from_str::<Value>(&told.output).unwrap_or_else(|_| panic!("{}", told.errors))
    };
    let status = ask();
    assert_eq!(status["miners"]["workers"], json!([]));
    assert_eq!(status["miners"]["authority"], key.as_str());
    assert_eq!(status["miners"]["stratum_v2"][0], address.to_string());

    let miner = address_of(&owner(3), params().network);
    let user = format!("{miner}.rig");
    let mut client = Client::connect(address, Some(key_bytes)).await.expect("connected");
    client.set_up(0).await;
    for extended in [false, true] {
        let id = share(&mut client, extended, &user).await.to_string();
        let shown = wait_for("the share in the chain", || {
            let shown = program.run(&[&["chain", "show", &id, "--json"], &place[..]].concat());
            (shown.code == 0).then_some(shown.output)
        });
        assert!(shown.contains(&miner), "{shown}");
    }
    let workers = ask()["miners"]["workers"].take();
    for (worker, class) in workers.as_array().expect("two channels").iter().zip([360, 11]) {
        assert_eq!((&worker["name"], &worker["address"]), (&json!(user), &json!(miner)));
        assert_eq!((&worker["protocol"], &worker["port"]), (&json!("stratum_v2"), &json!(address.port())));
        assert_eq!((&worker["class"], &worker["accepted"]), (&json!(class), &json!(1)));
        assert!(worker["last_share"].as_u64() >= worker["connected"].as_u64(), "{worker}");
        assert!(worker["hash_rate"].as_f64() > Some(0.0) && worker["best_difficulty"].is_f64(), "{worker}");
    }
    assert_eq!(workers.as_array().map(Vec::len), Some(2));
    // The key is the same after a restart.
    drop(client);
    process.signal("TERM");
    process.ended();
    let mut process = Process::start(&program, &place);
    assert_eq!(listening(&mut process).1, key);
}
