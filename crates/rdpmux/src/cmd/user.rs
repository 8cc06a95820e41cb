//! `rdpmux user`: the accounts of `serve`.

use std::fmt::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use rdpmux_host::auth::{UserName, UsersFile};

use super::ConfigFile;
use crate::output;
use crate::password::{self, Origin};

/// Add, change, delete and list users
///
/// They are kept in `state_dir`/users with mode 0600. A running daemon follows the file. What they may do is said by
/// `[[grant]]` sections of the configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux user add alice
  echo \"$PASSWORD\" | rdpmux user add alice --password-stdin")]
pub(crate) struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Add a user
    Add(WithPassword),
    /// Change a user's password
    Passwd(WithPassword),
    /// Delete a user
    Del {
        /// Name of the user
        name: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// List the users, one per line
    List {
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Debug, Args)]
struct WithPassword {
    /// Name of the user
    name: String,
    /// Take the first line of standard input as the password instead of asking
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    config: ConfigFile,
}

impl User {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.action {
            Action::Add(with) => {
                let (mut file, name) = (with.config.users()?, UserName::new(&with.name)?);
                file.check_new(&name)?;
                file.add(name, &with.password()?)?;
            }
            Action::Passwd(with) => {
                let (mut file, name) = (with.config.users()?, UserName::new(&with.name)?);
                file.check_known(&name)?;
                file.set_password(&name, &with.password()?)?;
            }
            Action::Del { name, config } => config.users()?.delete(&UserName::new(&name)?)?,
            Action::List { config } => {
                let names = config.users()?.names().fold(String::new(), |mut text, name| {
                    let _ = writeln!(text, "{name}");
                    text
                });
                output::write(&names)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl WithPassword {
    fn password(&self) -> anyhow::Result<String> {
        let origin = if self.password_stdin {
            Origin::StandardInput
        } else {
            Origin::Terminal
        };
        password::ask_new(&self.name, origin)
    }
}

impl ConfigFile {
    fn users(&self) -> anyhow::Result<UsersFile> {
        Ok(UsersFile::load(&self.load()?.users_path())?)
    }
}
