//! The operator's fee: a part of the work of others' hardware, mined for the operator's address instead.
//!
//! Each session keeps an account of its own ([`Toll`]), in expected hashes and in integers. Whenever a job is to be
//! served, the account says whether it is served as its owner's or as the fee's; what is then found tells what was
//! mined. No randomness is used but to choose where in its cycle a session begins.

use super::job::Job;
use sharechain::owner::Owner;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// One is all of the work.
const WHOLE: u16 = 10_000;

/// How large the fee is, and whom it is for.
#[derive(Clone, Debug)]
pub struct Fee {
    per_10_000: u16,
    owner: Owner,
    /// Another address of the operator.
    exempt: Option<Owner>,
    /// Nobody else knows where in its cycle a session begins.
    key: RandomState,
}

impl Fee {
    /// So many ten thousandths of the work, for this owner. Work for `owner` and for `exempt` is free of it.
    pub fn new(per_10_000: u16, owner: Owner, exempt: Option<Owner>) -> Self {
        Self { per_10_000: per_10_000.min(WHOLE), owner, exempt, key: RandomState::new() }
    }

    /// Its part of the work in ten thousandths.
    pub const fn per_10_000(&self) -> u16 {
        self.per_10_000
    }

    /// Whom it is for.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether those who mine for this owner pay it.
    pub fn is_paid_by(&self, owner: &Owner) -> bool {
        *owner != self.owner && self.exempt.as_ref() != Some(owner)
    }

    /// The account of a new session; `number` is what tells it from others.
    pub fn toll(&self, number: [u8; 4]) -> Toll {
        let start = self.key.hash_one(number) % u64::from(WHOLE);
        Toll::new(self.per_10_000, self.owner, u16::try_from(start).unwrap_or(0))
    }
}

/// As people read it: `0.5 %`.
impl fmt::Display for Fee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&percent(self.per_10_000))
    }
}

/// Ten thousandths as a percentage for people.
pub fn percent(per_10_000: u16) -> String {
    let (whole, rest) = (per_10_000 / 100, per_10_000 % 100);
    let decimals = format!("{rest:02}");
    match decimals.trim_end_matches('0') {
        "" => format!("{whole} %"),
        decimals => format!("{whole}.{decimals} %"),
    }
}

/// What one session has mined for the fee, beside what it should have.
#[derive(Clone, Debug)]
pub struct Toll {
    per_10_000: u16,
    owner: Owner,
    /// For whom the session mines; none before its first job.
    miner: Option<Owner>,
    /// Ten thousandths of hashes by which the fee is behind its part; below zero it is ahead.
    owed: i128,
    /// Ten thousandths of a job's work that may be owed before the fee gets a job: where in its cycle the session
    /// began. Any number is as likely as any other, so that a session of any length pays its part on average.
    start: u16,
}

impl Toll {
    const fn new(per_10_000: u16, owner: Owner, start: u16) -> Self {
        Self { per_10_000, owner, miner: None, owed: 0, start }
    }

    /// The form in which a job is to be served: itself, or the one that is mined for the fee. `hashes` is the work
    /// that the session may be expected to do on it. A session that is resumed for another owner keeps what it owes, and nothing of what it was ahead.
    pub fn choose(&mut self, job: Arc<Job>, hashes: u128) -> Arc<Job> {
        if self.miner != Some(*job.owner()) {
            (self.miner, self.owed) = (Some(*job.owner()), self.owed.max(0));
        }
        match job.for_fee() {
            Some(for_fee) if self.is_due(hashes) => Arc::clone(for_fee),
            _ => job,
        }
    }

    /// Counts accepted work, of this many expected hashes, on a job that was served: a payer's, or the fee's. What is
    /// mined for the fee's owner by hardware of its own is no fee.
    pub fn count(&mut self, job: &Job, hashes: u128) {
        let is_for_fee = *job.owner() == self.owner && self.miner.is_some_and(|miner| miner != self.owner);
        if is_for_fee || job.for_fee().is_some() {
            self.add(is_for_fee, hashes);
        }
    }

    /// Whether more would be owed after the next job than where the cycle began, were it not for the fee.
    fn is_due(&self, hashes: u128) -> bool {
        let limit = (i128::from(self.start) - i128::from(self.per_10_000)).saturating_mul(signed(hashes));
        self.owed > limit
    }

    fn add(&mut self, is_for_fee: bool, hashes: u128) {
        let part = i128::from(self.per_10_000);
        let owed = if is_for_fee { part - i128::from(WHOLE) } else { part };
        self.owed = self.owed.saturating_add(owed.saturating_mul(signed(hashes)));
    }
}

fn signed(hashes: u128) -> i128 {
    i128::try_from(hashes).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::{JobMaker, owner};
    use proptest::prelude::*;

    fn toll(per_10_000: u16, start: u16) -> Toll {
        Toll::new(per_10_000, owner(9), start)
    }

    /// Jobs for the fee among the first `count`, each with the same work.
    fn fee_jobs(mut toll: Toll, count: u32, hashes: u128) -> u32 {
        let mut fee = 0;
        for _ in 0..count {
            let due = toll.is_due(hashes);
            toll.add(due, hashes);
            fee += u32::from(due);
        }
        fee
    }

    proptest! {
        #[test]
        fn of_equal_jobs_the_fee_gets_its_part_to_within_one(
            part in 0_u16..=1_000, start in 0_u16..10_000, count in 0_u32..5_000, hashes in 1_u128..1 << 80
        ) {
            let fee = i64::from(fee_jobs(toll(part, start), count, hashes)) * 10_000;
            let due = i64::from(count) * i64::from(part);
            prop_assert!((fee - due).abs() < 10_000, "{fee} of {due}");
        }

        /// However the work of jobs differs from what was expected, and however that changes.
        #[test]
        fn of_any_jobs_the_fee_gets_its_part_to_within_the_work_of_one(
            part in 0_u16..=1_000,
            start in 0_u16..10_000,
            jobs in prop::collection::vec((1_u128..1 << 60, 0_u128..1 << 60), 0..400),
        ) {
            let mut toll = toll(part, start);
            let (mut fee, mut all, mut most_expected, mut most_done) = (0, 0, 0, 0);
            for (expected, done) in jobs {
                let due = toll.is_due(expected);
                toll.add(due, done);
                fee += if due { done } else { 0 };
                all += done;
                most_expected = most_expected.max(expected);
                most_done = most_done.max(done);
                let off = (fee * 10_000).abs_diff(all * u128::from(part));
                prop_assert!(off <= 10_000 * (most_expected + most_done), "{off}");
            }
        }

        /// Whoever leaves after any number of jobs has paid the part on average, no matter how long the jobs were.
        #[test]
        fn sessions_of_any_length_pay_their_part_on_average(part in 0_u16..=1_000, count in 1_u32..40) {
            let fee: u64 = (0..WHOLE).map(|start| u64::from(fee_jobs(toll(part, start), count, 77))).sum();
            prop_assert_eq!(fee, u64::from(count) * u64::from(part));
        }
    }

    #[test]
    fn who_mines_on_nothing_but_old_jobs_of_their_own_is_given_nothing_but_the_fees() {
        let mut toll = toll(100, 5_000);
        let first_due = (0..200).position(|_| {
            let due = toll.is_due(50);
            toll.add(false, 50);
            due
        });
        assert_eq!(first_due, Some(50));
        assert!(toll.is_due(50));
        (0..3).for_each(|_| toll.add(true, 50));
        assert!(!toll.is_due(50), "paid");
    }

    #[test]
    fn jobs_are_served_as_they_are_or_as_the_fees() {
        let fee = Fee::new(10_000, owner(9), Some(owner(2)));
        assert!(fee.is_paid_by(&owner(1)) && !fee.is_paid_by(&owner(2)) && !fee.is_paid_by(&owner(9)));
        let for_fee = Arc::new(JobMaker { id: 2, owner: owner(9), ..JobMaker::default() }.job());
        let plain = Arc::new(JobMaker::default().job());
        let both = Arc::new(JobMaker::default().job().with_fee(Arc::clone(&for_fee)));
        let mut toll = fee.toll([0, 0, 0, 1]);
        assert!(Arc::ptr_eq(&toll.choose(Arc::clone(&both), 100), &for_fee), "all of it is the fee's");
        assert!(Arc::ptr_eq(&toll.choose(Arc::clone(&plain), 100), &plain), "there is no other form");
        toll.per_10_000 = 1;
        toll.count(&for_fee, 100);
        assert!(Arc::ptr_eq(&toll.choose(Arc::clone(&both), 100), &both), "paid for long");
        toll.count(&both, 100 * 20_000);
        assert!(Arc::ptr_eq(&toll.choose(both, 100), &for_fee));
    }

    #[test]
    fn a_session_that_is_resumed_for_another_owner_owes_what_it_owed_and_has_paid_nothing() {
        let fee = Fee::new(5_000, owner(9), Some(owner(2)));
        let toll = || fee.toll([0, 0, 0, 1]);
        let job = |number| Arc::new(JobMaker { owner: owner(number), ..JobMaker::default() }.job());
        let (operators, exempt, for_fee) = (job(9), job(2), job(9));
        let others = Arc::new(JobMaker { owner: owner(1), ..JobMaker::default() }.job().with_fee(for_fee));
        let fresh = toll().choose(Arc::clone(&others), 100);
        let mut debtor = toll();
        debtor.choose(Arc::clone(&others), 100);
        debtor.count(&others, 1 << 60);
        let third = JobMaker { owner: owner(3), ..JobMaker::default() }.job().with_fee(job(9));
        let chosen = debtor.choose(Arc::new(third), 100);
        assert_eq!(chosen.owner(), &owner(9), "the fee's");
        for first in [operators, exempt] {
            let mut toll = toll();
            toll.choose(Arc::clone(&first), 100);
            toll.count(&first, 1 << 60);
            let chosen = toll.choose(Arc::clone(&others), 100);
            assert!(Arc::ptr_eq(&chosen, &fresh), "as one that just came");
        }
    }

    #[test]
    fn percentages_are_as_people_write_them() {
        for (per_10_000, text) in
            [(50, "0.5 %"), (1, "0.01 %"), (100, "1 %"), (1_000, "10 %"), (125, "1.25 %"), (0, "0 %")]
        {
            assert_eq!(percent(per_10_000), text);
        }
        assert_eq!(Fee::new(50, owner(1), None).to_string(), "0.5 %");
    }

    #[test]
    fn sessions_begin_anywhere_in_their_cycles() {
        let fee = Fee::new(50, owner(1), None);
        let starts: Vec<u16> = (0..1_000_u32).map(|n| fee.toll(n.to_be_bytes()).start).collect();
        // Of a fair thousand each tenth has 100, give or take 9.5.
        for tenth in 0..10_u16 {
            let count = starts.iter().filter(|start| **start / 1_000 == tenth).count();
            assert!((30..170).contains(&count), "{count} in tenth {tenth}");
        }
        assert_eq!(fee.toll([0, 0, 0, 7]).start, starts[7], "the same session begins at the same place");
    }
}
