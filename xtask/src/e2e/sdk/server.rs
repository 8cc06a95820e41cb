//! The document's complete example, by its own command line, with every client and every way to secure a connection that it
//! knows: a picture, every kind of input printed, and nobody without the password.

use super::Example;
use crate::e2e::client::Kind;
use crate::e2e::process::Process;
use crate::e2e::report::{Case, Suite};
use crate::e2e::session::clipboard;
use crate::e2e::session::tone::Tone;
use crate::e2e::wait;
use anyhow::{Result, ensure};
use std::process::Command;

const LOGIN: [&str; 4] = ["--user", "admin", "--pass", "password"];
const SIZE: (usize, usize) = (1280, 720);

/// Client, its words for it, and `--sec` of the example.
const WAYS: [(&str, Kind, &[&str], &str); 8] = [
    ("freerdp2", Kind::FreeRdp2, &["/sec:rdp"], "none"),
    ("freerdp3", Kind::FreeRdp3, &["/sec:rdp"], "none"),
    ("rdesktop", Kind::Rdesktop, &["-a", "32", "-e"], "none"),
    ("freerdp2", Kind::FreeRdp2, &["/sec:tls"], "tls"),
    ("freerdp2", Kind::FreeRdp2, &["/sec:nla"], "hybrid"),
    ("freerdp3", Kind::FreeRdp3, &["/sec:tls"], "tls"),
    ("freerdp3", Kind::FreeRdp3, &["/sec:nla"], "hybrid"),
    ("rdesktop", Kind::Rdesktop, &["-a", "32"], "tls"),
];

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for (name, kind, more, security) in WAYS {
        let body = move |case: &Case| picture_and_input(case, kind, more, security);
        suite.case(&format!("server example, {name}, {security}"), body);
    }
    suite.case("server example, wrong password", wrong_password);
    suite.case("server example, its tone", tone);
    for (name, kind) in [("freerdp2", Kind::FreeRdp2), ("freerdp3", Kind::FreeRdp3)] {
        suite.case(
            &format!("server example, its clipboard and echo, {name}"),
            move |case| clipboard_and_echo(case, kind),
        );
    }
}

/// What the program offers is pasted on the client's screen, what is copied there is printed, and so are round trips.
fn clipboard_and_echo(case: &Case, kind: Kind) -> Result<String> {
    let mut example = Example::start(case, "server", &[&LOGIN[..], &["--sec", "tls"]].concat())?;
    let mut client = example.client(case, "client", kind, SIZE, &["/sec:tls", "+clipboard", "/echo"])?;
    client.wait_for_any(&case.folder, wait::seconds(40), SIZE)?;
    clipboard::wait_for_pasted(&client, "UTF8_STRING", b"Good day from rdpmux-server!")?;
    let text = "Grüße, € 日本 😀";
    let _copied = clipboard::Copied::new(case, &client.display, "UTF8_STRING", text.as_bytes())?;
    example.wait_for(&[&format!("Clipboard: text {text:?}"), "Echo: s1, "])?;
    client.process.check()?;
    Ok("text both ways, round trips printed".to_owned())
}

/// A light viewer hears it.
fn tone(case: &Case) -> Result<String> {
    let mut example = Example::start(case, "server", &[&LOGIN[..], &["--sec", "tls"]].concat())?;
    let recording = case.folder.join("heard.pcm");
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["light", &example.address, LOGIN[1], LOGIN[3], "--hear", "--recording"]);
    let mut listener = Process::start(command.arg(&recording), &case.folder.join("light.log"), "")?;
    wait::for_true(wait::seconds(40), "three seconds of sound are heard", || {
        listener.check()?;
        Ok(std::fs::metadata(&recording).is_ok_and(|file| file.len() > 3 * 192_000))
    })?;
    listener.end();
    example.wait_for(&["Sound: start", "Sound: stop"])?;
    let tone = Tone::of_file(&recording, 48_000)?;
    ensure!((tone.hertz - 440.0).abs() < 9.0, "{tone:?}");
    Ok(format!("{:.1} Hz", tone.hertz))
}

fn picture_and_input(case: &Case, kind: Kind, more: &[&str], security: &str) -> Result<String> {
    let mut example = Example::start(case, "server", &[&LOGIN[..], &["--sec", security]].concat())?;
    let mut client = example.client(case, "client", kind, SIZE, more)?;
    let picture = client.wait_for(&case.folder, wait::seconds(40), "shows rectangles", SIZE, |picture| {
        picture.colors(20) >= 20
    })?;
    picture.save(&case.folder.join("client.png"))?;
    client.display.point(300, 400)?;
    client.display.keys(&["a", "Right"])?;
    for button in 1..=5 {
        client.display.click(button)?;
    }
    example.wait_for(&[
        "Move { x: 300, y: 400 }",
        "Pressed { code: 30, extended: false }",
        "Released { code: 30, extended: false }",
        "Pressed { code: 77, extended: true }",
        "Released { code: 77, extended: true }",
        "LeftPressed",
        "LeftReleased",
        "MiddlePressed",
        "MiddleReleased",
        "RightPressed",
        "RightReleased",
        "VerticalScroll { value: 1",
        "VerticalScroll { value: -1",
    ])?;
    client.process.check()?;
    Ok("rectangles shown, keys, buttons and wheel printed".to_owned())
}

fn wrong_password(case: &Case) -> Result<String> {
    for (security, more) in [("tls", "/sec:tls"), ("hybrid", "/sec:nla")] {
        let example = Example::start(
            case,
            "server",
            &["--user", "admin", "--pass", "other", "--sec", security],
        )?;
        let mut client = example.client(case, security, Kind::FreeRdp2, SIZE, &[more])?;
        let said = client.wait_for_end(wait::seconds(30))?;
        ensure!(
            !example.process.output().contains("keyboard"),
            "input of a stranger: {said}"
        );
    }
    Ok("refused inside TLS and by NLA".to_owned())
}
