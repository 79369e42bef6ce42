//! One proof-of-work hash against three targets (protocol section 1).

use sharechain::target::Target;

/// The three targets of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// At this one the work is a Bitcoin block.
    pub network: Target,
    /// At this one it is a share block.
    pub block: Target,
    /// At this one it is a share.
    pub share: Target,
}

/// What a hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// It meets the network target. This does not depend on the other two.
    pub bitcoin_block: bool,
    /// It meets the block target.
    pub share_block: bool,
    /// It meets the share target.
    pub share: bool,
}

impl Targets {
    /// Judges a double SHA-256 hash, in the byte order that SHA-256 gives.
    pub fn judge(&self, hash: &[u8; 32]) -> Verdict {
        Verdict {
            bitcoin_block: self.network.is_met_by(hash),
            share_block: self.block.is_met_by(hash),
            share: self.share.is_met_by(hash),
        }
    }
}
