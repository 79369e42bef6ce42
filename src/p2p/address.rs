//! What can be read from a multiaddress, and the ways in which people write a peer's address.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use thiserror::Error;

/// Most bytes of a multiaddress that is kept or passed on.
pub(super) const MAX_ADDRESS: usize = 256;

/// The host that a direct address leads to; none for names and for addresses through a relay.
pub(super) fn ip_of(address: &Multiaddr) -> Option<IpAddr> {
    if is_relayed(address) {
        return None;
    }
    match address.iter().next()? {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4)),
        _ => None,
    }
}

/// Whether it leads through a relay.
pub(super) fn is_relayed(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::P2pCircuit))
}

/// Whether it is direct and one of the two transports can dial it: an IP address with TCP, or UDP and QUIC.
pub(super) fn is_dialable(address: &Multiaddr) -> bool {
    let mut parts = address.iter();
    let (host, port) = (parts.next(), parts.next());
    let quic = parts.next();
    let host = matches!(host, Some(Protocol::Ip4(ip)) if !ip.is_unspecified())
        || matches!(host, Some(Protocol::Ip6(ip)) if !ip.is_unspecified());
    let way = match (port, &quic) {
        (Some(Protocol::Tcp(port)), None | Some(Protocol::P2p(_))) => port != 0,
        (Some(Protocol::Udp(port)), Some(Protocol::QuicV1)) => port != 0,
        _ => false,
    };
    host && way && address.len() <= MAX_ADDRESS && !is_relayed(address)
}

/// Whether it leads to a peer through a relay that can be dialed.
pub(super) fn is_circuit(address: &Multiaddr) -> bool {
    let parts: Vec<Protocol<'_>> = address.iter().collect();
    let Some((Protocol::P2pCircuit, to_relay)) = parts.split_last() else { return false };
    let Some((Protocol::P2p(_), direct)) = to_relay.split_last() else { return false };
    address.len() <= MAX_ADDRESS && is_dialable(&direct.iter().cloned().collect())
}

/// The host that is dialed first: the peer's own, or its relay's.
pub(super) fn first_host(address: &Multiaddr) -> Option<IpAddr> {
    let first: Multiaddr = address.iter().take(1).collect();
    ip_of(&first)
}

/// The part of the network that a host is in, as far as one owner may hold all of it: /16, or /32 of IPv6.
pub(super) fn group_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, _, _] = ip.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, 0, 0))
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, 0, 0, 0, 0, 0, 0))
        }
    }
}

/// Whether anybody on the internet can mean this host by it.
pub(super) fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            let shared = a == 100 && (b & 0xc0) == 64;
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || ip.is_multicast()
                || ip.is_documentation()
                || a == 0
                || a >= 240
                || shared)
        }
        IpAddr::V6(ip) => {
            ip.to_ipv4_mapped().map_or(ip.segments()[0] & 0xe000 == 0x2000, |ip| is_public(IpAddr::V4(ip)))
        }
    }
}

/// Splits the peer's identity off the end.
pub(super) fn split_peer(mut address: Multiaddr) -> (Multiaddr, Option<PeerId>) {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => {
            address.pop();
            (address, Some(peer))
        }
        _ => (address, None),
    }
}

/// TCP at a socket.
pub(super) fn tcp(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Tcp(socket.port()))
}

/// QUIC at a socket.
pub(super) fn quic(socket: SocketAddr) -> Multiaddr {
    Multiaddr::from(socket.ip()).with(Protocol::Udp(socket.port())).with(Protocol::QuicV1)
}

/// A peer that the owner named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Named {
    /// A whole multiaddress, its peer split off.
    Direct(Multiaddr, Option<PeerId>),
    /// A host and port to be looked up.
    Host(String, u16, Option<PeerId>),
}

/// A text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{0:?} is no peer's address; write HOST:PORT, PEERID@HOST:PORT or a multiaddress like /ip4/192.0.2.1/tcp/3338"
)]
pub struct BadPeer(String);

impl Named {
    /// Reads `HOST:PORT`, `PEERID@HOST:PORT` or a multiaddress.
    pub(super) fn parse(text: &str) -> Result<Self, BadPeer> {
        let bad = || BadPeer(text.chars().take(200).collect());
        if text.starts_with('/') {
            let (address, peer) = split_peer(text.parse().map_err(|_| bad())?);
            let direct = is_dialable(&address) || is_relayed(&address);
            return if direct {
                Ok(Self::Direct(address, peer))
            } else {
                dns(&address, peer).ok_or_else(bad)
            };
        }
        let (peer, place) = match text.split_once('@') {
            Some((peer, place)) => (Some(peer.parse().map_err(|_| bad())?), place),
            None => (None, text),
        };
        let (host, port) = place.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let right = !host.is_empty() && host.len() <= 253 && !host.contains([' ', '/', '@']);
        if right { Ok(Self::Host(host.to_owned(), port, peer)) } else { Err(bad()) }
    }
}

/// A multiaddress that begins with a name.
fn dns(address: &Multiaddr, peer: Option<PeerId>) -> Option<Named> {
    let mut parts = address.iter();
    let (Protocol::Dns(host) | Protocol::Dns4(host) | Protocol::Dns6(host)) = parts.next()? else {
        return None;
    };
    let (Protocol::Tcp(port) | Protocol::Udp(port)) = parts.next()? else { return None };
    (port != 0).then(|| Named::Host(host.into_owned(), port, peer))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("a multiaddress")
    }

    #[test]
    fn only_direct_addresses_can_be_dialed() {
        for right in ["/ip4/192.0.2.1/tcp/1", "/ip6/::1/udp/1/quic-v1"] {
            assert!(is_dialable(&address(right)), "{right}");
        }
        for wrong in [
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/192.0.2.1/tcp/0",
            "/ip4/192.0.2.1/udp/1",
            "/ip4/192.0.2.1/tcp/1/ws",
            "/dns/example.org/tcp/1",
            "/ip4/192.0.2.1/tcp/1/p2p-circuit",
        ] {
            assert!(!is_dialable(&address(wrong)), "{wrong}");
        }
    }

    #[test]
    fn a_circuit_names_a_relay_that_can_be_dialed() {
        let relay = PeerId::random();
        let right = address(&format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit"));
        assert!(is_circuit(&right) && !is_dialable(&right));
        assert_eq!((ip_of(&right), first_host(&right)), (None, Some([192, 0, 2, 1].into())));
        for wrong in [
            "/ip4/192.0.2.1/tcp/1/p2p-circuit".to_owned(),
            format!("/p2p/{relay}/p2p-circuit"),
            format!("/dns/a.example/tcp/1/p2p/{relay}/p2p-circuit"),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{relay}/p2p-circuit/p2p/{relay}/p2p-circuit"),
        ] {
            assert!(!is_circuit(&address(&wrong)), "{wrong}");
        }
    }

    #[test]
    fn private_and_special_networks_are_not_public() {
        let public = |text: &str| is_public(text.parse().expect("an address"));
        for text in ["8.8.8.8", "2a00::1", "100.128.0.1", "::ffff:8.8.8.8"] {
            assert!(public(text), "{text}");
        }
        for text in [
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "127.0.0.1",
            "169.254.0.1",
            "100.64.0.1",
            "0.1.2.3",
            "240.0.0.1",
            "224.0.0.1",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
            "::",
        ] {
            assert!(!public(text), "{text}");
        }
    }

    #[test]
    fn groups_are_what_one_owner_may_hold() {
        let group = |text: &str| group_of(text.parse().expect("an address")).to_string();
        assert_eq!(group("198.51.100.7"), "198.51.0.0");
        assert_eq!(group("2001:db8:1:2::3"), "2001:db8::");
    }

    #[test]
    fn peers_are_named_in_several_ways() {
        let id = PeerId::random();
        assert_eq!(Named::parse("[::1]:5"), Ok(Named::Host("::1".into(), 5, None)));
        assert_eq!(Named::parse("a.example:5"), Ok(Named::Host("a.example".into(), 5, None)));
        assert_eq!(Named::parse(&format!("{id}@a:5")), Ok(Named::Host("a".into(), 5, Some(id))));
        assert_eq!(
            Named::parse(&format!("/ip4/1.2.3.4/tcp/5/p2p/{id}")),
            Ok(Named::Direct(address("/ip4/1.2.3.4/tcp/5"), Some(id)))
        );
        assert_eq!(Named::parse("/dns4/a.example/tcp/5"), Ok(Named::Host("a.example".into(), 5, None)));
        for text in
            ["", "a", "a:", "a:0", "a:70000", ":5", "x@a:5", "/ip4/1.2.3.4", "/ip4/1.2.3.4/tcp/0", "a b:5"]
        {
            assert!(Named::parse(text).is_err(), "{text}");
        }
    }
}
