//! How the other servers are started: their configuration, certificates and passwords. All listen at the server's end of
//! the link; called by `peer`.

use super::peer::{PASSWORD, PORT, USER};
use crate::e2e::net::Link;
use crate::e2e::process::Process;
use crate::e2e::report::Case;
use crate::e2e::wait;
use crate::{certificate, root, steps};
use anyhow::Result;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Starts `command` at the server's end.
///
/// # Errors
/// When it cannot be started.
pub fn start(case: &Case, link: &Link, name: &str, command: &Command) -> Result<Process> {
    Process::start(
        &link.server.inside(command),
        &case.folder.join(format!("{name}.log")),
        "",
    )
}

/// xrdp, which shows the VNC server on this end's port 5900 without asking.
///
/// # Errors
/// When it cannot be started.
pub fn xrdp(case: &Case, link: &Link) -> Result<Process> {
    let (certificate, key) = identity(case)?;
    let path = case.folder.join("xrdp.ini");
    let text = format!(
        "[Globals]\nini_version=1\nfork=true\nport={PORT}\ntcp_nodelay=true\ntcp_keepalive=true\nsecurity_layer=tls\n\
         crypt_level=high\ncertificate={}\nkey_file={}\nssl_protocols=TLSv1.2, TLSv1.3\nautorun=vnc-any\n\
         allow_channels=true\nallow_multimon=true\nbitmap_cache=true\nbitmap_compression=true\nbulk_compression=true\n\
         max_bpp=32\nnew_cursors=true\nuse_fastpath=both\n\
         [Logging]\nLogFile={}\nLogLevel=INFO\nEnableSyslog=false\n\
         [Channels]\nrdpdr=false\nrdpsnd=false\ndrdynvc=true\ncliprdr=true\n\
         [vnc-any]\nname=vnc-any\nlib=libvnc.so\nip=127.0.0.1\nport=5900\nusername=na\npassword=na\n",
        certificate.display(),
        key.display(),
        case.folder.join("xrdp.own.log").display(),
    );
    fs::write(&path, text)?;
    // It refuses to start without the folder of its pid file.
    fs::create_dir_all("/run/xrdp")?;
    let mut command = Command::new("/usr/sbin/xrdp");
    command.args(["-n", "-c"]).arg(&path);
    start(case, link, "xrdp", &command)
}

/// A D-Bus daemon and its address.
///
/// # Errors
/// When it does not come up.
pub fn bus(case: &Case) -> Result<(Process, String)> {
    let socket = case.sockets.path().join("bus");
    let address = format!("unix:path={}", socket.display());
    let mut command = Command::new("dbus-daemon");
    command.args(["--session", "--nofork", "--nopidfile", "--address", &address]);
    let process = Process::start(&command, &case.folder.join("bus.log"), "")?;
    wait::for_true(wait::seconds(10), "the bus listens", || Ok(socket.exists()))?;
    Ok((process, address))
}

/// `qemu-rdp` on a bus that QEMU is on.
///
/// # Errors
/// When it cannot be started.
pub fn qemu_rdp(case: &Case, link: &Link, bus: &str) -> Result<Process> {
    let (certificate, key) = identity(case)?;
    let mut command = Command::new(root::peers().join("qemu-rdp/bin/qemu-rdp"));
    command.args([
        "-d",
        bus,
        "serve",
        "--bind-address",
        &format!("0.0.0.0:{PORT}"),
        "--cert",
    ]);
    command.arg(certificate).arg("--key").arg(key);
    start(case, link, "qemu-rdp", &command)
}

/// Tells `qemu-rdp` its password, which it takes over the bus only.
///
/// # Errors
/// When it does not take it.
pub fn qemu_rdp_password(case: &Case) -> Result<()> {
    let mut command = Command::new("dbus-send");
    command.arg(format!("--bus=unix:path={}", case.sockets.path().join("bus").display()));
    command.args([
        "--print-reply",
        "--dest=org.QemuDisplay.RDP",
        "/org/qemu_display/rdp",
        "org.QemuDisplay.RDP.SetCredentials",
        &format!("string:{USER}"),
        &format!("string:{PASSWORD}"),
        "string:",
    ]);
    steps::output(&mut command).map(drop)
}

fn identity(case: &Case) -> Result<(PathBuf, PathBuf)> {
    let (certificate, key) = (case.folder.join("certificate.pem"), case.folder.join("key.pem"));
    certificate::write(&certificate, &key, "DNS:localhost")?;
    Ok((certificate, key))
}
