//! The node of commonwork.

pub mod address;
pub mod config;
pub mod ports;
