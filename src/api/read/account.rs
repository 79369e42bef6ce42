//! What is known of one owner, and of the pool's work: scores, expectations, credits. Payments come from [`super::payments`].

use super::found::FoundBlocks;
use super::next_header;
use crate::api::form::{
    AccountForm, CreditForm, ExpectedForm, OwnerForm, PaidForm, PoolForm, RecentForm, Text, blocks_of,
};
use crate::api::source::{ChainSource, ReadError, ask};
use crate::chain::Reader;
use crate::rewards::expected::{Standing, expected};
use sharechain::chain::{BlockSummary, Ranking};
use sharechain::owner::Owner;
use sharechain::target::{Target, Work};
use sharechain::units::{BitcoinHeight, Height, Score};
use sharechain::window::Contribution;

/// Most share blocks that are measured for what is said of the last day.
const MAX_RECENT: u32 = 5_760;
/// Most credits in one answer.
pub const MAX_CREDITS: u32 = 1_000;
/// Most share blocks that one answer looks at for credits.
pub const MAX_CREDIT_BLOCKS: u32 = 2_880;
const DAY: u32 = 86_400;

/// Which credits are asked for.
#[derive(Clone, Copy, Debug)]
pub struct CreditsPage {
    /// Only those of share blocks below this height; from the tip where it is none.
    pub before: Option<u32>,
    /// How many at most; see [`MAX_CREDITS`].
    pub count: u32,
}

/// The next Bitcoin block as a template has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextValue {
    /// Its height.
    pub height: BitcoinHeight,
    /// Satoshis of its coinbase.
    pub satoshis: u64,
}

/// The work of the whole pool. `value` is that of the newest template, if there is one.
pub async fn pool(source: &dyn ChainSource, value: Option<NextValue>) -> Result<PoolForm, ReadError> {
    ask(source, move |reader| {
        let next = Next::of(reader, value)?;
        let (recent, _) = recent(reader, None);
        let recent = recent.form(next.work);
        let tip = reader.chain.tip();
        let window = reader.chain.window(&tip);
        let (score, owners, blocks) =
            window.map_or_else(Default::default, |window| (window.total(), window.owners(), window.len()));
        Ok(PoolForm {
            height: reader.chain.height().0,
            window_score: blocks_of(score),
            window_owners: owners as u64,
            window_blocks: blocks as u64,
            recent,
            next_block_satoshis: next.satoshis,
            hashes_per_bitcoin_block: hashes_of(next.work),
        })
    })
    .await
}

/// What is known of an owner. `value` is that of the newest template, if there is one.
pub async fn account(
    source: &dyn ChainSource,
    found: &mut FoundBlocks,
    owner: Owner,
    value: Option<NextValue>,
    page: CreditsPage,
) -> Result<AccountForm, ReadError> {
    found.catch_up(source).await?;
    let paid: PaidForm = found.paid(source, owner).await?;
    ask(source, move |reader| {
        let network = reader.chain.params().network;
        let next = Next::of(reader, value)?;
        let (all, own) = recent(reader, Some(&owner));
        let (all, own) = (all.form(next.work), own.form(next.work));
        let tip = reader.chain.tip();
        let ranking = reader.chain.ranking(&tip).unwrap_or_default();
        let (score, total) = (score_in(&ranking, &owner), total_of(&ranking));
        let place = ranking.iter().position(|(other, _)| *other == owner);
        let due = reader.chain.ranking_due_next(next.height).unwrap_or_default();
        // Who finds blocks is told from the work of the last day.
        let standing = Standing {
            owner,
            score: score_in(&due, &owner),
            window: total_of(&due),
            height: next.height,
            value: next.satoshis,
            blocks_per_day: own.bitcoin_blocks_per_day,
            pool_blocks_per_day: all.bitcoin_blocks_per_day,
        };
        let told = expected(reader.chain.params(), &standing);
        let expected = ExpectedForm {
            block_satoshis: next.satoshis,
            next_block_satoshis: told.next_block,
            satoshis_per_day: satoshis(told.per_day),
            fair_satoshis_per_day: satoshis(told.fair_per_day),
        };
        let (credits, next_before) = credits(reader, &owner, page);
        Ok(AccountForm {
            owner: OwnerForm::new(&owner, network),
            height: reader.chain.height().0,
            window_score: blocks_of(score),
            window_part: part(score, total),
            window_rank: place.map(|place| place as u64 + 1),
            recent: own,
            expected,
            paid,
            credits,
            next_before,
        })
    })
    .await
}

/// The next Bitcoin block, as far as expectations need it.
struct Next {
    height: BitcoinHeight,
    satoshis: u64,
    /// Work that it takes.
    work: Work,
}

impl Next {
    fn of(reader: &Reader<'_>, value: Option<NextValue>) -> Result<Self, ReadError> {
        let header = next_header(reader)?;
        let height = BitcoinHeight(reader.chain.headers().best().height.0.saturating_add(1));
        let subsidy = reader.chain.params().subsidy(height);
        let satoshis = value.filter(|value| value.height == height).map_or(subsidy, |value| value.satoshis);
        let target = Target::from_compact(header.bits).unwrap_or(Target::MAX);
        Ok(Self { height, satoshis, work: target.work() })
    }
}

fn score_in(ranking: &Ranking, owner: &Owner) -> Score {
    ranking.iter().find(|(other, _)| other == owner).map_or(Score::ZERO, |(_, score)| *score)
}

fn total_of(ranking: &Ranking) -> Score {
    ranking.iter().map(|(_, score)| *score).sum()
}

fn part(score: Score, total: Score) -> f64 {
    if total.is_zero() { 0.0 } else { blocks_of(score) / blocks_of(total) }
}

/// A number of satoshis that is none too many for money.
fn satoshis(amount: f64) -> u64 {
    amount.round() as u64
}

fn hashes_of(work: Work) -> f64 {
    let limbs = work.0.0.iter().rev();
    limbs.fold(0.0, |sum, limb| sum * 2_f64.powi(64) + *limb as f64)
}

/// Work that newest share blocks credit.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    seconds: u32,
    blocks: u64,
    score: Score,
}

impl Recent {
    fn form(self, work: Work) -> RecentForm {
        let a_second = if self.seconds == 0 { 0.0 } else { blocks_of(self.score) / f64::from(self.seconds) };
        RecentForm {
            seconds: self.seconds,
            share_blocks: self.blocks,
            bitcoin_blocks_per_day: a_second * f64::from(DAY),
            hashes_per_second: a_second * hashes_of(work),
        }
    }

    fn add(&mut self, block: &BlockSummary, counts: impl Fn(&Contribution) -> bool) {
        let work = block.credits.own.iter().chain(&block.credits.listed);
        let of_it = work
            .filter(|work| counts(work))
            .fold((0_u64, Score::ZERO), |(n, sum), work| (n + 1, sum.saturating_add(work.score)));
        self.blocks += u64::from(of_it.0 > 0);
        self.score = self.score.saturating_add(of_it.1);
    }
}

/// The work of all, and that of one owner, in the share blocks of the day before the tip.
fn recent(reader: &Reader<'_>, owner: Option<&Owner>) -> (Recent, Recent) {
    let (mut all, mut own) = (Recent::default(), Recent::default());
    let chain = &reader.chain;
    let Some(tip) = chain.block_at(chain.height()) else { return (all, own) };
    let lowest = tip.height.0.saturating_sub(MAX_RECENT);
    for height in (lowest.max(1)..=tip.height.0).rev() {
        let Some(block) = chain.block_at(Height(height)) else { break };
        let age = u32::try_from(tip.time.seconds_since(block.time)).unwrap_or(0);
        (all.seconds, own.seconds) = (all.seconds.max(age), own.seconds.max(age));
        // What the oldest credits was worked before the time that is measured.
        let is_oldest = age >= DAY || height == lowest.max(1);
        if is_oldest {
            break;
        }
        all.add(block, |_| true);
        own.add(block, |work| Some(&work.owner) == owner);
    }
    (all, own)
}

fn credits(reader: &Reader<'_>, owner: &Owner, page: CreditsPage) -> (Vec<CreditForm>, Option<u32>) {
    let chain = &reader.chain;
    let count = page.count.min(MAX_CREDITS) as usize;
    let tip = chain.height().0;
    let top = page.before.map_or(tip, |before| tip.min(before.saturating_sub(1)));
    let lowest = top.saturating_sub(MAX_CREDIT_BLOCKS);
    let mut credits = Vec::new();
    for height in (lowest + 1..=top).rev() {
        // Pruned, and so is all below.
        let Some(block) = chain.block_at(Height(height)) else { return (credits, None) };
        if credits.len() == count {
            return (credits, Some(height + 1));
        }
        credits.extend(credit(block, owner));
    }
    (credits, (lowest > 0).then_some(lowest + 1))
}

fn credit(block: &BlockSummary, owner: &Owner) -> Option<CreditForm> {
    let score: Score =
        block.credits.credits().filter(|(credited, _)| credited == owner).map(|(_, score)| score).sum();
    let work = block.credits.own.iter().chain(&block.credits.listed);
    (!score.is_zero()).then(|| CreditForm {
        height: block.height.0,
        id: Text(block.id),
        time: block.time.0,
        shares: work.filter(|work| work.owner == *owner).count() as u64,
        score: blocks_of(score),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_becomes_a_number_of_hashes() {
        let bits = bitcoin::CompactTarget::from_consensus(0x1d00_ffff);
        let work = Target::from_compact(bits).expect("difficulty 1").work();
        assert_eq!(hashes_of(work), 4_295_032_833.0);
    }
}
