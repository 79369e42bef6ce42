//! The node's tasks: each has a name for the log, and whichever ends first ends the others.

use std::time::Duration;
use std::{io, thread};
use tokio::runtime;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// How long a task may take to end after the stop.
const FAREWELL: Duration = Duration::from_secs(15);
/// How much a thread apart gives way to others: to a third of the time of one that wants the same processor.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;

/// The tasks that run.
#[derive(Default)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    /// Cancelled when they are to end.
    pub(super) stop: CancellationToken,
}

impl Tasks {
    /// A task that may be dropped wherever it stands when the node stops.
    pub(super) fn spawn_until_stop(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.spawn(name, async move {
            let _ = stop.run_until_cancelled(task).await;
        });
    }

    /// A task that ends by itself when the node stops.
    pub(super) fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
            // Dropped on a panic too.
            let _end = stop.clone().drop_guard();
            tokio::select! {
                () = task => if !stop.is_cancelled() { error!(task = name, "ended before its time") },
                () = patience(&stop) => warn!(task = name, "did not end in time and was dropped"),
            }
        });
    }

    /// The same on a thread of its own, which gives way to all others on Linux: however much there is to do, it takes one
    /// processor at most, and a quarter of one that another thread wants.
    pub(super) fn spawn_apart(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().thread_name(name).build()?;
        let (ends, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.into()).spawn(move || {
            // Dropped on a panic too.
            let _ends = ends;
            give_way();
            runtime.block_on(task);
            // What it began and left must not hold the end up.
            runtime.shutdown_background();
        })?;
        self.spawn(name, async {
            // Nothing is ever sent: it ends with the thread.
            let _ = ended.await;
        });
        Ok(())
    }

    /// Runs until `shutdown` is done or one of them has ended; then tells all to end, and waits until they have.
    pub(super) async fn run(&self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => info!("stopping"),
            () = self.stop.cancelled() => {}
        }
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// Lets other threads go first. Elsewhere than on Linux niceness belongs to the whole process.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICENESS) {
        warn!(%error, "a thread that should give way to others cannot");
    }
}

/// Long enough after the stop for every task to have ended by itself.
async fn patience(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FAREWELL).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_apart_is_waited_for_and_its_end_is_noticed() {
        let tasks = Tasks::default();
        let (told, name) = oneshot::channel();
        let stop = tasks.stop.clone();
        let task = async move {
            let _ = told.send(thread::current().name().map(str::to_owned));
            stop.cancelled().await;
        };
        tasks.spawn_apart("apart", task).expect("a thread");
        assert_eq!(name.await.expect("it runs").as_deref(), Some("apart"));
        tasks.run(async {}).await;
        for panics in [false, true] {
            let tasks = Tasks::default();
            let task = async move { assert!(!panics, "this is meant to happen") };
            tasks.spawn_apart("apart", task).expect("a thread");
            // The end of one is the end of all.
            tasks.run(std::future::pending()).await;
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_the_thread_apart_gives_way() {
        let niceness = || rustix::process::getpriority_process(None).expect("always known");
        let here = niceness();
        let tasks = Tasks::default();
        let (told, there) = oneshot::channel();
        tasks
            .spawn_apart("apart", async move { told.send(niceness()).expect("waited for") })
            .expect("a thread");
        assert_eq!(there.await.expect("it runs"), (here + NICENESS).min(19));
        assert_eq!(niceness(), here);
        tasks.run(async {}).await;
    }
}
