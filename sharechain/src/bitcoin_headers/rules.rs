//! Bitcoin's header rules as plain functions of a few numbers: the retarget, the median and the boundary times.
//!
//! What they are applied to, and the tree that the numbers are read from, is the parent module's.

use crate::params::{BitcoinRules, MEDIAN_SPAN, RETARGET_PERIOD};
use crate::target::Target;
use bitcoin::CompactTarget;
use core::fmt;
use primitive_types::{U256, U512};

/// Seconds that a retarget period should take: two weeks.
const TARGET_TIMESPAN: i64 = 14 * 24 * 60 * 60;
/// On networks with minimum-difficulty blocks, a block this many seconds after its parent is one.
const MIN_DIFFICULTY_AFTER: u32 = 20 * 60;
/// BIP94: seconds that a period's first block may be before its parent.
const BIP94_BACKWARDS: u32 = 600;
/// BIP54: seconds that a period's first block may be before its parent.
const BIP54_BACKWARDS: u32 = 7_200;

/// What decides the earliest time that a header may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeRule {
    /// It must be above the median of the 11 headers before it.
    Median,
    /// BIP94: a retarget period's first block may be at most 600 s before its parent.
    Bip94,
    /// BIP54: a retarget period's first block may be at most 7,200 s before its parent, and its last one not before its first.
    Bip54,
}

impl fmt::Display for TimeRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Median => "the median of the 11 headers before it",
            Self::Bip94 => "the retarget boundary rule of BIP94",
            Self::Bip54 => "the retarget boundary rules of BIP54",
        })
    }
}

/// The earliest time that a rule allows, in seconds since 1970. 64 bits: the second after the last 32-bit one is a possible answer.
pub(super) type Earliest = (u64, TimeRule);

/// What the rules read of the header before the one in question, and of its ancestors.
#[derive(Clone, Copy)]
pub(super) struct Previous {
    /// Height of the previous header.
    pub height: u32,
    /// Its time.
    pub time: u32,
    /// Its bits.
    pub bits: CompactTarget,
    /// The bits of the newest header of its period, itself included, that are not the limit's; the period's first if there is none.
    pub real_bits: CompactTarget,
    /// Time of the first header of its period.
    pub period_time: u32,
    /// Bits of the first header of its period.
    pub period_bits: CompactTarget,
    /// Median time of its last 11.
    pub median: u32,
}

impl Previous {
    /// Whether the next header begins a retarget period.
    pub(super) const fn next_begins_period(&self) -> bool {
        self.height % RETARGET_PERIOD == RETARGET_PERIOD - 1
    }
}

/// The bits that a header with this time must have.
pub(super) fn required_bits(rules: &BitcoinRules, prev: &Previous, time: u32) -> CompactTarget {
    let limit = CompactTarget::from_consensus(rules.limit);
    if !rules.retargets {
        return limit;
    }
    if prev.next_begins_period() {
        let base = if rules.bip94 { prev.period_bits } else { prev.bits };
        return retarget(base, i64::from(prev.time).saturating_sub(i64::from(prev.period_time)), limit);
    }
    if !rules.min_difficulty_blocks {
        return prev.bits;
    }
    if time > late_after(prev) { limit } else { prev.real_bits }
}

/// The last time at which a block is not late, where late blocks may be easy.
const fn late_after(prev: &Previous) -> u32 {
    prev.time.saturating_add(MIN_DIFFICULTY_AFTER)
}

/// The first and the last time of a header for which the required bits are the same as for `time`.
pub(super) fn times_alike(rules: &BitcoinRules, prev: &Previous, time: u32) -> (u32, u32) {
    if !rules.retargets || !rules.min_difficulty_blocks || prev.next_begins_period() {
        return (0, u32::MAX);
    }
    let late = late_after(prev);
    if time > late { (late.saturating_add(1), u32::MAX) } else { (0, late) }
}

/// Bitcoin's retarget: base × timespan / two weeks, the timespan clamped to a quarter and four times of that, at most the limit.
///
/// The timespan is from the period's first header to its last, 2,015 intervals and not 2,016. Bitcoin holds the result
/// against its limit with all 256 bits, here the limit is already rounded; both give the same compact form.
fn retarget(base: CompactTarget, timespan: i64, limit: CompactTarget) -> CompactTarget {
    let timespan = timespan.clamp(TARGET_TIMESPAN / 4, TARGET_TIMESPAN * 4).unsigned_abs();
    let (Ok(base), Ok(limit)) = (Target::from_compact(base), Target::from_compact(limit)) else {
        // Both were read before: the limit by the parameters' check, the base as the bits of a header in the tree.
        return limit;
    };
    let scaled = base.value().full_mul(U256::from(timespan));
    let quotient = scaled.checked_div(U512::from(TARGET_TIMESPAN.unsigned_abs())).unwrap_or(scaled);
    let target = U256::try_from(quotient).ok().and_then(Target::new).unwrap_or(limit);
    target.min(limit).to_compact()
}

/// The median of up to 11 times, newest first; for an even count the later of the middle two, as Bitcoin takes it.
pub(super) fn median(times: impl Iterator<Item = u32>) -> u32 {
    let mut span = [0; MEDIAN_SPAN];
    let mut count = 0_usize;
    for (slot, time) in span.iter_mut().zip(times) {
        *slot = time;
        count = count.saturating_add(1);
    }
    let span = &mut span[..count];
    span.sort_unstable();
    span.get(count / 2).copied().unwrap_or(0)
}

/// The earliest time that Bitcoin allows the next header.
pub(super) fn earliest(rules: &BitcoinRules, prev: &Previous) -> Earliest {
    let by_median = (u64::from(prev.median).saturating_add(1), TimeRule::Median);
    if rules.bip94 && prev.next_begins_period() {
        later(by_median, (u64::from(prev.time.saturating_sub(BIP94_BACKWARDS)), TimeRule::Bip94))
    } else {
        by_median
    }
}

/// The earliest time that BIP54 allows the next header, on top of what Bitcoin demands today.
pub(super) fn earliest_with_bip54(rules: &BitcoinRules, prev: &Previous) -> Earliest {
    let today = earliest(rules, prev);
    match prev.height.wrapping_add(1) % RETARGET_PERIOD {
        0 => later(today, (u64::from(prev.time.saturating_sub(BIP54_BACKWARDS)), TimeRule::Bip54)),
        2_015 => later(today, (u64::from(prev.period_time), TimeRule::Bip54)),
        _ => today,
    }
}

const fn later(a: Earliest, b: Earliest) -> Earliest {
    if b.0 > a.0 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::params::Network;
    use proptest::prelude::*;

    fn bits(bits: u32) -> CompactTarget {
        CompactTarget::from_consensus(bits)
    }

    fn previous(height: u32, time: u32, compact: u32) -> Previous {
        let bits = bits(compact);
        Previous { height, time, bits, real_bits: bits, period_time: time, period_bits: bits, median: time }
    }

    #[test]
    fn retargets_of_bitcoins_history() {
        // Heights 2016, 32256 (the first rise) and 68544 (a full fourfold rise); the last is made up to fall fourfold.
        for (last, first_time, last_time, old, new) in [
            (2_015, 1_231_006_505, 1_233_061_996, 0x1d00_ffff, 0x1d00_ffff),
            (32_255, 1_261_130_161, 1_262_152_739, 0x1d00_ffff, 0x1d00_d86a),
            (68_543, 1_279_008_237, 1_279_297_671, 0x1c05_a3f4, 0x1c01_68fd),
            (46_367, 1_263_163_443, 1_269_211_443, 0x1c38_7f6f, 0x1d00_e1fd),
        ] {
            let prev = Previous { period_time: first_time, ..previous(last, last_time, old) };
            assert_eq!(
                required_bits(&Network::Main.rules(), &prev, last_time),
                bits(new),
                "height {}",
                last + 1
            );
        }
    }

    #[test]
    fn signets_easiest_target_still_retargets_exactly() {
        let prev = Previous { period_time: 0, ..previous(2_015, u32::MAX, 0x1e03_77ae) };
        assert_eq!(required_bits(&Network::Signet.rules(), &prev, 0), bits(0x1e03_77ae));
        let prev = Previous { period_time: u32::MAX, ..previous(2_015, 0, 0x1e03_77ae) };
        assert_eq!(required_bits(&Network::Signet.rules(), &prev, 0), bits(0x1e00_ddeb));
    }

    #[test]
    fn testnet4_takes_the_limit_after_twenty_minutes_and_goes_back_to_the_real_bits() {
        let rules = Network::Testnet4.rules();
        let prev = Previous { real_bits: bits(0x1b01_0000), ..previous(100, 5_000, 0x1d00_ffff) };
        assert_eq!(required_bits(&rules, &prev, 6_201), bits(0x1d00_ffff));
        assert_eq!(required_bits(&rules, &prev, 6_200), bits(0x1b01_0000));
        assert_eq!(required_bits(&rules, &prev, 0), bits(0x1b01_0000));
    }

    #[test]
    fn testnet4_retargets_from_the_periods_first_bits_whatever_the_last_are() {
        let two_weeks = 14 * 24 * 60 * 60;
        let prev = Previous {
            period_bits: bits(0x1b01_0000),
            period_time: 1_000,
            ..previous(4_031, 1_000 + two_weeks, 0x1d00_ffff)
        };
        // Neither the minimum-difficulty bits of the last block nor twenty minutes without one matter at the boundary.
        assert_eq!(required_bits(&Network::Testnet4.rules(), &prev, u32::MAX), bits(0x1b01_0000));
        assert_eq!(required_bits(&Network::Main.rules(), &prev, u32::MAX), bits(0x1d00_ffff));
    }

    #[test]
    fn without_retargets_the_limit_holds_always() {
        let rules = Network::Embedded { bits: 0x1e7f_ffff }.rules();
        for height in [0, 1, 2_014, 2_015, 2_016] {
            let prev = previous(height, 5, 0x1d00_ffff);
            assert_eq!(required_bits(&rules, &prev, u32::MAX), bits(0x1e7f_ffff));
        }
    }

    #[test]
    fn boundary_times() {
        let (main, testnet4) = (Network::Main.rules(), Network::Testnet4.rules());
        let at =
            |height| Previous { median: 10, period_time: 40_000, ..previous(height, 50_000, 0x1d00_ffff) };
        assert_eq!(earliest(&main, &at(2_015)), (11, TimeRule::Median));
        assert_eq!(earliest(&testnet4, &at(2_015)), (49_400, TimeRule::Bip94));
        assert_eq!(earliest(&testnet4, &at(2_014)), (11, TimeRule::Median));
        assert_eq!(earliest_with_bip54(&main, &at(2_015)), (42_800, TimeRule::Bip54));
        assert_eq!(earliest_with_bip54(&testnet4, &at(2_015)), (49_400, TimeRule::Bip94));
        assert_eq!(earliest_with_bip54(&main, &at(2_014)), (40_000, TimeRule::Bip54));
        assert_eq!(earliest_with_bip54(&main, &at(2_016)), (11, TimeRule::Median));
    }

    #[test]
    fn medians_of_few_and_of_many() {
        assert_eq!(median([7].into_iter()), 7);
        assert_eq!(median([7, 5].into_iter()), 7);
        assert_eq!(median([9, 1, 5].into_iter()), 5);
        assert_eq!(median((0..100).rev()), 94);
        assert_eq!(median(core::iter::empty()), 0);
    }

    proptest! {
        #[test]
        fn no_numbers_panic_and_no_bits_are_above_the_limit(
            height: u32, time: u32, first: u32, median: u32, next: u32, compact: u32,
        ) {
            for network in [Network::Main, Network::Testnet4, Network::Signet, Network::Regtest] {
                let (rules, limit) = (network.rules(), bits(network.rules().limit));
                let limit = Target::from_compact(limit).expect("a valid limit");
                let old = Target::from_compact(bits(compact)).unwrap_or(limit).min(limit).to_compact();
                let prev = Previous {
                    period_time: first, median, ..previous(height, time, old.to_consensus())
                };
                let new = Target::from_compact(required_bits(&rules, &prev, next)).expect("canonical");
                prop_assert!(new <= limit);
                prop_assert!(earliest(&rules, &prev) .0 > u64::from(median));
                prop_assert!(earliest_with_bip54(&rules, &prev).0 >= earliest(&rules, &prev).0);
            }
        }
    }
}
