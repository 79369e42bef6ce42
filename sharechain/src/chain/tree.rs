//! The tree of share blocks: parents, the active branch, and walking between the two. It judges nothing.

use super::summary::BlockSummary;
use crate::params::{ChainId, MEDIAN_SPAN};
use crate::share::ShareId;
use crate::target::Work;
use crate::units::{Height, UnixTime};
use core::ops::RangeBounds;
use std::collections::{BTreeMap, BTreeSet};

/// Where a block stands in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The chain id, below the first block.
    Root,
    /// A block.
    At(usize),
}

/// A connected piece of the tree. The chain id's own is 0; every block that came without its parent begins another.
/// Blocks of different stems have no common ancestor in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stem(u32);

struct Node {
    summary: BlockSummary,
    stem: Stem,
    /// None when the parent has been pruned.
    parent: Option<Place>,
}

/// Blocks by id in a slab, so that walking needs no look-up, and the active branch by height, so that looking far
/// back needs no walk.
pub(super) struct BlockTree {
    root: ShareId,
    nodes: Vec<Option<Node>>,
    free: Vec<usize>,
    by_id: BTreeMap<ShareId, usize>,
    by_height: BTreeMap<Height, Vec<usize>>,
    active: BTreeMap<Height, usize>,
    leaves: BTreeSet<usize>,
    stems: u32,
}

impl BlockTree {
    pub(super) fn new(chain: ChainId) -> Self {
        Self {
            root: chain.as_block(),
            nodes: Vec::new(),
            free: Vec::new(),
            by_id: BTreeMap::new(),
            by_height: BTreeMap::new(),
            active: BTreeMap::new(),
            leaves: BTreeSet::new(),
            stems: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn find(&self, id: &ShareId) -> Option<Place> {
        if *id == self.root { Some(Place::Root) } else { self.by_id.get(id).map(|slot| Place::At(*slot)) }
    }

    pub(super) fn get(&self, place: Place) -> Option<&BlockSummary> {
        self.node(place).map(|node| &node.summary)
    }

    fn node(&self, place: Place) -> Option<&Node> {
        match place {
            Place::Root => None,
            Place::At(slot) => self.nodes.get(slot)?.as_ref(),
        }
    }

    pub(super) fn id(&self, place: Place) -> ShareId {
        self.get(place).map_or(self.root, |summary| summary.id)
    }

    pub(super) fn height(&self, place: Place) -> Height {
        self.get(place).map_or(Height::ROOT, |summary| summary.height)
    }

    pub(super) fn work(&self, place: Place) -> Work {
        self.get(place).map_or(Work::ZERO, |summary| summary.work)
    }

    /// The piece of the tree that a block hangs together with.
    pub(super) fn stem(&self, place: Place) -> Stem {
        self.node(place).map(|node| node.stem).unwrap_or_default()
    }

    /// The parent, unless there is none or it has been pruned.
    pub(super) fn parent(&self, place: Place) -> Option<Place> {
        self.node(place)?.parent
    }

    /// All blocks, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &BlockSummary> {
        self.nodes.iter().flatten().map(|node| &node.summary)
    }

    /// The blocks without children.
    pub(super) fn leaves(&self) -> impl Iterator<Item = Place> {
        self.leaves.iter().map(|slot| Place::At(*slot))
    }

    /// The tip of the active branch.
    pub(super) fn tip(&self) -> Place {
        self.active.last_key_value().map_or(Place::Root, |(_, slot)| Place::At(*slot))
    }

    /// The lowest height of the active branch that is here.
    pub(super) fn lowest_active(&self) -> Option<Height> {
        self.active.first_key_value().map(|(height, _)| *height)
    }

    pub(super) fn is_active(&self, place: Place) -> bool {
        match place {
            Place::Root => true,
            Place::At(slot) => self.active.get(&self.height(place)) == Some(&slot),
        }
    }

    pub(super) fn active_at(&self, height: Height) -> Option<Place> {
        if height == Height::ROOT {
            Some(Place::Root)
        } else {
            self.active.get(&height).map(|slot| Place::At(*slot))
        }
    }

    /// All blocks at a height, of whatever branch.
    pub(super) fn all_at(&self, height: Height) -> impl Iterator<Item = Place> {
        self.by_height.get(&height).into_iter().flatten().map(|slot| Place::At(*slot))
    }

    /// The ancestor of `place` (or itself) at `height`, unless that is above it or pruned.
    pub(super) fn ancestor(&self, place: Place, height: Height) -> Option<Place> {
        // All blocks descend from the chain id, whatever lies between.
        if height == Height::ROOT {
            return Some(Place::Root);
        }
        let mut at = place;
        loop {
            match self.height(at).cmp(&height) {
                core::cmp::Ordering::Less => return None,
                core::cmp::Ordering::Equal => return Some(at),
                core::cmp::Ordering::Greater if self.is_active(at) => return self.active_at(height),
                core::cmp::Ordering::Greater => at = self.parent(at)?,
            }
        }
    }

    /// Whether `older` is `newer` or one of its ancestors.
    pub(super) fn is_ancestor(&self, older: Place, newer: Place) -> bool {
        older == Place::Root
            || (self.stem(older) == self.stem(newer)
                && self.ancestor(newer, self.height(older)) == Some(older))
    }

    /// The newest block that is both or an ancestor of both, unless pruned.
    pub(super) fn common_ancestor(&self, a: Place, b: Place) -> Option<Place> {
        if self.stem(a) != self.stem(b) {
            return None;
        }
        let lower = self.height(a).min(self.height(b));
        let (mut a, mut b) = (self.ancestor(a, lower)?, self.ancestor(b, lower)?);
        while a != b {
            (a, b) = (self.parent(a)?, self.parent(b)?);
        }
        Some(a)
    }

    /// The block and its ancestors, newest first, up to `count` of them.
    pub(super) fn back_from(&self, place: Place, count: usize) -> impl Iterator<Item = &BlockSummary> {
        core::iter::successors(Some(place), |at| self.parent(*at)).map_while(|at| self.get(at)).take(count)
    }

    /// Median of the times of the block and its 10 ancestors; fewer near the root, none at it.
    pub(super) fn median_time(&self, place: Place) -> Option<UnixTime> {
        let mut times: Vec<_> = self.back_from(place, MEDIAN_SPAN).map(|block| block.time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }

    /// Adds a block. One whose parent is not here begins a stem: the lowest of a pruned chain that is being loaded, or
    /// the first of a chain from the middle.
    pub(super) fn insert(&mut self, summary: BlockSummary) -> Place {
        let (id, height) = (summary.id, summary.height);
        let parent = self.find(&summary.parent);
        if let Some(Place::At(slot)) = parent {
            self.leaves.remove(&slot);
        }
        let stem = match parent {
            Some(parent) => self.stem(parent),
            None => self.new_stem(),
        };
        let node = Some(Node { parent, stem, summary });
        let slot = if let Some(slot) = self.free.pop() {
            self.nodes[slot] = node;
            slot
        } else {
            self.nodes.push(node);
            self.nodes.len().saturating_sub(1)
        };
        self.leaves.insert(slot);
        self.by_id.insert(id, slot);
        self.by_height.entry(height).or_default().push(slot);
        Place::At(slot)
    }

    /// Makes the branch that ends at `tip` the active one.
    pub(super) fn activate(&mut self, tip: Place) {
        let above = self.height(tip).saturating_add(1);
        drop(self.active.split_off(&above));
        let mut at = tip;
        while let Place::At(slot) = at {
            if self.active.insert(self.height(at), slot) == Some(slot) {
                break;
            }
            match self.parent(at) {
                Some(parent) => at = parent,
                None => break,
            }
        }
    }

    fn new_stem(&mut self) -> Stem {
        self.stems = self.stems.saturating_add(1);
        Stem(self.stems)
    }

    /// Ids of the blocks below `height` that are not of this stem, lowest first.
    pub(super) fn ids_below(&self, height: Height, spared: Option<Stem>) -> Vec<(Height, ShareId)> {
        self.ids_where(..height, |stem| Some(stem) != spared)
    }

    /// Ids of the blocks of this stem, lowest first.
    pub(super) fn ids_of(&self, stem: Stem) -> Vec<(Height, ShareId)> {
        self.ids_where(.., |other| other == stem)
    }

    /// Ids of the blocks of all other stems, lowest first.
    pub(super) fn ids_but_of(&self, stem: Stem) -> Vec<(Height, ShareId)> {
        self.ids_where(.., |other| other != stem)
    }

    fn ids_where(
        &self,
        heights: impl RangeBounds<Height>,
        wanted: impl Fn(Stem) -> bool,
    ) -> Vec<(Height, ShareId)> {
        let slots = self.by_height.range(heights).flat_map(|(_, slots)| slots);
        let nodes = slots.filter_map(|slot| self.node(Place::At(*slot))).filter(|node| wanted(node.stem));
        nodes.map(|node| (node.summary.height, node.summary.id)).collect()
    }

    /// Forgets these blocks. Their children stay and have no parent any more.
    pub(super) fn forget(&mut self, blocks: &[(Height, ShareId)]) {
        for (height, id) in blocks {
            let Some(slot) = self.by_id.remove(id) else { continue };
            if let Some(slots) = self.by_height.get_mut(height) {
                slots.retain(|other| *other != slot);
                if slots.is_empty() {
                    self.by_height.remove(height);
                }
            }
            if self.active.get(height) == Some(&slot) {
                self.active.remove(height);
            }
            self.leaves.remove(&slot);
            for child in self.by_height.get(&height.saturating_add(1)).into_iter().flatten() {
                if let Some(Some(node)) = self.nodes.get_mut(*child)
                    && node.parent == Some(Place::At(slot))
                {
                    node.parent = None;
                }
            }
            if let Some(node) = self.nodes.get_mut(slot) {
                *node = None;
                self.free.push(slot);
            }
        }
    }
}
