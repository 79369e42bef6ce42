//! Stratum over TLS, with a TLS client over real sockets.

use super::{Client, Setup, soon, wire};
use crate::cli::Program;
use crate::node::process::Process;
use crate::support::jobs::JobMaker;
use commonwork::stratum::certificate::{Files, Identity};
use commonwork::stratum::server::Limits;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A self-made certificate and its file.
pub(super) fn identity() -> (tempfile::TempDir, Identity) {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("certificate"), folder.path().join("key"));
    let files = Files { certificate: &certificate, key: &key };
    let identity = Identity::own(files, vec!["localhost".into()]).expect("made");
    (folder, identity)
}

/// A client that trusts the certificate of this file alone.
async fn connect(
    address: SocketAddr,
    trusted: &Path,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<Client> {
    let stream = soon(TcpStream::connect(address)).await.expect("a connection");
    over(stream, trusted, version).await
}

/// The same over a connection that is there.
pub(super) async fn over(
    stream: TcpStream,
    trusted: &Path,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<Client> {
    let (read, write) = tokio::io::split(sealed(stream, trusted, version).await?);
    Ok(Client { read: BufReader::new(Box::new(read)), write: Box::new(write) })
}

/// The client's side of TLS, past the handshake.
async fn sealed(
    stream: TcpStream,
    trusted: &Path,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).expect("a certificate")).expect("it can be trusted");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    soon(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

#[tokio::test]
async fn a_share_over_tls_is_accepted_and_large_jobs_arrive_whole() {
    let (folder, identity) = identity();
    for version in [&TLS12, &TLS13] {
        let running = Setup { tls: Some(identity.clone()), ..Setup::default() }.start();
        running.publish(wire::easy(1));
        let mut client =
            connect(running.address, &folder.path().join("certificate"), version).await.expect("trusted");
        client.log_in().await;
        for nonce in 0..3 {
            assert_eq!(client.ask(&wire::submit(nonce, 1, nonce)).await["result"], true);
        }
        // More than a record of TLS.
        running.publish(JobMaker { outputs: 255, branch_len: 16, ..wire::easy(2) });
        let job = client.line().await;
        assert_eq!(job["params"][0], "00000002");
        assert!(job.to_string().len() > 16_384);
        let mut shares = soon(running.stop()).await;
        for nonce in 0..3 {
            assert_eq!(soon(shares.recv()).await.expect("a share").header.nonce, nonce);
        }
        assert_eq!(client.line().await["method"], "client.reconnect");
        // Told by TLS, not just cut off.
        assert_eq!(client.read.read_line(&mut String::new()).await.expect("a proper end"), 0);
    }
}

#[tokio::test]
async fn another_certificate_is_not_trusted() {
    let running = Setup { tls: Some(identity().1), ..Setup::default() }.start();
    let (other, _) = identity();
    let refused = connect(running.address, &other.path().join("certificate"), &TLS13).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("certificate")));
    soon(running.stop()).await;
}

#[tokio::test]
async fn who_speaks_no_tls_or_breaks_it_is_sent_away() {
    let running = Setup { tls: Some(identity().1), ..Setup::default() }.start();
    let mut plain = Client::connect(running.address).await;
    plain.say(r#"{"id":1,"method":"mining.subscribe","params":[]}"#).await;
    assert!(plain.next().await.is_none());
    // A record that is no hello is answered with an alert.
    let mut broken = soon(TcpStream::connect(running.address)).await.expect("a connection");
    broken.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 9]).await.expect("written");
    let mut answer = Vec::new();
    soon(broken.read_to_end(&mut answer)).await.expect("hung up");
    assert_eq!(answer.first(), Some(&0x15), "{answer:?}");
    soon(running.stop()).await;
}

/// What comes in one piece with the fault was said before it.
#[tokio::test]
async fn a_share_just_before_tls_breaks_counts() {
    let (folder, identity) = identity();
    let certificate = folder.path().join("certificate");
    // A record that does not decrypt, and an alert that ends everything.
    let faults: [&[u8]; 2] = [&[&[0x17, 3, 3, 0, 32][..], &[9; 32]].concat(), &[0x15, 3, 3, 0, 2, 2, 40]];
    for (version, fault) in
        [(&TLS12, faults[0]), (&TLS13, faults[0]), (&TLS12, faults[1]), (&TLS13, faults[1])]
    {
        let mut running = Setup { tls: Some(identity.clone()), ..Setup::default() }.start();
        running.publish(wire::easy(1));
        let stream = soon(TcpStream::connect(running.address)).await.expect("a connection");
        let mut stream = sealed(stream, &certificate, version).await.expect("trusted");
        let login = concat!(
            r#"{"id":1,"method":"mining.subscribe","params":["test"]}"#,
            "\n",
            r#"{"id":2,"method":"mining.authorize","params":["rig"]}"#,
            "\n",
        );
        stream.write_all(login.as_bytes()).await.expect("written");
        let mut lines = BufReader::new(&mut stream).lines();
        while !soon(lines.next_line()).await.expect("text").expect("a line").contains("mining.notify") {}
        let (tcp, tls) = stream.get_mut();
        tls.writer().write_all(format!("{}\n", wire::submit(3, 1, 77)).as_bytes()).expect("room");
        let mut last = Vec::new();
        tls.write_tls(&mut last).expect("a vector takes everything");
        last.extend_from_slice(fault);
        tcp.write_all(&last).await.expect("written");
        assert_eq!(soon(running.shares.recv()).await.expect("a share").header.nonce, 77);
        drop(stream);
        soon(running.stop()).await;
    }
}

#[tokio::test]
async fn a_handshake_takes_no_longer_than_a_login_may() {
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let running = Setup { tls: Some(identity().1), limits, ..Setup::default() }.start();
    let mut slow = soon(TcpStream::connect(running.address)).await.expect("a connection");
    slow.write_all(&[0x16, 3, 1]).await.expect("written");
    assert_eq!(soon(slow.read(&mut [0; 1])).await.expect("hung up"), 0);
    soon(running.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_makes_a_certificate_and_says_how_to_know_it() {
    let program = Program::new();
    let data = program.home().join("data");
    let place = ["--network", "embedded", "--data-dir", data.to_str().expect("a plain path")];
    let more = ["--stratum-tls", "127.0.0.1:0"];
    let mut process = Process::start(&program, &[&place[..], &more].concat());
    let line = process.until_it_says("stratum+tls://")["message"].as_str().expect("text").to_owned();
    let (_, rest) = line.split_once("stratum+tls://").expect("just seen");
    let address: SocketAddr = rest.split(',').next().expect("an address").parse().expect("an address");
    let line = process.until_it_says("SHA-256 fingerprint")["message"].as_str().expect("text").to_owned();

    let status = program.run(&[&["status", "--json"], &place[..]].concat());
    let status: Value = serde_json::from_str(&status.output).unwrap_or_else(|_| panic!("{}", status.errors));
    assert_eq!(status["miners"]["stratum_tls"][0], address.to_string());
    let fingerprint = status["miners"]["fingerprint"].as_str().expect("text");
    assert!(line.ends_with(fingerprint), "{line}");

    let mut plain = Client::connect(address).await;
    plain.say("{}").await;
    assert!(plain.next().await.is_none());
    let reason = process.until_it_says("miner disconnected")["reason"].to_string();
    assert!(reason.contains("does not speak TLS"), "{reason}");

    let certificate = data.join("embedded/stratum-tls-certificate.pem");
    let mut client = connect(address, &certificate, &TLS13).await.expect("trusted");
    let answer = client.ask(r#"{"id":1,"method":"mining.subscribe","params":["test"]}"#).await;
    assert!(answer["error"].is_null(), "{answer}");
}
