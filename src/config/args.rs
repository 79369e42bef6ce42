//! The arguments that are settings: each may also stand in the environment, and all of them in the file.
//!
//! Only shapes and help texts; what they mean together is checked in [`super::Config`].

use super::event::EventCommand;
use super::fee::FeeRate;
use super::value::{Addresses, ListenAddr, LogFormat, NetworkName, PeerAddr, RpcUrl, Secret, ZmqUrl};
use clap::Args;
use std::num::NonZeroU16;
use std::path::PathBuf;

/// What every command that concerns a chain is told.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Chain")]
pub struct PlaceArgs {
    /// File of settings in TOML; its keys are the names of these options
    #[arg(long, global = true, value_name = "FILE", env = "COMMONWORK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Bitcoin network to mine on [default: main]
    #[arg(long, global = true, value_enum, env = "COMMONWORK_NETWORK")]
    pub network: Option<NetworkName>,
    /// Folder for the node's data; each network has its own folder in it [default: the platform's usual place]
    #[arg(long, global = true, value_name = "DIR", env = "COMMONWORK_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// File with the parameters of a private share chain (TOML)
    #[arg(long, global = true, value_name = "FILE", env = "COMMONWORK_CHAIN")]
    pub chain: Option<PathBuf>,
    /// How log lines are written to standard error [default: human]
    #[arg(long, global = true, value_enum, env = "COMMONWORK_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// What a node is told besides.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Node")]
pub struct NodeArgs {
    /// A bitcoind's JSON-RPC; give it again for others to fall back on, best first [default: this machine's]
    #[arg(long, value_name = "URL", env = "COMMONWORK_BITCOIND", value_delimiter = ',')]
    pub bitcoind: Vec<RpcUrl>,
    /// bitcoind's cookie file; one for all or one for each [default: where bitcoind keeps it]
    #[arg(long, value_name = "FILE", env = "COMMONWORK_RPC_COOKIE")]
    pub rpc_cookie: Vec<PathBuf>,
    /// RPC user, where there is no cookie; one for all or one for each
    #[arg(long, value_name = "USER", env = "COMMONWORK_RPC_USER")]
    pub rpc_user: Vec<String>,
    /// RPC password; others on this machine can read arguments, so better give it in the environment or the file
    #[arg(long, value_name = "PASSWORD", env = "COMMONWORK_RPC_PASSWORD", hide_env_values = true)]
    pub rpc_password: Vec<Secret>,
    /// ZMQ address of the first bitcoind's zmqpubhashblock, or one for each [default: none, long polling]
    #[arg(long, value_name = "URL", env = "COMMONWORK_ZMQ", value_delimiter = ',')]
    pub zmq: Vec<ZmqUrl>,
    /// Where Stratum listens; 0.0.0.0:3333 admits devices on the network; may be given again [default: 127.0.0.1:3333]
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_STRATUM", value_delimiter = ',')]
    pub stratum: Vec<ListenAddr>,
    /// Where Stratum listens for devices that speak TLS; may be given again [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_STRATUM_TLS", value_delimiter = ',')]
    pub stratum_tls: Vec<ListenAddr>,
    /// The certificate for TLS (PEM) [default: a self-made one in the data folder]
    #[arg(long, value_name = "FILE", env = "COMMONWORK_TLS_CERTIFICATE")]
    pub tls_certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", env = "COMMONWORK_TLS_KEY")]
    pub tls_key: Option<PathBuf>,
    /// A proxy, or a network of them (IP/BITS), that says for whom it connects to the ports for miners (PROXY protocol);
    /// may be given again [default: none is believed]
    #[arg(long, value_name = "IP[/BITS]", env = "COMMONWORK_PROXY_PROTOCOL_FROM", value_delimiter = ',')]
    pub proxy_protocol_from: Vec<Addresses>,
    /// Where Stratum V2 listens; 0.0.0.0 admits devices on the network; may be given again [default: 127.0.0.1:34254]
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_STRATUM_V2", value_delimiter = ',')]
    pub stratum_v2: Vec<ListenAddr>,
    /// Do without Stratum V2
    #[arg(long, env = "COMMONWORK_NO_STRATUM_V2", conflicts_with = "stratum_v2")]
    pub no_stratum_v2: bool,
    /// Where getwork and getblocktemplate are served, for mining programs from before Stratum; may be given again [default: nowhere]
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_LEGACY", value_delimiter = ',')]
    pub legacy: Vec<ListenAddr>,
    /// Bitcoin address credited for miners whose user name is none
    #[arg(long, value_name = "ADDR", env = "COMMONWORK_ADDRESS")]
    pub address: Option<String>,
    /// Part of the work of others' hardware, up to 10%, that is mined for an address of yours; miners are told [default: none]
    #[arg(long, value_name = "PERCENT%", env = "COMMONWORK_FEE")]
    pub fee: Option<FeeRate>,
    /// The address that the fee is mined for [default: --address]
    #[arg(long, value_name = "ADDR", env = "COMMONWORK_FEE_ADDRESS")]
    pub fee_address: Option<String>,
    /// Where the node's own HTTP interface listens, on loopback [default: 127.0.0.1:3380]
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_API")]
    pub api: Option<ListenAddr>,
    /// Program with its arguments, run when a Bitcoin block is found, a worker has gone or is back, or an alarm begins or
    /// ends; it reads what happened as JSON [default: none]
    #[arg(long, value_name = "COMMAND", env = "COMMONWORK_ON_EVENT")]
    pub on_event: Option<EventCommand>,
    /// Minutes without an accepted share after which a worker has gone [default: 10]
    #[arg(long, value_name = "MINUTES", env = "COMMONWORK_WORKER_GONE")]
    pub worker_gone: Option<NonZeroU16>,
    /// Where other nodes connect, TCP and UDP alike; may be given again [default: port 3338 of all addresses]
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_LISTEN", value_delimiter = ',')]
    pub listen: Vec<ListenAddr>,
    /// Admit no other nodes; this one still connects to others
    #[arg(long, env = "COMMONWORK_NO_LISTEN", conflicts_with = "listen")]
    pub no_listen: bool,
    /// Address at which others reach this node, where that is not what the system says; may be given again
    #[arg(long, value_name = "ADDR:PORT", env = "COMMONWORK_EXTERNAL", value_delimiter = ',')]
    pub external: Vec<ListenAddr>,
    /// A node to connect to: HOST:PORT, PEERID@HOST:PORT or a multiaddress; may be given again
    #[arg(long, value_name = "ADDR", env = "COMMONWORK_PEER", value_delimiter = ',')]
    pub peer: Vec<PeerAddr>,
    /// Do not look for nodes on the local network
    #[arg(long, env = "COMMONWORK_NO_MDNS")]
    pub no_mdns: bool,
    /// Most connections of other nodes to this one [default: 96]
    #[arg(long, value_name = "N", env = "COMMONWORK_MAX_INBOUND")]
    pub max_inbound: Option<u16>,
    /// Connections to other nodes that this one seeks [default: 8]
    #[arg(long, value_name = "N", env = "COMMONWORK_OUTBOUND")]
    pub outbound: Option<u8>,
    /// Help nodes that nobody can reach to be reached; for nodes with a public address
    #[arg(long, env = "COMMONWORK_RELAY")]
    pub relay: bool,
    /// Mine solo: no share chain, no other nodes; a Bitcoin block pays its finder all, and nothing else pays anything
    #[arg(long, env = "COMMONWORK_SOLO")]
    pub solo: bool,
    /// No network between nodes at all: a share chain of this node alone
    #[arg(long, env = "COMMONWORK_OFFLINE")]
    pub offline: bool,
    /// Move a corrupt store aside and begin a new one, which then has to be synced again
    #[arg(long, env = "COMMONWORK_MOVE_CORRUPT_STORE_ASIDE")]
    pub move_corrupt_store_aside: bool,
}
