//! A serial shell in four terminals at once: all see the same, one types.

use super::{DEVICE, GRANTS, Shop, Typist, said};
use crate::e2e::process::Process;
use crate::e2e::qemu::{configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Result, ensure};
use serde_json::json;
use std::time::{Duration, Instant};

/// Adds the case to the suite, for every QEMU.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        let name = format!("{}: a serial shell, three watch and one types", qemu.label());
        suite.case(&name, move |case| shell(case, qemu));
    }
}

/// Lines that the guest prints at full speed.
const LINES: u32 = 4000;

fn shell(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    let _daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    wait::for_true(wait::seconds(10), "the port is listed", || {
        Ok(shop.listed()? == ["serial1"])
    })?;
    let watchers = [
        shop.console("first", &["--follow"])?,
        shop.console("second", &["--follow", "--as", "alice"])?,
        shop.console("third", &["--follow", "--as", "bob"])?,
    ];
    let mut typist = shop.typist()?;
    typist.types("\r")?;
    said(&watchers[0], "> ")?;
    let took = numbers(&mut typist, &watchers)?;
    intruders(&shop, &watchers[0])?;
    breaks(&mut typist, &watchers[0])?;
    typist.types("\r~.")?;
    wait::for_true(wait::seconds(5), "the typist leaves", || {
        Ok(typist.child.try_wait()?.is_some())
    })?;
    let kept = shop.does(&["console", "web1/serial1", "--history"])?;
    wait::for_true(wait::seconds(5), "all have the same", || {
        Ok(watchers.iter().all(|watcher| watcher.output() == kept))
    })?;
    plugs(&shop, &mut vm)?;
    let kib = kept.len() / 1024;
    Ok(format!(
        "{kib} KiB, equal at three watchers and in the log; {LINES} lines in {took:.1} s; break, refusals, hot-plug"
    ))
}

/// What the guest counts arrives byte by byte.
fn numbers(typist: &mut Typist, watchers: &[Process]) -> Result<f64> {
    let started = Instant::now();
    typist.types(&format!("seq 1 {LINES}; echo DO''NE\r"))?;
    said(&watchers[0], "DONE\r\n> ")?;
    let took = started.elapsed().as_secs_f64();
    let wanted: String = (1..=LINES).map(|number| format!("{number}\r\n")).collect();
    for watcher in watchers {
        said(watcher, "DONE\r\n> ")?;
        ensure!(watcher.output().contains(&wanted), "a watcher lacks a number");
    }
    Ok(took)
}

/// A break and `h` are SysRq's help. The line must be at rest before each of them: a break that overtakes a carriage return
/// in the UART marks that, and a key that overtakes the break is only a key.
pub fn breaks(typist: &mut Typist, watcher: &Process) -> Result<()> {
    wait::for_true(wait::seconds(30), "the guest takes the break", || {
        let prompts = watcher.output().matches("> ").count();
        typist.types("\r")?;
        wait::for_true(wait::seconds(30), "the next prompt", || {
            Ok(watcher.output().matches("> ").count() > prompts)
        })?;
        typist.types("~B")?;
        // Nothing tells when the guest has seen it; it counts for 5 s.
        wait::while_true(Duration::from_millis(500), || Ok(()))?;
        typist.types("h")?;
        let help = wait::for_true(wait::seconds(3), "help", || {
            Ok(watcher.output().contains("sysrq: HELP"))
        });
        Ok(help.is_ok())
    })
}

/// Who may not type, and who is not the one who types, does not; who may not watch sees nothing.
fn intruders(shop: &Shop, watcher: &Process) -> Result<()> {
    for user in ["alice", "bob"] {
        let output = shop.run(&["console", "web1", "--as", user], "echo INTRUDER\r")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    wait::while_true(wait::seconds(1), || {
        ensure!(!watcher.output().contains("INTRUDER"), "two typed at once");
        Ok(())
    })?;
    let output = shop.run(&["streams", "web1", "--as", "victor"], "")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("no right to streams"),
        "victor was told: {said}"
    );
    Ok(())
}

/// Devices that are plugged in and out are seen within 2 s.
fn plugs(shop: &Shop, vm: &mut Vm) -> Result<()> {
    let backend = json!({ "type": "dbus", "data": { "name": "org.qemu.console.serial.2" } });
    vm.qmp
        .run("chardev-add", &json!({ "id": "late", "backend": backend }))?;
    wait::for_true(wait::seconds(2), "a new device is listed", || {
        Ok(shop.listed()? == ["late", "serial1"])
    })?;
    vm.qmp.run("chardev-remove", &json!({ "id": "late" }))?;
    wait::for_true(
        wait::seconds(2),
        "it is no longer",
        || Ok(shop.listed()? == ["serial1"]),
    )
}
