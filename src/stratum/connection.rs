//! One miner's connection: bytes to lines, a session's output to bytes, found work to where it belongs.
//!
//! Everything held for a miner is bounded: unread lines, unwritten answers, and work that the node has no room for.
//! At each bound the connection stops reading, so that the miner's own system holds the rest.

use super::harvest::Harvest;
use super::lines::{LineBuffer, TooLong};
use super::pipe::{Pipe, Ready};
use super::proxy::{Beginning, look};
use super::server::{Limits, Server, now};
use super::session::{Close, Event, Session};
use super::tls::Tls;
use crate::work::job::{Candidate, Job};
use crate::work::source::WorkSource;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, Permit};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{trace, warn};

/// How often the session looks at the clock.
const TICK: Duration = Duration::from_secs(2);
/// Bytes of answers that may wait for a miner that does not read them.
const MOST_ANSWERS: usize = 16 * 1024;
/// Time and bytes granted for a last answer to arrive before the connection is cut.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;
/// How long to look whether the miner has just said something, before the end.
pub(crate) const LAST_LOOK: Duration = Duration::from_millis(20);
/// How often it is then read from: some 64 KiB of what is not encrypted.
pub(crate) const MOST_LAST_READS: usize = 32;
/// Time granted for a goodbye to be written when the node goes down.
const FAREWELL: Duration = Duration::from_millis(500);
/// First byte of a TLS handshake. Some clients try that first, and speak plainly once it fails.
const TLS_HANDSHAKE: u8 = 0x16;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The miner hung up.
    HungUp,
    /// The socket failed.
    Socket(io::Error),
    /// The miner speaks TLS, on a port that does not.
    Tls,
    /// It does not speak TLS, on a port that does.
    Plain,
    /// Its TLS fails.
    Unsealed(rustls::Error),
    /// It says for whom it connects, and is not believed.
    Proxy,
    /// A line was too long, or too many lines made no sense.
    Garbage,
    /// All its work was refused, for minutes.
    Refused,
    /// It did not subscribe and authorize in time.
    NoHandshake,
    /// It said nothing for too long.
    Idle,
    /// It read nothing for too long.
    Stalled,
    /// There is nothing to mine on.
    NoWork,
    /// The node makes jobs for as many owners as it can.
    Full,
    /// The node is going down.
    Shutdown,
}

impl End {
    /// Whether whoever was there may have found something: it had spoken the right language.
    const fn is_of_a_miner(&self) -> bool {
        !matches!(self, Self::Tls | Self::Plain | Self::Unsealed(_) | Self::Proxy | Self::NoHandshake)
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HungUp => f.write_str("it hung up"),
            Self::Socket(error) => write!(f, "{error}"),
            Self::Tls => f.write_str("it speaks TLS; this port is plain (--stratum-tls opens one)"),
            Self::Plain => {
                f.write_str("it does not speak TLS, as this port does; --stratum opens a plain one")
            }
            Self::Unsealed(error) => write!(f, "TLS: {error}"),
            Self::Proxy => {
                f.write_str("it sends a PROXY header; --proxy-protocol-from names those that are believed")
            }
            Self::Garbage => f.write_str("it does not speak Stratum"),
            Self::Refused => f.write_str("all its work is refused"),
            Self::NoHandshake => f.write_str("it did not subscribe and authorize in time"),
            Self::Idle => f.write_str("it said nothing for too long"),
            Self::Stalled => f.write_str("it does not read what it is sent"),
            Self::NoWork => f.write_str("there is nothing to mine on"),
            Self::Full => f.write_str("too many owners are mined for already"),
            Self::Shutdown => f.write_str("this node is going down"),
        }
    }
}

impl From<Close> for End {
    fn from(why: Close) -> Self {
        match why {
            Close::Garbage => Self::Garbage,
            Close::Refused => Self::Refused,
        }
    }
}

type Jobs = watch::Receiver<Option<Arc<Job>>>;

/// What a connection waited for.
enum Wake<'s> {
    End(End),
    /// The node has room for a candidate.
    Room(Permit<'s, Candidate>),
    Job(Arc<Job>),
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
    /// What seals the bytes of the pipe, where that is wanted.
    tls: Option<Tls>,
    remote: SocketAddr,
    session: Session,
    lines: LineBuffer,
    harvest: Harvest,
    jobs: Option<Jobs>,
    work: Arc<dyn WorkSource>,
    open: watch::Receiver<bool>,
    limits: Limits,
    /// When it connected, and when it last said something.
    began: Instant,
    heard: Instant,
    /// What it said before there was a connection, and whether the first bytes were looked at.
    said: Vec<u8>,
    begun: bool,
}

impl Connection {
    pub(super) fn new(
        stream: TcpStream,
        tls: Option<Tls>,
        remote: SocketAddr,
        session: Session,
        server: &Server,
    ) -> Self {
        let (began, house) = (Instant::now(), &server.house);
        Self {
            pipe: Pipe::new(stream, began),
            tls,
            remote,
            session,
            lines: LineBuffer::default(),
            harvest: Harvest::new(house.outbox.clone()),
            jobs: None,
            work: Arc::clone(&house.work),
            open: house.open.clone(),
            limits: server.limits,
            began,
            heard: began,
            said: Vec::new(),
            begun: false,
        }
    }

    /// With what was received already, if anything was.
    pub(super) fn having_said(mut self, said: Vec<u8>) -> Self {
        self.said = said;
        self
    }

    /// Runs until either side ends it. Work that was found is passed on even then.
    pub(super) async fn run(mut self, shutdown: &CancellationToken) -> End {
        let end = self.serve(shutdown).await;
        if end.is_of_a_miner() {
            self.take_the_rest().await;
        }
        match end {
            // The miner should learn why.
            End::Garbage | End::Refused | End::Full | End::Unsealed(_) => {
                let _ = timeout(LINGER, self.say_last_words()).await;
            }
            // It should come back, here or to its next pool, without waiting for a line that does not come.
            End::Shutdown => {
                self.session.send_away();
                let _ = timeout(FAREWELL, self.say_farewell()).await;
            }
            _ => {}
        }
        let Self { harvest, pipe, session, .. } = self;
        drop(pipe);
        // A device that lost track, or never had it, begins anew.
        session.end(!matches!(end, End::Garbage | End::Refused), Instant::now());
        harvest.finish().await;
        end
    }

    async fn serve(&mut self, shutdown: &CancellationToken) -> End {
        let shares = self.harvest.shares();
        // Kept while the connection lasts: what all connections wait for together is under a lock.
        let leaving = leaving(self.open.clone(), shutdown);
        tokio::pin!(leaving);
        let mut tick = interval(TICK.min(self.limits.handshake));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if let Err(end) = self.hear() {
            return end;
        }
        loop {
            if let Err(end) = self.take_lines().and_then(|()| self.write()) {
                return end;
            }
            let step = match self.wait(&mut tick, &shares, leaving.as_mut()).await {
                // Jobs end at a shutdown too, and it may be seen first.
                Wake::End(End::NoWork) if shutdown.is_cancelled() => Err(End::Shutdown),
                Wake::End(end) => Err(end),
                Wake::Room(room) => {
                    self.harvest.send(room);
                    Ok(())
                }
                Wake::Job(job) => {
                    self.session.on_job(job);
                    self.write().inspect(|()| trace!("a new job is written"))
                }
                // Whoever never stops talking is told to leave here.
                Wake::Tick if shutdown.is_cancelled() => Err(End::Shutdown),
                Wake::Tick if !*self.open.borrow() => Err(End::NoWork),
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
        leaving: Pin<&mut impl Future<Output = End>>,
    ) -> Wake<'s> {
        let reads = self.has_room();
        tokio::select! {
            biased;
            room = shares.reserve(), if self.harvest.is_waiting() => {
                room.map_or(Wake::End(End::Shutdown), Wake::Room)
            }
            job = next_job(&mut self.jobs) => job.map_or(Wake::End(End::NoWork), Wake::Job),
            _ = tick.tick() => Wake::Tick,
            ready = self.pipe.ready(reads) => ready.into(),
            end = leaving => Wake::End(end),
        }
    }

    /// Whether another line may be looked at.
    fn has_room(&self) -> bool {
        self.harvest.has_room() && self.session.waiting() < MOST_ANSWERS
    }

    /// Takes what has come. False when nothing had.
    fn read(&mut self) -> Result<bool, End> {
        let over_tls = self.tls.is_some();
        let space = match &mut self.tls {
            None => self.lines.space(),
            Some(tls) => tls.space(),
        };
        match self.pipe.stream.try_read_buf(space) {
            Ok(0) => return Err(End::HungUp),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(End::Socket(error)),
        }
        if !self.begun {
            self.begun = true;
            begins_well(space, over_tls)?;
        }
        self.unseal()?;
        Ok(true)
    }

    /// Takes what was received before there was a connection.
    fn hear(&mut self) -> Result<(), End> {
        let said = std::mem::take(&mut self.said);
        if said.is_empty() {
            return Ok(());
        }
        self.begun = true;
        begins_well(&said, self.tls.is_some())?;
        let space = match &mut self.tls {
            None => self.lines.space(),
            Some(tls) => tls.space(),
        };
        space.extend_from_slice(&said);
        self.unseal()
    }

    fn unseal(&mut self) -> Result<(), End> {
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.open(self.lines.space(), &mut self.pipe.output).map_err(End::Unsealed)
    }

    /// Gives received lines to the session, as long as there is room for what they lead to.
    fn take_lines(&mut self) -> Result<(), End> {
        while self.has_room() {
            let event = match self.lines.next() {
                Ok(Some(line)) => {
                    let now = now();
                    self.heard = now.instant;
                    self.session.on_line(line, now)
                }
                Ok(None) => return Ok(()),
                Err(TooLong) => {
                    self.session.on_long_line();
                    Some(Event::Close(Close::Garbage))
                }
            };
            match event {
                None => {}
                Some(Event::Found(found)) => self.harvest.pass_on(*found),
                Some(Event::Trouble(trouble)) => warn!(remote = %self.remote, "{trouble}"),
                Some(Event::Ready { owner, class }) => {
                    let Some(mut jobs) = self.work.subscribe(owner, class) else {
                        self.session.on_no_room();
                        return Err(End::Full);
                    };
                    if let Some(job) = jobs.borrow_and_update().clone() {
                        self.session.on_job(job);
                    }
                    self.jobs = Some(jobs);
                }
                Some(Event::Close(why)) => return Err(why.into()),
            }
        }
        Ok(())
    }

    /// What the miner said before the end counts, whatever ended it: a Bitcoin block may be in it.
    async fn take_the_rest(&mut self) {
        let _ = timeout(LAST_LOOK, self.pipe.stream.readable()).await;
        let mut reads = 0..MOST_LAST_READS;
        loop {
            while let Ok(Some(line)) = self.lines.next() {
                if let Some(Event::Found(found)) = self.session.on_line(line, now()) {
                    self.harvest.pass_on(*found);
                }
            }
            if reads.next().is_none() || !matches!(self.read(), Ok(true)) {
                return;
            }
        }
    }

    fn write(&mut self) -> Result<(), End> {
        let Self { pipe, session, tls, .. } = self;
        pipe.write(|out| {
            compose(session, tls.as_mut(), out);
            Ok(())
        })
    }

    /// All that there is to write before the end.
    fn take_last_words(&mut self) -> Vec<u8> {
        let mut rest = self.pipe.take_unwritten();
        compose(&mut self.session, self.tls.as_mut(), &mut rest);
        if let Some(tls) = &mut self.tls {
            tls.close(&mut rest);
        }
        rest
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
        match self.session.on_tick(now) {
            Some(Event::Close(why)) => Err(why.into()),
            _ => Ok(()),
        }
    }

    /// Writes the last answers, and throws away what has come in since: closing with that unread would cut the line
    /// before they arrive.
    async fn say_farewell(&mut self) -> io::Result<()> {
        let rest = self.take_last_words();
        self.pipe.stream.write_all(&rest).await?;
        self.pipe.stream.shutdown().await?;
        let mut unread = vec![0; LINGER_BYTES.try_into().unwrap_or(usize::MAX)];
        let _ = self.pipe.stream.try_read(&mut unread);
        Ok(())
    }

    /// Writes the last answers and waits for the miner to hang up, since cutting the line would throw them away.
    async fn say_last_words(&mut self) -> io::Result<()> {
        let rest = self.take_last_words();
        self.pipe.stream.write_all(&rest).await?;
        self.pipe.stream.shutdown().await?;
        let mut unread = (&mut self.pipe.stream).take(LINGER_BYTES);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await.map(drop)
    }
}

/// Whether what is said first is in the language of this port.
fn begins_well(first: &[u8], tls: bool) -> Result<(), End> {
    match (first.first() == Some(&TLS_HANDSHAKE), tls) {
        (true, false) => Err(End::Tls),
        (true, true) => Ok(()),
        _ if matches!(look(first), Beginning::Header { .. } | Beginning::Broken) => Err(End::Proxy),
        (false, true) => Err(End::Plain),
        (false, false) => Ok(()),
    }
}

/// Appends what the session has to say, sealed if that is wanted.
fn compose(session: &mut Session, tls: Option<&mut Tls>, out: &mut Vec<u8>) {
    let Some(tls) = tls else { return session.take_output(out, now()) };
    let mut plain = Vec::new();
    session.take_output(&mut plain, now());
    tls.seal(&plain, out);
}

/// Completes when the connection must end, whatever the miner does.
async fn leaving(mut open: watch::Receiver<bool>, shutdown: &CancellationToken) -> End {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => End::Shutdown,
        () = closed(&mut open) => End::NoWork,
    }
}

/// Completes when there is nothing to mine on.
pub(crate) async fn closed(open: &mut watch::Receiver<bool>) {
    if open.wait_for(|open| !open).await.is_err() {
        // Nobody is left to say so.
        std::future::pending::<()>().await;
    }
}

/// The next job; none when there will be no more.
async fn next_job(jobs: &mut Option<Jobs>) -> Option<Arc<Job>> {
    let Some(jobs) = jobs else { return std::future::pending().await };
    loop {
        jobs.changed().await.ok()?;
        if let Some(job) = jobs.borrow_and_update().clone() {
            return Some(job);
        }
    }
}
