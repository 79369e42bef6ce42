//! The consensus of commonwork. (Reading order and invariants to be written with the last module.)

pub mod bitcoin_headers;
pub mod codec;
pub mod hash;
pub mod owner;
pub mod params;
pub mod payout;
pub mod retarget;
pub mod share;
pub mod target;
pub mod units;
pub mod window;
