//! What tests of several parts use.

pub(crate) mod bitcoind;
pub(crate) mod block;
