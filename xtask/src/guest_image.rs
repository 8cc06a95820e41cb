//! Initramfs images of the test guests, written as newc cpio without any tool. The KMS guest holds our own first process
//! and kernel modules; the console guest holds busybox and a script; the guest with SPICE's agent is in `agent`. Called by
//! `e2e`; written under `target/guests`.

mod agent;

pub use agent::agent;

use crate::{console_keymap, root, steps};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules of the KMS guest; what they need is found in modules.dep.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio-gpu",
    "bochs",
    "evdev",
    "psmouse",
    "xhci-pci",
    "ehci-pci",
    "uhci-hcd",
    "usbhid",
    "hid-generic",
    "virtio_input",
    "virtio_console",
];

/// Modules of its sound, loaded when the kernel's command line asks for it.
const SOUND_MODULES: &[&str] = &["snd-hda-codec-generic", "snd-hda-intel", "snd-pcm-oss", "pcspkr"];

/// Modules of the guests with a text console.
const CONSOLE_MODULES: &[&str] = &[
    "virtio_pci",
    "virtio-gpu",
    "bochs",
    "evdev",
    "xhci-pci",
    "usbhid",
    "hid-generic",
];

/// First process of the console guest: a row that shows every glyph (the tests learn the font from it), then a shell.
const CONSOLE_INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
while read -r name; do /bin/busybox insmod "/modules/$name"; done < /modules/list
/bin/busybox sleep 1
exec < /dev/tty1 > /dev/tty1 2>&1
/bin/busybox printf '\033[2J\033[H abcdefghijklmnopqrstuvwxyz0123456789\n'
export PS1='> '
echo READY > /dev/ttyS0
while true; do /bin/busybox setsid -c /bin/busybox sh; done
"#;

/// First process of the typist: a text console whose lines go to the serial port as they were typed.
const TYPIST_INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
while read -r name; do /bin/busybox insmod "/modules/$name"; done < /modules/list
/bin/busybox sleep 1
exec < /dev/tty1 > /dev/tty1 2>&1
case "$(/bin/busybox cat /proc/cmdline)" in
*layout=de*) /bin/busybox loadkmap < /keymap.de ;;
*layout=fr*) loadkeys /usr/share/keymaps/i386/azerty/fr-latin9.kmap ;;
*layout=us-intl*) loadkeys /usr/share/keymaps/i386/qwerty/us-intl.iso15.kmap ;;
esac
echo READY > /dev/ttyS0
while IFS= read -r line; do printf 'LINE %s\n' "$line" > /dev/ttyS0; done
"#;

/// First process of the guest whose second serial port has a shell.
const SHELL_INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
export PS1='> ' PATH=/bin
/bin/busybox --install -s /bin
# Further ports have one, if they are there.
for port in 2 3; do setsid -c sh < /dev/ttyS$port > /dev/ttyS$port 2>&1 & done
exec < /dev/ttyS1 > /dev/ttyS1 2>&1
echo READY > /dev/ttyS0
while true; do /bin/busybox setsid -c /bin/busybox sh; done
"#;

/// First process of the guest that has nothing but a login on its first serial port.
const LOGIN_INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t proc proc /proc
export PATH=/bin
/bin/busybox --install -s /bin
hostname vault
while true; do getty -L 115200 ttyS0 vt100; done
"#;

/// Its only user; the password is `Sesam-7`.
const LOGIN_PASSWD: &str = "root:$6$rdpmuxtest$SZ1U.Dl5Bipp/nnkjW.mJt5Rnl/LxDVStV7aTwu/HM7OJapAzKZOk0e51el9z97jxkf2jdbS39xiyBTLovzjv/\
    :0:0:root:/root:/bin/sh\n";

/// The initramfs of the deterministic KMS guest; builds the guest when its source changed.
///
/// # Errors
/// When the guest does not build or the kernel is not set up.
pub fn kms() -> Result<PathBuf> {
    let target = root::target().join("guests");
    let folder = root::path().join("guests/kms");
    let mut cargo = steps::cargo();
    cargo
        .args(["build", "--quiet", "--release", "--target-dir"])
        .arg(&target)
        .current_dir(&folder);
    steps::run(cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS"))?;
    let program = fs::read(target.join("x86_64-unknown-linux-gnu/release/kms-guest"))?;
    let mut archive = Archive::new();
    archive.modules("list", MODULES)?;
    archive.modules("sound", SOUND_MODULES)?;
    archive.file("init", 0o755, &program);
    archive.write(&target.join("kms.cpio"))
}

/// The initramfs of the Linux console guest.
///
/// # Errors
/// When busybox or the kernel is not set up.
pub fn console() -> Result<PathBuf> {
    let mut archive = Archive::new();
    archive.busybox()?;
    archive.modules("list", CONSOLE_MODULES)?;
    archive.file("init", 0o755, CONSOLE_INIT.as_bytes());
    archive.file("typist", 0o755, TYPIST_INIT.as_bytes());
    archive.file("shell", 0o755, SHELL_INIT.as_bytes());
    archive.file("login", 0o755, LOGIN_INIT.as_bytes());
    archive.file("etc/passwd", 0o644, LOGIN_PASSWD.as_bytes());
    archive.file("keymap.de", 0o644, &console_keymap::german());
    let tools = root::peers().join("guest-tools/root");
    archive.program("bin/loadkeys", &tools.join("bin/loadkeys"))?;
    for part in ["include", "i386/include", "i386/azerty", "i386/qwerty"] {
        let path = Path::new("usr/share/keymaps").join(part);
        archive.tree(&path, &tools.join(&path))?;
    }
    archive.write(&root::target().join("guests/console.cpio"))
}

struct Archive {
    bytes: Vec<u8>,
    entries: u32,
    /// What is in it by name.
    names: BTreeSet<String>,
}

impl Archive {
    fn new() -> Self {
        let mut archive = Self {
            bytes: Vec::new(),
            entries: 0,
            names: BTreeSet::new(),
        };
        for name in ["dev", "proc", "sys"] {
            archive.folder(name);
        }
        archive
    }

    /// A folder, and those that it lies in.
    fn folder(&mut self, name: &str) {
        let ends = name.match_indices('/').map(|(at, _)| at).chain([name.len()]);
        for end in ends {
            if self.names.insert(name[..end].to_owned()) {
                self.entry(&name[..end], 0o040_755, &[]);
            }
        }
    }

    /// A file, once.
    fn file(&mut self, name: &str, mode: u32, content: &[u8]) {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder);
        }
        if self.names.insert(name.to_owned()) {
            self.entry(name, 0o100_000 | mode, content);
        }
    }

    fn busybox(&mut self) -> Result<()> {
        let program = fs::read("/bin/busybox").context("busybox-static is not installed: cargo xtask setup")?;
        self.file("bin/busybox", 0o755, &program);
        Ok(())
    }

    /// All files below a folder.
    fn tree(&mut self, name: &Path, source: &Path) -> Result<()> {
        let entries = fs::read_dir(source).with_context(|| format!("{}: cargo xtask setup", source.display()))?;
        for entry in entries {
            let path = entry?.path();
            let below = name.join(path.file_name().unwrap_or_default());
            if path.is_dir() {
                self.tree(&below, &path)?;
            } else {
                self.file(&below.to_string_lossy(), 0o644, &fs::read(&path)?);
            }
        }
        Ok(())
    }

    /// A program and the libraries that it is linked with, those where the machine has them.
    fn program(&mut self, name: &str, source: &Path) -> Result<()> {
        let content = fs::read(source).with_context(|| format!("{}: cargo xtask setup", source.display()))?;
        self.file(name, 0o755, &content);
        for line in steps::output(Command::new("ldd").arg(source))?.lines() {
            // `name => path (address)`, for the loader itself `path (address)`, for the kernel's own `name (address)`.
            let found = line.split_once("=> ").map_or(line, |(_, found)| found).trim();
            ensure!(found != "not found", "{}: {}", source.display(), line.trim());
            let path = found.split(' ').next().unwrap_or_default();
            if let Some(library) = path.strip_prefix('/') {
                self.file(library, 0o755, &fs::read(path)?);
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let length = u32::try_from(content.len()).expect("initramfs files are small");
        let name_length = u32::try_from(name.len() + 1).expect("names are short");
        let fields = [self.entries, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
        let header = fields
            .iter()
            .fold("070701".to_owned(), |text, field| text + &format!("{field:08x}"));
        self.bytes.extend(header.bytes().chain(name.bytes()).chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// Adds `names` and all they depend on, and a list in loading order as `modules/LIST`.
    fn modules(&mut self, list: &str, names: &[&str]) -> Result<()> {
        let folder = root::peers().join("kernel/modules");
        let text = fs::read_to_string(folder.join("modules.dep"))
            .context("the guests' kernel is not here: cargo xtask setup")?;
        let depends: BTreeMap<&str, Vec<&str>> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(module, needs)| (module, needs.split_whitespace().collect()))
            .collect();
        let mut order = Vec::new();
        for name in names {
            // What is built into the kernel is in no list.
            if let Some(path) = depends.keys().find(|path| module_name(path) == name.replace('_', "-")) {
                add_with_needs(path, &depends, &mut order);
            }
        }
        let mut order_of_loading = String::new();
        for path in order {
            let file = Path::new(path)
                .file_name()
                .and_then(|name| name.to_str())
                .context("a module without a name")?;
            self.file(&format!("modules/{file}"), 0o644, &fs::read(folder.join(path))?);
            order_of_loading += &format!("{file}\n");
        }
        self.file(&format!("modules/{list}"), 0o644, order_of_loading.as_bytes());
        Ok(())
    }

    fn write(mut self, path: &Path) -> Result<PathBuf> {
        self.entry("TRAILER!!!", 0, &[]);
        let folder = path.parent().context("an image without a folder")?;
        fs::create_dir_all(folder)?;
        // In one step: a machine of another case may be reading it.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&self.bytes)?;
        file.persist(path)?;
        Ok(path.to_path_buf())
    }
}

fn add_with_needs<'a>(path: &'a str, depends: &BTreeMap<&'a str, Vec<&'a str>>, order: &mut Vec<&'a str>) {
    for need in depends.get(path).into_iter().flatten() {
        add_with_needs(need, depends, order);
    }
    if !order.contains(&path) {
        order.push(path);
    }
}

fn module_name(path: &str) -> String {
    let file = Path::new(path)
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    file.trim_end_matches(".ko").replace('_', "-")
}
