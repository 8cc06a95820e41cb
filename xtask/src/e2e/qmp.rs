//! A client for QEMU's machine protocol, just enough for the suites: commands, events, screendumps.
//! The daemon has a QMP socket of its own; this one is ours. Called by `vm`.

use super::picture::Picture;
use super::wait;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// An open QMP connection.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    events: Vec<String>,
}

impl Qmp {
    /// Connects to the socket at `path` and says hello.
    ///
    /// # Errors
    /// When QEMU does not listen there or does not answer within 30 s.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = wait::until(wait::seconds(20), "QEMU's QMP socket", || {
            Ok(UnixStream::connect(path).ok())
        })?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut qmp = Self {
            reader: BufReader::new(stream),
            events: Vec::new(),
        };
        qmp.line()
            .context("no greeting from QEMU: is another client on its socket?")?;
        qmp.run("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns its result.
    ///
    /// # Errors
    /// When QEMU refuses it or is gone.
    pub fn run(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments }).to_string() + "\n";
        self.reader.get_mut().write_all(request.as_bytes())?;
        loop {
            let answer = self.line().with_context(|| format!("no answer to {command}"))?;
            if let Some(name) = answer["event"].as_str() {
                self.events.push(name.to_owned());
            } else if let Some(error) = answer.get("error") {
                bail!("QEMU refuses {command}: {error}");
            } else {
                return Ok(answer["return"].clone());
            }
        }
    }

    /// Whether QEMU has told of this event.
    ///
    /// # Errors
    /// When QEMU is gone.
    pub fn saw(&mut self, event: &str) -> Result<bool> {
        self.run("query-status", &json!({}))?;
        Ok(self.events.iter().any(|name| name == event))
    }

    /// QEMU's own picture of the screen; `scratch` is where the file may lie for a moment.
    ///
    /// # Errors
    /// When there is no screen.
    pub fn screendump(&mut self, scratch: &Path) -> Result<Picture> {
        self.dump(scratch, &json!({ "filename": scratch }))
    }

    /// As [`Self::screendump`], of a head of the graphics device with this identifier.
    ///
    /// # Errors
    /// When there is none.
    pub fn screendump_of(&mut self, scratch: &Path, (device, head): (&str, u32)) -> Result<Picture> {
        let arguments = json!({ "filename": scratch, "device": device, "head": head });
        self.dump(scratch, &arguments)
    }

    fn dump(&mut self, scratch: &Path, arguments: &Value) -> Result<Picture> {
        self.run("screendump", arguments)?;
        let picture = Picture::from_ppm(&fs::read(scratch)?);
        fs::remove_file(scratch)?;
        picture
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            bail!("QEMU closed the connection");
        }
        Ok(serde_json::from_str(&line)?)
    }
}
