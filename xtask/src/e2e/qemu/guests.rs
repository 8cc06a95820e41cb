//! One case per QEMU and guest: two clients show exactly (or closely) what QEMU's screendump shows, and what is typed
//! into a client is read from its screen.

use super::{compare_at_rest, configure, serve, viewer, wait_for_dump};
use crate::e2e::client::{Client, Kind};
use crate::e2e::clients::Fidelity;
use crate::e2e::picture::{Area, Picture};
use crate::e2e::report::{Case, Suite};
use crate::e2e::text::Font;
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::{clients, daemon, wait};
use anyhow::{Context, Result, bail, ensure};
use embedded_graphics::mono_font::ascii::FONT_10X20;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        for (guest, second) in [
            (Guest::Memtest, BITMAP),
            (Guest::Grub, RDESKTOP),
            (Guest::Ovmf, REMOTEFX),
            (Guest::Console, RDESKTOP),
            (Guest::Kms("rdpmux.scene=idle"), REMOTEFX),
            (Guest::Installer, BITMAP),
        ] {
            suite.case(&format!("{} {}", qemu.label(), guest.label()), |case| {
                guest_case(case, qemu, &guest, &second)
            });
        }
        suite.case(&format!("{} kms mode change", qemu.label()), |case| {
            mode_change(case, qemu)
        });
        suite.case(&format!("{} started by rdpmux run", qemu.label()), |case| {
            run_command(case, qemu)
        });
        suite.case(&format!("{} on a bus", qemu.label()), |case| bus(case, qemu));
    }
}

/// A second client beside FreeRDP 3 with the graphics pipeline.
struct Second {
    name: &'static str,
    kind: Kind,
    more: &'static [&'static str],
    fidelity: Fidelity,
}

const BITMAP: Second = Second {
    name: "freerdp2-bitmap",
    kind: Kind::FreeRdp2,
    more: clients::BITMAP,
    fidelity: Fidelity::Exact,
};
const REMOTEFX: Second = Second {
    name: "freerdp2-rfx",
    kind: Kind::FreeRdp2,
    more: &["/rfx"],
    fidelity: Fidelity::AtLeast(38.0),
};
const RDESKTOP: Second = Second {
    name: "rdesktop",
    kind: Kind::Rdesktop,
    more: &["-a", "32"],
    fidelity: Fidelity::Exact,
};

fn guest_case(case: &Case, qemu: Qemu, guest: &Guest, second: &Second) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, guest, &[])?;
    wait_until_up(&mut vm, guest)?;
    daemon.wait_for_machine("web1")?;
    let mut client = viewer(case, "freerdp3-gfx", &daemon, "alice", Kind::FreeRdp3, &["/gfx"])?;
    let mut other = viewer(case, second.name, &daemon, "bob", second.kind, second.more)?;
    let size = vm.screendump().map(|picture| (picture.width, picture.height))?;
    client.wait_for_any(&case.folder, wait::seconds(20), size)?;
    other.wait_for_any(&case.folder, wait::seconds(20), size)?;
    let echo = type_into(case, guest, &mut vm, &mut client)?;
    let exact = compare_at_rest(case, &mut client, "freerdp3-gfx", Fidelity::Exact, &mut vm)?;
    let close = compare_at_rest(case, &mut other, second.name, second.fidelity, &mut vm)?;
    Ok(format!(
        "{}x{} {echo}; freerdp3-gfx {exact}; {} {close}",
        size.0, size.1, second.name
    ))
}

fn wait_until_up(vm: &mut Vm, guest: &Guest) -> Result<()> {
    match guest {
        Guest::Kms(_)
        | Guest::KmsMouse(_)
        | Guest::Console
        | Guest::Typist(_)
        | Guest::Shell
        | Guest::Login
        | Guest::Agent => {
            vm.wait_for(wait::seconds(120), "READY")?;
        }
        Guest::Memtest => drop(wait_for_dump(vm, 60, "memtest is blue", |picture| {
            share(picture, 0x00_00_a8) > 0.3
        })?),
        Guest::Grub => drop(wait_for_dump(vm, 90, "GRUB shows its menu", |picture| {
            share(picture, 0xa8_a8_a8) > 0.04
        })?),
        Guest::Ovmf => vm.wait_for(wait::seconds(120), "Shell>")?,
        Guest::Installer => {
            // The list of languages is white; the dialog is drawn in several steps and then rests.
            let mut last = vm.screendump()?;
            let mut rested = 0;
            wait_for_dump(vm, 240, "the installer's list of languages", |picture| {
                rested = if *picture == last && share(picture, 0xff_ff_ff) > 0.1 {
                    rested + 1
                } else {
                    0
                };
                last = picture.clone();
                rested > 5
            })?;
        }
    }
    Ok(())
}

/// Share of the pixels that have `color`.
fn share(picture: &Picture, color: u32) -> f64 {
    let count = picture.pixels.iter().filter(|pixel| **pixel == color).count();
    count as f64 / picture.pixels.len().max(1) as f64
}

/// Types something that the guest answers to, and reads the answer from the client's screen.
fn type_into(case: &Case, guest: &Guest, vm: &mut Vm, client: &mut Client) -> Result<String> {
    client.display.point(200, 300)?;
    match guest {
        Guest::Memtest => {
            client.display.keys(&["F1"])?;
            let menu = wait_for_dump(vm, 20, "memtest's menu opens after F1", |picture| {
                share(picture, 0x00_00_a8) < 0.8 && frame_of_menu(picture)
            })?;
            let size = (menu.width, menu.height);
            client.wait_for(&case.folder, wait::seconds(10), "memtest's menu", size, frame_of_menu)?;
            Ok("F1 opened its menu".to_owned())
        }
        Guest::Grub => {
            client.display.keys(&["c"])?;
            std::thread::sleep(wait::seconds(2));
            repeated_word(case, vm, client, 8)
        }
        Guest::Ovmf => repeated_word(case, vm, client, 8),
        Guest::Console => {
            let dump = vm.screendump()?;
            let row = " abcdefghijklmnopqrstuvwxyz0123456789";
            let font = Font::learned(&dump, (0, 0), (8, 16), row);
            client.display.type_text("echo the fox42 jumps")?;
            client.display.keys(&["Return"])?;
            let size = (dump.width, dump.height);
            client.wait_for(&case.folder, wait::seconds(20), "the shell's answer", size, |picture| {
                // Once as typed, once as printed at the start of a line.
                let starts = picture.corner(16 * 8, picture.height);
                font.find(picture, "echo the fox42 jumps").is_some()
                    && starts.is_ok_and(|starts| font.find(&starts, "the fox42 jumps").is_some())
            })?;
            Ok("the shell's answer was read".to_owned())
        }
        Guest::Kms(_) | Guest::KmsMouse(_) => kms_input(case, vm, client),
        Guest::Typist(_) | Guest::Shell | Guest::Login | Guest::Agent => bail!("other suites have cases for it"),
        Guest::Installer => {
            let before = vm.screendump()?;
            client.display.keys(&["Down", "Down", "Down"])?;
            let size = (before.width, before.height);
            let moved = client.wait_for(
                &case.folder,
                wait::seconds(20),
                "the selection moves",
                size,
                |picture| {
                    picture
                        .changed_area(&before)
                        .is_some_and(|area| area.width > 200 && area.height > 30)
                },
            )?;
            let area = moved.changed_area(&before).context("the selection moved")?;
            Ok(format!("selection moved within {}x{}", area.width, area.height))
        }
    }
}

/// Whether memtest's grey or cyan menu box stands on the blue.
fn frame_of_menu(picture: &Picture) -> bool {
    let middle = Area {
        x: picture.width / 4,
        y: picture.height / 4,
        width: picture.width / 2,
        height: picture.height / 2,
    };
    picture.crop(middle).is_ok_and(|part| share(&part, 0x00_00_a8) < 0.9)
}

/// Types `qazqaz` into a text console whose characters are `cell` pixels wide or a little more: two equal halves must
/// appear on the client's screen, whatever the font.
fn repeated_word(case: &Case, vm: &mut Vm, client: &mut Client, cell: usize) -> Result<String> {
    let before = vm.screendump()?;
    let size = (before.width, before.height);
    client.display.type_text("qazqaz")?;
    let picture = client.wait_for(
        &case.folder,
        wait::seconds(20),
        "the typed word twice",
        size,
        |picture| {
            picture
                .changed_area(&before)
                .is_some_and(|area| (cell..cell + 2).any(|cell| has_two_halves(picture, area, cell)))
        },
    )?;
    let area = picture.changed_area(&before).context("something was typed")?;
    ensure!(area.height < 60, "more than a line changed: {area:?}");
    Ok("typed word was read".to_owned())
}

fn has_two_halves(picture: &Picture, area: Area, cell: usize) -> bool {
    let half = Area {
        width: cell * 5 / 2,
        ..area
    };
    let (Ok(one), Ok(two)) = (
        picture.crop(half),
        picture.crop(Area {
            x: area.x + cell * 3,
            ..half
        }),
    ) else {
        return false;
    };
    one == two && one.colors(2) == 2
}

fn kms_input(case: &Case, vm: &mut Vm, client: &mut Client) -> Result<String> {
    let font = Font::of(&FONT_10X20);
    client.display.type_text("Typed By A Person 42")?;
    client.wait_for(
        &case.folder,
        wait::seconds(20),
        "the typed text",
        (1280, 800),
        |picture| font.find(picture, "Typed By A Person 42").is_some(),
    )?;
    let is_near = |line: &str| {
        let numbers: Vec<i32> = line.split(' ').skip(1).filter_map(|word| word.parse().ok()).collect();
        matches!(numbers[..], [x, y] if (599..=600).contains(&x) && (499..=500).contains(&y))
    };
    wait::for_true(wait::seconds(10), "the pointer arrives at 600,500", || {
        // Anew each time: the guest's tablet may become ready only now.
        client.display.point(610, 510)?;
        client.display.point(600, 500)?;
        Ok(vm.serial().lines().any(is_near))
    })?;
    client.display.click(1)?;
    client.display.click(3)?;
    client.display.click(4)?;
    client.display.click(5)?;
    for word in [
        "BTN 272 1",
        "BTN 272 0",
        "BTN 273 1",
        "BTN 273 0",
        "WHEEL 8 1",
        "WHEEL 8 -1",
    ] {
        vm.wait_for(wait::seconds(10), word)?;
    }
    Ok("text read, pointer, buttons and wheel arrived".to_owned())
}

fn mode_change(case: &Case, qemu: Qemu) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Kms("rdpmux.scene=idle"), &[])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_machine("web1")?;
    let mut clients = vec![
        (
            "gfx3",
            Fidelity::Exact,
            viewer(case, "gfx3", &daemon, "alice", Kind::FreeRdp3, &["/gfx"])?,
        ),
        (
            "bitmap2",
            Fidelity::Exact,
            viewer(case, "bitmap2", &daemon, "bob", Kind::FreeRdp2, clients::BITMAP)?,
        ),
        (
            "rdesktop",
            Fidelity::Exact,
            viewer(case, "rdesktop", &daemon, "bob", Kind::Rdesktop, &["-a", "24"])?,
        ),
    ];
    let mut figures = Vec::new();
    for (width, height) in [(1280, 800), (1024, 768), (1280, 800)] {
        wait_for_dump(&mut vm, 20, "the guest changes its mode", |picture| {
            (picture.width, picture.height) == (width, height)
        })?;
        for (name, fidelity, client) in &mut clients {
            compare_at_rest(case, client, name, *fidelity, &mut vm)
                .with_context(|| format!("{name} at {width}x{height}"))?;
        }
        figures.push(format!("{width}x{height}"));
        clients[0].2.display.keys(&["F5"])?;
    }
    Ok(format!("{} exact on three clients", figures.join(" → ")))
}

fn run_command(case: &Case, qemu: Qemu) -> Result<String> {
    let inner = crate::e2e::vm::command(case, "solo", qemu, &Guest::Kms("rdpmux.scene=idle"))?;
    let mut command = std::process::Command::new(daemon::program());
    command
        .args(["run", "--name", "solo", "--listen", "127.0.0.1:0", "--json", "--"])
        .arg(inner.get_program())
        .args(inner.get_args());
    let mut daemon = daemon::Daemon::start_command(&case.folder, &mut command)?;
    let desktop = daemon.desktop("solo")?.clone();
    let serial = case.folder.join("solo.serial.log");
    wait::for_true(wait::seconds(120), "the guest is up", || {
        Ok(std::fs::read_to_string(&serial).unwrap_or_default().contains("READY"))
    })?;
    let mut qmp = crate::e2e::vm::control_of(case, "solo")?;
    let config = crate::e2e::client::Config {
        kind: Kind::FreeRdp2,
        address: &daemon.address,
        user: &desktop.user,
        password: &desktop.password,
        size: (1280, 800),
        more: &["/gfx"],
        host: None,
    };
    let mut client = Client::start(&case.folder, "client", &config)?;
    let scratch = case.folder.join("solo.ppm");
    let figure = crate::e2e::clients::compare(case, &mut client, "client", Fidelity::Exact, || {
        qmp.screendump(&scratch)
    })?;
    // A QEMU that ends by itself ends the command.
    let _ = qmp.run("quit", &serde_json::json!({}));
    let how = wait::until(wait::seconds(20), "rdpmux run ends with its QEMU", || {
        Ok(daemon.process.ended())
    })?;
    Ok(format!("{figure}; after quit it ended with {how}"))
}

fn bus(case: &Case, qemu: Qemu) -> Result<String> {
    let socket = case.sockets.path().join("bus");
    let mut command = std::process::Command::new("dbus-daemon");
    command
        .args(["--session", "--nofork", "--nopidfile", "--address"])
        .arg(format!("unix:path={}", socket.display()));
    let _bus = crate::e2e::process::Process::start(&command, &case.folder.join("bus.log"), "")?;
    wait::for_true(wait::seconds(10), "the bus listens", || Ok(socket.exists()))?;
    let address = format!("unix:path={}", socket.display());
    let config = configure(case, &format!("[[vm]]\nname = \"bused\"\ndbus = {address:?}\n"))?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start_with_display(
        case,
        "bused",
        qemu,
        &Guest::Kms("rdpmux.scene=idle"),
        &format!("dbus,addr={address}"),
    )?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let mut client = viewer(case, "client", &daemon, "alice#bused", Kind::FreeRdp3, &["/gfx"])?;
    let echo = {
        client.wait_for_any(&case.folder, wait::seconds(30), (1280, 800))?;
        kms_input(case, &mut vm, &mut client)?
    };
    let figure = compare_at_rest(case, &mut client, "client", Fidelity::Exact, &mut vm)?;
    Ok(format!("{echo}; {figure}"))
}
