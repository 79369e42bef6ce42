//! Miners that do not play by the book.

use super::node::{Mined, Twist};
use super::queue::Moment;
use super::settings::Strategy;
use sharechain::chain::ShareChain;
use sharechain::params::FUTURE_DROP;
use sharechain::units::{Height, UnixTime};
use std::collections::VecDeque;
use std::sync::Arc;

/// Seconds below the future limit that the zigzag keeps, so that messages on their way do not arrive too early.
const CLOCK_MARGIN: u32 = 2;

/// Seconds that are more than blocks' times are ever behind, and less than a header's may be ahead of its commitment's.
const LONG_AGO: u32 = 3_600;

/// What a strategist keeps in mind.
#[derive(Debug, Default)]
pub struct Mind {
    /// Own blocks that nobody else has seen, lowest first.
    withheld: VecDeque<Arc<Mined>>,
    /// The height of the best block that others published.
    public: Height,
    /// The height of its own and others' public branches while they are of one length.
    race: Option<Height>,
}

impl Mind {
    /// How the next job, on a tip of this height, departs from what the chain proposes.
    pub fn twist(
        strategy: Option<Strategy>,
        future_limit: u32,
        now: Moment,
        tip: Height,
        class: u16,
    ) -> Twist {
        let ahead = future_limit.min(FUTURE_DROP).saturating_sub(CLOCK_MARGIN);
        let highest = now.unix().saturating_add(ahead);
        // Some time long ago, of which the chain makes the lowest that it allows.
        let lowest = UnixTime(now.unix().0.saturating_sub(LONG_AGO));
        let clock = match strategy {
            Some(Strategy::LowestTime) => Some(lowest),
            Some(Strategy::ZigzagTime) if tip.0.is_multiple_of(2) => Some(lowest),
            Some(Strategy::ZigzagTime) => Some(highest),
            _ => None,
        };
        Twist {
            clock,
            own_only: strategy == Some(Strategy::Censor),
            pick_class: strategy == Some(Strategy::Picker),
            class,
        }
    }

    /// A selfish miner found something, and its own chain has taken it: what it publishes now.
    pub fn found(&mut self, mined: Arc<Mined>, became_tip: bool) -> Vec<Arc<Mined>> {
        if !mined.is_block() || !became_tip {
            return vec![mined];
        }
        self.withheld.push_back(mined);
        if self.race.take().is_some() { self.publish_to(Height(u32::MAX)) } else { Vec::new() }
    }

    /// Others published a block at this height, and the selfish miner's own chain has taken it: what it publishes.
    pub fn heard(&mut self, height: Height, own: &ShareChain) -> Vec<Arc<Mined>> {
        self.public = self.public.max(height);
        let Some(last) = self.withheld.back() else {
            self.race = self.race.filter(|race| height <= *race);
            return Vec::new();
        };
        let (top, id) = (last.height(), last.bound.id());
        if !own.is_active(&id) {
            // Overtaken. The blocks are worth nothing as blocks any more, but all as shares.
            self.race = None;
            return self.publish_to(Height(u32::MAX));
        }
        let lead = top.0.saturating_sub(self.public.0);
        match lead {
            0 => {
                self.race = Some(top);
                self.publish_to(top)
            }
            1 => self.publish_to(top),
            _ => self.publish_to(self.public),
        }
    }

    fn publish_to(&mut self, height: Height) -> Vec<Arc<Mined>> {
        let count = self.withheld.iter().take_while(|block| block.height() <= height);
        let count = count.count();
        self.withheld.drain(..count).collect()
    }
}
