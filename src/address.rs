//! Bitcoin addresses as people type them, to and from the owners that shares are credited to.
//!
//! An address of another network, or one whose script cannot own shares, is an error that says so; it is never
//! credited to somebody else instead.

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, Network as BitcoinNetwork};
use sharechain::owner::Owner;
use sharechain::params::Network;
use thiserror::Error;

/// Why a text is no address that shares can be credited to.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// No address at all, or one with a typing error.
    #[error("{text:?} is not a Bitcoin address: {why}. Copy it again from the wallet")]
    Broken {
        /// What was given, cut to a bounded length.
        text: String,
        /// What the decoder says.
        why: String,
    },
    /// An address of another network.
    #[error("{address} is an address of {of}, but this node mines on {wanted}. Give an address of {wanted}")]
    OtherNetwork {
        /// The address.
        address: String,
        /// The networks that it is good for.
        of: &'static str,
        /// The network of the node.
        wanted: &'static str,
    },
    /// An address whose script is of a kind that shares are not credited to.
    #[error("{0} is of a kind that cannot own shares. Give a P2PKH, P2SH, P2WPKH, P2WSH or P2TR address")]
    Kind(String),
}

/// Longest text that any Bitcoin address can be; what is longer is not shown whole in an error.
const MAX_ADDRESS: usize = 90;

/// Reads an address of `network`.
pub fn parse_owner(text: &str, network: Network) -> Result<Owner, AddressError> {
    let broken = |why: String| AddressError::Broken { text: text.chars().take(MAX_ADDRESS).collect(), why };
    if text.len() > MAX_ADDRESS {
        return Err(broken("it is too long".into()));
    }
    let address: Address<NetworkUnchecked> = text.parse().map_err(|e| broken(format!("{e}")))?;
    if !address.is_valid_for_network(bitcoin_network(network)) {
        return Err(AddressError::OtherNetwork {
            address: text.to_owned(),
            of: networks_of(&address),
            wanted: network.name(),
        });
    }
    Owner::new(&address.assume_checked().script_pubkey()).map_err(|_| AddressError::Kind(text.to_owned()))
}

/// The address of an owner on `network`.
pub fn address_of(owner: &Owner, network: Network) -> String {
    match Address::from_script(owner.script(), bitcoin_network(network)) {
        Ok(address) => address.to_string(),
        // A version 1 program that is no valid curve point still has an address; other scripts cannot be owners.
        Err(_) => format!("{:x}", owner.script()),
    }
}

fn bitcoin_network(network: Network) -> BitcoinNetwork {
    match network {
        Network::Main => BitcoinNetwork::Bitcoin,
        Network::Testnet4 => BitcoinNetwork::Testnet4,
        Network::Signet => BitcoinNetwork::Signet,
        Network::Regtest | Network::Embedded { .. } => BitcoinNetwork::Regtest,
    }
}

/// Test networks share their address forms, so this cannot always name a single one.
fn networks_of(address: &Address<NetworkUnchecked>) -> &'static str {
    let valid = |network| address.is_valid_for_network(network);
    match (valid(BitcoinNetwork::Bitcoin), valid(BitcoinNetwork::Signet), valid(BitcoinNetwork::Regtest)) {
        (true, _, _) => "main",
        (_, true, true) => "the test networks (testnet4, signet, regtest)",
        (_, true, false) => "testnet4 and signet",
        (_, false, true) => "regtest",
        (false, false, false) => "an unknown network",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMBEDDED: Network = Network::Embedded { bits: 0x207f_ffff };
    const MAIN: &str = "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq";
    const TEST: &str = "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx";
    const OLD_TEST: &str = "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn";

    #[test]
    fn addresses_of_the_network_round_trip() {
        for (text, network) in [
            (MAIN, Network::Main),
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Network::Main),
            ("3P14159f73E4gFr7JterCCQh9QjiTjiZrG", Network::Main),
            ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", Network::Main),
            (TEST, Network::Testnet4),
            (TEST, Network::Signet),
            (OLD_TEST, Network::Regtest),
            (OLD_TEST, EMBEDDED),
        ] {
            let owner = parse_owner(text, network).expect("an address of the network");
            assert_eq!(address_of(&owner, network), text);
        }
    }

    #[test]
    fn an_address_of_another_network_is_named_for_what_it_is() {
        for (text, network, of) in [
            (MAIN, Network::Testnet4, "main"),
            (TEST, Network::Main, "testnet4 and signet"),
            (TEST, EMBEDDED, "testnet4 and signet"),
            (OLD_TEST, Network::Main, "the test networks (testnet4, signet, regtest)"),
        ] {
            let error = parse_owner(text, network).expect_err("another network");
            assert_eq!(
                error,
                AddressError::OtherNetwork { address: text.into(), of, wanted: network.name() }
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = "x".repeat(5_000);
        for text in ["", "worker1", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdr", long.as_str()] {
            let error = parse_owner(text, Network::Main).expect_err("no address");
            assert!(matches!(error, AddressError::Broken { .. }), "{error}");
            assert!(error.to_string().len() < 400);
        }
    }

    #[test]
    fn a_script_that_cannot_own_shares_is_said_to_be_that() {
        // BIP350's example of a version 16 program.
        let error = parse_owner("bc1sw50qgdz25j", Network::Main).expect_err("no owner");
        assert_eq!(error, AddressError::Kind("bc1sw50qgdz25j".into()));
    }
}
