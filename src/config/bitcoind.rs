//! Which bitcoinds to use and how to log in to each.

use super::error::ConfigError;
use super::file::FileConfig;
use super::folder;
use super::value::{RpcUrl, Secret, ZmqUrl};
use super::{LOOPBACK, NodeArgs};
use crate::bitcoin::endpoint::{Credentials, Endpoint};
use crate::ports;
use sharechain::params::Network;
use std::fmt;
use std::path::PathBuf;

/// One bitcoind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitcoind {
    /// Host name or address of its JSON-RPC, an IPv6 address in brackets.
    pub host: String,
    /// Port of its JSON-RPC.
    pub port: u16,
    /// Path of its JSON-RPC, at least `/`.
    pub path: String,
    /// How to log in.
    pub auth: RpcAuth,
    /// Where it publishes `hashblock`, if it does.
    pub zmq: Option<ZmqUrl>,
}

impl Bitcoind {
    /// Its address, for the back end.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.host, self.port, &self.path)
    }

    /// How to log in, for the back end.
    pub fn credentials(&self) -> Credentials {
        match &self.auth {
            RpcAuth::Cookie(path, _) => Credentials::Cookie(path.clone()),
            RpcAuth::Password { user, password } => {
                Credentials::UserPassword { user: user.clone(), password: password.reveal().to_owned() }
            }
        }
    }
}

impl fmt::Display for Bitcoind {
    /// The URL, without login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}", self.host, self.port)?;
        if self.path == "/" { Ok(()) } else { f.write_str(&self.path) }
    }
}

/// How to log in to a bitcoind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RpcAuth {
    /// With the file that it writes anew at each start.
    Cookie(PathBuf, CookieFrom),
    /// With user and password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
}

/// Why a cookie file is looked for where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieFrom {
    /// It was named.
    Settings,
    /// bitcoind keeps it there unless told otherwise.
    Default,
}

/// The bitcoinds that arguments and file come to.
pub(super) fn resolve(
    args: &NodeArgs,
    file: &FileConfig,
    network: Network,
) -> Result<Vec<Bitcoind>, ConfigError> {
    if matches!(network, Network::Embedded { .. }) {
        // A file may serve several networks; arguments are meant for this run.
        return if args.bitcoind.is_empty() && args.zmq.is_empty() {
            Ok(Vec::new())
        } else {
            Err(ConfigError::EmbeddedHasNoBitcoind("--bitcoind and --zmq"))
        };
    }
    let mut urls = either(&args.bitcoind, &file.bitcoind.0).to_vec();
    if urls.is_empty() {
        urls.push(RpcUrl { host: LOOPBACK.to_string(), port: None, path: "/".into(), login: None });
    }
    let logins = Logins::of(args, file)?.for_each(urls.len())?;
    let zmqs = zmq_for_each(either(&args.zmq, &file.zmq.0), urls.len())?;
    urls.into_iter()
        .zip(logins)
        .zip(zmqs)
        .map(|((url, login), zmq)| bitcoind(url, login, zmq, network))
        .collect()
}

fn bitcoind(
    url: RpcUrl,
    login: Option<RpcAuth>,
    zmq: Option<ZmqUrl>,
    network: Network,
) -> Result<Bitcoind, ConfigError> {
    let local = url.is_loopback();
    let RpcUrl { host, port, path, login: in_url } = url;
    let port = port.unwrap_or(ports::bitcoind_rpc(network));
    let auth = match (in_url, login) {
        (Some((user, password)), _) => RpcAuth::Password { user, password },
        (None, Some(auth)) => auth,
        (None, None) if !local => return Err(ConfigError::RemoteCookie(format!("{host}:{port}"))),
        (None, None) => {
            RpcAuth::Cookie(folder::default_cookie(network).ok_or(ConfigError::NoHome)?, CookieFrom::Default)
        }
    };
    Ok(Bitcoind { host, port, path, auth, zmq })
}

/// What was said about logins, from the highest layer that says anything.
struct Logins<'a> {
    cookies: &'a [PathBuf],
    users: &'a [String],
    passwords: &'a [Secret],
}

impl<'a> Logins<'a> {
    fn of(args: &'a NodeArgs, file: &'a FileConfig) -> Result<Self, ConfigError> {
        let mut logins = Self {
            cookies: either(&args.rpc_cookie, &file.rpc_cookie.0),
            users: either(&args.rpc_user, &file.rpc_user.0),
            passwords: either(&args.rpc_password, &file.rpc_password.0),
        };
        // The user may stand in the file and the password in the environment, so these two are taken one by one;
        // but a cookie argument replaces the file's user, and the reverse.
        let cookie_args = !args.rpc_cookie.is_empty();
        let password_args = !args.rpc_user.is_empty() || !args.rpc_password.is_empty();
        match (cookie_args, password_args) {
            (true, false) => (logins.users, logins.passwords) = (&[], &[]),
            (false, true) => logins.cookies = &[],
            _ => {}
        }
        match (logins.cookies.is_empty(), logins.users.is_empty(), logins.passwords.is_empty()) {
            (_, false, true) => Err(ConfigError::HalfLogin("--rpc-password")),
            (_, true, false) => Err(ConfigError::HalfLogin("--rpc-user")),
            (false, false, false) => Err(ConfigError::TwoLogins),
            _ => Ok(logins),
        }
    }

    fn for_each(&self, daemons: usize) -> Result<Vec<Option<RpcAuth>>, ConfigError> {
        let cookies = spread("--rpc-cookie", self.cookies, daemons)?;
        let users = spread("--rpc-user", self.users, daemons)?;
        let passwords = spread("--rpc-password", self.passwords, daemons)?;
        let logins = cookies.into_iter().zip(users).zip(passwords).map(|login| match login {
            ((Some(cookie), _), _) => Some(RpcAuth::Cookie(cookie, CookieFrom::Settings)),
            ((None, Some(user)), Some(password)) => Some(RpcAuth::Password { user, password }),
            _ => None,
        });
        Ok(logins.collect())
    }
}

fn either<'a, T>(args: &'a [T], file: &'a [T]) -> &'a [T] {
    if args.is_empty() { file } else { args }
}

/// One value for all daemons, or one for each, or none.
fn spread<T: Clone>(
    option: &'static str,
    given: &[T],
    daemons: usize,
) -> Result<Vec<Option<T>>, ConfigError> {
    match given {
        [] => Ok(vec![None; daemons]),
        [one] => Ok(vec![Some(one.clone()); daemons]),
        each if each.len() == daemons => Ok(each.iter().cloned().map(Some).collect()),
        _ => Err(ConfigError::Count { option, given: given.len(), daemons }),
    }
}

/// A single ZMQ address is the first daemon's: two daemons cannot publish at the same one.
fn zmq_for_each(given: &[ZmqUrl], daemons: usize) -> Result<Vec<Option<ZmqUrl>>, ConfigError> {
    let mut zmqs = spread("--zmq", given, daemons)?;
    if given.len() == 1 {
        zmqs.iter_mut().skip(1).for_each(|zmq| *zmq = None);
    }
    Ok(zmqs)
}
