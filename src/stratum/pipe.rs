//! A miner's socket with what is being written to it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// An output buffer larger than this is given back once it is written.
const KEPT_OUTPUT: usize = 4 * 1024;

/// What a socket is ready for.
pub(crate) enum Ready {
    /// There is something to read, or the end.
    Readable,
    /// There is room to write.
    Writable,
}

/// The socket and its output.
pub(crate) struct Pipe {
    /// The socket.
    pub(crate) stream: TcpStream,
    /// What is being written, and how much of it has been.
    pub(crate) output: Vec<u8>,
    written: usize,
    /// When something was last written, while there is something to write.
    wrote: Instant,
}

impl Pipe {
    /// Nothing to write yet.
    pub(crate) fn new(stream: TcpStream, now: Instant) -> Self {
        Self { stream, output: Vec::new(), written: 0, wrote: now }
    }

    /// Whether there is something that is not written yet.
    pub(crate) fn is_writing(&self) -> bool {
        self.written < self.output.len()
    }

    /// How long the other side has read nothing of what there is to write.
    pub(crate) fn stalled(&self, now: Instant) -> Duration {
        if self.is_writing() { now.saturating_duration_since(self.wrote) } else { Duration::ZERO }
    }

    /// Writes as much as the socket takes without waiting; `compose` appends what there is next.
    pub(crate) fn write<E: From<io::Error>>(
        &mut self,
        mut compose: impl FnMut(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        loop {
            if !self.is_writing() {
                self.output.clear();
                self.written = 0;
                if self.output.capacity() > KEPT_OUTPUT {
                    self.output = Vec::new();
                }
                compose(&mut self.output)?;
                if self.output.is_empty() {
                    return Ok(());
                }
                self.wrote = Instant::now();
            }
            match self.stream.try_write(&self.output[self.written..]) {
                Ok(bytes) => {
                    self.written += bytes;
                    self.wrote = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// What has not been written, taken out.
    pub(crate) fn take_unwritten(&mut self) -> Vec<u8> {
        let rest = self.output.split_off(self.written);
        (self.output, self.written) = (Vec::new(), 0);
        rest
    }

    /// Waits until the socket can be read, if that is wanted, or written, if there is something to write.
    pub(crate) async fn ready(&self, reads: bool) -> io::Result<Ready> {
        let read = reads.then_some(Interest::READABLE);
        let write = self.is_writing().then_some(Interest::WRITABLE);
        let interest = match (read, write) {
            (Some(read), Some(write)) => read | write,
            (Some(either), None) | (None, Some(either)) => either,
            (None, None) => return std::future::pending().await,
        };
        let ready = self.stream.ready(interest).await?;
        let is_readable = interest.is_readable() && (ready.is_readable() || ready.is_read_closed());
        Ok(if is_readable { Ready::Readable } else { Ready::Writable })
    }
}
