//! Runs the operator's command when something happens: one at a time, each with a bound on its time. It is told what
//! happened on its standard input, as `/v1/events` has it.

use super::tasks::Tasks;
use crate::api::events::Events;
use crate::api::form::EventForm;
use crate::config::EventCommand;
use sharechain::params::Network;
use std::ffi::OsString;
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

/// Most events that wait for the command; what happens beyond it is not passed on. Half of them is not for workers.
const MAX_WAITING: usize = 64;
/// How the node's own variables begin.
const OWN: &[u8] = b"COMMONWORK_";
/// How long a command may run; then it is killed, with its process group.
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
                Err(RecvError::Lagged(events)) => gate.miss(events),
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
        // A farm that goes away at once must not crowd out a Bitcoin block.
        let is_of_worker = matches!(event, EventForm::WorkerGone { .. } | EventForm::WorkerBack { .. });
        if is_of_worker && self.waiting.capacity() <= MAX_WAITING / 2 {
            return self.miss(1);
        }
        match self.waiting.try_send((event.clone(), says)) {
            Ok(()) if self.missed > 0 => {
                warn!(
                    events = self.missed,
                    "--on-event was not run for so many: they came faster than it ended"
                );
                self.missed = 0;
            }
            Ok(()) => {}
            Err(_) => self.miss(1),
        }
    }

    fn miss(&mut self, events: u64) {
        if self.missed == 0 {
            warn!(
                "too much happens for --on-event: events are dropped until some of those that wait are done"
            );
        }
        self.missed = self.missed.saturating_add(events);
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
        let inherited = std::env::vars_os().map(|(name, _)| name);
        let mut child = self.command(event, says, inherited).spawn().map_err(Failure::Start)?;
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

    /// It inherits these variables but the node's own: a login for bitcoind may be in any of them.
    fn command(
        &self,
        event: &EventForm,
        says: &str,
        inherited: impl IntoIterator<Item = OsString>,
    ) -> Command {
        // Neither a variable nor a terminal takes these.
        let says: String = says.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let mut command = Command::new(self.command.program());
        for name in inherited.into_iter().filter(|name| name.as_encoded_bytes().starts_with(OWN)) {
            command.env_remove(name);
        }
        command
            .args(self.command.arguments())
            .env("COMMONWORK_EVENT", event.name())
            .env("COMMONWORK_SAYS", says)
            .env("COMMONWORK_NETWORK", self.network.name())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        command
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

/// The process group of a command, killed at the end: what it started, unless that left the group.
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
    use std::path::{Path, PathBuf};

    /// Run by a shell that is there already: a file that was just written may still be open for that in a process that
    /// another test is starting, and can then not be executed.
    fn script(folder: &Path, text: &str) -> EventCommand {
        let path = folder.join("on event.sh");
        fs::write(&path, text).expect("written");
        format!("sh '{}' '{}'", path.display(), folder.display()).parse().expect("a command")
    }

    /// Waits for something that takes milliseconds.
    async fn until(what: &str, is_so: impl Fn() -> bool) {
        let wait = async {
            while !is_so() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, wait).await.unwrap_or_else(|_| panic!("waiting for {what}"));
    }

    fn gone(name: &str) -> EventForm {
        EventForm::WorkerGone { time: 7, name: name.into(), silent_seconds: 600 }
    }

    fn hook(command: EventCommand, time: Duration) -> Hook {
        Hook { command, network: Network::Main, time, is_failing: false }
    }

    /// Longer than anything here takes on the slowest machine.
    const LONG: Duration = Duration::from_secs(120);

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
    }

    #[test]
    fn variables_of_the_node_are_not_inherited() {
        let hook = hook("sh".parse().expect("a command"), LONG);
        let inherited = ["COMMONWORK_BITCOIND", "PATH", "COMMONWORK_RPC_PASSWORD", "COMMONWORK_EVENT"];
        let command = hook.command(&gone("rig"), "x", inherited.map(OsString::from));
        let of = |name: &str| {
            command.as_std().get_envs().find(|(known, _)| *known == name).map(|(_, value)| value)
        };
        assert_eq!([of("COMMONWORK_BITCOIND"), of("COMMONWORK_RPC_PASSWORD")], [Some(None), Some(None)]);
        assert_eq!((of("PATH"), of("COMMONWORK_EVENT")), (None, Some(Some("worker-gone".as_ref()))));
    }

    /// Whether the process is there, and no zombie, whose number a script wrote into this file.
    fn runs(folder: &Path, file: &str) -> bool {
        let Ok(pid) = fs::read_to_string(folder.join(file)) else { return false };
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_hangs_is_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let hook = hook(script(folder.path(), "sleep 600\n"), MAX_TIME);
        let result = hook.attempt(&gone("rig"), "").await;
        assert!(matches!(result, Err(Failure::Slow(MAX_TIME))), "{result:?}");
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn nothing_is_left_of_a_command_that_is_given_up_or_has_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path();
        let begin = "sleep 600 & echo $! > \"$1/draft\"; mv \"$1/draft\" \"$1/child\"\n";
        let mut hook = hook(script(place, &format!("{begin}wait\n")), LONG);
        let event = gone("rig");
        tokio::select! {
            result = hook.attempt(&event, "") => panic!("{result:?}"),
            () = until("its child", || runs(place, "child")) => {}
        }
        until("the end of its child", || !runs(place, "child")).await;
        // One that ends, and leaves somebody behind who holds its output open.
        fs::remove_file(place.join("child")).expect("it was there");
        hook.command = script(place, begin);
        hook.attempt(&event, "").await.expect("it ended by itself");
        assert!(place.join("child").exists());
        until("the end of its child", || !runs(place, "child")).await;
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
        gate.pass(&EventForm::Missed { events: 1, restarted: false });
        (0..MAX_WAITING / 2 + 7).for_each(|n| gate.pass(&gone(&n.to_string())));
        assert_eq!((gate.missed, waiting.len()), (7, MAX_WAITING / 2), "half of the places are for others");
        let alarm = EventForm::Alarm { time: 1, id: "i".into(), says: "s".into(), cure: "c".into() };
        (0..MAX_WAITING / 2 + 1).for_each(|_| gate.pass(&alarm));
        gate.miss(2);
        assert_eq!((gate.missed, waiting.len()), (3, MAX_WAITING), "told of the seven, and counted anew");
        assert_eq!(waiting.try_recv().expect("the first").0, gone("0"));
        gate.pass(&alarm);
        assert_eq!(gate.missed, 0);
    }
}
