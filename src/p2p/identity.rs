//! The node's key pair, made once and kept in the data folder.

use crate::disk;
use libp2p::identity::Keypair;
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Most bytes of the file; an ed25519 pair has 68.
const MAX_FILE: usize = 256;

/// Why there is no identity.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The file cannot be read or written.
    #[error("the node's identity {} cannot be read or written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Others may read it.
    #[error(
        "others on this machine may read the node's identity {} (mode {mode:03o}); run chmod 600 on it, or delete it for a new one", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds no key.
    #[error(
        "{} is not a node's identity: it holds no ed25519 key pair. Put it back from a copy, or delete it for a new one", path.display()
    )]
    Bad {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the identity, or makes and keeps one.
pub(super) fn load(path: &Path) -> Result<Keypair, IdentityError> {
    let io = |source| IdentityError::Io { path: path.to_owned(), source };
    match disk::read(path, MAX_FILE) {
        Ok(Some(bytes)) => {
            if let Some(mode) = disk::open_to_others(path).map_err(io)? {
                return Err(IdentityError::Open { path: path.to_owned(), mode });
            }
            Keypair::from_protobuf_encoding(&bytes)
                .ok()
                .filter(|pair| pair.clone().try_into_ed25519().is_ok())
                .ok_or_else(|| IdentityError::Bad { path: path.to_owned() })
        }
        Ok(None) => {
            let pair = Keypair::generate_ed25519();
            let bytes =
                pair.to_protobuf_encoding().map_err(|_| IdentityError::Bad { path: path.to_owned() })?;
            disk::write(path, &bytes).map_err(io)?;
            Ok(pair)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(IdentityError::Bad { path: path.to_owned() })
        }
        Err(error) => Err(io(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn an_identity_is_made_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity");
        let made = load(&path).expect("made");
        let read = load(&path).expect("read");
        assert_eq!(made.public(), read.public());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |bits| fs::Permissions::from_mode(bits);
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, mode(0o640)).expect("set");
            let error = load(&path).expect_err("open to others").to_string();
            assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
        }
    }

    #[test]
    fn what_is_no_key_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity");
        for bytes in [&b""[..], b"no key", &[0; 1_000]] {
            disk::write(&path, bytes).expect("written");
            assert!(matches!(load(&path), Err(IdentityError::Bad { .. })));
            assert_eq!(fs::read(&path).expect("still there"), bytes);
        }
    }
}
