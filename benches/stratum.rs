//! What the Stratum side costs inside the process: a submit to its answer, and the making and writing of jobs.

#[path = "../tests/support/jobs.rs"]
mod jobs;

use commonwork::stratum::device::PayoutClasses;
use commonwork::stratum::session::{Now, Session, SessionConfig};
use commonwork::stratum::sessions::Sessions;
use commonwork::stratum::visitor::{Protocol, Visitor};
use commonwork::work::job::{Job, JobIds};
use divan::Bencher;
use divan::counter::ItemsCount;
use jobs::{JobMaker, MADE_AT, owner, target};
use sharechain::params::Network;
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

fn main() {
    divan::main();
}

/// 4,096 transactions, and a coinbase of the smallest class.
fn maker(share: Target) -> JobMaker {
    let targets = Targets { network: Target::MIN, block: Target::MIN, share };
    JobMaker { branch_len: 12, outputs: 12, targets, ..JobMaker::default() }
}

fn now() -> Now {
    Now { instant: Instant::now(), unix: MADE_AT }
}

fn session(job: &Arc<Job>) -> Session {
    let ids = Arc::new(JobIds::starting_at(1_000));
    let classes = PayoutClasses::new(&[11], []);
    let config =
        SessionConfig { default_owner: Some(owner(1)), ..SessionConfig::new(Network::Main, classes, ids) };
    let visitor = Visitor::new((Ipv4Addr::LOCALHOST, 1).into(), Protocol::Stratum, Instant::now());
    let place = Sessions::new(0x0102_0304, 1).admit(visitor).expect("room");
    let mut session = Session::new(Arc::new(config), place, now());
    session.on_line(br#"{"id":1,"method":"mining.subscribe","params":["bench"]}"#, now());
    session.on_line(br#"{"id":2,"method":"mining.authorize","params":["rig"]}"#, now());
    session.on_job(Arc::clone(job));
    session.take_output(&mut Vec::new(), now());
    session
}

fn bench_submits(bencher: Bencher<'_, '_>, share: Target) {
    let job = Arc::new(maker(share).job());
    let mut session = session(&job);
    let (mut count, mut out) = (0_u64, Vec::new());
    bencher
        .counter(ItemsCount::new(1_u64))
        .with_inputs(|| {
            count += 1;
            format!(
                r#"{{"id":{count},"method":"mining.submit","params":["rig","00000001","{count:016x}","{MADE_AT:08x}","0badf00d","00000000"]}}"#
            )
        })
        .bench_local_refs(|line| {
            out.clear();
            let event = session.on_line(line.as_bytes(), now());
            session.take_output(&mut out, now());
            black_box((event, out.len()))
        });
}

/// Line in, answer out: the share is accepted and passed on.
#[divan::bench]
fn submit_accepted(bencher: Bencher<'_, '_>) {
    bench_submits(bencher, Target::MAX);
}

/// Line in, answer out: the share is too easy.
#[divan::bench]
fn submit_of_low_difficulty(bencher: Bencher<'_, '_>) {
    bench_submits(bencher, target(30));
}

/// Parts to a job with its text.
#[divan::bench(args = [12, 250])]
fn job_from_parts(bencher: Bencher<'_, '_>, outputs: u8) {
    let maker = JobMaker { outputs, ..maker(Target::MIN) };
    bencher.with_inputs(|| maker.parts()).bench_values(Job::new);
}

/// One job to the bytes for 1,000 connections.
#[divan::bench(args = [12, 250])]
fn notify_1_000_sessions(bencher: Bencher<'_, '_>, outputs: u8) {
    let job = Arc::new(JobMaker { outputs, ..maker(Target::MIN) }.job());
    let mut sessions: Vec<Session> = (0..1_000).map(|_| session(&job)).collect();
    bencher.bench_local(|| {
        for session in &mut sessions {
            let mut out = Vec::new();
            session.on_job(Arc::clone(&job));
            session.take_output(&mut out, now());
            black_box(out);
        }
    });
}
