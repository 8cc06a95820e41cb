//! A screen of its own for each client: an Xvfb with screenshots and a keyboard and mouse through xdotool.
//! Called by `client`.

use super::picture::Picture;
use super::process::Process;
use super::wait;
use crate::steps;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A running Xvfb.
pub struct Display {
    name: String,
    framebuffer: PathBuf,
    _server: Process,
}

/// Wider than any guest mode of the suites, so that a client's window always fits.
pub const WIDTH: usize = 1928;
pub const HEIGHT: usize = 1208;

impl Display {
    /// Starts one on a free number; its log and framebuffer lie in `folder`.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(folder: &Path, name: &str) -> Result<Self> {
        Self::start_sized(folder, name, (WIDTH, HEIGHT))
    }

    /// The same of another size.
    ///
    /// # Errors
    /// As [`Display::start`].
    pub fn start_sized(folder: &Path, name: &str, (width, height): (usize, usize)) -> Result<Self> {
        let mapped = folder.join(format!("{name}.fb"));
        fs::create_dir_all(&mapped)?;
        let mut command = Command::new("Xvfb");
        command.args(["-displayfd", "1", "-screen", "0", &format!("{width}x{height}x24")]);
        // -s 0: no screen saver, which would turn the picture black after ten minutes.
        command
            .args(["-s", "0", "-br", "-ac", "-noreset", "-nolisten", "tcp", "-fbdir"])
            .arg(&mapped);
        let mut server = Process::start(&command, &folder.join(format!("{name}.xvfb.log")), "")?;
        let number = wait::until(wait::seconds(20), "Xvfb says its display number", || {
            server.check()?;
            let output = server.output();
            Ok(output
                .lines()
                .find(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit()))
                .map(str::to_owned))
        })?;
        Ok(Self {
            name: format!(":{number}"),
            framebuffer: mapped.join("Xvfb_screen0"),
            _server: server,
        })
    }

    /// Its `DISPLAY` value.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds what it shows, an X window dump.
    pub fn framebuffer(&self) -> &Path {
        &self.framebuffer
    }

    /// What it shows, without the pointer.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn screenshot(&self) -> Result<Picture> {
        let mut dump = Command::new("xwd");
        dump.args(["-root", "-silent", "-display", &self.name]);
        // xwd fails when a window goes away while it looks at all of them.
        for _ in 0..4 {
            let out = dump.output().context("cannot start xwd")?;
            if out.status.success() {
                return Picture::from_xwd(&out.stdout);
            }
        }
        let out = dump.output()?;
        ensure!(
            out.status.success(),
            "xwd failed: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        Picture::from_xwd(&out.stdout)
    }

    /// What it shows, with the pointer: the framebuffer itself.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn with_pointer(&self) -> Result<Picture> {
        Picture::from_xwd(&fs::read(&self.framebuffer)?)
    }

    /// Presses and releases keys by their X names (`F3`, `Return`, `ctrl+alt+Delete`).
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn keys(&self, names: &[&str]) -> Result<()> {
        self.xdotool(&[&["key", "--delay", "40"], names].concat())
    }

    /// Types `text`.
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn type_text(&self, text: &str) -> Result<()> {
        self.xdotool(&["type", "--delay", "40", text])
    }

    /// Moves the pointer.
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn point(&self, x: usize, y: usize) -> Result<()> {
        self.xdotool(&["mousemove", &x.to_string(), &y.to_string()])
    }

    /// Clicks a button: 1 left, 3 right, 4 and 5 the wheel.
    ///
    /// # Errors
    /// When xdotool fails.
    pub fn click(&self, button: u32) -> Result<()> {
        self.xdotool(&["click", &button.to_string()])
    }

    /// Runs xdotool with any words.
    ///
    /// # Errors
    /// When it fails.
    pub fn xdotool(&self, words: &[&str]) -> Result<()> {
        steps::output(Command::new("xdotool").args(words).env("DISPLAY", &self.name)).map(drop)
    }
}
