//! Every decoder of what strangers send, as the fuzz targets and the replay of their corpora call it.

#![allow(dead_code, reason = "each fuzz target uses one of them")]

#[allow(clippy::duplicate_mod, reason = "a fuzz target has nobody to share it with")]
#[path = "jobs.rs"]
mod jobs;

use bitcoin::bip152::{BlockTransactions, BlockTransactionsRequest};
use bitcoin::consensus::encode::{deserialize, serialize};
use commonwork::bitcoin::compact::Rebuild;
use commonwork::p2p::exchange;
use commonwork::peers::wire::{
    BlockMessage, BlocksAnswer, HeadersAnswer, IdsAnswer, Question, ShareMessage, SharesAnswer, TipAnswer,
};
use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::session::{self as v1, Now};
use commonwork::stratum::sessions::Sessions;
use commonwork::stratum::visitor::{Protocol, Visitor};
use commonwork::stratum_v2::session::{Event, Session, SessionConfig};
use commonwork::work::job::{Job, JobIds};
use jobs::{JobMaker, MADE_AT, owner, target};
use serde_json::value::RawValue;
use sharechain::codec::{Decode, Encode};
use sharechain::params::Network;
use sharechain::share::ShareBlock;
use sharechain::verify::Targets;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// One decoder: any bytes may come, and it must not panic.
pub(crate) type Check = fn(&[u8]);

/// All of them, by the names of their targets and folders.
pub(crate) const DECODERS: [(&str, Check); 14] = [
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
    ("stratum_v2_frames", stratum_v2_frames),
    ("stratum_line", stratum_line),
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

/// Work on which every hash is a share.
static JOB: LazyLock<Arc<Job>> = LazyLock::new(|| {
    let targets = Targets { network: target(0), block: target(0), share: target(-32) };
    Arc::new(JobMaker { targets, branch_len: 3, ..JobMaker::default() }.job())
});

/// A whole connection of Stratum V2 as a stranger leads it, decrypted: frame after frame, whatever is in them.
fn stratum_v2_frames(bytes: &[u8]) {
    let config = SessionConfig {
        network: Network::Main,
        default_owner: Some(owner(1)),
        classes: PayoutClasses::new(&[11, 38, 145, 360], []),
        ids: Arc::new(JobIds::starting_at(0x100)),
        fee: None,
    };
    let now = Now { instant: Instant::now(), unix: MADE_AT };
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let visitor = Visitor::new(remote, Protocol::StratumV2, now.instant);
    let mut session = Session::new(Arc::new(config), Sessions::new(7, 20), visitor);
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = match rest {
            [_, _, _, a, b, c, ..] => 6 + u32::from_le_bytes([*a, *b, *c, 0]) as usize,
            _ => rest.len(),
        };
        let (frame, more) = rest.split_at(length.min(rest.len()));
        rest = more;
        match session.on_frame(&mut frame.to_vec(), now) {
            Some(Event::Close) => break,
            Some(Event::Opened(opened)) => session.start(&opened, Some(Arc::clone(&JOB)), now),
            Some(Event::Found(found)) => assert_eq!(found.candidate.judge(), found.verdict),
            None => {}
        }
        let mut out = Vec::new();
        session.take_output(&mut out, now);
        assert!(out.len() < 4_096, "{} bytes of answers to one message", out.len());
    }
}

/// A miner's lines, in a session that has a job. Whatever is said back is JSON, and not much of it.
fn stratum_line(bytes: &[u8]) {
    static CONFIG: LazyLock<Arc<v1::SessionConfig>> = LazyLock::new(|| {
        let ids = Arc::new(JobIds::starting_at(1_000));
        let classes = PayoutClasses::new(&[11, 38, 145, 360], []);
        let config = v1::SessionConfig::new(Network::Main, classes, ids);
        Arc::new(v1::SessionConfig { default_owner: Some(owner(1)), ..config })
    });
    let now = Now { instant: Instant::now(), unix: MADE_AT };
    let places = Sessions::new(0, 1);
    let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let place = places.admit(Visitor::new(remote, Protocol::Stratum, now.instant)).expect("room");
    let mut session = v1::Session::new(Arc::clone(&CONFIG), place, now);
    let mut out = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').take(64) {
        let event = session.on_line(line, now);
        if matches!(event, Some(v1::Event::Ready { .. })) {
            session.on_job(Arc::clone(&JOB));
        }
        out.clear();
        session.take_output(&mut out, now);
        assert!(out.len() < 4_000 + 2 * line.len(), "{} bytes", out.len());
        for said in out.split(|byte| *byte == b'\n').filter(|said| !said.is_empty()) {
            // An id is said back as it came, and JSON has numbers that no float has room for.
            assert!(serde_json::from_slice::<&RawValue>(said).is_ok());
        }
        if matches!(event, Some(v1::Event::Close(_))) {
            return;
        }
    }
}
