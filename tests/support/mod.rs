//! What tests of several parts use.

pub(crate) mod asking;
pub(crate) mod bitcoind;
pub(crate) mod block;
pub(crate) mod chain_file;
pub(crate) mod decoders;
pub(crate) mod jobs;
pub(crate) mod long_chain;
pub(crate) mod ports;
pub(crate) mod recount;
#[path = "../../sharechain/tests/support/mod.rs"]
pub(crate) mod rig;
pub(crate) mod server;
pub(crate) mod stored;
