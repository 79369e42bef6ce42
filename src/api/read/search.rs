//! The search for the Bitcoin blocks that the pool has found: shares whose hash the Bitcoin chain has as a block, and what
//! this node's own miners submitted.
//!
//! The share chain marks none of them, so they are looked for once: in each share block, the block that followed the one
//! it builds on. What was found is kept in the ledger of the history, with its coinbase, since what that follows from is
//! pruned in time. One task owns all of this; others see snapshots of the ledger ([`LedgerView`]).

use super::coinbase_of;
use crate::api::source::{ChainSource, ReadError, ask};
use crate::chain::Reader;
use crate::history::keeper::{HistoryHandle, NoHistory};
use crate::history::ledger::{FoundBlock, Kind, Ledger, Output};
use bitcoin::consensus::encode::deserialize;
use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Transaction, Txid};
use sharechain::owner::Owner;
use sharechain::share::{Share, ShareId};
use sharechain::store::Solution;
use sharechain::units::{BitcoinHeight, Height};
use std::sync::Arc;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};

/// Share blocks in one question, so that a running node is not held up.
const BLOCKS_AT_ONCE: u32 = 512;
/// Share blocks that are looked at again: Bitcoin's header may come after them, and branches change. Fewer than are looked
/// at in one question.
const AGAIN: u32 = 240;

/// What others see of the ledger.
#[derive(Clone, Debug, Default)]
pub enum Shown {
    /// Nothing yet: it is being read, or blocks are being looked for for the first time.
    #[default]
    Nothing,
    /// It, as it was when something in it changed last.
    Ledger(Arc<Ledger>),
    /// What an earlier run left cannot be read.
    Unreadable(Arc<ReadError>),
}

/// Sees the ledger as it changes, and changes nothing in it.
pub type LedgerView = watch::Receiver<Shown>;

/// The ledger, and how far Bitcoin blocks have been looked for.
///
/// What it is told may be given up at any moment, and nothing is lost by that: what is heard of is in the ledger before
/// anything is waited for.
#[derive(Debug, Default)]
pub struct FoundBlocks {
    ledger: Ledger,
    shown: watch::Sender<Shown>,
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

    /// What others may see.
    pub fn view(&self) -> LedgerView {
        self.shown.subscribe()
    }

    /// The ledger as it is now.
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Looks for what has been found since the last time, saves it and shows it: what is shown is on the disk, if that
    /// takes it.
    pub async fn catch_up(&mut self, source: &dyn ChainSource) -> Result<(), ReadError> {
        self.load().await?;
        self.hear();
        let found = self.search(source).await;
        self.save().await;
        self.show();
        found
    }

    /// Notes that miners of these owners have worked here, at this time in seconds since 1970. It is saved with what is found
    /// next.
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
            let ledger = history.ledger().await.map_err(|error| match error {
                NoHistory::Closed => ReadError::Stopping,
                NoHistory::Unreadable(why) => ReadError::Ledger(why),
            });
            match ledger {
                Ok(ledger) => self.ledger = ledger,
                Err(error) => {
                    self.shown.send_replace(Shown::Unreadable(Arc::new(error.clone())));
                    return Err(error);
                }
            }
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

    fn show(&self) {
        let edition = self.ledger.edition();
        if !matches!(&*self.shown.borrow(), Shown::Ledger(shown) if shown.edition() == edition) {
            self.shown.send_replace(Shown::Ledger(Arc::new(self.ledger.snapshot())));
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
        let mut next = 1;
        loop {
            let looked = self.looked;
            let step = ask(source, move |reader| Ok(Step::after(looked, next, reader))).await?;
            for hit in step.hits {
                let key = (hit.height, hash_of(hit.share));
                if self.ledger.blocks().contains_key(&key) {
                    continue;
                }
                if let Some(block) = ask(source, move |reader| read_found(reader, &hit)).await? {
                    self.ledger.keep(key, block);
                }
            }
            (self.looked, next) = (step.looked, step.next);
            if step.is_last {
                return Ok(());
            }
        }
    }
}

/// A part of the active branch that was looked at.
struct Step {
    hits: Vec<Hit>,
    /// Up to which block nothing needs to be looked at again, on this branch.
    looked: Option<(Height, ShareId)>,
    /// Where to go on if there is no such block: where a chain has a gap.
    next: u32,
    is_last: bool,
}

/// A share that is a block of the best Bitcoin chain.
struct Hit {
    height: BitcoinHeight,
    share: ShareId,
    /// The share block that credits it.
    credited_by: ShareId,
}

impl Step {
    /// The next one, from the height `next` if no block is known up to which all has been looked at. After a switch to a branch
    /// that begins below what was looked at, all is looked at again.
    fn after(looked: Option<(Height, ShareId)>, next: u32, reader: &Reader<'_>) -> Self {
        let chain = &reader.chain;
        let at = |height: u32| chain.block_at(Height(height)).map(|block| (block.height, block.id));
        let from = match looked {
            None => next,
            Some(looked) if at(looked.0.0) == Some(looked) => looked.0.0.saturating_add(1),
            Some(_) => 1,
        };
        let top = chain.height().0;
        let lowest = top.saturating_sub(chain.params().kept_blocks()).max(1);
        let first = from.max(lowest);
        let up_to = top.min(first.saturating_add(BLOCKS_AT_ONCE - 1));
        Self {
            hits: hits(reader, first..=up_to),
            looked: at(up_to.min(top.saturating_sub(AGAIN))),
            next: up_to.saturating_add(1),
            is_last: up_to >= top,
        }
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

/// A share and the Bitcoin block that it may be have one hash.
pub(super) fn id_of(hash: BlockHash) -> ShareId {
    ShareId(hash.to_byte_array())
}

fn hash_of(id: ShareId) -> BlockHash {
    BlockHash::from_byte_array(id.0)
}

/// The shares credited at these heights that are blocks of the best Bitcoin chain.
fn hits(reader: &Reader<'_>, heights: std::ops::RangeInclusive<u32>) -> Vec<Hit> {
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
            let next = next.filter(|(_, id)| block.credited.contains(id));
            hits.extend(next.map(|(height, share)| Hit { height, share, credited_by: block.id }));
        }
    }
    hits
}

/// A share that is a Bitcoin block, with the coinbase that it had.
fn read_found(reader: &mut Reader<'_>, hit: &Hit) -> Result<Option<FoundBlock>, ReadError> {
    let Some(share) = reader.credited(&hit.credited_by, &hit.share)? else { return Ok(None) };
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
