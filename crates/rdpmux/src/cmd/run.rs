//! `rdpmux run -- qemu-system-x86_64 …`: starts that QEMU with a display of ours added and serves it until it ends.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use clap::Args;
use rdpmux_host::config::{Layout, Machine, Source, TakeOver};
use rdpmux_model::DesktopName;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::demo::Door;
use super::usage;
use crate::scratch::ScratchDir;
use crate::serving::{self, StopSignals};

/// Start a QEMU and serve its screen until it ends
///
/// Adds `-display dbus,p2p=yes` and a QMP socket to the command line, which otherwise stays as it is. Ctrl-C asks QEMU to
/// end and waits for it; a second one kills it. The exit status is QEMU's.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux run -- qemu-system-x86_64 -m 2G -cdrom debian.iso
  rdpmux run --name web1 --listen 0.0.0.0:3389 -- qemu-system-x86_64 -accel kvm -m 4G web1.qcow2

Add `-usb -device usb-tablet` for a pointer that follows yours, and `-device virtio-vga` for quick pictures.")]
pub(crate) struct Run {
    /// Name of the desktop [default: QEMU's -name, else `vm`]
    #[arg(long, value_parser = desktop_name)]
    name: Option<DesktopName>,
    /// Keyboard layout of the guest, for example `de`, for clients that send characters [default: the client's]
    #[arg(long, value_name = "NAME", value_parser = layout)]
    layout: Option<Layout>,
    #[command(flatten)]
    door: Door,
    /// QEMU and its arguments
    #[arg(last = true, required = true, value_name = "QEMU")]
    command: Vec<OsString>,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if let Some(mistake) = mistake(&self.command) {
            return usage(mistake);
        }
        let name = self
            .name
            .clone()
            .or_else(|| name_of(&self.command))
            .unwrap_or(DesktopName::new("vm")?);
        let scratch = ScratchDir::new()?;
        let socket = scratch.path().join("qmp");
        let status = serving::block_on(self.serve(
            Machine {
                name,
                source: Source::Qmp(socket.clone()),
                resize: true,
                layout: self.layout,
                take_over: TakeOver::default(),
                streams: Vec::new(),
            },
            &socket,
        ))?;
        Ok(exit_code(status))
    }

    async fn serve(&self, machine: Machine, socket: &Path) -> anyhow::Result<ExitStatus> {
        let mut signals = StopSignals::new()?;
        // First the port: if that fails, no QEMU was started.
        let mut opened = self.door.open(vec![machine]).await?;
        let mut qemu = self.start(socket)?;
        let status = tokio::select! {
            biased;
            () = signals.next() => end(&mut qemu, &mut signals).await?,
            status = qemu.wait() => status?,
            () = opened.daemon.failed() => {
                end(&mut qemu, &mut signals).await?;
                anyhow::bail!("the server ended by itself");
            }
        };
        if !status.success() {
            tracing::warn!(%status, "QEMU ended");
        }
        serving::drain(opened.daemon, signals).await;
        Ok(status)
    }

    fn start(&self, socket: &Path) -> anyhow::Result<Child> {
        let (program, arguments) = self.command.split_first().expect("clap requires one");
        let mut qmp = OsString::from("unix:");
        qmp.push(socket);
        qmp.push(",server=on,wait=off");
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(["-display", "dbus,p2p=yes", "-qmp"])
            .arg(qmp);
        command
            .spawn()
            .or_else(|error| usage(format!("cannot start {}: {error}", program.display())))
    }
}

/// Asks QEMU to end and waits; the next signal kills it.
async fn end(qemu: &mut Child, signals: &mut StopSignals) -> anyhow::Result<ExitStatus> {
    let pid = qemu.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended meanwhile; `wait` then knows.
        let _ = kill_process(pid, Signal::TERM);
    }
    tokio::select! {
        status = qemu.wait() => Ok(status?),
        () = signals.next() => {
            qemu.kill().await?;
            Ok(qemu.wait().await?)
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status
        .code()
        .or(status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

fn desktop_name(text: &str) -> Result<DesktopName, String> {
    match DesktopName::new(text) {
        Ok(name) if !text.contains('/') => Ok(name),
        Ok(_) => Err("a / marks further heads of a machine".to_owned()),
        Err(rule) => Err(rule.to_string()),
    }
}

fn layout(text: &str) -> Result<Layout, String> {
    let names = || Layout::names().collect::<Vec<_>>().join(", ");
    Layout::by_name(text).ok_or_else(|| format!("there are {}", names()))
}

/// Options take one or two dashes in QEMU.
fn option(argument: &OsStr) -> Option<&str> {
    let text = argument.to_str()?.strip_prefix('-')?;
    Some(text.strip_prefix('-').unwrap_or(text))
}

/// What in a QEMU command line stands against ours.
fn mistake(command: &[OsString]) -> Option<String> {
    for (index, argument) in command.iter().enumerate().skip(1) {
        match option(argument).unwrap_or_default() {
            "display" => {
                let value = command
                    .get(index + 1)
                    .map(|value| value.to_string_lossy().into_owned())
                    .unwrap_or_default();
                return Some(format!(
                    "remove `-display {value}` from QEMU's command line: rdpmux adds the display itself"
                ));
            }
            switch @ ("nographic" | "curses" | "sdl") => {
                return Some(format!(
                    "remove `-{switch}` from QEMU's command line: it takes the display that rdpmux needs"
                ));
            }
            "daemonize" => {
                return Some(
                    "remove `-daemonize` from QEMU's command line: rdpmux serves as long as QEMU runs".to_owned(),
                );
            }
            _ => {}
        }
    }
    None
}

/// The machine's name in `-name web1` or `-name guest=web1,debug-threads=on`, if it can name a desktop.
fn name_of(command: &[OsString]) -> Option<DesktopName> {
    let at = command.iter().position(|argument| option(argument) == Some("name"))?;
    let value = command.get(at + 1)?.to_str()?;
    let parts = || value.split(',');
    let guest = parts()
        .find_map(|part| part.strip_prefix("guest="))
        .or_else(|| parts().next().filter(|part| !part.contains('=')))?;
    desktop_name(guest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn displays_of_ones_own_are_refused_with_what_to_remove() {
        let check = |line| mistake(&words(line)).unwrap_or_default();
        assert!(check("qemu -m 1G -display gtk,gl=on").starts_with("remove `-display gtk,gl=on`"));
        assert!(check("qemu --display none").starts_with("remove `-display none`"));
        assert!(check("qemu -nographic").starts_with("remove `-nographic`"));
        assert!(check("qemu -daemonize").starts_with("remove `-daemonize`"));
        assert_eq!(check("qemu -m 1G disk.img -vnc :1 -device virtio-vga"), "");
    }

    #[test]
    fn the_name_is_qemus_own_if_it_can_name_a_desktop() {
        let name = |line| name_of(&words(line)).map(|name| name.as_str().to_owned());
        assert_eq!(name("qemu -name web1 -m 1G").as_deref(), Some("web1"));
        assert_eq!(name("qemu -name guest=web2,debug-threads=on").as_deref(), Some("web2"));
        assert_eq!(name("qemu -name debug-threads=on"), None);
        assert_eq!(name("qemu -name a#b"), None);
        assert_eq!(name("qemu -m 1G"), None);
    }

    #[test]
    fn a_layout_that_is_not_there_is_refused_with_those_that_are() {
        assert_eq!(layout("de").map(|layout| layout.name()), Ok("de"));
        assert!(layout("xx").is_err_and(|words| words.contains("de, ")));
    }

    #[test]
    fn the_exit_status_is_that_of_the_child() {
        let code = |status| format!("{:?}", exit_code(ExitStatus::from_raw(status)));
        assert_eq!(code(3 << 8), format!("{:?}", ExitCode::from(3)));
        assert_eq!(code(9), format!("{:?}", ExitCode::from(137)));
    }
}
