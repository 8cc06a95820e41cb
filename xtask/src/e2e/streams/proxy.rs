//! Stands between the daemon and QEMU's QMP socket and stops in the middle of a step, so that the daemon can be killed there.

use anyhow::{Context, Result};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

/// Commands that change something; others are not counted.
const STEPS: [&str; 4] = ["\"stop\"", "\"rdpmux-serial", "\"chardev-change\"", "\"cont\""];

/// Where it stops.
#[derive(Clone, Copy, Default)]
struct Cut {
    /// Steps that still go through with their answers; `None`: all do.
    left: Option<usize>,
    is_cut: bool,
}

/// A socket that leads to QEMU's.
#[derive(Clone)]
pub struct Proxy(Arc<Mutex<Cut>>);

impl Proxy {
    /// Listens at `path` for whoever wants `qemu`, for as long as the suite runs.
    ///
    /// # Errors
    /// When it cannot.
    pub fn start(path: &Path, qemu: &Path) -> Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
        let proxy = Self(Arc::default());
        let (for_thread, qemu) = (proxy.clone(), qemu.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&qemu) {
                    for_thread.join(client, server);
                }
            }
        });
        Ok(proxy)
    }

    /// After `steps` more it stops: QEMU still gets the next one, but nothing comes back.
    pub fn cut_after(&self, steps: usize) {
        self.set(Cut {
            left: Some(steps),
            is_cut: false,
        });
    }

    /// Lets everything through again, for the next who connects.
    pub fn mend(&self) {
        self.set(Cut::default());
    }

    /// Whether it has stopped.
    pub fn is_cut(&self) -> bool {
        self.cut().is_cut
    }

    fn cut(&self) -> Cut {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, cut: Cut) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = cut;
    }

    /// Whether what is to be sent is still answered.
    fn counts(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        let mut cut = self.cut();
        if STEPS.iter().any(|step| text.contains(step)) {
            match &mut cut.left {
                Some(0) => cut.is_cut = true,
                Some(left) => *left -= 1,
                None => {}
            }
            self.set(cut);
        }
        !cut.is_cut
    }

    /// One client after the other, as QEMU has them.
    fn join(&self, client: UnixStream, server: UnixStream) {
        let (Ok(mut answers), Ok(mut asked)) = (server.try_clone(), client.try_clone()) else {
            return;
        };
        let proxy = self.clone();
        thread::spawn(move || {
            let mut buffer = [0; 1 << 16];
            while let Ok(count @ 1..) = answers.read(&mut buffer) {
                if !proxy.is_cut() && asked.write_all(&buffer[..count]).is_err() {
                    break;
                }
            }
            let _ = asked.shutdown(Shutdown::Both);
        });
        let mut is_over = false;
        let mut buffer = [0; 1 << 16];
        while let Ok((count @ 1.., descriptors)) = receive(&client, &mut buffer) {
            if !is_over {
                is_over = !self.counts(&buffer[..count]);
                if send(&server, &buffer[..count], &descriptors).is_err() {
                    break;
                }
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }
}

/// The daemon waits for each answer, so a piece is a command.
fn receive(from: &UnixStream, buffer: &mut [u8]) -> Result<(usize, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        from,
        &mut [IoSliceMut::new(buffer)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let descriptors = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
        _ => Vec::new(),
    });
    Ok((received.bytes, descriptors.collect()))
}

fn send(to: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> Result<()> {
    let descriptors: Vec<BorrowedFd<'_>> = descriptors.iter().map(AsFd::as_fd).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(to, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}
