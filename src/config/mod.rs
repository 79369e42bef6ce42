//! Settings: command line over environment over file over defaults, and what they come to once checked.
//!
//! Two kinds of type: [`PlaceArgs`], [`NodeArgs`] and [`FileConfig`] hold what was said, with everything optional;
//! [`Place`] and [`Config`] hold what follows from it, with nothing left to doubt. Nothing here connects to anything.

mod args;
mod bitcoind;
mod chain_file;
mod error;
mod event;
mod fee;
mod file;
mod folder;
mod peers;
mod tls;
mod toml_file;
mod value;

pub use args::{NodeArgs, PlaceArgs};
pub use bitcoind::{Bitcoind, CookieFrom, RpcAuth};
pub use chain_file::preset;
pub use error::ConfigError;
pub use event::EventCommand;
pub use fee::{FeeConfig, FeeRate};
pub use file::FileConfig;
pub use folder::usual_cookies;
pub use peers::PeerConfig;
pub use tls::TlsConfig;
pub use toml_file::{FileError, TextError};
pub use value::{
    Addresses, BadValue, ListenAddr, LogFormat, NetworkName, OneOrMore, PeerAddr, RpcUrl, Secret, ZmqUrl,
    is_loopback, zmq_advice, zmq_line,
};

use crate::address::{address_of, parse_owner};
use crate::ports;
use chain_file::ChainFile;
use ipnet::IpNet;
use sharechain::owner::Owner;
use sharechain::params::{ChainParams, Network};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

/// Which chain, and where its data lies: all that a command about a chain needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The chain, checked.
    pub params: ChainParams,
    /// The folder of this network's data.
    pub data_dir: PathBuf,
    /// How log lines look.
    pub log_format: LogFormat,
}

impl Place {
    /// What arguments (environment included) and file come to.
    pub fn new(args: &PlaceArgs, file: &FileConfig) -> Result<Self, ConfigError> {
        let params = params(args, file)?;
        let data_dir = match args.data_dir.as_ref().or(file.data_dir.as_ref()) {
            Some(folder) => folder.clone(),
            None => folder::default_data_dir().ok_or(ConfigError::NoHome)?,
        };
        Ok(Self {
            data_dir: data_dir.join(params.network.name()),
            params,
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
        })
    }

    /// The Bitcoin network.
    pub const fn network(&self) -> Network {
        self.params.network
    }

    /// The folder of the share chain's store.
    pub fn store_dir(&self) -> PathBuf {
        self.data_dir.join("sharechain")
    }

    /// The folder of the history.
    pub fn history_dir(&self) -> PathBuf {
        self.data_dir.join("history")
    }

    /// The self-made certificate of Stratum over TLS, and its key.
    pub fn tls_files(&self) -> (PathBuf, PathBuf) {
        (self.data_dir.join("stratum-tls-certificate.pem"), self.data_dir.join("stratum-tls-key.pem"))
    }

    /// The key that miners know this node by in Stratum V2.
    pub fn authority_file(&self) -> PathBuf {
        self.data_dir.join("stratum-v2-authority")
    }

    /// Where found Bitcoin blocks wait until a bitcoind has taken them.
    pub fn found_dir(&self) -> PathBuf {
        self.data_dir.join("found")
    }
}

/// Everything that a node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The chain and its folder.
    pub place: Place,
    /// The bitcoinds, best first; none for the embedded network.
    pub bitcoinds: Vec<Bitcoind>,
    /// Where Stratum listens, at least one.
    pub stratum: Vec<SocketAddr>,
    /// Stratum over TLS; none where it is not wanted.
    pub stratum_tls: Option<TlsConfig>,
    /// Where Stratum V2 listens; nowhere if it is not wanted.
    pub stratum_v2: Vec<SocketAddr>,
    /// Proxies that are believed for whom they connect.
    pub proxy_protocol_from: Vec<IpNet>,
    /// Where `getwork` and `getblocktemplate` are served; mostly nowhere.
    pub legacy: Vec<SocketAddr>,
    /// Who is credited for users whose name is no address.
    pub address: Option<Owner>,
    /// The outputs that devices hold, by parts of their programs' names; goes before what is built in.
    pub payout_class: BTreeMap<String, u16>,
    /// The operator's fee; none where nothing is taken.
    pub fee: Option<FeeConfig>,
    /// Where the node's interface listens: on loopback.
    pub api: SocketAddr,
    /// What is run when something happens.
    pub on_event: Option<EventCommand>,
    /// How long a worker hands in nothing until it has gone.
    pub worker_gone: Duration,
    /// Whether to mine solo: without a share chain, for the finder of each Bitcoin block alone.
    pub solo: bool,
    /// The network between nodes; none for a node that mines alone.
    pub p2p: Option<PeerConfig>,
    /// Whether a corrupt store is moved aside.
    pub move_corrupt_store_aside: bool,
}

impl Config {
    /// What arguments (environment included) and file come to.
    pub fn new(place: &PlaceArgs, node: &NodeArgs, file: &FileConfig) -> Result<Self, ConfigError> {
        let place = Place::new(place, file)?;
        let network = place.network();
        let solo = node.solo || file.solo == Some(true);
        if solo && (!node.listen.is_empty() || !node.peer.is_empty()) {
            return Err(ConfigError::SoloWithPeers);
        }
        let address = node.address.as_ref().or(file.address.as_ref());
        let address =
            address.map(|text| parse_owner(text, network)).transpose().map_err(ConfigError::Address)?;
        Ok(Self {
            bitcoinds: bitcoind::resolve(node, file, network)?,
            stratum: listeners(&node.stratum, &file.stratum.0, ports::STRATUM),
            stratum_tls: tls::resolve(node, file)?,
            stratum_v2: listeners_v2(node, file),
            proxy_protocol_from: proxies(node, file),
            legacy: given(&node.legacy, &file.legacy.0, ports::LEGACY),
            address,
            fee: fee::resolve(node, file, address, network)?,
            payout_class: file.payout_class.clone(),
            api: api(node, file)?,
            on_event: node.on_event.clone().or_else(|| file.on_event.clone()),
            worker_gone: worker_gone(node, file),
            solo,
            p2p: if solo { None } else { peers::resolve(node, file, network)? },
            move_corrupt_store_aside: node.move_corrupt_store_aside
                || file.move_corrupt_store_aside.unwrap_or(false),
            place,
        })
    }

    /// The address credited for users whose name is none, as text.
    pub fn address_text(&self) -> Option<String> {
        self.address.map(|owner| address_of(&owner, self.place.network()))
    }
}

/// Ten minutes, where nothing was said: difficulty is such that shares come every few seconds.
fn worker_gone(node: &NodeArgs, file: &FileConfig) -> Duration {
    const USUAL_MINUTES: u16 = 10;
    let minutes = node.worker_gone.or(file.worker_gone).map_or(USUAL_MINUTES, NonZeroU16::get);
    Duration::from_secs(u64::from(minutes) * 60)
}

/// The file that the arguments name, or one that says nothing.
pub fn read_file(args: &PlaceArgs) -> Result<FileConfig, ConfigError> {
    args.config.as_deref().map_or(Ok(FileConfig::default()), |path| Ok(FileConfig::read(path)?))
}

fn params(args: &PlaceArgs, file: &FileConfig) -> Result<ChainParams, ConfigError> {
    let network = args.network.or(file.network);
    let Some(path) = args.chain.as_ref().or(file.chain.as_ref()) else {
        return Ok(preset(network.unwrap_or(NetworkName::Main)));
    };
    let chain = ChainFile::read(path)?;
    if let (Some(wanted), Some(of_chain)) = (network, chain.network)
        && wanted != of_chain
    {
        return Err(ConfigError::ChainNetwork { path: path.clone(), of_chain, wanted });
    }
    let network = chain.network.or(network).unwrap_or(NetworkName::Main);
    let params = chain
        .params(network)
        .map_err(|problem| ConfigError::ChainContradiction { path: path.clone(), problem })?;
    params.validate().map_err(|source| ConfigError::ChainParams { path: path.clone(), source })?;
    Ok(params)
}

fn listeners(line: &[ListenAddr], file: &[ListenAddr], port: u16) -> Vec<SocketAddr> {
    let given = given(line, file, port);
    if given.is_empty() { vec![SocketAddr::new(LOOPBACK, port)] } else { given }
}

/// The addresses of the command line, or else those of the file.
fn given(line: &[ListenAddr], file: &[ListenAddr], port: u16) -> Vec<SocketAddr> {
    let given = if line.is_empty() { file } else { line };
    let mut addresses: Vec<_> = given.iter().map(|address| address.or_port(port)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn listeners_v2(node: &NodeArgs, file: &FileConfig) -> Vec<SocketAddr> {
    let unwanted = file.no_stratum_v2 == Some(true) && node.stratum_v2.is_empty();
    if node.no_stratum_v2 || unwanted {
        return Vec::new();
    }
    listeners(&node.stratum_v2, &file.stratum_v2.0, ports::STRATUM_V2)
}

fn proxies(node: &NodeArgs, file: &FileConfig) -> Vec<IpNet> {
    let line = &node.proxy_protocol_from;
    let given = if line.is_empty() { &file.proxy_protocol_from.0 } else { line };
    given.iter().map(|Addresses(net)| *net).collect()
}

fn api(node: &NodeArgs, file: &FileConfig) -> Result<SocketAddr, ConfigError> {
    let given = node.api.or(file.api).map(|address| address.or_port(ports::API));
    let address = given.unwrap_or(SocketAddr::new(LOOPBACK, ports::API));
    if address.ip().is_loopback() { Ok(address) } else { Err(ConfigError::ApiNotLoopback(address)) }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[cfg(test)]
mod tests;
