//! Jobs of all payout classes: which one a job gets when the template leaves less room, and that a client that puts
//! together what it was told hashes the very header that the server judges.

use super::rebuild::{Filled, Notified};
use super::{Client, Setup, soon};
use crate::support::rig::{Rig, owner, params};
use bitcoin::hashes::Hash;
use bitcoin::{Txid, Wtxid};
use commonwork::bitcoin::{Template, TemplateTx};
use commonwork::work::job::{Job, JobIds};
use commonwork::work::maker::{Aim, Hashed, JobMaker, PoolAim, Round};
use commonwork::work::series::SeriesKey;
use sharechain::params::ChainParams;
use sharechain::target::Target;
use std::sync::Arc;

/// Weight units and cost of the one other transaction.
const OTHERS: u64 = 4_000;

/// A chain with these classes, whose next coinbase has so many owners to pay.
fn rig(classes: &[u16], owners: u8) -> (Rig, ChainParams) {
    let classes = classes.to_vec();
    let params = ChainParams { classes, payout_interval: 1, base_depth: 1, window_blocks: 600, ..params() };
    let mut rig = Rig::with(params.clone());
    for round in 0..2 * u32::from(owners) {
        rig.block(u8::try_from(round % u32::from(owners)).expect("an owner"));
    }
    rig.bitcoin_block();
    rig.block(0);
    rig.block(1);
    (rig, params)
}

/// A job of the largest class on a template with these limits.
fn job(rig: &mut Rig, params: &ChainParams, weight_limit: u64, sigop_limit: u64) -> Job {
    let class = *params.classes.last().expect("a class");
    job_of(rig, params, class, (weight_limit, sigop_limit))
}

fn job_of(rig: &mut Rig, params: &ChainParams, class: u16, (weight_limit, sigop_limit): (u64, u64)) -> Job {
    let (header, draft) = (rig.header(), rig.draft());
    let other = TemplateTx {
        raw: vec![0; 1_000].into(),
        txid: Txid::from_byte_array([1; 32]),
        wtxid: Wtxid::from_byte_array([1; 32]),
        fee: 77,
        weight: OTHERS,
        sigops: OTHERS,
    };
    let template = Template {
        prev_block: header.prev_block,
        height: draft.context.height,
        version: header.version.to_consensus(),
        bits: header.bits,
        target: draft.context.network_target,
        current_time: header.time,
        min_time: header.time,
        coinbase_value: 5_000_000_077,
        transactions: vec![other],
        weight_limit,
        sigop_limit,
        known_commitment: None,
        long_poll_id: None,
    };
    let round = Round {
        hashed: Hashed::new(Arc::new(template)),
        header,
        aim: Aim::Pool(Arc::new(PoolAim {
            params: Arc::new(params.clone()),
            chain: params.chain_id(),
            draft,
            share_target: Target::MAX,
        })),
    };
    let ids = JobIds::starting_at(u32::from(class));
    let mut maker = JobMaker::new(Arc::new(ids), [0; 4]);
    maker.job(&round, SeriesKey { owner: owner(0), class }).expect("a job")
}

fn class_of(job: &Job) -> u16 {
    job.commitment().expect("a share chain's").class
}

fn value_of(job: &Job) -> u64 {
    job.commitment().expect("a share chain's").coinbase_value
}

fn weight_of(job: &Job) -> u64 {
    let coinbase = sharechain::coinbase::weight(job.coinbase(&[0; 12]).len()) as u64;
    coinbase + 80 * 4 + 4 + OTHERS
}

#[test]
fn the_class_falls_back_before_transactions_are_left_out() {
    let (mut rig, params) = rig(&[1, 3, 11], 5);
    let plenty = 4_000_000;
    let full = job(&mut rig, &params, plenty, plenty);
    assert_eq!((class_of(&full), full.template().transactions.len()), (11, 1));
    let needed = weight_of(&full);
    let exact = job(&mut rig, &params, needed, plenty);
    assert_eq!((class_of(&exact), exact.template().transactions.len()), (11, 1));

    let mut limit = needed - 1;
    for class in [3, 1] {
        let fallen = job(&mut rig, &params, limit, plenty);
        assert_eq!((class_of(&fallen), fallen.template().transactions.len()), (class, 1));
        assert_eq!(value_of(&fallen), 5_000_000_077);
        assert!(weight_of(&fallen) <= limit);
        limit = weight_of(&fallen) - 1;
    }
    let trimmed = job(&mut rig, &params, limit, plenty);
    assert_eq!((class_of(&trimmed), trimmed.template().transactions.len()), (1, 0));
    assert_eq!(value_of(&trimmed), 5_000_000_000, "without that one's fee");

    // Signature operations: the rig's owners have none in their outputs, so they fall back only when nothing is left.
    assert_eq!(class_of(&job(&mut rig, &params, plenty, OTHERS)), 11);
    let none = job(&mut rig, &params, plenty, OTHERS - 1);
    assert_eq!((class_of(&none), none.template().transactions.len()), (1, 0));
}

#[tokio::test]
async fn jobs_of_every_class_are_rebuilt_by_a_client_to_the_hash_that_the_server_judges() {
    let classes = [11, 38, 145, 360];
    let (mut rig, params) = rig(&classes, 250);
    let plenty = (4_000_000, 80_000);
    let jobs: Vec<Job> = classes.iter().map(|class| job_of(&mut rig, &params, *class, plenty)).collect();
    let mut running = Setup { by_class: jobs, ..Setup::default() }.start();
    let mut sizes = Vec::new();
    for class in classes {
        let mut client = Client::connect(running.address).await;
        let configure = r#"{"id":1,"method":"mining.configure","params":[["version-rolling"],{}]}"#;
        assert_eq!(client.ask(configure).await["result"]["version-rolling.mask"], "1fffe000");
        let subscribed = client.ask(r#"{"id":2,"method":"mining.subscribe","params":[]}"#).await;
        let extranonce1 = subscribed["result"][1].as_str().expect("text").to_owned();
        client.ask(&format!(r#"{{"id":3,"method":"mining.authorize","params":["rig","c={class}"]}}"#)).await;
        let difficulty = client.line().await["params"][0].as_f64().expect("a number");
        let job = Notified::read(&client.line().await);
        sizes.push(job.coinbase_len());
        for n in 0..20_u32 {
            let (extranonce2, bits) = (format!("{:016x}", u64::from(n) << 40), n << 13);
            let mask = 0x1fff_e000;
            let filled =
                Filled { extranonce1: &extranonce1, extranonce2: &extranonce2, mask, bits, nonce: 0 };
            // The difficulty is the share target's, rounded down to a power of two; twice as hard is a share surely.
            let nonce = job.mine(&filled, difficulty * 2.0);
            let hash = job.hash(&Filled { nonce, ..filled });
            let (id, time) = (&job.id, job.time);
            let line = format!(
                r#"{{"id":4,"method":"mining.submit","params":["rig","{id}","{extranonce2}","{time:08x}","{nonce:08x}","{bits:08x}"]}}"#
            );
            let answer = client.ask(&line).await;
            assert_eq!(answer["result"], true, "{class}: {answer}");
            let candidate = soon(running.shares.recv()).await.expect("a share");
            assert_eq!((candidate.id.0, class_of(&candidate.job)), (hash, class));
        }
    }
    assert!(sizes.is_sorted_by(|a, b| a < b), "{sizes:?}: each class pays more owners than the one before");
    // 250 owners of 31 bytes each, all in the largest class.
    assert!(sizes[3] > 250 * 31 && sizes[0] < 11 * 31 + 300, "{sizes:?}");
    soon(running.stop()).await;
}
