//! What a first process has to do: mounts, kernel modules, the command line and the serial log.
//! Knows nothing of pictures. Called once by `main`, and `say` from everywhere.

use crate::scene::Scene;
use rustix::mount::{MountFlags, mount};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;

/// What the kernel's command line asks for.
#[derive(Debug)]
pub struct Options {
    pub scene: Scene,
    /// The pictures of the bench instead of a scene.
    pub is_bench: bool,
    /// Several heads that follow what is plugged in instead of a scene.
    pub is_heads: bool,
    pub frames_per_second: u32,
    pub mode: Option<(u16, u16)>,
}

static SERIAL: OnceLock<File> = OnceLock::new();

/// Mounts, loads the modules and reads the options. Problems are said on the serial port, never fatal.
pub fn start() -> Options {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        // Already mounted is as good.
        let _ = fs::create_dir(place);
        let _ = mount(kind, place, kind, MountFlags::empty(), None);
    }
    for path in ["/dev/ttyS0", "/dev/kmsg"] {
        if let Ok(file) = OpenOptions::new().write(true).open(path) {
            let _ = SERIAL.set(file);
            break;
        }
    }
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    load_all("list");
    if line.split_whitespace().any(|word| word == "rdpmux.sound") {
        load_all("sound");
    }
    options(&line)
}

/// Writes one line to the serial port.
pub fn say(line: &str) {
    if let Some(mut serial) = SERIAL.get() {
        let _ = serial.write_all(format!("{line}\n").as_bytes());
    }
}

/// Modules in the order of a list.
fn load_all(list: &str) {
    let list = fs::read_to_string(format!("/modules/{list}")).unwrap_or_default();
    for name in list.lines() {
        load(name);
    }
}

fn load(name: &str) {
    let result = fs::read(format!("/modules/{name}"))
        .map_err(|error| error.to_string())
        .and_then(|image| match rustix::system::init_module(&image, c"") {
            Ok(()) | Err(rustix::io::Errno::EXIST | rustix::io::Errno::NODEV) => Ok(()),
            Err(error) => Err(error.to_string()),
        });
    if let Err(error) = result {
        say(&format!("MODULE {name}: {error}"));
    }
}

fn options(line: &str) -> Options {
    let value = |key: &str| {
        line.split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
    };
    Options {
        is_bench: value("rdpmux.scene") == Some("bench"),
        is_heads: value("rdpmux.scene") == Some("heads"),
        scene: value("rdpmux.scene").and_then(Scene::named).unwrap_or(Scene::Idle),
        frames_per_second: value("rdpmux.fps").and_then(|text| text.parse().ok()).unwrap_or(30),
        mode: value("rdpmux.mode").and_then(|text| {
            let (width, height) = text.split_once('x')?;
            Some((width.parse().ok()?, height.parse().ok()?))
        }),
    }
}
