//! A pool of many nodes in one process, by a virtual clock: the share chain is real, every hash is real, only time
//! and the network are made up.
//!
//! Nothing of the product is replaced or weakened. The chain's parameters make targets so easy that a share takes a
//! few dozen hashes; when somebody finds one is drawn at random (mining is a Poisson process), and what it is then
//! follows from its hash. Reading order: `settings` (what is simulated), `world` (the event loop), `node`, `bitcoin`,
//! `links` (who hears what when), `strategy` (miners of ill will), `ledger` and `tally` (what is counted), `report`,
//! `figures`. `rewrite` is by itself.

pub mod bitcoin;
pub mod figures;
pub mod hashes;
pub mod ledger;
pub mod links;
pub mod node;
pub mod plot;
pub mod queue;
pub mod random;
pub mod report;
pub mod rewrite;
pub mod settings;
pub mod strategy;
pub mod tally;
pub mod world;

pub use report::{Report, RunReport};
pub use settings::{BadSettings, Carrier, Partition, Settings, Strategist, Strategy};
pub use world::World;
