//! Passwords from a person: asked for at the terminal without echo, or the first line of standard input. They are held in
//! memory only as long as the hash is made.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};

use crate::exit::Usage;

/// Where a password comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Terminal,
    StandardInput,
}

/// A new password for `user`; at the terminal it is asked for twice.
pub(crate) fn ask_new(user: &str, origin: Origin) -> anyhow::Result<String> {
    let password = match origin {
        Origin::StandardInput => first_line(&mut io::stdin().lock()).context("cannot read the password")?,
        Origin::Terminal => {
            let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
            let mut terminal =
                terminal.map_err(|_| Usage("there is no terminal to ask at; use --password-stdin".into()))?;
            let first = ask(&mut terminal, &format!("New password for {user}: "))?;
            if first != ask(&mut terminal, "The same again: ")? {
                return Err(Usage("the two passwords differ; nothing was changed".into()).into());
            }
            first
        }
    };
    if password.is_empty() {
        return Err(Usage("the password is empty; nothing was changed".into()).into());
    }
    Ok(password)
}

/// The password of `user` at `host`, asked for at the terminal.
pub(crate) fn ask_for(user: &str, host: &str) -> anyhow::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let mut terminal = terminal.map_err(|_| Usage("there is no terminal to ask at; use --password-file".into()))?;
    ask(&mut terminal, &format!("Password of {user} at {host}: "))
}

/// The first line of a file.
pub(crate) fn from_file(path: &Path) -> anyhow::Result<String> {
    let read = File::open(path).and_then(|file| first_line(&mut BufReader::new(file)));
    read.with_context(|| format!("{}", path.display()))
}

/// Asks at the terminal for what may be seen.
pub(crate) fn question(text: &str) -> io::Result<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    terminal.write_all(text.as_bytes())?;
    first_line(&mut BufReader::new(&terminal))
}

fn ask(terminal: &mut File, question: &str) -> anyhow::Result<String> {
    terminal
        .write_all(question.as_bytes())
        .context("cannot write to the terminal")?;
    let answer = {
        let _quiet = Quiet::new(terminal).context("cannot turn the terminal's echo off")?;
        first_line(&mut BufReader::new(&*terminal)).context("cannot read from the terminal")
    };
    terminal.write_all(b"\n").context("cannot write to the terminal")?;
    answer
}

fn first_line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Echo is off while this lives.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn new(terminal: &File) -> io::Result<Self> {
        let terminal = terminal.try_clone()?;
        let before = termios::tcgetattr(&terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // If even this fails the terminal is gone.
        let _ = termios::tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_without_its_end() {
        for (input, line) in [("one\ntwo\n", "one"), ("one\r\n", "one"), (" a b ", " a b "), ("", "")] {
            assert_eq!(first_line(&mut input.as_bytes()).expect("read"), line);
        }
    }
}
