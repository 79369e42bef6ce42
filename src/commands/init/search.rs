//! Where a bitcoind may be, and which of them answers.

use super::{InitArgs, InitError};
use crate::bitcoin::rpc::{BitcoindRpc, Patience};
use crate::bitcoin::{Backend, BackendError, ChainInfo};
use crate::config::{
    Bitcoind, ConfigError, CookieFrom, NetworkName, RpcAuth, RpcUrl, ZmqUrl, is_loopback, preset,
    usual_cookies,
};
use crate::ports;
use sharechain::params::Network;
use sharechain::units::BitcoinHeight;
use std::net::IpAddr;
use std::path::PathBuf;

/// The networks that have bitcoinds, in the order in which they are looked for.
const NETWORKS: [NetworkName; 4] =
    [NetworkName::Main, NetworkName::Testnet4, NetworkName::Signet, NetworkName::Regtest];

/// What is looked for.
pub(super) struct Wanted {
    /// Only a bitcoind of this network.
    network: Option<NetworkName>,
    /// Only at this place.
    url: Option<RpcUrl>,
    /// Only with this login.
    login: Option<RpcAuth>,
}

/// A bitcoind that answered.
pub(super) struct Found {
    /// Which, how to log in, and where it publishes new blocks.
    pub(super) bitcoind: Bitcoind,
    /// Its network.
    pub(super) network: NetworkName,
    /// Its height.
    pub(super) blocks: BitcoinHeight,
    /// Where it publishes them for its own machine alone, if nowhere else; this machine may be it.
    pub(super) zmq_apart: Option<ZmqUrl>,
    /// Others that answered, and how to choose them.
    pub(super) others: Vec<String>,
}

/// Where a bitcoind publishes new blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::commands) enum Publisher {
    /// Where this machine reaches it.
    Reached(ZmqUrl),
    /// On its own machine's loopback, and it was named by another address: this machine may be it.
    Apart(ZmqUrl),
    /// At no address that is of use.
    Nowhere,
}

impl Wanted {
    pub(super) fn of(args: &InitArgs, network: Option<NetworkName>) -> Result<Self, ConfigError> {
        let in_url = args.bitcoind.as_ref().and_then(|url| url.login.clone());
        let login = match (&args.rpc_cookie, &args.rpc_user, &args.rpc_password) {
            (Some(_), Some(_), _) => return Err(ConfigError::TwoLogins),
            (None, Some(_), None) => return Err(ConfigError::HalfLogin("--rpc-password")),
            (None, None, Some(_)) if in_url.is_none() => return Err(ConfigError::HalfLogin("--rpc-user")),
            (None, Some(user), Some(password)) => {
                Some(RpcAuth::Password { user: user.clone(), password: password.clone() })
            }
            // A password from the environment is not meant where a cookie was named.
            (Some(path), None, _) => Some(RpcAuth::Cookie(path.clone(), CookieFrom::Settings)),
            (None, None, _) => None,
        };
        let in_url = in_url.map(|(user, password)| RpcAuth::Password { user, password });
        let wanted = Self { network, url: args.bitcoind.clone(), login: in_url.or(login) };
        match &wanted.url {
            Some(url) if wanted.login.is_none() && !url.is_loopback() => {
                Err(ConfigError::RemoteCookie(url.host.clone()))
            }
            _ => Ok(wanted),
        }
    }

    /// Every bitcoind that may be meant.
    fn candidates(&self) -> Vec<Bitcoind> {
        let mut candidates: Vec<Bitcoind> = Vec::new();
        for network in NETWORKS.into_iter().filter(|one| self.network.is_none_or(|wanted| wanted == *one)) {
            let network = preset(network).network;
            for auth in self.logins(network) {
                let candidate = self.candidate(network, auth);
                if !candidates.contains(&candidate) {
                    candidates.push(candidate);
                }
            }
        }
        candidates
    }

    fn candidate(&self, network: Network, auth: RpcAuth) -> Bitcoind {
        let (host, port, path) = match &self.url {
            Some(url) => (url.host.clone(), url.port, url.path.clone()),
            None => ("127.0.0.1".into(), None, "/".into()),
        };
        Bitcoind { host, port: port.unwrap_or(ports::bitcoind_rpc(network)), path, auth, zmq: None }
    }

    fn logins(&self, network: Network) -> Vec<RpcAuth> {
        match &self.login {
            Some(login) => vec![login.clone()],
            None => usual_cookies(network)
                .into_iter()
                // One that this user may not see is tried, so that the error says so.
                .filter(|path| path.try_exists().unwrap_or(true))
                .map(|path| RpcAuth::Cookie(path, CookieFrom::Default))
                .collect(),
        }
    }

    /// Where there was no cookie, if that is why there is nobody to ask.
    fn places(&self) -> Vec<PathBuf> {
        let networks = NETWORKS.into_iter().filter(|one| self.network.is_none_or(|wanted| wanted == *one));
        networks.flat_map(|network| usual_cookies(preset(network).network)).collect()
    }
}

/// Asks every candidate; the first that is on the wanted network is taken.
pub(super) async fn search(wanted: &Wanted) -> Result<Found, InitError> {
    let candidates = wanted.candidates();
    if candidates.is_empty() {
        let places = wanted.places().into_iter();
        return Err(InitError::NoBitcoind(
            places.map(|path| format!("there is no cookie at {}", path.display())).collect(),
        ));
    }
    let mut failures = Vec::new();
    let mut taken: Option<Found> = None;
    for bitcoind in candidates {
        let (rpc, info) = match ask(&bitcoind).await {
            Ok(answered) => answered,
            Err(error) => {
                failures.push(error.to_string());
                continue;
            }
        };
        let network = match network_of(&info).filter(|one| wanted.network.is_none_or(|wanted| wanted == *one))
        {
            Some(network) => network,
            None => {
                failures.push(unfit(&bitcoind, &info));
                continue;
            }
        };
        match &mut taken {
            Some(taken) => {
                taken.others.push(format!("{network} at {bitcoind}: --network {network} chooses it"));
            }
            None => {
                let (zmq, zmq_apart) = match publisher(&rpc, &bitcoind).await {
                    Publisher::Reached(zmq) => (Some(zmq), None),
                    Publisher::Apart(zmq) => (None, Some(zmq)),
                    Publisher::Nowhere => (None, None),
                };
                let bitcoind = Bitcoind { zmq, ..bitcoind };
                taken = Some(Found { bitcoind, network, blocks: info.blocks, zmq_apart, others: Vec::new() });
            }
        }
    }
    taken.ok_or(InitError::NoBitcoind(failures))
}

async fn ask(bitcoind: &Bitcoind) -> Result<(BitcoindRpc, ChainInfo), BackendError> {
    let rpc = BitcoindRpc::new(bitcoind.endpoint(), bitcoind.credentials(), Patience::default());
    let info = rpc.chain_info().await?;
    Ok((rpc, info))
}

/// Its network, if that can be mined on.
fn network_of(info: &ChainInfo) -> Option<NetworkName> {
    NETWORKS.into_iter().find(|network| network.to_string() == info.chain).filter(|_| info.is_minable())
}

fn unfit(bitcoind: &Bitcoind, info: &ChainInfo) -> String {
    let chain = &info.chain;
    if info.is_minable() {
        format!("bitcoind at {bitcoind} is on {chain}")
    } else {
        format!(
            "bitcoind at {bitcoind} is on the public signet, whose blocks need the signature of its operators; testnet4 or a signet of your own (signetchallenge=51) can be mined"
        )
    }
}

/// The address of its messages of new blocks, as this machine reaches it. That it may not be asked is no error.
pub(in crate::commands) async fn publisher(rpc: &BitcoindRpc, bitcoind: &Bitcoind) -> Publisher {
    let addresses = rpc.block_publishers().await.unwrap_or_default();
    let all: Vec<Publisher> = addresses.iter().map(|address| reachable(address, &bitcoind.host)).collect();
    let reached = all.iter().find(|one| matches!(one, Publisher::Reached(_)));
    let apart = all.iter().find(|one| matches!(one, Publisher::Apart(_)));
    reached.or(apart).cloned().unwrap_or(Publisher::Nowhere)
}

/// An address that it publishes at on all of its own addresses is reached where its JSON-RPC is; one of its machine's
/// loopback is not reached from another machine.
fn reachable(address: &str, host: &str) -> Publisher {
    let place = address.strip_prefix("tcp://").and_then(|place| place.rsplit_once(':'));
    let Some((bound, port)) = place else { return Publisher::Nowhere };
    let bare = bound.trim_start_matches('[').trim_end_matches(']');
    let is_any = bound == "*" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
    let reached = if is_any { format!("tcp://{host}:{port}").parse() } else { address.parse() };
    match reached {
        Ok(zmq) if is_loopback(bound) && !is_loopback(host) => Publisher::Apart(zmq),
        Ok(zmq) => Publisher::Reached(zmq),
        Err(_) => Publisher::Nowhere,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn args() -> InitArgs {
        InitArgs {
            file: "x".into(),
            force: false,
            bitcoind: None,
            rpc_cookie: None,
            rpc_user: None,
            rpc_password: None,
            address: None,
        }
    }

    fn urls(args: &InitArgs, network: Option<NetworkName>) -> Vec<String> {
        let candidates = Wanted::of(args, network).expect("right").candidates();
        candidates.iter().map(Bitcoind::to_string).collect()
    }

    #[test]
    fn a_login_without_a_place_is_tried_at_every_networks_port() {
        let cookie = InitArgs { rpc_cookie: Some("/c".into()), ..args() };
        let all = ["http://127.0.0.1:8332", "http://127.0.0.1:48332"];
        let more = ["http://127.0.0.1:38332", "http://127.0.0.1:18443"];
        assert_eq!(urls(&cookie, None), [all, more].concat());
        assert_eq!(urls(&cookie, Some(NetworkName::Signet)), [more[0]]);
        let there = InitArgs { bitcoind: Some("http://node.lan:5".parse().expect("a URL")), ..cookie };
        assert_eq!(urls(&there, None), ["http://node.lan:5"], "asked once");
    }

    #[test]
    fn logins_that_contradict_or_would_go_elsewhere_are_refused() {
        let refused = |args: &InitArgs| Wanted::of(args, None).map(drop).expect_err("refused").to_string();
        let user = InitArgs { rpc_user: Some("u".into()), ..args() };
        assert!(refused(&user).contains("--rpc-password is missing"));
        let password: Secret = "p".parse().expect("any");
        let half = InitArgs { rpc_password: Some(password.clone()), ..args() };
        assert!(refused(&half).contains("--rpc-user is missing"));
        let two = InitArgs { rpc_cookie: Some("/c".into()), ..user.clone() };
        assert!(refused(&two).contains("were both given"));
        let remote = InitArgs { bitcoind: Some("http://node.lan".parse().expect("a URL")), ..args() };
        assert!(refused(&remote).contains("on another machine"));
        let cookie = InitArgs { rpc_cookie: Some("/c".into()), rpc_password: Some(password), ..args() };
        assert!(Wanted::of(&cookie, None).is_ok(), "a password of the environment");
    }

    #[test]
    fn publishers_on_all_addresses_are_reached_where_bitcoind_is() {
        let url = |text: &str| text.parse::<ZmqUrl>().expect("an address");
        let at = |address: &str| reachable(address, "10.0.0.2");
        for (address, reached) in [
            ("tcp://0.0.0.0:28332", "tcp://10.0.0.2:28332"),
            ("tcp://*:1", "tcp://10.0.0.2:1"),
            ("tcp://[::]:1", "tcp://10.0.0.2:1"),
            ("tcp://10.0.0.3:28332", "tcp://10.0.0.3:28332"),
        ] {
            assert_eq!(at(address), Publisher::Reached(url(reached)));
        }
        assert_eq!(at("ipc:///tmp/x"), Publisher::Nowhere);
        // Its own loopback is reached from its own machine only, whatever that is called.
        for (loopback, host) in [
            ("127.0.0.1", "127.0.0.1"),
            ("127.0.0.1", "localhost"),
            ("[::1]", "127.0.0.1"),
            ("localhost", "[::1]"),
        ] {
            let address = format!("tcp://{loopback}:28332");
            assert_eq!(reachable(&address, host), Publisher::Reached(url(&address)));
            assert_eq!(at(&address), Publisher::Apart(url(&address)));
            assert_eq!(reachable(&address, "node.lan"), Publisher::Apart(url(&address)));
        }
    }
}
