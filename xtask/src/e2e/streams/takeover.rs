//! Character devices of any backend, taken over by QMP: read and written while the daemon runs, exactly what they were when
//! it does not.

use super::proxy::Proxy;
use super::shell::breaks;
use super::{GRANTS, Shop, said};
use crate::e2e::daemon::Daemon;
use crate::e2e::qemu::{configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm, serial, socket};
use crate::e2e::wait;
use crate::steps::{self, Echo};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// Adds the cases to the suite, for every QEMU.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        let name = format!("{}: a file and nothing are taken over and handed back", qemu.label());
        suite.case(&name, move |case| file_and_null(case, qemu));
        let name = format!(
            "{}: a terminal, a socket, a port plugged in, and a refusal",
            qemu.label()
        );
        suite.case(&name, move |case| others(case, qemu));
        let name = format!("{}: the daemon is killed in the middle of each step", qemu.label());
        suite.case(&name, move |case| killed(case, qemu));
    }
    suite.case("a busy line changes hands 120 times on every QEMU", |case| {
        changes_hands(case)
    });
}

/// A configuration that takes these over, of all machines.
fn taking(case: &Case, shop: &Shop, labels: &str) -> Result<PathBuf> {
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    // The section of the machines is the last one.
    let mut file = OpenOptions::new().append(true).open(&config)?;
    writeln!(file, "take_over = {labels}")?;
    Ok(config)
}

/// What QEMU says of a character device.
fn backend_of(vm: &mut Vm, label: &str) -> Result<String> {
    let all = vm.qmp.run("query-chardev", &json!({}))?;
    let mut all = all.as_array().into_iter().flatten();
    let found = all
        .find(|one| one["label"] == label)
        .context("no such character device")?;
    Ok(found["filename"].as_str().unwrap_or_default().to_owned())
}

fn runs(vm: &mut Vm) -> Result<bool> {
    Ok(vm.qmp.run("query-status", &json!({}))?["running"] == Value::Bool(true))
}

/// Ends the daemon as a service manager does; the machine must be as it was.
fn hand_back(daemon: &mut Daemon, vm: &mut Vm, were: &[(&str, &str)]) -> Result<()> {
    daemon.process.end();
    for (label, was) in were {
        let is = backend_of(vm, label)?;
        ensure!(is == *was, "{label} is {is} instead of {was}");
    }
    ensure!(runs(vm)?, "the machine is left stopped");
    Ok(())
}

/// Lines that the guest writes to its first port meanwhile.
const LINES: u32 = 400_000;
/// Daemons, one after the other.
const DAEMONS: usize = 4;

fn file_and_null(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = taking(case, &shop, r#"["serial*"]"#)?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &["-serial", "null"])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let listed = || Ok(shop.listed()? == ["serial0", "serial1"]);
    let mut seen = 0;
    for round in 0..DAEMONS {
        let mut daemon = serve(case, &config, &[])?;
        wait::for_true(wait::seconds(20), "both are listed", listed)?;
        let shell = shop.console(&format!("shell{round}"), &["--follow"])?;
        let mut typist = shop.typist_at("web1/serial1")?;
        if round == 0 {
            typist.types(&format!("(seq 1 {LINES}; echo DO''NE) > /dev/ttyS0 &\r"))?;
        }
        let log = serial(&case.folder, "web1");
        let before = fs::metadata(&log)?.len();
        wait::for_true(wait::seconds(20), "the file grows", || {
            Ok(fs::metadata(&log)?.len() > before + 1000 || fs::read_to_string(&log)?.contains("DONE"))
        })?;
        if round + 1 == DAEMONS {
            typist.types("echo AL''IVE\r")?;
            said(&shell, "ALIVE\r\n")?;
        }
        drop(typist);
        seen += usize::from(!fs::read_to_string(&log)?.contains("DONE"));
        hand_back(&mut daemon, &mut vm, &[("serial0", "file"), ("serial1", "null")])?;
    }
    vm.wait_for(wait::seconds(60), "DONE")?;
    let text = fs::read_to_string(serial(&case.folder, "web1"))?;
    let wanted: String = (1..=LINES).map(|number| format!("{number}\r\n")).collect();
    ensure!(text == format!("READY\r\n{wanted}DONE\r\n"), "the file has a seam");
    let journals = fs::read_dir(case.folder.join("state/take-over"))?.count();
    ensure!(journals == 0, "a journal is left");
    let kib = text.len() / 1024;
    Ok(format!(
        "{DAEMONS} times taken over and back, {seen} while the guest wrote; its file of {kib} KiB is byte-exact"
    ))
}

/// Each kind is read and written where it was before, by the stream and by whoever used it; unplugged it is what it was.
fn others(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = taking(case, &shop, r#"["*"]"#)?;
    let debug = ["-chardev", "null,id=dbg", "-device", "isa-debugcon,chardev=dbg"];
    let mut vm = Vm::start(
        case,
        "web1",
        qemu,
        &Guest::Shell,
        &[&["-serial", "null", "-serial", "pty"], &debug[..]].concat(),
    )?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let mut daemon = serve(case, &config, &[])?;
    wait::for_true(wait::seconds(20), "all are listed", || {
        Ok(shop.listed()? == ["serial0", "serial1", "serial2"])
    })?;
    let shell = shop.console("shell", &["--follow"])?;
    let mut typist = shop.typist_at("web1/serial1")?;
    breaks(&mut typist, &shell)?;

    let link = case.folder.join("state/take-over/web1.serial2.tty");
    let terminal = File::options().read(true).write(true).open(&link)?;
    typist.types("echo TO''PTY > /dev/ttyS2; head -n 1 < /dev/ttyS2 > /dev/ttyS0\r")?;
    heard(terminal.try_clone()?, "TOPTY\r\n")?;
    (&terminal).write_all(b"FROMPTY\r")?;
    vm.wait_for(wait::seconds(30), "FROMPTY")?;
    drop(terminal);

    let path = case.sockets.path().join("late.sock");
    let address = json!({ "type": "unix", "data": { "path": path } });
    let backend = json!({ "type": "socket", "data": { "addr": address, "server": true, "wait": false } });
    vm.qmp
        .run("chardev-add", &json!({ "id": "late", "backend": backend }))?;
    let was = backend_of(&mut vm, "late")?;
    let device = json!({ "driver": "pci-serial", "id": "plugged", "chardev": "late" });
    vm.qmp.run("device_add", &device)?;
    let plugged = std::time::Instant::now();
    wait::for_true(wait::seconds(10), "the new port is listed", || {
        Ok(shop.listed()?.contains(&"late".to_owned()))
    })?;
    let plugged = plugged.elapsed().as_secs_f64();
    let client = wait::until(wait::seconds(10), "its socket is served", || {
        Ok(UnixStream::connect(&path).ok())
    })?;
    typist.types("echo TO''SOCKET > /dev/ttyS3\r")?;
    heard(client.try_clone()?, "TOSOCKET\r\n")?;
    drop(client);
    let late = shop.does(&["console", "web1/late", "--history"])?;
    ensure!(late == "TOSOCKET\r\n", "the stream has {late:?}");
    // Version 10.0 ends itself when it is reset before the guest has let go.
    if qemu == Qemu::V7 {
        unplug(&shop, &mut vm)?;
        ensure!(backend_of(&mut vm, "late")? == was, "its socket is not put back");
    }

    let log = daemon.process.output();
    let refusal = "dbg of web1 is not taken over: qemu says: Chardev user does not support chardev hotswap";
    ensure!(
        log.matches(refusal).count() == 1,
        "the refusal is told {} times",
        log.matches(refusal).count()
    );
    drop(typist);
    hand_back(
        &mut daemon,
        &mut vm,
        &[("serial0", "file"), ("serial1", "null"), ("late", &was)],
    )?;
    let terminal = backend_of(&mut vm, "serial2")?;
    ensure!(
        terminal.strip_prefix("pty:") == fs::read_link(&link)?.to_str(),
        "the link does not lead to {terminal}"
    );
    Ok(format!(
        "read, written and given back; break; plugged in, seen after {plugged:.1} s"
    ))
}

fn unplug(shop: &Shop, vm: &mut Vm) -> Result<()> {
    vm.qmp.run("device_del", &json!({ "id": "plugged" }))?;
    vm.qmp.run("system_reset", &json!({}))?;
    wait::for_true(wait::seconds(30), "the port is gone", || {
        Ok(!shop.listed()?.contains(&"late".to_owned()))
    })
}

/// Until it says something with `what` in it.
fn heard(mut place: impl Read + Send + 'static, what: &str) -> Result<()> {
    let (sender, told) = std::sync::mpsc::channel();
    let wanted = what.to_owned();
    std::thread::spawn(move || {
        let (mut text, mut piece) = (String::new(), [0; 1024]);
        while let Ok(count @ 1..) = place.read(&mut piece) {
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
            if text.contains(&wanted) {
                let _ = sender.send(());
                return;
            }
        }
    });
    told.recv_timeout(wait::seconds(30))
        .with_context(|| format!("nobody says {what:?}"))
}

/// Steps of taking two ports over: stop, then twice a descriptor and the change, then cont.
const TAKING: usize = 6;
/// Steps of giving them back: stop, twice the change, cont.
const GIVING: usize = 4;

fn killed(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    let text = fs::read_to_string(&config)?;
    let text = text.split("[[discover]]").next().context("no configuration")?;
    let door = case.sockets.path().join("proxy.qmp");
    let log = serial(&case.folder, "web1");
    fs::write(
        &config,
        format!(
            "{text}[[vm]]\nname = \"web1\"\nqmp = {door:?}\ntake_over = [\"serial*\"]\nrestore.serial0 = \"file:{}\"\n",
            log.display()
        ),
    )?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &["-serial", "null"])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let proxy = Proxy::start(&door, &socket(case, "web1"))?;
    let were = [("serial0", "file"), ("serial1", "null")];
    let listed = || Ok(shop.listed()? == ["serial0", "serial1"]);
    let mut found_stopped = 0;
    for step in 0..TAKING + GIVING {
        let is_taking = step < TAKING;
        if is_taking {
            proxy.cut_after(step);
        }
        let mut daemon = serve(case, &config, &[])?;
        if !is_taking {
            wait::for_true(wait::seconds(30), "both are listed", listed)?;
            proxy.cut_after(step - TAKING);
            daemon.process.ask_to_end()?;
        }
        wait::for_true(wait::seconds(30), "the step", || Ok(proxy.is_cut()))?;
        daemon.process.kill();
        drop(daemon);
        found_stopped += usize::from(!runs(&mut vm)?);
        proxy.mend();
        let mut daemon = serve(case, &config, &[])?;
        wait::for_true(wait::seconds(30), "both are listed again", listed)?;
        wait::for_true(wait::seconds(30), "the machine runs", || runs(&mut vm))?;
        let shell = shop.console(&format!("shell{step}"), &["--follow"])?;
        let mut typist = shop.typist_at("web1/serial1")?;
        typist.types(&format!("echo STEP''{step} > /dev/ttyS0; echo ALIVE''{step}\r"))?;
        said(&shell, &format!("ALIVE{step}\r\n"))?;
        vm.wait_for(wait::seconds(30), &format!("STEP{step}\r"))?;
        drop(typist);
        hand_back(&mut daemon, &mut vm, &were).with_context(|| format!("after step {step}"))?;
        let journals = fs::read_dir(case.folder.join("state/take-over"))?.count();
        ensure!(journals == 0, "a journal is left after step {step}");
    }
    ensure!(found_stopped > 0, "no kill met the machine while it was stopped");
    Ok(format!(
        "{} kills, {found_stopped} of them with the machine stopped; each time it ran on, and all was put back",
        TAKING + GIVING
    ))
}

/// The test of the crate `guest`, which counts every byte, as often as a fleet's daemons are restarted in years.
fn changes_hands(case: &Case) -> Result<String> {
    const CYCLES: u32 = 120;
    let test = "taken::a_busy_line_changes_hands_many_times_without_a_stall_or_a_lost_byte";
    let mut command = steps::cargo();
    command
        .args([
            "test",
            "--workspace",
            "--test",
            "guest",
            "--",
            "--exact",
            "--nocapture",
            test,
        ])
        .env("RDPMUX_CYCLES", CYCLES.to_string());
    let log = case.folder.join("cycles.log");
    steps::logged(&mut command, &log, Echo::Nothing)?;
    let text = fs::read_to_string(&log)?;
    ensure!(text.contains("1 passed"), "the test is not there:\n{text}");
    let counted = text.lines().filter_map(|line| line.split_once("counted "));
    let counted: Vec<_> = counted.map(|(_, figure)| figure).collect();
    ensure!(!counted.is_empty(), "nothing was counted:\n{text}");
    Ok(format!("{CYCLES} cycles each: {}", counted.join("; ")))
}
