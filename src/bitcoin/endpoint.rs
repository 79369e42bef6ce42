//! Where a bitcoind is and how to log in. Nothing is opened here but the cookie file; URLs are read by the configuration.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use thiserror::Error;
use tokio::io::AsyncReadExt as _;

/// Longest cookie file that is read; bitcoind writes 75 bytes.
const MAX_COOKIE: u64 = 4_096;

/// Where a bitcoind's RPC server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
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

impl Endpoint {
    /// An address as a URL has it: an IPv6 address with or without brackets, a path that is at least `/`.
    pub fn new(host: &str, port: u16, path: &str) -> Self {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        Self { host: bare.to_owned(), port, path: path.to_owned() }
    }

    /// Host name or address; an IPv6 address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path of the HTTP request.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, .. } = self;
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

    #[test]
    fn an_ipv6_address_has_brackets_where_a_port_follows() {
        for host in ["[::1]", "::1"] {
            let endpoint = Endpoint::new(host, 8332, "/");
            assert_eq!((endpoint.host(), endpoint.to_string().as_str()), ("::1", "[::1]:8332"));
        }
        assert_eq!(Endpoint::new("node.local", 1, "/").to_string(), "node.local:1");
    }

    #[test]
    fn passwords_are_not_shown() {
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
