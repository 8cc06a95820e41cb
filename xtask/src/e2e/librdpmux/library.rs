//! Our library, as a hypervisor would use it: installed, and its C example linked to it by pkg-config. Against our daemon by
//! both protocols, and against the foreign server.

use super::stage::{Bus, Puppet, Stage, id, uuid};
use crate::e2e::client::Client;
use crate::e2e::picture::Picture;
use crate::e2e::process::{self, Process};
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use crate::{peers_c, root, steps};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("the C example, protocol 5", |case| example(case, "5"));
    suite.case("the C example, protocol 6", |case| example(case, "6"));
    suite.case("the Rust example", rust_example);
    suite.case("the library against a foreign server", against_foreign);
}

const SIZE: (usize, usize) = (640, 480);

/// The library where `install-librdpmux` puts it, and the example built by what pkg-config says of it.
struct Installed {
    prefix: PathBuf,
    program: PathBuf,
}

impl Installed {
    fn new() -> Result<Self> {
        let folder = root::target().join("e2e/librdpmux/installed");
        let prefix = folder.join("usr");
        let mut install = Command::new(std::env::current_exe()?);
        steps::output(install.args(["install-librdpmux", "--prefix"]).arg(&prefix))?;
        let mut flags = Command::new("pkg-config");
        flags.args(["--cflags", "--libs", "librdpmux"]);
        flags.env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"));
        let flags = steps::output(&mut flags)?;
        let program = folder.join("moving");
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-Wall", "-Werror", "-o"]).arg(&program);
        compile.arg(root::path().join("crates/librdpmux/examples/moving.c"));
        steps::output(compile.args(flags.split_whitespace()).arg("-lpthread"))?;
        let needed = steps::output(Command::new("readelf").arg("-d").arg(&program))?;
        ensure!(needed.contains("[librdpmux.so.0]"), "the program needs {needed}");
        Ok(Self { prefix, program })
    }

    /// Starts the example as machine `number`.
    fn start(&self, case: &Case, bus: &Bus, number: u32, words: &[&str]) -> Result<Process> {
        let mut command = Command::new(&self.program);
        command.args([uuid(number), id(number).to_string()]).args(words);
        command
            .env("LD_LIBRARY_PATH", self.prefix.join("lib"))
            .env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
        Process::start(&command, &case.folder.join(format!("moving-{number}.log")), "")
    }
}

/// Rows at the top where the example echoes.
const ECHO: usize = 16;

/// Waits until the client shows the example's ground. FreeRDP lets go of a key when it gets the keyboard, so there has been
/// an echo at some time: no key, and the pointer wherever it was.
fn shows_ground(case: &Case, client: &mut Client, what: &str) -> Result<()> {
    let ground = still();
    client.wait_for(&case.folder, wait::seconds(30), what, SIZE, |picture| {
        picture.pixels[ECHO * SIZE.0..] == ground.pixels[ECHO * SIZE.0..]
    })?;
    Ok(())
}

/// Waits until the client shows the code of a key that is held, in binary.
fn shows_key(case: &Case, client: &mut Client, code: usize) -> Result<()> {
    let what = format!("the echo of key {code}");
    client.wait_for(&case.folder, wait::seconds(20), &what, SIZE, |picture| {
        (0..8).all(|bit| {
            let is_set = code >> (7 - bit) & 1 == 1;
            picture.pixels[bit * ECHO + ECHO / 2] == if is_set { 0xff_40_40 } else { 0x40_40_40 }
        })
    })?;
    Ok(())
}

/// What the example shows while nobody types: black above eight columns of colours.
fn still() -> Picture {
    let (width, height) = SIZE;
    let channel = |column: usize, bit: usize| if column & bit != 0 { 0xff } else { 0 };
    let pixels = (0..width * height).map(|index| {
        let (x, y) = (index % width, index / width);
        let column = (0..8).rfind(|column| x >= width * column / 8).unwrap_or(0);
        match y >= height / 2 {
            true => channel(column, 4) << 16 | channel(column, 2) << 8 | channel(column, 1),
            false => 0,
        }
    });
    Picture {
        width,
        height,
        pixels: pixels.collect(),
    }
}

fn says(process: &mut Process, line: &str) -> Result<()> {
    wait::for_true(wait::seconds(20), &format!("the example says {line}"), || {
        process.check()?;
        Ok(process.output().lines().any(|said| said == line))
    })
}

fn example(case: &Case, protocol: &str) -> Result<String> {
    let installed = Installed::new()?;
    let stage = Stage::start(case, "")?;
    let mut machine = installed.start(case, &stage.bus, 1, &["--still", "--protocol", protocol])?;
    says(&mut machine, "port asked 0")?;
    let name = uuid(1);
    let mut shared = stage.viewer(case, "shared", &name, &["/gfx"])?;
    shows_ground(case, &mut shared, "the example through the shared port")?;
    let port = stage.port(&name)?;
    let mut own = stage.viewer_at_port(case, "own", port, &["/gfx"])?;
    shows_ground(case, &mut own, "the example at its own port")?;
    types(&mut machine, &own, "a", 30)?;
    types(&mut machine, &shared, "b", 48)?;
    own.display.xdotool(&["keydown", "c"])?;
    shows_key(case, &mut own, 46)?;
    own.display.xdotool(&["keyup", "c"])?;
    shows_key(case, &mut own, 0)?;
    if protocol == "5" {
        private_memory()?;
    }
    // The same program draws what moves: it must be drawn at more than the idle rate while somebody looks.
    let mut moving = installed.start(case, &stage.bus, 2, &["--protocol", protocol])?;
    let mut viewer = stage.viewer(case, "moving", &uuid(2), &["/gfx"])?;
    let first = viewer.wait_for_any(&case.folder, wait::seconds(20), SIZE)?;
    viewer.wait_for(&case.folder, wait::seconds(10), "motion", SIZE, |now| {
        now.differing(&first) > 0
    })?;
    wait::for_true(wait::seconds(10), "a rate for a fast viewer", || {
        moving.check()?;
        let output = moving.output();
        let rate = output.lines().rev().find_map(|line| line.strip_prefix("rate "));
        Ok(rate.is_some_and(|rate| rate.parse().is_ok_and(|rate: u32| rate >= 5)))
    })?;
    machine.end();
    ensure!(machine.output().ends_with("bye\n"), "the example did not end by itself");
    shared.wait_for_end(wait::seconds(20))?;
    own.wait_for_end(wait::seconds(20))?;
    Ok(format!(
        "shown at port {port} and at the shared one, keys in its callback, motion at a viewer's rate"
    ))
}

/// The Rust face, which speaks protocol 6 unless told otherwise.
fn rust_example(case: &Case) -> Result<String> {
    const GROUND: u32 = 0x10_30_60;
    let mut build = steps::cargo();
    build.args([
        "build",
        "--quiet",
        "--release",
        "-p",
        "librdpmux",
        "--example",
        "moving",
    ]);
    steps::output(&mut build)?;
    let stage = Stage::start(case, "")?;
    let mut command = Command::new(root::target().join("release/examples/moving"));
    command.args([uuid(1), id(1).to_string()]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", &stage.bus.address);
    let mut machine = Process::start(&command, &case.folder.join("moving.log"), "")?;
    wait::for_true(wait::seconds(10), "the example's machine", || {
        machine.check()?;
        Ok(stage.port(&uuid(1)).is_ok())
    })?;
    let mut viewer = stage.viewer(case, "viewer", &uuid(1), &["/gfx"])?;
    // All but the echo, the bar and what is rough around it.
    let is_ground = |picture: &Picture| {
        let count = picture.pixels.iter().filter(|pixel| **pixel == GROUND).count();
        count > picture.pixels.len() * 4 / 5
    };
    let first = viewer.wait_for(&case.folder, wait::seconds(20), "the example", SIZE, is_ground)?;
    viewer.wait_for(&case.folder, wait::seconds(10), "motion", SIZE, |now| {
        now.differing(&first) > 0
    })?;
    aim(&viewer)?;
    viewer.display.keys(&["a"])?;
    says(&mut machine, "key 30 down")?;
    says(&mut machine, "key 30 up")?;
    machine.kill();
    let is_card = |picture: &Picture| !is_ground(picture);
    viewer.wait_for(&case.folder, wait::seconds(10), "a card", SIZE, is_card)?;
    Ok("shown, moving, keys in its closure, a card when it was killed".to_owned())
}

/// Puts the pointer into a client's window, which keys go to then.
fn aim(client: &Client) -> Result<()> {
    client.display.point(300, 200)
}

/// A key typed at a client arrives in the example's callback.
fn types(machine: &mut Process, client: &Client, key: &str, code: u32) -> Result<()> {
    aim(client)?;
    client.display.keys(&[key])?;
    says(machine, &format!("key {code} {}", 0x4000))?;
    says(machine, &format!("key {code} {}", 0x8000))
}

/// Nobody else may read a screen.
fn private_memory() -> Result<()> {
    let path = format!("/dev/shm/{}.rdpmux", id(1));
    let mode = fs::metadata(&path).with_context(|| path.clone())?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "{path} has mode {mode:o}");
    Ok(())
}

fn against_foreign(case: &Case) -> Result<String> {
    let installed = Installed::new()?;
    let bus = Bus::start(case)?;
    let endpoint = format!("ipc://{}", case.sockets.path().join("foreign").display());
    let program = peers_c::librdpmux_server()?;
    let mut server = Puppet::start(case, "server", &program, &bus, &[&endpoint], process::again)?;
    server.says("ready")?;
    let mut machine = installed.start(case, &bus, 1, &["--still", "--port", "4000"])?;
    let registered = server.says("register ")?;
    let expected = format!("{} 5 {} 4000", id(1), uuid(1));
    ensure!(registered == expected, "registered {registered} instead of {expected}");
    let switched = server.says("switch ")?;
    ensure!(switched == "0x20020888 640 480", "switched to {switched}");
    let dump = case.sockets.path().join("dump.ppm");
    wait::for_true(wait::seconds(10), "the foreign server shows the example", || {
        server.does(&format!("dump {}", dump.display()))?;
        Ok(Picture::from_ppm(&fs::read(&dump)?)?.differing(&still()) == 0)
    })?;
    server.does("key 30 16384")?;
    says(&mut machine, "key 30 16384")?;
    // What was typed is drawn, and told by an update.
    server.says("update ")?;
    server.does("mouse 17 5 2048")?;
    says(&mut machine, "mouse 17 5 2048")?;
    server.does("rate 7")?;
    server.does("key 30 32768")?;
    says(&mut machine, "rate 7")?;
    server.tell("random 10000 7")?;
    wait::for_true(wait::seconds(60), "10 000 random messages are sent", || {
        server.process.check()?;
        machine.check()?;
        Ok(server.count("done random") > 0)
    })?;
    server.does("key 31 16384")?;
    says(&mut machine, "key 31 16384")?;
    // A lost answer may have left it waiting; it must go on all the same.
    server.does("rate 9")?;
    let before = server.count("update ");
    server.does("key 31 32768")?;
    wait::for_true(wait::seconds(20), "it draws after the flood", || {
        machine.check()?;
        Ok(server.count("update ") > before)
    })?;
    machine.end();
    server.says("shutdown")?;
    Ok("registered, shown, keys, mouse and rate taken, alive after 10 000 random messages, said goodbye".to_owned())
}
