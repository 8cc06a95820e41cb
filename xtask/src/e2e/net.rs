//! Two network namespaces with a link between them: a veth pair, or an emulated slow link (see `slow`). A namespace is
//! held by a sleeping process that the kernel ends with us, so nothing is left behind. Needs root.

use super::process::{self, Process};
use super::slow::Slow;
use super::wait;
use crate::steps;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Address of the server's end.
pub const SERVER: &str = "10.83.0.1";
/// Address of the client's end.
pub const CLIENT: &str = "10.83.0.2";

/// How fast and how far.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    pub name: &'static str,
    /// Bits per second and milliseconds one way and of queue; `None`: as fast as the machine.
    pub limits: Option<Limits>,
}

/// The limits of a slow link, the same in both directions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    pub kilobits_per_second: u32,
    pub one_way_ms: u32,
    /// Longest time that a packet may wait; more are dropped.
    pub queue_ms: u32,
}

/// All links: the rate in Mbit/s and the round trip in ms are in the name.
pub const KINDS: [Kind; 3] = [
    Kind {
        name: "lan",
        limits: None,
    },
    Kind {
        name: "20m40",
        limits: Some(Limits {
            kilobits_per_second: 20_000,
            one_way_ms: 20,
            queue_ms: 100,
        }),
    },
    Kind {
        name: "2m100",
        limits: Some(Limits {
            kilobits_per_second: 2_000,
            one_way_ms: 50,
            queue_ms: 200,
        }),
    },
];

/// A network of its own for some programs.
pub struct Namespace {
    holder: Process,
}

/// Both ends and what is between them.
pub struct Link {
    pub server: Namespace,
    pub client: Namespace,
    slow: Option<Slow>,
}

impl Namespace {
    /// A new network with nothing but loopback.
    ///
    /// # Errors
    /// When we are not root.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "network namespaces need root: run the bench as root"
        );
        let mut command = Command::new("unshare");
        command.args(["--net", "sleep", "infinity"]);
        let mut holder = Process::start(&command, &folder.join(format!("{name}.net.log")), "")?;
        let own = fs::read_link("/proc/self/ns/net")?;
        let path = format!("/proc/{}/ns/net", holder.id());
        wait::for_true(wait::seconds(5), "a network namespace", || {
            holder.check()?;
            Ok(fs::read_link(&path).is_ok_and(|other| other != own))
        })?;
        let namespace = Self { holder };
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// `command` inside of it, with the same arguments, environment and folder.
    pub fn inside(&self, command: &Command) -> Command {
        let namespace = format!("--net=/proc/{}/ns/net", self.holder.id());
        process::below(&["nsenter", &namespace], command)
    }

    /// `ip WORDS` inside of it.
    ///
    /// # Errors
    /// When `ip` fails.
    pub fn ip(&self, words: &str) -> Result<String> {
        let mut command = Command::new("ip");
        command.args(words.split(' '));
        steps::output(&mut self.inside(&command))
    }

    /// Whether somebody listens on TCP port `port`.
    ///
    /// # Errors
    /// When the kernel's table cannot be read.
    pub fn listens(&self, port: u16) -> Result<bool> {
        let wanted = format!(":{port:04X}");
        let mut found = false;
        for table in ["tcp", "tcp6"] {
            let text = fs::read_to_string(format!("/proc/{}/net/{table}", self.holder.id()))?;
            found |= text.lines().any(|line| {
                let mut words = line.split_whitespace().skip(1);
                words.next().is_some_and(|local| local.ends_with(&wanted)) && words.nth(1) == Some("0A")
            });
        }
        Ok(found)
    }

    /// Process that holds it, for `netns PID` of `ip`.
    pub fn id(&self) -> u32 {
        self.holder.id()
    }

    /// Bytes that the device `name` received and sent.
    fn counted(&self, name: &str) -> Result<(u64, u64)> {
        let text = fs::read_to_string(format!("/proc/{}/net/dev", self.id()))?;
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
        let numbers: Vec<u64> = line
            .with_context(|| format!("no network device {name}"))?
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0))
            .collect();
        Ok((numbers[0], numbers[8]))
    }
}

impl Link {
    /// A link of this kind; logs lie in `folder`, sockets in `sockets`.
    ///
    /// # Errors
    /// When a tool is missing or we are not root.
    pub fn new(kind: Kind, folder: &Path, sockets: &Path) -> Result<Self> {
        let (server, client) = (Namespace::new(folder, "server")?, Namespace::new(folder, "client")?);
        let slow = match kind.limits {
            Some(limits) => Some(Slow::start(
                limits,
                (&server, SERVER),
                (&client, CLIENT),
                folder,
                sockets,
            )?),
            None => {
                server.ip(&format!("link add rd0 type veth peer name rd0 netns {}", client.id()))?;
                for (end, address) in [(&server, SERVER), (&client, CLIENT)] {
                    end.ip(&format!("addr add {address}/24 dev rd0"))?;
                    end.ip("link set rd0 up")?;
                }
                None
            }
        };
        Ok(Self { server, client, slow })
    }

    /// Gives an emulated link other limits; one without limits stays as it is.
    pub fn limit(&self, limits: Limits) {
        if let Some(slow) = &self.slow {
            slow.limit(limits);
        }
    }

    /// IP bytes from server to client and back, since the start.
    ///
    /// # Errors
    /// When the device is gone.
    pub fn bytes(&self) -> Result<(u64, u64)> {
        match &self.slow {
            Some(slow) => Ok(slow.bytes()),
            None => self.client.counted("rd0"),
        }
    }
}
