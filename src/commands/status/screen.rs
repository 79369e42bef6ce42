//! A screen that is written anew each time, and given back as it was at the end. Where standard output is no terminal,
//! texts just follow each other.

use crate::commands::output::{OutputError, print};
use std::io::{self, IsTerminal};

/// Changes to the terminal's other screen, which has no lines to scroll back to.
const OPEN: &str = "\x1b[?1049h";
/// Changes back to where the command was typed.
const CLOSE: &str = "\x1b[?1049l";
/// Clears the screen; the cursor goes to its top.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Where the status is shown.
pub(super) struct Screen {
    is_terminal: bool,
}

impl Screen {
    /// Takes the terminal, if there is one.
    pub(super) fn open() -> Result<Self, OutputError> {
        let is_terminal = io::stdout().is_terminal();
        if is_terminal {
            print(OPEN)?;
        }
        Ok(Self { is_terminal })
    }

    /// Shows a text in place of the one before.
    pub(super) fn show(&self, text: &str) -> Result<(), OutputError> {
        if !self.is_terminal {
            return print(&format!("{text}\n"));
        }
        print(&match size() {
            Some((rows, columns)) => format!("{CLEAR}{}", fit(text, rows, columns)),
            None => format!("{CLEAR}{text}"),
        })
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // Nobody is left to be told.
            let _ = print(CLOSE);
        }
    }
}

/// Rows and columns of the terminal.
#[cfg(unix)]
fn size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then(|| (size.ws_row.into(), size.ws_col.into()))
}

#[cfg(not(unix))]
fn size() -> Option<(usize, usize)> {
    None
}

/// As many whole lines as there is room for, without an end to the last, which would scroll the first one out; long
/// lines take several rows. What is left out is said.
fn fit(text: &str, rows: usize, columns: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let heights: Vec<usize> =
        lines.iter().map(|line| line.chars().count().div_ceil(columns).max(1)).collect();
    if heights.iter().sum::<usize>() <= rows {
        return lines.join("\n");
    }
    let room = rows.saturating_sub(1);
    let mut used = 0;
    let fitting = heights.iter().take_while(|height| {
        used += **height;
        used <= room
    });
    let shown = fitting.count();
    let mut kept = lines[..shown].to_vec();
    let more = format!("... {} more lines: make the window larger", lines.len() - shown);
    let more: String = more.chars().take(columns).collect();
    kept.push(&more);
    kept.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fits_the_screen() {
        assert_eq!(fit("a\nb\n", 2, 80), "a\nb");
        assert_eq!(fit("a\nb\nc\n", 2, 80), "a\n... 2 more lines: make the window larger");
        assert_eq!(fit("abcdef\nb\n", 3, 3), "abcdef\nb", "a long line takes two rows");
        assert_eq!(fit("abcdef\nb\nc\n", 3, 3), "abcdef\n...");
        assert_eq!(fit("a\n\nb\n", 3, 80), "a\n\nb", "an empty line takes one");
        assert_eq!(fit("a\nb\n", 1, 80), "... 2 more lines: make the window larger");
    }
}
