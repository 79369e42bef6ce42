//! Stratum v1 on one connection, without the socket: lines, in the clear or over TLS, to a session and back.

use super::connection::{End, Full, Step, Talk};
use super::lines::{LineBuffer, TooLong};
use super::proxy::{Beginning, look};
use super::session::{Close, Event, Now, Session};
use super::tls::Tls;
use crate::work::job::Job;
use crate::work::series::SeriesKey;
use std::sync::Arc;
use std::time::Instant;
use thiserror::Error;

/// First byte of a TLS handshake. Some clients try that first, and speak plainly once it fails.
const TLS_HANDSHAKE: u8 = 0x16;

/// Something else than what this port speaks.
#[derive(Debug, Error)]
enum Foreign {
    #[error("it speaks TLS; this port is plain (--stratum-tls opens one)")]
    Tls,
    #[error("it does not speak TLS, as this port does; --stratum opens a plain one")]
    Plain,
    #[error("TLS: {0}")]
    Unsealed(#[from] rustls::Error),
    #[error("it sends a PROXY header; --proxy-protocol-from names those that are believed")]
    Proxy,
}

impl From<Foreign> for End {
    fn from(foreign: Foreign) -> Self {
        Self::Foreign(foreign.into())
    }
}

/// A session, and the bytes that it is led in.
pub(super) struct LineTalk {
    session: Session,
    lines: LineBuffer,
    /// What seals the bytes, where that is wanted.
    tls: Option<Tls>,
    /// Whether the first bytes were looked at.
    begun: bool,
}

impl LineTalk {
    /// Nothing was said yet.
    pub(super) fn new(session: Session, tls: Option<Tls>) -> Self {
        Self { session, lines: LineBuffer::default(), tls, begun: false }
    }
}

impl Talk for LineTalk {
    type Wanted = ();

    fn space(&mut self) -> &mut Vec<u8> {
        match &mut self.tls {
            None => self.lines.space(),
            Some(tls) => tls.space(),
        }
    }

    fn on_bytes(&mut self, out: &mut Vec<u8>) -> Result<(), End> {
        if !self.begun {
            self.begun = true;
            let first = self.tls.as_ref().map_or(self.lines.unread(), Tls::received);
            begins_well(first, self.tls.is_some())?;
        }
        let Some(tls) = &mut self.tls else { return Ok(()) };
        let opened = tls.open(self.lines.space(), out);
        opened.inspect_err(|_| tls.close(out)).map_err(|error| Foreign::from(error).into())
    }

    fn next(&mut self, _: &mut Vec<u8>, now: Now) -> Result<Option<Step<()>>, End> {
        let line = match self.lines.next() {
            Ok(Some(line)) => line,
            Ok(None) => return Ok(None),
            Err(TooLong) => return Err(End::TooLong),
        };
        Ok(Some(match self.session.on_line(line, now) {
            None => Step::Done,
            Some(Event::Found(found)) => Step::Found(found),
            Some(Event::Ready { owner, class }) => Step::Wants(SeriesKey { owner, class }, ()),
            Some(Event::Close(why)) => Step::Over(why.into()),
        }))
    }

    fn on_series(&mut self, (): (), job: Result<Option<Arc<Job>>, Full>, _: Now) -> Result<(), End> {
        let job = job.map_err(|Full| End::Full)?;
        job.into_iter().for_each(|job| self.session.on_job(job));
        Ok(())
    }

    fn on_job(&mut self, _: SeriesKey, job: Arc<Job>) {
        self.session.on_job(job);
    }

    fn on_tick(&mut self, now: Now) -> Result<(), End> {
        self.session.on_tick(now).map_or(Ok(()), |why| Err(why.into()))
    }

    fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    fn waiting(&self) -> usize {
        self.session.waiting()
    }

    fn write(&mut self, out: &mut Vec<u8>, now: Now) -> Result<(), End> {
        match &mut self.tls {
            None => self.session.take_output(out, now),
            Some(tls) => {
                let mut plain = Vec::new();
                self.session.take_output(&mut plain, now);
                tls.seal(&plain, out);
            }
        }
        Ok(())
    }

    fn write_last(&mut self, end: &End, out: &mut Vec<u8>, now: Now) {
        match end {
            End::TooLong => self.session.on_long_line(),
            End::Full => self.session.on_no_room(),
            End::Shutdown => self.session.send_away(),
            _ => {}
        }
        let _ = self.write(out, now);
        if let Some(tls) = &mut self.tls {
            tls.close(out);
        }
    }

    fn end(self, end: &End, now: Instant) {
        // A device that lost track, or never had it, begins anew.
        self.session.end(!matches!(end, End::TooLong | End::Garbage | End::Refused), now);
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

/// Whether what is said first is in the language of this port.
fn begins_well(first: &[u8], tls: bool) -> Result<(), Foreign> {
    match (first.first() == Some(&TLS_HANDSHAKE), tls) {
        (true, false) => Err(Foreign::Tls),
        (true, true) => Ok(()),
        _ if matches!(look(first), Beginning::Header { .. } | Beginning::Broken) => Err(Foreign::Proxy),
        (false, true) => Err(Foreign::Plain),
        (false, false) => Ok(()),
    }
}
