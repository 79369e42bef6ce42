//! Answers to other nodes' questions, from the chain in memory and the bodies.

use super::wire::{
    BlocksAnswer, HeadersAnswer, IdsAnswer, MAX_HEADERS, MAX_IDS, Question, SharesAnswer, TipAnswer,
};
use bitcoin::BlockHash;
use bitcoin::block::Header;
use sharechain::chain::{BranchIds, ShareChain};
use sharechain::codec::Encode;
use sharechain::share::{Share, ShareId};
use sharechain::store::{Bodies, BodyError};
use sharechain::units::Height;

/// Bytes of bodies after which no more are put into an answer.
pub const ENOUGH_BYTES: usize = 1 << 20;

/// Answers what needs the chain in memory; none for [`Question::Blocks`], which does not.
pub fn from_chain(chain: &mut ShareChain, question: &Question) -> Option<Vec<u8>> {
    match question {
        Question::Tip => Some(TipAnswer::from(chain.tip_claim()).to_bytes()),
        Question::Ids { locator } => {
            let BranchIds { from, parent, ids } = chain.ids_after(locator, MAX_IDS);
            Some(IdsAnswer { from, parent, ids }.to_bytes())
        }
        Question::Shares { ids } => {
            let known = ids.iter().filter_map(|id| chain.shares().get(id));
            let shares = known.map(|share| Share::clone(share.share())).collect();
            Some(SharesAnswer { shares }.to_bytes())
        }
        Question::BitcoinHeaders { hash } => {
            Some(HeadersAnswer { headers: headers_up_to(chain, *hash) }.to_bytes())
        }
        Question::Blocks { .. } => None,
    }
}

/// The header with this hash behind those before it, as far as an answer reaches.
fn headers_up_to(chain: &ShareChain, hash: BlockHash) -> Vec<Header> {
    let next = |header: &Header| chain.headers().get(&header.prev_blockhash).map(|info| info.header);
    let last = chain.headers().get(&hash).map(|info| info.header);
    let mut headers: Vec<Header> = core::iter::successors(last, next).take(MAX_HEADERS).collect();
    headers.reverse();
    headers
}

/// Answers [`Question::Blocks`]: the blocks at consecutive heights, as many as there is room for, up to the first that is
/// not there. Blocks the thread for the disk.
pub fn from_bodies(bodies: &Bodies, from: Height, ids: &[ShareId]) -> Result<Vec<u8>, BodyError> {
    let (mut blocks, mut bytes) = (Vec::new(), 0_usize);
    for (height, id) in (from.0..).zip(ids) {
        let Some(block) = bodies.get(Height(height), id)? else { break };
        bytes = bytes.saturating_add(block.len());
        if bytes > ENOUGH_BYTES && !blocks.is_empty() {
            break;
        }
        blocks.push(block);
    }
    Ok(BlocksAnswer { blocks }.to_bytes())
}
