//! When submits are made: at once whenever an answer comes, or by the clock.

use super::Pace;
use super::line::{Line, Shared};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The longest sleep, so that the end is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Load that is on.
pub(super) struct Load {
    shared: Arc<Shared>,
    pacer: Option<JoinHandle<()>>,
}

impl Load {
    /// Begins to make submits.
    pub(super) fn start(lines: &[Arc<Line>], shared: &Arc<Shared>) -> io::Result<Self> {
        shared.loading.store(true, Ordering::Relaxed);
        let mut load = Self { shared: Arc::clone(shared), pacer: None };
        match shared.pace {
            // The first ones are made here; the others by whoever reads the answers.
            Pace::Closed(outstanding) => lines.iter().for_each(|line| line.fill(outstanding)),
            Pace::Open(rate) if rate > 0.0 => {
                let (lines, shared) = (lines.to_vec(), Arc::clone(shared));
                // A thread of its own: the runtime's timers are whole milliseconds.
                let thread = thread::Builder::new().name("pacer".into());
                load.pacer = Some(thread.spawn(move || pace(&lines, rate, &shared))?);
            }
            Pace::Open(_) => {}
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.loading.store(false, Ordering::Relaxed);
        if let Some(pacer) = self.pacer.take() {
            let _ = pacer.join();
        }
    }
}

/// One submit after the other at this rate, on one connection after the other. Those that are late are made at once.
fn pace(lines: &[Arc<Line>], rate: f64, shared: &Shared) {
    let pause = Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX);
    let mut due = Instant::now();
    for line in lines.iter().cycle() {
        loop {
            if !shared.loading.load(Ordering::Relaxed) {
                return;
            }
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                break;
            }
            thread::sleep(wait.min(LONGEST_SLEEP));
        }
        let late = Instant::now().saturating_duration_since(due);
        let taken = line.submit();
        let mut counts = shared.tally.counts();
        counts.late.record(late);
        counts.unmade += u64::from(!taken);
        let Some(next) = due.checked_add(pause) else { return };
        due = next;
    }
}
