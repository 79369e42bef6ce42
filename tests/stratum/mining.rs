//! The project's own miner against its own server: two programs that share no byte order.

use super::{Running, Setup, soon};
use crate::support::jobs::{CHAIN, JobMaker, owner, target};
use bitcoin::Transaction;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash, sha256d};
use commonwork::miner::{Miner, MinerConfig, MinerError};
use commonwork::work::job::Candidate;
use sharechain::target::Target;
use sharechain::verify::Targets;

/// Shares every 4,096 hashes, Bitcoin blocks every 65,536.
fn job(id: u32) -> JobMaker {
    let targets = Targets { network: target(-16), block: target(-18), share: target(-20) };
    JobMaker { id, targets, branch_len: 5, outputs: 3, ..JobMaker::default() }
}

/// Puts the header together again, with nothing of this project, and hashes it.
fn rebuilt(candidate: &Candidate) -> [u8; 32] {
    let coinbase: Transaction =
        deserialize(&candidate.job.coinbase(&candidate.extranonce)).expect("a transaction");
    let mut root = coinbase.compute_txid().to_byte_array();
    for right in candidate.job.branch() {
        root = sha256d::Hash::hash(&[root, *right].concat()).to_byte_array();
    }
    let mut header = candidate.header;
    header.merkle_root = bitcoin::TxMerkleNode::from_byte_array(root);
    sha256d::Hash::hash(&serialize(&header)).to_byte_array()
}

fn config(running: &Running) -> MinerConfig {
    MinerConfig { threads: 2, ..MinerConfig::new(running.address.to_string(), "rig") }
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_of_the_miner_are_what_the_server_judged() {
    let mut running = Setup::default().start();
    running.publish(job(1));
    let miner = Miner::spawn(config(&running)).expect("threads");
    let (mut seen, mut last_job, mut rolled) = (Vec::new(), 1, false);
    while seen.len() < 60 || running.blocks.0.lock().expect("no panic").is_empty() || !rolled {
        let candidate = soon(running.shares.recv()).await.expect("shares");
        assert_eq!(rebuilt(&candidate), candidate.id.0);
        assert_eq!(candidate.share().expect("a share chain's").0.id(CHAIN), candidate.id);
        assert!(candidate.judge().share);
        assert!(!seen.contains(&candidate.id), "each but once");
        rolled |= candidate.header.version.to_consensus() != 0x2000_0000;
        seen.push(candidate.id);
        if seen.len() % 10 == 0 {
            last_job += 1;
            running.publish(job(last_job));
        }
    }
    for block in running.blocks.0.lock().expect("no panic").iter() {
        assert!(block.judge().bitcoin_block);
        assert_eq!(rebuilt(block), block.id.0);
    }
    let report = soon(miner.stop()).await;
    assert_eq!(report.rejected, 0);
    assert!(report.hashes > 60_000, "{report:?}");
    soon(running.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_miner_comes_back_to_a_server_that_comes_back() {
    let mut running = Setup::default().start();
    running.publish(job(1));
    let miner = Miner::spawn(config(&running)).expect("threads");
    soon(running.shares.recv()).await.expect("a share");
    let address = running.address;
    soon(running.stop()).await;
    let mut running = Setup { address, ..Setup::default() }.start();
    running.publish(job(2));
    soon(running.shares.recv()).await.expect("a share");
    assert!(miner.report().connected);
    soon(miner.stop()).await;
    soon(running.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_miner_gives_up_when_its_user_is_refused_and_says_why() {
    let running = Setup { default_owner: None, ..Setup::default() }.start();
    let mut miner = Miner::spawn(config(&running)).expect("threads");
    let error = soon(miner.ended()).await.expect_err("refused");
    assert!(matches!(&error, MinerError::Refused { user, .. } if user == "rig"));
    assert!(error.to_string().contains("is no Bitcoin address"), "{error}");
    let report = soon(miner.stop()).await;
    assert_eq!((report.hashes, report.connected), (0, false));
    soon(running.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_miner_without_hope_hashes_on_and_stops_when_told() {
    let running = Setup::default().start();
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    running.publish(JobMaker { targets: hard, owner: owner(1), ..JobMaker::default() });
    let miner = Miner::spawn(MinerConfig { duty: 0.5, ..config(&running) }).expect("threads");
    while miner.report().hashes == 0 {
        tokio::task::yield_now().await;
    }
    let report = soon(miner.stop()).await;
    assert_eq!((report.accepted, report.rejected), (0, 0));
    assert!(report.hash_rate() > 0.0);
    soon(running.stop()).await;
}
