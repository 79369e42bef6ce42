//! The PROXY protocol: how a proxy in front of the node says for whom it connects, in a header before everything else.
//!
//! Both versions, text and binary, of the specification that comes with HAProxy. Only the address is wanted. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every header of version 1 begins with, and version 2.
const TEXT: &[u8] = b"PROXY ";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Most bytes of a header of version 1, as the specification has it.
const MAX_TEXT: usize = 107;
/// Most bytes after the fixed part of version 2: addresses and whatever else proxies tell.
const MAX_REST: usize = 2 * 1024;
/// Bytes of the fixed part of version 2: the beginning, two bytes of kinds, and the length of the rest.
const FIXED: usize = 16;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// More bytes are needed to tell.
    Unclear,
    /// No header.
    Other,
    /// A header, but a wrong one.
    Broken,
    /// A header.
    Header {
        /// Its bytes.
        length: usize,
        /// For whom the proxy connects; none when it connects for itself, or does not say.
        remote: Option<SocketAddr>,
    },
}

/// Looks at the first bytes of a connection.
pub(super) fn look(bytes: &[u8]) -> Beginning {
    if bytes.starts_with(TEXT) {
        text(bytes)
    } else if bytes.starts_with(BINARY) {
        binary(bytes).unwrap_or(Beginning::Unclear)
    } else if TEXT.starts_with(bytes) || BINARY.starts_with(bytes) {
        Beginning::Unclear
    } else {
        Beginning::Other
    }
}

fn text(bytes: &[u8]) -> Beginning {
    let start = &bytes[..bytes.len().min(MAX_TEXT)];
    let Some(end) = start.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_TEXT { Beginning::Unclear } else { Beginning::Broken };
    };
    let length = end + 2;
    let Ok(line) = std::str::from_utf8(&start[TEXT.len()..end]) else { return Beginning::Broken };
    let mut words = line.split(' ');
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Beginning::Header { length, remote: None };
    }
    let rest: Vec<&str> = words.collect();
    let &[source, target, source_port, target_port] = rest.as_slice() else { return Beginning::Broken };
    let address = |ip: &str, port: &str| -> Option<SocketAddr> {
        let ip: IpAddr = match family {
            Some("TCP4") => ip.parse::<Ipv4Addr>().ok()?.into(),
            Some("TCP6") => ip.parse::<Ipv6Addr>().ok()?.into(),
            _ => return None,
        };
        Some(SocketAddr::new(ip, port.parse().ok()?))
    };
    match (address(source, source_port), address(target, target_port)) {
        (Some(remote), Some(_)) => Beginning::Header { length, remote: Some(remote) },
        _ => Beginning::Broken,
    }
}

/// None while bytes are missing.
fn binary(bytes: &[u8]) -> Option<Beginning> {
    let kinds = bytes.get(BINARY.len()..BINARY.len() + 2)?;
    let length = bytes.get(BINARY.len() + 2..FIXED)?;
    let rest = usize::from(u16::from_be_bytes([length[0], length[1]]));
    if rest > MAX_REST {
        return Some(Beginning::Broken);
    }
    let length = FIXED + rest;
    let said = bytes.get(FIXED..length)?;
    let remote = match (kinds[0], kinds[1]) {
        // For itself, to see whether the node is alive.
        (0x20, _) => None,
        (0x21, 0x11) => Some(read_address::<4>(said)),
        (0x21, 0x21) => Some(read_address::<16>(said)),
        // Neither IPv4 nor IPv6 over TCP.
        (0x21, _) => None,
        _ => return Some(Beginning::Broken),
    };
    Some(match remote {
        Some(None) => Beginning::Broken,
        remote => Beginning::Header { length, remote: remote.flatten() },
    })
}

/// Two addresses of `N` bytes, then two ports; the first of each is whom the proxy connects for.
fn read_address<const N: usize>(said: &[u8]) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let ip: [u8; N] = *said.first_chunk()?;
    let ports: [u8; 4] = *said.get(2 * N..)?.first_chunk()?;
    Some(SocketAddr::new(ip.into(), u16::from_be_bytes([ports[0], ports[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(length: usize, remote: &str) -> Beginning {
        Beginning::Header { length, remote: Some(remote.parse().expect("an address")) }
    }

    fn version_2(kinds: [u8; 2], rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short").to_be_bytes();
        [BINARY, &kinds, &length, rest].concat()
    }

    /// As a proxy would send them.
    fn examples() -> Vec<(Vec<u8>, Beginning)> {
        let v4 = [&[192, 0, 2, 7, 10, 0, 0, 1][..], &[0xdc, 0x04, 0x0d, 0x05]].concat();
        let v6 = [&[0x20, 1, 0xd, 0xb8][..], &[0; 11], &[9], &[0; 16], &[1, 0, 0, 2]].concat();
        let more = [&v4[..], &[0x04, 0, 1, 7]].concat();
        vec![
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 3333\r\n".into(), header(42, "192.0.2.7:56324")),
            (b"PROXY TCP6 2001:db8::9 ::1 256 2\r\n".into(), header(34, "[2001:db8::9]:256")),
            (b"PROXY UNKNOWN\r\n".into(), Beginning::Header { length: 15, remote: None }),
            (b"PROXY UNKNOWN a b c d\r\n".into(), Beginning::Header { length: 23, remote: None }),
            (version_2([0x21, 0x11], &v4), header(28, "192.0.2.7:56324")),
            (version_2([0x21, 0x11], &more), header(32, "192.0.2.7:56324")),
            (version_2([0x21, 0x21], &v6), header(52, "[2001:db8::9]:256")),
            (version_2([0x20, 0x00], &[]), Beginning::Header { length: 16, remote: None }),
            (version_2([0x20, 0x11], &v4), Beginning::Header { length: 28, remote: None }),
            (version_2([0x21, 0x31], &[0; 216]), Beginning::Header { length: 232, remote: None }),
        ]
    }

    #[test]
    fn headers_are_read_whatever_follows_and_however_they_are_cut() {
        for (bytes, expected) in examples() {
            assert_eq!(look(&bytes), expected, "{bytes:?}");
            assert_eq!(look(&[&bytes[..], b"{\"id\":1}\n"].concat()), expected);
            for length in 0..bytes.len() {
                assert_eq!(look(&bytes[..length]), Beginning::Unclear, "{length} of {bytes:?}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_broken_and_what_is_something_else_is_that() {
        let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
        for text in [
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 3333 1\r\n",
            "PROXY TCP4 192.0.2.7 10.0.0.1 56324 70000\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.7 10.0.0.1 1 2\r\n",
            "PROXY UDP4 192.0.2.7 10.0.0.1 1 2\r\n",
            "PROXY \r\n",
            &long,
        ] {
            assert_eq!(look(text.as_bytes()), Beginning::Broken, "{text}");
        }
        for (kinds, rest) in [([0x11, 0x11], 12), ([0x22, 0x11], 12), ([0x21, 0x11], 11), ([0x21, 0x21], 35)]
        {
            assert_eq!(look(&version_2(kinds, &vec![0; rest])), Beginning::Broken, "{kinds:x?} {rest}");
        }
        assert_eq!(look(&version_2([0x21, 0x11], &vec![0; MAX_REST + 1])[..20]), Beginning::Broken);
        for text in ["{", "POST / HTTP/1.1", "PROXYTCP4", "\r\n{", "\u{16}\u{3}\u{1}"] {
            assert_eq!(look(text.as_bytes()), Beginning::Other, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_is_longer_than_what_there_is(
            bytes in proptest::collection::vec(any::<u8>(), 0..80),
            begins in 0..3_usize,
        ) {
            let bytes = [[&b""[..], TEXT, BINARY][begins], &bytes].concat();
            if let Beginning::Header { length, .. } = look(&bytes) {
                prop_assert!(length <= bytes.len());
                prop_assert_eq!(look(&bytes[..length]), look(&bytes));
            }
        }
    }
}
