//! What goes over the wire, and in which order: answers, announcements, blocks and shares.

use super::rebuild::{Filled, Notified};
use super::{Client, Setup, soon, unix_now};
use crate::support::jobs::{JobMaker, target};
use commonwork::stratum::visitor::Protocol;
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;

/// Every hash is a share; Bitcoin blocks are there for the finding.
pub(super) fn easy(id: u32) -> JobMaker {
    let targets = Targets { network: target(-28), block: Target::MIN, share: Target::MAX };
    JobMaker { id, targets, ..JobMaker::default() }
}

pub(super) fn submit(id: u32, job: u32, nonce: u32) -> String {
    submit_at(unix_now(), id, job, nonce)
}

fn submit_at(time: u32, id: u32, job: u32, nonce: u32) -> String {
    format!(
        r#"{{"id":{id},"method":"mining.submit","params":["rig","{job:08x}","0000000000000000","{time:08x}","{nonce:08x}"]}}"#
    )
}

#[tokio::test]
async fn a_pipelined_login_is_answered_in_order_and_then_the_work_comes() {
    let running = Setup::default().start();
    running.publish(easy(7));
    let mut client = Client::connect(running.address).await;
    let lines = concat!(
        r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#,
        "\r\n",
        r#"{"id":"two","method":"mining.subscribe","params":["bitaxe/BM1370"]}"#,
        "\r\n",
        r#"{"id":3,"method":"mining.authorize","params":["rig","x"]}"#,
        "\r\n",
    );
    client.write.write_all(lines.as_bytes()).await.expect("written");
    let mut got = Vec::new();
    for _ in 0..5 {
        got.push(client.line().await);
    }
    let ids: Vec<_> = got[..3].iter().map(|line| line["id"].to_string()).collect();
    assert_eq!(ids, ["1", "\"two\"", "3"]);
    assert_eq!(got[3]["method"], "mining.set_difficulty");
    assert_eq!(got[4]["params"][0], "00000007");
    running.publish(JobMaker { prev_block: 3, ..easy(8) });
    let news = client.line().await;
    assert_eq!((&news["params"][0], &news["params"][8]), (&"00000008".into(), &true.into()));
    soon(running.stop()).await;
}

#[tokio::test]
async fn work_that_comes_after_the_login_is_announced_then() {
    let running = Setup::default().start();
    let mut client = Client::connect(running.address).await;
    client.ask(r#"{"id":2,"method":"mining.authorize","params":["rig"]}"#).await;
    client.ask(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).await;
    running.publish(easy(1));
    assert_eq!(client.line().await["method"], "mining.set_difficulty");
    assert_eq!(client.line().await["params"][0], "00000001");
    soon(running.stop()).await;
}

#[tokio::test]
async fn no_two_live_connections_have_the_same_extranonce() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let (_first, one) = Client::mining(&running).await;
    let (_second, two) = Client::mining(&running).await;
    assert_ne!(one, two);
    assert_eq!(running.sessions.count(), 2);
    let miners = running.miners();
    let port = running.address.port();
    for miner in &miners {
        assert_eq!((miner.visitor.protocol, miner.visitor.port), (Protocol::Stratum, port));
        assert_eq!((miner.who.user.as_str(), miner.who.class), ("rig", Some(11)));
    }
    assert!(miners[0].visitor.since <= miners[1].visitor.since);
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_bitcoin_block_is_out_before_the_miner_has_its_answer_even_twice() {
    let running = Setup::default().start();
    running.publish(easy(1));
    let (mut client, _) = Client::mining(&running).await;
    let mut nonce = 0;
    while running.blocks.0.lock().expect("no panic").is_empty() {
        let answer = client.ask(&submit(nonce, 1, nonce)).await;
        assert_eq!(answer["result"], true, "{answer}");
        nonce += 1;
    }
    let block = running.blocks.0.lock().expect("no panic")[0].clone();
    let again = submit_at(block.header.time, 9, 1, block.header.nonce);
    let answer = client.ask(&again).await;
    assert_eq!(answer["error"][0], 22, "{answer}");
    assert_eq!(running.blocks.0.lock().expect("no panic").len(), 2);
    let mut shares = soon(running.stop()).await;
    let mut passed_on = 0;
    while let Some(share) = shares.recv().await {
        passed_on += 1;
        assert_eq!(share.header.nonce, passed_on - 1);
    }
    assert_eq!(passed_on, nonce, "all shares, the block's among them, and none twice");
}

/// A submit of a Bitcoin block for the job that is announced next.
async fn block(client: &mut Client, extranonce1: [u8; 4]) -> String {
    let job = Notified::read(&client.line().await);
    let extranonce1 = format!("{:08x}", u32::from_be_bytes(extranonce1));
    let filled = Filled { extranonce1: &extranonce1, extranonce2: "0000000000000000", ..Filled::default() };
    // 2^-28, as in `easy`.
    let nonce = job.mine(&filled, 1.0 / 268_435_456.0);
    submit_at(job.time, 1, u32::from_str_radix(&job.id, 16).expect("digits"), nonce)
}

#[tokio::test]
async fn a_bitcoin_block_counts_though_the_miner_or_the_node_leaves_at_once() {
    for node_leaves in [false, true] {
        let running = Setup::default().start();
        running.publish(easy(1));
        let (mut client, extranonce1) = Client::mining(&running).await;
        running.publish(easy(2));
        let block = block(&mut client, extranonce1).await;
        client.say(&block).await;
        let blocks = std::sync::Arc::clone(&running.blocks);
        let sessions = running.sessions.clone();
        if node_leaves {
            soon(running.stop()).await;
        } else {
            drop(client);
            while sessions.count() > 0 {
                tokio::task::yield_now().await;
            }
            soon(running.stop()).await;
        }
        assert_eq!(blocks.0.lock().expect("no panic").len(), 1, "{node_leaves}");
    }
}

#[tokio::test]
async fn all_that_a_miner_said_before_the_node_leaves_counts() {
    // Far more than is read in one go.
    const SHARES: u32 = 200;
    let running = Setup::default().start();
    running.publish(easy(1));
    let (mut client, _) = Client::mining(&running).await;
    let said: Vec<String> = (0..SHARES).map(|nonce| submit(nonce, 1, nonce)).collect();
    client.say(&said.join("\n")).await;
    let mut shares = soon(running.stop()).await;
    for nonce in 0..SHARES {
        assert_eq!(shares.recv().await.map(|share| share.header.nonce), Some(nonce));
    }
}

#[tokio::test]
async fn shares_wait_for_a_busy_chain_and_none_is_lost() {
    let mut running = Setup { share_queue: 1, ..Setup::default() }.start();
    running.publish(easy(1));
    let (mut client, _) = Client::mining(&running).await;
    for nonce in 0..60 {
        client.say(&submit(nonce, 1, nonce)).await;
    }
    // Hanging up with work in the queue must not lose it either.
    for nonce in 0..15 {
        assert_eq!(client.line().await["id"], nonce);
    }
    let mut got = Vec::new();
    while got.len() < 60 {
        got.push(soon(running.shares.recv()).await.expect("a share").header.nonce);
    }
    assert_eq!(got, (0..60).collect::<Vec<u32>>());
    for nonce in 60..75 {
        client.say(&submit(nonce, 1, nonce)).await;
    }
    while client.line().await["id"] != 74 {}
    drop(client);
    for nonce in 60..75 {
        assert_eq!(soon(running.shares.recv()).await.expect("a share").header.nonce, nonce);
    }
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_job_and_not_a_queue_of_old_ones() {
    const JOBS: u32 = 2_000;
    let running = Setup::default().start();
    running.publish(easy(1));
    let (mut client, _) = Client::mining(&running).await;
    for id in 2..=JOBS {
        // 200 outputs are a line of about 12 kB; all of them would be far more than sockets hold.
        let job = running.publish(JobMaker { outputs: 200, ..easy(id) });
        // Here, at the source, and with the session: none is passed over because the session was slow.
        soon(async {
            while Arc::strong_count(&job) < 3 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let newest = format!("{JOBS:08x}");
    let mut lines = 1;
    loop {
        let line = client.line().await;
        assert_eq!(line["method"], "mining.notify", "the difficulty is what it was");
        if line["params"][0] == newest.as_str() {
            break;
        }
        lines += 1;
    }
    assert!(lines < JOBS, "{lines} lines");
    soon(running.stop()).await;
}

/// Shares so hard that no job lowers what a device is to get.
#[tokio::test]
async fn the_difficulty_is_by_name_and_password_and_a_devices_wish_lowers_none() {
    let running = Setup::default().start();
    running.publish(JobMaker::default());
    for (agent, password, suggested, expected) in [
        ("bitaxe/BM1370/v2.15.0", "x", "[1000]", 512),
        ("bitaxe/BM1370/v2.15.0", "d=65536", "[1000]", 65_536),
        ("PowerPlay-BM/1.5", "d=500000", "[0.5]", 262_144),
        ("Antminer S21/Thu", "x", "[]", 16_384),
    ] {
        let mut client = Client::connect(running.address).await;
        client.ask(&format!(r#"{{"id":1,"method":"mining.subscribe","params":["{agent}"]}}"#)).await;
        client.ask(&format!(r#"{{"id":2,"method":"mining.authorize","params":["rig","{password}"]}}"#)).await;
        let told = client.line().await;
        assert_eq!(
            (&told["method"], &told["params"][0]),
            (&"mining.set_difficulty".into(), &expected.into())
        );
        assert_eq!(client.line().await["method"], "mining.notify");
        let wish = format!(r#"{{"id":3,"method":"mining.suggest_difficulty","params":{suggested}}}"#);
        assert_eq!(client.ask(&wish).await["id"], 3);
        let next = client.ask(r#"{"id":4,"method":"mining.ping","params":[]}"#).await;
        assert_eq!(next["id"], 4, "nothing was announced for the wish");
    }
    soon(running.stop()).await;
}

/// The first of the bits that may be rolled is set in the job: what leaves the version bits out has hashed it.
#[tokio::test]
async fn a_version_of_the_job_that_is_not_rolled_is_hashed_as_it_is() {
    let mut running = Setup::default().start();
    running.publish(easy(1));
    let (mut client, extranonce1) = Client::mining(&running).await;
    client.ask(r#"{"id":3,"method":"mining.configure","params":[["version-rolling"],{"version-rolling.mask":"ffffffff"}]}"#).await;
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: target(-24) };
    running.publish(JobMaker { id: 2, version: 0x3000_0000, targets, ..JobMaker::default() });
    let mut line = client.line().await;
    while line["method"] != "mining.notify" {
        line = client.line().await;
    }
    let job = Notified::read(&line);
    let extranonce1 = format!("{:08x}", u32::from_be_bytes(extranonce1));
    let filled = Filled { extranonce1: &extranonce1, extranonce2: "0000000000000000", ..Filled::default() };
    let nonce = job.mine(&filled, 1.0 / 16_777_216.0);
    let answer = client.ask(&submit_at(job.time, 9, 2, nonce)).await;
    assert_eq!(answer["result"], true, "{answer}");
    let share = soon(running.shares.recv()).await.expect("a share");
    assert_eq!(share.header.version.to_consensus(), 0x3000_0000);
    let hash = job.hash(&Filled { nonce, ..filled });
    assert_eq!(share.id.0, hash, "what the miner hashed");
    soon(running.stop()).await;
}
