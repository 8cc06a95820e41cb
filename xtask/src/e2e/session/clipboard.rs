//! The clipboard between two FreeRDP clients, each on a screen of its own, and a guest with an agent; policy; pasting as
//! typing into a console that has none. What is copied and pasted in the clients goes through xclip.
//!
//! The guest's agent is our own here (`guests/kms`): it watches the rule for serials. `agent` has SPICE's, `files` what is
//! no text.

use crate::e2e::client::{Client, Kind};
use crate::e2e::daemon::Daemon;
use crate::e2e::display::Display;
use crate::e2e::qemu::{PASSWORD, configure, serve, viewer};
use crate::e2e::report::{Case, Named, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::{process, wait};
use anyhow::{Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    for kind in [Kind::FreeRdp2, Kind::FreeRdp3] {
        suite.case(&format!("clipboard between viewers, {kind:?}"), |case| {
            between(case, kind)
        });
    }
    suite.case("clipboard with a guest", guest);
    let pastes = ["us", "us-intl", "fr"].map(|keyboard| -> Named<'_> {
        let name = format!("paste as typing, {keyboard}");
        (name, Box::new(move |case| typing(case, keyboard)))
    });
    suite.together(pastes.into());
}

pub(super) const MACHINE: &str = "web1";
pub(super) const AGENT: [&str; 6] = [
    "-chardev",
    "qemu-vdagent,id=vd,name=vdagent,clipboard=on",
    "-device",
    "virtio-serial-pci",
    "-device",
    "virtserialport,chardev=vd,name=com.redhat.spice.0",
];

/// carol may bring text in, dave everything, and neither may take anything out.
const ONE_WAY: &str = r#"
[[grant]]
users = ["carol"]
vms = ["*"]
rights = ["control"]
clipboard = "in"
clipboard_kinds = ["text"]

[[grant]]
users = ["dave"]
vms = ["*"]
rights = ["control"]
clipboard = "in"
"#;

/// What somebody copied on a screen; it is offered as long as this lives.
pub(in crate::e2e) struct Copied {
    _xclip: process::Process,
}

impl Copied {
    pub(in crate::e2e) fn new(case: &Case, display: &Display, kind: &str, content: &[u8]) -> Result<Self> {
        let number = display.name().trim_start_matches(':').to_owned();
        let file = case.folder.join(format!("copied-{number}"));
        fs::write(&file, content)?;
        let mut xclip = Command::new("xclip");
        xclip
            .args(["-quiet", "-in", "-selection", "clipboard", "-target", kind])
            .arg(&file)
            .env("DISPLAY", display.name());
        let log = case.folder.join(format!("xclip-{number}.log"));
        let xclip = process::Process::start(&xclip, &log, "")?;
        // FreeRDP asks xclip what it has and for the content by the same property: whoever pastes in the same moment makes
        // it announce nothing.
        std::thread::sleep(std::time::Duration::from_millis(1500));
        Ok(Self { _xclip: xclip })
    }
}

/// What would be pasted on a screen.
pub(super) fn pasted(display: &Display, kind: &str) -> Vec<u8> {
    let mut xclip = Command::new("timeout");
    xclip
        .args(["5", "xclip", "-out", "-selection", "clipboard", "-target", kind])
        .env("DISPLAY", display.name());
    xclip.output().map(|output| output.stdout).unwrap_or_default()
}

pub(in crate::e2e) fn wait_for_pasted(client: &Client, kind: &str, content: &[u8]) -> Result<()> {
    let what = format!("{kind} of {} bytes can be pasted", content.len());
    wait::for_true(
        wait::seconds(20),
        &what,
        || Ok(pasted(&client.display, kind) == content),
    )
}

pub(super) fn connect(case: &Case, name: &str, daemon: &Daemon, user: &str, kind: Kind) -> Result<Client> {
    let mut client = viewer(case, name, daemon, user, kind, &["+clipboard"])?;
    client.wait_for_any(&case.folder, wait::seconds(30), (1280, 800))?;
    Ok(client)
}

/// A configuration with carol and dave in it.
pub(super) fn configuration(case: &Case, more: &str) -> Result<PathBuf> {
    let config = configure(case, &format!("{more}{ONE_WAY}"))?;
    for user in ["carol", "dave"] {
        crate::e2e::daemon::add_user(&config, user, PASSWORD)?;
    }
    Ok(config)
}

fn between(case: &Case, kind: Kind) -> Result<String> {
    let config = configuration(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let _vm = Vm::start(case, MACHINE, Qemu::V10, &Guest::Kms("rdpmux.scene=idle"), &[])?;
    daemon.wait_for_machine(MACHINE)?;
    let alice = connect(case, "alice", &daemon, "alice", kind)?;
    let bob = connect(case, "bob", &daemon, "bob", kind)?;
    let text = "Grüße, € 日本 😀\nzweite Zeile\n".as_bytes();
    let copied = Copied::new(case, &alice.display, "UTF8_STRING", text)?;
    wait_for_pasted(&bob, "UTF8_STRING", text)?;
    let long = "0123456789abcdef\n".repeat(60_000);
    let _back = Copied::new(case, &bob.display, "UTF8_STRING", long.as_bytes())?;
    wait_for_pasted(&alice, "UTF8_STRING", long.as_bytes())?;
    drop(copied);
    let picture = bitmap(0);
    let _picture = Copied::new(case, &alice.display, "image/bmp", &picture)?;
    wait::for_true(wait::seconds(20), "the picture can be pasted", || {
        Ok(has_same_pixels(&pasted(&bob.display, "image/bmp"), &picture))
    })?;
    one_way(case, &daemon, kind, &bob, &picture)?;
    audited(&daemon)?;
    Ok("text both ways, 1 MB of it, a picture; one way is one way".to_owned())
}

/// carol brings text in and gets nothing out; a viewer without control does neither.
fn one_way(case: &Case, daemon: &Daemon, kind: Kind, bob: &Client, picture: &[u8]) -> Result<()> {
    let carol = connect(case, "carol", daemon, "carol", kind)?;
    let victor = connect(case, "victor", daemon, "victor", kind)?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    for client in [&carol, &victor] {
        ensure!(pasted(&client.display, "image/bmp").is_empty(), "the picture got out");
        ensure!(pasted(&client.display, "UTF8_STRING").is_empty(), "text got out");
    }
    let _ignored = Copied::new(case, &victor.display, "UTF8_STRING", b"of a spectator")?;
    std::thread::sleep(std::time::Duration::from_secs(2));
    ensure!(
        has_same_pixels(&pasted(&bob.display, "image/bmp"), picture),
        "a spectator took the clipboard"
    );
    let _copied = Copied::new(case, &carol.display, "UTF8_STRING", b"of carol")?;
    wait_for_pasted(bob, "UTF8_STRING", b"of carol")
}

/// The log has sizes and users, and nothing of what was copied.
fn audited(daemon: &Daemon) -> Result<()> {
    let log = daemon.process.output();
    ensure!(
        log.contains("rdpmux::audit") && log.contains("kind=\"images\""),
        "no audit line for the picture"
    );
    ensure!(
        !log.contains("zweite Zeile") && !log.contains("of carol"),
        "the log has content"
    );
    Ok(())
}

fn guest(case: &Case) -> Result<String> {
    let config = configuration(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, MACHINE, Qemu::V10, &Guest::Kms("rdpmux.scene=idle"), &AGENT)?;
    daemon.wait_for_machine(MACHINE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    vm.wait_for(wait::seconds(30), "AGENT")?;
    let alice = connect(case, "alice", &daemon, "alice", Kind::FreeRdp2)?;
    let bob = connect(case, "bob", &daemon, "bob", Kind::FreeRdp3)?;
    for round in 1..=2 {
        let text = format!("of alice {round}: Grüße, 日本\nline two\n");
        let _copied = Copied::new(case, &alice.display, "UTF8_STRING", text.as_bytes())?;
        let quoted = format!("PASTED {text:?}");
        wait::for_true(wait::seconds(30), "the guest pastes what alice copied", || {
            vm.process.check()?;
            alice.display.keys(&["F7"])?;
            std::thread::sleep(std::time::Duration::from_millis(500));
            Ok(vm.serial().contains(&quoted))
        })?;
        alice.display.keys(&["F6"])?;
        let text = format!("copy {round} of the guest: Grüße, 日本\nline two\n");
        wait_for_pasted(&alice, "UTF8_STRING", text.as_bytes())?;
        wait_for_pasted(&bob, "UTF8_STRING", text.as_bytes())?;
    }
    ensure!(!vm.serial().contains("STALE"), "a grab had the wrong serial");
    Ok("text both ways, twice, no grab with a wrong serial".to_owned())
}

/// Into a Linux console with Debian's own table of the keyboard, loaded by its own program.
fn typing(case: &Case, keyboard: &'static str) -> Result<String> {
    // Without a word about the guest's keyboard it is taken to be the client's.
    let settings = match keyboard {
        "us" => String::new(),
        _ => format!("layout = {keyboard:?}\n"),
    };
    let config = configuration(case, &settings)?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, MACHINE, Qemu::V10, &Guest::Typist(keyboard), &[])?;
    daemon.wait_for_machine(MACHINE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let alice = connect(case, "alice", &daemon, "alice", Kind::FreeRdp2)?;
    let text = lines(keyboard);
    let _copied = Copied::new(case, &alice.display, "UTF8_STRING", text.as_bytes())?;
    let started = std::time::Instant::now();
    std::thread::sleep(std::time::Duration::from_secs(1));
    alice.display.keys(&["ctrl+alt+shift+v"])?;
    let typed = |vm: &Vm| {
        let said = vm.serial().replace('\r', "");
        let lines = said.lines().filter_map(|line| line.strip_prefix("LINE "));
        lines.fold(String::new(), |all, line| all + line + "\n")
    };
    wait::for_true(wait::seconds(150), "all that is pasted arrives in the guest", || {
        vm.process.check()?;
        Ok(typed(&vm).lines().count() >= text.lines().count())
    })?;
    let arrived = typed(&vm);
    fs::write(case.folder.join("typed.txt"), &arrived)?;
    fs::write(case.folder.join("pasted.txt"), &text)?;
    ensure!(
        arrived == text,
        "the guest read another text: typed.txt is not pasted.txt"
    );
    Ok(format!(
        "{} characters, every one right, in {:.0} s",
        text.chars().count(),
        started.elapsed().as_secs_f32()
    ))
}

/// All signs of ASCII, and what a keyboard has besides, by keys of its own and by dead ones: 2,000 characters, and on a US
/// keyboard, which has nothing else, 300.
fn lines(keyboard: &str) -> String {
    let ascii: String = (' '..='~').collect();
    let line = match keyboard {
        // Quotation marks, grave, circumflex and tilde are dead keys.
        "us-intl" => format!("{ascii}àèìòù ÀÈÌÒÙ âêîôû ÂÊÎÔÛ ëïÿ ËÏ ãõ ÃÕ ñÑ íúÍÚ ¡¿€® \"a\" 'e' `i` ^o^ ~n~"),
        // Debian's table has the grave as a dead key, for Windows it is one, X types it at once.
        "fr" => format!(
            "{}éèàçù§°µ£€ âêîôû ÂÊÎÔÛ äëïöüÿ ÄËÏÖÜ ^ {{[|\\^@]}}#~ l'été où ça naît",
            ascii.replace('`', "")
        ),
        _ => ascii,
    };
    let count = if keyboard == "us" { 300 } else { 2000 };
    let mut text = String::new();
    while text.chars().count() < count {
        text += &line;
        text.push('\n');
    }
    text
}

/// A bitmap of 40 by 30 pixels as X clients offer it; another one for each `seed`.
pub(super) fn bitmap(seed: u32) -> Vec<u8> {
    let (width, height) = (40u32, 30u32);
    let size = width * height * 4;
    let mut out = b"BM".to_vec();
    for word in [54 + size, 0, 54, 40, width, height] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&[1, 0, 32, 0]);
    for word in [0, size, 2835, 2835, 0, 0] {
        out.extend_from_slice(&u32::to_le_bytes(word));
    }
    out.extend((0..size).map(|at| ((at + seed) * 7 % 251) as u8));
    out
}

/// Headers may be written anew on the way.
pub(super) fn has_same_pixels(found: &[u8], wanted: &[u8]) -> bool {
    found.len() >= wanted.len() && found.ends_with(&wanted[54..])
}
