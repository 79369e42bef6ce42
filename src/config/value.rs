//! The kinds of value that settings have, each read once from its text into a type that cannot be wrong.
//!
//! Command line, environment and file all go through the same [`FromStr`], so they accept the same texts.

use crate::ports;
use ipnet::IpNet;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use sharechain::params::Network;
use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use thiserror::Error;

/// Most bytes of a node's address as people write it.
const MAX_PEER: usize = 500;

/// A text that is not the value it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{given:?} is not {wanted}")]
pub struct BadValue {
    given: String,
    wanted: &'static str,
}

pub(super) fn bad(given: &str, wanted: &'static str) -> BadValue {
    BadValue { given: given.chars().take(200).collect(), wanted }
}

/// Lets a type with `FromStr` be read from a string in a file.
macro_rules! from_text {
    ($type:ty) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    };
}
pub(super) use from_text;

/// The Bitcoin network to mine on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NetworkName {
    /// Bitcoin itself: real money.
    Main,
    /// The public test network 4.
    Testnet4,
    /// A private signet whose challenge is trivially true.
    Signet,
    /// bitcoind's regression test mode.
    Regtest,
    /// An in-process chain for trying out, without any bitcoind.
    Embedded,
}

impl NetworkName {
    /// The name of the network of a chain.
    pub const fn of(network: Network) -> Self {
        match network {
            Network::Main => Self::Main,
            Network::Testnet4 => Self::Testnet4,
            Network::Signet => Self::Signet,
            Network::Regtest => Self::Regtest,
            Network::Embedded { .. } => Self::Embedded,
        }
    }
}

impl FromStr for NetworkName {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wanted = "a network: main, testnet4, signet, regtest or embedded";
        <Self as clap::ValueEnum>::from_str(text, false).map_err(|_| bad(text, wanted))
    }
}

impl fmt::Display for NetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "main",
            Self::Testnet4 => "testnet4",
            Self::Signet => "signet",
            Self::Regtest => "regtest",
            Self::Embedded => "embedded",
        })
    }
}

from_text!(NetworkName);

/// How log lines are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line, for programs.
    Json,
}

impl FromStr for LogFormat {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        <Self as clap::ValueEnum>::from_str(text, false).map_err(|_| bad(text, "a log format: human or json"))
    }
}

from_text!(LogFormat);

/// Where to listen. The port may be left out, and so is `None` then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddr {
    ip: IpAddr,
    port: Option<u16>,
}

impl ListenAddr {
    /// The address with its port, or with this one if it has none.
    pub const fn or_port(self, default: u16) -> SocketAddr {
        SocketAddr::new(
            self.ip,
            match self.port {
                Some(port) => port,
                None => default,
            },
        )
    }
}

impl FromStr for ListenAddr {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wanted = "an address to listen on, like 127.0.0.1:3333, 0.0.0.0:3333 or [::]:3333";
        if let Ok(whole) = text.parse::<SocketAddr>() {
            return Ok(Self { ip: whole.ip(), port: Some(whole.port()) });
        }
        text.parse().map(|ip| Self { ip, port: None }).map_err(|_| bad(text, wanted))
    }
}

from_text!(ListenAddr);

/// Addresses that belong together: a network, or one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses(pub IpNet);

impl FromStr for Addresses {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wanted = "an address or a network, like 192.0.2.1, 10.0.0.0/8 or fd00::/8";
        let alone = || text.parse::<IpAddr>().map(IpNet::from);
        text.parse().or_else(|_| alone()).map(Self).map_err(|_| bad(text, wanted))
    }
}

from_text!(Addresses);

/// A node to connect to, as people write it; only its form is looked at here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddr(String);

impl PeerAddr {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PeerAddr {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wanted =
            "a node's address: HOST:PORT, PEERID@HOST:PORT or a multiaddress like /ip4/192.0.2.1/tcp/3338";
        let has_port = || {
            let (host, port) = text.rsplit_once(':')?;
            Some(!host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0))
        };
        let right = text.starts_with('/') || has_port() == Some(true);
        if right && text.len() <= MAX_PEER { Ok(Self(text.to_owned())) } else { Err(bad(text, wanted)) }
    }
}

from_text!(PeerAddr);

/// A text that is not shown: a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The password itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl FromStr for Secret {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        Ok(Self(text.to_owned()))
    }
}

from_text!(Secret);

/// The URL of a bitcoind's JSON-RPC: `http://[USER:PASSWORD@]HOST[:PORT][/PATH]`, the scheme may be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcUrl {
    /// Host name or address, an IPv6 address in brackets.
    pub host: String,
    /// Port, if given.
    pub port: Option<u16>,
    /// Path, at least `/`.
    pub path: String,
    /// User and password, if given.
    pub login: Option<(String, Secret)>,
}

impl RpcUrl {
    /// Whether this machine is meant.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.host)
    }
}

/// Whether a host, an IPv6 address in brackets or not, is the machine on which it is named.
pub fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl FromStr for RpcUrl {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        // The text may hold a password, so errors show none of it.
        let wrong = |wanted| BadValue { given: "the URL of bitcoind".into(), wanted };
        let rest = match text.split_once("://") {
            Some(("http", rest)) => rest,
            Some(("https", _)) => {
                return Err(wrong("http: bitcoind speaks no TLS; use a tunnel such as ssh -L or WireGuard"));
            }
            Some(_) => return Err(wrong("http://HOST:PORT")),
            None => text,
        };
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => {
                (Some(parse_login(login).ok_or(wrong("http://USER:PASSWORD@HOST:PORT"))?), place)
            }
            None => (None, rest),
        };
        let uri: hyper::Uri = format!("http://{place}").parse().map_err(|_| wrong("http://HOST:PORT"))?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(wrong("http://HOST:PORT"))?;
        let port = uri.port_u16();
        // A port that is no number is not an error of the URI parser.
        if uri.authority().is_some_and(|a| a.as_str().len() > host.len()) && port.is_none() {
            return Err(wrong("http://HOST:PORT with a port from 0 to 65535"));
        }
        Ok(Self { host: host.to_owned(), port, path: uri.path().to_owned(), login })
    }
}

from_text!(RpcUrl);

fn parse_login(text: &str) -> Option<(String, Secret)> {
    let (user, password) = text.split_once(':')?;
    Some((percent_decode(user)?, Secret(percent_decode(password)?)))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

/// Where a bitcoind publishes ZMQ messages: `tcp://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZmqUrl(String);

impl ZmqUrl {
    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `HOST:PORT`.
    pub fn host_port(&self) -> &str {
        self.0.trim_start_matches("tcp://")
    }
}

impl FromStr for ZmqUrl {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let wanted = "a ZMQ address like tcp://127.0.0.1:28332, as bitcoind's zmqpubhashblock has it";
        let place = text.strip_prefix("tcp://").ok_or_else(|| bad(text, wanted))?;
        let (host, port) = place.rsplit_once(':').ok_or_else(|| bad(text, wanted))?;
        let right =
            !host.is_empty() && !host.contains(['/', '@', ' ']) && port.parse::<u16>().is_ok_and(|p| p > 0);
        if right { Ok(Self(text.to_owned())) } else { Err(bad(text, wanted)) }
    }
}

from_text!(ZmqUrl);

/// One value or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: serde::Deserialize<'de> + FromStr<Err: fmt::Display>> serde::Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMoreVisitor(PhantomData))
    }
}

struct OneOrMoreVisitor<T>(PhantomData<T>);

impl<'de, T: serde::Deserialize<'de> + FromStr<Err: fmt::Display>> Visitor<'de> for OneOrMoreVisitor<T> {
    type Value = OneOrMore<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        text.parse().map(|one| OneOrMore(vec![one])).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrMore(values))
    }
}

/// The advice to turn on ZMQ.
pub fn zmq_advice() -> String {
    format!("start bitcoind with {}", zmq_line())
}

/// The line of bitcoin.conf that turns on ZMQ, with the customary port.
pub fn zmq_line() -> String {
    format!("zmqpubhashblock=tcp://127.0.0.1:{}", ports::BITCOIND_ZMQ)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<RpcUrl, BadValue> {
        text.parse()
    }

    #[test]
    fn bitcoind_urls_are_taken_apart() {
        let plain =
            |host: &str, port, path: &str| RpcUrl { host: host.into(), port, path: path.into(), login: None };
        assert_eq!(url("http://127.0.0.1:8332"), Ok(plain("127.0.0.1", Some(8332), "/")));
        assert_eq!(url("node.lan"), Ok(plain("node.lan", None, "/")));
        assert_eq!(url("http://[::1]:1/wallet/x"), Ok(plain("[::1]", Some(1), "/wallet/x")));
        let login = Some(("rpc@me".to_owned(), Secret("p:w@%".to_owned())));
        assert_eq!(url("http://rpc%40me:p:w%40%25@h:1"), Ok(RpcUrl { login, ..plain("h", Some(1), "/") }));
        assert!(url("http://[::1]:1").is_ok_and(|url| url.is_loopback()));
        assert!(url("http://10.0.0.1").is_ok_and(|url| !url.is_loopback()));
    }

    #[test]
    fn wrong_urls_are_refused_without_showing_a_password() {
        for text in ["", "https://h:1", "ftp://h", "http://h:99999", "http://h:x", "http://", "http://:8332"]
        {
            assert!(url(text).is_err(), "{text}");
        }
        let shown = url("http://me:hunter2@h:x").expect_err("no port").to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
        let parsed = url("http://me:hunter2@h:1").expect("right");
        assert!(!format!("{parsed:?}").contains("hunter2"));
    }

    #[test]
    fn zmq_addresses_need_scheme_host_and_port() {
        let right: ZmqUrl = "tcp://127.0.0.1:28332".parse().expect("right");
        assert_eq!(right.host_port(), "127.0.0.1:28332");
        for text in ["127.0.0.1:28332", "tcp://127.0.0.1", "tcp://:1", "tcp://h:0", "ipc:///x", "tcp://h:1/x"]
        {
            assert!(text.parse::<ZmqUrl>().is_err(), "{text}");
        }
    }

    #[test]
    fn nodes_have_a_host_and_a_port_or_a_multiaddress() {
        for text in ["a.example:1", "[::1]:3338", "12D3@a:1", "/ip4/192.0.2.1/tcp/1"] {
            assert_eq!(text.parse::<PeerAddr>().expect("right").as_str(), text);
        }
        for text in ["", "a", "a:", ":1", "a:0", "a:70000"] {
            assert!(text.parse::<PeerAddr>().is_err(), "{text}");
        }
    }

    #[test]
    fn listening_addresses_may_leave_out_the_port_and_networks_their_size() {
        let or_7 = |text: &str| text.parse::<ListenAddr>().map(|a| a.or_port(7).to_string());
        assert_eq!(or_7("0.0.0.0:3333"), Ok("0.0.0.0:3333".into()));
        assert_eq!(or_7("127.0.0.1"), Ok("127.0.0.1:7".into()));
        assert_eq!(or_7("[::1]:0"), Ok("[::1]:0".into()));
        let contains = |text: &str, ip: &str| {
            let Addresses(net) = text.parse().expect("right");
            net.contains(&ip.parse::<IpAddr>().expect("an address"))
        };
        assert!(contains("10.0.0.0/8", "10.9.8.7") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("::1", "127.0.0.1"));
        for wrong in ["", "proxy", "10.0.0.0/33", "10.0.0.1:80", "/8"] {
            assert!(wrong.parse::<Addresses>().is_err(), "{wrong}");
        }
        assert!(or_7("example.org:1").is_err() && or_7(":3333").is_err() && or_7("1.2.3.4:70000").is_err());
    }
}
