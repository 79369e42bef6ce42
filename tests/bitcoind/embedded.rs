//! The embedded chain beside a real daemon: both take the same blocks, and refuse bad ones for the same reasons.

use std::time::{SystemTime, UNIX_EPOCH};

use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, Sequence, Transaction, TxMerkleNode, Witness,
    absolute::LockTime, block::Version, consensus::serialize, hashes::Hash as _, script::Builder,
};
use commonwork::bitcoin::{Backend, Verdict, embedded::Embedded};

use sharechain::params::embedded_genesis;

use super::rpc::client;
use crate::support::{
    bitcoind::BitcoinD,
    block::{merkle_root, solve, solved, unsolved},
};

type Change = Box<dyn Fn(&mut Block)>;

/// A change of the coinbase, after which the merkle root is right again.
fn coinbase(change: impl Fn(&mut Transaction) + 'static) -> Change {
    Box::new(move |block| {
        change(&mut block.txdata[0]);
        block.header.merkle_root = merkle_root(block);
    })
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u32::try_from(since.as_secs()).expect("a clock before 2106")
}

fn bad_blocks() -> Vec<(&'static str, Change)> {
    vec![
        ("prev-blk-not-found", Box::new(|b| b.header.prev_blockhash = BlockHash::from_byte_array([7; 32]))),
        ("bad-diffbits", Box::new(|b| b.header.bits = CompactTarget::from_consensus(0x207f_fffe))),
        ("bad-version", Box::new(|b| b.header.version = Version::from_consensus(3))),
        ("time-too-old", Box::new(|b| b.header.time = 1_296_688_602)),
        ("time-too-new", Box::new(|b| b.header.time = now() + 8_000)),
        ("bad-txnmrklroot", Box::new(|b| b.header.merkle_root = TxMerkleNode::all_zeros())),
        ("bad-cb-length", coinbase(|tx| tx.input[0].script_sig = vec![1; 101].into())),
        (
            "bad-cb-height",
            coinbase(|tx| tx.input[0].script_sig = Builder::new().push_int(9).push_int(1).into_script()),
        ),
        (
            // As a push of one byte: right for a number, wrong for BIP34.
            "bad-cb-height",
            coinbase(|tx| tx.input[0].script_sig = vec![0x01, 0x04].into()),
        ),
        (
            "bad-txns-nonfinal",
            coinbase(|tx| {
                tx.lock_time = LockTime::from_consensus(100);
                tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
            }),
        ),
        ("bad-cb-amount", coinbase(|tx| tx.output[0].value += Amount::ONE_SAT)),
        ("bad-txns-vout-toolarge", coinbase(|tx| tx.output[0].value = Amount::MAX_MONEY + Amount::ONE_SAT)),
        ("bad-txns-vout-empty", coinbase(|tx| tx.output.clear())),
        ("bad-witness-nonce-size", coinbase(|tx| tx.input[0].witness = Witness::from_slice(&[[0; 31]]))),
        (
            "bad-witness-merkle-match",
            coinbase(|tx| {
                let mut script = tx.output[1].script_pubkey.to_bytes();
                script[37] ^= 1;
                tx.output[1].script_pubkey = script.into();
            }),
        ),
        ("bad-blk-sigops", coinbase(|tx| tx.output[0].script_pubkey = vec![0xac; 20_001].into())),
    ]
}

#[tokio::test]
async fn both_refuse_the_same_blocks_for_the_same_reasons() {
    let daemon = BitcoinD::regtest();
    // The same target as on regtest, and the time of its genesis block.
    let genesis = bitcoin::block::Header { time: 1_296_688_602, ..embedded_genesis(0x207f_ffff) };
    let embedded = Embedded::new(genesis).expect("a target");
    let backends: [&dyn Backend; 2] = [&client(&daemon), &embedded];
    for backend in backends {
        for height in 1..=3_u8 {
            let template = backend.template(None).await.expect("a template");
            let verdict = backend.submit_block(&serialize(&solved(&template, &[height]))).await;
            assert_eq!(verdict, Ok(Verdict::Accepted { note: None }));
        }
        let template = backend.template(None).await.expect("a template");
        for (expected, change) in bad_blocks() {
            let mut block = unsolved(&template, b"bad");
            change(&mut block);
            let verdict = backend.submit_block(&serialize(&solve(block))).await.expect("an answer");
            let Verdict::Rejected { reason } = &verdict else { panic!("{}: {verdict:?}", backend.name()) };
            // Core says which version was bad.
            assert!(reason.starts_with(expected), "{}: {reason}, not {expected}", backend.name());
        }
        let mut unmined = solved(&template, b"good");
        while template.target.is_met_by(&unmined.block_hash().to_byte_array()) {
            unmined.header.nonce += 1;
        }
        let verdict = backend.submit_block(&serialize(&unmined)).await;
        assert_eq!(verdict, Ok(Verdict::Rejected { reason: "high-hash".into() }));
        let verdict = backend.submit_block(&serialize(&solved(&template, b"good"))).await;
        assert_eq!(verdict, Ok(Verdict::Accepted { note: None }), "the bad ones changed nothing");
    }
}
