//! The example `many`: ten desktops behind one port, chosen by the user name, seen by pixel.

use super::Example;
use crate::e2e::client::{Client, Kind};
use crate::e2e::picture::Picture;
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Result, ensure};

const SIZE: (usize, usize) = (800, 600);

/// Adds the case of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("ten desktops, one port", desktops);
}

fn desktops(case: &Case) -> Result<String> {
    let mut example = Example::start(case, "many", &[])?;
    let people: [(&str, Kind, &[&str], u32); 4] = [
        ("alice#3", Kind::FreeRdp2, &["/sec:nla"], 3),
        ("bob#3", Kind::Rdesktop, &["-a", "32"], 3),
        ("alice#7", Kind::FreeRdp3, &["/sec:tls"], 7),
        ("alice", Kind::FreeRdp2, &["/sec:tls"], 0),
    ];
    let mut clients = Vec::new();
    for (index, (user, kind, more, desktop)) in people.into_iter().enumerate() {
        let name = format!("client{index}");
        let client = example.client_as(case, &name, user, kind, SIZE, more)?;
        clients.push((client, desktop));
    }
    all_show(case, &mut clients, |_| 0)?;
    // bob may only look.
    for index in [1, 0] {
        let display = &clients[index].0.display;
        display.point(300, 300)?;
        display.keys(&["x"])?;
    }
    all_show(case, &mut clients, |desktop| if desktop == 3 { 0xff } else { 0 })?;
    example.wait_for(&["desktop 3: Key"])?;
    let pressed = example.process.output().matches("down: true").count();
    ensure!(pressed == 1, "{pressed} keys were pressed instead of alice's");
    let mut stranger = example.client_as(case, "stranger", "alice#10", Kind::FreeRdp2, SIZE, &["/sec:tls"])?;
    stranger.wait_for_end(wait::seconds(30))?;
    for (client, _) in &mut clients {
        client.process.check()?;
    }
    Ok("desktops 3, 7 and the first, one of them for two; no desktop 10".to_owned())
}

/// Waits until each client shows its desktop.
fn all_show(case: &Case, clients: &mut [(Client, u32)], inverted: impl Fn(u32) -> u8) -> Result<()> {
    for (client, desktop) in clients {
        let expected = picture(*desktop, inverted(*desktop));
        let limit = wait::seconds(40);
        client.wait_for(&case.folder, limit, &format!("desktop {desktop}"), SIZE, |picture| {
            *picture == expected
        })?;
    }
    Ok(())
}

/// What the example shows.
fn picture(number: u32, inverted: u8) -> Picture {
    let (width, height) = SIZE;
    let color = [number * 25, 255 - number * 25, 128].map(|value| value as u8 ^ inverted);
    let color = u32::from_be_bytes([0, color[0], color[1], color[2]]);
    let pixel = |x: usize, y: usize| match (40..80).contains(&y) && x % 70 >= 30 && x / 70 <= number as usize {
        true => 0xff_ff_ff,
        false => color,
    };
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| pixel(x, y))).collect();
    Picture { width, height, pixels }
}
