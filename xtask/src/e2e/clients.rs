//! Suite `clients`: every stock client against the test card, without a hypervisor: pictures, keys, modes, pointers,
//! logins, many viewers. The lossless bitmap path of FreeRDP 2 is the reference that other paths are compared with;
//! the qemu suite compares with QEMU's own picture. Hostile clients are in `hostile`.

mod logins;

use super::client::{Client, Config, Kind};
use super::daemon::{Daemon, Desktop};
use super::picture::{Area, Picture};
use super::report::{Case, Suite, Wanted};
use super::text::Font;
use super::{hostile, wait};
use anyhow::{Context, Result, ensure};
use embedded_graphics::mono_font::ascii::{FONT_9X15, FONT_10X20};
use std::path::Path;

/// A client and how it asks for its pictures.
struct Variant {
    name: &'static str,
    kind: Kind,
    more: &'static [&'static str],
    /// How the daemon's log says that pictures are sent; the beginning of it.
    pipe: &'static str,
    fidelity: Fidelity,
}

/// How close a resting picture must come to the reference.
#[derive(Clone, Copy)]
pub enum Fidelity {
    /// Not one pixel may differ.
    Exact,
    /// Peak signal-to-noise ratio of at least so many dB.
    AtLeast(f64),
}

/// RemoteFX and its progressive form.
const LOSSY: Fidelity = Fidelity::AtLeast(38.0);

const VARIANTS: &[Variant] = &[
    // Without any option FreeRDP 2 finds a local network and takes the graphics pipeline.
    variant("freerdp2 default", Kind::FreeRdp2, &[], "Egfx", Fidelity::Exact),
    variant("freerdp2 gfx", Kind::FreeRdp2, &["/gfx"], "Egfx", Fidelity::Exact),
    variant(
        "freerdp2 gfx progressive",
        Kind::FreeRdp2,
        &["/gfx", "+gfx-progressive"],
        "Egfx",
        LOSSY,
    ),
    variant("freerdp2 rfx", Kind::FreeRdp2, &["/rfx"], "SurfaceCommands", LOSSY),
    variant(
        "freerdp2 bitmap",
        Kind::FreeRdp2,
        BITMAP,
        "Bitmap { bits_per_pixel: 24",
        Fidelity::Exact,
    ),
    variant(
        "freerdp2 uncompressed",
        Kind::FreeRdp2,
        &["/bpp:24", "-compression"],
        "Bitmap",
        Fidelity::Exact,
    ),
    variant(
        "freerdp2 bpp16",
        Kind::FreeRdp2,
        &["/bpp:16"],
        "Bitmap { bits_per_pixel: 16",
        LOSSY,
    ),
    variant("freerdp3 gfx", Kind::FreeRdp3, &["/gfx"], "Egfx", Fidelity::Exact),
    variant("freerdp3 gfx rfx", Kind::FreeRdp3, &["/gfx:RFX"], "Egfx", LOSSY),
    variant(
        "freerdp3 gfx progressive",
        Kind::FreeRdp3,
        &["/gfx:progressive"],
        "Egfx",
        LOSSY,
    ),
    variant("freerdp3 gfx avc420", Kind::FreeRdp3, &["/gfx:AVC420"], "Egfx", LOSSY),
    variant(
        "freerdp3 rfx",
        Kind::FreeRdp3,
        &["/network:broadband-low", "+rfx"],
        "SurfaceCommands",
        LOSSY,
    ),
    variant(
        "freerdp3 bitmap",
        Kind::FreeRdp3,
        &["/network:modem"],
        "Bitmap { bits_per_pixel: 32",
        Fidelity::Exact,
    ),
    variant(
        "freerdp3 bpp16",
        Kind::FreeRdp3,
        &["/bpp:16"],
        "Bitmap { bits_per_pixel: 16",
        LOSSY,
    ),
    variant("rdesktop 32", Kind::Rdesktop, &["-a", "32"], "Bitmap", Fidelity::Exact),
    variant("rdesktop 24", Kind::Rdesktop, &["-a", "24"], "Bitmap", Fidelity::Exact),
    variant("rdesktop 16", Kind::Rdesktop, &["-a", "16"], "Bitmap", LOSSY),
];

/// What makes FreeRDP 2 do without the graphics pipeline (`-gfx` would turn it on) and without loss.
pub const BITMAP: &[&str] = &["/bpp:24", "/sec:tls"];

const fn variant(
    name: &'static str,
    kind: Kind,
    more: &'static [&'static str],
    pipe: &'static str,
    fidelity: Fidelity,
) -> Variant {
    Variant {
        name,
        kind,
        more,
        pipe,
        fidelity,
    }
}

/// The test card's first mode, and the one after F3.
const SIZE: (usize, usize) = (1024, 768);
const NEXT_SIZE: (usize, usize) = (1280, 800);

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let mut suite = Suite::new("clients", wanted);
    for variant in VARIANTS {
        suite.case(variant.name, |case| picture_and_keys(case, variant));
    }
    suite.case("both desktops", both_desktops);
    suite.case("mode change", mode_change);
    suite.case("pointer shapes", pointer_shapes);
    logins::cases(&mut suite);
    suite.case("four viewers of one desktop", four_viewers);
    suite.case("keys of a killed viewer go up", keys_go_up);
    hostile::cases(&mut suite);
    suite.finish()
}

/// Starts the demo of two test cards.
///
/// # Errors
/// When the daemon does not come up.
pub fn demo(folder: &Path) -> Result<Daemon> {
    let mut daemon = Daemon::start(folder, &["demo", "--json", "--listen", "127.0.0.1:0"])?;
    daemon.desktops.retain(|desktop| desktop.rights == "control");
    ensure!(
        daemon.desktops.len() == 2,
        "the demo lists {} desktops to control",
        daemon.desktops.len()
    );
    Ok(daemon)
}

/// A client of `daemon` that looks at `desktop`, showing its title already.
///
/// # Errors
/// When it ends or shows no title within 20 s.
pub fn viewer(
    case: &Case,
    name: &str,
    daemon: &Daemon,
    desktop: &Desktop,
    kind: Kind,
    more: &[&str],
) -> Result<Client> {
    viewer_as(case, name, daemon, &desktop.login(), desktop, kind, more)
}

/// The same with a user name that need not choose the desktop.
fn viewer_as(
    case: &Case,
    name: &str,
    daemon: &Daemon,
    user: &str,
    desktop: &Desktop,
    kind: Kind,
    more: &[&str],
) -> Result<Client> {
    let config = Config {
        kind,
        address: &daemon.address,
        user,
        password: &desktop.password,
        size: SIZE,
        more,
        host: None,
    };
    let mut client = Client::start(&case.folder, name, &config)?;
    wait_for_text(&mut client, case, &Font::of(&FONT_10X20), &desktop.name, SIZE)?;
    Ok(client)
}

/// The plainest lossless client.
fn reference(case: &Case, daemon: &Daemon, desktop: &Desktop) -> Result<Client> {
    let client = viewer(case, "reference", daemon, desktop, Kind::FreeRdp2, BITMAP)?;
    Ok(client)
}

fn wait_for_text(client: &mut Client, case: &Case, font: &Font, text: &str, size: (usize, usize)) -> Result<Picture> {
    client.wait_for(
        &case.folder,
        wait::seconds(20),
        &format!("shows {text:?}"),
        size,
        |picture| font.find(picture, text).is_some(),
    )
}

fn picture_and_keys(case: &Case, variant: &Variant) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[0];
    let mut reference = reference(case, &daemon, desktop)?;
    let mut client = viewer(case, "client", &daemon, desktop, variant.kind, variant.more)?;
    let pipe = daemon.pipe();
    ensure!(
        pipe.starts_with(variant.pipe),
        "pictures are sent by {pipe:?} instead of {}",
        variant.pipe
    );
    client.display.point(300, 400)?;
    // F2 stops the motion: the picture rests.
    client.display.keys(&["F2"])?;
    let font = Font::of(&FONT_10X20);
    client.display.type_text("Hello, World 42")?;
    let shown = wait_for_text(&mut client, case, &font, "Hello, World 42", SIZE);
    shown?.save(&case.folder.join("client.png"))?;
    wait_for_text(&mut reference, case, &font, "Hello, World 42", SIZE)?;
    let figure = compare(case, &mut client, "client", variant.fidelity, || {
        reference.picture(SIZE)
    })?;
    Ok(format!("echo read, {figure}, by {pipe}"))
}

/// Waits until the client's picture comes as close to `truth` as it must; both are saved.
///
/// # Errors
/// When it does not within 15 s; the message has the best figure.
pub fn compare(
    case: &Case,
    client: &mut Client,
    name: &str,
    fidelity: Fidelity,
    mut truth: impl FnMut() -> Result<Picture>,
) -> Result<String> {
    let mut figure = String::new();
    let mut pictures = None;
    let result = wait::until(wait::seconds(15), &format!("{name} shows the same picture"), || {
        let expected = truth()?;
        let picture = client.picture((expected.width, expected.height))?;
        let (differing, psnr) = (picture.differing(&expected), picture.psnr(&expected));
        let area = picture.changed_area(&expected);
        figure = match fidelity {
            Fidelity::Exact => format!("{differing} of {} pixels differ", expected.pixels.len()),
            Fidelity::AtLeast(_) => format!("PSNR {psnr:.1} dB"),
        };
        if let (Some(Area { x, y, width, height }), Fidelity::Exact) = (area, fidelity) {
            figure += &format!(" ({psnr:.1} dB, within {width}x{height}+{x}+{y})");
        }
        pictures = Some((picture, expected));
        let is_good = match fidelity {
            Fidelity::Exact => differing == 0,
            Fidelity::AtLeast(least) => psnr >= least,
        };
        Ok(is_good.then(|| figure.clone()))
    });
    if let Some((picture, expected)) = pictures {
        picture.save(&case.folder.join(format!("{name}-shows.png")))?;
        expected.save(&case.folder.join(format!("{name}-expected.png")))?;
    }
    result.with_context(|| figure.clone())
}

fn both_desktops(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let (one, two) = (&daemon.desktops[0], &daemon.desktops[1]);
    let mut first = viewer(case, "first", &daemon, one, Kind::FreeRdp2, &["/gfx"])?;
    let mut second = viewer(case, "second", &daemon, two, Kind::FreeRdp3, &["/gfx"])?;
    let font = Font::of(&FONT_10X20);
    first.display.type_text("only here")?;
    wait_for_text(&mut first, case, &font, "only here", SIZE)?.save(&case.folder.join("first.png"))?;
    second.display.type_text("other")?;
    let picture = wait_for_text(&mut second, case, &font, "other", SIZE)?;
    picture.save(&case.folder.join("second.png"))?;
    ensure!(
        font.find(&picture, "only here").is_none(),
        "keys for {} arrived at {}",
        one.name,
        two.name
    );
    Ok(format!("{} and {} shown, keys apart", one.name, two.name))
}

fn mode_change(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[0];
    let mut clients = [
        (
            "bitmap",
            Fidelity::Exact,
            viewer(case, "bitmap", &daemon, desktop, Kind::FreeRdp2, BITMAP)?,
        ),
        (
            "gfx2",
            Fidelity::Exact,
            viewer(case, "gfx2", &daemon, desktop, Kind::FreeRdp2, &["/gfx"])?,
        ),
        (
            "rfx2",
            LOSSY,
            viewer(case, "rfx2", &daemon, desktop, Kind::FreeRdp2, &["/rfx"])?,
        ),
        (
            "gfx3",
            Fidelity::Exact,
            viewer(case, "gfx3", &daemon, desktop, Kind::FreeRdp3, &["/gfx"])?,
        ),
        (
            "rdesktop",
            Fidelity::Exact,
            viewer(case, "rdesktop", &daemon, desktop, Kind::Rdesktop, &["-a", "32"])?,
        ),
    ];
    clients[0].2.display.keys(&["F2", "F3"])?;
    let label = format!("{}x{}", NEXT_SIZE.0, NEXT_SIZE.1);
    let font = Font::of(&FONT_9X15);
    let mut figures = Vec::new();
    let (reference, others) = clients.split_first_mut().context("there are clients")?;
    wait_for_text(&mut reference.2, case, &font, &label, NEXT_SIZE)?;
    for (name, fidelity, client) in others {
        wait_for_text(client, case, &font, &label, NEXT_SIZE)?;
        let figure = compare(case, client, name, *fidelity, || reference.2.picture(NEXT_SIZE))?;
        figures.push(format!("{name} {figure}"));
    }
    Ok(format!("{label}: {}", figures.join(", ")))
}

/// Pixels near the pointer that are of the colour 0xRRGGBB, and those that differ from the picture without pointer.
///
/// # Errors
/// When the screen is gone.
pub fn pointer_pixels(client: &Client, at: (usize, usize), color: u32) -> Result<(usize, usize)> {
    let area = Area {
        x: at.0 - 10,
        y: at.1 - 10,
        width: 130,
        height: 130,
    };
    let with = client.display.with_pointer()?.crop(area)?;
    let without = client.display.screenshot()?.crop(area)?;
    let colored = with
        .pixels
        .iter()
        .zip(&without.pixels)
        .filter(|(one, two)| one != two && **one == color)
        .count();
    Ok((colored, with.differing(&without)))
}

fn pointer_shapes(case: &Case) -> Result<String> {
    const ORANGE: u32 = 0x1e_7a_f0;
    const BLUE: u32 = 0xe8_5a_1e;
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[0];
    let mut seen = Vec::new();
    for (name, kind, more, has_large) in [
        ("freerdp2-gfx", Kind::FreeRdp2, &["/gfx"][..], true),
        ("freerdp3-gfx", Kind::FreeRdp3, &["/gfx"][..], true),
        ("rdesktop", Kind::Rdesktop, &["-a", "32"][..], false),
    ] {
        let mut client = viewer(case, name, &daemon, desktop, kind, more)?;
        client.display.keys(&["F2"])?;
        let at = (150, 620);
        client.display.point(at.0, at.1)?;
        let wait_for = |what: &str, wanted: &dyn Fn(usize, usize) -> bool, color: u32| {
            let mut last = (0, 0);
            let found = wait::for_true(wait::seconds(8), &format!("{name}: pointer {what}"), || {
                last = pointer_pixels(&client, at, color)?;
                Ok(wanted(last.0, last.1))
            });
            client
                .display
                .with_pointer()?
                .corner(SIZE.0, SIZE.1)?
                .save(&case.folder.join(format!("{name}-{what}.png")))?;
            let next = client.display.keys(&["F4"]);
            found
                .with_context(|| format!("{} pixels of its colour, {} of the pointer", last.0, last.1))
                .and(next)
        };
        wait_for("custom", &|colored, _| colored > 60, ORANGE)?;
        if has_large {
            wait_for("large", &|colored, _| colored > 600, BLUE)?;
        } else {
            wait_for("large", &|_, all| all > 0, BLUE)?;
        }
        wait_for("hidden", &|_, all| all == 0, 0)?;
        wait_for("default", &|colored, all| all > 0 && colored == 0, ORANGE)?;
        client.display.keys(&["F2"])?;
        client.process.check()?;
        seen.push(name);
    }
    Ok(format!(
        "custom, large, hidden and default pointers on {}",
        seen.join(", ")
    ))
}

fn four_viewers(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[0];
    let mut viewers = vec![
        viewer(case, "one", &daemon, desktop, Kind::FreeRdp2, &["/gfx"])?,
        viewer(case, "two", &daemon, desktop, Kind::FreeRdp2, &["/rfx"])?,
        viewer(case, "three", &daemon, desktop, Kind::FreeRdp3, &["/gfx"])?,
        viewer(case, "four", &daemon, desktop, Kind::Rdesktop, &["-a", "24"])?,
    ];
    let font = Font::of(&FONT_10X20);
    viewers[0].display.keys(&["F2"])?;
    for typist in 0..viewers.len() {
        let word = format!("from{typist}");
        viewers[typist].display.type_text(&format!(" {word}"))?;
        for viewer in &mut viewers {
            wait_for_text(viewer, case, &font, &word, SIZE)?;
        }
    }
    let mut last = viewers.pop().context("there are viewers")?;
    last.process.end();
    viewers[1].display.type_text(" after")?;
    for viewer in &mut viewers {
        wait_for_text(viewer, case, &font, "after", SIZE)?;
    }
    Ok("each typed, all saw it; one left, the others went on".to_owned())
}

/// The row `label` of the test card's echo window.
fn row(picture: &Picture, label: &str) -> Option<String> {
    let font = Font::of(&FONT_9X15);
    let (x, y) = font.find(picture, label)?;
    Some(font.read(picture, (x + 72, y), 24).trim_end().to_owned())
}

fn keys_go_up(case: &Case) -> Result<String> {
    let daemon = demo(&case.folder)?;
    let desktop = &daemon.desktops[0];
    let mut watcher = viewer(case, "watcher", &daemon, desktop, Kind::FreeRdp2, &["/gfx"])?;
    let mut leaver = viewer(case, "leaver", &daemon, desktop, Kind::FreeRdp2, &["/gfx"])?;
    leaver.display.xdotool(&["keydown", "shift", "keydown", "q"])?;
    let held = |picture: &Picture| row(picture, "Held").unwrap_or_default();
    let picture = watcher.wait_for(&case.folder, wait::seconds(10), "sees the keys held", SIZE, |picture| {
        held(picture).contains('Q')
    })?;
    let before = held(&picture);
    leaver.process.kill();
    let picture = watcher.wait_for(
        &case.folder,
        wait::seconds(30),
        "sees the keys go up",
        SIZE,
        |picture| held(picture) == "-",
    )?;
    Ok(format!("held {before:?}, after the kill {:?}", held(&picture)))
}
