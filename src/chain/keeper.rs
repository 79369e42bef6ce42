//! The share chain with its store: judge, save, apply, in this order. No thread and no clock: the writer's thread wraps
//! it, and the simulator runs it as it is.

use super::{ChainEvent, ChainState, Extended, HeadersTaken, Taken};
use bitcoin::block::Header;
use sharechain::bitcoin_headers::HeaderError;
use sharechain::chain::{
    Draft, DraftError, GraftClaim, GraftError, NotAdopted, ShareChain, Step, Submission,
};
use sharechain::error::{Missing, Refusal};
use sharechain::params::MAX_HEADER_TIME_AHEAD;
use sharechain::pool::Source;
use sharechain::share::{Share, ShareHeader, ShareId};
use sharechain::store::{ShareStore, Solution};
use sharechain::units::{Height, UnixTime};
use sharechain::verify::Bound;
use std::collections::VecDeque;
use std::sync::Arc;

/// Wanted blocks that are written before they are flushed to the disk together.
pub const BLOCKS_PER_FLUSH: u32 = 256;

/// Owns a chain and its store, and keeps the one from running ahead of the other.
pub struct Keeper<S> {
    chain: ShareChain,
    store: S,
    unflushed: u32,
}

/// A submission whose verdict is known and whose consequences are still to be saved: by [`Keeper::finish`], before
/// anything else is asked of the keeper.
#[derive(Debug)]
#[must_use = "what was judged valid must be saved and applied"]
pub struct Judged {
    /// The share's id.
    pub id: ShareId,
    /// Who sent it.
    pub source: Source,
    /// Whether it answers a question of this node's own sync.
    pub wanted: bool,
    /// What it does, or why it does nothing.
    pub verdict: Result<Taken, Refusal>,
    step: Option<Step>,
    events: Vec<ChainEvent>,
}

/// What saving and applying did.
#[derive(Debug, Default)]
pub struct Finished {
    /// What happened.
    pub events: Vec<ChainEvent>,
    /// What waited for it and is to be judged now.
    pub released: Vec<Submission>,
}

impl<S: ShareStore> Keeper<S> {
    /// Keeps this chain, which was loaded from this store.
    pub const fn new(chain: ShareChain, store: S) -> Self {
        Self { chain, store, unflushed: 0 }
    }

    /// The chain.
    pub const fn chain(&self) -> &ShareChain {
        &self.chain
    }

    /// The chain, for questions that work something out. Nothing that changes it may be called.
    pub const fn chain_mut(&mut self) -> &mut ShareChain {
        &mut self.chain
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    pub(super) const fn parts(&mut self) -> (&mut ShareChain, &S) {
        (&mut self.chain, &self.store)
    }

    /// Where the chain stands, after `shares` shares.
    pub fn state(&self, shares: u64) -> ChainState {
        ChainState {
            tip: self.chain.tip(),
            height: self.chain.height(),
            shares,
            easiest_share: self.chain.easiest_share(),
        }
    }

    /// The verdict on a submission, which waits in the chain if something is missing. Nothing is saved yet.
    pub fn judge(&mut self, submission: Submission, now: UnixTime) -> Judged {
        let (id, source, wanted) = (submission.share.id(), submission.source, submission.wanted);
        let mut events = Vec::new();
        let (verdict, step) = match self.chain.judge(&submission, now) {
            Ok(step) => (Ok(taken(&step)), Some(step)),
            Err(refusal) => (Err(refusal), None),
        };
        let refusal = match &verdict {
            Ok(taken) => taken.not_a_block.as_ref(),
            Err(refusal) => Some(refusal),
        };
        if let Some(Refusal::Waits(missing)) = refusal {
            if let Missing::PrevBlock(hash) = missing {
                events.push(ChainEvent::HeaderWanted(*hash));
            }
            self.chain.hold(submission, missing.clone());
        }
        Judged { id, source, wanted, verdict, step, events }
    }

    /// Saves and applies what was judged.
    pub fn finish(&mut self, judged: Judged) -> Result<Finished, S::Error> {
        let Judged { source, wanted, step, mut events, .. } = judged;
        let Some(step) = step else { return Ok(Finished { events, released: Vec::new() }) };
        if let Some(change) = &step.block {
            self.store.write(change)?;
            self.unflushed = self.unflushed.saturating_add(1);
            if !wanted || self.unflushed >= BLOCKS_PER_FLUSH {
                self.flush()?;
            }
        }
        let share = step.share.clone();
        let applied = self.chain.apply(step);
        if let Some(block) = applied.block {
            let (block, is_tip) = (Arc::new(block), applied.new_tip);
            events.push(ChainEvent::Block { block, is_tip, source, wanted });
        }
        // After its block, so that who tells others of both can tell that they are one.
        events.extend(share.map(|share| ChainEvent::Share { share: Arc::new(share), source }));
        events.extend(applied.reorganisation.map(ChainEvent::Reorganised));
        events.extend(applied.too_deep.map(ChainEvent::TooDeep));
        events.extend(applied.locked_in.map(ChainEvent::LockedIn));
        self.forget_headers()?;
        Ok(Finished { events, released: applied.released })
    }

    /// Judges, saves and applies these and whatever they release. `verdict` hears of each before it is saved.
    pub fn take(
        &mut self,
        submissions: impl Into<VecDeque<Submission>>,
        now: UnixTime,
        mut verdict: impl FnMut(&Judged),
    ) -> Result<Vec<ChainEvent>, S::Error> {
        let (mut queue, mut events) = (submissions.into(), Vec::new());
        while let Some(submission) = queue.pop_front() {
            let judged = self.judge(submission, now);
            verdict(&judged);
            let finished = self.finish(judged)?;
            events.extend(finished.events);
            queue.extend(finished.released);
        }
        Ok(events)
    }

    /// Takes blocks in order, each as [`Keeper::take`] does, up to the first that is neither here then nor was before.
    pub fn extend(
        &mut self,
        blocks: Vec<Submission>,
        now: UnixTime,
        mut verdict: impl FnMut(&Judged),
    ) -> Result<(Extended, Vec<ChainEvent>), S::Error> {
        let (mut extended, mut events) = (Extended::default(), Vec::new());
        for block in blocks {
            let mut first = None;
            events.extend(self.take([block], now, |judged| {
                verdict(judged);
                first.get_or_insert_with(|| refusal_of_block(&judged.verdict));
            })?);
            extended.refused = first.flatten();
            if extended.refused.is_some() {
                break;
            }
            extended.taken = extended.taken.saturating_add(1);
        }
        Ok((extended, events))
    }

    /// Makes Bitcoin headers known, parents before children, up to the first that is refused.
    pub fn add_headers(
        &mut self,
        headers: &[Header],
        now: UnixTime,
        verdict: impl FnMut(&Judged),
    ) -> Result<(HeadersTaken, Vec<ChainEvent>), S::Error> {
        let mut taken = HeadersTaken::default();
        let mut released = VecDeque::new();
        let best = self.chain.headers().best().hash;
        for header in headers {
            let added = if header.time > now.saturating_add(MAX_HEADER_TIME_AHEAD).0 {
                Err(HeaderError::FarAhead(header.time))
            } else {
                self.chain.add_header(*header)
            };
            match added {
                Ok(submissions) => released.extend(submissions),
                Err(error) => {
                    taken.refused = Some(error);
                    break;
                }
            }
            taken.known = taken.known.saturating_add(1);
        }
        self.forget_headers()?;
        let mut events = self.take(released, now, verdict)?;
        let new_best = self.chain.headers().best().hash;
        if new_best != best {
            events.push(ChainEvent::BitcoinTip(new_best));
        }
        Ok((taken, events))
    }

    /// Lets what waits for a time be judged again, and flushes what was written.
    pub fn tick(&mut self, now: UnixTime, verdict: impl FnMut(&Judged)) -> Result<Vec<ChainEvent>, S::Error> {
        let released = self.chain.tick(now);
        let events = self.take(released, now, verdict)?;
        self.flush()?;
        Ok(events)
    }

    /// What jobs on the tip must say, for a template with this header.
    pub fn draft(&mut self, header: &ShareHeader, now: UnixTime) -> Result<Draft, DraftError> {
        self.chain.draft(header, now)
    }

    /// Begins to take a chain from the middle, or goes on with it.
    pub fn begin_graft(&mut self, claim: GraftClaim) -> Result<Result<(), GraftError>, S::Error> {
        let change = match self.chain.begin_graft(claim) {
            Ok(change) => change,
            Err(error) => return Ok(Err(error)),
        };
        self.store.commit_graft(&change)?;
        self.chain.apply_graft(&change);
        Ok(Ok(()))
    }

    /// Gives up the chain from the middle, if there is one.
    pub fn drop_graft(&mut self) -> Result<(), S::Error> {
        let Some(change) = self.chain.drop_graft() else { return Ok(()) };
        self.store.commit_graft(&change)?;
        self.chain.apply_graft(&change);
        Ok(())
    }

    /// Follows the chain from the middle that ends with `tip`, if it may be followed.
    pub fn adopt(&mut self, tip: ShareId) -> Result<Result<Vec<ChainEvent>, NotAdopted>, S::Error> {
        let change = match self.chain.adopt(tip) {
            Ok(change) => change,
            Err(error) => return Ok(Err(error)),
        };
        let from = self.chain.tip();
        self.flush()?;
        self.store.commit_graft(&change)?;
        self.chain.apply_graft(&change);
        readmit(&mut self.chain, &self.store)?;
        Ok(Ok(vec![ChainEvent::Adopted { from, tip, height: self.chain.height() }]))
    }

    /// Keeps a found Bitcoin block for ever.
    pub fn keep_solution(&mut self, solution: &Solution) -> Result<(), S::Error> {
        self.store.commit_solution(solution)
    }

    /// Saves what a clean stop saves.
    pub fn close(&mut self) -> Result<(), S::Error> {
        // The saved shares are judged again at the next start, by these headers among others.
        self.store.commit_headers(self.chain.unsaved_headers())?;
        self.store.commit_shares(self.chain.shares().iter().map(|share| &**share.share()))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<(), S::Error> {
        if self.unflushed > 0 {
            self.store.flush()?;
            self.unflushed = 0;
        }
        Ok(())
    }

    fn forget_headers(&mut self) -> Result<(), S::Error> {
        let dropped = self.chain.take_dropped_headers();
        if dropped.is_empty() { Ok(()) } else { self.store.forget_headers(&dropped) }
    }
}

/// Puts the shares of the newest blocks back into the pool, and those that a clean stop saved. Says how many were read.
pub(super) fn readmit<S: ShareStore>(chain: &mut ShareChain, store: &S) -> Result<usize, S::Error> {
    let (params, id) = (chain.params().clone(), chain.id());
    let lowest = chain.oldest_share_kept();
    let mut shares: Vec<Arc<Share>> = store.load_shares()?.into_iter().map(Arc::new).collect();
    for height in lowest.0..=chain.height().0 {
        let Some(block) = chain.block_at(Height(height)).map(|block| block.id) else { continue };
        if let Some(body) = store.block(Height(height), &block)? {
            shares.extend(core::iter::once(body.share).chain(body.listed));
        }
    }
    let count = shares.len();
    for share in shares {
        // What was valid when it was saved can have grown too old since; it is simply not needed then.
        if let Ok(bound) = Bound::new(&params, id, share) {
            let _ = chain.readmit(bound);
        }
    }
    Ok(count)
}

/// Why an offered block is not here now; none when it is, from before or from now on.
fn refusal_of_block(verdict: &Result<Taken, Refusal>) -> Option<Refusal> {
    match verdict {
        Ok(taken) => taken.not_a_block.clone(),
        Err(Refusal::Known) => None,
        Err(refusal) => Some(refusal.clone()),
    }
}

fn taken(step: &Step) -> Taken {
    Taken {
        share: step.share.as_ref().map(|share| share.score()),
        block: step.block.as_ref().map(|change| change.summary.height),
        not_a_block: step.not_a_block.clone(),
    }
}
