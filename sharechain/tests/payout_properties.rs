//! Properties that the payout rule owes (protocol section 6, last paragraph), over random windows, and by drawing
//! every possible number where the totals are small.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script};
use proptest::prelude::*;
use sharechain::owner::Owner;
use sharechain::params::{ChainParams, MAX_MONEY};
use sharechain::payout::{Payouts, Sampling, Selection, select_all, select_down_to, select_for_class, split};
use sharechain::units::{BitcoinHeight, Score};
use sharechain::window::{BlockCredits, Contribution, Window};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

type Entries = Vec<(Owner, Score)>;

const HEIGHT: BitcoinHeight = BitcoinHeight(940_000);
/// 3.125 BTC less the bonus's part.
const SHARED_SUBSIDY: u128 = 312_500_000 * 9_950 / 10_000;

fn owner(n: u16) -> Owner {
    let bytes = [&[0x51, 0x20][..], &n.to_be_bytes(), &[9; 30]].concat();
    Owner::new(Script::from_bytes(&bytes)).expect("P2TR")
}

fn finder() -> Owner {
    Owner::new(Script::from_bytes(&[&[0x00, 0x14][..], &[1; 20]].concat())).expect("P2WPKH")
}

fn ranked(weights: impl IntoIterator<Item = u128>) -> Entries {
    let mut entries: Entries = (0..).map(owner).zip(weights.into_iter().map(Score)).collect();
    entries.retain(|(_, weight)| !weight.is_zero());
    entries.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    entries
}

fn total(entries: &[(Owner, Score)]) -> u128 {
    entries.iter().map(|(_, weight)| weight.0).sum()
}

fn owners(entries: &[(Owner, Score)]) -> BTreeSet<Owner> {
    entries.iter().map(|(owner, _)| *owner).collect()
}

/// Windows of few and of many owners, even and uneven ones, with dust among them.
fn windows() -> impl Strategy<Value = Entries> {
    let weight = prop_oneof![
        4 => (0_u32..67, any::<u64>()).prop_map(|(bits, x)| u128::from(x) << 2 >> bits),
        1 => Just(1_u128),
        1 => Just(1_u128 << 50),
    ];
    prop_oneof![
        prop::collection::vec(weight.clone(), 0..16),
        prop::collection::vec(weight.clone(), 0..60),
        prop::collection::vec(weight, 300..800),
    ]
    .prop_map(ranked)
}

fn block_hashes() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash::from_byte_array)
}

/// What a coinbase may be worth at [`HEIGHT`]: the subsidy and more.
fn values() -> impl Strategy<Value = u64> {
    prop_oneof![Just(312_500_000), 312_500_000..400_000_000_u64, 312_500_000..=MAX_MONEY]
}

/// The largest remainder rule, written plainly.
fn by_largest_remainder(entries: &[(Owner, Score)], value: u64) -> Entries {
    let total = total(entries);
    let mut portions: Vec<_> = entries
        .iter()
        .map(|(owner, weight)| {
            let product = weight.0 * u128::from(value);
            (*owner, product / total, product % total)
        })
        .collect();
    portions.sort_by(|(a, _, x), (b, _, y)| y.cmp(x).then(a.cmp(b)));
    let left = u128::from(value) - portions.iter().map(|(_, satoshis, _)| satoshis).sum::<u128>();
    for (given, portion) in portions.iter_mut().enumerate() {
        portion.1 += u128::from((given as u128) < left);
    }
    portions.sort_by(|(a, x, _), (b, y, _)| y.cmp(x).then(a.cmp(b)));
    portions.into_iter().map(|(owner, satoshis, _)| (owner, Score(satoshis))).collect()
}

proptest! {
    #[test]
    fn outputs_sum_to_the_value_and_keep_within_their_bounds(
        entries in windows(), prev_block in block_hashes(), value in values(),
    ) {
        let params = ChainParams::main();
        for selection in select_all(&params, &entries, prev_block, HEIGHT) {
            let Payouts { outputs, bonus } = split(&selection, value, finder());
            let (_, bonus) = bonus.expect("far above dust");
            prop_assert_eq!(bonus, u64::try_from(u128::from(value) * 50 / 10_000).expect("small"));
            prop_assert_eq!(outputs.iter().map(|(_, satoshis)| satoshis).sum::<u64>() + bonus, value);
            prop_assert!(outputs.len() <= usize::from(selection.class()));
            prop_assert!(outputs.iter().all(|(_, satoshis)| *satoshis >= params.smallest_payout));
            prop_assert!(outputs.is_sorted_by(|(a, x), (b, y)| (y, a) < (x, b)), "value falling, then script");
            prop_assert_eq!(outputs.iter().map(|(owner, _)| owner).collect::<BTreeSet<_>>().len(), outputs.len());
            if entries.is_empty() {
                prop_assert_eq!(&outputs, &[(finder(), value - bonus)]);
            } else {
                let expected = by_largest_remainder(selection.entries(), value - bonus);
                let found: Entries = outputs.iter().map(|(owner, s)| (*owner, Score(u128::from(*s)))).collect();
                prop_assert_eq!(found, expected);
            }
        }
    }

    #[test]
    fn smaller_classes_pay_some_of_those_that_larger_ones_pay(entries in windows(), prev_block in block_hashes()) {
        let params = ChainParams::main();
        let selections = select_all(&params, &entries, prev_block, HEIGHT);
        prop_assert_eq!(selections.iter().map(Selection::class).collect::<Vec<_>>(), &params.classes[..]);
        for pair in selections.windows(2) {
            prop_assert!(owners(pair[0].entries()).is_subset(&owners(pair[1].entries())));
            prop_assert_eq!(total(pair[0].entries()), total(pair[1].entries()));
        }
        for selection in &selections {
            prop_assert!(owners(selection.entries()).is_subset(&owners(&entries)));
            prop_assert_eq!(total(selection.entries()), total(&entries));
            prop_assert!(selection.entries().is_sorted_by(|(a, x), (b, y)| (y, a) < (x, b)), "ranked");
            let alone = select_for_class(&params, &entries, prev_block, HEIGHT, selection.class());
            prop_assert_eq!(alone.as_ref(), Some(selection));
        }
        prop_assert_eq!(select_for_class(&params, &entries, prev_block, HEIGHT, 12), None);
        prop_assert_eq!(select_for_class(&params, &entries, prev_block, HEIGHT, 361), None);
    }

    #[test]
    fn who_is_paid_does_not_depend_on_the_value(
        entries in windows(), prev_block in block_hashes(), one in values(), other in values(),
    ) {
        prop_assume!(!entries.is_empty());
        for selection in select_all(&ChainParams::main(), &entries, prev_block, HEIGHT) {
            let paid = |value| -> BTreeSet<Owner> {
                split(&selection, value, finder()).outputs.into_iter().map(|(owner, _)| owner).collect()
            };
            prop_assert_eq!(paid(one), owners(selection.entries()));
            prop_assert_eq!(paid(other), owners(selection.entries()));
        }
    }

    /// As many owners as pay out above the smallest payout, and not one fewer.
    #[test]
    fn each_stage_pays_as_many_as_it_may(entries in windows(), prev_block in block_hashes()) {
        let params = ChainParams::main();
        let mut before = entries;
        for selection in select_all(&params, &before.clone(), prev_block, HEIGHT).into_iter().rev() {
            let payable = |most: &u16| {
                let smallest = Sampling::new(&before, *most).smallest();
                smallest * SHARED_SUBSIDY / total(&before) >= u128::from(params.smallest_payout)
            };
            let most = u16::try_from(before.len()).expect("few").min(selection.class());
            let found = (1..=most).rev().find(payable).unwrap_or(0);
            prop_assert_eq!(selection.entries().len(), usize::from(found));
            before = selection.entries().to_vec();
        }
    }

    /// The same shares, listed in another order by other blocks of the same owner, pay the same.
    #[test]
    fn the_order_of_arrival_does_not_matter(
        (shares, shuffled) in prop::collection::vec((0_u16..40, 1_u64..), 1..80)
            .prop_flat_map(|shares| (Just(shares.clone()), Just(shares).prop_shuffle())),
        (per_block, other_per_block) in (1_usize..40, 1_usize..40),
        prev_block in block_hashes(),
    ) {
        let params = ChainParams { window_score: Score(1 << 76), ..ChainParams::main() };
        let payouts = |shares: &[(u16, u64)], per_block| -> Vec<_> {
            let ranked = window(&params, shares, per_block).ranked();
            select_all(&params, &ranked, prev_block, HEIGHT).iter().map(|s| split(s, 400_000_000, finder())).collect()
        };
        prop_assert_eq!(payouts(&shares, per_block), payouts(&shuffled, other_per_block));
    }

    /// Below 0.4 % of Bitcoin the window's cap of blocks binds: it holds less score than it might, and pays the whole
    /// value for it all the same.
    #[test]
    fn a_window_that_ends_at_its_cap_of_blocks_pays_the_whole_value(
        shares in prop::collection::vec((0_u16..11, 1_u64 << 40..1 << 41), 20..80), prev_block in block_hashes(),
    ) {
        let params = ChainParams { window_blocks: 10, ..ChainParams::main() };
        let window = window(&params, &shares, 1);
        prop_assert_eq!(window.len(), 10);
        prop_assert!(window.total() < params.window_score);
        let mut sums = BTreeMap::new();
        for (n, score) in &shares[shares.len() - 10..] {
            *sums.entry(owner(*n)).or_insert(0) += u128::from(score - score / 256);
            *sums.entry(owner(0)).or_insert(0) += u128::from(score / 256);
        }
        for selection in select_all(&params, &window.ranked(), prev_block, HEIGHT) {
            let payouts = split(&selection, 312_500_000, finder());
            for (owner, satoshis) in payouts.outputs {
                let due = sums[&owner] * SHARED_SUBSIDY / window.total().0;
                prop_assert!(u128::from(satoshis) - due <= 1);
            }
        }
    }

    /// All numbers drawn: of `rest` draws an entry wins exactly weight × slots, so on average its weight.
    #[test]
    fn every_entry_wins_its_part_of_all_draws(weights in prop::collection::vec(1_u128..40, 1..12), most in 1_u16..12) {
        let entries = ranked(weights);
        let sampling = Sampling::new(&entries, most);
        let (mut wins, mut sums) = (BTreeMap::new(), BTreeMap::new());
        for u in 0..sampling.choices() {
            let drawn = sampling.draw(u);
            prop_assert_eq!(drawn.len(), entries.len().min(usize::from(most)));
            prop_assert_eq!(total(&drawn), total(&entries));
            prop_assert_eq!(drawn.last().map(|(_, w)| w.0 >= sampling.smallest()), Some(true));
            for (owner, weight) in drawn {
                *wins.entry(owner).or_insert(0) += 1;
                *sums.entry(owner).or_insert(0) += weight.0;
            }
        }
        let choices = sampling.choices();
        // The entries from `exact` on share the slots; for them `choices` is their sum.
        let exact = (0..entries.len()).find(|n| choices > 1 && total(&entries[*n..]) == choices).unwrap_or(entries.len());
        let slots = u128::from(most) - exact.min(usize::from(most)) as u128;
        for (index, (owner, weight)) in entries.iter().enumerate() {
            if index < exact {
                prop_assert_eq!((wins[owner], sums[owner]), (choices, weight.0 * choices));
            } else {
                prop_assert_eq!(wins.get(owner).copied().unwrap_or(0), weight.0 * slots);
                let sum = sums.get(owner).copied().unwrap_or(0);
                // Slots differ by one unit, of which one expected Bitcoin block has 2^64, unless they divide evenly.
                let error = if choices.is_multiple_of(slots) { 0 } else { wins.get(owner).copied().unwrap_or(0) };
                prop_assert!(sum.abs_diff(weight.0 * choices) <= error);
            }
        }
    }
}

/// A window over these shares, so many to a block, all listed by owner 0.
fn window(params: &ChainParams, shares: &[(u16, u64)], per_block: usize) -> Window {
    let mut window = Window::new(params);
    for listed in shares.chunks(per_block) {
        let contribution = |(n, score): &(u16, u64)| Contribution {
            owner: owner(*n),
            signals: 0,
            score: Score(u128::from(*score)),
        };
        let listed = listed.iter().map(contribution).collect();
        window.push(Arc::new(BlockCredits { lister: owner(0), own: None, listed }));
    }
    window
}

/// Chains whose every draw at every stage can be tried, and a number that keeps slots even through all their stages
/// when every weight is a multiple of it.
const TWO_STAGES: (&[u16], u128) = (&[2, 4], 24);
const THREE_STAGES: (&[u16], u128) = (&[1, 2, 3], 12);

struct AllDraws {
    /// What each owner gets in each class, smallest class first, summed over all draws.
    sums: Vec<BTreeMap<Owner, u128>>,
    count: u128,
    /// The smallest weight in any of them.
    smallest: u128,
    /// The numbers of owners paid in the smallest class.
    paid: BTreeSet<usize>,
}

/// Every path of draws through all stages. Slots being even, the choices of a stage are the same whatever was drawn
/// before, so each path is as likely as any other.
fn over_all_draws(params: &ChainParams, entries: &[(Owner, Score)]) -> AllDraws {
    let stages = params.classes.len();
    let mut all = AllDraws {
        sums: vec![BTreeMap::new(); stages],
        count: 0,
        smallest: u128::MAX,
        paid: BTreeSet::new(),
    };
    let mut path = vec![0_u128; stages];
    let mut known_choices = None;
    loop {
        let mut choices = vec![1_u128; stages];
        let selections = select_down_to(params, entries, HEIGHT, 0, |stage, n| {
            assert!(n > 1, "asked only where there is a choice");
            choices[usize::from(stage)] = n;
            path[usize::from(stage)]
        });
        assert_eq!(known_choices.get_or_insert(choices.clone()), &choices, "slots are not even");
        all.count += 1;
        all.paid.extend(selections.last().map(|smallest| smallest.entries().len()));
        for (selection, sums) in selections.iter().rev().zip(&mut all.sums) {
            for (owner, weight) in selection.entries() {
                *sums.entry(*owner).or_insert(0) += weight.0;
                all.smallest = all.smallest.min(weight.0);
            }
        }
        // The next path, the last stage counting fastest.
        let Some(stage) = (0..stages).rev().find(|stage| path[*stage] + 1 < choices[*stage]) else {
            return all;
        };
        path[stage] += 1;
        path[stage + 1..].fill(0);
    }
}

/// Checks that each owner's average over all draws is their weight, in every class, and gives the draws.
fn assert_expectation(
    (classes, even): (&[u16], u128),
    smallest_payout: u64,
    weights: &[u128],
) -> (Entries, AllDraws) {
    let params = ChainParams { classes: classes.to_vec(), smallest_payout, ..ChainParams::main() };
    params.validate().expect("a chain");
    let entries = ranked(weights.iter().map(|weight| weight * even));
    let all = over_all_draws(&params, &entries);
    for (sums, class) in all.sums.iter().zip(classes) {
        for (owner, weight) in &entries {
            let sum = sums.get(owner).copied().unwrap_or(0);
            assert_eq!(sum, weight.0 * all.count, "class {class}, {weights:?}: {owner:?}");
        }
    }
    assert!(all.smallest * SHARED_SUBSIDY / total(&entries) >= u128::from(smallest_payout));
    (entries, all)
}

#[test]
fn everyone_expects_exactly_their_part_through_three_stages() {
    for weights in [&[1, 1, 1][..], &[1, 1, 1, 1], &[2, 2, 1], &[3, 2, 1, 1], &[4, 1, 1, 1], &[7]] {
        assert_expectation(THREE_STAGES, 10_000, weights);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn everyone_expects_exactly_their_part_through_two_stages(
        weights in prop::collection::vec(1_u128..8, 1..8).prop_filter("few draws", |w| w.iter().sum::<u128>() <= 20),
        smallest_payout in prop_oneof![Just(10_000), 1_000_000..150_000_000_u64],
    ) {
        assert_expectation(TWO_STAGES, smallest_payout, &weights);
    }

    /// Nobody gains or loses by mining under many names.
    #[test]
    fn one_owner_split_into_many_expects_the_same(
        others in prop::collection::vec(1_u128..4, 1..4),
        parts in prop::collection::vec(1_u128..3, 2..4),
    ) {
        let whole = [&others[..], &[parts.iter().sum()]].concat();
        let (_, as_one) = assert_expectation(TWO_STAGES, 10_000, &whole);
        let (_, as_many) = assert_expectation(TWO_STAGES, 10_000, &[&others[..], &parts].concat());
        let names: BTreeSet<_> = (0..u16::MAX).skip(others.len()).take(parts.len()).map(owner).collect();
        for (one, many) in as_one.sums.iter().zip(&as_many.sums) {
            let expected_as_one = one[&owner(u16::try_from(others.len()).expect("few"))] * as_many.count;
            let of_parts = many.iter().filter(|(owner, _)| names.contains(owner)).map(|(_, sum)| sum);
            prop_assert_eq!(expected_as_one, of_parts.sum::<u128>() * as_one.count);
        }
    }
}

/// Fewer owners than the class has room for, but one too small to be paid exactly: it is paid more, more rarely.
#[test]
fn one_dust_owner_among_few_is_sampled() {
    // The smallest owner's part of the subsidy is 14.8 million satoshis, half of all 155 million.
    for (smallest_payout, paid) in
        [(10_000, 3), (14_000_000, 3), (15_000_000, 2), (155_000_000, 2), (156_000_000, 1)]
    {
        let (entries, all) = assert_expectation((&[4], 24), smallest_payout, &[10, 1, 10]);
        assert_eq!(all.paid, BTreeSet::from([paid]), "{smallest_payout}");
        let dust_is_exact = all.smallest == entries[2].1.0;
        assert_eq!(dust_is_exact, paid == 3);
    }
}
