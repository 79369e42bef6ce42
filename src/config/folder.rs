//! Where this platform keeps a program's data, and bitcoind its own.

use sharechain::params::Network;
use std::env;
use std::path::PathBuf;

const COOKIE: &str = ".cookie";
/// Where the service file that comes with Bitcoin Core keeps bitcoind's data.
const SERVICE_FOLDER: &str = "/var/lib/bitcoind";

/// The usual folder for commonwork's data, if the system has a home folder.
pub(super) fn default_data_dir() -> Option<PathBuf> {
    if cfg!(target_os = "macos") {
        return Some(folder_in("HOME")?.join("Library/Application Support/commonwork"));
    }
    if cfg!(windows) {
        return Some(folder_in("APPDATA")?.join("commonwork"));
    }
    let data = folder_in("XDG_DATA_HOME").or_else(|| Some(folder_in("HOME")?.join(".local/share")))?;
    Some(data.join("commonwork"))
}

/// Where bitcoind keeps its cookie unless told otherwise.
pub(super) fn default_cookie(network: Network) -> Option<PathBuf> {
    let folder = bitcoin_folder()?;
    Some(folder.join(network_folder(network)).join(COOKIE))
}

/// The places where a bitcoind's cookie of this network may be: that of this user's, and that of a system's service.
pub fn usual_cookies(network: Network) -> Vec<PathBuf> {
    let service = cfg!(target_os = "linux").then(|| PathBuf::from(SERVICE_FOLDER));
    let folders = bitcoin_folder().into_iter().chain(service);
    folders.map(|folder| folder.join(network_folder(network)).join(COOKIE)).collect()
}

fn bitcoin_folder() -> Option<PathBuf> {
    Some(if cfg!(target_os = "macos") {
        folder_in("HOME")?.join("Library/Application Support/Bitcoin")
    } else if cfg!(windows) {
        folder_in("APPDATA")?.join("Bitcoin")
    } else {
        folder_in("HOME")?.join(".bitcoin")
    })
}

/// The folder of a network's data in bitcoind's own.
const fn network_folder(network: Network) -> &'static str {
    match network {
        Network::Main => "",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest | Network::Embedded { .. } => "regtest",
    }
}

/// The folder that a variable names; relative ones are ignored, as the XDG rules ask.
fn folder_in(variable: &str) -> Option<PathBuf> {
    env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute())
}
