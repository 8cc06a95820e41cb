//! Character devices that QEMU's display knows nothing of: by a socket that QEMU dials, by one of its own, by its terminal
//! and by a file; with a record and a socket of each, which socat types into.

use super::{GRANTS, Shop, said};
use crate::e2e::process::Process;
use crate::e2e::qemu::{configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{self, Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Adds the case to the suite, for every QEMU.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        let name = format!("{}: serial ports by socket, terminal and file", qemu.label());
        suite.case(&name, move |case| outside(case, qemu));
    }
}

const PORTS: [&str; 3] = ["serial1", "serial2", "serial3"];

fn outside(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let places = case.sockets.path();
    let (dialled, own) = (places.join("dialled"), places.join("own"));
    let chardev = format!("socket,id=one,path={},server=off,reconnect=1", dialled.display());
    let server = format!("unix:{},server=on,wait=off", own.display());
    let ports = [
        "-chardev",
        &chardev,
        "-serial",
        "chardev:one",
        "-serial",
        "pty",
        "-serial",
        &server,
    ];
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &ports)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let (records, sockets) = (case.folder.join("records"), places.join("streams"));
    fs::create_dir_all(&records)?;
    let more = format!(
        "admin_socket = {:?}\n{GRANTS}\n[streams]\nrecord_dir = {records:?}\nsocket_dir = {sockets:?}\n\
         [[vm]]\nname = \"ports\"\nstreams = [\"serial1=listen:{}\", \"serial2=pty:{}\", \"serial3=unix:{}\", \"boot=file:{}\"]\n",
        shop.socket,
        dialled.display(),
        terminal(&mut vm)?,
        own.display(),
        vm::serial(&case.folder, "web1").display()
    );
    let config = configure(case, &more)?;
    let daemon = serve(case, &config, &[])?;
    daemon.wait_for_desktop("ports/serial1")?;
    for port in PORTS {
        let watcher = watch(&shop, port, port)?;
        answers(&watcher, "42", || typed(&shop, port, "echo $((6*7))"))?;
        let socket = sockets.join("ports").join(port);
        answers(&watcher, "4949", || through_socat(&socket, "echo $((70*70+49))"))?;
        recorded(&records.join(format!("ports.{port}.log")), "4949")?;
    }
    let boot = shop.does(&["console", "ports/boot", "--history"])?;
    ensure!(
        boot == vm.serial(),
        "the file has {:?}, the stream {boot:?}",
        vm.serial()
    );
    // QEMU dials again, and its own socket and terminal are taken again.
    drop(daemon);
    let _daemon = serve(case, &config, &[])?;
    for port in PORTS {
        let watcher = watch(&shop, port, &format!("{port}-again"))?;
        answers(&watcher, "6464", || typed(&shop, port, "echo $((64*101))"))?;
    }
    Ok("three shells and a file through both daemons; each typed into by console and socat, and recorded".to_owned())
}

/// Where QEMU's terminal is.
fn terminal(vm: &mut Vm) -> Result<String> {
    let answer = vm.qmp.run("query-chardev", &json!({}))?;
    let places = answer.as_array().into_iter().flatten();
    let mut terminals = places.filter_map(|one| one["filename"].as_str()?.strip_prefix("pty:"));
    Ok(terminals.next().context("QEMU has no terminal")?.to_owned())
}

fn watch(shop: &Shop, port: &str, log: &str) -> Result<Process> {
    let mut seen = false;
    wait::for_true(wait::seconds(30), "the port can be watched", || {
        seen = seen
            || shop
                .run(&["console", &format!("ports/{port}"), "--history"], "")?
                .status
                .success();
        Ok(seen)
    })?;
    let command = shop.command(&["console", &format!("ports/{port}"), "--follow"]);
    Process::start(&command, &shop.folder.join(format!("{log}.log")), "")
}

/// Types until the guest answers: what is typed before a place is there, or while another one still writes, is lost.
fn answers(watcher: &Process, answer: &str, mut types: impl FnMut() -> Result<()>) -> Result<()> {
    let wanted = format!("\r\n{answer}\r\n");
    for _ in 0..10 {
        types()?;
        let answered = wait::for_true(wait::seconds(6), "an answer", || Ok(watcher.output().contains(&wanted)));
        if answered.is_ok() {
            return Ok(());
        }
    }
    said(watcher, &wanted)
}

fn typed(shop: &Shop, port: &str, line: &str) -> Result<()> {
    shop.run(&["console", &format!("ports/{port}")], &format!("{line}\r"))?;
    Ok(())
}

fn through_socat(socket: &Path, line: &str) -> Result<()> {
    let mut socat = Command::new("socat")
        .args(["-t", "1", "-"])
        .arg(format!("UNIX-CONNECT:{}", socket.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start socat")?;
    let mut keyboard = socat.stdin.take().context("no pipe to socat")?;
    keyboard.write_all(format!("{line}\r").as_bytes())?;
    drop(keyboard);
    socat.wait_with_output()?;
    Ok(())
}

/// With the time before it.
fn recorded(path: &Path, line: &str) -> Result<()> {
    wait::for_true(wait::seconds(10), "the record", || {
        let text = String::from_utf8_lossy(&fs::read(path)?).into_owned();
        Ok(text
            .lines()
            .any(|found| found.starts_with("20") && found.ends_with(&format!("Z {line}"))))
    })
}
