//! A writer with limited patience: who reads nothing of an answer for too long is not written to any more.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;
use tokio::time::{Sleep, sleep};

/// A writer whose writes fail once the other side has taken nothing for too long.
#[derive(Debug)]
pub(super) struct Impatient<W> {
    writer: W,
    patience: Duration,
    /// Runs while a write waits.
    limit: Option<Pin<Box<Sleep>>>,
}

impl<W> Impatient<W> {
    pub(super) const fn new(writer: W, patience: Duration) -> Self {
        Self { writer, patience, limit: None }
    }

    fn limited<T>(&mut self, outcome: Poll<io::Result<T>>, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.limit = None;
            return outcome;
        }
        let limit = self.limit.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        limit.as_mut().poll(cx).map(|()| Err(ErrorKind::TimedOut.into()))
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Impatient<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.writer).poll_write(cx, bytes);
        self.limited(outcome, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.writer).poll_write_vectored(cx, pieces);
        self.limited(outcome, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.writer.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.writer).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_reads_a_little_is_waited_for_and_who_reads_nothing_is_not() {
        let (near, mut far) = duplex(4);
        let mut writer = Impatient::new(near, 60 * SECOND);
        let answer = [7; 100];
        let reader = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(59 * SECOND).await;
                far.read_exact(&mut [0; 4]).await.expect("more");
            }
            far
        });
        let error = writer.write_all(&answer).await.expect_err("only 80 bytes are read, and 4 wait");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let mut far = reader.await.expect("no panic");
        far.read_exact(&mut [0; 4]).await.expect("what waited");
        writer.write_all(&[8; 4]).await.expect("patience begins anew");
    }
}
