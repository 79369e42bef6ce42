//! The Bitcoin blocks that the pool has found, page by page. [`super::search`] looks for them.

use super::payments::Standings;
use super::search::id_of;
use crate::address::address_of;
use crate::api::form::{AnyBytes, FoundBlockForm, FoundForm, OutputForm, OutputKind, OwnerForm, Text};
use crate::api::source::{ChainSource, ReadError};
use crate::history::ledger::{Kind, Ledger, Output};
use bitcoin::{Script, Transaction};
use sharechain::owner::Owner;
use sharechain::params::Network;
use sharechain::units::BitcoinHeight;

/// Most Bitcoin blocks in one answer.
pub const MAX_FOUND_PAGE: u32 = 50;

/// A page of the ledger's blocks, newest first: those below the height `before`, if one is given.
pub async fn page(
    ledger: &Ledger,
    source: &dyn ChainSource,
    before: Option<u32>,
    count: u32,
) -> Result<FoundForm, ReadError> {
    let network = super::network(source).await?;
    let all = ledger.blocks();
    let page = Page::of(all.iter().rev(), |(key, _)| key.0, before, count.clamp(1, MAX_FOUND_PAGE));
    let standings = Standings::ask(source, page.items.iter().map(|(key, _)| **key)).await?;
    let forms = page.items.iter().map(|(key, block)| (key, block, standings.of(key)));
    let forms = forms.map(|(key, block, standing)| FoundBlockForm {
        bitcoin_height: key.0.0,
        hash: Text(key.1),
        share: Text(id_of(key.1)),
        time: block.time,
        finder: OwnerForm::new(&block.finder, network),
        own: block.own,
        on_best_chain: standing.on_best_chain,
        confirmations: standing.confirmations,
        state: standing.state(),
        class: block.class,
        value_satoshis: block.value,
        txid: block.txid().map(Text),
        outputs: block.outputs.iter().map(|output| output_form(output, network)).collect(),
        outputs_whole: block.whole,
    });
    Ok(FoundForm { total: all.len() as u64, blocks: forms.collect(), next_before: page.next_before })
}

/// A part of a list that is sorted by height, highest first. It ends between heights, since it goes on by height: where
/// several items have one height there may be more of them than were asked for.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    /// Where to go on; none at the end.
    pub(super) next_before: Option<u32>,
}

impl<T> Page<T> {
    pub(super) fn of(
        all: impl Iterator<Item = T>,
        height: impl Fn(&T) -> BitcoinHeight,
        before: Option<u32>,
        count: u32,
    ) -> Self {
        let mut rest =
            all.skip_while(|item| before.is_some_and(|before| height(item).0 >= before)).peekable();
        let mut items: Vec<T> = rest.by_ref().take(count as usize).collect();
        let Some(end) = items.last().map(&height) else { return Self { items, next_before: None } };
        while let Some(item) = rest.next_if(|item| height(item) == end) {
            items.push(item);
        }
        Self { items, next_before: rest.peek().map(|_| end.0) }
    }
}

pub(super) fn output_form(output: &Output, network: Network) -> OutputForm {
    let owner = Owner::new(Script::from_bytes(&output.script)).ok();
    OutputForm {
        kind: match output.kind {
            Kind::Payout => OutputKind::Payout,
            Kind::Bonus => OutputKind::Bonus,
            Kind::WitnessCommitment => OutputKind::WitnessCommitment,
            Kind::ShareCommitment => OutputKind::ShareCommitment,
        },
        satoshis: output.satoshis,
        script: AnyBytes(output.script.to_vec()),
        address: owner.map(|owner| address_of(&owner, network)),
    }
}

/// The outputs of a coinbase with what each is for: payouts, then the bonus, then the two commitments (protocol section 4).
pub(super) fn outputs(coinbase: &Transaction, has_bonus: bool) -> Vec<Output> {
    let paying = coinbase.output.len().saturating_sub(2);
    let outputs = coinbase.output.iter().enumerate().map(|(index, output)| {
        let kind = match index {
            _ if index + 1 == coinbase.output.len() => Kind::ShareCommitment,
            _ if index == paying => Kind::WitnessCommitment,
            _ if index + 1 == paying && has_bonus => Kind::Bonus,
            _ => Kind::Payout,
        };
        Output { kind, satoshis: output.value.to_sat(), script: output.script_pubkey.as_bytes().into() }
    });
    outputs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_between_heights_and_says_where_to_go_on() {
        let all = [9, 8, 8, 8, 7, 5];
        let page = |before, count| {
            let page = Page::of(all.into_iter(), |height| BitcoinHeight(*height), before, count);
            (page.items, page.next_before)
        };
        assert_eq!(page(None, 1), (vec![9], Some(9)));
        assert_eq!(page(Some(9), 1), (vec![8, 8, 8], Some(8)));
        assert_eq!(page(None, 5), (vec![9, 8, 8, 8, 7], Some(7)));
        assert_eq!(page(Some(7), 9), (vec![5], None));
        assert_eq!(page(None, 6).1, None);
        assert_eq!(page(Some(5), 2), (vec![], None));
    }
}
