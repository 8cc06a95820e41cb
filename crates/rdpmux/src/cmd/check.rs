//! `rdpmux check`: everything that `serve` would stumble over, without serving.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;
use rdpmux_host::auth::UsersFile;
use rdpmux_host::config::{Config, Source};
use rdpmux_host::{Identity, ProbeError, probe_qmp};

use super::ConfigFile;
use crate::exit::CONFIGURATION;
use crate::output;

/// Check the configuration, the certificate, the users file and the VMs' sockets
///
/// Exits 0 if `serve` would work, 64 if not. A VM that is off is not a fault. A VM that a running rdpmux serves cannot be
/// asked and is told so.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    config: ConfigFile,
}

/// Lines for a person and whether one of them is a fault.
#[derive(Default)]
struct Findings {
    text: String,
    faults: usize,
}

impl Findings {
    fn good(&mut self, what: impl std::fmt::Display) {
        let _ = writeln!(self.text, "ok       {what}");
    }
    fn note(&mut self, what: impl std::fmt::Display) {
        let _ = writeln!(self.text, "note     {what}");
    }
    fn fault(&mut self, what: impl std::fmt::Display) {
        self.faults += 1;
        let _ = writeln!(self.text, "FAULT    {what}");
    }
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.load()?;
        let mut findings = Findings::default();
        findings.good(format!("{}: every key is valid", self.config.config.display()));
        for warning in &config.warnings {
            findings.note(warning);
        }
        certificate(&config, &mut findings);
        users(&config, &mut findings);
        machines(&config, &mut findings);
        if let Some(section) = &config.librdpmux {
            findings.note(format!(
                "librdpmux: hypervisors register over D-Bus, which is not looked at; own ports are from {} on",
                SocketAddr::new(section.listen, section.first_port)
            ));
        }
        output::write(&findings.text)?;
        Ok(if findings.faults == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(CONFIGURATION)
        })
    }
}

fn certificate(config: &Config, findings: &mut Findings) {
    match Identity::inspect(config) {
        Ok(Some(identity)) => findings.good(format!("certificate SHA-256 {}", identity.fingerprint())),
        Ok(None) => findings.note(format!(
            "{}: a certificate will be made on first start",
            config.state_dir.display()
        )),
        Err(error) => findings.fault(error),
    }
}

fn users(config: &Config, findings: &mut Findings) {
    let path = config.users_path();
    let file = match UsersFile::load(&path) {
        Ok(file) => file,
        Err(error) => return findings.fault(error),
    };
    let known: Vec<&str> = file.names().collect();
    if known.is_empty() {
        findings.note(format!(
            "{}: no users yet, so nobody can log in; run: rdpmux user add NAME",
            path.display()
        ));
    } else {
        findings.good(format!("{}: {} users", path.display(), known.len()));
    }
    let granted = config.grants.iter().flat_map(|grant| &grant.users);
    for pattern in granted.filter(|pattern| !known.iter().any(|name| pattern.matches(name))) {
        findings.note(format!("a [[grant]] is for `{pattern}`, but there is no such user"));
    }
}

fn machines(config: &Config, findings: &mut Findings) {
    for machine in &config.machines {
        match &machine.source {
            Source::Qmp(socket) => probe(machine.name.as_str(), socket, findings),
            Source::Bus { address, .. } => findings.note(format!("{}: bus {address} is not looked at", machine.name)),
            Source::TestCard(_) => findings.good(format!("{}: test card", machine.name)),
            Source::NoScreen => {
                findings.good(format!(
                    "{}: no screen, streams: {}",
                    machine.name,
                    machine.streams.len()
                ));
            }
        }
    }
    if let Some(dir) = config
        .outlets
        .records
        .as_ref()
        .map(|records| &records.dir)
        .filter(|dir| !dir.is_dir())
    {
        findings.fault(format!(
            "{}: `record_dir` is not there; run: mkdir -m 700 {}",
            dir.display(),
            dir.display()
        ));
    }
    for pattern in config.discover.iter().map(|discovery| &discovery.sockets) {
        match pattern.scan() {
            Ok(sockets) if sockets.is_empty() => findings.note(format!("{pattern}: no sockets now")),
            Ok(sockets) => {
                for socket in sockets {
                    let stem = socket
                        .file_stem()
                        .map(|stem| stem.to_string_lossy().into_owned())
                        .unwrap_or_default();
                    probe(&stem, &socket, findings);
                }
            }
            Err(error) => findings.fault(format!("{pattern}: {error}")),
        }
    }
}

fn probe(name: &str, socket: &Path, findings: &mut Findings) {
    let place = format!("{name}: {}", socket.display());
    match probe_qmp(socket) {
        Ok(facts) if facts.display != "dbus" => findings.fault(format!(
            "{place}: QEMU {} has the display `{}`; start it with -display dbus,p2p=yes",
            facts.version, facts.display
        )),
        Ok(facts) if !facts.p2p => findings.fault(format!(
            "{place}: QEMU {} has its display on a message bus; start it with -display dbus,p2p=yes, or name the bus with `dbus`",
            facts.version
        )),
        Ok(facts) => findings.good(format!("{place}: QEMU {} with a D-Bus display", facts.version)),
        Err(error @ ProbeError::Busy) => findings.note(format!("{place}: {error}")),
        Err(ProbeError::Io(error)) if is_off(&error) => findings.note(format!("{place}: nobody answers; the VM is off")),
        Err(error) => findings.fault(format!("{place}: {error}")),
    }
}

fn is_off(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused
    )
}
