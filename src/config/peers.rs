//! The network between nodes: whether there is one, where it listens, whom it seeks.

use super::file::FileConfig;
use super::value::{ListenAddr, NetworkName, PeerAddr};
use super::{ConfigError, NodeArgs};
use crate::ports;
use sharechain::params::Network;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the network between nodes is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerConfig {
    /// Where to listen; nowhere if empty.
    pub listen: Vec<SocketAddr>,
    /// Where others reach this node.
    pub external: Vec<SocketAddr>,
    /// Nodes to connect to.
    pub peers: Vec<PeerAddr>,
    /// Whether to look for nodes on the local network.
    pub mdns: bool,
    /// Whether to be a relay for nodes that nobody can reach.
    pub relay: bool,
    /// Most connections of others.
    pub max_inbound: Option<u16>,
    /// Connections to seek.
    pub outbound: Option<u8>,
}

/// What arguments and file come to; none for a node that mines alone.
pub(super) fn resolve(
    args: &NodeArgs,
    file: &FileConfig,
    network: Network,
) -> Result<Option<PeerConfig>, ConfigError> {
    let said = !args.listen.is_empty() || !args.peer.is_empty();
    if args.offline && said {
        return Err(ConfigError::OfflineWithPeers);
    }
    // Every process has an embedded chain of its own, so there is nothing to share, unless somebody insists.
    let alone = NetworkName::of(network) == NetworkName::Embedded && !said;
    if alone || args.offline || (file.offline == Some(true) && !said) {
        return Ok(None);
    }
    let no_listen = args.no_listen || (file.no_listen == Some(true) && args.listen.is_empty());
    let either = |args: &[ListenAddr], file: &[ListenAddr]| {
        let given = if args.is_empty() { file } else { args };
        let mut addresses: Vec<_> = given.iter().map(|address| address.or_port(ports::P2P)).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    let mut listen = either(&args.listen, &file.listen.0);
    if no_listen {
        listen.clear();
    } else if listen.is_empty() {
        listen = vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, ports::P2P)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, ports::P2P)),
        ];
    }
    let external = either(&args.external, &file.external.0);
    if let Some(wrong) = external.iter().find(|address| address.ip().is_unspecified() || address.port() == 0)
    {
        return Err(ConfigError::External(*wrong));
    }
    Ok(Some(PeerConfig {
        listen,
        external,
        peers: if args.peer.is_empty() { file.peer.0.clone() } else { args.peer.clone() },
        mdns: !(args.no_mdns || file.no_mdns == Some(true)),
        relay: args.relay || file.relay == Some(true),
        max_inbound: args.max_inbound.or(file.max_inbound),
        outbound: args.outbound.or(file.outbound),
    }))
}
