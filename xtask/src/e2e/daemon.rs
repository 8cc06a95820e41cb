//! The product under test: `target/release/rdpmux`, started by one of its commands and known by its JSON line.
//! Called by the suites.

use super::process::Process;
use super::wait;
use crate::{root, steps};
use anyhow::{Context, Result};
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A running daemon.
pub struct Daemon {
    pub process: Process,
    pub address: String,
    pub desktops: Vec<Desktop>,
}

/// One line of its list of desktops.
#[derive(Clone, Debug)]
pub struct Desktop {
    pub name: String,
    pub user: String,
    pub password: String,
    /// `control` or `view`.
    pub rights: String,
}

impl Desktop {
    /// The user name that also chooses this desktop.
    pub fn login(&self) -> String {
        format!("{}#{}", self.user, self.name)
    }
}

/// Builds the product in its release form.
///
/// # Errors
/// When it does not build.
pub fn build() -> Result<()> {
    steps::run(steps::cargo().args(["build", "--quiet", "--release", "--package", "rdpmux"]))
}

/// The program.
pub fn program() -> PathBuf {
    root::cargo_target().join("release/rdpmux")
}

impl Daemon {
    /// `rdpmux WORDS --json --listen 127.0.0.1:0` in `folder`, whose home it is too.
    ///
    /// # Errors
    /// When it does not print its line within 20 s.
    pub fn start(folder: &Path, words: &[&str]) -> Result<Self> {
        Self::start_command(folder, Command::new(program()).args(words))
    }

    /// Any command line of the product whose first line of output is the JSON line.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn start_command(folder: &Path, command: &mut Command) -> Result<Self> {
        let home = folder.join("home");
        fs::create_dir_all(&home)?;
        command
            .env("HOME", &home)
            .env("XDG_STATE_HOME", home.join("state"))
            .env("XDG_RUNTIME_DIR", &home);
        let is_told = command.get_envs().any(|(key, _)| key == "RUST_LOG");
        if std::env::var_os("RUST_LOG").is_none() && !is_told {
            command.env("RUST_LOG", "info,rdpmux_server=debug,rdpmux_guest=debug");
        }
        command.current_dir(folder);
        let mut process = Process::start(command, &folder.join("daemon.log"), "")?;
        let line = wait::until(wait::seconds(20), "the daemon prints its JSON line", || {
            process.check()?;
            let output = process.output();
            Ok(output
                .lines()
                .find(|line| line.starts_with('{') && line.ends_with('}'))
                .map(str::to_owned))
        })?;
        let json: Value = serde_json::from_str(&line)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let desktops = json["desktops"].as_array().context("the JSON line has no desktops")?;
        let desktops = desktops
            .iter()
            .map(|desktop| Desktop {
                name: text(&desktop["name"]),
                user: text(&desktop["user"]),
                password: text(&desktop["password"]),
                rights: text(&desktop["rights"]),
            })
            .collect();
        Ok(Self {
            process,
            address: text(&json["address"]),
            desktops,
        })
    }

    /// Waits until the daemon has found the machine `name` and is attached to it.
    ///
    /// # Errors
    /// When it is not within 10 s.
    pub fn wait_for_machine(&self, name: &str) -> Result<()> {
        let words = ["attached to qemu".to_owned(), format!("guest={name}")];
        let is_there = |line: &str| words.iter().all(|word| line.contains(word));
        wait::for_true(wait::seconds(10), &format!("the daemon finds {name}"), || {
            Ok(self.process.output().lines().any(is_there))
        })
    }

    /// Waits until a desktop can be asked for.
    ///
    /// # Errors
    /// When there is none after 30 s.
    pub fn wait_for_desktop(&self, name: &str) -> Result<()> {
        let end = format!("desktop={name}");
        let is_there = |line: &str| line.contains(" added ") && line.contains(&end);
        wait::for_true(wait::seconds(30), &format!("there is {name}"), || {
            Ok(self.process.output().lines().any(is_there))
        })
    }

    /// How pictures are sent to the client that became ready last.
    pub fn pipe(&self) -> String {
        let log = self.process.output();
        let line = log.lines().rev().find(|line| line.contains("graphics ready"));
        line.and_then(|line| line.split_once("pipe="))
            .map_or_else(String::new, |(_, pipe)| pipe.trim().to_owned())
    }

    /// The desktop called `name`.
    ///
    /// # Errors
    /// When the daemon did not list it.
    pub fn desktop(&self, name: &str) -> Result<&Desktop> {
        self.desktops
            .iter()
            .find(|desktop| desktop.name == name)
            .with_context(|| format!("no desktop {name} in {:?}", self.desktops))
    }
}

/// Adds a user to the daemon's file, as an operator would.
///
/// # Errors
/// When the command fails.
pub fn add_user(config: &Path, name: &str, password: &str) -> Result<()> {
    let mut child = Command::new(program())
        .args(["user", "add", name, "--password-stdin", "--config"])
        .arg(config)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("cannot start rdpmux user add")?;
    writeln!(child.stdin.take().context("no pipe to rdpmux user add")?, "{password}")?;
    anyhow::ensure!(child.wait()?.success(), "rdpmux user add {name} failed");
    Ok(())
}
