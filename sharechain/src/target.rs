//! Targets and work: the only reader of compact targets ("bits") in the project.
//!
//! `bitcoin::Target::from_compact` never fails: overflowing and negative forms give absurd targets. Here a compact
//! form is accepted only when it is the one that writing the target gives back (protocol section 4, canonical forms).

use crate::units::Score;
use bitcoin::CompactTarget;
use core::fmt;
use primitive_types::{U256, U512};
use thiserror::Error;

/// A 256-bit target, never zero. A hash meets it when, read as a little-endian number, it is not above it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target(U256);

/// Why a compact target was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0:#010x} is not the compact form of a target")]
pub struct BadCompactTarget(pub u32);

impl Target {
    /// The easiest target there is: every hash meets it.
    pub const MAX: Self = Self(U256::MAX);
    /// The hardest.
    pub const MIN: Self = Self(U256([1, 0, 0, 0]));

    /// Reads the compact form: non-zero, not negative, within 256 bits, and the form that [`Target::to_compact`] writes.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a U256 shifted by any usize gives zeros, not a panic"
    )]
    pub fn from_compact(bits: CompactTarget) -> Result<Self, BadCompactTarget> {
        let bits = bits.to_consensus();
        let (exponent, mantissa) = (bits >> 24, bits & 0x007f_ffff);
        let value = match exponent {
            0..=3 => U256::from(mantissa >> (3_u32.saturating_sub(exponent).saturating_mul(8))),
            4..=34 => U256::from(mantissa) << (exponent.saturating_sub(3).saturating_mul(8)),
            _ => return Err(BadCompactTarget(bits)),
        };
        // A mantissa shifted past 256 bits does not come back from the round trip below.
        let target = Self::new(value).ok_or(BadCompactTarget(bits))?;
        if target.to_compact().to_consensus() == bits { Ok(target) } else { Err(BadCompactTarget(bits)) }
    }

    /// A target of this value, or none for zero.
    pub fn new(value: U256) -> Option<Self> {
        (!value.is_zero()).then_some(Self(value))
    }

    /// The compact form, rounded down to its 23 bits of precision.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "a U256 shifted by any usize gives zeros, not a panic"
    )]
    pub fn to_compact(self) -> CompactTarget {
        let bytes = self.0.bits().div_ceil(8);
        let mut mantissa = if bytes <= 3 {
            self.0.low_u32() << (3_usize.saturating_sub(bytes).saturating_mul(8))
        } else {
            (self.0 >> (bytes.saturating_sub(3).saturating_mul(8))).low_u32()
        };
        let mut exponent = u32::try_from(bytes).unwrap_or(u32::MAX);
        if mantissa & 0x0080_0000 != 0 {
            mantissa >>= 8;
            exponent = exponent.saturating_add(1);
        }
        CompactTarget::from_consensus(mantissa | (exponent << 24))
    }

    /// This target rounded down to what its compact form can say, at least 1.
    pub fn rounded(self) -> Self {
        Self::from_compact(self.to_compact()).unwrap_or(Self::MIN)
    }

    /// The number.
    pub const fn value(self) -> U256 {
        self.0
    }

    /// A target `factor` times as easy, saturating at the easiest there is.
    pub fn easier_by(self, factor: u32) -> Self {
        Self(self.0.checked_mul(U256::from(factor)).unwrap_or(U256::MAX).max(U256::one()))
    }

    /// A target `factor` times as hard, at least 1.
    pub fn harder_by(self, factor: u32) -> Self {
        Self(self.0.checked_div(U256::from(factor)).unwrap_or(self.0).max(U256::one()))
    }

    /// Whether a double SHA-256 hash, in the byte order that SHA-256 gives, meets this target.
    pub fn is_met_by(self, hash: &[u8; 32]) -> bool {
        U256::from_little_endian(hash) <= self.0
    }

    /// Expected number of hashes to meet this target: floor(2^256 / (target + 1)).
    ///
    /// For the easiest target of all, which needs one hash, this is 1.
    pub fn work(self) -> Work {
        // 2^256 / (t + 1) = (2^256 - t - 1) / (t + 1) + 1, which stays within 256 bits.
        let quotient = self.0.checked_add(U256::one()).and_then(|divisor| (!self.0).checked_div(divisor));
        Work(quotient.and_then(|q| q.checked_add(U256::one())).unwrap_or(U256::one()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({:#x})", self.0)
    }
}

/// The score of a share: work of its share target over work of the network target, at most 4.0.
#[expect(clippy::arithmetic_side_effects, reason = "a 256-bit number shifted by 64 stays within 512 bits")]
pub fn score(share: Target, network: Target) -> Score {
    let numerator = U512::from(share.work().0) << 64;
    let quotient = numerator.checked_div(U512::from(network.work().0)).unwrap_or_default();
    if quotient >= U512::from(Score::MAX_PER_SHARE.0) {
        Score::MAX_PER_SHARE
    } else {
        Score(quotient.low_u128())
    }
}

/// Expected hashes, summed with checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Work(pub U256);

impl Work {
    /// No work.
    pub const ZERO: Self = Self(U256([0; 4]));

    /// The sum of both; at the (unreachable) end of 256 bits it stays there.
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, at least zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether this is greater than `other` by more than a sixteenth: what it takes to leave a chain for one without a
    /// common ancestor (protocol section 7).
    pub fn clearly_exceeds(self, other: Self) -> bool {
        let sixteenth = other.0.checked_div(U256::from(16)).unwrap_or_default();
        self > other.saturating_add(Self(sixteenth))
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bits: u32) -> Result<Target, BadCompactTarget> {
        Target::from_compact(CompactTarget::from_consensus(bits))
    }

    #[test]
    fn absurd_compact_forms_are_refused() {
        for bits in
            [0, 0xff7f_ffff, 0x2300_0001, 0x2080_0000, 0x0492_3456, 0x1d00_0000, 0x0100_3456, 0x1e00_00ff]
        {
            assert_eq!(read(bits), Err(BadCompactTarget(bits)), "{bits:#x}");
        }
    }

    #[test]
    fn known_targets_and_their_work() {
        let main = read(0x1d00_ffff).expect("Bitcoin's limit");
        assert_eq!(main.value(), U256::from(0xffff) << 208);
        assert_eq!(main.work(), Work(U256::from(0x1_0001_0001_u64)));
        assert_eq!(read(0x207f_ffff).expect("regtest's limit").work(), Work(U256::from(2)));
        assert_eq!(Target::MAX.work(), Work(U256::one()));
        assert_eq!(Target::MIN.work(), Work(U256::one() << 255));
    }

    #[test]
    fn a_sixteenth_more_is_not_clearly_more() {
        let work = |n: u64| Work(U256::from(n));
        assert!(!work(1_700).clearly_exceeds(work(1_600)));
        assert!(work(1_701).clearly_exceeds(work(1_600)));
        assert!(!Work(U256::MAX).clearly_exceeds(Work(U256::MAX)));
    }

    #[test]
    fn scores_are_ratios_and_end_at_four() {
        let network = read(0x1b00_ffff).expect("valid");
        let share = read(0x1d00_ffff).expect("valid");
        assert_eq!(score(network, network), Score::ONE);
        assert_eq!(score(network.harder_by(16), network), Score::MAX_PER_SHARE);
        let expected = (share.work().0 << 64) / network.work().0;
        assert_eq!(score(share, network), Score(expected.low_u128()));
    }

    proptest! {
        #[test]
        fn compact_round_trips_or_is_refused(bits: u32) {
            if let Ok(target) = read(bits) {
                prop_assert_eq!(target.to_compact().to_consensus(), bits);
            }
        }

        #[test]
        fn rounding_never_makes_a_target_easier(limbs: [u64; 4]) {
            if let Some(target) = Target::new(U256(limbs)) {
                let rounded = target.rounded();
                prop_assert!(rounded <= target);
                prop_assert_eq!(rounded.rounded(), rounded);
                let bitcoins = bitcoin::Target::from_le_bytes(target.value().to_little_endian());
                prop_assert_eq!(bitcoins.to_compact_lossy(), target.to_compact());
                let to_work = bitcoins.to_work().to_le_bytes();
                prop_assert_eq!(U256::from_little_endian(&to_work), target.work().0);
            }
        }
    }
}
