//! Shows how far something is that takes longer than a second: a bar on a terminal, a plain line now and then elsewhere.
//!
//! All of it goes to standard error, so that standard output stays what was asked for.

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

/// What is done sooner is not worth a line.
const QUIET: Duration = Duration::from_secs(1);
/// Between plain lines.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// Progress of one long step.
pub(super) struct Progress {
    label: &'static str,
    total: Option<u64>,
    done: u64,
    started: Instant,
    display: Display,
}

enum Display {
    Bar(ProgressBar),
    Lines { next: Duration },
}

impl Progress {
    /// Progress of `label` (what is being done), in units of which there are `total`, if that is known.
    pub(super) fn new(label: &'static str, total: Option<u64>) -> Self {
        let display = if io::stderr().is_terminal() {
            // Hidden at first: shown when it takes long.
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::hidden());
            bar.set_style(style(total.is_some()));
            bar.set_message(label);
            Display::Bar(bar)
        } else {
            Display::Lines { next: QUIET }
        };
        Self { label, total, done: 0, started: Instant::now(), display }
    }

    /// So many units more are done.
    pub(super) fn advance(&mut self, units: u64) {
        self.done += units;
        let elapsed = self.started.elapsed();
        match &mut self.display {
            Display::Bar(bar) => {
                if bar.is_hidden() && elapsed >= QUIET {
                    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
                }
                bar.set_position(self.done);
            }
            Display::Lines { next } if elapsed >= *next => {
                *next = elapsed + PLAIN_EVERY;
                eprintln!("{}", plain_line(self.label, self.done, self.total, elapsed));
            }
            Display::Lines { .. } => {}
        }
    }

    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Takes the bar away.
    pub(super) fn finish(self) {
        if let Display::Bar(bar) = self.display {
            bar.finish_and_clear();
        }
    }
}

fn style(with_total: bool) -> ProgressStyle {
    let template = if with_total {
        "{msg} {wide_bar} {human_pos}/{human_len} ({per_sec}, {eta} left)"
    } else {
        "{msg} {spinner} {human_pos} ({per_sec})"
    };
    ProgressStyle::with_template(template).expect("the template is a constant that a test tries")
}

fn plain_line(label: &str, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let done_text = HumanCount(done);
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{label}: {done_text}") };
    let percent = u128::from(done) * 100 / u128::from(total);
    let left = elapsed.mul_f64(total.saturating_sub(done) as f64 / done.max(1) as f64);
    format!("{label}: {done_text} of {} ({percent} %), {} left", HumanCount(total), HumanDuration(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_styles_are_templates() {
        style(true);
        style(false);
    }

    #[test]
    fn plain_lines_say_how_far_and_how_long() {
        let line = |done, total| plain_line("checking", done, total, Duration::from_secs(10));
        assert_eq!(line(1_500, Some(6_000)), "checking: 1,500 of 6,000 (25 %), 30 seconds left");
        assert_eq!(line(7, None), "checking: 7");
        assert_eq!(line(0, Some(0)), "checking: 0");
    }
}
