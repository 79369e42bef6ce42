//! One connection: bytes to frames, a session's output to bytes, found work to where it belongs.
//!
//! Everything held for a miner is bounded, as in Stratum v1: unread bytes, unwritten answers, and work that the node has
//! no room for. At each bound the connection stops reading, so that the miner's own system holds the rest.

use super::authority::Authority;
use super::link::{Link, LinkError};
use super::server::Server;
use super::session::{Event, Session};
use crate::stratum::connection::{LAST_LOOK, MOST_LAST_READS, closed};
use crate::stratum::harvest::Harvest;
use crate::stratum::pipe::{Pipe, Ready};
use crate::stratum::server::{Limits, now};
use crate::work::job::{Candidate, Job};
use crate::work::series::SeriesKey;
use crate::work::source::WorkSource;
use futures::future::select_all;
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Permit};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often the session looks at the clock.
const TICK: Duration = Duration::from_secs(2);
/// Bytes of answers that may wait for a miner that does not read them.
const MOST_ANSWERS: usize = 16 * 1024;
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

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<io::Result<Ready>> for Wake<'_> {
    fn from(ready: io::Result<Ready>) -> Self {
        match ready {
            Ok(Ready::Readable) => Self::Readable,
            Ok(Ready::Writable) => Self::Writable,
            Err(error) => Self::End(End::Socket(error)),
        }
    }
}

/// A connection and the session that is led on it.
pub(super) struct Connection {
    pipe: Pipe,
    session: Session,
    link: Link,
    harvest: Harvest,
    /// The jobs of each series that a channel is open for.
    jobs: Vec<(SeriesKey, Jobs)>,
    work: Arc<dyn WorkSource>,
    open: watch::Receiver<bool>,
    limits: Limits,
    /// When it connected, and when it last said something.
    began: Instant,
    heard: Instant,
}

impl Connection {
    /// `said` is what was received already.
    pub(super) fn new(stream: TcpStream, said: &[u8], session: Session, server: &Server) -> Self {
        let (began, house) = (Instant::now(), &server.house);
        let authority: &Authority = &server.authority;
        let mut link = Link::new(authority);
        link.space().extend_from_slice(said);
        Self {
            pipe: Pipe::new(stream, began),
            session,
            link,
            harvest: Harvest::new(house.outbox.clone()),
            jobs: Vec::new(),
            work: Arc::clone(&house.work),
            open: house.open.clone(),
            limits: server.limits,
            began,
            heard: began,
        }
    }

    /// Runs until either side ends it. Work that was found is passed on even then.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> End {
        let end = self.serve(shutdown).await;
        if !matches!(end, End::Link(_) | End::NoHandshake) {
            self.take_the_rest().await;
        }
        if matches!(end, End::Shutdown | End::NoWork) {
            self.session.say_goodbye();
        }
        if matches!(end, End::Refused | End::Shutdown | End::NoWork) {
            let _ = timeout(LINGER, self.say_last_words(&end)).await;
        }
        let Self { harvest, pipe, .. } = self;
        drop(pipe);
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
                Wake::Readable => self.read().map(drop),
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
        let reads = self.has_room();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Wake::End(End::Shutdown),
            () = closed(&mut self.open) => Wake::End(End::NoWork),
            room = shares.reserve(), if self.harvest.is_waiting() => {
                room.map_or(Wake::End(End::Shutdown), Wake::Room)
            }
            job = next_job(&mut self.jobs) => job.map_or(Wake::End(End::NoWork), |(key, job)| Wake::Job(key, job)),
            _ = tick.tick() => Wake::Tick,
            ready = self.pipe.ready(reads) => ready.into(),
        }
    }

    /// Whether another frame may be looked at.
    fn has_room(&self) -> bool {
        self.harvest.has_room() && self.session.waiting() < MOST_ANSWERS
    }

    /// Takes what has come. False when nothing had.
    fn read(&mut self) -> Result<bool, End> {
        match self.pipe.stream.try_read_buf(self.link.space()) {
            Ok(0) => Err(End::HungUp),
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(End::Socket(error)),
        }
    }

    /// What the miner said before the end counts, whatever ended it: a Bitcoin block may be in it.
    async fn take_the_rest(&mut self) {
        let _ = timeout(LAST_LOOK, self.pipe.stream.readable()).await;
        let mut reads = 0..MOST_LAST_READS;
        loop {
            while let Ok(Some(mut frame)) = self.link.next(now().unix, &mut self.pipe.output) {
                if let Some(Event::Found(found)) = self.session.on_frame(&mut frame, now()) {
                    self.harvest.pass_on(*found);
                }
            }
            if reads.next().is_none() || !matches!(self.read(), Ok(true)) {
                return;
            }
        }
    }

    /// Gives received frames to the session, as long as there is room for what they lead to.
    fn take_frames(&mut self) -> Result<(), End> {
        while self.has_room() {
            let now = now();
            let Some(mut frame) = self.link.next(now.unix, &mut self.pipe.output).map_err(End::Link)? else {
                return Ok(());
            };
            self.heard = now.instant;
            match self.session.on_frame(&mut frame, now) {
                None => {}
                Some(Event::Found(found)) => self.harvest.pass_on(*found),
                Some(Event::Opened { channel, key }) => match self.newest(key) {
                    Some(job) => self.session.start(channel, job, now),
                    None => self.session.on_no_room(channel, now),
                },
                Some(Event::Close) => return Err(End::Refused),
            }
        }
        Ok(())
    }

    /// The newest job of a series, if there is one yet. The series is listened to from now on; none when the node has no
    /// room for it.
    fn newest(&mut self, key: SeriesKey) -> Option<Option<Arc<Job>>> {
        if let Some((_, jobs)) = self.jobs.iter().find(|(each, _)| *each == key) {
            return Some(jobs.borrow().clone());
        }
        self.jobs.retain(|(key, _)| self.session.mines(*key));
        let mut jobs = self.work.subscribe(key.owner, key.class)?;
        let job = jobs.borrow_and_update().clone();
        self.jobs.push((key, jobs));
        Some(job)
    }

    fn write(&mut self) -> Result<(), End> {
        self.pipe.write(|out| compose(&mut self.session, &mut self.link, out))
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
        if self.pipe.stalled(now.instant) >= self.limits.stalled {
            return Err(End::Stalled);
        }
        self.jobs.retain(|(key, _)| self.session.mines(*key));
        self.session.on_tick(now);
        Ok(())
    }

    /// Writes the last answers. One that is refused is then waited for to hang up, since cutting the line would throw
    /// them away.
    async fn say_last_words(&mut self, end: &End) -> io::Result<()> {
        let mut rest = self.pipe.take_unwritten();
        if self.link.is_open() {
            compose(&mut self.session, &mut self.link, &mut rest).map_err(|_| ErrorKind::InvalidData)?;
        }
        self.pipe.stream.write_all(&rest).await?;
        self.pipe.stream.shutdown().await?;
        if matches!(end, End::Refused) {
            let mut unread = (&mut self.pipe.stream).take(LINGER_BYTES);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await?;
        }
        Ok(())
    }
}

/// Appends what the session has to say, sealed.
fn compose(session: &mut Session, link: &mut Link, out: &mut Vec<u8>) -> Result<(), End> {
    let mut frames = Vec::new();
    session.take_output(&mut frames, now());
    link.seal(&frames, out).map_err(End::Link)
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
