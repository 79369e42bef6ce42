//! What is known of each miner, for the operator to look at. Written by whoever serves it, once for each submit; read by
//! anybody.

use super::difficulty::Difficulty;
use super::visitor::Visitor;
use crate::metrics::Metrics;
pub(crate) use crate::refused::Reason;
use crate::refused::Refused;
use sharechain::owner::Owner;
use sharechain::share::ShareId;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Seconds in which a piece of work fades to a third in the mean rate. Such a mean is as steady as one over twice the
/// time, ten minutes.
const FADING: f64 = 300.0;
/// Seconds that are taken for measured at least: the first share alone says little.
const SHORTEST: f64 = 10.0;

/// One miner, from the day it came.
#[derive(Debug)]
pub struct MinerRecord {
    visitor: Visitor,
    metrics: Metrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    who: Who,
    difficulty: Option<Difficulty>,
    tally: Tally,
    last_share: Option<Instant>,
    /// The high half of the lowest hash of a share.
    best: Option<u128>,
    rate: Option<Rate>,
    news: News,
}

/// What was counted of a miner since somebody looked last.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct News {
    /// Its submits.
    pub tally: Tally,
    /// Hashes that the work accepted is expected to have taken.
    pub hashes: f64,
    /// The difficulty that the best share would have met; zero without a share.
    pub best: f64,
}

/// Who a miner says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Name and version of the mining program, cut to a bounded length.
    pub user_agent: String,
    /// The user name that was authorized first.
    pub user: String,
    /// Whom its shares are credited to, once authorized.
    pub owner: Option<Owner>,
    /// Its payout class; none for one that gets no work.
    pub class: Option<u16>,
}

/// Submits, by what was said of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Accepted.
    pub accepted: u64,
    /// Refused, by why.
    pub refused: Refused,
}

impl Tally {
    /// Counts a submit: accepted without a reason, else refused.
    const fn count(&mut self, reason: Option<Reason>) {
        match reason {
            None => self.accepted += 1,
            Some(reason) => self.refused.count(reason),
        }
    }
}

/// A submit that is accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Accepted {
    /// What it was held against.
    pub(crate) difficulty: Difficulty,
    /// Its hash.
    pub(crate) id: ShareId,
}

/// A miner at one moment.
#[derive(Clone, Debug)]
pub struct MinerSnapshot {
    /// Where it came from, and to.
    pub visitor: Visitor,
    /// Who it is.
    pub who: Who,
    /// The difficulty of its newest work; none before there was any.
    pub difficulty: Option<Difficulty>,
    /// Its submits.
    pub tally: Tally,
    /// When a share was last accepted.
    pub last_share: Option<Instant>,
    /// Hashes a second in the last ten minutes or so, by the shares accepted.
    pub hash_rate: f64,
    /// The difficulty that the best share would have met.
    pub best: Option<f64>,
}

impl MinerRecord {
    /// One that has said nothing yet.
    pub(super) fn new(visitor: Visitor, metrics: Metrics) -> Self {
        Self { visitor, metrics, state: Mutex::default() }
    }

    /// Where it came from, and to.
    pub(crate) const fn visitor(&self) -> &Visitor {
        &self.visitor
    }

    /// Notes who it is.
    pub(crate) fn set_who(&self, who: Who) {
        self.state().who = who;
    }

    /// Notes the difficulty of work that it was given.
    pub(crate) fn on_work(&self, difficulty: Difficulty, now: Instant) {
        let mut state = self.state();
        state.difficulty = Some(difficulty);
        state.rate.get_or_insert(Rate { since: now, at: now, hashes: 0.0 });
    }

    /// Counts a submit that was taken up at this time.
    pub(crate) fn on_submit(&self, answer: Result<Accepted, Reason>, now: Instant) {
        self.count(&answer, now);
        let mut state = self.state();
        let reason = answer.as_ref().err().copied();
        state.tally.count(reason);
        state.news.tally.count(reason);
        if let Ok(Accepted { difficulty, id }) = answer {
            state.last_share = Some(now);
            let hash = high_half(&id);
            state.best = Some(state.best.map_or(hash, |best| best.min(hash)));
            state.news.hashes += difficulty.hashes();
            state.news.best = state.news.best.max(difficulty_of(hash));
            if let Some(rate) = &mut state.rate {
                rate.add(difficulty.hashes(), now);
            }
        }
    }

    /// Adds a submit to those of all miners.
    fn count(&self, answer: &Result<Accepted, Reason>, now: Instant) {
        let counter = match answer {
            Ok(_) => &self.metrics.submits_accepted,
            Err(reason) => self.metrics.submits_refused.of(*reason),
        };
        counter.count();
        self.metrics.submit_to_answer.observe(now.elapsed());
    }

    /// What was counted since this was last asked for, and of whom. For one reader, who adds it up.
    pub(crate) fn take_news(&self) -> (Who, News) {
        let mut state = self.state();
        (state.who.clone(), mem::take(&mut state.news))
    }

    /// All of it, now.
    pub fn snapshot(&self, now: Instant) -> MinerSnapshot {
        let state = self.state();
        MinerSnapshot {
            visitor: self.visitor,
            who: state.who.clone(),
            difficulty: state.difficulty,
            tally: state.tally,
            last_share: state.last_share,
            hash_rate: state.rate.map_or(0.0, |rate| rate.per_second(now)),
            best: state.best.map(difficulty_of),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The high half of a hash as a number.
fn high_half(id: &ShareId) -> u128 {
    id.0.last_chunk().copied().map_or(0, u128::from_le_bytes)
}

/// The difficulty that a hash with this high half meets, near enough for people.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn difficulty_of(high_half: u128) -> f64 {
    // A target of difficulty 1 is 0xffff × 2^208.
    65_535.0 * 80_f64.exp2() / high_half.max(1) as f64
}

/// A mean of hashes a second, in which work counts for less the longer ago it was done.
#[derive(Clone, Copy, Debug)]
struct Rate {
    since: Instant,
    /// The hashes that count, at this moment.
    hashes: f64,
    at: Instant,
}

impl Rate {
    fn add(&mut self, hashes: f64, now: Instant) {
        self.hashes = self.hashes_at(now) + hashes;
        self.at = now;
    }

    fn hashes_at(&self, now: Instant) -> f64 {
        self.hashes * fading(now.saturating_duration_since(self.at).as_secs_f64())
    }

    fn per_second(&self, now: Instant) -> f64 {
        let measured = now.saturating_duration_since(self.since).as_secs_f64().max(SHORTEST);
        // What one hash a second would have come to.
        self.hashes_at(now) / (FADING * (1.0 - fading(measured)))
    }
}

/// What is left of one after so many seconds.
fn fading(seconds: f64) -> f64 {
    (-seconds / FADING).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stratum::visitor::Protocol;
    use std::net::{Ipv4Addr, SocketAddr};
    use std::time::Duration;

    fn record(now: Instant) -> MinerRecord {
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        MinerRecord::new(Visitor::new(remote, Protocol::Stratum, now), Metrics::default())
    }

    fn share(exponent: i32, id: [u8; 32]) -> Result<Accepted, Reason> {
        Ok(Accepted { difficulty: Difficulty::power_of_two(exponent), id: ShareId(id) })
    }

    #[test]
    fn a_steady_miners_rate_is_right_from_the_first_minute_on_and_follows_a_change() {
        let start = Instant::now();
        let record = record(start);
        record.on_work(Difficulty::power_of_two(10), start);
        assert_eq!(record.snapshot(start).hash_rate, 0.0);
        let expected = 42_f64.exp2() / 4.0;
        let off = |seconds: u64| record.snapshot(start + Duration::from_secs(seconds)).hash_rate / expected;
        for n in 1..=900 {
            record.on_submit(share(10, [0xff; 32]), start + Duration::from_secs(4 * n));
            if n >= 15 {
                assert!((0.95..1.05).contains(&off(4 * n)), "{} after {n}", off(4 * n));
            }
        }
        assert!((0.3..0.4).contains(&off(3_900)), "five minutes of silence: {}", off(3_900));
        assert!(off(7_200) < 0.001);
        // It comes back four times as slow.
        (1..=75).for_each(|n| {
            record.on_submit(share(10, [0xff; 32]), start + Duration::from_secs(7_200 + 16 * n));
        });
        assert!((0.22..0.28).contains(&off(8_400)), "{}", off(8_400));
    }

    #[test]
    fn submits_are_counted_by_what_was_said_of_them() {
        let start = Instant::now();
        let record = record(start);
        for (count, reason) in Reason::ALL.into_iter().enumerate() {
            (0..=count).for_each(|_| record.on_submit(Err(reason), start));
        }
        assert_eq!(record.snapshot(start).last_share, None);
        record.on_submit(share(0, [0xff; 32]), start + Duration::from_secs(1));
        let snapshot = record.snapshot(start + Duration::from_secs(2));
        let refused = Refused { stale: 1, unknown_job: 2, repeated: 3, too_easy: 4, untimely: 5, other: 6 };
        assert_eq!(snapshot.tally, Tally { accepted: 1, refused });
        assert_eq!(snapshot.last_share, Some(start + Duration::from_secs(1)));
    }

    #[test]
    fn the_best_share_is_the_one_with_the_lowest_hash() {
        let start = Instant::now();
        let record = record(start);
        assert_eq!(record.snapshot(start).best, None);
        for exponent in [3, 20, 7] {
            let target = Difficulty::power_of_two(exponent).target().value();
            record.on_submit(share(0, target.to_little_endian()), start);
        }
        let best = record.snapshot(start).best.expect("a share");
        assert!((best / 20_f64.exp2() - 1.0).abs() < 1e-9, "{best}");
        record.on_submit(share(0, [0; 32]), start);
        assert!(record.snapshot(start).best.is_some_and(f64::is_finite));
    }
}
