//! Ctrl+Alt+Shift+N within a session: from a machine's screen to its serial port and back, in the pipelines of stock clients.

use super::heads::{history, said, selects, shows, size, status, types};
use super::{DEVICE, GRANTS, Shop};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::clients::Fidelity;
use crate::e2e::daemon::Daemon;
use crate::e2e::qemu::{PASSWORD, compare_at_rest, configure, serve, viewer};
use crate::e2e::report::{Case, Suite};
use crate::e2e::session::proxy::{Cut, Proxy};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Result, ensure};

/// Adds the case of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a chord goes from the screen to its serial port and back", chord);
    suite.case("who went by the chord comes back there", cut);
}

const NEXT: &str = "ctrl+alt+shift+n";

/// A machine with a screen and a serial port.
fn start(case: &Case, shop: &Shop) -> Result<(Daemon, Vm)> {
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", Qemu::V10, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_desktop("web1/serial1")?;
    Ok((daemon, vm))
}

fn chord(case: &Case) -> Result<String> {
    let shop = Shop::new(case);
    let (daemon, mut vm) = start(case, &shop)?;
    let mut screen = |client: &mut Client, name: &str| compare_at_rest(case, client, name, Fidelity::Exact, &mut vm);
    // Who may see no serial port stays where he is, and so does the picture of all others.
    let mut victor = viewer(case, "victor", &daemon, "victor#web1", Kind::FreeRdp3, &["/gfx"])?;
    screen(&mut victor, "victor")?;
    let ways: [(&str, Kind, &[&str]); 3] = [
        ("gfx3", Kind::FreeRdp3, &["/gfx", "+clipboard"]),
        ("gfx2", Kind::FreeRdp2, &["/gfx", "+clipboard", "/dynamic-resolution"]),
        (
            "bitmap2",
            Kind::FreeRdp2,
            &["/bpp:24", "/sec:tls", "/dynamic-resolution"],
        ),
    ];
    for (turn, (name, kind, options)) in ways.into_iter().enumerate() {
        let shared = shares(&daemon);
        let mut alice = viewer(case, name, &daemon, "alice#web1", kind, options)?;
        screen(&mut alice, &format!("{name}-before"))?;
        go(&alice)?;
        shows(case, &shop, &mut alice, &status("web1/serial1", ""))?;
        ensure!(
            shop.does(&["sessions"])?.contains("web1/serial1"),
            "the list of sessions does not say where alice is"
        );
        types(&alice, &format!("echo who: root, $((40+{turn}))"))?;
        said(&shop, &format!("\r\nwho: root, {}\r\n", 40 + turn))?;
        let typed = status("web1/serial1", "typed from this screen");
        shows(case, &shop, &mut alice, &typed)?.save(&case.folder.join(format!("{name}-there.png")))?;
        if options.contains(&"+clipboard") {
            selects(&alice, &history(&shop)?, &format!("who: root, {}", 40 + turn))?;
        }
        go(&alice)?;
        screen(&mut alice, &format!("{name}-back"))?;
        if name == "gfx3" {
            // As victor's client is: with his stream at first, and again now.
            wait::for_true(wait::seconds(20), "alice shares victor's frames again", || {
                Ok(shares(&daemon) >= shared + 2)
            })?;
        }
        go(&victor)?;
        screen(&mut victor, "victor")?;
    }
    ensure!(
        !shop.does(&["sessions"])?.contains("serial1"),
        "nobody is at the serial port any more"
    );
    Ok("FreeRDP 3, FreeRDP 2 and FreeRDP 2 without the graphics pipeline, there and back, 0 pixels differ; not without the right".to_owned())
}

/// The link of a client is cut after the chord, and it comes back by itself.
fn cut(case: &Case) -> Result<String> {
    let shop = Shop::new(case);
    let (daemon, mut vm) = start(case, &shop)?;
    let proxy = Proxy::start(&daemon.address)?;
    let config = Config {
        kind: Kind::FreeRdp3,
        address: &proxy.address,
        user: "alice#web1",
        password: PASSWORD,
        size: (1280, 800),
        more: &["/gfx", "+auto-reconnect"],
        host: None,
    };
    let mut alice = Client::start(&case.folder, "alice", &config)?;
    compare_at_rest(case, &mut alice, "before", Fidelity::Exact, &mut vm)?;
    go(&alice)?;
    shows(case, &shop, &mut alice, &status("web1/serial1", ""))?;
    proxy.cut(Cut::Both, wait::seconds(2))?;
    wait::for_true(wait::seconds(25), "the client comes back", || {
        alice.process.check()?;
        Ok(daemon.process.output().contains("desktop=web1/serial1 lost="))
    })?;
    types(&alice, "echo back: $((50+1))")?;
    said(&shop, "\r\nback: 51\r\n")?;
    let typed = status("web1/serial1", "typed from this screen");
    shows(case, &shop, &mut alice, &typed)?.save(&case.folder.join("back.png"))?;
    Ok("0 pixels differ, and what was typed was typed there".to_owned())
}

/// How often a session came to share frames with another.
fn shares(daemon: &Daemon) -> usize {
    daemon.process.output().matches("shares its frames").count()
}

fn go(client: &Client) -> Result<()> {
    client.display.point(size().0 / 2, size().1 / 2)?;
    client.display.keys(&[NEXT])
}
