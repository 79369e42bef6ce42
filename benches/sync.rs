//! What a first sync costs the node that syncs, stage by stage, in CPU time per share: 32 shares a block, two full
//! windows behind them, ten thousand owners, a store on the disk.
//!
//! Run with `cargo bench --bench sync`. Decoding and binding are done by a pool of threads; judging, writing and
//! applying by the one writer.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers of a bench")]

#[path = "../sharechain/benches/fixture/mod.rs"]
mod fixture;
#[path = "../sharechain/tests/support/mod.rs"]
mod support;

use commonwork::chain::Keeper;
use commonwork::store::{OpenStore, SledStore};
use fixture::{LISTED, Node, history, params};
use sharechain::chain::{GraftClaim, Submission};
use sharechain::codec::{Decode, Encode};
use sharechain::params::ChainParams;
use sharechain::pool::Source;
use sharechain::share::ShareBlock;
use sharechain::store::{MemoryStore, ShareStore};
use sharechain::units::{Height, UnixTime};
use sharechain::verify::Bound;
use tempfile::TempDir;

const BLOCKS: u32 = 600;
const SHARES: u32 = BLOCKS * 32;

/// What a peer sends: blocks in their canonical bytes, and the Bitcoin headers of their time.
struct Mined {
    headers: Vec<bitcoin::block::Header>,
    blocks: Vec<Vec<u8>>,
    now: UnixTime,
}

fn main() {
    // `cargo test` runs benches, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let params = params();
    let blocks = history(&params, u64::from(params.window_blocks) * 2);
    let node = || Node::load(&params, blocks.clone(), UnixTime(1_700_000_000));
    let mined = mine(node());
    println!("{SHARES} shares in {BLOCKS} blocks of {} bytes; microseconds per share", mined.blocks[0].len());
    let (sled, memory) = (|| Some(store(&params)), || None);
    for (name, store) in
        [("on the disk", &sled as &dyn Fn() -> Option<(SledStore, TempDir)>), ("in memory", &memory)]
    {
        run(&format!("newer window, all checks, {name}"), node(), &mined, None, store());
        let claim = claim(&params, &mined);
        let empty = Node::load(&params, Vec::new(), UnixTime(1_700_000_000));
        run(&format!("older window, all but coinbases, {name}"), empty, &mined, Some(claim), store());
    }
}

/// The blocks as the lowest of a chain that goes on for two windows.
fn claim(params: &ChainParams, mined: &Mined) -> GraftClaim {
    let first = ShareBlock::from_bytes(&mined.blocks[0]).expect("as made");
    let at = first.share.commitment.height;
    GraftClaim { anchor: first.share.id(params.chain_id()), at, tip: Height(at.0 + params.kept_blocks()) }
}

fn mine(mut node: Node) -> Mined {
    let mut headers = Vec::new();
    let mut blocks = Vec::new();
    for n in 0..BLOCKS {
        if n % 20 == 0 {
            headers.push(node.bitcoin_block());
        }
        // One class pays as many as most do.
        node.shares(LISTED, if n % 4 == 0 { 145 } else { 38 });
        let block = node.block();
        let step = node.chain.judge(&block, node.now).expect("valid");
        blocks.push(step.block.as_ref().expect("a block").block.to_bytes());
        node.chain.apply(step);
    }
    Mined { headers, blocks, now: node.now }
}

fn store(params: &ChainParams) -> (SledStore, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let open = OpenStore { path: folder.path(), params, move_corrupt_aside: false };
    (open.open().expect("a new store").store, folder)
}

/// Nanoseconds that this thread has run; only Linux says so without being asked through a library.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|first| first.parse().ok()).expect("nanoseconds")
}

fn run(
    name: &str,
    node: Node,
    mined: &Mined,
    claim: Option<GraftClaim>,
    store: Option<(SledStore, TempDir)>,
) {
    match store {
        Some((store, _folder)) => sync(name, Keeper::new(node.chain, store), mined, claim),
        None => sync(name, Keeper::new(node.chain, MemoryStore::new()), mined, claim),
    }
}

fn sync<S: ShareStore>(name: &str, mut keeper: Keeper<S>, mined: &Mined, claim: Option<GraftClaim>) {
    keeper.add_headers(&mined.headers, mined.now, |_| {}).expect("room");
    if let Some(claim) = claim {
        keeper.begin_graft(claim).expect("room").expect("long enough");
    }
    let mut stages = [0; 5];
    let mut clock = on_cpu();
    let mut lap = |stage: &mut u64| {
        *stage += on_cpu() - clock;
        clock = on_cpu();
    };
    let (params, id) = (keeper.chain().params().clone(), keeper.chain().id());
    for bytes in &mined.blocks {
        let block = ShareBlock::from_bytes(bytes).expect("canonical");
        lap(&mut stages[0]);
        let bind = |share| Bound::new(&params, id, share).expect("binds");
        let listed = block.listed.into_iter().map(bind).collect();
        let submission = Submission::whole_block(bind(block.share), listed, Source(1)).wanted();
        lap(&mut stages[1]);
        let judged = keeper.judge(submission, mined.now);
        assert!(judged.verdict.as_ref().expect("valid").block.is_some());
        lap(&mut stages[2]);
        keeper.finish(judged).expect("room");
        lap(&mut stages[3]);
    }
    keeper.tick(mined.now, |_| {}).expect("room");
    lap(&mut stages[4]);
    let micros = |stage: u64| stage as f64 / 1e3 / f64::from(SHARES);
    let [decode, bind, judge, finish, flush] = stages.map(micros);
    println!(
        "{name:48} decode {decode:5.2}  bind {bind:5.2}  judge {judge:5.2}  write and apply {finish:5.2}  last flush {flush:5.2}"
    );
}
