//! Kill -9 in the middle of writes: the store opens, and holds every block that was said to be saved.

use super::*;
use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const FOLDER: &str = "COMMONWORK_TEST_STORE";
const SAID: &str = "saved ";
/// Few enough that pruning takes part, and large enough that sled puts some of its pages into files of their own.
const KEPT: Blocks = Blocks { kept: 60, listed: 32, ..BLOCKS };

/// What the crash test kills. By itself it writes some blocks and reads them back.
#[test]
fn writer() {
    let Some(path) = env::var_os(FOLDER) else {
        let folder = tempfile::tempdir().expect("a folder");
        write(&mut open(folder.path()), &KEPT, 1..=100);
        assert_eq!(expect_blocks(folder.path(), &KEPT).expect("whole"), 100);
        return;
    };
    let mut store = open(Path::new(&path));
    let highest = store.load().expect("whole").blocks.last().map_or(0, |block| block.height.0);
    for height in highest + 1.. {
        store.commit(&KEPT.change(height)).expect("room on the disk");
        println!("{SAID}{height}");
    }
}

/// Starts the writer, lets it say `blocks` times that it saved one and a moment more, and kills it. Gives the last
/// height that it said.
fn run_and_kill(path: &Path, blocks: u32, moment: u32) -> u32 {
    let mut child = Command::new(env::current_exe().expect("this test binary"))
        .args(["--exact", "store::crash::writer", "--nocapture", "--test-threads=1"])
        .env(FOLDER, path)
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test binary starts");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    // The harness writes in front of the first line.
    let said = |line: std::io::Result<String>| {
        let line = line.expect("text");
        line.split_once(SAID).map(|(_, height)| height.parse::<u32>().expect("a height"))
    };
    let mut heights = output.lines().filter_map(said);
    let mut last = 0;
    for _ in 0..blocks {
        last = heights.next().expect("the writer goes on until it is killed");
    }
    (0..moment).for_each(|_| std::thread::yield_now());
    child.kill().expect("killed");
    child.wait().expect("gone");
    heights.last().unwrap_or(last)
}

fn crash(kills: u32) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut random = getrandom::u64().expect("the system's randomness");
    let seed = random;
    for kill in 1..=kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (blocks, moment) = ((random >> 60) as u32 * 4 + 1, (random >> 50) as u32 % 512);
        let said = run_and_kill(folder.path(), blocks, moment);
        let highest = expect_blocks(folder.path(), &KEPT);
        let highest = highest.unwrap_or_else(|error| panic!("kill {kill}, seed {seed}: {error}"));
        // One more may have been saved without having been said.
        assert!(
            (said..=said + 1).contains(&highest),
            "kill {kill}, seed {seed}: {said} said, {highest} there"
        );
    }
}

#[test]
fn a_killed_writer_loses_nothing_that_it_said_was_saved() {
    crash(5);
}

#[test]
#[ignore = "takes minutes; the short form is a_killed_writer_loses_nothing_that_it_said_was_saved"]
fn a_writer_killed_a_hundred_times_loses_nothing() {
    crash(100);
}
