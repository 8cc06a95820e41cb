//! Ctrl+Alt+Shift+N within a session: from a machine's screen to its serial port and back, in the pipelines of stock clients.

use super::heads::{history, said, selects, shows, size, status, types};
use super::{DEVICE, GRANTS, Shop};
use crate::e2e::client::{Client, Kind};
use crate::e2e::clients::Fidelity;
use crate::e2e::qemu::{compare_at_rest, configure, serve, viewer};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Result, ensure};

/// Adds the case of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a chord goes from the screen to its serial port and back", chord);
}

const NEXT: &str = "ctrl+alt+shift+n";

fn chord(case: &Case) -> Result<String> {
    let shop = Shop::new(case);
    let config = configure(case, &format!("admin_socket = {:?}\n{GRANTS}", shop.socket))?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, "web1", Qemu::V10, &Guest::Shell, &DEVICE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    daemon.wait_for_desktop("web1/serial1")?;
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
        go(&victor)?;
        screen(&mut victor, "victor")?;
    }
    ensure!(
        !shop.does(&["sessions"])?.contains("serial1"),
        "nobody is at the serial port any more"
    );
    Ok("FreeRDP 3, FreeRDP 2 and FreeRDP 2 without the graphics pipeline, there and back, 0 pixels differ; not without the right".to_owned())
}

fn go(client: &Client) -> Result<()> {
    client.display.point(size().0 / 2, size().1 / 2)?;
    client.display.keys(&[NEXT])
}
