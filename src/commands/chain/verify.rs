//! `commonwork chain verify`: every block and share of a store, a running node or an export through every check again.

use super::replay::{Counts, Fault, Replay};
use crate::api::export::{BadLine, Exporter, Piece};
use crate::api::{ClientError, ReadError};
use crate::commands::Outcome;
use crate::commands::output::{OutputError, print, print_json};
use crate::commands::progress::Progress;
use crate::commands::reader::{ChainReader, ReaderError};
use crate::config::Place;
use indicatif::HumanCount;
use serde::Serialize;
use sharechain::params::ChainId;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Bytes of the longest line: a block of 4,096 listed shares has about 10 MB.
const MAX_LINE: usize = 64 << 20;
/// Bytes read from a file at once.
const READ: usize = 1 << 20;

/// Why the check could not be made. That the chain is not valid is no such error.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The chain cannot be read.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The export cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The report cannot be written.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// What makes a chain invalid.
#[derive(Debug, Error)]
enum Invalid {
    #[error(transparent)]
    Fault(Fault),
    #[error("line {0}: {1}")]
    FaultInLine(u64, Fault),
    #[error("line {0}: {1}")]
    BadLine(u64, BadLine),
    #[error("line {0} is longer than {MAX_LINE} bytes")]
    LongLine(u64),
    #[error("the export ends before its last line: it is not whole")]
    Unfinished,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Report {
    valid: bool,
    fault: Option<String>,
    chain_id: Option<String>,
    tip: Option<String>,
    bitcoin_headers: u64,
    blocks: u64,
    shares: u64,
    /// Blocks that were judged by themselves only, since what they follow from is not there.
    blocks_by_themselves: u64,
    seconds: f64,
    shares_per_second: f64,
}

pub(super) async fn run(place: &Place, export: Option<&Path>, json: bool) -> Result<Outcome, VerifyError> {
    let (check, source) = match export {
        Some(path) => (of_file(path).await?, path.display().to_string()),
        None => {
            let reader = ChainReader::open(place).await?;
            let source = reader.name();
            (of_reader(reader).await?, source)
        }
    };
    let report = check.report();
    if json {
        print_json(&report)?;
    } else {
        print(&report.text(&source, place.params.chain_id()))?;
    }
    Ok(if report.valid { Outcome::Good } else { Outcome::Bad })
}

async fn of_reader(reader: ChainReader) -> Result<Check, VerifyError> {
    match reader {
        ChainReader::Store(source, _) => {
            let mut exporter = Exporter::start(source).await.map_err(ReaderError::from)?;
            let mut check = Check::new(Some(exporter.blocks_left() as u64));
            while !check.is_decided() {
                let next: Result<_, ReadError> = exporter.next().await;
                let Some(piece) = next.map_err(ReaderError::from)? else { break };
                check.invalid = check.piece(piece).err().map(Invalid::Fault);
                tokio::task::yield_now().await;
            }
            Ok(check)
        }
        ChainReader::Node(client) => {
            let blocks = client.tip().await.map_err(ReaderError::from)?.blocks;
            let mut check = Check::new(Some(blocks));
            let fed = client.export(|bytes| check.bytes(bytes)).await;
            match fed {
                // The check itself wants no more.
                Err(ClientError::Output(_)) if check.is_decided() => Ok(check),
                Err(error) => Err(ReaderError::from(error).into()),
                Ok(()) => Ok(check),
            }
        }
    }
}

async fn of_file(path: &Path) -> Result<Check, VerifyError> {
    let fault = |source| VerifyError::File { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(fault)?;
    let mut check = Check::new(None);
    let mut buffer = vec![0; READ];
    while !check.is_decided() {
        let read = file.read(&mut buffer).map_err(fault)?;
        // What follows the last line end belongs to a line that was cut off.
        if read == 0 || check.bytes(&buffer[..read]).is_err() {
            break;
        }
        // A signal to stop is noticed here.
        tokio::task::yield_now().await;
    }
    Ok(check)
}

/// A replay that is fed with bytes or pieces until it is done or has found a fault.
struct Check {
    replay: Replay,
    chain: Option<ChainId>,
    invalid: Option<Invalid>,
    line: Vec<u8>,
    lines: u64,
    progress: Progress,
}

impl Check {
    fn new(blocks: Option<u64>) -> Self {
        Self {
            replay: Replay::default(),
            chain: None,
            invalid: None,
            line: Vec::new(),
            lines: 0,
            progress: Progress::new("checking share blocks", blocks),
        }
    }

    /// Whether more pieces would change nothing.
    const fn is_decided(&self) -> bool {
        self.invalid.is_some()
    }

    fn piece(&mut self, piece: Piece) -> Result<(), Fault> {
        let before = self.replay.counts().blocks;
        let taken = self.replay.take(piece);
        self.chain = self.chain.or(self.replay.chain());
        self.progress.advance(self.replay.counts().blocks - before);
        taken
    }

    /// Takes bytes of lines; an error when no more are wanted.
    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (head, tail) = rest.split_at(end);
            rest = &tail[1..];
            let mut line = core::mem::take(&mut self.line);
            line.extend_from_slice(head);
            self.one_line(&line);
            // Kept for the next, so that not each one is allocated.
            line.clear();
            self.line = line;
            if self.is_decided() {
                return Err(io::Error::other("decided"));
            }
        }
        self.line.extend_from_slice(rest);
        if self.line.len() > MAX_LINE {
            self.invalid = Some(Invalid::LongLine(self.lines + 1));
            return Err(io::Error::other("decided"));
        }
        Ok(())
    }

    fn one_line(&mut self, line: &[u8]) {
        self.lines += 1;
        self.invalid = match Piece::from_line(line, self.chain) {
            Ok(piece) => self.piece(piece).err().map(|fault| Invalid::FaultInLine(self.lines, fault)),
            Err(bad) => Some(Invalid::BadLine(self.lines, bad)),
        };
    }

    fn report(self) -> Report {
        let unfinished = (!self.replay.is_whole()).then_some(Invalid::Unfinished);
        let fault = self.invalid.or(unfinished).map(|invalid| invalid.to_string());
        let Counts { headers, blocks, shares, by_themselves } = self.replay.counts();
        let seconds = self.progress.elapsed().as_secs_f64();
        self.progress.finish();
        Report {
            valid: fault.is_none(),
            fault,
            chain_id: self.chain.map(|id| id.to_string()),
            tip: self.replay.tip().map(|id| id.to_string()),
            bitcoin_headers: headers,
            blocks,
            shares,
            blocks_by_themselves: by_themselves,
            seconds,
            shares_per_second: shares as f64 / seconds.max(1e-9),
        }
    }
}

impl Report {
    fn text(&self, source: &str, expected: ChainId) -> String {
        let none = || "none".to_owned();
        let mut text = format!(
            "from     {source}\nchain    {}\nchecked  {} share blocks with {} shares, on {} Bitcoin headers\ntip      {}\n\
             speed    {} shares per second ({:.1} s)\n",
            self.chain_id.clone().unwrap_or_else(none),
            HumanCount(self.blocks),
            HumanCount(self.shares),
            HumanCount(self.bitcoin_headers),
            self.tip.clone().unwrap_or_else(none),
            HumanCount(self.shares_per_second as u64),
            self.seconds,
        );
        if self.chain_id.as_ref().is_some_and(|id| *id != expected.to_string()) {
            text += &format!("note     this is another chain than that of these settings, {expected}\n");
        }
        if self.blocks_by_themselves > 0 {
            text += &format!(
                "note     {} of the blocks were checked by themselves only: what they follow from has been pruned\n",
                HumanCount(self.blocks_by_themselves)
            );
        }
        text += &match &self.fault {
            None => "\nThe chain is valid.\n".to_owned(),
            Some(fault) => format!("\nNOT VALID: {fault}\n"),
        };
        text
    }
}
