//! Whom a user name is credited to: `ADDRESS[.worker]`, or the node's own address for names that are none.
//!
//! A name that was meant to be an address and is not one is refused: crediting somebody else for a typing error, or
//! for another network's address, would be found out too late.

use super::message::quote;
use crate::address::{AddressError, parse_owner};
use sharechain::owner::Owner;
use sharechain::params::Network;
use thiserror::Error;

/// Why nobody can be credited for a user name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum UserError {
    /// An address, but a wrong one.
    #[error("Unauthorized: {0}")]
    Address(#[from] AddressError),
    /// Not an address, and the node has none of its own.
    #[error(
        "Unauthorized: user name {0:?} is no Bitcoin address. Use ADDRESS.worker, or start the node with --address"
    )]
    NoAddress(String),
    /// Longer than any user name needs to be.
    #[error("Unauthorized: the user name is longer than 160 bytes")]
    TooLong,
    /// The connection works for somebody else already.
    #[error("Unauthorized: this connection mines for another address. Use one connection for each address")]
    OtherOwner,
}

/// Most bytes of a user name.
pub(crate) const MAX_USER: usize = 160;
/// A word of so many letters and digits in place of an address was meant to be one; the shortest address has 26.
const ADDRESS_LIKE: usize = 24;

/// Who is credited for `user`: the address that it begins with, else `default` if it holds nothing like an address.
pub(crate) fn owner_of(user: &str, network: Network, default: Option<Owner>) -> Result<Owner, UserError> {
    if user.len() > MAX_USER {
        return Err(UserError::TooLong);
    }
    let mut words = user.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let first = words.next().unwrap_or("");
    match parse_owner(first, network) {
        Ok(owner) => return Ok(owner),
        Err(broken @ AddressError::Broken { .. }) if first.len() >= ADDRESS_LIKE || has_prefix(first) => {
            return Err(broken.into());
        }
        Err(AddressError::Broken { .. }) => {}
        Err(other) => return Err(other.into()),
    }
    // An address in the wrong place: `worker.ADDRESS`, `bitcoin:ADDRESS`.
    let misplaced = words.any(|word| has_prefix(word) || parse_owner(word, network).is_ok());
    match default {
        Some(owner) if !misplaced => Ok(owner),
        _ => Err(UserError::NoAddress(quote(user))),
    }
}

fn has_prefix(word: &str) -> bool {
    let word = word.to_ascii_lowercase();
    word.len() >= 10 && ["bc1", "tb1", "bcrt1"].iter().any(|prefix| word.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::owner;

    const ADDRESS: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";
    const TESTNET: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";

    fn on_main(user: &str, default: Option<Owner>) -> Result<Owner, UserError> {
        owner_of(user, Network::Main, default)
    }

    #[test]
    fn the_address_is_credited_whatever_follows_it() {
        let expected = parse_owner(ADDRESS, Network::Main).expect("an address");
        for end in ["", ".worker", ".a.b", "_rig1", "+1000", "/0.5", " ", ". "] {
            assert_eq!(on_main(&format!("{ADDRESS}{end}"), Some(owner(9))), Ok(expected), "{end:?}");
        }
        assert_eq!(on_main(&format!(" {ADDRESS}"), None), Ok(expected));
        assert_eq!(on_main(&ADDRESS.to_uppercase(), None), Ok(expected));
    }

    #[test]
    fn a_name_that_is_no_address_is_credited_to_the_nodes_own() {
        for name in ["rig1", "", "user.worker", "x.0123456789abcdef0123456789abcdef", "bc1", "müller"] {
            assert_eq!(on_main(name, Some(owner(9))), Ok(owner(9)), "{name}");
            assert_eq!(on_main(name, None), Err(UserError::NoAddress(name.into())));
        }
    }

    #[test]
    fn a_broken_address_is_never_somebody_elses() {
        let changed = ADDRESS.replace("ar0", "ar9");
        for name in [
            &changed,
            &ADDRESS[1..],
            &ADDRESS[..12],
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf",
        ] {
            let error = on_main(&format!("{name}.rig"), Some(owner(9))).expect_err("broken");
            assert!(matches!(error, UserError::Address(AddressError::Broken { .. })), "{name}: {error}");
        }
        let other = on_main(&format!("{TESTNET}.rig"), Some(owner(9))).expect_err("another network");
        assert!(other.to_string().contains("this node mines on main"), "{other}");
        for misplaced in [format!("rig.{ADDRESS}"), format!("bitcoin:{ADDRESS}"), format!("rig.{changed}")] {
            assert_eq!(
                on_main(&misplaced, Some(owner(9))),
                Err(UserError::NoAddress(misplaced.clone())),
                "{misplaced}"
            );
        }
        assert_eq!(on_main(&"x".repeat(161), Some(owner(9))), Err(UserError::TooLong));
    }
}
