//! Fetching one chain that a peer claims: ids first, then where they join what is here, then the bodies.

use super::bodies::{Pipeline, Sources};
use super::progress::Progress;
use super::{Asked, PATIENCE};
use crate::peers::conduct::Fault;
use crate::peers::desk::{AskFor, Desk, RequestFor};
use crate::peers::io::{BindResult, Branch, ChainAnswer, ChainRequest, Look, Notice, Stands};
use crate::peers::link::{NoAnswer, Peer};
use crate::peers::wire::{IdsAnswer, MAX_IDS, MAX_LOCATOR, Question, TipAnswer};
use sharechain::chain::{GraftClaim, GraftError, NotAdopted, TipClaim};
use sharechain::codec::Decode;
use sharechain::params::{ChainParams, MAX_REORG_DEPTH};
use sharechain::share::ShareId;
use sharechain::target::Work;
use sharechain::units::Height;
use std::time::Duration;

/// Lowest blocks left out of a chain from the middle, since its answerers drop theirs while the rest is fetched.
const SPARE: usize = 16;
/// How long it may take until bodies can be asked for.
pub(super) const IDS_TIME: Duration = Duration::from_secs(60);
/// Times that a claimer may change its branch while its ids are asked for.
const MAX_RESTARTS: u32 = 3;
/// Ids of a locator that are the graft's; the others are the chain's.
const OF_GRAFT: usize = 40;
/// Bytes of an answer with ids, and some to spare.
const IDS_BYTES: usize = MAX_IDS * 32 + 256;

/// How a job ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The claim is dealt with: its chain is here, or not better.
    Settled,
    /// The claimer is to blame.
    Fault(Fault),
    /// It did not work out, for now.
    Broken,
    /// What was fetched from the middle can never become the chain: it goes, and all begins anew later.
    Hopeless,
}

/// What the chain was asked for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::peers) enum Requested {
    /// Whether the claimed tip is here.
    Check,
    /// Where the ids join.
    Locate,
    Begin,
    Drop,
    /// To take the blocks of a batch.
    Extend(u64),
    Adopt,
    /// What the fetched branch weighs.
    Weigh,
}

/// One fetch.
#[derive(Debug)]
pub(super) struct Job {
    number: u64,
    leader: Peer,
    claim: TipAnswer,
    own: TipClaim,
    params: ChainParams,
    locator: Vec<ShareId>,
    has_graft: bool,
    /// Height of the first of `ids`, and its parent.
    from: Height,
    parent: ShareId,
    ids: Vec<ShareId>,
    restarts: u32,
    begun: Duration,
    /// Whether all ids have come.
    has_ids: bool,
    /// Whether the ids go on from a graft, or are to be one.
    on_graft: bool,
    pipeline: Option<Pipeline>,
    ending: Option<Ending>,
}

impl Job {
    /// Follows a claim.
    pub(super) fn begin(
        desk: &mut Desk,
        params: &ChainParams,
        number: u64,
        (leader, claim): (Peer, TipAnswer),
        stands: &Stands,
    ) -> Self {
        let job = Self {
            number,
            leader,
            claim,
            own: stands.claim,
            params: params.clone(),
            locator: locator(stands),
            has_graft: stands.graft.is_some(),
            from: Height::ROOT,
            parent: params.chain_id().as_block(),
            ids: Vec::new(),
            restarts: 0,
            begun: desk.time(),
            has_ids: false,
            on_graft: false,
            pipeline: None,
            ending: None,
        };
        job.request(
            desk,
            ChainRequest::Look(Look::Locate { parent: claim.id, ids: Vec::new() }),
            Requested::Check,
        );
        job
    }

    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    pub(super) const fn leader(&self) -> Peer {
        self.leader
    }

    pub(super) const fn claim(&self) -> TipAnswer {
        self.claim
    }

    pub(super) const fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The height that it leads to, by the claim or by what came.
    pub(super) fn goal(&self) -> Height {
        match u32::try_from(self.ids.len()) {
            Ok(count) if count > 0 => self.from.saturating_add(count.saturating_sub(1)),
            _ => self.claim.height,
        }
    }

    /// How many blocks of the claimed chain were fetched: until there are some, it is but a claim.
    pub(super) fn gained(&self) -> usize {
        self.pipeline.as_ref().map_or(0, Pipeline::gained)
    }

    /// What is to be tidied up when it has ended.
    pub(super) fn farewell(&self, desk: &mut Desk) {
        if self.on_graft && self.ending != Some(Ending::Broken) {
            // After it was adopted there is none to be dropped.
            self.request(desk, ChainRequest::DropGraft, Requested::Drop);
        }
    }

    fn request(&self, desk: &mut Desk, request: ChainRequest, requested: Requested) {
        desk.request(request, RequestFor::Sync(super::Requested::Job(self.number, requested)));
    }

    fn end(&mut self, ending: Ending) {
        self.ending.get_or_insert(ending);
    }

    /// The chain has answered.
    pub(super) fn answered(&mut self, desk: &mut Desk, requested: Requested, answer: ChainAnswer) {
        match (requested, answer) {
            (Requested::Check, ChainAnswer::Located { parent, .. }) => match parent {
                Branch::Checked => self.end(Ending::Settled),
                Branch::Graft => self.adopt(desk, self.claim.id),
                Branch::Nowhere => self.ask_ids(desk, self.locator.clone()),
            },
            (Requested::Locate, ChainAnswer::Located { parent, known }) => self.located(desk, parent, known),
            (Requested::Drop, ChainAnswer::Done) => {
                if self.has_graft {
                    self.has_graft = false;
                    self.begin_graft(desk);
                }
            }
            (Requested::Begin, ChainAnswer::Begun(begun)) => match begun {
                Ok(()) => self.fetch(desk, 0),
                Err(GraftError::Busy(_)) => self.drop_graft(desk),
                Err(GraftError::Known(_)) => self.locate(desk),
                Err(GraftError::TooShort { .. }) => self.end(Ending::Settled),
                Err(GraftError::TooLong { .. }) => self.end(Ending::Fault(Fault::LyingAnswer)),
            },
            (Requested::Extend(batch), ChainAnswer::Extended { taken, refused }) => {
                self.pumped(desk, |pipeline, desk, sources| {
                    pipeline.taken(desk, sources, batch, taken, refused)
                });
            }
            (Requested::Adopt, ChainAnswer::Adopted(adopted)) => match adopted {
                Ok(()) => {
                    self.on_graft = false;
                    self.end(Ending::Settled);
                }
                Err(NotAdopted::NotBetter { theirs, .. }) => self.weighed(theirs),
                Err(NotAdopted::NotOnGraft(_)) => self.end(Ending::Broken),
                // It was begun for a tip that is higher than any real one: nothing that comes later helps it.
                Err(NotAdopted::Unchecked { .. }) => self.end(Ending::Hopeless),
            },
            (Requested::Weigh, ChainAnswer::Weighs(work)) => self.weighed(work),
            // An answer has the form of its request.
            _ => self.end(Ending::Broken),
        }
    }

    /// What was claimed has been fetched: was it as heavy as claimed? A claimer that has changed its branch since is not
    /// to blame, but has to wait.
    fn weighed(&mut self, work: Work) {
        let is_false = self.claim.recent_work.clearly_exceeds(work);
        let is_there = self.ids.is_empty() || self.ids.contains(&self.claim.id);
        self.end(match (is_false, is_there) {
            (false, _) => Ending::Settled,
            (true, true) => Ending::Fault(Fault::FalseClaim),
            (true, false) => Ending::Broken,
        });
    }

    fn ask_ids(&mut self, desk: &mut Desk, locator: Vec<ShareId>) {
        let asked = AskFor::Sync(Asked::Ids { job: self.number });
        if !desk.ask(self.leader, &Question::Ids { locator }, IDS_BYTES, PATIENCE, asked) {
            self.end(Ending::Broken);
        }
    }

    /// The leader's ids have come, or not.
    pub(super) fn told_ids(&mut self, desk: &mut Desk, peer: Peer, answer: Result<Vec<u8>, NoAnswer>) {
        match answer.map(|bytes| IdsAnswer::from_bytes(&bytes)) {
            Ok(Ok(page)) => self.add_page(desk, page),
            Ok(Err(_)) => self.end(Ending::Fault(Fault::BadEncoding)),
            Err(no_answer) => {
                desk.unanswered(peer, no_answer);
                self.end(Ending::Broken);
            }
        }
    }

    fn add_page(&mut self, desk: &mut Desk, page: IdsAnswer) {
        if page.ids.is_empty() && self.ids.is_empty() {
            // It has nothing that is not here.
            return self.end(Ending::Settled);
        }
        let is_full = page.ids.len() >= MAX_IDS;
        if !page.ids.is_empty() && !self.append(page) {
            self.restarts = self.restarts.saturating_add(1);
            if self.restarts > MAX_RESTARTS {
                // Nobody's branch changes so often, each time below a whole page.
                return self.end(Ending::Fault(Fault::LyingAnswer));
            }
            self.ids.clear();
            return self.ask_ids(desk, self.locator.clone());
        }
        let most = self.params.kept_blocks().saturating_add(MAX_REORG_DEPTH);
        let most = usize::try_from(most).unwrap_or(usize::MAX).saturating_add(MAX_IDS);
        if self.ids.len() > most {
            return self.end(Ending::Fault(Fault::LyingAnswer));
        }
        if is_full && self.ids.last() != Some(&self.claim.id) {
            return self.ask_ids(desk, self.page_locator());
        }
        self.locate(desk);
    }

    /// Adds ids that follow those that are here, or some of them; whether they do.
    fn append(&mut self, page: IdsAnswer) -> bool {
        if self.ids.is_empty() {
            (self.from, self.parent, self.ids) = (page.from, page.parent, page.ids);
            return true;
        }
        let kept = page.from.0.checked_sub(self.from.0).and_then(|kept| usize::try_from(kept).ok());
        let follows =
            |kept: &usize| kept.checked_sub(1).and_then(|last| self.ids.get(last)) == Some(&page.parent);
        let Some(kept) = kept.filter(follows) else { return false };
        self.ids.truncate(kept);
        self.ids.extend(page.ids);
        true
    }

    fn page_locator(&self) -> Vec<ShareId> {
        let backwards = self.ids.iter().rev();
        let mut locator: Vec<ShareId> = backwards.step_by(8).take(MAX_LOCATOR / 2).copied().collect();
        locator.push(self.params.chain_id().as_block());
        locator
    }

    fn locate(&mut self, desk: &mut Desk) {
        self.has_ids = true;
        let request = ChainRequest::Look(Look::Locate { parent: self.parent, ids: self.ids.clone() });
        self.request(desk, request, Requested::Locate);
    }

    fn located(&mut self, desk: &mut Desk, parent: Branch, known: usize) {
        match parent {
            Branch::Checked => self.fetch(desk, known),
            Branch::Graft => {
                self.on_graft = true;
                self.fetch(desk, known);
            }
            Branch::Nowhere if known > 0 => {
                self.leave_out(known);
                if self.ids.is_empty() { self.end(Ending::Settled) } else { self.locate(desk) }
            }
            Branch::Nowhere => {
                let is_better = self.claim.recent_work.clearly_exceeds(self.own.recent_work);
                if self.own.height != Height::ROOT && !is_better {
                    return self.end(Ending::Settled);
                }
                let needed = usize::try_from(self.params.graft_blocks()).unwrap_or(usize::MAX);
                self.leave_out(self.ids.len().saturating_sub(needed).min(SPARE));
                if self.has_graft { self.drop_graft(desk) } else { self.begin_graft(desk) }
            }
        }
    }

    /// Forgets the first ids.
    fn leave_out(&mut self, count: usize) {
        if let Some(last) = count.checked_sub(1).and_then(|last| self.ids.get(last)) {
            self.parent = *last;
            self.from = self.from.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            self.ids.drain(..count);
        }
    }

    fn drop_graft(&mut self, desk: &mut Desk) {
        self.has_graft = true;
        self.request(desk, ChainRequest::DropGraft, Requested::Drop);
    }

    fn begin_graft(&mut self, desk: &mut Desk) {
        let Some(anchor) = self.ids.first().copied() else { return self.end(Ending::Settled) };
        self.on_graft = true;
        let claim = GraftClaim { anchor, at: self.from, tip: self.goal() };
        self.request(desk, ChainRequest::BeginGraft(claim), Requested::Begin);
    }

    fn adopt(&mut self, desk: &mut Desk, tip: ShareId) {
        self.on_graft = true;
        self.request(desk, ChainRequest::Adopt(tip), Requested::Adopt);
    }

    /// Begins with the bodies, the first `known` of which are here.
    fn fetch(&mut self, desk: &mut Desk, known: usize) {
        self.pipeline = Some(Pipeline::new(desk.time(), &self.params, self.from, known));
        self.pumped(desk, |_, _, _| None);
    }

    /// Lets the pipeline act, fills it up again, and ends when it is through.
    fn pumped(
        &mut self,
        desk: &mut Desk,
        act: impl FnOnce(&mut Pipeline, &mut Desk, &Sources<'_>) -> Option<Ending>,
    ) {
        let Some(pipeline) = &mut self.pipeline else { return };
        let sources = Sources { job: self.number, leader: self.leader, ids: &self.ids };
        let ending = act(pipeline, desk, &sources).or_else(|| pipeline.pump(desk, &sources));
        if let Some(ending) = ending {
            return self.end(ending);
        }
        if pipeline.done() < self.ids.len() {
            return;
        }
        desk.notice(Notice::Progress(pipeline.progress(desk.time(), self.ids.len())));
        self.pipeline = None;
        match self.ids.last().copied() {
            Some(last) if self.on_graft => self.adopt(desk, last),
            Some(last) => self.request(desk, ChainRequest::Look(Look::Weigh(last)), Requested::Weigh),
            None => self.end(Ending::Settled),
        }
    }

    pub(super) fn told_blocks(
        &mut self,
        desk: &mut Desk,
        peer: Peer,
        batch: u64,
        answer: Result<Vec<u8>, NoAnswer>,
    ) {
        self.pumped(desk, |pipeline, desk, _| {
            pipeline.told(desk, peer, batch, answer);
            None
        });
    }

    pub(super) fn bound(&mut self, desk: &mut Desk, batch: u64, result: BindResult) {
        self.pumped(desk, |pipeline, desk, sources| {
            pipeline.bound(desk, sources, batch, result);
            None
        });
    }

    /// What the chain refused for want of something may pass now.
    pub(super) fn try_again(&mut self, desk: &mut Desk) {
        self.pumped(desk, |pipeline, _, _| {
            pipeline.try_again();
            None
        });
    }

    pub(super) fn tick(&mut self, desk: &mut Desk) {
        if !self.has_ids && desk.time().saturating_sub(self.begun) >= IDS_TIME {
            return self.end(Ending::Broken);
        }
        self.pumped(desk, |pipeline, desk, sources| pipeline.tick(desk, sources));
        let told: Option<Progress> =
            self.pipeline.as_mut().and_then(|pipeline| pipeline.due_progress(desk.time(), self.ids.len()));
        if let Some(progress) = told {
            desk.notice(Notice::Progress(progress));
        }
    }

    /// A peer has left. While bodies come from others it is not missed; its unanswered questions end by themselves.
    pub(super) fn gone(&mut self, peer: Peer) {
        if peer == self.leader && self.pipeline.is_none() {
            self.end(Ending::Broken);
        }
    }
}

/// The ids of the graft under way, then those of the chain. The answerer looks for the highest, whatever the order.
fn locator(stands: &Stands) -> Vec<ShareId> {
    let Some((_, graft)) = &stands.graft else { return stands.locator.clone() };
    let (last, graft) = graft.split_last().map_or((None, &[][..]), |(last, rest)| (Some(*last), rest));
    let of_chain = stands.locator.len().saturating_sub(1).min(MAX_LOCATOR - OF_GRAFT - 1);
    let mut ids: Vec<ShareId> = graft.iter().take(OF_GRAFT).copied().collect();
    ids.extend(stands.locator.iter().take(of_chain));
    ids.extend(last);
    ids
}
