//! A machine without a machine: shows a moving picture through rdpmux and echoes what viewers type and point, into the
//! picture and to standard output. The C program beside this one does the same.
//!
//! `cargo run -p librdpmux --example moving -- UUID ID [PORT]`
#![allow(clippy::print_stdout)]

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdpmux::{Display, Picture, PixelFormat};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;
const BAR: usize = 8;
/// Rows at the top that echo.
const ECHO: usize = 16;

/// What was typed and pointed last.
#[derive(Default)]
struct Echo {
    key: u8,
    pointer: usize,
    is_new: bool,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [uuid, id, rest @ ..] = arguments.as_slice() else {
        return Err("usage: moving UUID ID [PORT]".into());
    };
    let port = rest.first().map_or(Ok(0), |port| port.parse())?;
    let mut display = Display::builder(uuid).id(id.parse()?).port(port).open()?;
    let echo = Arc::new(Mutex::new(Echo::default()));
    listen(&mut display, &echo);

    let mut pixels = vec![0; WIDTH * HEIGHT * 4];
    display.switch(&picture(&pixels))?;
    let mut rate = 0;
    for frame in 0.. {
        move_bar(&mut pixels, frame);
        display.update(0, ECHO as i32, WIDTH as i32, (HEIGHT - ECHO) as i32)?;
        if draw_echo(&mut pixels, &echo) {
            display.update(0, 0, WIDTH as i32, ECHO as i32)?;
        }
        let wanted = display.refresh(&picture(&pixels))?;
        if wanted != rate {
            rate = wanted;
            println!("rate {rate}");
        }
        thread::sleep(Duration::from_secs(1) / rate);
    }
    Ok(())
}

fn picture(pixels: &[u8]) -> Picture<'_> {
    Picture::new(pixels, WIDTH as u32, HEIGHT as u32, PixelFormat::Bgrx32)
}

fn listen(display: &mut Display, echo: &Arc<Mutex<Echo>>) {
    let typed = echo.clone();
    display.on_key(move |key| {
        println!("key {} {}", key.qnum, if key.is_down { "down" } else { "up" });
        let mut echo = typed.lock().unwrap_or_else(PoisonError::into_inner);
        echo.key = if key.is_down { key.qnum } else { 0 };
        echo.is_new = true;
    });
    let pointed = echo.clone();
    display.on_mouse(move |mouse| {
        println!("mouse {} {} {:?}", mouse.x, mouse.y, mouse.action);
        let mut echo = pointed.lock().unwrap_or_else(PoisonError::into_inner);
        echo.pointer = mouse.x as usize;
        echo.is_new = true;
    });
}

fn move_bar(pixels: &mut [u8], frame: usize) {
    let at = frame % (WIDTH - BAR);
    for row in pixels.chunks_exact_mut(WIDTH * 4).skip(ECHO) {
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let is_bar = (at..at + BAR).contains(&x);
            pixel.copy_from_slice(if is_bar { &[255, 255, 255, 0] } else { &[96, 48, 16, 0] });
        }
    }
}

/// Whether there was something new: the key's number in binary, and the pointer's column.
fn draw_echo(pixels: &mut [u8], echo: &Mutex<Echo>) -> bool {
    let mut echo = echo.lock().unwrap_or_else(PoisonError::into_inner);
    if !std::mem::take(&mut echo.is_new) {
        return false;
    }
    for (y, row) in pixels.chunks_exact_mut(WIDTH * 4).take(ECHO).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            let is_set = x / ECHO < 8 && echo.key >> (7 - x / ECHO) & 1 == 1;
            let color = match (y < ECHO / 2, x == echo.pointer) {
                (true, _) if is_set => [64, 64, 255, 0],
                (true, _) => [64, 64, 64, 0],
                (false, true) => [255, 255, 0, 0],
                (false, false) => [0; 4],
            };
            pixel.copy_from_slice(&color);
        }
    }
    true
}
