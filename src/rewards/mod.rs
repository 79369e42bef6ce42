//! What mining pays: the expected payout of an owner of this pool ([`expected`]).

pub mod expected;
