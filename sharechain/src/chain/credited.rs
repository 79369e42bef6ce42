//! Which shares have been credited already, as far back from a block as a share can be listed.

use super::tree::{BlockTree, Place};
use crate::share::ShareId;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// The ids at one block. A chain asks for them block after block, and then a step costs what changes.
#[derive(Default)]
pub(super) struct Credited {
    /// The block whose ids these are.
    at: Option<ShareId>,
    /// What it and its ancestors credit, oldest first.
    path: VecDeque<Arc<Vec<ShareId>>>,
    ids: BTreeSet<ShareId>,
}

impl Credited {
    /// From now on: what `place` and its ancestors credit, `depth` blocks in all.
    pub(super) fn move_to(&mut self, tree: &BlockTree, place: Place, depth: usize) {
        let id = tree.id(place);
        if self.at == Some(id) {
            return;
        }
        let parent = tree.parent(place).map(|parent| tree.id(parent));
        match tree.get(place).filter(|_| parent.is_some() && parent == self.at) {
            Some(block) => self.step(block.credited.clone(), depth),
            None => self.read(tree, place, depth),
        }
        self.at = Some(id);
    }

    pub(super) fn contains(&self, id: &ShareId) -> bool {
        self.ids.contains(id)
    }

    /// To a child. No share is credited twice within the depth, so what leaves is not credited by what stays.
    fn step(&mut self, credited: Arc<Vec<ShareId>>, depth: usize) {
        while self.path.len() >= depth.max(1) {
            let Some(oldest) = self.path.pop_front() else { break };
            for id in oldest.iter() {
                self.ids.remove(id);
            }
        }
        self.ids.extend(credited.iter().copied());
        self.path.push_back(credited);
    }

    fn read(&mut self, tree: &BlockTree, place: Place, depth: usize) {
        self.path = tree.back_from(place, depth).map(|block| block.credited.clone()).collect();
        self.path.make_contiguous().reverse();
        self.ids = self.path.iter().flat_map(|credited| credited.iter().copied()).collect();
    }
}
