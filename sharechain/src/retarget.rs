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
