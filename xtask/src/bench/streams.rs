//! `cargo xtask bench streams`: what the daemon adds to a serial port. A guest that prints, beside QEMU's own socket; a byte
//! there and back, beside a socket pair; a rack of ports that rest, and some that do not.

use super::e2e::usage;
use super::row::{Row, Table};
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::qemu::{configure, serve};
use crate::e2e::report::Case;
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use crate::root;
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// Lines that the guest prints in one go, and how often.
const LINES: u32 = 60_000;
const TURNS: usize = 3;
/// Bytes there and back.
const BYTES: usize = 2000;
/// Ports of the rack, and those of them that speak.
const PORTS: usize = 220;
const BUSY: usize = 20;
/// Bytes of such a port at once and in a second: 115,200 baud.
const PIECE: usize = 576;
const PIECES: u32 = 20;
/// For which processor time is counted.
const SPAN: Duration = Duration::from_secs(10);

/// Adds the rows.
///
/// # Errors
/// When the product does not build or a machine does not start.
pub fn run(table: &mut Table) -> Result<()> {
    if std::env::var_os("NOBUILD").is_none() {
        daemon::build()?;
    }
    guest(&part("guest")?, table)?;
    rack(&part("rack")?, table)
}

/// A folder of its own for a daemon, without what an earlier run left.
fn part(name: &str) -> Result<Case> {
    let folder = root::target().join("bench/streams").join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let sockets = tempfile::Builder::new().prefix("rdpmux-bench-").tempdir()?;
    Ok(Case { folder, sockets })
}

fn guest(case: &Case, table: &mut Table) -> Result<()> {
    let own = case.sockets.path().join("own");
    let server = format!("unix:{},server=on,wait=off", own.display());
    let mut vm = Vm::start(case, "floor", Qemu::V10, &Guest::Shell, &["-serial", &server])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let floor = printed(&own)?;
    drop(vm);
    let config = configure(case, &outlets(case))?;
    let _daemon = serve(case, &config, &[])?;
    let device = [
        "-chardev",
        "dbus,id=serial1,name=org.qemu.console.serial.1",
        "-serial",
        "chardev:serial1",
    ];
    let mut vm = Vm::start(case, "web1", Qemu::V10, &Guest::Shell, &device)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let ours = printed(&socket(case, "web1", "serial1")?)?;
    let row = Row::new("serial port: a guest prints", ours / 1000.0, "kB/s");
    table.push(
        row.beside("QEMU's own socket", ours / floor)
            .goal("0.9 of it", ours >= 0.9 * floor),
    );
    Ok(())
}

/// Bytes per second of a shell that counts, the median.
fn printed(path: &Path) -> Result<f64> {
    let mut port = UnixStream::connect(path)?;
    port.set_read_timeout(Some(Duration::from_secs(60)))?;
    port.write_all(b"\r")?;
    until(&mut port, b"> ")?;
    let mut rates = Vec::new();
    for _ in 0..TURNS {
        let started = Instant::now();
        port.write_all(format!("seq 1 {LINES}; echo DO''NE\r").as_bytes())?;
        let bytes = until(&mut port, b"DONE\r\n> ")?;
        rates.push(bytes as f64 / started.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates[TURNS / 2])
}

/// Reads until that comes; how much it was, with what the shell may say after it (it asks for the cursor's place).
fn until(port: &mut UnixStream, end: &[u8]) -> Result<usize> {
    let (mut all, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let mut seen = 0;
    while !all[seen..].windows(end.len()).any(|part| part == end) {
        seen = all.len().saturating_sub(end.len());
        let count = port.read(&mut buffer).with_context(|| {
            let last = String::from_utf8_lossy(&all[all.len().saturating_sub(60)..]);
            format!("the guest is silent after {} bytes, {last:?}", all.len())
        })?;
        ensure!(count > 0, "the port was closed");
        all.extend_from_slice(&buffer[..count]);
    }
    Ok(all.len())
}

fn outlets(case: &Case) -> String {
    let dir = case.sockets.path().join("streams");
    format!(
        "admin_socket = {:?}\n[streams]\nsocket_dir = {dir:?}\n",
        case.sockets.path().join("admin")
    )
}

/// The daemon's socket of a stream, once it is there.
fn socket(case: &Case, vm: &str, stream: &str) -> Result<std::path::PathBuf> {
    let path = case.sockets.path().join("streams").join(vm).join(stream);
    wait::for_true(wait::seconds(60), "the stream's socket", || Ok(path.exists()))?;
    Ok(path)
}

fn rack(case: &Case, table: &mut Table) -> Result<()> {
    let mut more = outlets(case) + "[[vm]]\nname = \"rack\"\nstreams = [\n";
    let mut listeners = Vec::new();
    for port in 0..PORTS {
        let path = case.sockets.path().join(format!("d{port}"));
        listeners.push(UnixListener::bind(&path)?);
        writeln!(more, "\"p{port}=unix:{}\",", path.display())?;
    }
    let config = configure(case, &(more + "]\n"))?;
    let daemon = serve(case, &config, &[])?;
    let mut devices = Vec::new();
    let mut programs = Vec::new();
    for (port, listener) in listeners.iter().enumerate() {
        devices.push(listener.accept()?.0);
        let path = socket(case, "rack", &format!("p{port}"))?;
        if port < BUSY {
            programs.push(UnixStream::connect(path)?);
        }
    }
    let floor = there_and_back(&mut UnixStream::pair()?)?;
    let mut line = (programs.remove(0), devices.remove(0));
    let ours = there_and_back(&mut line)?;
    programs.insert(0, line.0);
    devices.insert(0, line.1);
    for (name, ours, floor) in [("p50", ours.0, floor.0), ("p95", ours.1, floor.1)] {
        let row = Row::new(format!("serial port: a byte there and back, {name}"), ours, "ms");
        table.push(row.beside("a socket pair", floor / ours));
    }
    let idle = busy_share(&daemon);
    table.push(Row::new(format!("{PORTS} ports at rest"), idle, "% of a core"));
    let busy = speaking(&daemon, devices, programs)?;
    let row = Row::new(
        format!("{BUSY} of them at 115,200 baud, each read by one"),
        busy,
        "% of a core",
    );
    table.push(row);
    Ok(())
}

/// Milliseconds from a program's byte to the device and back, median and 95 of 100.
fn there_and_back(line: &mut (UnixStream, UnixStream)) -> Result<(f64, f64)> {
    let mut times = Vec::new();
    let mut byte = [0];
    for _ in 0..BYTES {
        let started = Instant::now();
        line.0.write_all(b"x")?;
        line.1.read_exact(&mut byte)?;
        line.1.write_all(b"y")?;
        line.0.read_exact(&mut byte)?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok((times[BYTES / 2], times[BYTES * 95 / 100]))
}

fn busy_share(daemon: &Daemon) -> f64 {
    let used = || usage::time(&[daemon.process.id()]);
    let (before, started) = (used(), Instant::now());
    thread::sleep(SPAN);
    (used() - before).as_secs_f64() / started.elapsed().as_secs_f64() * 100.0
}

/// The same while devices speak; every byte has to arrive.
fn speaking(daemon: &Daemon, devices: Vec<UnixStream>, programs: Vec<UnixStream>) -> Result<f64> {
    let total = SPAN.as_secs() as usize * PIECES as usize * PIECE;
    let (silent, speaking) = {
        let mut devices = devices;
        (devices.split_off(BUSY), devices)
    };
    let share = thread::scope(|scope| -> Result<f64> {
        let readers: Vec<_> = programs
            .into_iter()
            .map(|mut program| {
                scope.spawn(move || -> Result<()> {
                    program.set_read_timeout(Some(Duration::from_secs(30)))?;
                    let mut all = vec![0; total];
                    program.read_exact(&mut all).context("a byte is missing")
                })
            })
            .collect();
        for mut device in speaking {
            scope.spawn(move || {
                for _ in 0..SPAN.as_secs() as u32 * PIECES {
                    let _ = device.write_all(&[b'.'; PIECE]);
                    thread::sleep(Duration::from_secs(1) / PIECES);
                }
                // Closed when all have been measured.
                thread::sleep(SPAN / 5);
            });
        }
        let share = busy_share(daemon);
        for reader in readers {
            reader.join().map_err(|_| anyhow::anyhow!("a reader panicked"))??;
        }
        Ok(share)
    });
    drop(silent);
    share
}
