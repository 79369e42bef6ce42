//! The corpora of the fuzz targets, replayed and mutated for a while: no input may panic, and what decodes has one form.
//!
//! `fuzz/run.sh` is the long version, with coverage to guide it.

use crate::support::decoders::{DECODERS, check};
use crate::support::jobs::MADE_AT;
use crate::support::rig::{Rig, Want, Work};
use codec_sv2::{EncodableFrame, MessageFrame};
use common_messages_sv2::{Protocol, SetupConnectionOwned};
use commonwork::peers::serve;
use commonwork::peers::wire::{BlockMessage, Question, ShareMessage};
use mining_sv2::{
    CloseChannelOwned, OpenExtendedMiningChannelOwned, OpenStandardMiningChannelOwned,
    SubmitSharesExtendedOwned, SubmitSharesStandardOwned, UpdateChannelOwned,
};
use parsers_sv2::{CommonMessagesOwned, MiningOwned};
use sharechain::codec::Encode;
use sharechain::share::ShareId;
use sharechain::store::ShareStore;
use sharechain::units::Height;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Mutations of one corpus in this test, and the time after which it is enough on a slow machine.
const MUTATIONS: u32 = 200_000;
const ENOUGH: Duration = Duration::from_secs(5);

/// Set to write the corpora instead of comparing them.
const WRITE: &str = "WRITE_CORPORA";

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name)
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(corpus(name)).expect("a corpus for every target");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("an input")).collect()
}

/// SplitMix64, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).expect("below a usize")
    }
}

/// Changes some bytes, cuts, repeats, or puts in what lengths are made of.
fn mutate(input: &[u8], random: &mut Random) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfc, 0xfd, 0xfe, 0xff];
    let mut bytes = input.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(6) {
            0 if !bytes.is_empty() => bytes[at] = random.next().to_le_bytes()[0],
            1 if !bytes.is_empty() => bytes[at] = TELLING[random.below(8)],
            2 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
            3 => bytes.truncate(at),
            4 => bytes.insert(at.min(bytes.len()), TELLING[random.below(8)]),
            _ => {
                let piece = bytes[at.min(bytes.len())..].iter().take(40).copied().collect::<Vec<_>>();
                bytes.extend(piece);
            }
        }
    }
    bytes
}

#[test]
fn no_input_panics_and_what_decodes_has_one_form() {
    for (seed, (name, _)) in (1..).zip(DECODERS) {
        let inputs = inputs(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        inputs.iter().for_each(|input| check(name, input));
        let (begun, mut random) = (Instant::now(), Random(seed));
        for n in 0..MUTATIONS {
            check(name, &mutate(&inputs[random.below(inputs.len())], &mut random));
            if n.is_multiple_of(1_000) && begun.elapsed() > ENOUGH {
                break;
            }
        }
    }
}

#[test]
fn corpora_hold_what_nodes_say() {
    for (n, (name, bytes)) in said().into_iter().enumerate() {
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(corpus(name)).expect("a folder");
            fs::write(corpus(name).join(format!("said-{n:02}")), &bytes).expect("written");
        }
        assert!(inputs(name).contains(&bytes), "a format has changed: write {name} anew with {WRITE}=1");
    }
}

/// Real messages, the same each time.
fn said() -> Vec<(&'static str, Vec<u8>)> {
    let mut rig = Rig::new();
    rig.bitcoin_block();
    rig.share(1);
    rig.share(2);
    let block = rig.block(3);
    let share = rig.mine(Work::of(1), Want::Share).share;
    let (mined, _) = rig.extend(2);
    let bodies = rig.store.bodies();
    let body = bodies.get(Height(1), &block).expect("memory").expect("kept");
    let root = ShareId(rig.chain.id().0);
    let tip_hash = rig.bitcoin_tip;
    let mut said = vec![
        ("share_message", ShareMessage { round: 0, share: share.clone() }.to_bytes()),
        ("block_message", BlockMessage { round: 1, share: mined.share, includes: vec![root; 3] }.to_bytes()),
        ("share_block", body),
        ("blocks_answer", serve::from_bodies(&bodies, Height(1), &[block]).expect("memory")),
    ];
    let listed: Vec<ShareId> = rig.chain.shares().iter().map(|share| share.id()).take(2).collect();
    let questions = [
        ("tip_answer", Question::Tip),
        ("ids_answer", Question::Ids { locator: vec![root] }),
        ("shares_answer", Question::Shares { ids: listed }),
        ("headers_answer", Question::BitcoinHeaders { hash: tip_hash }),
    ];
    for (name, question) in questions {
        said.push(("question", question.to_bytes()));
        said.push((name, serve::from_chain(&mut rig.chain, &question).expect("an answer")));
    }
    said.push(("question", Question::Blocks { from: Height(1), ids: vec![block; 2] }.to_bytes()));
    said.extend(miners_said().map(|frames| ("stratum_v2_frames", frames)));
    said
}

/// What miners of Stratum V2 say, decrypted: one connection of each kind.
fn miners_said() -> [Vec<u8>; 2] {
    let text = |text: &str| text.as_bytes().try_into().expect("short");
    let set_up = |flags| {
        framed(CommonMessagesOwned::SetupConnection(SetupConnectionOwned {
            protocol: Protocol::MiningProtocol,
            min_version: 2,
            max_version: 2,
            flags,
            endpoint_host: text("127.0.0.1"),
            endpoint_port: 34254,
            vendor: text("maker"),
            hardware_version: text("1"),
            firmware: text("2"),
            device_id: text(""),
        }))
    };
    let standard = [
        set_up(1),
        framed(MiningOwned::OpenStandardMiningChannel(OpenStandardMiningChannelOwned {
            request_id: 1,
            user_identity: text("rig"),
            nominal_hash_rate: 1e3,
            max_target: [0xff; 32].into(),
        })),
        framed(MiningOwned::SubmitSharesStandard(SubmitSharesStandardOwned {
            channel_id: 1,
            sequence_number: 0,
            job_id: 1,
            nonce: 5,
            ntime: MADE_AT,
            version: 0x2000_0000,
        })),
        framed(MiningOwned::CloseChannel(CloseChannelOwned { channel_id: 1, reason_code: text("bye") })),
    ];
    let extended = [
        set_up(0),
        framed(MiningOwned::OpenExtendedMiningChannel(OpenExtendedMiningChannelOwned {
            request_id: 1,
            user_identity: text("rig.two"),
            nominal_hash_rate: 0.0,
            max_target: [0xff; 32].into(),
            min_extranonce_size: 8,
        })),
        framed(MiningOwned::UpdateChannel(UpdateChannelOwned {
            channel_id: 1,
            nominal_hash_rate: 1e9,
            maximum_target: [0xff; 32].into(),
        })),
        framed(MiningOwned::SubmitSharesExtended(SubmitSharesExtendedOwned {
            channel_id: 1,
            sequence_number: 0,
            job_id: 1,
            nonce: 5,
            ntime: MADE_AT,
            version: 0x2000_0000,
            extranonce: [7; 8].as_slice().try_into().expect("short"),
        })),
    ];
    [standard.concat(), extended.concat()]
}

fn framed<T>(message: T) -> Vec<u8>
where
    MessageFrame<T>: TryFrom<T> + EncodableFrame,
{
    let Ok(frame) = MessageFrame::try_from(message) else { panic!("a frame") };
    let mut bytes = vec![0; EncodableFrame::encoded_length(&frame)];
    frame.encode_into(&mut bytes).expect("room");
    bytes
}
