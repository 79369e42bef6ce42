//! The Bitcoin blocks that the pool has found: shares whose hash the Bitcoin chain has as a block, and what this node's own
//! miners submitted.
//!
//! The share chain marks none of them, so they are looked for once: in each share block, the block that followed the one
//! it builds on. What was found is kept in the ledger of the history, with its coinbase, since what that follows from is
//! pruned in time. What they pay to whom is told in [`super::payments`].

use super::coinbase_of;
use super::payments::Standings;
use crate::address::address_of;
use crate::api::form::{AnyBytes, FoundBlockForm, FoundForm, OutputForm, OutputKind, OwnerForm, Text};
use crate::api::source::{ChainSource, ReadError, ask};
use crate::chain::Reader;
use crate::history::keeper::{HistoryHandle, NoHistory};
use crate::history::ledger::{FoundBlock, Kind, Ledger, Output};
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script, Transaction, Txid};
use sharechain::owner::Owner;
use sharechain::params::Network;
use sharechain::share::{Share, ShareId};
use sharechain::store::Solution;
use sharechain::units::{BitcoinHeight, Height};
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;

/// Most Bitcoin blocks in one answer.
pub const MAX_FOUND_PAGE: u32 = 50;
/// Share blocks in one question, so that a running node is not held up.
const BLOCKS_AT_ONCE: u32 = 512;
/// Share blocks that are looked at again: Bitcoin's header may come after them, and branches change.
const AGAIN: u32 = 240;

/// The Bitcoin blocks found so far, as far as they have been looked for.
///
/// A question may be given up at any moment, and nothing is lost by that: what is heard of is in the ledger before anything
/// is waited for.
#[derive(Debug, Default)]
pub struct FoundBlocks {
    pub(super) ledger: Ledger,
    /// Where the ledger is kept; none where there is no history.
    history: Option<HistoryHandle>,
    /// Whether what an earlier run left there has been read.
    loaded: bool,
    /// All share blocks up to this one have been looked at.
    looked: Option<(Height, ShareId)>,
    /// Whether those that the store keeps have been read.
    stored: bool,
    news: Option<broadcast::Receiver<Arc<Solution>>>,
}

impl FoundBlocks {
    /// None yet; `news` tells of those that this node's miners find from now on.
    pub fn new(news: Option<broadcast::Receiver<Arc<Solution>>>, history: Option<HistoryHandle>) -> Self {
        Self { news, history, ..Self::default() }
    }

    /// Looks for what has been found since the last time, and saves it.
    pub async fn catch_up(&mut self, source: &dyn ChainSource) -> Result<(), ReadError> {
        self.load().await?;
        self.hear();
        let found = self.search(source).await;
        self.save().await;
        found
    }

    /// Notes that miners of these owners have worked here, at this time in seconds since 1970.
    pub async fn worked(
        &mut self,
        owners: impl IntoIterator<Item = Owner>,
        time: u64,
    ) -> Result<(), ReadError> {
        self.load().await?;
        owners.into_iter().for_each(|owner| self.ledger.worked(owner, time));
        Ok(())
    }

    /// Nothing is noted before this: what an earlier run kept would be written over by what can still be found.
    async fn load(&mut self) -> Result<(), ReadError> {
        if self.loaded {
            return Ok(());
        }
        if let Some(history) = &self.history {
            self.ledger = history.ledger().await.map_err(|error| match error {
                NoHistory::Closed => ReadError::Stopping,
                NoHistory::Unreadable(why) => ReadError::Store(why),
            })?;
        }
        self.loaded = true;
        Ok(())
    }

    async fn save(&mut self) {
        let Some(history) = self.history.as_ref().filter(|_| !self.ledger.unsaved().is_empty()) else {
            return;
        };
        // What cannot be saved now is tried again; the history says why.
        if history.save_ledger(self.ledger.unsaved().clone()).await == Ok(true) {
            self.ledger.saved();
        }
    }

    /// What this node's miners have found since.
    fn hear(&mut self) {
        while let Some(heard) = self.news.as_mut().map(broadcast::Receiver::try_recv) {
            match heard {
                Ok(solution) => self.take(&solution),
                Err(TryRecvError::Lagged(_)) => self.stored = false,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn take(&mut self, solution: &Solution) {
        let commitment = &solution.share.commitment;
        let coinbase = deserialize::<Transaction>(&solution.coinbase).ok().map(|coinbase| {
            let value = coinbase.output.iter().map(|output| output.value.to_sat()).sum();
            let bonus = sharechain::payout::bonus(value, &commitment.owner);
            (coinbase.compute_txid(), outputs(&coinbase, bonus.is_some()))
        });
        let block = FoundBlock { own: true, ..found_block(&solution.share, coinbase) };
        self.ledger.keep((commitment.bitcoin_height, solution.header.block_hash()), block);
    }

    async fn search(&mut self, source: &dyn ChainSource) -> Result<(), ReadError> {
        if !self.stored {
            let solutions = ask(source, |reader| Ok(reader.solutions()?)).await?;
            solutions.iter().for_each(|solution| self.take(solution));
            self.stored = true;
        }
        self.look(source).await
    }

    async fn look(&mut self, source: &dyn ChainSource) -> Result<(), ReadError> {
        let looked = self.looked;
        let mut from = ask(source, move |reader| {
            // After a switch to a branch that begins below it, all is looked at again.
            let stays = |(height, id): &(Height, ShareId)| {
                reader.chain.block_at(*height).is_some_and(|block| block.id == *id)
            };
            Ok(looked.filter(stays).map_or(1, |(height, _)| height.0.saturating_add(1)))
        })
        .await?;
        loop {
            let known: Vec<BlockHash> = self.ledger.blocks().keys().map(|(_, hash)| *hash).collect();
            let (found, up_to, top, looked) = ask(source, move |reader| {
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
                let deep = Height(top.saturating_sub(AGAIN));
                let looked = reader.chain.block_at(deep).map(|block| (deep, block.id));
                Ok((found, up_to, top, looked))
            })
            .await?;
            for (key, block) in found {
                self.ledger.keep(key, block);
            }
            if up_to >= top {
                self.looked = looked;
                return Ok(());
            }
            from = up_to + 1;
        }
    }

    /// A page of them, newest first: those below the height `before`, if one is given.
    pub async fn page(
        &self,
        source: &dyn ChainSource,
        before: Option<u32>,
        count: u32,
    ) -> Result<FoundForm, ReadError> {
        let all = self.ledger.blocks();
        let page = Page::of(all.iter().rev(), |(key, _)| key.0, before, count.clamp(1, MAX_FOUND_PAGE));
        let standings = Standings::ask(source, page.items.iter().map(|(key, _)| **key)).await?;
        let network = standings.network;
        let forms = page.items.iter().map(|(key, block)| (key, block, standings.of(key)));
        let forms = forms.map(|(key, block, standing)| FoundBlockForm {
            bitcoin_height: key.0.0,
            hash: Text(key.1),
            share: Text(id_of(key.1)),
            time: block.time,
            finder: OwnerForm::new(&block.finder, network),
            own: block.own,
            on_best_chain: standing.on_best_chain,
            confirmations: standing.confirmations,
            state: standing.state(),
            class: block.class,
            value_satoshis: block.value,
            txid: block.txid().map(Text),
            outputs: block.outputs.iter().map(|output| output_form(output, network)).collect(),
            outputs_whole: block.whole,
        });
        Ok(FoundForm { total: all.len() as u64, blocks: forms.collect(), next_before: page.next_before })
    }
}

/// A part of a list that is sorted by height, highest first. It ends between heights, since it goes on by height: where
/// several items have one height there may be more of them than were asked for.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Where to go on; none at the end.
    pub(super) next_before: Option<u32>,
}

impl<T> Page<T> {
    pub(super) fn of(
        all: impl Iterator<Item = T>,
        height: impl Fn(&T) -> BitcoinHeight,
        before: Option<u32>,
        count: u32,
    ) -> Self {
        let mut rest =
            all.skip_while(|item| before.is_some_and(|before| height(item).0 >= before)).peekable();
        let mut items: Vec<T> = rest.by_ref().take(count as usize).collect();
        let Some(end) = items.last().map(&height) else { return Self { items, next_before: None } };
        while let Some(item) = rest.next_if(|item| height(item) == end) {
            items.push(item);
        }
        Self { items, next_before: rest.peek().map(|_| end.0) }
    }
}

fn found_block(share: &Share, coinbase: Option<(Txid, Vec<Output>)>) -> FoundBlock {
    let commitment = &share.commitment;
    let whole = coinbase.is_some();
    let (txid, outputs) = coinbase.unzip();
    FoundBlock {
        time: share.header.time,
        finder: commitment.owner,
        own: false,
        class: commitment.class,
        value: commitment.coinbase_value,
        txid: txid.map(|txid| txid.to_byte_array()),
        outputs: outputs.unwrap_or_default(),
        whole,
    }
}

pub(super) fn output_form(output: &Output, network: Network) -> OutputForm {
    let owner = Owner::new(Script::from_bytes(&output.script)).ok();
    OutputForm {
        kind: match output.kind {
            Kind::Payout => OutputKind::Payout,
            Kind::Bonus => OutputKind::Bonus,
            Kind::WitnessCommitment => OutputKind::WitnessCommitment,
            Kind::ShareCommitment => OutputKind::ShareCommitment,
        },
        satoshis: output.satoshis,
        script: AnyBytes(output.script.to_vec()),
        address: owner.map(|owner| address_of(&owner, network)),
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
    let share = found.share;
    let coinbase = reader.payouts(&share).and_then(|payouts| {
        let coinbase = coinbase_of(&share, &payouts, reader.chain.id())?;
        Some((coinbase.compute_txid(), outputs(&coinbase, payouts.bonus.is_some())))
    });
    Ok(Some(found_block(&share, coinbase)))
}

/// The outputs of a coinbase with what each is for: payouts, then the bonus, then the two commitments (protocol section 4).
pub(super) fn outputs(coinbase: &Transaction, has_bonus: bool) -> Vec<Output> {
    let paying = coinbase.output.len().saturating_sub(2);
    let outputs = coinbase.output.iter().enumerate().map(|(index, output)| {
        let kind = match index {
            _ if index + 1 == coinbase.output.len() => Kind::ShareCommitment,
            _ if index == paying => Kind::WitnessCommitment,
            _ if index + 1 == paying && has_bonus => Kind::Bonus,
            _ => Kind::Payout,
        };
        Output { kind, satoshis: output.value.to_sat(), script: output.script_pubkey.as_bytes().into() }
    });
    outputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_between_heights_and_says_where_to_go_on() {
        let all = [9, 8, 8, 8, 7, 5];
        let page = |before, count| {
            let page = Page::of(all.into_iter(), |height| BitcoinHeight(*height), before, count);
            (page.items, page.next_before)
        };
        assert_eq!(page(None, 1), (vec![9], Some(9)));
        assert_eq!(page(Some(9), 1), (vec![8, 8, 8], Some(8)));
        assert_eq!(page(None, 5), (vec![9, 8, 8, 8, 7], Some(7)));
        assert_eq!(page(Some(7), 9), (vec![5], None));
        assert_eq!(page(None, 6).1, None);
        assert_eq!(page(Some(5), 2), (vec![], None));
    }
}
