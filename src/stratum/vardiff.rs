//! Vardiff: keeps a miner near 15 shares a minute, from nothing but the times of its shares.
//!
//! Pure: time is an argument. The rule counts the shares of a window against the expected number and acts only when
//! chance (four standard deviations) does not explain the difference, so a steady miner is left alone for days. It
//! rises at once, to the estimated power of two; it falls on a timer, since a miner that finds nothing says nothing.

use super::difficulty::Difficulty;
use std::time::{Duration, Instant};

/// Shares that a miner is to send in a minute.
pub const SHARES_PER_MINUTE: f64 = 15.0;

/// Expected shares after which a window that led to nothing is closed.
const WINDOW: f64 = 60.0;
/// Shares from which on a rise is considered, and expected shares from which on silence is.
const ENOUGH: f64 = 8.0;
/// A burst that a stalled connection lets go all at once is spread over this at least.
const SHORTEST: Duration = Duration::from_millis(10);
/// The largest step down, as a power of two.
const LARGEST_FALL: f64 = 4.0;

/// The difficulty at which a miner of so many hashes a second finds as many shares as it should; none for what is no rate.
pub(crate) fn suiting(hashes_per_second: f64) -> Option<Difficulty> {
    Difficulty::at_most(hashes_per_second * 60.0 / SHARES_PER_MINUTE / Difficulty::ONE.hashes())
}

/// Hashes a second of a miner that finds as many shares as it should.
pub(crate) fn rate_at(difficulty: Difficulty) -> f64 {
    difficulty.hashes() * SHARES_PER_MINUTE / 60.0
}

/// The difficulty of one miner, and what is known of its rate.
#[derive(Clone, Debug)]
pub struct Vardiff {
    difficulty: Difficulty,
    floor: Difficulty,
    started: Instant,
    shares: u32,
}

impl Vardiff {
    /// Begins at `difficulty`.
    pub const fn new(difficulty: Difficulty, now: Instant) -> Self {
        Self { difficulty, floor: Difficulty::MIN, started: now, shares: 0 }
    }

    /// The difficulty that the next job should have.
    pub const fn difficulty(&self) -> Difficulty {
        self.difficulty
    }

    /// Starts over at a difficulty that the miner asked for, and never falls below it by itself.
    pub fn suggest(&mut self, difficulty: Difficulty, now: Instant) {
        self.floor = difficulty;
        self.set(difficulty, now);
    }

    /// Never falls below `floor` by itself from now on; rises to it at once.
    pub fn set_floor(&mut self, floor: Difficulty, now: Instant) {
        self.floor = floor;
        if self.difficulty < floor {
            self.set(floor, now);
        }
    }

    /// Keeps the difficulty from going above what a job can have.
    pub fn limit(&mut self, most: Difficulty, now: Instant) {
        if self.difficulty > most {
            self.set(most, now);
        }
    }

    /// Forgets what was counted: the miner had nothing to work on until now.
    pub fn restart(&mut self, now: Instant) {
        self.set(self.difficulty, now);
    }

    /// Counts a share that meets the present difficulty. True when the difficulty rose.
    pub fn on_share(&mut self, most: Difficulty, now: Instant) -> bool {
        self.shares = self.shares.saturating_add(1);
        let (n, e) = (f64::from(self.shares), self.expected(now));
        if n < ENOUGH || n <= 1.5 * e + 4.0 * (1.5 * e).sqrt() {
            return false;
        }
        let wanted = self.difficulty.times_power(rounded((n / e).log2().max(1.0)));
        let before = self.difficulty;
        self.set(wanted.min(most), now);
        self.difficulty > before
    }

    /// To be called every few seconds. True when the difficulty fell.
    pub fn on_tick(&mut self, now: Instant) -> bool {
        let (n, e) = (f64::from(self.shares), self.expected(now));
        let few = n < 0.66 * e - 4.0 * (0.66 * e).sqrt();
        if few || (self.shares == 0 && e >= ENOUGH) {
            let fall = (e / (n + 1.0)).log2().clamp(1.0, LARGEST_FALL);
            let before = self.difficulty;
            self.set(self.difficulty.times_power(-rounded(fall)).max(self.floor.min(before)), now);
            return self.difficulty < before;
        }
        if e >= WINDOW {
            self.restart(now);
        }
        false
    }

    fn set(&mut self, difficulty: Difficulty, now: Instant) {
        (self.difficulty, self.started, self.shares) = (difficulty, now, 0);
    }

    /// Shares expected since the window began.
    fn expected(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.started).max(SHORTEST);
        elapsed.as_secs_f64() * SHARES_PER_MINUTE / 60.0
    }
}

/// The nearest whole number; all that come here are between -300 and 300.
#[expect(clippy::cast_possible_truncation, reason = "the values are small, and `as` saturates")]
const fn rounded(value: f64) -> i32 {
    value.round() as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A miner that finds shares as chance has it.
    struct Miner {
        random: u64,
        /// Hashes a second.
        rate: f64,
        now: Instant,
        vardiff: Vardiff,
        ticked: Instant,
        changes: u32,
    }

    impl Miner {
        /// `off` times too fast for the difficulty that it starts with.
        fn new(seed: u64, off: f64) -> Self {
            let start = Difficulty::power_of_two(10);
            let now = Instant::now();
            let rate = rate_at(start) * off;
            let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            Self { random, rate, now, vardiff: Vardiff::new(start, now), ticked: now, changes: 0 }
        }

        /// Seconds to the next share: exponentially distributed.
        #[expect(clippy::cast_precision_loss, reason = "32 bits of chance are enough")]
        fn wait(&mut self) -> f64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            let uniform = ((self.random >> 32) as f64 + 0.5) / 4_294_967_296.0;
            -uniform.ln() * self.vardiff.difficulty().hashes() / self.rate
        }

        /// Mines until the next share, or the tick that comes every two seconds.
        fn step(&mut self) {
            // Chance has no memory, so the wait may be drawn anew after each tick.
            let share = self.now + Duration::from_secs_f64(self.wait());
            let tick = self.ticked + Duration::from_secs(2);
            self.now = share.min(tick);
            let changed = if share < tick {
                self.vardiff.on_share(Difficulty::MAX, self.now)
            } else {
                self.ticked = tick;
                self.vardiff.on_tick(self.now)
            };
            self.changes += u32::from(changed);
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.step();
            }
        }

        /// How many times too fast the miner is for its present difficulty.
        fn off(&self) -> f64 {
            self.rate / rate_at(self.vardiff.difficulty())
        }

        /// Time until the difficulty is where the rule leaves it alone, most of the time.
        fn converge(&mut self) -> Duration {
            let start = self.now;
            while !(0.4..=2.2).contains(&self.off()) {
                self.step();
                assert!(self.now - start < Duration::from_secs(7200), "does not converge: {}", self.off());
            }
            self.now - start
        }
    }

    fn median_time(off: f64) -> Duration {
        let mut times: Vec<Duration> = (1..=41).map(|seed| Miner::new(seed, off).converge()).collect();
        times.sort();
        times[20]
    }

    #[test]
    fn a_fast_miner_is_slowed_down_at_once_and_a_slow_one_in_minutes() {
        assert!(median_time(1e6) < Duration::from_secs(4), "{:?}", median_time(1e6));
        assert!(median_time(1000.0) < Duration::from_secs(1), "{:?}", median_time(1000.0));
        assert!(median_time(64.0) < Duration::from_secs(2), "{:?}", median_time(64.0));
        assert!(median_time(1.0 / 64.0) < Duration::from_secs(300), "{:?}", median_time(1.0 / 64.0));
        assert!(median_time(1e-4) < Duration::from_secs(480), "{:?}", median_time(1e-4));
    }

    #[test]
    fn a_steady_miner_is_left_alone() {
        for off in [0.75, 1.0, 1.35] {
            let mut changes = 0;
            for seed in 1..=20 {
                let mut miner = Miner::new(seed, off);
                miner.run(Duration::from_secs(6 * 3600));
                assert!((0.4..=2.2).contains(&miner.off()), "{off}: {}", miner.off());
                changes += miner.changes;
            }
            assert!(changes <= 6, "{changes} changes in 120 hours at {off}");
        }
    }

    #[test]
    fn the_rate_is_near_the_target_after_convergence() {
        for seed in 1..=20 {
            let mut miner = Miner::new(seed, 37.0);
            miner.run(Duration::from_secs(1800));
            assert!((0.4..=2.2).contains(&miner.off()), "{}", miner.off());
        }
    }

    #[test]
    fn a_silent_miner_falls_to_its_floor_and_no_further() {
        let start = Instant::now();
        let mut vardiff = Vardiff::new(Difficulty::power_of_two(20), start);
        vardiff.suggest(Difficulty::power_of_two(8), start);
        vardiff.set(Difficulty::power_of_two(14), start);
        for seconds in (0..3600).step_by(2) {
            vardiff.on_tick(start + Duration::from_secs(seconds));
        }
        assert_eq!(vardiff.difficulty(), Difficulty::power_of_two(8));
    }

    #[test]
    fn a_job_limits_the_rise_and_the_floor() {
        let start = Instant::now();
        let most = Difficulty::power_of_two(4);
        let mut vardiff = Vardiff::new(Difficulty::ONE, start);
        let risen = (0..8).any(|_| vardiff.on_share(most, start));
        assert!(risen);
        assert_eq!(vardiff.difficulty(), most);
        let again = (0..100).any(|_| vardiff.on_share(most, start));
        assert!(!again, "at the limit nothing changes");
        vardiff.suggest(Difficulty::power_of_two(30), start);
        vardiff.limit(most, start);
        assert_eq!(vardiff.difficulty(), most);
        // The floor asked for is above the limit: silence must not raise the difficulty.
        assert!(!vardiff.on_tick(start + Duration::from_secs(60)));
        assert_eq!(vardiff.difficulty(), most);
    }
}
