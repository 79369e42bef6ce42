//! The Bitcoin blocks that the pool has found, page by page. [`super::search`] looks for them.

use super::page::Page;
use super::payments::Standings;
use super::search::id_of;
use crate::address::address_of;
use crate::api::form::{AnyBytes, FoundBlockForm, FoundForm, OutputForm, OutputKind, OwnerForm, Text};
use crate::api::source::{ChainSource, ReadError};
use crate::history::ledger::{Kind, Ledger, Output};
use bitcoin::Script;
use sharechain::owner::Owner;
use sharechain::params::Network;

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
