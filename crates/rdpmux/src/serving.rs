//! Serving until told to stop: the runtime, the signals and the orderly end that `demo`, `run` and `serve` share.

use anyhow::Context;
use rdpmux_host::Daemon;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs a future on a runtime of all cores.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start threads")?;
    runtime.block_on(future)
}

/// SIGINT and SIGTERM. Made before anything is printed, so that whoever reads our output may signal at once.
pub(crate) struct StopSignals {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let hear = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    /// Resolves at the next of them. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Serves until a signal, then ends in order.
pub(crate) async fn until_stopped(mut daemon: Daemon, mut signals: StopSignals) -> anyhow::Result<()> {
    tokio::select! {
        biased;
        () = signals.next() => {}
        () = daemon.failed() => anyhow::bail!("the server ended by itself"),
    }
    drain(daemon, signals).await;
    Ok(())
}

/// Tells viewers and ends; a second signal does not wait for them.
pub(crate) async fn drain(daemon: Daemon, mut signals: StopSignals) {
    tokio::select! {
        biased;
        () = signals.next() => {}
        () = daemon.drain() => {}
    }
}
