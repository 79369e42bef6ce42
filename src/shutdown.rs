//! How the program is asked to end: Ctrl-C or SIGTERM once for an orderly end, twice for an end at once.

use tokio_util::sync::CancellationToken;

/// Exit code of a program that was told twice, as shells have it for Ctrl-C.
const INTERRUPTED: i32 = 130;

/// A token that is cancelled by the first signal; the second ends the process. Must be called inside a runtime.
pub fn on_signal() -> CancellationToken {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    tokio::spawn(async move {
        if let Err(error) = signal().await {
            tracing::warn!(%error, "signals cannot be listened for; stop this program with kill");
            return;
        }
        tracing::info!("stopping; once more to stop at once");
        cancelled.cancel();
        if signal().await.is_ok() {
            std::process::exit(INTERRUPTED);
        }
    });
    token
}

#[cfg(unix)]
async fn signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn signal() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
