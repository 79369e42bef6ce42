//! What is known of the chain, as text for people.

use crate::api::form::{Bits, BlocksForm, PlaceForm, ShownForm, TipForm};
use crate::commands::table::{Column, Table};
use indicatif::{HumanCount, HumanDuration};
use sharechain::target::Target;
use sharechain::units::UnixTime;
use std::time::Duration;

/// Digits of an id that are enough to tell blocks apart in a list; they are the last, for the first are zeros.
const SHORT_ID: usize = 16;

pub(super) fn tip(tip: &TipForm, source: &str, now: UnixTime) -> String {
    let head = match &tip.tip {
        None => "tip      none yet: this chain has not begun\n".to_owned(),
        Some(block) => format!(
            "tip      {}\nheight   {}, made {}\nwork     {} expected hashes a block\n",
            block.id.0,
            HumanCount(block.height.into()),
            ago(block.time, now),
            hashes(block.bits),
        ),
    };
    format!(
        "chain    {} on {} ({})\nfrom     {source}\n{head}blocks   {} in memory\nshares   {} kept, {} waiting for something\n\
         window   {:.6} Bitcoin blocks of work by {} owners\nbitcoin  {} {}\n",
        tip.name,
        tip.network,
        tip.chain_id.0,
        HumanCount(tip.blocks),
        HumanCount(tip.shares),
        HumanCount(tip.waiting),
        tip.window.score,
        HumanCount(tip.window.owners),
        HumanCount(tip.bitcoin.height.into()),
        tip.bitcoin.hash.0,
    )
}

pub(super) fn blocks(blocks: &BlocksForm, now: UnixTime) -> String {
    if blocks.blocks.is_empty() {
        return "no share blocks there\n".into();
    }
    let mut table = Table::new([
        Column::Right("height"),
        Column::Left("id"),
        Column::Left("made"),
        Column::Right("hashes"),
        Column::Right("listed"),
        Column::Right("score"),
        Column::Right("bitcoin"),
        Column::Left("owner"),
    ]);
    for block in &blocks.blocks {
        let id = block.id.0.to_string();
        table.row([
            block.height.to_string(),
            format!("…{}", &id[id.len() - SHORT_ID..]),
            ago(block.time, now),
            hashes(block.bits),
            block.listed.to_string(),
            format!("{:.3e}", block.score),
            block.bitcoin_height.to_string(),
            block.owner.address.clone(),
        ]);
    }
    table.text()
}

pub(super) fn share(shown: &ShownForm, now: UnixTime) -> String {
    let (share, commitment) = (&shown.share, &shown.share.commitment);
    let on = |active: &bool| if *active { "on the active branch" } else { "on a branch that is not active" };
    let place = match &shown.place {
        PlaceForm::Block { height, active } => format!("share block at height {height}, {}", on(active)),
        PlaceForm::Listed { height, by, active } => {
            format!("share, listed by block {} at height {height}, {}", by.0, on(active))
        }
        PlaceForm::Unlisted => "share, not listed by any block yet".into(),
    };
    let mut text = format!(
        "id           {}\nis           {place}\nowner        {}\nmade         {}\nmined on     {} (height {})\nbase         {}\n\
         share work   {} expected hashes\nblock work   {} expected hashes\nclass        {}\n\
         bitcoin      height {} on {}\nvalue        {} sat\n",
        share.id.0,
        shown.owner.address,
        ago(commitment.time, now),
        commitment.parent.0,
        commitment.height.saturating_sub(1),
        commitment.base.0,
        hashes(commitment.share_bits),
        hashes(commitment.bits),
        commitment.class,
        commitment.bitcoin_height,
        share.header.prev_block.0,
        HumanCount(commitment.coinbase_value),
    );
    if !shown.listed.is_empty() {
        text += &format!("lists        {} shares\n", shown.listed.len());
        text.extend(shown.listed.iter().map(|id| format!("             {}\n", id.0)));
    }
    text
}

/// Expected hashes for a compact target, short.
fn hashes(bits: Bits) -> String {
    match Target::from_compact(bits.0) {
        Ok(target) => format!("{:.3e}", target.work().0.to_string().parse::<f64>().unwrap_or(f64::INFINITY)),
        Err(_) => "none".into(),
    }
}

fn ago(time: u32, now: UnixTime) -> String {
    match now.seconds_since(UnixTime(time)) {
        seconds @ 0.. => format!("{} ago", HumanDuration(Duration::from_secs(seconds.unsigned_abs()))),
        ahead => format!("{} ahead of this clock", HumanDuration(Duration::from_secs(ahead.unsigned_abs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::CompactTarget;

    #[test]
    fn work_and_times_are_short() {
        assert_eq!(hashes(Bits(CompactTarget::from_consensus(0x1d00_ffff))), "4.295e9");
        assert_eq!(hashes(Bits(CompactTarget::from_consensus(0))), "none");
        assert_eq!(ago(100, UnixTime(100)), "0 seconds ago");
        assert_eq!(ago(100, UnixTime(10_900)), "3 hours ago");
        assert_eq!(ago(130, UnixTime(100)), "30 seconds ahead of this clock");
    }
}
