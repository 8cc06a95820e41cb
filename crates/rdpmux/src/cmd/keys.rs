//! `rdpmux keys`: presses chords and types text in a guest.

use std::io::Read;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use rdpmux_host::admin::Request;

use super::operator::{Behalf, Daemon};
use super::usage;

/// Press keys in a VM, or type a text
///
/// A chord is keys joined by `-` that go down together, by their names on a US keyboard: ctrl-alt-del, alt-f4, win-r,
/// enter. Several chords follow one another. A text is typed after them, on the keys of the guest's layout.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux keys web1 ctrl-alt-del
  rdpmux keys web1 ctrl-alt-f2
  rdpmux keys web1 --layout de --text 'Grüße'
  rdpmux keys web1 --text - < commands.txt      types standard input
  rdpmux keys web1 alt-sysrq-s --as alice       only if alice may control web1

Keys: a to z, 0 to 9, f1 to f12, ctrl, rctrl, alt, altgr, shift, rshift, win, menu, enter, esc, tab, space, backspace, del,
ins, home, end, pgup, pgdn, up, down, left, right, print (sysrq), pause, capslock, numlock, scrolllock, minus, equal,
lbracket, rbracket, semicolon, quote, grave, backslash, comma, dot, slash, less, kp0 to kp9, kpenter, kpplus, kpminus, kpstar,
kpslash, kpdot.")]
pub(crate) struct Keys {
    /// Name of the desktop
    desktop: String,
    /// Chords, one after the other
    #[arg(value_name = "CHORD")]
    chords: Vec<String>,
    /// Type this text after them; `-` types standard input
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    text: Option<String>,
    /// Keyboard layout that the guest uses, for the text [default: the configured one, else `us`]
    #[arg(long, value_name = "NAME")]
    layout: Option<String>,
    #[command(flatten)]
    behalf: Behalf,
    #[command(flatten)]
    daemon: Daemon,
}

impl Keys {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.chords.is_empty() && self.text.is_none() {
            return usage("say what to press: `rdpmux keys web1 ctrl-alt-del` or `rdpmux keys web1 --text hello`");
        }
        let text = match self.text.as_deref() {
            Some("-") => Some(standard_input()?),
            text => text.map(str::to_owned),
        };
        self.daemon.ask(&Request::Keys {
            desktop: self.desktop,
            chords: self.chords,
            layout: self.layout,
            text,
            user: self.behalf.user,
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn standard_input() -> anyhow::Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(LONGEST)
        .read_to_string(&mut text)
        .context("cannot read standard input as text")?;
    Ok(text)
}

/// More than the daemon takes, so that it says so.
const LONGEST: u64 = 1 << 20;
