//! The example `custom_channel`, heard by a client of IronRDP that has the same two channels.

use super::Example;
use crate::e2e::process::Process;
use crate::e2e::report::{Case, Suite};
use crate::e2e::wait;
use anyhow::{Result, ensure};
use std::process::Command;

/// Adds the case of this file.
pub fn cases(suite: &mut Suite) {
    suite.case("channels of a program's own", talk);
}

fn talk(case: &Case) -> Result<String> {
    let mut example = Example::start(case, "custom_channel", &[])?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["light", &example.address, "alice", "any", "--talk"]);
    let mut client = Process::start(&command, &case.folder.join("light.log"), "")?;
    for word in [
        "EXAMPLE welcome, alice",
        "EXAMPLE HELLO",
        "RDPMUX::Example welcome, alice",
        "RDPMUX::Example HELLO",
        // Unasked.
        "RDPMUX::Example tick",
    ] {
        let line = format!("HEARD {word}");
        wait::for_true(wait::seconds(30), &line, || {
            client.check()?;
            Ok(client.output().contains(&line))
        })?;
    }
    ensure!(
        !client.output().contains("EXAMPLE tick"),
        "the ticks of the other channel"
    );
    example.wait_for(&["EXAMPLE of alice: hello", "RDPMUX::Example of alice: hello"])?;
    client.end();
    example.wait_for(&["RDPMUX::Example of alice is closed"])?;
    Ok("static and dynamic: greeted, answered, ticked unasked, closed".to_owned())
}
