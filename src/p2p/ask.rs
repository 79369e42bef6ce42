//! Questions and answers on a stream: a length of four bytes, then that many bytes, either way. An answer may be missing.
//!
//! The asker says for each question how long its answer may be and by when it must be whole. Memory grows with what
//! has arrived, never with what a length promises.

use crate::peers::link::NoAnswer;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::Codec;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a peer may take to send a question.
const QUESTION_TIME: Duration = Duration::from_secs(10);
/// What an answer may take to be sent besides its bytes.
const ANSWER_TIME: Duration = Duration::from_secs(15);
/// The least speed, in bytes a second, at which a peer must take an answer.
const LEAST_SPEED: u64 = 32 << 10;

/// A question. What comes in has no bound and no end of its own.
#[derive(Debug)]
pub(super) struct Question {
    /// The bytes.
    pub(super) bytes: Vec<u8>,
    /// Most bytes of the answer.
    pub(super) most: usize,
    /// When the whole answer must be there.
    pub(super) until: Instant,
    /// Holds its part of the memory for questions that have come in.
    _memory: Option<OwnedSemaphorePermit>,
}

impl Question {
    /// A question of this node.
    pub(super) const fn new(bytes: Vec<u8>, most: usize, until: Instant) -> Self {
        Self { bytes, most, until, _memory: None }
    }
}

/// Reads and writes both; each exchange has a copy of its own.
#[derive(Clone)]
pub(super) struct RawCodec {
    max_question: usize,
    /// Bytes of all questions that are being read or wait.
    memory: Arc<Semaphore>,
    /// What this exchange's asker allows.
    allowed: Option<(usize, Instant)>,
}

impl RawCodec {
    /// Questions of at most so many bytes, and of so many at a time.
    pub(super) fn new(max_question: usize, max_all: usize) -> Self {
        Self { max_question, memory: Arc::new(Semaphore::new(max_all)), allowed: None }
    }
}

fn failed(why: NoAnswer) -> io::Error {
    io::Error::other(why)
}

/// Why there is no answer, from the error that the codec made of it.
pub(super) fn reason(error: &io::Error) -> NoAnswer {
    error.get_ref().and_then(|inner| inner.downcast_ref()).copied().unwrap_or(NoAnswer::Gone)
}

/// The length that stands first; none if the stream ends before.
async fn read_length<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Option<usize>> {
    let mut length = [0; 4];
    if io.read(&mut length[..1]).await? == 0 {
        return Ok(None);
    }
    io.read_exact(&mut length[1..]).await?;
    Ok(usize::try_from(u32::from_be_bytes(length)).ok())
}

async fn read_bytes<T: AsyncRead + Unpin + Send>(io: &mut T, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    io.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn write_all<T: AsyncWrite + Unpin + Send>(io: &mut T, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(bytes).await?;
    io.flush().await
}

impl Codec for RawCodec {
    type Protocol = StreamProtocol;
    type Request = Question;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Question> {
        let read = async {
            let length = read_length(io).await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let permits = u32::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
            if length > self.max_question {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let memory = self.memory.clone().try_acquire_many_owned(permits);
            let memory = memory.map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
            let bytes = read_bytes(io, length).await?;
            Ok(Question { _memory: Some(memory), ..Question::new(bytes, 0, Instant::now()) })
        };
        timeout(QUESTION_TIME, read).await?
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        // Set when the question was written, by this very copy.
        let (most, until) = self.allowed.take().ok_or(io::ErrorKind::InvalidInput)?;
        let read = async {
            let length = match read_length(io).await {
                Ok(Some(length)) => length,
                Ok(None) | Err(_) => return Err(failed(NoAnswer::Refused)),
            };
            if length > most {
                return Err(failed(NoAnswer::TooLong));
            }
            read_bytes(io, length).await.map_err(|_| failed(NoAnswer::Gone))
        };
        timeout_at(until, read).await.map_err(|_| failed(NoAnswer::TimedOut))?
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        question: Question,
    ) -> io::Result<()> {
        self.allowed = Some((question.most, question.until));
        let written = timeout_at(question.until, write_all(io, &question.bytes)).await;
        // A peer that refuses may close the stream before it has read the question.
        written.map_err(|_| failed(NoAnswer::TimedOut))?.map_err(|_| failed(NoAnswer::Refused))
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        answer: Vec<u8>,
    ) -> io::Result<()> {
        let time = ANSWER_TIME + Duration::from_secs(answer.len() as u64 / LEAST_SPEED);
        timeout(time, write_all(io, &answer)).await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    fn name() -> StreamProtocol {
        StreamProtocol::new("/test")
    }

    fn asked(most: usize) -> RawCodec {
        RawCodec { allowed: Some((most, Instant::now() + Duration::from_secs(5))), ..RawCodec::new(8, 16) }
    }

    #[tokio::test]
    async fn bounds_hold_at_the_byte() {
        let answer = |bytes: &'static [u8], most| async move {
            asked(most).read_response(&name(), &mut Cursor::new(bytes)).await.map_err(|e| reason(&e))
        };
        assert_eq!(answer(b"\0\0\0\x02ab", 2).await, Ok(b"ab".to_vec()));
        assert_eq!(answer(b"\0\0\0\x02ab", 1).await, Err(NoAnswer::TooLong));
        assert_eq!(answer(b"\xff\xff\xff\xff", 1 << 20).await, Err(NoAnswer::TooLong));
        assert_eq!(answer(b"\0\0\0\x02a", 2).await, Err(NoAnswer::Gone));
        assert_eq!(answer(b"", 2).await, Err(NoAnswer::Refused));
        assert_eq!(answer(b"\0\0\0\0", 0).await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn questions_share_their_memory() {
        let codec = RawCodec::new(8, 16);
        let read =
            || async { codec.clone().read_request(&name(), &mut Cursor::new(b"\0\0\0\x0801234567")).await };
        let (first, second) = (read().await.expect("room"), read().await.expect("room"));
        assert_eq!(read().await.map(|q| q.bytes).map_err(|e| e.kind()), Err(io::ErrorKind::OutOfMemory));
        drop((first, second));
        assert_eq!(read().await.expect("room again").bytes, b"01234567");
        let long = codec.clone().read_request(&name(), &mut Cursor::new(b"\0\0\0\x09012345678")).await;
        assert_eq!(long.map(|q| q.bytes).map_err(|e| e.kind()), Err(io::ErrorKind::InvalidData));
    }

    /// Gives one byte a second, for ever.
    struct Drip(std::pin::Pin<Box<tokio::time::Sleep>>);

    impl AsyncRead for Drip {
        fn poll_read(
            mut self: std::pin::Pin<&mut Self>,
            context: &mut std::task::Context<'_>,
            buffer: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::ready!(self.0.as_mut().poll(context));
            self.0.as_mut().reset(Instant::now() + Duration::from_secs(1));
            buffer[..1].fill(0);
            std::task::Poll::Ready(Ok(1))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_byte_a_second_is_not_waited_for() {
        let mut drip = Drip(Box::pin(tokio::time::sleep(Duration::ZERO)));
        let begun = Instant::now();
        let mut codec =
            RawCodec { allowed: Some((10, begun + Duration::from_millis(2_500))), ..RawCodec::new(8, 8) };
        let error = codec.read_response(&name(), &mut drip).await.expect_err("too slow");
        assert_eq!(reason(&error), NoAnswer::TimedOut);
        assert_eq!(begun.elapsed(), Duration::from_millis(2_500));
    }
}
