//! From counts to figures: those of one run, and their means and errors over several.

use super::ledger::Find;
use super::links::MESH_DEGREE;
use super::settings::{Settings, Strategy};
use super::world::Outcome;
use serde::{Deserialize, Serialize};
use sharechain::params::{FRESHNESS_DEPTH, FRESHNESS_GRACE};
use sharechain::share::ShareId;
use sharechain::units::Height;
use std::collections::BTreeSet;

/// Classes of size: the least part of the pool of each, largest first.
pub const SIZES: [(f64, &str); 5] = [
    (0.1, "10 % and more"),
    (0.03, "3 to 10 %"),
    (0.01, "1 to 3 %"),
    (0.003, "0.3 to 1 %"),
    (0.0, "below 0.3 %"),
];
/// Seconds of a bar in the histogram of intervals, and bars.
pub const INTERVAL_BAR: f64 = 5.0;
/// Bars of that histogram; what is longer is in the last.
pub const INTERVAL_BARS: usize = 36;

/// Equal stretches of time whose differences give the standard error of a single run.
const STRETCHES: usize = 12;

/// A mean over runs, with its standard error: that of the runs, or of the stretches of a single one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub mean: f64,
    /// Its standard error.
    pub error: Option<f64>,
}

/// The figures of one run, warm-up left out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunReport {
    /// Names the run.
    pub seed: u64,
    /// Virtual hours measured.
    pub hours: f64,
    /// Blocks of the winning chain.
    pub blocks: usize,
    /// Shares found.
    pub shares: usize,
    /// Seconds between blocks of the winning chain, by when they were found: mean.
    pub spacing_mean: f64,
    /// Their standard deviation.
    pub spacing_deviation: f64,
    /// Standard deviation of the blocks' expected hashes, as a part of their mean.
    pub difficulty_deviation: f64,
    /// How many intervals were in each bar.
    pub intervals: Vec<u64>,
    /// Blocks found that are not in the winning chain.
    pub losing_blocks: usize,
    /// Their part of all blocks found.
    pub losing_part: f64,
    /// Shares never credited though their base is on the winning chain, those aside that a split outdated.
    pub unpaid: usize,
    /// Shares never credited whose base is on the winning chain, but which a split kept from it for so long that they were
    /// not fresh any more (protocol section 4, check 7).
    pub outdated: usize,
    /// Shares never credited because their base is not.
    pub lost: usize,
    /// Both, as a part of all shares.
    pub unpaid_part: f64,
    /// Fairness by class of size; classes without miners are left out.
    pub sizes: Vec<SizeFigures>,
    /// Fairness of every miner: part of the hash rate, and credited score over score found.
    pub miners: Vec<(f64, f64)>,
    /// How often a node left so many blocks.
    pub reorganisations: Vec<(u32, u64)>,
    /// What travels.
    pub traffic: Traffic,
    /// What became of those who do not play by the book.
    pub strategists: Vec<StrategistFigures>,
    /// What each miner would gain by picking, in the order of the nodes.
    pub picking: Vec<PickingFigures>,
    /// Splits.
    pub heals: Vec<HealFigures>,
    /// Blocks of the winning chain whose credits are not those of what was mined.
    pub wrong_credits: usize,
    /// Bitcoin blocks of the best chain, warm-up included, those of the pool among them, those that lost a race.
    pub bitcoin: (usize, usize, usize),
    /// What nodes refused of others.
    pub refused: Vec<(String, u64)>,
    /// What nodes refused of their own miners.
    pub own_refused: Vec<(String, u64)>,
    /// Bans, by reason.
    pub bans: Vec<(String, u64)>,
    /// Questions between nodes.
    pub questions: u64,
    /// Events of the simulation.
    pub events: u64,
}

/// One class of size.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SizeFigures {
    /// Which.
    pub name: String,
    /// Miners in it.
    pub miners: usize,
    /// Their part of the hash rate.
    pub part: f64,
    /// Shares that they found.
    pub shares: usize,
    /// Credited score over score found.
    pub fairness: f64,
    /// Its standard error, by the differences between stretches of the run.
    pub error: Option<f64>,
}

/// Messages and bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Traffic {
    /// Messages published by all, per second.
    pub messages: f64,
    /// Mean bytes of a share's message.
    pub share_bytes: f64,
    /// Mean bytes of a block's.
    pub block_bytes: f64,
    /// Bytes a second of each node each way when every peer sends on everything that did not come from it.
    pub most_node_bytes: f64,
    /// Bytes a second that a node sent, in the relayed network: the mean of all nodes, and the most.
    pub up: (f64, f64),
    /// The same of what it received.
    pub down: (f64, f64),
    /// How often a message came to a node there.
    pub copies: f64,
}

/// One strategist.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct StrategistFigures {
    /// What it does.
    pub strategy: Strategy,
    /// Its part of the hash rate.
    pub fraction: f64,
    /// Its part of the score found.
    pub work_part: f64,
    /// Its part of the score credited.
    pub credited_part: f64,
    /// One by the other, less 1; of a picker, what its own blocks pay it above what is due, as a part of its income.
    pub gain: f64,
    /// Its part of the winning chain's blocks.
    pub block_part: f64,
}

/// What a miner would gain by picking, relative to its income.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct PickingFigures {
    /// Its part of the pool.
    pub part: f64,
    /// The gain by picking the payout class.
    pub by_class: f64,
    /// The gain by picking class and base.
    pub by_base: f64,
    /// What the closed form gives for picking between the smallest class and being paid exactly.
    pub closed_form: f64,
}

/// The end of a split.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct HealFigures {
    /// Blocks until all nodes were on one branch; none if they never were.
    pub blocks: Option<u32>,
    /// Seconds until then.
    pub seconds: Option<f64>,
}

impl RunReport {
    /// The figures of a run.
    pub fn new(outcome: &Outcome) -> Self {
        let settings = &outcome.settings;
        let measured = Measured::new(outcome);
        let intervals = measured.intervals();
        let (spacing_mean, spacing_deviation) = moments(&intervals);
        let (work_mean, work_deviation) = moments(&measured.block_works());
        let (found, losing) = measured.blocks_found();
        let Unpaid { unpaid, outdated, lost } = measured.unpaid();
        let fair = Fairness::new(measured.shares.iter().copied(), settings.nodes);
        let tally = &outcome.tally;
        Self {
            seed: settings.seed,
            hours: settings.hours - settings.warm_up_hours,
            blocks: intervals.len(),
            shares: measured.shares.len(),
            spacing_mean,
            spacing_deviation,
            difficulty_deviation: ratio(work_deviation, work_mean),
            intervals: histogram(&intervals),
            losing_blocks: losing,
            losing_part: ratio(losing as f64, found as f64),
            unpaid,
            outdated,
            lost,
            unpaid_part: ratio((unpaid + outdated + lost) as f64, measured.shares.len() as f64),
            sizes: fair.by_size(settings, &measured.stretches()),
            miners: fair.by_miner(settings),
            reorganisations: tally.reorganisations.iter().map(|(depth, count)| (*depth, *count)).collect(),
            traffic: traffic(outcome),
            strategists: strategists(settings, &fair, &measured),
            picking: picking(outcome),
            heals: tally.heals.iter().map(heal).collect(),
            wrong_credits: outcome.ledger.wrong(),
            bitcoin: outcome.bitcoin,
            refused: tally.refused.clone().into_iter().collect(),
            own_refused: tally.own_refused.clone().into_iter().collect(),
            bans: tally.bans.clone().into_iter().collect(),
            questions: tally.questions,
            events: tally.events,
        }
    }
}

/// The finds that count.
struct Measured<'a> {
    outcome: &'a Outcome,
    shares: Vec<&'a Find>,
    winners: BTreeSet<ShareId>,
}

impl<'a> Measured<'a> {
    fn new(outcome: &'a Outcome) -> Self {
        let winners: BTreeSet<ShareId> = outcome.ledger.winners().map(|find| find.id).collect();
        let tip = Height(u32::try_from(winners.len()).unwrap_or(u32::MAX));
        let newest = tip.saturating_sub(outcome.params.include_depth);
        let mut measured = Self { outcome, shares: Vec::new(), winners };
        let finds = outcome.ledger.finds().iter();
        measured.shares = finds
            .filter(|find| measured.counts(find) && !find.score.is_zero() && find.height <= newest)
            .collect();
        measured
    }

    fn counts(&self, find: &Find) -> bool {
        find.at.seconds() >= self.outcome.settings.warm_up_hours * 3_600.0
    }

    fn intervals(&self) -> Vec<f64> {
        let winners: Vec<&Find> = self.outcome.ledger.winners().filter(|find| self.counts(find)).collect();
        winners.windows(2).map(|pair| pair[1].at.seconds() - pair[0].at.seconds()).collect()
    }

    fn block_works(&self) -> Vec<f64> {
        let winners = self.outcome.ledger.winners().filter(|find| self.counts(find));
        winners.map(|find| find.block_work).collect()
    }

    /// Blocks found, and those of them that lost, the newest left out since they may win yet.
    fn blocks_found(&self) -> (usize, usize) {
        let last = self.shares.last().map_or(0, |find| find.at.0);
        let blocks = self.outcome.ledger.finds().iter().filter(|find| find.is_block && self.counts(find));
        let blocks: Vec<&Find> = blocks.filter(|find| find.at.0 <= last).collect();
        (blocks.len(), blocks.iter().filter(|find| !self.winners.contains(&find.id)).count())
    }

    /// Fairness in equal stretches of time.
    fn stretches(&self) -> Vec<Fairness> {
        let settings = &self.outcome.settings;
        let begin = settings.warm_up_hours * 3_600.0;
        let end = self.shares.last().map_or(begin, |find| find.at.seconds());
        let stretch = |find: &Find| ((find.at.seconds() - begin) / (end - begin) * STRETCHES as f64) as usize;
        let inside = |number| self.shares.iter().copied().filter(move |find| stretch(find) == number);
        (0..STRETCHES).map(|number| Fairness::new(inside(number), settings.nodes)).collect()
    }

    fn unpaid(&self) -> Unpaid {
        let root = self.outcome.params.chain_id().as_block();
        let mut counts = Unpaid::default();
        for find in self.shares.iter().filter(|find| find.credited_by.is_none()) {
            let count = if find.base != root && !self.winners.contains(&find.base) {
                &mut counts.lost
            } else if self.is_outdated(find) {
                &mut counts.outdated
            } else {
                &mut counts.unpaid
            };
            *count += 1;
        }
        counts
    }

    /// Whether a split kept a share from the winning chain until it was not fresh any more for that chain's next block,
    /// and so for none after it.
    fn is_outdated(&self, find: &Find) -> bool {
        let splits = &self.outcome.settings.partitions;
        self.outcome.tally.heals.iter().any(|heal| {
            let begin = heal.at.seconds() - splits[heal.partition].minutes * 60.0;
            let during = |find: &Find| (begin..=heal.at.seconds()).contains(&find.at.seconds());
            let before: Vec<&Find> =
                self.outcome.ledger.winners().take_while(|winner| winner.at <= heal.at).collect();
            let winning_side = before.last().filter(|winner| during(winner)).map(|winner| winner.side);
            during(find) && winning_side == Some(!find.side) && !is_fresh(find, &before)
        })
    }
}

/// Whether a block on these blocks, lowest first, may list a share as far as freshness goes. All Bitcoin blocks have the
/// same work here, so that heights do.
fn is_fresh(find: &Find, blocks: &[&Find]) -> bool {
    let at = (find.height.0 as usize)
        .saturating_sub(1)
        .max((blocks.len() + 1).saturating_sub(FRESHNESS_DEPTH as usize));
    let best = blocks.iter().take(at).map(|block| block.bitcoin_height).max();
    let reached_at =
        blocks.iter().position(|block| Some(block.bitcoin_height) == best).map(|place| place + 1);
    let (Some(best), Some(reached_at)) = (best, reached_at) else { return true };
    let is_news = reached_at + FRESHNESS_GRACE as usize >= at;
    find.bitcoin_height >= best || (is_news && find.bitcoin_height.0 + 1 >= best.0)
}

/// Shares never credited; see [`RunReport`].
#[derive(Default)]
struct Unpaid {
    unpaid: usize,
    outdated: usize,
    lost: usize,
}

/// Score found and score credited of each miner.
struct Fairness {
    found: Vec<f64>,
    credited: Vec<f64>,
    shares: Vec<usize>,
}

impl Fairness {
    fn new<'a>(finds: impl Iterator<Item = &'a Find>, nodes: usize) -> Self {
        let mut fair = Self { found: vec![0.0; nodes], credited: vec![0.0; nodes], shares: vec![0; nodes] };
        for find in finds {
            fair.found[find.miner] += find.score.0 as f64;
            fair.shares[find.miner] += 1;
            if let Some(lister) = find.credited_by {
                let (fee, rest) = find.score.split_listing_fee();
                fair.credited[lister] += fee.0 as f64;
                fair.credited[find.miner] += rest.0 as f64;
            }
        }
        fair
    }

    fn by_size(&self, settings: &Settings, stretches: &[Self]) -> Vec<SizeFigures> {
        let parts = settings.parts();
        let size = |part: f64| SIZES.iter().position(|(least, _)| part >= *least);
        let figures = SIZES.iter().enumerate().map(|(class, (_, name))| {
            let of_class = |node: &usize| size(parts[*node]) == Some(class);
            let inside: Vec<usize> = (0..parts.len()).filter(of_class).collect();
            let sum = |values: &[f64]| inside.iter().map(|node| values[*node]).sum::<f64>();
            let fairness = |fair: &Self| ratio(sum(&fair.credited), sum(&fair.found));
            // Stretches in which a class of few and small miners found nothing say nothing.
            let some = stretches.iter().filter(|fair| sum(&fair.found) > 0.0);
            SizeFigures {
                name: (*name).to_owned(),
                miners: inside.len(),
                part: sum(&parts),
                shares: inside.iter().map(|node| self.shares[*node]).sum(),
                fairness: fairness(self),
                error: estimate(&some.map(fairness).collect::<Vec<_>>()).error,
            }
        });
        figures.filter(|figures| figures.miners > 0).collect()
    }

    fn by_miner(&self, settings: &Settings) -> Vec<(f64, f64)> {
        let parts = settings.parts().into_iter();
        let fairness =
            self.credited.iter().zip(&self.found).map(|(credited, found)| ratio(*credited, *found));
        parts.zip(fairness).collect()
    }
}

fn strategists(settings: &Settings, fair: &Fairness, measured: &Measured<'_>) -> Vec<StrategistFigures> {
    let part = |values: &[f64], node: usize| ratio(values[node], values.iter().sum());
    let winners: Vec<&Find> =
        measured.outcome.ledger.winners().filter(|find| measured.counts(find)).collect();
    let figures = settings.strategists.iter().enumerate().map(|(node, strategist)| {
        let (work_part, credited_part) = (part(&fair.found, node), part(&fair.credited, node));
        let blocks = winners.iter().filter(|find| find.miner == node).count();
        StrategistFigures {
            strategy: strategist.strategy,
            fraction: strategist.fraction,
            work_part,
            credited_part,
            gain: match strategist.strategy {
                // What is credited does not depend on the class; what a coinbase pays does.
                Strategy::Picker => picking(measured.outcome)[node].by_class,
                _ => ratio(credited_part, work_part) - 1.0,
            },
            block_part: ratio(blocks as f64, winners.len() as f64),
        }
    });
    figures.collect()
}

fn picking(outcome: &Outcome) -> Vec<PickingFigures> {
    let smallest = outcome.params.classes.first().copied().map_or(1.0, f64::from);
    let parts = outcome.settings.parts().into_iter();
    let figures = parts.zip(&outcome.tally.responses).map(|(part, response)| {
        // A picker gains in the blocks that it finds itself, which are its part of all.
        let gain = |best: f64| part * ratio(best - response.due, response.due);
        PickingFigures {
            part,
            by_class: gain(response.best_class),
            by_base: gain(response.best_base),
            closed_form: part * (1.0 - smallest * part).max(0.0),
        }
    });
    figures.collect()
}

fn traffic(outcome: &Outcome) -> Traffic {
    let tally = &outcome.tally;
    let seconds = (outcome.settings.hours - outcome.settings.warm_up_hours) * 3_600.0;
    let [shares, blocks] = tally.messages.map(|count| count as f64);
    let [share_bytes, block_bytes] = tally.bytes.map(|bytes| bytes as f64);
    let copies = (MESH_DEGREE.min(outcome.settings.nodes - 1).max(2) - 1) as f64;
    Traffic {
        messages: ratio(shares + blocks, seconds),
        share_bytes: ratio(share_bytes, shares),
        block_bytes: ratio(block_bytes, blocks),
        most_node_bytes: ratio(share_bytes + block_bytes, seconds) * copies,
        up: rates(&tally.bytes_up, seconds),
        down: rates(&tally.bytes_down, seconds),
        copies: ratio(tally.copies as f64, tally.first_copies as f64),
    }
}

/// Mean and maximum per second.
fn rates(bytes: &[u64], seconds: f64) -> (f64, f64) {
    let sum: u64 = bytes.iter().sum();
    let most = bytes.iter().max().copied().unwrap_or(0);
    (ratio(sum as f64, seconds * bytes.len() as f64), ratio(most as f64, seconds))
}

fn heal(heal: &super::tally::Heal) -> HealFigures {
    HealFigures {
        blocks: heal.done.map(|(_, height)| height.0 - heal.height.0),
        seconds: heal.done.map(|(at, _)| at.seconds() - heal.at.seconds()),
    }
}

/// The figures of several runs that differ in their seed alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// What was simulated; the seed is the first run's.
    pub settings: Settings,
    /// Seconds between blocks.
    pub spacing: Estimate,
    /// Standard deviation of the seconds between blocks.
    pub spacing_deviation: Estimate,
    /// Standard deviation of the difficulty, as a part of its mean.
    pub difficulty_deviation: Estimate,
    /// Losing blocks, as a part of all found.
    pub losing: Estimate,
    /// Shares never credited, as a part of all.
    pub unpaid: Estimate,
    /// Fairness by class of size.
    pub fairness: Vec<(SizeFigures, Estimate)>,
    /// Gains of those who do not play by the book.
    pub gains: Vec<(StrategistFigures, Estimate)>,
    /// The runs.
    pub runs: Vec<RunReport>,
}

impl Report {
    /// Puts runs of the same settings together; none without runs.
    pub fn new(settings: &Settings, runs: Vec<RunReport>) -> Option<Self> {
        let first = runs.first()?;
        let over = |value: &dyn Fn(&RunReport) -> f64| estimate(&runs.iter().map(value).collect::<Vec<_>>());
        let fairness = first.sizes.iter().enumerate().map(|(class, figures)| {
            let shares = runs.iter().map(|run| run.sizes[class].shares).sum();
            let mut fairness = over(&|run| run.sizes[class].fairness);
            fairness.error = fairness.error.or(figures.error);
            (SizeFigures { shares, ..figures.clone() }, fairness)
        });
        let gains = first.strategists.iter().enumerate();
        let gains = gains.map(|(node, figures)| (*figures, over(&|run| run.strategists[node].gain)));
        let mut spacing = over(&|run| run.spacing_mean);
        let alone = ratio(first.spacing_deviation, (first.blocks as f64).sqrt());
        spacing.error = spacing.error.or(Some(alone));
        Some(Self {
            settings: settings.clone(),
            spacing,
            spacing_deviation: over(&|run| run.spacing_deviation),
            difficulty_deviation: over(&|run| run.difficulty_deviation),
            losing: over(&|run| run.losing_part),
            unpaid: over(&|run| run.unpaid_part),
            fairness: fairness.collect(),
            gains: gains.collect(),
            runs,
        })
    }
}

fn estimate(values: &[f64]) -> Estimate {
    let (mean, deviation) = moments(values);
    let count = values.len() as f64;
    // The deviation of the sample, not of the values about their own mean.
    let error = (values.len() > 1).then(|| deviation * (count / (count - 1.0)).sqrt() / count.sqrt());
    Estimate { mean, error }
}

/// Mean and standard deviation.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = ratio(values.iter().sum(), count);
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, ratio(squares, count).sqrt())
}

fn histogram(intervals: &[f64]) -> Vec<u64> {
    let mut bars = vec![0; INTERVAL_BARS];
    for interval in intervals {
        bars[((interval / INTERVAL_BAR) as usize).min(INTERVAL_BARS - 1)] += 1;
    }
    bars
}

/// A quotient, 0 where there is nothing to divide by.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_a_mean_and_its_error() {
        let Estimate { mean, error } = estimate(&[1.0, 2.0, 3.0]);
        assert!((mean - 2.0).abs() < 1e-12);
        assert!((error.expect("three values") - (1.0_f64 / 3.0).sqrt()).abs() < 1e-12);
        assert_eq!(estimate(&[5.0]), Estimate { mean: 5.0, error: None });
    }

    #[test]
    fn long_intervals_are_in_the_last_bar() {
        let bars = histogram(&[0.0, 4.9, 5.0, 10_000.0]);
        assert_eq!((bars[0], bars[1], bars[INTERVAL_BARS - 1]), (2, 1, 1));
    }
}
