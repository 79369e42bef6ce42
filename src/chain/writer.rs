//! The writer thread: the one owner of the share chain and its store.

use super::{ChainEvent, ChainState, Command, HeadersTaken, OWN_MINERS, Reader, Taken, now};
use bitcoin::block::Header;
use sharechain::chain::{ShareChain, Submission};
use sharechain::error::{Blame, Missing, Refusal};
use sharechain::store::ShareStore;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, watch};
use tracing::{debug, info, warn};

pub(super) struct Writer<S> {
    pub(super) chain: ShareChain,
    pub(super) store: S,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) state: watch::Sender<ChainState>,
    pub(super) events: broadcast::Sender<ChainEvent>,
}

impl<S: ShareStore> Writer<S> {
    /// Works until it is stopped, all handles are gone, or the disk fails. Gives the store back for the next to open.
    pub(super) fn run(mut self) -> Result<(), S::Error> {
        while let Some(command) = self.commands.blocking_recv() {
            match command {
                Command::Submit { submission, reply } => {
                    let result = self.take(*submission)?;
                    if let Some(reply) = reply {
                        let _ = reply.send(result);
                    }
                }
                Command::Headers { headers, reply } => {
                    let taken = self.take_headers(&headers)?;
                    let _ = reply.send(taken);
                }
                Command::Draft { header, reply } => {
                    let _ = reply.send(self.chain.draft(&header, now()));
                }
                Command::Solution(solution) => self.store.commit_solution(&solution)?,
                Command::Read(question) => question(&mut Reader::new(&mut self.chain, &self.store)),
                Command::Tick => {
                    let released = self.chain.tick(now());
                    self.take_released(released)?;
                }
                Command::Stop => break,
            }
        }
        // The saved shares are judged again at the next start, by these headers among others.
        self.store.commit_headers(self.chain.unsaved_headers())?;
        self.store.commit_shares(self.chain.shares().iter().map(|share| &**share.share()))
    }

    /// The one door: a submission, and then whatever it releases.
    fn take(&mut self, submission: Submission) -> Result<Result<Taken, Refusal>, S::Error> {
        let mut released = VecDeque::new();
        let result = self.take_one(submission, &mut released)?;
        self.take_released(released)?;
        Ok(result)
    }

    fn take_released(&mut self, released: impl Into<VecDeque<Submission>>) -> Result<(), S::Error> {
        let mut released = released.into();
        while let Some(submission) = released.pop_front() {
            // Whoever sent it has had its answer: that it waits.
            let _ = self.take_one(submission, &mut released)?;
        }
        Ok(())
    }

    fn take_one(
        &mut self,
        submission: Submission,
        released: &mut VecDeque<Submission>,
    ) -> Result<Result<Taken, Refusal>, S::Error> {
        let id = submission.share.id();
        let step = match self.chain.judge(&submission, now()) {
            Ok(step) => step,
            Err(refusal) => {
                log_refusal(&refusal, &submission);
                if let Refusal::Waits(missing) = &refusal {
                    self.hold(submission, missing.clone());
                }
                return Ok(Err(refusal));
            }
        };
        if let Some(change) = &step.block {
            self.store.commit(change)?;
        }
        let taken = Taken {
            share: step.share.as_ref().map(|share| share.score()),
            block: step.block.as_ref().map(|change| change.summary.height),
            not_a_block: step.not_a_block.clone(),
        };
        if let Some(refusal) = &step.not_a_block {
            log_refusal(refusal, &submission);
        }
        if let Some(Refusal::Waits(missing)) = &step.not_a_block {
            self.hold(submission, missing.clone());
        }
        let share = step.share.clone();
        let applied = self.chain.apply(step);
        released.extend(applied.released);
        if let Some(share) = share {
            debug!(share = %id, owner = ?share.share().commitment.owner, "share");
            self.publish(ChainEvent::Share { share: Arc::new(share) });
        }
        if let Some(block) = applied.block {
            info!(block = %id, height = %block.height, shares = block.credited.len(), tip = applied.new_tip, "share block");
            self.publish(ChainEvent::Block { block: Arc::new(block), is_tip: applied.new_tip });
        }
        if let Some(reorganisation) = applied.reorganisation {
            warn_of(&reorganisation);
            self.publish(ChainEvent::Reorganised(reorganisation));
        }
        self.publish_state(taken.share.is_some());
        Ok(Ok(taken))
    }

    fn hold(&mut self, submission: Submission, missing: Missing) {
        if let Missing::PrevBlock(hash) = missing {
            self.publish(ChainEvent::HeaderWanted(hash));
        }
        self.chain.hold(submission, missing);
    }

    fn take_headers(&mut self, headers: &[Header]) -> Result<HeadersTaken, S::Error> {
        let mut taken = HeadersTaken::default();
        let mut released = VecDeque::new();
        for header in headers {
            match self.chain.add_header(*header) {
                Ok(submissions) => released.extend(submissions),
                Err(error) => {
                    taken.refused = Some(error);
                    break;
                }
            }
            taken.known += 1;
        }
        self.take_released(released)?;
        Ok(taken)
    }

    fn publish_state(&self, new_share: bool) {
        let (tip, height) = (self.chain.tip(), self.chain.height());
        self.state.send_if_modified(|state| {
            let shares = state.shares + u64::from(new_share);
            let new = ChainState { tip, height, shares };
            core::mem::replace(state, new) != new
        });
    }

    fn publish(&self, event: ChainEvent) {
        // An error means that nobody listens.
        let _ = self.events.send(event);
    }
}

fn log_refusal(refusal: &Refusal, submission: &Submission) {
    let id = submission.share.id();
    match refusal.blame() {
        _ if submission.source == OWN_MINERS && *refusal != Refusal::Known => {
            warn!(share = %id, "a share of this node's own miners was not taken: {refusal}");
        }
        // Nothing that this node does helps: its operator must know.
        Blame::Nobody if matches!(refusal, Refusal::Waits(Missing::Version(_))) => {
            warn!(share = %id, "not taken: {refusal}")
        }
        Blame::Sender => warn!(share = %id, source = submission.source.0, "refused: {refusal}"),
        Blame::Nobody => debug!(share = %id, source = submission.source.0, "not taken: {refusal}"),
    }
}

fn warn_of(reorganisation: &sharechain::chain::Reorganisation) {
    let (from, depth) = (reorganisation.from, reorganisation.depth);
    if reorganisation.is_alarming() {
        warn!(%from, depth, "ALARM: the share chain was reorganised far deeper than delays explain");
    } else {
        info!(%from, depth, "the share chain was reorganised");
    }
}
