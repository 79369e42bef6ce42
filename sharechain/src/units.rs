//! Numbers with their unit in the type: heights, times and scores.
//!
//! Arithmetic saturates or is checked, never wraps; there are no operators between different units.

use core::fmt;

/// Height of a share block in the share chain. The chain id stands at height 0, the first block at 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Height(pub u32);

impl Height {
    /// The height of the chain id.
    pub const ROOT: Self = Self(0);

    /// The height `n` above this one.
    pub const fn saturating_add(self, n: u32) -> Self {
        Self(self.0.saturating_add(n))
    }

    /// The height `n` below this one, or the root.
    pub const fn saturating_sub(self, n: u32) -> Self {
        Self(self.0.saturating_sub(n))
    }
}

impl fmt::Display for Height {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Height of a Bitcoin block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BitcoinHeight(pub u32);

impl fmt::Display for BitcoinHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Seconds since 1970 (UTC), as Bitcoin headers count them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u32);

impl UnixTime {
    /// This time and `seconds` more.
    pub const fn saturating_add(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time, negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> i64 {
        i64::from(self.0).saturating_sub(i64::from(earlier.0))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Expected Bitcoin blocks, fixed point with 64 fractional bits (protocol section 2).
///
/// One share's score is at most [`Score::MAX_PER_SHARE`], so no sum over anything that fits in memory overflows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Score(pub u128);

impl Score {
    /// No work.
    pub const ZERO: Self = Self(0);
    /// One expected Bitcoin block.
    pub const ONE: Self = Self(1 << 64);
    /// The most that one share can score: four expected Bitcoin blocks.
    pub const MAX_PER_SHARE: Self = Self(4 << 64);

    /// Whether there is nothing in it.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum of both.
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left after taking `other` away, at least zero.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Splits a listed share's score into the part of the block's owner that lists it,
    /// floor(score / 256), and the rest, which is the share's owner's.
    pub const fn split_listing_fee(self) -> (Self, Self) {
        let fee = Self(self.0 >> 8);
        (fee, self.saturating_sub(fee))
    }
}

impl core::iter::Sum for Score {
    fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
        iter.fold(Self::ZERO, Self::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listing_fee_and_rest_are_the_whole() {
        for score in [0, 1, 255, 256, 257, 1 << 66] {
            let (fee, rest) = Score(score).split_listing_fee();
            assert_eq!(fee.0, score / 256);
            assert_eq!(fee.0 + rest.0, score);
        }
    }
}
