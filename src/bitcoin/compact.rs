//! A whole block as its header and short ids (BIP152, version 2), and the same put together again by somebody who has
//! most of its transactions already.
//!
//! Pure: no network, no clock. What is put together is a block only when its merkle root and its witness commitment
//! are right; a short id that fitted the wrong transaction shows there.

use bitcoin::bip152::{HeaderAndShortIds, ShortId};
use bitcoin::block::Header;
use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::{Block, Transaction, Wtxid};
use std::collections::BTreeMap;
use thiserror::Error;

/// BIP152's version with witnesses.
const VERSION: u32 = 2;

/// Bytes that describe no block.
#[derive(Debug, Error)]
pub enum BadCompact {
    /// They are not BIP152's form.
    #[error("it is not in BIP152's form: {0}")]
    Encoding(#[from] bitcoin::consensus::encode::Error),
    /// The prefilled transactions do not fit among the others, or the coinbase is not the first of them.
    #[error("its coinbase does not come with it, or a transaction is out of place")]
    Places,
}

/// The transactions that were put in do not make the block that the header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the transactions do not match the block's merkle root or witness commitment")]
pub struct Mismatch;

/// The header, short ids and coinbase of a block, in BIP152's form. The nonce salts the ids; it should not repeat.
pub fn describe(block: &Block, nonce: u64) -> Vec<u8> {
    let compact = HeaderAndShortIds::from_block(block, nonce, VERSION, &[]);
    serialize(&compact.expect("the version is known and nothing is prefilled but the coinbase"))
}

/// A block whose transactions are being gathered.
#[derive(Clone, Debug)]
pub struct Rebuild {
    header: Header,
    keys: (u64, u64),
    /// The place of each short id that is wanted; none where two share one, which only asking tells apart.
    places: BTreeMap<ShortId, Option<usize>>,
    transactions: Vec<Option<Transaction>>,
    /// What each place was filled with by its short id, to notice a second transaction that fits as well.
    offered: BTreeMap<usize, Wtxid>,
}

impl Rebuild {
    /// Begins with what the finder sent.
    pub fn read(bytes: &[u8]) -> Result<Self, BadCompact> {
        let compact: HeaderAndShortIds = deserialize(bytes)?;
        let count = compact.short_ids.len() + compact.prefilled_txs.len();
        let mut transactions: Vec<Option<Transaction>> = vec![None; count];
        let mut next = 0_usize;
        for prefilled in compact.prefilled_txs {
            let place = next + usize::from(prefilled.idx);
            *transactions.get_mut(place).ok_or(BadCompact::Places)? = Some(prefilled.tx);
            next = place + 1;
        }
        if !transactions.first().is_some_and(|first| first.as_ref().is_some_and(Transaction::is_coinbase)) {
            return Err(BadCompact::Places);
        }
        let open = transactions.iter().enumerate().filter(|(_, transaction)| transaction.is_none());
        let mut places = BTreeMap::new();
        for ((place, _), id) in open.zip(compact.short_ids) {
            places.entry(id).and_modify(|place| *place = None).or_insert(Some(place));
        }
        let keys = ShortId::calculate_siphash_keys(&compact.header, compact.nonce);
        Ok(Self { header: compact.header, keys, places, transactions, offered: BTreeMap::new() })
    }

    /// The block's header.
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The coinbase, which comes with the header.
    pub fn coinbase(&self) -> Option<&Transaction> {
        self.transactions.first()?.as_ref()
    }

    /// The place of the transaction with this id, if the block seems to have it and it is not there yet.
    fn place(&self, wtxid: &Wtxid) -> Option<usize> {
        let id = ShortId::with_siphash_keys(&wtxid.to_raw_hash(), self.keys);
        self.places.get(&id).copied().flatten()
    }

    /// Whether the block seems to have the transaction with this id and it is not there yet.
    pub fn wants(&self, wtxid: &Wtxid) -> bool {
        self.place(wtxid).is_some_and(|place| self.offered.get(&place) != Some(wtxid))
    }

    /// Takes a transaction that [`Rebuild::wants`]; anything else is left alone. Of two that fit the same place neither
    /// is taken.
    pub fn offer(&mut self, wtxid: &Wtxid, raw: &[u8]) {
        let Some(place) = self.place(wtxid).filter(|_| self.wants(wtxid)) else { return };
        if self.offered.contains_key(&place) {
            self.transactions[place] = None;
            self.places.retain(|_, other| *other != Some(place));
        } else if let Ok(transaction) = deserialize(raw) {
            self.transactions[place] = Some(transaction);
            self.offered.insert(place, *wtxid);
        }
    }

    /// The places that are still empty, lowest first.
    pub fn missing(&self) -> Vec<u64> {
        let empty = self.transactions.iter().zip(0_u64..).filter(|(transaction, _)| transaction.is_none());
        empty.map(|(_, place)| place).collect()
    }

    /// The places of all transactions that did not come with the header.
    pub fn guessed(&self) -> Vec<u64> {
        let mut places = self.missing();
        places.extend(self.offered.keys().map(|place| *place as u64));
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Puts transactions into these places, whatever is there already.
    pub fn fill(&mut self, places: &[u64], transactions: Vec<Transaction>) {
        for (place, transaction) in places.iter().zip(transactions) {
            let slot = usize::try_from(*place).ok().and_then(|place| self.transactions.get_mut(place));
            if let Some(slot) = slot {
                *slot = Some(transaction);
            }
        }
    }

    /// The block, when every place is filled and what fills them is right.
    pub fn finish(&self) -> Result<Block, Mismatch> {
        let txdata: Option<Vec<Transaction>> = self.transactions.iter().cloned().collect();
        let block = Block { header: self.header, txdata: txdata.ok_or(Mismatch)? };
        if block.check_merkle_root() && block.check_witness_commitment() { Ok(block) } else { Err(Mismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bitcoin::template::tests::with_transactions;
    use crate::bitcoin::test_blocks::solved;
    use proptest::prelude::*;

    fn rebuilt_from(block: &Block, known: impl Fn(usize) -> bool) -> Rebuild {
        let mut rebuild = Rebuild::read(&describe(block, 7)).expect("a compact block");
        for (place, transaction) in block.txdata.iter().enumerate().filter(|(place, _)| known(*place)) {
            let wtxid = transaction.compute_wtxid();
            assert_eq!(rebuild.wants(&wtxid), place != 0);
            rebuild.offer(&wtxid, &serialize(transaction));
            assert!(!rebuild.wants(&wtxid));
        }
        rebuild
    }

    #[test]
    fn a_block_is_put_together_from_what_is_known_and_what_is_asked_for() {
        let block = solved(&with_transactions(40), b"x");
        let mut rebuild = rebuilt_from(&block, |place| place % 3 != 1);
        let missing = rebuild.missing();
        assert_eq!(missing, (0..41).filter(|place| place % 3 == 1).collect::<Vec<u64>>());
        assert_eq!(rebuild.finish(), Err(Mismatch));
        let of = |place: &u64| block.txdata[usize::try_from(*place).expect("small")].clone();
        rebuild.fill(&missing, missing.iter().map(of).collect());
        assert_eq!(rebuild.finish().as_ref(), Ok(&block));
    }

    #[test]
    fn a_transaction_in_the_wrong_place_is_noticed_and_all_guesses_can_be_asked_for() {
        let block = solved(&with_transactions(4), b"x");
        let mut rebuild = rebuilt_from(&block, |_| true);
        rebuild.fill(&[2], vec![block.txdata[1].clone()]);
        assert_eq!(rebuild.finish(), Err(Mismatch));
        assert_eq!(rebuild.guessed(), [1, 2, 3, 4]);
        rebuild.fill(&[1, 2, 3, 4], block.txdata[1..].to_vec());
        assert_eq!(rebuild.finish(), Ok(block));
    }

    #[test]
    fn a_changed_witness_is_noticed() {
        let block = solved(&with_transactions(2), b"x");
        let mut rebuild = rebuilt_from(&block, |_| true);
        let mut changed = block.txdata[1].clone();
        changed.input[0].witness = bitcoin::Witness::from_slice(&[[9]]);
        assert_eq!(changed.compute_txid(), block.txdata[1].compute_txid());
        rebuild.fill(&[1], vec![changed]);
        assert_eq!(rebuild.finish(), Err(Mismatch));
    }

    #[test]
    fn a_block_without_its_coinbase_is_refused() {
        let block = solved(&with_transactions(1), b"x");
        let mut compact = HeaderAndShortIds::from_block(&block, 7, VERSION, &[]).expect("a block");
        compact.prefilled_txs[0].idx = 1;
        assert!(matches!(Rebuild::read(&serialize(&compact)), Err(BadCompact::Places)));
        compact.prefilled_txs[0].idx = 2;
        assert!(matches!(Rebuild::read(&serialize(&compact)), Err(BadCompact::Places)));
        compact.prefilled_txs.clear();
        assert!(matches!(Rebuild::read(&serialize(&compact)), Err(BadCompact::Places)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0_usize..400, at in 0_usize..400, with: u8) {
            let _ = Rebuild::read(&bytes);
            let mut described = describe(&solved(&with_transactions(5), b"x"), 7);
            let at = at % described.len();
            described[at] = with;
            described.truncate(cut.max(1));
            if let Ok(rebuild) = Rebuild::read(&described) {
                let _ = rebuild.finish();
            }
        }
    }
}
