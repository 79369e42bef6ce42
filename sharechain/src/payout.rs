//! Who is paid how much by one coinbase (protocol section 6): the finder's bonus, nested sampling, exact satoshis.
//!
//! Two steps. [`select_all`] (or [`select_for_class`]) chooses who is paid; it depends on the reward window, the
//! Bitcoin block built on and the Bitcoin height, so it can be kept from job to job. [`split`] turns one choice and
//! a coinbase value into outputs. The coinbase itself is built elsewhere.
//!
//! Lists of owners and scores are in ranked order everywhere: largest score first, ties by script, none of zero, as
//! [`crate::window::Window::ranked`] gives them.

use crate::hash;
use crate::owner::Owner;
use crate::params::{BONUS_PER_10_000, ChainId, ChainParams, MAX_MONEY};
use crate::units::{BitcoinHeight, Score};
use bitcoin::BlockHash;
use bitcoin::hashes::Hash;
use core::cmp::Reverse;
use primitive_types::U256;

/// Who is paid in one payout class, and in what proportion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    class: u16,
    entries: Vec<(Owner, Score)>,
    total: u128,
}

impl Selection {
    /// The payout class.
    pub const fn class(&self) -> u16 {
        self.class
    }

    /// Who is paid and at what weight, in ranked order. The weights of every class sum to the window's score.
    /// Empty when all goes to the finder.
    pub fn entries(&self) -> &[(Owner, Score)] {
        &self.entries
    }
}

/// The outputs of a coinbase that pay somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payouts {
    /// Owners and satoshis, in the order of the outputs: value descending, then script.
    pub outputs: Vec<(Owner, u64)>,
    /// The finder's bonus, the output after those, unless it would be dust.
    pub bonus: Option<(Owner, u64)>,
}

/// The selections of all classes, in the order of `params.classes`: smallest first.
///
/// `entries` are the reward window at the payout block, ranked. A share of class K is due the selection of that
/// class.
pub fn select_all(
    params: &ChainParams,
    entries: &[(Owner, Score)],
    prev_block: BlockHash,
    bitcoin_height: BitcoinHeight,
) -> Vec<Selection> {
    let chain = params.chain_id();
    let mut selections = select_down_to(params, entries, bitcoin_height, 0, |stage, choices| {
        reduced(stage_seed(chain, prev_block, stage), choices)
    });
    selections.reverse();
    selections
}

/// The selection of one class; none when the chain has no such class.
pub fn select_for_class(
    params: &ChainParams,
    entries: &[(Owner, Score)],
    prev_block: BlockHash,
    bitcoin_height: BitcoinHeight,
    class: u16,
) -> Option<Selection> {
    let chain = params.chain_id();
    let selections = select_down_to(params, entries, bitcoin_height, class, |stage, choices| {
        reduced(stage_seed(chain, prev_block, stage), choices)
    });
    selections.into_iter().last().filter(|selection| selection.class == class)
}

/// The stages from the largest class down to the last one not below `least_class`, in that order, each drawn from
/// the result of the one before.
///
/// `draw` is given the stage (0 for the largest class) and how many numbers there are to choose from, and gives U,
/// one of `0..choices`. It is asked only where there is a choice.
pub fn select_down_to(
    params: &ChainParams,
    entries: &[(Owner, Score)],
    bitcoin_height: BitcoinHeight,
    least_class: u16,
    mut draw: impl FnMut(u8, u128) -> u128,
) -> Vec<Selection> {
    let total = sum(entries);
    let least = least_payable(params, total, bitcoin_height);
    let mut selections: Vec<Selection> = Vec::with_capacity(params.classes.len());
    let classes = params.classes.iter().rev().copied().take_while(|class| *class >= least_class);
    for (class, stage) in classes.zip(0_u8..) {
        let before = selections.last().map_or(entries, |selection| &selection.entries);
        let entries = match least {
            Some(least) => {
                let sampling = Sampling::within(before, total, class, least);
                let u = if sampling.choices() > 1 { draw(stage, sampling.choices()) } else { 0 };
                sampling.draw(u)
            }
            None => Vec::new(),
        };
        selections.push(Selection { class, entries, total });
    }
    selections
}

/// The seed of a stage: tagged hash of the chain id, the Bitcoin block built on (both in the byte order that SHA-256
/// gives) and the stage as one byte, 0 for the largest class and counting up.
pub fn stage_seed(chain: ChainId, prev_block: BlockHash, stage: u8) -> [u8; 32] {
    let mut message = [0; 65];
    message[..32].copy_from_slice(&chain.0);
    message[32..64].copy_from_slice(prev_block.as_byte_array());
    message[64] = stage;
    hash::PAYOUT_SEED.hash(&message)
}

/// The seed, read as a little-endian number, modulo `choices`.
fn reduced(seed: [u8; 32], choices: u128) -> u128 {
    let u = U256::from_little_endian(&seed).checked_rem(U256::from(choices));
    u.unwrap_or_default().low_u128()
}

/// One stage of the sampling, before its number is drawn: the first entries are paid exactly, the others share equal
/// slots, each won with a probability in proportion to the entry's size.
#[derive(Clone, Copy, Debug)]
pub struct Sampling<'a> {
    exact: &'a [(Owner, Score)],
    others: &'a [(Owner, Score)],
    /// The sum of the others.
    rest: u128,
    /// Slots that the others share; zero when there are no others.
    slots: u16,
}

impl<'a> Sampling<'a> {
    /// `select(entries, most)` of the protocol. `most` is at least 1.
    pub fn new(entries: &'a [(Owner, Score)], most: u16) -> Self {
        Self::of(entries, sum(entries), most)
    }

    /// The sampling of most entries, up to `class`, whose smallest weight is at least `least`.
    fn within(entries: &'a [(Owner, Score)], total: u128, class: u16, least: u128) -> Self {
        // The smallest weight falls as the number rises, so bisection finds the largest that will do.
        let (mut good, mut bad) = (1, class.saturating_add(1));
        let mut found = Self::of(entries, total, good);
        while bad.saturating_sub(good) > 1 {
            let middle = good.midpoint(bad);
            let sampling = Self::of(entries, total, middle);
            if sampling.smallest() >= least {
                (good, found) = (middle, sampling);
            } else {
                bad = middle;
            }
        }
        found
    }

    fn of(entries: &'a [(Owner, Score)], total: u128, most: u16) -> Self {
        let all = Self { exact: entries, others: &[], rest: 0, slots: 0 };
        if entries.len() <= usize::from(most) {
            return all;
        }
        let mut rest = total;
        for ((index, (_, weight)), slots) in entries.iter().enumerate().zip((1..=most).rev()) {
            if weight.0.saturating_mul(u128::from(slots)) < rest {
                let (exact, others) = entries.split_at(index);
                return Self { exact, others, rest, slots };
            }
            rest = rest.saturating_sub(weight.0);
        }
        // Not reached with ranked entries: the last slot's entry is smaller than all that is left.
        all
    }

    /// How many numbers there are to draw from: U is one of `0..choices`. 1 where nothing is left to chance.
    pub fn choices(&self) -> u128 {
        self.rest.max(1)
    }

    /// The smallest weight that any draw gives.
    pub fn smallest(&self) -> u128 {
        match self.rest.checked_div(u128::from(self.slots)) {
            Some(slot) => slot,
            None => self.exact.last().map_or(0, |(_, weight)| weight.0),
        }
    }

    /// The entries that are paid when `u` is drawn, ranked. Their weights sum to that of all entries.
    pub fn draw(&self, u: u128) -> Vec<(Owner, Score)> {
        let mut paid = Vec::with_capacity(self.exact.len().saturating_add(usize::from(self.slots)));
        paid.extend_from_slice(self.exact);
        let mut slots = SlotWeights::new(self.rest, self.slots);
        // Everything on a scale where an entry covers weight × slots, and a slot's point comes after each `rest`.
        let (mut end, mut point) = (0_u128, u);
        for (owner, weight) in self.others {
            end = end.saturating_add(weight.0.saturating_mul(u128::from(self.slots)));
            if point < end {
                let Some(slot) = slots.next() else { break };
                paid.push((*owner, Score(slot)));
                point = point.saturating_add(self.rest);
            }
        }
        paid.sort_by_key(|(owner, weight)| (Reverse(*weight), *owner));
        paid
    }
}

/// The weights of slots 0, 1, …: floor((t + 1) × rest / slots) - floor(t × rest / slots).
struct SlotWeights {
    slots: u16,
    quotient: u128,
    remainder: u16,
    done: u16,
    carried: u16,
}

impl SlotWeights {
    fn new(rest: u128, slots: u16) -> Self {
        let of = u128::from(slots);
        let quotient = rest.checked_div(of).unwrap_or(0);
        let remainder = rest.checked_rem(of).and_then(|r| u16::try_from(r).ok()).unwrap_or(0);
        Self { slots, quotient, remainder, done: 0, carried: 0 }
    }
}

impl Iterator for SlotWeights {
    type Item = u128;

    /// Division with a carry: the remainders add up, and each whole one goes to the slot where it becomes whole.
    fn next(&mut self) -> Option<u128> {
        if self.done >= self.slots {
            return None;
        }
        self.done = self.done.saturating_add(1);
        let carried = u32::from(self.carried).saturating_add(u32::from(self.remainder));
        let whole = carried >= u32::from(self.slots);
        let left = if whole { carried.saturating_sub(u32::from(self.slots)) } else { carried };
        self.carried = u16::try_from(left).unwrap_or(0);
        Some(self.quotient.saturating_add(u128::from(whole)))
    }
}

/// The least weight out of `total` that is worth a payout of the subsidy less the bonus; none when all goes to the
/// finder.
fn least_payable(params: &ChainParams, total: u128, height: BitcoinHeight) -> Option<u128> {
    let subsidy = u128::from(params.subsidy(height));
    let rest_of_subsidy = subsidy.saturating_mul(u128::from(WHOLE.saturating_sub(BONUS_PER_10_000)));
    let shared = rest_of_subsidy.checked_div(u128::from(WHOLE))?;
    let smallest = u128::from(params.smallest_payout);
    if total == 0 || shared < smallest {
        return None;
    }
    // floor(weight × shared / total) ≥ smallest, solved for the weight.
    Some(smallest.saturating_mul(total).div_ceil(shared))
}

/// The parts that [`BONUS_PER_10_000`] counts.
const WHOLE: u64 = 10_000;

fn sum(entries: &[(Owner, Score)]) -> u128 {
    entries.iter().fold(0, |sum, (_, weight)| sum.saturating_add(weight.0))
}

/// The outputs that pay `value` satoshis (at most [`MAX_MONEY`]; more is taken as that) by a selection.
pub fn split(selection: &Selection, value: u64, finder: Owner) -> Payouts {
    let value = value.min(MAX_MONEY);
    if value == 0 {
        return Payouts::default();
    }
    let bonus = value.saturating_mul(BONUS_PER_10_000).checked_div(WHOLE).unwrap_or(0);
    let bonus = (bonus >= finder.dust_limit()).then_some((finder, bonus));
    let rest = value.saturating_sub(bonus.map_or(0, |(_, bonus)| bonus));
    let outputs = if selection.entries.is_empty() {
        vec![(finder, rest)]
    } else {
        largest_remainder(&selection.entries, selection.total, rest)
    };
    Payouts { outputs, bonus }
}

/// Splits `value` in proportion to the entries' weights, whose sum is `total`; what rounding down leaves goes one
/// satoshi each to the largest remainders, ties by script. In the order of the outputs; a zero is no output.
fn largest_remainder(entries: &[(Owner, Score)], total: u128, value: u64) -> Vec<(Owner, u64)> {
    let portion = Portion::new(value, total);
    let (mut outputs, mut remainders) =
        (Vec::with_capacity(entries.len()), Vec::with_capacity(entries.len()));
    let mut left = value;
    for (index, (owner, weight)) in entries.iter().enumerate() {
        let (satoshis, remainder) = portion.of(weight.0);
        left = left.saturating_sub(satoshis);
        outputs.push((*owner, satoshis));
        remainders.push((Reverse(remainder), index));
    }
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    if let Some(last) = left.checked_sub(1)
        && last < remainders.len()
    {
        remainders.select_nth_unstable_by(last, |(a, i), (b, j)| {
            a.cmp(b).then_with(|| entries[*i].0.cmp(&entries[*j].0))
        });
        for (_, index) in &remainders[..left] {
            outputs[*index].1 = outputs[*index].1.saturating_add(1);
        }
    }
    outputs.retain(|(_, satoshis)| *satoshis > 0);
    outputs.sort_by(|(a, x), (b, y)| y.cmp(x).then_with(|| a.cmp(b)));
    outputs
}

/// Divides weight × value by total, exactly and with one division for all weights.
struct Portion {
    value: u128,
    total: u128,
    /// Bits of the total: every weight is below 2^bits.
    bits: u32,
    /// floor(value × 2^bits / total).
    scaled: u128,
}

impl Portion {
    /// `total` is at most 2^76 and `value` at most [`MAX_MONEY`], below 2^51.
    fn new(value: u64, total: u128) -> Self {
        let bits = u128::BITS.saturating_sub(total.leading_zeros());
        let value = u128::from(value);
        let scaled = value.checked_shl(bits).and_then(|v| v.checked_div(total)).unwrap_or(0);
        Self { value, total, bits, scaled }
    }

    /// Quotient and remainder of weight × value / total, for a weight of at most `total`.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "weight × value is below 2^127, and weight × scaled at most value × 2^bits, below 2^128"
    )]
    fn of(&self, weight: u128) -> (u64, u128) {
        // `scaled` is less than 1 too small and the weight below 2^bits, so the estimate is exact or 1 too small.
        let estimate = (weight * self.scaled) >> self.bits;
        let remainder = weight * self.value - estimate * self.total;
        let (quotient, remainder) = if remainder >= self.total {
            (estimate + 1, remainder - self.total)
        } else {
            (estimate, remainder)
        };
        (u64::try_from(quotient).unwrap_or(u64::MAX), remainder)
    }
}
