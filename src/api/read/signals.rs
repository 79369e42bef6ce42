//! Rules that come into force by signal bits, and the work that signals them.

use crate::api::form::{SignalForm, SignalsForm, blocks_of};
use crate::api::source::{ChainSource, ReadError, ask};
use sharechain::params::SIGNAL_INTERVAL;
use sharechain::share::ShareId;
use sharechain::units::Score;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Answers about signal bits. The window is read through for them, so what was read is kept while the tip stays.
#[derive(Debug, Default)]
pub struct Signals {
    kept: Mutex<Option<(ShareId, SignalsForm)>>,
}

impl Signals {
    /// The rules in force at the tip, and what the reward window signals.
    pub async fn read(&self, source: &dyn ChainSource) -> Result<SignalsForm, ReadError> {
        let kept = self.kept().clone();
        let known = kept.as_ref().map(|(tip, _)| *tip);
        let fresh = ask(source, move |reader| {
            let tip = reader.chain.tip();
            if known == Some(tip) {
                return Ok(None);
            }
            let (version, own) = reader.chain.rules_at_tip();
            let height = reader.chain.height().0;
            let window = reader.chain.window(&tip);
            let (total, scores) = window
                .map_or((Score::ZERO, [Score::ZERO; 32]), |window| (window.total(), window.signal_scores()));
            let carried = (0_u32..).zip(scores).filter(|(_, score)| !score.is_zero());
            let form = SignalsForm {
                version,
                own_bits: (0..32).filter(|bit| own >> bit & 1 == 1).collect(),
                window_score: blocks_of(total),
                bits: carried.map(|(bit, score)| signal(bit, score, total)).collect(),
                interval: SIGNAL_INTERVAL,
                next_reading: (height / SIGNAL_INTERVAL + 1).saturating_mul(SIGNAL_INTERVAL),
            };
            Ok(Some((tip, form)))
        })
        .await?;
        if fresh.is_some() {
            self.kept().clone_from(&fresh);
        }
        // One of the two is there: the tip was known only if something was kept.
        fresh.or(kept).map(|(_, form)| form).ok_or(ReadError::Stopping)
    }

    /// Never held while something is waited for.
    fn kept(&self) -> MutexGuard<'_, Option<(ShareId, SignalsForm)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signal(bit: u32, score: Score, total: Score) -> SignalForm {
    SignalForm { bit, score: blocks_of(score), part: blocks_of(score) / blocks_of(total) }
}
