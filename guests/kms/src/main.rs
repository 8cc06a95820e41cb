//! The deterministic guest of the end-to-end tests: PID 1 of a small initramfs. It draws with KMS dumb buffers, echoes
//! what is typed as text on the screen and every event on the first serial port, and animates scenes on demand.
//!
//! Kernel command line: `rdpmux.scene=idle|video|scroll|drag|bench|heads`, `rdpmux.fps=N`, `rdpmux.mode=WxH`. F1 to F4 choose the
//! scene, F5 changes between 1280x800 and 1024x768, F6 and F7 are the clipboard agent's. Serial lines: `READY WxH`, `MODE WxH`,
//! `KEY code value`, `BTN code value`, `WHEEL code value`, `PTR x y`, `TOUCH slot what`, and once a second of animation `FRAME n`. What `heads` and
//! `agent` say is in their files.
//!
//! With `rdpmux.sound` the sound card and the PC speaker are used: F9 starts and ends a tone of 440 Hz (`TONE hertz`), F10
//! recording (`RECORDING`, then `HEARD hertz peak` four times a second, `RECORDED`).
#![forbid(unsafe_code)]

mod agent;
mod bench;
mod boot;
mod canvas;
mod card;
mod heads;
mod input;
mod keymap;
mod scene;
mod sound;

use agent::Agent;
use card::Card;
use input::{Devices, Event};
use scene::{Scene, State};
use std::time::{Duration, Instant};

const F1: u16 = 59;
const F4: u16 = 62;
const F5: u16 = 63;
const F6: u16 = 64;
const F7: u16 = 65;
const F9: u16 = 67;
const F10: u16 = 68;
/// evdev codes from here on are buttons, not keys.
const FIRST_BUTTON: u16 = 0x100;

fn main() {
    let options = boot::start();
    boot::say(&format!("START {options:?}"));
    match serve(&options) {
        Ok(never) => match never {},
        Err(error) => boot::say(&format!("FAILED {error}")),
    }
    // PID 1 must not end: the kernel would panic and hide the message.
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

fn serve(options: &boot::Options) -> Result<std::convert::Infallible, String> {
    let card = Card::open(Duration::from_secs(20))?;
    if options.is_bench {
        return bench::serve(&card);
    }
    if options.is_heads {
        return heads::serve(&card);
    }
    let mut devices = Devices::open();
    let mut state = State::new(options.scene, Agent::start());
    let mut wanted = options.mode;
    loop {
        wanted = Some(show(
            &card,
            &mut devices,
            &mut state,
            wanted,
            options.frames_per_second,
        )?);
    }
}

/// Shows one mode until another is wanted, which is returned.
fn show(
    card: &Card,
    devices: &mut Devices,
    state: &mut State,
    wanted: Option<(u16, u16)>,
    frames_per_second: u32,
) -> Result<(u16, u16), String> {
    let mut screen = card.screen(wanted)?;
    let mut frame = screen.map(card)?;
    let size = (frame.canvas.width(), frame.canvas.height());
    card.show_cursor();
    state.paint(&mut frame.canvas);
    frame.flush_all(card);
    boot::say(&format!(
        "{} {}x{}",
        if state.is_ready { "MODE" } else { "READY" },
        size.0,
        size.1
    ));
    state.is_ready = true;
    let period = Duration::from_secs(1) / frames_per_second.max(1);
    let mut next = Instant::now();
    let mut told = Instant::now();
    loop {
        let wait = if state.scene == Scene::Idle {
            Duration::from_millis(500)
        } else {
            next.saturating_duration_since(Instant::now())
        };
        let mut moved = false;
        for event in devices.wait(wait) {
            moved |= matches!(event, Event::Absolute { .. } | Event::Relative { .. });
            if let Some(mode) = take(event, card, state, &mut frame, size) {
                return Ok(mode);
            }
        }
        if moved {
            state.clamp(size);
            boot::say(&format!("PTR {} {}", state.pointer.0, state.pointer.1));
            card.move_cursor(state.pointer);
        }
        if state.scene != Scene::Idle && Instant::now() >= next {
            next = (next + period).max(Instant::now());
            let area = state.animate(&mut frame.canvas);
            frame.flush(card, area);
            if told.elapsed() >= Duration::from_secs(1) {
                told = Instant::now();
                boot::say(&format!("FRAME {}", state.frame));
            }
        }
    }
}

fn take(
    event: Event,
    card: &Card,
    state: &mut State,
    frame: &mut card::Frame<'_>,
    size: (u32, u32),
) -> Option<(u16, u16)> {
    match event {
        Event::Key { code, value } if code >= FIRST_BUTTON => {
            boot::say(&format!("BTN {code} {value}"));
            if value == 1 && state.scene == Scene::Idle {
                let area = state.mark_click(&mut frame.canvas, code);
                frame.flush(card, area);
            }
        }
        Event::Key { code, value } => {
            boot::say(&format!("KEY {code} {value}"));
            state.hold_shift(code, value);
            match (code, value) {
                (F1..=F4, 1) => {
                    state.scene = Scene::ALL[usize::from(code - F1)];
                    state.paint(&mut frame.canvas);
                    frame.flush_all(card);
                }
                (F5, 1) => return Some(if size == (1280, 800) { (1024, 768) } else { (1280, 800) }),
                (F6, 1) => state.agent.copy(),
                (F7, 1) => state.agent.paste(),
                (F9, 1) => sound::toggle_tone(),
                (F10, 1) => sound::toggle_recording(),
                (_, 1 | 2) => {
                    for area in state.echo(&mut frame.canvas, code) {
                        frame.flush(card, area);
                    }
                }
                _ => {}
            }
        }
        Event::Wheel { code, value } => boot::say(&format!("WHEEL {code} {value}")),
        Event::Touch { slot, axis, value } => {
            let extent = if axis == 0 { size.0 } else { size.1 };
            match axis {
                0 | 1 => {
                    let at = i64::from(value) * i64::from(extent) / 32768;
                    boot::say(&format!("TOUCH {slot} {} {at}", ["x", "y"][usize::from(axis)]));
                }
                _ => boot::say(&format!("TOUCH {slot} {}", if value == 1 { "down" } else { "up" })),
            }
        }
        Event::Absolute { axis, value } => state.point_absolute(axis, value, size),
        Event::Relative { axis, value } => state.point_relative(axis, value),
    }
    None
}
