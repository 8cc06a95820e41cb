//! Character devices of `-chardev dbus,id=…,name=…`: QEMU shows each as an object beside its consoles, now or when it is
//! plugged in. Each becomes a stream; `line` is what happens on one of them.
//!
//! QEMU has one client for each: who registers a socket first has it until the socket closes.

mod front;
mod line;
pub(in crate::qemu) mod takeover;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rdpmux_streams::hub::Label;
use rdpmux_streams::{Kind, Text};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zbus::message::Message;

use super::display::{Calls, Chardev, Display};
use super::qmp::Control;
use crate::port::{GuestEvent, StreamPort};
use front::Front;
use line::Line;

/// Names whose data is between programs of the host and the guest, or controls the hypervisor: never streams.
const PRIVATE: &[&str] = &["com.redhat.spice.0", "org.qemu.guest_agent.0", "org.qemu.monitor.qmp.0"];
/// Longest wait for QEMU's list.
const LIST: Duration = Duration::from_secs(20);
/// A device that another program has is tried again so often.
const AGAIN: Duration = Duration::from_secs(5);
/// Devices of one machine; QEMU's own limits are below.
const DEVICES: usize = 256;

/// The character devices of one connection; dropping it lets go of them.
pub(super) struct Chardevs(JoinHandle<()>);

impl Drop for Chardevs {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Chardevs {
    /// Brings them in, and those that are plugged in later. QMP, if there is any, tells what uses each.
    pub(super) fn start(
        display: Display,
        control: Option<Control>,
        events: mpsc::Sender<GuestEvent>,
        title: String,
    ) -> Self {
        let following = Following {
            display,
            control,
            events,
            title,
            lines: HashMap::new(),
            tasks: JoinSet::new(),
            is_incomplete: false,
        };
        Self(tokio::spawn(following.run()))
    }
}

struct Following {
    display: Display,
    control: Option<Control>,
    events: mpsc::Sender<GuestEvent>,
    title: String,
    /// By path.
    lines: HashMap<String, Arc<Line>>,
    tasks: JoinSet<String>,
    /// A device could not be had; it is looked at again.
    is_incomplete: bool,
}

impl Following {
    async fn run(mut self) {
        let mut changes = match self.display.signals().await {
            Ok(changes) => changes,
            Err(error) => return warn!(%error, guest = %self.title, "no character devices"),
        };
        loop {
            if let Ok(Ok(found)) = timeout(LIST, self.display.chardevs()).await {
                self.fit(found).await;
            }
            if !self.wait(&mut changes).await {
                return;
            }
        }
    }

    /// Until the list has to be looked at again. `false`: the connection is closed.
    async fn wait(&mut self, changes: &mut Calls) -> bool {
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(change) if is_about_chardevs(&change) => return true,
                    Some(_) => {}
                    None => return false,
                },
                // One that ended is brought in again, if it is still there.
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(path) = ended {
                        self.lines.remove(&path);
                        self.is_incomplete = true;
                    }
                }
                () = tokio::time::sleep(AGAIN), if self.is_incomplete => return true,
            }
        }
    }

    /// Takes in what is new, tells what is different and lets go of what is gone.
    async fn fit(&mut self, found: Vec<Chardev>) {
        self.lines.retain(|path, line| {
            let stays = found.iter().any(|chardev| chardev.path == *path);
            if !stays {
                info!(guest = %self.title, stream = %line.name(), "character device unplugged");
                line.unplug();
            }
            stays
        });
        self.is_incomplete = false;
        let is_new = found.iter().any(|chardev| !self.lines.contains_key(&chardev.path));
        let fronts = if is_new { self.fronts().await } else { HashMap::new() };
        for chardev in found {
            match self.lines.get(&chardev.path) {
                Some(line) => line.set_open(chardev.is_open),
                None if PRIVATE.contains(&chardev.name.as_str()) => {}
                None if self.lines.len() >= DEVICES => return,
                None => match name_of(&chardev).and_then(|name| fronts.get(name)) {
                    Some(front) if front.is_private() => {}
                    front => self.take(chardev, front).await,
                },
            }
        }
    }

    /// What uses which; nothing if QEMU cannot be asked.
    async fn fronts(&self) -> HashMap<String, Front> {
        let Some(control) = &self.control else {
            return HashMap::new();
        };
        let fronts = timeout(LIST, async { front::fronts(&control.turn().await).await });
        fronts.await.ok().and_then(Result::ok).unwrap_or_default()
    }

    async fn take(&mut self, chardev: Chardev, front: Option<&Front>) {
        let Some(label) = label(&chardev, front) else {
            return;
        };
        let socket = match line::register(&self.display, &chardev.path).await {
            Ok(socket) => socket,
            Err(error) => {
                // Another program may have it.
                self.is_incomplete = true;
                return debug!(%error, guest = %self.title, path = chardev.path, "qemu keeps a character device");
            }
        };
        info!(guest = %self.title, stream = %label.name, "character device");
        let line = Arc::new(Line::new(label.name.as_str(), chardev.is_open));
        let (port, ends) = StreamPort::open(label);
        let (display, path, for_task) = (self.display.clone(), chardev.path.clone(), line.clone());
        self.tasks.spawn(async move {
            for_task.run(socket, &display, &path, ends).await;
            path
        });
        self.lines.insert(chardev.path, line);
        let _ = self.events.send(GuestEvent::StreamAdded(port)).await;
    }
}

/// An object came or went, or a character device is different.
fn is_about_chardevs(signal: &Message) -> bool {
    let header = signal.header();
    let is_list = header
        .interface()
        .is_some_and(|name| name == "org.freedesktop.DBus.ObjectManager");
    is_list || header.path().is_some_and(|path| path.contains("/Chardev_"))
}

/// What the device is called; `None` if it cannot be said.
fn label(chardev: &Chardev, front: Option<&Front>) -> Option<Label> {
    let label = name_of(chardev)?;
    let name = Text::new(label).ok().filter(|name| !name.is_empty())?;
    Some(Label {
        kind: front.map_or_else(|| kind(label, &chardev.name), |front| front.kind),
        name: name.into_owned(),
        title: Text::cleaned(&chardev.name),
    })
}

/// QEMU's own name of it.
fn name_of(chardev: &Chardev) -> Option<&str> {
    Some(chardev.path.rsplit_once("/Chardev_")?.1)
}

/// D-Bus does not say which device is behind it; the names that SPICE's tools use do, and those that libvirt gives.
fn kind(label: &str, name: &str) -> Kind {
    let is = |prefix: &str| name.starts_with(prefix);
    if is("org.qemu.console.serial.") || label.starts_with("serial") || label.starts_with("charserial") {
        Kind::Serial
    } else if is("org.qemu.console.") || label.starts_with("charconsole") {
        Kind::Console
    } else if is("org.qemu.monitor.") {
        Kind::Monitor
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_names_that_others_give() {
        for (label, name, wanted) in [
            ("serial0", "anything", Kind::Serial),
            ("a", "org.qemu.console.serial.0", Kind::Serial),
            ("charserial1", "", Kind::Serial),
            ("hvc", "org.qemu.console.virtio.0", Kind::Console),
            ("mon", "org.qemu.monitor.hmp.0", Kind::Monitor),
            ("x", "org.example.port", Kind::Other),
        ] {
            assert_eq!(kind(label, name), wanted, "{label} {name}");
        }
    }
}
