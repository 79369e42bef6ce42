//! What is known of devices by the names of their programs: what one has room for, with its password to a payout class,
//! and how hard its first work is.
//!
//! A coinbase lists everybody who is paid, and firmware keeps it in a buffer of some size; what does not fit is cut
//! off without a word, and the device then hashes in vain. How much fits is known of some programs by their names.

use super::difficulty::Difficulty;
use thiserror::Error;

/// What is known of the devices on which a program runs.
struct Known {
    /// A part of its name, in small letters.
    part: &'static str,
    /// How many outputs they hold: P2TR outputs, the largest, have 43 bytes each beside some 240 of everything else. Where it
    /// is not known they get the smallest class: stock firmware up to the Antminer S19 takes about 750 bytes, the Bitaxe's
    /// 1,024 before the extranonce.
    outputs: Option<u16>,
    /// The difficulty to begin with, as a power of two. Vardiff rises at once from one that is too low, but needs half a
    /// minute for each step down.
    start: i32,
}

/// The first part that a name has counts.
const KNOWN: &[Known] = &[
    // 255 bytes in all.
    known("nerdminer", Some(1), -13),
    // About 500.
    known("nicehash", Some(6), 19),
    // 2,250.
    known("antminer s21/", Some(38), 14),
    known("bosminer", Some(38), 14),
    known("braiins", Some(38), 0),
    // 6,500.
    known("whatsminer", Some(145), 14),
    // 16,000: ePIC and vnish.
    known("powerplay-bm/", Some(360), 0),
    known("xminer-1.", Some(360), 0),
    known("commonwork", None, -10),
    known("cpuminer", None, -10),
    known("bitaxe", None, 9),
    known("antminer", None, 14),
    known("bmminer", None, 14),
];

const fn known(part: &'static str, outputs: Option<u16>, start: i32) -> Known {
    Known { part, outputs, start }
}

/// What is known of a program of this name, in small letters.
fn find(agent: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| agent.contains(known.part))
}

/// The device has too little room for even the smallest class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("it holds coinbases of {holds} outputs, and jobs here have up to {least}")]
pub struct TooSmall {
    /// The outputs that it holds.
    pub holds: u16,
    /// The smallest class.
    pub least: u16,
}

/// Chooses the payout class of each connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayoutClasses {
    /// The chain's, smallest first.
    classes: Vec<u16>,
    /// Parts of names in small letters, the longest first, and the outputs that such devices hold.
    table: Vec<(String, u16)>,
}

impl PayoutClasses {
    /// For a chain with these classes, smallest first, and a table of the node's owner that goes before the built-in
    /// one: parts of programs' names, and the outputs that such devices hold.
    pub fn new(classes: &[u16], table: impl IntoIterator<Item = (String, u16)>) -> Self {
        let lower = |(name, outputs): (String, u16)| (name.to_ascii_lowercase(), outputs);
        let mut table: Vec<_> = table.into_iter().map(lower).collect();
        // The longest part says most.
        table.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
        Self { classes: classes.to_vec(), table }
    }

    /// The smallest class.
    pub fn least(&self) -> u16 {
        self.classes.first().copied().unwrap_or(1)
    }

    /// The largest class.
    pub fn largest(&self) -> u16 {
        self.classes.last().copied().unwrap_or(1)
    }

    /// The class for a program of this name, whose owner `wished` for so many outputs.
    pub fn choose(&self, user_agent: &str, wished: Option<u16>) -> Result<u16, TooSmall> {
        let least = self.least();
        let Some(holds) = wished.or_else(|| self.outputs(user_agent)) else { return Ok(least) };
        let fitting = self.classes.iter().rev().find(|class| **class <= holds);
        fitting.copied().ok_or(TooSmall { holds, least })
    }

    fn outputs(&self, user_agent: &str) -> Option<u16> {
        let agent = user_agent.to_ascii_lowercase();
        let own = self.table.iter().find(|(part, _)| agent.contains(part)).map(|(_, outputs)| *outputs);
        own.or_else(|| find(&agent)?.outputs)
    }
}

/// Difficulty to begin with, by the name that the mining program gives itself.
pub(crate) fn start_difficulty(user_agent: &str) -> Difficulty {
    let known = find(&user_agent.to_ascii_lowercase());
    Difficulty::power_of_two(known.map_or(0, |known| known.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_main(table: &[(&str, u16)]) -> PayoutClasses {
        PayoutClasses::new(&[11, 38, 145, 360], table.iter().map(|(name, n)| ((*name).to_owned(), *n)))
    }

    #[test]
    fn known_programs_get_the_class_that_they_hold_and_others_the_smallest() {
        let classes = on_main(&[]);
        for (agent, class) in [
            ("", 11),
            ("bmminer/2.0.0/Antminer S19", 11),
            ("bitaxe/BM1370/v2.15.0", 11),
            ("cgminer/4.11.1", 11),
            ("Antminer S21/Thu Mar", 38),
            ("bosminer-plus-tuner 0.2", 38),
            ("whatsminer/v1.1", 145),
            ("PowerPlay-BM/1.5", 360),
            ("xminer-1.2.6", 360),
        ] {
            assert_eq!(classes.choose(agent, None), Ok(class), "{agent}");
        }
        for (agent, holds) in [("NerdMinerV2/1.8.3", 1), ("NiceHash/1.0.0", 6)] {
            assert_eq!(classes.choose(agent, None), Err(TooSmall { holds, least: 11 }), "{agent}");
        }
        let small_chain = PayoutClasses::new(&[2, 5], []);
        assert_eq!(small_chain.choose("NiceHash/1.0.0", None), Ok(5));
        assert_eq!(small_chain.choose("x", None), Ok(2));
    }

    #[test]
    fn the_owners_table_goes_before_and_the_password_before_that() {
        let classes = on_main(&[("NerdMiner", 12), ("antminer", 3), ("Antminer S2", 200), ("cheap", 0)]);
        assert_eq!(classes.choose("NerdMinerV2/2", None), Ok(11));
        assert_eq!(classes.choose("Antminer S21/1", None), Ok(145), "the longest part");
        assert_eq!(classes.choose("Antminer S9", None), Err(TooSmall { holds: 3, least: 11 }));
        assert_eq!(classes.choose("Cheap/1", None), Err(TooSmall { holds: 0, least: 11 }));
        assert_eq!(classes.choose("cheap/1", Some(40)), Ok(38));
        assert_eq!(classes.choose("whatsminer", Some(5)), Err(TooSmall { holds: 5, least: 11 }));
        assert_eq!(on_main(&[("", 38)]).choose("anything", None), Ok(38), "a row for all");
    }
}
