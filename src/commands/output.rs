//! Standard output, which may close at any time: a reader such as `head` has then seen enough.

use serde::Serialize;
use std::io::{self, Write};
use thiserror::Error;

/// Standard output cannot be written.
#[derive(Debug, Error)]
#[error("the output cannot be written: {0}")]
pub struct OutputError(#[from] io::Error);

impl OutputError {
    /// Whether the reader has simply gone away.
    pub fn is_closed(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Writes a text that ends its own lines.
pub(super) fn print(text: &str) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    output.write_all(text.as_bytes())?;
    Ok(output.flush()?)
}

/// Writes a value as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), OutputError> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from)?;
    print(&(text + "\n"))
}
