//! A connection to a node's interface that is kept, as a browser keeps it: one question after the other.

#![allow(dead_code, reason = "the bench and the tests use parts of it")]

use serde_json::Value;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The connection.
pub(crate) struct Asking {
    stream: BufReader<TcpStream>,
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Asking {
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream) })
    }

    /// Asks, and reads the answer to its end.
    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Answer> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        let head = self.line().await?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| other(format!("no answer of HTTP: {head:?}")))?;
        let mut length = None;
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse().ok();
                }
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.ok_or_else(|| other(format!("{path} is answered without a length")))?];
        self.stream.read_exact(&mut body).await?;
        Ok(Answer { status, body })
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    }
}

/// Bitcoin blocks as a node's events tell of them.
pub(crate) struct BitcoinBlocks(BufReader<TcpStream>);

impl BitcoinBlocks {
    /// Listens: what is told of after this is not missed.
    pub(crate) async fn listen(interface: SocketAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(interface).await?;
        stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let (mut stream, mut head) = (BufReader::new(stream), String::new());
        stream.read_line(&mut head).await?;
        if head.starts_with("HTTP/1.1 200") { Ok(Self(stream)) } else { Err(other(head)) }
    }

    /// Of each that is told of until the node ends, whether it is told as the node's own.
    pub(crate) async fn own(self) -> Vec<bool> {
        let (mut lines, mut own) = (self.0.lines(), Vec::new());
        while let Ok(Some(line)) = lines.next_line().await {
            let event = line.strip_prefix("data: ").map(serde_json::from_str::<Value>);
            let event = event.transpose().expect("JSON").filter(|event| event["is"] == "bitcoin-block");
            own.extend(event.map(|event| event["own"].as_bool().expect("a boolean")));
        }
        own
    }
}

fn other(text: String) -> io::Error {
    io::Error::other(text)
}

/// What a dashboard and a scraper ask for, for an owner with this address and a share with this id.
pub(crate) fn paths(owner: &str, share: &str) -> [String; 12] {
    [
        "/v1/tip".into(),
        "/v1/pool".into(),
        format!("/v1/owners/{owner}?count=50"),
        "/v1/payouts?count=50".into(),
        "/v1/payouts?class=360&count=50".into(),
        "/v1/blocks?count=20".into(),
        format!("/v1/shares/{share}"),
        "/v1/bitcoin-blocks".into(),
        "/v1/signals".into(),
        "/v1/miners?count=100".into(),
        "/v1/health".into(),
        "/metrics".into(),
    ]
}
