//! Starting with a full window on the disk: 20,160 blocks that list 32 shares each, from opening the store to whom
//! the next Bitcoin block pays. Aim: 8 s and 400 MB at most.

#[path = "../tests/support/stored.rs"]
mod stored;

use commonwork::store::{OpenStore, SledStore};
use divan::{Bencher, counter::ItemsCount};
use sharechain::bitcoin_headers::HeaderTree;
use sharechain::chain::ShareChain;
use sharechain::params::ChainParams;
use sharechain::store::ShareStore;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::{env, fs};
use stored::Blocks;
use tempfile::TempDir;

const FOLDER: &str = "COMMONWORK_BENCH_STORE";
const COUNT: u32 = 20_160;
const BLOCKS: Blocks = Blocks { branch: 0, listed: 32, owners: 10_000, kept: COUNT * 2 };

/// A store that was written in one run and not opened since: sled reads all that was written then.
static WRITTEN: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = open(folder.path());
    (1..=COUNT).for_each(|height| store.commit(&BLOCKS.change(height)).expect("room on the disk"));
    folder
});

fn main() {
    if let Some(folder) = env::var_os(FOLDER) {
        start(Path::new(&folder));
        // Only Linux says so without being asked through a library.
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        println!("{}", peak.unwrap_or("unknown").trim());
        return;
    }
    divan::main();
    if env::args().any(|argument| argument == "--bench") {
        println!("peak memory of a process that only starts: {}", peak_memory());
    }
}

fn open(path: &Path) -> SledStore {
    let open = OpenStore { path, params: &ChainParams::regtest(), move_corrupt_aside: false };
    open.open().expect("a whole store").store
}

/// What a node does at its start: the chain in memory, and the reward window at its tip.
fn start(path: &Path) -> usize {
    let params = ChainParams::regtest();
    let saved = open(path).load().expect("a whole store");
    let genesis = bitcoin::constants::genesis_block(bitcoin::Network::Regtest).header;
    let headers = HeaderTree::new(&params, &[genesis]).expect("the first block");
    let mut chain = ShareChain::load(params, headers, saved.blocks, saved.tip);
    let tip = chain.tip();
    let owners = chain.ranking(&tip).expect("the tip is known").len();
    assert!(owners > 1_000, "{owners} owners in the window");
    owners
}

/// The most memory that starting takes, in a process of its own that says so itself.
fn peak_memory() -> String {
    let bench = env::current_exe().expect("this bench");
    let output = Command::new(bench).env(FOLDER, WRITTEN.path()).output().expect("this bench starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let (path, target) = entry.map(|e| (e.path(), to.join(e.file_name()))).expect("an entry");
        if path.is_dir() {
            fs::create_dir_all(&target).expect("room on the disk");
            copy_folder(&path, &target);
        } else {
            fs::copy(path, target).expect("room on the disk");
        }
    }
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn start_after_a_long_run(bencher: Bencher<'_, '_>) {
    let copy = || {
        let folder = tempfile::tempdir().expect("a folder");
        copy_folder(WRITTEN.path(), folder.path());
        folder
    };
    bencher
        .counter(ItemsCount::new(COUNT * (BLOCKS.listed + 1)))
        .with_inputs(copy)
        .bench_local_values(|folder| (start(folder.path()), folder));
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn start_again(bencher: Bencher<'_, '_>) {
    bencher.counter(ItemsCount::new(COUNT * (BLOCKS.listed + 1))).bench_local(|| start(WRITTEN.path()));
}
