//! Every decoder of what strangers send, as the fuzz targets and the replay of their corpora call it.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

use bitcoin::bip152::{BlockTransactions, BlockTransactionsRequest};
use bitcoin::consensus::encode::{deserialize, serialize};
use commonwork::bitcoin::compact::Rebuild;
use commonwork::p2p::exchange;
use commonwork::peers::wire::{
    BlockMessage, BlocksAnswer, HeadersAnswer, IdsAnswer, Question, ShareMessage, SharesAnswer, TipAnswer,
};
use sharechain::codec::{Decode, Encode};
use sharechain::share::ShareBlock;

/// One decoder: any bytes may come, and it must not panic.
pub(crate) type Check = fn(&[u8]);

/// All of them, by the names of their targets and folders.
pub(crate) const DECODERS: [(&str, Check); 12] = [
    ("share_message", canonical::<ShareMessage>),
    ("block_message", canonical::<BlockMessage>),
    ("question", canonical::<Question>),
    ("tip_answer", canonical::<TipAnswer>),
    ("ids_answer", canonical::<IdsAnswer>),
    ("blocks_answer", canonical::<BlocksAnswer>),
    ("shares_answer", canonical::<SharesAnswer>),
    ("headers_answer", canonical::<HeadersAnswer>),
    ("share_block", canonical::<ShareBlock>),
    ("peer_exchange", peer_exchange),
    ("compact_block", compact_block),
    ("block_transactions", block_transactions),
];

/// The decoder of this name.
pub(crate) fn check(name: &str, bytes: &[u8]) {
    let found = DECODERS.iter().find(|(known, _)| *known == name);
    found.expect("a decoder of this name").1(bytes);
}

/// What decodes has one form only: the bytes that it came from.
fn canonical<T: Decode + Encode>(bytes: &[u8]) {
    if let Ok(value) = T::from_bytes(bytes) {
        assert_eq!(value.to_bytes(), bytes, "two encodings of one value");
    }
}

fn peer_exchange(bytes: &[u8]) {
    if let Some(told) = exchange::decode(bytes) {
        assert!(told.len() <= bytes.len());
    }
}

/// A found block in short, and whatever can be asked of it.
fn compact_block(bytes: &[u8]) {
    let Ok(mut block) = Rebuild::read(bytes) else { return };
    let missing = block.missing();
    assert!(block.guessed().len() >= missing.len());
    assert!(!missing.contains(&0), "the coinbase came with it");
    block.fill(&[0, 1, u64::MAX], Vec::new());
    let _ = block.finish();
}

fn block_transactions(bytes: &[u8]) {
    if let Ok(request) = deserialize::<BlockTransactionsRequest>(bytes) {
        let _ = serialize(&request);
    }
    let _ = deserialize::<BlockTransactions>(bytes);
}
