//! Rules that come into force by signal bits (protocol section 7.4).
//!
//! Whether a rule is in force for a share is a function of the branch below its base, so that the share is judged alike
//! on every branch above it. Nothing of it is saved: it is read from the windows that can be worked out. What lies deeper
//! than those is data of the release, see [`Upgrade::buried`].

use super::ShareChain;
use super::tree::Place;
use crate::params::{SIGNAL_INTERVAL, VERSION};
use crate::share::ShareId;
use crate::units::Height;
use std::collections::BTreeMap;

/// Most remembered states of the heights at which windows are read.
const MAX_PERIODS: usize = 256;

/// A rule that this program knows, and how it comes into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    /// The signal bit, from 0 to 31.
    pub bit: u32,
    /// The version that shares have from then on. Later rules have higher ones.
    pub version: u32,
    /// The least height of bases for which it is in force on every branch that matters, once that is long past and no
    /// window tells.
    pub buried: Option<Height>,
}

/// All rules that this program knows beyond those of version 1. The product knows none yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrades {
    /// The rules.
    pub rules: Vec<Upgrade>,
    /// Windows are read at heights divisible by this, and a rule is in force as many blocks after it locked in.
    pub interval: u32,
}

impl Default for Upgrades {
    fn default() -> Self {
        Self { rules: Vec::new(), interval: SIGNAL_INTERVAL }
    }
}

impl Upgrades {
    /// Whether this program knows what shares of a version mean.
    pub(super) fn knows(&self, version: u32) -> bool {
        version == VERSION || self.rules.iter().any(|rule| rule.version == version)
    }

    /// The bits that this program gives a meaning.
    pub(super) fn known_bits(&self) -> u32 {
        self.rules.iter().fold(0, |bits, rule| bits | mask(rule.bit))
    }
}

/// Signal bits that have locked in at a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedIn {
    /// The bits, as a mask.
    pub bits: u32,
    /// Those of them that this program does not know: a newer release does.
    pub unknown: u32,
    /// Shares whose base has at least this height obey the rules.
    pub active_from: Height,
}

/// Bits in force at the blocks at which windows are read, by height so that the oldest go first.
pub(super) type Periods = BTreeMap<(Height, ShareId), u32>;

const fn mask(bit: u32) -> u32 {
    match 1_u32.checked_shl(bit) {
        Some(mask) => mask,
        None => 0,
    }
}

impl ShareChain {
    /// The same chain under rules that come into force by signal bits.
    pub fn with_upgrades(self, upgrades: Upgrades) -> Self {
        Self { upgrades, ..self }
    }

    /// The version that shares on the tip must have, and the signal bits that jobs on it set.
    pub fn rules_at_tip(&mut self) -> (u32, u32) {
        let parent = self.tree.tip();
        let base = self.base_of(parent).unwrap_or(parent);
        self.version_and_signals(base)
    }

    /// The version that shares on this base must have, and the bits that jobs set: those of known rules that are not in
    /// force there.
    pub(super) fn version_and_signals(&mut self, base: Place) -> (u32, u32) {
        if self.upgrades.rules.is_empty() {
            return (VERSION, 0);
        }
        let active = self.active_bits(base);
        let in_force = self.upgrades.rules.iter().filter(|rule| active & mask(rule.bit) != 0);
        let version = in_force.map(|rule| rule.version).max().unwrap_or(VERSION);
        (version, self.upgrades.known_bits() & !active)
    }

    /// The bits of rules that are in force for shares on this base.
    fn active_bits(&mut self, base: Place) -> u32 {
        let interval = self.upgrades.interval.max(1);
        let height = self.tree.height(base);
        let above = height.0.checked_rem(interval).unwrap_or(0);
        // From the newest height at which windows are read down to one whose state is known, or that is gone.
        let mut unknown = Vec::new();
        let mut at = height.saturating_sub(above);
        let mut bits = loop {
            let Some(place) = self.tree.ancestor(base, at).filter(|place| *place != Place::Root) else {
                break 0;
            };
            if let Some(bits) = self.periods.get(&(at, self.tree.id(place))) {
                break *bits;
            }
            unknown.push(place);
            at = at.saturating_sub(interval);
        };
        // What is in force at one of them is what was at the one before, and what locked in there.
        let below = self.tree.ancestor(base, at).filter(|place| *place != Place::Root);
        let mut before = below;
        while let Some(place) = unknown.pop() {
            bits |= before.map_or(0, |before| self.locked_in_at(before));
            self.periods.insert((self.tree.height(place), self.tree.id(place)), bits);
            before = Some(place);
        }
        if self.periods.len() > MAX_PERIODS {
            self.periods.pop_first();
        }
        let buried = self.upgrades.rules.iter().filter(|rule| rule.buried.is_some_and(|from| height >= from));
        buried.fold(bits, |bits, rule| bits | mask(rule.bit))
    }

    fn locked_in_at(&mut self, place: Place) -> u32 {
        let window = self.desk.window_at(&self.params, &self.tree, place);
        window.map_or(0, crate::window::Window::locks_in)
    }

    /// What locks in at this block, if windows are read at its height.
    pub(super) fn locking_in(&mut self, place: Place) -> Option<LockedIn> {
        let interval = self.upgrades.interval.max(1);
        let height = self.tree.height(place);
        if height.0.checked_rem(interval) != Some(0) {
            return None;
        }
        let bits = self.locked_in_at(place);
        let unknown = bits & !self.upgrades.known_bits();
        let active_from = height.saturating_add(interval);
        (bits != 0).then_some(LockedIn { bits, unknown, active_from })
    }
}
