//! Devices that come back and name the session that they had.

use super::wire::{easy, submit};
use super::{Client, Running, Setup, soon};
use serde_json::Value;

/// What a device is told when it logs in.
struct Told {
    session: String,
    job: Value,
    time: u32,
}

async fn log_in(client: &mut Client, params: &str) -> Told {
    let line = format!(r#"{{"id":1,"method":"mining.subscribe","params":{params}}}"#);
    let answer = client.ask(&line).await;
    let session = answer["result"][0][1][1].as_str().expect("text").to_owned();
    assert_eq!(answer["result"][1], session.as_str(), "its extranonce is its name");
    client.ask(r#"{"id":2,"method":"mining.authorize","params":["rig"]}"#).await;
    assert_eq!(client.line().await["method"], "mining.set_difficulty");
    let notify = client.line().await;
    let time = u32::from_str_radix(notify["params"][7].as_str().expect("text"), 16).expect("digits");
    Told { session, job: notify["params"][0].clone(), time }
}

async fn hang_up(running: &Running, client: Client) {
    drop(client);
    while running.sessions.count() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_device_that_comes_back_goes_on_where_it_was() {
    let running = Setup::default().start();
    running.publish(easy(7));
    let mut client = Client::connect(running.address).await;
    let first = log_in(&mut client, r#"["test"]"#).await;
    assert_eq!(client.ask(&submit(4, 7, 1)).await["result"], true);
    hang_up(&running, client).await;

    let mut client = Client::connect(running.address).await;
    let again = log_in(&mut client, &format!(r#"["test","{}"]"#, first.session)).await;
    assert_eq!(again.session, first.session);
    assert!(again.job != first.job && again.time > first.time, "the same job as it was would be done twice");
    assert_eq!(client.ask(&submit(5, 7, 1)).await["error"][0], 22, "it is known already");
    assert_eq!(client.ask(&submit(6, 7, 2)).await["result"], true, "it was on its way");
    let mut shares = soon(running.stop()).await;
    for nonce in [1, 2] {
        assert_eq!(soon(shares.recv()).await.expect("a share").header.nonce, nonce);
    }
    assert!(shares.recv().await.is_none());
}

#[tokio::test]
async fn what_is_alive_or_unknown_is_not_resumed() {
    let running = Setup::default().start();
    running.publish(easy(7));
    let mut alive = Client::connect(running.address).await;
    let told = log_in(&mut alive, r#"["test",null]"#).await;
    for named in [told.session.as_str(), "00000001", "no session", ""] {
        let mut client = Client::connect(running.address).await;
        let new = log_in(&mut client, &format!(r#"["test","{named}"]"#)).await;
        assert!(new.session != told.session && new.session != named, "{named:?}");
        assert_eq!(client.ask(&submit(3, 7, 1)).await["result"], true);
    }
    // Nor is a session changed that has begun.
    hang_up(&running, alive).await;
    let mut client = Client::connect(running.address).await;
    let new = log_in(&mut client, r#"["test"]"#).await;
    let line = format!(r#"{{"id":4,"method":"mining.subscribe","params":["test","{}"]}}"#, told.session);
    assert_eq!(client.ask(&line).await["result"][1], new.session.as_str());
    soon(running.stop()).await;
}
