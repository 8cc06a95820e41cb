//! Peers that Debian 12 does not have, a newer QEMU and FreeRDP 3, and what is for guests only: a kernel, an agent, an installer.
//! Each is unpacked under `target/peers/<name>` with a start script, and is done when its stamp holds its recipe.

use super::apt;
use crate::{root, steps};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One peer and how it is made.
pub struct Peer {
    pub name: &'static str,
    pub purpose: &'static str,
    recipe: u32,
    make: fn(&Path) -> Result<()>,
}

/// All of them, quickest first.
pub const ALL: &[Peer] = &[
    Peer {
        name: "qemu10",
        purpose: "QEMU 10 of bookworm-backports",
        recipe: 1,
        make: qemu10,
    },
    Peer {
        name: "freerdp3",
        purpose: "FreeRDP 3 of trixie, on trixie's own libraries",
        recipe: 1,
        make: freerdp3,
    },
    Peer {
        name: "kernel",
        purpose: "kernel and modules for Linux guests",
        recipe: 1,
        make: kernel,
    },
    Peer {
        name: "guest-tools",
        purpose: "SPICE's agent, and loadkeys with the keyboards of text consoles, for Linux guests",
        recipe: 1,
        make: guest_tools,
    },
    Peer {
        name: "installer",
        purpose: "graphical Debian installer as a guest",
        recipe: 1,
        make: installer,
    },
];

/// What only the end-to-end bench compares with.
pub const BENCH: &[Peer] = &[
    Peer {
        name: "shadow3",
        purpose: "bench: FreeRDP 3's server of trixie, on trixie's own libraries",
        recipe: 1,
        make: shadow3,
    },
    Peer {
        name: "qemu-rdp",
        purpose: "bench: the RDP server for QEMU of the Rust registry; builds for a quarter of an hour",
        recipe: 1,
        make: qemu_rdp,
    },
];

impl Peer {
    /// Whether it is unpacked and of the current recipe.
    pub fn is_ready(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|text| text == self.recipe.to_string())
    }

    /// Unpacks it anew.
    ///
    /// # Errors
    /// When a package cannot be had, or what was unpacked does not start.
    pub fn make(&self) -> Result<()> {
        let dir = root::peers().join(self.name);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        fs::create_dir_all(&dir)?;
        (self.make)(&dir).with_context(|| format!("cannot set up {} in {}", self.name, dir.display()))?;
        fs::write(self.stamp(), self.recipe.to_string())?;
        Ok(())
    }

    fn stamp(&self) -> PathBuf {
        root::peers().join(format!("{}.done", self.name))
    }
}

const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// How a start script begins: it finds what was unpacked beside it, so that a clone may move.
const START: &str = "#!/bin/sh\nat=$(dirname \"$(readlink -f \"$0\")\")/root\n";

/// Runs on bookworm's libraries. The gui and spice modules are needed because QEMU falls back to the system's
/// modules for a missing one, and a module of another build aborts it.
fn qemu10(dir: &Path) -> Result<()> {
    let apt = apt::Root::new(&dir.join("apt"), "bookworm-backports")?;
    apt.download(&[
        "qemu-system-x86",
        "qemu-system-common",
        "qemu-system-data",
        "qemu-system-gui",
        "qemu-system-modules-opengl",
        "qemu-system-modules-spice",
        "seabios",
    ])?;
    let unpacked = dir.join("root");
    apt.unpack(&unpacked)?;
    let script = format!(
        "{START}export QEMU_MODULE_DIR=\"$at/{LIBRARIES}/qemu\"\nexec \"$at/usr/bin/qemu-system-x86_64\" -L \"$at/usr/share/qemu\" \
         -L \"$at/usr/share/seabios\" -L /usr/lib/ipxe/qemu -L /usr/share/qemu \"$@\"\n"
    );
    start_script(
        &dir.join("qemu-system-x86_64"),
        &script,
        "--version",
        "QEMU emulator version 10",
    )
}

fn freerdp3(dir: &Path) -> Result<()> {
    let script = of_trixie(dir, "freerdp3-x11", "xfreerdp3")?;
    start_script(&dir.join("xfreerdp3"), &script, "/version", "FreeRDP version 3")
}

fn shadow3(dir: &Path) -> Result<()> {
    let script = of_trixie(dir, "freerdp3-shadow-x11", "freerdp-shadow-cli3")?;
    start_script(
        &dir.join("freerdp-shadow-cli3"),
        &script,
        "/version",
        "FreeRDP version 3",
    )
}

/// Unpacks `package` of trixie with all that it needs; returns the start script of `program`.
fn of_trixie(dir: &Path, package: &str, program: &str) -> Result<String> {
    let apt = apt::Root::new(&dir.join("apt"), "trixie")?;
    apt.download_with_dependencies(&[package, "openssl-provider-legacy"])?;
    let unpacked = dir.join("root");
    apt.unpack(&unpacked)?;
    Ok(format!(
        "{START}export OPENSSL_MODULES=\"$at/{LIBRARIES}/ossl-modules\"\nexec \"$at/{LIBRARIES}/ld-linux-x86-64.so.2\" --library-path \
         \"$at/{LIBRARIES}:$at/{LIBRARIES}/pulseaudio\" --argv0 {program} \"$at/usr/bin/{program}\" \"$@\"\n"
    ))
}

fn qemu_rdp(dir: &Path) -> Result<()> {
    let mut cargo = steps::cargo();
    cargo.args([
        "install",
        "qemu-rdp",
        "--version",
        "0.1.1",
        "--locked",
        "--quiet",
        "--root",
    ]);
    // Its own target folder: it shares nothing with ours.
    cargo.arg(dir).arg("--target-dir").arg(dir.join("target"));
    steps::run(&mut cargo)?;
    fs::remove_dir_all(dir.join("target"))?;
    Ok(())
}

fn kernel(dir: &Path) -> Result<()> {
    let wanted = steps::output(Command::new("apt-cache").args(["depends", "--important", "linux-image-amd64"]))?;
    let image = wanted
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .context("apt knows no linux-image-amd64: run `apt-get update` once")?;
    let unpacked = dir.join("root");
    apt::unpack_own(&[image], &unpacked)?;
    let version = image.trim_start_matches("linux-image-");
    steps::output(Command::new("/sbin/depmod").arg("-b").arg(&unpacked).arg(version))?;
    fs::rename(unpacked.join(format!("boot/vmlinuz-{version}")), dir.join("vmlinuz"))?;
    std::os::unix::fs::symlink(unpacked.join(format!("lib/modules/{version}")), dir.join("modules"))?;
    Ok(())
}

/// Their libraries are the machine's own.
fn guest_tools(dir: &Path) -> Result<()> {
    let unpacked = dir.join("root");
    apt::unpack_own(&["spice-vdagent", "kbd", "console-data"], &unpacked)?;
    let keymaps = unpacked.join("usr/share/keymaps");
    let mut unzip = Command::new("find");
    unzip
        .arg(keymaps)
        .args(["-name", "*.gz", "-exec", "gzip", "-d", "{}", "+"]);
    steps::output(&mut unzip).map(drop)
}

fn installer(dir: &Path) -> Result<()> {
    let unpacked = dir.join("root");
    apt::unpack_own(&["debian-installer-12-netboot-amd64"], &unpacked)?;
    let images = unpacked.join("usr/lib/debian-installer/images/12/amd64/gtk/debian-installer/amd64");
    fs::rename(images.join("linux"), dir.join("linux"))?;
    fs::rename(images.join("initrd.gz"), dir.join("initrd.gz"))?;
    fs::remove_dir_all(&unpacked)?;
    Ok(())
}

/// Writes `script` and checks that it starts: `argument` must make it print `expected`.
fn start_script(path: &Path, script: &str, argument: &str, expected: &str) -> Result<()> {
    fs::write(path, script)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    let out = Command::new(path).arg(argument).output()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    let found = text.lines().find(|line| line.contains(expected));
    match found {
        Some(line) => println!("  {}", line.trim()),
        None => bail!("{} {argument} did not say {expected:?}:\n{text}", path.display()),
    }
    Ok(())
}
