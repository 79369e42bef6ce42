//! Payments as people read them.

use crate::api::form::{CoinbaseState, PaymentLine, PaymentsForm};
use crate::commands::table::{Column, Table};
use indicatif::HumanDuration;
use std::time::Duration;

const SATOSHIS: u64 = 100_000_000;

/// What each owner has, then payment by payment; `now` is in seconds since 1970.
pub(super) fn text(form: &PaymentsForm, now: u64) -> String {
    if form.owners.is_empty() {
        return "nobody has worked here yet\n".into();
    }
    let mut owners = Table::new([
        Column::Left("owner"),
        Column::Right("spendable"),
        Column::Right("immature"),
        Column::Right("lost"),
    ]);
    for sums in &form.owners {
        owners.row([
            sums.owner.address.clone(),
            bitcoins(sums.spendable_satoshis),
            bitcoins(sums.immature_satoshis + sums.waiting_satoshis),
            bitcoins(sums.lost_satoshis),
        ]);
    }
    let text = owners.text();
    if form.payments.is_empty() {
        return text + "\nno Bitcoin block has paid them yet\n";
    }
    let mut lines = Table::new([
        Column::Left("ago"),
        Column::Right("block"),
        Column::Left("owner"),
        Column::Right("bitcoins"),
        Column::Left("state"),
    ]);
    for line in &form.payments {
        lines.row([
            HumanDuration(Duration::from_secs(now.saturating_sub(line.time.into()))).to_string(),
            line.bitcoin_height.to_string(),
            line.owner.address.clone(),
            bitcoins(line.satoshis),
            state(line),
        ]);
    }
    let more = match form.total.saturating_sub(form.payments.len() as u64) {
        0 => String::new(),
        more => format!("and {more} more, which --csv lists\n"),
    };
    text + "\n" + &lines.text() + &more
}

fn state(line: &PaymentLine) -> String {
    match line.state {
        CoinbaseState::Waiting => "waiting for Bitcoin's chain".into(),
        CoinbaseState::Immature => {
            let needed = line.spendable_at_bitcoin_height.saturating_sub(line.bitcoin_height);
            format!("immature: {} of {needed} blocks", line.confirmations)
        }
        CoinbaseState::Spendable => "spendable".into(),
        CoinbaseState::Lost => "lost: the block was orphaned".into(),
    }
}

fn bitcoins(satoshis: u64) -> String {
    format!("{}.{:08}", satoshis / SATOSHIS, satoshis % SATOSHIS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::form::{OwnerForm, OwnerPaymentsForm, PaymentForm, Text};
    use bitcoin::hashes::Hash;

    #[test]
    fn each_owner_has_sums_and_each_payment_says_when_it_can_be_spent() {
        let owner = || OwnerForm { address: "bc1q".into(), script: Default::default() };
        let mut form = PaymentsForm { owners: vec![], total: 0, payments: vec![], next_before: None };
        assert_eq!(text(&form, 0), "nobody has worked here yet\n");
        let mut sums = OwnerPaymentsForm::none(owner(), 0);
        form.owners.push(sums.clone());
        assert!(text(&form, 0).ends_with("\nno Bitcoin block has paid them yet\n"));
        let payment = |state, confirmations| PaymentForm {
            bitcoin_height: 700,
            hash: Text(Hash::all_zeros()),
            txid: Text(Hash::all_zeros()),
            time: 1_000,
            satoshis: 312_500_001,
            bonus_satoshis: 0,
            confirmations,
            state,
            spendable_at_bitcoin_height: 800,
        };
        for (state, confirmations) in [
            (CoinbaseState::Waiting, 0),
            (CoinbaseState::Immature, 37),
            (CoinbaseState::Spendable, 100),
            (CoinbaseState::Lost, 0),
        ] {
            sums.add(state, 312_500_001);
            form.payments.push(PaymentLine::new(owner(), payment(state, confirmations)));
        }
        (form.owners, form.total) = (vec![sums], 9);
        let shown = text(&form, 1_120);
        for wanted in [
            "bc1q   3.12500001  6.25000002  3.12500001\n",
            "2 minutes    700  bc1q   3.12500001  waiting for Bitcoin's chain\n",
            "immature: 37 of 100 blocks\n",
            "spendable\n",
            "lost: the block was orphaned\n",
            "and 5 more, which --csv lists\n",
        ] {
            assert!(shown.contains(wanted), "{wanted:?} is not in:\n{shown}");
        }
    }
}
