//! The example `gallery`: every pixel format as every kind of client shows it, compared by pixel; pointers; sizes that change.

use super::Example;
use crate::e2e::client::{Client, Kind};
use crate::e2e::clients::{BITMAP, pointer_pixels};
use crate::e2e::picture::Picture;
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};

/// As the example's.
const FORMATS: [&str; 12] = [
    "ARgb32", "XRgb32", "ABgr32", "XBgr32", "BgrA32", "BgrX32", "RgbA32", "RgbX32", "Bgr24", "Rgb24", "Bgr16", "Rgb16",
];
const SIZES: [(usize, usize); 3] = [(1024, 768), (1280, 800), (800, 600)];
/// Clients that show a picture at rest without loss.
const CLIENTS: [(&str, Kind, &[&str]); 4] = [
    ("freerdp2-gfx", Kind::FreeRdp2, &["/gfx"]),
    ("freerdp2-bitmap", Kind::FreeRdp2, BITMAP),
    ("freerdp3-gfx", Kind::FreeRdp3, &["/gfx"]),
    ("rdesktop", Kind::Rdesktop, &["-a", "32"]),
];

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("every pixel format, four clients", formats);
    suite.case("sizes, four clients", sizes);
    suite.case("pointers", pointers);
}

/// All of them at the same desktop, each with the first picture.
fn everybody(case: &Case, example: &Example) -> Result<Vec<Client>> {
    let mut clients = Vec::new();
    for (name, kind, more) in CLIENTS {
        let mut client = example.client(case, name, kind, SIZES[0], more)?;
        client.wait_for_any(&case.folder, wait::seconds(40), SIZES[0])?;
        clients.push(client);
    }
    Ok(clients)
}

/// Waits until all clients show exactly this.
fn all_show(case: &Case, clients: &mut [Client], what: &str, expected: &Picture) -> Result<()> {
    let size = (expected.width, expected.height);
    for (client, (name, ..)) in clients.iter_mut().zip(CLIENTS) {
        let limit = wait::seconds(30);
        let shown = client.wait_for(&case.folder, limit, what, size, |picture| picture == expected);
        if shown.is_err() {
            expected.save(&case.folder.join("expected.png"))?;
            let differing = client.picture(size)?.differing(expected);
            shown.with_context(|| format!("{name}: {differing} pixels differ"))?;
        }
    }
    Ok(())
}

fn formats(case: &Case) -> Result<String> {
    let mut example = Example::start(case, "gallery", &[])?;
    let mut clients = everybody(case, &example)?;
    for (index, format) in FORMATS.iter().enumerate() {
        if index > 0 {
            clients[0].display.point(300, 300)?;
            clients[0].display.keys(&["f"])?;
            example.wait_for(&[&format!("FORMAT {format}")])?;
        }
        all_show(case, &mut clients, format, &picture(SIZES[0], index))?;
    }
    Ok(format!("{} formats, not one pixel differs", FORMATS.len()))
}

fn sizes(case: &Case) -> Result<String> {
    let mut example = Example::start(case, "gallery", &[])?;
    let mut clients = everybody(case, &example)?;
    for size in [SIZES[1], SIZES[2], SIZES[0]] {
        // Where its window is at every size: keys go to the window below the pointer.
        clients[0].display.point(300, 300)?;
        clients[0].display.keys(&["r"])?;
        let (width, height) = size;
        example.wait_for(&[&format!("SIZE DesktopSize {{ width: {width}, height: {height} }}")])?;
        all_show(case, &mut clients, &format!("{width}x{height}"), &picture(size, 0))?;
    }
    Ok("larger, smaller and back".to_owned())
}

fn pointers(case: &Case) -> Result<String> {
    const ORANGE: u32 = 0xff_80_20;
    const BLUE: u32 = 0x10_60_e0;
    const RED: u32 = 0xf0_10_10;
    let mut example = Example::start(case, "gallery", &[])?;
    let at = (300, 300);
    for (name, kind, more) in [CLIENTS[0], CLIENTS[2], CLIENTS[3]] {
        let mut client = example.client(case, name, kind, SIZES[0], more)?;
        client.wait_for_any(&case.folder, wait::seconds(40), SIZES[0])?;
        client.display.point(at.0, at.1)?;
        // rdesktop knows no pointers of more than 32 pixels.
        let large = if kind == Kind::Rdesktop { 0 } else { 5_000 };
        for (pointer, color, least) in [
            ("custom", ORANGE, 900),
            ("large", BLUE, large),
            ("hidden", ORANGE, 0),
            ("color", RED, 900),
            ("default", ORANGE, 0),
            ("cached", ORANGE, 900),
        ] {
            let before = example.process.output().matches("POINTER").count();
            client.display.keys(&["p"])?;
            wait::for_true(wait::seconds(20), "the next pointer", || {
                Ok(example.process.output().matches("POINTER").count() > before)
            })?;
            let mut last = (0, 0);
            let found = wait::for_true(wait::seconds(20), &format!("{name}: pointer {pointer}"), || {
                last = pointer_pixels(&client, at, color)?;
                let is_right = match pointer {
                    "hidden" => last.1 == 0,
                    "default" => last.1 > 0 && last.0 == 0,
                    _ => last.0 >= least && last.1 > 0,
                };
                Ok(is_right)
            });
            client
                .display
                .with_pointer()?
                .save(&case.folder.join(format!("{name}-{pointer}.png")))?;
            found.with_context(|| format!("{} pixels of its colour, {} of the pointer", last.0, last.1))?;
        }
        if kind == Kind::Rdesktop {
            // FreeRDP moves the pointer of a window that a window manager has given the focus; there is none here.
            client.display.keys(&["m"])?;
            wait::for_true(
                wait::seconds(20),
                &format!("{name}: the pointer is at (100, 100)"),
                || Ok(pointer_pixels(&client, (100, 100), ORANGE)?.0 >= 900),
            )?;
        }
        client.process.check()?;
    }
    ensure!(example.process.ended().is_none(), "the example has ended");
    Ok("custom, large, hidden, without alpha, default, cached, moved".to_owned())
}

/// What the example shows.
fn picture((width, height): (usize, usize), index: usize) -> Picture {
    let wide = |value: u32, bits: u32| {
        let top = value >> (8 - bits);
        top << (8 - bits) | top >> (2 * bits - 8)
    };
    let mut pixels = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let channels = [x, y, x / 2 + y / 3 + index * 20].map(|value| value as u32 & 0xff);
            let [red, green, blue] = match FORMATS[index].ends_with("16") {
                true => [wide(channels[0], 5), wide(channels[1], 6), wide(channels[2], 5)],
                false => channels,
            };
            pixels.push(red << 16 | green << 8 | blue);
        }
    }
    Picture { width, height, pixels }
}
