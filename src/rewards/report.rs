//! All schemes side by side: by formula, and by as many draws as end in seconds; without optimisation, in a minute.

use super::double_geometric::DoubleGeometric;
use super::draw;
use super::old_p2pool::OldP2pool;
use super::pplns::{self, Pplns};
use super::pps::PayPerShare;
use super::proportional::Proportional;
use super::scheme::{Formula, Income, OperatorResult, Run, Scheme};
use super::settings::{BadSettings, Settings};
use super::share_chain::ShareChain;
use super::solo::{Solo, StakeLottery};
use crate::simulate::random::Random;
use crate::simulate::report::Estimate;
use serde::{Deserialize, Serialize};

/// Draws for the incomes of one scheme.
const INCOME_DRAWS: f64 = 4e6;
/// Draws for the first payouts of one row.
const FIRST_DRAWS: f64 = 5e6;
/// A first payout that cannot be drawn so often is not drawn.
const LEAST_FIRSTS: u32 = 20;
/// Runs of incomes that are drawn however long they take: some ten thousand blocks each, then.
const LEAST_RUNS: u32 = 5;

/// The comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Of what.
    pub settings: Settings,
    /// Satoshis of a block.
    pub block_value: u64,
    /// The pool's Bitcoin blocks a day.
    pub blocks_per_day: f64,
    /// What the miner's hash rate is worth over each horizon, in satoshis.
    pub fair: Vec<f64>,
    /// One row for each scheme, or payout class.
    pub rows: Vec<Row>,
    /// Operators who bear risk.
    pub operators: Vec<Operator>,
    /// What the rules of some schemes do to those who come and go.
    pub rules: Rules,
}

/// One scheme.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// Which formula is not exact, and why.
    pub remark: String,
    /// Runs drawn.
    pub runs: u32,
    /// For each horizon.
    pub horizons: Vec<Horizon>,
    /// Days from the first hash to the first payout.
    pub first: First,
}

/// The miner's income over a horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Horizon {
    /// How many days.
    pub days: f64,
    /// By formula, in satoshis.
    pub formula: Income,
    /// Drawn: mean.
    pub mean: Estimate,
    /// Standard deviation.
    pub spread: Estimate,
    /// Chance of nothing.
    pub nothing: Estimate,
}

/// Days from the first hash to the first payout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct First {
    /// By formula.
    pub formula: Formula,
    /// Drawn; none where that would take too long.
    pub drawn: Option<Estimate>,
    /// Runs of it.
    pub runs: u32,
}

/// An operator who bears the risk of luck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operator {
    /// Of which scheme.
    pub name: String,
    /// Runs drawn.
    pub runs: u32,
    /// For each horizon.
    pub horizons: Vec<OperatorHorizon>,
    /// Block rewards of a reserve that the chance of ruin asked for leaves for ever; none if none is enough or known.
    pub safe_reserve: Option<f64>,
}

/// An operator's result over a horizon.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatorHorizon {
    /// How many days.
    pub days: f64,
    /// By formula, in satoshis.
    pub formula: OperatorResult,
    /// Drawn: mean.
    pub mean: Estimate,
    /// Standard deviation.
    pub spread: Estimate,
    /// The chance that the reserve is used up by then.
    pub ruin: Estimate,
}

/// Known faults of rules, in numbers; each is fair pay as 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Proportional: the age of a round, in expected blocks, from which staying pays less than leaving.
    pub hop_off: f64,
    /// What a hopper who leaves then has of its work.
    pub hopper: f64,
    /// P2Pool of old: what a share is worth just before the pool's hash rate halves, where the window counts shares.
    pub before_halving: f64,
    /// The same before it doubles.
    pub before_doubling: f64,
    /// PPLNS that counts work by the difficulty at payment: a share just before a rise of 5 %.
    pub before_rise: f64,
    /// P2Pool of old: the chance that a share of this pool is never paid.
    pub old_unpaid: f64,
    /// The same of this share chain.
    pub chain_unpaid: f64,
}

/// Compares. `progress` is told now and then how much of the work has been done (from 0 to 1000), and may end it by
/// giving false; then there is no report.
pub fn compare(
    settings: &Settings,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Report>, BadSettings> {
    settings.validate()?;
    let mut schemes = schemes(settings);
    let steps = schemes.len() as u64;
    let (mut rows, mut operators) = (Vec::new(), Vec::new());
    for (step, scheme) in (0..).zip(&mut schemes) {
        let mut within = |part: f64| progress((step * 1_000 + (part * 1_000.0) as u64) / steps);
        let Some((of_scheme, operator)) = one(scheme.as_mut(), settings, &mut within) else {
            return Ok(None);
        };
        rows.extend(of_scheme);
        operators.extend(operator);
    }
    Ok(Some(Report {
        block_value: settings.block_value(),
        blocks_per_day: settings.blocks_per_day(),
        fair: settings.horizons.iter().map(|days| settings.fair(*days)).collect(),
        rows,
        operators,
        rules: rules(settings),
        settings: settings.clone(),
    }))
}

fn schemes(settings: &Settings) -> Vec<Box<dyn Scheme>> {
    vec![
        Box::new(Solo::new(settings)),
        Box::new(PayPerShare::new(settings)),
        Box::new(Proportional::new(settings)),
        Box::new(Pplns::new(settings)),
        Box::new(DoubleGeometric::new(settings)),
        Box::new(OldP2pool::new(settings)),
        Box::new(ShareChain::new(settings)),
        Box::new(StakeLottery::new(settings)),
    ]
}

fn rules(settings: &Settings) -> Rules {
    Rules {
        hop_off: Proportional::hop_off(),
        hopper: Proportional::hopper(),
        before_halving: pplns::value_before_change(0.5),
        before_doubling: pplns::value_before_change(2.0),
        before_rise: pplns::value_before_retarget(0.0, settings.window, 0.05),
        old_unpaid: pplns::unpaid(OldP2pool::new(settings).window_blocks()),
        chain_unpaid: pplns::unpaid(ShareChain::new(settings).window_blocks()),
    }
}

/// How many runs of this cost are within so many draws.
fn affordable(draws: f64, cost: f64, most: u32) -> u32 {
    (draws / cost).min(f64::from(most)) as u32
}

fn one(
    scheme: &mut dyn Scheme,
    settings: &Settings,
    progress: &mut dyn FnMut(f64) -> bool,
) -> Option<(Vec<Row>, Option<Operator>)> {
    let names = scheme.rows();
    let runs = affordable(INCOME_DRAWS, scheme.cost(settings.longest()), settings.runs).max(LEAST_RUNS);
    let mut all = Vec::new();
    for run in 0..runs {
        if !progress(f64::from(run) / f64::from(runs) * 0.7) {
            return None;
        }
        all.push(scheme.run(&mut stream(settings, &names[0], run), &settings.horizons));
    }
    let mut rows = Vec::new();
    for (row, name) in names.iter().enumerate() {
        if !progress(0.7 + 0.3 * row as f64 / names.len() as f64) {
            return None;
        }
        rows.push(Row {
            name: name.clone(),
            remark: scheme.remark().into(),
            runs,
            horizons: horizons(scheme, row, settings, &all),
            first: first(scheme, row, settings, name),
        });
    }
    let operator = operator(scheme, settings, &all).map(|horizons| Operator {
        name: names[0].clone(),
        runs,
        horizons,
        safe_reserve: scheme.safe_reserve(settings.ruin),
    });
    Some((rows, operator))
}

/// The random numbers of one run.
fn stream(settings: &Settings, purpose: &str, run: u32) -> Random {
    let mut seeds = Random::new(settings.seed, purpose);
    let base = seeds.bits();
    Random::new(base.wrapping_add(u64::from(run)), "run")
}

fn horizons(scheme: &dyn Scheme, row: usize, settings: &Settings, all: &[Run]) -> Vec<Horizon> {
    let of = |(place, days): (usize, &f64)| {
        let paid: Vec<f64> = all.iter().map(|run| run.paid[row][place]).collect();
        Horizon {
            days: *days,
            formula: scheme.income(row, *days),
            mean: draw::mean(&paid),
            spread: draw::spread(&paid),
            nothing: draw::part(&paid, |paid| paid <= 0.0),
        }
    };
    settings.horizons.iter().enumerate().map(of).collect()
}

fn first(scheme: &mut dyn Scheme, row: usize, settings: &Settings, name: &str) -> First {
    let cost = scheme.first_cost(row);
    let runs = affordable(FIRST_DRAWS, cost, settings.runs);
    let formula = scheme.first(row);
    if runs < LEAST_FIRSTS {
        return First { formula, drawn: None, runs: 0 };
    }
    // Far more than any run should take; to leave a long one out would make the rest look short.
    let most = (cost * 1_000.0).min(1e7) as u64;
    let purpose = format!("first, {name}");
    let days: Option<Vec<f64>> =
        (0..runs).map(|run| scheme.draw_first(&mut stream(settings, &purpose, run), row, most)).collect();
    First { formula, runs: if days.is_some() { runs } else { 0 }, drawn: days.map(|days| draw::mean(&days)) }
}

fn operator(scheme: &dyn Scheme, settings: &Settings, all: &[Run]) -> Option<Vec<OperatorHorizon>> {
    scheme.result(settings.longest())?;
    let of = |(place, days): (usize, &f64)| {
        let results: Vec<f64> = all.iter().map(|run| run.operator[place]).collect();
        let ruined: Vec<f64> = all.iter().map(|run| f64::from(u8::from(run.ruined[place]))).collect();
        Some(OperatorHorizon {
            days: *days,
            formula: scheme.result(*days)?,
            mean: draw::mean(&results),
            spread: draw::spread(&results),
            ruin: draw::part(&ruined, |ruined| ruined > 0.5),
        })
    };
    settings.horizons.iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quick() -> Settings {
        Settings {
            pool_hash_rate: 1e20,
            hash_rate: 1e17,
            horizons: vec![1.0, 5.0],
            runs: 20,
            others: 30,
            ..Settings::default()
        }
    }

    fn of(settings: &Settings) -> Report {
        compare(settings, &mut |_| true).expect("valid").expect("not ended")
    }

    #[test]
    fn a_seed_names_a_comparison() {
        let first = of(&quick());
        assert!(first == of(&quick()), "the same seed gives the same figures");
        let other = of(&Settings { seed: 2, ..quick() });
        assert!(first.rows[0].horizons[1].mean != other.rows[0].horizons[1].mean);
        assert_eq!(first.rows[0].horizons[1].formula, other.rows[0].horizons[1].formula);
    }

    #[test]
    fn all_schemes_are_there_and_all_means_are_near_fair() {
        let report = of(&quick());
        let names: Vec<&str> = report.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names[..6], ["solo", "PPS", "proportional", "PPLNS", "DGM", "P2Pool of old"]);
        assert_eq!(
            (names[6], names[9], names[10]),
            ("this chain, 11 outputs", "this chain, 360 outputs", "stake lottery")
        );
        for row in &report.rows {
            assert_eq!(row.horizons.len(), 2);
            for (horizon, fair) in row.horizons.iter().zip(&report.fair) {
                let part = horizon.formula.mean.value / fair;
                assert!((0.95..1.05).contains(&part), "{}: {part}", row.name);
            }
        }
        assert_eq!(report.operators.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["PPS", "DGM"]);
        assert!(report.operators[0].safe_reserve.is_some_and(|reserve| (300.0..345.4).contains(&reserve)));
    }

    #[test]
    fn whoever_waits_may_end_it() {
        let mut told = Vec::new();
        let ended = compare(&quick(), &mut |done| {
            told.push(done);
            told.len() < 100
        });
        assert_eq!(ended, Ok(None));
        assert!(told.is_sorted() && told.iter().all(|done| *done <= 1_000), "{told:?}");
        assert!(compare(&Settings { fee: 2.0, ..quick() }, &mut |_| true).is_err());
    }
}
