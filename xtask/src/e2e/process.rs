//! Long-lived programs of a case: started with their output in a log, ended by their own id when dropped, and ended by
//! the kernel when we die. Called by the drivers for daemon, QEMU, Xvfb and clients.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// A program of ours.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    is_stopped: bool,
}

/// How long a program may take to end when it is asked to.
const GRACE: Duration = Duration::from_secs(5);

impl Process {
    /// Starts `command` with its output in `log`; `input` is what it reads.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(command: &Command, log: &Path, input: &str) -> Result<Self> {
        let file = fs::File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let text = log.with_extension("in");
        fs::write(&text, input)?;
        let name = command.get_program().to_string_lossy().into_owned();
        let mut guarded = below(&["setpriv", "--pdeathsig", "KILL"], command);
        guarded
            .stdin(fs::File::open(&text)?)
            .stdout(file.try_clone()?)
            .stderr(file);
        let child = guarded.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self {
            child,
            name,
            log: log.to_path_buf(),
            is_stopped: false,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// How it ended, `None` while it runs.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(status.code().map_or_else(
            || format!("signal {}", status.signal().unwrap_or(0)),
            |code| format!("status {code}"),
        ))
    }

    /// Fails when it has ended, with the end of its log.
    ///
    /// # Errors
    /// See above.
    pub fn check(&mut self) -> Result<()> {
        if let Some(how) = self.ended() {
            bail!("{} ended with {how}: {}", self.name, crate::steps::tail(&self.log, 12));
        }
        Ok(())
    }

    /// Stops it from running (SIGSTOP).
    ///
    /// # Errors
    /// When it is gone.
    pub fn suspend(&mut self) -> Result<()> {
        self.is_stopped = true;
        self.signal(Signal::STOP)
    }

    /// Lets it run on.
    ///
    /// # Errors
    /// When it is gone.
    pub fn resume(&mut self) -> Result<()> {
        self.is_stopped = false;
        self.signal(Signal::CONT)
    }

    /// Ends it at once (SIGKILL) and waits for it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end (SIGTERM) and does not wait.
    ///
    /// # Errors
    /// When it is gone.
    pub fn ask_to_end(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Asks it to end, and ends it when it does not within five seconds.
    pub fn end(&mut self) {
        if self.is_stopped || self.signal(Signal::TERM).is_err() {
            return self.kill();
        }
        let started = Instant::now();
        while started.elapsed() < GRACE {
            if self.ended().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    /// Resident memory in KiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn memory(&self) -> Result<u64> {
        memory(self.id())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = i32::try_from(self.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("bad process id")?;
        kill_process(id, signal).with_context(|| format!("cannot signal {}", self.name))
    }
}

/// `command` started by the program and words of `starter`, with the same environment and folder.
pub fn below(starter: &[&str], command: &Command) -> Command {
    let mut words = starter.iter().map(std::ffi::OsStr::new).chain([command.get_program()]);
    let mut result = Command::new(words.next().unwrap_or_else(|| command.get_program()));
    result.args(words).args(command.get_args());
    surround(&mut result, command);
    result
}

/// `command` with an argument before its others.
pub fn with_first(argument: &Path, command: &Command) -> Command {
    let mut result = Command::new(command.get_program());
    result.arg(argument).args(command.get_args());
    surround(&mut result, command);
    result
}

/// Gives `result` the environment and the folder of `command`.
fn surround(result: &mut Command, command: &Command) {
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => result.env(key, value),
            None => result.env_remove(key),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        result.current_dir(folder);
    }
}

/// `command` as it is.
pub fn again(command: &Command) -> Command {
    below(&[], command)
}

/// Resident memory of process `id` in KiB.
///
/// # Errors
/// When there is no such process.
pub fn memory(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).with_context(|| format!("process {id} has ended"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("the process has no memory")?;
    line.split_whitespace()
        .next()
        .and_then(|text| text.parse().ok())
        .context("unknown form of VmRSS")
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
