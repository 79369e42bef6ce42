//! `commonwork init`: asks bitcoind what chain it is on, and writes a file of settings that fits it.
//!
//! It looks where `check` looks, and where a bitcoind that is a service of the system keeps its cookie. It changes
//! nothing but the one file, and that only if none is there.

mod search;
mod text;

use super::Outcome;
use super::output::{OutputError, print};
use crate::address::{AddressError, parse_owner};
use crate::config::{
    Bitcoind, ConfigError, FileConfig, NetworkName, Place, PlaceArgs, RpcAuth, RpcUrl, Secret, zmq_advice,
};
use crate::disk;
use clap::Args;
use search::{Found, Wanted};
pub(super) use search::{Publisher, publisher};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use text::Settings;
use thiserror::Error;

/// Arguments of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The file to write
    #[arg(value_name = "FILE", default_value = "commonwork.toml")]
    pub file: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    pub force: bool,
    /// bitcoind's JSON-RPC [default: this machine's]
    #[arg(long, value_name = "URL")]
    pub bitcoind: Option<RpcUrl>,
    /// bitcoind's cookie file [default: where bitcoind keeps it]
    #[arg(long, value_name = "FILE")]
    pub rpc_cookie: Option<PathBuf>,
    /// RPC user, where there is no cookie
    #[arg(long, value_name = "USER")]
    pub rpc_user: Option<String>,
    /// RPC password; others on this machine can read arguments, so better give it in the environment
    #[arg(long, value_name = "PASSWORD", env = "COMMONWORK_RPC_PASSWORD", hide_env_values = true)]
    pub rpc_password: Option<Secret>,
    /// Bitcoin address credited for miners whose user name is none
    #[arg(long, value_name = "ADDR")]
    pub address: Option<String>,
}

/// Why no file was written.
#[derive(Debug, Error)]
pub enum InitError {
    /// There is one.
    #[error("{} is there already and was left as it is; name another FILE, or give --force to write over it", .0.display())]
    Exists(PathBuf),
    /// What was said cannot stand together.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Nobody to ask.
    #[error("there is no bitcoind to mine with, so nothing was written.\n{}\nStart bitcoind with server=1, or say where it is with --bitcoind URL and --rpc-cookie FILE", .0.join("\n"))]
    NoBitcoind(Vec<String>),
    /// The address cannot be credited.
    #[error("--address: {0}")]
    Address(#[from] AddressError),
    /// The file cannot be written.
    #[error("{} cannot be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nobody takes the answer.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// Looks, writes, and says what comes next.
pub async fn run(place: &PlaceArgs, args: &InitArgs) -> Result<Outcome, InitError> {
    if args.file.exists() && !args.force {
        return Err(InitError::Exists(args.file.clone()));
    }
    let network = match (place.network, &place.chain) {
        (None, None) => None,
        _ => Some(NetworkName::of(Place::new(place, &FileConfig::default())?.network())),
    };
    let (network, found) = if network == Some(NetworkName::Embedded) {
        (NetworkName::Embedded, None)
    } else {
        let found = search::search(&Wanted::of(args, network)?).await?;
        (found.network, Some(found))
    };
    if let Some(address) = &args.address {
        parse_owner(address, crate::config::preset(network).network)?;
    }
    let settings = settings(place, args, network, found.as_ref());
    write(&args.file, &settings, args.force)?;
    print(&report(&args.file, found.as_ref()))?;
    Ok(Outcome::Good)
}

fn settings(place: &PlaceArgs, args: &InitArgs, network: NetworkName, found: Option<&Found>) -> Settings {
    Settings {
        network,
        data_dir: place.data_dir.as_deref().map(absolute),
        chain: place.chain.as_deref().map(absolute),
        bitcoind: found.map(|found| found.bitcoind.to_string()),
        login: found.map(|found| match &found.bitcoind.auth {
            RpcAuth::Cookie(path, from) => RpcAuth::Cookie(absolute(path), *from),
            password => password.clone(),
        }),
        zmq: found.and_then(|found| found.bitcoind.zmq.as_ref()).map(|zmq| zmq.as_str().to_owned()),
        zmq_apart: found.and_then(|found| found.zmq_apart.as_ref()).map(|zmq| zmq.as_str().to_owned()),
        address: args.address.clone(),
    }
}

/// Paths in the file would else be taken as relative to it.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Writes the file; one that holds a password is for its owner's eyes only.
fn write(path: &Path, settings: &Settings, force: bool) -> Result<(), InitError> {
    let text = settings.text();
    let written = if settings.has_password() {
        disk::write(path, text.as_bytes())
    } else {
        let mut options = OpenOptions::new();
        options.write(true).truncate(force).create(force).create_new(!force);
        options.open(path).and_then(|mut file| file.write_all(text.as_bytes()))
    };
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.to_owned()),
        _ => InitError::Write { path: path.to_owned(), source },
    })
}

fn report(file: &Path, found: Option<&Found>) -> String {
    let mut text = String::new();
    if let Some(found) = found {
        let Bitcoind { auth, zmq, .. } = &found.bitcoind;
        text += &format!(
            "found    bitcoind at {}, on {} at block {}\n",
            found.bitcoind, found.network, found.blocks
        );
        text += &match auth {
            RpcAuth::Cookie(path, _) => format!("cookie   {}\n", path.display()),
            RpcAuth::Password { user, .. } => format!("login    user {user}, with its password\n"),
        };
        text += &match (zmq, &found.zmq_apart) {
            (Some(zmq), _) => format!("ZMQ      {}\n", zmq.as_str()),
            (None, Some(zmq)) => format!(
                "ZMQ      at {}, which bitcoind's own machine alone reaches: the file says what to do; long polling so far\n",
                zmq.as_str()
            ),
            (None, None) => {
                format!("ZMQ      none, so long polling; to learn of blocks sooner {}\n", zmq_advice())
            }
        };
        text.extend(found.others.iter().map(|other| format!("also     {other}\n")));
    }
    let file = file.display();
    text + &format!(
        "wrote    {file}\n\nNext, see whether all is well, then start the node:\n\
         commonwork check --config {file}\ncommonwork run --config {file}\n"
    )
}
