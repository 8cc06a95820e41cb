//! The C face: its header compiles, its functions are all there, programs run when linked to either form of the library,
//! and wrong calls are told instead of crashing.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rdpmux_wire::v6::Features;
use rdpmux_wire::{v5, v6};
use tempfile::TempDir;

use crate::bus::Bus;
use crate::daemon::{Five, Listener, Six, UUID, has_memory_5, memory_5, number};

const OLD_CALLS: &str = include_str!("programs/old.c");
const WRONG_CALLS: &str = include_str!("programs/wrong.c");
const PROTOCOL_6: &str = include_str!("programs/six.c");
const CLEANUP_INSIDE: &str = include_str!("programs/inside.c");

/// Formats of `moving.c`, their codes, and the eight colours of its columns as bytes in memory, `[blue, green, red]` lit.
const FORMATS: [(&str, u32, usize); 8] = [
    ("r8g8b8a8", 0x2009_8888, 4),
    ("r8g8b8x8", 0x2009_0888, 4),
    ("a8r8g8b8", 0x2002_8888, 4),
    ("x8r8g8b8", 0x2002_0888, 4),
    ("r8g8b8", 0x1802_0888, 3),
    ("b8g8r8", 0x1803_0888, 3),
    ("r5g6b5", 0x1002_0565, 2),
    ("x1r5g5b5", 0x1002_0555, 2),
];

/// The red, green and blue of a pixel, each lit or not; alpha and unused bits are ignored.
fn lit(format: &str, pixel: &[u8]) -> [bool; 3] {
    let word = pixel.iter().rev().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
    let masks: [u32; 3] = match format {
        "r8g8b8a8" | "r8g8b8x8" => [0xFF00_0000, 0x00FF_0000, 0x0000_FF00],
        "b8g8r8" => [0x0000_00FF, 0x0000_FF00, 0x00FF_0000],
        "r5g6b5" => [0xF800, 0x07E0, 0x001F],
        "x1r5g5b5" => [0x7C00, 0x03E0, 0x001F],
        _ => [0x00FF_0000, 0x0000_FF00, 0x0000_00FF],
    };
    masks.map(|mask| match word & mask {
        0 => false,
        bits if bits == mask => true,
        bits => panic!("{format}: {bits:#x} of {mask:#x}"),
    })
}

/// The folder that has the library's files as built for this test.
fn built() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    test.parent().expect("a folder").to_owned()
}

/// A folder with the library under its installed names.
fn installed() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["librdpmux.so", "librdpmux.so.0"] {
        std::os::unix::fs::symlink(built().join("librdpmux.so"), folder.path().join(name)).expect("a link");
    }
    fs::create_dir(folder.path().join("static")).expect("a folder");
    let archive = folder.path().join("static/librdpmux.a");
    std::os::unix::fs::symlink(built().join("librdpmux.a"), archive).expect("a link");
    folder
}

fn pixman() -> Vec<String> {
    let found = Command::new("pkg-config")
        .args(["--cflags", "--libs", "pixman-1"])
        .output()
        .expect("pkg-config");
    assert!(found.status.success(), "libpixman-1-dev is needed");
    let flags = String::from_utf8(found.stdout).expect("text");
    flags.split_whitespace().map(str::to_owned).collect()
}

/// Compiles a C file against the header and the shared library in `folder`, or the archive in its folder `static`.
fn compile(source: &Path, folder: &Path, name: &str, library: &str) -> PathBuf {
    let program = folder.join(name);
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-o"])
        .arg(&program)
        .arg(source);
    cc.arg("-I")
        .arg(include)
        .arg("-L")
        .arg(folder.join(library))
        .arg("-lrdpmux");
    cc.args(pixman()).args(["-lpthread", "-ldl", "-lm"]);
    let out = cc.output().expect("cc");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    program
}

fn source(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path
}

fn run(program: &Path, folder: &Path) -> Output {
    let mut command = Command::new(program);
    command
        .env("LD_LIBRARY_PATH", folder)
        .env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
    command.output().expect("it runs")
}

/// A program that does not outlive its test.
struct Running(Child);

impl Running {
    /// Waits for its end, which has to be a good one; what it said.
    fn end(mut self) -> String {
        let mut output = String::new();
        let mut pipe = self.0.stdout.take().expect("a pipe");
        pipe.read_to_string(&mut output).expect("text");
        let status = self.0.wait().expect("ended");
        assert!(status.success(), "{status}: {output}");
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_program_of_the_old_header_links_to_both_forms_of_the_library() {
    let folder = installed();
    let text = source(folder.path(), "old.c", OLD_CALLS);
    let shared = compile(&text, folder.path(), "shared", "");
    let out = run(&shared, folder.path());
    assert!(out.status.success(), "{out:?}");
    let needed = Command::new("readelf")
        .arg("-d")
        .arg(&shared)
        .output()
        .expect("readelf");
    let needed = String::from_utf8_lossy(&needed.stdout).into_owned();
    assert!(needed.contains("[librdpmux.so.0]"), "{needed}");
    let alone = compile(&text, folder.path(), "alone", "static");
    let out = run(&alone, Path::new("/nonexistent"));
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn the_header_is_one_for_cxx_too() {
    let folder = installed();
    let text = source(
        folder.path(),
        "header.cc",
        "#include <rdpmux.h>\nint main() { mux_out_loop(); }\n",
    );
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
    let mut cxx = Command::new("c++");
    cxx.args(["-std=c++11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"])
        .arg(&text)
        .arg("-I")
        .arg(include);
    let out = cxx.args(pixman()).output().expect("c++");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn wrong_calls_are_told_and_the_program_lives() {
    let folder = installed();
    let text = source(folder.path(), "wrong.c", WRONG_CALLS);
    let program = compile(&text, folder.path(), "wrong", "");
    let out = run(&program, folder.path());
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{out:?}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "alive\n");
    for expected in [
        "mux_display_update: there is no display",
        "mux_init_display_struct: the uuid is not one",
        "mux_mainloop: there is no connection yet",
        "mux_display_refresh: there is no picture yet",
        "mux_display_switch: the surface is NULL",
        "mux_display_switch: pixel format 0x08018000 is not one",
        "mux_display_switch: the machine is not registered yet",
        "mux_connect: the path is NULL",
        "mux_get_socket_path: a machine's id is 0 to",
        "mux_cleanup: this is not the display",
    ] {
        assert!(errors.contains(expected), "{expected} is not in\n{errors}");
    }
}

#[test]
fn the_c_example_shows_all_formats_and_echoes_input() {
    let folder = installed();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/moving.c");
    let program = compile(&example, folder.path(), "moving", "");
    let listener = Listener::new();
    let bus = Bus::start(listener.path_5());
    for (format, code, bytes) in FORMATS {
        let id = number();
        let (width, height) = (71, 64);
        let mut command = Command::new(&program);
        command
            .env("LD_LIBRARY_PATH", folder.path())
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
        command.args([UUID, &id.to_string(), "--still", "--format", format, "--size", "71x64"]);
        command
            .args(["--port", "4000", "--auth", "/etc/sam"])
            .stdout(Stdio::piped());
        let child = Running(command.spawn().expect("it runs"));
        let mut daemon = Five::accept(&listener);
        let registered = bus.registered();
        assert_eq!(registered, (id, 5, UUID.to_owned(), 4000, "/etc/sam".to_owned()));
        assert_eq!(daemon.switched(), (code, width, height));
        let memory = memory_5(id, (width * height) as usize * bytes);
        compare(format, &memory, width as usize, bytes);
        daemon.complete(60);
        daemon.tell(v5::ToGuest::Keyboard {
            code: 30,
            flags: v5::keyboard::DOWN,
        });
        let echo = daemon.next();
        assert!(
            matches!(
                echo,
                Some(v5::ToDaemon::Update {
                    y: 0,
                    width: 71,
                    height: 16,
                    ..
                })
            ),
            "{echo:?}"
        );
        daemon.tell(v5::ToGuest::Mouse {
            x: 5,
            y: 6,
            flags: v5::mouse::MOVE,
        });
        let pid = rustix::process::Pid::from_child(&child.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
        while daemon.next().is_some_and(|message| message != v5::ToDaemon::Shutdown) {}
        let output = child.end();
        assert!(
            output.contains("key 30 16384\n") && output.ends_with("bye\n"),
            "{output}"
        );
        assert!(!has_memory_5(id));
    }
}

/// The upper half is black, the lower half has eight columns.
fn compare(format: &str, memory: &[u8], width: usize, bytes: usize) {
    let rows: Vec<&[u8]> = memory.chunks(width * bytes).collect();
    for (y, row) in rows.iter().enumerate() {
        for (x, pixel) in row.chunks(bytes).enumerate() {
            let column = (0..8).rfind(|column| x >= width * column / 8).expect("in a column");
            let expected = match y < rows.len() / 2 {
                true => [false; 3],
                false => [column & 4 != 0, column & 2 != 0, column & 1 != 0],
            };
            assert_eq!(lit(format, pixel), expected, "{format} {x} {y}");
        }
    }
}

#[test]
fn a_program_may_end_everything_from_inside_of_a_callback() {
    let folder = installed();
    let text = source(folder.path(), "inside.c", CLEANUP_INSIDE);
    let program = compile(&text, folder.path(), "inside", "");
    let listener = Listener::new();
    let mut command = Command::new(&program);
    command.arg(listener.path_5()).env("LD_LIBRARY_PATH", folder.path());
    let child = Running(command.stdout(Stdio::piped()).spawn().expect("it runs"));
    for _ in 0..2 {
        let mut daemon = Five::accept(&listener);
        // No callback for a mouse is no mistake.
        let (x, y, flags) = (1, 2, v5::mouse::MOVE);
        daemon.tell(v5::ToGuest::Mouse { x, y, flags });
        daemon.tell(v5::ToGuest::Keyboard {
            code: 30,
            flags: v5::keyboard::DOWN,
        });
        assert_eq!(daemon.next(), Some(v5::ToDaemon::Shutdown));
        assert_eq!(daemon.next(), None);
    }
    assert_eq!(child.end(), "alive\n");
}

#[test]
fn protocol_6_from_c_with_pixels_taken_away() {
    let folder = installed();
    let text = source(folder.path(), "six.c", PROTOCOL_6);
    let program = compile(&text, folder.path(), "six", "");
    let listener = Listener::new();
    let mut command = Command::new(&program);
    command.arg(listener.path_6()).env("LD_LIBRARY_PATH", folder.path());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    let (mut daemon, features) = Six::accept(&listener, Features::CLIPBOARD);
    assert_eq!(features, Features::CLIPBOARD);
    let mut serials = [0; 2];
    let mut told = Vec::new();
    while told.len() < 7 {
        let message = daemon.next().expect("all of it");
        if let v6::ToDaemon::Update { head, serial, .. } = &message {
            serials[*head as usize] = *serial;
        }
        told.push(message);
    }
    assert!(told.contains(&v6::ToDaemon::Leds { lit: v6::lock::CAPS }), "{told:?}");
    assert!(told.contains(&v6::ToDaemon::MouseMode { absolute: false }), "{told:?}");
    assert!(
        told.iter()
            .any(|message| matches!(message, v6::ToDaemon::Cursor { head: 1, .. })),
        "{told:?}"
    );
    daemon.tell(&v6::ToGuest::Complete {
        head: 1,
        serial: serials[1],
        success: true,
        rate: 30,
    });
    let pointer = |buttons| v6::ToGuest::Pointer {
        head: 0,
        x: 7,
        y: 8,
        buttons,
    };
    daemon.tell(&v6::ToGuest::Key { qnum: 0x9D, down: true });
    daemon.tell(&pointer(v6::button::LEFT));
    daemon.tell(&v6::ToGuest::Unicode { character: '€' });
    daemon.tell(&v6::ToGuest::Key {
        qnum: 0x9D,
        down: false,
    });
    daemon.tell(&pointer(0));
    let offer = daemon.next();
    assert!(
        matches!(offer, Some(v6::ToDaemon::ClipboardOffer(offer)) if offer.serial == 1),
        "{offer:?}"
    );
    assert_eq!(daemon.next(), Some(v6::ToDaemon::HeadGone { head: 1 }));
    assert_eq!(daemon.next(), Some(v6::ToDaemon::Shutdown));
    let out = child.wait_with_output().expect("ended");
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{errors}");
    assert!(
        errors.contains("mux_head_refresh: the picture cannot be copied: Bad address"),
        "{errors}"
    );
    let expected = "event 1 head 0 at 0 0 code 157 on 1 length 0\n\
                    event 2 head 0 at 7 8 code 0 on 0 length 0\n\
                    event 4 head 0 at 7 8 code 1 on 1 length 0\n\
                    event 6 head 0 at 0 0 code 8364 on 0 length 0\n\
                    kb 29 33024\nmouse 7 8 4096\nalive\n";
    assert_eq!(String::from_utf8_lossy(&out.stdout), expected);
}
