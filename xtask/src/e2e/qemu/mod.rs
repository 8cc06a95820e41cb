//! Suite `qemu`: real QEMU 7.2 and 10 with real guests behind the daemon, looked at by real clients and compared with
//! QEMU's own screendump. `guests` holds one case per QEMU and guest; `routing` the ways to choose a desktop and the
//! rights; `robust` what must not hurt whom; `rest` what an unwatched machine is spared; this file the stage that they share.

mod guests;
mod rest;
mod robust;
mod routing;

use super::client::{Client, Config, Kind};
use super::clients::{Fidelity, compare};
use super::daemon::{Daemon, add_user};
use super::picture::Picture;
use super::report::{Case, Suite, Wanted};
use super::vm::Vm;
use super::wait;
use anyhow::Result;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Runs the suite.
///
/// # Errors
/// When a case fails.
pub fn run(wanted: Wanted<'_>) -> Result<()> {
    let mut suite = Suite::new("qemu", wanted);
    guests::cases(&mut suite);
    routing::cases(&mut suite);
    robust::cases(&mut suite);
    rest::cases(&mut suite);
    suite.finish()
}

pub(super) const PASSWORD: &str = "Correct-Horse-7";

/// Who may do what in all cases: alice and bob everything, victor may only look at web1.
const GRANTS: &str = r#"
[[grant]]
users = ["alice", "bob"]
vms = ["*"]
rights = ["view", "control"]

[[grant]]
users = ["victor"]
vms = ["web1"]
rights = ["view"]
"#;

/// Writes a configuration that discovers the machines of the case, and its users.
pub(crate) fn configure(case: &Case, more: &str) -> Result<PathBuf> {
    let path = case.folder.join("rdpmux.toml");
    let mut text = String::from("listen = \"127.0.0.1:0\"\nserver_names = [\"consoles.example\"]\n");
    writeln!(text, "state_dir = {:?}", case.folder.join("state"))?;
    writeln!(text, "{more}{GRANTS}")?;
    writeln!(text, "[[discover]]\nqmp = {:?}", case.sockets.path().join("vm/*.qmp"))?;
    fs::create_dir_all(case.sockets.path().join("vm"))?;
    fs::write(&path, text)?;
    for user in ["alice", "bob", "victor"] {
        add_user(&path, user, PASSWORD)?;
    }
    Ok(path)
}

/// Starts the daemon on a configuration.
pub(crate) fn serve(case: &Case, config: &PathBuf, environment: &[(&str, &str)]) -> Result<Daemon> {
    let mut command = Command::new(super::daemon::program());
    command
        .args(["serve", "--json", "--config"])
        .arg(config)
        .envs(environment.iter().copied());
    Daemon::start_command(&case.folder, &mut command)
}

/// A viewer of the machine `vm`, without waiting for its picture.
pub(super) fn viewer(
    case: &Case,
    name: &str,
    daemon: &Daemon,
    user: &str,
    kind: Kind,
    more: &[&str],
) -> Result<Client> {
    let config = Config {
        kind,
        address: &daemon.address,
        user,
        password: PASSWORD,
        size: (1280, 800),
        more,
        host: None,
    };
    Client::start(&case.folder, name, &config)
}

/// Compares with QEMU's screendump while the guest is stopped, so that both show one moment.
pub(super) fn compare_at_rest(
    case: &Case,
    client: &mut Client,
    name: &str,
    fidelity: Fidelity,
    vm: &mut Vm,
) -> Result<String> {
    vm.pause()?;
    // What QEMU shows may still change for a refresh after the stop.
    let figure = compare(case, client, name, fidelity, || vm.screendump());
    vm.resume()?;
    figure
}

/// Waits until QEMU's own picture is liked.
fn wait_for_dump(vm: &mut Vm, seconds: u64, what: &str, mut wanted: impl FnMut(&Picture) -> bool) -> Result<Picture> {
    wait::until(wait::seconds(seconds), what, || {
        vm.process.check()?;
        let picture = vm.screendump()?;
        std::thread::sleep(std::time::Duration::from_millis(200));
        Ok(wanted(&picture).then_some(picture))
    })
}
