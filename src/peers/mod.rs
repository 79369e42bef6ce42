//! What a node says to other nodes, and what it does with what they say. No sockets and no clock in here.

pub mod link;
pub mod solutions;
pub mod status;
