//! Counts kept while a run goes on: messages, reorganisations, heals, and what a picker could have had.

use super::node::Mined;
use super::queue::Moment;
use super::settings::Settings;
use bitcoin::BlockHash;
use sharechain::chain::ShareChain;
use sharechain::error::Refusal;
use sharechain::owner::Owner;
use sharechain::payout;
use sharechain::share::ShareId;
use sharechain::units::{BitcoinHeight, Height};
use std::collections::BTreeMap;

/// The counts of one run, those of the warm-up left out.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    warm_up: Moment,
    /// Shares that are no blocks, and share blocks, published.
    pub messages: [u64; 2],
    /// Their bytes.
    pub bytes: [u64; 2],
    /// How often a node left so many blocks.
    pub reorganisations: BTreeMap<u32, u64>,
    /// Ends of splits.
    pub heals: Vec<Heal>,
    /// What each owner could have had by picking, at each new Bitcoin block.
    pub responses: Vec<Response>,
    /// What nodes refused of others, which should be nothing.
    pub refused: BTreeMap<String, u64>,
    /// What nodes refused of their own miners.
    pub own_refused: BTreeMap<String, u64>,
    /// Bytes that each node sent, in the relayed network.
    pub bytes_up: Vec<u64>,
    /// Bytes that each node received there.
    pub bytes_down: Vec<u64>,
    /// Messages that came to nodes there, and those that they had not seen.
    pub copies: u64,
    /// The latter.
    pub first_copies: u64,
    /// Bans, by reason.
    pub bans: BTreeMap<String, u64>,
    /// Questions between nodes.
    pub questions: u64,
    /// Events of the simulation.
    pub events: u64,
}

/// The end of a split.
#[derive(Clone, Copy, Debug)]
pub struct Heal {
    /// Which split, by its place in the settings.
    pub partition: usize,
    /// When the split ended.
    pub at: Moment,
    /// The highest tip then.
    pub height: Height,
    /// When all nodes were on one branch again, and the height that it had by then.
    pub done: Option<(Moment, Height)>,
}

/// Sums over Bitcoin blocks of one owner's part of a coinbase.
#[derive(Clone, Copy, Debug, Default)]
pub struct Response {
    /// How many Bitcoin blocks.
    pub count: u32,
    /// The part that is due.
    pub due: f64,
    /// The part in the best class.
    pub best_class: f64,
    /// The part in the best class and base.
    pub best_base: f64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(settings: &Settings) -> Self {
        Self {
            warm_up: Moment::at_seconds(settings.warm_up_hours * 3_600.0),
            responses: vec![Response::default(); settings.nodes],
            bytes_up: vec![0; settings.nodes],
            bytes_down: vec![0; settings.nodes],
            ..Self::default()
        }
    }

    /// Something was published.
    pub fn message(&mut self, now: Moment, mined: &Mined) {
        if now >= self.warm_up {
            let kind = usize::from(mined.is_block());
            self.messages[kind] += 1;
            self.bytes[kind] += mined.bytes() as u64;
        }
    }

    /// A node refused something of another for good.
    pub fn refusal(&mut self, refusal: Option<&Refusal>) {
        count(&mut self.refused, refusal);
    }

    /// A node refused something of its own miners for good.
    pub fn own_refusal(&mut self, refusal: Option<&Refusal>) {
        count(&mut self.own_refused, refusal);
    }

    /// A node changed its branch.
    pub fn reorganisation(&mut self, now: Moment, depth: u32) {
        if now >= self.warm_up {
            *self.reorganisations.entry(depth).or_default() += 1;
        }
    }

    /// A node sent bytes.
    pub fn upload(&mut self, node: usize, bytes: usize) {
        self.bytes_up[node] += bytes as u64;
    }

    /// A node received bytes.
    pub fn download(&mut self, node: usize, bytes: usize) {
        self.bytes_down[node] += bytes as u64;
    }

    /// A message came to a node, which had not seen it if it is new.
    pub const fn copy(&mut self, is_new: bool) {
        self.copies += 1;
        self.first_copies += is_new as u64;
    }

    /// A node banned another, which among honest nodes never happens.
    pub fn banned(&mut self, reason: String) {
        *self.bans.entry(reason).or_default() += 1;
    }

    /// The warm-up is over: what it counted of bytes is not to count.
    pub fn warmed_up(&mut self) {
        self.bytes_up.fill(0);
        self.bytes_down.fill(0);
        (self.copies, self.first_copies, self.questions) = (0, 0, 0);
    }

    /// A split ended.
    pub fn split_ended(&mut self, partition: usize, at: Moment, height: Height) {
        self.heals.push(Heal { partition, at, height, done: None });
    }

    /// Whether some split has ended without all nodes being on one branch yet.
    pub fn is_healing(&self) -> bool {
        self.heals.iter().any(|heal| heal.done.is_none())
    }

    /// Looks whether all nodes are on one branch that is longer than any was when the split ended.
    pub fn look_for_heal<'a>(&mut self, now: Moment, chains: impl Iterator<Item = &'a ShareChain> + Clone) {
        let common = chains.clone().map(ShareChain::height).min().unwrap_or_default();
        let mut ids = chains.clone().map(|chain| chain.block_at(common).map(|block| block.id));
        let first = ids.next();
        let is_one = ids.all(|id| Some(id) == first);
        let highest = chains.map(ShareChain::height).max().unwrap_or_default();
        for heal in self.heals.iter_mut().filter(|heal| heal.done.is_none()) {
            if is_one && common > heal.height {
                heal.done = Some((now, highest));
            }
        }
    }

    /// A new Bitcoin block: what each owner's part of a coinbase on it is, by class and base.
    pub fn best_response(&mut self, now: Moment, chain: &mut ShareChain, tip: BlockHash, owners: &[Owner]) {
        let Some(header) = chain.headers().get(&tip).filter(|_| now >= self.warm_up) else { return };
        let height = BitcoinHeight(header.height.0 + 1);
        let blocks = payout_blocks(chain, height);
        let parts: Vec<Vec<Parts>> = blocks.iter().map(|block| parts_at(chain, block, tip, height)).collect();
        for (owner, response) in owners.iter().zip(&mut self.responses) {
            let of = |parts: &Parts| parts.get(owner).copied().unwrap_or(0.0);
            let best = |parts: &Vec<Parts>| parts[1..].iter().map(of).fold(0.0, f64::max);
            let Some(newest) = parts.first() else { continue };
            response.count += 1;
            response.due += of(&newest[0]);
            response.best_class += best(newest);
            response.best_base += parts.iter().map(best).fold(0.0, f64::max);
        }
    }
}

/// Parts of a coinbase by owner.
type Parts = BTreeMap<Owner, f64>;

/// The parts that the window at a payout block gives: exactly, then in each class.
fn parts_at(
    chain: &mut ShareChain,
    payout_block: &ShareId,
    prev: BlockHash,
    height: BitcoinHeight,
) -> Vec<Parts> {
    let ranking = chain.ranking(payout_block).unwrap_or_default();
    let selections = payout::select_all(chain.params(), &ranking, prev, height);
    let parts = |entries: &[(Owner, sharechain::units::Score)]| {
        let total: f64 = entries.iter().map(|(_, score)| score.0 as f64).sum();
        entries.iter().map(|(owner, score)| (*owner, score.0 as f64 / total)).collect::<Parts>()
    };
    let classes = selections.iter().map(|selection| parts(selection.entries()));
    std::iter::once(parts(&ranking)).chain(classes).collect()
}

/// The payout blocks that a share mined now can have, newest first: its base may be that of any parent from which the
/// share can still be listed.
fn payout_blocks(chain: &mut ShareChain, height: BitcoinHeight) -> Vec<ShareId> {
    let params = chain.params();
    let newest = chain.height().0.saturating_sub(params.base_depth);
    let bases = (newest.saturating_sub(params.include_depth - 1)..=newest).rev();
    let id =
        |chain: &ShareChain, height| chain.block_at(height).map_or(chain.id().as_block(), |block| block.id);
    let blocks = bases.filter_map(|base| {
        let base = id(chain, Height(base));
        chain.payout_block_of(&base, height)
    });
    let mut blocks: Vec<ShareId> = blocks.collect();
    // Older bases have older payout blocks.
    blocks.dedup();
    blocks
}

fn count(counts: &mut BTreeMap<String, u64>, refusal: Option<&Refusal>) {
    if let Some(refusal) = refusal.filter(|refusal| is_final(refusal)) {
        *counts.entry(reason(refusal)).or_default() += 1;
    }
}

/// Whether something was refused for good: never what honest nodes send.
pub fn is_final(refusal: &Refusal) -> bool {
    !matches!(refusal, Refusal::Waits(_) | Refusal::Known | Refusal::Behind)
}

/// The kind of a refusal, without the ids in it.
fn reason(refusal: &Refusal) -> String {
    let text = format!("{refusal:?}");
    text.split(['{', '(']).take(2).map(str::trim).collect::<Vec<_>>().join(" ")
}
