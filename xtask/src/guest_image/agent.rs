//! The guest with SPICE's own agent: its daemon on the virtio port, its desktop half under an X server without a screen,
//! and xclip. The text console is a shell in which `give N`, `give-much`, `take` and `take-much` use that clipboard and
//! tell on the first serial port. Programs and libraries are those of Debian.

use super::{Archive, CONSOLE_MODULES};
use crate::root;
use anyhow::Result;
use std::path::{Path, PathBuf};

/// First process. The daemon does without a session manager (`-X`), so the one agent is that of the session.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /proc /dev /sys /tmp /root /run/spice-vdagentd
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
while read -r name; do insmod "/modules/$name"; done < /modules/list
sleep 1
exec < /dev/tty1 > /dev/tty1 2>&1
export PATH=/bin:/usr/bin:/usr/sbin HOME=/root DISPLAY=:0
Xvfb :0 -screen 0 640x480x24 -nolisten tcp -ac -noreset -extension GLX > /tmp/xvfb.log 2>&1 &
for port in /sys/class/virtio-ports/*; do
  if [ "$(cat "$port/name")" = com.redhat.spice.0 ]; then port=/dev/${port##*/}; break; fi
done
spice-vdagentd -x -X -d -s "$port" > /tmp/daemon.log 2>&1 &
until [ -S /tmp/.X11-unix/X0 ] && [ -S /run/spice-vdagentd/spice-vdagent-sock ]; do sleep 0.1; done
spice-vdagent -x -d -s "$port" > /tmp/agent.log 2>&1 &
export PS1='> '
stty -onlcr < /dev/ttyS0
echo READY > /dev/ttyS0
while true; do setsid -c sh; done
"#;

const COMMANDS: [(&str, &str); 4] = [
    (
        "give",
        "printf 'copy %s of the guest: Grüße, 日本\\nline two\\n' \"$1\" | xclip -in -selection clipboard",
    ),
    (
        "take",
        "printf 'PASTED<%s>\\n' \"$(xclip -out -selection clipboard -target UTF8_STRING; echo .)\" > /dev/ttyS0",
    ),
    ("give-much", "seq 1 20000 | xclip -in -selection clipboard"),
    (
        "take-much",
        "xclip -out -selection clipboard -target UTF8_STRING > /tmp/much\n\
         if seq 1 20000 | cmp -s - /tmp/much; then echo MUCH; else echo OTHER; fi > /dev/ttyS0",
    ),
];

/// The initramfs of the guest with SPICE's agent.
///
/// # Errors
/// When a program or the kernel is not set up.
pub fn agent() -> Result<PathBuf> {
    let tools = root::peers().join("guest-tools/root");
    let mut archive = Archive::new();
    archive.busybox()?;
    archive.modules("list", &[CONSOLE_MODULES, &["virtio_console", "uinput"]].concat())?;
    for name in ["usr/bin/spice-vdagent", "usr/sbin/spice-vdagentd"] {
        archive.program(name, &tools.join(name))?;
    }
    for name in ["usr/bin/Xvfb", "usr/bin/xclip", "usr/bin/xkbcomp"] {
        archive.program(name, &Path::new("/").join(name))?;
    }
    // What the X server's one keyboard is compiled from.
    for part in ["types", "compat", "keycodes"] {
        let path = Path::new(KEYBOARDS).join(part);
        archive.tree(&path, &Path::new("/").join(&path))?;
    }
    for part in [
        "rules/evdev",
        "geometry/pc",
        "symbols/pc",
        "symbols/us",
        "symbols/inet",
        "symbols/keypad",
        "symbols/srvr_ctrl",
    ] {
        let name = format!("{KEYBOARDS}/{part}");
        archive.file(&name, 0o644, &std::fs::read(Path::new("/").join(&name))?);
    }
    for (name, script) in COMMANDS {
        archive.file(
            &format!("usr/bin/{name}"),
            0o755,
            format!("#!/bin/sh\n{script}\n").as_bytes(),
        );
    }
    archive.file("init", 0o755, INIT.as_bytes());
    archive.write(&root::target().join("guests/agent.cpio"))
}

const KEYBOARDS: &str = "usr/share/X11/xkb";
