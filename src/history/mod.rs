//! What the operator can look back at: how fast miners hashed, and what was refused, over hours and years; the pool's Bitcoin
//! blocks, and whom this node worked for.
//!
//! It is kept in a database of its own beside the share chain's, since nothing here decides money: a node whose history
//! cannot be written goes on without. Every half minute what was counted since is added to each series, once for each
//! [`tier`]: fine steps are kept for hours, coarse ones for years. So nothing is ever thinned afterwards, and the size is
//! bounded by the number of series.
//!
//! Reading order: [`point`] (what is counted), [`tier`] (steps of time), [`book`] (the database), [`ledger`] (Bitcoin blocks
//! and owners), [`keeper`] (the thread that owns the database), [`csv`].

pub mod book;
pub mod csv;
pub mod keeper;
pub mod ledger;
mod ledger_rows;
pub mod point;
pub mod tier;

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Most bytes of a worker's name that are kept.
pub const MAX_NAME: usize = 128;

/// What is looked at over time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Series {
    /// All miners of this node.
    Node,
    /// The share chain: everybody's miners.
    Pool,
    /// All connections that give this name.
    Worker(String),
}

const WORKER: &str = "worker:";

impl Series {
    /// The series of a worker; what is too long of its name is cut off.
    pub fn worker(name: &str) -> Self {
        let end = (0..=MAX_NAME.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
        Self::Worker(name[..end].to_owned())
    }
}

/// `node`, `pool` or `worker:NAME`.
impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Pool => f.write_str("pool"),
            Self::Worker(name) => write!(f, "{WORKER}{name}"),
        }
    }
}

/// A name that is no series.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no series {0:?}: use node, pool, or worker:NAME")]
pub struct UnknownSeries(pub String);

impl FromStr for Series {
    type Err = UnknownSeries;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix(WORKER)) {
            ("node", _) => Ok(Self::Node),
            ("pool", _) => Ok(Self::Pool),
            (_, Some(name)) => Ok(Self::worker(name)),
            _ => Err(UnknownSeries(text.chars().take(MAX_NAME).collect())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written_and_cut_where_a_letter_ends() {
        for series in [Series::Node, Series::Pool, Series::worker("bc1q.rig 1"), Series::worker("")] {
            assert_eq!(series.to_string().parse(), Ok(series));
        }
        assert_eq!("rig".parse::<Series>(), Err(UnknownSeries("rig".into())));
        let Series::Worker(cut) = Series::worker(&"ä".repeat(100)) else { panic!("a worker") };
        assert_eq!(cut, "ä".repeat(64));
        let Series::Worker(cut) = Series::worker(&format!("a{}", "ä".repeat(100))) else {
            panic!("a worker")
        };
        assert_eq!(cut.len(), 127);
    }
}
