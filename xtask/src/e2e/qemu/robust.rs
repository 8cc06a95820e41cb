//! What must not hurt whom: a QEMU that dies, a viewer that stops reading, a daemon that is stuck or killed.

use super::{compare_at_rest, configure, serve, viewer};
use crate::e2e::client::{Client, Kind};
use crate::e2e::clients::Fidelity;
use crate::e2e::picture::{Area, Picture};
use crate::e2e::report::{Case, Named, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("every kind of client outlives the deadline", outlives_the_deadline);
    for qemu in Qemu::ALL {
        suite.case(&format!("{} killed and restarted", qemu.label()), |case| {
            restart(case, qemu)
        });
        suite.case(&format!("{} and a killed daemon", qemu.label()), |case| {
            killed_daemon(case, qemu)
        });
        suite.case(&format!("{} and a viewer that stops reading", qemu.label()), |case| {
            stalled_viewer(case, qemu)
        });
    }
    let stuck = Qemu::ALL.map(|qemu| -> Named<'_> {
        let name = format!("{} with a stuck daemon", qemu.label());
        (name, Box::new(move |case| stuck_daemon(case, qemu)))
    });
    suite.together(stuck.into());
}

const SIZE: (usize, usize) = (1280, 800);
const IDLE: Guest = Guest::Kms("rdpmux.scene=idle");

/// Clients that acknowledge no frame by design are not taken for clients that stopped.
fn outlives_the_deadline(case: &Case) -> Result<String> {
    let config = configure(case, "[limits]\nwrite_seconds = 5\n")?;
    let daemon = serve(case, &config, &[])?;
    let guest = Guest::Kms("rdpmux.scene=drag rdpmux.fps=5");
    let mut vm = Vm::start(case, "web1", Qemu::V7, &guest, &[])?;
    vm.wait_for(wait::seconds(120), "FRAME")?;
    let kinds: [(&str, Kind, &[&str]); 4] = [
        ("egfx", Kind::FreeRdp3, &["/gfx"]),
        ("remotefx", Kind::FreeRdp2, &["/rfx"]),
        ("bitmaps", Kind::FreeRdp2, &[]),
        ("rdesktop", Kind::Rdesktop, &["-a", "32"]),
    ];
    let mut viewers = Vec::new();
    for (name, kind, more) in kinds {
        let mut client = viewer(case, name, &daemon, "alice", kind, more)?;
        client.wait_for_any(&case.folder, wait::seconds(30), SIZE)?;
        viewers.push(client);
    }
    let there = connections(&daemon.address)?;
    wait::while_true(wait::seconds(15), || {
        let left = connections(&daemon.address)?;
        ensure!(left == there, "{there} connections became {left}");
        viewers.iter_mut().try_for_each(|client| client.process.check())
    })?;
    Ok(format!("{there} viewers of four kinds stay 15 s at a deadline of 5 s"))
}

fn restart(case: &Case, qemu: Qemu) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &IDLE, &[])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_machine("web1")?;
    let mut viewers = [
        ("gfx", viewer(case, "gfx", &daemon, "alice", Kind::FreeRdp2, &["/gfx"])?),
        (
            "rdesktop",
            viewer(case, "rdesktop", &daemon, "bob", Kind::Rdesktop, &["-a", "32"])?,
        ),
    ];
    let mut guest = Vec::new();
    for (name, client) in &mut viewers {
        compare_at_rest(case, client, name, Fidelity::Exact, &mut vm)?;
        guest.push(client.picture(SIZE)?);
    }
    vm.process.kill();
    for ((name, client), guest) in viewers.iter_mut().zip(&guest) {
        let card = client.wait_for(
            &case.folder,
            wait::seconds(20),
            "a card that says why",
            SIZE,
            |picture| picture.differing(guest) > guest.pixels.len() / 4 && picture.colors(3) >= 3,
        )?;
        card.save(&case.folder.join(format!("{name}-card.png")))?;
    }
    wait::while_true(wait::seconds(5), || {
        viewers.iter_mut().try_for_each(|(_, client)| client.process.check())
    })?;
    drop(vm);
    let mut vm = Vm::start(case, "web1", qemu, &IDLE, &[])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    for (name, client) in &mut viewers {
        compare_at_rest(case, client, &format!("{name}-again"), Fidelity::Exact, &mut vm)?;
    }
    Ok("two viewers saw the card and then the new QEMU, on their first connections".to_owned())
}

/// A client that reads nothing is dropped after 15 s; the other one is looked at before that.
const UNHEARD: Duration = wait::seconds(12);

/// The number that the guest's animation draws in its upper left corner: 16 squares, lowest bit first.
fn frame_number(picture: &Picture) -> u32 {
    (0..16)
        .filter(|bit| picture.pixels[8 * picture.width + bit * 16 + 8] & 0xff_00 > 0x80_00)
        .fold(0, |number, bit| number | 1 << bit)
}

/// How many different frames a client shows per second.
fn frame_rate(client: &mut Client, time: Duration, mut meanwhile: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut seen = BTreeSet::new();
    let started = Instant::now();
    let mut looked = Instant::now();
    while started.elapsed() < time {
        client.process.check()?;
        let strip = Area {
            x: 0,
            y: 0,
            width: 256,
            height: 16,
        };
        seen.insert(frame_number(&client.display.with_pointer()?.crop(strip)?));
        if looked.elapsed() > Duration::from_millis(500) {
            looked = Instant::now();
            meanwhile()?;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(seen.len() as f64 / started.elapsed().as_secs_f64())
}

/// Established TCP connections of the daemon's port, as the kernel of the daemon's side sees them.
fn connections(address: &str) -> Result<usize> {
    let port: u16 = address
        .rsplit_once(':')
        .context("an address without a port")?
        .1
        .parse()?;
    let local = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp")?;
    let is_ours = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&local.as_str()) && words.get(3) == Some(&"01")
    };
    Ok(table.lines().filter(is_ours).count())
}

fn stalled_viewer(case: &Case, qemu: Qemu) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Kms("rdpmux.scene=video rdpmux.fps=10"), &[])?;
    vm.wait_for(wait::seconds(120), "FRAME")?;
    daemon.wait_for_machine("web1")?;
    let mut good = viewer(case, "good", &daemon, "alice", Kind::FreeRdp2, &["/gfx"])?;
    let mut bad = viewer(case, "bad", &daemon, "bob", Kind::FreeRdp2, &["/gfx"])?;
    for client in [&mut good, &mut bad] {
        client.wait_for_any(&case.folder, wait::seconds(30), SIZE)?;
    }
    let earlier = frame_rate(&mut good, wait::seconds(8), || Ok(()))?;
    ensure!(
        connections(&daemon.address)? == 2,
        "{} connections instead of 2",
        connections(&daemon.address)?
    );
    let before = (daemon.process.memory()?, vm.process.memory()?);
    let mut most = before;
    bad.process.suspend()?;
    let stalled = Instant::now();
    let mut look = || {
        most = (most.0.max(daemon.process.memory()?), most.1.max(vm.process.memory()?));
        connections(&daemon.address)
    };
    let during = frame_rate(&mut good, UNHEARD, || look().map(drop))?;
    wait::for_true(wait::seconds(20), "the viewer that does not read is dropped", || {
        Ok(look()? == 1)
    })?;
    let dropped = stalled.elapsed();
    let later = frame_rate(&mut good, wait::seconds(8), || Ok(()))?;
    good.picture(SIZE)?.save(&case.folder.join("good.png"))?;
    bad.process.resume()?;
    let grown = ((most.0 - before.0) / 1024, (most.1 - before.1) / 1024);
    ensure!(grown.0 < 100, "the daemon grew by {} MiB", grown.0);
    ensure!(grown.1 < 100, "QEMU grew by {} MiB", grown.1);
    let figures = format!("{earlier:.1} → {during:.1} → {later:.1} frames/s");
    // Who waits for the stalled one shows next to nothing; the rest is what else the machine does.
    ensure!(
        during > earlier.min(later) / 2.0,
        "the other viewer before, while and after it stalled: {figures}"
    );
    Ok(format!(
        "other viewer {figures}, dropped after {:.0} s, daemon +{} MiB, QEMU +{} MiB",
        dropped.as_secs_f64(),
        grown.0,
        grown.1
    ))
}

fn stuck_daemon(case: &Case, qemu: Qemu) -> Result<String> {
    let fault = case.folder.join("stall");
    let config = configure(case, "")?;
    let mut daemon = serve(case, &config, &[("RDPMUX_FAULT_STALL", &fault.display().to_string())])?;
    let mut vm = Vm::start(
        case,
        "web1",
        qemu,
        &Guest::Kms("rdpmux.scene=video rdpmux.fps=30 rdpmux.mode=1920x1080"),
        &[],
    )?;
    vm.wait_for(wait::seconds(120), "FRAME")?;
    daemon.wait_for_machine("web1")?;
    let mut client = viewer(case, "client", &daemon, "alice", Kind::FreeRdp2, &["/gfx"])?;
    client.wait_for_any(&case.folder, wait::seconds(30), (1920, 1080))?;
    let before = (daemon.process.memory()?, vm.process.memory()?);
    let frames = vm.frames();
    fs::write(&fault, "")?;
    let mut most = before;
    wait::while_true(wait::seconds(60), || {
        most = (most.0.max(daemon.process.memory()?), most.1.max(vm.process.memory()?));
        Ok(())
    })?;
    let shown = vm.frames().saturating_sub(frames);
    fs::remove_file(&fault)?;
    daemon.process.check()?;
    let grown = (
        most.0.saturating_sub(before.0) / 1024,
        most.1.saturating_sub(before.1) / 1024,
    );
    ensure!(grown.1 < 150, "QEMU grew by {} MiB in 60 s", grown.1);
    ensure!(grown.0 < 150, "the daemon grew by {} MiB in 60 s", grown.0);
    // 30 a second are asked for; two shared cores draw fewer, and a guest that waits for the daemon none.
    ensure!(shown > 60, "the guest drew only {shown} frames in 60 s");
    let mut again = viewer(case, "again", &daemon, "alice", Kind::FreeRdp2, &["/gfx"])?;
    again.wait_for_any(&case.folder, wait::seconds(30), (1920, 1080))?;
    let figure = compare_at_rest(case, &mut again, "again", Fidelity::AtLeast(38.0), &mut vm)?;
    Ok(format!(
        "guest drew {shown} frames in 60 s, QEMU +{} MiB, daemon +{} MiB; afterwards {figure}",
        grown.1, grown.0
    ))
}

fn killed_daemon(case: &Case, qemu: Qemu) -> Result<String> {
    let config = configure(case, "")?;
    let mut daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Kms("rdpmux.scene=drag rdpmux.fps=20"), &[])?;
    let mut other = Vm::start(case, "web2", qemu, &Guest::Memtest, &[])?;
    vm.wait_for(wait::seconds(120), "FRAME")?;
    daemon.wait_for_machine("web1")?;
    let mut client = viewer(case, "before", &daemon, "alice#web1", Kind::FreeRdp2, &["/gfx"])?;
    compare_at_rest(case, &mut client, "before", Fidelity::Exact, &mut vm)?;
    daemon.process.kill();
    drop(client);
    let frames = vm.frames();
    wait::for_true(wait::seconds(20), "the guest draws on without a daemon", || {
        Ok(vm.frames() > frames + 20)
    })?;
    vm.process.check()?;
    other.process.check()?;
    drop(daemon);
    let daemon = serve(case, &config, &[])?;
    daemon.wait_for_machine("web1")?;
    daemon.wait_for_machine("web2")?;
    let mut figures = Vec::new();
    for (name, vm) in [("web1", &mut vm), ("web2", &mut other)] {
        let mut client = viewer(case, name, &daemon, &format!("bob#{name}"), Kind::FreeRdp3, &["/gfx"])?;
        figures.push(format!(
            "{name} {}",
            compare_at_rest(case, &mut client, name, Fidelity::Exact, vm)?
        ));
    }
    Ok(format!("both guests ran on; after the restart {}", figures.join(", ")))
}
