//! The Debian packages that build and tests use, and their installation with apt-get.
//! Newer peers that Debian 12 itself does not have are in `peers`.

use crate::steps;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::process::Command;

/// Package, and what it is for.
const DEBIAN: &[(&str, &str)] = &[
    ("build-essential", "linker; C++ compiler for OpenH264 and libFuzzer"),
    (
        "nasm",
        "SIMD forms of OpenH264: without it H.264 takes several times as long",
    ),
    ("debian-archive-keyring", "checks the packages of newer peers"),
    ("util-linux", "setpriv, unshare: test programs end with us"),
    ("kmod", "depmod for the test guests' kernel"),
    ("zstd", "unpacks newer Debian packages"),
    ("qemu-system-x86", "QEMU 7.2"),
    ("qemu-system-gui", "QEMU's D-Bus display module"),
    ("seabios", "guest firmware"),
    ("ipxe-qemu", "guest network card firmware"),
    ("ovmf", "guest: UEFI firmware"),
    ("memtest86+", "guest: memory test"),
    ("grub-rescue-pc", "guest: boot menu"),
    ("busybox-static", "guest: Linux console"),
    ("libgtk-3-0", "guest: a library of SPICE's agent"),
    ("libpciaccess0", "guest: a library of SPICE's agent"),
    ("dbus", "D-Bus daemon for QEMU's bus mode"),
    ("xvfb", "screens of the clients"),
    ("xauth", "screens of the clients"),
    ("xkb-data", "keyboard tables of the clients"),
    ("x11-xkb-utils", "keyboard tables of the clients"),
    ("x11-apps", "xwd: screenshots"),
    ("x11-utils", "xdpyinfo, xwininfo"),
    ("xclip", "copies and pastes in the clients"),
    ("xdotool", "types and points in the clients"),
    ("freerdp2-x11", "client: FreeRDP 2"),
    ("rdesktop", "client: rdesktop"),
    ("tigervnc-viewer", "client: a VNC viewer"),
    ("pulseaudio", "records what the clients play"),
    ("sox", "decodes ADPCM, for comparison"),
    ("freerdp2-dev", "FreeRDP's codecs, for comparison"),
    ("pkg-config", "finds the libraries of C programs"),
    ("libczmq-dev", "a foreign librdpmux: ZeroMQ"),
    ("libmsgpack-dev", "a foreign librdpmux: messages"),
    ("libglib2.0-dev", "a foreign librdpmux: D-Bus"),
    ("libpixman-1-dev", "a foreign librdpmux: pixel formats"),
    ("fonts-dejavu-core", "text of the bench"),
    ("openssl", "certificates of the tests"),
    ("iproute2", "network devices of slow links"),
    ("socat", "slow links"),
];

/// What only the end-to-end bench compares with, and what its peers are built from.
const BENCH: &[(&str, &str)] = &[
    ("freerdp2-shadow-x11", "bench: FreeRDP 2's server"),
    ("xrdp", "bench: xrdp as a proxy of QEMU's VNC"),
    ("cmake", "bench: builds qemu-rdp"),
    ("pkg-config", "bench: builds qemu-rdp"),
    ("libopus-dev", "bench: builds qemu-rdp"),
    ("libusb-1.0-0-dev", "bench: builds qemu-rdp"),
    ("libusbredirhost-dev", "bench: builds qemu-rdp"),
    ("libusbredirparser-dev", "bench: builds qemu-rdp"),
];

/// The packages of the tests that are not installed.
///
/// # Errors
/// When this is no Debian-like system.
pub fn missing() -> Result<Vec<(&'static str, &'static str)>> {
    missing_of(DEBIAN)
}

/// The packages of the bench's peers that are not installed.
///
/// # Errors
/// As [`missing`].
pub fn missing_for_bench() -> Result<Vec<(&'static str, &'static str)>> {
    missing_of(BENCH)
}

fn missing_of(wanted: &[(&'static str, &'static str)]) -> Result<Vec<(&'static str, &'static str)>> {
    let out = Command::new("dpkg-query")
        .args(["-W", "-f", "${db:Status-Status} ${Package}\n"])
        .args(wanted.iter().map(|(package, _)| package))
        .output()
        .context("cannot start dpkg-query: the tests are made for Debian 12")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let here: HashSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("installed "))
        .collect();
    Ok(wanted
        .iter()
        .copied()
        .filter(|(package, _)| !here.contains(package))
        .collect())
}

/// Installs `packages` with apt-get.
///
/// # Errors
/// When we are not root, or apt-get fails.
pub fn install(packages: &[(&str, &str)]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages.iter().map(|(package, _)| *package).collect();
    println!("setup: installing {}", names.join(" "));
    if !rustix::process::geteuid().is_root() {
        bail!(
            "not root; install them yourself:\n  sudo apt-get install --no-install-recommends {}",
            names.join(" ")
        );
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["-q", "-o", "Dpkg::Use-Pty=0"]);
        command
    };
    steps::run(apt().arg("update")).context("apt-get update failed: are the package sources reachable?")?;
    steps::run(apt().args(["install", "-y", "--no-install-recommends"]).args(&names))
}
