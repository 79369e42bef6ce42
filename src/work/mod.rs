//! Work: what miners are given to hash, and where it comes from.
//!
//! A [`job::Job`] is immutable and shared; [`source::WorkSource`] hands the newest one to whoever serves miners, and what they find goes to
//! an [`outbox::Outbox`].

pub mod builder;
pub mod fee;
pub mod finder;
pub mod ground;
pub mod headers;
pub mod job;
pub mod maker;
mod notify;
pub mod outbox;
pub mod prefix;
pub mod series;
pub mod share_rate;
pub mod source;
