//! Simulates mining against the block target rule and holds it to the figures that protocol section 5 states.
//!
//! Integers only and a fixed seed per run, so every run of the tests sees the same chains. The tolerances are said at
//! each figure; they cover the spread over seeds.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
#![expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of the next centuries")]

use sharechain::params::{ChainParams, MEDIAN_SPAN};
use sharechain::retarget::{RetargetInput, next_target};
use sharechain::target::Target;
use sharechain::units::UnixTime;

/// The clock counts in 2^-20 s.
const SECOND: u64 = 1 << 20;
const START: u64 = 1_800_000_000;
/// Makes blocks 2^20 times as hard as the easiest, so that the easiest target plays no part.
const HASH_RATE: u128 = 1 << 60;

#[test]
fn blocks_come_every_30_seconds_and_the_difficulty_varies_by_9_percent() {
    for seed in 0..3 {
        let mut chain = Chain::settled(seed, Miners { hash_rate: HASH_RATE, liars_percent: 0 });
        let measured = chain.measure(100_000);
        assert!((29_900..=30_100).contains(&measured.interval_ms), "30.0 s ± 0.1 s: {measured:?}");
        assert!((85..=95).contains(&measured.deviation_per_mille), "9 % ± 0.5 %: {measured:?}");
    }
}

#[test]
fn giving_the_oldest_allowed_times_leaves_the_interval_alone() {
    for (seed, liars_percent) in [(10, 35), (11, 45)] {
        let mut chain = Chain::settled(seed, Miners { hash_rate: HASH_RATE, liars_percent });
        let measured = chain.measure(100_000);
        assert!((29_700..=30_300).contains(&measured.interval_ms), "30 s ± 1 %: {measured:?}");
    }
}

#[test]
fn after_a_jump_of_the_hash_rate_the_difficulty_follows_within_the_stated_time() {
    // The hash rate is multiplied by a ratio; minutes until the difficulty is within 25 % of where it belongs.
    for (ratio, minutes) in [((10, 1), 39), ((1, 10), 88), ((1, 100), 116), ((1, 1_000), 128)] {
        let runs = 100;
        let sum: u64 = (0..runs).map(|seed| recovery_seconds(1_000 + seed, ratio)).sum();
        let mean = sum / runs / 60;
        // Some minutes from run to run, so a minute or two for the mean of these.
        assert!(mean.abs_diff(minutes) <= 4, "{ratio:?}: {mean} min, not {minutes}");
    }
}

fn recovery_seconds(seed: u64, (times, over): (u128, u128)) -> u64 {
    let mut chain = Chain::settled(seed, Miners { hash_rate: HASH_RATE, liars_percent: 0 });
    let start = chain.clock;
    chain.miners.hash_rate = HASH_RATE * times / over;
    let due = chain.miners.hash_rate * 30;
    loop {
        chain.mine();
        let work = chain.work();
        let recovered = if times > over { work * 4 >= due * 3 } else { work * 4 <= due * 5 };
        if recovered {
            return (chain.clock - start) / SECOND;
        }
    }
}

#[derive(Clone, Copy)]
struct Miners {
    /// Hashes a second of all.
    hash_rate: u128,
    /// The part of them whose blocks carry the oldest time allowed.
    liars_percent: u128,
}

#[derive(Debug)]
struct Measured {
    interval_ms: u64,
    deviation_per_mille: u128,
}

struct Chain {
    params: ChainParams,
    miners: Miners,
    random: Random,
    clock: u64,
    /// Times and targets; only the newest matter.
    blocks: Vec<(UnixTime, Target)>,
}

impl Chain {
    /// A chain that has found its difficulty.
    fn settled(seed: u64, miners: Miners) -> Self {
        let params = ChainParams::main();
        let target = params.easiest_target().harder_by(1 << 20);
        let blocks = (0..12).map(|age| (UnixTime(START as u32 - 30 * (12 - age)), target)).collect();
        let mut chain = Self { params, miners, random: Random(seed), clock: START * SECOND, blocks };
        (0..2_000).for_each(|_| chain.mine());
        chain
    }

    fn measure(&mut self, blocks: u64) -> Measured {
        let start = self.clock;
        let (mut sum, mut squares) = (0_u128, 0_u128);
        for _ in 0..blocks {
            self.mine();
            let ratio = (self.work() << 20) / (self.miners.hash_rate * 30);
            sum += ratio;
            squares += ratio * ratio;
        }
        let count = u128::from(blocks);
        let mean = sum / count;
        let variance = squares / count - mean * mean;
        Measured {
            interval_ms: (self.clock - start) * 1_000 / SECOND / blocks,
            deviation_per_mille: (variance * 1_000_000 / (mean * mean)).isqrt(),
        }
    }

    fn mine(&mut self) {
        let liars = self.miners.hash_rate * self.miners.liars_percent / 100;
        let honest = self.race(self.miners.hash_rate - liars, false);
        // Mining has no memory, so each group's wait is drawn on its own and the first to end it wins.
        let (found, time, target) = match liars {
            0 => honest,
            rate => honest.min(self.race(rate, true)),
        };
        self.clock = found;
        self.blocks.push((time, target));
    }

    /// When miners with this hash rate would find the next block, its time and its target.
    fn race(&mut self, hash_rate: u128, lying: bool) -> (u64, UnixTime, Target) {
        let mut clock = self.clock;
        // Expected blocks until one is found, in 2^-32; worked off at a rate that the target sets.
        let mut left = self.random.exponential();
        let newest = self.newest();
        loop {
            let time = self.block_time(clock, lying);
            let target = next_target(&self.params, Some(&self.parent()), time);
            let work = work_of(target);
            let found = clock + u64::try_from(((left * work) >> 12) / hash_rate).expect("soon");
            let relief = next_relief(newest, time);
            if lying || found < relief {
                return (found, self.block_time(found, lying), target);
            }
            left -= ((u128::from(relief - clock) * hash_rate) << 12) / work;
            clock = relief;
        }
    }

    fn block_time(&self, clock: u64, lying: bool) -> UnixTime {
        let mut last: Vec<_> = self.blocks.iter().rev().take(MEDIAN_SPAN).map(|(time, _)| *time).collect();
        last.sort();
        let oldest_allowed = last[MEDIAN_SPAN / 2].saturating_add(1);
        if lying { oldest_allowed } else { oldest_allowed.max(UnixTime((clock / SECOND) as u32)) }
    }

    fn newest(&self) -> UnixTime {
        self.blocks.iter().rev().take(11).map(|(time, _)| *time).max().expect("never empty")
    }

    fn parent(&self) -> RetargetInput {
        let [.., (grandparent_time, _), (parent_time, parent_target)] = self.blocks[..] else {
            unreachable!("starts with twelve blocks")
        };
        RetargetInput {
            parent_target,
            parent_time,
            grandparent_time: Some(grandparent_time),
            newest_time: self.newest(),
        }
    }

    fn work(&self) -> u128 {
        work_of(self.blocks.last().expect("never empty").1)
    }
}

fn work_of(target: Target) -> u128 {
    target.work().0.as_u128()
}

/// The clock at which the target is doubled next, for blocks with times from `time` on.
fn next_relief(newest: UnixTime, time: UnixTime) -> u64 {
    let silence = time.seconds_since(newest);
    let at = if silence <= 600 { 601 } else { (silence / 600 + 1) * 600 };
    u64::from(newest.0) * SECOND + at as u64 * SECOND
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An exponential variate of mean 1 with 32 fractional bits, by von Neumann's comparisons (1951): a run of
    /// falling uniforms of odd length accepts its first, an even one adds 1 and tries again.
    fn exponential(&mut self) -> u128 {
        let mut whole = 0;
        loop {
            let first = self.next();
            let (mut last, mut length) = (first, 1);
            loop {
                let next = self.next();
                if next >= last {
                    break;
                }
                last = next;
                length += 1;
            }
            if length % 2 == 1 {
                return (whole << 32) + u128::from(first >> 32);
            }
            whole += 1;
        }
    }
}
