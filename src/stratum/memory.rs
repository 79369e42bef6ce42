//! The last difficulty of each worker, so that a device that comes back need not be measured again.

use super::difficulty::Difficulty;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Most workers of each of the two generations.
const MOST_WORKERS: usize = 8_192;

/// The memory that all sessions share.
///
/// Two generations: when the young one is full it becomes the old one, and what was old is forgotten. So the workers
/// that were here last are remembered, and nothing grows.
#[derive(Debug, Default)]
pub struct LastDifficulties {
    hasher: RandomState,
    generations: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Difficulty>,
    old: HashMap<u64, Difficulty>,
}

impl LastDifficulties {
    /// The difficulty that a worker with this program had last.
    pub(crate) fn recall(&self, worker: &str, user_agent: &str) -> Option<Difficulty> {
        let key = self.key(worker, user_agent);
        let generations = self.generations();
        generations.young.get(&key).or_else(|| generations.old.get(&key)).copied()
    }

    /// Remembers the difficulty of a worker that leaves.
    pub(crate) fn remember(&self, worker: &str, user_agent: &str, difficulty: Difficulty) {
        let key = self.key(worker, user_agent);
        let mut generations = self.generations();
        if generations.young.len() >= MOST_WORKERS && !generations.young.contains_key(&key) {
            generations.old = std::mem::take(&mut generations.young);
        }
        generations.young.insert(key, difficulty);
    }

    /// Names are as long as their owners like; two that share a hash share a guess, which does no harm.
    fn key(&self, worker: &str, user_agent: &str) -> u64 {
        self.hasher.hash_one((worker, user_agent))
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_workers_are_remembered_and_the_memory_is_bounded() {
        let memory = LastDifficulties::default();
        memory.remember("a", "x", Difficulty::power_of_two(5));
        memory.remember("a", "y", Difficulty::power_of_two(9));
        assert_eq!(memory.recall("a", "x"), Some(Difficulty::power_of_two(5)));
        assert_eq!(memory.recall("a", "y"), Some(Difficulty::power_of_two(9)));
        assert_eq!(memory.recall("b", "x"), None);
        for n in 0..3 * MOST_WORKERS {
            memory.remember(&n.to_string(), "x", Difficulty::ONE);
        }
        assert_eq!(memory.recall("a", "x"), None);
        let last = 2 * MOST_WORKERS..3 * MOST_WORKERS;
        assert!(last.clone().all(|n| memory.recall(&n.to_string(), "x").is_some()));
        let generations = memory.generations();
        assert!(generations.young.len() <= MOST_WORKERS && generations.old.len() <= MOST_WORKERS);
    }
}
