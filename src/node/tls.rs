//! The ports for miners that speak TLS, and the certificate that they show.

use crate::config::{Config, TlsConfig};
use crate::stratum::certificate::{CertificateError, Files, Identity};
use crate::stratum::server::Port;
use crate::stratum::urls::device_host;
use std::net::{IpAddr, Ipv4Addr};

/// The ports of Stratum over TLS, and what is shown to devices there; none where it is not wanted. The data folder must
/// be there.
pub(super) fn open(config: &Config) -> anyhow::Result<(Option<Identity>, Vec<Port>)> {
    let Some(tls) = &config.stratum_tls else { return Ok((None, Vec::new())) };
    let identity = identity(config, tls)?;
    let ports = tls.listen.iter().map(|address| Port::tls(*address, identity.clone()));
    Ok((Some(identity.clone()), ports.collect::<Result<_, _>>()?))
}

fn identity(config: &Config, tls: &TlsConfig) -> Result<Identity, CertificateError> {
    if let Some((certificate, key)) = &tls.files {
        return Identity::given(Files { certificate, key });
    }
    let (certificate, key) = config.place.tls_files();
    Identity::own(Files { certificate: &certificate, key: &key }, names(tls))
}

/// By what names devices call this machine, as far as it knows.
fn names(tls: &TlsConfig) -> Vec<String> {
    let own = tls.listen.iter().filter_map(|address| device_host(*address)).map(|(host, _)| host.ip());
    let mut addresses: Vec<IpAddr> = own.chain([Ipv4Addr::LOCALHOST.into()]).collect();
    addresses.sort_unstable();
    addresses.dedup();
    ["localhost".to_owned()].into_iter().chain(addresses.iter().map(ToString::to_string)).collect()
}
