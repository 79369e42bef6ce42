//! Share difficulties as Stratum announces them: powers of two, and nothing else.
//!
//! Some firmware mistreats other values, and every large pool sends powers of two. Difficulty 1 is "pool
//! difficulty", a target of 0xffff × 2^208.

use primitive_types::U256;
use sharechain::target::Target;
use std::fmt;

/// Two to the power of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difficulty(i32);

impl Difficulty {
    /// The easiest whose target fits in 256 bits, 2^-32: every hash but one in 65,536 meets it.
    pub const MIN: Self = Self(-32);
    /// Difficulty 1.
    pub const ONE: Self = Self(0);
    /// Far above Bitcoin's, yet a number that every JSON reader holds exactly.
    pub const MAX: Self = Self(52);

    /// Two to the power of `exponent`, or the nearest that there is.
    pub const fn power_of_two(exponent: i32) -> Self {
        match exponent {
            ..-32 => Self::MIN,
            53.. => Self::MAX,
            exponent => Self(exponent),
        }
    }

    /// The highest not above `value`, or none for what is no difficulty at all.
    pub fn at_most(value: f64) -> Option<Self> {
        if !value.is_finite() || value <= 0.0 {
            return None;
        }
        let exponents = (Self::MIN.0 + 1)..=Self::MAX.0;
        Some(Self(
            exponents.rev().find(|&exponent| value >= f64::from(exponent).exp2()).unwrap_or(Self::MIN.0),
        ))
    }

    /// The highest at which no hash that meets `target` is refused.
    pub fn within(target: Target) -> Self {
        // A difficulty's target has as many bits as 224 less its exponent.
        let bits = i32::try_from(target.value().bits()).unwrap_or(256);
        let as_long = Self::power_of_two(224 - bits);
        if as_long.target() >= target { as_long } else { as_long.times_power(-1) }
    }

    /// This difficulty times 2^`exponent`, or the nearest that there is.
    pub const fn times_power(self, exponent: i32) -> Self {
        Self::power_of_two(self.0.saturating_add(exponent))
    }

    /// The power of two that it is.
    pub const fn exponent(self) -> i32 {
        self.0
    }

    /// The target that miners derive from it.
    pub fn target(self) -> Target {
        Target::new(U256::from(0xffff) << self.shift()).unwrap_or(Target::MIN)
    }

    /// The target that shares are held against.
    ///
    /// Below 1 it is easier by 1.5 parts in 100,000: some clients read fractions as multiples of 2^224 / 2^32 sharp.
    pub fn accepted_target(self) -> Target {
        if self >= Self::ONE {
            return self.target();
        }
        let sharp = if self == Self::MIN { U256::MAX } else { U256::one() << (self.shift() + 16) };
        Target::new(sharp).unwrap_or(Target::MAX)
    }

    /// Expected hashes for one share, near enough for a rate.
    pub fn hashes(self) -> f64 {
        f64::from(self.0 + 32).exp2()
    }

    /// The same as a whole number.
    pub fn work(self) -> u128 {
        1 << u32::try_from(self.0 + 32).unwrap_or(0)
    }

    fn shift(self) -> usize {
        usize::try_from(208 - self.0).unwrap_or(0)
    }
}

/// As a JSON number: never with an exponent, which small devices may not read.
impl fmt::Display for Difficulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", f64::from(self.0).exp2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::CompactTarget;
    use proptest::prelude::*;

    fn compact(bits: u32) -> Target {
        Target::from_compact(CompactTarget::from_consensus(bits)).expect("valid")
    }

    #[test]
    fn one_is_bitcoins_first_target() {
        assert_eq!(Difficulty::ONE.target(), compact(0x1d00_ffff));
        assert_eq!(Difficulty::within(compact(0x1d00_ffff)), Difficulty::ONE);
        assert_eq!(Difficulty::ONE.to_string(), "1");
        assert_eq!(Difficulty::power_of_two(16).to_string(), "65536");
        assert_eq!(Difficulty::MAX.to_string(), "4503599627370496");
        assert_eq!(Difficulty::power_of_two(-3).to_string(), "0.125");
        assert_eq!(Difficulty::MIN.to_string(), "0.00000000023283064365386963");
    }

    #[test]
    fn never_above_the_network_even_on_regtest() {
        let regtest = compact(0x207f_ffff);
        assert_eq!(Difficulty::within(regtest), Difficulty::MIN);
        assert!(Difficulty::within(regtest).target() >= regtest);
        assert_eq!(Difficulty::within(Target::MAX), Difficulty::MIN);
        assert_eq!(Difficulty::within(crate::test_jobs::target(20)), Difficulty(20));
        assert_eq!(Difficulty::within(Target::MIN), Difficulty::MAX);
    }

    #[test]
    fn what_is_no_difficulty_is_refused() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(Difficulty::at_most(bad), None);
        }
        assert_eq!(Difficulty::at_most(1e-300), Some(Difficulty::MIN));
        assert_eq!(Difficulty::at_most(1e300), Some(Difficulty::MAX));
        assert_eq!(Difficulty::at_most(0.000_15), Some(Difficulty(-13)));
        assert_eq!(Difficulty::at_most(1000.0), Some(Difficulty(9)));
    }

    proptest! {
        #[test]
        fn within_is_the_highest_that_refuses_nothing(bits in 0x1a00_ffff_u32..=0x2000_ffff) {
            if let Ok(target) = Target::from_compact(CompactTarget::from_consensus(bits)) {
                let difficulty = Difficulty::within(target);
                prop_assert!(difficulty.target() >= target);
                prop_assert!(difficulty.times_power(1).target() < target);
            }
        }

        #[test]
        fn every_one_is_read_back_from_its_number(exponent in -40..70) {
            let difficulty = Difficulty::power_of_two(exponent);
            let number: f64 = difficulty.to_string().parse().expect("a number");
            prop_assert_eq!(Difficulty::at_most(number), Some(difficulty));
            prop_assert!(!difficulty.to_string().contains('e'));
            prop_assert!(difficulty.accepted_target() >= difficulty.target());
            prop_assert_eq!(difficulty.work() as f64, difficulty.hashes());
        }
    }
}
