//! The bytes that nodes exchange: gossiped messages, questions, answers (protocol section 8).
//!
//! Plain data, judged by nobody here. Every value has one encoding ([`sharechain::codec`]); what is longer than its
//! field allows, or has bytes to spare, is refused before memory is taken for it.

mod answer;
mod gossip;
mod question;

pub use answer::{BlocksAnswer, HeadersAnswer, IdsAnswer, SharesAnswer, TipAnswer};
pub use gossip::{BlockMessage, ShareMessage};
pub use question::Question;

/// Most ids in a locator.
pub const MAX_LOCATOR: usize = 64;
/// Most ids of blocks in one answer.
pub const MAX_IDS: usize = 4_096;
/// Most blocks in one question and in its answer.
pub const MAX_BLOCKS: usize = 512;
/// Most shares in one question and in its answer: what a block of the presets may list.
pub const MAX_SHARES: usize = 512;
/// Most Bitcoin headers in one answer.
pub const MAX_HEADERS: usize = 12;
/// Most ids in the list of a gossiped block; no chain's `max_listed` is greater.
pub const MAX_LIST: usize = 4_096;
