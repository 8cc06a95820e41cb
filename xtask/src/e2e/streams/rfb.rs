//! VNC viewers: TigerVNC's shows the guest's screen and types into it; one of ours has the serial port through the
//! extension; what is no viewer does no harm.

use super::viewer::{self, Viewer};
use super::{DEVICE, GRANTS, Shop};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::clients::{Fidelity, compare};
use crate::e2e::daemon::Daemon;
use crate::e2e::process;
use crate::e2e::qemu::{PASSWORD, configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use rdpmux_streams::{MAJOR, MINOR, Mode, Replay, Text, ToClient, ToServer};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

/// Adds the cases to the suite.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        let name = format!("{}: a VNC viewer shows the screen and types", qemu.label());
        suite.case(&name, move |case| screen(case, qemu));
    }
    suite.case("a VNC viewer has a serial port", extension);
    suite.case("garbage at the VNC door does no harm", garbage);
}

/// A certificate for the address that viewers connect to, and the sections that name it and open the door.
fn door(case: &Case) -> Result<(PathBuf, String)> {
    let [key, certificate] = ["door.key", "door.pem"].map(|name| case.folder.join(name));
    crate::certificate::write(&certificate, &key, "IP:127.0.0.1")?;
    let sections = format!(
        "[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n[vnc]\nlisten = \"127.0.0.1:0\"\nstreams_2009 = {}\n",
        viewer::OF_2009
    );
    Ok((certificate, sections))
}

/// Where VNC viewers connect.
fn address(daemon: &Daemon) -> Result<String> {
    let output = daemon.process.output();
    let line = output
        .lines()
        .find(|line| line.starts_with('{'))
        .context("no JSON line")?;
    let json: Value = serde_json::from_str(line)?;
    Ok(json["vnc"].as_str().context("no VNC door")?.to_owned())
}

fn screen(case: &Case, qemu: Qemu) -> Result<String> {
    let (certificate, sections) = door(case)?;
    let config = configure(case, &sections)?;
    let daemon = serve(case, &config, &[])?;
    let address = address(&daemon)?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Typist("us"), &[])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_machine("web1")?;
    let dump = vm.screendump()?;
    let start = |name: &str, user: &str, password: &str, more: &[&str]| {
        let authority = format!("-X509CA={}", certificate.display());
        let secure = [&["-SecurityTypes", "X509Plain", authority.as_str()], more].concat();
        let config = Config {
            kind: Kind::TigerVnc,
            address: &address,
            user,
            password,
            size: (dump.width, dump.height),
            more: &secure,
            host: None,
        };
        Client::start_in(&case.folder, name, &config, |command| {
            let mut command = process::again(command);
            command.env("VNC_USERNAME", user).env("VNC_PASSWORD", password);
            command
        })
    };
    let mut zrle = start(
        "zrle",
        "alice#web1",
        PASSWORD,
        &["-AutoSelect=0", "-PreferredEncoding=ZRLE"],
    )?;
    let mut raw = start("raw", "victor", PASSWORD, &["-AutoSelect=0", "-PreferredEncoding=Raw"])?;
    let from = vm.serial().len();
    let line = "The quick brown fox, 0123456789 !#$%&()*+ JUMPS";
    wait::for_true(wait::seconds(60), "a typed line arrives", || {
        zrle.process.check()?;
        zrle.display.type_text(line)?;
        zrle.display.keys(&["Return"])?;
        let arrives = wait::for_true(wait::seconds(10), "the line", || {
            Ok(vm.serial()[from..].contains(&format!("LINE {line}")))
        });
        Ok(arrives.is_ok())
    })?;
    let typed = vm.serial().len();
    raw.display.type_text("intruder")?;
    raw.display.keys(&["Return"])?;
    vm.pause()?;
    let exact = compare(case, &mut zrle, "zrle", Fidelity::Exact, || vm.screendump())?;
    compare(case, &mut raw, "raw", Fidelity::Exact, || vm.screendump())?;
    vm.resume()?;
    ensure!(!vm.serial()[typed..].contains("intruder"), "a viewer typed");
    for (user, password, reason) in [
        ("alice", "wrong", "wrong user name or password"),
        ("nobody", PASSWORD, "wrong user name or password"),
        ("victor#web2", PASSWORD, "there is no such desktop for you"),
    ] {
        let said = viewer::login(&address, user, password).err().context("let in")?;
        ensure!(said.to_string() == format!("refused: {reason}"), "{user}: {said}");
    }
    Ok(format!(
        "ZRLE and raw: {exact}; keys arrive, a viewer's do not; refusals"
    ))
}

fn extension(case: &Case) -> Result<String> {
    let shop = Shop::new(case);
    let (_, sections) = door(case)?;
    let config = configure(case, &format!("admin_socket = {:?}\n{sections}{GRANTS}", shop.socket))?;
    let daemon = serve(case, &config, &[])?;
    let address = address(&daemon)?;
    let mut vm = Vm::start(case, "web1", Qemu::V10, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    wait::for_true(wait::seconds(10), "the port is listed", || {
        Ok(shop.listed()? == ["serial1"])
    })?;
    let mut viewer = Viewer::start(&address, "alice", PASSWORD)?;
    viewer.confirmed()?;
    viewer.say(&ToServer::Hello {
        major: MAJOR,
        minor: MINOR,
        caps: 0,
        max_frame: 65_536,
        client: Text::cleaned("viewer"),
        vm: Text::cleaned(""),
    })?;
    viewer.say(&ToServer::List { follow: true })?;
    added(&mut viewer, "serial1")?;
    plugs(&mut viewer, &mut vm)?;
    let lines = shell(&mut viewer)?;
    viewer::capture_of_2009(
        &address,
        ("alice", PASSWORD),
        "serial1",
        b"\recho OLD''WAY\r",
        "OLDWAY\r\n> ",
    )?;
    let mut stranger = Viewer::start(&address, "victor", PASSWORD)?;
    ensure!(stranger.is_silent()?, "a user without grants was told of streams");
    Ok(format!(
        "list, hot-plug, {lines} lines of a shell byte by byte; the same shell as in 2009; nothing without a grant"
    ))
}

fn added(viewer: &mut Viewer, wanted: &str) -> Result<u32> {
    viewer.hear(wanted, |message| match message {
        ToClient::Added(entry) if entry.name.as_str() == wanted => Some(entry.key),
        _ => None,
    })
}

fn plugs(viewer: &mut Viewer, vm: &mut Vm) -> Result<()> {
    let backend = json!({ "type": "dbus", "data": { "name": "org.qemu.console.serial.2" } });
    vm.qmp
        .run("chardev-add", &json!({ "id": "late", "backend": backend }))?;
    let late = added(viewer, "late")?;
    vm.qmp.run("chardev-remove", &json!({ "id": "late" }))?;
    viewer.hear("the removal", |message| match message {
        ToClient::Removed { key, .. } if *key == late => Some(()),
        _ => None,
    })
}

/// Starts the capture by name, and has the guest count.
fn shell(viewer: &mut Viewer) -> Result<u32> {
    const LINES: u32 = 500;
    viewer.say(&ToServer::Open {
        request: 7,
        mode: Mode::Write,
        replay: Replay::None,
        credit: 1 << 20,
        name: Text::cleaned("serial1"),
    })?;
    let stream = viewer.hear("the stream's number", |message| match message {
        ToClient::Opened { stream, request: 7, .. } => Some(*stream),
        _ => None,
    })?;
    let bytes = format!("\rseq 1 {LINES}; echo DO''NE\r");
    viewer.say(&ToServer::Data {
        stream,
        bytes: bytes.as_bytes(),
    })?;
    let mut said = Vec::new();
    viewer.hear("the guest counts", |message| match message {
        ToClient::Data { bytes, .. } => {
            said.extend_from_slice(bytes);
            String::from_utf8_lossy(&said).contains("DONE\r\n> ").then_some(())
        }
        _ => None,
    })?;
    let wanted: String = (1..=LINES).map(|number| format!("{number}\r\n")).collect();
    ensure!(String::from_utf8_lossy(&said).contains(&wanted), "a number is missing");
    viewer.say(&ToServer::Close { stream })?;
    viewer.hear("the end", |message| match message {
        ToClient::Closed { code: None, .. } => Some(()),
        _ => None,
    })?;
    Ok(LINES)
}

fn garbage(case: &Case) -> Result<String> {
    let (_, sections) = door(case)?;
    let config = configure(case, &sections)?;
    let daemon = serve(case, &config, &[])?;
    let address = address(&daemon)?;
    let vm = Vm::start(case, "web1", Qemu::V7, &Guest::Grub, &[])?;
    daemon.wait_for_machine("web1")?;
    let mut count = 0;
    let first = b"RFB 003.008\n";
    for bytes in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0xFF; 4096],
        b"RFB 003.003\n",
        b"RFB 003.008\n\x01",
        b"RFB 003.008\n\x13\x00\x02\x00\x00\x01\x04",
        b"RFB 003.008\n\x13\x00\x02\x00\x00\x01\x06\x16\x03\x01\xFF\xFF\xFF\xFF",
    ] {
        let mut stream = TcpStream::connect(&address)?;
        stream.set_read_timeout(Some(wait::seconds(10)))?;
        stream.write_all(bytes)?;
        let mut said = Vec::new();
        // It may be reset: what was sent behind the refusal is not read.
        let _ = stream.read_to_end(&mut said);
        ensure!(said.starts_with(first), "{bytes:?} was told {said:?}");
        count += 1;
    }
    // Behind the login: what cannot be, in every message.
    for bytes in [
        &[6, 0, 0, 0, 0x7F, 0xFF, 0xFF, 0xFF][..],
        &[2, 0, 0xFF, 0xFF],
        &[0, 0, 0, 0, 7, 7, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0],
        &[183, 1, 0, 0, 0, 0, 0, 1, 9],
        &[255, 2, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        &[99; 100],
    ] {
        let mut tls = viewer::login(&address, "alice", PASSWORD)?;
        tls.write_all(&[1])?;
        tls.write_all(bytes)?;
        let _ = tls.read_to_end(&mut Vec::new());
        count += 1;
    }
    drop(vm);
    let log = daemon.process.output();
    ensure!(
        !log.contains("panicked") && !log.contains("ended by a bug"),
        "it panicked"
    );
    let ends = log.lines().filter(|line| line.contains("broke the protocol")).count();
    ensure!(ends == 6, "{ends} of 6 viewers that broke the protocol are in the log");
    Ok(format!("{count} connections, each ended by name"))
}
