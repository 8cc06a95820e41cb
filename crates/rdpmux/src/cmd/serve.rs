//! `rdpmux serve`: the daemon of a host.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use rdpmux_host::auth::Users;
use rdpmux_host::config::{self, Config};
use rdpmux_host::{Daemon, Identity};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, warn};

use super::ConfigFile;
use super::compat::Compat;
use crate::output;
use crate::serving::{self, StopSignals};

/// Serve the VMs of this host, as the configuration says
///
/// Runs until SIGTERM or Ctrl-C; VMs run on. SIGHUP reads grants and the default desktop again; the users file is
/// followed by itself.
#[derive(Debug, Args)]
#[command(after_long_help = config_page())]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    compat: Compat,
    /// Print one line of JSON when listening
    #[arg(long)]
    json: bool,
}

fn config_page() -> String {
    format!(
        "All settings with their defaults:\n\n{}\nA configuration to start from:\n\n{}",
        config::reference(),
        config::EXAMPLE
    )
}

impl Serve {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.load()?;
        let users = Arc::new(Users::from_file(&config.users_path())?);
        let identity = Identity::load(&config)?;
        warn_of(&config, &users);
        serving::block_on(async {
            let signals = StopSignals::new()?;
            let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
            let daemon = Daemon::start(&config, users, &identity).await?;
            output::write(&self.announcement(&daemon))?;
            self.follow(daemon, signals, hangup).await
        })?;
        Ok(ExitCode::SUCCESS)
    }

    fn load(&self) -> anyhow::Result<Config> {
        let as_file = || self.config.load();
        self.compat.config(&self.config.config).unwrap_or_else(as_file)
    }

    pub(super) fn default_log(&self) -> &'static str {
        self.compat.log().unwrap_or("info")
    }

    async fn follow(&self, mut daemon: Daemon, mut signals: StopSignals, mut hangup: Signal) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                biased;
                () = signals.next() => break,
                () = daemon.failed() => anyhow::bail!("the server ended by itself"),
                _ = hangup.recv() => self.reload(&daemon),
            }
        }
        serving::drain(daemon, signals).await;
        Ok(())
    }

    fn reload(&self, daemon: &Daemon) {
        match self.load() {
            Ok(config) => daemon.reload(&config),
            Err(error) => error!(%error, "configuration not read again; the old one stays in force"),
        }
    }

    fn announcement(&self, daemon: &Daemon) -> String {
        if !self.json {
            let vnc = daemon
                .vnc_address()
                .map(|address| format!("Listening for VNC viewers on {address}\n"));
            return format!(
                "Listening on {}\n{}Certificate SHA-256: {}\n",
                daemon.address(),
                vnc.unwrap_or_default(),
                daemon.fingerprint()
            );
        }
        let desktops: Vec<_> = daemon
            .desktops()
            .iter()
            .map(|name| json!({ "name": name.as_str() }))
            .collect();
        let line = json!({
            "address": daemon.address().to_string(),
            "certificate_sha256": daemon.fingerprint(),
            "desktops": desktops,
            "vnc": daemon.vnc_address().map(|address| address.to_string()),
        });
        format!("{line}\n")
    }
}

fn warn_of(config: &Config, users: &Users) {
    for warning in &config.warnings {
        warn!("{warning}");
    }
    if users.count() == 0 {
        warn!(users = %config.users_path().display(), "there are no users, so nobody can log in; run: rdpmux user add NAME");
    }
}
