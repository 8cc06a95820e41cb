//! A terminal of our own with a link to it, for who opened QEMU's. As with QEMU's, what is said while nobody has it open is
//! gone. A thread reads it: that nobody has it open is a state that a runtime takes for the end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Ends, PIECE};

/// The kernel does not say when somebody opens it, nor we when it is no longer needed.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};
/// Between attempts to write to who reads slowly, and how often.
const FULL: (Duration, u32) = (Duration::from_millis(5), 40);

pub(super) fn start(link: Option<&Path>, ends: Ends) -> io::Result<JoinHandle<()>> {
    let (terminal, path) = terminal()?;
    if let Some(link) = link {
        point(link, &path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", link.display())))?;
    }
    tracing::debug!(path, "terminal of a character device that is taken over");
    let terminal = Arc::new(terminal);
    let (for_thread, input, mut output) = (terminal.clone(), ends.input, ends.output);
    let name = "stream-terminal".to_owned();
    thread::Builder::new()
        .name(name)
        .spawn(move || read(&for_thread, &input))?;
    Ok(tokio::spawn(async move {
        while let Some(bytes) = output.recv().await {
            write(&terminal, &bytes).await;
        }
    }))
}

/// Makes `link` lead to the terminal; only a link is replaced.
pub(in crate::qemu::chardev::takeover) fn point(link: &Path, terminal: &str) -> io::Result<()> {
    if std::fs::symlink_metadata(link).is_ok_and(|found| found.file_type().is_symlink()) {
        std::fs::remove_file(link)?;
    }
    symlink(terminal, link)
}

fn terminal() -> io::Result<(OwnedFd, String)> {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&terminal)?;
    unlockpt(&terminal)?;
    let path = ptsname(&terminal, Vec::new())?;
    let path = path.to_str().map_err(io::Error::other)?.to_owned();
    rustix::io::ioctl_fionbio(&terminal, true)?;
    // Opened once and closed: from now on the kernel says whether anybody else has it.
    let other = open(
        path.as_str(),
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut modes = tcgetattr(&other)?;
    modes.make_raw();
    tcsetattr(&other, OptionalActions::Now, &modes)?;
    Ok((terminal, path))
}

/// What there is, after `wait` at most.
fn events(terminal: &OwnedFd, wait: Timespec) -> PollFlags {
    let mut events = [PollFd::new(terminal, PollFlags::IN)];
    match poll(&mut events, Some(&wait)) {
        Ok(_) => events[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

async fn write(terminal: &OwnedFd, mut bytes: &[u8]) {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut left = FULL.1;
    while !bytes.is_empty() && left > 0 && !events(terminal, now).contains(PollFlags::HUP) {
        match rustix::io::write(terminal, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(rustix::io::Errno::AGAIN) => {
                left -= 1;
                sleep(FULL.0).await;
            }
            Err(_) => return,
        }
    }
}

/// Until nobody wants it.
fn read(terminal: &OwnedFd, input: &mpsc::Sender<Vec<u8>>) {
    let mut buffer = [0; PIECE];
    while !input.is_closed() {
        let events = events(terminal, LOOK);
        match rustix::io::read(terminal, &mut buffer) {
            Ok(count @ 1..) => {
                let piece = buffer.get(..count).unwrap_or_default().to_vec();
                if input.blocking_send(piece).is_err() {
                    return;
                }
            }
            // Nobody has it open.
            _ if events.contains(PollFlags::HUP) => thread::sleep(Duration::from_millis(200)),
            _ => {}
        }
    }
}
