//! The JSON-RPC back end: what it says is what the daemon says, and what is built from its templates is accepted.

use std::time::Duration;

use bitcoin::{BlockHash, consensus::serialize, hashes::Hash as _};
use commonwork::bitcoin::{
    Backend, BackendError, Verdict,
    endpoint::{Credentials, Endpoint},
    rpc::{BitcoindRpc, Patience},
};
use serde_json::json;
use sharechain::units::BitcoinHeight;

use crate::support::{
    bitcoind::{BitcoinD, Chain, Options},
    block::{solved, unsolved},
};

/// The node's client for this daemon.
pub(super) fn client(daemon: &BitcoinD) -> BitcoindRpc {
    client_with(daemon, Credentials::Cookie(daemon.cookie_file()), Patience::default())
}

fn client_with(daemon: &BitcoinD, credentials: Credentials, patience: Patience) -> BitcoindRpc {
    BitcoindRpc::new(Endpoint::new("127.0.0.1", daemon.rpc_port(), "/"), credentials, patience)
}

#[tokio::test]
async fn blocks_are_accepted_at_heights_from_one_on() {
    let daemon = BitcoinD::regtest();
    let backend = client(&daemon);
    for height in 1..=20 {
        let template = backend.template(None).await.expect("a template");
        assert_eq!(template.height, BitcoinHeight(height));
        let block = serialize(&solved(&template, b"one"));
        assert_eq!(backend.submit_block(&block).await, Ok(Verdict::Accepted { note: None }));
        let again = backend.submit_block(&block).await;
        assert_eq!(again, Ok(Verdict::Accepted { note: Some("duplicate".into()) }));
        let other = serialize(&solved(&template, b"two"));
        let beside = backend.submit_block(&other).await;
        assert_eq!(beside, Ok(Verdict::Accepted { note: Some("inconclusive".into()) }));
    }
    assert_eq!(daemon.height(), 20);
}

#[tokio::test]
async fn a_block_with_segwit_and_other_transactions_is_accepted() {
    let daemon = BitcoinD::regtest();
    let address = daemon.create_funded_wallet(3);
    let legacy = daemon.call("getnewaddress", json!(["", "legacy"]));
    // Spent again unconfirmed: parents and children, with and without witnesses.
    for (to, amount) in [(&legacy, 40), (&json!(address), 55), (&legacy, 9), (&json!(address), 1)] {
        daemon.call("sendtoaddress", json!([to, amount]));
    }
    let backend = client(&daemon);
    let template = backend.template(None).await.expect("a template");
    assert_eq!(template.transactions.len(), 4);
    let legacy =
        template.transactions.iter().filter(|tx| tx.txid.to_byte_array() == tx.wtxid.to_byte_array()).count();
    assert!((1..4).contains(&legacy), "{legacy} of 4 are without witness");

    // A head of the template is a valid block too, and the node's own assembly gives the same bytes.
    let room = template.transactions[..2].iter().map(|tx| tx.weight).sum::<u64>();
    let trimmed = template.trimmed_to(template.weight_limit - room - 324, 0);
    assert_eq!(trimmed.transactions.len(), 2);
    let block = solved(&trimmed, b"trimmed");
    let header = serialize(&block.header).try_into().expect("80 bytes");
    let bytes = trimmed.block(&header, &serialize(&block.txdata[0]));
    assert_eq!(bytes, serialize(&block));
    assert_eq!(backend.submit_block(&bytes).await, Ok(Verdict::Accepted { note: None }));

    let rest = backend.template(None).await.expect("a template");
    assert_eq!(rest.transactions.len(), 2);
    let block = serialize(&solved(&rest, b"rest"));
    assert_eq!(backend.submit_block(&block).await, Ok(Verdict::Accepted { note: None }));
    assert_eq!(daemon.call("getmempoolinfo", json!([]))["size"], 0);
}

#[tokio::test]
async fn what_waits_in_the_mempool_can_be_fetched() {
    let daemon = BitcoinD::regtest();
    let address = daemon.create_funded_wallet(3);
    let backend = client(&daemon);
    assert_eq!(backend.mempool().await, Ok(Vec::new()));
    for amount in [1, 2, 3] {
        daemon.call("sendtoaddress", json!([address, amount]));
    }
    let entries = backend.mempool().await.expect("the mempool");
    let unknown = bitcoin::Txid::from_byte_array([7; 32]);
    let ids: Vec<_> = entries.iter().map(|entry| entry.txid).chain([unknown]).collect();
    let raw = backend.transactions(&ids).await.expect("transactions");
    assert_eq!((entries.len(), raw.len(), raw[3].as_ref()), (3, 4, None));
    for (entry, raw) in entries.iter().zip(raw) {
        let transaction: bitcoin::Transaction =
            bitcoin::consensus::deserialize(&raw.expect("it waits")).expect("a transaction");
        assert_eq!((transaction.compute_txid(), transaction.compute_wtxid()), (entry.txid, entry.wtxid));
    }
}

#[tokio::test]
async fn refused_blocks_come_with_the_reason() {
    let daemon = BitcoinD::regtest();
    let backend = client(&daemon);
    let mut template = backend.template(None).await.expect("a template");
    template.coinbase_value += 1;
    let verdict = backend.submit_block(&serialize(&solved(&template, b"one"))).await;
    assert_eq!(verdict, Ok(Verdict::Rejected { reason: "bad-cb-amount".into() }));
    let error = backend.submit_block(b"nonsense").await.expect_err("no block");
    assert!(matches!(error, BackendError::Rpc { code: -22, .. }), "{error}");
}

#[tokio::test]
async fn private_signet_blocks_need_no_signature() {
    let daemon = BitcoinD::start(Chain::Signet, Options::default());
    let backend = client(&daemon);
    let info = backend.chain_info().await.expect("chain info");
    assert_eq!((info.chain.as_str(), info.is_minable()), ("signet", true));
    let template = backend.template(None).await.expect("a template");
    let target = template.target;
    // About five million hashes: the header is ground with the node's own hashing, the crate's is far slower here.
    let mut header: [u8; 80] =
        serialize(&unsolved(&template, b"signet").header).try_into().expect("80 bytes");
    let nonce = (0..=u32::MAX).find(|nonce| {
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        target.is_met_by(&sharechain::hash::sha256d(&header))
    });
    let mut block = unsolved(&template, b"signet");
    block.header.nonce = nonce.expect("a nonce");
    assert_eq!(backend.submit_block(&serialize(&block)).await, Ok(Verdict::Accepted { note: None }));
    assert_eq!(daemon.best_hash(), block.block_hash().to_string());
}

#[tokio::test]
async fn headers_are_found_by_hash_and_by_height_and_can_be_handed_in() {
    let (daemon, other) = (BitcoinD::regtest(), BitcoinD::regtest());
    let address = daemon.create_wallet("test");
    daemon.mine_to(&address, 600);
    let (backend, beside) = (client(&daemon), client(&other));

    let headers = backend.headers(BitcoinHeight(0), 5_000).await.expect("headers");
    assert_eq!(headers.len(), 601);
    assert_eq!(headers.last().expect("a tip").block_hash().to_string(), daemon.best_hash());
    assert_eq!(backend.headers(BitcoinHeight(599), 1).await, Ok(vec![headers[599]]));
    assert_eq!(backend.headers(BitcoinHeight(601), 10).await, Ok(vec![]));
    assert_eq!(beside.headers(BitcoinHeight(0), 10).await, Ok(vec![headers[0]]));

    for height in [0, 1, 600] {
        let hash = headers[height as usize].block_hash();
        let found = backend.header(hash).await.expect("an answer").expect("known");
        assert_eq!((found.header, found.height), (headers[height as usize], BitcoinHeight(height)));
        assert!(found.on_best_chain);
    }
    assert_eq!(backend.header(BlockHash::from_byte_array([7; 32])).await, Ok(None));

    let tip = headers[2].block_hash();
    assert_eq!(beside.header(tip).await, Ok(None));
    let orphan = beside.submit_header(&headers[2]).await;
    assert!(matches!(orphan, Err(BackendError::Rpc { code: -25, .. })), "{orphan:?}");
    for header in [&headers[1], &headers[2], &headers[2]] {
        assert_eq!(beside.submit_header(header).await, Ok(()));
    }
    let found = beside.header(tip).await.expect("an answer").expect("handed in");
    assert_eq!((found.height, found.on_best_chain), (BitcoinHeight(2), false));
    let info = beside.chain_info().await.expect("chain info");
    assert_eq!(
        (info.chain.as_str(), info.blocks, info.headers),
        ("regtest", BitcoinHeight(0), BitcoinHeight(2))
    );
}

#[tokio::test]
async fn a_long_poll_answers_when_a_block_comes() {
    let daemon = BitcoinD::regtest();
    let backend = client(&daemon);
    let first = backend.template(None).await.expect("a template");
    let id = first.long_poll_id.clone();
    let waiting = tokio::spawn({
        let backend = client(&daemon);
        async move { backend.template(id.as_deref()).await }
    });
    let block = serialize(&solved(&first, b"one"));
    assert_eq!(backend.submit_block(&block).await, Ok(Verdict::Accepted { note: None }));
    let next = waiting.await.expect("no panic").expect("a template");
    assert_eq!(next.prev_block.to_string(), daemon.best_hash());
}

#[tokio::test]
async fn errors_tell_the_kinds_of_trouble_apart() {
    let mut daemon = BitcoinD::regtest();
    let wrong = Credentials::UserPassword { user: "me".into(), password: "wrong".into() };
    let refused = client_with(&daemon, wrong, Patience::default()).chain_info().await;
    assert!(matches!(refused, Err(BackendError::Unauthorized { .. })), "{refused:?}");

    let patience = Patience { call: Duration::from_millis(300), ..Patience::default() };
    let impatient = client_with(&daemon, Credentials::Cookie(daemon.cookie_file()), patience);
    impatient.chain_info().await.expect("an answer");
    daemon.freeze();
    let silent = impatient.chain_info().await;
    assert!(matches!(silent, Err(BackendError::Unreachable { .. })), "{silent:?}");
    daemon.thaw();

    // The client outlives its daemon: a kept connection is broken, and the cookie is a new one.
    let backend = client(&daemon);
    backend.chain_info().await.expect("an answer");
    daemon.stop();
    let gone = backend.chain_info().await;
    assert!(matches!(gone, Err(BackendError::Unreachable { .. })), "{gone:?}");
    daemon.start_again();
    backend.chain_info().await.expect("an answer again");
}
