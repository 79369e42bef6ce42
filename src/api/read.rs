//! The questions that can be asked about a chain, each answered in its form.

pub mod account;
pub mod day;
pub mod found;
mod page;
pub mod payments;
pub mod search;
pub mod signals;

use super::form::{
    AnyBytes, BitcoinForm, Bits, BlockLine, BlocksForm, OutputForm, OutputKind, OwnerForm, PartForm,
    PayoutsForm, PlaceForm, ShareForm, ShownForm, Text, TipForm, WindowForm, blocks_of,
};
use super::source::{ChainSource, ReadError, ask};
use crate::address::address_of;
use crate::chain::read::{FoundShare, SharePlace, ShareSearch};
use crate::chain::{self, Reader};
use bitcoin::block::Version;
use bitcoin::{BlockHash, Transaction};
use sharechain::chain::{BlockSummary, Ranking, pays};
use sharechain::coinbase::{self, CoinbaseInputs};
use sharechain::owner::Owner;
use sharechain::params::{ChainId, ChainParams, Network};
use sharechain::payout::{self, Payouts, Selection};
use sharechain::share::{Share, ShareHeader, ShareId};
use sharechain::units::{BitcoinHeight, Height, Score};
use std::ops::ControlFlow;

/// Most blocks in one answer, and as many of other branches.
pub const MAX_BLOCKS: u32 = 1_000;
/// Most owners of the reward window in one answer.
pub const MAX_OWNERS: usize = 10_000;

/// The network whose addresses owners have.
pub(super) async fn network(source: &dyn ChainSource) -> Result<Network, ReadError> {
    ask(source, |reader| Ok(reader.chain.params().network)).await
}

/// The state of the chain.
pub async fn tip(source: &dyn ChainSource) -> Result<TipForm, ReadError> {
    ask(source, |reader| {
        let id = reader.chain.tip();
        let window = reader.chain.window(&id).map(|window| (window.total(), window.owners()));
        let (score, owners) = window.unwrap_or_default();
        let chain = &reader.chain;
        let best = chain.headers().best();
        Ok(TipForm {
            chain_id: Text(chain.id().as_block()),
            name: chain.params().name.clone(),
            network: chain.params().network.name().to_owned(),
            tip: chain.block(&id).map(|block| block_line(block, chain.params().network)),
            blocks: chain.len() as u64,
            shares: chain.shares().len() as u64,
            waiting: chain.waiting().len() as u64,
            window: WindowForm { score: blocks_of(score), owners: owners as u64 },
            bitcoin: BitcoinForm { height: best.height.0, hash: Text(best.hash) },
        })
    })
    .await
}

/// Blocks of the active branch, lowest first: at most `count` (and [`MAX_BLOCKS`]) from the height `from` up, or the newest;
/// and beside them those of other branches.
pub async fn blocks(
    source: &dyn ChainSource,
    from: Option<u32>,
    count: u32,
) -> Result<BlocksForm, ReadError> {
    let count = count.min(MAX_BLOCKS);
    ask(source, move |reader| {
        let (chain, network) = (&reader.chain, reader.chain.params().network);
        let top = chain.height().0;
        let first = from.unwrap_or((top + 1).saturating_sub(count)).max(1);
        let heights = first..=top.min(first.saturating_add(count).saturating_sub(1));
        let line = |block: &BlockSummary| block_line(block, network);
        let active = heights.clone().filter_map(|height| chain.block_at(Height(height)));
        let others = heights.flat_map(|height| chain.beside(Height(height))).take(MAX_BLOCKS as usize);
        Ok(BlocksForm { blocks: active.map(line).collect(), other_branches: others.map(line).collect() })
    })
    .await
}

/// The share with this id: a block of any branch, a listed share of the active branch, or one that is not listed yet. It is
/// looked for in short questions, since millions may have to be compared.
pub async fn find_share(source: &dyn ChainSource, id: ShareId) -> Result<FoundShare, ReadError> {
    let place = find_place(source, id).await?;
    ask(source, move |reader| reader.share_at(place, &id)?.ok_or(ReadError::UnknownShare(id))).await
}

async fn find_place(source: &dyn ChainSource, id: ShareId) -> Result<SharePlace, ReadError> {
    let mut search = ShareSearch::of(id);
    loop {
        match ask(source, move |reader| Ok(search.step(reader.chain))).await? {
            ControlFlow::Continue(further) => search = further,
            ControlFlow::Break(place) => return place.ok_or(ReadError::UnknownShare(id)),
        }
    }
}

/// A share or share block, and where it stands.
pub async fn show(source: &dyn ChainSource, id: ShareId) -> Result<ShownForm, ReadError> {
    let place = find_place(source, id).await?;
    ask(source, move |reader| {
        let network = reader.chain.params().network;
        let found = reader.share_at(place, &id)?.ok_or(ReadError::UnknownShare(id))?;
        let active = |block: &ShareId| reader.chain.is_active(block);
        let place = match found.credited_by {
            Some((height, block)) if block == id => {
                PlaceForm::Block { height: height.0, active: active(&block) }
            }
            Some((height, block)) => {
                PlaceForm::Listed { height: height.0, by: Text(block), active: active(&block) }
            }
            None => PlaceForm::Unlisted,
        };
        let chain_id = reader.chain.id();
        let listed = reader.chain.block(&id).map(BlockSummary::listed).unwrap_or_default();
        Ok(ShownForm {
            place,
            owner: OwnerForm::new(&found.share.commitment.owner, network),
            share: ShareForm::new(&found.share, chain_id),
            listed: listed.iter().copied().map(Text).collect(),
        })
    })
    .await
}

/// Which of the owners of a reward window are told of.
#[derive(Clone, Copy, Debug)]
pub struct OwnersPage {
    /// How many with larger scores are left out.
    pub from: usize,
    /// How many at most; see [`MAX_OWNERS`].
    pub count: usize,
}

impl OwnersPage {
    /// As many as there may be.
    pub const ALL: Self = Self { from: 0, count: MAX_OWNERS };
}

/// What the coinbase of a share pays, output by output, and the scores that it is shared out by.
pub async fn payouts_of_share(
    source: &dyn ChainSource,
    id: ShareId,
    page: OwnersPage,
) -> Result<PayoutsForm, ReadError> {
    let share = find_share(source, id).await?.share;
    ask(source, move |reader| {
        let network = reader.chain.params().network;
        let payouts = reader.payouts(&share).ok_or(ReadError::Pruned(id))?;
        let ranking = reader.chain.ranking_due(&share).unwrap_or_default();
        let coinbase =
            coinbase_of(&share, &payouts, reader.chain.id()).ok_or(ReadError::OtherCoinbase(id))?;
        let commitment = &share.commitment;
        Ok(PayoutsForm {
            share: Some(Text(id)),
            bitcoin_height: commitment.bitcoin_height.0,
            prev_block: Text(share.header.prev_block),
            class: commitment.class,
            value: commitment.coinbase_value,
            finder: Some(OwnerForm::new(&commitment.owner, network)),
            bonus: payouts.bonus.map_or(0, |(_, satoshis)| satoshis),
            txid: Some(Text(coinbase.compute_txid())),
            outputs: coinbase_outputs(&coinbase, &payouts, network),
            owners_total: ranking.len() as u64,
            owners: parts(&ranking, page, network),
        })
    })
    .await
}

/// What the next Bitcoin block would pay if it were found now, without fees, in a payout class (the smallest if none is named).
pub async fn payouts_now(
    source: &dyn ChainSource,
    class: Option<u16>,
    page: OwnersPage,
) -> Result<PayoutsForm, ReadError> {
    let next = ask(source, move |reader| NextBlock::of(reader, class)).await?;
    // Thousands of addresses may be written here, for which the chain need not stand still.
    let value = next.params.subsidy(next.height);
    // The finder is not known; who it is changes nothing for the others as long as the bonus is no dust.
    let someone = next.selection.entries().first().map(|(owner, _)| *owner);
    let payouts = someone.map(|owner| payout::split(&next.selection, value, owner));
    // With an empty reward window all goes to the finder.
    let bonus = payouts.as_ref().map_or(value, |payouts| payouts.bonus.map_or(0, |(_, satoshis)| satoshis));
    let network = next.params.network;
    let outputs = payouts.unwrap_or_default().outputs;
    Ok(PayoutsForm {
        share: None,
        bitcoin_height: next.height.0,
        prev_block: Text(next.prev_block),
        class: next.selection.class(),
        value,
        finder: None,
        bonus,
        txid: None,
        outputs: outputs.iter().map(|paid| payout_output(paid, network)).collect(),
        owners_total: next.ranking.len() as u64,
        owners: parts(&next.ranking, page, network),
    })
}

/// What is due to whom in the next Bitcoin block.
struct NextBlock {
    params: ChainParams,
    height: BitcoinHeight,
    prev_block: BlockHash,
    selection: Selection,
    /// At the tip, which is newer than what the next block is paid by.
    ranking: Ranking,
}

impl NextBlock {
    fn of(reader: &mut Reader<'_>, class: Option<u16>) -> Result<Self, ReadError> {
        let params = reader.chain.params().clone();
        let known = &params.classes;
        let class = class.or(known.first().copied()).unwrap_or_default();
        let unknown = || ReadError::Class { given: class, known: known.clone() };
        let index = known.iter().position(|known| *known == class).ok_or_else(unknown)?;
        let header = next_header(reader)?;
        let draft =
            reader.chain.draft(&header, chain::now()).map_err(|e| ReadError::NextBlock(e.to_string()))?;
        let selection = draft.selections.get(index).cloned().ok_or_else(unknown)?;
        let tip = reader.chain.tip();
        let ranking = reader.chain.ranking(&tip).unwrap_or_default();
        let (height, prev_block) = (draft.context.height, header.prev_block);
        Ok(Self { params, height, prev_block, selection, ranking })
    }
}

fn block_line(block: &BlockSummary, network: Network) -> BlockLine {
    BlockLine {
        height: block.height.0,
        id: Text(block.id),
        parent: Text(block.parent),
        time: block.time.0,
        bits: Bits(block.bits),
        owner: OwnerForm::new(&block.credits.lister, network),
        listed: block.credits.listed.len() as u64,
        score: blocks_of(block.credits.total()),
        bitcoin_height: block.bitcoin_height.0,
        prev_block: Text(block.prev_block),
    }
}

/// The whole coinbase of a share that these payouts are due for; none if they are not, for then they are another's.
fn coinbase_of(share: &Share, payouts: &Payouts, chain: ChainId) -> Option<Transaction> {
    if !pays(share, payouts) {
        return None;
    }
    let commitment = &share.commitment;
    let prefix = coinbase::prefix(&CoinbaseInputs {
        bitcoin_height: commitment.bitcoin_height,
        tag: &commitment.tag,
        witness_commitment: &commitment.witness_commitment,
        payouts,
    });
    let bytes =
        coinbase::serialize(&prefix, &commitment.hash(chain), &share.extranonce, commitment.locktime());
    coinbase::with_witness(&bytes).ok()
}

/// The outputs with what each is for.
fn coinbase_outputs(coinbase: &Transaction, payouts: &Payouts, network: Network) -> Vec<OutputForm> {
    let outputs = search::outputs(coinbase, payouts.bonus.is_some());
    outputs.iter().map(|output| found::output_form(output, network)).collect()
}

fn payout_output((owner, satoshis): &(Owner, u64), network: Network) -> OutputForm {
    OutputForm {
        kind: OutputKind::Payout,
        satoshis: *satoshis,
        script: AnyBytes(owner.as_bytes().to_vec()),
        address: Some(address_of(owner, network)),
    }
}

/// A header that a miner could work on now, on the best Bitcoin block known.
fn next_header(reader: &Reader<'_>) -> Result<ShareHeader, ReadError> {
    let headers = reader.chain.headers();
    let prev_block = headers.best().hash;
    let wrong = |error: sharechain::bitcoin_headers::ContextError| ReadError::NextBlock(error.to_string());
    let time = chain::now().0.max(headers.earliest_time(&prev_block).map_err(wrong)?);
    let target = headers.required_bits(&prev_block, time).map_err(wrong)?;
    Ok(ShareHeader {
        version: Version::from_consensus(0x2000_0000),
        prev_block,
        time,
        bits: target.to_compact(),
        nonce: 0,
    })
}

fn parts(ranking: &Ranking, page: OwnersPage, network: Network) -> Vec<PartForm> {
    let total: Score = ranking.iter().map(|(_, score)| *score).sum();
    let parts =
        ranking.iter().skip(page.from).take(page.count.min(MAX_OWNERS)).map(|(owner, score)| PartForm {
            owner: OwnerForm::new(owner, network),
            score: blocks_of(*score),
            part: blocks_of(*score) / blocks_of(total),
        });
    parts.collect()
}
