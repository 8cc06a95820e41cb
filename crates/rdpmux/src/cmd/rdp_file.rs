//! `rdpmux rdp-file`: a file that opens one desktop by a double click.

use std::process::ExitCode;

use clap::Args;
use rdpmux_host::Config;
use rdpmux_model::DesktopName;

use super::{ConfigFile, usage};
use crate::output;
use crate::rdp_file::{Client, RdpFile};

/// Print a .rdp file that opens a VM's desktop
///
/// It holds no password; the client asks for it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rdpmux rdp-file web1 --user alice > web1.rdp
  rdpmux rdp-file web1 --address consoles.example:3389 --client freerdp > web1.rdp")]
pub(crate) struct MakeRdpFile {
    /// Name of the VM, or VM/HEAD for a further screen
    vm: String,
    #[command(flatten)]
    config: ConfigFile,
    /// User to log in as [default: the client asks]
    #[arg(long)]
    user: Option<String>,
    /// Host and port as clients reach them [default: `listen` of the configuration]
    #[arg(long, value_name = "HOST[:PORT]")]
    address: Option<String>,
    /// Whose dialect to write
    #[arg(long, value_enum, default_value = "mstsc")]
    client: Client,
}

impl MakeRdpFile {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.config.load()?;
        let Ok(desktop) = DesktopName::new(&self.vm) else {
            return usage(format!("`{}` cannot name a desktop", self.vm));
        };
        if let Some(mistake) = unknown(&config, &desktop) {
            return usage(mistake);
        }
        let Some(address) = self.address.clone().or_else(|| listen_address(&config)) else {
            return usage(format!(
                "the daemon listens on {}, which tells clients no host; give --address",
                config.listen
            ));
        };
        if [Some(&address), self.user.as_ref()]
            .into_iter()
            .flatten()
            .any(|text| text.contains(char::is_control))
        {
            return usage("address and user must not contain control characters");
        }
        let file = RdpFile {
            address: &address,
            user: self.user.as_deref(),
            desktop: &desktop,
            client: self.client,
        };
        output::write(&file.text())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn listen_address(config: &Config) -> Option<String> {
    (!config.listen.ip().is_unspecified() && config.listen.port() != 0).then(|| config.listen.to_string())
}

/// Why no VM of that name can be meant; with discovery any name may come up.
fn unknown(config: &Config, desktop: &DesktopName) -> Option<String> {
    let known = config
        .machines
        .iter()
        .any(|machine| machine.name.vm().eq_ignore_ascii_case(desktop.vm()));
    if known || !config.discover.is_empty() {
        return None;
    }
    let names: Vec<&str> = config.machines.iter().map(|machine| machine.name.as_str()).collect();
    Some(format!(
        "no VM is called `{}`; there are: {}",
        desktop.vm(),
        names.join(", ")
    ))
}
