//! `chain` and `payouts` on a store that a node left behind, and on a node that runs.

use super::{Ended, Program};
use crate::support::chain_file::chain_toml;
use crate::support::ports::FREE_PORTS;
use crate::support::rig::{Rig, Want, Work};
use commonwork::api::export::Exporter;
use commonwork::api::{self, Opened};
use commonwork::chain::open::{load, save_ancestors};
use commonwork::store::{OpenStore, SledStore};
use serde_json::{Value, json};
use sharechain::chain::{ShareChain, Submission};
use sharechain::params::ChainParams;
use sharechain::pool::Source;
use sharechain::share::ShareId;
use sharechain::store::ShareStore;
use sharechain::units::Height;
use sharechain::verify::Bound;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A program whose home holds the store and the chain file of a mined chain.
struct Mined {
    program: Program,
    rig: Rig,
    blocks: Vec<ShareId>,
    chain_file: String,
}

/// Twelve blocks on two Bitcoin blocks, each listing shares of three owners.
fn mined() -> Mined {
    let mut rig = Rig::new();
    let mut blocks = Vec::new();
    for n in 0..12 {
        rig.share(n % 3 + 1);
        rig.share((n + 1) % 3 + 1);
        blocks.push(rig.block(n % 3 + 1));
        if n == 6 {
            rig.bitcoin_block();
        }
    }
    let program = Program::new();
    let chain_file = program.file("chain.toml", &chain_toml(rig.chain.params()));
    let mined = Mined { program, rig, blocks, chain_file };
    mined.write_store();
    mined
}

impl Mined {
    fn data_dir(&self) -> PathBuf {
        self.program.home().join("data/embedded")
    }

    fn open_store(&self) -> SledStore {
        let path = self.data_dir().join("sharechain");
        let open = OpenStore { path: &path, params: self.rig.chain.params(), move_corrupt_aside: false };
        open.open().expect("a store").store
    }

    /// Puts the rig's chain into a store on the disk, through the same checks and change sets as a node would.
    fn write_store(&self) {
        let (params, id) = (self.rig.chain.params(), self.rig.chain.id());
        let mut store = self.open_store();
        let ancestors: Vec<_> = self.rig.chain.headers().ancestors().copied().collect();
        save_ancestors(&mut store, params, &ancestors).expect("the first block");
        let mut chain: ShareChain = load(&store, params.clone()).expect("an empty chain");
        for (_, header) in self.rig.chain.headers().iter() {
            chain.add_header(*header).expect("a valid header");
        }
        for (height, block) in (1..).zip(&self.blocks) {
            let body = self.rig.store.block(Height(height), block).expect("memory").expect("a body");
            let bind = |share| Bound::new(params, id, share).expect("bound");
            let bodies: Vec<_> = body.listed.into_iter().map(bind).collect();
            let submission = Submission::whole_block(bind(body.share), bodies, Source(0));
            let step = chain.judge(&submission, self.rig.now).expect("valid");
            store.commit(step.block.as_ref().expect("a block")).expect("room on the disk");
            chain.apply(step);
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [more, &["--chain", &self.chain_file]].concat()
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let data = self.program.home().join("data");
        let data = data.to_str().expect("a plain path");
        self.program.run(&[&self.arguments(arguments)[..], &["--data-dir", data]].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, 0, "{arguments:?}: {}", ended.errors);
        serde_json::from_str(&ended.output).expect("JSON")
    }
}

#[test]
fn a_store_without_a_node_is_read_itself() {
    let mined = mined();
    let last = mined.blocks[11].to_string();
    let tip = mined.run(&["chain", "tip"]);
    assert_eq!((tip.code, tip.errors.as_str()), (0, ""));
    assert!(tip.output.contains(&format!("tip      {last}")) && tip.output.contains("from     the store "));
    assert_eq!(mined.json(&["chain", "tip"])["tip"]["id"], json!(last));

    let blocks = mined.run(&["chain", "blocks", "--count", "3"]).output;
    assert_eq!(blocks.lines().count(), 4, "{blocks}");
    let listed = mined.json(&["chain", "blocks", "--from", "2", "--count", "2"]);
    assert_eq!(listed["blocks"][0]["id"], json!(mined.blocks[1].to_string()));

    let shown = mined.run(&["chain", "show", &last]).output;
    assert!(
        shown.contains("share block at height 12, on the active branch") && shown.contains("lists        2"),
        "{shown}"
    );
    let listed = mined.json(&["chain", "show", &last])["listed"][0].clone();
    let share = mined.run(&["chain", "show", listed.as_str().expect("an id")]).output;
    assert!(share.contains(&format!("listed by block {last} at height 12")), "{share}");
}

#[test]
fn payouts_of_a_share_and_of_the_next_block_are_told() {
    let mined = mined();
    let last = mined.blocks[11].to_string();
    let payouts = mined.json(&["payouts", "--share", &last]);
    let outputs = payouts["outputs"].as_array().expect("outputs");
    let sum: u64 = outputs.iter().map(|output| output["satoshis"].as_u64().expect("satoshis")).sum();
    assert_eq!(sum, 5_000_000_000);
    assert!(outputs.len() > 4, "payouts to several, the bonus and two commitments: {payouts:#}");
    let human = mined.run(&["payouts", "--share", &last]).output;
    assert!(human.contains("finder's bonus") && human.contains("share commitment"), "{human}");
    let next = mined.run(&["payouts", "--class", "38"]).output;
    assert!(
        next.contains("part of the work") && next.lines().filter(|line| line.contains(" %")).count() == 3,
        "{next}"
    );
    let ended = mined.run(&["payouts", "--class", "12"]);
    assert!(ended.code == 1 && ended.errors.contains("its classes are 11, 38, 145, 360"), "{}", ended.errors);
}

#[test]
fn an_export_is_whole_and_verifies_and_a_changed_one_does_not() {
    let mined = mined();
    let export = mined.program.home().join("chain.jsonl");
    let path = export.to_str().expect("a plain path");
    let ended = mined.run(&["chain", "export", "--output", path]);
    assert_eq!((ended.code, ended.output.as_str(), ended.errors.as_str()), (0, "", ""));
    let text = std::fs::read_to_string(&export).expect("written");
    assert_eq!(mined.run(&["chain", "export"]).output, text, "the same on standard output");

    let report = mined.json(&["chain", "verify", "--export", path]);
    assert_eq!(
        (&report["valid"], &report["blocks"], &report["shares"]),
        (&json!(true), &json!(12), &json!(36))
    );
    assert_eq!(report["tip"], json!(mined.blocks[11].to_string()));
    let of_store = mined.run(&["chain", "verify"]);
    assert!(
        of_store.output.contains("12 share blocks with 36 shares")
            && of_store.output.contains("shares per second")
    );
    assert!(of_store.code == 0 && of_store.output.ends_with("The chain is valid.\n"), "{}", of_store.output);

    let lines: Vec<&str> = text.lines().collect();
    let first_block = lines.iter().position(|line| line.starts_with("{\"block\"")).expect("a block");
    let without = |index: usize| [&lines[..index], &lines[index + 1..]].concat().join("\n") + "\n";
    let replaced = |from: &str, to: &str| text.replacen(from, to, 1);
    for (changed, wanted) in [
        (without(first_block + 3), "share block"),
        (without(1), "Bitcoin headers up to the chain's first Bitcoin block"),
        (without(lines.len() - 1), "ends before its last line"),
        (lines[..first_block + 2].join("\n"), "ends before its last line"),
        (replaced("\"spacing\":30", "\"spacing\":31"), "they were changed"),
        (replaced("\"signals\":0", "\"signals\":1"), "its fields hash to"),
        (replaced("\"format\":1", "\"format\":2"), "format 2"),
        (replaced("\"blocks\":12", "\"blocks\":13"), "tells of 13 share blocks, but 12 came"),
        (format!("{text}{text}"), "line 17: nothing may follow the end"),
        ("garbage\n".into(), "line 1: it is no line of an export"),
        (String::new(), "ends before its last line"),
    ] {
        let file = mined.program.file("changed.jsonl", &changed);
        let ended = mined.run(&["chain", "verify", "--export", &file]);
        assert!(ended.output.contains(wanted), "{wanted}: {}{}", ended.output, ended.errors);
        assert_eq!(ended.code, 1, "{wanted}: {}", ended.output);
    }
}

#[tokio::test]
async fn a_chain_whose_beginning_was_pruned_is_checked_as_far_as_it_can_be() {
    // Of 370 blocks the newest 356 and one are kept: two windows of 50 and a margin of 256.
    let mut rig = Rig::with(ChainParams { window_blocks: 50, ..crate::support::rig::params() });
    for n in 0..370_u32 {
        rig.block((n % 3) as u8 + 1);
        if n % 40 == 39 {
            rig.bitcoin_block();
        }
    }
    let mut exporter = Exporter::start(Arc::new(Opened::new(rig.chain, rig.store))).await.expect("a chain");
    let mut text = String::new();
    while let Some(lines) = exporter.next_text().await.expect("lines") {
        text += &lines;
    }
    let program = Program::new();
    let verify = |text: &str| {
        let file = program.file("pruned.jsonl", text);
        let ended = program.run(&["chain", "verify", "--json", "--export", &file]);
        serde_json::from_str::<Value>(&ended.output).unwrap_or_else(|_| panic!("{}", ended.errors))
    };
    let report = verify(&text);
    assert_eq!((&report["valid"], &report["blocks"]), (&json!(true), &json!(357)), "{report:#}");
    assert_eq!(report["blocks_by_themselves"], json!(306), "the older window and the margin");
    // Both kinds of check notice a gap.
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.starts_with("{\"block\"")).expect("a block");
    for gap in [first + 1, first + 350] {
        let report = verify(&([&lines[..gap], &lines[gap + 1..]].concat().join("\n") + "\n"));
        assert!(report["fault"].as_str().is_some_and(|fault| fault.contains(": share block ")), "{report:#}");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let mined = mined();
    let ended = mined.run(&["chain", "show", &"11".repeat(32)]);
    assert!(ended.code == 1 && ended.errors.contains("is not known here"), "{}", ended.errors);
    mined.program.refuses(&["chain", "show", "11"], "a share id is 64 hexadecimal digits");
    mined.program.refuses(&["chain", "tip", "--network", "regtest"], "start a node with `commonwork run`");
    let other =
        mined.program.file("other.toml", &chain_toml(mined.rig.chain.params()).replace("'test'", "'other'"));
    let data = mined.program.home().join("data");
    let arguments = ["chain", "tip", "--chain", &other, "--data-dir", data.to_str().expect("a plain path")];
    mined.program.refuses(&arguments, "is of chain \"test\" on embedded");
    assert!(!mined.program.home().join(".local").exists(), "looking makes nothing");
}

#[test]
fn check_reads_the_store_too() {
    let mined = mined();
    let check = |chain_file: &str| {
        let data = mined.program.home().join("data");
        let data = data.to_str().expect("a plain path");
        mined.program.run(&[&["check", "--chain", chain_file, "--data-dir", data], &FREE_PORTS[..]].concat())
    };
    let right = check(&mined.chain_file);
    assert!(
        right.code == 0 && right.output.contains("of this chain, with 12 share blocks"),
        "{}",
        right.output
    );
    let other =
        mined.program.file("other.toml", &chain_toml(mined.rig.chain.params()).replace("'test'", "'other'"));
    let wrong = check(&other);
    assert!(wrong.code == 1 && wrong.output.contains("is of chain \"test\" on embedded"), "{}", wrong.output);
    let held = mined.open_store();
    assert!(check(&mined.chain_file).output.contains("is in use"));
    drop(held);
    // Nothing of it is what was written.
    let db = mined.data_dir().join("sharechain/db");
    let mut bytes = std::fs::read(&db).expect("the file of rows");
    bytes.iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&db, bytes).expect("written");
    let corrupt = check(&mined.chain_file);
    assert!(corrupt.code == 1 && corrupt.output.contains("-> check the disk, then"), "{}", corrupt.output);
}

#[test]
fn a_store_in_use_by_a_node_that_does_not_answer_is_told() {
    let mined = mined();
    let _held = mined.open_store();
    let ended = mined.run(&["chain", "tip"]);
    assert!(ended.code == 1 && ended.errors.contains("is in use"), "{}", ended.errors);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mined = mined();
    let data = mined.program.home().join("data");
    let arguments = mined.arguments(&["chain", "export", "--data-dir", data.to_str().expect("a plain path")]);
    let mut command = mined.program.command(&arguments);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    drop(child.stdout.take());
    let ended = child.wait_with_output().expect("ended");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(ended.stderr.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_is_asked_and_its_store_is_left_alone() {
    let mut mined = mined();
    let unlisted = mined.rig.mine(Work::of(2), Want::Share);
    let unlisted = mined.rig.take(&unlisted).expect("valid").share.expect("new").to_string();
    let rig = std::mem::replace(&mut mined.rig, Rig::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let stop = CancellationToken::new();
    let served = tokio::spawn(api::serve(
        listener,
        Some(Arc::new(Opened::new(rig.chain, rig.store))),
        api::Ports::default(),
        stop.clone(),
    ));
    let announced = api::announce(&mined.data_dir(), address).expect("written");
    // As a running node does.
    let _held = mined.open_store();

    let mined = tokio::task::spawn_blocking(move || {
        let tip = mined.run(&["chain", "tip"]);
        assert!(
            tip.output.contains(&format!("from     the node at {address}")),
            "{}{}",
            tip.output,
            tip.errors
        );
        let shown = mined.run(&["chain", "show", &unlisted]);
        assert!(
            shown.output.contains("not listed by any block yet"),
            "only the node knows it: {}",
            shown.errors
        );
        assert_eq!(mined.json(&["chain", "verify"])["shares"], json!(36));
        let export = mined.run(&["chain", "export"]).output;
        assert!(export.lines().last().is_some_and(|line| line.starts_with("{\"end\"")));
        assert_eq!(mined.json(&["payouts", "--share", &unlisted])["share"], json!(unlisted));
        let check = mined.run(&[
            "check",
            "--stratum",
            "127.0.0.1:0",
            "--stratum-v2",
            "127.0.0.1:0",
            "--api",
            &address.to_string(),
        ]);
        assert!(
            check.code == 0 && check.output.contains("in use, by the node that runs"),
            "{}",
            check.output
        );
        mined
    });
    let mined = mined.await.expect("no assertion failed");
    stop.cancel();
    served.await.expect("it ends");
    // A node that is killed leaves its address behind: then the store is asked for, which is still held here.
    let ended = tokio::task::spawn_blocking(move || mined.run(&["chain", "tip"])).await.expect("ended");
    assert!(ended.errors.contains("is in use"), "{}", ended.errors);
    drop(announced);
}

#[test]
fn lines_of_an_export_come_in_their_order() {
    let mined = mined();
    let export = mined.run(&["chain", "export"]).output;
    let kinds: Vec<String> = BufReader::new(export.as_bytes())
        .lines()
        .map(|line| {
            let form: Value = serde_json::from_str(&line.expect("text")).expect("JSON");
            form.as_object().and_then(|object| object.keys().next().cloned()).expect("one key")
        })
        .collect();
    let mut wanted = vec!["chain".to_owned()];
    wanted.extend(std::iter::repeat_n("header".to_owned(), 2));
    wanted.extend(std::iter::repeat_n("block".to_owned(), 12));
    wanted.push("end".to_owned());
    assert_eq!(kinds, wanted);
}
