//! The node's tasks: each has a name for the log, and whichever ends first ends the others.

use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

/// How long a task may take to end after the stop.
const FAREWELL: Duration = Duration::from_secs(15);

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

/// Long enough after the stop for every task to have ended by itself.
async fn patience(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FAREWELL).await;
}
