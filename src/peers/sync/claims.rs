//! Where peers say they stand, and whom to follow.

use super::job::{Ending, Job};
use super::{Asked, PATIENCE, Sync};
use crate::peers::conduct::Fault;
use crate::peers::desk::{AskFor, Desk};
use crate::peers::io::Standing;
use crate::peers::link::{NoAnswer, Peer};
use crate::peers::wire::{Question, TipAnswer};
use core::cmp::Reverse;
use sharechain::chain::TipClaim;
use sharechain::codec::Decode;
use sharechain::share::ShareId;
use std::collections::VecDeque;
use std::time::Duration;

/// Most claims remembered as dealt with.
pub(super) const MAX_SETTLED: usize = 256;
/// How often every peer is asked where it stands.
pub(super) const TIP_EVERY: Duration = Duration::from_secs(60);
/// How often one that gives reason to may be asked.
const TIP_AGAIN: Duration = Duration::from_secs(2);
/// Bytes of an answer, and some to spare.
const TIP_BYTES: usize = 256;

/// Tips that this node has, or will not follow.
#[derive(Debug, Default)]
pub(super) struct Settled(VecDeque<ShareId>);

impl Settled {
    fn contains(&self, id: &ShareId) -> bool {
        self.0.contains(id)
    }

    fn insert(&mut self, id: ShareId) {
        if self.contains(&id) {
            return;
        }
        self.0.push_back(id);
        if self.0.len() > MAX_SETTLED {
            self.0.pop_front();
        }
    }
}

/// Whether a claim is worth asking for ids. Which branch wins is decided by the blocks, never by claims: nodes that have
/// less of the past count less work, so either number may be the one that tells.
fn may_be_heavier(claim: &TipAnswer, own: &TipClaim) -> bool {
    claim.id != own.id && (claim.recent_work > own.recent_work || claim.work > own.work)
}

impl Sync {
    /// Asks where a peer stands; whether an answer will come.
    pub(in crate::peers) fn ask_tip(desk: &mut Desk, peer: Peer) -> bool {
        let now = desk.time();
        let Some(remote) = desk.peers.get_mut(&peer) else { return false };
        if remote.tip_asked.is_some_and(|asked| now.saturating_sub(asked) < TIP_AGAIN) {
            return true;
        }
        remote.tip_asked = Some(now);
        desk.ask(peer, &Question::Tip, TIP_BYTES, PATIENCE, AskFor::Sync(Asked::Tip))
    }

    pub(super) fn due_for_tip(desk: &Desk) -> Vec<Peer> {
        let is_due = |asked: Option<Duration>| {
            asked.is_none_or(|asked| desk.time().saturating_sub(asked) >= TIP_EVERY)
        };
        desk.peers.iter().filter(|(_, remote)| is_due(remote.tip_asked)).map(|(peer, _)| *peer).collect()
    }

    /// A peer says where it stands.
    pub(super) fn claimed(&mut self, desk: &mut Desk, peer: Peer, answer: Result<Vec<u8>, NoAnswer>) {
        match answer.map(|bytes| TipAnswer::from_bytes(&bytes)) {
            Ok(Ok(claim)) => {
                if let Some(remote) = desk.peers.get_mut(&peer) {
                    remote.claim = Some(claim);
                    desk.note(peer, claim.height);
                }
                self.go_on(desk);
            }
            Ok(Err(_)) => desk.fault(peer, Fault::BadEncoding),
            Err(no_answer) => desk.unanswered(peer, no_answer),
        }
    }

    /// Ends a job that is over, and begins the next that is due.
    pub(super) fn go_on(&mut self, desk: &mut Desk) {
        if let Some(ending) = self.job.as_ref().and_then(Job::ending) {
            self.end(desk, ending);
        }
        if self.job.is_some() {
            return self.set_standing(desk, Standing::Syncing);
        }
        let Some((stands, _)) = &self.stands else { return };
        let heavier: Vec<(Peer, TipAnswer)> = desk
            .peers
            .iter()
            .filter_map(|(peer, remote)| Some((*peer, remote.claim?)))
            .filter(|(_, claim)| may_be_heavier(claim, &stands.claim) && !self.settled.contains(&claim.id))
            .collect();
        if heavier.is_empty() {
            let is_anybody = desk.peers.values().any(|remote| remote.claim.is_some());
            let standing = if is_anybody { Standing::Current } else { Standing::Unknown };
            return self.set_standing(desk, standing);
        }
        self.set_standing(desk, Standing::Syncing);
        if self.is_stale || self.is_asking {
            return self.look_up(desk);
        }
        let Some((stands, _)) = &self.stands else { return };
        let rested = heavier.iter().filter(|(peer, _)| !desk.is_resting(*peer));
        let best = rested
            .max_by_key(|(peer, claim)| (desk.trust(*peer), claim.recent_work, claim.work, Reverse(*peer)));
        if let Some((peer, claim)) = best {
            self.next_job = self.next_job.saturating_add(1);
            self.job = Some(Job::begin(desk, &self.params, self.next_job, (*peer, *claim), stands));
        }
    }

    fn end(&mut self, desk: &mut Desk, ending: Ending) {
        let Some(job) = self.job.take() else { return };
        let (leader, claim) = (job.leader(), job.claim());
        job.farewell(desk);
        self.is_stale = true;
        if let Some(remote) = desk.peers.get_mut(&leader) {
            remote.claim = remote.claim.filter(|newer| newer.id != claim.id);
            remote.tip_asked = None;
        }
        match ending {
            Ending::Settled => self.settled.insert(claim.id),
            Ending::Fault(fault) => {
                self.settled.insert(claim.id);
                desk.fault(leader, fault);
            }
            Ending::Broken | Ending::Hopeless => desk.rest(leader),
        }
        Self::ask_tip(desk, leader);
        self.look_up(desk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use primitive_types::U256;
    use sharechain::target::Work;
    use sharechain::units::Height;

    fn claim(n: u8, recent_work: u64, work: u64) -> TipClaim {
        let of = |n: u64| Work(U256::from(n));
        TipClaim { id: ShareId([n; 32]), height: Height(9), recent_work: of(recent_work), work: of(work) }
    }

    #[test]
    fn either_number_makes_a_claim_worth_asking() {
        let own = claim(1, 100, 1_000);
        let is = |claim: TipClaim| may_be_heavier(&claim.into(), &own);
        assert!(is(claim(2, 101, 10)), "a node that came later counts less of the past");
        assert!(is(claim(2, 99, 1_001)), "the same branch seen from another Bitcoin tip");
        assert!(!is(claim(2, 100, 1_000)), "a tie changes nothing");
        assert!(!is(claim(1, 200, 2_000)), "the same tip");
    }

    #[test]
    fn settled_tips_are_forgotten_in_order() {
        let mut settled = Settled::default();
        for n in 0..=MAX_SETTLED {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&n.to_le_bytes());
            settled.insert(ShareId(id));
        }
        assert!(!settled.contains(&ShareId([0; 32])));
        assert_eq!(settled.0.len(), MAX_SETTLED);
    }
}
