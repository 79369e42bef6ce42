//! `commonwork man`: man pages of all commands, from the same texts as `--help`.

use super::output::{OutputError, print};
use super::{Cli, Outcome};
use clap::{Args, CommandFactory};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Arguments.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// Folder for the pages; made if it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Why there are no pages.
#[derive(Debug, Error)]
pub enum ManError {
    /// They cannot be written.
    #[error("man pages cannot be written into {}: {source}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody takes the answer.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Writes a page for each command.
pub fn run(args: &ManArgs) -> Result<Outcome, ManError> {
    let folder = &args.folder;
    write(folder).map_err(|source| ManError::Write { folder: folder.clone(), source })?;
    print(&format!("man -l {}/commonwork.1 shows the first of them\n", folder.display()))?;
    Ok(Outcome::Good)
}

fn write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}
