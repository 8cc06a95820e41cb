//! A real QEMU for a test: started in a directory of its own, driven through a second QMP socket, killed at the end.

use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdpmux_model::Size;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::picture;
use crate::viewer::LIMIT;

/// The guests that Debian packages bring.
pub const MEMTEST: &[&str] = &["-kernel", "/boot/memtest86+x64.bin"];
pub const GRUB: &[&str] = &["-cdrom", "/usr/lib/grub-rescue/grub-rescue-cdrom.iso"];

/// The distribution's QEMU, 7.2 on Debian 12; displays rest with version 7 only.
pub const QEMU7: &str = "qemu-system-x86_64";

/// The QEMUs of this machine: the distribution's, and a current one if it was set up.
pub fn programs() -> Vec<String> {
    let newer = std::env::var("RDPMUX_QEMU10").unwrap_or_else(|_| {
        let root = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/peers/qemu10/qemu-system-x86_64"
        );
        root.to_owned()
    });
    let mut programs = vec!["qemu-system-x86_64".to_owned()];
    programs.extend(Path::new(&newer).exists().then_some(newer));
    programs
}

pub struct Hypervisor {
    child: Child,
    control: BufReader<UnixStream>,
    directory: PathBuf,
}

impl Hypervisor {
    /// Starts `program` in `directory` with a peer-to-peer display and a guest; its QMP socket for the backend is
    /// [`qmp_path`].
    pub fn start(program: &str, directory: &TempDir, arguments: &[&str]) -> Self {
        Self::start_with("dbus,p2p=yes", program, directory, arguments)
    }

    /// As [`Self::start`] with another display.
    pub fn start_with(display: &str, program: &str, directory: &TempDir, arguments: &[&str]) -> Self {
        let directory = directory.path().to_owned();
        for name in ["qmp", "control"] {
            let _ = std::fs::remove_file(directory.join(name));
        }
        let server = |name: &str| format!("unix:{},server=on,wait=off", directory.join(name).display());
        let child = Command::new(program)
            .args([
                "-accel",
                "tcg,thread=multi",
                "-m",
                "256",
                "-nodefaults",
                "-name",
                "machine-1",
            ])
            .args(["-display", display, "-qmp", &server("qmp"), "-qmp", &server("control")])
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; run cargo xtask setup"));
        let control = connect(&directory.join("control"));
        let mut hypervisor = Self {
            child,
            control,
            directory,
        };
        hypervisor.line();
        hypervisor.command("qmp_capabilities", &json!({}));
        hypervisor
    }

    pub fn command(&mut self, command: &str, arguments: &Value) -> Value {
        let text = format!("{}\n", json!({ "execute": command, "arguments": arguments }));
        self.control.get_mut().write_all(text.as_bytes()).expect("qmp");
        loop {
            let line = self.line();
            assert!(line.get("error").is_none(), "{command}: {line}");
            if let Some(value) = line.get("return") {
                return value.clone();
            }
        }
    }

    /// Becomes the display's client, as a second viewer program would, and leaves again.
    pub fn take_display(&mut self) {
        let (ours, theirs) = UnixStream::pair().expect("pair");
        let text = format!(
            "{}\n",
            json!({ "execute": "getfd", "arguments": { "fdname": "other" } })
        );
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let descriptors = [theirs.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let bytes = [IoSlice::new(text.as_bytes())];
        sendmsg(self.control.get_ref(), &bytes, &mut ancillary, SendFlags::empty()).expect("qmp");
        while self.line().get("return").is_none() {}
        self.command("add_client", &json!({ "protocol": "@dbus-display", "fdname": "other" }));
        drop(ours);
    }

    fn line(&mut self) -> Value {
        let mut line = String::new();
        self.control.read_line(&mut line).expect("qmp");
        serde_json::from_str(&line).expect("json")
    }

    /// What QEMU itself says that the screen shows, as R, G, B.
    pub fn screendump(&mut self) -> (Size, Vec<u8>) {
        let path = self.directory.join("dump.ppm");
        self.command("screendump", &json!({ "filename": path }));
        let bytes = std::fs::read(&path).expect("dump");
        let (size, pixels) = picture::read_ppm(&bytes);
        (size, pixels.to_vec())
    }

    /// Sockets that QEMU has open.
    pub fn sockets(&self) -> usize {
        let links = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("descriptors");
        let targets = links.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Resident memory in MiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("VmRSS");
        let kib: u64 = line.split_whitespace().nth(1).expect("number").parse().expect("number");
        kib / 1024
    }
}

impl Drop for Hypervisor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A message bus of a test's own, ended with it.
pub struct Bus {
    child: Child,
    pub address: String,
}

impl Bus {
    pub fn start(directory: &TempDir) -> Self {
        let address = format!("unix:path={}", directory.path().join("bus").display());
        let configuration = directory.path().join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
             <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy>\
             </busconfig>"
        );
        std::fs::write(&configuration, text).expect("configuration");
        let child = Command::new("dbus-daemon")
            .arg("--nofork")
            .arg(format!("--config-file={}", configuration.display()))
            .spawn()
            .unwrap_or_else(|error| panic!("dbus-daemon: {error}; run cargo xtask setup"));
        connect(&directory.path().join("bus"));
        Self { child, address }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the backend finds a QEMU of `directory`.
pub fn qmp_path(directory: &TempDir) -> PathBuf {
    directory.path().join("qmp")
}

fn connect(path: &Path) -> BufReader<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Ok(socket) => {
                socket.set_read_timeout(Some(LIMIT)).expect("timeout");
                return BufReader::new(socket);
            }
            Err(error) => {
                assert!(start.elapsed() < LIMIT, "{}: {error}", path.display());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}
