//! The certificate that devices see on the TLS port, and its key: the owner's, or self-made once and kept in the data
//! folder.

use crate::disk;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Most bytes of each file; chains of certificates have a few thousand.
const MAX_FILE: usize = 64 * 1024;
/// Whom a self-made certificate says it is.
const COMMON_NAME: &str = "commonwork";

/// Where certificate and key are, in PEM.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    /// The certificate, and those that lead to a known authority after it.
    pub certificate: &'a Path,
    /// Its private key.
    pub key: &'a Path,
}

/// Why there is nothing to show to devices.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read or written.
    #[error("{}, which TLS for miners needs, cannot be read or written: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Of the two self-made files only one is there.
    #[error(
        "{} is gone, but {} is there. Put it back from a copy, or delete both for a new certificate", missing.display(), there.display()
    )]
    Half {
        /// The one that is missing.
        missing: PathBuf,
        /// The other.
        there: PathBuf,
    },
    /// Others may read the self-made key.
    #[error(
        "others on this machine may read the key {} (mode {mode:03o}); run chmod 600 on it, or delete it and its certificate for new ones", path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// A file is not what it should be.
    #[error("{} holds no {wanted} in PEM", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        wanted: &'static str,
    },
    /// They cannot be used together.
    #[error("the certificate {} and the key {} cannot be used: {source}", certificate.display(), key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// None can be made.
    #[error("BUG: no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
}

/// Certificate and key, ready for connections. Clones share them.
#[derive(Clone)]
pub struct Identity {
    pub(super) config: Arc<ServerConfig>,
    fingerprint: [u8; 32],
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({self})")
    }
}

/// The certificate's SHA-256 fingerprint, as `openssl x509 -fingerprint -sha256` writes it.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
        f.write_str(&pairs.join(":"))
    }
}

impl Identity {
    /// The owner's certificate and key.
    pub fn given(files: Files<'_>) -> Result<Self, CertificateError> {
        let read = |path: &Path| match disk::read(path, MAX_FILE) {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Err(io_error(path)(io::ErrorKind::NotFound.into())),
            Err(error) => Err(io_error(path)(error)),
        };
        Self::from_pem(files, &read(files.certificate)?, &read(files.key)?)
    }

    /// The self-made ones of these files. They are made when there are none yet, for a node that devices call by
    /// `names`, and hold for ever: what devices were told to trust should not change.
    pub fn own(files: Files<'_>, names: Vec<String>) -> Result<Self, CertificateError> {
        let read = |path: &Path| disk::read(path, MAX_FILE).map_err(io_error(path));
        let (certificate, key) = match (read(files.certificate)?, read(files.key)?) {
            (Some(certificate), Some(key)) => {
                if let Some(mode) = disk::open_to_others(files.key).map_err(io_error(files.key))? {
                    return Err(CertificateError::Open { path: files.key.to_owned(), mode });
                }
                (certificate, key)
            }
            (None, None) => {
                let (certificate, key) = make(names)?;
                disk::write(files.key, &key).map_err(io_error(files.key))?;
                disk::write(files.certificate, &certificate).map_err(io_error(files.certificate))?;
                (certificate, key)
            }
            (certificate, _) => {
                let (missing, there) = match certificate {
                    Some(_) => (files.key, files.certificate),
                    None => (files.certificate, files.key),
                };
                return Err(CertificateError::Half { missing: missing.into(), there: there.into() });
            }
        };
        Self::from_pem(files, &certificate, &key)
    }

    fn from_pem(files: Files<'_>, certificate: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let bad = |path: &Path, wanted| CertificateError::Bad { path: path.to_owned(), wanted };
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| bad(files.certificate, "certificate"))?;
        let first = chain.first().ok_or_else(|| bad(files.certificate, "certificate"))?;
        let fingerprint = Sha256::digest(first).into();
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| bad(files.key, "private key"))?;
        // Named, since a program may hold more than one provider and rustls then refuses to choose.
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|source| CertificateError::Unusable {
                certificate: files.certificate.to_owned(),
                key: files.key.to_owned(),
                source,
            })?;
        Ok(Self { config: Arc::new(config), fingerprint })
    }
}

/// A certificate that signs itself, and its key.
fn make(names: Vec<String>) -> Result<(Vec<u8>, Vec<u8>), rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, COMMON_NAME);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem().into_bytes(), key.serialize_pem().into_bytes()))
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> CertificateError {
    move |source| CertificateError::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Folder {
        _folder: tempfile::TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    impl Folder {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
            Self { _folder: folder, certificate, key }
        }

        fn files(&self) -> Files<'_> {
            Files { certificate: &self.certificate, key: &self.key }
        }

        fn own(&self) -> Result<Identity, CertificateError> {
            Identity::own(self.files(), vec!["localhost".into(), "192.0.2.7".into()])
        }
    }

    #[test]
    fn a_certificate_is_made_once_and_its_key_is_for_its_owners_eyes_only() {
        let folder = Folder::new();
        let made = folder.own().expect("made").to_string();
        assert_eq!((made.len(), made.matches(':').count()), (95, 31), "{made}");
        assert_eq!(folder.own().expect("read").to_string(), made);
        assert_eq!(Identity::given(folder.files()).expect("the same files").to_string(), made);
        assert_ne!(Folder::new().own().expect("made").to_string(), made);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&folder.key).expect("there").permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&folder.key, fs::Permissions::from_mode(0o640)).expect("set");
            let error = folder.own().expect_err("open to others").to_string();
            assert!(error.contains("mode 640") && error.contains("chmod 600"), "{error}");
            assert!(
                Identity::given(folder.files()).is_ok(),
                "the owner's own files are the owner's business"
            );
        }
    }

    #[test]
    fn what_is_missing_wrong_or_of_another_pair_is_said_and_left_alone() {
        let folder = Folder::new();
        let error = Identity::given(folder.files()).expect_err("not there").to_string();
        assert!(error.contains("certificate.pem, which TLS"), "{error}");
        folder.own().expect("made");
        let (certificate, key) =
            (fs::read(&folder.certificate).expect("read"), fs::read(&folder.key).expect("read"));

        fs::remove_file(&folder.key).expect("there");
        let error = folder.own().expect_err("half").to_string();
        assert!(error.contains("key.pem is gone") && !folder.key.exists(), "{error}");
        disk::write(&folder.key, &certificate).expect("written");
        let error = folder.own().expect_err("no key").to_string();
        assert!(error.ends_with("key.pem holds no private key in PEM"), "{error}");
        disk::write(&folder.key, &key).expect("written");
        for text in [&b""[..], b"no certificate", &key] {
            fs::write(&folder.certificate, text).expect("written");
            let error = folder.own().expect_err("no certificate").to_string();
            assert!(error.ends_with("certificate.pem holds no certificate in PEM"), "{error}");
        }
        let other = Folder::new();
        other.own().expect("made");
        fs::copy(&other.certificate, &folder.certificate).expect("copied");
        assert!(matches!(folder.own(), Err(CertificateError::Unusable { .. })));
        fs::write(&folder.certificate, vec![b'x'; MAX_FILE + 1]).expect("written");
        assert!(matches!(folder.own(), Err(CertificateError::Io { .. })));
    }
}
