//! The service over real daemons: they die, freeze and come back, and neither templates nor blocks are lost.

use std::{sync::Arc, time::Duration};

use bitcoin::{Block, BlockHash, Txid, block::Header, consensus::serialize};
use commonwork::bitcoin::{
    Backend, ChainInfo, FoundHeader, MempoolEntry, Reply, Template, Verdict,
    client::{BitcoinClient, Timings, Upstream},
    rpc::BitcoindRpc,
    submit::{BlockOutcome, FoundBlock},
};
use hyper::body::Bytes;
use sharechain::units::BitcoinHeight;
use tokio::{sync::broadcast, time::timeout};
use tokio_util::sync::CancellationToken;

use super::rpc::client;
use crate::support::{
    bitcoind::{BitcoinD, Chain, Options},
    block::solved,
};

/// Ends a test that would wait for ever; long enough that no speed is tested.
const PATIENCE: Duration = Duration::from_secs(60);

/// Refreshes never come in a test, so that whatever happens, happens because of an event.
const TIMINGS: Timings = Timings {
    refresh: Duration::from_secs(3_600),
    retry_first: Duration::from_millis(50),
    retry_most: Duration::from_millis(200),
    submit_retry_first: Duration::from_secs(600),
    submit_retry_most: Duration::from_secs(600),
    submit_for: Duration::from_secs(3_600),
    farewell: Duration::from_secs(10),
    silence: Duration::from_secs(60),
};

fn start(upstreams: Vec<Upstream>) -> (BitcoinClient, CancellationToken) {
    let cancel = CancellationToken::new();
    (BitcoinClient::start(upstreams, "regtest", TIMINGS, cancel.clone()), cancel)
}

fn upstream(daemon: &BitcoinD) -> Upstream {
    Upstream { backend: Arc::new(client(daemon)), zmq: daemon.zmq_url() }
}

async fn active(client: &BitcoinClient, index: Option<usize>) {
    let mut health = client.health();
    let reached = timeout(PATIENCE, health.wait_for(|health| health.active == index)).await;
    let health = client.health().borrow().clone();
    reached
        .unwrap_or_else(|_| panic!("waiting for {index:?} to be active: {health:?}"))
        .expect("the service runs");
}

/// The newest template once it is for this height.
async fn template_for(client: &BitcoinClient, height: u32) -> Arc<Template> {
    let mut templates = client.templates();
    let is_it = |t: &Option<Arc<Template>>| t.as_ref().is_some_and(|t| t.height == BitcoinHeight(height));
    let found = timeout(PATIENCE, templates.wait_for(is_it)).await;
    let found = found.unwrap_or_else(|_| panic!("waiting for a template for height {height}"));
    found.expect("the service runs").clone().expect("just seen")
}

async fn outcome(outcomes: &mut broadcast::Receiver<BlockOutcome>) -> BlockOutcome {
    timeout(PATIENCE, outcomes.recv()).await.expect("an outcome in time").expect("the service runs")
}

fn found(block: &Block, height: u32) -> FoundBlock {
    FoundBlock { hash: block.block_hash(), height: BitcoinHeight(height), bytes: serialize(block), own: true }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_daemon_takes_over_and_the_first_is_used_again() {
    let (mut one, two) = (BitcoinD::regtest(), BitcoinD::regtest());
    two.connect_to(&one);
    let address = two.create_wallet("test");
    let (client, cancel) = start(vec![upstream(&one), upstream(&two)]);
    active(&client, Some(0)).await;
    template_for(&client, 1).await;

    one.kill();
    active(&client, Some(1)).await;
    two.mine_to(&address, 2);
    let template = template_for(&client, 3).await;
    assert_eq!(template.prev_block.to_string(), two.best_hash());
    let mut outcomes = client.outcomes();
    let block = solved(&template, b"while one is away");
    client.submitter().submit(found(&block, 3));
    assert!(outcome(&mut outcomes).await.outcome.is_accepted());
    template_for(&client, 4).await;

    // The block came too early for it, without its parents; it is brought again once the other daemon gave it those.
    one.start_again();
    one.connect_to(&two);
    active(&client, Some(0)).await;
    let last = outcome(&mut outcomes).await;
    assert_eq!((last.hash, last.outcome.is_accepted()), (block.block_hash(), true), "{last:?}");
    assert_eq!(one.best_hash(), block.block_hash().to_string());
    cancel.cancel();
    client.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn blocks_found_while_the_only_daemon_is_away_arrive_in_order() {
    let mut daemon = BitcoinD::regtest();
    let (client, _cancel) = start(vec![upstream(&daemon)]);
    let first = template_for(&client, 1).await;
    daemon.stop();
    active(&client, None).await;
    let mut outcomes = client.outcomes();
    // Three blocks, each on the one before.
    let mut template = first.as_ref().clone();
    let mut blocks = Vec::new();
    for height in 1..=3 {
        let block = solved(&template, b"away");
        client.submitter().submit(found(&block, height));
        template.prev_block = block.block_hash();
        template.height = BitcoinHeight(height + 1);
        template.current_time = block.header.time + 1;
        blocks.push(block);
    }
    daemon.start_again();
    for block in &blocks {
        let outcome = outcome(&mut outcomes).await;
        assert_eq!((outcome.hash, outcome.outcome.is_accepted()), (block.block_hash(), true), "{outcome:?}");
    }
    assert_eq!(daemon.height(), 3);
    template_for(&client, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_polling_tells_of_blocks_and_leaves_the_daemon_its_threads() {
    let daemon = BitcoinD::start(
        Chain::Regtest,
        // The last one counts: two threads, so that two polls that nobody waits for any more would end all answers.
        Options { arguments: vec!["-rpcthreads=2".into()], ..Options::default() },
    );
    let address = daemon.create_wallet("test");
    let (client, _cancel) = start(vec![upstream(&daemon)]);
    template_for(&client, 1).await;
    for height in 1..=10 {
        daemon.mine_to(&address, 1);
        template_for(&client, height + 1).await;
    }
}

/// A daemon that cannot be long-polled.
struct NoLongPoll(BitcoindRpc);

impl Backend for NoLongPoll {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn template<'a>(&'a self, long_poll_id: Option<&'a str>) -> Reply<'a, Template> {
        assert_eq!(long_poll_id, None);
        Box::pin(async { Ok(Template { long_poll_id: None, ..self.0.template(None).await? }) })
    }

    fn submit_block<'a>(&'a self, block: &'a [u8]) -> Reply<'a, Verdict> {
        self.0.submit_block(block)
    }

    fn header(&self, hash: BlockHash) -> Reply<'_, Option<FoundHeader>> {
        self.0.header(hash)
    }

    fn headers(&self, first: BitcoinHeight, count: u32) -> Reply<'_, Vec<Header>> {
        self.0.headers(first, count)
    }

    fn submit_header<'a>(&'a self, header: &'a Header) -> Reply<'a, ()> {
        self.0.submit_header(header)
    }

    fn mempool(&self) -> Reply<'_, Vec<MempoolEntry>> {
        self.0.mempool()
    }

    fn transactions<'a>(&'a self, ids: &'a [Txid]) -> Reply<'a, Vec<Option<Bytes>>> {
        self.0.transactions(ids)
    }

    fn chain_info(&self) -> Reply<'_, ChainInfo> {
        self.0.chain_info()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zmq_tells_of_blocks_before_and_after_a_restart() {
    let mut daemon = BitcoinD::start(Chain::Regtest, Options { zmq: true, ..Options::default() });
    let address = daemon.create_wallet("test");
    let upstream = Upstream { backend: Arc::new(NoLongPoll(client(&daemon))), ..upstream(&daemon) };
    let (client, _cancel) = start(vec![upstream]);
    template_for(&client, 1).await;
    // Nothing but ZMQ can tell; the first blocks may come before the subscription does.
    mine_until_heard(&daemon, &address, &client).await;
    for _ in 0..3 {
        let height = daemon.height();
        daemon.mine_to(&address, 1);
        template_for(&client, u32::try_from(height).expect("a height") + 2).await;
    }
    daemon.stop();
    daemon.start_again();
    mine_until_heard(&daemon, &address, &client).await;
}

/// Mines until one of the blocks has been told of.
async fn mine_until_heard(daemon: &BitcoinD, address: &str, client: &BitcoinClient) {
    let heard = async {
        let mut templates = client.templates();
        let before = templates.borrow_and_update().as_ref().map(|template| template.height);
        let newer = |t: &Option<Arc<Template>>| t.as_ref().map(|t| t.height) > before;
        while timeout(Duration::from_millis(300), templates.wait_for(newer)).await.is_err() {
            daemon.mine_to(address, 1);
        }
    };
    timeout(PATIENCE, heard).await.expect("a notice of one of the blocks");
    let height = u32::try_from(daemon.height()).expect("a height");
    template_for(client, height + 1).await;
}
