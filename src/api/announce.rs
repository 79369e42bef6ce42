//! How commands on this machine find a running node: a file in its data folder that holds its interface's address.

use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

const FILE: &str = "api.json";

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Announcement {
    address: SocketAddr,
    process: u32,
}

/// The file of a node that runs. It is removed when this is dropped.
#[derive(Debug)]
pub struct Announced {
    path: PathBuf,
    ours: Announcement,
}

/// Writes the address into the folder, in place of what an earlier node may have left.
pub fn announce(data_dir: &Path, address: SocketAddr) -> io::Result<Announced> {
    let ours = Announcement { address, process: std::process::id() };
    let path = data_dir.join(FILE);
    // Whole or not at all: a command may read at any moment.
    let draft = data_dir.join(format!("{FILE}.new"));
    fs::write(&draft, serde_json::to_vec(&ours)?)?;
    fs::rename(&draft, &path)?;
    Ok(Announced { path, ours })
}

/// The address of the node that runs on this folder, if it left one. It may have ended without taking it back.
pub fn find(data_dir: &Path) -> Option<SocketAddr> {
    read(&data_dir.join(FILE)).map(|announcement| announcement.address).filter(|a| a.ip().is_loopback())
}

fn read(path: &Path) -> Option<Announcement> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

impl Drop for Announced {
    fn drop(&mut self) {
        // A node that was started since may have written its own.
        if read(&self.path) == Some(self.ours)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, file = %self.path.display(), "the file with the interface's address stays behind");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_while_it_is_announced() {
        let folder = tempfile::tempdir().expect("a folder");
        let address: SocketAddr = "127.0.0.1:3380".parse().expect("an address");
        assert_eq!(find(folder.path()), None);
        let announced = announce(folder.path(), address).expect("written");
        assert_eq!(find(folder.path()), Some(address));
        drop(announced);
        assert_eq!(find(folder.path()), None);
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn what_a_later_node_wrote_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (first, second) = ("127.0.0.1:1".parse().expect("one"), "127.0.0.1:2".parse().expect("two"));
        let earlier = announce(folder.path(), first).expect("written");
        let _later = announce(folder.path(), second).expect("written");
        drop(earlier);
        assert_eq!(find(folder.path()), Some(second));
    }

    #[test]
    fn a_broken_file_or_one_that_leads_elsewhere_is_no_announcement() {
        let folder = tempfile::tempdir().expect("a folder");
        for text in ["", "{}", r#"{"address":"8.8.8.8:80","process":1}"#] {
            fs::write(folder.path().join(FILE), text).expect("written");
            assert_eq!(find(folder.path()), None, "{text}");
        }
    }
}
