//! What is known of one owner, and of the pool's work: scores, expectations, credits. Payments come from [`super::payments`].

use super::day::{Credited, Day, News, Recent};
use super::{next_header, payments};
use crate::api::form::{AccountForm, CreditForm, ExpectedForm, OwnerForm, PaidForm, PoolForm, blocks_of};
use crate::api::source::{ChainSource, ReadError, ask};
use crate::chain::Reader;
use crate::hashes;
use crate::history::ledger::Ledger;
use crate::rewards::expected::{Standing, expected};
use sharechain::chain::Ranking;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::target::Target;
use sharechain::units::{BitcoinHeight, Height, Score};
use tokio::sync::Mutex;

/// Most credits in one answer.
pub const MAX_CREDITS: u32 = 1_000;
/// Most share blocks that one answer looks at for credits.
pub const MAX_CREDIT_BLOCKS: u32 = 2_880;

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
pub async fn pool(
    source: &dyn ChainSource,
    day: &Mutex<Day>,
    value: Option<NextValue>,
) -> Result<PoolForm, ReadError> {
    let mut day = day.lock().await;
    let known = day.tip();
    let (news, next, height, (score, owners, blocks)) = ask(source, move |reader| {
        let next = Next::of(reader, value)?;
        let tip = reader.chain.tip();
        let window = reader.chain.window(&tip);
        let window =
            window.map_or_else(Default::default, |window| (window.total(), window.owners(), window.len()));
        Ok((News::since(reader.chain, known), next, reader.chain.height(), window))
    })
    .await?;
    day.take(news);
    Ok(PoolForm {
        height: height.0,
        window_score: blocks_of(score),
        window_owners: owners as u64,
        window_blocks: blocks as u64,
        recent: day.of_all().form(next.hashes),
        next_block_satoshis: next.satoshis,
        hashes_per_bitcoin_block: next.hashes,
    })
}

/// What is known of an owner. `value` is that of the newest template, if there is one.
pub async fn account(
    source: &dyn ChainSource,
    (ledger, day): (&Ledger, &Mutex<Day>),
    owner: Owner,
    value: Option<NextValue>,
    page: CreditsPage,
) -> Result<AccountForm, ReadError> {
    let paid: PaidForm = payments::paid(ledger, source, owner).await?;
    let (seen, worked) = look(source, day, owner, value, page).await?;
    let Seen { params, height, next, ranking, due } = seen;
    let own = worked.own.form(next.hashes);
    let (score, total) = (score_in(&ranking, &owner), total_of(&ranking));
    let place = ranking.iter().position(|(other, _)| *other == owner);
    // Who finds blocks is told from the work of the last day.
    let standing = Standing {
        owner,
        score: score_in(&due, &owner),
        window: total_of(&due),
        height: next.height,
        value: next.satoshis,
        blocks_per_day: own.bitcoin_blocks_per_day,
        pool_blocks_per_day: worked.all.form(next.hashes).bitcoin_blocks_per_day,
    };
    let told = expected(&params, &standing);
    let expected = ExpectedForm {
        block_satoshis: next.satoshis,
        next_block_satoshis: told.next_block,
        satoshis_per_day: satoshis(told.per_day),
        fair_satoshis_per_day: satoshis(told.fair_per_day),
    };
    let (credits, next_before) = match worked.credits {
        Some(credits) => credits,
        None => older_credits(source, owner, page, height).await?,
    };
    Ok(AccountForm {
        owner: OwnerForm::new(&owner, params.network),
        height: height.0,
        window_score: blocks_of(score),
        window_part: part(score, total),
        window_rank: place.map(|place| place as u64 + 1),
        recent: own,
        expected,
        paid,
        credits,
        next_before,
    })
}

/// What a day tells of an owner.
struct OfDay {
    own: Recent,
    all: Recent,
    /// None where the page begins before the day.
    credits: Option<Credits>,
}

/// Asks the chain once, with what the day has not seen yet. Nobody else has the day meanwhile.
async fn look(
    source: &dyn ChainSource,
    day: &Mutex<Day>,
    owner: Owner,
    value: Option<NextValue>,
    page: CreditsPage,
) -> Result<(Seen, OfDay), ReadError> {
    let mut day = day.lock().await;
    let known = day.tip();
    let (news, seen) = ask(source, move |reader| {
        let seen = Seen::of(reader, value)?;
        Ok((News::since(reader.chain, known), seen))
    })
    .await?;
    day.take(news);
    let credits = credits_of(&day, &owner, page, seen.height);
    Ok((seen, OfDay { own: day.of(&owner), all: day.of_all(), credits }))
}

/// What the chain is asked for an account. The rest is worked out where nothing waits for it.
struct Seen {
    params: ChainParams,
    height: Height,
    next: Next,
    /// At the tip.
    ranking: Ranking,
    /// What the next Bitcoin block is paid by.
    due: Ranking,
}

impl Seen {
    fn of(reader: &mut Reader<'_>, value: Option<NextValue>) -> Result<Self, ReadError> {
        let next = Next::of(reader, value)?;
        let chain = &mut reader.chain;
        let tip = chain.tip();
        Ok(Self {
            ranking: chain.ranking(&tip).unwrap_or_default(),
            due: chain.ranking_due_next(next.height).unwrap_or_default(),
            params: chain.params().clone(),
            height: chain.height(),
            next,
        })
    }
}

/// The next Bitcoin block, as far as expectations need it.
struct Next {
    height: BitcoinHeight,
    satoshis: u64,
    /// Hashes that it takes, on average.
    hashes: f64,
}

impl Next {
    fn of(reader: &Reader<'_>, value: Option<NextValue>) -> Result<Self, ReadError> {
        let header = next_header(reader)?;
        let height = BitcoinHeight(reader.chain.headers().best().height.0.saturating_add(1));
        let subsidy = reader.chain.params().subsidy(height);
        let satoshis = value.filter(|value| value.height == height).map_or(subsidy, |value| value.satoshis);
        let target = Target::from_compact(header.bits).unwrap_or(Target::MAX);
        Ok(Self { height, satoshis, hashes: hashes::of_target(target) })
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

/// Credits, and where the next page begins.
type Credits = (Vec<CreditForm>, Option<u32>);

impl CreditsPage {
    /// The height that it begins at in a chain of this height.
    fn top(self, height: Height) -> u32 {
        self.before.map_or(height.0, |before| height.0.min(before.saturating_sub(1)))
    }

    fn count(self) -> usize {
        self.count.clamp(1, MAX_CREDITS) as usize
    }
}

/// The credits of a page that begins within the day.
fn credits_of(day: &Day, owner: &Owner, page: CreditsPage, height: Height) -> Option<Credits> {
    let top = page.top(height);
    day.down_from(top).next().filter(|newest| newest.height == top)?;
    Some(page_of(day.down_from(top).take(MAX_CREDIT_BLOCKS as usize), owner, page.count()))
}

/// Those of one that begins before it.
async fn older_credits(
    source: &dyn ChainSource,
    owner: Owner,
    page: CreditsPage,
    height: Height,
) -> Result<Credits, ReadError> {
    let top = page.top(height);
    let older = ask(source, move |reader| {
        let down = (1..=top).rev().map_while(|height| reader.chain.block_at(Height(height)));
        Ok(down.take(MAX_CREDIT_BLOCKS as usize).map(Credited::new).collect::<Vec<_>>())
    })
    .await?;
    Ok(page_of(older.iter(), &owner, page.count()))
}

/// What of these blocks, newest first, credits the owner. Below them there may be more.
fn page_of<'b>(blocks: impl Iterator<Item = &'b Credited>, owner: &Owner, count: usize) -> Credits {
    let (mut credits, mut lowest) = (Vec::new(), None);
    for block in blocks {
        if credits.len() == count {
            break;
        }
        credits.extend(block.to(owner));
        lowest = Some(block.height);
    }
    // Where there was none at all, all below is pruned too.
    (credits, lowest.filter(|lowest| *lowest > 1))
}
