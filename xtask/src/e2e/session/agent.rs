//! The clipboard between viewers and a guest with SPICE's own agent under an X server, as Linux guests have it: copied and
//! pasted there by xclip, which is told to by what a viewer types on the guest's text console.

use super::clipboard::{AGENT, Copied, MACHINE, configuration, connect, wait_for_pasted};
use crate::e2e::client::{Client, Kind};
use crate::e2e::qemu::serve;
use crate::e2e::report::{Case, Suite};
use crate::e2e::vm::{Guest, Qemu, Vm};
use crate::e2e::wait;
use anyhow::Result;
use std::fmt::Write as _;

/// Adds the cases of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("clipboard with spice-vdagent", agent);
}

fn agent(case: &Case) -> Result<String> {
    let config = configuration(case, "")?;
    let daemon = serve(case, &config, &[])?;
    let mut vm = Vm::start(case, MACHINE, Qemu::V10, &Guest::Agent, &AGENT)?;
    daemon.wait_for_machine(MACHINE)?;
    vm.wait_for(wait::seconds(120), "READY")?;
    let alice = connect(case, "alice", &daemon, "alice", Kind::FreeRdp2)?;
    let bob = connect(case, "bob", &daemon, "bob", Kind::FreeRdp3)?;
    for (round, giver, taker) in [(1, &alice, &bob), (2, &bob, &alice), (3, &alice, &bob)] {
        let text = format!("of viewer {round}: Grüße, 日本 😀\nline two\n");
        let _copied = Copied::new(case, &giver.display, "UTF8_STRING", text.as_bytes())?;
        guest_says(&mut vm, giver, "take", &format!("PASTED<{text}.>"))?;
        wait_for_pasted(taker, "UTF8_STRING", text.as_bytes())?;
        command(taker, &format!("give {round}"))?;
        let text = format!("copy {round} of the guest: Grüße, 日本\nline two\n");
        wait_for_pasted(giver, "UTF8_STRING", text.as_bytes())?;
        wait_for_pasted(taker, "UTF8_STRING", text.as_bytes())?;
    }
    let much = (1..=20_000).fold(String::new(), |mut all, number| {
        let _ = writeln!(all, "{number}");
        all
    });
    command(&alice, "give-much")?;
    wait_for_pasted(&bob, "UTF8_STRING", much.as_bytes())?;
    let _copied = Copied::new(case, &bob.display, "UTF8_STRING", much.as_bytes())?;
    guest_says(&mut vm, &alice, "take-much", "MUCH")?;
    Ok(format!(
        "text between two viewers and xclip in the guest, three rounds and {} kB, both ways",
        much.len() / 1000
    ))
}

/// Types a command on the guest's console.
fn command(viewer: &Client, words: &str) -> Result<()> {
    viewer.display.type_text(words)?;
    viewer.display.keys(&["Return"])
}

/// Types a command until the guest says what it shall say.
fn guest_says(vm: &mut Vm, viewer: &Client, words: &str, said: &str) -> Result<()> {
    let mut asked: Option<std::time::Instant> = None;
    wait::for_true(wait::seconds(30), &format!("the guest says {said:?}"), || {
        vm.process.check()?;
        if asked.is_none_or(|at| at.elapsed() > wait::seconds(3)) {
            asked = Some(std::time::Instant::now());
            command(viewer, words)?;
        }
        Ok(vm.serial().contains(said))
    })
}
