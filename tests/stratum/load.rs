//! Many connections at once, by the load generator that users have.

use super::{Setup, soon};
use crate::support::jobs::{JobMaker, target};
use commonwork::bench::{Pace, Report, Settings, run};
use commonwork::open_files;
use sharechain::target::Target;
use sharechain::verify::Targets;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Shares as easy as difficulty 2^`exponent`, which keeps the difficulty of all miners there.
fn easy(exponent: i32) -> JobMaker {
    let targets = Targets { network: Target::MIN, block: Target::MIN, share: target(exponent) };
    JobMaker { targets, branch_len: 3, ..JobMaker::default() }
}

async fn load(settings: Settings) -> Report {
    soon(run(&settings, &CancellationToken::new())).await.expect("a server").expect("not stopped")
}

fn settings(server: String, connections: usize, pace: Pace, time: Duration) -> Settings {
    let (user, password) = ("bench".into(), "x".into());
    Settings { server, user, password, connections, pace, time, server_pid: Some(std::process::id()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_connections_are_held_while_jobs_change_and_submits_come() {
    assert!(open_files::raise() > 1_200, "the system lets this test open too few sockets");
    let mut running = Setup { most_sessions: 500, ..Setup::default() }.start();
    running.publish(easy(-32));
    let time = Duration::from_secs(3);
    let loaded = load(settings(running.address.to_string(), 500, Pace::Open(1_000.0), time));
    let report = tokio::select! {
        report = loaded => report,
        () = async {
            for id in 2.. {
                sleep(Duration::from_millis(300)).await;
                running.publish(JobMaker { id, ..easy(-32) });
            }
        } => unreachable!("jobs do not end"),
    };
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.ready, report.submits.unmade), (500, 0));
    assert!(report.submits.accepted > 0);
    let mut shares = 0;
    while running.shares.try_recv().is_ok() {
        shares += 1;
    }
    assert!(shares >= report.submits.accepted, "{shares} of {} are shares", report.submits.accepted);
    soon(running.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_generator_searches_is_accepted() {
    let running = Setup { share_queue: 1_000_000, ..Setup::default() }.start();
    running.publish(easy(-28));
    let time = Duration::from_millis(500);
    let report = load(settings(running.address.to_string(), 4, Pace::Closed(3), time)).await;
    assert!(report.is_clean() && report.submits.accepted > 0, "{report:?}");
    soon(running.stop()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_reports_and_fails_when_connections_do() {
    let running = Setup { most_sessions: 3, share_queue: 1_000_000, ..Setup::default() }.start();
    running.publish(easy(-32));
    let bench = |connections: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_commonwork"));
        command.args(["bench", "stratum", "--for", "200ms", "--json", "--connections", connections]);
        command.args(["--url", &running.address.to_string()]).stdin(Stdio::null()).kill_on_drop(true).output()
    };
    let output = soon(bench("3")).await.expect("a program");
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ready"], 3);
    assert!(report["submits"]["accepted"].as_u64() > Some(0), "{report}");
    // The places are free once the server has noticed.
    while running.sessions.count() > 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let output = soon(bench("5")).await.expect("a program");
    assert!(!output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ready"], 3);
    soon(running.stop()).await;
}
