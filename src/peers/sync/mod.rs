//! Catching up: who claims a heavier chain, and fetching it.
//!
//! ```text
//! Tip of every peer ─ heaviest claim ─ ids after our locator ─┬─ known parent: a branch ──────────┐
//!                                                             └─ unknown parent: from the middle ─┤
//! level with all claims ─ adopt ─ chain takes them in order ─ bind ─ bodies from many peers ──────┘
//! ```
//!
//! `claims` decides whether and whom to follow, `job` is one such fetch, `bodies` its pipeline, `readiness` when miners
//! may be served.

mod bodies;
mod claims;
mod job;
mod progress;
mod readiness;

use super::desk::{Desk, RequestFor};
use super::io::{BindResult, ChainAnswer, ChainRequest, Look, Notice, Standing, Stands};
use super::link::{NoAnswer, Peer, QuestionToken};
use super::wire::TipAnswer;
use crate::chain::ChainState;
use claims::Settled;
use job::Job;
use readiness::Readiness;
use sharechain::codec::Encode;
use sharechain::params::{ChainParams, MAX_REORG_DEPTH};
use sharechain::share::Share;
use sharechain::units::Height;
use std::time::Duration;

pub use progress::Progress;

/// Blocks that a peer may be ahead before this node takes no more gossip until it has caught up.
pub(super) const FAR_BEHIND: u32 = 60;
/// Blocks that may be missing below a gossiped one for them to be asked for one by one.
const NEAR: u32 = 4;
/// How long an answer to a small question may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How old this node's own claim may be that it tells others, while it changes quickly.
const CLAIM_AGE: Duration = Duration::from_secs(2);

/// What a question to a peer was about.
#[derive(Debug)]
pub(super) enum Asked {
    Tip,
    Ids { job: u64 },
    Batch { job: u64, batch: u64 },
}

/// What is being bound: the blocks of a batch.
#[derive(Debug)]
pub(super) struct Binding {
    job: u64,
    batch: u64,
}

/// What the chain was asked.
#[derive(Debug)]
pub(super) enum Requested {
    /// For this node's own claim and locator.
    Stand,
    /// For the job of this number.
    Job(u64, job::Requested),
}

/// The sync's own state.
#[derive(Debug)]
pub(super) struct Sync {
    params: ChainParams,
    state: ChainState,
    stands: Option<(Stands, Duration)>,
    /// Whether the tip has changed since `stands`.
    is_stale: bool,
    is_asking: bool,
    /// Peers that ask for the tip while it is looked up.
    tip_questions: Vec<QuestionToken>,
    settled: Settled,
    job: Option<Job>,
    next_job: u64,
    standing: Standing,
    /// Whether this node has been level with its peers.
    is_synced: bool,
    readiness: Readiness,
    /// Whether a peer has ever said where it stands.
    is_reached: bool,
    /// The job of the last tick, and what it had fetched.
    gained: (u64, usize),
}

impl Sync {
    pub(super) fn new(params: &ChainParams, state: ChainState, expects_peers: bool, now: Duration) -> Self {
        Self {
            params: params.clone(),
            state,
            stands: None,
            is_stale: true,
            is_asking: false,
            tip_questions: Vec::new(),
            settled: Settled::default(),
            job: None,
            next_job: 0,
            standing: Standing::Unknown,
            is_synced: false,
            readiness: Readiness::new(expects_peers, now),
            is_reached: false,
            gained: (0, 0),
        }
    }

    /// Whether so much is missing that what others gossip cannot be judged. A claim alone does not make it so, or whoever
    /// claims much and gives nothing would keep the node from hearing the others; and once level with the peers a node
    /// hears them all the time.
    pub(super) fn is_far_behind(&self) -> bool {
        let goal = self.job.as_ref().filter(|job| !self.is_synced && job.gained() > 0).map(Job::goal);
        goal.is_some_and(|goal| goal > self.state.height.saturating_add(FAR_BEHIND))
    }

    /// Whether a block at this height is too far above the tip for its ancestors to be asked for one by one.
    pub(super) fn is_far_above(&self, height: Height) -> bool {
        height > self.state.height.saturating_add(NEAR)
    }

    /// Whether looking at the proof of work of a gossiped share is worth it.
    pub(super) fn fits_tip(&self, share: &Share) -> bool {
        !self.is_synced || self.state.fits_tip(share)
    }

    pub(super) fn chain_moved(&mut self, state: ChainState) {
        self.is_stale |= self.state.tip != state.tip;
        self.state = state;
    }

    /// A peer has something at a height that cannot be judged here: it may have a heavier chain. Whether that will show.
    pub(super) fn heard_of(&self, desk: &mut Desk, peer: Peer, height: Height) -> bool {
        height > self.state.height.saturating_sub(MAX_REORG_DEPTH) && Self::ask_tip(desk, peer)
    }

    pub(super) fn gone(&mut self, desk: &mut Desk, peer: Peer) {
        if let Some(job) = &mut self.job {
            job.gone(peer);
        }
        self.go_on(desk);
    }

    /// A peer asks for the tip: the answer, or none yet.
    pub(super) fn tip_asked(&mut self, desk: &mut Desk, question: QuestionToken) -> Option<Vec<u8>> {
        let now = desk.time();
        match &self.stands {
            Some((stands, since)) if !self.is_stale || now.saturating_sub(*since) < CLAIM_AGE => {
                Some(TipAnswer::from(stands.claim).to_bytes())
            }
            _ => {
                self.tip_questions.push(question);
                self.look_up(desk);
                None
            }
        }
    }

    /// Asks the chain where it stands, if that may have changed.
    fn look_up(&mut self, desk: &mut Desk) {
        if self.is_stale && !self.is_asking {
            self.is_asking = true;
            self.is_stale = false;
            desk.request(ChainRequest::Look(Look::Stand), RequestFor::Sync(Requested::Stand));
        }
    }

    /// The chain has answered. Gives the answers to peers that were waiting for it.
    pub(super) fn answered(
        &mut self,
        desk: &mut Desk,
        requested: Requested,
        answer: ChainAnswer,
    ) -> Vec<(QuestionToken, Vec<u8>)> {
        match (requested, answer) {
            (Requested::Stand, ChainAnswer::Stands(stands)) => {
                self.is_asking = false;
                let bytes = TipAnswer::from(stands.claim).to_bytes();
                self.stands = Some((stands, desk.time()));
                self.go_on(desk);
                let questions = core::mem::take(&mut self.tip_questions);
                return questions.into_iter().map(|question| (question, bytes.clone())).collect();
            }
            (Requested::Job(number, requested), answer) => {
                self.with_job(desk, number, |job, desk| job.answered(desk, requested, answer));
            }
            _ => {}
        }
        Vec::new()
    }

    /// A peer has answered, or has not.
    pub(super) fn told(
        &mut self,
        desk: &mut Desk,
        peer: Peer,
        asked: Asked,
        answer: Result<Vec<u8>, NoAnswer>,
    ) {
        let number = self.job.as_ref().map(Job::number);
        match asked {
            Asked::Tip => self.claimed(desk, peer, answer),
            Asked::Ids { job } | Asked::Batch { job, .. } if Some(job) != number => {
                // Nobody waits for it any more, but a peer that stalls is noted all the same.
                if let Err(no_answer) = answer {
                    desk.unanswered(peer, no_answer);
                }
            }
            Asked::Ids { job } => self.with_job(desk, job, |job, desk| job.told_ids(desk, peer, answer)),
            Asked::Batch { job, batch } => {
                self.with_job(desk, job, |job, desk| job.told_blocks(desk, peer, batch, answer));
            }
        }
    }

    pub(super) fn bound(&mut self, desk: &mut Desk, binding: &Binding, result: BindResult) {
        let batch = binding.batch;
        self.with_job(desk, binding.job, |job, desk| job.bound(desk, batch, result));
    }

    /// Bitcoin headers have come in: what waited for them is tried again.
    pub(super) fn headers_came(&mut self, desk: &mut Desk) {
        if let Some(number) = self.job.as_ref().map(Job::number) {
            self.with_job(desk, number, Job::try_again);
        }
    }

    pub(super) fn tick(&mut self, desk: &mut Desk) {
        let now = desk.time();
        for peer in Self::due_for_tip(desk) {
            Self::ask_tip(desk, peer);
        }
        if let Some(number) = self.job.as_ref().map(Job::number) {
            self.with_job(desk, number, Job::tick);
        }
        let age = self.stands.as_ref().map_or(Duration::MAX, |(_, since)| now.saturating_sub(*since));
        if self.job.is_none() && age >= CLAIM_AGE {
            self.look_up(desk);
        }
        self.go_on(desk);
        let is_getting_on = self.is_getting_on(desk);
        if let Some(alone) = self.readiness.tick(is_getting_on, self.standing == Standing::Current, now) {
            desk.notice(Notice::Ready { alone });
        }
    }

    /// Whether the first peer has just said where it stands, or blocks have come since this was last asked.
    fn is_getting_on(&mut self, desk: &Desk) -> bool {
        let is_first = !self.is_reached && desk.peers.values().any(|remote| remote.claim.is_some());
        self.is_reached |= is_first;
        let now = self.job.as_ref().map_or((0, 0), |job| (job.number(), job.gained()));
        let before = core::mem::replace(&mut self.gained, now);
        is_first || now.1 > if now.0 == before.0 { before.1 } else { 0 }
    }

    /// Lets the job of this number act, and sees to what comes of it.
    fn with_job(&mut self, desk: &mut Desk, number: u64, act: impl FnOnce(&mut Job, &mut Desk)) {
        if let Some(job) = self.job.as_mut().filter(|job| job.number() == number) {
            act(job, desk);
            self.go_on(desk);
        }
    }

    fn set_standing(&mut self, desk: &mut Desk, standing: Standing) {
        if self.standing != standing {
            self.standing = standing;
            desk.notice(Notice::Standing(standing));
        }
        self.is_synced |= standing == Standing::Current;
    }
}
