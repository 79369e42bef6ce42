//! One connection's TLS, without a socket: sealed bytes in, lines' bytes out, and back.

use super::certificate::Identity;
use rustls::ServerConnection;
use std::io::{Read, Write};
use std::sync::Arc;

/// Sealed bytes that are asked for in one go.
const CHUNK: usize = 4 * 1024;

/// This side of a connection's TLS.
pub(super) struct Tls {
    connection: Box<ServerConnection>,
    received: Vec<u8>,
}

impl Tls {
    /// A connection on which nothing was said yet.
    pub(super) fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        let connection = Box::new(ServerConnection::new(Arc::clone(&identity.config))?);
        Ok(Self { connection, received: Vec::new() })
    }

    /// Where received bytes are to be put, before [`Tls::open`] is called.
    pub(super) fn space(&mut self) -> &mut Vec<u8> {
        self.received.clear();
        self.received.reserve(CHUNK);
        &mut self.received
    }

    /// What was received last.
    pub(super) fn received(&self) -> &[u8] {
        &self.received
    }

    /// Appends what the received bytes say to `plain`, and what TLS itself answers to `out`, when it is an error too:
    /// the device should learn why. What it said before the error is appended all the same. At most the content of a
    /// record, 16 KiB, comes at a time beyond what was received.
    pub(super) fn open(&mut self, plain: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), rustls::Error> {
        let mut rest = self.received.as_slice();
        // Nothing is taken any more once the device has said that it will say nothing more.
        while !rest.is_empty() && self.connection.read_tls(&mut rest).is_ok_and(|taken| taken > 0) {
            let processed = self.connection.process_new_packets();
            flush(&mut self.connection, out);
            // All that is there, up to the error that says that for now there is no more.
            let _ = self.connection.reader().read_to_end(plain);
            processed?;
        }
        Ok(())
    }

    /// Seals bytes, and appends them to `out`.
    pub(super) fn seal(&mut self, mut plain: &[u8], out: &mut Vec<u8>) {
        // Before the handshake is over nothing but a goodbye is said, which then goes unheard.
        while let Ok(taken @ 1..) = self.connection.writer().write(plain) {
            plain = &plain[taken..];
            flush(&mut self.connection, out);
        }
    }

    /// Says that nothing more will be said.
    pub(super) fn close(&mut self, out: &mut Vec<u8>) {
        self.connection.send_close_notify();
        flush(&mut self.connection, out);
    }
}

fn flush(connection: &mut ServerConnection, out: &mut Vec<u8>) {
    // A Vec takes everything.
    while connection.wants_write() && connection.write_tls(out).is_ok() {}
}
