//! Consoles over RDP: `rdpmux console --host` logs in by NLA, checks the certificate and uses the channel alone.

use super::{DEVICE, GRANTS, Shop, Typist, said};
use crate::e2e::client::Kind;
use crate::e2e::daemon::{self, Daemon};
use crate::e2e::process::Process;
use crate::e2e::qemu::{PASSWORD, configure, serve, viewer};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs;
use std::process::{Command, Stdio};

/// Adds the cases to the suite, for every QEMU.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        let name = format!("{}: a serial shell over RDP, with NLA", qemu.label());
        suite.case(&name, move |case| console(case, qemu));
        // Debian's FreeRDP 3 is built without that channel.
        let name = format!("{}: a serial shell through FreeRDP's rdp2tcp", qemu.label());
        suite.case(&name, move |case| helper(case, qemu));
    }
}

/// Lines that the guest prints at full speed: more than a client that does not read has credit for.
const LINES: u32 = 30_000;

fn console(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let away = Away::new(case, &daemon)?;
    wait::for_true(wait::seconds(20), "the port is listed over RDP", || {
        let list: Value = serde_json::from_str(&away.does("alice", &["streams", "web1", "--json"])?)?;
        Ok(list[0]["stream"] == "serial1")
    })?;
    refusals(&away)?;
    let watcher = shop.console("local", &["--follow"])?;
    let log = ["--log", "rdpmux_client=debug"];
    let mut typist = away.typist("typist", &[&["console", "web1"], &log[..]].concat())?;
    typist.types("echo RE''MOTE\r")?;
    said(&watcher, "REMOTE\r\n> ")?;
    let seen = || fs::read_to_string(case.folder.join("typist.log")).unwrap_or_default();
    wait::for_true(wait::seconds(30), "the typist sees the answer", || {
        Ok(seen().contains("REMOTE"))
    })?;
    intruder(&away, &watcher)?;
    let took = slow(&away, &mut typist, &watcher)?;
    typist.types("\r~.")?;
    wait::for_true(wait::seconds(10), "the typist leaves", || {
        Ok(typist.child.try_wait()?.is_some())
    })?;
    let typed = Bytes::of(&seen())?;
    let words = [&["console", "web1", "--history"], &log[..]].concat();
    let kept = wait::until(wait::seconds(30), "what is kept is what was printed", || {
        let kept = away.run("bob", &words, "")?;
        Ok((kept.0 == watcher.output()).then_some(kept))
    })?;
    let history = Bytes::of(&kept.1)?;
    ensure!(
        history.received < history.streamed_in + 24 * 1024,
        "the session took {history:?}"
    );
    untouched(case, &daemon)?;
    Ok(format!(
        "{LINES} lines in {took:.1} s beside a client that does not read; a history of {} B in a session of {} B down, {} B \
         up; the typist: {} B of {} B down, {} B of {} B up",
        history.streamed_in,
        history.received,
        history.sent,
        typed.streamed_in,
        typed.received,
        typed.streamed_out,
        typed.sent,
    ))
}

/// Wrong password, wrong certificate, nobody to ask about one, and no right.
fn refusals(away: &Away<'_>) -> Result<()> {
    let wrong = away.folder().join("wrong");
    fs::write(&wrong, "wrong\n")?;
    let wrong = wrong.to_str().context("a path that is no text")?;
    let zeros = "0".repeat(64);
    let good = ["--password-file", away.password.as_str()];
    for (user, words, wanted) in [
        (
            "alice",
            vec!["--fingerprint", &away.fingerprint, "--password-file", wrong],
            "refuses the user name or the password",
        ),
        (
            "alice",
            [&["--fingerprint", &zeros], &good[..]].concat(),
            "is not the one that you named",
        ),
        ("alice", good.to_vec(), "use --fingerprint or --ca"),
        (
            "victor",
            [&["--fingerprint", &away.fingerprint], &good[..]].concat(),
            "no right to streams",
        ),
    ] {
        // Without a terminal to ask at.
        let mut command = Command::new("setsid");
        command.arg("--wait").arg(daemon::program());
        command
            .args(["streams", "web1", "--host", &away.address, "--user", user])
            .args(&words);
        command
            .env("HOME", away.folder().join("home"))
            .env_remove("XDG_CONFIG_HOME");
        let output = command.stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            !output.status.success() && said.contains(wanted),
            "{user} {words:?} was told: {said}"
        );
    }
    Ok(())
}

/// Who may only watch does not type.
fn intruder(away: &Away<'_>, watcher: &Process) -> Result<()> {
    away.run("bob", &["console", "web1"], "echo INTRUDER\r")?;
    wait::while_true(wait::seconds(1), || {
        ensure!(!watcher.output().contains("INTRUDER"), "bob typed");
        Ok(())
    })
}

/// A client that stops reading delays neither the guest nor others, and has all of it in the end: its output is less
/// than what is kept.
fn slow(away: &Away<'_>, typist: &mut Typist, watcher: &Process) -> Result<f64> {
    let mut stopped = Process::start(
        &away.command("bob", &["console", "web1", "--follow"]),
        &away.folder().join("stopped.log"),
        "",
    )?;
    said(&stopped, "REMOTE\r\n> ")?;
    stopped.suspend()?;
    let started = std::time::Instant::now();
    typist.types(&format!("seq 1 {LINES}; echo DO''NE\r"))?;
    said(watcher, "DONE\r\n> ")?;
    let took = started.elapsed().as_secs_f64();
    let wanted: String = (1..=LINES).map(|number| format!("{number}\r\n")).collect();
    ensure!(watcher.output().contains(&wanted), "the watcher lacks a number");
    stopped.resume()?;
    said(&stopped, "DONE\r\n> ")?;
    ensure!(stopped.output().contains(&wanted), "who stopped lacks a number");
    Ok(took)
}

/// A stock client of a user who may use streams is offered the channel, says no, and sees the screen.
fn untouched(case: &Case, daemon: &Daemon) -> Result<()> {
    let declined = "the client has no channel for streams";
    for kind in [Kind::FreeRdp2, Kind::FreeRdp3] {
        let before = daemon.process.output().matches(declined).count();
        let name = format!("{kind:?}");
        let mut client = viewer(case, &name, daemon, "alice#web1", kind, &["/gfx"])?;
        client.wait_for_any(&case.folder, wait::seconds(30), (640, 400))?;
        let after = daemon.process.output().matches(declined).count();
        ensure!(after == before + 1, "{name} declined {} times", after - before);
    }
    Ok(())
}

/// A stock FreeRDP with our helper: while it shows the screen, consoles beside it use its connection, one after the other.
fn helper(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = configure(
        case,
        &format!("admin_socket = {:?}\nrdp2tcp = true\n{GRANTS}", shop.socket),
    )?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    // The helper's socket is in the user's folder of such, which the client passes on.
    let runtime = case.sockets.path().join("run");
    fs::create_dir_all(&runtime)?;
    let words = format!(
        "/rdp2tcp:/usr/bin/env XDG_RUNTIME_DIR={} {} stream-helper",
        runtime.display(),
        daemon::program().display()
    );
    let mut client = viewer(case, "client", &daemon, "alice#web1", Kind::FreeRdp2, &["/gfx", &words])?;
    client.wait_for_any(&case.folder, wait::seconds(60), (640, 400))?;
    let near = |words: &[&str]| {
        let mut command = Command::new(daemon::program());
        command.args(words).env("XDG_RUNTIME_DIR", &runtime);
        command
    };
    wait::for_true(wait::seconds(30), "the helper has the list", || {
        client.process.check()?;
        let output = near(&["streams", "web1", "--json"]).output()?;
        let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        Ok(list[0]["stream"] == "serial1")
    })?;
    let watcher = shop.console("local", &["--follow"])?;
    let words = format!(
        "env XDG_RUNTIME_DIR={} {} console web1",
        runtime.display(),
        daemon::program().display()
    );
    let mut typist = Typist::start(&case.folder, "typist", &words)?;
    typist.types(&format!("seq 1 {LINES}; echo DO''NE\r"))?;
    said(&watcher, "DONE\r\n> ")?;
    let second = near(&["streams", "web1"]).output()?;
    let told = String::from_utf8_lossy(&second.stderr);
    ensure!(
        told.contains("another console uses"),
        "a second console was told: {told}"
    );
    typist.types("\r~.")?;
    wait::for_true(wait::seconds(10), "the typist leaves", || {
        Ok(typist.child.try_wait()?.is_some())
    })?;
    let kept = near(&["console", "web1", "--history"]).output()?;
    let kept = String::from_utf8_lossy(&kept.stdout);
    let wanted: String = (1..=LINES).map(|number| format!("{number}\r\n")).collect();
    ensure!(kept.contains(&wanted), "the history lacks a number");
    let other = near(&["streams", "web2"]).output()?;
    let told = String::from_utf8_lossy(&other.stderr);
    ensure!(
        told.contains("only the streams of web1"),
        "who wants web2 was told: {told}"
    );
    client.wait_for_any(&case.folder, wait::seconds(30), (640, 400))?;
    Ok(format!("{LINES} lines typed for and read back, {} B", kept.len()))
}

/// The product's commands, over RDP.
pub(super) struct Away<'a> {
    case: &'a Case,
    address: String,
    fingerprint: String,
    /// A file with it.
    password: String,
}

impl<'a> Away<'a> {
    pub(super) fn new(case: &'a Case, daemon: &Daemon) -> Result<Self> {
        let line = daemon.process.output();
        let line = line
            .lines()
            .find(|line| line.starts_with('{'))
            .context("no JSON line")?;
        let line: Value = serde_json::from_str(line)?;
        let fingerprint = line["certificate_sha256"].as_str().context("no fingerprint")?;
        let password = case.folder.join("password");
        fs::write(&password, format!("{PASSWORD}\n"))?;
        Ok(Self {
            case,
            address: daemon.address.clone(),
            fingerprint: fingerprint.to_owned(),
            password: password.to_str().context("a path that is no text")?.to_owned(),
        })
    }

    fn folder(&self) -> &std::path::Path {
        &self.case.folder
    }

    fn command(&self, user: &str, words: &[&str]) -> Command {
        let mut command = Command::new(daemon::program());
        command.args(words).args(["--host", &self.address, "--user", user]);
        command.args(["--password-file", &self.password, "--fingerprint", &self.fingerprint]);
        command
    }

    /// Such a command as one line of a shell.
    pub(super) fn line(&self, user: &str, words: &[&str]) -> String {
        let command = self.command(user, words);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    /// What it prints, and what it says besides.
    fn run(&self, user: &str, words: &[&str], input: &str) -> Result<(String, String)> {
        use std::io::Write;
        let mut command = self.command(user, words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child.stdin.take().context("no pipe")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "rdpmux {}: {said}", words.join(" "));
        Ok((String::from_utf8_lossy(&output.stdout).into_owned(), said))
    }

    fn does(&self, user: &str, words: &[&str]) -> Result<String> {
        Ok(self.run(user, words, "")?.0)
    }

    /// Alice at a terminal, who says yes to the certificate the first time and is not asked again.
    fn typist(&self, name: &str, words: &[&str]) -> Result<Typist> {
        let base = format!(
            "{} {} --host {} --user alice --password-file {}",
            daemon::program().display(),
            words.join(" "),
            self.address,
            self.password
        );
        let home = self.folder().join("home");
        fs::create_dir_all(&home)?;
        let known = home.join(".config/rdpmux/known_hosts");
        let log = fs::File::create(self.folder().join("trust.log"))?;
        let mut first = Command::new("script")
            .args(["-qfec", &base.replacen("console", "streams", 1), "/dev/null"])
            .env("HOME", &home)
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::piped())
            .stdout(log)
            .spawn()?;
        let mut keyboard = first.stdin.take().context("no pipe to the terminal")?;
        let answer = || fs::read_to_string(self.folder().join("trust.log")).unwrap_or_default();
        wait::for_true(wait::seconds(30), "the certificate is asked about", || {
            Ok(answer().contains("(yes/no)?"))
        })?;
        std::io::Write::write_all(&mut keyboard, b"yes\n")?;
        wait::for_true(wait::seconds(30), "it is remembered and used", || {
            Ok(first.try_wait()?.is_some()
                && fs::read_to_string(&known).is_ok_and(|text| text.contains(&self.fingerprint)))
        })?;
        ensure!(
            answer().contains(&self.fingerprint) && answer().contains("serial1"),
            "{}",
            answer()
        );
        Typist::start(self.folder(), name, &base)
    }
}

/// What the client counted.
#[derive(Debug)]
struct Bytes {
    received: u64,
    sent: u64,
    streamed_in: u64,
    streamed_out: u64,
}

impl Bytes {
    fn of(log: &str) -> Result<Self> {
        let figure = |name: &str| -> Result<u64> {
            let (_, rest) = log
                .rsplit_once(&format!("{name}: "))
                .with_context(|| format!("no {name} in {log}"))?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Ok(digits.parse()?)
        };
        Ok(Self {
            received: figure("received")?,
            sent: figure("sent")?,
            streamed_in: figure("streamed_in")?,
            streamed_out: figure("streamed_out")?,
        })
    }
}
