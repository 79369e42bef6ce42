//! Times in buckets, so that any number of them takes the same room: 64 buckets for each power of two, which is 1.6 %.

use std::time::Duration;

/// Buckets for each power of two, as a power of two.
const PRECISION: u32 = 6;
const BUCKETS: usize = (64 - PRECISION as usize + 1) << PRECISION;

/// How often each time was seen.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, longest: Duration::ZERO }
    }
}

impl Histogram {
    /// Counts one.
    pub(super) fn record(&mut self, time: Duration) {
        self.counts[bucket(nanos(time))] += 1;
        self.total += 1;
        self.longest = self.longest.max(time);
    }

    /// How many were counted.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The longest of all.
    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    /// What this part of them, in per cent, was not longer than; nothing of nothing is zero.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return Duration::from_nanos(highest(bucket)).min(self.longest);
            }
        }
        self.longest
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn bucket(nanos: u64) -> usize {
    // Below 2^(PRECISION + 1) every number has a bucket of its own.
    let shift = (u64::BITS - nanos.leading_zeros()).saturating_sub(PRECISION + 1);
    let place = usize::try_from(nanos >> shift).unwrap_or(usize::MAX);
    ((shift as usize) << PRECISION) + place
}

/// The largest number of a bucket.
fn highest(bucket: usize) -> u64 {
    let shift = (bucket >> PRECISION).saturating_sub(1);
    let place = (bucket - (shift << PRECISION)) as u64;
    ((place + 1) << shift).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_is_in_a_bucket_that_ends_near_it() {
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(highest(BUCKETS - 1), u64::MAX);
        for power in 0..63 {
            for number in [1_u64 << power, (1 << power) + 1, (1 << power) * 3 / 2, (2 << power) - 1] {
                let end = highest(bucket(number));
                assert!(end >= number && end - number <= number / 64, "{number} {end}");
                assert!(bucket(end) == bucket(number) && bucket(end + 1) == bucket(number) + 1);
            }
        }
    }

    #[test]
    fn percentiles_are_those_of_the_numbers() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(50), Duration::ZERO);
        (1..=1_000).for_each(|n| histogram.record(Duration::from_micros(n)));
        for percent in [1, 50, 95, 99] {
            let got = histogram.percentile(percent);
            let exact = Duration::from_micros(percent * 10);
            assert!(got >= exact && got <= exact.mul_f64(1.02), "{percent}: {got:?}");
        }
        assert_eq!(histogram.percentile(100), Duration::from_millis(1));
        assert_eq!((histogram.longest(), histogram.total()), (Duration::from_millis(1), 1_000));
    }
}
