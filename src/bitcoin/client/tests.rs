//! The service over back ends that can be switched off, on paused time: minutes and hours pass at once, and exactly.

use std::sync::atomic::{AtomicU32, Ordering};

use bitcoin::{Block, consensus::serialize};

use super::*;
use crate::bitcoin::{
    ChainInfo, Reply, Verdict,
    embedded::{CHAIN, Embedded},
    submit::{FoundBlock, Outcome},
    test_blocks::solved,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Up,
    Down,
    /// Answers nothing, until the caller's patience ends.
    Frozen,
}

/// How long a frozen back end is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

/// The embedded chain behind a switch; several can share one chain.
struct Switch {
    name: &'static str,
    chain: Arc<Embedded>,
    mode: watch::Sender<Mode>,
    templates: AtomicU32,
    polls: AtomicU32,
}

impl Switch {
    fn new(name: &'static str, chain: &Arc<Embedded>, mode: Mode) -> Arc<Self> {
        let (templates, polls) = Default::default();
        Arc::new(Self { name, chain: Arc::clone(chain), mode: watch::Sender::new(mode), templates, polls })
    }

    fn upstream(self: &Arc<Self>) -> Upstream {
        Upstream { backend: Arc::clone(self) as Arc<dyn Backend>, zmq: None }
    }

    /// The chain's answer, unless the switch is turned before it comes.
    async fn pass<T>(&self, answer: Reply<'_, T>) -> Result<T, BackendError> {
        let mut mode = self.mode.subscribe();
        tokio::select! {
            biased;
            turned = async { mode.wait_for(|mode| *mode != Mode::Up).await.map_or(Mode::Down, |mode| *mode) } => {
                if turned == Mode::Frozen {
                    tokio::time::sleep(PATIENCE).await;
                }
                let reason = format!("{turned:?}");
                Err(BackendError::Unreachable { backend: self.name.into(), reason })
            }
            answer = answer => answer,
        }
    }
}

impl Backend for Switch {
    fn name(&self) -> &str {
        self.name
    }

    fn template<'a>(&'a self, long_poll_id: Option<&'a str>) -> Reply<'a, Template> {
        let counter = if long_poll_id.is_some() { &self.polls } else { &self.templates };
        counter.fetch_add(1, Ordering::Relaxed);
        Box::pin(self.pass(self.chain.template(long_poll_id)))
    }

    fn submit_block<'a>(&'a self, block: &'a [u8]) -> Reply<'a, Verdict> {
        Box::pin(self.pass(self.chain.submit_block(block)))
    }

    fn header(&self, hash: BlockHash) -> Reply<'_, Option<FoundHeader>> {
        Box::pin(self.pass(self.chain.header(hash)))
    }

    fn headers(&self, first: BitcoinHeight, count: u32) -> Reply<'_, Vec<Header>> {
        Box::pin(self.pass(self.chain.headers(first, count)))
    }

    fn submit_header<'a>(&'a self, header: &'a Header) -> Reply<'a, ()> {
        Box::pin(self.pass(self.chain.submit_header(header)))
    }

    fn mempool(&self) -> Reply<'_, Vec<MempoolEntry>> {
        Box::pin(self.pass(self.chain.mempool()))
    }

    fn transactions<'a>(&'a self, ids: &'a [Txid]) -> Reply<'a, Vec<Option<Bytes>>> {
        Box::pin(self.pass(self.chain.transactions(ids)))
    }

    fn chain_info(&self) -> Reply<'_, ChainInfo> {
        Box::pin(self.pass(self.chain.chain_info()))
    }
}

fn embedded() -> Arc<Embedded> {
    let genesis = sharechain::params::embedded_genesis(0x207f_ffff);
    let clock = Box::new(|| 1_700_000_100);
    Arc::new(Embedded::with_clock(genesis, clock).expect("regtest's target"))
}

fn start(switches: &[&Arc<Switch>]) -> (BitcoinClient, CancellationToken) {
    let cancel = CancellationToken::new();
    let upstreams = switches.iter().map(|switch| switch.upstream()).collect();
    (BitcoinClient::start(upstreams, CHAIN, Timings::default(), cancel.clone()), cancel)
}

async fn active(client: &BitcoinClient, index: Option<usize>) {
    client.health().wait_for(|health| health.active == index).await.expect("the service runs");
}

/// The next template of another tip than this one's.
async fn next_tip(client: &BitcoinClient, before: Option<BlockHash>) -> Arc<Template> {
    let mut templates = client.templates();
    let is_new = |t: &Option<Arc<Template>>| t.as_ref().is_some_and(|t| Some(t.prev_block) != before);
    templates.wait_for(is_new).await.expect("the service runs").clone().expect("just seen")
}

fn found(block: &Block, height: u32) -> FoundBlock {
    FoundBlock { hash: block.block_hash(), height: BitcoinHeight(height), bytes: serialize(block), own: true }
}

/// Blocks that build on each other from the chain's first one on.
async fn branch(length: u32) -> Vec<FoundBlock> {
    let chain = embedded();
    let mut blocks = Vec::new();
    for height in 1..=length {
        let block = solved(&chain.template(None).await.expect("a template"), b"branch");
        assert!(
            Outcome::Answered(chain.submit_block(&serialize(&block)).await.expect("an answer")).is_accepted()
        );
        blocks.push(found(&block, height));
    }
    blocks
}

const ACCEPTED: Outcome = Outcome::Answered(Verdict::Accepted { note: None });

#[tokio::test(start_paused = true)]
async fn the_second_takes_over_and_gives_back() {
    let chain = embedded();
    let (one, two) = (Switch::new("one", &chain, Mode::Up), Switch::new("two", &chain, Mode::Up));
    let (client, _cancel) = start(&[&one, &two]);
    active(&client, Some(0)).await;
    let start = Instant::now();
    one.mode.send_replace(Mode::Down);
    active(&client, Some(1)).await;
    // Its long poll broke, so nobody had to wait for the next refresh.
    assert!(start.elapsed() < Timings::default().refresh);
    let before = next_tip(&client, None).await;
    client.submitter().submit(found(&solved(&before, b"one"), 1));
    assert_eq!(next_tip(&client, Some(before.prev_block)).await.height, BitcoinHeight(2));
    one.mode.send_replace(Mode::Up);
    active(&client, Some(0)).await;
    assert!(client.health().borrow().backends.iter().all(|backend| backend.error.is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_frozen_back_end_is_noticed_before_miners_are_sent_away() {
    let chain = embedded();
    let (one, two) = (Switch::new("one", &chain, Mode::Up), Switch::new("two", &chain, Mode::Up));
    let (client, _cancel) = start(&[&one, &two]);
    active(&client, Some(0)).await;
    one.mode.send_replace(Mode::Frozen);
    active(&client, Some(1)).await;
    assert!(!client.health().borrow().miners_should_leave);
}

#[tokio::test(start_paused = true)]
async fn one_that_lags_behind_is_not_returned_to() {
    let (behind, ahead) = (embedded(), embedded());
    let blocks = branch(2).await;
    for block in &blocks {
        ahead.submit_block(&block.bytes).await.expect("an answer");
    }
    let (one, two) = (Switch::new("one", &behind, Mode::Up), Switch::new("two", &ahead, Mode::Up));
    let (client, _cancel) = start(&[&one, &two]);
    active(&client, Some(1)).await;
    for block in &blocks {
        behind.submit_block(&block.bytes).await.expect("an answer");
    }
    active(&client, Some(0)).await;
    assert_eq!(next_tip(&client, None).await.height, BitcoinHeight(3));
}

#[tokio::test(start_paused = true)]
async fn templates_come_every_thirty_seconds_over_one_long_poll() {
    let one = Switch::new("one", &embedded(), Mode::Up);
    let (client, _cancel) = start(&[&one]);
    let mut templates = client.templates();
    templates.changed().await.expect("the first");
    for _ in 0..5 {
        let before = Instant::now();
        templates.changed().await.expect("the next");
        assert_eq!(before.elapsed(), Duration::from_secs(30));
    }
    // A daemon holds a thread for each poll until the tip changes.
    assert_eq!(one.polls.load(Ordering::Relaxed), 1);
    assert_eq!(one.templates.load(Ordering::Relaxed), 6);
}

#[tokio::test(start_paused = true)]
async fn a_new_block_is_heard_of_at_once_by_long_polling() {
    let chain = embedded();
    let one = Switch::new("one", &chain, Mode::Up);
    let (client, _cancel) = start(&[&one]);
    let mut tip = next_tip(&client, None).await;
    let start = Instant::now();
    for _ in 0..20 {
        chain.submit_block(&serialize(&solved(&tip, b"one"))).await.expect("an answer");
        tip = next_tip(&client, Some(tip.prev_block)).await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn miners_are_sent_away_when_all_have_been_silent_for_a_minute() {
    let chain = embedded();
    let (one, two) = (Switch::new("one", &chain, Mode::Up), Switch::new("two", &chain, Mode::Down));
    let (client, _cancel) = start(&[&one, &two]);
    active(&client, Some(0)).await;
    let last = Instant::now();
    one.mode.send_replace(Mode::Down);
    active(&client, None).await;
    assert_eq!(client.health().borrow().silent_since, Some(last));
    client.health().wait_for(|health| health.miners_should_leave).await.expect("the service runs");
    assert_eq!(last.elapsed(), Duration::from_secs(60));
    two.mode.send_replace(Mode::Up);
    client.health().wait_for(|health| !health.miners_should_leave).await.expect("the service runs");
    assert_eq!(client.health().borrow().silent_since, None);
    active(&client, Some(1)).await;
}

#[tokio::test(start_paused = true)]
async fn one_on_another_chain_gives_no_templates() {
    let one = Switch::new("one", &embedded(), Mode::Up);
    let cancel = CancellationToken::new();
    let client = BitcoinClient::start(vec![one.upstream()], "main", Timings::default(), cancel);
    let failing = |health: &Health| health.backends[0].error.is_some();
    let health = client.health().wait_for(failing).await.expect("the service runs").clone();
    let Some(BackendError::WrongChain { found, expected, .. }) = &health.backends[0].error else {
        panic!("{health:?}");
    };
    assert_eq!((found.as_str(), expected.as_str()), (CHAIN, "main"));
    assert!(client.templates().borrow().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_block_goes_to_all_and_waits_for_those_that_are_away() {
    let (here, away) = (embedded(), embedded());
    let (one, two) = (Switch::new("one", &here, Mode::Up), Switch::new("two", &away, Mode::Down));
    let (client, _cancel) = start(&[&one, &two]);
    active(&client, Some(0)).await;
    let mut outcomes = client.outcomes();
    let blocks = branch(3).await;
    // As a thread that is not of the runtime does it.
    let (submitter, copies) = (client.submitter(), blocks.clone());
    std::thread::spawn(move || copies.into_iter().for_each(|block| submitter.submit(block)))
        .join()
        .expect("no panic");
    for block in &blocks {
        let outcome = outcomes.recv().await.expect("an outcome");
        assert_eq!((outcome.hash, outcome.backend.as_str(), outcome.outcome), (block.hash, "one", ACCEPTED));
    }
    tokio::time::sleep(Duration::from_secs(1_000)).await;
    assert!(outcomes.is_empty());
    two.mode.send_replace(Mode::Up);
    let back = Instant::now();
    for block in &blocks {
        let outcome = outcomes.recv().await.expect("an outcome");
        assert_eq!((outcome.hash, outcome.backend.as_str(), outcome.outcome), (block.hash, "two", ACCEPTED));
    }
    // As soon as it was noticed that it is back, not at the end of the pause.
    assert!(back.elapsed() <= Timings::default().retry_most);
    let tip = blocks.last().map(|block| block.hash);
    assert_eq!(Some(away.template(None).await.expect("a template").prev_block), tip);
}

#[tokio::test(start_paused = true)]
async fn a_child_that_comes_before_its_parent_is_tried_again() {
    let one = Switch::new("one", &embedded(), Mode::Up);
    let (client, _cancel) = start(&[&one]);
    let mut outcomes = client.outcomes();
    let mut blocks = branch(2).await;
    let child = blocks.pop().expect("two");
    client.submitter().submit(child.clone());
    tokio::time::sleep(Duration::from_secs(5)).await;
    client.submitter().submit(blocks[0].clone());
    for hash in [blocks[0].hash, child.hash] {
        let outcome = outcomes.recv().await.expect("an outcome");
        assert_eq!((outcome.hash, outcome.outcome), (hash, ACCEPTED));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_block_is_refused_once_and_a_known_one_is_fine() {
    let one = Switch::new("one", &embedded(), Mode::Up);
    let (client, _cancel) = start(&[&one]);
    let mut outcomes = client.outcomes();
    let mut bad = next_tip(&client, None).await.as_ref().clone();
    bad.coinbase_value += 1;
    client.submitter().submit(found(&solved(&bad, b"bad"), 1));
    let outcome = outcomes.recv().await.expect("an outcome").outcome;
    assert_eq!(outcome, Outcome::Answered(Verdict::Rejected { reason: "bad-cb-amount".into() }));
    let nonsense = FoundBlock { bytes: vec![1, 2, 3], ..branch(1).await.remove(0) };
    client.submitter().submit(nonsense);
    assert!(!outcomes.recv().await.expect("an outcome").outcome.is_accepted());
    let good = branch(1).await.remove(0);
    for note in [None, Some("duplicate".to_owned())] {
        client.submitter().submit(good.clone());
        let outcome = outcomes.recv().await.expect("an outcome").outcome;
        assert_eq!(outcome, Outcome::Answered(Verdict::Accepted { note }));
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert!(outcomes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn blocks_are_given_up_after_an_hour_and_beyond_a_bounded_number() {
    let one = Switch::new("one", &embedded(), Mode::Down);
    let (client, _cancel) = start(&[&one]);
    let mut outcomes = client.outcomes();
    let block = branch(1).await.remove(0);
    let begin = Instant::now();
    client.submitter().submit(block.clone());
    let outcome = outcomes.recv().await.expect("an outcome").outcome;
    assert!(matches!(outcome, Outcome::GaveUp { .. }), "{outcome:?}");
    let timings = Timings::default();
    assert!((timings.submit_for..=timings.submit_for + timings.submit_retry_most).contains(&begin.elapsed()));

    for number in 0..300 {
        client.submitter().submit(FoundBlock { height: BitcoinHeight(number), ..block.clone() });
        // Spread, as blocks are, so that the oldest is known.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for number in 0..300 - 256 {
        let outcome = outcomes.recv().await.expect("an outcome");
        assert_eq!(outcome.height, BitcoinHeight(number), "the oldest first");
        assert!(matches!(outcome.outcome, Outcome::GaveUp { .. }), "{outcome:?}");
    }
    assert!(outcomes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn more_blocks_at_once_than_the_line_holds_are_not_lost() {
    let one = Switch::new("one", &embedded(), Mode::Up);
    let (client, _cancel) = start(&[&one]);
    let mut outcomes = client.outcomes();
    let blocks = branch(150).await;
    // No task runs in between.
    blocks.iter().for_each(|block| client.submitter().submit(block.clone()));
    for _ in &blocks {
        assert_eq!(outcomes.recv().await.expect("an outcome").outcome, ACCEPTED);
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_blocks_under_way_but_not_for_ever() {
    let chain = embedded();
    let (one, two) = (Switch::new("one", &chain, Mode::Up), Switch::new("two", &chain, Mode::Frozen));
    let (client, cancel) = start(&[&one, &two]);
    active(&client, Some(0)).await;
    let mut outcomes = client.outcomes();
    client.submitter().submit(branch(1).await.remove(0));
    let begin = Instant::now();
    cancel.cancel();
    client.stopped().await;
    assert_eq!(begin.elapsed(), Timings::default().farewell);
    let mut told = Vec::new();
    while let Ok(outcome) = outcomes.try_recv() {
        told.push((outcome.backend, outcome.outcome));
    }
    let reason = "the node was stopped".to_owned();
    assert_eq!(told, [("one".to_owned(), ACCEPTED), ("two".to_owned(), Outcome::GaveUp { reason })]);
}

#[tokio::test(start_paused = true)]
async fn headers_come_from_whoever_answers() {
    let (short, long) = (embedded(), embedded());
    for block in branch(3).await {
        long.submit_block(&block.bytes).await.expect("an answer");
    }
    let tip = long.template(None).await.expect("a template").prev_block;
    let (one, two) = (Switch::new("one", &short, Mode::Up), Switch::new("two", &long, Mode::Up));
    let (client, _cancel) = start(&[&one, &two]);
    active(&client, Some(1)).await;
    let lookup = client.headers();
    let header = lookup.header(tip).await.expect("an answer").expect("the second knows it").header;
    let unknown = BlockHash::from_raw_hash(bitcoin::hashes::Hash::all_zeros());
    assert_eq!(lookup.header(unknown).await, Ok(None));
    let all = long.headers(BitcoinHeight(1), 9).await.expect("headers");
    assert_eq!(lookup.headers(BitcoinHeight(1), 9).await.as_ref(), Ok(&all), "from the one that is ahead");
    for header in &all {
        lookup.submit_header(header).await.expect("both take it");
    }
    assert_eq!(all.last(), Some(&header));
    assert!(short.header(tip).await.expect("an answer").is_some());

    one.mode.send_replace(Mode::Down);
    active(&client, Some(1)).await;
    assert_eq!(lookup.headers(BitcoinHeight(1), 9).await, Ok(all));
    two.mode.send_replace(Mode::Down);
    active(&client, None).await;
    assert!(matches!(lookup.header(tip).await, Err(BackendError::Unreachable { .. })));
    assert!(lookup.submit_header(&header).await.is_err());
}
