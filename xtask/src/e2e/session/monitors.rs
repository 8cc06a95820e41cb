//! Monitors: a guest with two heads that follows what is plugged into it, and FreeRDP with a window, with two monitors, and
//! beside both a viewer that only looks on. The two monitors are RandR's, on one Xvfb.

use crate::e2e::client::{Client, Config, Kind};
use crate::e2e::daemon::Daemon;
use crate::e2e::display::Display;
use crate::e2e::picture::{Area, Picture};
use crate::e2e::qemu::{PASSWORD, configure, serve};
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::{process, wait, x11};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::time::Instant;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("a window's size, and two monitors on two heads", monitors);
}

const MACHINE: &str = "web1";
/// The first and the second monitor, the second one lower.
const LEFT: [u16; 4] = [0, 0, 1024, 768];
const RIGHT: [u16; 4] = [1024, 100, 800, 600];

struct Stage {
    vm: Vm,
    daemon: Daemon,
    folder: PathBuf,
}

fn monitors(case: &Case) -> Result<String> {
    let config = configure(case, "")?;
    let guest = Guest::Kms("rdpmux.scene=heads");
    let two_heads = ["-global", "virtio-gpu-device.max_outputs=2"];
    let mut vm = Vm::start(case, MACHINE, Qemu::V10, &guest, &two_heads)?;
    let daemon = serve(case, &config, &[])?;
    vm.wait_for(wait::seconds(120), "READY 1280x800")?;
    daemon.wait_for_machine(MACHINE)?;
    let folder = case.folder.clone();
    let mut stage = Stage { vm, daemon, folder };
    let mut onlooker = stage.viewer(case, "onlooker", "bob", Kind::FreeRdp2, &["/gfx"])?;
    stage.shows(&mut onlooker, [0, 0, 1280, 800], 0)?;
    let resized = stage.window(case, &mut onlooker)?;
    for (name, kind) in [("multimon2", Kind::FreeRdp2), ("multimon3", Kind::FreeRdp3)] {
        stage.two_monitors(case, name, kind, &mut onlooker).context(name)?;
    }
    Ok(format!(
        "{resized}, two heads where the monitors of FreeRDP 2 and 3 are, exact, the pointer too; the onlooker saw it all"
    ))
}

impl Stage {
    fn config<'a>(&'a self, user: &'a str, kind: Kind, more: &'a [&'a str]) -> Config<'a> {
        Config {
            kind,
            address: &self.daemon.address,
            user,
            password: PASSWORD,
            size: (1280, 800),
            more,
            host: None,
        }
    }

    fn viewer(&self, case: &Case, name: &str, user: &str, kind: Kind, more: &[&str]) -> Result<Client> {
        Client::start(&case.folder, name, &self.config(user, kind, more))
    }

    /// A window of FreeRDP with dynamic resolution is made larger and smaller, and the guest's mode follows.
    fn window(&mut self, case: &Case, onlooker: &mut Client) -> Result<String> {
        let mut client = self.viewer(
            case,
            "window",
            "alice",
            Kind::FreeRdp2,
            &["/gfx", "/dynamic-resolution"],
        )?;
        self.shows(&mut client, [0, 0, 1280, 800], 0)?;
        let mut slowest = 0.0_f64;
        for (width, height) in [(1500, 900), (1000, 700)] {
            let began = Instant::now();
            resize(&client, width, height)?;
            self.vm
                .wait_for(wait::seconds(20), &format!("HEAD 0 {width}x{height}"))?;
            slowest = slowest.max(began.elapsed().as_secs_f64());
            self.shows(&mut client, [0, 0, width, height], 0)?;
            self.shows(onlooker, [0, 0, width, height], 0)?;
        }
        // A window that is dragged does not cost a mode for every step.
        let before = self.modes();
        for step in 0..10 {
            resize(&client, 1010 + step * 10, 710)?;
        }
        self.vm.wait_for(wait::seconds(20), "HEAD 0 1100x710")?;
        let modes = self.modes() - before;
        ensure!(
            modes <= 5,
            "{modes} modes for a window that was dragged through 10 sizes"
        );
        self.shows(&mut client, [0, 0, 1100, 710], 0)?;
        client.process.check()?;
        Ok(format!(
            "the guest's mode follows a window within {slowest:.1} s, {modes} modes for 10 steps"
        ))
    }

    /// A client with two monitors is shown both heads, each where its monitor is.
    fn two_monitors(&mut self, case: &Case, name: &str, kind: Kind, onlooker: &mut Client) -> Result<()> {
        let display = Display::start(&case.folder, name)?;
        x11::split(display.name(), &[LEFT, RIGHT])?;
        let config = self.config("alice", kind, &["/gfx", "/multimon"]);
        let mut client = Client::start_on(&case.folder, name, &config, display, process::again)?;
        for (head, [_, _, width, height]) in [LEFT, RIGHT].into_iter().enumerate() {
            self.vm
                .wait_for(wait::seconds(30), &format!("HEAD {head} {width}x{height}"))?;
        }
        self.shows(&mut client, LEFT.map(usize::from), 0)?;
        self.shows(&mut client, RIGHT.map(usize::from), 1)?;
        self.shows(onlooker, LEFT.map(usize::from), 0)?;
        // Its tablet covers the guest's whole desktop, where the heads are taken to be as they were told.
        let (x, y) = (1024 + 200, 100 + 50);
        client.display.point(x, y)?;
        client.display.click(1)?;
        self.vm.wait_for(wait::seconds(10), "BTN 272 0")?;
        wait::for_true(
            wait::seconds(10),
            "the guest's pointer is where the client's is",
            || {
                let serial = self.vm.serial();
                let seen = serial.lines().rev().find_map(|line| line.strip_prefix("PTR "));
                let seen = seen.context("the pointer moved")?;
                let (px, py) = seen.trim().split_once(' ').context("two numbers")?;
                Ok(px.parse::<usize>()?.abs_diff(x).max(py.parse::<usize>()?.abs_diff(y)) <= 3)
            },
        )?;
        client.display.point(5, 5)?;
        self.shows(&mut client, RIGHT.map(usize::from), 1)?;
        client.process.check()
    }

    /// Waits until a part of a client's screen is exactly QEMU's picture of a head.
    fn shows(&mut self, client: &mut Client, at: [usize; 4], head: u32) -> Result<()> {
        let [x, y, width, height] = at;
        let area = Area { x, y, width, height };
        let mut last: Option<(Picture, Picture)> = None;
        let what = format!("head {head} is shown at {area:?}");
        let shown = wait::for_true(wait::seconds(30), &what, || {
            client.process.check()?;
            self.vm.process.check()?;
            let own = self.vm.screendump_of(head)?;
            let seen = client.display.screenshot()?.crop(area)?;
            let is_same = own.differing(&seen) == 0;
            last = Some((own, seen));
            Ok(is_same)
        });
        if let (Err(_), Some((own, seen))) = (&shown, last) {
            own.save(&self.folder.join(format!("head{head}.png")))?;
            seen.save(&self.folder.join("seen.png"))?;
        }
        shown
    }

    /// Modes that the guest has set.
    fn modes(&self) -> usize {
        self.vm.serial().lines().filter(|line| line.starts_with("HEAD")).count()
    }
}

/// Gives a client's window another size, as dragging its corner does.
fn resize(client: &Client, width: usize, height: usize) -> Result<()> {
    let (width, height) = (width.to_string(), height.to_string());
    client
        .display
        .xdotool(&["search", "--class", "xfreerdp", "windowsize", &width, &height])
}
