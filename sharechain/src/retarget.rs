//! The block target that a child of a given parent has at a given time (protocol section 5).
//!
//! Exponential and memoryless: each block's lateness moves the target by a factor of its own, so the order of the
//! times does not matter, and saturation leaves no debt behind. Where the times come from, and whether they are
//! allowed, is judged elsewhere.

use crate::params::ChainParams;
use crate::target::Target;
use crate::units::UnixTime;
use primitive_types::{U256, U512};

/// What the target of a block needs to know about its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetargetInput {
    /// The target that the parent was mined at.
    pub parent_target: Target,
    /// The parent's time.
    pub parent_time: UnixTime,
    /// The time of the parent's parent; none when the parent is the first block.
    pub grandparent_time: Option<UnixTime>,
    /// The newest time among the parent and its ten ancestors (fewer near the root).
    pub newest_time: UnixTime,
}

/// The block target of a child of `parent` at `time`, already rounded down through its compact form.
///
/// `parent` is none when the parent is the chain id. The first block and its children have the easiest target.
pub fn next_target(params: &ChainParams, parent: Option<&RetargetInput>, time: UnixTime) -> Target {
    let easiest = params.easiest_target();
    let Some((parent, grandparent_time)) = parent.and_then(|parent| Some((parent, parent.grandparent_time?)))
    else {
        return easiest;
    };
    let late = parent.parent_time.seconds_since(grandparent_time).saturating_sub(i64::from(params.spacing));
    let target = scaled(parent.parent_target, exponent(late, params.retarget_constant), easiest);
    relieved(target, stalled_doublings(params, time.seconds_since(parent.newest_time)), easiest).rounded()
}

/// Fractional bits of the exponent and of the power of two.
const RADIX_BITS: u32 = 16;
/// 1.0.
const RADIX: u64 = 1 << RADIX_BITS;
/// Twice as often doubles any target to the easiest.
const TARGET_BITS: u32 = 256;

/// `late / constant` with 16 fractional bits, rounded towards zero.
fn exponent(late: i64, constant: u32) -> i64 {
    late.saturating_mul(1 << RADIX_BITS).checked_div(i64::from(constant)).unwrap_or(0)
}

/// `target` times 2^(`exponent` / 2^16), rounded down and saturated to 1 and `easiest`.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "a target below 2^256 times a factor below 2^17, shifted left by at most 239, stays below 2^512"
)]
fn scaled(target: Target, exponent: i64, easiest: Target) -> Target {
    let (whole, fraction) = (exponent >> RADIX_BITS, exponent.rem_euclid(1 << RADIX_BITS));
    let product = U512::from(target.value()) * U512::from(power_of_two(fraction.unsigned_abs()));
    let left = u32::try_from(whole.unsigned_abs()).unwrap_or(u32::MAX);
    let value = match whole {
        // The factor is at least 1.0, so this is 2^256 or more.
        256.. => return easiest,
        16..=255 => product << (left - RADIX_BITS),
        0..=15 => product >> (RADIX_BITS - left),
        _ => product >> left.saturating_add(RADIX_BITS).min(512),
    };
    saturated(value, easiest)
}

/// 2^(`fraction` / 2^16) with 16 fractional bits, by the cubic of Bitcoin Cash's aserti3-2d; 0 ≤ `fraction` < 2^16.
///
/// Its error is below 0.013 %, and it never gives less than 1.0 nor more than 2.0.
#[expect(
    clippy::arithmetic_side_effects,
    reason = "at the largest fraction the sum is 18,446,563,080,438,344,768, below 2^64"
)]
fn power_of_two(fraction: u64) -> u64 {
    let f = fraction & (RADIX - 1);
    RADIX + ((195_766_423_245_049 * f + 971_821_376 * f * f + 5_127 * f * f * f + (1 << 47)) >> 48)
}

/// How often a block that comes `silence` seconds after the newest time has its target doubled.
fn stalled_doublings(params: &ChainParams, silence: i64) -> u32 {
    let after = i64::from(params.stall_relief);
    if silence <= after {
        return 0;
    }
    silence.checked_div(after).and_then(|times| u32::try_from(times).ok()).unwrap_or(u32::MAX)
}

/// `target` doubled so many times, no easier than `easiest`.
#[expect(clippy::arithmetic_side_effects, reason = "256 bits shifted left by at most 256 stay within 512")]
fn relieved(target: Target, doublings: u32, easiest: Target) -> Target {
    saturated(U512::from(target.value()) << doublings.min(TARGET_BITS), easiest)
}

fn saturated(value: U512, easiest: Target) -> Target {
    match U256::try_from(value) {
        Ok(value) => Target::new(value).unwrap_or(Target::MIN).min(easiest),
        Err(_) => easiest,
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use super::*;
    use bitcoin::CompactTarget;
    use proptest::prelude::*;

    const NOW: u32 = 1_800_000_000;

    fn target(bits: u32) -> Target {
        Target::from_compact(CompactTarget::from_consensus(bits)).expect("canonical")
    }

    /// The target after a parent with these bits that took `interval` seconds, `silence` seconds after it.
    fn after(params: &ChainParams, parent_target: Target, interval: i64, silence: i64) -> Target {
        let shifted = |seconds: i64| UnixTime(u32::try_from(i64::from(NOW) + seconds).expect("in range"));
        let parent = RetargetInput {
            parent_target,
            parent_time: shifted(0),
            grandparent_time: Some(shifted(-interval)),
            newest_time: shifted(0),
        };
        next_target(params, Some(&parent), shifted(silence))
    }

    /// Parent's bits, seconds it took, seconds of silence after it, bits due. Made by a second implementation, in
    /// big integers of another language.
    #[test]
    fn targets_are_exact() {
        let params = ChainParams::main();
        for (bits, interval, silence, expected) in [
            (0x1a123456, 30, 0, 0x1a123456),
            (0x1a123456, 31, 0, 0x1a1236e5),
            (0x1a123456, 29, 0, 0x1a1231c6),
            (0x1a123456, 0, 0, 0x1a11e789),
            (0x1a123456, -600, 0, 0x1a0cd41f),
            (0x1a123456, 1278, 0, 0x1a2468ac),
            (0x1a123456, -1218, 0, 0x1a091a2b),
            (0x1a123456, 654, 0, 0x1a19be26),
            (0x1a123456, 120, 600, 0x1a1323b2),
            (0x1a123456, 120, 601, 0x1a264764),
            (0x1a123456, 120, 1199, 0x1a264764),
            (0x1a123456, 120, 1200, 0x1a4c8ec8),
            (0x1a123456, 120, 1800, 0x1b00991d),
            (0x1a123456, 120, -50, 0x1a1323b2),
            (0x1b07fff8, 0, 0, 0x1b07de38),
            (0x1b07fff8, 31, 0, 0x1b07fff8),
            (0x1a123456, 10000, 0, 0x1b07fff8),
            (0x1a123456, -100000, 0, 0x10106218),
            (0x1a123456, -1000000, 0, 0x01010000),
            (0x01010000, 0, 0, 0x01010000),
            (0x01010000, 1278, 0, 0x01020000),
            (0x01010000, 100000, 0, 0x0b011332),
        ] {
            let found = after(&params, target(bits), interval, silence).to_compact().to_consensus();
            assert_eq!(found, expected, "{bits:#x} {interval} {silence}: {found:#x}");
        }
    }

    #[test]
    fn the_first_block_and_its_children_are_easiest() {
        let params = ChainParams::main();
        assert_eq!(next_target(&params, None, UnixTime(0)), params.easiest_target());
        let parent = RetargetInput {
            parent_target: Target::MIN,
            parent_time: UnixTime(NOW),
            grandparent_time: None,
            newest_time: UnixTime(NOW),
        };
        assert_eq!(next_target(&params, Some(&parent), UnixTime(NOW)), params.easiest_target());
    }

    #[test]
    fn the_cubic_stays_near_the_power_of_two() {
        let mut last = 0;
        for fraction in 0..RADIX {
            let power = power_of_two(fraction);
            assert!(power >= last && (RADIX..=2 * RADIX).contains(&power));
            last = power;
        }
        // 2^(1/2) and 2^(1/4): their second and fourth powers are 2, within 0.03 %.
        let half = power_of_two(RADIX / 2);
        assert!((half * half).abs_diff(2 << 32) < (2 << 32) / 3_333);
        let quarter = u128::from(power_of_two(RADIX / 4));
        assert!(quarter.pow(4).abs_diff(2 << 64) < (2 << 64) / 3_333);
    }

    #[test]
    fn relief_starts_late_and_ends_at_the_easiest() {
        let params = ChainParams::main();
        let parent = params.easiest_target().harder_by(100).rounded();
        let of = |silence| after(&params, parent, 30, silence);
        assert_eq!(of(600), of(0));
        assert_eq!(of(601), of(0).easier_by(2).rounded());
        assert_eq!(of(3_599), of(0).easier_by(32).rounded());
        assert_eq!(of(4_200), params.easiest_target());
        assert_eq!(of(i64::from(u32::MAX - NOW)), params.easiest_target());
    }

    proptest! {
        /// Times come from outside: any of them gives a target within bounds.
        #[test]
        fn any_times_give_a_target_within_bounds(
            limbs: [u64; 4], times: [u32; 4],
            spacing in 1_u32..=3_600, constant in 1_u32..=1_000_000, relief in 1_u32..=1_000_000,
        ) {
            let params = ChainParams {
                spacing, retarget_constant: constant, stall_relief: relief, ..ChainParams::regtest()
            };
            let [parent, grandparent, newest, time] = times.map(UnixTime);
            let input = RetargetInput {
                parent_target: Target::new(primitive_types::U256(limbs)).unwrap_or(Target::MAX),
                parent_time: parent,
                grandparent_time: Some(grandparent),
                newest_time: newest,
            };
            let next = next_target(&params, Some(&input), time);
            prop_assert!(next >= Target::MIN && next <= params.easiest_target());
            prop_assert_eq!(next, next.rounded());
        }

        /// The same intervals in another order lead to the same target, but for rounding to 15 bits or more each step.
        #[test]
        fn the_order_of_intervals_does_not_matter(
            (intervals, shuffled) in prop::collection::vec(-2_000_i64..2_000, 1..40)
                .prop_flat_map(|intervals| (Just(intervals.clone()), Just(intervals).prop_shuffle()))
        ) {
            let params = ChainParams { easiest_block_target: target(0x2100_ffff).to_compact(), ..ChainParams::main() };
            let walk = |intervals: &[i64]| {
                intervals.iter().fold(target(0x1000_ffff), |t, interval| after(&params, t, *interval, 0)).value()
            };
            let (one, other) = (walk(&intervals), walk(&shuffled));
            let steps = primitive_types::U256::from(intervals.len());
            prop_assert!(one.abs_diff(other) <= (one.max(other) >> 14) * steps, "{:#x} {:#x}", one, other);
        }

        /// Later parents never make the target harder.
        #[test]
        fn lateness_never_makes_it_harder(bits in 0x0300_8000_u32..0x0380_0000, a in -9_000_i64..9_000, b in -9_000_i64..9_000) {
            let params = ChainParams::main();
            let parent = target(0x1a00_0000 | (bits & 0x007f_ffff));
            let (sooner, later) = (a.min(b), a.max(b));
            prop_assert!(after(&params, parent, sooner, 0) <= after(&params, parent, later, 0));
        }
    }
}
