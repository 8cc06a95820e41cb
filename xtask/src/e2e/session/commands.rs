//! The operator's commands against a running daemon with a real machine: what arrives in the guest, and who may not.

use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon;
use crate::e2e::picture::Picture;
use crate::e2e::qemu::{PASSWORD, configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::text::Font;
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use embedded_graphics::mono_font::ascii::FONT_10X20;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("keys, power, screenshot and sessions", commands);
}

/// Who may switch the machine.
const POWER: &str = r#"
[[grant]]
users = ["bob"]
vms = ["*"]
rights = ["power"]
"#;

/// The operator at a shell.
struct Operator {
    socket: PathBuf,
    folder: PathBuf,
}

impl Operator {
    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(daemon::program());
        command.args(words).arg("--socket").arg(&self.socket);
        Ok(command.current_dir(&self.folder).output()?)
    }

    fn does(&self, words: &[&str]) -> Result<String> {
        let output = self.run(words)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "rdpmux {}: {said}", words.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The command fails with this status and says this.
    fn fails(&self, words: &[&str], status: i32, what: &str) -> Result<()> {
        let output = self.run(words)?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(status) && said.contains(what),
            "rdpmux {} ended with {} and said {said}",
            words.join(" "),
            output.status
        );
        Ok(())
    }
}

fn commands(case: &Case) -> Result<String> {
    let operator = Operator {
        socket: case.sockets.path().join("admin.sock"),
        folder: case.folder.clone(),
    };
    let config = configure(case, &format!("admin_socket = {:?}\n{POWER}", operator.socket))?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", Qemu::V10, &Guest::Kms("rdpmux.scene=idle"), &[])?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_machine("web1")?;
    keys(&operator, &vm)?;
    picture(case, &operator, &mut vm)?;
    sessions(case, &operator, &daemon.address)?;
    refusals(&operator)?;
    switches(&operator, &mut vm)?;
    // The guest's own answer to it: its kernel restarts.
    operator.does(&["keys", "web1", "ctrl-alt-del"])?;
    wait::for_true(wait::seconds(60), "ctrl-alt-del restarts the guest", || {
        Ok(vm.serial().matches("START").count() > 2)
    })?;
    ensure!(
        !daemon.process.output().contains(SECRET),
        "what was typed is in the daemon's log"
    );
    Ok("chords and text seen by the guest, picture equal to QEMU's, button, reset, pause and resume seen by QEMU, refused without the right".to_owned())
}

const SECRET: &str = "Hello, World! {42}";

fn keys(operator: &Operator, vm: &Vm) -> Result<()> {
    operator.does(&["keys", "web1", "ctrl-alt-x", "esc"])?;
    let expected = [(29, 1), (56, 1), (45, 1), (45, 0), (56, 0), (29, 0), (1, 1), (1, 0)];
    let expected: Vec<_> = expected
        .iter()
        .map(|(code, value)| format!("KEY {code} {value}"))
        .collect();
    wait::for_true(wait::seconds(10), "the chords arrive in the guest", || {
        let serial = vm.serial();
        let seen: Vec<_> = serial.lines().filter(|line| line.starts_with("KEY")).collect();
        ensure!(seen.len() <= expected.len(), "more keys than were pressed: {seen:?}");
        Ok(seen == expected)
    })?;
    operator.does(&["keys", "web1", "--text", SECRET]).map(drop)
}

/// The saved picture shows the text, and is QEMU's own.
fn picture(case: &Case, operator: &Operator, vm: &mut Vm) -> Result<()> {
    let font = Font::of(&FONT_10X20);
    let file = case.folder.join("web1.png");
    wait::for_true(wait::seconds(20), "the screenshot shows the text", || {
        operator.does(&["screenshot", "web1"])?;
        Ok(font.find(&load(&file)?, SECRET).is_some())
    })?;
    operator.does(&["power", "web1", "pause"])?;
    let status = vm.qmp.run("query-status", &serde_json::json!({}))?;
    ensure!(status["running"] == false, "paused, but {status}");
    let dump = vm.screendump()?;
    wait::for_true(wait::seconds(5), "the screenshot is QEMU's picture", || {
        operator.does(&["screenshot", "web1", "-o", "paused.png"])?;
        Ok(load(&case.folder.join("paused.png"))?.differing(&dump) == 0)
    })?;
    operator.does(&["power", "web1", "resume"])?;
    let status = vm.qmp.run("query-status", &serde_json::json!({}))?;
    ensure!(status["running"] == true, "resumed, but {status}");
    Ok(())
}

fn load(file: &Path) -> Result<Picture> {
    Picture::from_png(&fs::read(file)?)
}

fn sessions(case: &Case, operator: &Operator, address: &str) -> Result<()> {
    let config = Config {
        kind: Kind::FreeRdp3,
        address,
        user: "alice",
        password: PASSWORD,
        size: (1280, 800),
        more: &["/gfx"],
        host: None,
    };
    let mut client = Client::start(&case.folder, "listed", &config)?;
    let line = wait::until(wait::seconds(20), "the session is listed", || {
        client.process.check()?;
        let list = operator.does(&["sessions"])?;
        Ok(list.lines().find(|line| line.contains("alice")).map(str::to_owned))
    })?;
    let words: Vec<_> = line.split_whitespace().collect();
    ensure!(
        words[1] == "alice" && words[2] == "web1" && words[3].starts_with("127.0.0.1:") && words[4] == "view,control",
        "{line}"
    );
    operator.does(&["disconnect", words[0]])?;
    let said = client.wait_for_end(wait::seconds(20))?;
    ensure!(said.contains("ERRINFO_RPC_INITIATED_DISCONNECT"), "{said}");
    operator.fails(&["disconnect", words[0]], 69, "no session matches")
}

fn refusals(operator: &Operator) -> Result<()> {
    let no_right = |right| format!("has no right `{right}`");
    operator.fails(&["power", "web1", "reset", "--as", "alice"], 77, &no_right("power"))?;
    operator.fails(&["power", "web1", "reset", "--as", "victor"], 77, &no_right("power"))?;
    operator.fails(&["keys", "web1", "enter", "--as", "victor"], 77, &no_right("control"))?;
    operator.fails(&["screenshot", "web1", "--as", "mallory"], 77, &no_right("view"))?;
    operator.fails(&["screenshot", "web9"], 69, "there are: web1")?;
    operator.fails(&["keys", "web1", "hyper-x"], 64, "there is no key `hyper`")?;
    let nowhere = Operator {
        socket: operator.folder.join("nobody.sock"),
        folder: operator.folder.clone(),
    };
    nowhere.fails(&["sessions"], 69, "no running rdpmux was found")
}

fn switches(operator: &Operator, vm: &mut Vm) -> Result<()> {
    operator.does(&["power", "web1", "button", "--as", "bob"])?;
    wait::for_true(wait::seconds(5), "QEMU tells of the button", || vm.qmp.saw("POWERDOWN"))?;
    operator.does(&["power", "web1", "reset", "--as", "bob"])?;
    wait::for_true(wait::seconds(5), "QEMU tells of the reset", || vm.qmp.saw("RESET"))?;
    wait::for_true(wait::seconds(120), "the guest starts again", || {
        vm.process.check()?;
        Ok(vm.serial().matches("READY").count() > 1)
    })
    .context("after the reset")
}
