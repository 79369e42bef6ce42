//! Keys of the store: one tree, a prefix for each kind of row, big-endian heights, so that rows lie in order of height.
//!
//! ```text
//! b height id     body: a share block with the shares that it lists
//! i height id     what of a block is kept in memory
//! h height hash   a Bitcoin header
//! s height hash   a share that was a Bitcoin block
//! u number        a share that no block had listed at a clean stop
//! m name          one of a kind: schema, chain, tip, graft
//! ```

/// The kinds of rows that are keyed by height and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Body,
    Index,
    BitcoinHeader,
    Solution,
}

/// Prefix of the shares that no block had listed.
pub(super) const UNLISTED: &[u8] = b"u";
/// The number of the format.
pub(super) const SCHEMA: &[u8] = b"mschema";
/// Name and id of the chain.
pub(super) const CHAIN: &[u8] = b"mchain";
/// The chain from the middle that is being fetched.
pub(super) const GRAFT: &[u8] = b"mgraft";
/// The id of the best tip.
pub(super) const TIP: &[u8] = b"mtip";

const LEN: usize = 1 + 4 + 32;

impl Kind {
    /// What the keys of this kind begin with.
    pub(super) const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Body => b"b",
            Self::Index => b"i",
            Self::BitcoinHeader => b"h",
            Self::Solution => b"s",
        }
    }

    /// The key of the row for this height and hash (in the byte order that SHA-256 gives).
    pub(super) fn key(self, height: u32, hash: &[u8; 32]) -> [u8; LEN] {
        let mut key = [0; LEN];
        key[..1].copy_from_slice(self.prefix());
        key[1..5].copy_from_slice(&height.to_be_bytes());
        key[5..].copy_from_slice(hash);
        key
    }

    /// Height and hash of a key, if it is one of this kind.
    pub(super) fn parse(self, key: &[u8]) -> Option<(u32, [u8; 32])> {
        let rest = key.strip_prefix(self.prefix())?;
        let (height, hash) = rest.split_first_chunk::<4>()?;
        Some((u32::from_be_bytes(*height), hash.try_into().ok()?))
    }
}

/// The key of the unlisted share with this number.
pub(super) fn unlisted(number: u32) -> [u8; 5] {
    let mut key = [0; 5];
    key[..1].copy_from_slice(UNLISTED);
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 4] = [Kind::Body, Kind::Index, Kind::BitcoinHeader, Kind::Solution];

    #[test]
    fn keys_are_in_order_of_height_and_come_back() {
        for kind in ALL {
            let keys: Vec<_> = [0, 1, 255, 256, u32::MAX].map(|height| kind.key(height, &[7; 32])).into();
            assert!(keys.is_sorted());
            assert_eq!(kind.parse(&keys[3]), Some((256, [7; 32])));
            assert_eq!(kind.parse(&keys[3][..36]), None);
            assert_eq!(kind.parse(&[&keys[3][..], &[0]].concat()), None);
            let others = ALL.iter().filter(|other| **other != kind);
            others.for_each(|other| assert_eq!(other.parse(&keys[3]), None));
        }
        assert!(unlisted(255) < unlisted(256));
    }
}
