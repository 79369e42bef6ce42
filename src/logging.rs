//! Log lines on standard error, for people or for programs. Standard output belongs to what a command was asked for.

use crate::config::LogFormat;
use std::io::{self, IsTerminal};
use thiserror::Error;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, ParseError};
use tracing_subscriber::fmt;
use tracing_subscriber::util::TryInitError;

/// The variable that says what is logged, like `info` or `commonwork::stratum=debug`.
pub const VARIABLE: &str = "COMMONWORK_LOG";

/// Why logging cannot begin.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The variable cannot be understood.
    #[error(
        "{VARIABLE}: {0}; write a level (error, warn, info, debug, trace) or MODULE=LEVEL, separated by commas"
    )]
    Filter(#[from] ParseError),
    /// It has begun already.
    #[error(transparent)]
    Twice(#[from] TryInitError),
}

/// Begins to log what the variable says, or else what this program says from `default` up, and errors of its libraries:
/// what else they tell means little to whoever runs a node.
pub fn start(format: LogFormat, default: LevelFilter) -> Result<(), LoggingError> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.is_empty() => EnvFilter::builder().parse(text)?,
        _ => EnvFilter::builder().parse(format!("error,commonwork={default}"))?,
    };
    let lines = fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Human => {
            lines.with_ansi(io::stderr().is_terminal()).with_target(false).finish().try_init()?
        }
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
