//! Serving as RDPMux did, by its own options: `rdpmux serve --compat rdpmux -p 3901 --no-auth -c /etc/rdpmux`, or with
//! those options alone, as old unit files have them.

use std::ffi::{OsStr, OsString};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rdpmux_host::Config;
use rdpmux_host::config::{CertificateFiles, Librdpmux};

/// What else `serve` can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Program {
    /// RDPMux: hypervisors register over D-Bus, each VM has a port of its own on all addresses
    Rdpmux,
}

/// RDPMux's options.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options with --compat rdpmux")]
pub(super) struct Compat {
    /// Serve as this program did, with its options below
    #[arg(long, value_name = "PROGRAM", help_heading = "Options")]
    compat: Option<Program>,
    /// First port of single VMs [default: 3901]
    #[arg(long, short, value_name = "PORT", requires = "compat", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Ask nobody for a password at the own port of a VM without a credential file
    #[arg(long, short, requires = "compat")]
    no_auth: bool,
    /// Directory of rdpmux.toml and shadow/server.crt, shadow/server.key; each may be missing [default: /etc/rdpmux]
    #[arg(long, short, value_name = "DIR", requires = "compat", conflicts_with = "config")]
    config_path: Option<PathBuf>,
    /// Directory of server.crt and server.key
    #[arg(long, value_name = "DIR", requires = "compat")]
    certificate_dir: Option<PathBuf>,
    /// Log everything
    #[arg(short, requires = "compat")]
    verbose: bool,
    /// Log more, 1 to 3
    #[arg(long = "v", value_name = "LEVEL", requires = "compat", value_parser = clap::value_parser!(u8).range(1..=3))]
    level: Option<u8>,
}

impl Compat {
    /// The configuration, if RDPMux is asked for: of the file if it is there, with RDPMux's ways and these options.
    pub(super) fn config(&self, file: &Path) -> Option<anyhow::Result<Config>> {
        self.compat?;
        let directory = self.config_path.as_deref().unwrap_or(Path::new(DIRECTORY));
        let in_directory = directory.join("rdpmux.toml");
        let file = if file == Path::new(Config::DEFAULT_PATH) {
            in_directory.as_path()
        } else {
            file
        };
        let is_needed = file != in_directory;
        let base = if is_needed || file.exists() {
            Config::load(file).map_err(Into::into)
        } else {
            Ok(without_file())
        };
        Some(base.map(|base| self.applied(base, directory)))
    }

    fn applied(&self, mut config: Config, directory: &Path) -> Config {
        let section = config.librdpmux.get_or_insert_with(old_ways);
        section.first_port = self.port.unwrap_or(section.first_port);
        section.no_auth |= self.no_auth;
        if config.certificate.is_none() {
            let shadow = directory.join("shadow");
            config.certificate = pair(self.certificate_dir.as_deref().unwrap_or(&shadow));
        }
        config
    }

    /// What is logged without `--log` and `RUST_LOG`.
    pub(super) fn log(&self) -> Option<&'static str> {
        match (self.verbose, self.level) {
            (true, _) | (_, Some(3..)) => Some(TRACE),
            (false, Some(_)) => Some(DEBUG),
            (false, None) => None,
        }
    }
}

fn without_file() -> Config {
    Config {
        librdpmux: Some(old_ways()),
        ..Config::default()
    }
}

/// RDPMux's ports were open to everybody.
fn old_ways() -> Librdpmux {
    Librdpmux {
        listen: Ipv4Addr::UNSPECIFIED.into(),
        ..Librdpmux::default()
    }
}

fn pair(directory: &Path) -> Option<CertificateFiles> {
    let files = CertificateFiles {
        certificate: directory.join("server.crt"),
        key: directory.join("server.key"),
    };
    (files.certificate.exists() && files.key.exists()).then_some(files)
}

/// A command line of RDPMux's own as one of ours: those had options only, and ours begins with a command.
pub(super) fn translated(line: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut line: Vec<OsString> = line.into_iter().collect();
    if line.get(1).is_some_and(|first| is_old(first)) {
        let ours = ["serve", "--compat", "rdpmux"].map(OsString::from);
        line.splice(1..1, ours);
    }
    line
}

fn is_old(argument: &OsStr) -> bool {
    let text = argument.to_string_lossy();
    let (option, _) = text.split_once('=').unwrap_or((&text, ""));
    let is_long = ["--port", "--no-auth", "--config-path", "--certificate-dir", "--v"].contains(&option);
    let is_short = text
        .strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(['p', 'n', 'c', 'v']));
    is_long || is_short
}

const DIRECTORY: &str = "/etc/rdpmux";
const DEBUG: &str = "info,rdpmux=debug,rdpmux_host=debug,rdpmux_guest=debug,rdpmux_server=debug";
const TRACE: &str = "info,rdpmux=trace,rdpmux_host=trace,rdpmux_guest=trace,rdpmux_server=trace,rdpmux_rdp=trace";

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        compat: Compat,
        #[arg(long, default_value = Config::DEFAULT_PATH)]
        config: PathBuf,
    }

    fn parse(line: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(std::iter::once("serve").chain(line.split_whitespace()))
    }

    #[test]
    fn rdpmux_ways_come_with_its_name_only() {
        assert!(parse("").expect("fine").compat.config(Path::new("x")).is_none());
        for line in [
            "-p 1",
            "--no-auth",
            "-c /x",
            "-v",
            "--v=2",
            "--compat rdpmux -p 0",
            "--compat xrdp",
            "--compat rdpmux --v=4",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--compat rdpmux -c /x --config /y").is_err());
    }

    #[test]
    fn the_old_options_mean_what_they_meant() {
        let directory = tempfile::tempdir().expect("tempdir");
        let at = directory.path().display();
        let config = |line: &str| {
            let line = parse(&format!("--compat rdpmux {line}")).expect("fine");
            line.compat.config(&line.config).expect("asked for").expect("fine")
        };
        let plain = config(&format!("-c {at}"));
        let section = plain.librdpmux.as_ref().expect("on");
        assert_eq!(
            (section.first_port, section.no_auth, section.listen.to_string().as_str()),
            (3901, false, "0.0.0.0")
        );
        assert_eq!(plain.certificate, None);

        fs::create_dir(directory.path().join("shadow")).expect("directory");
        for file in ["shadow/server.crt", "shadow/server.key"] {
            fs::write(directory.path().join(file), "").expect("write");
        }
        let file = "listen = \"127.0.0.1:3390\"\n[librdpmux]\nlisten = \"192.0.2.1\"\n";
        fs::write(directory.path().join("rdpmux.toml"), file).expect("write");
        for line in [
            format!("-c {at} -p 5000 -n"),
            format!("--config-path={at} --port=5000 --no-auth"),
        ] {
            let config = config(&line);
            let section = config.librdpmux.as_ref().expect("on");
            assert_eq!(
                (section.first_port, section.no_auth, section.listen.to_string().as_str()),
                (5000, true, "192.0.2.1")
            );
            assert_eq!(config.listen.port(), 3390);
            let own = config.certificate.expect("found");
            assert_eq!(own.key, directory.path().join("shadow/server.key"));
        }
        assert_eq!(parse("--compat rdpmux -v").expect("fine").compat.log(), Some(TRACE));
        assert_eq!(parse("--compat rdpmux --v=1").expect("fine").compat.log(), Some(DEBUG));
    }

    #[test]
    fn a_line_of_old_options_alone_is_understood_and_no_other_is_touched() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for line in [
            "--no-auth",
            "-n",
            "-p 3901",
            "-p3901",
            "--port=3901 -n",
            "-c /x",
            "--v=2",
            "-v",
            "--certificate-dir=/x",
        ] {
            let old = words(&format!("rdpmux {line}"));
            assert_eq!(translated(old), words(&format!("rdpmux serve --compat rdpmux {line}")));
        }
        for line in [
            "rdpmux",
            "rdpmux serve",
            "rdpmux --help",
            "rdpmux --version",
            "rdpmux -V",
            "rdpmux --log info demo",
        ] {
            assert_eq!(translated(words(line)), words(line));
        }
    }
}
