//! One connection: bytes to frames, a session's output to bytes, found work to where it belongs.
//!
//! Everything held for a miner is bounded, as in Stratum v1: unread bytes, unwritten answers, and work that the node has
//! no room for. At each bound the connection stops reading, so that the miner's own system holds the rest.

use super::authority::Authority;
use super::link::{Link, LinkError};
use super::server::Server;
use super::session::{Event, Session};
use crate::stratum::connection::closed;
use crate::stratum::harvest::Harvest;
use crate::stratum::server::{Limits, now};
use crate::work::job::{Candidate, Job};
use crate::work::series::SeriesKey;
use crate::work::source::WorkSource;
use futures::future::select_all;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Permit};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often the session looks at the clock.
const TICK: Duration = Duration::from_secs(2);
/// Bytes of answers that may wait for a miner that does not read them.
const MOST_ANSWERS: usize = 16 * 1024;
/// An output buffer larger than this is given back once it is written.
const KEPT_OUTPUT: usize = 4 * 1024;
/// Time and bytes granted for a last answer to arrive before the connection is cut.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The miner hung up.
    HungUp,
    /// The socket failed.
    Socket(io::Error),
    /// It speaks something else.
    Link(LinkError),
    /// What it said made no sense, or asked for what is not here.
    Refused,
    /// It did not set up the connection in time.
    NoHandshake,
    /// It said nothing for too long.
    Idle,
    /// It read nothing for too long.
    Stalled,
    /// There is nothing to mine on.
    NoWork,
    /// The node is going down.
    Shutdown,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUp => f.write_str("it hung up"),
            Self::Socket(error) => write!(f, "{error}"),
            Self::Link(error) => write!(f, "{error}"),
            Self::Refused => f.write_str("what it said makes no sense here"),
            Self::NoHandshake => f.write_str("it did not set up the connection in time"),
            Self::Idle => f.write_str("it said nothing for too long"),
            Self::Stalled => f.write_str("it does not read what it is sent"),
            Self::NoWork => f.write_str("there is nothing to mine on"),
            Self::Shutdown => f.write_str("this node is going down"),
        }
    }
}

type Jobs = watch::Receiver<Option<Arc<Job>>>;

/// What a connection waited for.
enum Wake<'s> {
    End(End),
    /// The node has room for a candidate.
    Room(Permit<'s, Candidate>),
    Job(SeriesKey, Arc<Job>),
    Tick,
    Readable,
    Writable,
}

/// A connection and the session that is led on it.
pub(super) struct Connection {
    stream: TcpStream,
    session: Session,
    link: Link,
    /// What is being written, and how much of it has been.
    output: Vec<u8>,
    written: usize,
    harvest: Harvest,
    /// The jobs of each series that a channel is open for.
    jobs: Vec<(SeriesKey, Jobs)>,
    work: Arc<dyn WorkSource>,
    open: watch::Receiver<bool>,
    limits: Limits,
    /// When it connected, and when it last said something.
    began: Instant,
    heard: Instant,
    /// When something was last written, while there is something to write.
    wrote: Instant,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, session: Session, server: &Server) -> Self {
        let began = Instant::now();
        let authority: &Authority = &server.authority;
        Self {
            stream,
            session,
            link: Link::new(authority),
            output: Vec::new(),
            written: 0,
            harvest: Harvest::new(server.outbox.clone()),
            jobs: Vec::new(),
            work: Arc::clone(&server.work),
            open: server.open.clone(),
            limits: server.limits,
            began,
            heard: began,
            wrote: began,
        }
    }

    /// Runs until either side ends it. Work that was found is passed on even then.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> End {
        let end = self.serve(shutdown).await;
        if matches!(end, End::Shutdown | End::NoWork) {
            self.session.say_goodbye();
        }
        if matches!(end, End::Refused | End::Shutdown | End::NoWork) {
            let _ = timeout(LINGER, self.say_last_words(&end)).await;
        }
        let Self { harvest, stream, .. } = self;
        drop(stream);
        harvest.finish().await;
        end
    }

    async fn serve(&mut self, shutdown: &CancellationToken) -> End {
        let shares = self.harvest.shares();
        let mut tick = interval(TICK.min(self.limits.handshake));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Err(end) = self.take_frames().and_then(|()| self.write()) {
                return end;
            }
            let step = match self.wait(&mut tick, &shares, shutdown).await {
                Wake::End(end) => Err(end),
                Wake::Room(room) => {
                    self.harvest.send(room);
                    Ok(())
                }
                Wake::Job(key, job) => {
                    self.session.on_job(key, &job);
                    Ok(())
                }
                Wake::Tick => self.on_tick(),
                Wake::Readable => self.read(),
                Wake::Writable => Ok(()),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Waits for anything at all to happen.
    async fn wait<'s>(
        &mut self,
        tick: &mut Interval,
        shares: &'s mpsc::Sender<Candidate>,
        shutdown: &CancellationToken,
    ) -> Wake<'s> {
        let interest = self.interest();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::End(End::Shutdown),
            () = closed(&mut self.open) => Wake::End(End::NoWork),
            room = shares.reserve(), if self.harvest.is_waiting() => {
                room.map_or(Wake::End(End::Shutdown), Wake::Room)
            }
            job = next_job(&mut self.jobs) => job.map_or(Wake::End(End::NoWork), |(key, job)| Wake::Job(key, job)),
            _ = tick.tick() => Wake::Tick,
            wake = ready(&self.stream, interest) => wake,
        }
    }

    /// What to wait for on the socket, if anything.
    fn interest(&self) -> Option<Interest> {
        let read = self.has_room().then_some(Interest::READABLE);
        let write = (self.written < self.output.len()).then_some(Interest::WRITABLE);
        match (read, write) {
            (Some(read), Some(write)) => Some(read | write),
            (read, write) => read.or(write),
        }
    }

    /// Whether another frame may be looked at.
    fn has_room(&self) -> bool {
        self.harvest.has_room() && self.session.waiting() < MOST_ANSWERS
    }

    fn read(&mut self) -> Result<(), End> {
        match self.stream.try_read_buf(self.link.space()) {
            Ok(0) => Err(End::HungUp),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(End::Socket(error)),
        }
    }

    /// Gives received frames to the session, as long as there is room for what they lead to.
    fn take_frames(&mut self) -> Result<(), End> {
        while self.has_room() {
            let now = now();
            let Some(mut frame) = self.link.next(now.unix, &mut self.output).map_err(End::Link)? else {
                return Ok(());
            };
            self.heard = now.instant;
            match self.session.on_frame(&mut frame, now) {
                None => {}
                Some(Event::Found(found)) => self.harvest.pass_on(*found),
                Some(Event::Opened { channel, key }) => {
                    let job = self.newest(key);
                    self.session.start(channel, job, now);
                }
                Some(Event::Close) => return Err(End::Refused),
            }
        }
        Ok(())
    }

    /// The newest job of a series, which is listened to from now on.
    fn newest(&mut self, key: SeriesKey) -> Option<Arc<Job>> {
        if let Some((_, jobs)) = self.jobs.iter().find(|(each, _)| *each == key) {
            return jobs.borrow().clone();
        }
        self.jobs.retain(|(key, _)| self.session.mines(*key));
        let mut jobs = self.work.subscribe(key.owner, key.class);
        let job = jobs.borrow_and_update().clone();
        self.jobs.push((key, jobs));
        job
    }

    /// Writes as much as the socket takes without waiting.
    fn write(&mut self) -> Result<(), End> {
        loop {
            if self.written == self.output.len() {
                self.refill()?;
                if self.output.is_empty() {
                    return Ok(());
                }
            }
            match self.stream.try_write(&self.output[self.written..]) {
                Ok(bytes) => {
                    self.written += bytes;
                    self.wrote = Instant::now();
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(End::Socket(error)),
            }
        }
    }

    fn refill(&mut self) -> Result<(), End> {
        self.output.clear();
        self.written = 0;
        if self.output.capacity() > KEPT_OUTPUT {
            self.output = Vec::new();
        }
        self.compose()?;
        if !self.output.is_empty() {
            self.wrote = Instant::now();
        }
        Ok(())
    }

    fn compose(&mut self) -> Result<(), End> {
        let mut frames = Vec::new();
        self.session.take_output(&mut frames, now());
        self.link.seal(&frames, &mut self.output).map_err(End::Link)
    }

    fn on_tick(&mut self) -> Result<(), End> {
        let now = now();
        let since = |then: Instant| now.instant.saturating_duration_since(then);
        if !self.session.is_ready() && since(self.began) >= self.limits.handshake {
            return Err(End::NoHandshake);
        }
        if since(self.heard) >= self.limits.idle && self.has_room() {
            return Err(End::Idle);
        }
        if self.written < self.output.len() && since(self.wrote) >= self.limits.stalled {
            return Err(End::Stalled);
        }
        self.jobs.retain(|(key, _)| self.session.mines(*key));
        self.session.on_tick(now);
        Ok(())
    }

    /// Writes the last answers. One that is refused is then waited for to hang up, since cutting the line would throw
    /// them away.
    async fn say_last_words(&mut self, end: &End) -> io::Result<()> {
        self.output.drain(..self.written);
        self.written = 0;
        if self.link.is_open() {
            self.compose().map_err(|_| ErrorKind::InvalidData)?;
        }
        self.stream.write_all(&self.output).await?;
        self.stream.shutdown().await?;
        if matches!(end, End::Refused) {
            let mut unread = (&mut self.stream).take(LINGER_BYTES);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
        }
        Ok(())
    }
}

/// The next job of any series; none when one will have no more.
async fn next_job(jobs: &mut [(SeriesKey, Jobs)]) -> Option<(SeriesKey, Arc<Job>)> {
    if jobs.is_empty() {
        return std::future::pending().await;
    }
    loop {
        let changed = jobs.iter_mut().map(|(_, jobs)| Box::pin(jobs.changed()));
        let (changed, index, _) = select_all(changed).await;
        changed.ok()?;
        let (key, jobs) = jobs.get_mut(index)?;
        if let Some(job) = jobs.borrow_and_update().clone() {
            return Some((*key, job));
        }
    }
}

/// Waits until the socket can be read or written, whichever is wanted.
async fn ready<'s>(stream: &TcpStream, interest: Option<Interest>) -> Wake<'s> {
    let Some(interest) = interest else { return std::future::pending().await };
    match stream.ready(interest).await {
        Ok(ready) if interest.is_readable() && (ready.is_readable() || ready.is_read_closed()) => {
            Wake::Readable
        }
        Ok(_) => Wake::Writable,
        Err(error) => Wake::End(End::Socket(error)),
    }
}
