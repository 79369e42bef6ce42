//! Numbers for people, the same in the table and on the page.

use super::scheme::Formula;
use crate::simulate::report::Estimate;

/// A number with four significant digits, thousands apart; whole ones from a thousand up.
pub fn number(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".into() } else { "none".into() };
    }
    let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 12);
    digits_of(value, digits as usize)
}

/// A number with so many digits behind the point, those that are zero left out.
fn digits_of(value: f64, digits: usize) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text.as_str() };
    let (whole, behind) = text.split_once('.').map_or((text, None), |(whole, behind)| (whole, Some(behind)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let behind = behind.map(|digits| format!(".{digits}")).unwrap_or_default();
    format!("{sign}{grouped}{behind}")
}

/// A formula's number: with a tilde if it is not exact.
pub fn formula(formula: Formula, show: impl Fn(f64) -> String) -> String {
    let text = show(formula.value);
    // What is only bounded is no nearer for a tilde.
    if formula.exact || text.starts_with(['<', '>']) { text } else { format!("~{text}") }
}

/// A mean and its standard error, with as many digits as the error is worth.
pub fn estimate(estimate: Estimate) -> String {
    let error = estimate.error.unwrap_or(0.0);
    if error <= 0.0 || !error.is_finite() {
        return format!("{} ± 0", number(estimate.mean));
    }
    let digits = (1 - error.log10().floor() as i32).clamp(0, 12) as usize;
    format!("{} ± {}", digits_of(estimate.mean, digits), digits_of(error, digits))
}

/// A part in percent.
pub fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if part < 1.0 && percent > 99.995 {
        return "> 99.99 %".into();
    }
    if part > 0.0 && percent < 1e-5 {
        return "< 0.00001 %".into();
    }
    format!("{} %", if (1.0..100.0).contains(&percent) { digits_of(percent, 2) } else { number(percent) })
}

/// A part and its standard error, in percent.
pub fn percent_estimate(estimate: Estimate) -> String {
    let error = estimate.error.unwrap_or(0.0) * 100.0;
    let digits = if error >= 0.1 { 1 } else { 2 };
    format!("{} ± {}", percent(estimate.mean), digits_of(error, digits))
}

/// Days in the unit that suits them.
pub fn span(days: f64) -> String {
    let (value, unit) = unit_of(days);
    format!("{} {unit}", number(days / value))
}

/// Days and their standard error, in the unit that suits them.
pub fn span_estimate(days: Estimate) -> String {
    let (value, unit) = unit_of(days.mean);
    let error = days.error.map(|error| error / value);
    format!("{} {unit}", estimate(Estimate { mean: days.mean / value, error }))
}

fn unit_of(days: f64) -> (f64, &'static str) {
    const UNITS: [(f64, &str); 4] =
        [(365.25, "years"), (1.0, "days"), (1.0 / 24.0, "h"), (1.0 / 1_440.0, "min")];
    UNITS.into_iter().find(|(unit, _)| days >= *unit * 2.0).unwrap_or((1.0 / 86_400.0, "s"))
}

/// Hashes a second with a prefix.
pub fn hash_rate(rate: f64) -> String {
    const PREFIXES: [(f64, &str); 7] =
        [(1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (unit, prefix) = PREFIXES.into_iter().find(|(unit, _)| rate >= *unit).unwrap_or((1.0, ""));
    format!("{} {prefix}H/s", number(rate / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_matter() {
        let of = [16_556.43, 1_234_567.0, 1.0, 0.005_250_4, -45.361, 0.0, f64::INFINITY].map(number);
        assert_eq!(of, ["16,556", "1,234,567", "1", "0.00525", "-45.36", "0", "none"]);
        assert_eq!(number(2e18), "2.000e18");
        let exact = Formula::exact(2.5);
        assert_eq!(formula(exact, number) + &formula(Formula::about(2.5), number), "2.5~2.5");
    }

    #[test]
    fn errors_have_two_digits() {
        let of = |mean, error| estimate(Estimate { mean, error: Some(error) });
        assert_eq!(
            [of(16_556.43, 123.0), of(0.012_346, 0.000_51), of(3.0, 0.0)],
            ["16,556 ± 123", "0.01235 ± 0.00051", "3 ± 0"]
        );
    }

    #[test]
    fn parts_times_and_rates() {
        let parts = [1.0, 0.999_999, 0.981_26, 0.001_234, 1e-9, 0.0].map(percent);
        assert_eq!(parts, ["100 %", "> 99.99 %", "98.13 %", "0.1234 %", "< 0.00001 %", "0 %"]);
        let spans = [7_000_000.0, 3.5, 0.2, 0.01, 0.000_1].map(span);
        assert_eq!(spans, ["19,165 years", "3.5 days", "4.8 h", "14.4 min", "8.64 s"]);
        assert_eq!([1e12, 1.5e18, 12.0].map(hash_rate), ["1 TH/s", "1.5 EH/s", "12 H/s"]);
    }
}
