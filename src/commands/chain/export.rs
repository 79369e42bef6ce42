//! `commonwork chain export`.

use crate::commands::progress::Progress;
use crate::commands::reader::{ChainReader, ReaderError};
use crate::config::Place;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why an export was not written.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The chain cannot be read.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

pub(super) async fn run(place: &Place, output: Option<&Path>) -> Result<(), ExportError> {
    let reader = ChainReader::open(place).await?;
    match output {
        Some(path) => to_file(&reader, path).await,
        None => {
            let stdout = io::stdout();
            // Lines of JSON and a bar on one terminal would be a mess.
            let progress = (!stdout.is_terminal()).then(|| Progress::new("exporting", None));
            Ok(copy(&reader, &mut stdout.lock(), progress).await?)
        }
    }
}

/// Only a whole export gets the name that was asked for.
async fn to_file(reader: &ChainReader, path: &Path) -> Result<(), ExportError> {
    let fault = |source| ExportError::File { path: path.to_owned(), source };
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let mut file = BufWriter::new(File::create(&partial).map_err(fault)?);
    copy(reader, &mut file, Some(Progress::new("exporting", None))).await?;
    file.into_inner().map_err(|error| fault(error.into_error()))?.sync_all().map_err(fault)?;
    std::fs::rename(&partial, path).map_err(fault)
}

async fn copy(
    reader: &ChainReader,
    output: &mut impl Write,
    mut progress: Option<Progress>,
) -> Result<(), ReaderError> {
    reader
        .export(|bytes| {
            if let Some(progress) = &mut progress {
                progress.advance(bytes.iter().filter(|&&byte| byte == b'\n').count() as u64);
            }
            output.write_all(bytes)
        })
        .await?;
    output.flush().map_err(ReaderError::Output)?;
    if let Some(progress) = progress {
        progress.finish();
    }
    Ok(())
}
