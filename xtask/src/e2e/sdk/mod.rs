//! Suite `sdk`: servers that were written with the crate `rdpmux-server`, its own examples, and stock clients: every way to
//! secure a connection, every pixel format compared by pixel, pointers, sizes, input, and many clients.

mod channels;
mod gallery;
mod many;
mod mirror;
mod server;

use super::client::{Client, Config, Kind};
use super::process::Process;
use super::report::{Case, Suite, Wanted};
use super::wait;
use crate::{certificate, root, steps};
use anyhow::Result;
use std::process::Command;

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    if std::env::var_os("NOBUILD").is_none() {
        // As the unit tests have built them.
        steps::run(steps::cargo().args(["build", "--quiet", "--workspace", "--examples"]))?;
    }
    let mut suite = Suite::new("sdk", wanted);
    server::cases(&mut suite);
    gallery::cases(&mut suite);
    many::cases(&mut suite);
    channels::cases(&mut suite);
    mirror::cases(&mut suite);
    suite.finish()
}

/// A running example.
struct Example {
    process: Process,
    address: String,
}

impl Example {
    /// Starts it on a free port, with a new certificate.
    fn start(case: &Case, name: &str, words: &[&str]) -> Result<Self> {
        let (cert, key) = (case.folder.join("cert.pem"), case.folder.join("key.pem"));
        certificate::write(&cert, &key, "DNS:localhost")?;
        let mut command = Command::new(root::cargo_target().join("debug/examples").join(name));
        command
            .args(["--bind-addr", "127.0.0.1:0", "--cert"])
            .arg(cert)
            .arg("--key")
            .arg(key);
        command.args(words).env("RUST_LOG", "info,rdpmux_server=debug");
        let mut process = Process::start(&command, &case.folder.join(format!("{name}.log")), "")?;
        let address = wait::until(wait::seconds(30), "the example listens", || {
            process.check()?;
            let output = process.output();
            Ok(output
                .lines()
                .find_map(|line| line.strip_prefix("LISTENING "))
                .map(str::to_owned))
        })?;
        Ok(Self { process, address })
    }

    /// A client of it.
    fn client(&self, case: &Case, name: &str, kind: Kind, size: (usize, usize), more: &[&str]) -> Result<Client> {
        self.client_as(case, name, "admin", kind, size, more)
    }

    /// The same for a user.
    fn client_as(
        &self,
        case: &Case,
        name: &str,
        user: &str,
        kind: Kind,
        size: (usize, usize),
        more: &[&str],
    ) -> Result<Client> {
        let config = Config {
            kind,
            address: &self.address,
            user,
            password: "password",
            size,
            more,
            host: None,
        };
        Client::start(&case.folder, name, &config)
    }

    /// Waits until it has printed all of these.
    fn wait_for(&mut self, wanted: &[&str]) -> Result<()> {
        for word in wanted {
            wait::for_true(wait::seconds(20), &format!("the example prints {word:?}"), || {
                self.process.check()?;
                Ok(self.process.output().contains(word))
            })?;
        }
        Ok(())
    }
}
