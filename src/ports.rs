//! The one table of default ports. Nothing else in the project names a port.

use sharechain::params::Network;

/// Stratum v1, for mining devices.
pub const STRATUM: u16 = 3333;
/// Stratum v1 over TLS, for mining devices: where other pools have it too.
pub const STRATUM_TLS: u16 = 4333;
/// Stratum V2, for mining devices: the port of the specification's example.
pub const STRATUM_V2: u16 = 34254;
/// `getwork` and `getblocktemplate`, for old mining programs: where they looked for a P2Pool.
pub const LEGACY: u16 = 9332;
/// The node's own HTTP interface, on loopback.
pub const API: u16 = 3380;
/// Between nodes, TCP and UDP (QUIC) alike.
pub const P2P: u16 = 3338;
/// Where bitcoind's `zmqpubhashblock` is customarily put; used in advice only, since bitcoind has no default for it.
pub const BITCOIND_ZMQ: u16 = 28332;

/// bitcoind's JSON-RPC. The embedded network has none; it is given regtest's.
pub const fn bitcoind_rpc(network: Network) -> u16 {
    match network {
        Network::Main => 8332,
        Network::Testnet4 => 48332,
        Network::Signet => 38332,
        Network::Regtest | Network::Embedded { .. } => 18443,
    }
}
