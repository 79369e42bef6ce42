//! What one connection's miners found, on its way to the rest of the node: Bitcoin blocks at once, shares when there is
//! room for them.

use super::submit::Found;
use crate::work::job::Candidate;
use crate::work::outbox::Outbox;
use std::collections::VecDeque;
use tokio::sync::mpsc::error::{SendError, TrySendError};
use tracing::error;

/// Candidates that are kept while the node has no room for them. Many, since nothing more is read beyond it, and what is
/// not read may be a Bitcoin block.
const MOST_CANDIDATES: usize = 1_024;

/// Takes what is found, and keeps a little of it.
#[derive(Debug)]
pub(crate) struct Harvest {
    candidates: VecDeque<Candidate>,
    outbox: Outbox,
}

impl Harvest {
    /// Nothing found yet.
    pub(crate) const fn new(outbox: Outbox) -> Self {
        Self { candidates: VecDeque::new(), outbox }
    }

    /// Whether something waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.candidates.is_empty()
    }

    /// Whether more may be found.
    pub(crate) fn has_room(&self) -> bool {
        self.candidates.len() < MOST_CANDIDATES
    }

    /// Passes on what has waited longest, once there is room. If that is waited for no longer, nothing is lost.
    pub(crate) async fn send(&mut self) -> Result<(), SendError<()>> {
        let room = self.outbox.shares.reserve().await?;
        if let Some(first) = self.candidates.pop_front() {
            room.send(first);
        }
        Ok(())
    }

    /// A Bitcoin block first; to be called before the answer is written.
    pub(crate) fn pass_on(&mut self, found: Found) {
        if found.verdict.bitcoin_block {
            self.outbox.blocks.bitcoin_block(&found.candidate);
        }
        if !found.is_for_chain() {
            return;
        }
        if !self.candidates.is_empty() {
            self.candidates.push_back(found.candidate);
            return;
        }
        match self.outbox.shares.try_send(found.candidate) {
            Ok(()) => {}
            Err(TrySendError::Full(candidate)) => self.candidates.push_back(candidate),
            Err(TrySendError::Closed(candidate)) => report_loss(&candidate),
        }
    }

    /// Waits until all of it is passed on.
    pub(crate) async fn finish(self) {
        for candidate in self.candidates {
            if let Err(unsent) = self.outbox.shares.send(candidate).await {
                report_loss(&unsent.0);
            }
        }
    }
}

/// Only at the very end: whoever takes shares must outlive whoever finds them.
fn report_loss(candidate: &Candidate) {
    error!(id = %candidate.id, "a share was found after the share chain had stopped, and is lost");
}
