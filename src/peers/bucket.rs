//! A token bucket: so much at once, so much a second.

use std::time::Duration;

/// What one peer may still do. Starts full.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    size: u64,
    per_second: u64,
    /// In thousandths.
    left: u64,
    filled: Duration,
}

impl Bucket {
    /// Room for `size` at once, refilled at `per_second`.
    pub const fn new(size: u64, per_second: u64) -> Self {
        Self { size, per_second, left: size.saturating_mul(1_000), filled: Duration::ZERO }
    }

    /// Takes `amount` if there is so much.
    pub fn take(&mut self, amount: u64, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled).as_millis();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        self.filled = self.filled.saturating_add(Duration::from_millis(passed));
        let filled = self.left.saturating_add(passed.saturating_mul(self.per_second));
        self.left = filled.min(self.size.saturating_mul(1_000));
        match self.left.checked_sub(amount.saturating_mul(1_000)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let at = Duration::from_millis;
        let mut bucket = Bucket::new(3, 2);
        assert!((0..3).all(|_| bucket.take(1, at(0))));
        assert!(!bucket.take(1, at(499)));
        assert!(bucket.take(1, at(500)));
        assert!(!bucket.take(1, at(500)));
        assert!(!bucket.take(4, at(1_000_000)), "never more than its size");
        assert!(bucket.take(3, at(1_000_000)));
    }
}
