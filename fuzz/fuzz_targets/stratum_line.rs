//! Fuzzes one decoder; see `tests/support/decoders.rs`.
#![no_main]

#[path = "../../tests/support/decoders.rs"]
mod decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::check("stratum_line", bytes));
