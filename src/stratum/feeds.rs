//! The series of jobs that a connection listens to.

use crate::work::job::Job;
use crate::work::series::SeriesKey;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tokio_util::sync::ReusableBoxFuture;

/// The jobs of one series.
pub(crate) type Jobs = watch::Receiver<Option<Arc<Job>>>;

/// The series.
#[derive(Debug, Default)]
pub(super) struct Feeds(Vec<Feed>);

#[derive(Debug)]
struct Feed {
    key: SeriesKey,
    /// Kept while nothing happens, since asking anew takes a lock that all connections share.
    next: ReusableBoxFuture<'static, (Jobs, bool)>,
}

/// The jobs once there is another, or false.
async fn changed(mut jobs: Jobs) -> (Jobs, bool) {
    let is_live = jobs.changed().await.is_ok();
    (jobs, is_live)
}

impl Feeds {
    /// Listens to another series.
    pub(super) fn add(&mut self, key: SeriesKey, jobs: Jobs) {
        self.0.push(Feed { key, next: ReusableBoxFuture::new(changed(jobs)) });
    }

    /// Whether this series is listened to.
    pub(super) fn has(&self, key: SeriesKey) -> bool {
        self.0.iter().any(|feed| feed.key == key)
    }

    /// Listens only to these any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(SeriesKey) -> bool) {
        self.0.retain(|feed| is_wanted(feed.key));
    }

    /// The next job of any series; none when one will have no more, and then not to be called again. Whoever stops waiting
    /// for it misses nothing.
    pub(super) async fn next(&mut self) -> Option<(SeriesKey, Arc<Job>)> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<(SeriesKey, Arc<Job>)>> {
        for feed in &mut self.0 {
            while let Poll::Ready((mut jobs, is_live)) = feed.next.poll(context) {
                let job = jobs.borrow_and_update().clone();
                feed.next.set(changed(jobs));
                if !is_live {
                    return Poll::Ready(None);
                }
                if let Some(job) = job {
                    return Poll::Ready(Some((feed.key, job)));
                }
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_jobs::{JobMaker, owner};
    use futures::FutureExt;

    fn key(n: u8) -> SeriesKey {
        SeriesKey { owner: owner(n), class: 11 }
    }

    #[tokio::test]
    async fn the_newest_job_of_any_series_comes_and_none_is_missed_by_whoever_stops_waiting() {
        let [first, second] = [(); 2].map(|()| watch::channel(None).0);
        let mut feeds = Feeds::default();
        feeds.add(key(1), first.subscribe());
        feeds.add(key(2), second.subscribe());
        assert!(feeds.has(key(2)) && !feeds.has(key(3)));
        let jobs: Vec<Arc<Job>> = (0..4).map(|_| Arc::new(JobMaker::default().job())).collect();
        let publish = |series: &watch::Sender<Option<Arc<Job>>>, n: usize| {
            series.send_replace(Some(Arc::clone(&jobs[n])));
        };
        let is = |next: Option<Option<(SeriesKey, Arc<Job>)>>, n, job: usize| {
            let (of, next) = next.flatten().expect("a job");
            of == key(n) && Arc::ptr_eq(&next, &jobs[job])
        };
        assert!(feeds.next().now_or_never().is_none(), "nothing yet");
        publish(&second, 0);
        publish(&second, 1);
        publish(&first, 2);
        assert!(is(feeds.next().now_or_never(), 1, 2));
        assert!(is(feeds.next().now_or_never(), 2, 1), "only the newest");
        assert!(feeds.next().now_or_never().is_none(), "each once");
        feeds.retain(|of| of == key(1));
        assert_eq!(second.receiver_count(), 0, "whoever makes jobs sees that nobody listens");
        let (waiting, ()) = tokio::join!(feeds.next(), async { publish(&first, 3) });
        assert!(is(Some(waiting), 1, 3));
        drop(first);
        assert!(feeds.next().await.is_none());
    }
}
