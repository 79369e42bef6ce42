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
    let bonus = bonus(value, &finder).map(|bonus| (finder, bonus));
    let rest = value.saturating_sub(bonus.map_or(0, |(_, bonus)| bonus));
    let outputs = if selection.entries.is_empty() {
        vec![(finder, rest)]
    } else {
        largest_remainder(&selection.entries, selection.total, rest)
    };
    Payouts { outputs, bonus }
}

/// The satoshis that the finder of a coinbase of this value gets before it is shared out; none where they would be dust.
pub fn bonus(value: u64, finder: &Owner) -> Option<u64> {
    let bonus = value.saturating_mul(BONUS_PER_10_000).checked_div(WHOLE).unwrap_or(0);
    (bonus >= finder.dust_limit()).then_some(bonus)
}

/// What a coinbase is expected to pay one owner, before it is known who finds the block, on what, and in which class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// Satoshis for the work in the reward window: the mean over all draws, the same in every class, rounded down.
    pub by_window: u64,
    /// Satoshis on top if the owner finds the block.
    pub if_finder: u64,
}

/// What a coinbase of `value` satoshis at this Bitcoin height is expected to pay an owner who has `score` of the `total`
/// in the reward window at its payout block.
///
/// Sampling pays everyone their part on average, so no draw is needed to know it. Where another finder's script has
/// another dust limit and the bonus lies between the two, this is half a percent off.
pub fn expectation(
    params: &ChainParams,
    (value, height): (u64, BitcoinHeight),
    (score, total): (Score, Score),
    owner: Owner,
) -> Expectation {
    let value = value.min(MAX_MONEY);
    if least_payable(params, total.0, height).is_none() {
        return Expectation { by_window: 0, if_finder: value };
    }
    let if_finder = bonus(value, &owner).unwrap_or(0);
    let rest = u128::from(value.saturating_sub(if_finder));
    // At most 2^76 by a number below 2^51.
    let part = score.0.min(total.0).saturating_mul(rest).checked_div(total.0).unwrap_or(0);
    Expectation { by_window: u64::try_from(part).unwrap_or(u64::MAX), if_finder }
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

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use super::*;
    use bitcoin::Script;
    use proptest::prelude::*;

    fn owner(n: u16) -> Owner {
        let bytes = [&[0x00, 0x14][..], n.to_be_bytes().repeat(10).as_slice()].concat();
        Owner::new(Script::from_bytes(&bytes)).expect("P2WPKH")
    }

    fn entries(weights: &[u128]) -> Vec<(Owner, Score)> {
        (0..).map(owner).zip(weights.iter().copied().map(Score)).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// 500 owners whose weights span forty powers of two, ranked.
    fn uneven() -> Vec<(Owner, Score)> {
        let weight = |n: u16| u64::from(n).pow(3).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (n % 40);
        let mut entries: Vec<_> = (1..=500).map(|n| (owner(n), Score(weight(n).into()))).collect();
        entries.retain(|(_, weight)| !weight.is_zero());
        entries.sort_by_key(|(owner, weight)| (Reverse(*weight), *owner));
        entries
    }

    /// Class, outputs, largest, smallest, SHA-256 over all scripts and values (8 bytes little-endian). Made by a
    /// second implementation, written from the protocol alone.
    #[test]
    fn payouts_are_exact() {
        let vectors = [
            (
                11,
                11,
                29_258_137,
                29_258_136,
                "2883f35ffbfb27989106d74ddb602366e15a9a7279ecc0ff10a3f396870ee71a",
            ),
            (
                38,
                38,
                20_839_059,
                5_692_627,
                "6769e3f8110acd225064d8ff01b02316f646144e12bd44b44f57fd8e55e071bb",
            ),
            (
                145,
                145,
                20_839_059,
                16_783,
                "e1472d59b341803184a9fb833c690b6c01a8c43154bd0165907976ab514336d4",
            ),
            (
                360,
                153,
                20_839_059,
                10_814,
                "ef3aa1535b6eec3ea7d27c8deab2a15424aa95da596b266e954d5e50460148f8",
            ),
        ];
        let (params, prev_block) = (ChainParams::main(), BlockHash::from_byte_array([3; 32]));
        let mut selections =
            select_down_to(&params, &uneven(), BitcoinHeight(940_000), 0, |stage, choices| {
                reduced(stage_seed(ChainId([7; 32]), prev_block, stage), choices)
            });
        selections.reverse();
        assert_eq!(selections.len(), vectors.len());
        for (selection, (class, count, first, last, digest)) in selections.iter().zip(vectors) {
            let outputs = split(selection, 323_456_789, owner(0)).outputs;
            let mut bytes = Vec::new();
            for (owner, satoshis) in &outputs {
                bytes.extend_from_slice(owner.as_bytes());
                bytes.extend_from_slice(&satoshis.to_le_bytes());
            }
            let values = (outputs.first().map(|output| output.1), outputs.last().map(|output| output.1));
            assert_eq!((selection.class(), outputs.len()), (class, count));
            assert_eq!(values, (Some(first), Some(last)));
            assert_eq!(hex(&hash::sha256(&bytes)), digest);
        }
    }

    #[test]
    fn seeds_are_tagged_hashes_read_little_endian() {
        let seed = |stage| stage_seed(ChainId([7; 32]), BlockHash::from_byte_array([3; 32]), stage);
        assert_eq!(hex(&seed(0)), "993080aaa373481c8a3b608b8e4c296a7898c8d297e4cadbbd3c3466180971f0");
        assert_eq!(hex(&seed(1)), "12b2a61a97191b4de9a25195e66811cc6026e7f0bb843d14835a103aba755af8");
        let mut ten = [0; 32];
        ten[0] = 10;
        assert_eq!(reduced(ten, 7), 3);
        // 2^255 = 2 (mod 7), since 2^3 = 1.
        let mut high = [0; 32];
        high[31] = 0x80;
        assert_eq!(reduced(high, 7), 1);
        assert_eq!(reduced([0xff; 32], 1), 0);
    }

    /// An entry exactly as large as a slot is paid exactly and takes no part in the draw.
    #[test]
    fn entries_as_large_as_a_slot_are_exact() {
        for (weights, most, exact, rest) in
            [(&[4, 2, 1, 1][..], 2, 1, 4), (&[6, 3, 2, 1], 3, 2, 3), (&[5, 5, 1, 1, 1], 3, 2, 3)]
        {
            let entries = entries(weights);
            let sampling = Sampling::new(&entries, most);
            assert_eq!((sampling.exact.len(), sampling.choices()), (exact, rest), "{weights:?}");
        }
        let four = entries(&[4, 2, 1, 1]);
        let winners = [0, 1, 2, 3].map(|u| Sampling::new(&four, 2).draw(u)[1]);
        assert_eq!(winners, [1, 1, 2, 3].map(|n| (owner(n), Score(4))));
    }

    #[test]
    fn an_empty_window_and_a_worthless_subsidy_pay_the_finder() {
        let (params, prev_block) = (ChainParams::main(), BlockHash::all_zeros());
        let finder = owner(1_000);
        // Halved 17 times the subsidy is 38,146 satoshis, enough for three payouts; halved 19 times, 9,536.
        let at = |halvings: u32, entries: &[(Owner, Score)]| {
            select_all(&params, entries, prev_block, BitcoinHeight(210_000 * halvings))
        };
        let four = entries(&[300; 4]);
        assert!(at(17, &four).iter().all(|selection| selection.entries().len() == 3));
        for selection in at(4, &[]).iter().chain(&at(19, &four)) {
            assert!(selection.entries().is_empty());
            let payouts = split(selection, 1_000_000, finder);
            assert_eq!(payouts.outputs, [(finder, 995_000)]);
            assert_eq!(payouts.bonus, Some((finder, 5_000)));
        }
    }

    #[test]
    fn a_bonus_of_dust_and_a_value_of_nothing_are_no_outputs() {
        let selection = Selection { class: 11, entries: entries(&[2, 1]), total: 3 };
        let finder = owner(1_000);
        let dust = finder.dust_limit() * 200;
        assert_eq!(split(&selection, dust, finder).bonus, Some((finder, finder.dust_limit())));
        let payouts = split(&selection, dust - 1, finder);
        assert_eq!(payouts.bonus, None);
        assert_eq!(payouts.outputs, [(owner(0), 39_200 - 1), (owner(1), 19_600)]);
        assert_eq!(split(&selection, 1, finder).outputs, [(owner(0), 1)]);
        assert_eq!(split(&selection, 0, finder), Payouts::default());
        let most = split(&selection, MAX_MONEY, finder);
        assert_eq!(split(&selection, u64::MAX, finder), most);
    }

    /// The mean over every draw there is, bonus aside, satoshis rounded: at most one off.
    #[test]
    fn the_expectation_is_the_mean_of_all_draws() {
        let (value, height, entries) = (312_345_679, BitcoinHeight(940_000), entries(&[40, 10, 10, 10, 10]));
        for class in [2, 3, 5] {
            let params = ChainParams { classes: vec![class], ..ChainParams::main() };
            let mut choices = 1;
            let drawn = |u, choices: &mut u128| {
                let selections = select_down_to(&params, &entries, height, 0, |_, all| {
                    *choices = all;
                    u
                });
                split(&selections[0], value, owner(1_000)).outputs
            };
            drawn(0, &mut choices);
            let mut sums = [0_u128; 5];
            for u in 0..choices {
                for (paid, satoshis) in drawn(u, &mut 0) {
                    let place = entries.iter().position(|(owner, _)| *owner == paid).expect("an entry");
                    sums[place] += u128::from(satoshis);
                }
            }
            for ((owner, score), sum) in entries.iter().zip(sums) {
                let expected = expectation(&params, (value, height), (*score, Score(80)), *owner);
                assert_eq!(expected.if_finder, value / 200);
                let mean = u64::try_from(sum / choices).expect("satoshis");
                assert!(expected.by_window.abs_diff(mean) <= 1, "{class}: {expected:?} against {mean}");
            }
        }
    }

    #[test]
    fn without_a_window_the_finder_is_expected_to_have_all() {
        let (params, finder) = (ChainParams::main(), owner(1));
        let all = Expectation { by_window: 0, if_finder: 1_000_000 };
        let at = |height, total| expectation(&params, (1_000_000, height), (Score(5), Score(total)), finder);
        assert_eq!(at(BitcoinHeight(940_000), 0), all);
        assert_eq!(at(BitcoinHeight(210_000 * 19), 10), all);
        assert_eq!(at(BitcoinHeight(940_000), 10), Expectation { by_window: 497_500, if_finder: 5_000 });
        // More than all is all, and dust is no bonus.
        let whole = expectation(&params, (1_000, BitcoinHeight(0)), (Score(11), Score(10)), finder);
        assert_eq!(whole, Expectation { by_window: 1_000, if_finder: 0 });
    }

    #[test]
    fn whole_portions_have_no_remainder() {
        for bits in 0..=76 {
            let total = 1_u128 << bits;
            for weight in [1, 3, total / 2, total - total / 3, total] {
                let exact = Portion::new(MAX_MONEY, total).of(weight.min(total));
                let product = weight.min(total) * u128::from(MAX_MONEY);
                assert_eq!((u128::from(exact.0), exact.1), (product / total, product % total));
            }
        }
    }

    proptest! {
        #[test]
        fn portions_are_quotient_and_remainder(
            total in 1_u128..=1 << 76, shift in 0_u32..76, part: u64, value in 1..=MAX_MONEY,
        ) {
            let total = (total >> shift).max(1);
            let weight = U256::from(total) * U256::from(part) / U256::from(u64::MAX);
            // Weights that divide evenly, too: all of it, and multiples of the total's divisors.
            for (total, weight, value) in [
                (total, weight.as_u128(), value),
                (total, total, value),
                (u128::from(value), u128::from(part % value), value),
                (u128::from(value) * 3, u128::from(part % value), value),
            ] {
                let (quotient, remainder) = Portion::new(value, total).of(weight);
                let product = weight * u128::from(value);
                prop_assert_eq!((u128::from(quotient), remainder), (product / total, product % total));
            }
        }
    }
}
