//! Virtual machines of the suites: a QEMU (7.2 or 10) with one of the guests, a QMP connection and a serial log.
//! `command` alone serves the cases in which the daemon starts QEMU. Called by the qemu suite.

use super::picture::Picture;
use super::process::Process;
use super::qmp::Qmp;
use super::report::Case;
use super::wait;
use crate::{guest_image, root};
use anyhow::{Context, Result};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which QEMU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Qemu {
    V7,
    V10,
}

impl Qemu {
    /// Both, oldest first.
    pub const ALL: [Self; 2] = [Self::V7, Self::V10];

    /// Its program.
    pub fn program(self) -> PathBuf {
        match self {
            Self::V7 => "qemu-system-x86_64".into(),
            Self::V10 => root::peers().join("qemu10/qemu-system-x86_64"),
        }
    }

    /// For names of cases.
    pub fn label(self) -> &'static str {
        match self {
            Self::V7 => "qemu7.2",
            Self::V10 => "qemu10",
        }
    }
}

/// What runs in the machine.
#[derive(Clone, Debug)]
pub enum Guest {
    /// memtest86+: text that never rests.
    Memtest,
    /// GRUB's shell on a text console; relative mouse only.
    Grub,
    /// OVMF's shell or menu at 1280x800.
    Ovmf,
    /// A Linux text console on the kernel's framebuffer, with busybox.
    Console,
    /// The graphical Debian installer, a GTK desktop.
    Installer,
    /// Our own guest; the words go to its kernel command line.
    Kms(&'static str),
    /// The same without a tablet: its pointer is a PS/2 mouse, unless the case adds another.
    KmsMouse(&'static str),
    /// A Linux text console with this keyboard (`us`, `de`, `fr` or `us-intl`) that writes each line typed on it to its
    /// serial port.
    Typist(&'static str),
    /// A Linux with a shell on its second serial port, which is the kernel's console too.
    Shell,
    /// A Linux without a screen that asks for a login on its first serial port, which the case brings.
    Login,
    /// A Linux text console, and SPICE's agent beside it.
    Agent,
}

impl Guest {
    /// For names of cases.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Memtest => "memtest",
            Self::Grub => "grub",
            Self::Ovmf => "ovmf",
            Self::Console => "console",
            Self::Installer => "installer",
            Self::Kms(_) | Self::KmsMouse(_) => "kms",
            Self::Typist(_) => "typist",
            Self::Shell => "shell",
            Self::Login => "login",
            Self::Agent => "agent",
        }
    }
}

/// A running machine.
pub struct Vm {
    pub process: Process,
    pub qmp: Qmp,
    serial: PathBuf,
    folder: PathBuf,
    name: String,
}

impl Vm {
    /// Starts a machine called `name`. Its socket for the daemon is `socket(case, name)`.
    ///
    /// # Errors
    /// When QEMU does not come up.
    pub fn start(case: &Case, name: &str, qemu: Qemu, guest: &Guest, more: &[&str]) -> Result<Self> {
        let socket = format!("unix:{},server=on,wait=off", socket(case, name).display());
        Self::launch(
            case,
            name,
            qemu,
            guest,
            &[&["-display", "dbus,p2p=yes", "-qmp", &socket], more].concat(),
        )
    }

    /// Starts a QEMU 10 with a sound card and a PC speaker; 7.2 has no sound between two peers. Without its mixer, as Linux
    /// starts with that muted, which mutes the speaker too.
    ///
    /// # Errors
    /// When QEMU does not come up.
    pub fn start_sounding(case: &Case, name: &str, guest: &Guest) -> Result<Self> {
        let socket = format!("unix:{},server=on,wait=off", socket(case, name).display());
        let more = [
            "-machine",
            "pc,pcspk-audiodev=snd0",
            "-audiodev",
            "dbus,id=snd0,out.frequency=48000,in.frequency=48000,nsamples=960",
            "-device",
            "intel-hda",
            "-device",
            "hda-duplex,audiodev=snd0,mixer=off",
            "-display",
            "dbus,p2p=yes,audiodev=snd0",
            "-qmp",
            &socket,
        ];
        Self::launch(case, name, Qemu::V10, guest, &more)
    }

    /// Starts a machine with another display, which the daemon does not reach through QMP.
    ///
    /// # Errors
    /// When QEMU does not come up.
    pub fn start_with_display(case: &Case, name: &str, qemu: Qemu, guest: &Guest, display: &str) -> Result<Self> {
        Self::launch(case, name, qemu, guest, &["-display", display])
    }

    fn launch(case: &Case, name: &str, qemu: Qemu, guest: &Guest, more: &[&str]) -> Result<Self> {
        let folder = &case.folder;
        fs::create_dir_all(case.sockets.path().join("vm"))?;
        // A socket left by a killed QEMU must not be taken for the new one.
        for path in [socket(case, name), control(case, name)] {
            let _ = fs::remove_file(path);
        }
        let mut command = command(case, name, qemu, guest)?;
        command.args(more);
        let mut process = Process::start(&command, &folder.join(format!("{name}.qemu.log")), "")?;
        let qmp = Qmp::connect(&control(case, name)).or_else(|error| process.check().and(Err(error)))?;
        Ok(Self {
            process,
            qmp,
            serial: serial(folder, name),
            folder: folder.to_path_buf(),
            name: name.to_owned(),
        })
    }

    /// QEMU's own picture of the screen.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn screendump(&mut self) -> Result<Picture> {
        self.qmp.screendump(&self.folder.join(format!("{}.ppm", self.name)))
    }

    /// QEMU's own picture of one of several heads of a Linux guest.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn screendump_of(&mut self, head: u32) -> Result<Picture> {
        self.qmp
            .screendump_of(&self.folder.join(format!("{}.{head}.ppm", self.name)), ("gpu", head))
    }

    /// What the guest has written to its serial port.
    pub fn serial(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.serial).unwrap_or_default()).into_owned()
    }

    /// Waits until the guest has written `word` on its serial port.
    ///
    /// # Errors
    /// When it does not within `limit`.
    pub fn wait_for(&mut self, limit: std::time::Duration, word: &str) -> Result<()> {
        let path = self.serial.clone();
        wait::for_true(
            limit,
            &format!("{} says {word:?} on its serial port", self.name),
            || {
                self.process.check()?;
                Ok(String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(word))
            },
        )
        .with_context(|| format!("its serial port said:\n{}", crate::steps::tail(&path, 8)))
    }

    /// The number after the last `FRAME` of the serial log.
    pub fn frames(&self) -> u32 {
        let serial = self.serial();
        serial
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("FRAME ")?.trim().parse().ok())
            .unwrap_or(0)
    }

    /// Stops the guest's processors; the screen rests.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn pause(&mut self) -> Result<()> {
        self.qmp.run("stop", &json!({})).map(drop)
    }

    /// Lets them run on.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn resume(&mut self) -> Result<()> {
        self.qmp.run("cont", &json!({})).map(drop)
    }
}

/// Our own QMP connection to a machine that somebody else started from [`command`].
///
/// # Errors
/// When QEMU does not answer.
pub fn control_of(case: &Case, name: &str) -> Result<Qmp> {
    Qmp::connect(&control(case, name))
}

/// The QMP socket for the daemon.
pub fn socket(case: &Case, name: &str) -> PathBuf {
    case.sockets.path().join("vm").join(format!("{name}.qmp"))
}

fn control(case: &Case, name: &str) -> PathBuf {
    case.sockets.path().join(format!("{name}.control"))
}

/// The log of the first serial port.
pub fn serial(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.serial.log"))
}

/// The command line of QEMU with a guest, without a display.
///
/// # Errors
/// When the guest's files are not set up.
pub fn command(case: &Case, name: &str, qemu: Qemu, guest: &Guest) -> Result<Command> {
    let mut command = Command::new(qemu.program());
    // Named threads: the bench tells the guest's processors from QEMU's own work.
    command.arg("-name").arg(format!("guest={name},debug-threads=on"));
    command.args([
        "-accel",
        "tcg,thread=multi",
        "-nodefaults",
        "-no-user-config",
        "-monitor",
        "none",
        "-qmp",
    ]);
    command.arg(format!("unix:{},server=on,wait=off", control(case, name).display()));
    if !matches!(guest, Guest::Login) {
        command
            .arg("-serial")
            .arg(format!("file:{}", serial(&case.folder, name).display()));
    }
    let installer = root::peers().join("installer");
    match guest {
        Guest::Memtest => {
            command.args(["-m", "256", "-vga", "std", "-kernel", "/boot/memtest86+x64.bin"]);
        }
        Guest::Grub => {
            command.args([
                "-m",
                "256",
                "-vga",
                "std",
                "-cdrom",
                "/usr/lib/grub-rescue/grub-rescue-cdrom.iso",
            ]);
        }
        Guest::Ovmf => {
            command.args(["-m", "256", "-vga", "std", "-bios", "/usr/share/ovmf/OVMF.fd"]);
        }
        Guest::Console => linux(
            &mut command,
            &guest_image::console()?,
            "rdinit=/init console=tty0 vt.global_cursor_default=0 consoleblank=0",
        ),
        Guest::Shell => linux(
            &mut command,
            &guest_image::console()?,
            "rdinit=/shell console=ttyS1 sysrq_always_enabled",
        ),
        Guest::Login => {
            command.args(["-m", "256"]);
            kernel(&mut command, &guest_image::console()?, "rdinit=/login console=ttyS0");
        }
        Guest::Agent => linux(
            &mut command,
            &guest_image::agent()?,
            "rdinit=/init console=tty0 consoleblank=0",
        ),
        Guest::Kms(words) => linux(&mut command, &guest_image::kms()?, words),
        Guest::KmsMouse(words) => linux_without_tablet(&mut command, &guest_image::kms()?, words),
        Guest::Typist(layout) => linux(
            &mut command,
            &guest_image::console()?,
            &format!("rdinit=/typist rdpmux.layout={layout} console=tty0 vt.global_cursor_default=0 consoleblank=0"),
        ),
        Guest::Installer => {
            command.args([
                "-m",
                "1024",
                "-smp",
                "2",
                "-vga",
                "std",
                "-device",
                "qemu-xhci",
                "-device",
                "usb-tablet",
                "-kernel",
            ]);
            command
                .arg(installer.join("linux"))
                .arg("-initrd")
                .arg(installer.join("initrd.gz"))
                .args(["-append", "vga=788 quiet"]);
        }
    }
    Ok(command)
}

fn linux(command: &mut Command, initramfs: &Path, words: &str) {
    command.args(["-device", "qemu-xhci", "-device", "usb-tablet"]);
    linux_without_tablet(command, initramfs, words);
}

fn linux_without_tablet(command: &mut Command, initramfs: &Path, words: &str) {
    command.args([
        "-m",
        "256",
        "-vga",
        "none",
        "-device",
        "virtio-vga,xres=1280,yres=800,id=gpu",
    ]);
    kernel(command, initramfs, words);
}

fn kernel(command: &mut Command, initramfs: &Path, words: &str) {
    command
        .arg("-kernel")
        .arg(root::peers().join("kernel/vmlinuz"))
        .arg("-initrd")
        .arg(initramfs);
    command.arg("-append").arg(format!(
        "quiet loglevel=1 panic=-1 mitigations=off nokaslr tsc=reliable {words}"
    ));
}
