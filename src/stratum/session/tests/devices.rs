//! Devices of all kinds: what they are given by name and password, what they are told, and what they may ask.

use super::*;
use crate::stratum::device::TooSmall;

fn shown_difficulty(lines: &[String]) -> Option<f64> {
    let line = lines.iter().find(|line| line.contains("set_difficulty"))?;
    param(line, 0).as_f64()
}

#[test]
fn the_class_comes_from_name_table_and_password() {
    for (agent, password, class) in [
        ("cgminer/4.11.1", "x", 11),
        ("Antminer S21/Thu", "x", 38),
        ("whatsminer/v1.1", "x", 145),
        ("whatsminer/v1.1", "x,c=11", 11),
        ("PowerPlay-BM/1", "", 360),
        ("small/1", "c=38", 38),
        ("NerdMinerV2/3", "c=11", 11),
    ] {
        let mut script = Script::new(Some(owner(1)));
        script.log_in(agent, password);
        assert_eq!(script.class(), class, "{agent} {password}");
    }
    let mut script = Script::new(Some(owner(1)));
    script.say(r#"{"id":2,"method":"mining.authorize","params":["rig","x"]}"#);
    assert!(script.last.is_none(), "its name is not known yet");
    script.say(r#"{"id":1,"method":"mining.subscribe","params":["whatsminer/v1.1"]}"#);
    assert_eq!(script.class(), 145);
    script.say(r#"{"id":1,"method":"mining.subscribe","params":["cgminer"]}"#);
    assert!(script.last.is_none(), "a name is said once");
    assert_eq!(script.snapshot().who.user_agent, "whatsminer/v1.1");
}

#[test]
fn a_device_that_is_too_small_is_told_so_after_its_answer_and_gets_no_work() {
    for (agent, holds) in [("NiceHash/1.0.0", 6), ("NerdMinerV2/1.8.3", 1), ("small/9", 4)] {
        let mut script = Script::new(Some(owner(1)));
        let lines = script.log_in(agent, "x");
        assert_eq!(methods(&lines), ["answer", "answer", "client.show_message"], "{agent}");
        assert!(script.last.is_none(), "no jobs are asked for");
        let trouble = Trouble::TooSmall(TooSmall { holds, least: 11 }, Some(34_254));
        assert_eq!(param(&lines[2], 0), trouble.to_string());
        assert_eq!(script.snapshot().who.class, None);
        assert!(lines[2].starts_with(r#"{"id":null,"#), "{}", lines[2]);
        assert!(script.wait(600).is_empty(), "and nothing ever after");
        assert!(script.say(r#"{"id":3,"method":"mining.suggest_difficulty","params":[5]}"#).len() == 1);
    }
}

#[test]
fn a_device_whose_first_submits_all_miss_by_far_is_told_once() {
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    let mut script = Script::mining(JobMaker { targets: hard, ..JobMaker::default() });
    let told = |script: &mut Script, nonce| {
        let lines = script.submit(1, nonce);
        assert_eq!(code(&lines[..1]), 23);
        let is_told = lines.len() == 2;
        let trouble = Trouble::MissesByFar { least: 11, stratum_v2: Some(34_254) };
        is_told.then(|| {
            assert!(lines[1].contains("client.show_message"));
            assert_eq!(param(&lines[1], 0), trouble.to_string());
        })
    };
    let said: Vec<u32> = (0..40).filter(|nonce| told(&mut script, *nonce).is_some()).collect();
    assert_eq!(said, [7]);

    // Work for another difficulty is near enough: here every hash is.
    let mut script = Script::mining(JobMaker { targets: Targets { share: target(-25), ..EASY }, ..easy(1) });
    let low = script.nonce(1, target(-25), false);
    for nonce in low..low + 60 {
        assert!(script.submit(1, nonce).iter().all(|line| !line.contains("show_message")));
    }
}

#[test]
fn a_device_with_nothing_but_refused_work_is_sent_away_and_then_closed() {
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    let mut script = Script::mining(JobMaker { targets: hard, ..JobMaker::default() });
    (0..20).for_each(|nonce| drop(script.submit(1, nonce)));
    let lines = script.wait(118);
    assert!(!lines.iter().any(|line| line.contains("reconnect")) && script.last.is_none());
    let lines = script.wait(2);
    assert!(
        lines.contains(&r#"{"id":null,"method":"client.reconnect","params":[]}"#.to_owned()),
        "{lines:?}"
    );
    assert!(!script.wait(56).iter().any(|line| line.contains("reconnect")), "once");
    assert!(!matches!(script.last, Some(Event::Close(_))));
    script.wait(4);
    assert!(matches!(script.last, Some(Event::Close(Close::Refused))));

    let mut script = Script::mining(easy(1));
    (0..20).for_each(|nonce| drop(script.submit(2, nonce)));
    script.submit(1, 1);
    let lines = script.wait(400);
    assert!(!lines.iter().any(|line| line.contains("reconnect")), "one good share makes up for it");
    assert!(!matches!(script.last, Some(Event::Close(_))));
}

#[test]
fn a_worker_that_comes_back_begins_where_it_was() {
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: target(-20) };
    let job = |id| JobMaker { targets: hard, ..easy(id) };
    let mut script = Script::new(Some(owner(1)));
    script.log_in("x/1", "x");
    script.session.vardiff = Vardiff::new(Difficulty::power_of_two(-28), script.now.instant);
    script.job(job(1));
    let easy_enough = Difficulty::power_of_two(-28).target();
    let nonce = script.nonce(1, easy_enough, true);
    assert_eq!(code(&script.submit(1, nonce)), 0);
    let (config, instant) = (Arc::clone(&script.session.config), script.now.instant);
    script.session.end(false, instant);

    let begins_at = |agent: &str, password: &str| {
        let mut again = Script::of(Arc::clone(&config), instant);
        again.log_in(agent, password);
        again.session.vardiff.difficulty()
    };
    assert_eq!(begins_at("x/1", "x"), Difficulty::power_of_two(-28));
    assert_eq!(begins_at("x/2", "x"), Difficulty::ONE, "another program");
    assert_eq!(begins_at("x/1", "d=8"), Difficulty::power_of_two(3), "a wish counts for more");
    assert_eq!(begins_at("x/1", "md=4"), Difficulty::power_of_two(2));

    let silent = Script::mining(easy(1));
    let config = Arc::clone(&silent.session.config);
    silent.session.end(false, silent.now.instant);
    assert_eq!(config.memory.recall("rig", "test"), None, "it was never measured");
}

#[test]
fn a_session_that_is_resumed_keeps_its_difficulty() {
    let places = Sessions::new(u32::from_be_bytes(EXTRANONCE1), 1);
    let mut first = Script::new(Some(owner(1)));
    let (config, instant) = (Arc::clone(&first.session.config), first.now.instant);
    first = Script::among(&places, Arc::clone(&config), instant);
    first.log_in("x", "x");
    first.session.vardiff = Vardiff::new(Difficulty::power_of_two(7), instant);
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    first.job(JobMaker { targets, ..JobMaker::default() });
    first.session.end(true, instant);
    for (password, expected) in [("x", 7), ("d=8", 3)] {
        let mut again = Script::among(&places, Arc::clone(&config), instant);
        let said = again.log_in("x\",\"0000abcd", password);
        assert!(said[0].contains("\"0000abcd\",8"), "{said:?}");
        assert_eq!(again.session.vardiff.difficulty(), Difficulty::power_of_two(expected));
        again.session.vardiff = Vardiff::new(Difficulty::power_of_two(7), instant);
        again.session.end(true, instant);
    }
}

#[test]
fn passwords_set_the_difficulty() {
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    for (password, at_first, after_silence) in [
        ("d=1024", 1024.0, 1024.0),
        ("diff=0.5", 0.5, 0.5),
        ("md=64", 64.0, 64.0),
        ("d=16,md=256", 256.0, 256.0),
        ("th=1", 512.0, 0.0),
        ("th=1,md=128", 512.0, 128.0),
        ("x", 1.0, 0.0),
    ] {
        let mut script = Script::new(Some(owner(1)));
        script.log_in("test", password);
        let first = shown_difficulty(&script.job(JobMaker { targets: hard, ..JobMaker::default() }));
        assert_eq!(first, Some(at_first), "{password}");
        (0..60).for_each(|_| drop(script.wait(60)));
        let fallen = script.session.vardiff.difficulty();
        assert_eq!(fallen, Difficulty::at_most(after_silence).unwrap_or(Difficulty::MIN), "{password}");
    }
}

#[test]
fn difficulty_is_suggested_in_many_ways() {
    let ask = |line: &str| {
        let mut script = Script::mining(JobMaker::default());
        shown_difficulty(&script.say(line))
    };
    let quarter = format!("{:064x}", target(2).value());
    for (method, params, shown) in [
        ("mining.suggest_difficulty", "[1000]", Some(512.0)),
        ("mining.suggest_difficulty", "[\"0.3\"]", Some(0.25)),
        ("mining.suggest_difficulty(2048", "[]", Some(2048.0)),
        ("mining.suggest_difficulty(64.5)", "[]", Some(64.0)),
        ("mining.suggest_difficulty", "[]", None),
        ("mining.suggest_target", &format!("[\"{quarter}\"]"), Some(4.0)),
        ("mining.suggest_target", "[\"00\"]", None),
    ] {
        let line = format!(r#"{{"id":3,"method":"{method}","params":{params}}}"#);
        assert_eq!(ask(&line), shown, "{line}");
    }
    let minimum = r#"{"id":3,"method":"mining.configure","params":[["minimum-difficulty"],{"minimum-difficulty.value":32.5}]}"#;
    assert_eq!(ask(minimum), Some(32.0));
    let lower = minimum.replace("32.5", "0.5");
    assert_eq!(ask(&lower), None, "it has more already");
}

/// What devices send by themselves does not undo what their owner wrote or what was measured.
#[test]
fn a_devices_own_wishes_are_floors_under_what_is_known() {
    let hard = Targets { network: Target::MIN, block: Target::MIN, share: Target::MIN };
    let suggest = |n: u32| format!(r#"{{"id":3,"method":"mining.suggest_difficulty","params":[{n}]}}"#);
    let minimum = |n: u32| {
        format!(
            r#"{{"id":3,"method":"mining.configure","params":[["minimum-difficulty"],{{"minimum-difficulty.value":{n}}}]}}"#
        )
    };
    let power = Difficulty::power_of_two;
    let none = String::new();
    let config = Arc::clone(&Script::new(Some(owner(1))).session.config);
    config.memory.remember("rig", "known", power(12));
    // Agent, password, what is said before the login and after it, what is shown then, and after long silence.
    for (agent, password, before, after, shown, fallen) in [
        ("bitaxe", "d=65536", &none, &suggest(1_000), 16, 16),
        ("bitaxe", "x", &none, &suggest(1_000), 9, 9),
        ("test", "x", &none, &suggest(1_000), 9, 9),
        ("known", "x", &none, &suggest(1_000), 12, 9),
        ("known", "x", &suggest(1_000), &none, 12, 9),
        ("test", "th=1", &suggest(4), &none, 9, 2),
        ("known", "x", &none, &suggest(100_000), 16, 16),
        ("test", "x", &suggest(4), &none, 2, 2),
        ("test", "d=1024", &none, &minimum(64), 10, 10),
        ("test", "d=1024", &minimum(4_096), &none, 12, 12),
        ("test", "md=64", &none, &suggest(4), 6, 6),
    ] {
        let case = format!("{agent} {password} {before} {after}");
        let mut script = Script::of(Arc::clone(&config), Instant::now());
        script.say(before);
        script.log_in(agent, password);
        script.say(after);
        let first = shown_difficulty(&script.job(JobMaker { targets: hard, ..JobMaker::default() }));
        assert_eq!(first.and_then(Difficulty::at_most), Some(power(shown)), "{case}");
        (0..60).for_each(|_| drop(script.wait(60)));
        assert_eq!(script.session.vardiff.difficulty(), power(fallen), "{case}");
    }
}

#[test]
fn a_new_wish_does_not_undo_what_was_measured() {
    let mut script = Script::mining(easy(1));
    assert_eq!(code(&script.submit(1, 1)), 0);
    assert!(script.session.measured);
    let before = script.session.vardiff.difficulty();
    script.say(r#"{"id":3,"method":"mining.suggest_difficulty","params":[0.0000000002]}"#);
    assert_eq!(script.session.vardiff.difficulty(), before);
}

#[test]
fn what_clients_ask_beside_mining_is_answered() {
    let mut script = Script::mining(easy(1));
    for (method, result) in [
        ("mining.extranonce.subscribe", "true"),
        ("mining.capabilities", "true"),
        ("mining.get_transactions", "[]"),
        ("mining.ping", "\"pong\""),
    ] {
        let line = format!(r#"{{"id":"q-{method}","method":"{method}","params":[]}}"#);
        let answer = format!(r#"{{"id":"q-{method}","result":{result},"error":null}}"#);
        assert_eq!(script.say(&line), [answer]);
        let silent = format!(r#"{{"id":null,"method":"{method}","params":[]}}"#);
        assert!(script.say(&silent).is_empty(), "{method}");
        assert!(script.last.is_none());
    }
}
