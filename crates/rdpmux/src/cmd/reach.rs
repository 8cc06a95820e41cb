//! How the commands about streams reach a daemon: by its admin socket on this host, or over RDP.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use rdpmux_client::{Connection, Fingerprint, Target, Trust};

use super::operator::{Behalf, Daemon};
use super::usage;
use crate::console::known::{self, Known};
use crate::console::line::Line;
use crate::password;

/// Where the daemon is, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Reach {
    #[command(flatten)]
    behalf: Behalf,
    #[command(flatten)]
    daemon: Daemon,
    /// Over RDP, from a daemon elsewhere: its name or address
    #[arg(long, value_name = "HOST[:PORT]", requires = "login", conflicts_with_all = ["socket", "user"])]
    host: Option<String>,
    /// With --host: the user
    #[arg(long = "user", id = "login", value_name = "USER", requires = "host")]
    login: Option<String>,
    /// With --host: the password is the first line of this file; else it is asked for
    #[arg(long, value_name = "FILE", requires = "host")]
    password_file: Option<PathBuf>,
    /// With --host: SHA-256 of the server's certificate, as `rdpmux check` prints it there; else you are asked once, and
    /// the answer is kept in ~/.config/rdpmux/known_hosts
    #[arg(long, value_name = "SHA256", requires = "host", value_parser = fingerprint, conflicts_with = "ca")]
    fingerprint: Option<Fingerprint>,
    /// With --host: the certificate has to be signed by an authority of this PEM file
    #[arg(long, value_name = "FILE", requires = "host")]
    ca: Option<PathBuf>,
}

fn fingerprint(text: &str) -> Result<Fingerprint, String> {
    Fingerprint::parse(text).ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
}

impl Reach {
    /// A line to the streams of a machine, and what has to live as long.
    pub(super) fn line(self, vm: &str) -> anyhow::Result<(Line, Option<Connection>)> {
        let Some(host) = &self.host else {
            let line = Line::greet(self.daemon.streams(vm, self.behalf.user)?)?;
            return Ok((line, None));
        };
        let (host, port) = split(host)?;
        let user = self.login.clone().unwrap_or_default();
        let password = match &self.password_file {
            Some(path) => password::from_file(path)?,
            None => password::ask_for(&user, &host)?,
        };
        let target = Target {
            host,
            port,
            user,
            password,
            vm: vm.to_owned(),
        };
        let connection = self.connect(&target)?;
        Ok((Line::greet(connection.stream()?)?, Some(connection)))
    }

    fn connect(&self, target: &Target) -> anyhow::Result<Connection> {
        let server = format!("{}:{}", target.host, target.port);
        let ask = |found| match trusts(&server, found) {
            Ok(()) => true,
            Err(error) => {
                eprintln!("rdpmux: {error:#}");
                false
            }
        };
        let trust = match (self.fingerprint, &self.ca) {
            (Some(fingerprint), _) => Trust::Fingerprint(fingerprint),
            (None, Some(path)) => {
                let pem = fs::read(path).with_context(|| path.display().to_string())?;
                Trust::Authorities(pem)
            }
            (None, None) => Trust::Ask(&ask),
        };
        Ok(rdpmux_client::connect(target, &trust)?)
    }
}

/// As ssh: a known certificate is taken, a new one is asked about, a changed one is refused.
fn trusts(server: &str, found: Fingerprint) -> anyhow::Result<()> {
    let path = known::path().context("there is no home directory; use --fingerprint")?;
    match known::look_up(&path, server, found)? {
        Known::This => Ok(()),
        Known::Another => bail!(
            "the certificate of {server} has changed. Somebody may be in between, or the server has a new one: ask its \
             operator. If so, remove its line from {}",
            path.display()
        ),
        Known::Nothing => {
            let question = format!(
                "The certificate of {server} is not known. Its SHA-256 is\n  {found}\nTrust it from now on (yes/no)? "
            );
            let answer = password::question(&question)
                .context("nobody can be asked about a certificate that is not known; use --fingerprint or --ca")?;
            if !answer.trim().eq_ignore_ascii_case("yes") {
                bail!("you did not say yes");
            }
            known::remember(&path, server, found)
        }
    }
}

/// Host and port; an IPv6 address with a port stands in brackets.
fn split(text: &str) -> anyhow::Result<(String, u16)> {
    const PORT: u16 = 3389;
    let strange = || usage(format!("`{text}` is not HOST or HOST:PORT"));
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None => return strange(),
        },
        None => match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (text, None),
        },
    };
    match port.map_or(Ok(PORT), str::parse) {
        Ok(port) if !host.is_empty() && !host.contains(['[', ']']) && port > 0 => Ok((host.to_owned(), port)),
        _ => strange(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_port_or_the_usual_one() {
        for (text, host, port) in [
            ("vmhost", "vmhost", 3389),
            ("vmhost.example:3390", "vmhost.example", 3390),
            ("10.0.0.1:1", "10.0.0.1", 1),
            ("::1", "::1", 3389),
            ("[::1]", "::1", 3389),
            ("[::1]:3390", "::1", 3390),
        ] {
            assert_eq!(split(text).expect(text), (host.to_owned(), port));
        }
        for text in ["", ":3389", "a:", "a:b", "a:0", "a:65536", "[::1", "[::1]x", "[]:1"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
