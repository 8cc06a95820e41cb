//! Stock RDP clients, each on a screen of its own: FreeRDP 2, FreeRDP 3, rdesktop. Started without decorations at the
//! upper left corner, so that the corner of the screen is the desktop. Called by the suites.

use super::display::Display;
use super::picture::Picture;
use super::process::{self, Process};
use super::wait;
use crate::root;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Which client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    FreeRdp2,
    FreeRdp3,
    Rdesktop,
    /// TigerVNC's viewer, for the bench.
    TigerVnc,
}

/// Who connects, where and how.
#[derive(Clone)]
pub struct Config<'a> {
    pub kind: Kind,
    /// `host:port`.
    pub address: &'a str,
    pub user: &'a str,
    pub password: &'a str,
    /// The size that the client asks for.
    pub size: (usize, usize),
    /// More command line words.
    pub more: &'a [&'a str],
    /// A host name to use instead of the address's host; the client resolves it to 127.0.0.1.
    pub host: Option<&'a str>,
}

/// A running client.
pub struct Client {
    pub process: Process,
    pub display: Display,
    name: String,
}

impl Client {
    /// Starts a client called `name`; its logs lie in `folder`. Does not wait for a picture.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(folder: &Path, name: &str, config: &Config<'_>) -> Result<Self> {
        Self::start_in(folder, name, config, process::again)
    }

    /// The same with a command line that `wrap` puts around the client's, for a network of its own.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start_in(
        folder: &Path,
        name: &str,
        config: &Config<'_>,
        wrap: impl FnOnce(&Command) -> Command,
    ) -> Result<Self> {
        let display = match config.kind {
            // It fills the screen and puts the picture in the middle.
            Kind::TigerVnc => Display::start_sized(folder, name, config.size)?,
            _ => Display::start(folder, name)?,
        };
        Self::start_on(folder, name, config, display, wrap)
    }

    /// The same on a screen that is there already.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start_on(
        folder: &Path,
        name: &str,
        config: &Config<'_>,
        display: Display,
        wrap: impl FnOnce(&Command) -> Command,
    ) -> Result<Self> {
        let home = folder.join(format!("{name}.home"));
        fs::create_dir_all(&home)?;
        let mut command = match config.host {
            None => program(config.kind),
            Some(host) => with_host(folder, name, host, config.kind)?,
        };
        let port = config.address.rsplit_once(':').context("an address without a port")?.1;
        let address = config
            .host
            .map_or_else(|| config.address.to_owned(), |host| format!("{host}:{port}"));
        words(&mut command, config, &address);
        let mut command = wrap(&command);
        command
            .env("DISPLAY", display.name())
            .env("HOME", &home)
            .env("XDG_CONFIG_HOME", home.join(".config"))
            .env("LANG", "C.UTF-8");
        command.env_remove("WAYLAND_DISPLAY").env_remove("XDG_RUNTIME_DIR");
        // rdesktop asks whether the certificate may be trusted.
        let process = Process::start(&command, &folder.join(format!("{name}.log")), "yes\nyes\n")?;
        Ok(Self {
            process,
            display,
            name: name.to_owned(),
        })
    }

    /// The upper left `size` pixels of its screen.
    ///
    /// # Errors
    /// When the client or its screen is gone.
    pub fn picture(&mut self, size: (usize, usize)) -> Result<Picture> {
        self.process.check().with_context(|| format!("client {}", self.name))?;
        self.display.screenshot()?.corner(size.0, size.1)
    }

    /// Waits until `wanted` likes its picture, and returns that.
    ///
    /// # Errors
    /// When the client ends, or none is liked within `limit`; the last one is kept as `NAME-last.png`.
    pub fn wait_for(
        &mut self,
        folder: &Path,
        limit: Duration,
        what: &str,
        size: (usize, usize),
        mut wanted: impl FnMut(&Picture) -> bool,
    ) -> Result<Picture> {
        let mut last = None;
        let name = self.name.clone();
        let found = wait::until(limit, &format!("client {name}: {what}"), || {
            let picture = self.picture(size)?;
            let is_good = wanted(&picture);
            last = Some(picture.clone());
            Ok(is_good.then_some(picture))
        });
        if let (Err(_), Some(last)) = (&found, last) {
            last.save(&folder.join(format!("{name}-last.png")))?;
        }
        found
    }

    /// Waits until it shows anything but one colour.
    ///
    /// # Errors
    /// As [`Client::wait_for`].
    pub fn wait_for_any(&mut self, folder: &Path, limit: Duration, size: (usize, usize)) -> Result<Picture> {
        self.wait_for(folder, limit, "shows a picture", size, |picture| picture.colors(2) >= 2)
    }

    /// Waits until it ends by itself and returns what it said.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait_for_end(&mut self, limit: Duration) -> Result<String> {
        let what = format!("client {} ends", self.name);
        let how = wait::until(limit, &what, || Ok(self.process.ended()))?;
        Ok(format!("{how}\n{}", self.process.output()))
    }
}

fn program(kind: Kind) -> Command {
    match kind {
        Kind::FreeRdp2 => Command::new("xfreerdp"),
        Kind::FreeRdp3 => Command::new(root::peers().join("freerdp3/xfreerdp3")),
        Kind::Rdesktop => Command::new("rdesktop"),
        Kind::TigerVnc => Command::new("xtigervncviewer"),
    }
}

/// The client under a hosts file of its own, in which `host` is this machine.
fn with_host(folder: &Path, name: &str, host: &str, kind: Kind) -> Result<Command> {
    let hosts = folder.join(format!("{name}.hosts"));
    fs::write(&hosts, format!("127.0.0.1 localhost {host}\n"))?;
    if !rustix::process::geteuid().is_root() {
        bail!("only root may give a client a hosts file of its own");
    }
    let mut command = Command::new("unshare");
    command
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            "mount --bind \"$0\" /etc/hosts && exec \"$@\"",
        ])
        .arg(hosts);
    command.arg(program(kind).get_program());
    Ok(command)
}

fn words(command: &mut Command, config: &Config<'_>, address: &str) {
    let (width, height) = config.size;
    match config.kind {
        Kind::FreeRdp2 | Kind::FreeRdp3 => {
            command
                .arg(format!("/v:{address}"))
                .arg(format!("/u:{}", config.user))
                .arg(format!("/p:{}", config.password));
            command
                .arg(format!("/size:{width}x{height}"))
                .args(["-decorations", "/log-level:INFO"]);
            command.arg(if config.kind == Kind::FreeRdp2 {
                "/cert-ignore"
            } else {
                "/cert:ignore"
            });
            command.args(config.more);
        }
        Kind::Rdesktop => {
            command
                .args(["-u", config.user, "-p", config.password, "-D", "-g"])
                .arg(format!("{width}x{height}"));
            command.args(config.more).arg(address);
        }
        Kind::TigerVnc => {
            command.args(["-SecurityTypes", "None", "-RemoteResize=0", "-Shared", "-FullScreen"]);
            command.args(config.more).arg(address.replace(':', "::"));
        }
    }
}
