//! Text heads: a serial port on the screen of a stock client, pixel by pixel what an emulator makes of what was said.

use super::remote::Away;
use super::{DEVICE, GRANTS, Shop, Typist};
use crate::e2e::client::{Client, Kind};
use crate::e2e::picture::Picture;
use crate::e2e::qemu::{configure, serve, viewer};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use rdpmux_model::Size;
use rdpmux_terminal::{Grid, Painter, Place, Status, Terminal};
use std::io::Write;
use std::process::{Command, Stdio};

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for qemu in Qemu::ALL {
        let name = format!("{}: a serial shell as a desktop", qemu.label());
        suite.case(&name, move |case| head(case, qemu));
        let name = format!("{}: a login on ttyS0 of a machine without a screen", qemu.label());
        suite.case(&name, move |case| login(case, qemu));
    }
}

/// What the last line says when somebody types.
const TYPED: &str = "typed from this screen";
/// The windows of the viewers, for which a console is painted.
const AREA: Size = Size {
    width: 1280,
    height: 800,
};

fn head(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", qemu, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_desktop("web1/serial1")?;
    let line = |right| status("web1/serial1", right);
    let open = |name, user: &str, more: &[&str]| {
        let user = format!("{user}#web1/serial1");
        viewer(case, name, &daemon, &user, Kind::FreeRdp3, more)
    };
    let mut alice = open("alice", "alice", &["/gfx"])?;
    shows(case, &shop, &mut alice, &line(""))?;
    let mut bob = open("bob", "bob", &["/gfx"])?;
    shows(case, &shop, &mut bob, &line(""))?;
    // He may only watch.
    types(&bob, "echo INTRUDER")?;
    types(&alice, "echo $((6*7)) \"Shift\" it\\'s")?;
    said(&shop, "\r\n42 Shift it's\r\n")?;
    let typed = line(TYPED);
    shows(case, &shop, &mut alice, &typed)?;
    types(&alice, "printf '\\033[1;33m%s\\033[0m\\033(0lqqk\\033(B\\n' bold")?;
    said(&shop, "bold")?;
    for client in [&mut alice, &mut bob] {
        shows(case, &shop, client, &typed)?;
    }
    ensure!(!history(&shop)?.contains("INTRUDER"), "who may watch only has typed");
    let mut victor = open("victor", "victor", &["/gfx"])?;
    let end = victor.wait_for_end(wait::seconds(20))?;
    ensure!(
        end.contains("LOGON_") || end.contains("ERRINFO_"),
        "victor was told: {end}"
    );
    shows(case, &shop, &mut alice, &typed)?.save(&case.folder.join("head.png"))?;
    Ok("two viewers, 0 pixels differ from an emulator's; one types; no right, no desktop".to_owned())
}

/// A machine without a screen is its serial port, where somebody logs in from a stock client.
fn login(case: &Case, qemu: Qemu) -> Result<String> {
    let shop = Shop::new(case);
    let sockets = case.sockets.path().join("streams");
    let outlets = format!("[streams]\nsocket_dir = {sockets:?}\n");
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}{outlets}", shop.socket))?;
    let daemon = serve(case, &config, &[])?;
    let port = ["-chardev", "dbus,id=serial0,name=org.qemu.console.serial.0"];
    let devices = [&port[..], &["-serial", "chardev:serial0"]].concat();
    let _vm = Vm::start(case, "web1", qemu, &Guest::Login, &devices)?;
    daemon.wait_for_desktop("web1/serial0")?;
    let line = |right| status("web1/serial0", right);
    let open = |name, user: &str| viewer(case, name, &daemon, user, Kind::FreeRdp3, &["/gfx", "+clipboard"]);
    let mut alice = open("alice", "alice#web1")?;
    let mut bob = open("bob", "bob#web1/serial0")?;
    said(&shop, "vault login: ")?;
    types(&bob, "INTRUDER")?;
    types(&alice, "root")?;
    said(&shop, "login: root\r\nPassword: ")?;
    types(&alice, "Sesam-7")?;
    said(&shop, "# ")?;
    types(&alice, "echo who: $(whoami), $((6*7))")?;
    said(&shop, "\r\nwho: root, 42\r\n")?;
    for client in [&mut alice, &mut bob] {
        shows(case, &shop, client, &line(TYPED))?;
    }
    shows(case, &shop, &mut alice, &line(TYPED))?.save(&case.folder.join("login.png"))?;
    let history = history(&shop)?;
    let is_quiet = ["INTRUDER", "Sesam"].iter().all(|word| !history.contains(word));
    ensure!(is_quiet, "what must not be there: {history}");
    selects(&alice, &history, "who: root, 42")?;
    types(&alice, "exit")?;
    drop((alice, bob));
    let away = Away::new(case, &daemon)?.line("alice", &["console", "web1", "--take-over"]);
    let mut typist = Typist::start(&case.folder, "away", &away)?;
    logs_in(&shop, 2, |text| typist.types(text))?;
    drop(typist);
    let mut socat = Command::new("socat")
        .args(["-", &format!("UNIX-CONNECT:{}", sockets.join("web1/serial0").display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    let mut keyboard = socat.stdin.take().context("no pipe to socat")?;
    let logged_in = logs_in(&shop, 3, |text| Ok(keyboard.write_all(text.as_bytes())?));
    drop(keyboard);
    socat.wait()?;
    logged_in?;
    Ok("root logged in from FreeRDP's keyboard, by a console over RDP and by socat; who may watch did not; a selection is on the \
        client's clipboard"
        .to_owned())
}

/// Root logs in and out for the `turn`th time.
fn logs_in(shop: &Shop, turn: usize, mut types: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let times = |what: &str, turn: usize| {
        wait::for_true(wait::seconds(30), &format!("{what:?}, {turn} times"), || {
            Ok(history(shop)?.matches(what).count() >= turn)
        })
        .with_context(|| format!("it said {:?}", history(shop).unwrap_or_default()))
    };
    times("vault login: ", turn)?;
    types("root\r")?;
    times("Password: ", turn)?;
    let prompts = history(shop)?.matches("# ").count();
    types("Sesam-7\r")?;
    times("# ", prompts + 1)?;
    types(&format!("echo turn $((10*{turn}+7))\r"))?;
    times(&format!("\r\nturn {turn}7\r\n"), 1)?;
    types("exit\r")?;
    times("vault login: ", turn + 1)
}

/// Drags over a whole line; it can be pasted on the client's screen.
pub(super) fn selects(client: &Client, history: &str, line: &str) -> Result<()> {
    let mut terminal = Terminal::new(Grid::USUAL);
    let last = u16::try_from(line.len() - 1)?;
    terminal.feed(history.as_bytes());
    let row = (0..Grid::USUAL.rows()).find(|row| {
        let place = |column| Place { row: *row, column };
        terminal.select(place(0), place(last));
        terminal.selected_text().as_deref() == Some(line)
    });
    let row = row.context("the answer is not on the screen")?;
    let (width, height) = size();
    let rows = usize::from(Grid::USUAL.rows()) + 1;
    let y = height * (2 * usize::from(row) + 1) / (2 * rows);
    let x = |column: usize| (width * (2 * column + 1) / (2 * usize::from(Grid::USUAL.columns()))).to_string();
    let y = y.to_string();
    let drag = [
        "mousemove",
        &x(0),
        &y,
        "mousedown",
        "1",
        "sleep",
        "0.2",
        "mousemove",
        &x(usize::from(last)),
        &y,
    ];
    client.display.xdotool(&drag)?;
    client.display.xdotool(&["sleep", "0.2", "mouseup", "1"])?;
    wait::for_true(wait::seconds(30), "the selection can be pasted", || {
        let mut xclip = Command::new("timeout");
        xclip.args([
            "5",
            "xclip",
            "-out",
            "-selection",
            "clipboard",
            "-target",
            "UTF8_STRING",
        ]);
        let pasted = xclip.env("DISPLAY", client.display.name()).output()?.stdout;
        Ok(pasted == line.as_bytes())
    })
}

pub(super) fn status(left: &str, right: &str) -> Status {
    Status {
        left: left.to_owned(),
        right: right.to_owned(),
    }
}

/// A line, with the Enter key.
pub(super) fn types(client: &Client, text: &str) -> Result<()> {
    client.display.point(300, 300)?;
    client.display.type_text(text)?;
    client.display.xdotool(&["key", "Return"])
}

pub(super) fn history(shop: &Shop) -> Result<String> {
    shop.does(&["console", "web1", "--history"])
}

pub(super) fn said(shop: &Shop, what: &str) -> Result<()> {
    wait::for_true(wait::seconds(30), &format!("the guest says {what:?}"), || {
        Ok(history(shop)?.contains(what))
    })
    .with_context(|| format!("it said {:?}", history(shop).unwrap_or_default()))
}

/// Waits until the client shows what the emulator makes of all that the guest said.
pub(super) fn shows(case: &Case, shop: &Shop, client: &mut Client, status: &Status) -> Result<Picture> {
    let (width, height) = size();
    client.wait_for(
        &case.folder,
        wait::seconds(30),
        "shows the terminal",
        (width, height),
        |seen| history(shop).is_ok_and(|text| seen.differing(&picture(&text, status)) == 0),
    )
}

pub(super) fn size() -> (usize, usize) {
    let size = Painter::new(AREA, Grid::USUAL).size();
    (size.width as usize, size.height as usize)
}

pub(super) fn picture(text: &str, status: &Status) -> Picture {
    let mut terminal = Terminal::new(Grid::USUAL);
    let mut painter = Painter::new(AREA, Grid::USUAL);
    terminal.feed(text.as_bytes());
    painter.paint(&terminal, status);
    let (width, height) = size();
    let pixels = painter.pixels().as_chunks::<4>().0.iter();
    Picture {
        width,
        height,
        pixels: pixels
            .map(|[blue, green, red, _]| u32::from_be_bytes([0, *red, *green, *blue]))
            .collect(),
    }
}
