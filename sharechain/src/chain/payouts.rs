//! What is due at a payout block: the reward window moved there, and the selections made of it, each kept for a while.

use super::tree::{BlockTree, Place};
use crate::params::ChainParams;
use crate::payout::{self, Selection};
use crate::share::ShareId;
use crate::units::BitcoinHeight;
use crate::window::Window;
use bitcoin::BlockHash;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Scores by owner at one payout block, largest first.
pub type Ranking = Arc<Vec<(crate::owner::Owner, crate::units::Score)>>;
/// One selection for each payout class of the chain, in the order of the classes.
pub type Selections = Arc<Vec<Selection>>;

/// Rankings kept: those of the newest payout blocks asked for.
const MAX_RANKINGS: usize = 64;
/// Selections kept.
const MAX_SELECTIONS: usize = 256;
/// Walks down to a payout block that are remembered.
const MAX_WALKS: usize = 256;

/// The one reward window of a chain, at the payout block asked for last, and what was read there.
pub(super) struct PayoutDesk {
    window: Window,
    at: Place,
    rankings: Recent<ShareId, Ranking>,
    selections: Recent<(ShareId, BlockHash, BitcoinHeight), Selections>,
    walks: Recent<(ShareId, BitcoinHeight), ShareId>,
}

impl PayoutDesk {
    pub(super) fn new(params: &ChainParams) -> Self {
        Self {
            window: Window::new(params),
            at: Place::Root,
            rankings: Recent::new(MAX_RANKINGS),
            selections: Recent::new(MAX_SELECTIONS),
            walks: Recent::new(MAX_WALKS),
        }
    }

    /// The first block with a Bitcoin height lower than `bitcoin_height`, from `newest` down in steps of `interval`; the
    /// chain id below all of them, none where the way there has been pruned.
    ///
    /// In a long Bitcoin interval that is far down, and every share asks: so of each walk it is remembered how far down
    /// all was too high, and a walk that meets an earlier one goes on from there.
    pub(super) fn payout_block(
        &mut self,
        tree: &BlockTree,
        newest: Place,
        interval: u32,
        bitcoin_height: BitcoinHeight,
    ) -> Option<Place> {
        let is_too_high = |place| tree.get(place).is_some_and(|block| block.bitcoin_height >= bitcoin_height);
        let (mut at, mut lowest, mut steps) = (newest, newest, 0_u32);
        while is_too_high(at) {
            let earlier = self.walks.get(&(tree.id(at), bitcoin_height)).and_then(|id| tree.find(id));
            lowest = earlier.filter(|place| tree.stem(*place) == tree.stem(at)).unwrap_or(at);
            at = tree.ancestor(lowest, tree.height(lowest).saturating_sub(interval))?;
            steps = steps.saturating_add(1);
        }
        // One step is no more than a look-up would be.
        if steps > 1 {
            self.walks.insert((tree.id(newest), bitcoin_height), tree.id(lowest));
        }
        Some(at)
    }

    /// The selections for a coinbase at this Bitcoin height on this prev_block, paid by the window at `payout_block`;
    /// none where that window reaches into blocks that have been pruned.
    pub(super) fn selections(
        &mut self,
        params: &ChainParams,
        tree: &BlockTree,
        payout_block: Place,
        (prev_block, height): (BlockHash, BitcoinHeight),
    ) -> Option<Selections> {
        let key = (tree.id(payout_block), prev_block, height);
        if let Some(selections) = self.selections.get(&key) {
            return Some(selections.clone());
        }
        let ranking = self.ranking(params, tree, payout_block)?;
        let selections = Arc::new(payout::select_all(params, &ranking, prev_block, height));
        self.selections.insert(key, selections.clone());
        Some(selections)
    }

    /// Scores by owner in the window at `payout_block`.
    pub(super) fn ranking(
        &mut self,
        params: &ChainParams,
        tree: &BlockTree,
        payout_block: Place,
    ) -> Option<Ranking> {
        let id = tree.id(payout_block);
        if let Some(ranking) = self.rankings.get(&id) {
            return Some(ranking.clone());
        }
        let ranking = Arc::new(self.window_at(params, tree, payout_block)?.ranked());
        self.rankings.insert(id, ranking.clone());
        Some(ranking)
    }

    /// The reward window at `target`.
    pub(super) fn window_at(
        &mut self,
        params: &ChainParams,
        tree: &BlockTree,
        target: Place,
    ) -> Option<&Window> {
        if target != self.at && !self.walk_to(tree, target) {
            (self.window, self.at) = match window_from(params, tree, target) {
                Some(window) => (window, target),
                // The walk may have moved the old one already.
                None => (Window::new(params), Place::Root),
            };
        }
        (target == self.at).then_some(&self.window)
    }

    /// Must be called before blocks are pruned from the tree: the window may stand on one of them.
    pub(super) fn before_pruning(&mut self, params: &ChainParams, tree: &BlockTree, tip: Place) {
        if tree.height(self.at) < tree.height(tip) {
            self.window_at(params, tree, tip);
        }
    }

    /// Moves the window to `place`, where blocks of other stems are about to go.
    pub(super) fn move_to(&mut self, params: &ChainParams, tree: &BlockTree, place: Place) {
        self.window_at(params, tree, place);
    }

    /// Undoes and redoes blocks from where the window is; false when it is too far or has been pruned, and then the
    /// window may be anywhere.
    fn walk_to(&mut self, tree: &BlockTree, target: Place) -> bool {
        let Some(fork) = tree.common_ancestor(self.at, target) else { return false };
        let undo = tree.height(self.at).0.saturating_sub(tree.height(fork).0);
        let redo = tree.height(target).0.saturating_sub(tree.height(fork).0);
        // Far away, building the window anew is no dearer than walking.
        if undo.saturating_add(redo) > crate::params::MAX_REORG_DEPTH {
            return false;
        }
        if (0..undo).any(|_| self.window.pop().is_none()) {
            return false;
        }
        let steps = usize::try_from(redo).unwrap_or(usize::MAX);
        let mut path: Vec<_> = tree.back_from(target, steps).map(|block| block.credits.clone()).collect();
        path.reverse();
        path.into_iter().for_each(|credits| self.window.push(credits));
        self.at = target;
        true
    }
}

/// The window at `target` built anew; none when so many blocks have been pruned that it might reach into them.
fn window_from(params: &ChainParams, tree: &BlockTree, target: Place) -> Option<Window> {
    let blocks = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
    let path: Vec<_> = tree.back_from(target, blocks(Window::useful_path(params))).collect();
    let reaches_root = path.last().is_none_or(|oldest| oldest.parent == tree.id(Place::Root));
    let is_enough = reaches_root || path.len() >= blocks(params.window_blocks);
    is_enough.then(|| Window::from_path(params, path.into_iter().rev().map(|block| block.credits.clone())))
}

/// A map that keeps what was put in last.
struct Recent<K, V> {
    values: BTreeMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
    next: u64,
    max: usize,
}

impl<K: Ord + Clone, V> Recent<K, V> {
    const fn new(max: usize) -> Self {
        Self { values: BTreeMap::new(), order: BTreeMap::new(), next: 0, max }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key).map(|(_, value)| value)
    }

    fn insert(&mut self, key: K, value: V) {
        self.next = self.next.saturating_add(1);
        if let Some((earlier, _)) = self.values.insert(key.clone(), (self.next, value)) {
            self.order.remove(&earlier);
        }
        self.order.insert(self.next, key);
        if self.order.len() > self.max
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.values.remove(&oldest);
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "an overflow fails the test")]
mod tests {
    use super::*;
    use crate::chain::{BlockSummary, Freshness};
    use crate::owner::Owner;
    use crate::target::Work;
    use crate::units::{Height, UnixTime};
    use crate::window::BlockCredits;
    use bitcoin::hashes::Hash;
    use bitcoin::{CompactTarget, ScriptBuf};

    const INTERVAL: u32 = 4;

    fn id(branch: u8, height: u32) -> ShareId {
        let mut id = [branch; 32];
        id[..4].copy_from_slice(&height.to_be_bytes());
        ShareId(id)
    }

    /// A block whose Bitcoin height rises every 60 blocks and now and then falls back by one, as on a stale Bitcoin block.
    fn block(id: ShareId, parent: ShareId, height: u32) -> BlockSummary {
        let script = [&[0x51, 0x20][..], &[7; 32]].concat();
        let lister = Owner::new(&ScriptBuf::from_bytes(script)).expect("P2TR");
        BlockSummary {
            id,
            parent,
            height: Height(height),
            time: UnixTime(height),
            bits: CompactTarget::from_consensus(0x207f_ffff),
            work: Work::ZERO,
            bitcoin_height: BitcoinHeight(10 + height / 60 - u32::from(height % 12 == 8)),
            prev_block: BlockHash::all_zeros(),
            listed_on: Box::default(),
            freshness: Freshness::default(),
            credits: Arc::new(BlockCredits { lister, own: None, listed: Vec::new() }),
            credited: Arc::new(Vec::new()),
        }
    }

    /// A branch of 200 blocks, and one that leaves it at 120.
    fn tree(params: &ChainParams) -> BlockTree {
        let mut tree = BlockTree::new(params.chain_id());
        for height in 1..=200 {
            let parent = if height == 1 { params.chain_id().as_block() } else { id(0, height - 1) };
            let place = tree.insert(block(id(0, height), parent, height));
            tree.activate(place);
        }
        for height in 121..=180 {
            let parent = if height == 121 { id(0, 120) } else { id(1, height - 1) };
            tree.insert(block(id(1, height), parent, height));
        }
        tree
    }

    /// The definition, step by step.
    fn by_definition(tree: &BlockTree, newest: Place, bitcoin_height: BitcoinHeight) -> Option<Place> {
        let mut height = tree.height(newest);
        loop {
            let place = tree.ancestor(newest, height)?;
            match tree.get(place) {
                Some(block) if block.bitcoin_height >= bitcoin_height => {
                    height = height.saturating_sub(INTERVAL);
                }
                _ => return Some(place),
            }
        }
    }

    fn compare(desk: &mut PayoutDesk, tree: &BlockTree) {
        for block in tree.iter().filter(|block| block.height.0 % INTERVAL == 0) {
            let newest = tree.find(&block.id).expect("in the tree");
            for bitcoin_height in (9..=14).map(BitcoinHeight) {
                assert_eq!(
                    desk.payout_block(tree, newest, INTERVAL, bitcoin_height),
                    by_definition(tree, newest, bitcoin_height),
                    "from {} for a Bitcoin height of {}",
                    block.height.0,
                    bitcoin_height.0
                );
            }
        }
    }

    #[test]
    fn remembered_walks_lead_where_all_walks_lead() {
        let params = ChainParams::main();
        let (mut desk, mut tree) = (PayoutDesk::new(&params), tree(&params));
        compare(&mut desk, &tree);
        compare(&mut desk, &tree);
        // What was remembered of a way that has been cut off leads no further than the way itself.
        for cut in [6, 50, 130] {
            let gone = tree.ids_below(Height(cut), None);
            tree.forget(&gone);
            compare(&mut desk, &tree);
        }
    }

    #[test]
    fn a_walk_that_meets_an_earlier_one_goes_on_from_there() {
        let params = ChainParams::main();
        let (mut desk, tree) = (PayoutDesk::new(&params), tree(&params));
        let at = |height| tree.find(&id(0, height));
        let newest = at(104).expect("in the tree");
        assert_eq!(by_definition(&tree, newest, BitcoinHeight(10)), at(56));
        // That it does is seen by what is not so.
        desk.walks.insert((id(0, 100), BitcoinHeight(10)), id(0, 40));
        assert_eq!(desk.payout_block(&tree, newest, INTERVAL, BitcoinHeight(10)), at(32));
        assert_eq!(desk.walks.get(&(id(0, 104), BitcoinHeight(10))), Some(&id(0, 36)));
    }
}
