//! Why submits are refused, and how many were by each reason: the one list that they are counted, kept, told and measured
//! by.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a submit is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It is for a Bitcoin block that is long past.
    Stale,
    /// It is for a job that is not known, or no longer.
    UnknownJob,
    /// It was submitted before.
    Repeated,
    /// It is above the target.
    TooEasy,
    /// Its header time cannot be.
    Untimely,
    /// Anything else: not to be read, not allowed, for somebody else.
    Other,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Stale, Self::UnknownJob, Self::Repeated, Self::TooEasy, Self::Untimely, Self::Other];

    /// What it is called where it is measured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::UnknownJob => "unknown_job",
            Self::Repeated => "repeated",
            Self::TooEasy => "too_easy",
            Self::Untimely => "untimely",
            Self::Other => "other",
        }
    }
}

/// Submits that were refused, by why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RefusedForm)]
pub struct Refused {
    /// For a Bitcoin block that is long past.
    pub stale: u64,
    /// For a job that is not known, or no longer.
    pub unknown_job: u64,
    /// Submitted before.
    pub repeated: u64,
    /// Above the target.
    pub too_easy: u64,
    /// With a header time that cannot be.
    pub untimely: u64,
    /// Anything else.
    pub other: u64,
}

impl Refused {
    /// One more.
    pub const fn count(&mut self, reason: Reason) {
        let count = match reason {
            Reason::Stale => &mut self.stale,
            Reason::UnknownJob => &mut self.unknown_job,
            Reason::Repeated => &mut self.repeated,
            Reason::TooEasy => &mut self.too_easy,
            Reason::Untimely => &mut self.untimely,
            Reason::Other => &mut self.other,
        };
        *count = count.saturating_add(1);
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        let Self { stale, unknown_job, repeated, too_easy, untimely, other } = self;
        [stale, unknown_job, repeated, too_easy, untimely, other]
            .into_iter()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// As many more.
    pub const fn add(&mut self, other: &Self) {
        self.stale = self.stale.saturating_add(other.stale);
        self.unknown_job = self.unknown_job.saturating_add(other.unknown_job);
        self.repeated = self.repeated.saturating_add(other.repeated);
        self.too_easy = self.too_easy.saturating_add(other.too_easy);
        self.untimely = self.untimely.saturating_add(other.untimely);
        self.other = self.other.saturating_add(other.other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_by_itself_under_its_name() {
        let mut refused = Refused::default();
        for (count, reason) in (1..).zip(Reason::ALL) {
            (0..count).for_each(|_| refused.count(reason));
        }
        let told = serde_json::to_value(refused).expect("JSON");
        for (count, reason) in (1..).zip(Reason::ALL) {
            assert_eq!(told[reason.name()], count, "{reason:?}");
        }
        assert_eq!(
            (refused.total(), told.as_object().map(serde_json::Map::len)),
            (21, Some(Reason::ALL.len()))
        );
        let once = refused;
        refused.add(&once);
        assert_eq!((refused.total(), refused.other), (42, 12));
    }
}
