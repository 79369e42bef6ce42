//! Steps of time: the older, the coarser.

/// One resolution, and for how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Seconds that a point stands for.
    pub step: u32,
    /// Seconds after which points are forgotten.
    pub keep: u32,
}

const HOUR: u32 = 3_600;
const DAY: u32 = 24 * HOUR;

/// All of them, the finest first. A series has at most 6,990 points in all.
pub const TIERS: [Tier; 5] = [
    Tier { step: 30, keep: 6 * HOUR },
    Tier { step: 300, keep: 3 * DAY },
    Tier { step: 1_800, keep: 14 * DAY },
    Tier { step: 2 * HOUR, keep: 90 * DAY },
    Tier { step: DAY, keep: 3_650 * DAY },
];

impl Tier {
    /// When the step began in which a time is. Times are seconds since 1970.
    pub const fn begin_of(&self, time: u64) -> u64 {
        time - time % self.step as u64
    }

    /// The first step that is still kept when this one begins.
    pub const fn first_kept(&self, begin: u64) -> u64 {
        begin.saturating_sub(self.keep as u64 - self.step as u64)
    }

    /// The finest that reaches back so many seconds, or the coarsest.
    pub fn reaching(seconds: u64) -> &'static Self {
        let [.., coarsest] = &TIERS;
        TIERS.iter().find(|tier| u64::from(tier.keep) >= seconds).unwrap_or(coarsest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tier_is_coarser_and_kept_for_longer_and_steps_fit_into_each_other() {
        for pair in TIERS.windows(2) {
            assert!(pair[0].keep < pair[1].keep && pair[1].step % pair[0].step == 0, "{pair:?}");
        }
        let points: u32 = TIERS.iter().map(|tier| tier.keep / tier.step).sum();
        assert_eq!(points, 6_986);
    }

    #[test]
    fn a_time_is_in_one_step_and_a_span_in_the_finest_tier_that_has_it() {
        assert_eq!((TIERS[0].begin_of(59), TIERS[0].begin_of(60), TIERS[4].begin_of(86_399)), (30, 60, 0));
        let steps =
            [0, 6 * 3_600, 6 * 3_600 + 1, 30 * 86_400, u64::MAX].map(|span| Tier::reaching(span).step);
        assert_eq!(steps, [30, 30, 300, 7_200, 86_400]);
        assert_eq!((TIERS[0].first_kept(100_000 * 30), TIERS[0].first_kept(30)), (99_281 * 30, 0));
    }
}
