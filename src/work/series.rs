//! The jobs asked for: one series for each owner and payout class that somebody mines for.

use super::fee::Fee;
use super::job::Job;
use super::source::WorkSource;
use sharechain::owner::Owner;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Notify, watch};

/// Most series at a time: owners times classes that one node serves. Each takes memory for the jobs of ten minutes.
pub const MAX_SERIES: usize = 1_024;

/// What a series is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Whom the shares are credited to.
    pub owner: Owner,
    /// The payout class.
    pub class: u16,
}

type JobSender = watch::Sender<Option<Arc<Job>>>;

/// The register of series, shared by those who ask for jobs and the builder who makes them.
///
/// The lock is held for look-ups only, never while a job is made.
#[derive(Debug, Default)]
pub struct SeriesRegister {
    series: Mutex<BTreeMap<SeriesKey, JobSender>>,
    asked: Notify,
}

/// Which series get a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Every one.
    All,
    /// Those that have none yet.
    Newcomers,
}

impl SeriesRegister {
    /// Gives these series a new job, and with it those that pay a fee another that is mined for the fee, which all
    /// series of a class share. The number of series.
    pub fn renew<E>(
        &self,
        whose: Whose,
        fee: Option<&Fee>,
        mut make: impl FnMut(SeriesKey) -> Result<Job, E>,
    ) -> Result<usize, E> {
        let mut for_fee: BTreeMap<u16, Arc<Job>> = BTreeMap::new();
        let mut live = self.live();
        live.retain(|(_, sender)| whose == Whose::All || sender.borrow().is_none());
        for (key, sender) in &live {
            let mut job = make(*key)?;
            if let Some(fee) = fee.filter(|fee| fee.is_paid_by(&key.owner)) {
                let other = match for_fee.entry(key.class) {
                    Entry::Occupied(made) => Arc::clone(made.get()),
                    Entry::Vacant(place) => {
                        let job = make(SeriesKey { owner: *fee.owner(), ..*key })?;
                        Arc::clone(place.insert(Arc::new(job)))
                    }
                };
                job = job.with_fee(other);
            }
            if let Some(old) = sender.send_replace(Some(Arc::new(job))) {
                old.on_superseded();
            }
        }
        Ok(live.len())
    }

    /// The series that somebody still listens to; the others are forgotten.
    fn live(&self) -> Vec<(SeriesKey, JobSender)> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.retain(|_, sender| sender.receiver_count() > 0);
        series.iter().map(|(key, sender)| (*key, sender.clone())).collect()
    }

    /// Waits until a new series is asked for.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Forgets all series, so that those who listen learn that there is no more work.
    pub fn close(&self) {
        self.series.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl WorkSource for SeriesRegister {
    fn subscribe(&self, owner: Owner, class: u16) -> Option<watch::Receiver<Option<Arc<Job>>>> {
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = series.get(&SeriesKey { owner, class }) {
            return Some(sender.subscribe());
        }
        if series.len() >= MAX_SERIES {
            // Those that nobody listens to any more are only looked for when their room is needed.
            series.retain(|_, sender| sender.receiver_count() > 0);
        }
        if series.len() >= MAX_SERIES {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        series.insert(SeriesKey { owner, class }, sender);
        self.asked.notify_one();
        Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::{JobMaker, owner};

    fn make(next: &mut u32, key: SeriesKey) -> Result<Job, ()> {
        *next += 1;
        Ok(JobMaker { id: *next, owner: key.owner, ..JobMaker::default() }.job())
    }

    #[test]
    fn those_who_pay_a_fee_share_its_jobs_and_the_others_have_none() {
        let register = SeriesRegister::default();
        let of = |n, class| register.subscribe(owner(n), class).expect("room");
        let series = [of(1, 11), of(2, 11), of(3, 11), of(1, 38), of(9, 11)];
        let fee = Fee::new(50, owner(9), Some(owner(3)));
        let mut next = 0;
        assert_eq!(register.renew(Whose::All, Some(&fee), |key| make(&mut next, key)), Ok(5));
        assert_eq!(next, 7, "each series has one of its own, the fee one for each class");
        let newest = |n: usize| series[n].borrow().clone().expect("a job");
        let for_fee = |n| newest(n).for_fee().cloned();
        assert_eq!(for_fee(0).map(|job| *job.owner()), Some(owner(9)));
        assert_eq!(for_fee(0).map(|job| job.id()), for_fee(1).map(|job| job.id()));
        assert_ne!(for_fee(0).map(|job| job.id()), for_fee(3).map(|job| job.id()), "another class");
        assert!(for_fee(2).is_none() && for_fee(4).is_none(), "the operator's own");
        assert_eq!(register.renew(Whose::All, None, |key| make(&mut next, key)), Ok(5));
        assert!(for_fee(0).is_none());
    }

    #[test]
    fn a_newcomer_gets_a_job_and_the_others_keep_theirs() {
        let register = SeriesRegister::default();
        let old = register.subscribe(owner(1), 11).expect("room");
        let mut next = 0;
        assert_eq!(register.renew(Whose::All, None, |key| make(&mut next, key)), Ok(1));
        let new = register.subscribe(owner(2), 11).expect("room");
        assert_eq!(register.renew(Whose::Newcomers, None, |key| make(&mut next, key)), Ok(1));
        let id = |series: &watch::Receiver<Option<Arc<Job>>>| series.borrow().as_ref().map(|job| job.id().0);
        assert_eq!((id(&old), id(&new)), (Some(1), Some(2)));
        assert_eq!(register.renew(Whose::Newcomers, None, |key| make(&mut next, key)), Ok(0));
    }

    #[test]
    fn a_full_register_says_so_until_somebody_leaves() {
        let register = SeriesRegister::default();
        let class = |n: usize| u16::try_from(n).expect("small");
        let mut all: Vec<_> = (0..MAX_SERIES).map(|n| register.subscribe(owner(1), class(n))).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(register.subscribe(owner(2), 11).is_none());
        assert!(register.subscribe(owner(1), 11).is_some(), "it is there already");
        all.swap_remove(7);
        assert!(register.subscribe(owner(2), 11).is_some());
        assert!(register.subscribe(owner(3), 11).is_some(), "nobody listens to the one before");
    }
}
