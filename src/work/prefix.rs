//! Coinbases up to their commitment hash, with what those of other owners say too kept once.
//!
//! A node keeps the jobs of ten minutes for every owner. Most of a large coinbase are its payouts, which are the same for
//! all owners of a class: only the beginning (the tag) and the end (the finder's bonus) differ.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes at each end that are never shared: all that may differ between owners is there.
const OWN: usize = 128;

/// A coinbase up to the commitment hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    head: Box<[u8]>,
    shared: Arc<[u8]>,
    tail: Box<[u8]>,
}

/// What was shared last in each payout class.
#[derive(Debug, Default)]
pub(super) struct Shared(BTreeMap<u16, Arc<[u8]>>);

impl From<Vec<u8>> for Prefix {
    fn from(bytes: Vec<u8>) -> Self {
        Self { head: bytes.into(), shared: Arc::default(), tail: Box::default() }
    }
}

impl Prefix {
    /// All of it.
    pub fn to_vec(&self) -> Vec<u8> {
        [&self.head[..], &self.shared, &self.tail].concat()
    }
}

impl Shared {
    /// The same bytes, in memory only once where the last ones of the class were like them.
    pub(super) fn prefix(&mut self, class: u16, bytes: Vec<u8>) -> Prefix {
        let Some((head, rest)) = bytes.split_at_checked(OWN) else { return bytes.into() };
        let Some((middle, tail)) = rest.split_at_checked(rest.len().saturating_sub(OWN)) else {
            return bytes.into();
        };
        let last = self.0.entry(class).or_default();
        if **last != *middle {
            *last = middle.into();
        }
        Prefix { head: head.into(), shared: Arc::clone(last), tail: tail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_owners_have_in_common_is_kept_once_and_nothing_is_changed() {
        let mut shared = Shared::default();
        let bytes =
            |tag: u8, payouts: usize, bonus: u8| [vec![tag; 70], vec![9; payouts], vec![bonus; 100]].concat();
        let mut make = |class, bytes: Vec<u8>| {
            let prefix = shared.prefix(class, bytes.clone());
            assert_eq!(prefix.to_vec(), bytes);
            prefix.shared
        };
        let first = make(360, bytes(1, 12_000, 1));
        assert!(first.len() > 11_000);
        assert!(Arc::ptr_eq(&first, &make(360, bytes(2, 12_000, 2))), "another owner");
        assert!(!Arc::ptr_eq(&first, &make(11, bytes(1, 400, 1))));
        assert!(Arc::ptr_eq(&first, &make(360, bytes(3, 12_000, 3))), "another class between them");
        assert!(!Arc::ptr_eq(&first, &make(360, bytes(1, 12_001, 1))), "other payouts");
        for few in 0..150 {
            make(38, bytes(1, few, 2));
        }
        make(38, vec![1; 60]);
    }
}
