//! The pool's Bitcoin blocks with what they pay, and whom this node works for: kept for ever, up to a bound.
//!
//! Nothing here says where a block stands in Bitcoin's chain: headers say that each time it is asked, so a reorganisation
//! changes nothing that is kept. The ledger itself is in memory; [`Changes`] are what is to be written of it.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, Script, Txid};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sharechain::owner::Owner;
use sharechain::units::BitcoinHeight;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most blocks; beyond it the lowest is forgotten.
pub const MAX_BLOCKS: usize = 16_384;
/// Blocks, the highest, whose outputs are all kept. Of lower ones those to this node's owners are.
pub const MAX_WHOLE: usize = 1_000;
/// Most outputs of all blocks together; beyond it the lowest block is forgotten.
pub const MAX_OUTPUTS: usize = 1 << 19;
/// Most owners; beyond it the one whose work is the longest ago is forgotten.
pub const MAX_OWNERS: usize = 1_024;
/// Seconds after which it is noted again that an owner worked.
const NOTED_EVERY: u64 = 600;

/// Blocks are named by height and hash, so that they lie in the order of height.
pub type BlockKey = (BitcoinHeight, BlockHash);

/// A Bitcoin block that the pool found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundBlock {
    /// Header time, seconds since 1970.
    pub time: u32,
    /// Who found it.
    #[serde(with = "by_script")]
    pub finder: Owner,
    /// Whether this node's own miners did.
    pub own: bool,
    /// Payout class.
    pub class: u16,
    /// Value of the coinbase in satoshis.
    pub value: u64,
    /// Bytes of the coinbase's txid; none where the coinbase is not known.
    pub txid: Option<[u8; 32]>,
    /// Outputs of the coinbase in their order.
    pub outputs: Vec<Output>,
    /// Whether these are all of them.
    pub whole: bool,
}

/// An output of a coinbase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// What it is for.
    pub kind: Kind,
    /// Its value.
    pub satoshis: u64,
    /// Its scriptPubKey.
    pub script: Box<[u8]>,
}

/// What an output is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Work in the reward window.
    Payout,
    /// Finding the block.
    Bonus,
    /// BIP141's witness commitment.
    WitnessCommitment,
    /// The share's commitment and extranonce.
    ShareCommitment,
}

/// What a block paid to one owner, in satoshis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// In all.
    pub satoshis: u64,
    /// Of them for finding the block.
    pub bonus: u64,
}

impl FoundBlock {
    /// The coinbase's txid, where that is known.
    pub fn txid(&self) -> Option<Txid> {
        self.txid.map(Txid::from_byte_array)
    }

    /// What it paid to those whose scripts are wanted.
    pub fn paid(&self, is_wanted: impl Fn(&[u8]) -> bool) -> BTreeMap<&[u8], Paid> {
        let mut paid = BTreeMap::<&[u8], Paid>::new();
        let paying = self.outputs.iter().filter(|output| matches!(output.kind, Kind::Payout | Kind::Bonus));
        for output in paying.filter(|output| output.satoshis > 0 && is_wanted(&output.script)) {
            let sum = paid.entry(&output.script).or_default();
            sum.satoshis = sum.satoshis.saturating_add(output.satoshis);
            if output.kind == Kind::Bonus {
                sum.bonus = sum.bonus.saturating_add(output.satoshis);
            }
        }
        paid
    }
}

/// What is to be written: a new value, or none for what is forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Of blocks.
    pub blocks: BTreeMap<BlockKey, Option<Arc<FoundBlock>>>,
    /// Of owners: when they last worked here, seconds since 1970.
    pub owners: BTreeMap<Owner, Option<u64>>,
    /// Whether all that was written before is to be forgotten first.
    pub anew: bool,
}

impl Changes {
    /// Whether there is nothing to be written.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty() && self.owners.is_empty() && !self.anew
    }
}

/// The blocks and owners.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    blocks: BTreeMap<BlockKey, Arc<FoundBlock>>,
    owners: BTreeMap<Owner, u64>,
    outputs: usize,
    unsaved: Changes,
    edition: u64,
}

impl Ledger {
    /// The one that these rows were written by.
    pub fn of_rows(
        blocks: impl IntoIterator<Item = (BlockKey, FoundBlock)>,
        owners: impl IntoIterator<Item = (Owner, u64)>,
    ) -> Self {
        let blocks: BTreeMap<_, _> = blocks.into_iter().map(|(key, block)| (key, Arc::new(block))).collect();
        let outputs = blocks.values().map(|block| block.outputs.len()).sum();
        Self { blocks, owners: owners.into_iter().collect(), outputs, ..Self::default() }
    }

    /// The same, for whoever only reads.
    pub fn snapshot(&self) -> Self {
        let Self { blocks, owners, outputs, edition, .. } = self;
        let (blocks, owners) = (blocks.clone(), owners.clone());
        Self { blocks, owners, outputs: *outputs, unsaved: Changes::default(), edition: *edition }
    }

    /// Counts the changes: two snapshots of one number are the same.
    pub const fn edition(&self) -> u64 {
        self.edition
    }

    /// The blocks, lowest first.
    pub const fn blocks(&self) -> &BTreeMap<BlockKey, Arc<FoundBlock>> {
        &self.blocks
    }

    /// The owners that this node works for, or did, and when last, in seconds since 1970.
    pub const fn owners(&self) -> &BTreeMap<Owner, u64> {
        &self.owners
    }

    /// Keeps a block. One that is known stays as it is, unless it turns out to be this node's own.
    pub fn keep(&mut self, key: BlockKey, block: FoundBlock) {
        if self.blocks.get(&key).is_some_and(|known| known.own || !block.own) {
            return;
        }
        self.put(key, block);
        self.thin();
        while self.blocks.len() > MAX_BLOCKS || (self.outputs > MAX_OUTPUTS && self.blocks.len() > 1) {
            let Some((lowest, block)) = self.blocks.pop_first() else { break };
            self.outputs -= block.outputs.len();
            self.unsaved.blocks.insert(lowest, None);
        }
        self.bound_unsaved();
    }

    /// Notes that somebody's miner has worked here, at this time in seconds since 1970.
    pub fn worked(&mut self, owner: Owner, time: u64) {
        let is_noted = |noted: &u64| (*noted..noted.saturating_add(NOTED_EVERY)).contains(&time);
        if self.owners.get(&owner).is_some_and(is_noted) {
            return;
        }
        self.edition += 1;
        self.owners.insert(owner, time);
        self.unsaved.owners.insert(owner, Some(time));
        while self.owners.len() > MAX_OWNERS {
            let longest_ago = self.owners.iter().min_by_key(|(_, time)| **time).map(|(owner, _)| *owner);
            let Some(longest_ago) = longest_ago else { break };
            self.owners.remove(&longest_ago);
            self.unsaved.owners.insert(longest_ago, None);
        }
        self.bound_unsaved();
    }

    /// What was changed since [`Ledger::saved`] was last said.
    pub const fn unsaved(&self) -> &Changes {
        &self.unsaved
    }

    /// All that was changed has been written.
    pub fn saved(&mut self) {
        self.unsaved = Changes::default();
    }

    /// While nothing can be written, changes are not to grow without end: beyond a bound all is written anew.
    fn bound_unsaved(&mut self) {
        let Changes { blocks, owners, .. } = &self.unsaved;
        if blocks.len() > 2 * MAX_BLOCKS || owners.len() > 2 * MAX_OWNERS {
            self.unsaved = Changes {
                blocks: self.blocks.iter().map(|(key, block)| (*key, Some(Arc::clone(block)))).collect(),
                owners: self.owners.iter().map(|(owner, time)| (*owner, Some(*time))).collect(),
                anew: true,
            };
        }
    }

    fn put(&mut self, key: BlockKey, block: FoundBlock) {
        self.edition += 1;
        self.outputs += block.outputs.len();
        let block = Arc::new(block);
        if let Some(before) = self.blocks.insert(key, Arc::clone(&block)) {
            self.outputs -= before.outputs.len();
        }
        self.unsaved.blocks.insert(key, Some(block));
    }

    /// Of blocks that are low by now, forgets what they paid to others.
    fn thin(&mut self) {
        let low = self.blocks.iter().rev().skip(MAX_WHOLE);
        let thick: Vec<_> = low.filter(|(_, b)| b.whole).map(|(key, b)| (*key, Arc::clone(b))).collect();
        for (key, block) in thick {
            let mut thin = FoundBlock::clone(&block);
            thin.whole = false;
            thin.outputs.retain(|output| {
                let owner = Owner::new(Script::from_bytes(&output.script));
                owner.is_ok_and(|owner| self.owners.contains_key(&owner))
            });
            self.put(key, thin);
        }
    }
}

/// Owners as the bytes of their scripts.
mod by_script {
    use super::*;

    pub(super) fn serialize<S: Serializer>(owner: &Owner, serializer: S) -> Result<S::Ok, S::Error> {
        owner.as_bytes().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Owner, D::Error> {
        let script = Vec::<u8>::deserialize(deserializer)?;
        Owner::new(Script::from_bytes(&script)).map_err(de::Error::custom)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::test_jobs::owner;

    fn key(height: u32) -> BlockKey {
        (BitcoinHeight(height), BlockHash::from_byte_array([7; 32]))
    }

    fn output(kind: Kind, n: u8, satoshis: u64) -> Output {
        Output { kind, satoshis, script: owner(n).as_bytes().into() }
    }

    fn block(outputs: Vec<Output>) -> FoundBlock {
        FoundBlock {
            time: 1,
            finder: owner(1),
            own: false,
            class: 11,
            value: 9,
            txid: Some([3; 32]),
            outputs,
            whole: true,
        }
    }

    /// Two blocks at one height, and two owners.
    pub(crate) fn some() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.keep(key(5), block(vec![output(Kind::Payout, 1, 5), output(Kind::Bonus, 2, 1)]));
        let sibling = (BitcoinHeight(5), BlockHash::from_byte_array([8; 32]));
        ledger.keep(sibling, FoundBlock { own: true, txid: None, ..block(Vec::new()) });
        ledger.worked(owner(1), 1_000);
        ledger.worked(owner(2), 2_000);
        ledger
    }

    #[test]
    fn what_a_block_paid_is_summed_by_owner_and_commitments_pay_nobody() {
        let block = block(vec![
            output(Kind::Payout, 1, 5),
            output(Kind::Payout, 2, 6),
            output(Kind::Bonus, 1, 2),
            output(Kind::ShareCommitment, 1, 0),
        ]);
        let [one, two] = [owner(1), owner(2)];
        let all = block.paid(|_| true);
        let paid = |satoshis, bonus| Some(Paid { satoshis, bonus });
        assert_eq!(
            (all.get(one.as_bytes()).copied(), all.get(two.as_bytes()).copied()),
            (paid(7, 2), paid(6, 0))
        );
        assert_eq!(block.paid(|script| script == two.as_bytes()).len(), 1);
    }

    #[test]
    fn a_known_block_changes_only_by_becoming_this_nodes_own() {
        let mut ledger = Ledger::default();
        ledger.keep(key(5), block(vec![output(Kind::Payout, 1, 5)]));
        ledger.saved();
        ledger.keep(key(5), block(Vec::new()));
        assert!(ledger.unsaved().is_empty());
        ledger.keep(key(5), FoundBlock { own: true, ..block(Vec::new()) });
        assert!(ledger.blocks()[&key(5)].own && ledger.unsaved().blocks.len() == 1);
        ledger.saved();
        ledger.keep(key(5), FoundBlock { own: true, ..block(vec![output(Kind::Payout, 1, 5)]) });
        assert!(ledger.unsaved().is_empty());
    }

    #[test]
    fn old_blocks_keep_what_they_paid_to_this_nodes_owners() {
        let mut ledger = Ledger::default();
        ledger.worked(owner(2), 1);
        let top = u32::try_from(MAX_WHOLE).expect("small") + 1;
        for height in 0..=top {
            ledger.keep(key(height), block(vec![output(Kind::Payout, 1, 5), output(Kind::Payout, 2, 6)]));
        }
        let brief =
            |height: u32| (ledger.blocks()[&key(height)].whole, ledger.blocks()[&key(height)].outputs.len());
        assert_eq!([0, 1, 2, top].map(brief), [(false, 1), (false, 1), (true, 2), (true, 2)]);
        assert_eq!(ledger.outputs, 2 * MAX_WHOLE + 2);
        let thinned = ledger.unsaved().blocks[&key(0)].clone().expect("it is kept");
        assert_eq!(thinned.paid(|_| true).into_keys().collect::<Vec<_>>(), [owner(2).as_bytes()]);
    }

    #[test]
    fn blocks_and_owners_are_bounded() {
        let mut ledger = Ledger::default();
        let many = |count: usize| block(vec![output(Kind::Payout, 1, 5); count]);
        for height in 0..4 {
            ledger.keep(key(height), many(MAX_OUTPUTS / 3));
        }
        let kept: Vec<u32> = ledger.blocks().keys().map(|(height, _)| height.0).collect();
        assert_eq!(kept, [1, 2, 3]);
        assert_eq!(ledger.unsaved().blocks[&key(0)], None);

        let rows = (0..MAX_BLOCKS).map(|n| (key(u32::try_from(n).expect("small")), many(0)));
        let mut ledger = Ledger::of_rows(rows, []);
        ledger.keep(key(u32::MAX), many(0));
        assert_eq!((ledger.blocks().len(), ledger.blocks().keys().next()), (MAX_BLOCKS, Some(&key(1))));

        let someone = |n: usize| {
            let mut script = vec![0x00, 0x14];
            script.extend_from_slice(&[0; 12]);
            script.extend_from_slice(&n.to_be_bytes());
            Owner::new(Script::from_bytes(&script)).expect("P2WPKH")
        };
        for n in 0..MAX_OWNERS {
            ledger.worked(someone(n), 100 + n as u64);
        }
        ledger.worked(someone(0), 10_000);
        ledger.worked(someone(MAX_OWNERS), 10_000);
        assert_eq!(ledger.owners().len(), MAX_OWNERS);
        assert!(ledger.owners().contains_key(&someone(0)) && !ledger.owners().contains_key(&someone(1)));
        assert_eq!(ledger.unsaved().owners[&someone(1)], None);
        ledger.saved();
        ledger.worked(someone(0), 10_000 + NOTED_EVERY - 1);
        assert!(ledger.unsaved().is_empty(), "noted already");
        ledger.worked(someone(0), 9_000);
        assert_eq!(ledger.owners()[&someone(0)], 9_000, "the clock was set back");
        for n in 0..4 * MAX_OWNERS {
            ledger.worked(someone(n), 100_000 + n as u64);
        }
        assert!(ledger.unsaved().anew && ledger.unsaved().owners.len() <= 2 * MAX_OWNERS);
        let saved =
            ledger.unsaved().owners.iter().filter_map(|(owner, time)| time.map(|time| (*owner, time)));
        assert!(saved.eq(ledger.owners().iter().map(|(owner, time)| (*owner, *time))));
    }
}
