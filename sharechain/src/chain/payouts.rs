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

/// The one reward window of a chain, at the payout block asked for last, and what was read there.
pub(super) struct PayoutDesk {
    window: Window,
    at: Place,
    rankings: Recent<ShareId, Ranking>,
    selections: Recent<(ShareId, BlockHash, BitcoinHeight), Selections>,
}

impl PayoutDesk {
    pub(super) fn new(params: &ChainParams) -> Self {
        Self {
            window: Window::new(params),
            at: Place::Root,
            rankings: Recent::new(MAX_RANKINGS),
            selections: Recent::new(MAX_SELECTIONS),
        }
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
