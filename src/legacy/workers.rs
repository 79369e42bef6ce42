//! The workers between their requests: who is new, who is gone, and not too many.

use super::answer::Refused;
use super::login::Login;
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
use crate::stratum::visitor::Visitor;
use crate::work::job::Job;
use crate::work::source::WorkSource;
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
    worker: Mutex<Worker>,
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

    /// The worker that makes a request, known or new.
    pub(super) fn at_request(
        &self,
        visitor: Visitor,
        login: Login,
        user_agent: String,
        now: Instant,
    ) -> Result<Arc<Entry>, Refused> {
        let key = Key { address: of_one_owner(visitor.remote.ip().to_canonical()), login, user_agent };
        let mut entries = self.entries();
        // One whose jobs have ended begins anew: there may be room for its series now.
        let entry = match entries.get(&key).filter(|entry| entry.jobs.has_changed().is_ok()) {
            Some(entry) => Arc::clone(entry),
            None => {
                entries.remove(&key);
                if entries.len() >= MAX_WORKERS {
                    return Err(Refused::TooMany("workers"));
                }
                let of_address = entries.keys().filter(|other| other.address == key.address).count();
                if of_address >= MAX_WORKERS_PER_ADDRESS {
                    return Err(Refused::TooMany("workers at one address"));
                }
                let entry = Arc::new(self.entry(visitor, &key, now)?);
                entries.insert(key.clone(), Arc::clone(&entry));
                entry
            }
        };
        let is_welcome = entry.worker().on_request(now);
        if !is_welcome {
            entries.remove(&key);
            return Err(Refused::Broken);
        }
        Ok(entry)
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

    fn entry(&self, visitor: Visitor, key: &Key, now: Instant) -> Result<Entry, Refused> {
        let Key { login: Login { user, password }, user_agent, .. } = key;
        let owner = owner_of(user, self.config.network, self.config.default_owner)
            .map_err(|error| Refused::Login(error.to_string()))?;
        let wishes = Wishes::read(password);
        // Headers have no coinbase in them, and whoever takes all transactions of a block has room for any.
        let class = self
            .config
            .classes
            .choose("", Some(wishes.outputs.unwrap_or(u16::MAX)))
            .map_err(|small| Refused::Login(format!("No work for this miner: {small}")))?;
        let place = self.sessions.admit(visitor).ok_or(Refused::TooMany("miners"))?;
        place.record.set_who(Who {
            user_agent: user_agent.clone(),
            user: printable(user, MAX_USER),
            owner: Some(owner),
            class: Some(class),
        });
        let hardness = self.hardness(key, wishes, now);
        Ok(Entry {
            worker: Mutex::new(Worker::new(place, hardness, self.config.fee.as_ref(), now)),
            jobs: self.work.subscribe(owner, class).ok_or(Refused::TooMany("owners"))?,
            polls: Semaphore::new(MAX_POLLS),
            fee_notice: self.config.fee_notice(&owner),
        })
    }

    fn hardness(&self, key: &Key, wishes: Wishes, now: Instant) -> Hardness {
        if let Some(difficulty) = wishes.difficulty {
            return Hardness::Fixed(wishes.floor.map_or(difficulty, |floor| floor.max(difficulty)));
        }
        let known = || self.config.memory.recall(&key.login.user, &key.user_agent);
        let start = wishes.start.or_else(known).unwrap_or_else(|| start_difficulty(&key.user_agent));
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
    use crate::stratum::device::PayoutClasses;
    use crate::stratum::visitor::Protocol;
    use crate::test_jobs::owner;
    use crate::work::job::JobIds;
    use crate::work::series::{SeriesKey, SeriesRegister, Whose};
    use sharechain::params::Network;
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

    fn at(
        workers: &Workers,
        ip: u32,
        user: &str,
        password: &str,
        now: Instant,
    ) -> Result<Arc<Entry>, Refused> {
        let remote = SocketAddr::from((Ipv4Addr::from(ip), 1));
        let login = Login { user: user.into(), password: password.into() };
        workers.at_request(Visitor::new(remote, Protocol::Legacy, now), login, "test".into(), now)
    }

    /// The series that somebody listens to.
    fn live(series: &SeriesRegister) -> Vec<SeriesKey> {
        let mut keys = Vec::new();
        let made = series.renew(Whose::All, None, |key| {
            keys.push(key);
            Ok::<_, ()>(crate::test_jobs::JobMaker { owner: key.owner, ..Default::default() }.job())
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
    fn a_worker_whose_jobs_have_ended_begins_anew() {
        let (workers, sessions, series) = workers();
        let start = Instant::now();
        let before = at(&workers, 1, "rig", "x", start).expect("room");
        series.close();
        let after = at(&workers, 1, "rig", "x", start).expect("room");
        assert!(!Arc::ptr_eq(&before, &after) && before.jobs.has_changed().is_err());
        drop(before);
        assert_eq!((sessions.count(), live(&series).len()), (1, 1));
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
