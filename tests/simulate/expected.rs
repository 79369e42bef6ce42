//! What an owner is told to expect, against what months of Bitcoin blocks pay.
//!
//! The reward window, the choice of who is paid and the satoshis are the product's; made up are time, luck, and
//! everything that has no part in payouts (hashes, messages, Bitcoin's transactions).

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script};
use commonwork::rewards::expected::{Expected, Standing, expected};
use commonwork::simulate::random::Random;
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::payout::{select_for_class, split};
use sharechain::units::{BitcoinHeight, Score};
use sharechain::window::{BlockCredits, Contribution, Window};
use std::collections::VecDeque;
use std::sync::Arc;

/// Owners, by a power law.
const OWNERS: usize = 40;
/// Shares of which one is a share block, and shares of which one is a Bitcoin block.
const SHARES_PER_BLOCK: usize = 2;
const SHARES_PER_BITCOIN_BLOCK: usize = 80;
/// Seconds between shares: a share block every 30 s, half of all Bitcoin blocks.
const SHARE_SECONDS: f64 = 15.0;
/// Seconds of a day.
const DAY: f64 = 86_400.0;
const HEIGHT: BitcoinHeight = BitcoinHeight(975_000);
const VALUE: u64 = 315_000_000;

/// Paid and expected, in stretches that give the error of their quotient.
#[derive(Default)]
struct Comparison {
    stretches: Vec<(f64, f64)>,
    current: (f64, f64),
}

impl Comparison {
    fn end_stretch(&mut self) {
        self.stretches.push(std::mem::take(&mut self.current));
    }

    /// Paid over expected, and its standard error.
    fn quotient(&self) -> (f64, f64) {
        let count = self.stretches.len() as f64;
        let paid: f64 = self.stretches.iter().map(|(paid, _)| paid).sum();
        let told: f64 = self.stretches.iter().map(|(_, told)| told).sum();
        let quotient = paid / told;
        let squares: f64 = self.stretches.iter().map(|(paid, told)| (paid - quotient * told).powi(2)).sum();
        (quotient, (squares / (count - 1.0) * count).sqrt() / told)
    }
}

/// One owner under observation.
struct Watched {
    owner: usize,
    /// What each block pays, against what was told of it.
    blocks: Comparison,
    /// What all blocks of a stretch pay, against what was told of a day.
    days: Comparison,
    told: Expected,
}

/// A share block that the window may come to stand on.
struct Waiting {
    credits: Arc<BlockCredits>,
    /// The Bitcoin height that it claims.
    bitcoin_height: u32,
}

struct Pool {
    params: ChainParams,
    random: Random,
    /// Sums of the owners' parts.
    sums: Vec<f64>,
    owners: Vec<Owner>,
    score: Score,
    /// The reward window at the payout block, whose height this is, and the blocks above it.
    window: Window,
    payout_height: usize,
    above: VecDeque<Waiting>,
    unlisted: Vec<Contribution>,
    bitcoin_height: u32,
}

impl Pool {
    fn new(seed: u64) -> Self {
        let owner = |n: usize| {
            let program = [u8::try_from(n).expect("few"); 20];
            Owner::new(Script::from_bytes(&[&[0, 20][..], &program].concat())).expect("P2WPKH")
        };
        let weights: Vec<f64> = (1..=OWNERS).map(|n| 1.0 / n as f64).collect();
        let whole: f64 = weights.iter().sum();
        let sums = weights.iter().scan(0.0, |sum, weight| {
            *sum += weight / whole;
            Some(*sum)
        });
        let params = ChainParams::main();
        Self {
            random: Random::new(seed, "expected payouts"),
            sums: sums.collect(),
            owners: (0..OWNERS).map(owner).collect(),
            score: Score(Score::ONE.0 / SHARES_PER_BITCOIN_BLOCK as u128),
            window: Window::new(&params),
            payout_height: 0,
            above: VecDeque::new(),
            unlisted: Vec::new(),
            bitcoin_height: HEIGHT.0,
            params,
        }
    }

    fn part(&self, owner: usize) -> f64 {
        self.sums[owner] - owner.checked_sub(1).map_or(0.0, |before| self.sums[before])
    }

    fn finder(&mut self) -> usize {
        let point = self.random.fraction();
        self.sums.partition_point(|sum| *sum < point).min(OWNERS - 1)
    }

    /// Moves the window to the payout block of the next share; whether it did.
    fn reach_payout_block(&mut self) -> bool {
        let interval = self.params.payout_interval as usize;
        let base = (self.payout_height + self.above.len()).saturating_sub(self.params.base_depth as usize);
        let before = self.payout_height;
        // The rule of the protocol: a multiple of the interval, at most the base, with a lower Bitcoin height.
        while self.payout_height + interval <= base
            && self.above[interval - 1].bitcoin_height < self.bitcoin_height
        {
            self.above.drain(..interval).for_each(|block| self.window.push(block.credits));
            self.payout_height += interval;
        }
        self.payout_height > before
    }

    fn standing(&self, owner: usize) -> Standing {
        let blocks = DAY / (SHARE_SECONDS * SHARES_PER_BITCOIN_BLOCK as f64);
        Standing {
            owner: self.owners[owner],
            score: self.window.score_of(&self.owners[owner]),
            window: self.window.total(),
            height: HEIGHT,
            value: VALUE,
            blocks_per_day: blocks * self.part(owner),
            pool_blocks_per_day: blocks,
        }
    }

    /// One share more: it is credited by the block that it is, or by the next.
    fn credit(&mut self, finder: usize) {
        let share = Contribution { owner: self.owners[finder], signals: 0, score: self.score };
        if self.random.below(SHARES_PER_BLOCK) == 0 {
            let listed = std::mem::take(&mut self.unlisted);
            let credits = Arc::new(BlockCredits { lister: self.owners[finder], own: Some(share), listed });
            self.above.push_back(Waiting { credits, bitcoin_height: self.bitcoin_height });
        } else {
            self.unlisted.push(share);
        }
    }

    /// Satoshis of each owner in a Bitcoin block found now.
    fn pay(&mut self, finder: usize) -> Vec<(Owner, u64)> {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&self.random.bits().to_le_bytes());
        // Miners have hardware of all classes.
        let class = self.params.classes[finder % self.params.classes.len()];
        let ranked = self.window.ranked();
        let selection =
            select_for_class(&self.params, &ranked, BlockHash::from_byte_array(hash), HEIGHT, class);
        let payouts = split(&selection.expect("a class"), VALUE, self.owners[finder]);
        assert_eq!(payouts.outputs.iter().chain(&payouts.bonus).map(|output| output.1).sum::<u64>(), VALUE);
        payouts.outputs.into_iter().chain(payouts.bonus).collect()
    }
}

#[test]
fn over_months_owners_are_paid_what_they_were_told_to_expect() {
    let mut pool = Pool::new(74);
    let watch = |owner| Watched {
        owner,
        blocks: Comparison::default(),
        days: Comparison::default(),
        told: Expected::default(),
    };
    // With 23, 4.7 and 1.5 % of the pool: always paid, on the border, and drawn in the smallest class.
    let mut watched = [0, 4, 15].map(watch);
    let (mut found, mut seconds, mut warm) = (0, 0.0, false);
    loop {
        let gap = pool.random.exponential(SHARE_SECONDS);
        // Others' Bitcoin blocks, as many as the pool's.
        let others = SHARE_SECONDS * SHARES_PER_BITCOIN_BLOCK as f64;
        pool.bitcoin_height += u32::from(pool.random.exponential(others) < gap);
        if pool.reach_payout_block() {
            warm |= pool.window.total() == pool.params.window_score;
            for one in &mut watched {
                one.told = expected(&pool.params, &pool.standing(one.owner));
            }
        }
        let finder = pool.finder();
        if warm {
            seconds += gap;
            watched.iter_mut().for_each(|one| one.days.current.1 += one.told.per_day * gap / DAY);
        }
        if pool.random.below(SHARES_PER_BITCOIN_BLOCK) == 0 {
            if warm {
                found += 1;
                let paid = pool.pay(finder);
                for one in &mut watched {
                    let outputs = paid.iter().filter(|(owner, _)| *owner == pool.owners[one.owner]);
                    let satoshis: u64 = outputs.map(|output| output.1).sum();
                    one.blocks.current.0 += satoshis as f64;
                    one.blocks.current.1 += one.told.next_block as f64;
                    one.days.current.0 += satoshis as f64;
                    if found % 100 == 0 {
                        one.blocks.end_stretch();
                        one.days.end_stretch();
                    }
                }
            }
            pool.bitcoin_height += 1;
        }
        pool.credit(finder);
        let quotients = || watched.iter().flat_map(|one| [one.blocks.quotient(), one.days.quotient()]);
        if found > 5_000 && found % 1_000 == 0 && quotients().all(|(_, error)| error < 0.01) {
            break;
        }
        assert!(found < 60_000, "{:?}", quotients().collect::<Vec<_>>());
    }
    assert!(seconds / DAY > 60.0, "months: {} days", seconds / DAY);
    for one in &watched {
        for (what, comparison) in [("block", &one.blocks), ("day", &one.days)] {
            let (quotient, error) = comparison.quotient();
            let part = pool.part(one.owner);
            println!(
                "{part:.4} of the pool, per {what}: paid/expected {quotient:.5} +- {error:.5}, {found} blocks"
            );
            assert!((quotient - 1.0).abs() < 0.02, "{part}, per {what}: {quotient} +- {error}");
        }
    }
}
