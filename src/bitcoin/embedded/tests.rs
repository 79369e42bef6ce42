//! The embedded chain as a back end: what it gives, what it takes, and what it refuses.

use std::{
    future::Future as _,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Waker},
};

use bitcoin::{Sequence, Witness, absolute::LockTime, consensus::serialize, script::Builder};

use super::*;
use crate::bitcoin::test_blocks::{merkle_root, solve, solved, unsolved};
use bitcoin::{CompactTarget, TxMerkleNode, block::Version, hashes::Hash as _};
use sharechain::params::embedded_genesis;

const GENESIS_TIME: u32 = 1_700_000_000;
const REGTEST: u32 = 0x207f_ffff;

fn genesis() -> Header {
    Header { time: GENESIS_TIME, ..embedded_genesis(REGTEST) }
}

fn chain() -> (Embedded, Arc<AtomicU32>) {
    let now = Arc::new(AtomicU32::new(GENESIS_TIME + 100));
    let clock = Arc::clone(&now);
    let clock = Box::new(move || clock.load(Ordering::Relaxed));
    (Embedded::with_clock(genesis(), clock).expect("regtest's target"), now)
}

fn submit(chain: &Embedded, block: &Block) -> Verdict {
    chain.take_block(&serialize(block)).expect("a block")
}

const ACCEPTED: Verdict = Verdict::Accepted { note: None };

fn rejected(reason: &str) -> Verdict {
    Verdict::Rejected { reason: reason.into() }
}

#[test]
fn blocks_build_on_each_other_through_halvings() {
    let (chain, now) = chain();
    for height in 1..=310_u32 {
        now.fetch_add(1, Ordering::Relaxed);
        let template = chain.make_template();
        assert_eq!(template.height, BitcoinHeight(height));
        assert_eq!(
            template.coinbase_value,
            [5_000_000_000, 2_500_000_000, 1_250_000_000][height as usize / 150]
        );
        let block = solved(&template, b"one");
        assert_eq!(submit(&chain, &block), ACCEPTED);
        assert_eq!(submit(&chain, &block), Verdict::Accepted { note: Some("duplicate".into()) });
    }
}

#[test]
fn the_longer_branch_wins_and_the_first_of_equals() {
    // genesis - a1 - a2
    //         \ b1 - b2 - b3
    let (chain, _) = chain();
    let root = chain.make_template();
    let (a1, b1) = (solved(&root, b"a1"), solved(&root, b"b1"));
    let child = |parent: &Block, height: u32, extra: &[u8]| {
        let prev_block = parent.block_hash();
        let time = parent.header.time + 1;
        let template =
            Template { prev_block, height: BitcoinHeight(height), current_time: time, ..root.clone() };
        solved(&template, extra)
    };
    let a2 = child(&a1, 2, b"a2");
    let b2 = child(&b1, 2, b"b2");
    let b3 = child(&b2, 3, b"b3");
    let beside = Verdict::Accepted { note: Some("inconclusive".into()) };
    assert_eq!(submit(&chain, &b2), rejected("prev-blk-not-found"));
    let script = [(&a1, &ACCEPTED), (&a2, &ACCEPTED), (&b1, &beside), (&b2, &beside), (&b3, &ACCEPTED)];
    for (block, verdict) in script {
        assert_eq!(&submit(&chain, block), verdict);
    }
    let hashes = [&b1, &b2, &b3].map(Block::block_hash);
    assert_eq!(chain.lock().best[1..], hashes);
    assert_eq!(chain.make_template().prev_block, hashes[2]);
    let inner = chain.lock();
    assert!(!inner.found(&inner.blocks[&a2.block_hash()]).on_best_chain);
}

#[test]
fn each_kind_of_bad_block_is_refused_with_its_reason() {
    let (chain, now) = chain();
    for _ in 0..20 {
        let block = solved(&chain.make_template(), b"good");
        assert_eq!(submit(&chain, &block), ACCEPTED);
    }
    let template = chain.make_template();
    let check = |reason: &str, change: &dyn Fn(&mut Block)| {
        let mut block = unsolved(&template, b"bad");
        change(&mut block);
        assert_eq!(submit(&chain, &solve(block)), rejected(reason));
    };
    // Changes of transactions, after which the root is right again.
    let coinbase = |reason: &str, change: &dyn Fn(&mut bitcoin::Transaction)| {
        check(reason, &|block| {
            change(&mut block.txdata[0]);
            block.header.merkle_root = merkle_root(block);
        });
    };
    let clock = now.load(Ordering::Relaxed);

    check("prev-blk-not-found", &|b| b.header.prev_blockhash = BlockHash::all_zeros());
    check("bad-diffbits", &|b| b.header.bits = CompactTarget::from_consensus(0x207f_fffe));
    check("bad-version", &|b| b.header.version = Version::from_consensus(3));
    check("time-too-old", &|b| b.header.time = template.min_time - 1);
    check("time-too-new", &|b| b.header.time = clock + 7_201);
    check("bad-txnmrklroot", &|b| b.header.merkle_root = TxMerkleNode::all_zeros());
    check("the embedded chain takes blocks with nothing but a coinbase", &|b| {
        let mut second = b.txdata[0].clone();
        second.input[0].previous_output.vout = 0;
        b.txdata.push(second);
        b.header.merkle_root = merkle_root(b);
    });
    coinbase("bad-cb-missing", &|tx| tx.input[0].previous_output.vout = 0);
    coinbase("bad-cb-length", &|tx| tx.input[0].script_sig = vec![1; 101].into());
    coinbase("bad-cb-length", &|tx| tx.input[0].script_sig = vec![0x51].into());
    coinbase("bad-cb-height", &|tx| {
        tx.input[0].script_sig = Builder::new().push_int(22).push_int(1).into_script()
    });
    coinbase("bad-txns-nonfinal", &|tx| {
        tx.lock_time = LockTime::from_consensus(21);
        tx.input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
    });
    coinbase("bad-cb-amount", &|tx| tx.output[0].value += bitcoin::Amount::ONE_SAT);
    coinbase("bad-txns-vout-toolarge", &|tx| tx.output[0].value = bitcoin::Amount::MAX);
    coinbase("bad-witness-nonce-size", &|tx| tx.input[0].witness = Witness::from_slice(&[[0; 31]]));
    coinbase("bad-witness-nonce-size", &|tx| tx.input[0].witness = Witness::from_slice(&[[1; 32]]));
    coinbase("bad-witness-nonce-size", &|tx| tx.input[0].witness = Witness::default());
    coinbase("bad-witness-commitment-missing", &|tx| drop(tx.output.pop()));
    coinbase("bad-witness-merkle-match", &|tx| {
        let mut script = tx.output[1].script_pubkey.to_bytes();
        script[37] ^= 1;
        tx.output[1].script_pubkey = script.into();
    });
    coinbase("bad-blk-sigops", &|tx| {
        let script = vec![0xac; 20_001];
        tx.output[0].script_pubkey = script.into();
    });
    coinbase("bad-blk-weight", &|tx| tx.output[0].script_pubkey = vec![0; 1_000_000].into());

    let mut unmined = solved(&template, b"bad");
    while template.target.is_met_by(&unmined.block_hash().to_byte_array()) {
        unmined.header.nonce += 1;
    }
    assert_eq!(submit(&chain, &unmined), rejected("high-hash"));
    assert!(matches!(chain.take_block(b"nonsense"), Err(BackendError::Rpc { code: NO_BLOCK, .. })));
    let mut long = serialize(&solved(&template, b"good"));
    long.push(0);
    assert!(chain.take_block(&long).is_err());
    assert_eq!(submit(&chain, &solved(&template, b"good")), ACCEPTED, "nothing of that changed the chain");
}

#[test]
fn a_coinbase_locked_to_the_height_before_is_final() {
    let (chain, _) = chain();
    for height in 1..=3 {
        let mut block = unsolved(&chain.make_template(), b"locked");
        block.txdata[0].lock_time = LockTime::from_consensus(height - 1);
        block.txdata[0].input[0].sequence = Sequence::ENABLE_LOCKTIME_NO_RBF;
        block.header.merkle_root = merkle_root(&block);
        assert_eq!(submit(&chain, &solve(block)), ACCEPTED);
    }
}

#[tokio::test]
async fn headers_can_come_before_their_blocks() {
    let (chain, _) = chain();
    let first = solved(&chain.make_template(), b"one");
    let orphan = Header { prev_blockhash: BlockHash::from_byte_array([7; 32]), ..first.header };
    assert!(matches!(chain.submit_header(&orphan).await, Err(BackendError::Rpc { code: REFUSED, .. })));
    for _ in 0..2 {
        assert_eq!(chain.submit_header(&first.header).await, Ok(()));
    }
    let found = chain.header(first.block_hash()).await.expect("an answer").expect("known");
    assert_eq!((found.height, found.on_best_chain), (BitcoinHeight(1), false));
    let info = chain.chain_info().await.expect("an answer");
    assert_eq!((info.blocks, info.headers), (BitcoinHeight(0), BitcoinHeight(1)));
    assert_eq!(submit(&chain, &first), ACCEPTED);
    let genesis = genesis();
    assert_eq!(chain.headers(BitcoinHeight(0), 9).await, Ok(vec![genesis, first.header]));
    assert_eq!(chain.headers(BitcoinHeight(1), 1).await, Ok(vec![first.header]));
    assert_eq!(chain.headers(BitcoinHeight(2), 9).await, Ok(vec![]));
}

#[tokio::test]
async fn a_long_poll_waits_for_the_next_block() {
    let (chain, _) = chain();
    let first = chain.template(None).await.expect("a template");
    let mut poll = pin!(chain.template(first.long_poll_id.as_deref()));
    assert!(poll.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let block = solved(&first, b"one");
    assert_eq!(submit(&chain, &block), ACCEPTED);
    assert_eq!(poll.await.expect("a template").prev_block, block.block_hash());
}

#[tokio::test]
async fn restored_headers_are_built_on_and_what_is_none_of_this_chain_is_passed_over() {
    let (before, _) = chain();
    let mut blocks = Vec::new();
    for _ in 0..5 {
        let block = solved(&before.make_template(), b"before");
        assert_eq!(submit(&before, &block), ACCEPTED);
        blocks.push(block);
    }
    let (after, _) = chain();
    let mut headers: Vec<Header> = blocks.iter().map(|block| block.header).collect();
    let stranger = Header { prev_blockhash: BlockHash::all_zeros(), ..headers[0] };
    let target = Target::from_compact(headers[0].bits).expect("regtest's target");
    let unworked = (0..)
        .map(|nonce| Header { nonce, prev_blockhash: headers[4].block_hash(), ..headers[4] })
        .find(|header| !target.is_met_by(&header.block_hash().to_byte_array()))
        .expect("every second");
    headers.splice(3..3, [stranger]);
    headers.push(unworked);
    after.restore(&headers);
    let template = after.make_template();
    assert_eq!((template.prev_block, template.height), (blocks[4].block_hash(), BitcoinHeight(6)));
    assert_eq!(after.headers(BitcoinHeight(1), 10).await.expect("headers").len(), 5);
    assert_eq!(submit(&after, &blocks[2]), Verdict::Accepted { note: Some("duplicate".into()) });
    // A long poll on the restored tip waits for the next block.
    let id = template.long_poll_id.clone().expect("an id");
    let mut poll = pin!(after.template(Some(&id)));
    assert!(poll.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(submit(&after, &solved(&template, b"after")), ACCEPTED);
    assert_eq!(poll.await.expect("a template").height, BitcoinHeight(7));
}
