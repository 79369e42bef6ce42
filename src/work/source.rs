//! Where jobs come from: the seam between whoever builds work and whoever serves it to miners.

use super::job::Job;
use sharechain::owner::Owner;
use std::sync::Arc;
use tokio::sync::watch;

/// Gives out jobs, one series for each owner and payout class.
///
/// Every job of a series is new work (its coinbase tag holds a counter), and one follows the other within 30 s.
pub trait WorkSource: Send + Sync + 'static {
    /// The newest job for this owner and class, now and whenever there is another; none when too many are served already.
    ///
    /// It holds `None` until the first job is made. A reader that is slow misses jobs in between, never the newest.
    /// When the sender is gone there will be no more work, and the miners are sent away.
    fn subscribe(&self, owner: Owner, class: u16) -> Option<watch::Receiver<Option<Arc<Job>>>>;
}
