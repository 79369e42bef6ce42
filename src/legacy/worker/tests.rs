//! One worker by a clock of the tests' own.

use super::*;
use crate::stratum::sessions::Sessions;
use crate::stratum::visitor::{Protocol, Visitor};
use crate::test_jobs::{JobMaker, MADE_AT, target};
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::net::{Ipv4Addr, SocketAddr};

const SECOND: Duration = Duration::from_secs(1);

struct Script {
    worker: Worker,
    start: Instant,
    next_id: u32,
}

impl Script {
    fn new(hardness: impl FnOnce(Instant) -> Hardness) -> Self {
        let start = Instant::now();
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let visitor = Visitor::new(remote, Protocol::Legacy, start);
        let place = Sessions::new(7, 1).admit(visitor).expect("room");
        Self { worker: Worker::new(place, hardness(start), None, start), start, next_id: 1 }
    }

    /// Whose difficulty begins at 2^`exponent`.
    fn measured(exponent: i32) -> Self {
        Self::new(|now| Hardness::Measured(Vardiff::new(Difficulty::power_of_two(exponent), now)))
    }

    fn now(&self, seconds: u32) -> Now {
        Now { instant: self.start + SECOND * seconds, unix: MADE_AT + seconds }
    }

    fn request(&mut self, seconds: u32) -> bool {
        self.worker.on_request(self.now(seconds).instant)
    }

    fn serve(&mut self, job: JobMaker, seconds: u32) -> Work {
        self.next_id += 1;
        self.worker.serve(Arc::new(job.job()), JobId(0x8000_0000 + self.next_id), self.now(seconds))
    }

    fn submit(&mut self, header: Header, seconds: u32) -> Result<(), Rejection> {
        let now = self.now(seconds);
        self.worker.submit(&Submission { header, coinbase: None, id: None }, None, now).1
    }
}

/// A job that any hash is a share of.
fn easy() -> JobMaker {
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: Target::MAX };
    JobMaker { targets, ..JobMaker::default() }
}

/// A job that limits nobody's difficulty.
fn hard() -> JobMaker {
    JobMaker::default()
}

#[test]
fn work_is_bounded_and_forgotten_with_its_worker() {
    let mut script = Script::measured(0);
    let first = script.serve(easy(), 0);
    for _ in 1..MAX_WORKS {
        script.serve(easy(), 1);
    }
    assert_eq!(script.submit(first.header(), 1), Ok(()));
    script.serve(easy(), 1);
    assert_eq!(script.submit(first.header(), 1), Err(Rejection::UnknownWork));
    assert_eq!(script.worker.works.len(), MAX_WORKS);
    script.serve(easy(), 602);
    assert_eq!(script.worker.works.len(), 1, "the others are older than ten minutes");

    assert!(script.request(700));
    assert!(!script.worker.is_gone(script.now(1_300).instant));
    assert!(script.worker.is_gone(script.now(1_301).instant));
}

#[test]
fn no_two_pieces_of_work_are_the_same_even_of_one_job() {
    let mut script = Script::measured(0);
    let works: Vec<Work> = (0..50).map(|_| script.serve(easy(), 0)).collect();
    for (n, work) in works.iter().enumerate() {
        assert_eq!(work.extranonce[..4], [0, 0, 0, 7]);
        assert_eq!(work.extranonce[FIXED..], [0; 4], "the miner's");
        assert!(works[..n].iter().all(|other| other.root != work.root));
    }
}

#[test]
fn a_worker_whose_work_is_all_refused_is_sent_away_after_three_minutes() {
    let mut script = Script::measured(0);
    let work = script.serve(easy(), 0);
    for second in 0..8 {
        let mut header = work.header();
        header.merkle_root = bitcoin::TxMerkleNode::all_zeros();
        assert_eq!(script.submit(header, second), Err(Rejection::UnknownWork));
        assert!(script.request(second));
    }
    // Over HTTP nothing can be said at two minutes, when Stratum asks a device to connect again.
    assert!(script.request(120) && script.request(179));
    assert!(!script.request(180));
    assert_eq!(script.submit(work.header(), 181), Ok(()));
    assert!(script.request(182), "one that is accepted makes up for all");
    (0..8).for_each(|_| script.worker.refuse(script.start));
    assert!(script.request(200) && !script.request(201), "and so it goes for what cannot even be read");
}

#[test]
fn difficulty_falls_while_a_worker_finds_nothing_and_not_while_it_is_away() {
    let mut script = Script::measured(20);
    script.request(0);
    assert_eq!(script.serve(hard(), 0).served.difficulty, Difficulty::power_of_two(20));
    script.request(151);
    let back = script.serve(hard(), 151).served.difficulty;
    assert_eq!(back, Difficulty::power_of_two(20), "it had nothing to do");
    assert!((152..200).all(|second| script.request(second)));
    assert!(script.serve(hard(), 200).served.difficulty < back);
    assert_eq!(script.worker.learnt(), None, "there is nothing to remember of one that found nothing");

    let mut fixed = Script::new(|_| Hardness::Fixed(Difficulty::power_of_two(20)));
    assert!((0..1_000).all(|second| fixed.request(second)));
    assert_eq!(fixed.serve(hard(), 1_000).served.difficulty, Difficulty::power_of_two(20));
    let share = Targets { share: target(5), ..hard().targets };
    let limited = fixed.serve(JobMaker { targets: share, ..hard() }, 1_000);
    assert_eq!(limited.served.difficulty, Difficulty::power_of_two(5), "never harder than a share");
    assert_eq!(fixed.serve(hard(), 1_000).served.difficulty, Difficulty::power_of_two(20), "and back");
}

#[test]
fn what_was_learnt_of_a_worker_is_its_difficulty_now() {
    let mut script = Script::measured(-32);
    let work = script.serve(easy(), 0);
    assert_eq!(script.submit(work.header(), 1), Ok(()));
    assert_eq!(script.worker.learnt(), Some(Difficulty::MIN));
}
