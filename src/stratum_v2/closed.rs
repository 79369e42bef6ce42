//! The channels of a connection that are closed, as long as their jobs would be remembered: what a miner finds while it is
//! told goodbye may be a Bitcoin block.

use super::channel::{Channel, Submit, Work};
use super::session::MAX_SERIES;
use crate::stratum::served::MAX_AGE;
use crate::stratum::session::Now;
use crate::stratum::submit::Found;
use crate::work::series::SeriesKey;
use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

/// Most of them. Their series are no more than those of open channels, since it is jobs that take memory.
const MAX_CLOSED: usize = 256;

/// The channels, in the order in which they were closed.
#[derive(Debug, Default)]
pub(super) struct ClosedChannels(VecDeque<Closed>);

#[derive(Debug)]
struct Closed {
    id: u32,
    key: SeriesKey,
    work: Work,
    since: Instant,
}

impl ClosedChannels {
    /// Adds one, and forgets what is too much. Its place is free.
    pub(super) fn add(&mut self, id: u32, channel: Channel, now: Instant) {
        let Channel { key, mut work, .. } = channel;
        if work.jobs.last().is_none() {
            return;
        }
        work.jobs.shrink();
        self.0.push_back(Closed { id, key, work, since: now });
        while self.0.len() > MAX_CLOSED || self.series() > MAX_SERIES {
            self.0.pop_front();
        }
    }

    /// What a late submit is worth, if anything.
    pub(super) fn judge(&mut self, id: u32, submit: &Submit<'_>, now: Now) -> Option<Found> {
        self.0.iter_mut().find(|closed| closed.id == id)?.work.judge(submit, now).0
    }

    /// Forgets those that were closed when the last of their jobs would be forgotten.
    pub(super) fn forget_old(&mut self, now: Instant) {
        let count = self.0.len();
        while self.0.front().is_some_and(|closed| now.saturating_duration_since(closed.since) > MAX_AGE) {
            self.0.pop_front();
        }
        if self.0.len() < count {
            self.0.shrink_to_fit();
        }
    }

    fn series(&self) -> usize {
        self.0.iter().map(|closed| closed.key).collect::<BTreeSet<_>>().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::difficulty::Difficulty;
    use crate::stratum::served::Served;
    use crate::stratum::sessions::Sessions;
    use crate::stratum::vardiff::Vardiff;
    use crate::stratum::visitor::{Protocol, Visitor};
    use crate::stratum_v2::channel::Kind;
    use crate::test_jobs::{JobMaker, owner};
    use crate::work::job::JobId;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;

    /// A channel of this series that was served so many jobs.
    fn channel(key: SeriesKey, jobs: u32, now: Instant) -> Channel {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let visitor = Visitor::new(remote, Protocol::StratumV2, now);
        let place = Sessions::new(0, 1).admit(visitor).expect("room");
        let mut channel =
            Channel::new(Kind::Standard, (key, 1), place, Vardiff::new(Difficulty::ONE, now), None);
        for id in 0..jobs {
            channel.work.jobs.push(Served {
                id: JobId(id),
                job: Arc::new(JobMaker::default().job()),
                time: 0,
                difficulty: Difficulty::ONE,
                mask: 0,
                extranonce: None,
                at: now,
            });
        }
        channel
    }

    fn key(n: u8) -> SeriesKey {
        SeriesKey { owner: owner(n), class: 11 }
    }

    #[test]
    fn a_closed_channel_takes_no_more_memory_than_its_jobs() {
        let (mut closed, now) = (ClosedChannels::default(), Instant::now());
        closed.add(1, channel(key(1), 3, now), now);
        assert_eq!(closed.0[0].work.jobs.capacity(), 3);
        closed.add(2, channel(key(1), 0, now), now);
        assert_eq!(closed.0.len(), 1, "nothing can be found on no job");
        closed.forget_old(now + MAX_AGE);
        assert_eq!(closed.0.len(), 1);
        closed.forget_old(now + MAX_AGE * 2);
        assert_eq!(closed.0.capacity(), 0);
    }

    #[test]
    fn closed_channels_are_bounded_and_so_are_the_owners_whose_jobs_they_keep() {
        let (mut closed, now) = (ClosedChannels::default(), Instant::now());
        (0..300).for_each(|id| closed.add(id, channel(key(1), 1, now), now));
        assert_eq!((closed.0.len(), closed.0[0].id), (MAX_CLOSED, 44), "the oldest go");
        (0..40).for_each(|n| closed.add(300 + u32::from(n), channel(key(n), 1, now), now));
        assert_eq!((closed.0.len(), closed.series()), (MAX_SERIES, MAX_SERIES));
        assert_eq!(closed.0[0].id, 324);
    }
}
