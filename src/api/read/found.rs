//! The Bitcoin blocks that the pool has found: shares whose hash the Bitcoin chain has as a block, and what this node's own
//! miners submitted.
//!
//! The share chain marks none of them, so they are looked for once: in each share block, the block that followed the one
//! it builds on. What was found is kept here, with its coinbase, since what that follows from is pruned in time.

use super::{coinbase_of, coinbase_outputs};
use crate::address::address_of;
use crate::api::form::{
    AnyBytes, FoundBlockForm, FoundForm, OutputForm, OutputKind, OwnerForm, PaidForm, PaymentForm, Text,
};
use crate::api::source::{ChainSource, ReadError, ask};
use crate::chain::Reader;
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Transaction, Txid};
use sharechain::owner::Owner;
use sharechain::params::Network;
use sharechain::share::{Share, ShareId};
use sharechain::store::Solution;
use sharechain::units::{BitcoinHeight, Height};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

/// Most Bitcoin blocks that are remembered; the oldest goes.
const MAX_FOUND: usize = 1_000;
/// Most Bitcoin blocks in one answer.
pub const MAX_FOUND_PAGE: u32 = 50;
/// Most payments in one answer.
const MAX_PAYMENTS: usize = 100;
/// Share blocks in one question, so that a running node is not held up.
const BLOCKS_AT_ONCE: u32 = 512;
/// Share blocks that are looked at again: Bitcoin's header may come after them, and branches change.
const AGAIN: u32 = 240;
/// Confirmations after which a coinbase may be spent.
const MATURITY: u32 = 100;

/// The Bitcoin blocks found so far, as far as they have been looked for.
#[derive(Default)]
pub struct FoundBlocks {
    blocks: BTreeMap<(BitcoinHeight, BlockHash), Arc<FoundBlock>>,
    /// Share blocks up to this height have been looked at.
    looked: u32,
    /// Whether those that the store keeps have been read.
    stored: bool,
    news: Option<broadcast::Receiver<Arc<Solution>>>,
}

struct FoundBlock {
    share: ShareId,
    finder: Owner,
    time: u32,
    class: u16,
    value: u64,
    own: bool,
    coinbase: Option<Coinbase>,
}

struct Coinbase {
    txid: Txid,
    outputs: Vec<OutputForm>,
}

/// Where a block stands in Bitcoin's chain.
#[derive(Clone, Copy)]
struct Standing {
    on_best_chain: bool,
    confirmations: u32,
}

impl FoundBlocks {
    /// None yet; `news` tells of those that this node's miners find from now on.
    pub fn new(news: Option<broadcast::Receiver<Arc<Solution>>>) -> Self {
        Self { news, ..Self::default() }
    }

    /// Looks for what has been found since the last time.
    pub async fn catch_up(&mut self, source: &dyn ChainSource) -> Result<(), ReadError> {
        let fresh = self.hear();
        if !self.stored {
            let solutions = ask(source, |reader| Ok(reader.solutions()?)).await?;
            self.take(source, solutions).await?;
            self.stored = true;
        }
        self.take(source, fresh).await?;
        self.look(source).await
    }

    /// What this node's miners have found since.
    fn hear(&mut self) -> Vec<Solution> {
        let mut fresh = Vec::new();
        let Some(news) = &mut self.news else { return fresh };
        loop {
            match news.try_recv() {
                Ok(solution) => fresh.push(Solution::clone(&solution)),
                Err(TryRecvError::Lagged(_)) => self.stored = false,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return fresh,
            }
        }
    }

    async fn take(&mut self, source: &dyn ChainSource, solutions: Vec<Solution>) -> Result<(), ReadError> {
        if solutions.is_empty() {
            return Ok(());
        }
        let network = ask(source, |reader| Ok(reader.chain.params().network)).await?;
        for solution in solutions {
            let hash = solution.header.block_hash();
            let commitment = &solution.share.commitment;
            let coinbase = deserialize(&solution.coinbase).ok();
            let outputs = coinbase.as_ref().map(|coinbase| Coinbase {
                txid: Transaction::compute_txid(coinbase),
                outputs: outputs_of_own(coinbase, &commitment.owner, network),
            });
            let block = FoundBlock { own: true, ..FoundBlock::new(&solution.share, id_of(hash), outputs) };
            self.keep((commitment.bitcoin_height, hash), block);
        }
        Ok(())
    }

    async fn look(&mut self, source: &dyn ChainSource) -> Result<(), ReadError> {
        let mut from = self.looked.saturating_sub(AGAIN) + 1;
        loop {
            let known: Vec<BlockHash> = self.blocks.keys().map(|(_, hash)| *hash).collect();
            let (found, up_to, top) = ask(source, move |reader| {
                let (lowest, top) = (lowest_kept(reader), reader.chain.height().0);
                let first = from.max(lowest);
                let up_to = top.min(first.saturating_add(BLOCKS_AT_ONCE - 1));
                let mut found = Vec::new();
                for (height, id) in hits(reader, first..=up_to) {
                    let is_known = known.iter().any(|hash| id_of(*hash) == id);
                    if !is_known && let Some(block) = read_found(reader, id)? {
                        found.push(((height, hash_of(id)), block));
                    }
                }
                Ok((found, up_to, top))
            })
            .await?;
            for (key, block) in found {
                self.keep(key, block);
            }
            // After a reorganisation the tip may be lower than what was looked at.
            self.looked = up_to.min(top);
            if up_to >= top {
                return Ok(());
            }
            from = up_to + 1;
        }
    }

    fn keep(&mut self, key: (BitcoinHeight, BlockHash), block: FoundBlock) {
        self.blocks.insert(key, Arc::new(block));
        if self.blocks.len() > MAX_FOUND {
            self.blocks.pop_first();
        }
    }

    /// A page of them, newest first: those below the height `before`, if one is given.
    pub async fn page(
        &self,
        source: &dyn ChainSource,
        before: Option<u32>,
        count: u32,
    ) -> Result<FoundForm, ReadError> {
        let count = count.clamp(1, MAX_FOUND_PAGE) as usize;
        let below = |key: &(BitcoinHeight, BlockHash)| before.is_none_or(|before| key.0.0 < before);
        let mut blocks: Vec<_> = self.blocks.iter().rev().filter(|(key, _)| below(key)).collect();
        // Two may have one height; a page ends between heights.
        let end = blocks.get(count.saturating_sub(1)).map(|((height, _), _)| *height);
        let cut = end.map_or(blocks.len(), |end| blocks.partition_point(|((height, _), _)| *height >= end));
        let next_before = (cut < blocks.len()).then_some(end).flatten().map(|height| height.0);
        blocks.truncate(cut);
        let (network, standings) = standings(source, blocks.iter().map(|(key, _)| **key).collect()).await?;
        let forms = blocks.iter().zip(standings);
        Ok(FoundForm {
            total: self.blocks.len() as u64,
            blocks: forms.map(|((key, block), standing)| block.form(**key, standing, network)).collect(),
            next_before,
        })
    }

    /// What they paid an owner.
    pub(super) async fn paid(&self, source: &dyn ChainSource, owner: Owner) -> Result<PaidForm, ReadError> {
        let script = AnyBytes(owner.as_bytes().to_vec());
        let paying = self.blocks.iter().rev().filter_map(|(key, block)| {
            let coinbase = block.coinbase.as_ref()?;
            let to_it = |kind| {
                let outputs = coinbase.outputs.iter();
                outputs.filter(|o| o.kind == kind && o.script == script).map(|o| o.satoshis).sum::<u64>()
            };
            let (payout, bonus) = (to_it(OutputKind::Payout), to_it(OutputKind::Bonus));
            (payout + bonus > 0).then_some((*key, block.time, coinbase.txid, payout + bonus, bonus))
        });
        let paying: Vec<_> = paying.collect();
        let keys = paying.iter().map(|(key, ..)| *key).collect();
        let (_, standings) = standings(source, keys).await?;
        let paid = paying.iter().zip(standings).filter(|(_, standing)| standing.on_best_chain);
        let mut form =
            PaidForm { satoshis: 0, immature_satoshis: 0, bitcoin_blocks: 0, payments: Vec::new() };
        for (((height, hash), time, txid, satoshis, bonus), Standing { confirmations, .. }) in paid {
            form.satoshis += satoshis;
            form.immature_satoshis += if confirmations < MATURITY { *satoshis } else { 0 };
            form.bitcoin_blocks += 1;
            if form.payments.len() < MAX_PAYMENTS {
                form.payments.push(PaymentForm {
                    bitcoin_height: height.0,
                    hash: Text(*hash),
                    txid: Text(*txid),
                    time: *time,
                    satoshis: *satoshis,
                    bonus_satoshis: *bonus,
                    confirmations,
                });
            }
        }
        Ok(form)
    }
}

impl FoundBlock {
    fn new(share: &Share, id: ShareId, coinbase: Option<Coinbase>) -> Self {
        let commitment = &share.commitment;
        Self {
            share: id,
            finder: commitment.owner,
            time: share.header.time,
            class: commitment.class,
            value: commitment.coinbase_value,
            own: false,
            coinbase,
        }
    }

    fn form(
        &self,
        (height, hash): (BitcoinHeight, BlockHash),
        standing: Standing,
        network: Network,
    ) -> FoundBlockForm {
        let coinbase = self.coinbase.as_ref();
        FoundBlockForm {
            bitcoin_height: height.0,
            hash: Text(hash),
            share: Text(self.share),
            time: self.time,
            finder: OwnerForm::new(&self.finder, network),
            own: self.own,
            on_best_chain: standing.on_best_chain,
            confirmations: standing.confirmations,
            class: self.class,
            value_satoshis: self.value,
            txid: coinbase.map(|coinbase| Text(coinbase.txid)),
            outputs: coinbase.map(|coinbase| coinbase.outputs.clone()).unwrap_or_default(),
        }
    }
}

/// A share and the Bitcoin block that it may be have one hash.
fn id_of(hash: BlockHash) -> ShareId {
    ShareId(hash.to_byte_array())
}

fn hash_of(id: ShareId) -> BlockHash {
    BlockHash::from_byte_array(id.0)
}

fn lowest_kept(reader: &Reader<'_>) -> u32 {
    reader.chain.height().0.saturating_sub(reader.chain.params().kept_blocks()).max(1)
}

/// The shares credited at these heights that are blocks of the best Bitcoin chain, with their Bitcoin heights.
fn hits(reader: &Reader<'_>, heights: std::ops::RangeInclusive<u32>) -> Vec<(BitcoinHeight, ShareId)> {
    let (chain, headers) = (&reader.chain, reader.chain.headers());
    let follower = |prev: &BlockHash| {
        let height = BitcoinHeight(headers.get(prev)?.height.0.saturating_add(1));
        let next = headers.on_best_chain(height)?;
        (next.header.prev_blockhash == *prev).then(|| (height, id_of(next.hash)))
    };
    let mut hits = Vec::new();
    // Many share blocks in a row build on one Bitcoin block.
    let mut last: Option<(BlockHash, Option<(BitcoinHeight, ShareId)>)> = None;
    for block in heights.filter_map(|height| chain.block_at(Height(height))) {
        for prev in block.bitcoin_blocks() {
            let next = match last {
                Some((known, next)) if known == prev => next,
                _ => follower(&prev),
            };
            last = Some((prev, next));
            hits.extend(next.filter(|(_, id)| block.credited.contains(id)));
        }
    }
    hits
}

/// A share that is a Bitcoin block, with the coinbase that it had.
fn read_found(reader: &mut Reader<'_>, id: ShareId) -> Result<Option<FoundBlock>, ReadError> {
    let Some(found) = reader.share(&id)? else { return Ok(None) };
    let (share, network) = (found.share, reader.chain.params().network);
    let coinbase = reader.payouts(&share).and_then(|payouts| {
        let coinbase = coinbase_of(&share, &payouts, reader.chain.id())?;
        let txid = coinbase.compute_txid();
        Some(Coinbase { txid, outputs: coinbase_outputs(&coinbase, &payouts, network) })
    });
    Ok(Some(FoundBlock::new(&share, id, coinbase)))
}

/// The outputs of a coinbase that is kept whole: payouts, the bonus last of those that pay, then the two commitments.
fn outputs_of_own(coinbase: &Transaction, finder: &Owner, network: Network) -> Vec<OutputForm> {
    let value: u64 = coinbase.output.iter().map(|output| output.value.to_sat()).sum();
    let paying = coinbase.output.len().saturating_sub(2);
    let has_bonus = sharechain::payout::bonus(value, finder).is_some();
    let outputs = coinbase.output.iter().enumerate().map(|(index, output)| {
        let kind = match index {
            _ if index + 1 == coinbase.output.len() => OutputKind::ShareCommitment,
            _ if index == paying => OutputKind::WitnessCommitment,
            _ if index + 1 == paying && has_bonus => OutputKind::Bonus,
            _ => OutputKind::Payout,
        };
        let owner = Owner::new(&output.script_pubkey).ok();
        OutputForm {
            kind,
            satoshis: output.value.to_sat(),
            script: AnyBytes(output.script_pubkey.to_bytes()),
            address: owner.map(|owner| address_of(&owner, network)),
        }
    });
    outputs.collect()
}

/// Where these blocks stand now, in the same order, and on which network.
async fn standings(
    source: &dyn ChainSource,
    keys: Vec<(BitcoinHeight, BlockHash)>,
) -> Result<(Network, Vec<Standing>), ReadError> {
    ask(source, move |reader| {
        let headers = reader.chain.headers();
        let best = headers.best().height.0;
        let standing = |(height, hash): &(BitcoinHeight, BlockHash)| {
            let on_best_chain = headers.on_best_chain(*height).is_some_and(|header| header.hash == *hash);
            let depth = best.saturating_sub(height.0).saturating_add(1);
            Standing { on_best_chain, confirmations: if on_best_chain { depth } else { 0 } }
        };
        Ok((reader.chain.params().network, keys.iter().map(standing).collect()))
    })
    .await
}
