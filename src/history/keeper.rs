//! The thread that owns the history, and how others reach it.

use super::Series;
use super::book::{Book, HistoryError};
use super::ledger::{Changes, Ledger};
use super::point::{Best, Point};
use super::tier::Tier;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{info, warn};

/// Messages that may wait.
const QUEUE: usize = 16;

/// Reaches the history. Clones reach the same.
#[derive(Clone, Debug)]
pub struct HistoryHandle {
    messages: mpsc::Sender<Message>,
    best: watch::Receiver<Arc<Bests>>,
}

/// The best share of each series, of those that have one.
pub type Bests = BTreeMap<Series, Best>;

/// What is asked for of a series: steps of one tier, from a time up to another, both included, in seconds since 1970.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of what.
    pub series: Series,
    /// How fine.
    pub tier: &'static Tier,
    /// The step that this is in is the first.
    pub from: u64,
    /// The last time at which a step may begin.
    pub to: u64,
}

/// Points with the times at which they began, in order.
pub type Points = Vec<(u64, Point)>;

/// The history has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoHistory {
    /// The thread has ended.
    #[error("the history is closed: the node is stopping")]
    Closed,
    /// It cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

#[derive(Debug)]
enum Message {
    Add { time: u64, points: BTreeMap<Series, Point> },
    Read { wanted: Wanted, reply: oneshot::Sender<Result<Points, HistoryError>> },
    List { reply: oneshot::Sender<BTreeMap<Series, u64>> },
    LoadLedger { reply: oneshot::Sender<Result<Ledger, HistoryError>> },
    SaveLedger { changes: Changes, reply: oneshot::Sender<bool> },
}

/// Opens the history in a folder and starts its thread, which ends with the last handle. Blocks for a moment.
pub fn start(folder: &Path) -> Result<HistoryHandle, HistoryError> {
    let book = Book::open(folder)?;
    let (sender, messages) = mpsc::channel(QUEUE);
    let (best_sender, best) = watch::channel(Arc::new(book.best().clone()));
    let keeper = Keeper { book, folder: folder.into(), best: best_sender, is_failing: false };
    thread::Builder::new()
        .name("history".into())
        .spawn(move || keeper.run(messages))
        .map_err(|error| HistoryError::Disk { path: folder.into(), source: error.into() })?;
    Ok(HistoryHandle { messages: sender, best })
}

impl HistoryHandle {
    /// Adds what was counted in a step of time that began at `time`, in seconds since 1970.
    pub async fn add(&self, time: u64, points: BTreeMap<Series, Point>) -> Result<(), NoHistory> {
        self.messages.send(Message::Add { time, points }).await.map_err(|_| NoHistory::Closed)
    }

    /// What was counted.
    pub async fn read(&self, wanted: Wanted) -> Result<Points, NoHistory> {
        let answer = self.ask(|reply| Message::Read { wanted, reply }).await?;
        answer.map_err(|error| NoHistory::Unreadable(error.to_string()))
    }

    /// Every series that there is, and when it was last written, in seconds since 1970.
    pub async fn list(&self) -> Result<BTreeMap<Series, u64>, NoHistory> {
        self.ask(|reply| Message::List { reply }).await
    }

    /// The best share of each series as it was last written. Nothing is waited for.
    pub fn best(&self) -> Arc<Bests> {
        Arc::clone(&self.best.borrow())
    }

    /// The ledger as it was last saved.
    pub async fn ledger(&self) -> Result<Ledger, NoHistory> {
        let answer = self.ask(|reply| Message::LoadLedger { reply }).await?;
        answer.map_err(|error| NoHistory::Unreadable(error.to_string()))
    }

    /// Saves what was changed in the ledger, whoever waits for it or not. Whether it is on the disk now; why not is in the log.
    pub async fn save_ledger(&self, changes: Changes) -> Result<bool, NoHistory> {
        self.ask(|reply| Message::SaveLedger { changes, reply }).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, NoHistory> {
        let (reply, answer) = oneshot::channel();
        self.messages.send(message(reply)).await.map_err(|_| NoHistory::Closed)?;
        answer.await.map_err(|_| NoHistory::Closed)
    }
}

struct Keeper {
    book: Book,
    folder: PathBuf,
    best: watch::Sender<Arc<Bests>>,
    /// So that a full disk is said once.
    is_failing: bool,
}

impl Keeper {
    fn run(mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(message) = messages.blocking_recv() {
            match message {
                Message::Add { time, points } => self.add(time, &points),
                // Whoever asked may have gone; then nobody wants the answer.
                Message::Read { wanted: Wanted { series, tier, from, to }, reply } => {
                    drop(reply.send(self.book.read(&series, tier, from, to)));
                }
                Message::List { reply } => drop(reply.send(self.book.series().clone())),
                Message::LoadLedger { reply } => drop(reply.send(self.book.ledger())),
                Message::SaveLedger { changes, reply } => {
                    let result = self.book.save_ledger(&changes);
                    let _ = reply.send(self.wrote(result));
                }
            }
        }
    }

    fn add(&mut self, time: u64, points: &BTreeMap<Series, Point>) {
        let result = self.book.add(time, points);
        self.wrote(result);
        if **self.best.borrow() != *self.book.best() {
            self.best.send_replace(Arc::new(self.book.best().clone()));
        }
    }

    /// Whether it could be written; a change from the one to the other is said.
    fn wrote(&mut self, result: Result<(), HistoryError>) -> bool {
        match (&result, self.is_failing) {
            (Err(error), false) => warn!("{error}; mining goes on without it"),
            (Ok(()), true) => info!(folder = %self.folder.display(), "the history is written again"),
            _ => {}
        }
        self.is_failing = result.is_err();
        result.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tier::TIERS;

    #[tokio::test]
    async fn what_is_added_is_read_back_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let point = Point { seconds: 30, hashes: 9.0, best_difficulty: 2.0, ..Point::default() };
        let wanted = Wanted { series: Series::Node, tier: &TIERS[0], from: 0, to: u64::MAX };
        let history = start(folder.path()).expect("it opens");
        history.add(60, BTreeMap::from([(Series::Node, point)])).await.expect("it runs");
        assert_eq!(history.read(wanted.clone()).await, Ok(vec![(60, point)]));
        let best = |history: &HistoryHandle| history.best().get(&Series::Node).map(|best| best.difficulty);
        assert_eq!(best(&history), Some(2.0));
        drop(history);
        // The thread ends at once, but nobody waits for it.
        let again = loop {
            match start(folder.path()) {
                Ok(again) => break again,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        assert_eq!(again.read(wanted).await, Ok(vec![(60, point)]));
        assert_eq!(best(&again), Some(2.0));
        assert_eq!(again.list().await, Ok(BTreeMap::from([(Series::Node, 60)])));
    }
}
