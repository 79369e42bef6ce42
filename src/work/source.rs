//! Where jobs come from: the seam between whoever builds work and whoever serves it to miners.

use super::job::Job;
use super::series::SeriesKey;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::sync::watch;

/// Gives out jobs, one series for each owner and payout class.
///
/// Every job of a series is new work (its coinbase tag holds a counter), and one follows the other within 30 s.
pub trait WorkSource: Send + Sync + 'static {
    /// The newest job of this series, now and whenever there is another; none when too many are served already, in all or
    /// for the address that asks. That is none where many stand behind it.
    ///
    /// It holds `None` until the first job is made. A reader that is slow misses jobs in between, never the newest.
    /// When the sender is gone there will be no more work, and the miners are sent away.
    fn subscribe(&self, key: SeriesKey, asker: Option<IpAddr>) -> Option<watch::Receiver<Option<Arc<Job>>>>;
}
