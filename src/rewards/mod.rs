//! What mining pays: the expected payout of an owner of this pool, and ways to pay miners side by side.
//!
//! [`expected`] is by itself; it is what a node tells an owner. The rest is `commonwork simulate rewards`: `settings` (what
//! is compared), `scheme` (what each scheme answers), one module for each scheme with its formulas beside its draws
//! (`windowed` has what three of them have in common), `draw` (random numbers and errors), `report` (all of them), `page`
//! and `chart` (as HTML).

pub mod chart;
pub mod double_geometric;
pub mod draw;
pub mod expected;
pub mod figure;
pub mod old_p2pool;
pub mod page;
pub mod pplns;
pub mod pps;
pub mod proportional;
pub mod report;
pub mod scheme;
pub mod settings;
pub mod share_chain;
pub mod solo;
#[cfg(test)]
mod testing;
pub mod windowed;

pub use report::{Report, compare};
pub use settings::{BadSettings, Settings};

/// Seconds of a day.
const DAY: f64 = 86_400.0;
