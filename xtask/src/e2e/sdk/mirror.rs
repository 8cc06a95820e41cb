//! The example `mirror`: an X server's screen, by pixel, and keys and pointer that come to its programs.

use super::Example;
use crate::e2e::client::Kind;
use crate::e2e::display::Display;
use crate::e2e::picture::Picture;
use crate::e2e::process::Process;
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use crate::e2e::x11::Canvas;
use anyhow::Result;
use bench_pictures::{Area, STRIDE};
use std::process::Command;

const SIZE: (usize, usize) = (800, 600);

/// Adds the case of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("an X display, mirrored", mirror);
}

fn mirror(case: &Case) -> Result<String> {
    let (width, height) = SIZE;
    let source = Display::start_sized(&case.folder, "source", SIZE)?;
    let canvas = Canvas::on(source.name())?;
    let area = Area {
        x: 0,
        y: 0,
        width,
        height,
    };
    canvas.show(&pixels(), area)?;
    let example = Example::start(case, "mirror", &["--display", source.name()])?;
    let mut clients = Vec::new();
    let kinds: [(&str, Kind, &[&str]); 2] = [
        ("freerdp2", Kind::FreeRdp2, &["/gfx"]),
        ("rdesktop", Kind::Rdesktop, &["-a", "32"]),
    ];
    for (name, kind, more) in kinds {
        clients.push(example.client(case, name, kind, SIZE, more)?);
    }
    let expected = picture();
    for client in &mut clients {
        client.wait_for(&case.folder, wait::seconds(40), "the picture", SIZE, |picture| {
            *picture == expected
        })?;
    }
    // The window goes, and what is typed goes to whoever listens at the screen itself.
    drop(canvas);
    for client in &mut clients {
        client.wait_for(&case.folder, wait::seconds(40), "the empty screen", SIZE, |picture| {
            picture.colors(2) == 1
        })?;
    }
    let mut xev = Command::new("stdbuf");
    xev.args(["-oL", "xev", "-root", "-event", "keyboard", "-event", "mouse"])
        .env("DISPLAY", source.name());
    let mut xev = Process::start(&xev, &case.folder.join("xev.log"), "")?;
    let display = &clients[0].display;
    display.point(300, 200)?;
    // Pressed until xev is there to see it.
    for (key, wanted) in [("x", "keysym 0x78, x)"), ("Right", "keysym 0xff53, Right)")] {
        wait::for_true(wait::seconds(20), &format!("xev sees {wanted}"), || {
            xev.check()?;
            display.keys(&[key])?;
            Ok(xev.output().contains(wanted))
        })?;
    }
    display.point(310, 220)?;
    display.click(3)?;
    wait::for_true(wait::seconds(20), "xev sees the click", || {
        let output = xev.output();
        Ok(["root:(310,220)", "button 3,"]
            .iter()
            .all(|wanted| output.contains(wanted)))
    })?;
    for client in &mut clients {
        client.process.check()?;
    }
    Ok("two clients, not one pixel differs; keys, motion and a click arrive".to_owned())
}

fn color(x: usize, y: usize) -> [u8; 3] {
    [x, y, x / 2 + y / 3].map(|value| value as u8)
}

/// What the source shows, as the canvas takes it.
fn pixels() -> Vec<u8> {
    let mut bytes = vec![0; STRIDE * SIZE.1];
    for (y, row) in bytes.chunks_exact_mut(STRIDE).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let [red, green, blue] = color(x, y);
            pixel.copy_from_slice(&[blue, green, red, 0]);
        }
    }
    bytes
}

/// The same as clients show it.
fn picture() -> Picture {
    let (width, height) = SIZE;
    let pixel = |x, y| {
        let [red, green, blue] = color(x, y);
        u32::from_be_bytes([0, red, green, blue])
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y))).collect();
    Picture { width, height, pixels }
}
