//! Both kinds of channels, from the handshake to the share that the node judged.

use super::{Channel, Client, Running, Said, Setup, soon};
use crate::support::jobs::{CHAIN, JobMaker, target};
use commonwork::stratum::visitor::Protocol;
use commonwork::stratum_v2::authority::Authority;
use mining_sv2::CloseChannelOwned;
use parsers_sv2::{CommonMessagesOwned, MiningOwned};
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::sync::Arc;

const STANDARD_JOBS: u32 = 1;

/// Every hash is a share, every 32nd a Bitcoin block.
fn job(id: u32) -> JobMaker {
    let targets = Targets { network: target(-27), block: target(-29), share: target(-32) };
    JobMaker { id, targets, branch_len: 5, outputs: 3, ..JobMaker::default() }
}

async fn mine(running: &mut Running, client: &mut Client, channel: &mut Channel, shares: u32) {
    for sequence in 0..shares {
        let solved = channel.solve(channel.sequence * 100_000);
        client.say(solved.submit.clone()).await;
        match channel.answer(client).await {
            Said::Mining(MiningOwned::SubmitSharesSuccess(ok)) => {
                assert_eq!((ok.channel_id, ok.new_submits_accepted_count), (channel.id, 1));
                assert_eq!(ok.last_sequence_number, channel.sequence);
            }
            other => panic!("{other:?}"),
        }
        let candidate = soon(running.shares.recv()).await.expect("a share");
        assert_eq!(candidate.id.0, solved.hash, "what the miner hashed is what the node judged");
        assert_eq!(candidate.share().expect("a share chain's").0.id(CHAIN), candidate.id);
        assert!(candidate.judge().share);
        if sequence == shares / 2 {
            // No id comes twice: the content differs by the second.
            running.publish(job(1_000 * channel.id + channel.sequence));
        }
    }
}

#[tokio::test]
async fn shares_of_header_only_work_are_what_the_node_judged() {
    let mut running = Setup::default().start();
    running.publish(job(1));
    let mut client = running.client(STANDARD_JOBS).await;
    let mut channel = client.standard("rig").await;
    assert_eq!(channel.prefix.len(), 12);
    mine(&mut running, &mut client, &mut channel, 12).await;
    // A Bitcoin block is given away before its share is.
    while running.blocks.0.lock().expect("no panic").is_empty() {
        mine(&mut running, &mut client, &mut channel, 4).await;
    }
    assert!(running.blocks.0.lock().expect("no panic")[0].judge().bitcoin_block);
    assert_eq!(running.asked(), [360], "the class of those that see no coinbase");
    let seen = running.miners().pop().expect("one miner");
    assert_eq!((seen.who.user.as_str(), seen.who.user_agent.as_str()), ("rig", "test 1 2"));
    assert!(seen.tally.accepted >= 12 && seen.tally.refused.total() == 0);
    assert_eq!((seen.visitor.protocol, seen.visitor.port), (Protocol::StratumV2, running.address.port()));
    assert_eq!((seen.who.class, seen.difficulty.is_some()), (Some(360), true));
    assert!(seen.hash_rate > 0.0 && seen.best.is_some() && seen.last_share.is_some());
    soon(running.stop()).await;
}

#[tokio::test]
async fn shares_of_extended_work_are_what_the_node_judged() {
    let mut running = Setup::default().start();
    running.publish(job(1));
    let mut client = running.client(0).await;
    let mut channel = client.extended("rig").await;
    assert_eq!((channel.prefix.len(), channel.rolled), (4, 8));
    mine(&mut running, &mut client, &mut channel, 12).await;
    assert_eq!(running.asked(), [11]);
    soon(running.stop()).await;
}

#[tokio::test]
async fn channels_of_one_connection_are_told_apart_and_closed_one_by_one() {
    let mut running = Setup::default().start();
    running.publish(job(1));
    let mut client = running.client(0).await;
    let mut standard = client.standard("rig.a").await;
    let mut extended = client.extended("rig.b").await;
    assert_ne!(standard.prefix[..4], extended.prefix[..4]);
    mine(&mut running, &mut client, &mut extended, 1).await;
    let solved = standard.solve(0);
    let close =
        CloseChannelOwned { channel_id: standard.id, reason_code: b"done".try_into().expect("short") };
    client.say(MiningOwned::CloseChannel(close)).await;
    client.say(solved.submit).await;
    let answer = loop {
        match client.hear().await {
            Said::Mining(MiningOwned::SubmitSharesError(error)) => break error,
            other => {
                extended.follow(other);
            }
        }
    };
    assert_eq!(answer.error_code.as_utf8_or_hex(), "invalid-channel-id");
    assert_eq!(running.sessions.count(), 1);
    // It was a share all the same.
    assert_eq!(soon(running.shares.recv()).await.expect("a share").id.0, solved.hash);
    mine(&mut running, &mut client, &mut extended, 2).await;
    soon(running.stop()).await;
}

#[tokio::test]
async fn error_codes_reach_the_miner_and_a_stale_bitcoin_block_the_node() {
    let every_hash_is_a_block = Targets { network: Target::MAX, block: Target::MIN, share: Target::MAX };
    let easy = JobMaker { targets: every_hash_is_a_block, ..JobMaker::default() };
    let mut running = Setup::default().start();
    running.publish(easy.clone());
    let mut client = running.client(STANDARD_JOBS).await;
    let mut channel = client.standard("rig").await;
    let solved = channel.solve(0);
    client.say(solved.submit.clone()).await;
    assert!(matches!(channel.answer(&mut client).await, Said::Mining(MiningOwned::SubmitSharesSuccess(_))));
    let mut expect = async |submit: MiningOwned, code: &str| {
        client.say(submit).await;
        match channel.answer(&mut client).await {
            Said::Mining(MiningOwned::SubmitSharesError(error)) => {
                assert_eq!(error.error_code.as_utf8_or_hex(), code);
            }
            other => panic!("{code}: {other:?}"),
        }
    };
    expect(solved.submit.clone(), "duplicate-share").await;
    let MiningOwned::SubmitSharesStandard(submit) = solved.submit else { panic!("standard") };
    let mut wrong = submit.clone();
    wrong.job_id ^= 0xff;
    expect(MiningOwned::SubmitSharesStandard(wrong), "invalid-job-id").await;
    let mut late = submit.clone();
    late.ntime += 20_000;
    expect(MiningOwned::SubmitSharesStandard(late), "invalid-share").await;
    // The block is two behind by now.
    running.publish(JobMaker { id: 2, height: 900_002, prev_block: 9, ..easy });
    let (mut stale, mut nonce) = (submit, 1);
    loop {
        stale.nonce = nonce;
        client.say(MiningOwned::SubmitSharesStandard(stale.clone())).await;
        match channel.answer(&mut client).await {
            Said::Mining(MiningOwned::SubmitSharesError(error)) => {
                assert_eq!(error.error_code.as_utf8_or_hex(), "stale-share");
                break;
            }
            // The job was faster.
            Said::Mining(MiningOwned::SubmitSharesSuccess(_)) => nonce += 1,
            other => panic!("{other:?}"),
        }
    }
    let blocks = running.blocks.0.lock().expect("no panic").clone();
    assert_eq!(blocks.last().expect("a block").header.nonce, nonce, "submitted all the same");
    while running.shares.try_recv().is_ok() {}
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_server_with_another_key_is_not_believed() {
    let running = Setup::default().start();
    let other = Authority::generate().expect("a key");
    assert!(Client::connect(running.address, Some(*other.public())).await.is_err());
    assert!(Client::connect(running.address, None).await.is_ok(), "who does not care is served");
    soon(running.stop()).await;
}

#[tokio::test]
async fn a_bitcoin_block_counts_though_the_node_leaves_at_once() {
    let every_hash_is_a_block = Targets { network: Target::MAX, block: Target::MIN, share: Target::MAX };
    let running = Setup::default().start();
    running.publish(JobMaker { targets: every_hash_is_a_block, ..JobMaker::default() });
    let mut client = running.client(STANDARD_JOBS).await;
    let mut channel = client.standard("rig").await;
    client.say(channel.solve(0).submit).await;
    let blocks = Arc::clone(&running.blocks);
    let mut shares = soon(running.stop()).await;
    assert_eq!(blocks.0.lock().expect("no panic").len(), 1);
    assert!(shares.recv().await.is_some());
}

#[tokio::test]
async fn a_stop_is_told_to_those_who_are_connected() {
    let running = Setup::default().start();
    running.publish(job(1));
    let mut client = running.client(STANDARD_JOBS).await;
    client.standard("rig").await;
    running.shutdown.cancel();
    let said = client.hear().await;
    assert!(
        matches!(&said, Said::Common(CommonMessagesOwned::Reconnect(to)) if to.new_port == 0),
        "{said:?}"
    );
    assert!(client.next().await.is_none());
    soon(running.stop()).await;
}
