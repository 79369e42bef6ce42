//! Stratum V2 on one connection, without the socket: encrypted frames to a session and back.

use super::authority::Authority;
use super::link::{Link, LinkError};
use super::session::{Event, Opened, Session};
use crate::stratum::connection::{End, Full, Step, Talk};
use crate::stratum::session::Now;
use crate::work::job::Job;
use crate::work::series::SeriesKey;
use std::sync::Arc;

impl From<LinkError> for End {
    fn from(error: LinkError) -> Self {
        Self::Foreign(error.into())
    }
}

/// A session, and the link that it is led over.
pub(super) struct FrameTalk {
    session: Session,
    link: Link,
}

impl FrameTalk {
    /// Nothing was said yet.
    pub(super) fn new(session: Session, authority: &Authority) -> Self {
        Self { session, link: Link::new(authority) }
    }
}

impl Talk for FrameTalk {
    type Wanted = Opened;

    fn space(&mut self) -> &mut Vec<u8> {
        self.link.space()
    }

    fn next(&mut self, out: &mut Vec<u8>, now: Now) -> Result<Option<Step<Opened>>, End> {
        let Some(mut frame) = self.link.next(now.unix, out)? else { return Ok(None) };
        Ok(Some(match self.session.on_frame(&mut frame, now) {
            None => Step::Done,
            Some(Event::Found(found)) => Step::Found(found),
            Some(Event::Opened(opened)) => Step::Wants(opened.key, opened),
            Some(Event::Close) => Step::Over(End::Garbage),
        }))
    }

    fn on_series(
        &mut self,
        opened: Opened,
        job: Result<Option<Arc<Job>>, Full>,
        now: Now,
    ) -> Result<(), End> {
        match job {
            Ok(job) => self.session.start(&opened, job, now),
            Err(Full) => self.session.on_no_room(&opened, now),
        }
        Ok(())
    }

    fn on_job(&mut self, key: SeriesKey, job: Arc<Job>) {
        self.session.on_job(key, &job);
    }

    fn mines(&self, key: SeriesKey) -> bool {
        self.session.mines(key)
    }

    fn on_tick(&mut self, now: Now) -> Result<(), End> {
        if self.session.on_tick(now) { Err(End::Refused) } else { Ok(()) }
    }

    fn is_ready(&self) -> bool {
        self.session.is_ready()
    }

    fn waiting(&self) -> usize {
        self.session.waiting()
    }

    fn write(&mut self, out: &mut Vec<u8>, now: Now) -> Result<(), End> {
        let mut frames = Vec::new();
        self.session.take_output(&mut frames, now);
        Ok(self.link.seal(&frames, out)?)
    }

    fn write_last(&mut self, end: &End, out: &mut Vec<u8>, now: Now) {
        if matches!(end, End::Shutdown | End::NoWork) {
            self.session.say_goodbye();
        }
        // Over a broken link nothing can be said.
        let _ = self.write(out, now);
    }
}
