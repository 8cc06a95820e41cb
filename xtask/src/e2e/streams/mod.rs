//! Suite `streams`: character devices of real machines through the product's own clients. A file for each kind of case; here
//! is what they share. Called by `e2e`.

mod bombs;
mod chord;
mod heads;
mod outside;
mod proxy;
mod remote;
mod rfb;
mod shell;
mod takeover;
mod viewer;

use super::daemon;
use super::process::Process;
use super::report::{Case, Suite, Wanted};
use super::wait;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let mut suite = Suite::new("streams", wanted);
    shell::cases(&mut suite);
    heads::cases(&mut suite);
    chord::cases(&mut suite);
    remote::cases(&mut suite);
    takeover::cases(&mut suite);
    outside::cases(&mut suite);
    rfb::cases(&mut suite);
    bombs::cases(&mut suite);
    suite.finish()
}

/// Who may type and who may watch.
const GRANTS: &str = r#"
[[grant]]
users = ["alice"]
vms = ["web1"]
rights = ["control"]
streams = "write"

[[grant]]
users = ["bob"]
vms = ["web1"]
rights = ["view"]
streams = "watch"
"#;

const DEVICE: [&str; 4] = [
    "-chardev",
    "dbus,id=serial1,name=org.qemu.console.serial.1",
    "-serial",
    "chardev:serial1",
];

fn said(watcher: &Process, what: &str) -> Result<()> {
    wait::for_true(wait::seconds(60), &format!("the guest says {what:?}"), || {
        Ok(watcher.output().contains(what))
    })
    .with_context(|| format!("it said:\n{}", watcher.output().escape_debug()))
}

/// The product's commands.
struct Shop {
    socket: PathBuf,
    folder: PathBuf,
}

impl Shop {
    fn new(case: &Case) -> Self {
        Self {
            socket: case.sockets.path().join("admin.sock"),
            folder: case.folder.clone(),
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(daemon::program());
        command.args(words).arg("--socket").arg(&self.socket);
        command.current_dir(&self.folder);
        command
    }

    fn run(&self, words: &[&str], input: &str) -> Result<Output> {
        let mut command = self.command(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("no pipe")?.write_all(input.as_bytes())?;
        Ok(child.wait_with_output()?)
    }

    fn does(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words, "")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "rdpmux {}: {said}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn listed(&self) -> Result<Vec<String>> {
        let output = self.run(&["streams", "web1", "--json"], "")?;
        // Not there yet.
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let names = list.as_array().into_iter().flatten();
        Ok(names
            .filter_map(|one| Some(one["stream"].as_str()?.to_owned()))
            .collect())
    }

    fn console(&self, name: &str, words: &[&str]) -> Result<Process> {
        let command = self.command(&[&["console", "web1/serial1"], words].concat());
        Process::start(&command, &self.folder.join(format!("{name}.log")), "")
    }

    /// Somebody at a terminal.
    fn typist(&self) -> Result<Typist> {
        self.typist_at("web1")
    }

    fn typist_at(&self, stream: &str) -> Result<Typist> {
        let program = daemon::program();
        let words = format!(
            "{} console {stream} --socket {}",
            program.display(),
            self.socket.display()
        );
        Typist::start(&self.folder, "typist", &words)
    }
}

struct Typist {
    child: Child,
    keyboard: ChildStdin,
}

impl Typist {
    /// Runs a console at a terminal of its own, whose log is `NAME.log`, until it is ready.
    fn start(folder: &Path, name: &str, words: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.log"));
        let log = File::create(&path)?;
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "script", "-qfec", words, "/dev/null"])
            .env("HOME", folder.join("home"))
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start script")?;
        let keyboard = child.stdin.take().context("no pipe to the terminal")?;
        let mut typist = Self { child, keyboard };
        wait::for_true(wait::seconds(30), "the terminal is ready", || {
            let said = fs::read_to_string(&path).unwrap_or_default();
            ensure!(typist.child.try_wait()?.is_none(), "it ended: {said}");
            Ok(said.contains("~. leaves"))
        })?;
        Ok(typist)
    }

    fn types(&mut self, text: &str) -> Result<()> {
        self.keyboard.write_all(text.as_bytes()).context("the terminal is gone")
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
