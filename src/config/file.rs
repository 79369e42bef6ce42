//! The file of settings: the keys of the command line, in TOML. What it says is checked in [`super::Config`].
//!
//! | key | value |
//! |---|---|
//! | `network` | `"main"`, `"testnet4"`, `"signet"`, `"regtest"` or `"embedded"` |
//! | `data-dir` | folder; the network's name is appended |
//! | `chain` | file with the parameters of a private chain |
//! | `bitcoind` | URL, or a list of them, best first |
//! | `rpc-cookie` | cookie file for all bitcoinds, or a list with one for each |
//! | `rpc-user`, `rpc-password` | the same, instead of cookies |
//! | `zmq` | `tcp://HOST:PORT` of the first bitcoind, or a list with one for each |
//! | `stratum` | address to listen on, or a list of them |
//! | `stratum-tls`, `stratum-v2` | the same |
//! | `tls-certificate`, `tls-key` | files in PEM |
//! | `no-stratum-v2` | `true` or `false` |
//! | `proxy-protocol-from` | address or network (`IP/BITS`) of proxies that are believed, or a list of them |
//! | `legacy` | address to serve `getwork` and `getblocktemplate` on, or a list of them |
//! | `address` | Bitcoin address credited for users whose name is none |
//! | `payout-class` | a table: part of a mining program's name = the outputs of a coinbase that such devices hold |
//! | `fee` | part of others' work that is mined for the operator, like `"0.5%"` |
//! | `fee-address` | Bitcoin address that it is mined for |
//! | `api` | loopback address of the node's own interface |
//! | `on-event` | command that is run when something happens |
//! | `worker-gone` | minutes without an accepted share after which a worker has gone |
//! | `listen` | address for other nodes to connect to, or a list of them |
//! | `no-listen` | `true` or `false` |
//! | `external` | address at which others reach this node, or a list of them |
//! | `peer` | node to connect to, or a list of them |
//! | `no-mdns` | `true` or `false` |
//! | `max-inbound`, `outbound` | numbers of connections |
//! | `relay`, `offline`, `solo` | `true` or `false` |
//! | `log-format` | `"human"` or `"json"` |
//! | `move-corrupt-store-aside` | `true` or `false` |
//!
//! Relative paths are relative to the folder of the file.

use super::event::EventCommand;
use super::fee::FeeRate;
use super::toml_file::{self, FileError};
use super::value::{
    Addresses, ListenAddr, LogFormat, NetworkName, OneOrMore, PeerAddr, RpcUrl, Secret, ZmqUrl,
};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

/// The settings as the file gives them; a key that is missing leaves the choice to the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FileConfig {
    /// The Bitcoin network.
    pub network: Option<NetworkName>,
    /// Folder of all networks' data.
    pub data_dir: Option<PathBuf>,
    /// File with chain parameters.
    pub chain: Option<PathBuf>,
    /// URLs of the bitcoinds.
    pub bitcoind: OneOrMore<RpcUrl>,
    /// Their cookie files.
    pub rpc_cookie: OneOrMore<PathBuf>,
    /// Their RPC users.
    pub rpc_user: OneOrMore<String>,
    /// Their RPC passwords.
    pub rpc_password: OneOrMore<Secret>,
    /// Their ZMQ addresses.
    pub zmq: OneOrMore<ZmqUrl>,
    /// Where Stratum listens.
    pub stratum: OneOrMore<ListenAddr>,
    /// Where Stratum listens over TLS.
    pub stratum_tls: OneOrMore<ListenAddr>,
    /// The certificate for TLS.
    pub tls_certificate: Option<PathBuf>,
    /// Its private key.
    pub tls_key: Option<PathBuf>,
    /// Where Stratum V2 listens.
    pub stratum_v2: OneOrMore<ListenAddr>,
    /// Whether there is no Stratum V2.
    pub no_stratum_v2: Option<bool>,
    /// Proxies that are believed for whom they connect.
    pub proxy_protocol_from: OneOrMore<Addresses>,
    /// Where `getwork` and `getblocktemplate` are served.
    pub legacy: OneOrMore<ListenAddr>,
    /// Who is credited for users whose name is no address.
    pub address: Option<String>,
    /// The outputs that devices hold, by parts of their programs' names.
    pub payout_class: BTreeMap<String, u16>,
    /// The operator's fee.
    pub fee: Option<FeeRate>,
    /// Whom it is for.
    pub fee_address: Option<String>,
    /// Where the node's interface listens.
    pub api: Option<ListenAddr>,
    /// What is run when something happens.
    pub on_event: Option<EventCommand>,
    /// Minutes after which a worker has gone.
    pub worker_gone: Option<NonZeroU16>,
    /// Where other nodes connect.
    pub listen: OneOrMore<ListenAddr>,
    /// Whether no other nodes are admitted.
    pub no_listen: Option<bool>,
    /// Where others reach this node.
    pub external: OneOrMore<ListenAddr>,
    /// Nodes to connect to.
    pub peer: OneOrMore<PeerAddr>,
    /// Whether the local network is left alone.
    pub no_mdns: Option<bool>,
    /// Most connections of other nodes.
    pub max_inbound: Option<u16>,
    /// Connections to other nodes.
    pub outbound: Option<u8>,
    /// Whether to be a relay.
    pub relay: Option<bool>,
    /// Whether to mine solo.
    pub solo: Option<bool>,
    /// Whether there is no network between nodes.
    pub offline: Option<bool>,
    /// How log lines look.
    pub log_format: Option<LogFormat>,
    /// Whether a corrupt store is moved aside and a new one begun.
    pub move_corrupt_store_aside: Option<bool>,
}

impl FileConfig {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let mut config: Self = toml_file::read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let tls = [&mut config.tls_certificate, &mut config.tls_key];
        let single = [&mut config.data_dir, &mut config.chain].into_iter().chain(tls).flatten();
        let paths = single.chain(&mut config.rpc_cookie.0);
        // Joining an absolute path gives that path.
        paths.for_each(|path| *path = folder.join(&path));
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn one_value_may_stand_for_a_list_and_paths_follow_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("commonwork.toml");
        let text = "network = 'signet'\nbitcoind = 'http://a:1'\nrpc-cookie = ['/x', 'y']\nzmq = ['tcp://a:1']\n\
                    data-dir = 'data'\ntls-key = 'k.pem'\nlog-format = 'json'\nmove-corrupt-store-aside = true\n\
                    payout-class = { 'My Miner/' = 38, nerd = 0 }";
        fs::write(&path, text).expect("written");
        let config = FileConfig::read(&path).expect("right");
        assert_eq!(config.network, Some(NetworkName::Signet));
        assert_eq!(config.bitcoind.0, ["http://a:1".parse().expect("a URL")]);
        assert_eq!(config.rpc_cookie.0, [PathBuf::from("/x"), folder.path().join("y")]);
        assert_eq!(config.data_dir, Some(folder.path().join("data")));
        assert_eq!(config.tls_key, Some(folder.path().join("k.pem")));
        let classes: Vec<_> = config.payout_class.iter().map(|(name, n)| (name.as_str(), *n)).collect();
        assert_eq!(classes, [("My Miner/", 38), ("nerd", 0)]);
        assert_eq!((config.log_format, config.move_corrupt_store_aside), (Some(LogFormat::Json), Some(true)));
    }

    #[test]
    fn errors_name_file_line_and_what_would_be_right() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("c.toml");
        for (text, wanted) in [
            ("\nbitconid = 'x'", "line 2: unknown key `bitconid`; did you mean `bitcoind`?"),
            ("[payout-class]\nx = 'many'", "line 2: invalid type: string \"many\", expected u16"),
            ("network = 'mainnet'", "line 1: \"mainnet\" is not a network: main, testnet4,"),
            ("stratum = 3333", "line 1: invalid type: integer `3333`, expected a text or a list of texts"),
            (
                "zmq = 'tcp://a:1'\nstratum = ['1.2.3.4:x']",
                "line 2: \"1.2.3.4:x\" is not an address to listen on",
            ),
        ] {
            fs::write(&path, text).expect("written");
            let error = FileConfig::read(&path).expect_err("wrong").to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(wanted), "{error}");
        }
        let missing = FileConfig::read(&folder.path().join("none")).expect_err("missing").to_string();
        assert!(missing.contains("none cannot be read"), "{missing}");
    }
}
