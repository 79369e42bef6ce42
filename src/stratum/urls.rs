//! What to type into a mining device: the address of this machine as the local network knows it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The URL for devices that reach `listener`, and whether other machines can. `None` when this machine's own address
/// cannot be found out, which is when it has no network.
pub fn device_url(listener: SocketAddr) -> Option<(String, Reach)> {
    device_host(listener).map(|(host, reach)| (format!("stratum+tcp://{host}"), reach))
}

/// The same without what stands before address and port.
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
        let url = |text: &str| device_url(text.parse().expect("an address"));
        assert_eq!(url("127.0.0.1:3333"), Some(("stratum+tcp://127.0.0.1:3333".into(), Reach::ThisMachine)));
        assert_eq!(url("192.168.1.5:3334"), Some(("stratum+tcp://192.168.1.5:3334".into(), Reach::Network)));
        assert_eq!(url("[fd00::5]:3333"), Some(("stratum+tcp://[fd00::5]:3333".into(), Reach::Network)));
    }

    #[test]
    fn nobody_is_told_to_type_in_nothing() {
        // A machine without a network has no address to show.
        for any in ["0.0.0.0:3333", "[::]:3333"] {
            if let Some((url, reach)) = device_url(any.parse().expect("an address")) {
                assert!(!url.contains("//0.0.0.0") && !url.contains("//[::]"), "{url}");
                assert_eq!(reach, Reach::Network);
            }
        }
    }
}
