//! What all cases of the suite share: a private bus with the policy that we ship, the daemon on it, a foreign program that
//! is told what to do by a named pipe, viewers, and what a screen must show.

use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::{Daemon, add_user, program};
use crate::e2e::picture::Picture;
use crate::e2e::process::{self, Process};
use crate::e2e::qemu::PASSWORD;
use crate::e2e::report::Case;
use crate::e2e::wait;
use crate::{peers_c, root, steps};
use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pixels of the pictures.
pub const SIZE: (usize, usize) = (800, 600);

/// A message bus of its own, with the rules of a system bus.
pub struct Bus {
    _process: Process,
    pub address: String,
}

impl Bus {
    /// Starts one whose socket lies in the case's folder of sockets.
    pub fn start(case: &Case) -> Result<Self> {
        let address = format!("unix:path={}", case.sockets.path().join("bus").display());
        let policy = root::path().join("packaging/dbus/org.RDPMux.RDPMux.conf");
        let config = case.folder.join("bus.conf");
        fs::write(&config, bus_config(&address, &policy))?;
        let mut command = Command::new("dbus-daemon");
        command
            .args(["--nofork", "--nopidfile", "--nosyslog", "--print-address"])
            .arg(format!("--config-file={}", config.display()));
        let mut process = Process::start(&command, &case.folder.join("bus.log"), "")?;
        wait::for_true(wait::seconds(10), "a private bus", || {
            process.check()?;
            Ok(process.output().contains("unix:path="))
        })?;
        Ok(Self {
            _process: process,
            address,
        })
    }

    /// `busctl WORDS` on this bus.
    pub fn busctl(&self, words: &[&str]) -> Result<String> {
        steps::output(
            Command::new("busctl")
                .arg(format!("--address={}", self.address))
                .args(words),
        )
    }

    /// A property of a machine's listener object, as `busctl` prints it.
    pub fn property(&self, uuid: &str, name: &str) -> Result<String> {
        let answer = self.busctl(&["get-property", NAME, &listener(uuid), LISTENER, name])?;
        Ok(answer.trim().to_owned())
    }
}

pub const NAME: &str = "org.RDPMux.RDPMux";
pub const LISTENER: &str = "org.RDPMux.RDPListener";

/// A machine's listener object.
pub fn listener(uuid: &str) -> String {
    format!("/org/RDPMux/RDPListener/{}", uuid.replace('-', ""))
}

/// As a distribution's system.conf: nobody owns a name or calls anything unless a policy file allows it.
fn bus_config(address: &str, policy: &Path) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>{address}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Properties"/>
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Introspectable"/>
  </policy>
  <policy user="root">
    <allow send_destination="org.freedesktop.DBus" send_interface="org.freedesktop.DBus.Monitoring"/>
  </policy>
  <include>{}</include>
</busconfig>
"#,
        policy.display()
    )
}

/// A bus with the daemon on it.
pub struct Stage {
    pub daemon: Daemon,
    pub bus: Bus,
}

impl Stage {
    /// Starts both; `more` is added to the section `[librdpmux]`.
    pub fn start(case: &Case, more: &str) -> Result<Self> {
        Self::start_in(case, "127.0.0.1:0", more, process::again)
    }

    /// The same with another address, the daemon in a network of its own.
    pub fn start_in(case: &Case, listen: &str, more: &str, wrap: impl FnOnce(&Command) -> Command) -> Result<Self> {
        let bus = Bus::start(case)?;
        let config = configure(case, &bus, listen, more)?;
        let mut command = Command::new(program());
        command.args(["serve", "--json", "--config"]).arg(&config);
        let daemon = Daemon::start_command(&case.folder, &mut wrap(&command))?;
        wait::for_true(wait::seconds(10), "the daemon takes its name on the bus", || {
            Ok(bus.busctl(&["status", NAME]).is_ok())
        })?;
        Ok(Self { daemon, bus })
    }

    /// A viewer of the machine `uuid` through the shared port.
    pub fn viewer(&self, case: &Case, name: &str, uuid: &str, more: &[&str]) -> Result<Client> {
        viewer(case, name, &self.daemon.address, &format!("alice#{uuid}"), more)
    }

    /// A viewer at the machine's own port.
    pub fn viewer_at_port(&self, case: &Case, name: &str, port: u16, more: &[&str]) -> Result<Client> {
        viewer(case, name, &format!("127.0.0.1:{port}"), "alice", more)
    }

    /// The machine's own port.
    pub fn port(&self, uuid: &str) -> Result<u16> {
        let answer = self.bus.property(uuid, "Port")?;
        let number = answer.strip_prefix("i ").with_context(|| format!("Port is {answer}"))?;
        Ok(number.parse()?)
    }
}

/// A FreeRDP 2 that is not waited for.
pub fn viewer(case: &Case, name: &str, address: &str, user: &str, more: &[&str]) -> Result<Client> {
    Client::start(&case.folder, name, &client(address, user, more))
}

/// How a viewer connects.
pub fn client<'a>(address: &'a str, user: &'a str, more: &'a [&'a str]) -> Config<'a> {
    Config {
        kind: Kind::FreeRdp2,
        address,
        user,
        password: PASSWORD,
        size: SIZE,
        more,
        host: None,
    }
}

fn configure(case: &Case, bus: &Bus, listen: &str, more: &str) -> Result<PathBuf> {
    let path = case.folder.join("rdpmux.toml");
    let mut text = format!("listen = {listen:?}\n");
    writeln!(text, "state_dir = {:?}", case.folder.join("state"))?;
    writeln!(
        text,
        "[[grant]]\nusers = [\"alice\"]\nvms = [\"*\"]\nrights = [\"view\", \"control\"]"
    )?;
    writeln!(text, "[librdpmux]\nbus = {:?}", bus.address)?;
    writeln!(text, "socket = {:?}", case.sockets.path().join("5"))?;
    writeln!(text, "socket6 = {:?}\n{more}", case.sockets.path().join("6"))?;
    fs::write(&path, text)?;
    add_user(&path, "alice", PASSWORD)?;
    Ok(path)
}

/// A program that obeys the lines of a named pipe and tells by lines what it sees.
pub struct Puppet {
    pub process: Process,
    commands: PathBuf,
}

impl Puppet {
    /// Starts `command`, which is given the pipe as its first argument, with `words` after it.
    pub fn start(
        case: &Case,
        name: &str,
        program: &Path,
        bus: &Bus,
        words: &[&str],
        wrap: impl FnOnce(&Command) -> Command,
    ) -> Result<Self> {
        let commands = case.sockets.path().join(format!("{name}.commands"));
        // One of the same name may have been killed.
        let _ = fs::remove_file(&commands);
        steps::output(Command::new("mkfifo").arg(&commands))?;
        let mut command = Command::new(program);
        command.arg(&commands).args(words);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus.address);
        let process = Process::start(&wrap(&command), &case.folder.join(format!("{name}.log")), "")?;
        Ok(Self { process, commands })
    }

    /// Has it do something.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        self.process.check()?;
        // Opened for reading too, as that never waits for the other side.
        let mut pipe = fs::OpenOptions::new().read(true).write(true).open(&self.commands)?;
        Ok(writeln!(pipe, "{line}")?)
    }

    /// Has it do something and waits until it is done.
    pub fn does(&mut self, line: &str) -> Result<()> {
        let word = format!("done {}", line.split(' ').next().unwrap_or_default());
        let before = self.count(&word);
        self.tell(line)?;
        self.wait(&word, |puppet| puppet.count(&word) > before)
    }

    /// Waits for a line that begins so, and returns what follows.
    pub fn says(&mut self, start: &str) -> Result<String> {
        self.wait(start, |puppet| puppet.last(start).is_some())?;
        self.last(start).context("the line was there")
    }

    /// What follows `start` in the last line that begins so.
    pub fn last(&self, start: &str) -> Option<String> {
        let output = self.process.output();
        let line = output.lines().rev().find(|line| line.starts_with(start))?;
        Some(line[start.len()..].trim().to_owned())
    }

    /// Lines that begin so.
    pub fn count(&self, start: &str) -> usize {
        let output = self.process.output();
        output.lines().filter(|line| line.starts_with(start)).count()
    }

    fn wait(&mut self, what: &str, mut is_true: impl FnMut(&Self) -> bool) -> Result<()> {
        wait::for_true(wait::seconds(20), &format!("a foreign program says {what}"), || {
            let done = is_true(self);
            if !done {
                self.process.check()?;
            }
            Ok(done)
        })
    }
}

/// A machine of the foreign backend.
pub struct Machine {
    pub puppet: Puppet,
    pub uuid: String,
    pub id: u32,
}

impl Machine {
    /// The machine of this number, registered with a port and a credential file (0 and empty: neither).
    pub fn start(case: &Case, stage: &Stage, number: u32, port: u16, credentials: &str) -> Result<Self> {
        Self::start_in(
            case,
            &stage.bus,
            number,
            &[&port.to_string(), credentials],
            process::again,
        )
    }

    /// The same with any words after its UUID, in a network of its own.
    pub fn start_in(
        case: &Case,
        bus: &Bus,
        number: u32,
        more: &[&str],
        wrap: impl FnOnce(&Command) -> Command,
    ) -> Result<Self> {
        let (id, uuid) = (id(number), uuid(number));
        let number = id.to_string();
        let words = [&[number.as_str(), uuid.as_str()], more].concat();
        let name = format!("machine-{id}");
        let mut puppet = Puppet::start(case, &name, &peers_c::librdpmux_backend()?, bus, &words, wrap)?;
        puppet.says("path ")?;
        Ok(Self { puppet, uuid, id })
    }

    /// Shows a test picture in a format and returns what must be seen.
    pub fn show(&mut self, case: &Case, format: &str, (width, height): (usize, usize), seed: u32) -> Result<Picture> {
        let file = case.sockets.path().join("expected.ppm");
        let words = format!("show {format} {width} {height} {seed} {}", file.display());
        self.puppet.does(&words)?;
        Picture::from_ppm(&fs::read(&file)?)
    }

    /// Fills a box and returns what must be seen.
    pub fn fill(&mut self, case: &Case, area: (usize, usize, usize, usize), colour: u32) -> Result<Picture> {
        let file = case.sockets.path().join("expected.ppm");
        let (x, y, width, height) = area;
        let words = format!("box {x} {y} {width} {height} {colour:06x} {}", file.display());
        self.puppet.does(&words)?;
        Picture::from_ppm(&fs::read(&file)?)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.puppet.process.kill();
        let _ = fs::remove_file(format!("/dev/shm/{}.rdpmux", self.id));
    }
}

/// The machine's number for the whole host: runs side by side must not share memory.
pub fn id(number: u32) -> u32 {
    std::process::id() % 1_000_000 * 100 + number
}

/// Its UUID.
pub fn uuid(number: u32) -> String {
    format!("5a1c9e00-0000-4000-8000-{:012x}", id(number))
}

/// Waits until the client shows exactly this.
pub fn shows(case: &Case, client: &mut Client, what: &str, expected: &Picture) -> Result<()> {
    let size = (expected.width, expected.height);
    let limit = wait::seconds(30);
    let seen = client.wait_for(&case.folder, limit, what, size, |picture| {
        picture.differing(expected) == 0
    });
    if seen.is_err() {
        expected.save(&case.folder.join("expected.png"))?;
    }
    seen.map(drop)
}
