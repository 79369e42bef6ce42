//! The workers between their requests: who is new, who is gone, and not too many.

use super::answer::Refused;
use super::login::{Asker, Login};
use super::worker::{Hardness, Worker};
use crate::stratum::device::start_difficulty;
use crate::stratum::knocks::of_one_owner;
use crate::stratum::message::printable;
use crate::stratum::password::Wishes;
use crate::stratum::record::Who;
use crate::stratum::session::SessionConfig;
use crate::stratum::sessions::Sessions;
use crate::stratum::user::{MAX_USER, owner_of};
use crate::stratum::vardiff::Vardiff;
use crate::work::job::Job;
use crate::work::series::SeriesKey;
use crate::work::source::WorkSource;
use sharechain::owner::Owner;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Semaphore, watch};

/// Most workers at a time. Each also counts among the miners of Stratum.
const MAX_WORKERS: usize = 1_024;
/// Most of them at one address.
const MAX_WORKERS_PER_ADDRESS: usize = 128;
/// Most long polls of one worker: that many devices may share a name.
const MAX_POLLS: usize = 32;

/// A worker, and what its requests need besides.
#[derive(Debug)]
pub(super) struct Entry {
    worker: Arc<Mutex<Worker>>,
    /// The newest job of its owner, now and whenever there is another.
    pub(super) jobs: watch::Receiver<Option<Arc<Job>>>,
    /// What it is told of the operator's fee, if it pays one.
    pub(super) fee_notice: Option<String>,
    /// A permit for each long poll.
    pub(super) polls: Semaphore,
}

impl Entry {
    /// The worker, for a moment.
    pub(super) fn worker(&self) -> MutexGuard<'_, Worker> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest job.
    pub(super) fn newest(&self) -> Option<Arc<Job>> {
        self.jobs.borrow().clone()
    }
}

/// A worker's name: two devices that say the same at one address are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    address: IpAddr,
    login: Login,
    user_agent: String,
}

impl Key {
    fn of(asker: &Asker) -> Self {
        let Asker { visitor, login, user_agent } = asker.clone();
        Self { address: of_one_owner(visitor.remote.ip().to_canonical()), login, user_agent }
    }
}

/// All workers.
pub(super) struct Workers {
    config: Arc<SessionConfig>,
    work: Arc<dyn WorkSource>,
    sessions: Sessions,
    entries: Mutex<HashMap<Key, Arc<Entry>>>,
}

impl Workers {
    /// None yet.
    pub(super) fn new(config: Arc<SessionConfig>, work: Arc<dyn WorkSource>, sessions: Sessions) -> Self {
        Self { config, work, sessions, entries: Mutex::default() }
    }

    /// The worker that asks for work, known or new.
    pub(super) fn for_work(&self, asker: &Asker, now: Instant) -> Result<Arc<Entry>, Refused> {
        let key = Key::of(asker);
        let mut entries = self.entries();
        let before = entries.get(&key).cloned();
        match &before {
            Some(entry) => self.welcome(entry, asker, now)?,
            None if entries.len() >= MAX_WORKERS => return Err(Refused::TooMany("workers")),
            None if entries.keys().filter(|other| other.address == key.address).count()
                >= MAX_WORKERS_PER_ADDRESS =>
            {
                return Err(Refused::TooMany("workers at one address"));
            }
            None => {}
        }
        match before {
            Some(entry) if entry.jobs.has_changed().is_ok() => Ok(entry),
            // Its jobs have ended: there may be room for its series now. What it was given counts all the same.
            before => {
                let worker = before.map(|entry| Arc::clone(&entry.worker));
                let entry = Arc::new(self.entry(asker, worker, now)?);
                entries.insert(key, Arc::clone(&entry));
                Ok(entry)
            }
        }
    }

    /// The worker that hands in something: whatever became of it or its jobs, that is to be judged.
    pub(super) fn known(&self, asker: &Asker, now: Instant) -> Option<Arc<Entry>> {
        let entry = self.entries().get(&Key::of(asker)).cloned()?;
        let _ = entry.worker().on_request(now);
        Some(entry)
    }

    /// Forgets those that are gone. To be called once a minute or so.
    pub(super) fn on_tick(&self, now: Instant) {
        self.entries().retain(|key, entry| {
            let worker = entry.worker();
            let is_gone = worker.is_gone(now);
            if let Some(difficulty) = worker.learnt().filter(|_| is_gone) {
                self.config.memory.remember(&key.login.user, &key.user_agent, difficulty);
            }
            !is_gone
        });
    }

    /// A worker all of whose work has been refused for too long is refused once, and begins anew.
    fn welcome(&self, entry: &Entry, asker: &Asker, now: Instant) -> Result<(), Refused> {
        let mut worker = entry.worker();
        if worker.on_request(now) {
            return Ok(());
        }
        worker.begin_anew(self.hardness(asker, now));
        Err(Refused::Broken)
    }

    /// With the worker as it was, if there was one.
    fn entry(
        &self,
        asker: &Asker,
        worker: Option<Arc<Mutex<Worker>>>,
        now: Instant,
    ) -> Result<Entry, Refused> {
        let Asker { login: Login { user, password }, .. } = asker;
        let owner = owner_of(user, self.config.network, self.config.default_owner)
            .map_err(|error| Refused::Login(error.to_string()))?;
        // Headers have no coinbase in them, and whoever takes all transactions of a block has room for any.
        let class = self
            .config
            .classes
            .choose("", Some(Wishes::read(password).outputs.unwrap_or(u16::MAX)))
            .map_err(|small| Refused::Login(format!("No work for this miner: {small}")))?;
        let worker = match worker {
            Some(worker) => worker,
            None => Arc::new(Mutex::new(self.worker(asker, owner, class, now)?)),
        };
        let jobs = self
            .work
            .subscribe(SeriesKey { owner, class }, asker.visitor.bound_to())
            .ok_or(Refused::TooMany("owners"))?;
        let fee_notice = self.config.fee_notice(&owner);
        Ok(Entry { worker, jobs, fee_notice, polls: Semaphore::new(MAX_POLLS) })
    }

    fn worker(&self, asker: &Asker, owner: Owner, class: u16, now: Instant) -> Result<Worker, Refused> {
        let place = self.sessions.admit(asker.visitor).map_err(|_| Refused::TooMany("miners"))?;
        place.record.set_who(Who {
            user_agent: asker.user_agent.clone(),
            user: printable(&asker.login.user, MAX_USER),
            owner: Some(owner),
            class: Some(class),
        });
        Ok(Worker::new(place, self.hardness(asker, now), self.config.fee.as_ref(), now))
    }

    fn hardness(&self, Asker { login, user_agent, .. }: &Asker, now: Instant) -> Hardness {
        let wishes = Wishes::read(&login.password);
        if let Some(difficulty) = wishes.difficulty {
            return Hardness::Fixed(wishes.floor.map_or(difficulty, |floor| floor.max(difficulty)));
        }
        let known = || self.config.memory.recall(&login.user, user_agent);
        let start = wishes.start.or_else(known).unwrap_or_else(|| start_difficulty(user_agent));
        let mut vardiff = Vardiff::new(start, now);
        if let Some(floor) = wishes.floor {
            vardiff.set_floor(floor, now);
        }
        Hardness::Measured(vardiff)
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::legacy::submission::Submission;
    use crate::legacy::worker::{Rejection, Work};
    use crate::stratum::device::PayoutClasses;
    use crate::stratum::session::Now;
    use crate::stratum::submit::Fault;
    use crate::stratum::visitor::{Protocol, Visitor};
    use crate::test_jobs::{JobMaker, MADE_AT, owner};
    use crate::work::job::{JobId, JobIds};
    use crate::work::series::{SeriesRegister, Whose};
    use sharechain::params::Network;
    use sharechain::target::Target;
    use sharechain::verify::Targets;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    fn workers() -> (Workers, Sessions, Arc<SeriesRegister>) {
        let (sessions, series) = (Sessions::new(0, 5_000), Arc::new(SeriesRegister::default()));
        let classes = PayoutClasses::new(&[11, 38, 145, 360], []);
        let config = SessionConfig {
            default_owner: Some(owner(1)),
            ..SessionConfig::new(Network::Main, classes, Arc::new(JobIds::starting_at(0)))
        };
        (Workers::new(Arc::new(config), series.clone(), sessions.clone()), sessions, series)
    }

    fn asker(ip: u32, user: &str, password: &str) -> Asker {
        let remote = SocketAddr::from((Ipv4Addr::from(ip), 1));
        let visitor = Visitor::new(remote, Protocol::Legacy, Instant::now());
        let login = Login { user: user.into(), password: password.into() };
        Asker { visitor, login, user_agent: "test".into() }
    }

    fn at(
        workers: &Workers,
        ip: u32,
        user: &str,
        password: &str,
        now: Instant,
    ) -> Result<Arc<Entry>, Refused> {
        workers.for_work(&asker(ip, user, password), now)
    }

    /// What the worker called `rig` says of a solution of this work, at any time.
    fn verdict(workers: &Workers, work: &Work, now: Instant) -> Result<(), Rejection> {
        let entry = workers.known(&asker(1, "rig", "x"), now).expect("known");
        let submission = Submission { header: work.header(), coinbase: None, id: None };
        entry.worker().submit(&submission, None, at_unix(now)).1
    }

    fn at_unix(instant: Instant) -> Now {
        Now { instant, unix: MADE_AT }
    }

    /// The series that somebody listens to.
    fn live(series: &SeriesRegister) -> Vec<SeriesKey> {
        let mut keys = Vec::new();
        let made = series.renew(Whose::All, None, |key| {
            keys.push(key);
            Ok::<_, ()>(JobMaker { owner: key.owner, ..Default::default() }.job())
        });
        assert_eq!(made, Ok(keys.len()));
        keys
    }

    #[test]
    fn those_who_say_the_same_at_one_address_are_one_until_they_are_gone() {
        let (workers, sessions, series) = workers();
        let start = Instant::now();
        let first = at(&workers, 1, "rig", "x", start).expect("room");
        let again = at(&workers, 1, "rig", "x", start).expect("room");
        assert!(Arc::ptr_eq(&first, &again));
        for (ip, user, password) in [(2, "rig", "x"), (1, "rig2", "x"), (1, "rig", "c=38")] {
            at(&workers, ip, user, password, start).expect("room");
        }
        assert_eq!(sessions.count(), 4);
        let key = |class| SeriesKey { owner: owner(1), class };
        assert_eq!(live(&series), [key(38), key(360)], "the largest class, or what was asked for");
        drop((first, again));
        let later = start + Duration::from_secs(400);
        at(&workers, 2, "rig", "x", later).expect("room");
        workers.on_tick(start + Duration::from_secs(601));
        assert_eq!(sessions.count(), 1, "the others have been silent for ten minutes");
        assert_eq!(live(&series), [key(360)], "and nobody makes jobs for them");
    }

    #[test]
    fn there_is_room_for_so_many_and_for_fewer_at_one_address() {
        let (workers, sessions, _) = workers();
        let start = Instant::now();
        let admitted =
            |ip: u32| (0..200).filter(|n| at(&workers, ip, &format!("rig{n}"), "x", start).is_ok()).count();
        assert_eq!((0..20).map(admitted).sum::<usize>(), MAX_WORKERS);
        assert_eq!((sessions.count(), admitted(0)), (MAX_WORKERS, MAX_WORKERS_PER_ADDRESS), "as before");
        let refused = at(&workers, 99, "rig", "x", start).map(drop);
        assert_eq!(refused, Err(Refused::TooMany("workers")));
        workers.on_tick(start + Duration::from_secs(601));
        assert!(at(&workers, 99, "rig", "x", start + Duration::from_secs(601)).is_ok());
    }

    #[test]
    fn a_worker_whose_jobs_have_ended_gets_others_and_what_it_had_counts() {
        let (workers, sessions, series) = workers();
        let start = Instant::now();
        let before = at(&workers, 1, "rig", "x", start).expect("room");
        let [late, later] = [1, 2].map(|id| serve(&before, id, start));
        series.close();
        assert_eq!(verdict(&workers, &late, start), Ok(()), "on its way when the node goes down");
        let after = at(&workers, 1, "rig", "x", start).expect("room");
        assert!(!Arc::ptr_eq(&before, &after) && before.jobs.has_changed().is_err());
        drop(before);
        assert_eq!((sessions.count(), live(&series).len()), (1, 1));
        assert_eq!(verdict(&workers, &later, start), Ok(()));
        assert_eq!(verdict(&workers, &late, start), Err(Rejection::Fault(Fault::Repeated)));
    }

    #[test]
    fn a_worker_that_is_sent_away_is_heard_all_the_same() {
        let (workers, sessions, _) = workers();
        let start = Instant::now();
        let at_second = |second| start + Duration::from_secs(second);
        let entry = at(&workers, 1, "rig", "x", start).expect("room");
        let works: Vec<Work> = (1..4).map(|id| serve(&entry, id, start)).collect();
        (0..8).for_each(|_| entry.worker().refuse(start));
        at(&workers, 1, "rig", "x", at_second(120)).expect("patience");
        let refused = at(&workers, 1, "rig", "x", at_second(180)).map(drop);
        assert_eq!(refused, Err(Refused::Broken));
        assert_eq!(verdict(&workers, &works[0], at_second(181)), Ok(()));
        at(&workers, 1, "rig", "x", at_second(182)).expect("it begins anew");
        // What it hands in is no request to be refused, even when it is that one's turn.
        (0..8).for_each(|_| entry.worker().refuse(at_second(182)));
        at(&workers, 1, "rig", "x", at_second(310)).expect("patience");
        assert_eq!(verdict(&workers, &works[1], at_second(400)), Ok(()));
        assert_eq!(verdict(&workers, &works[2], at_second(401)), Ok(()));
        assert_eq!(sessions.count(), 1);
        assert!(workers.known(&asker(1, "another", "x"), start).is_none());
    }

    /// A piece of work that any hash is a share of.
    fn serve(entry: &Entry, id: u32, now: Instant) -> Work {
        let targets = Targets { network: Target::MIN, block: Target::MIN, share: Target::MAX };
        let job = JobMaker { id, targets, ..JobMaker::default() }.job();
        entry.worker().serve(Arc::new(job), JobId(id), at_unix(now))
    }

    #[test]
    fn nobody_is_credited_for_a_mistyped_address() {
        let (workers, sessions, _) = workers();
        let mistyped = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdx";
        let refused = at(&workers, 1, mistyped, "x", Instant::now()).map(drop);
        assert!(matches!(refused, Err(Refused::Login(why)) if why.contains("Unauthorized")));
        assert_eq!(sessions.count(), 0);
    }
}
