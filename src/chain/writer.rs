//! The writer thread: the one owner of the share chain and its store.

use super::keeper::{Judged, Keeper};
use super::{ChainEvent, ChainState, Command, OWN_MINERS, Reader, Taken, now};
use sharechain::chain::{LockedIn, Reorganisation, Submission, TooDeep};
use sharechain::error::{Blame, Refusal};
use sharechain::store::ShareStore;
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tracing::{debug, debug_span, info, warn};

pub(super) struct Writer<S> {
    pub(super) keeper: Keeper<S>,
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) state: watch::Sender<ChainState>,
    pub(super) events: broadcast::Sender<ChainEvent>,
}

impl<S: ShareStore> Writer<S> {
    /// Works until it is stopped, all handles are gone, or the disk fails. Gives the store back for the next to open.
    pub(super) fn run(mut self) -> Result<(), S::Error> {
        while let Some(command) = self.commands.blocking_recv() {
            match command {
                Command::Submit { submission, verdict } => self.take(*submission, verdict)?,
                Command::Extend { blocks, reply } => {
                    let (extended, events) = self.keeper.extend(blocks, now(), log)?;
                    self.publish(events);
                    let _ = reply.send(extended);
                }
                Command::Headers { headers, reply } => {
                    let (taken, events) = self.keeper.add_headers(&headers, now(), log)?;
                    self.publish(events);
                    let _ = reply.send(taken);
                }
                Command::Draft { header, reply } => {
                    let _ = reply.send(self.keeper.draft(&header, now()));
                }
                Command::Solution(solution) => self.keeper.keep_solution(&solution)?,
                Command::Read(question) => {
                    let (chain, store) = self.keeper.parts();
                    question(&mut Reader::new(chain, store));
                }
                Command::BeginGraft { claim, reply } => {
                    let begun = self.keeper.begin_graft(claim)?;
                    let _ = reply.send(begun);
                }
                Command::DropGraft { reply } => {
                    self.keeper.drop_graft()?;
                    let _ = reply.send(());
                }
                Command::Adopt { tip, reply } => {
                    let adopted = self.keeper.adopt(tip)?;
                    let _ = reply.send(adopted.map(|events| self.publish(events)));
                }
                Command::Tick => {
                    let events = self.keeper.tick(now(), log)?;
                    self.publish(events);
                }
                Command::Stop => break,
            }
        }
        self.keeper.close()
    }

    /// The one door: a submission, and then whatever it releases.
    fn take(
        &mut self,
        submission: Submission,
        mut verdict: Option<oneshot::Sender<Result<Taken, Refusal>>>,
    ) -> Result<(), S::Error> {
        // What is said of it from here on can be found by its id, in whatever module.
        let _span = debug_span!("share", id = %submission.share.id()).entered();
        let events = self.keeper.take([submission], now(), |judged| {
            log(judged);
            // The first is what was handed in; whoever sent what it releases has had an answer: that it waits.
            if let Some(verdict) = verdict.take() {
                let _ = verdict.send(judged.verdict.clone());
            }
        })?;
        self.publish(events);
        Ok(())
    }

    fn publish(&self, events: Vec<ChainEvent>) {
        let mut new_shares = 0;
        for event in events {
            log_event(&event);
            new_shares += u64::from(matches!(event, ChainEvent::Share { .. }));
            // An error means that nobody listens.
            let _ = self.events.send(event);
        }
        self.state.send_if_modified(|state| {
            let new = self.keeper.state(state.shares + new_shares);
            core::mem::replace(state, new) != new
        });
    }
}

fn log(judged: &Judged) {
    let refusal = match &judged.verdict {
        Ok(taken) => taken.not_a_block.as_ref(),
        Err(refusal) => Some(refusal),
    };
    let Some(refusal) = refusal else { return };
    let (id, source) = (judged.id, judged.source.0);
    match refusal.blame() {
        _ if judged.source == OWN_MINERS && *refusal != Refusal::Known => {
            warn!(share = %id, "a share of this node's own miners was not taken: {refusal}");
        }
        Blame::Sender => warn!(share = %id, source, "refused: {refusal}"),
        Blame::Nobody => debug!(share = %id, source, "not taken: {refusal}"),
    }
}

fn log_event(event: &ChainEvent) {
    match event {
        ChainEvent::Share { share, .. } => {
            debug!(share = %share.id(), owner = ?share.share().commitment.owner, "share");
        }
        ChainEvent::Block { block, is_tip, wanted, .. } => {
            let (id, height, shares) = (block.id, block.height, block.credited.len());
            if *wanted {
                debug!(block = %id, %height, shares, tip = is_tip, "share block");
            } else {
                info!(block = %id, %height, shares, tip = is_tip, "share block");
            }
        }
        ChainEvent::Reorganised(reorganisation) => log_reorganisation(reorganisation),
        ChainEvent::TooDeep(TooDeep { tip, depth }) => warn!(
            %tip, depth,
            "ALARM: a heavier branch of the share chain begins so deep that this node does not follow it by itself"
        ),
        ChainEvent::Adopted { from, tip, height } => {
            info!(%from, %tip, %height, "a chain fetched from its middle has taken the place of this node's");
        }
        ChainEvent::LockedIn(LockedIn { bits, unknown: 0, active_from }) => {
            info!(bits = format!("{bits:#x}"), %active_from, "signalled rules have locked in");
        }
        ChainEvent::LockedIn(LockedIn { unknown, active_from, .. }) => warn!(
            bits = format!("{unknown:#x}"), %active_from,
            "ALARM: rules have locked in that this release does not know; look for a newer one before they are in force"
        ),
        ChainEvent::BitcoinTip(_) | ChainEvent::HeaderWanted(_) => {}
    }
}

fn log_reorganisation(reorganisation: &Reorganisation) {
    let (from, depth) = (reorganisation.from, reorganisation.depth);
    if reorganisation.is_alarming() {
        warn!(%from, depth, "ALARM: the share chain was reorganised far deeper than delays explain");
    } else {
        info!(%from, depth, "the share chain was reorganised");
    }
}
