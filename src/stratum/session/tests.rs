//! What a session says to scripts of lines: transcripts, orders, error codes, and what it passes on.

mod devices;
mod fee;

use super::*;
use crate::stratum::record::MinerSnapshot;
use crate::stratum::served::MAX_AGE;
use crate::stratum::sessions::Sessions;
use crate::stratum::visitor::{Protocol, Visitor};
use crate::test_jobs::{JobMaker, MADE_AT, owner, target};
use crate::work::job::{JobId, Solution};
use proptest::prelude::*;
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::net::{Ipv4Addr, SocketAddr};

const ADDRESS: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";
const EXTRANONCE1: [u8; 4] = [0, 0, 0xab, 0xcd];
/// Nothing but the easiest share difficulty is met by chance.
const EASY: Targets = Targets { network: Target::MIN, block: Target::MIN, share: Target::MAX };

/// A session with a clock that a script moves.
struct Script {
    session: Session,
    now: Now,
    last: Option<Event>,
}

impl Script {
    fn new(default_owner: Option<Owner>) -> Self {
        let ids = Arc::new(JobIds::starting_at(0x7000_0000));
        let classes = PayoutClasses::new(&[11, 38, 145, 360], [("small".to_owned(), 4)]);
        let config = SessionConfig {
            default_owner,
            stratum_v2: Some(34_254),
            ..SessionConfig::new(Network::Main, classes, ids)
        };
        Self::of(Arc::new(config), Instant::now())
    }

    fn of(config: Arc<SessionConfig>, instant: Instant) -> Self {
        Self::among(&Sessions::new(u32::from_be_bytes(EXTRANONCE1), 1), config, instant)
    }

    fn among(places: &Sessions, config: Arc<SessionConfig>, instant: Instant) -> Self {
        let now = Now { instant, unix: MADE_AT };
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let place = places.admit(Visitor::new(remote, Protocol::Stratum, instant)).expect("room");
        let session = Session::new(config, place, now);
        Self { session, now, last: None }
    }

    /// Subscribes by this name and authorizes with this password.
    fn log_in(&mut self, agent: &str, password: &str) -> Vec<String> {
        let subscribe = format!(r#"{{"id":1,"method":"mining.subscribe","params":["{agent}"]}}"#);
        let authorize = format!(r#"{{"id":2,"method":"mining.authorize","params":["rig","{password}"]}}"#);
        [self.say(&subscribe), self.say(&authorize)].concat()
    }

    fn snapshot(&self) -> MinerSnapshot {
        self.session.place.record.snapshot(self.now.instant)
    }

    fn class(&self) -> u16 {
        match self.last {
            Some(Event::Ready { class, .. }) => class,
            ref other => panic!("not ready: {other:?}"),
        }
    }

    /// Past the handshake, with this job announced.
    fn mining(job: JobMaker) -> Self {
        let mut script = Self::new(Some(owner(1)));
        script.say(r#"{"id":1,"method":"mining.subscribe","params":["test"]}"#);
        script.say(r#"{"id":2,"method":"mining.authorize","params":["rig","d=0"]}"#);
        script.job(job);
        script
    }

    fn say(&mut self, line: &str) -> Vec<String> {
        self.last = self.session.on_line(line.as_bytes(), self.now);
        self.output()
    }

    fn job(&mut self, job: JobMaker) -> Vec<String> {
        self.session.on_job(Arc::new(job.job()));
        self.output()
    }

    fn output(&mut self) -> Vec<String> {
        let mut out = Vec::new();
        self.session.take_output(&mut out, self.now);
        String::from_utf8(out).expect("text").lines().map(str::to_owned).collect()
    }

    fn wait(&mut self, seconds: u32) -> Vec<String> {
        for _ in 0..seconds.div_ceil(2) {
            self.now.instant += Duration::from_secs(2);
            self.now.unix += 2;
            if let Some(why) = self.session.on_tick(self.now) {
                self.last = Some(Event::Close(why));
            }
        }
        self.output()
    }

    /// A nonce whose hash is, or is not, at most `target`.
    fn nonce(&self, id: u32, target: Target, met: bool) -> u32 {
        let served = self.session.jobs.get(JobId(id)).expect("the job");
        let meets = |nonce: &u32| {
            let extranonce = *b"\x00\x00\xab\xcd\x01\x02\x03\x04\x05\x06\x07\x08";
            let version = served.job.header().version.to_consensus();
            let solution = Solution { extranonce, version, time: MADE_AT, nonce: *nonce };
            target.is_met_by(&served.job.assemble(&solution).id.0) == met
        };
        (0..10_000_000).find(meets).expect("a nonce")
    }

    fn submit(&mut self, id: u32, nonce: u32) -> Vec<String> {
        self.say(&submit("rig", id, nonce))
    }

    fn found(&self) -> &Found {
        match &self.last {
            Some(Event::Found(found)) => found,
            other => panic!("nothing found: {other:?}"),
        }
    }
}

fn submit(user: &str, id: u32, nonce: u32) -> String {
    format!(
        r#"{{"id":9,"method":"mining.submit","params":["{user}","{id:08x}","0102030405060708","{MADE_AT:08x}","{nonce:08x}"]}}"#
    )
}

fn easy(id: u32) -> JobMaker {
    JobMaker { id, targets: EASY, ..JobMaker::default() }
}

/// The code of the only line's error, or 0 for a yes.
fn code(lines: &[String]) -> u64 {
    let [line] = lines else { panic!("one line, not {lines:?}") };
    let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
    if value["error"].is_null() {
        assert_eq!(value["result"], true, "{line}");
        return 0;
    }
    assert!(value["error"][1].as_str().is_some_and(|text| text.len() > 5), "{line}");
    value["error"][0].as_u64().expect("a number")
}

fn methods(lines: &[String]) -> Vec<String> {
    let method = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        value["method"].as_str().unwrap_or("answer").to_owned()
    };
    lines.iter().map(method).collect()
}

fn param(line: &str, index: usize) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(line).expect("JSON")["params"][index].clone()
}

#[test]
fn the_handshake_of_an_asic_word_for_word() {
    let mut script = Script::new(None);
    let configure = r#"{"id": 1, "method": "mining.configure", "params": [["version-rolling"], {"version-rolling.mask": "ffffffff"}]}"#;
    assert_eq!(
        script.say(configure),
        [r#"{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}"#]
    );
    let subscribe = r#"{"id": 2, "method": "mining.subscribe", "params": ["bitaxe/BM1370/v2.6.0"]}"#;
    let subscribed = r#"{"id":2,"result":[[["mining.set_difficulty","0000abcd"],["mining.notify","0000abcd"]],"0000abcd",8],"error":null}"#;
    assert_eq!(script.say(subscribe), [subscribed]);
    assert_eq!(script.say(subscribe), [subscribed], "again the same");
    let authorize =
        format!(r#"{{"id": "auth", "method": "mining.authorize", "params": ["{ADDRESS}.axe", "x"]}}"#);
    assert_eq!(script.say(&authorize), [r#"{"id":"auth","result":true,"error":null}"#]);
    assert!(matches!(script.last, Some(Event::Ready { class: 11, .. })));
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    let lines = script.job(JobMaker { targets: hard, ..JobMaker::default() });
    assert_eq!(methods(&lines), ["mining.set_difficulty", "mining.notify"]);
    assert_eq!(lines[0], r#"{"id":null,"method":"mining.set_difficulty","params":[512]}"#);
    assert_eq!(param(&lines[1], 8), true, "the first job is clean");
    let snapshot = script.snapshot();
    assert_eq!(snapshot.who.user_agent, "bitaxe/BM1370/v2.6.0");
    assert_eq!(snapshot.who.user, format!("{ADDRESS}.axe"));
    assert_eq!(snapshot.who.class, Some(11));
    assert_eq!(snapshot.difficulty, Some(Difficulty::power_of_two(9)));
}

#[test]
fn a_pipelined_handshake_in_any_order_is_answered_before_anything_is_announced() {
    let lines = [
        format!(r#"{{"id":1,"method":"mining.authorize","params":["{ADDRESS}"]}}"#),
        r#"{"id":2,"method":"mining.suggest_difficulty","params":[0.00015]}"#.to_owned(),
        r#"{"id":3,"method":"mining.configure","params":[["version-rolling"]]}"#.to_owned(),
        r#"{"id":4,"method":"mining.subscribe","params":[]}"#.to_owned(),
    ];
    for first in 0..lines.len() {
        let mut script = Script::new(None);
        script.session.on_job(Arc::new(JobMaker::default().job()));
        for i in 0..lines.len() {
            script.session.on_line(lines[(first + i) % lines.len()].as_bytes(), script.now);
        }
        let out = script.output();
        assert_eq!(
            methods(&out),
            ["answer", "answer", "answer", "answer", "mining.set_difficulty", "mining.notify"]
        );
        assert_eq!(param(&out[4], 0), 0.000_122_070_312_5);
        assert!(script.output().is_empty(), "once");
    }
}

#[test]
fn difficulty_is_said_only_when_it_is_another_and_right_before_the_job() {
    let mut script = Script::mining(JobMaker::default());
    assert_eq!(methods(&script.job(JobMaker { id: 2, ..JobMaker::default() })), ["mining.notify"]);
    let lines = script.say(r#"{"id":5,"method":"mining.suggest_difficulty","params":["1000"]}"#);
    assert_eq!(methods(&lines), ["answer", "mining.set_difficulty", "mining.notify"]);
    assert_eq!(param(&lines[1], 0), 512);
    let repeated = script.say(r#"{"id":6,"method":"mining.suggest_difficulty","params":["1000"]}"#);
    assert_eq!(methods(&repeated), ["answer"]);
    assert_eq!(code(&repeated), 0);
    for bad in ["0", "-1", "\"x\"", "null", "1e999"] {
        let line = format!(r#"{{"id":6,"method":"mining.suggest_difficulty","params":[{bad}]}}"#);
        assert_eq!(code(&script.say(&line)), 20, "{bad}");
    }
}

#[test]
fn difficulty_is_never_above_any_of_the_three_targets() {
    let hard = Target::MIN;
    for (network, block, share, shown) in [
        (hard, hard, target(3), 8.0),
        (target(2), hard, target(3), 4.0),
        (hard, target(1), target(3), 2.0),
        (hard, hard, target(-4), 0.0625),
    ] {
        let mut script = Script::new(Some(owner(1)));
        script.say(r#"{"id":1,"method":"mining.subscribe","params":["Antminer S21/1"]}"#);
        script.say(r#"{"id":2,"method":"mining.authorize","params":["rig","x,d=1e9"]}"#);
        let targets = Targets { network, block, share };
        let lines = script.job(JobMaker { targets, ..JobMaker::default() });
        assert_eq!(param(&lines[0], 0).as_f64(), Some(shown));
        assert!(script.wait(600).iter().all(|line| !line.contains("set_difficulty")), "the floor holds");
    }
}

#[test]
fn submits_get_the_codes_of_stratum() {
    let mut script = Script::new(Some(owner(1)));
    assert_eq!(code(&script.submit(1, 0)), 25);
    script.say(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    assert_eq!(code(&script.submit(1, 0)), 24);
    script.say(r#"{"id":2,"method":"mining.authorize","params":["rig"]}"#);
    assert_eq!(code(&script.submit(1, 0)), 21);
    script.job(easy(1));
    let good = script.nonce(1, Difficulty::MIN.target(), true);
    assert_eq!(code(&script.submit(1, good)), 0);
    assert!(script.found().verdict.share && !script.found().repeated);
    assert_eq!(code(&script.submit(1, good)), 22);
    assert!(script.last.is_none(), "the chain has it already");
    assert_eq!(code(&script.submit(2, good)), 21);
    let other = script.nonce(1, Difficulty::MIN.target(), true) + 1;
    assert_eq!(code(&script.say(&submit(ADDRESS, 1, other))), 24);
    assert!(script.found().verdict.share, "the work is not lost for that");
    assert_eq!(code(&script.say(&submit("rig.other", 1, other + 1))), 0, "another worker of the same owner");
    let snapshot = script.snapshot();
    let tally = snapshot.tally;
    assert_eq!((tally.accepted, tally.refused.total()), (2, 6));
    let refused = tally.refused;
    assert_eq!((refused.repeated, refused.unknown_job, refused.untimely, refused.other), (1, 2, 0, 3));
    assert_eq!(snapshot.last_share, Some(script.now.instant));
    assert!(snapshot.best.is_some() && snapshot.hash_rate > 0.0);

    let mut script = Script::mining(JobMaker { targets: Targets { share: target(-8), ..EASY }, ..easy(1) });
    let low = script.nonce(1, target(-8), false);
    assert_eq!(code(&script.submit(1, low)), 23);
    assert!(script.last.is_none());
}

#[test]
fn misformed_submits_are_refused_with_a_reason() {
    let mut script = Script::mining(easy(1));
    let time = format!("\"{MADE_AT:08x}\"");
    let good =
        [r#""rig""#, r#""00000001""#, r#""0102030405060708""#, &time, r#""00000000""#, r#""00000000""#];
    for (index, value, expected) in [
        (0, "5", 20),
        (1, "1", 20),
        (1, r#""xyz""#, 21),
        (1, r#""000000001""#, 21),
        (2, r#""01020304""#, 20),
        (2, r#""010203040506070809""#, 20),
        (2, r#""010203040506070x""#, 20),
        (2, "null", 20),
        (3, r#""6b49d2""#, 20),
        (3, r#""ffffffff""#, 20),
        (3, r#""123456789""#, 20),
        (4, r#""""#, 20),
        (4, r#""0x000001""#, 20),
        (4, "1", 20),
        (5, r#""1""#, 20),
        (5, r#""00002000""#, 20),
        (5, "5", 20),
    ] {
        let mut params = good;
        params[index] = value;
        let line = format!(r#"{{"id":9,"method":"mining.submit","params":[{}]}}"#, params.join(","));
        assert_eq!(code(&script.say(&line)), expected, "{line}");
    }
    for params in ["", r#""rig""#] {
        let line = format!(r#"{{"id":9,"method":"mining.submit","params":[{params}]}}"#);
        assert_eq!(code(&script.say(&line)), 20);
    }
    // Short nonces, capitals, zero bits and the last moment of the future are all right.
    let limit = format!("{:08X}", MADE_AT + 7_200);
    for tail in [r#""7""#, r#""aB","00000000""#, r#""Cd","0""#, r#""e",null"#] {
        let line = format!(
            r#"{{"id":9,"method":"mining.submit","params":["rig","1","00000000ABCDEF00","{limit}",{tail}]}}"#
        );
        assert_eq!(code(&script.say(&line)), 0, "{line}");
    }
}

#[test]
fn a_bitcoin_block_comes_out_whatever_is_wrong_with_the_submit() {
    let network = target(-20);
    let targets = Targets { network, block: Target::MIN, share: Target::MIN };
    let mut script = Script::mining(JobMaker { targets, ..JobMaker::default() });
    let block = script.nonce(1, network, true);
    for expected in [0, 22] {
        assert_eq!(code(&script.submit(1, block)), expected);
        assert!(script.found().verdict.bitcoin_block);
        assert!(!script.found().is_for_chain());
    }
    assert_eq!(code(&script.say(&submit(ADDRESS, 1, block))), 22);
    assert!(script.found().verdict.bitcoin_block);
    script.job(JobMaker { id: 2, height: 900_002, prev_block: 9, targets, ..JobMaker::default() });
    assert_eq!(code(&script.submit(1, block)), 21);
    assert!(script.found().verdict.bitcoin_block);

    // Of low difficulty for the session: the miner was given a harder job than the network is.
    let mut script = Script::mining(JobMaker { targets, ..JobMaker::default() });
    let block = script.nonce(1, network, true);
    let mut served = script.session.jobs.last().cloned().expect("a job");
    served.difficulty = Difficulty::MAX;
    script.session.jobs.push(served);
    assert_eq!(code(&script.submit(1, block)), 23);
    assert!(script.found().verdict.bitcoin_block);

    // Version bits that were never granted, and a time that the share chain does not take.
    let targets = Targets { network: Target::MAX, ..targets };
    let mut script = Script::mining(JobMaker { targets, ..JobMaker::default() });
    for tail in [format!(r#""{MADE_AT:08x}","1","00ffe000""#), r#""ffffffff","1""#.to_owned()] {
        let line =
            format!(r#"{{"id":9,"method":"mining.submit","params":["rig","1","0102030405060708",{tail}]}}"#);
        assert_eq!(code(&script.say(&line)), 20);
        assert!(script.found().verdict.bitcoin_block);
    }
    assert_eq!(script.found().candidate.header.time, u32::MAX);
}

#[test]
fn shares_on_old_jobs_are_passed_on_and_refused_only_two_bitcoin_blocks_later() {
    let mut script = Script::mining(easy(1));
    script.job(JobMaker { height: 900_001, prev_block: 2, ..easy(2) });
    assert_eq!(code(&script.submit(1, 1)), 0, "one block late");
    script.job(JobMaker { height: 900_002, prev_block: 3, ..easy(3) });
    assert_eq!(code(&script.submit(1, 2)), 21);
    assert!(script.found().is_for_chain(), "the share chain decides");
    assert_eq!(code(&script.submit(2, 2)), 0);
}

#[test]
fn a_job_is_gone_after_ten_minutes() {
    let mut script = Script::mining(easy(1));
    script.now.instant += MAX_AGE;
    script.job(easy(2));
    assert_eq!(code(&script.submit(1, 1)), 0);
    script.now.instant += Duration::from_secs(1);
    script.job(easy(3));
    assert_eq!(code(&script.submit(1, 2)), 21);
}

#[test]
fn version_bits_are_put_into_the_header() {
    let mut script = Script::mining(easy(1));
    script.say(r#"{"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"00ffe000"}]}"#);
    let line = |bits: &str| {
        format!(
            r#"{{"id":9,"method":"mining.submit","params":["rig","1","0102030405060708","{MADE_AT:08x}","1","{bits}"]}}"#
        )
    };
    assert_eq!(code(&script.say(&line("00804000"))), 0);
    assert_eq!(script.found().candidate.header.version.to_consensus(), 0x2080_4000);
    assert_eq!(code(&script.say(&line("01000000"))), 20);
    // A job served under the old mask may be answered under either.
    script.job(easy(2));
    script.say(r#"{"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ff000000"}]}"#);
    let line = line("00002000").replace("\"1\",\"01", "\"2\",\"01");
    assert_eq!(code(&script.say(&line)), 0);
}

/// Some devices leave the sixth parameter out when they have rolled nothing: they have hashed the version of the job.
#[test]
fn a_submit_without_version_bits_has_the_version_of_the_job() {
    let mut script = Script::mining(JobMaker { version: 0x3000_4000, ..easy(1) });
    script.say(r#"{"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"1fffe000"}]}"#);
    for (nonce, last, version) in
        [(1, "", 0x3000_4000), (2, ",null", 0x3000_4000), (3, ",\"00000000\"", 0x2000_0000)]
    {
        let line = submit("rig", 1, nonce).replace("\"]}", &format!("\"{last}]}}"));
        assert_eq!(code(&script.say(&line)), 0, "{line}");
        assert_eq!(script.found().candidate.header.version.to_consensus(), version, "{line}");
    }
}

#[test]
fn notifications_and_answers_get_no_answer_and_unknown_methods_do() {
    let mut script = Script::mining(easy(1));
    for silent in [
        r#"{"id":null,"method":"mining.suggest_target","params":["00"]}"#,
        r#"{"method":"mining.unknown"}"#,
        r#"{"id":5,"method":"pong","params":[]}"#,
        r#"{"id":5,"result":"cgminer/4.11","error":null}"#,
        "",
        "  \r",
    ] {
        assert_eq!(script.say(silent), Vec::<String>::new(), "{silent}");
        assert!(script.last.is_none());
    }
    let submit = submit("rig", 1, 1).replace("\"id\":9", "\"id\":null");
    assert!(script.say(&submit).is_empty());
    assert!(script.found().verdict.share, "but it counts");
    for method in ["mining.multi_version", "mining.get_txnhashes", "eth_submitLogin"] {
        let line = format!(r#"{{"id":5,"method":"{method}","params":[]}}"#);
        assert_eq!(code(&script.say(&line)), 20);
        assert!(script.last.is_none(), "no hang-up");
    }
}

#[test]
fn parameters_that_are_no_array_are_the_requests_own_trouble() {
    let mut script = Script::mining(easy(1));
    let silent = r#"{"id":null,"method":"mining.capabilities","params":{}}"#;
    assert!(script.say(silent).is_empty());
    for _ in 0..10 {
        let said = script.say(r#"{"id":7,"method":"eth_x","params":{}}"#);
        assert_eq!(code(&said), 20);
        assert!(said[0].starts_with("{\"id\":7,"), "{said:?}");
        let said = script.say(r#"{"id":"s","method":"mining.submit","params":{"a":1}}"#);
        assert_eq!(code(&said), 20);
        assert!(said[0].starts_with("{\"id\":\"s\","), "{said:?}");
        assert!(script.last.is_none(), "no hang-up");
    }
    assert_eq!(code(&script.say(r#"{"id":8,"method":"mining.capabilities","params":{}}"#)), 0);
}

#[test]
fn three_lines_of_garbage_and_the_line_is_dead() {
    let mut script = Script::mining(easy(1));
    for round in 0..2 {
        assert_eq!(code(&script.say("GET / HTTP/1.1")), 20, "{round}");
        assert_eq!(code(&script.say("Host: x")), 20);
        assert!(script.last.is_none());
        script.say(r#"{"id":5,"method":"x"}"#);
    }
    script.say("a");
    script.say("b");
    script.say("c");
    assert!(matches!(script.last, Some(Event::Close(Close::Garbage))));
}

#[test]
fn authorization_says_what_is_wrong() {
    let line = |user: &str| format!(r#"{{"id":2,"method":"mining.authorize","params":["{user}"]}}"#);
    let mut script = Script::new(None);
    let answer = script.say(&line("worker1"));
    assert_eq!(code(&answer), 24);
    assert!(answer[0].contains(r#""result":false"#) && answer[0].contains("--address"), "{answer:?}");
    assert_eq!(code(&script.say(&line(&ADDRESS.replace("ar0", "ar9")))), 24);
    let testnet = script.say(&line("tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx"));
    assert!(testnet[0].contains("this node mines on main"), "{testnet:?}");
    assert!(script.last.is_none() && !script.session.is_ready());
    assert_eq!(code(&script.say(r#"{"id":2,"method":"mining.authorize","params":[]}"#)), 20);

    assert_eq!(code(&script.say(&line(&format!("{ADDRESS}.a")))), 0);
    assert!(script.last.is_none(), "it has not subscribed");
    script.say(r#"{"id":1,"method":"mining.subscribe","params":[]}"#);
    assert!(matches!(script.last, Some(Event::Ready { .. })));
    assert_eq!(code(&script.say(&line(&format!("{ADDRESS}.b")))), 0);
    assert!(script.last.is_none(), "the jobs are the same");
    let other = script.say(&line("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"));
    assert_eq!(code(&other), 24);
    assert!(other[0].contains("another address"), "{other:?}");
}

#[test]
fn a_fast_miner_gets_harder_new_work_at_once_and_its_old_work_counts() {
    let share = target(-10);
    let mut script = Script::mining(JobMaker { targets: Targets { share, ..EASY }, ..easy(1) });
    script.say(r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.00000001]}"#);
    let easy_job = script.session.jobs.last().cloned().expect("a job");
    assert_eq!(easy_job.difficulty, Difficulty::power_of_two(-27));
    let id = easy_job.id.0;
    let job_line = |nonce: u32| {
        submit("rig", id, nonce).replace(&format!("{MADE_AT:08x}"), &format!("{:08x}", easy_job.time))
    };
    let (mut nonce, mut accepted) = (0, 0);
    let lines = loop {
        let lines = script.say(&job_line(nonce));
        accepted += u32::from(lines[0].contains("\"result\":true"));
        nonce += 1;
        if lines.len() > 1 {
            break lines;
        }
        assert_eq!(accepted, script.snapshot().tally.accepted as u32);
        assert!(nonce < 100_000, "no rise after {accepted} shares");
    };
    assert_eq!(accepted, 8);
    assert_eq!(methods(&lines), ["answer", "mining.set_difficulty", "mining.notify"]);
    assert!(param(&lines[1], 0).as_f64() > Some(0.000_000_01));
    let again = script.session.jobs.last().cloned().expect("a job");
    assert!(again.time > easy_job.time, "new work");
    assert_ne!(again.id, easy_job.id);
    assert_eq!(param(&lines[2], 0), again.id.to_string());
    assert_eq!(param(&lines[2], 7), format!("{:08x}", again.time));
    assert_eq!(param(&lines[2], 8), false);
    // The old job's difficulty holds for the old job still.
    let answers: Vec<u64> =
        (nonce..nonce + 2_000).map(|nonce| code(&script.say(&job_line(nonce))[..1])).collect();
    assert!(answers.contains(&0));
    assert!(answers.iter().all(|code| [0, 23].contains(code)));
}

#[test]
fn a_silent_miner_gets_easier_work_and_news_every_half_minute() {
    let mut script = Script::mining(JobMaker::default());
    let first = script.session.jobs.last().cloned().expect("a job");
    assert_eq!(methods(&script.wait(26)), Vec::<String>::new());
    assert_eq!(methods(&script.wait(2)), ["mining.notify"], "nobody is left alone for 30 s");
    let second = script.session.jobs.last().cloned().expect("a job");
    assert!(second.time >= first.time + 28);
    let lines = script.wait(4);
    assert_eq!(methods(&lines), ["mining.set_difficulty", "mining.notify"], "8 shares are missing");
    assert_eq!(param(&lines[0], 0).as_f64(), Some(0.125));
}

/// Where the bits depend on the time (testnet 4), a later time may want others.
#[test]
fn work_is_not_announced_again_when_its_bits_would_be_wrong() {
    let mut script = Script::mining(JobMaker { max_time: MADE_AT + 60, ..easy(1) });
    assert_eq!(methods(&script.wait(30)), ["mining.notify"]);
    assert_eq!(methods(&script.wait(30)), ["mining.notify"]);
    for _ in 0..10 {
        assert_eq!(methods(&script.wait(30)), [""; 0]);
    }
    let late = submit("rig", 1, 1).replace(&format!("{MADE_AT:08x}"), &format!("{:08x}", MADE_AT + 61));
    assert_eq!(code(&script.say(&late)), 20);
}

#[test]
fn a_slow_reader_gets_only_the_newest_job_and_learns_that_the_block_changed() {
    let mut script = Script::mining(easy(1));
    script.session.on_job(Arc::new(JobMaker { prev_block: 2, ..easy(2) }.job()));
    script.session.on_job(Arc::new(JobMaker { prev_block: 2, ..easy(3) }.job()));
    let lines = script.output();
    assert_eq!(methods(&lines), ["mining.notify"]);
    assert_eq!(param(&lines[0], 0), "00000003");
    assert_eq!(param(&lines[0], 8), true);
    let lines = script.job(JobMaker { prev_block: 2, ..easy(4) });
    assert_eq!(param(&lines[0], 8), false);
    let lines = script.job(JobMaker { prev_block: 1, ..easy(5) });
    assert_eq!(param(&lines[0], 8), true, "Bitcoin went back");
}

proptest! {
    #[test]
    fn nothing_that_is_said_makes_it_panic_or_talk_without_end(
        lines in proptest::collection::vec(line(), 1..40),
    ) {
        let mut script = Script::mining(easy(1));
        for line in lines {
            script.now.instant += Duration::from_millis(500);
            let bytes: usize = script.say(&line).iter().map(String::len).sum();
            prop_assert!(bytes < 4_000 + 2 * line.len(), "{bytes} bytes for {line}");
        }
    }
}

/// Lines from nonsense to nearly right.
fn line() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        ".{0,20}".prop_map(|text| message::json_string(&text)),
        "[0-9a-fA-F]{0,17}".prop_map(|text| format!("\"{text}\"")),
        Just("null".to_owned()),
        Just("[[\"version-rolling\",\"x\"],{\"version-rolling.mask\":\"f\"}]".to_owned()),
        Just(format!("\"{ADDRESS}\"")),
        Just("\"00000001\"".to_owned()),
        Just(format!("\"{MADE_AT:08x}\"")),
    ];
    let method = prop_oneof![
        Just("mining.submit"),
        Just("mining.subscribe"),
        Just("mining.authorize"),
        Just("mining.configure"),
        Just("mining.suggest_difficulty"),
        Just("mining.extranonce.subscribe"),
    ];
    let params = proptest::collection::vec(value.clone(), 0..8);
    prop_oneof![
        1 => any::<String>(),
        8 => (value, method, params).prop_map(|(id, method, params)| {
            format!("{{\"id\":{id},\"method\":\"{method}\",\"params\":[{}]}}", params.join(","))
        }),
    ]
}
