//! `rdpmux sessions`: who looks at what.

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use rdpmux_host::admin::{Request, SessionLine};

use super::operator::Daemon;
use crate::output;

/// List who looks at what now
#[derive(Debug, Args)]
pub(crate) struct Sessions {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Daemon,
}

impl Sessions {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let reply = self.daemon.ask(&Request::Sessions {})?;
        if self.json {
            output::write(&format!("{}\n", reply.value))?;
            return Ok(ExitCode::SUCCESS);
        }
        let lines: Vec<SessionLine> = serde_json::from_value(reply.value).context("the daemon's answer")?;
        let mut page = format!(
            "{:8} {:16} {:16} {:24} {:20} {:10} {:>9}\n",
            "SESSION", "USER", "DESKTOP", "FROM", "RIGHTS", "MICROPHONE", "AGE"
        );
        for line in lines {
            let rights = line.rights.join(",");
            let age = age(line.seconds);
            let microphone = if line.microphone { "heard" } else { "" };
            let SessionLine {
                session,
                user,
                desktop,
                peer,
                ..
            } = line;
            let _ = writeln!(
                page,
                "{session:8} {user:16} {desktop:16} {peer:24} {rights:20} {microphone:10} {age:>9}"
            );
        }
        output::write(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn age(seconds: u64) -> String {
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_written_as_clocks_do() {
        let written = [0, 59, 61, 3_599, 3_600, 90_061].map(age);
        assert_eq!(written, ["0:00", "0:59", "1:01", "59:59", "1:00:00", "25:01:01"]);
    }
}
