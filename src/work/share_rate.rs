//! How hard this node's shares must be so that it sends no more than the whole pool is meant to: on Bitcoin's chain
//! about one a second (protocol section 4, share bits).

use sharechain::params::ChainParams;
use sharechain::target::Target;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Shares are counted over windows of this length.
const WINDOW: Duration = Duration::from_secs(15);
/// No base allows shares harder than its block target, so nothing beyond this is ever useful.
const MAX_FACTOR: u32 = 1 << 10;

/// Counts the shares that this node's miners found.
#[derive(Debug, Default)]
pub struct ShareCount(AtomicU32);

impl ShareCount {
    /// Counts one.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// By how much this node's shares are harder than the easiest: a power of two, 1 for all but huge miners.
#[derive(Debug)]
pub struct ShareRate {
    factor: u32,
    window_start: Instant,
    /// Shares of the whole pool in a window, at the spacing aimed at.
    nominal: u32,
}

impl ShareRate {
    /// Begins with the easiest shares.
    pub fn new(params: &ChainParams, now: Instant) -> Self {
        let window = u32::try_from(WINDOW.as_secs()).unwrap_or(u32::MAX);
        let nominal = window.saturating_mul(params.shares_per_block) / params.spacing.max(1);
        Self { factor: 1, window_start: now, nominal: nominal.max(1) }
    }

    /// Looks at the count when a window is over, or at once when it is too high already.
    pub fn update(&mut self, count: &ShareCount, now: Instant) {
        let shares = count.0.load(Ordering::Relaxed);
        let window_is_over = now.duration_since(self.window_start) >= WINDOW;
        let many = self.nominal.saturating_mul(2);
        if shares > many {
            self.factor = self.factor.saturating_mul((shares / many + 1).next_power_of_two()).min(MAX_FACTOR);
        } else if window_is_over && shares < self.nominal / 3 {
            self.factor = (self.factor / 2).max(1);
        } else if !window_is_over {
            return;
        }
        count.0.store(0, Ordering::Relaxed);
        self.window_start = now;
    }

    /// The share target to ask for; the chain keeps it within what the base allows.
    pub fn target(&self, easiest: Target) -> Target {
        easiest.harder_by(self.factor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_makes_shares_harder_at_once_and_silence_easier_window_by_window() {
        let start = Instant::now();
        let (count, mut rate) = (ShareCount::default(), ShareRate::new(&ChainParams::main(), start));
        (0..900).for_each(|_| count.add());
        rate.update(&count, start + Duration::from_secs(1));
        assert_eq!(rate.factor, 32);
        // One a second is as wanted.
        (0..15).for_each(|_| count.add());
        rate.update(&count, start + Duration::from_secs(16));
        assert_eq!(rate.factor, 32);
        for window in 1..=6 {
            rate.update(&count, start + Duration::from_secs(16) + WINDOW * window);
        }
        assert_eq!(rate.factor, 1);
        let easiest = Target::MAX;
        assert_eq!(rate.target(easiest), easiest);
    }
}
