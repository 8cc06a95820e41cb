//! One port, many machines: the ways in which a client chooses a desktop, and what each user may do there.

use super::{PASSWORD, compare_at_rest, configure, serve, viewer, wait_for_dump};
use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::clients::Fidelity;
use crate::e2e::daemon::Daemon;
use crate::e2e::report::{Case, Suite};
use crate::e2e::text::Font;
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::{Context, Result, ensure};
use embedded_graphics::mono_font::ascii::FONT_10X20;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("three machines, selectors and rights", selectors);
    suite.case("unknown and forbidden names", refusals);
}

const SIZE: (usize, usize) = (1280, 800);

fn host_viewer(case: &Case, name: &str, daemon: &Daemon, user: &str, host: &str) -> Result<Client> {
    let config = Config {
        kind: Kind::FreeRdp2,
        address: &daemon.address,
        user,
        password: PASSWORD,
        size: SIZE,
        more: &["/gfx"],
        host: Some(host),
    };
    Client::start(&case.folder, name, &config)
}

fn selectors(case: &Case) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    // Started after the daemon: they are found while it runs.
    let mut web1 = Vm::start(case, "web1", Qemu::V7, &Guest::Kms("rdpmux.scene=idle"), &[])?;
    let mut web2 = Vm::start(case, "web2", Qemu::V10, &Guest::Memtest, &[])?;
    let mut web3 = Vm::start(
        case,
        "web3",
        Qemu::V10,
        &Guest::Kms("rdpmux.scene=idle rdpmux.mode=1024x768"),
        &[],
    )?;
    web1.wait_for(wait::seconds(120), "READY")?;
    web3.wait_for(wait::seconds(120), "READY")?;
    for name in ["web1", "web2", "web3"] {
        daemon.wait_for_machine(name)?;
    }
    let mut viewers = vec![
        (
            "pcb",
            viewer(
                case,
                "pcb",
                &daemon,
                "alice",
                Kind::FreeRdp3,
                &["/pcb:web1", "/gfx", "/sec:nla"],
            )?,
        ),
        (
            "user",
            viewer(case, "user", &daemon, "bob#web1", Kind::FreeRdp2, &["/gfx", "/sec:tls"])?,
        ),
        (
            "sni",
            host_viewer(case, "sni", &daemon, "bob", "web1.consoles.example")?,
        ),
        (
            "cookie",
            viewer(
                case,
                "cookie",
                &daemon,
                "alice",
                Kind::FreeRdp2,
                &["/load-balance-info:web1", "/gfx"],
            )?,
        ),
        (
            "domain",
            viewer(
                case,
                "domain",
                &daemon,
                "web1\\bob",
                Kind::FreeRdp3,
                &["/gfx", "/sec:tls"],
            )?,
        ),
        (
            "view-only",
            viewer(case, "view-only", &daemon, "victor#web1", Kind::FreeRdp2, &["/gfx"])?,
        ),
    ];
    for (name, client) in &mut viewers {
        compare_at_rest(case, client, name, Fidelity::Exact, &mut web1)?;
    }
    let mut second = viewer(case, "web2", &daemon, "alice#web2", Kind::FreeRdp2, &["/gfx"])?;
    compare_at_rest(case, &mut second, "web2", Fidelity::Exact, &mut web2)?;
    let mut third = viewer(
        case,
        "web3",
        &daemon,
        "bob",
        Kind::FreeRdp3,
        &["/vmconnect:web3", "/gfx"],
    )?;
    compare_at_rest(case, &mut third, "web3", Fidelity::Exact, &mut web3)?;
    view_only_keys(case, &mut web1, &mut viewers)?;
    Ok("six viewers of web1 by blob, user, server name, token, domain (one view-only), web2 and web3: all exact; keys of the view-only one stayed out".to_owned())
}

/// The view-only viewer types, then another one; only the second text may arrive.
fn view_only_keys(case: &Case, vm: &mut Vm, viewers: &mut [(&str, Client)]) -> Result<()> {
    let font = Font::of(&FONT_10X20);
    let (_, watcher) = viewers.last_mut().context("there are viewers")?;
    let before = vm.serial().lines().filter(|line| line.starts_with("KEY ")).count();
    watcher.display.point(400, 400)?;
    watcher.display.type_text("forbidden")?;
    watcher.display.click(1)?;
    let (_, typist) = viewers.first_mut().context("there are viewers")?;
    typist.display.type_text("allowed")?;
    for (name, client) in viewers.iter_mut() {
        let shown = client.wait_for(&case.folder, wait::seconds(15), "the allowed text", SIZE, |picture| {
            font.find(picture, "allowed").is_some()
        })?;
        ensure!(
            font.find(&shown, "forbidden").is_none(),
            "{name} shows what the view-only viewer typed"
        );
    }
    let after = vm.serial().lines().filter(|line| line.starts_with("KEY ")).count();
    // Seven letters, down and up.
    ensure!(
        after - before == 14,
        "{} key events arrived instead of 14",
        after - before
    );
    ensure!(!vm.serial().contains("BTN"), "a click of the view-only viewer arrived");
    Ok(())
}

fn refusals(case: &Case) -> Result<String> {
    let config = configure(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut web1 = Vm::start(case, "web1", Qemu::V7, &Guest::Grub, &[])?;
    let mut web2 = Vm::start(case, "web2", Qemu::V7, &Guest::Grub, &[])?;
    for vm in [&mut web1, &mut web2] {
        wait_for_dump(vm, 60, "GRUB draws", |picture| picture.colors(3) >= 2)?;
    }
    daemon.wait_for_machine("web1")?;
    daemon.wait_for_machine("web2")?;
    let mut told = Vec::new();
    for (name, user, kind, more) in [
        ("unknown", "victor#nosuch", Kind::FreeRdp3, &["/sec:nla"][..]),
        ("forbidden", "victor#web2", Kind::FreeRdp3, &["/sec:nla"][..]),
        ("unknown-tls", "victor#nosuch", Kind::FreeRdp3, &["/sec:tls"][..]),
        ("forbidden-tls", "victor#web2", Kind::FreeRdp3, &["/sec:tls"][..]),
    ] {
        let mut client = viewer(case, name, &daemon, user, kind, more)?;
        let said = client
            .wait_for_end(wait::seconds(20))
            .with_context(|| format!("{name}: the client stays connected"))?;
        let reason = said
            .split_whitespace()
            .find(|word| word.starts_with("ERRINFO_") || word.contains("LOGON_"))
            .unwrap_or("")
            .to_owned();
        ensure!(
            !reason.is_empty(),
            "{name}: the client was not told why: {}",
            said.lines().rev().take(5).collect::<Vec<_>>().join(" | ")
        );
        told.push((name, reason));
    }
    ensure!(
        told[0].1 == told[1].1 && told[2].1 == told[3].1,
        "unknown and forbidden names can be told apart: {told:?}"
    );
    Ok(format!("both told {} (NLA), {} (TLS)", told[0].1, told[2].1))
}
