//! What a peer's faults cost it, and when it has to go.
//!
//! Points fade with time. Whatever an honest peer can do because its link is slow, its clock is off, its bitcoind is a
//! block behind or its chain another one is no fault and is not in this list.

use super::link::Peer;
use std::collections::BTreeMap;
use std::time::Duration;

/// Points at which a peer is banned.
pub const LIMIT: u32 = 100;
/// How long it takes until a point is forgotten.
pub const FADE: Duration = Duration::from_secs(6);
/// How long the first ban lasts; each further one twice as long.
pub const FIRST_BAN: Duration = Duration::from_secs(3_600);
/// The longest ban.
pub const MAX_BAN: Duration = Duration::from_secs(86_400);
/// Most peers whose bans are remembered.
pub const MAX_OFFENDERS: usize = 4_096;

/// Something that a peer that follows the protocol does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Work that proves nothing, or a share or block that breaks the rules.
    InvalidWork,
    /// Bytes that are not in the canonical form.
    BadEncoding,
    /// An answer that is not one to the question: other blocks, ids that do not follow each other.
    LyingAnswer,
    /// An answer longer than any answer to the question is.
    EndlessAnswer,
    /// A chain with an invalid block, offered as its own.
    InvalidChain,
    /// A claim to a heavier chain that turned out not to be.
    FalseClaim,
    /// More messages or questions than anybody needs.
    Flood,
    /// No answer in time. Whoever is merely slow stays below the limit, since it is asked less and less.
    Stalled,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::InvalidWork,
        Self::BadEncoding,
        Self::LyingAnswer,
        Self::EndlessAnswer,
        Self::InvalidChain,
        Self::FalseClaim,
        Self::Flood,
        Self::Stalled,
    ];

    /// What it costs.
    pub const fn points(self) -> u32 {
        match self {
            Self::InvalidWork | Self::BadEncoding => 34,
            Self::LyingAnswer | Self::FalseClaim => 50,
            Self::InvalidChain | Self::EndlessAnswer => LIMIT,
            Self::Flood => 1,
            Self::Stalled => 5,
        }
    }

    /// For the list of bans.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::InvalidWork => "invalid work",
            Self::BadEncoding => "messages that are not in the canonical form",
            Self::LyingAnswer => "answers that do not belong to the question",
            Self::EndlessAnswer => "an answer without an end",
            Self::InvalidChain => "a chain with an invalid block",
            Self::FalseClaim => "a false claim to a heavier chain",
            Self::Flood => "too many messages",
            Self::Stalled => "no answers",
        }
    }
}

/// A peer's points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    points: u32,
    /// Up to when points have faded.
    faded: Duration,
}

impl Record {
    /// The points that have not faded at this time since the start.
    pub fn points(&mut self, now: Duration) -> u32 {
        let steps = now.saturating_sub(self.faded).as_secs() / FADE.as_secs();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.faded = if steps >= self.points { now } else { self.faded + FADE * steps };
        self.points = self.points.saturating_sub(steps);
        self.points
    }

    /// Adds a fault; whether that was too much.
    pub fn add(&mut self, fault: Fault, now: Duration) -> bool {
        self.points = self.points(now).saturating_add(fault.points());
        self.points >= LIMIT
    }
}

/// How often whom was banned.
#[derive(Debug, Default)]
pub struct Offenders {
    bans: BTreeMap<Peer, u32>,
}

impl Offenders {
    /// Nobody yet.
    pub const fn new() -> Self {
        Self { bans: BTreeMap::new() }
    }

    /// How long the next ban of this peer lasts; it counts as given.
    pub fn next_ban(&mut self, peer: Peer) -> Duration {
        let before = self.bans.get(&peer).copied().unwrap_or(0);
        // Numbers of peers are in no order that anybody could choose.
        if before == 0 && self.bans.len() >= MAX_OFFENDERS {
            self.bans.pop_first();
        }
        self.bans.insert(peer, before.saturating_add(1));
        FIRST_BAN.saturating_mul(1 << before.min(16)).min(MAX_BAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn points_fade_and_too_many_at_once_are_too_many() {
        let mut record = Record::default();
        assert!(!record.add(Fault::InvalidWork, at(0)));
        assert!(!record.add(Fault::InvalidWork, at(0)));
        assert_eq!(record.points(at(5)), 68);
        assert_eq!(record.points(at(6)), 67);
        assert_eq!(record.points(at(17)), 66, "parts of a step are not lost");
        assert_eq!(record.points(at(18)), 65);
        assert!(!record.add(Fault::InvalidWork, at(18)));
        assert!(record.add(Fault::Flood, at(18)));
        assert_eq!(record.points(at(100_000)), 0);
        assert!(!record.add(Fault::LyingAnswer, at(100_000)), "what has faded does not count");
    }

    #[test]
    fn time_without_points_is_not_saved_up() {
        let mut record = Record::default();
        assert_eq!(record.points(at(3_600)), 0);
        assert!(!record.add(Fault::LyingAnswer, at(3_601)));
        assert_eq!(record.points(at(3_602)), 50);
    }

    #[test]
    fn each_ban_is_twice_as_long_up_to_a_day() {
        let mut offenders = Offenders::default();
        let hours: Vec<_> = (0..7).map(|_| offenders.next_ban(Peer(1)).as_secs() / 3_600).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24]);
        assert_eq!(offenders.next_ban(Peer(2)), FIRST_BAN);
        for n in 3..10_000 {
            offenders.next_ban(Peer(n));
        }
        assert_eq!(offenders.bans.len(), MAX_OFFENDERS);
    }
}
