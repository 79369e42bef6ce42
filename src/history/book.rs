//! The database of the history.
//!
//! | key | value |
//! |---|---|
//! | 0 | number of the format, one byte |
//! | 1, series | when it was last written, seconds since 1970, 8 bytes |
//! | 2, length of series, series, tier, begin of the step in 8 bytes | [`Point`], bincode |
//! | 3, series | its [`Best`], bincode |
//!
//! A series is its name as people write it; numbers are big-endian, so that rows lie in the order of time.

use super::Series;
use super::ledger::{Changes, Ledger};
use super::ledger_rows::LedgerRows;
use super::point::{Best, Point};
use super::tier::{TIERS, Tier};
use crate::disk;
use sled::{Batch, Db};
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use thiserror::Error;
use tracing::warn;

/// Most workers with a series of their own; beyond it the one that was silent for the longest is forgotten.
pub const MAX_WORKERS: usize = 128;
const FORMAT: u8 = 1;
/// Seconds by which a step may be later than the one before; else the clock may be wrong, or the node was not running.
const JUMP: u64 = 86_400;
/// Steps in a row after which a clock that jumped is believed.
const BELIEVED_AFTER: u32 = 20;
/// Little is read, and never twice.
const CACHE_BYTES: u64 = 4 << 20;

/// Why the history cannot be read or written.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// The system or the database refused.
    #[error("the history in {} cannot be read or written: {source}. Check the disk's space and the folder's permissions", .path.display())]
    Disk {
        /// The folder.
        path: PathBuf,
        /// What was said.
        source: sled::Error,
    },
    /// It was written by a newer release. Nothing in it was changed.
    #[error("the history in {} has format {found}, this release knows format {FORMAT}: run a newer release, or move the folder away", .path.display())]
    TooNew {
        /// The folder.
        path: PathBuf,
        /// The number of its format.
        found: u8,
    },
    /// What is in the folder cannot be read, and cannot be moved out of the way.
    #[error("the history in {} is damaged and cannot be moved away: {source}", .path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The history on the disk. All calls block.
#[derive(Debug)]
pub struct Book {
    db: Db,
    path: PathBuf,
    /// When each series was last written.
    series: BTreeMap<Series, u64>,
    /// The best share of each, of those that have one.
    best: BTreeMap<Series, Best>,
    ledger: LedgerRows,
    /// The time of the last step that was believed; zero before the first.
    steady_at: u64,
    /// Steps in a row that were far after it.
    jumps: u32,
}

impl Book {
    /// Opens the history in a folder, which is made when it is not there. A damaged one is moved aside and a new one
    /// begun: it is not worth a node's standing still.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        // On damaged files some of sled's assertions fail. Nothing of it outlives the unwinding.
        let attempt = || catch_unwind(AssertUnwindSafe(|| Self::open_whole(path))).unwrap_or(Ok(None));
        if let Some(book) = attempt()? {
            return Ok(book);
        }
        let damaged = |source| HistoryError::Damaged { path: path.into(), source };
        let aside = disk::move_aside(path).map_err(damaged)?;
        warn!(to = %aside.display(), "the history was damaged and has been moved aside; beginning with an empty one");
        attempt()?.ok_or_else(|| damaged(io::ErrorKind::InvalidData.into()))
    }

    /// None when it is damaged.
    fn open_whole(path: &Path) -> Result<Option<Self>, HistoryError> {
        let disk = |source| HistoryError::Disk { path: path.into(), source };
        let config = sled::Config::new().path(path).cache_capacity(CACHE_BYTES).flush_every_ms(None);
        let db = match config.open() {
            Err(sled::Error::Corruption { .. }) => return Ok(None),
            db => db.map_err(disk)?,
        };
        match db.get([0]).map_err(disk)?.as_deref() {
            Some([FORMAT]) => {}
            None if db.is_empty() => drop(db.insert([0], &[FORMAT]).map_err(disk)?),
            Some([found]) if *found > FORMAT => {
                return Err(HistoryError::TooNew { path: path.into(), found: *found });
            }
            _ => return Ok(None),
        }
        let ledger = match LedgerRows::open(&db).map_err(disk)? {
            Ok(ledger) => ledger,
            Err(found) => return Err(HistoryError::TooNew { path: path.into(), found }),
        };
        let mut series = BTreeMap::new();
        for row in db.scan_prefix([1]) {
            let (key, time) = row.map_err(disk)?;
            let time = time.as_ref().try_into().ok().map(u64::from_be_bytes);
            let (Some(name), Some(time)) = (series_of(&key), time) else { return Ok(None) };
            series.insert(name, time);
        }
        let mut best = BTreeMap::new();
        for row in db.scan_prefix([3]) {
            let (key, value) = row.map_err(disk)?;
            best.extend(series_of(&key).zip(bincode::deserialize(&value).ok()));
        }
        Ok(Some(Self { db, path: path.into(), series, best, ledger, steady_at: 0, jumps: 0 }))
    }

    /// Adds what was counted, in a step of time that began at `time` (seconds since 1970). It is on the disk when this
    /// returns.
    pub fn add(&mut self, time: u64, points: &BTreeMap<Series, Point>) -> Result<(), HistoryError> {
        let mut batch = Batch::default();
        self.make_room(points, &mut batch)?;
        let forgets = self.is_steady(time);
        for (series, point) in points.iter().filter(|(series, _)| self.series.contains_key(series)) {
            batch.insert(name_key(series), &time.to_be_bytes());
            for (number, tier) in (0..).zip(&TIERS) {
                let begin = tier.begin_of(time);
                let key = point_key(series, number, begin);
                let mut sum = match self.get(&key)? {
                    Some(sum) => sum,
                    None => {
                        if forgets {
                            self.forget_before(tier.first_kept(begin), series, number, &mut batch)?;
                        }
                        Point::default()
                    }
                };
                sum.follow(point);
                batch.insert(key, bincode::serialize(&sum).expect("a vector takes any bytes"));
            }
        }
        let records = self.records(time, points);
        for (series, best) in &records {
            batch.insert(best_key(series), bincode::serialize(best).expect("a vector takes any bytes"));
        }
        for (series, last) in &mut self.series {
            if points.contains_key(series) {
                *last = time;
            }
        }
        self.db.apply_batch(batch).and_then(|()| self.db.flush()).map_err(|source| self.disk(source))?;
        self.best.extend(records);
        Ok(())
    }

    /// The series that have a better share now than ever before, with it.
    fn records(&self, time: u64, points: &BTreeMap<Series, Point>) -> BTreeMap<Series, Best> {
        let of_workers = points.iter().filter_map(|(series, point)| match series {
            Series::Worker(name) => Some((name, point.best_difficulty)),
            Series::Node | Series::Pool => None,
        });
        let best_worker = of_workers.max_by(|(_, one), (_, other)| one.total_cmp(other));
        let best_worker = best_worker.map(|(name, _)| name.clone()).unwrap_or_default();
        let is_record = |series: &Series, difficulty: f64| {
            let best = self.best.get(series).map_or(0.0, |best| best.difficulty);
            self.series.contains_key(series) && difficulty > best
        };
        let better = points.iter().filter(|(series, point)| is_record(series, point.best_difficulty));
        let records = better.map(|(series, point)| {
            let worker = match series {
                Series::Worker(name) => name.clone(),
                Series::Node | Series::Pool => best_worker.clone(),
            };
            (series.clone(), Best { difficulty: point.best_difficulty, time, worker })
        });
        records.collect()
    }

    /// The best share of each series, of those that have one.
    pub const fn best(&self) -> &BTreeMap<Series, Best> {
        &self.best
    }

    /// The ledger as it was last saved.
    pub fn ledger(&self) -> Result<Ledger, HistoryError> {
        self.ledger.load().map_err(|source| self.disk(source))
    }

    /// Saves what was changed in the ledger. It is on the disk when this returns.
    pub fn save_ledger(&self, changes: &Changes) -> Result<(), HistoryError> {
        self.ledger.save(changes).map_err(|source| self.disk(source))
    }

    /// The points of a series from a time up to another, both included, with the time at which each began. Where nothing
    /// was counted there is none.
    pub fn read(
        &self,
        series: &Series,
        tier: &Tier,
        from: u64,
        to: u64,
    ) -> Result<Vec<(u64, Point)>, HistoryError> {
        let Some(number) = (0..).zip(&TIERS).find_map(|(number, known)| (known == tier).then_some(number))
        else {
            return Ok(Vec::new());
        };
        let from = tier.begin_of(from);
        let mut points = Vec::new();
        if from > to {
            return Ok(points);
        }
        for row in self.db.range(point_key(series, number, from)..=point_key(series, number, to)) {
            let (key, value) = row.map_err(|source| self.disk(source))?;
            let time = key.last_chunk().copied().map(u64::from_be_bytes);
            points.extend(time.zip(bincode::deserialize(&value).ok()));
        }
        Ok(points)
    }

    /// Every series that there is, and when it was last written.
    pub const fn series(&self) -> &BTreeMap<Series, u64> {
        &self.series
    }

    /// A row that cannot be read counts as none.
    fn get(&self, key: &[u8]) -> Result<Option<Point>, HistoryError> {
        let row = self.db.get(key).map_err(|source| self.disk(source))?;
        Ok(row.and_then(|row| bincode::deserialize(&row).ok()))
    }

    fn forget_before(
        &self,
        first: u64,
        series: &Series,
        tier: u8,
        batch: &mut Batch,
    ) -> Result<(), HistoryError> {
        for key in self.db.range(point_key(series, tier, 0)..point_key(series, tier, first)).keys() {
            batch.remove(key.map_err(|source| self.disk(source))?);
        }
        Ok(())
    }

    /// Makes these known, as long as there is room: for new workers those that were silent for the longest are forgotten,
    /// but none that is heard of now.
    fn make_room(&mut self, points: &BTreeMap<Series, Point>, batch: &mut Batch) -> Result<(), HistoryError> {
        let is_worker = |series: &&Series| matches!(series, Series::Worker(_));
        let silent =
            self.series.iter().filter(|(series, _)| is_worker(series) && !points.contains_key(series));
        let mut silent: Vec<_> = silent.map(|(series, last)| (*last, series.clone())).collect();
        silent.sort_by(|one, other| other.cmp(one));
        let mut room = MAX_WORKERS.saturating_sub(self.series.keys().filter(is_worker).count());
        for series in points.keys() {
            if self.series.contains_key(series) {
                continue;
            }
            if is_worker(&series) && room > 0 {
                room -= 1;
            } else if is_worker(&series) {
                let Some((_, longest)) = silent.pop() else { continue };
                self.forget(&longest, batch)?;
            }
            self.series.insert(series.clone(), 0);
        }
        Ok(())
    }

    /// Whether the clock can be believed enough to forget what it says is old: not when it has just jumped ahead.
    fn is_steady(&mut self, time: u64) -> bool {
        let newest = self.series.values().copied().max().unwrap_or(0);
        if self.steady_at == 0 {
            self.steady_at = newest;
        }
        let jumped = self.steady_at > 0 && time > self.steady_at.saturating_add(JUMP);
        self.jumps = if jumped { self.jumps.saturating_add(1) } else { 0 };
        let is_steady = self.jumps == 0 || self.jumps > BELIEVED_AFTER;
        if is_steady {
            self.steady_at = time;
        }
        is_steady
    }

    fn forget(&mut self, series: &Series, batch: &mut Batch) -> Result<(), HistoryError> {
        self.series.remove(series);
        self.best.remove(series);
        batch.remove(name_key(series));
        batch.remove(best_key(series));
        for number in (0..).take(TIERS.len()) {
            self.forget_before(u64::MAX, series, number, batch)?;
        }
        Ok(())
    }

    fn disk(&self, source: sled::Error) -> HistoryError {
        HistoryError::Disk { path: self.path.clone(), source }
    }
}

fn name_key(series: &Series) -> Vec<u8> {
    [&[1], series.to_string().as_bytes()].concat()
}

fn best_key(series: &Series) -> Vec<u8> {
    [&[3], series.to_string().as_bytes()].concat()
}

/// The series that a row of the kinds 1 and 3 is of.
fn series_of(key: &[u8]) -> Option<Series> {
    str::from_utf8(key.get(1..)?).ok()?.parse().ok()
}

fn point_key(series: &Series, tier: u8, begin: u64) -> Vec<u8> {
    let name = series.to_string();
    let length = u8::try_from(name.len()).expect("names are cut");
    [&[2, length], name.as_bytes(), &[tier], &begin.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A day's begin.
    const START: u64 = 20_000 * 86_400;

    fn open(folder: &tempfile::TempDir) -> Book {
        Book::open(&folder.path().join("history")).expect("it opens")
    }

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    fn point(hashes: f64) -> Point {
        Point { seconds: 30, hashes, accepted: 1, ..Point::default() }
    }

    fn add(book: &mut Book, time: u64, series: &Series, hashes: f64) {
        book.add(time, &BTreeMap::from([(series.clone(), point(hashes))])).expect("it is written");
    }

    fn read(book: &Book, series: &Series, tier: usize) -> Vec<(u64, Point)> {
        book.read(series, &TIERS[tier], 0, u64::MAX).expect("it is read")
    }

    #[test]
    fn what_is_added_is_in_every_tier_and_survives() {
        let folder = folder();
        let mut book = open(&folder);
        for (time, hashes) in [(START, 1.0), (START + 30, 2.0), (START + 300, 4.0)] {
            add(&mut book, time, &Series::Node, hashes);
        }
        add(&mut book, START, &Series::worker("rig"), 8.0);
        drop(book);
        let book = open(&folder);
        assert_eq!(
            read(&book, &Series::Node, 0),
            [(START, point(1.0)), (START + 30, point(2.0)), (START + 300, point(4.0))]
        );
        let sums = |tier| -> Vec<(u64, f64, u32)> {
            read(&book, &Series::Node, tier)
                .iter()
                .map(|(time, p)| (time - START, p.hashes, p.seconds))
                .collect()
        };
        assert_eq!(sums(1), [(0, 3.0, 60), (300, 4.0, 30)]);
        assert_eq!(sums(4), [(0, 7.0, 90)]);
        assert_eq!(read(&book, &Series::worker("rig"), 4), [(START, point(8.0))]);
        assert_eq!(read(&book, &Series::Pool, 4), []);
        let some = book.read(&Series::Node, &TIERS[0], START + 59, START + 299).expect("it is read");
        assert_eq!(some, [(START + 30, point(2.0))], "the step in which it begins counts");
        assert_eq!(book.read(&Series::Node, &TIERS[0], 2, 1).expect("it is read"), []);
        assert_eq!(book.series().get(&Series::Node), Some(&(START + 300)));
    }

    #[test]
    fn the_best_share_ever_is_kept_with_who_found_it_and_when() {
        let folder = folder();
        let mut book = open(&folder);
        let mut step = |time: u64, one: f64, two: f64| {
            let of = |best: f64| Point { best_difficulty: best, ..point(1.0) };
            let all =
                [(Series::Node, one.max(two)), (Series::worker("one"), one), (Series::worker("two"), two)];
            let points = all.into_iter().map(|(series, best)| (series, of(best))).collect();
            book.add(time, &points).expect("it is written");
        };
        step(START, 0.0, 5.0);
        step(START + 30, 9.0, 7.0);
        step(START + 60, 9.0, 8.0);
        drop(book);
        let book = open(&folder);
        let best =
            |series| book.best().get(&series).map(|b| (b.difficulty, b.time - START, b.worker.as_str()));
        assert_eq!(best(Series::Node), Some((9.0, 30, "one")));
        assert_eq!(best(Series::worker("one")), Some((9.0, 30, "one")));
        assert_eq!(best(Series::worker("two")), Some((8.0, 60, "two")));
        assert_eq!(best(Series::Pool), None);
    }

    #[test]
    fn the_ledger_is_read_as_it_was_saved_and_a_newer_one_is_left_alone() {
        let folder = folder();
        let book = open(&folder);
        let mut ledger = crate::history::ledger::tests::some();
        book.save_ledger(ledger.unsaved()).expect("it is written");
        book.save_ledger(ledger.unsaved()).expect("twice is as once");
        ledger.saved();
        let read = book.ledger().expect("it is read");
        assert_eq!((read.blocks(), read.owners()), (ledger.blocks(), ledger.owners()));
        assert!(read.unsaved().is_empty() && !read.blocks().is_empty() && !read.owners().is_empty());
        let (kept, time) = ledger.owners().first_key_value().expect("two owners");
        let anew = Changes { owners: [(*kept, Some(*time))].into(), anew: true, ..Changes::default() };
        book.save_ledger(&anew).expect("it is written");
        let read = book.ledger().expect("it is read");
        assert_eq!((read.blocks().len(), read.owners().iter().collect::<Vec<_>>()), (0, vec![(kept, time)]));
        let forgotten = Changes {
            blocks: ledger.blocks().keys().map(|key| (*key, None)).collect(),
            owners: ledger.owners().keys().map(|owner| (*owner, None)).collect(),
            anew: false,
        };
        book.save_ledger(&forgotten).expect("it is written");
        let tree = book.db.open_tree("ledger").expect("a tree");
        assert_eq!(tree.len(), 1, "the format");
        tree.insert([0], &[99]).expect("written");
        drop((book, tree));
        let error = Book::open(&folder.path().join("history")).expect_err("too new");
        assert!(matches!(error, HistoryError::TooNew { found: 99, .. }), "{error}");
    }

    #[test]
    fn each_tier_forgets_what_is_older_than_it_keeps() {
        let mut book = open(&folder());
        let steps = u64::from(TIERS[0].keep / TIERS[0].step);
        for step in 0..steps + 5 {
            add(&mut book, START + step * 30, &Series::Node, 1.0);
        }
        let kept = read(&book, &Series::Node, 0);
        assert_eq!((kept.len() as u64, kept[0].0), (steps, START + 5 * 30));
        let all: f64 = read(&book, &Series::Node, 2).iter().map(|(_, point)| point.hashes).sum();
        assert_eq!(all, (steps + 5) as f64);
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_believed_when_it_stays_there() {
        let mut book = open(&folder());
        let later = START + 4_000 * 86_400;
        add(&mut book, START, &Series::Node, 1.0);
        add(&mut book, later, &Series::Node, 1.0);
        add(&mut book, START + 30, &Series::Node, 1.0);
        assert_eq!(read(&book, &Series::Node, 0).len(), 3, "a jump forgets nothing");
        for step in 1..=30 {
            add(&mut book, later + step * 86_400, &Series::Node, 1.0);
        }
        let first: Vec<u64> = (0..TIERS.len()).map(|tier| read(&book, &Series::Node, tier)[0].0).collect();
        assert!(first.iter().all(|first| *first >= later), "{first:?}");
    }

    #[test]
    fn of_too_many_workers_at_once_those_known_before_are_kept_and_nothing_is_left_of_others() {
        let folder = folder();
        let mut book = open(&folder);
        let name = |number: usize| Series::worker(&format!("rig{number:04}"));
        add(&mut book, START, &name(900), 1.0);
        let all: BTreeMap<_, _> =
            (0..=MAX_WORKERS + 50).chain([900]).map(|n| (name(n), point(1.0))).collect();
        for step in 1..=3 {
            book.add(START + 30 * step, &all).expect("it is written");
        }
        assert_eq!(book.series().len(), MAX_WORKERS);
        assert_eq!(read(&book, &name(900), 0).len(), 4);
        let rows = book.db.scan_prefix([2]).count();
        assert_eq!(rows, (MAX_WORKERS - 1) * (3 + 4) + 4 + 4, "no row of one that is not known");
    }

    #[test]
    fn the_most_silent_of_too_many_workers_is_forgotten_and_the_node_never() {
        let folder = folder();
        let mut book = open(&folder);
        add(&mut book, START, &Series::Node, 1.0);
        let name = |number: u64| Series::worker(&format!("rig{number}"));
        for number in 0..=MAX_WORKERS as u64 {
            add(&mut book, START + 30 + number, &name(number), 1.0);
        }
        drop(book);
        let book = open(&folder);
        assert_eq!(book.series().len(), MAX_WORKERS + 1);
        assert!((0..TIERS.len()).all(|tier| read(&book, &name(0), tier).is_empty()));
        assert!((0..TIERS.len()).all(|tier| read(&book, &name(1), tier).len() == 1));
        assert_eq!(read(&book, &Series::Node, 0).len(), 1);
    }

    #[test]
    fn a_damaged_history_is_moved_aside_and_a_newer_one_left_alone() {
        let folder = folder();
        let path = folder.path().join("history");
        add(&mut open(&folder), START, &Series::Node, 1.0);
        for entry in fs::read_dir(&path).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            if entry.is_file() {
                fs::write(entry, b"no longer what it was").expect("a file");
            }
        }
        let mut book = open(&folder);
        assert_eq!(read(&book, &Series::Node, 0), []);
        assert!(folder.path().join("history.corrupt-1").is_dir());
        add(&mut book, START, &Series::Node, 1.0);
        book.db.insert([0], &[FORMAT + 1]).expect("it is written");
        drop(book);
        assert!(matches!(Book::open(&path), Err(HistoryError::TooNew { found: 2, .. })));
        assert!(!folder.path().join("history.corrupt-2").exists());
    }
}
