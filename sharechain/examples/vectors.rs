//! Prints the test vectors of the protocol: `cargo run -p sharechain --example vectors`.
//!
//! They are kept in `tests/vectors/protocol-1.json`, and a test holds the code to them. `tests/vectors/check.py`
//! checks them with a second implementation.

#![allow(clippy::arithmetic_side_effects, reason = "a tool that overflows fails, as it should")]

#[path = "../tests/vectors/build.rs"]
mod build;
#[path = "../tests/vectors/json.rs"]
mod json;
#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    print!("{}", build::text());
}
