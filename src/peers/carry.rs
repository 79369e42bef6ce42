//! What the logic asks of the chain, carried out: at once on a keeper (the simulator and tests do that), or by the
//! writer's handle (see [`super::driver`]); and what others do to the chain, as the logic wants to hear of it.

use super::io::{Branch, ChainAnswer, ChainRequest, Look, News, Stands};
use crate::chain::{ChainEvent, Extended, Keeper, OWN_MINERS};
use sharechain::chain::ShareChain;
use sharechain::codec::Decode;
use sharechain::error::Refusal;
use sharechain::share::{Share, ShareBlock, ShareId};
use sharechain::store::{Bodies, ShareStore};
use sharechain::units::UnixTime;
use std::sync::Arc;

/// Carries a request out, with what happened by it.
pub fn carry_out<S: ShareStore>(
    keeper: &mut Keeper<S>,
    request: ChainRequest,
    now: UnixTime,
) -> Result<(ChainAnswer, Vec<ChainEvent>), S::Error> {
    let mut events = Vec::new();
    let answer = match request {
        ChainRequest::Submit(submission) => {
            let mut verdict = None;
            events = keeper.take([*submission], now, |judged| {
                verdict.get_or_insert_with(|| judged.verdict.clone());
            })?;
            ChainAnswer::Submitted(verdict.unwrap_or(Err(Refusal::Behind)))
        }
        ChainRequest::Extend(blocks) => {
            let (Extended { taken, refused }, happened) = keeper.extend(blocks, now, |_| {})?;
            events = happened;
            ChainAnswer::Extended { taken, refused }
        }
        ChainRequest::Headers(headers) => {
            let (taken, happened) = keeper.add_headers(&headers, now, |_| {})?;
            events = happened;
            ChainAnswer::Headers(taken)
        }
        ChainRequest::BeginGraft(claim) => ChainAnswer::Begun(keeper.begin_graft(claim)?),
        ChainRequest::Adopt(tip) => {
            ChainAnswer::Adopted(keeper.adopt(tip)?.map(|happened| events = happened))
        }
        ChainRequest::DropGraft => {
            keeper.drop_graft()?;
            ChainAnswer::Done
        }
        ChainRequest::Look(look) => look_up(keeper.chain_mut(), look),
    };
    Ok((answer, events))
}

/// Answers what needs nothing but a look at the chain.
pub fn look_up(chain: &mut ShareChain, look: Look) -> ChainAnswer {
    match look {
        Look::Stand => ChainAnswer::Stands(Stands {
            claim: chain.tip_claim(),
            locator: chain.locator(),
            graft: chain.graft().map(|graft| (graft, chain.graft_locator())),
        }),
        Look::Locate { parent, ids } => {
            let known = ids.iter().take_while(|id| chain.block(id).is_some()).count();
            ChainAnswer::Located { parent: branch(chain, &parent), known }
        }
        Look::Unknown(ids) => {
            ChainAnswer::Unknown(ids.into_iter().filter(|id| chain.shares().get(id).is_none()).collect())
        }
        Look::PassedOver { now } => passed_over(chain, now),
        Look::Weigh(id) => ChainAnswer::Weighs(chain.recent_work(&id)),
    }
}

/// Most shares that are looked after because blocks pass over them: of an hour at the usual rate.
const MAX_PASSED_OVER: usize = 4_096;

fn passed_over(chain: &mut ShareChain, now: UnixTime) -> ChainAnswer {
    let listable = chain.listable(now);
    let shares = listable.into_iter().filter_map(|id| Some((id, chain.shares().get(&id)?.share().clone())));
    let is_passed_over = |share: &Share| share.commitment.height.saturating_add(2) <= chain.height();
    ChainAnswer::PassedOver(shares.filter(|(_, share)| is_passed_over(share)).take(MAX_PASSED_OVER).collect())
}

fn branch(chain: &ShareChain, id: &ShareId) -> Branch {
    if chain.is_grafted(id) {
        Branch::Graft
    } else if *id == chain.id().as_block() || chain.block(id).is_some() {
        Branch::Checked
    } else {
        Branch::Nowhere
    }
}

/// Most shares that peers are told of again after events were missed.
const MAX_TOLD_AGAIN: usize = 128;

/// What peers are to be told when nobody knows what they were told: the tip, and the newest shares that no block lists, as
/// if this node's own miners had just found them. The network drops what repeats byte for byte, so only what it never
/// heard goes round.
pub fn perhaps_untold(chain: &mut ShareChain, now: UnixTime) -> Vec<ChainEvent> {
    let source = OWN_MINERS;
    let tip = chain.block(&chain.tip()).cloned().map(Arc::new);
    let block = tip.map(|block| ChainEvent::Block { block, is_tip: true, source, wanted: false });
    let ids = chain.listable(now);
    let newest = &ids[ids.len().saturating_sub(MAX_TOLD_AGAIN)..];
    let shares = newest.iter().filter_map(|id| chain.shares().get(id));
    block
        .into_iter()
        .chain(shares.map(|share| ChainEvent::Share { share: Arc::new(share.clone()), source }))
        .collect()
}

/// What the logic is to hear of an event: not of the blocks of its own sync. The share of a block is read from the
/// bodies, since an event does not carry it.
pub fn news(event: &ChainEvent, bodies: &Bodies) -> Option<News> {
    match event {
        ChainEvent::Share { share, source } => {
            Some(News::Share { id: share.id(), share: share.share().clone(), own: *source == OWN_MINERS })
        }
        ChainEvent::Block { block, source, wanted: false, .. } => {
            let body = bodies.get(block.height, &block.id).ok()??;
            let ShareBlock { share, .. } = ShareBlock::from_bytes(&body).ok()?;
            let listed = block.listed().to_vec();
            Some(News::Block { id: block.id, share, listed, own: *source == OWN_MINERS })
        }
        ChainEvent::Block { .. }
        | ChainEvent::Reorganised(_)
        | ChainEvent::TooDeep(_)
        | ChainEvent::LockedIn(_)
        | ChainEvent::Adopted { .. }
        | ChainEvent::BitcoinTip(_)
        | ChainEvent::HeaderWanted(_) => None,
    }
}
