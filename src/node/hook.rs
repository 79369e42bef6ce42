//! Runs the operator's command when something happens: one at a time, each with a bound on its time. It is told what
//! happened on its standard input, as `/v1/events` has it.

use super::tasks::Tasks;
use crate::api::events::Events;
use crate::api::form::EventForm;
use crate::config::EventCommand;
use sharechain::params::Network;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{info, warn};

/// Most events that wait for the command; what happens beyond it is not passed on.
const MAX_WAITING: usize = 64;
/// How long a command may run; then it is killed, with all that it started.
const MAX_TIME: Duration = Duration::from_secs(30);
/// How long what it started may still write when it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Bytes of a command's output that go into the log, and of its errors.
const MAX_OUTPUT: u64 = 4 * 1024;

/// Runs it from now on.
pub(super) fn start(command: EventCommand, network: Network, events: &Events, tasks: &Tasks) {
    let (sender, mut waiting) = mpsc::channel(MAX_WAITING);
    let (_, mut told) = events.listen();
    let mut gate = Gate { waiting: sender, missed: 0 };
    tasks.spawn_until_stop("events-heard", async move {
        loop {
            match told.recv().await {
                Ok(told) => gate.pass(&told.event),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    let mut hook = Hook { command, network, time: MAX_TIME, is_failing: false };
    tasks.spawn_until_stop("on-event", async move {
        while let Some((event, says)) = waiting.recv().await {
            hook.run(&event, &says).await;
        }
    });
}

/// What the command is run for, in words.
fn says(event: &EventForm) -> Option<String> {
    Some(match event {
        EventForm::BitcoinBlock { bitcoin_height, hash, own } => {
            let finder = if *own { "a miner of this node" } else { "another node of the pool" };
            format!("Bitcoin block {bitcoin_height} was found by {finder}: {}", hash.0)
        }
        EventForm::WorkerGone { name, silent_seconds, .. } => {
            format!("worker {name} has gone: no share for {} minutes", silent_seconds / 60)
        }
        EventForm::WorkerBack { name, silent_seconds, .. } => {
            format!("worker {name} is back after {} minutes", silent_seconds / 60)
        }
        EventForm::Alarm { says, cure, .. } => format!("ALARM: {says}; {cure}"),
        EventForm::AlarmCleared { says, .. } => format!("over: {says}"),
        EventForm::Share { .. }
        | EventForm::ShareBlock { .. }
        | EventForm::Reorganised { .. }
        | EventForm::BitcoinBlockAnswered { .. }
        | EventForm::Missed { .. } => return None,
    })
}

/// Lets as many events in as may wait.
struct Gate {
    waiting: mpsc::Sender<(EventForm, String)>,
    /// Not let in since the last that was.
    missed: u64,
}

impl Gate {
    fn pass(&mut self, event: &EventForm) {
        let Some(says) = says(event) else { return };
        match self.waiting.try_send((event.clone(), says)) {
            Ok(()) if self.missed > 0 => {
                warn!(
                    events = self.missed,
                    "--on-event was not run for so many: they came faster than it ended"
                );
                self.missed = 0;
            }
            Ok(()) => {}
            Err(_) => {
                if self.missed == 0 {
                    warn!(
                        "too much happens for --on-event: {MAX_WAITING} events wait, further ones are dropped"
                    );
                }
                self.missed = self.missed.saturating_add(1);
            }
        }
    }
}

/// Why the command did not do what it should.
#[derive(Debug, Error)]
enum Failure {
    #[error("it cannot be started: {0}. Is the path right, and may the node's user execute it?")]
    Start(#[source] io::Error),
    #[error("it was killed, since it took longer than {} s. What takes long belongs into a service of its own", .0.as_secs())]
    Slow(Duration),
    #[error("it ended with {0}; what it said is in the log")]
    Status(ExitStatus),
    #[error("it cannot be waited for: {0}")]
    Wait(#[source] io::Error),
}

struct Hook {
    command: EventCommand,
    network: Network,
    time: Duration,
    /// So that a wrong path is said once.
    is_failing: bool,
}

impl Hook {
    async fn run(&mut self, event: &EventForm, says: &str) {
        let result = self.attempt(event, says).await;
        match (&result, self.is_failing) {
            (Err(failure), false) => {
                let program = self.command.program();
                warn!(
                    program,
                    event = event.name(),
                    "--on-event failed: {failure}. The next failures are not said"
                );
            }
            (Ok(()), true) => info!("--on-event works again"),
            _ => {}
        }
        self.is_failing = result.is_err();
    }

    async fn attempt(&self, event: &EventForm, says: &str) -> Result<(), Failure> {
        let mut child = self.spawn(event, says).map_err(Failure::Start)?;
        // Whatever happens here, also when the node stops meanwhile, nothing of it is left.
        let _family = Family::of(&child);
        let mut line = serde_json::to_vec(event).expect("an event holds nothing that JSON cannot say");
        line.push(b'\n');
        let stdin = child.stdin.take();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let feed = async {
            if let Some(mut stdin) = stdin {
                // It need not read.
                let _ = stdin.write_all(&line).await;
            }
        };
        let talk = async {
            tokio::join!(feed, log("output", event, stdout), log("errors", event, stderr));
        };
        tokio::pin!(talk);
        let mut is_silent = false;
        let ended = async {
            loop {
                tokio::select! {
                    () = &mut talk, if !is_silent => is_silent = true,
                    ended = child.wait() => return ended,
                }
            }
        };
        let status = timeout(self.time, ended).await.map_err(|_| Failure::Slow(self.time))?;
        if !is_silent {
            // What it left running may hold its output open.
            let _ = timeout(LAST_WORDS, talk).await;
        }
        let status = status.map_err(Failure::Wait)?;
        if status.success() { Ok(()) } else { Err(Failure::Status(status)) }
    }

    fn spawn(&self, event: &EventForm, says: &str) -> io::Result<Child> {
        // Neither a variable nor a terminal takes these.
        let says: String = says.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let mut command = Command::new(self.command.program());
        command
            .args(self.command.arguments())
            .env("COMMONWORK_EVENT", event.name())
            .env("COMMONWORK_SAYS", says)
            .env("COMMONWORK_NETWORK", self.network.name())
            .env_remove("COMMONWORK_RPC_PASSWORD")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command.spawn()
    }
}

/// Logs the beginning of what a command says, and reads the rest so that it can go on.
async fn log(what: &'static str, event: &EventForm, stream: Option<impl AsyncRead + Unpin>) {
    let Some(mut stream) = stream else { return };
    let mut bytes = Vec::new();
    let _ = (&mut stream).take(MAX_OUTPUT).read_to_end(&mut bytes).await;
    let text = String::from_utf8_lossy(&bytes);
    if !text.trim().is_empty() {
        info!(event = event.name(), text = ?text.trim(), "{what} of --on-event");
    }
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
}

/// A command and all that it started, killed at the end.
struct Family {
    #[cfg(unix)]
    group: Option<rustix::process::Pid>,
}

impl Family {
    #[cfg(unix)]
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self { group: id.and_then(rustix::process::Pid::from_raw) }
    }

    #[cfg(not(unix))]
    const fn of(_: &Child) -> Self {
        Self {}
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        #[cfg(unix)]
        if let Some(group) = self.group {
            // An error means that nobody of it is left.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::{Path, PathBuf};

    fn script(folder: &Path, text: &str) -> EventCommand {
        let path = folder.join("on event.sh");
        fs::write(&path, format!("#!/bin/sh\n{text}")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a mode");
        format!("'{}' '{}'", path.display(), folder.display()).parse().expect("a command")
    }

    fn gone(name: &str) -> EventForm {
        EventForm::WorkerGone { time: 7, name: name.into(), silent_seconds: 600 }
    }

    fn hook(command: EventCommand, time: Duration) -> Hook {
        Hook { command, network: Network::Main, time, is_failing: false }
    }

    const LONG: Duration = Duration::from_secs(600);

    #[tokio::test]
    async fn a_script_is_told_what_happened() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "cat > \"$1/json\"\nenv > \"$1/env\"\necho \"$COMMONWORK_SAYS\" > \"$1/says\"\n";
        let hook = hook(script(folder.path(), text), LONG);
        let event = gone("rig \"$(touch x)\"\0\n");
        let words = says(&event).expect("it is told");
        hook.attempt(&event, &words).await.expect("it ends well");
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("written");
        assert_eq!(serde_json::from_str::<EventForm>(&read("json")).expect("JSON"), event);
        assert_eq!(read("says"), "worker rig \"$(touch x)\"?? has gone: no share for 10 minutes\n");
        let env = read("env");
        for line in ["COMMONWORK_EVENT=worker-gone", "COMMONWORK_NETWORK=main"] {
            assert!(env.lines().any(|known| known == line), "{line} is not in {env}");
        }
        assert!(!env.contains("RPC_PASSWORD"));
    }

    /// Whether a process is there and no zombie.
    fn runs(pid: &str) -> bool {
        fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "sleep 600 & echo $! > \"$1/child\"; echo $$ > \"$1/self\"; wait\n";
        let mut hook = hook(script(folder.path(), text), Duration::from_secs(2));
        let result = hook.attempt(&gone("rig"), "").await;
        assert!(matches!(result, Err(Failure::Slow(_))), "{result:?}");
        for name in ["child", "self"] {
            let pid = fs::read_to_string(folder.path().join(name)).expect("it began");
            while cfg!(target_os = "linux") && runs(pid.trim()) {
                tokio::task::yield_now().await;
            }
        }
        // One that ends, and leaves somebody behind who holds its output open.
        hook.command = script(folder.path(), "sleep 600 & echo $! > \"$1/child\"\n");
        hook.time = LONG;
        hook.attempt(&gone("rig"), "").await.expect("it ended by itself");
        let pid = fs::read_to_string(folder.path().join("child")).expect("it began");
        while cfg!(target_os = "linux") && runs(pid.trim()) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn failures_and_floods_of_output_harm_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let text = "head -c 3000000 /dev/zero; echo no >&2; exit 3\n";
        let mut hook = hook(script(folder.path(), text), LONG);
        let result = hook.attempt(&gone("rig"), "").await;
        assert!(matches!(&result, Err(Failure::Status(status)) if status.code() == Some(3)), "{result:?}");
        hook.command = PathBuf::from("/none/such").display().to_string().parse().expect("a command");
        let result = hook.attempt(&gone("rig"), "").await;
        assert!(
            matches!(&result, Err(failure @ Failure::Start(_)) if failure.to_string().contains("execute"))
        );
        hook.run(&gone("rig"), "").await;
        assert!(hook.is_failing);
        hook.command = script(folder.path(), "exit 0\n");
        hook.run(&gone("rig"), "").await;
        assert!(!hook.is_failing, "a command that reads nothing is right, too");
    }

    #[test]
    fn a_flood_of_events_is_cut() {
        let (sender, mut waiting) = mpsc::channel(MAX_WAITING);
        let mut gate = Gate { waiting: sender, missed: 0 };
        gate.pass(&EventForm::Missed { events: 1 });
        (0..MAX_WAITING + 7).for_each(|n| gate.pass(&gone(&n.to_string())));
        assert_eq!((gate.missed, waiting.len()), (7, MAX_WAITING));
        assert_eq!(waiting.try_recv().expect("the first").0, gone("0"));
        gate.pass(&gone("later"));
        assert_eq!(gate.missed, 0);
    }
}
