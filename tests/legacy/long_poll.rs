//! Requests that are answered when there is something new.

use super::getwork::{PREV_BLOCK, Work, get};
use super::template::{ask, template};
use super::{Setup, easy, rig, soon, unix_now};
use crate::support::jobs::JobMaker;
use commonwork::legacy::server::Limits;
use serde_json::json;
use std::time::Duration;

/// A job on the nth Bitcoin block.
fn nth(n: u8) -> JobMaker {
    JobMaker { height: 900_000 + u32::from(n), prev_block: n, ..easy(n.into()) }
}

fn is_on(work: &Work, n: u8) -> bool {
    work.word(PREV_BLOCK) == u32::from_le_bytes([n; 4])
}

#[tokio::test]
async fn it_is_answered_when_there_is_another_job_and_not_before() {
    let running = Setup::default().start();
    running.publish(nth(0));
    let client = rig(&running);
    for (n, method) in [(1, "GET"), (2, "POST")] {
        get(&client).await;
        let asking = client.clone();
        let body = if method == "GET" { "" } else { r#"{"id":0,"method":"getwork","params":[]}"# };
        let poll = tokio::spawn(async move { asking.request(method, "/lp", body.as_bytes()).await });
        // Whoever does not wait has an answer meanwhile.
        for _ in 0..3 {
            assert!(is_on(&get(&client).await, n - 1));
        }
        assert!(!poll.is_finished());
        running.publish(nth(n));
        let answer = soon(poll).await.expect("no panic").expect("an answer");
        assert_eq!(answer.headers["x-long-polling"], "/lp");
        assert!(is_on(&Work::read(answer.result()), n));
    }
    // Who has missed the change need not wait.
    running.publish(nth(3));
    let answer = client.request("GET", "/lp", b"").await.expect("an answer");
    assert!(is_on(&Work::read(answer.result()), 3));
    soon(running.stop()).await;
}

#[tokio::test]
async fn the_first_job_is_waited_for() {
    let running = Setup::default().start();
    let client = rig(&running);
    let asking = tokio::spawn(async move { client.call("getwork", json!([])).await });
    while running.sessions.count() == 0 {
        tokio::task::yield_now().await;
    }
    running.publish(nth(5));
    let answer = soon(asking).await.expect("no panic");
    assert!(is_on(&Work::read(answer.result()), 5));
    soon(running.stop()).await;

    let limits = Limits { first_job: Duration::from_millis(10), ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    let answer = rig(&running).call("getwork", json!([])).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "5"));
    assert!(answer.error().contains("nothing to mine on"));
    soon(running.stop()).await;
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let limits = Limits { long_poll: Duration::from_millis(30), ..Limits::default() };
    let running = Setup { limits, ..Setup::default() }.start();
    running.publish(nth(0));
    let client = rig(&running);
    let first = get(&client).await;
    let answer = client.request("GET", "/lp", b"").await.expect("an answer");
    let again = Work::read(answer.result());
    assert!(is_on(&again, 0) && again.header() != first.header(), "the same job, and other work");
    soon(running.stop()).await;

    // More of them than one worker may have are not held.
    let running = Setup::default().start();
    running.publish(nth(0));
    let client = rig(&running);
    get(&client).await;
    let ask = |_| {
        let client = client.clone();
        tokio::spawn(async move { client.request("GET", "/lp", b"").await.expect("an answer") })
    };
    let mut polls: Vec<_> = (0..40).map(ask).collect();
    let is_held =
        |polls: &[tokio::task::JoinHandle<_>]| polls.iter().filter(|poll| !poll.is_finished()).count();
    while is_held(&polls) > 32 {
        tokio::task::yield_now().await;
    }
    running.publish(nth(1));
    let mut statuses = Vec::new();
    for poll in polls.drain(..) {
        statuses.push(soon(poll).await.expect("no panic").status);
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [[200; 32].as_slice(), &[503; 8]].concat());
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_template_is_waited_for_by_the_id_of_the_one_before() {
    let running = Setup::default().start();
    running.publish(nth(0));
    let client = rig(&running);
    let first = template(&client).await;
    let id = first["longpollid"].clone();
    assert_eq!(template(&client).await["longpollid"], id, "no news yet");
    let asking = client.clone();
    let poll = tokio::spawn(async move { ask(&asking, json!({"longpollid": id})).await });
    assert_eq!(template(&client).await["height"], 900_000);
    assert!(!poll.is_finished());
    running.publish(nth(1));
    let answer = soon(poll).await.expect("no panic");
    let second = answer.result();
    assert_eq!((&second["height"], &second["submitold"]), (&json!(900_001), &json!(true)));
    assert_eq!(second["previousblockhash"], "01".repeat(32));
    assert!(second["curtime"].as_u64().expect("a time") <= u64::from(unix_now()));
    // An id of long ago is no reason to wait.
    assert_eq!(ask(&client, json!({"longpollid": "xyz"})).await.result()["height"], 900_001);
    soon(running.stop()).await;
}

#[tokio::test]
async fn those_who_wait_are_told_when_there_is_no_work_and_at_the_end() {
    let running = Setup::default().start();
    running.publish(nth(0));
    let client = rig(&running);
    for stops in [false, true] {
        get(&client).await;
        let asking = client.clone();
        let poll = tokio::spawn(async move { asking.request("GET", "/lp", b"").await.expect("an answer") });
        // Held once another answer has come on a connection made later.
        get(&client).await;
        if stops {
            soon(running.stop()).await;
            assert_eq!(soon(poll).await.expect("no panic").status, 503);
            return;
        }
        running.open.send_replace(false);
        assert_eq!(soon(poll).await.expect("no panic").status, 503);
        running.open.send_replace(true);
    }
}
