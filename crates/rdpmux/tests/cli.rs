//! The built binary as people and programs use it: what it prints, how it ends, what it refuses.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn rdpmux(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdpmux"));
    command
        .args(arguments)
        .env_remove("RUST_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> Output {
    rdpmux(arguments).output().expect("start rdpmux")
}

fn with_input(arguments: &[&str], input: &str) -> Output {
    let mut child = rdpmux(arguments).stdin(Stdio::piped()).spawn().expect("start rdpmux");
    // A refusal may come before the input is read.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("wait")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// A running rdpmux, killed if the test fails.
struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        // A log that nobody reads could fill its pipe, so it goes to the test's own.
        let mut child = rdpmux(arguments)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("start rdpmux");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, out }
    }

    fn json_line(&mut self) -> Value {
        let mut line = String::new();
        self.out.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().try_into().expect("a pid")).expect("not 0");
        kill_process(pid, signal).expect("signal");
    }

    /// The exit code and what else was printed.
    fn end(&mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).expect("read");
        (self.child.wait().expect("wait").code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already ended unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(line: &Value) -> SocketAddr {
    line["address"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address")
}

fn write_config(directory: &Path, more: &str) -> String {
    let path = directory.join("rdpmux.toml");
    let text = format!("listen = \"127.0.0.1:0\"\nstate_dir = \"state\"\n[[discover]]\nqmp = \"*.qmp\"\n{more}");
    fs::write(&path, text).expect("write");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn demo_says_in_one_line_how_to_connect_and_ends_at_sigterm() {
    let files = tempfile::tempdir().expect("tempdir");
    let out = files.path().to_str().expect("UTF-8");
    let mut demo = Running::start(&["demo", "--json", "--listen", "127.0.0.1:0", "--out", out]);
    let line = demo.json_line();
    assert_eq!(line["certificate_sha256"].as_str().map(str::len), Some(64));
    let desktops = line["desktops"].as_array().expect("a list");
    let of = |entry: &Value| ["name", "user", "rights"].map(|key| entry[key].as_str().expect("text").to_owned());
    let entries: Vec<_> = desktops.iter().map(of).collect();
    let expected = [
        ["north", "alice", "control"],
        ["south", "alice", "control"],
        ["north", "guest", "view"],
        ["south", "guest", "view"],
    ];
    assert_eq!(entries, expected.map(|entry| entry.map(str::to_owned)));
    assert!(
        desktops
            .iter()
            .all(|entry| entry["password"].as_str().is_some_and(|password| password.len() >= 12))
    );

    let file = fs::read_to_string(files.path().join("south.rdp")).expect("file");
    assert!(
        file.contains(&format!("full address:s:{}\r\n", address(&line))) && file.contains("pcb:s:south\r\n"),
        "{file}"
    );
    TcpStream::connect(address(&line)).expect("connect");
    demo.signal(Signal::TERM);
    assert_eq!(demo.end(), (Some(0), String::new()));
}

#[test]
fn demo_prints_ready_made_client_lines_for_people() {
    let mut demo = Running::start(&["demo", "--listen", "127.0.0.1:0"]);
    let mut page = String::new();
    while !page.contains("Ctrl-C") {
        assert_ne!(demo.out.read_line(&mut page).expect("read"), 0, "{page}");
    }
    let after = |before: &str| {
        page.split(before)
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .unwrap_or_default()
            .to_owned()
    };
    let (address, password) = (
        after("Listening on ").trim_end_matches(',').to_owned(),
        after("user alice  password "),
    );
    let line = format!("xfreerdp /v:{address} /u:alice /p:{password} /pcb:north /gfx /cert:ignore");
    assert!(page.contains(&line), "{page}");
    assert!(
        page.contains(&format!("rdesktop -u 'alice#north' -p {password} {address}")),
        "{page}"
    );
    let file = after("mstsc ");
    assert!(Path::new(&file).exists(), "{file}");
    demo.signal(Signal::INT);
    assert_eq!(demo.end().0, Some(0));
    assert!(!Path::new(&file).exists(), "the files of a demo end with it");
}

#[test]
fn a_taken_port_is_69_and_says_what_to_change() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = taken.local_addr().expect("address").to_string();
    let refused = output(&["demo", "--listen", &address]);
    assert_eq!(refused.status.code(), Some(69));
    let message = text(&refused.stderr);
    assert!(
        message.contains(&format!("cannot listen on {address}: another program listens there")),
        "{message}"
    );
    assert!(message.contains("--listen"), "{message}");
}

#[test]
fn mistakes_on_the_command_line_and_in_the_configuration_are_64() {
    let directory = tempfile::tempdir().expect("tempdir");
    let config = write_config(directory.path(), "[[vm]]\nnam = \"web1\"\n");
    let cases: [(&[&str], &str); 6] = [
        (&["dmeo"], "demo"),
        (&["serve", "--config", "/nonexistent.toml"], "there is no such file"),
        (
            &["check", "--config", &config],
            "unknown key `nam` in [[vm]]; did you mean `name`?",
        ),
        (
            &["run", "--", "qemu-system-x86_64", "-display", "gtk"],
            "remove `-display gtk`",
        ),
        (
            &["run", "--listen", "127.0.0.1:0", "--", "/nonexistent/qemu"],
            "cannot start /nonexistent/qemu",
        ),
        (&["demo", "--log", "=="], "log filter"),
    ];
    for (arguments, message) in cases {
        let refused = output(arguments);
        assert_eq!(refused.status.code(), Some(64), "{arguments:?}");
        assert!(
            text(&refused.stderr).contains(message),
            "{arguments:?}: {}",
            text(&refused.stderr)
        );
    }
}

#[test]
fn help_has_every_setting_and_ends_with_0() {
    let help = output(&["serve", "--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(text(&help.stdout).contains("handshakes_per_address = 32"));
    assert_eq!(output(&["--help"]).status.code(), Some(0));
    assert!(text(&output(&["version"]).stdout).starts_with(&format!("rdpmux {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn users_are_kept_by_the_command() {
    let directory = tempfile::tempdir().expect("tempdir");
    let config = write_config(directory.path(), "");
    let user = |arguments: &[&str], input| with_input(&[&["user"], arguments, &["--config", &config]].concat(), input);
    assert!(user(&["add", "alice", "--password-stdin"], "one\n").status.success());
    assert!(user(&["add", "bob", "--password-stdin"], "two\n").status.success());
    let again = user(&["add", "Alice", "--password-stdin"], "three\n");
    assert_eq!(again.status.code(), Some(64));
    assert!(
        text(&again.stderr).contains("rdpmux user passwd Alice"),
        "{}",
        text(&again.stderr)
    );
    assert_eq!(
        user(&["passwd", "bob", "--password-stdin"], "\n").status.code(),
        Some(64),
        "an empty password"
    );
    assert_eq!(user(&["del", "carol"], "").status.code(), Some(64));
    assert!(user(&["del", "bob"], "").status.success());
    assert_eq!(text(&user(&["list"], "").stdout), "alice\n");
    let file = directory.path().join("state/users");
    assert_eq!(fs::metadata(&file).expect("file").permissions().mode() & 0o777, 0o600);
    // MD4 of "one" in UTF-16LE: what NTLM needs, never the password.
    assert!(!fs::read_to_string(&file).expect("text").contains("one\n"));
}

#[test]
fn serve_announces_itself_and_check_agrees_with_it() {
    let directory = tempfile::tempdir().expect("tempdir");
    let config = write_config(
        directory.path(),
        "[[grant]]\nusers = [\"alice\"]\nvms = [\"*\"]\nrights = [\"control\"]\n",
    );
    let mut serve = Running::start(&["serve", "--json", "--log", "warn", "--config", &config]);
    let line = serve.json_line();
    assert_eq!(line["desktops"], Value::Array(Vec::new()));
    TcpStream::connect(address(&line)).expect("connect");
    let check = output(&["check", "--config", &config]);
    let fingerprint = line["certificate_sha256"].as_str().expect("text");
    assert!(text(&check.stdout).contains(fingerprint), "{}", text(&check.stdout));
    assert!(
        text(&check.stdout).contains("a [[grant]] is for `alice`, but there is no such user"),
        "{}",
        text(&check.stdout)
    );
    assert_eq!(check.status.code(), Some(0));
    serve.signal(Signal::HUP);
    serve.signal(Signal::TERM);
    assert_eq!(serve.end().0, Some(0));

    fs::set_permissions(
        directory.path().join("state/key.pem"),
        fs::Permissions::from_mode(0o644),
    )
    .expect("chmod");
    let check = output(&["check", "--config", &config]);
    assert_eq!(check.status.code(), Some(64));
    assert!(text(&check.stdout).contains("chmod 0600"), "{}", text(&check.stdout));
}

#[test]
fn rdp_files_are_printed_for_desktops_of_the_configuration() {
    let directory = tempfile::tempdir().expect("tempdir");
    let config = write_config(directory.path(), "");
    let file = |more: &[&str]| output(&[&["rdp-file", "web1", "--config", &config], more].concat());
    assert_eq!(file(&[]).status.code(), Some(64), "port 0 is no address for clients");
    let made = file(&["--address", "consoles.example:3389", "--user", "alice"]);
    assert!(
        text(&made.stdout).starts_with("full address:s:consoles.example:3389\r\nusername:s:alice\r\npcb:s:web1\r\n")
    );
    assert_eq!(file(&["--address", "a\nb"]).status.code(), Some(64));
}

/// A stand-in for QEMU: a script that is given our options and ends as it is told.
fn fake_qemu(directory: &Path, script: &str) -> String {
    let path = directory.join("qemu");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("write");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("chmod");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn run_adds_the_display_and_ends_with_the_childs_status() {
    let directory = tempfile::tempdir().expect("tempdir");
    let qemu = fake_qemu(directory.path(), "echo \"$@\"; exit 3");
    let mut run = Running::start(&[
        "run",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--",
        &qemu,
        "-name",
        "web1",
        "-m",
        "1G",
    ]);
    assert_eq!(run.json_line()["desktops"][0]["name"], "web1");
    let (code, arguments) = run.end();
    assert_eq!(code, Some(3));
    assert!(
        arguments.starts_with("-name web1 -m 1G -display dbus,p2p=yes -qmp unix:/"),
        "{arguments}"
    );
    assert!(arguments.trim_end().ends_with("/qmp,server=on,wait=off"), "{arguments}");
    let socket = arguments
        .split("unix:")
        .nth(1)
        .and_then(|rest| rest.split(',').next())
        .expect("a path");
    assert!(
        !Path::new(socket).parent().expect("a directory").exists(),
        "the directory of the socket is gone"
    );
}

#[test]
fn run_asks_the_child_to_end_and_waits_for_it() {
    let directory = tempfile::tempdir().expect("tempdir");
    let qemu = fake_qemu(
        directory.path(),
        "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.1; done",
    );
    let mut run = Running::start(&["run", "--json", "--listen", "127.0.0.1:0", "--", &qemu]);
    assert_eq!(run.json_line()["desktops"][0]["name"], "vm");
    let mut ready = String::new();
    run.out.read_line(&mut ready).expect("read");
    assert_eq!(ready, "ready\n");
    run.signal(Signal::TERM);
    assert_eq!(run.end(), (Some(0), "asked\n".to_owned()));
}
