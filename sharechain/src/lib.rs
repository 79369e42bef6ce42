//! The consensus of commonwork: what a share is, what it is worth, and whom a Bitcoin block pays.
//!
//! Everything that decides money is here, and nothing else: no clock, no sockets, no files, no randomness, no
//! configuration of one node. Time comes in as an argument. Numbers are integers; maps are ordered. A rule exists
//! once, in one function, which makes jobs and checks shares alike. `docs/protocol.md` is the normative text.
//!
//! # Reading order
//!
//! - [`params`], [`units`], [`target`], [`hash`], [`codec`]: constants, numbers, bytes.
//! - [`owner`], [`share`], [`coinbase`]: what travels, and the coinbase that it is bound by.
//! - [`bitcoin_headers`], [`retarget`], [`window`], [`payout`]: what the rules are computed from.
//! - [`verify`], [`error`], [`chain`]: the stages of a share, why one is refused, and the chain that judges.
//! - [`pool`], [`store`]: what is not in the chain, and what a disk must keep.
//!
//! # Stages
//!
//! ```text
//! bytes ──codec──> Share ──verify──> Bound ──chain──> VerifiedShare ──chain──> ChangeSet ──store, apply──> new tip
//!                          1, 2             3 to 6                   7
//! ```

#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::float_arithmetic,
        reason = "a test that overflows fails, as it should"
    )
)]

pub mod bitcoin_headers;
pub mod chain;
pub mod codec;
pub mod coinbase;
pub mod error;
pub mod hash;
pub mod owner;
pub mod params;
pub mod payout;
pub mod pool;
pub mod retarget;
pub mod share;
pub mod store;
pub mod target;
pub mod units;
pub mod verify;
pub mod window;
