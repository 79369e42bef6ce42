//! The double geometric method: scores that decay from share to share, and leak from round to round, so that the operator
//! bears part of the luck for a variable fee.
//!
//! Source: Rosenfeld's post of 2011-08-26 and arXiv 1112.4980, section 5.3. The variance of a share is his; that of an
//! income is the same process's, by its martingale: with A the miner's score over the scale of the newest share, A decays
//! by g = (1 - c)(1 - o)/c for each expected block (ln r / p, for small p), gains pB a share, is paid (1 - f) g A at a
//! block and then multiplied by o.

use super::draw::poisson;
use super::scheme::{
    Balance, FirstPayout, Formula, Income, OperatorResult, Run, Scheme, Sums, mean_first, ruin_by,
};
use super::settings::Settings;
use crate::simulate::random::Random;

/// Expected blocks in a step of the drawing, in which scores decay little.
const STEP: f64 = 0.05;

/// The double geometric method. Its fixed fee is such that both fees together are the pool's fee; it is negative when the
/// variable one is larger.
pub struct DoubleGeometric {
    value: f64,
    part: f64,
    blocks_per_day: f64,
    shares_per_day: f64,
    reserve: f64,
    rule: Rule,
}

/// The parameters of the method.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Fixed fee f.
    pub fixed: f64,
    /// Average variable fee c.
    pub variable: f64,
    /// Leakage o between rounds.
    pub leakage: f64,
}

impl Rule {
    /// (r - 1) / p: how fast scores decay, in expected blocks.
    fn growth(self) -> f64 {
        (1.0 - self.variable) * (1.0 - self.leakage) / self.variable
    }

    /// Mean pay of a share in block rewards: (1 - f)(1 - c) p.
    pub fn mean_of_share(self, p: f64) -> f64 {
        (1.0 - self.fixed) * (1.0 - self.variable) * p
    }

    /// Variance of the pay of a share, in block rewards squared:
    /// (1-c)⁴ (1-o)(1-p) p² (1-f)² / [(2 - c + c o) c + (1-c)² (1-o) p].
    pub fn variance_of_share(self, p: f64) -> f64 {
        let Self { fixed, variable: c, leakage: o } = self;
        (1.0 - c).powi(4) * (1.0 - o) * (1.0 - p) * p * p * (1.0 - fixed).powi(2)
            / ((2.0 - c + c * o) * c + (1.0 - c).powi(2) * (1.0 - o) * p)
    }

    /// Relative variance of what one block pays somebody with endless small shares, times blocks:
    /// (1-c)² 2 / (2 - c + c o).
    fn block_variance(self) -> f64 {
        let Self { variable: c, leakage: o, .. } = self;
        (1.0 - c).powi(2) * 2.0 / (2.0 - c + c * o)
    }
}

impl DoubleGeometric {
    /// By these settings.
    pub fn new(settings: &Settings) -> Self {
        let fixed = 1.0 - (1.0 - settings.fee) / (1.0 - settings.variable_fee);
        Self {
            value: settings.block_value() as f64,
            part: settings.part(),
            blocks_per_day: settings.blocks_per_day(),
            shares_per_day: super::DAY / settings.share_seconds,
            reserve: settings.reserve,
            rule: Rule { fixed, variable: settings.variable_fee, leakage: settings.leakage },
        }
    }

    /// What is paid at a block of a score over the scale of its newest share.
    fn paid(&self, score: f64) -> f64 {
        (1.0 - self.rule.fixed) * self.rule.growth() * score
    }

    /// The chance of one of the miner's shares to be a block.
    fn chance(&self) -> f64 {
        self.part * self.blocks_per_day / self.shares_per_day
    }

    /// Expected blocks after which nothing is left of old scores.
    fn memory(&self) -> f64 {
        12.0 * self.rule.variable / (1.0 - self.rule.leakage) + 3.0
    }

    fn pool(&self) -> FirstPayout {
        FirstPayout { shares: self.shares_per_day, blocks: self.blocks_per_day, window: f64::INFINITY }
    }
}

impl Scheme for DoubleGeometric {
    fn rows(&self) -> Vec<String> {
        vec!["DGM".into()]
    }

    fn remark(&self) -> &'static str {
        "The spreads are those of horizons much longer than scores live. Nothing: each old share brings something at every block, if only a fraction of a satoshi. No formula is known for the operator's ruin; shown is a Brownian motion's."
    }

    fn income(&self, _: usize, days: f64) -> Income {
        let (blocks, shares) = (self.blocks_per_day * days, self.shares_per_day * days);
        let p = self.chance();
        let mean = shares * self.rule.mean_of_share(p) * self.value;
        // Luck of blocks, luck of each share, and how many shares there are.
        let of_shares = shares * (self.rule.variance_of_share(p) + self.rule.mean_of_share(p).powi(2));
        let variance =
            mean * mean * self.rule.block_variance() / blocks + of_shares * self.value * self.value;
        Income {
            mean: Formula::exact(mean),
            spread: Formula::about(variance.sqrt()),
            nothing: Formula::about((-blocks).exp()),
        }
    }

    fn first(&self, _: usize) -> Formula {
        Formula::exact(mean_first(self.shares_per_day, self.blocks_per_day, f64::INFINITY))
    }

    /// Per block the operator keeps c + f - c f of it on average; its variance is, in block rewards squared,
    /// 1 - 2 (1-f)(1-c)² + (1-f)² (1-c)⁴ 2 / (2 - c + c o).
    fn result(&self, days: f64) -> Option<OperatorResult> {
        let (blocks, Rule { fixed: f, variable: c, .. }) = (self.blocks_per_day * days, self.rule);
        let mean = (c + f - c * f) * blocks;
        let of_block = 1.0 - 2.0 * (1.0 - f) * (1.0 - c).powi(2)
            + ((1.0 - f) * (1.0 - c)).powi(2) * self.rule.block_variance();
        let spread = (blocks * of_block).sqrt();
        Some(OperatorResult {
            mean: Formula::exact(mean * self.value),
            spread: Formula::about(spread * self.value),
            ruin: Formula::about(ruin_by(mean, spread, self.reserve)),
        })
    }

    fn cost(&self, days: f64) -> f64 {
        10.0 + (self.blocks_per_day * days + self.memory()) * (2.0 + self.rule.growth() / STEP)
    }

    fn run(&mut self, random: &mut Random, horizons: &[f64]) -> Run {
        let mut sums = Sums::new(horizons);
        let mut balance = Balance::new(horizons, self.reserve * self.value);
        let last = horizons.last().copied().unwrap_or(0.0) * self.blocks_per_day;
        let (decay, p) = (self.rule.growth(), self.chance());
        let shares_per_block = self.part / p;
        // Everything in expected blocks, and the scores of the miner and of all in block rewards.
        let (mut own, mut all, mut at) = (0.0, 0.0, -self.memory());
        loop {
            let gap = random.exponential(1.0);
            if at + gap > last {
                break;
            }
            let steps = (gap * decay / STEP).ceil().max(1.0);
            let step = gap / steps;
            let (fades, half) = ((-decay * step).exp(), (-decay * step / 2.0).exp());
            for _ in 0..steps as u64 {
                own = own * fades + poisson(random, shares_per_block * step) * p * half;
            }
            let fades = (-decay * gap).exp();
            all = all * fades + (1.0 - fades) / decay;
            at += gap;
            if at > 0.0 {
                let days = at / self.blocks_per_day;
                sums.add(days, self.paid(own) * self.value);
                balance.add(days, (1.0 - self.paid(all)) * self.value);
            }
            own *= self.rule.leakage;
            all *= self.rule.leakage;
        }
        balance.into_run(vec![sums.sums])
    }

    fn first_cost(&self, _: usize) -> f64 {
        self.pool().cost(1.0)
    }

    fn draw_first(&mut self, random: &mut Random, _: usize, most: u64) -> Option<f64> {
        self.pool().draw(random, most, |_, _| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::draw::{mean, spread};
    use crate::rewards::testing::{assert_agrees, is_within, near, within};

    /// p, c, o, f, and mean and variance of a share's pay.
    const VECTORS: [(f64, f64, f64, f64, f64, f64); 4] = [
        (0.01, 0.1, 0.0, 0.0, 0.009, 3.278_844e-4),
        (0.01, 0.1, 0.5, 0.02, 0.008_82, 1.566_986e-4),
        (0.001, 0.01, 0.8, 0.0, 9.9e-4, 9.512_633e-6),
        (0.05, 0.3, 0.3, 0.01, 0.034_65, 7.059_873e-4),
    ];

    #[test]
    fn a_share_has_the_known_mean_and_variance() {
        for (p, variable, leakage, fixed, mean, variance) in VECTORS {
            let rule = Rule { fixed, variable, leakage };
            near(rule.mean_of_share(p), mean);
            within(rule.variance_of_share(p), variance, 4e-7);
        }
    }

    /// The method share by share, as it is published: what one share brings over all rounds that follow.
    #[test]
    fn a_share_by_the_published_steps_brings_that() {
        let (p, c, o, f, ..) = VECTORS[3];
        let rule = Rule { fixed: f, variable: c, leakage: o };
        let ratio = 1.0 + p * rule.growth();
        let mut random = Random::new(5, "steps");
        let pays: Vec<f64> = (0..20_000)
            .map(|_| {
                // Its score over the scale of the newest share; it is a share with score p itself.
                let (mut score, mut paid) = (p, 0.0);
                while score > 1e-12 {
                    if random.fraction() <= p {
                        // The scale has gone one share on when a block is paid: S (r-1) / (p s).
                        paid += score / ratio * (ratio - 1.0) * (1.0 - f) / p;
                        score *= o;
                    }
                    score /= ratio;
                }
                paid
            })
            .collect();
        assert!(is_within(mean(&pays), rule.mean_of_share(p)), "{:?}", mean(&pays));
        within(spread(&pays).mean.powi(2), rule.variance_of_share(p), 0.05);
    }

    #[test]
    fn formula_and_draws_agree() {
        for leakage in [0.0, 0.6] {
            let settings = Settings {
                hash_rate: 1e19,
                pool_hash_rate: 1e20,
                share_seconds: 300.0,
                leakage,
                ..Settings::default()
            };
            let mut dgm = DoubleGeometric::new(&settings);
            near(dgm.income(0, 5.0).mean.value, 0.99 * settings.fair(5.0));
            near(dgm.result(5.0).expect("an operator").mean.value, 0.01 * 10.0 * settings.fair(5.0));
            assert_agrees(&mut dgm, &[0.05, 1.0, 5.0], 1_000);
            // Some 70 blocks: long enough for the spreads, too.
            let runs: Vec<Run> = (0..1_000).map(|n| dgm.run(&mut Random::new(n, "long"), &[5.0])).collect();
            let paid: Vec<f64> = runs.iter().map(|run| run.paid[0][0]).collect();
            within(spread(&paid).mean, dgm.income(0, 5.0).spread.value, 0.1);
            let kept: Vec<f64> = runs.iter().map(|run| run.operator[0]).collect();
            within(spread(&kept).mean, dgm.result(5.0).expect("an operator").spread.value, 0.1);
        }
    }

    #[test]
    fn the_more_the_operator_bears_the_less_luck_miners_have() {
        let of = |variable_fee, leakage| {
            let settings = Settings { variable_fee, leakage, pool_hash_rate: 1e20, ..Settings::default() };
            DoubleGeometric::new(&settings).income(0, 30.0).spread.value
        };
        assert!(of(0.6, 0.5) < of(0.3, 0.5) && of(0.3, 0.5) < of(0.05, 0.5));
    }
}
