//! What the tests of all schemes ask: do formula and draws agree, by the error of the draws?

use super::draw;
use super::scheme::Scheme;
use crate::simulate::random::Random;
use crate::simulate::report::Estimate;

/// How many standard errors a fixed seed may be off.
const SIGMAS: f64 = 5.0;

/// Draws so many runs, and holds what formulas call exact to them.
pub(super) fn assert_agrees(scheme: &mut dyn Scheme, horizons: &[f64], runs: u32) {
    let names = scheme.rows();
    let all: Vec<_> =
        (0..runs).map(|run| scheme.run(&mut Random::new(u64::from(run), "agreement"), horizons)).collect();
    for (row, name) in names.iter().enumerate() {
        for (place, days) in horizons.iter().enumerate() {
            let paid: Vec<f64> = all.iter().map(|run| run.paid[row][place]).collect();
            let income = scheme.income(row, *days);
            let least = 1e-9 * income.mean.value;
            for (what, formula, found) in [
                ("mean", income.mean, draw::mean(&paid)),
                ("spread", income.spread, draw::spread(&paid)),
                ("nothing", income.nothing, draw::part(&paid, |paid| paid <= 0.0)),
            ] {
                let error = found.error.expect("many runs");
                let close = (found.mean - formula.value).abs() <= SIGMAS * error + least;
                assert!(
                    close || !formula.exact,
                    "{name}, {what} of {days} days: {found:?} is not {formula:?}"
                );
            }
        }
        let many = u64::from(runs.min(500));
        let firsts: Vec<f64> = (0..many)
            .map(|run| {
                let mut random = Random::new(run, "first");
                scheme.draw_first(&mut random, row, 10_000_000).expect("a payout")
            })
            .collect();
        let (found, formula) = (draw::mean(&firsts), scheme.first(row));
        assert!(
            is_within(found, formula.value) || !formula.exact,
            "{name}, first: {found:?} is not {formula:?}"
        );
    }
    for (place, days) in horizons.iter().enumerate() {
        let Some(result) = scheme.result(*days) else { continue };
        let results: Vec<f64> = all.iter().map(|run| run.operator[place]).collect();
        for (what, formula, found) in
            [("mean", result.mean, draw::mean(&results)), ("spread", result.spread, draw::spread(&results))]
        {
            assert!(
                is_within(found, formula.value) || !formula.exact,
                "operator's {what}: {found:?} is not {formula:?}"
            );
        }
    }
}

/// Whether draws are within their error of a value.
pub(super) fn is_within(found: Estimate, value: f64) -> bool {
    (found.mean - value).abs() <= SIGMAS * found.error.unwrap_or(0.0) + 1e-9 * value.abs()
}

/// That two numbers are the same but for rounding.
pub(super) fn near(found: f64, expected: f64) {
    within(found, expected, 1e-9);
}

/// That two numbers are the same to this part of them.
pub(super) fn within(found: f64, expected: f64, part: f64) {
    assert!((found - expected).abs() <= part * expected.abs(), "{found} is not {expected} to {part}");
}
