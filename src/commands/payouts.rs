//! `commonwork payouts`: what the coinbase of a share pays, or what the next Bitcoin block would.

use super::Outcome;
use super::output::{OutputError, print, print_json};
use super::reader::{ChainReader, ReaderError};
use super::table::{Column, Table};
use crate::api::form::{OutputForm, OutputKind, PayoutsForm};
use crate::config::Place;
use clap::Args;
use indicatif::HumanCount;
use sharechain::share::ShareId;
use std::collections::BTreeMap;
use thiserror::Error;

/// Arguments of `payouts`.
#[derive(Clone, Debug, Args)]
pub struct PayoutsArgs {
    /// The share whose coinbase to tell, output by output [default: the next Bitcoin block, as far as it is known]
    #[arg(long, value_name = "ID")]
    pub share: Option<ShareId>,
    /// Payout class of the next Bitcoin block [default: the smallest]
    #[arg(long, value_name = "OUTPUTS", conflicts_with = "share")]
    pub class: Option<u16>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Why the command could not be carried out.
#[derive(Debug, Error)]
pub enum PayoutsError {
    /// The chain cannot be read.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Does it.
pub async fn run(place: &Place, args: PayoutsArgs) -> Result<Outcome, PayoutsError> {
    let payouts = ChainReader::open(place).await?.payouts(args.share, args.class).await?;
    if args.json {
        print_json(&payouts)?;
    } else {
        print(&if payouts.share.is_some() { of_share(&payouts) } else { of_next_block(&payouts) })?;
    }
    Ok(Outcome::Good)
}

fn of_share(payouts: &PayoutsForm) -> String {
    let unknown = || "unknown".to_owned();
    let mut text = format!(
        "share    {}\nbitcoin  height {} on {}\nvalue    {} sat, payout class {}\nfinder   {}\ntxid     {}\n\n",
        payouts.share.map_or_else(unknown, |id| id.0.to_string()),
        payouts.bitcoin_height,
        payouts.prev_block.0,
        HumanCount(payouts.value),
        payouts.class,
        payouts.finder.as_ref().map_or_else(unknown, |finder| finder.address.clone()),
        payouts.txid.map_or_else(unknown, |txid| txid.0.to_string()),
    );
    let mut table =
        Table::new([Column::Right("#"), Column::Right("satoshis"), Column::Left("for"), Column::Left("to")]);
    for (index, output) in payouts.outputs.iter().enumerate() {
        table.row([
            index.to_string(),
            HumanCount(output.satoshis).to_string(),
            name(output.kind).into(),
            to(output),
        ]);
    }
    text += &table.text();
    text
}

fn of_next_block(payouts: &PayoutsForm) -> String {
    let mut text = format!(
        "The next Bitcoin block, if it were found now\nbitcoin  height {} on {}\nvalue    {} sat of subsidy; fees come on top\n\
         finder   {} sat of it, whoever that will be\nclass    {}\n\n",
        payouts.bitcoin_height,
        payouts.prev_block.0,
        HumanCount(payouts.value),
        HumanCount(payouts.bonus),
        payouts.class,
    );
    if payouts.owners.is_empty() {
        text += "No work is in the reward window yet, so all of it goes to the finder.\n";
        return text;
    }
    let paid: BTreeMap<&[u8], u64> =
        payouts.outputs.iter().map(|output| (output.script.0.as_slice(), output.satoshis)).collect();
    let shared = payouts.value.saturating_sub(payouts.bonus) as f64;
    let mut table = Table::new([
        Column::Left("owner"),
        Column::Right("part of the work"),
        Column::Right("expected sat"),
        Column::Right("paid by that block"),
    ]);
    for owner in &payouts.owners {
        let satoshis = paid.get(owner.owner.script.0.as_slice()).copied().unwrap_or(0);
        table.row([
            owner.owner.address.clone(),
            format!("{:.4} %", owner.part * 100.0),
            HumanCount((owner.part * shared) as u64).to_string(),
            HumanCount(satoshis).to_string(),
        ]);
    }
    text += &table.text();
    text
}

const fn name(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Payout => "payout",
        OutputKind::Bonus => "finder's bonus",
        OutputKind::WitnessCommitment => "witness commitment",
        OutputKind::ShareCommitment => "share commitment",
    }
}

fn to(output: &OutputForm) -> String {
    use bitcoin::hex::DisplayHex;
    output.address.clone().unwrap_or_else(|| output.script.0.to_lower_hex_string())
}
