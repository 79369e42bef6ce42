//! `getwork`, from its texts to a header's hash and back, with byte order code of the tests' own.

use super::{Answer, Client, Setup, easy, found, publish_with_fee, rig, soon, unix_now};
use crate::support::jobs::{JobMaker, owner, target};
use bitcoin::hashes::{Hash, HashEngine, sha256, sha256d};
use bitcoin::hex::{DisplayHex, FromHex};
use commonwork::stratum::visitor::Protocol;
use commonwork::work::fee::Fee;
use primitive_types::U256;
use serde_json::{Value, json};
use sharechain::target::Target;
use sharechain::verify::Targets;

/// A piece of work as a miner reads it.
#[derive(Clone, Debug)]
pub(super) struct Work {
    /// Twenty words of header, as numbers; what is hashed are these in little-endian order.
    words: Vec<u32>,
    pub(super) target: U256,
}

/// Places of words in a header.
pub(super) const VERSION: usize = 0;
pub(super) const PREV_BLOCK: usize = 1;
pub(super) const ROOT: usize = 9;
pub(super) const TIME: usize = 17;
pub(super) const BITS: usize = 18;
const NONCE: usize = 19;

impl Work {
    pub(super) fn read(result: &Value) -> Self {
        let text = |name: &str| result[name].as_str().expect("text");
        let data = Vec::<u8>::from_hex(text("data")).expect("hexadecimal digits");
        assert_eq!(data.len(), 128);
        let words: Vec<u32> =
            data.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("4 bytes"))).collect();
        // A miner that works by the book takes the padding from here: the bit 1, zeros, 640 bits.
        let padding: Vec<u32> = words[20..].iter().map(|word| word.swap_bytes()).collect();
        assert_eq!(padding, [0x8000_0000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 640]);
        let work = Self {
            words: words[..20].to_vec(),
            target: U256::from_little_endian(&Vec::<u8>::from_hex(text("target")).expect("digits")),
        };
        work.check_midstate(text("midstate"));
        let mut hash1 = [0_u32; 16];
        (hash1[8], hash1[15]) = (0x8000_0000, 256);
        let hash1: String = hash1.iter().map(|word| format!("{:08x}", word.swap_bytes())).collect();
        assert_eq!(text("hash1"), hash1);
        work
    }

    /// Eight words, each least byte first.
    fn check_midstate(&self, midstate: &str) {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.header()[..64]);
        let state = engine.midstate().to_byte_array();
        let turned: Vec<u8> = state.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        assert_eq!(midstate, turned.to_lower_hex_string());
    }

    pub(super) fn word(&self, place: usize) -> u32 {
        self.words[place]
    }

    pub(super) fn with(mut self, place: usize, word: u32) -> Self {
        self.words[place] = word;
        self
    }

    pub(super) fn header(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        sha256d::Hash::hash(&self.header()).to_byte_array()
    }

    /// With the first nonce, from the present one on, whose hash is like this.
    pub(super) fn mine(mut self, is_it: impl Fn(U256) -> bool) -> Self {
        loop {
            let hash = U256::from_little_endian(&self.hash());
            if is_it(hash) {
                return self;
            }
            self.words[NONCE] = self.words[NONCE].checked_add(1).expect("easy enough");
        }
    }

    /// What is handed in: what came, with other words.
    pub(super) fn data(&self) -> String {
        let padding = std::iter::once(0x80_u32).chain([0; 10]).chain([0x8002_0000]);
        self.words.iter().copied().chain(padding).map(|word| format!("{word:08x}")).collect()
    }
}

pub(super) async fn get(client: &Client) -> Work {
    Work::read(client.call("getwork", json!([])).await.result())
}

pub(super) async fn submit(client: &Client, work: &Work) -> Answer {
    client.call("getwork", json!([work.data()])).await
}

fn reason(answer: &Answer) -> &str {
    assert_eq!(answer.result(), &Value::Bool(false), "{answer:?}");
    let reason = answer.headers.get("x-reject-reason").expect("a reason");
    reason.split(':').next().expect("a word")
}

#[tokio::test]
async fn work_is_solved_and_each_answer_is_another() {
    let mut running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let answer = client.call("getwork", json!([])).await;
    assert_eq!((answer.status, &answer.body["id"]), (200, &json!("an id")));
    assert_eq!(answer.headers["x-long-polling"], "/lp");
    assert_eq!(answer.headers["x-roll-ntime"], "expire=120");
    assert_eq!(answer.headers["content-type"], "application/json");
    let first = Work::read(answer.result());
    let second = get(&client).await;
    assert_ne!(first.words[ROOT..TIME], second.words[ROOT..TIME], "no two miners do the same work");
    assert_eq!(first.words[..ROOT], second.words[..ROOT]);
    for work in [first, second] {
        let target = work.target;
        let solved = work.mine(|hash| hash <= target);
        let answer = submit(&client, &solved).await;
        assert_eq!(answer.result(), &Value::Bool(true), "{answer:?}");
        let share = soon(running.shares.recv()).await.expect("a share");
        assert_eq!(share.id.0, solved.hash());
        assert_eq!(bitcoin::consensus::serialize(&share.header), solved.header());
    }
    let counted = running.miners().pop().expect("one worker");
    assert_eq!((counted.tally.accepted, counted.tally.refused.total()), (2, 0));
    assert_eq!((counted.visitor.protocol, counted.visitor.port), (Protocol::Legacy, running.address.port()));
    assert_eq!(counted.who.user, "rig");
    assert!(counted.hash_rate > 0.0 && counted.last_share.is_some());
    assert_eq!((running.sessions.count(), counted.who.owner.is_some()), (1, true));
    soon(running.stop()).await;
}

#[tokio::test]
async fn what_is_wrong_with_work_is_said() {
    let running = Setup::default().start();
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: target(-20) };
    running.publish(JobMaker { targets, ..easy(1) });
    let client = Client::new(running.address, "rig", "d=0.0001");
    let work = get(&client).await;
    let target = work.target;
    assert_eq!(target, U256::from(0xffff) << 208 << 20, "never harder than a share");
    let good = |hash: U256| hash <= target;
    let solved = work.clone().mine(good);
    assert_eq!(submit(&client, &solved).await.result(), &Value::Bool(true));
    let later = work.word(TIME) + 100;
    let rolled = work.clone().with(TIME, later).mine(good);
    assert_eq!(submit(&client, &rolled).await.result(), &Value::Bool(true), "the time may be rolled");
    let bits = work.word(VERSION) | 0x1fff_e000;
    let rolled = work.clone().with(VERSION, bits).mine(good);
    assert_eq!(submit(&client, &rolled).await.result(), &Value::Bool(true), "and version bits");
    // Old miners send no padding.
    let again = client.call("getwork", json!([&solved.data()[..160]])).await;
    assert_eq!(reason(&again), "duplicate");
    for (place, word, expected) in [
        (TIME, work.word(TIME) - 4_000, "time-too-old"),
        (TIME, unix_now() + 7_300, "time-too-new"),
        (VERSION, work.word(VERSION) ^ 1, "bad-version"),
        (PREV_BLOCK, 7, "bad-prevblk"),
        (BITS, 0x207f_ffff, "bad-diffbits"),
        (ROOT, 7, "unknown-work"),
    ] {
        let changed = work.clone().with(place, word).mine(good);
        assert_eq!(reason(&submit(&client, &changed).await), expected);
    }
    let poor = work.clone().mine(|hash| !good(hash));
    assert_eq!(reason(&submit(&client, &poor).await), "high-hash");
    running.publish(JobMaker { height: 900_002, prev_block: 0xb2, targets, ..easy(2) });
    let late = work.with(TIME, later + 1).mine(good);
    assert_eq!(reason(&submit(&client, &late).await), "stale-prevblk");
    // Another miner's work is not known to this one.
    let other = Client::new(running.address, "other", "x");
    assert_eq!(reason(&submit(&other, &solved).await), "unknown-work");
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_bitcoin_block_is_passed_on_whatever_the_answer_is() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let client = rig(&running);
    let work = get(&client).await;
    let block = |hash: U256| hash <= U256::from(0xffff) << 208 << 20;
    let solved = work.clone().mine(block);
    assert_eq!(submit(&client, &solved).await.result(), &Value::Bool(true));
    assert_eq!(reason(&submit(&client, &solved).await), "duplicate");
    let odd = work.clone().with(VERSION, work.word(VERSION) ^ 1).mine(block);
    assert_eq!(reason(&submit(&client, &odd).await), "bad-version");
    running.publish(JobMaker { height: 900_002, prev_block: 0xb2, ..easy(2) });
    let late = work.with(VERSION, 0x3000_0000).mine(block);
    assert_eq!(reason(&submit(&client, &late).await), "stale-prevblk");
    let found: Vec<[u8; 32]> = found(&running).iter().map(|candidate| candidate.id.0).collect();
    assert_eq!(found, [solved.hash(), solved.hash(), odd.hash(), late.hash()]);
    soon(running.stop()).await;
}

#[tokio::test]
async fn difficulty_is_as_the_password_says_or_follows_the_miner() {
    let running = Setup::default().start();
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    running.publish(JobMaker { targets: hard, ..easy(1) });
    let one = U256::from(0xffff) << 208;
    for (password, target) in [("x", one), ("d=1024", one >> 10), ("th=200", one >> 17), ("md=16", one >> 4)]
    {
        let client = Client::new(running.address, "rig", password);
        assert_eq!(get(&client).await.target, target, "{password}");
    }
    let mut client = Client::new(running.address, "rig", "x");
    client.agent = "cpuminer/2.5.1".into();
    assert_eq!(get(&client).await.target, one << 10);
    // Whoever finds shares by the dozen in a moment gets harder work, unless the password fixed it.
    for (password, rises) in [("th=0.0000000001", true), ("d=0.00000006", false)] {
        let client = Client::new(running.address, "fast", password);
        let before = get(&client).await;
        let mut solved = before.clone();
        for time in 0..12 {
            solved = before.clone().with(TIME, before.word(TIME) + time).mine(|hash| hash <= before.target);
            assert_eq!(submit(&client, &solved).await.result(), &Value::Bool(true));
        }
        assert_eq!(submit(&client, &solved).await.result(), &Value::Bool(false));
        assert_eq!(get(&client).await.target < before.target, rises, "{password}");
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn the_operators_fee_is_taken_of_old_miners_too_and_they_are_told() {
    let fee = Fee::new(5_000, owner(9), None);
    let mut running = Setup { fee: Some(fee), ..Setup::default() }.start();
    publish_with_fee(&running, easy(1));
    let client = Client::new(running.address, "rig", "d=0.00000001");
    let mut for_fee = 0;
    let mut answer = client.call("getwork", json!([])).await;
    for id in 2..=21 {
        let text = "This node takes a fee: 50 % of your work is mined for bcrt1";
        assert!(answer.headers["x-fee"].starts_with(text), "{answer:?}");
        let mut owners = Vec::new();
        for _ in 0..6 {
            let work = Work::read(answer.result());
            let target = work.target;
            let solved = work.mine(|hash| hash <= target);
            assert_eq!(submit(&client, &solved).await.result(), &Value::Bool(true));
            owners.push(*soon(running.shares.recv()).await.expect("a share").job.owner());
            answer = client.call("getwork", json!([])).await;
        }
        assert!(owners.iter().all(|one| *one == owners[0]), "all work of a job is for the same owner");
        for_fee += u32::from(owners[0] == owner(9));
        // In whichever form the job was served, the next one is waited for.
        let asking = client.clone();
        let poll = tokio::spawn(async move { asking.request("GET", "/lp", b"").await.expect("an answer") });
        get(&client).await;
        assert!(!poll.is_finished());
        publish_with_fee(&running, easy(id));
        answer = soon(poll).await.expect("no panic");
    }
    assert!((9..=11).contains(&for_fee), "{for_fee} of 20");
    soon(running.stop()).await;
}
