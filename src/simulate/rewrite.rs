//! How likely somebody with part of the hash rate is to rewrite the share chain, by the times he gives his blocks.
//!
//! Two branches race from one block by the chain's own target rule: the public one, whose times are true, and a secret
//! one. No network: this is about the rule of protocol section 5 alone, and needs thousands of races.

use super::random::Random;
use serde::{Deserialize, Serialize};
use sharechain::params::{ChainParams, MEDIAN_SPAN};
use sharechain::retarget::{RetargetInput, next_target};
use sharechain::target::Target;
use sharechain::units::UnixTime;
use std::collections::VecDeque;

/// How the secret branch gives its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Times {
    /// By the clock.
    True,
    /// The lowest allowed: above the median of the last 11.
    Lowest,
    /// The lowest, and the latest that a receiver takes when the whole branch is published at the depth, in turn.
    Zigzag,
    /// All blocks at that latest time.
    Highest,
}

impl Times {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::True, Self::Lowest, Self::Zigzag, Self::Highest];

    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Lowest => "lowest",
            Self::Zigzag => "zigzag",
            Self::Highest => "highest",
        }
    }
}

/// What came of many races.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Races {
    /// How the secret branch gave its times.
    pub times: Times,
    /// Races.
    pub races: u32,
    /// Those in which the secret branch had more work when the public one reached the depth.
    pub won: u32,
    /// Those in which it had more work then or at any time until the public one was twice as deep.
    pub won_later: u32,
}

/// Seconds since 1970 at which races begin.
const START: f64 = 1_800_000_000.0;
/// The hash rate of all, in hashes a second: the branches' work is then far from the easiest.
const HASH_RATE: f64 = 1e12;
const MILLION: u32 = 1_000_000;

/// Races of a secret branch with this part of the hash rate, to this depth.
pub fn races(part: f64, depth: u32, count: u32, times: Times, seed: u64) -> Races {
    let params = ChainParams {
        easiest_block_target: Target::MAX.harder_by(1 << 20).to_compact(),
        ..ChainParams::main()
    };
    let mut random = Random::new(seed, times.name());
    let mut result = Races { times, races: count, won: 0, won_later: 0 };
    for _ in 0..count {
        let (at_depth, later) = race(&params, &mut random, part, depth, times);
        result.won += u32::from(at_depth);
        result.won_later += u32::from(at_depth || later);
    }
    result
}

/// Whether the secret branch is ahead at the depth, and whether it is later.
fn race(params: &ChainParams, random: &mut Random, part: f64, depth: u32, times: Times) -> (bool, bool) {
    let mut public = Branch::settled(params, random);
    let mut secret = public.clone();
    // What the public branch takes for so many blocks is known well enough beforehand.
    let published = (secret.clock as u32).saturating_add(params.spacing.saturating_mul(depth));
    secret.latest = UnixTime(published.saturating_add(params.future_limit));
    secret.find(params, random, part * HASH_RATE, times);
    let (mut at_depth, mut later) = (false, false);
    for height in 1..=2 * depth {
        public.find(params, random, (1.0 - part) * HASH_RATE, Times::True);
        // A find that comes after the public block does not count yet.
        while secret.clock <= public.clock {
            secret.count();
            secret.find(params, random, part * HASH_RATE, times);
        }
        public.count();
        if height == depth {
            at_depth = secret.work > public.work;
        }
        later |= height >= depth && secret.work > public.work;
    }
    (at_depth, later)
}

#[derive(Clone)]
struct Branch {
    /// Times of the newest blocks, oldest first.
    last: VecDeque<UnixTime>,
    target: Target,
    /// When the newest block was found, in seconds since 1970.
    clock: f64,
    /// The latest time that a block of it may have, if that is not its own.
    latest: UnixTime,
    /// Work since the fork.
    work: f64,
    /// The work of the newest find, until it counts.
    found: f64,
    turn: u32,
}

impl Branch {
    /// A chain that has found its difficulty.
    fn settled(params: &ChainParams, random: &mut Random) -> Self {
        let first = START as u32;
        let mut branch = Self {
            last: (0..12).map(|age| UnixTime(first - 30 * (12 - age))).collect(),
            target: Target::MAX.harder_by(params.spacing).harder_by(MILLION).harder_by(MILLION),
            clock: START,
            latest: UnixTime(0),
            work: 0.0,
            found: 0.0,
            turn: 0,
        };
        (0..200).for_each(|_| branch.find(params, random, HASH_RATE, Times::True));
        (branch.work, branch.found) = (0.0, 0.0);
        branch
    }

    const fn count(&mut self) {
        self.work += self.found;
    }

    /// The next block. The wait is drawn by the target at its begin: with true times it grows easier only for one that
    /// takes more than ten minutes.
    fn find(&mut self, params: &ChainParams, random: &mut Random, hash_rate: f64, times: Times) {
        let target = next_target(params, Some(&self.input()), self.time(self.clock, times));
        let work = 1.0 / super::hashes::chance(target);
        let clock = self.clock + random.exponential(work / hash_rate);
        let time = self.time(clock, times);
        // The target at the time that is given counts, and may be another one than when the search began.
        self.target = next_target(params, Some(&self.input()), time);
        self.found = 1.0 / super::hashes::chance(self.target);
        self.clock = clock;
        self.turn += 1;
        self.last.push_back(time);
        self.last.pop_front();
    }

    fn time(&self, clock: f64, times: Times) -> UnixTime {
        let mut newest: Vec<UnixTime> = self.last.iter().rev().take(MEDIAN_SPAN).copied().collect();
        newest.sort_unstable();
        let lowest = newest[MEDIAN_SPAN / 2].saturating_add(1);
        let now = UnixTime(clock as u32);
        let highest = self.latest.max(lowest);
        match times {
            Times::True => now.max(lowest),
            Times::Zigzag if self.turn.is_multiple_of(2) => lowest,
            Times::Lowest => lowest,
            Times::Zigzag | Times::Highest => highest,
        }
    }

    fn input(&self) -> RetargetInput {
        let newest = self.last.iter().rev().take(MEDIAN_SPAN).max().copied().unwrap_or_default();
        let mut back = self.last.iter().rev();
        RetargetInput {
            parent_time: back.next().copied().unwrap_or_default(),
            grandparent_time: back.next().copied(),
            parent_target: self.target,
            newest_time: newest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_hash_rate_wins_and_less_does_not() {
        let won = |part: f64| races(part, 20, 200, Times::True, 1).won;
        assert!(won(0.7) > 180 && won(0.3) < 20, "{} {}", won(0.7), won(0.3));
        let even = won(0.5);
        assert!((70..130).contains(&even), "a coin: {even}");
    }

    #[test]
    fn a_race_begins_at_the_right_difficulty() {
        let params = ChainParams::main();
        let params =
            ChainParams { easiest_block_target: Target::MAX.harder_by(1 << 20).to_compact(), ..params };
        let works = (0..40).map(|seed| {
            let branch = Branch::settled(&params, &mut Random::new(seed, "settled"));
            1.0 / super::super::hashes::chance(branch.target) / (30.0 * HASH_RATE)
        });
        let mean = works.sum::<f64>() / 40.0;
        assert!((0.9..1.1).contains(&mean), "{mean} of the work of 30 seconds");
    }

    #[test]
    fn races_are_reproducible() {
        let races = || races(0.45, 20, 100, Times::Zigzag, 7);
        assert_eq!((races().won, races().won_later), (races().won, races().won_later));
    }
}
