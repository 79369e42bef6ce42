//! Where a bitcoind is and how to log in: its URL and its credentials. Nothing is opened here but the cookie file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use thiserror::Error;
use tokio::io::AsyncReadExt as _;

/// Longest cookie file that is read; bitcoind writes 75 bytes.
const MAX_COOKIE: u64 = 4_096;

/// Host and port of a bitcoind's RPC server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// How to log in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// The file that bitcoind rewrites at each start. It is read for each call, so a restart needs no care.
    Cookie(PathBuf),
    /// `rpcuser` and `rpcpassword`, or a user made by `rpcauth`.
    UserPassword {
        /// User name.
        user: String,
        /// Password.
        password: String,
    },
}

/// Why a URL was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BadUrl {
    /// Another scheme than http.
    #[error("{0} is no http:// URL: bitcoind speaks plain HTTP; for one far away use a tunnel")]
    Scheme(String),
    /// No host, or a port that is no port.
    #[error("{0} names no host and port: write http://HOST:PORT, for example http://127.0.0.1:8332")]
    Address(String),
    /// Something after the port, for example the name of a wallet.
    #[error("{0} has a path: only http://HOST:PORT is needed, no wallet is used")]
    Path(String),
    /// Broken percent-encoding in user or password, or a user without a password.
    #[error(
        "the user and password in the URL cannot be read: write USER:PASSWORD@, special characters as %XX"
    )]
    UserInfo,
}

impl Endpoint {
    /// Reads `http://[USER:PASSWORD@]HOST[:PORT][/]`; the credentials come separately, if there are any.
    pub fn parse(url: &str, default_port: u16) -> Result<(Self, Option<Credentials>), BadUrl> {
        let rest = url.strip_prefix("http://").ok_or_else(|| BadUrl::Scheme(without_secrets(url)))?;
        let (user_info, address) = match rest.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, rest),
        };
        let (address, path) = address.split_once('/').unwrap_or((address, ""));
        if !path.is_empty() {
            return Err(BadUrl::Path(without_secrets(url)));
        }
        let endpoint = Self::parse_address(address, default_port)
            .ok_or_else(|| BadUrl::Address(without_secrets(url)))?;
        Ok((endpoint, user_info.map(Credentials::parse).transpose()?))
    }

    /// Host name or address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn parse_address(address: &str, default_port: u16) -> Option<Self> {
        let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
            let (host, port) = bracketed.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        } else {
            address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)))
        };
        let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
        let plausible =
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:".contains(c));
        (plausible && port != 0).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Credentials {
    /// The value of the `Authorization` header (RFC 7617).
    pub(super) async fn header(&self) -> Result<String, CookieError> {
        let plain = match self {
            Self::Cookie(file) => read_cookie(file).await?,
            Self::UserPassword { user, password } => format!("{user}:{password}"),
        };
        Ok(format!("Basic {}", base64(plain.as_bytes())))
    }

    fn parse(user_info: &str) -> Result<Self, BadUrl> {
        let (user, password) = user_info.split_once(':').ok_or(BadUrl::UserInfo)?;
        let decode = |text| percent_decode(text).ok_or(BadUrl::UserInfo);
        Ok(Self::UserPassword { user: decode(user)?, password: decode(password)? })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cookie(file) => f.debug_tuple("Cookie").field(file).finish(),
            Self::UserPassword { user, .. } => write!(f, "UserPassword({user}, ***)"),
        }
    }
}

/// The cookie file cannot be used.
#[derive(Debug, Error)]
#[error("cookie file {}: {source}", file.display())]
pub(super) struct CookieError {
    file: PathBuf,
    source: std::io::Error,
}

impl CookieError {
    /// bitcoind deletes the file when it ends.
    pub(super) fn is_missing(&self) -> bool {
        self.source.kind() == std::io::ErrorKind::NotFound
    }
}

async fn read_cookie(file: &Path) -> Result<String, CookieError> {
    let read = async {
        let mut text = String::new();
        tokio::fs::File::open(file).await?.take(MAX_COOKIE).read_to_string(&mut text).await?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    };
    read.await.map_err(|source| CookieError { file: file.to_owned(), source })
}

/// The URL without what stands before the last `@`.
fn without_secrets(url: &str) -> String {
    url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, address)| format!("…@{address}"))
}

fn percent_decode(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        };
        decoded.push(byte);
    }
    String::from_utf8(decoded).ok()
}

/// Base64 with padding (RFC 4648 section 4).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i| u32::from(chunk.get(i).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * i)) as usize & 63];
            text.push(if i <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<(String, Option<Credentials>), BadUrl> {
        Endpoint::parse(url, 8332).map(|(endpoint, credentials)| (endpoint.to_string(), credentials))
    }

    #[test]
    fn urls_are_read() {
        let login = |user: &str, password: &str| {
            Some(Credentials::UserPassword { user: user.into(), password: password.into() })
        };
        assert_eq!(parse("http://127.0.0.1:18443"), Ok(("127.0.0.1:18443".into(), None)));
        assert_eq!(parse("http://node.local/"), Ok(("node.local:8332".into(), None)));
        assert_eq!(parse("http://[::1]"), Ok(("[::1]:8332".into(), None)));
        assert_eq!(parse("http://[::1]:5"), Ok(("[::1]:5".into(), None)));
        assert_eq!(parse("http://me:a%40b%3a%C3%A9@h:1"), Ok(("h:1".into(), login("me", "a@b:é"))));
        assert_eq!(parse("http://me:p@ss@h:1"), Ok(("h:1".into(), login("me", "p@ss"))));
    }

    #[test]
    fn bad_urls_are_refused_without_telling_secrets() {
        for bad in [
            "https://u:secret@h:1",
            "h:1",
            "http://",
            "http://:1",
            "http://h:0",
            "http://h:65536",
            "http://h:",
            "http://a b:1",
            "http://u:secret@h:x",
            "http://u:secret@h:1/wallet/w",
            "http://[::1:5",
            "http://[zz]:5",
            "http://usecret@h:1",
            "http://u:%zz@h:1",
            "http://u:%4@h:1",
        ] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(!error.contains("secret"), "{error}");
        }
        let credentials = Credentials::UserPassword { user: "u".into(), password: "secret".into() };
        assert!(!format!("{credentials:?}").contains("secret"));
    }

    #[test]
    fn base64_pads_as_the_standard_says() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
            ("~~?>", "fn4/Pg=="),
        ];
        for (plain, encoded) in cases {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
