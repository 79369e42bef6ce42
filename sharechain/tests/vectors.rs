//! The code gives the published test vectors, byte for byte: a change of any of them is a change of the protocol.

#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

#[path = "vectors/build.rs"]
mod build;
#[path = "vectors/json.rs"]
mod json;
mod support;

const PUBLISHED: &str = include_str!("vectors/protocol-1.json");

#[test]
fn the_code_gives_the_published_vectors() {
    let made = build::text();
    for (number, (made, published)) in (1..).zip(made.lines().zip(PUBLISHED.lines())) {
        assert_eq!(
            made, published,
            "line {number} differs from what is published. If the protocol is meant to change, then \
             `cargo run -p sharechain --example vectors > sharechain/tests/vectors/protocol-1.json`, \
             and a new version of the protocol where anyone uses this one"
        );
    }
    assert_eq!(made.len(), PUBLISHED.len());
}
