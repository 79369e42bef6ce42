//! `commonwork chain`: looks at the share chain, takes it elsewhere, and checks it.

mod export;
mod replay;
mod text;
mod verify;

pub use replay::{Fault, Problem};
pub use verify::VerifyError;

use super::Outcome;
use super::output::{OutputError, print, print_json};
use super::reader::{ChainReader, ReaderError};
use crate::chain::now;
use crate::config::Place;
use clap::{Args, Subcommand};
use sharechain::share::ShareId;
use std::path::PathBuf;
use thiserror::Error;

/// Arguments of `chain`.
#[derive(Clone, Debug, Args)]
pub struct ChainArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ChainCommand,
}

/// What to do with the chain.
#[derive(Clone, Debug, Subcommand)]
pub enum ChainCommand {
    /// Tell where the chain stands
    Tip {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List share blocks of the active branch
    Blocks {
        /// Lowest height; without it the newest blocks are listed
        #[arg(long, value_name = "HEIGHT")]
        from: Option<u32>,
        /// Most blocks
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a share or share block
    Show {
        /// Its id: 64 hexadecimal digits
        id: ShareId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the whole chain as lines of JSON, with all that another program needs to check it
    Export {
        /// File to write [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Check the whole chain again, from its first block on
    Verify {
        /// An export to check instead of this node's chain
        #[arg(long, value_name = "FILE")]
        export: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why the command could not be carried out.
#[derive(Debug, Error)]
pub enum ChainError {
    /// The chain cannot be read.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The answer cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The export cannot be written.
    #[error(transparent)]
    Export(#[from] export::ExportError),
    /// The check could not be made.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}

/// Does it.
pub async fn run(place: &Place, args: ChainArgs) -> Result<Outcome, ChainError> {
    match args.command {
        ChainCommand::Tip { json } => {
            let reader = ChainReader::open(place).await?;
            let tip = reader.tip().await?;
            if json { print_json(&tip)? } else { print(&text::tip(&tip, &reader.name(), now()))? }
        }
        ChainCommand::Blocks { from, count, json } => {
            let blocks = ChainReader::open(place).await?.blocks(from, count).await?;
            if json { print_json(&blocks)? } else { print(&text::blocks(&blocks, now()))? }
        }
        ChainCommand::Show { id, json } => {
            let shown = ChainReader::open(place).await?.show(id).await?;
            if json { print_json(&shown)? } else { print(&text::share(&shown, now()))? }
        }
        ChainCommand::Export { output } => export::run(place, output.as_deref()).await?,
        ChainCommand::Verify { export, json } => {
            return Ok(verify::run(place, export.as_deref(), json).await?);
        }
    }
    Ok(Outcome::Good)
}
