//! Pay per share: the operator pays each share at once what it is worth on average, and bears all luck.
//!
//! Source: Rosenfeld, "Analysis of Bitcoin Pooled Mining Reward Systems" (arXiv 1112.4980), section 2.3 and appendix C.

use super::draw::{poisson, times};
use super::scheme::{Balance, Formula, Income, OperatorResult, Run, Scheme, ruin_by};
use super::settings::Settings;
use crate::simulate::random::Random;

/// Pay per share.
pub struct PayPerShare {
    value: f64,
    fee: f64,
    part: f64,
    blocks_per_day: f64,
    shares_per_day: f64,
    reserve: f64,
}

impl PayPerShare {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            value: settings.block_value() as f64,
            fee: settings.fee,
            part: settings.part(),
            blocks_per_day: settings.blocks_per_day(),
            shares_per_day: super::DAY / settings.share_seconds,
            reserve: settings.reserve,
        }
    }

    /// Satoshis for a share: (1 - f) p B, where p is the chance that it is a block.
    fn per_share(&self) -> f64 {
        (1.0 - self.fee) * self.part * self.blocks_per_day / self.shares_per_day * self.value
    }
}

/// The exponent of ruin in block rewards: a reserve of R of them is used up, ever, with chance e^-xR. x is above 0 and
/// solves 1 - e^-x = (1 - f) x, exactly for blocks that come by a Poisson process and shares without number; 0 without
/// a fee, when ruin is certain.
pub fn ruin_exponent(fee: f64) -> f64 {
    if fee <= 0.0 {
        return 0.0;
    }
    // Newton from above, where the curve bends one way.
    let mut x = 4.0 * fee / (1.0 - fee) + 1e-9;
    for _ in 0..60 {
        let (value, slope) = ((1.0 - fee) * x + (-x).exp_m1(), (1.0 - fee) - (-x).exp());
        x -= value / slope;
    }
    x
}

/// The reserve, in block rewards, that is ever used up with this chance: ln(1/δ) / x; none suffices without a fee.
pub fn safe_reserve(fee: f64, ruin: f64) -> Option<f64> {
    (fee > 0.0).then(|| -ruin.ln() / ruin_exponent(fee))
}

/// Rosenfeld's approximation for small fees: ln(1/δ) / 2f.
pub fn rosenfeld_reserve(fee: f64, ruin: f64) -> f64 {
    -ruin.ln() / (2.0 * fee)
}

impl Scheme for PayPerShare {
    fn rows(&self) -> Vec<String> {
        vec!["PPS".into()]
    }

    fn remark(&self) -> &'static str {
        "Ruin within a horizon is that of a Brownian motion; only the chance of ruin ever has an exact formula."
    }

    /// n shares by a Poisson process: CV = 1/√n, P(nothing) = e^-n.
    fn income(&self, _: usize, days: f64) -> Income {
        let shares = self.shares_per_day * days;
        Income {
            mean: Formula::exact(shares * self.per_share()),
            spread: Formula::exact(shares.sqrt() * self.per_share()),
            nothing: Formula::exact((-shares).exp()),
        }
    }

    fn first(&self, _: usize) -> Formula {
        Formula::exact(1.0 / self.shares_per_day)
    }

    fn result(&self, days: f64) -> Option<OperatorResult> {
        let blocks = self.blocks_per_day * days;
        let (mean, spread) = (self.fee * blocks, blocks.sqrt());
        Some(OperatorResult {
            mean: Formula::exact(mean * self.value),
            spread: Formula::exact(spread * self.value),
            ruin: Formula::about(ruin_by(mean, spread, self.reserve)),
        })
    }

    fn safe_reserve(&self, ruin: f64) -> Option<f64> {
        safe_reserve(self.fee, ruin)
    }

    fn cost(&self, days: f64) -> f64 {
        30.0 + self.blocks_per_day * days
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let (mut paid, mut before, mut sum) = (Vec::new(), 0.0, 0.0);
        for days in horizons {
            sum += poisson(random, self.shares_per_day * (days - before)) * self.per_share();
            before = *days;
            paid.push(sum);
        }
        // All of the pool's shares, paid as steadily as they come.
        let mut balance = Balance::new(horizons, self.reserve * self.value);
        let per_day = (1.0 - self.fee) * self.blocks_per_day * self.value;
        let last = horizons.last().copied().unwrap_or(0.0);
        let mut since = 0.0;
        for at in times(random, self.blocks_per_day, last) {
            balance.drain(since, at, per_day * (at - since));
            balance.add(at, self.value);
            since = at;
        }
        balance.drain(since, last, per_day * (last - since));
        balance.into_run(vec![paid])
    }

    fn first_cost(&self, _: usize) -> f64 {
        1.0
    }

    fn draw_first(&mut self, random: &mut Random, _: usize, _: u64) -> Option<f64> {
        Some(random.exponential(1.0 / self.shares_per_day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::testing::{assert_agrees, near, within};

    #[test]
    fn formula_and_draws_agree() {
        let settings =
            Settings { hash_rate: 1e16, pool_hash_rate: 1e20, share_seconds: 600.0, ..Settings::default() };
        let mut pps = PayPerShare::new(&settings);
        near(pps.income(0, 30.0).mean.value, 0.99 * settings.fair(30.0));
        near(pps.income(0, 1.0).spread.value / pps.income(0, 1.0).mean.value, 1.0 / 12.0);
        assert_agrees(&mut pps, &[0.01, 1.0, 30.0], 1_500);
    }

    #[test]
    fn the_reserve_is_rosenfelds() {
        within(rosenfeld_reserve(0.05, 1e-3), 69.0, 0.005);
        within(rosenfeld_reserve(0.01, 1e-3), 345.0, 0.005);
        // The exact one is a little less, and the same for small fees.
        for fee in [1e-4, 0.01, 0.05, 0.3] {
            let x = ruin_exponent(fee);
            near(-(-x).exp_m1(), (1.0 - fee) * x);
            let (exact, near_it) = (safe_reserve(fee, 1e-3).expect("a fee"), rosenfeld_reserve(fee, 1e-3));
            assert!(exact < near_it && exact > near_it * (1.0 - fee), "{fee}: {exact}, {near_it}");
        }
        assert_eq!(safe_reserve(0.0, 1e-3), None);
        assert_eq!(ruin_exponent(0.0), 0.0);
    }

    /// Over so many blocks that it is nearly for ever: e^-2fR/B, and exactly e^-xR.
    #[test]
    fn ruin_is_as_likely_as_the_exponent_says() {
        let settings = Settings {
            hash_rate: 1e20,
            pool_hash_rate: 1e21,
            fee: 0.2,
            reserve: 4.0,
            share_seconds: 600.0,
            ..Settings::default()
        };
        let mut pps = PayPerShare::new(&settings);
        let runs = 2_000;
        let ruined =
            (0..runs).filter(|n| pps.run(&mut Random::new(*n, "ruin"), &[3.0]).ruined[0]).count() as f64;
        let (found, formula) = (ruined / runs as f64, (-4.0 * ruin_exponent(0.2)).exp());
        let error = (formula * (1.0 - formula) / runs as f64).sqrt();
        assert!((found - formula).abs() < 5.0 * error, "{found} is not {formula}");
        let brownian = pps.result(3.0).expect("an operator").ruin.value;
        assert!((found - brownian).abs() < 0.1, "{found} is far from {brownian}");
    }
}
