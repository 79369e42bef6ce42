//! One connection, whatever is spoken on it: bytes in and out, jobs in, found work to where it belongs.
//!
//! What is said is a [`Talk`]'s concern, without a socket; the socket, the time limits and the end are here. Everything
//! held for a miner is bounded: what it said, what it is to be told, and work that the node has no room for. At each bound
//! the connection stops reading, so that the miner's own system holds the rest.

use super::feeds::Feeds;
use super::gate::Guest;
use super::harvest::Harvest;
use super::pipe::{Pipe, Ready};
use super::server::{House, Limits, now};
use super::session::Now;
use super::submit::Found;
use super::visitor::Visitor;
use crate::work::job::Job;
use crate::work::series::SeriesKey;
use crate::work::source::WorkSource;
use std::convert::Infallible;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, trace};

/// How often the clock is looked at.
const TICK: Duration = Duration::from_secs(2);
/// Bytes of answers that may wait for a miner that does not read them.
const MOST_ANSWERS: usize = 16 * 1024;
/// Time and bytes granted for a last answer to arrive before the connection is cut.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 64 * 1024;
/// How long to look whether the miner has just said something, before the end.
const LAST_LOOK: Duration = Duration::from_millis(20);
/// How often it is then read from: some 64 KiB of what is not encrypted.
const MOST_LAST_READS: usize = 32;
/// Time granted for a goodbye to be written when the node goes down or has nothing to mine on.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a connection ended.
#[derive(Debug, Error)]
pub(crate) enum End {
    /// The miner hung up.
    #[error("it hung up")]
    HungUp,
    /// The socket failed.
    #[error(transparent)]
    Socket(#[from] io::Error),
    /// It does not speak what this port does.
    #[error(transparent)]
    Foreign(Box<dyn Error + Send + Sync>),
    /// What it says is longer than anything that means something.
    #[error("what it says is too long")]
    TooLong,
    /// What it says makes no sense, or asks for what is not here.
    #[error("what it says makes no sense here")]
    Garbage,
    /// All its work was refused, for minutes.
    #[error("all its work is refused")]
    Refused,
    /// It did not say in time who it is.
    #[error("it did not introduce itself in time")]
    NoHandshake,
    /// It said nothing for too long.
    #[error("it said nothing for too long")]
    Idle,
    /// It read nothing for too long.
    #[error("it does not read what it is sent")]
    Stalled,
    /// There is nothing to mine on.
    #[error("there is nothing to mine on")]
    NoWork,
    /// The node makes jobs for as many owners as it can, or as one address may have.
    #[error("too many owners are mined for already, or too many from its address")]
    Full,
    /// The node is going down.
    #[error("this node is going down")]
    Shutdown,
}

/// What came of a message.
pub(crate) enum Step<W> {
    /// Nothing but an answer, if that.
    Done,
    /// To be passed on, before the answer is written.
    Found(Box<Found>),
    /// Jobs of this series are wanted: see [`Talk::on_series`].
    Wants(SeriesKey, W),
    /// Nothing more is to be said.
    Over(End),
}

/// One protocol on one connection, without the socket: bytes and jobs in, bytes and found work out.
pub(crate) trait Talk: Send + Sized + 'static {
    /// What jobs are wanted for.
    type Wanted;

    /// Where received bytes are to be appended, before [`Talk::on_bytes`] is called.
    fn space(&mut self) -> &mut Vec<u8>;

    /// Looks at what was appended. What is to be answered before any message goes to `out`.
    fn on_bytes(&mut self, _out: &mut Vec<u8>) -> Result<(), End> {
        Ok(())
    }

    /// Takes the next message, if all of it is there. After an error there is none any more.
    fn next(&mut self, out: &mut Vec<u8>, now: Now) -> Result<Option<Step<Self::Wanted>>, End>;

    /// Takes the newest job, if there is one yet, of a series that was wanted; or that the node has no room for it.
    fn on_series(
        &mut self,
        wanted: Self::Wanted,
        newest: Result<Option<Arc<Job>>, Full>,
        now: Now,
    ) -> Result<(), End>;

    /// Takes the newest job of a series.
    fn on_job(&mut self, key: SeriesKey, job: Arc<Job>);

    /// Whether the jobs of a series are still wanted.
    fn mines(&self, _key: SeriesKey) -> bool {
        true
    }

    /// To be called every two seconds or so.
    fn on_tick(&mut self, now: Now) -> Result<(), End>;

    /// Whether the miner has said who it is.
    fn is_ready(&self) -> bool;

    /// Bytes of answers that wait to be written.
    fn waiting(&self) -> usize;

    /// Appends what there is to say, as it goes over the line.
    fn write(&mut self, out: &mut Vec<u8>, now: Now) -> Result<(), End>;

    /// The same for the last time, with what the miner should know of this end.
    fn write_last(&mut self, end: &End, out: &mut Vec<u8>, now: Now);

    /// The connection has ended.
    fn end(self, _end: &End, _now: Instant) {}
}

/// There is no room for another series.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full;

/// What a connection waited for.
enum Wake {
    Job(SeriesKey, Arc<Job>),
    Tick,
    Readable,
    /// There is room: at the miner, or in the node.
    Room,
}

/// A connection and what is said on it.
pub(crate) struct Connection<T> {
    pipe: Pipe,
    visitor: Visitor,
    /// What was received before it was known whose it is.
    said: Vec<u8>,
    talk: T,
    harvest: Harvest,
    feeds: Feeds,
    work: Arc<dyn WorkSource>,
    open: watch::Receiver<bool>,
    limits: Limits,
    /// When it connected, and when it last said something.
    began: Instant,
    heard: Instant,
}

impl<T: Talk> Connection<T> {
    /// Nothing was answered yet.
    pub(crate) fn new(guest: Guest, talk: T, house: &House, limits: Limits) -> Self {
        let Guest { stream, visitor, said } = guest;
        info!(remote = %visitor.remote, protocol = %visitor.protocol, "miner connected");
        let began = Instant::now();
        Self {
            pipe: Pipe::new(stream, began),
            visitor,
            said,
            talk,
            harvest: Harvest::new(house.outbox.clone()),
            feeds: Feeds::default(),
            work: Arc::clone(&house.work),
            open: house.open.clone(),
            limits,
            began,
            heard: began,
        }
    }

    /// Runs until either side ends it. Work that was found is passed on even then.
    pub(crate) async fn run(mut self, shutdown: &CancellationToken) {
        let Err(end) = self.serve(shutdown).await;
        // Whoever never spoke the language has found nothing.
        let is_stranger = matches!(end, End::Foreign(_) | End::NoHandshake) && !self.talk.is_ready();
        if !is_stranger {
            self.take_the_rest().await;
        }
        match end {
            // The miner should learn why.
            End::TooLong | End::Garbage | End::Refused | End::Full => self.say_why(&end).await,
            End::Foreign(_) if self.pipe.is_writing() => self.say_why(&end).await,
            // It should come back, here or to its next pool, without waiting for what does not come.
            End::Shutdown | End::NoWork => drop(timeout(FAREWELL, self.say_rest(&end)).await),
            _ => {}
        }
        let Self { harvest, pipe, talk, visitor, .. } = self;
        drop(pipe);
        talk.end(&end, Instant::now());
        harvest.finish().await;
        info!(remote = %visitor.remote, reason = %end, "miner disconnected");
    }

    async fn serve(&mut self, shutdown: &CancellationToken) -> Result<Infallible, End> {
        // Kept while the connection lasts: what all connections wait for together is under a lock.
        let leaving = leaving(self.open.clone(), shutdown);
        tokio::pin!(leaving);
        let mut tick = interval(TICK.min(self.limits.handshake));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.hear()?;
        loop {
            self.take_messages()?;
            self.write()?;
            match self.wait(&mut tick, leaving.as_mut()).await {
                // Jobs end at a shutdown too, and it may be seen first.
                Err(End::NoWork) if shutdown.is_cancelled() => return Err(End::Shutdown),
                Err(end) => return Err(end),
                Ok(Wake::Job(key, job)) => {
                    self.talk.on_job(key, job);
                    self.write()?;
                    trace!("a new job is written");
                }
                // Whoever never stops talking is told to leave here.
                Ok(Wake::Tick) if shutdown.is_cancelled() => return Err(End::Shutdown),
                Ok(Wake::Tick) if !*self.open.borrow() => return Err(End::NoWork),
                Ok(Wake::Tick) => self.on_tick()?,
                Ok(Wake::Readable) => {
                    self.read()?;
                }
                Ok(Wake::Room) => {}
            }
        }
    }

    /// Waits for anything at all to happen.
    async fn wait(
        &mut self,
        tick: &mut Interval,
        leaving: Pin<&mut impl Future<Output = End>>,
    ) -> Result<Wake, End> {
        let reads = self.has_room();
        tokio::select! {
            biased;
            sent = self.harvest.send(), if self.harvest.is_waiting() => {
                sent.map(|()| Wake::Room).map_err(|_| End::Shutdown)
            }
            job = self.feeds.next() => job.map(|(key, job)| Wake::Job(key, job)).ok_or(End::NoWork),
            _ = tick.tick() => Ok(Wake::Tick),
            ready = self.pipe.ready(reads) => Ok(match ready? {
                Ready::Readable => Wake::Readable,
                Ready::Writable => Wake::Room,
            }),
            end = leaving => Err(end),
        }
    }

    /// Whether another message may be looked at.
    fn has_room(&self) -> bool {
        self.harvest.has_room() && self.talk.waiting() < MOST_ANSWERS
    }

    /// Takes what was received already.
    fn hear(&mut self) -> Result<(), End> {
        let said = std::mem::take(&mut self.said);
        if said.is_empty() {
            return Ok(());
        }
        self.talk.space().extend_from_slice(&said);
        self.talk.on_bytes(&mut self.pipe.output)
    }

    /// Takes what has come. False when nothing had.
    fn read(&mut self) -> Result<bool, End> {
        match self.pipe.stream.try_read_buf(self.talk.space()) {
            Ok(0) => Err(End::HungUp),
            Ok(_) => self.talk.on_bytes(&mut self.pipe.output).map(|()| true),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(End::Socket(error)),
        }
    }

    /// Takes received messages, as long as there is room for what they lead to.
    fn take_messages(&mut self) -> Result<(), End> {
        while self.has_room() {
            let now = now();
            let Some(step) = self.talk.next(&mut self.pipe.output, now)? else { return Ok(()) };
            self.heard = now.instant;
            match step {
                Step::Done => {}
                Step::Found(found) => self.harvest.pass_on(*found),
                Step::Wants(key, wanted) => {
                    let newest = self.newest(key);
                    self.talk.on_series(wanted, newest, now)?;
                }
                Step::Over(end) => return Err(end),
            }
        }
        Ok(())
    }

    /// The newest job of a series, if there is one yet. The series is listened to from now on.
    fn newest(&mut self, key: SeriesKey) -> Result<Option<Arc<Job>>, Full> {
        let mut jobs = self.work.subscribe(key, self.visitor.bound_to()).ok_or(Full)?;
        let newest = jobs.borrow_and_update().clone();
        if !self.feeds.has(key) {
            self.feeds.retain(|key| self.talk.mines(key));
            self.feeds.add(key, jobs);
        }
        Ok(newest)
    }

    /// What the miner said before the end counts, whatever ended it: a Bitcoin block may be in it.
    async fn take_the_rest(&mut self) {
        let _ = timeout(LAST_LOOK, self.pipe.stream.readable()).await;
        let mut reads = 0..MOST_LAST_READS;
        loop {
            while let Ok(Some(step)) = self.talk.next(&mut self.pipe.output, now()) {
                if let Step::Found(found) = step {
                    self.harvest.pass_on(*found);
                }
            }
            if reads.next().is_none() || !matches!(self.read(), Ok(true)) {
                return;
            }
        }
    }

    fn write(&mut self) -> Result<(), End> {
        let Self { pipe, talk, .. } = self;
        pipe.write(|out| talk.write(out, now()))
    }

    fn on_tick(&mut self) -> Result<(), End> {
        let now = now();
        let since = |then: Instant| now.instant.saturating_duration_since(then);
        if !self.talk.is_ready() && since(self.began) >= self.limits.handshake {
            return Err(End::NoHandshake);
        }
        if since(self.heard) >= self.limits.idle && self.has_room() {
            return Err(End::Idle);
        }
        if self.pipe.stalled(now.instant) >= self.limits.stalled {
            return Err(End::Stalled);
        }
        self.feeds.retain(|key| self.talk.mines(key));
        self.talk.on_tick(now)
    }

    /// Writes all that there is to say, for the last time. What has come in since is thrown away: closing with that unread
    /// would cut the line before it arrives.
    async fn say_rest(&mut self, end: &End) -> io::Result<()> {
        let mut rest = self.pipe.take_unwritten();
        self.talk.write_last(end, &mut rest, now());
        self.pipe.stream.write_all(&rest).await?;
        self.pipe.stream.shutdown().await?;
        let mut unread = vec![0; LINGER_BYTES.try_into().unwrap_or(usize::MAX)];
        let _ = self.pipe.stream.try_read(&mut unread);
        Ok(())
    }

    /// The same, and waits for the miner to hang up, since cutting the line would throw the last answers away.
    async fn say_why(&mut self, end: &End) {
        let why = async {
            self.say_rest(end).await?;
            let mut unread = (&mut self.pipe.stream).take(LINGER_BYTES);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
        };
        let _ = timeout(LINGER, why).await;
    }
}

/// Completes when the connection must end, whatever the miner does.
async fn leaving(mut open: watch::Receiver<bool>, shutdown: &CancellationToken) -> End {
    let closed = async {
        if open.wait_for(|open| !open).await.is_err() {
            // Nobody is left to say so.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => End::Shutdown,
        () = closed => End::NoWork,
    }
}
