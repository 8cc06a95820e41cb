//! Cut links, replayed cookies, and what clients are told when their session ends.

use super::light_login::log_in;
use super::proxy::{Cut, Proxy};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::clients::demo;
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::process;
use crate::e2e::qemu::{PASSWORD, configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::text::Font;
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use crate::steps;
use anyhow::{Context, Result, ensure};
use embedded_graphics::mono_font::ascii::FONT_10X20;
use ironrdp_pdu::rdp::session_info::ServerAutoReconnect;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::{Duration, Instant};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a client comes back by itself when its link was cut", |case| {
        cut_links(case)
    });
    suite.case("a replayed reconnect cookie is refused", replays);
    suite.case("who comes back to a full daemon gets its place", full);
    suite.case("heartbeats when nothing moves", heartbeats);
    suite.case("clients without auto-detection answer echoes", echoes);
    suite.case("clients are told why they are disconnected", reasons);
}

const SIZE: (usize, usize) = (1024, 768);
const CUT: Duration = wait::seconds(5);

/// Both FreeRDPs at once: one whose old connection the server still holds for alive, and one where both ends know.
fn cut_links(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let mut figures = Vec::new();
    for (name, kind, more, whom, desktop) in [
        ("freerdp3", Kind::FreeRdp3, &["/sec:nla", "/gfx"], Cut::Client, 0),
        ("freerdp2", Kind::FreeRdp2, &["/sec:tls", "/gfx"], Cut::Both, 1),
    ] {
        let figure = cut_link(case, &daemon, name, kind, more, whom, desktop);
        figures.push(figure.with_context(|| name)?);
    }
    Ok(figures.join("; "))
}

fn cut_link(
    case: &Case,
    daemon: &Daemon,
    name: &str,
    kind: Kind,
    more: &[&str],
    whom: Cut,
    desktop: usize,
) -> Result<String> {
    let proxy = Proxy::start(&daemon.address)?;
    let desktop = &daemon.desktops[desktop];
    let config = Config {
        kind,
        address: &proxy.address,
        user: &desktop.login(),
        password: &desktop.password,
        size: SIZE,
        more: &[more, &["+auto-reconnect"]].concat(),
        host: None,
    };
    let mut client = Client::start(&case.folder, name, &config)?;
    let font = Font::of(&FONT_10X20);
    shows(&mut client, case, &font, &desktop.name)?;
    type_and_see(&mut client, case, &font, "before.")?;
    let back = format!("desktop={} lost=", desktop.name);
    ensure!(
        !daemon.process.output().contains(&back),
        "it came back before it was cut"
    );
    proxy.cut(whom, CUT)?;
    let restored = Instant::now();
    wait::for_true(wait::seconds(25), "the client comes back", || {
        client.process.check()?;
        Ok(daemon.process.output().contains(&back))
    })?;
    let delay = restored.elapsed();
    // The desktop still knows what was typed; the same client goes on typing.
    type_and_see(&mut client, case, &font, "after.")?;
    let ended = match whom {
        Cut::Client => "the client came back by another connection",
        Cut::Both => "the connection ended",
    };
    wait::for_true(wait::seconds(5), "the lost session's end", || {
        Ok(daemon.process.output().contains(ended))
    })?;
    Ok(format!("{name} back {:.1} s after the cut of 5 s", delay.as_secs_f64()))
}

fn shows(client: &mut Client, case: &Case, font: &Font, text: &str) -> Result<()> {
    client
        .wait_for(&case.folder, wait::seconds(20), text, SIZE, |picture| {
            font.find(picture, text).is_some()
        })
        .map(drop)
}

fn type_and_see(client: &mut Client, case: &Case, font: &Font, text: &str) -> Result<()> {
    client.display.type_text(text)?;
    shows(client, case, font, text)
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn replays(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = daemon.desktops[0].clone();
    let login = desktop.login();
    let lost = log_in(&daemon.address, HERE, (&login, &desktop.password), None)?;
    let cookie = lost.cookie.clone();
    drop(lost);
    let attempt =
        |from, user: &str, cookie: &ServerAutoReconnect| log_in(&daemon.address, from, (user, ""), Some(cookie));
    let refused = |from, user: &str, cookie: &ServerAutoReconnect, reason: &str| -> Result<()> {
        ensure!(attempt(from, user, cookie).is_err(), "it got in: {reason}");
        wait::for_true(wait::seconds(5), reason, || {
            let log = daemon.process.output();
            Ok(log
                .lines()
                .any(|line| line.contains("cookie refused") && line.contains(reason)))
        })
    };
    refused(ELSEWHERE, &login, &cookie, "it was given to 127.0.0.1")?;
    refused(HERE, "guest#north", &cookie, "another user's")?;
    let mut forged = cookie.clone();
    forged.random_bits[0] ^= 1;
    refused(HERE, &login, &forged, "its proof is wrong")?;
    let mut foreign = cookie.clone();
    foreign.logon_id = 4_000_000;
    refused(HERE, &login, &foreign, "no such cookie")?;
    let back = attempt(HERE, &login, &cookie).context("the owner's own cookie")?;
    ensure!(back.cookie != cookie, "the same cookie was given twice");
    refused(HERE, &login, &cookie, "it was used already")?;
    // A refused cookie does not stand in the way of a right password.
    log_in(
        &daemon.address,
        ELSEWHERE,
        (&login, &desktop.password),
        Some(&back.cookie),
    )
    .context("a refused cookie with the right password")?;
    Ok("refused from another address, for another user, forged, foreign and used; taken once from its owner without a password".to_owned())
}

/// The old session does not know that its client is gone, and has the only place.
fn full(case: &Case) -> Result<String> {
    let config = configure(case, "[limits]\nsessions = 1\n")?;
    let daemon = serve(case, &config, &[])?;
    let _vm = Vm::start(case, "web1", Qemu::V7, &Guest::Grub, &[])?;
    daemon.wait_for_machine("web1")?;
    let alice = "alice#web1";
    let lost = log_in(&daemon.address, HERE, (alice, PASSWORD), None)?;
    let bob = || log_in(&daemon.address, HERE, ("bob#web1", PASSWORD), None);
    ensure!(bob().is_err(), "there was a second place");
    let began = Instant::now();
    let back = log_in(&daemon.address, HERE, (alice, ""), Some(&lost.cookie)).context("with the cookie")?;
    let took = began.elapsed();
    ensure!(bob().is_err(), "there was a second place afterwards");
    let refused = daemon.process.output().matches("too many sessions").count();
    ensure!(refused == 2, "{refused} logins were refused");
    drop((lost, back));
    Ok(format!("after {:.1} s; others are refused", took.as_secs_f64()))
}

/// A desktop on which nothing moves: the client hears that the server lives.
fn heartbeats(case: &Case) -> Result<String> {
    let daemon = Daemon::start(&case.folder, &["demo", "--json", "--still", "--listen", "127.0.0.1:0"])?;
    let desktop = daemon.desktop("north")?;
    let config = Config {
        kind: Kind::FreeRdp3,
        address: &daemon.address,
        user: &desktop.login(),
        password: &desktop.password,
        size: SIZE,
        more: &["/gfx", "/log-level:TRACE"],
        host: None,
    };
    let mut client = Client::start(&case.folder, "viewer", &config)?;
    let beat = "received Heartbeat PDU -> period=5, count1=2, count2=2";
    wait::for_true(wait::seconds(30), "the client hears a heartbeat", || {
        client.process.check()?;
        Ok(client.process.output().contains(beat))
    })?;
    Ok("FreeRDP 3 hears a heartbeat after 5 s of silence".to_owned())
}

/// The round trip of a client that is told not to measure its link is asked for through its channel `ECHO`.
fn echoes(case: &Case) -> Result<String> {
    let mut command = Command::new(daemon::program());
    command.args(["demo", "--json", "--listen", "127.0.0.1:0"]);
    command.env("RUST_LOG", "info,rdpmux_rdp::session::echo=trace");
    let daemon = Daemon::start_command(&case.folder, &mut command)?;
    let desktop = daemon.desktop("north")?;
    let answers = || daemon.process.output().matches("echo answered").count();
    // No option of theirs switches the detection off, only a file does, in which FreeRDP 2 takes each setting for the other.
    let without2 = "connection type:i:6\nnetworkautodetect:i:1\nbandwidthautodetect:i:0\n";
    let without3 = "networkautodetect:i:0\nbandwidthautodetect:i:0\n";
    for (name, kind, settings) in [
        ("freerdp2", Kind::FreeRdp2, without2),
        ("freerdp3", Kind::FreeRdp3, without3),
    ] {
        let file = case.folder.join(format!("{name}.rdp"));
        fs::write(&file, settings)?;
        let config = Config {
            kind,
            address: &daemon.address,
            user: &desktop.login(),
            password: &desktop.password,
            size: SIZE,
            more: &["/gfx", "/echo"],
            host: None,
        };
        let before = answers();
        let mut client = Client::start_in(&case.folder, name, &config, |command| {
            process::with_first(&file, command)
        })?;
        wait::for_true(wait::seconds(20), &format!("{name} answers an echo"), || {
            client.process.check()?;
            Ok(answers() > before)
        })?;
    }
    Ok("FreeRDP 2 and 3 do".to_owned())
}

/// How long nothing may be typed in this case.
const IDLE: u64 = 10;

fn reasons(case: &Case) -> Result<String> {
    let socket = case.sockets.path().join("admin.sock");
    let config = configure(
        case,
        &format!("admin_socket = {socket:?}\n[limits]\nidle_seconds = {IDLE}\n"),
    )?;
    let daemon = serve(case, &config, &[])?;
    let mut double = Vm::start(case, "web1", Qemu::V7, &Guest::Grub, &["-device", "virtio-gpu-pci"])?;
    daemon.wait_for_machine("web1")?;
    let view = |name: &str, user: &str, kind| {
        let config = Config {
            kind,
            address: &daemon.address,
            user,
            password: PASSWORD,
            size: SIZE,
            more: &["+auto-reconnect"],
            host: None,
        };
        Client::start(&case.folder, name, &config)
    };
    let mut told = Vec::new();
    let mut expect = |name: &str, mut client: Client, word: &str| -> Result<()> {
        let said = client
            .wait_for_end(wait::seconds(20))
            .with_context(|| format!("{name}: the client stays"))?;
        ensure!(said.contains(word), "{name}: the client does not say {word}:\n{said}");
        told.push(format!("{name} {word}"));
        Ok(())
    };
    let operator = |words: &[&str]| {
        let mut command = Command::new(daemon::program());
        steps::output(command.args(words).arg("--socket").arg(&socket))
    };
    let joined = |user: &str| {
        wait::for_true(wait::seconds(20), "the client has a session", || {
            Ok(operator(&["sessions"])?.contains(user))
        })
    };
    let idle = view("idle", "victor#web1", Kind::FreeRdp3)?;
    let closed = view("closed", "bob#web1", Kind::FreeRdp3)?;
    joined("bob")?;
    operator(&["disconnect", "--user", "bob"])?;
    expect("disconnected", closed, "ERRINFO_RPC_INITIATED_DISCONNECT")?;
    let off = view("off", "bob#web1", Kind::FreeRdp2)?;
    joined("bob")?;
    operator(&["disconnect", "--user", "bob", "--logoff"])?;
    expect("logged off", off, "ERRINFO_RPC_INITIATED_LOGOFF")?;
    expect("idle", idle, "ERRINFO_IDLE_TIMEOUT")?;
    // The machine comes back with one head: the desktop of its second head is gone for good.
    let removed = view("removed", "alice#web1/1", Kind::FreeRdp3)?;
    joined("alice")?;
    double.process.kill();
    let _single = Vm::start(case, "web1", Qemu::V7, &Guest::Grub, &[])?;
    expect("removed", removed, "ERRINFO_CB_DESTINATION_NOT_FOUND")?;
    ensure!(
        !daemon.process.output().contains("comes back by its reconnect cookie"),
        "a client that was sent away came back by itself"
    );
    Ok(told.join(", "))
}
