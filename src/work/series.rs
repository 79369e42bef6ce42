//! The jobs asked for: one series for each owner and payout class that somebody mines for.

use super::fee::Fee;
use super::job::Job;
use super::source::WorkSource;
use sharechain::owner::Owner;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// Most series at a time: owners times classes that one node serves. Each takes memory for the jobs of ten minutes.
pub const MAX_SERIES: usize = 1_024;
/// Most of them for one address: every fourth, as of the places for miners.
pub const MAX_SERIES_FOR_ONE: usize = MAX_SERIES / 4;

/// What a series is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Whom the shares are credited to.
    pub owner: Owner,
    /// The payout class.
    pub class: u16,
}

type JobSender = watch::Sender<Option<Arc<Job>>>;

#[derive(Debug)]
struct Series {
    jobs: JobSender,
    /// Who asked for it first, and has it counted as long as anybody listens.
    asker: Option<IpAddr>,
}

type AllSeries = BTreeMap<SeriesKey, Series>;

/// The register of series, shared by those who ask for jobs and the builder who makes them.
///
/// The lock is held for look-ups only, never while a job is made.
#[derive(Debug, Default)]
pub struct SeriesRegister {
    series: Mutex<AllSeries>,
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
        let mut series = self.lock();
        forget_unheard(&mut series);
        series.iter().map(|(key, series)| (*key, series.jobs.clone())).collect()
    }

    /// Waits until a new series is asked for.
    pub async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Forgets all series, so that those who listen learn that there is no more work.
    pub fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, AllSeries> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn forget_unheard(series: &mut AllSeries) {
    series.retain(|_, series| series.jobs.receiver_count() > 0);
}

/// Whether another may be asked for from there.
fn has_room(series: &AllSeries, asker: Option<IpAddr>) -> bool {
    let has_part = || series.values().filter(|series| series.asker == asker).count() < MAX_SERIES_FOR_ONE;
    series.len() < MAX_SERIES && (asker.is_none() || has_part())
}

impl WorkSource for SeriesRegister {
    fn subscribe(&self, key: SeriesKey, asker: Option<IpAddr>) -> Option<watch::Receiver<Option<Arc<Job>>>> {
        let mut series = self.lock();
        if let Some(known) = series.get(&key) {
            return Some(known.jobs.subscribe());
        }
        if !has_room(&series, asker) {
            // Those that nobody listens to any more are only looked for when their room is needed.
            forget_unheard(&mut series);
        }
        if !has_room(&series, asker) {
            return None;
        }
        let (jobs, receiver) = watch::channel(None);
        series.insert(key, Series { jobs, asker });
        self.asked.notify_one();
        Some(receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::{JobMaker, owner};
    use std::net::Ipv4Addr;

    fn key(n: u8, class: u16) -> SeriesKey {
        SeriesKey { owner: owner(n), class }
    }

    fn make(next: &mut u32, key: SeriesKey) -> Result<Job, ()> {
        *next += 1;
        Ok(JobMaker { id: *next, owner: key.owner, ..JobMaker::default() }.job())
    }

    #[test]
    fn those_who_pay_a_fee_share_its_jobs_and_the_others_have_none() {
        let register = SeriesRegister::default();
        let of = |n, class| register.subscribe(key(n, class), None).expect("room");
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
        let old = register.subscribe(key(1, 11), None).expect("room");
        let mut next = 0;
        assert_eq!(register.renew(Whose::All, None, |key| make(&mut next, key)), Ok(1));
        let new = register.subscribe(key(2, 11), None).expect("room");
        assert_eq!(register.renew(Whose::Newcomers, None, |key| make(&mut next, key)), Ok(1));
        let id = |series: &watch::Receiver<Option<Arc<Job>>>| series.borrow().as_ref().map(|job| job.id().0);
        assert_eq!((id(&old), id(&new)), (Some(1), Some(2)));
        assert_eq!(register.renew(Whose::Newcomers, None, |key| make(&mut next, key)), Ok(0));
    }

    #[test]
    fn a_full_register_says_so_until_somebody_leaves() {
        let register = SeriesRegister::default();
        let class = |n: usize| u16::try_from(n).expect("small");
        let subscribe = |key| register.subscribe(key, None);
        let mut all: Vec<_> = (0..MAX_SERIES).map(|n| subscribe(key(1, class(n)))).collect();
        assert!(all.iter().all(Option::is_some));
        assert!(subscribe(key(2, 11)).is_none());
        assert!(subscribe(key(1, 11)).is_some(), "it is there already");
        all.swap_remove(7);
        assert!(subscribe(key(2, 11)).is_some());
        assert!(subscribe(key(3, 11)).is_some(), "nobody listens to the one before");
    }

    #[test]
    fn one_address_has_a_quarter_and_leaves_the_rest_to_others() {
        let register = SeriesRegister::default();
        let (greedy, other) = [1, 2].map(|n| Some(IpAddr::from(Ipv4Addr::new(192, 0, 2, n)))).into();
        let take_all = |n, asker| -> Vec<_> {
            (0..2_000).map_while(|class| register.subscribe(key(n, class), asker)).collect()
        };
        let mut taken = take_all(1, greedy);
        assert_eq!(taken.len(), MAX_SERIES_FOR_ONE);
        let shared = register.subscribe(key(1, 0), other).expect("it is there already");
        assert_eq!(take_all(2, other).len(), MAX_SERIES_FOR_ONE, "and that one did not count");
        taken.swap_remove(5);
        assert!(register.subscribe(key(3, 11), greedy).is_some(), "nobody listens to one of its own");
        drop((taken, shared));
        let here = take_all(4, None);
        assert_eq!(here.len(), MAX_SERIES, "of those on this machine no account is kept");
    }
}
