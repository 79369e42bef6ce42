//! How long a node keeps a share before it hands it on: from its arrival at the node's logic to the verdict.
//!
//! Not a microbenchmark: the logic's own task, the pool that binds, the writer thread and a store on the disk are those
//! of the program; only libp2p is left out. Shares come one by one with pauses, so that every thread sleeps before each,
//! as in a node. Aim: 1 ms at the median.
//!
//! `cargo bench --bench relay`, with a number for more or fewer blocks of 31 shares.

use commonwork::chain::open;
use commonwork::peers::driver::{self, Footing, Parts};
use commonwork::peers::link::{Command, Event, MessageToken, Peer, Topic, Verdict};
use commonwork::peers::wire::{BlockMessage, Question, ShareMessage, TipAnswer};
use commonwork::store::OpenStore;
use sharechain::chain::ChangeSet;
use sharechain::codec::{Decode, Encode};
use sharechain::share::Share;
use std::env;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

#[path = "../tests/support/long_chain.rs"]
mod long_chain;

use long_chain::{Maker, make_chain_and, params};

/// Blocks before the first that is measured.
const BEFORE: u32 = 200;
const BLOCKS: u32 = 30;
/// More than all threads need to fall asleep.
const PAUSE: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(10);

fn main() {
    // `cargo test` runs benches once.
    let is_bench = env::args().any(|argument| argument == "--bench");
    let asked = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let blocks = asked.unwrap_or(if is_bench { BLOCKS } else { 1 });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(measure(blocks));
}

async fn measure(blocks: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let params = params();
    let mut maker = make_chain_and(&params, folder.path(), BEFORE, blocks);
    let path = folder.path().join("embedded/sharechain");
    let open = OpenStore { path: &path, params: &params, move_corrupt_aside: false };
    let store = open.open().expect("as made").store;
    let chain = open::load(&store, params.clone()).expect("as made");
    let (chain, writer) = open::spawn(chain, store);

    let (events, event_receiver) = mpsc::channel(64);
    let (command_sender, commands) = mpsc::channel(64);
    // Nobody is at the other ends of these.
    let (solutions, _solutions) = mpsc::channel(1);
    let (_faults, faults) = mpsc::channel(1);
    let (headers, _headers) = mpsc::channel(1);
    let parts = Parts {
        params: Arc::new(params),
        chain: chain.clone(),
        events: event_receiver,
        commands: command_sender,
        solutions,
        faults,
        headers,
        footing: watch::Sender::new(Footing::START),
        expects_peers: false,
    };
    let stop = CancellationToken::new();
    let logic = tokio::spawn(driver::run(parts, stop.clone()));
    let mut node = Node { events, commands, messages: 0 };
    node.greet(&mut maker).await;

    let (mut of_shares, mut of_blocks) = (Vec::new(), Vec::new());
    for _ in 0..blocks {
        let ChangeSet { block, summary, .. } = maker.block();
        for share in &block.listed {
            let message = ShareMessage { round: 0, share: Share::clone(share) };
            of_shares.push(node.verdict(Topic::Share, message.to_bytes()).await);
        }
        let own = usize::from(summary.credits.own.is_some());
        let includes = summary.credited[own..].to_vec();
        let message = BlockMessage { round: 0, share: Share::clone(&block.share), includes };
        of_blocks.push(node.verdict(Topic::Block, message.to_bytes()).await);
    }
    stop.cancel();
    logic.await.expect("no panic");
    chain.stop().await;
    writer.join().expect("no panic").expect("room on the disk");
    tell("shares", of_shares);
    tell("share blocks", of_blocks);
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let of_hundred = |n: usize| times[(times.len() - 1) * n / 100];
    let [median, most, worst] = [50, 99, 100].map(of_hundred);
    println!("{} {what}: median {median:.0?}, 99 of 100 within {most:.0?}, worst {worst:.0?}", times.len());
}

/// The network's side of a node's logic.
struct Node {
    events: mpsc::Sender<Event>,
    commands: mpsc::Receiver<Command>,
    messages: u64,
}

impl Node {
    /// A peer comes that stands where the node stands.
    async fn greet(&mut self, maker: &mut Maker) {
        let peer = Peer(1);
        self.tell(Event::Connected { peer, ip: None, outbound: false }).await;
        let Command::Ask { request, bytes, .. } = self.command().await else { panic!("no question") };
        assert_eq!(Question::from_bytes(&bytes), Ok(Question::Tip));
        let answer = Ok(TipAnswer::from(maker.chain.tip_claim()).to_bytes());
        self.tell(Event::Answered { peer, request, answer }).await;
    }

    /// Time from a message's arrival to its verdict.
    async fn verdict(&mut self, topic: Topic, bytes: Vec<u8>) -> Duration {
        tokio::time::sleep(PAUSE).await;
        self.messages += 1;
        let named = MessageToken(self.messages);
        let arrived = Instant::now();
        self.tell(Event::Gossip { peer: Peer(1), topic, message: named, bytes }).await;
        loop {
            match self.command().await {
                Command::Verdict { message, verdict } if message == named => {
                    let took = arrived.elapsed();
                    assert_eq!(verdict, Verdict::Accept);
                    return took;
                }
                _ => {}
            }
        }
    }

    async fn tell(&self, event: Event) {
        self.events.send(event).await.expect("the logic runs");
    }

    async fn command(&mut self) -> Command {
        let command = tokio::time::timeout(PATIENCE, self.commands.recv()).await;
        command.expect("in time").expect("the logic runs")
    }
}
