//! Stratum over TLS: where, and with which certificate.

use super::args::NodeArgs;
use super::error::ConfigError;
use super::file::FileConfig;
use super::listeners;
use crate::ports;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a node is told of TLS for miners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Where it listens, at least one.
    pub listen: Vec<SocketAddr>,
    /// The files of certificate and private key; none for self-made ones.
    pub files: Option<(PathBuf, PathBuf)>,
}

/// What arguments and file come to; none for a node without TLS.
pub(super) fn resolve(args: &NodeArgs, file: &FileConfig) -> Result<Option<TlsConfig>, ConfigError> {
    let either = |args: &Option<PathBuf>, file: &Option<PathBuf>| args.as_ref().or(file.as_ref()).cloned();
    let certificate = either(&args.tls_certificate, &file.tls_certificate);
    let files = match (certificate, either(&args.tls_key, &file.tls_key)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => return Err(ConfigError::HalfCertificate("--tls-key")),
        (None, Some(_)) => return Err(ConfigError::HalfCertificate("--tls-certificate")),
    };
    if args.stratum_tls.is_empty() && file.stratum_tls.0.is_empty() {
        return if files.is_none() { Ok(None) } else { Err(ConfigError::CertificateForNothing) };
    }
    let listen = listeners(&args.stratum_tls, &file.stratum_tls.0, ports::STRATUM_TLS);
    Ok(Some(TlsConfig { listen, files }))
}
