//! Plain tables: columns as wide as what is in them, numbers to the right.

use std::fmt::Write;

/// A column's title and side.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Texts.
    Left(&'static str),
    /// Numbers.
    Right(&'static str),
}

/// Rows under titles.
pub(super) struct Table<const N: usize> {
    columns: [Column; N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    /// A table without rows.
    pub(super) const fn new(columns: [Column; N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: [String; N]) {
        self.rows.push(cells);
    }

    /// The whole text, the last line ended.
    pub(super) fn text(&self) -> String {
        let titles = self.columns.map(|column| match column {
            Column::Left(title) | Column::Right(title) => title.to_owned(),
        });
        let lines = || core::iter::once(&titles).chain(&self.rows);
        let widths: [usize; N] =
            core::array::from_fn(|i| lines().map(|cells| cells[i].chars().count()).max().unwrap_or(0));
        let mut text = String::new();
        for cells in lines() {
            let mut line = String::new();
            for ((cell, width), column) in cells.iter().zip(widths).zip(self.columns) {
                // Writing to a String cannot fail.
                let _ = match column {
                    Column::Left(_) => write!(line, "{cell:<width$}  "),
                    Column::Right(_) => write!(line, "{cell:>width$}  "),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let mut table = Table::new([Column::Left("who"), Column::Right("sat")]);
        table.row(["a long name".into(), "5".into()]);
        table.row(["b".into(), "12345".into()]);
        assert_eq!(table.text(), "who            sat\na long name      5\nb            12345\n");
    }
}
