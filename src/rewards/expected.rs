//! What an owner can expect to be paid: the one function that everything which tells it must call.
//!
//! Whoever shows an expected payout (the interface, the dashboard, a command) fills in a [`Standing`] and calls
//! [`expected`]. It is pure. What a block pays is whole satoshis from `sharechain::payout::expectation`, by the rules of
//! the chain; what comes in a day is an estimate, since hash rates are. `tests/simulate/expected.rs` holds it to what
//! months of simulated Bitcoin blocks pay.

use serde::{Deserialize, Serialize};
use sharechain::owner::Owner;
use sharechain::params::ChainParams;
use sharechain::payout::expectation;
use sharechain::units::{BitcoinHeight, Score};

/// What is known of an owner and the pool.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Who.
    pub owner: Owner,
    /// The owner's score in the reward window at the payout block of the job that is current.
    pub score: Score,
    /// All score in that window.
    pub window: Score,
    /// Height of the next Bitcoin block.
    pub height: BitcoinHeight,
    /// Satoshis that its coinbase is worth: subsidy and fees, or the subsidy alone while there is no template.
    pub value: u64,
    /// Bitcoin blocks a day that the owner's hash rate finds on average, as far as it is known; 0 of one who has stopped.
    pub blocks_per_day: f64,
    /// The same of the whole pool; 0 while nothing is known of it.
    pub pool_blocks_per_day: f64,
}

/// What an owner can expect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// Satoshis in the pool's next Bitcoin block: both of the following.
    pub next_block: u64,
    /// For the work in the reward window: the mean over the draw of who is paid, the same in every payout class.
    pub by_window: u64,
    /// For finding the block: what the finder has on top, times the owner's part of the pool's hash rate.
    pub by_finding: u64,
    /// Satoshis a day while window and hash rates stay as they are: the pool's blocks in a day times what one pays.
    pub per_day: f64,
    /// Satoshis a day that the owner's hash rate is worth: what mining alone pays on average.
    pub fair_per_day: f64,
}

/// What an owner can expect. Rates that are no positive numbers count as none; while none is known of the pool, an owner is
/// taken to find blocks by its part of the window.
pub fn expected(params: &ChainParams, standing: &Standing) -> Expected {
    let Standing { owner, score, window, height, value, .. } = *standing;
    let rate = |rate: f64| if rate.is_finite() { rate.max(0.0) } else { 0.0 };
    let own = rate(standing.blocks_per_day);
    // Whoever mines is part of the pool, whatever the estimates say.
    let pool = rate(standing.pool_blocks_per_day).max(own);
    let chance = if pool > 0.0 {
        own / pool
    } else if window.is_zero() {
        0.0
    } else {
        score.0.min(window.0) as f64 / window.0 as f64
    };
    let of_block = expectation(params, (value, height), (score, window), owner);
    let by_finding = of_block.if_finder as f64 * chance;
    Expected {
        next_block: of_block.by_window.saturating_add(by_finding.round() as u64),
        by_window: of_block.by_window,
        by_finding: by_finding.round() as u64,
        per_day: pool * (of_block.by_window as f64 + by_finding),
        fair_per_day: own * value as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::Script;

    fn standing() -> Standing {
        let owner = Owner::new(Script::from_bytes(&[&[0, 20][..], &[7; 20]].concat())).expect("P2WPKH");
        Standing {
            owner,
            score: Score(1 << 62),
            window: Score(4 << 64),
            height: BitcoinHeight(975_000),
            value: 320_000_000,
            blocks_per_day: 0.5,
            pool_blocks_per_day: 5.0,
        }
    }

    fn of(standing: Standing) -> Expected {
        expected(&ChainParams::main(), &standing)
    }

    #[test]
    fn it_is_the_windows_part_and_the_chance_of_the_bonus() {
        let expected = of(standing());
        // A sixteenth of 99.5 %, and a tenth of the bonus.
        assert_eq!((expected.by_window, expected.by_finding), (19_900_000, 160_000));
        assert_eq!(expected.next_block, 20_060_000);
        assert!((expected.per_day - 5.0 * 20_060_000.0).abs() < 1e-3, "{expected:?}");
        assert!((expected.fair_per_day - 160_000_000.0).abs() < 1e-3, "{expected:?}");
    }

    #[test]
    fn who_has_in_the_window_what_they_mine_expects_what_is_fair() {
        let expected = of(Standing { score: Score((4 << 64) / 10), ..standing() });
        assert!((expected.per_day / expected.fair_per_day - 1.0).abs() < 1e-6, "{expected:?}");
    }

    #[test]
    fn nonsense_and_beginnings_have_an_answer() {
        let stopped = of(Standing { blocks_per_day: 0.0, ..standing() });
        assert_eq!((stopped.by_window, stopped.by_finding), (19_900_000, 0));
        assert_eq!(stopped.fair_per_day, 0.0);
        // The first of a pool has all of it, known or not.
        let empty = Standing { score: Score::ZERO, window: Score::ZERO, ..standing() };
        let first = of(Standing { pool_blocks_per_day: 0.0, ..empty });
        assert_eq!((first.next_block, first.by_window), (320_000_000, 0));
        assert_eq!(of(Standing { blocks_per_day: 0.0, pool_blocks_per_day: 0.0, ..empty }).next_block, 0);
        for rate in [f64::NAN, f64::INFINITY, -1.0] {
            let strange = of(Standing { blocks_per_day: rate, pool_blocks_per_day: rate, ..standing() });
            // A sixteenth of the bonus, by the window.
            assert_eq!((strange.next_block, strange.per_day), (20_000_000, 0.0));
        }
    }
}
