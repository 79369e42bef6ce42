//! What found Bitcoin blocks pay to whom, and when it can be spent.

use super::page::Page;
use crate::api::form::{
    CoinbaseState, OwnerForm, OwnerPaymentsForm, PaidForm, PaymentForm, PaymentLine, PaymentsForm, Text,
};
use crate::api::source::{ChainSource, ReadError, ask};
use crate::history::ledger::{BlockKey, FoundBlock, Ledger, Paid};
use bitcoin::Script;
use sharechain::owner::Owner;
use sharechain::units::BitcoinHeight;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Most payments to an owner in one answer.
const MAX_PAYMENTS: usize = 100;
/// Payments to this node's owners in one answer, and those of the last height.
pub const MAX_PAYMENTS_PAGE: u32 = 1_000;
/// The same in a table.
pub const MAX_PAYMENTS_TABLE: u32 = 65_536;
/// Headers in one question, so that a running node is not held up.
const HEADERS_AT_ONCE: usize = 512;
/// Confirmations after which a coinbase may be spent, in the next block.
const MATURITY: u32 = 100;
/// The names of a table's columns.
const HEADER: &str = "bitcoin_height,time,block,txid,address,satoshis,bonus_satoshis,state,confirmations,\
                      spendable_at_bitcoin_height\n";

/// Where a block stands in Bitcoin's chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) on_best_chain: bool,
    /// Blocks of the best chain from this one on; none where it is not on that.
    pub(super) confirmations: u32,
    /// Whether the best chain is higher: two blocks of one height are a race that is still open.
    passed: bool,
}

impl Standing {
    fn new(on_best_chain: bool, height: BitcoinHeight, best: BitcoinHeight) -> Self {
        let passed = best > height;
        let depth = best.0.saturating_sub(height.0).saturating_add(1);
        Self { on_best_chain, confirmations: if on_best_chain { depth } else { 0 }, passed }
    }

    /// What has become of the coinbase.
    pub(super) const fn state(self) -> CoinbaseState {
        match (self.on_best_chain, self.passed) {
            (true, _) if self.confirmations >= MATURITY => CoinbaseState::Spendable,
            (true, _) => CoinbaseState::Immature,
            (false, true) => CoinbaseState::Lost,
            (false, false) => CoinbaseState::Waiting,
        }
    }
}

/// Where blocks stand now.
pub(super) struct Standings(BTreeMap<BlockKey, Standing>);

impl Standings {
    /// Of these blocks, in pieces: headers are hashed, and a running node is not to be held up by thousands of them.
    pub(super) async fn ask(
        source: &dyn ChainSource,
        keys: impl Iterator<Item = BlockKey>,
    ) -> Result<Self, ReadError> {
        let keys: Vec<BlockKey> = keys.collect::<BTreeSet<_>>().into_iter().collect();
        let mut of_blocks = BTreeMap::new();
        for piece in keys.chunks(HEADERS_AT_ONCE) {
            let piece = piece.to_vec();
            let standings = ask(source, move |reader| {
                let headers = reader.chain.headers();
                let best = headers.best().height;
                let standing = |key: BlockKey| {
                    let on_best_chain =
                        headers.on_best_chain(key.0).is_some_and(|header| header.hash == key.1);
                    (key, Standing::new(on_best_chain, key.0, best))
                };
                Ok(piece.into_iter().map(standing).collect::<Vec<_>>())
            });
            of_blocks.extend(standings.await?);
        }
        Ok(Self(of_blocks))
    }

    /// One of them; of another nothing is known but that Bitcoin has not come to it.
    pub(super) fn of(&self, key: &BlockKey) -> Standing {
        let unknown = Standing { on_best_chain: false, confirmations: 0, passed: false };
        self.0.get(key).copied().unwrap_or(unknown)
    }
}

/// A block that pays somebody.
struct Paying<'a> {
    key: BlockKey,
    block: &'a FoundBlock,
    script: &'a [u8],
    paid: Paid,
}

impl Paying<'_> {
    fn form(&self, standing: Standing) -> Option<PaymentForm> {
        Some(PaymentForm {
            bitcoin_height: self.key.0.0,
            hash: Text(self.key.1),
            txid: Text(self.block.txid()?),
            time: self.block.time,
            satoshis: self.paid.satoshis,
            bonus_satoshis: self.paid.bonus,
            confirmations: standing.confirmations,
            state: standing.state(),
            spendable_at_bitcoin_height: self.key.0.0.saturating_add(MATURITY),
        })
    }
}

/// All payments to those who are wanted, highest block first.
fn paying(ledger: &Ledger, is_wanted: impl Fn(&[u8]) -> bool) -> Vec<Paying<'_>> {
    let mut all = Vec::new();
    for (key, block) in ledger.blocks().iter().rev() {
        let paid = block.paid(&is_wanted);
        all.extend(paid.into_iter().map(|(script, paid)| Paying { key: *key, block, script, paid }));
    }
    all
}

/// What found blocks paid an owner.
pub(super) async fn paid(
    ledger: &Ledger,
    source: &dyn ChainSource,
    owner: Owner,
) -> Result<PaidForm, ReadError> {
    let all = paying(ledger, |script| script == owner.as_bytes());
    let standings = Standings::ask(source, all.iter().map(|paying| paying.key)).await?;
    let paid = all.iter().map(|paying| (paying, standings.of(&paying.key)));
    let paid = paid.filter(|(_, standing)| standing.on_best_chain);
    let mut form = PaidForm { satoshis: 0, immature_satoshis: 0, bitcoin_blocks: 0, payments: Vec::new() };
    for (paying, standing) in paid {
        let immature = standing.state() == CoinbaseState::Immature;
        form.satoshis += paying.paid.satoshis;
        form.immature_satoshis += if immature { paying.paid.satoshis } else { 0 };
        form.bitcoin_blocks += 1;
        if form.payments.len() < MAX_PAYMENTS {
            form.payments.extend(paying.form(standing));
        }
    }
    Ok(form)
}

/// What found blocks paid the owners that this node works for: sums, and a page of payments, newest first.
pub async fn payments(
    ledger: &Ledger,
    source: &dyn ChainSource,
    before: Option<u32>,
    count: u32,
) -> Result<PaymentsForm, ReadError> {
    let network = super::network(source).await?;
    let owners: BTreeSet<&[u8]> = ledger.owners().keys().map(Owner::as_bytes).collect();
    let all = paying(ledger, |script| owners.contains(script));
    let standings = Standings::ask(source, all.iter().map(|paying| paying.key)).await?;
    let mut sums: BTreeMap<&[u8], OwnerPaymentsForm> = BTreeMap::new();
    for (owner, worked) in ledger.owners() {
        sums.insert(owner.as_bytes(), OwnerPaymentsForm::none(OwnerForm::new(owner, network), *worked));
    }
    for paying in &all {
        if let Some(sums) = sums.get_mut(paying.script) {
            sums.add(standings.of(&paying.key).state(), paying.paid.satoshis);
        }
    }
    let total = all.len() as u64;
    let page = Page::of(all.into_iter(), |paying| paying.key.0, before, count);
    let lines = page.items.iter().filter_map(|paying| {
        let owner = Owner::new(Script::from_bytes(paying.script)).ok()?;
        Some(PaymentLine::new(OwnerForm::new(&owner, network), paying.form(standings.of(&paying.key))?))
    });
    Ok(PaymentsForm {
        owners: sums.into_values().collect(),
        total,
        payments: lines.collect(),
        next_before: page.next_before,
    })
}

/// Payments as a table for other programs (RFC 4180, with a line feed at the end of each line).
pub fn table(payments: &[PaymentLine]) -> String {
    let mut text = HEADER.to_owned();
    for line in payments {
        writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{}",
            line.bitcoin_height,
            line.time,
            line.hash.0,
            line.txid.0,
            line.owner.address,
            line.satoshis,
            line.bonus_satoshis,
            line.state.word(),
            line.confirmations,
            line.spendable_at_bitcoin_height,
        )
        .expect("a string takes any text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coinbase_waits_matures_or_is_lost() {
        let state = |on_best_chain, best| {
            Standing::new(on_best_chain, BitcoinHeight(1_000), BitcoinHeight(best)).state()
        };
        assert_eq!(state(false, 999), CoinbaseState::Waiting);
        assert_eq!(state(true, 1_000), CoinbaseState::Immature);
        assert_eq!(state(true, 1_098), CoinbaseState::Immature);
        assert_eq!(state(true, 1_099), CoinbaseState::Spendable, "the next block, 1,100, may spend it");
        assert_eq!(state(false, 1_000), CoinbaseState::Waiting, "the race is open");
        assert_eq!(state(false, 1_001), CoinbaseState::Lost);
        assert_eq!(state(false, 5_000), CoinbaseState::Lost);
    }
}
