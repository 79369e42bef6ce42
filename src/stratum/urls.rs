//! What to type into a mining device: the address of this machine as the local network knows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address for devices that reach `listener`, and whether other machines can. `None` when this machine's own address
/// cannot be found out, which is when it has no network.
pub fn device_host(listener: SocketAddr) -> Option<(SocketAddr, Reach)> {
    let ip = listener.ip();
    let (ip, reach) = if ip.is_loopback() {
        (ip, Reach::ThisMachine)
    } else if ip.is_unspecified() {
        (own_address(ip)?, Reach::Network)
    } else {
        (ip, Reach::Network)
    };
    Some((SocketAddr::new(ip, listener.port()), reach))
}

/// Who can use a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Programs on this machine only.
    ThisMachine,
    /// Devices on the network too.
    Network,
}

/// The address that this machine would send from. Connecting a UDP socket sends nothing: it only asks the routes.
/// The addresses asked for are reserved for documentation (RFC 5737, RFC 3849).
fn own_address(like: IpAddr) -> Option<IpAddr> {
    let far: SocketAddr = match like {
        IpAddr::V4(_) => (Ipv4Addr::new(192, 0, 2, 1), 9).into(),
        IpAddr::V6(_) => (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9).into(),
    };
    let socket = UdpSocket::bind((like, 0)).ok()?;
    socket.connect(far).ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_address_is_shown_as_it_is() {
        for (bound, reach) in [
            ("127.0.0.1:3333", Reach::ThisMachine),
            ("192.168.1.5:3334", Reach::Network),
            ("[fd00::5]:3333", Reach::Network),
        ] {
            let bound = bound.parse().expect("an address");
            assert_eq!(device_host(bound), Some((bound, reach)));
        }
    }

    #[test]
    fn nobody_is_told_to_type_in_nothing() {
        // A machine without a network has no address to show.
        for any in ["0.0.0.0:3333", "[::]:3333"] {
            if let Some((host, reach)) = device_host(any.parse().expect("an address")) {
                assert!(!host.ip().is_unspecified() && host.port() == 3333, "{host}");
                assert_eq!(reach, Reach::Network);
            }
        }
    }
}
