//! Draws, and what can be said of many: counts of a Poisson process, means with their standard errors, a tail of the
//! normal distribution.
//!
//! Draws are made of `simulate::random` alone, so that a seed gives the same run on every machine.

use crate::simulate::random::{Random, exp, ln};
use crate::simulate::report::Estimate;

/// Up to this mean, counts are drawn as they are; above, from the normal distribution of the same mean and variance.
const DRAWN_TO: f64 = 30.0;

/// How often something happens that happens `mean` times on average.
pub fn poisson(random: &mut Random, mean: f64) -> f64 {
    if mean <= 0.0 {
        return 0.0;
    }
    if mean > DRAWN_TO {
        // Rounding adds a twelfth to the variance.
        let deviation = (mean - 1.0 / 12.0).sqrt();
        return (mean + normal(random) * deviation).round().max(0.0);
    }
    let floor = exp(-mean);
    let (mut count, mut product) = (0.0, random.fraction());
    while product > floor {
        count += 1.0;
        product *= random.fraction();
    }
    count
}

/// Normal with mean 0 and standard deviation 1 (Marsaglia's polar method).
pub fn normal(random: &mut Random) -> f64 {
    loop {
        let (x, y) = (2.0 * random.fraction() - 1.0, 2.0 * random.fraction() - 1.0);
        let square = x * x + y * y;
        if square > 0.0 && square < 1.0 {
            return x * (-2.0 * ln(square) / square).sqrt();
        }
    }
}

/// Whether something with this chance happens.
pub fn happens(random: &mut Random, chance: f64) -> bool {
    random.fraction() <= chance
}

/// Times at which something happens `rate` times a day, from day 0 to the last day.
pub fn times(random: &mut Random, rate: f64, to: f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut at = random.exponential(1.0 / rate);
    while at <= to {
        times.push(at);
        at += random.exponential(1.0 / rate);
    }
    times
}

/// The mean of independent values, with its standard error.
pub fn mean(values: &[f64]) -> Estimate {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count.max(1.0);
    let error = (values.len() > 1).then(|| (squares(values, mean) / (count - 1.0) / count).sqrt());
    Estimate { mean, error }
}

/// The standard deviation of independent values, with its standard error (by their fourth moment).
pub fn spread(values: &[f64]) -> Estimate {
    let count = values.len() as f64;
    let centre = mean(values).mean;
    let variance = squares(values, centre) / (count - 1.0).max(1.0);
    let deviation = variance.sqrt();
    let fourth = values.iter().map(|value| (value - centre).powi(2).powi(2)).sum::<f64>() / count.max(1.0);
    let error = if deviation > 0.0 {
        ((fourth - variance * variance).max(0.0) / count).sqrt() / (2.0 * deviation)
    } else {
        0.0
    };
    Estimate { mean: deviation, error: (values.len() > 1).then_some(error) }
}

/// The part of values for which something holds, with its standard error: at least one value's part, since that none or
/// all of so many have it says no more.
pub fn part(values: &[f64], holds: impl Fn(f64) -> bool) -> Estimate {
    let count = values.len() as f64;
    let part = values.iter().filter(|value| holds(**value)).count() as f64 / count.max(1.0);
    Estimate {
        mean: part,
        error: Some((part * (1.0 - part) / count.max(1.0)).sqrt().max(1.0 / count.max(1.0))),
    }
}

fn squares(values: &[f64], centre: f64) -> f64 {
    values.iter().map(|value| (value - centre).powi(2)).sum()
}

/// The chance that a normal number is below `x` (Abramowitz and Stegun 26.2.17, good to 10^-7).
pub fn normal_below(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let tail = series.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    let tail = tail * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_the_mean_and_variance_of_a_poisson_process() {
        let mut random = Random::new(1, "counts");
        for rate in [0.02, 1.0, 20.0, 31.0, 5_000.0] {
            let counts: Vec<f64> = (0..20_000).map(|_| poisson(&mut random, rate)).collect();
            let (found, deviation) = (mean(&counts), spread(&counts));
            assert!((found.mean - rate).abs() < 5.0 * (rate / 20_000.0).sqrt(), "{rate}: {found:?}");
            let off = (deviation.mean - rate.sqrt()).abs();
            assert!(off < 5.0 * deviation.error.expect("many"), "{rate}: {deviation:?}");
        }
        assert_eq!(poisson(&mut random, 0.0), 0.0);
    }

    #[test]
    fn normal_numbers_are_where_they_should_be() {
        for (x, below) in [(0.0, 0.5), (1.0, 0.841_344_7), (-1.959_964, 0.025), (5.0, 0.999_999_713)] {
            assert!((normal_below(x) - below).abs() < 2e-7, "{x}");
        }
        let mut random = Random::new(2, "normal");
        let values: Vec<f64> = (0..20_000).map(|_| normal(&mut random)).collect();
        assert!((part(&values, |value| value < 1.0).mean - 0.841_34).abs() < 0.013);
    }

    #[test]
    fn moments_of_few_numbers() {
        let values = [1.0, 2.0, 3.0, 6.0];
        assert_eq!(mean(&values).mean, 3.0);
        assert!((mean(&values).error.expect("many") - (14.0_f64 / 12.0).sqrt()).abs() < 1e-12);
        assert!((spread(&values).mean - (14.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(part(&values, |value| value > 2.0).mean, 0.5);
        assert_eq!(mean(&[5.0]).error, None);
    }
}
