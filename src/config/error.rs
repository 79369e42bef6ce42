//! What can be wrong with the settings as a whole, each with what to do about it.

use super::toml_file::FileError;
use super::value::NetworkName;
use crate::address::AddressError;
use sharechain::params::BadParams;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// A file cannot be read or understood.
    #[error(transparent)]
    File(#[from] FileError),
    /// The chain of the file is on another network than the one asked for.
    #[error("{} describes a chain on {of_chain}, but the network is set to {wanted}. Leave one of the two out", path.display())]
    ChainNetwork {
        /// The chain file.
        path: PathBuf,
        /// Its network.
        of_chain: NetworkName,
        /// The network that was asked for.
        wanted: NetworkName,
    },
    /// Two keys of the chain file cannot stand together.
    #[error("{}: {problem}", path.display())]
    ChainContradiction {
        /// The chain file.
        path: PathBuf,
        /// Which, and what to do.
        problem: &'static str,
    },
    /// The parameters make no chain.
    #[error("{}: {source}", path.display())]
    ChainParams {
        /// The chain file.
        path: PathBuf,
        /// Which parameter.
        source: BadParams,
    },
    /// There is no usual place for data.
    #[error("this system names no home folder; say where to keep the data with --data-dir DIR")]
    NoHome,
    /// The address cannot be credited.
    #[error("--address: {0}")]
    Address(#[source] AddressError),
    /// The fee's address cannot be credited.
    #[error("--fee-address: {0}")]
    FeeAddress(#[source] AddressError),
    /// A fee for nobody.
    #[error(
        "--fee is mined for an address: give it with --fee-address ADDR, or one for everything with --address ADDR"
    )]
    FeeForNobody,
    /// An address for no fee.
    #[error("--fee-address says whom a fee is for, and there is none; give it with --fee, like --fee 0.5%")]
    NoFee,
    /// The interface would be open to others.
    #[error(
        "--api {0}: the interface has no password and must stay on this machine; use 127.0.0.1 or [::1], and a tunnel such as ssh -L from elsewhere"
    )]
    ApiNotLoopback(SocketAddr),
    /// Alone, and with others.
    #[error("--offline means no network between nodes; leave it out, or leave out --listen and --peer")]
    OfflineWithPeers,
    /// For one's own, and with others.
    #[error(
        "--solo means no share chain and no other nodes; leave it out to share, or leave out --listen and --peer"
    )]
    SoloWithPeers,
    /// No address at which others could reach this node.
    #[error(
        "--external {0}: others reach this node at one address and port, so give that, like 192.0.2.1:3338"
    )]
    External(SocketAddr),
    /// Only one of certificate and key.
    #[error("--tls-certificate and --tls-key go together; {0} is missing")]
    HalfCertificate(&'static str),
    /// A certificate for nothing.
    #[error(
        "--tls-certificate is for --stratum-tls, which is not given; say where to listen with --stratum-tls ADDR:PORT"
    )]
    CertificateForNothing,
    /// Cookies and passwords at once.
    #[error(
        "--rpc-cookie and --rpc-user/--rpc-password were both given; bitcoind takes one of them, so leave the other out"
    )]
    TwoLogins,
    /// A user without password, or the reverse.
    #[error("--rpc-user and --rpc-password go together; {0} is missing")]
    HalfLogin(&'static str),
    /// A list that matches nothing.
    #[error("{option} was given {given} times for {daemons} bitcoind(s); give it once, or once for each")]
    Count {
        /// The option.
        option: &'static str,
        /// How often it was given.
        given: usize,
        /// How many daemons there are.
        daemons: usize,
    },
    /// The cookie of this machine's daemon would go to another machine.
    #[error(
        "bitcoind at {0} is on another machine, whose cookie is not here; give --rpc-user and --rpc-password, or --rpc-cookie with a copy of it"
    )]
    RemoteCookie(String),
    /// A bitcoind for a network that has none.
    #[error("the embedded network has no bitcoind; leave out {0}, or choose another network with --network")]
    EmbeddedHasNoBitcoind(&'static str),
}
