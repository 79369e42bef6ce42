//! What must hold of the share chain whatever happens: all nodes agree, undoing leaves no trace, nobody honest is blamed.
//!
//! Random scripts of several miners who hear of each other's work sooner or later.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

mod support;

use proptest::prelude::*;
use sharechain::chain::{JobChoices, ShareChain, Submission};
use sharechain::error::{Blame, Refusal};
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::share::{ShareId, Tag};
use sharechain::store::ShareStore;
use sharechain::target::Target;
use sharechain::units::{Height, Score};
use sharechain::verify::Bound;
use std::collections::BTreeMap;
use support::{Mined, Rig, Want, Work, owner, params, shuffle};

const MINERS: usize = 3;
/// Whom they mine for.
const OWNERS: [u8; MINERS] = [10, 11, 12];

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A miner finds a share.
    Share(usize),
    /// A miner finds a block, so many seconds after the last event.
    Block(usize, u32),
    /// A miner hears of this many of the things that it has not heard of, in the order of a seed.
    Hears(usize, usize, u64),
    /// A Bitcoin block is found, and all hear of it.
    Bitcoin,
}

fn events(most: usize) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0..MINERS).prop_map(Event::Share),
        8 => (0..MINERS, prop_oneof![4 => 1_u32..60, 1 => 60_u32..2_000]).prop_map(|(m, s)| Event::Block(m, s)),
        5 => (0..MINERS, 1_usize..12, any::<u64>()).prop_map(|(m, n, seed)| Event::Hears(m, n, seed)),
        1 => Just(Event::Bitcoin),
    ];
    prop::collection::vec(event, 1..most)
}

/// Small limits on everything, so that windows end by score and by blocks, and depths are reached.
fn small(most_blocks: u32) -> impl Strategy<Value = ChainParams> {
    (1_u128 << 55..1 << 62, 2..most_blocks, 1_u32..6, 3_u32..40, 1_u32..5).prop_map(
        |(window_score, window_blocks, base_depth, include_depth, payout_interval)| ChainParams {
            window_score: Score(window_score),
            window_blocks,
            base_depth,
            include_depth,
            payout_interval,
            max_listed: 6,
            // So easy that mining takes no time.
            easiest_block_target: bitcoin::CompactTarget::from_consensus(0x200f_ffff),
            shares_per_block: 4,
            ..params()
        },
    )
}

/// Several miners and all that they have found.
struct World {
    miners: Vec<Rig>,
    found: Vec<Mined>,
    unheard: Vec<Vec<usize>>,
}

impl World {
    fn new(params: &ChainParams) -> Self {
        let first = Rig::with(params.clone());
        let mut miners = vec![first];
        while miners.len() < MINERS {
            let next = miners[miners.len() - 1].newcomer();
            miners.push(next);
        }
        Self { miners, found: Vec::new(), unheard: vec![Vec::new(); MINERS] }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Share(miner) => self.finds(miner, Want::Share),
            Event::Block(miner, seconds) => {
                self.miners.iter_mut().for_each(|rig| rig.now = rig.now.saturating_add(seconds));
                self.finds(miner, Want::Block);
            }
            Event::Hears(miner, count, seed) => {
                shuffle(&mut self.unheard[miner], seed);
                let count = count.min(self.unheard[miner].len());
                for index in self.unheard[miner].drain(..count).collect::<Vec<_>>() {
                    hears(&mut self.miners[miner], &self.found[index], Vec::new());
                }
            }
            Event::Bitcoin => {
                self.miners[0].bitcoin_block();
                let (tip, now) = (self.miners[0].chain.headers().best(), self.miners[0].now);
                for rig in &mut self.miners[1..] {
                    rig.chain.add_header(tip.header).expect("valid there, valid here");
                    (rig.bitcoin_tip, rig.now) = (tip.hash, now);
                }
            }
        }
    }

    fn finds(&mut self, miner: usize, want: Want) {
        let rig = &mut self.miners[miner];
        let mined = rig.mine(Work::of(OWNERS[miner]), want);
        let applied = rig.take(&mined).expect("one's own work is valid");
        assert_eq!(applied.block.is_some(), want == Want::Block);
        for (other, unheard) in self.unheard.iter_mut().enumerate() {
            if other != miner {
                unheard.push(self.found.len());
            }
        }
        self.found.push(mined);
    }

    /// The first miner hears of all and finds two blocks more, so that one tip is the best beyond doubt.
    fn decide(&mut self) {
        settle(&mut self.miners[0], &self.found, 0);
        self.happens(Event::Block(0, 30));
        self.happens(Event::Block(0, 30));
        let best = self.miners[0].chain.tip();
        let work = |rig: &Rig, id| rig.chain.block(&id).expect("known").work;
        assert!(self.miners.iter().all(|rig| rig.chain.is_empty()
            || work(rig, rig.chain.tip()) < work(&self.miners[0], best)
            || rig.chain.tip() == best));
    }
}

/// What an honest node finds never makes another one blame the sender. Whether anything came of it.
fn hears(rig: &mut Rig, mined: &Mined, bodies: Vec<Bound>) -> bool {
    let submission = Submission { bodies, ..rig.submission(mined) };
    let step = rig.chain.judge(&submission, rig.now);
    let refusals = [step.as_ref().err(), step.as_ref().ok().and_then(|step| step.not_a_block.as_ref())];
    for refusal in refusals.into_iter().flatten() {
        assert_eq!(refusal.blame(), Blame::Nobody, "{refusal}");
    }
    match rig.submit(submission) {
        Ok(applied) => {
            assert!(applied.block.is_some() || applied.share.is_some(), "something came of it");
            true
        }
        Err(_) => false,
    }
}

/// Gives a node everything in the order of a seed, and then again, with the bodies of what blocks list, until nothing
/// changes: a node asks for what it misses.
fn settle(rig: &mut Rig, found: &[Mined], seed: u64) {
    let mut found = found.to_vec();
    shuffle(&mut found, seed);
    for mined in &found {
        hears(rig, mined, Vec::new());
    }
    let bodies: BTreeMap<_, _> =
        found.iter().map(|mined| rig.bind(&mined.share)).map(|b| (b.id(), b)).collect();
    let listed = |mined: &Mined| mined.includes.iter().map(|id| bodies[id].clone()).collect();
    while found.iter().filter(|mined| hears(rig, mined, listed(mined))).count() > 0 {}
}

/// All that a node would pay and say on its tip.
fn opinion(rig: &mut Rig) -> impl PartialEq + use<> {
    let tip = rig.chain.tip();
    let draft = rig.draft();
    let choices = JobChoices {
        coinbase_value: 5_000_000_000,
        tag: Tag::pushing(b"x").expect("short"),
        witness_commitment: [0; 32],
        share_target: Target::MAX,
        owner: owner(99),
        class: 38,
    };
    let made = draft.make(rig.chain.params(), rig.chain.id(), choices).expect("a class of the chain");
    let credited = rig.chain.credited_since(u32::MAX);
    let blocks: Vec<_> = (1..=rig.chain.height().0).map(|h| rig.chain.block_at(Height(h)).cloned()).collect();
    (rig.chain.ranking(&tip), draft.selections, made.payouts, made.commitment, credited, blocks)
}

/// The reward window at a block by its definition, walked back credit by credit.
fn window_by_definition(chain: &ShareChain, tip: &ShareId) -> Vec<(Owner, Score)> {
    let params = chain.params();
    let (mut left, mut sums) = (params.window_score, BTreeMap::<Owner, Score>::new());
    let mut at = *tip;
    for _ in 0..params.window_blocks {
        let Some(block) = chain.block(&at) else { break };
        for (owner, score) in block.credits.credits().rev() {
            let part = score.min(left);
            left = left.saturating_sub(part);
            let sum = sums.entry(owner).or_default();
            *sum = sum.saturating_add(part);
        }
        at = block.parent;
    }
    let mut ranked: Vec<_> = sums.into_iter().filter(|(_, sum)| !sum.is_zero()).collect();
    ranked.sort_by(|(a, x), (b, y)| y.cmp(x).then(a.cmp(b)));
    ranked
}

/// Every node that has heard all, in whatever order, says the same; and so does one that read it from a disk.
fn all_agree(params: &ChainParams, events: &[Event], seeds: &[u64]) {
    let mut world = World::new(params);
    events.iter().for_each(|event| world.happens(*event));
    world.decide();
    let expected = opinion(&mut world.miners[0]);
    for seed in seeds {
        let mut node = world.miners[0].newcomer();
        settle(&mut node, &world.found, *seed);
        assert_eq!(node.chain.tip(), world.miners[0].chain.tip(), "seed {seed}");
        assert!(opinion(&mut node) == expected, "seed {seed}");
        let Ok(saved) = node.store.load();
        let headers = node.chain.headers().clone();
        let loaded = ShareChain::load(params.clone(), headers, saved.blocks, saved.tip);
        assert_eq!((loaded.tip(), loaded.len()), (node.chain.tip(), node.chain.len()));
    }
    for miner in 1..MINERS {
        settle(&mut world.miners[miner], &world.found, 1);
        assert!(opinion(&mut world.miners[miner]) == expected, "miner {miner}");
    }
}

/// Leaves a branch for another and comes back: the node is as one that never left.
fn there_and_back(params: &ChainParams, shared: &[Event], here: &[u8], there: &[u8], shares: u8) {
    let mut world = World::new(params);
    shared.iter().for_each(|event| world.happens(*event));
    world.decide();
    let mut rig = world.miners.swap_remove(0);
    let (mut stays, mut other) = (rig.fork(), rig.fork());
    let step = |stays: &mut Rig, rig: &mut Rig, owner: u8| {
        for k in 0..shares {
            let share = stays.mine(Work::of(owner ^ k), Want::Share);
            stays.take(&share).expect("valid");
            rig.take(&share).expect("valid there, valid here");
        }
        let (block, id) = stays.extend(owner);
        rig.now = stays.now;
        rig.take(&block).expect("valid there, valid here").block.expect("a block");
        id
    };
    for owner in here {
        step(&mut stays, &mut rig, *owner);
    }
    let tip = rig.chain.tip();
    assert!(opinion(&mut rig) == opinion(&mut stays));
    // The other branch outgrows it …
    let (mut left, mut heard) = (None, Vec::new());
    for owner in there.iter().cycle() {
        let (block, _) = other.extend(*owner);
        rig.now = rig.now.max(other.now);
        let applied = rig.take(&block).expect("valid there, valid here");
        left = applied.reorganisation;
        heard.push(block);
        if applied.new_tip {
            break;
        }
    }
    assert_eq!(left.map(|left| left.from), (!here.is_empty()).then_some(tip));
    let there = rig.chain.tip();
    assert_eq!(rig.chain.ranking(&there), other.chain.ranking(&there));
    // … and is outgrown again.
    stays.now = rig.now;
    while step(&mut stays, &mut rig, 1) != rig.chain.tip() {}
    // One that stayed has heard of the other branch, too: its blocks are shares that can be listed.
    for block in &heard {
        assert!(!stays.take(block).expect("valid there, valid here").new_tip);
    }
    assert!(opinion(&mut rig) == opinion(&mut stays), "the way there and back has left a trace");
    assert_eq!(rig.chain.ranking(&tip), stays.chain.ranking(&tip));
}

/// Asked for in any order, on any branch, and after a start from the disk, a window is what its definition says.
fn windows_are_right(params: &ChainParams, events: &[Event], order: u64) {
    let mut world = World::new(params);
    events.iter().for_each(|event| world.happens(*event));
    world.decide();
    let rig = &mut world.miners[0];
    let Ok(saved) = rig.store.load();
    let mut ids: Vec<_> = saved.blocks.iter().map(|block| block.id).collect();
    let headers = rig.chain.headers().clone();
    let mut loaded = ShareChain::load(params.clone(), headers, saved.blocks, saved.tip);
    for seed in 0..3 {
        shuffle(&mut ids, order.wrapping_add(seed));
        for id in &ids {
            let expected = window_by_definition(&rig.chain, id);
            for chain in [&mut rig.chain, &mut loaded] {
                assert_eq!(chain.window(id).expect("nothing is pruned").ranked(), expected);
                assert_eq!(*chain.ranking(id).expect("nothing is pruned"), expected);
            }
        }
    }
}

/// A failure prints its smallest input; nothing is written to files.
fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn all_nodes_agree_in_whatever_order_they_hear(
        params in small(12), events in events(60), seeds: [u64; 3],
    ) {
        all_agree(&params, &events, &seeds);
    }

    #[test]
    fn a_node_that_leaves_a_branch_and_comes_back_is_as_one_that_stayed(
        params in small(12), shared in events(30), shares in 0_u8..4,
        here in prop::collection::vec(1_u8..6, 0..12), there in prop::collection::vec(6_u8..9, 1..4),
    ) {
        there_and_back(&params, &shared, &here, &there, shares);
    }

    #[test]
    fn windows_are_what_the_definition_says_wherever_one_comes_from(
        params in small(10), events in events(70), order: u64,
    ) {
        windows_are_right(&params, &events, order);
    }
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    #[ignore = "the long form of all_nodes_agree_in_whatever_order_they_hear: minutes"]
    fn all_nodes_agree_at_length(
        params in small(60), events in events(400), seeds: [u64; 4],
    ) {
        all_agree(&params, &events, &seeds);
    }

    #[test]
    #[ignore = "the long form of a_node_that_leaves_a_branch_and_comes_back_is_as_one_that_stayed: minutes"]
    fn a_node_leaves_and_comes_back_at_length(
        params in small(60), shared in events(200), shares in 0_u8..6,
        here in prop::collection::vec(1_u8..6, 0..60), there in prop::collection::vec(6_u8..9, 1..8),
    ) {
        there_and_back(&params, &shared, &here, &there, shares);
    }
}

#[test]
fn refusals_of_an_honest_nodes_work_blame_nobody() {
    let honest = [Refusal::Known, Refusal::Behind, Refusal::FarAhead];
    assert!(honest.iter().all(|refusal| refusal.blame() == Blame::Nobody));
    assert_eq!(Refusal::KnownInvalid.blame(), Blame::Sender);
}
