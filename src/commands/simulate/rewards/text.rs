//! The comparison as tables.

use super::super::super::table::{Column, Table};
use crate::rewards::Report;
use crate::rewards::figure::{hash_rate, number, percent, span};
use crate::rewards::page::{
    FIRST_TITLES, INCOME_TITLES, OPERATOR_TITLES, first_cells, income_cells, operator_rows, remark_lines,
    reserve_lines, rule_lines,
};

/// Names to the left, numbers to the right.
fn table<const N: usize>(titles: [&'static str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut place = 0;
    let mut table = Table::new(titles.map(|title| {
        place += 1;
        if place == 1 { Column::Left(title) } else { Column::Right(title) }
    }));
    rows.for_each(|row| table.row(row));
    table.text()
}

/// All of it.
pub(super) fn report(report: &Report) -> String {
    let settings = &report.settings;
    let mut text = format!(
        "{} of {} of {}: {} of the pool, which finds a Bitcoin block in {}; a block is worth {} sat\n\
         by formula, and drawn in as many runs as told (± standard error); ~ is near but not exact\n",
        hash_rate(settings.hash_rate),
        hash_rate(settings.pool_hash_rate),
        hash_rate(settings.network_hash_rate),
        percent(settings.part()),
        span(1.0 / report.blocks_per_day),
        number(report.block_value as f64),
    );
    for (place, (days, fair)) in settings.horizons.iter().zip(&report.fair).enumerate() {
        text += &format!("\nOver {}; the hash rate is worth {} sat\n", span(*days), number(*fair));
        text += &table(INCOME_TITLES, report.rows.iter().map(|row| income_cells(row, place)));
    }
    text += "\nFrom the first hash to the first payout, on average\n";
    text += &table(FIRST_TITLES, report.rows.iter().map(first_cells));
    text += "\nThe operator's risk\n";
    text += &table(OPERATOR_TITLES, operator_rows(report).into_iter());
    let lines = |title: &str, lines: Vec<String>| {
        lines.iter().fold(format!("\n{title}\n"), |text, line| text + "- " + line + "\n")
    };
    text += &lines("Reserves", reserve_lines(report));
    text += &lines("What rules do", rule_lines(report));
    text += &lines("Where no formula is exact", remark_lines(report));
    let runs: Vec<String> = report.rows.iter().map(|row| format!("{} {}", row.name, row.runs)).collect();
    text + "\nRuns: " + &runs.join(", ") + "\n"
}
