//! `.rdp` files: what a client needs to open one desktop by a double click. Never with a password.

use std::fmt::Write as _;

use clap::ValueEnum;
use rdpmux_model::DesktopName;

/// Whose dialect a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    /// Windows, macOS, iOS and Android clients of Microsoft; FreeRDP reads it too.
    Mstsc,
    /// FreeRDP 2 and 3, with its own switches added.
    Freerdp,
}

/// One desktop for one user.
pub(crate) struct RdpFile<'a> {
    /// Host and port.
    pub(crate) address: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) desktop: &'a DesktopName,
    pub(crate) client: Client,
}

/// The same in every file: true color over a fast line, which makes clients offer the graphics pipeline, no devices of
/// the client, a warning for a certificate that no authority signed, and the password asked for by the client.
const COMMON: &[&str] = &[
    "session bpp:i:32",
    "connection type:i:6",
    "networkautodetect:i:0",
    "bandwidthautodetect:i:1",
    "compression:i:1",
    "screen mode id:i:1",
    "smart sizing:i:1",
    "use multimon:i:0",
    "redirectprinters:i:0",
    "redirectcomports:i:0",
    "redirectsmartcards:i:0",
    "redirectdrives:i:0",
    "redirectclipboard:i:0",
    "audiomode:i:2",
    "keyboardhook:i:2",
    "authentication level:i:2",
    "enablecredsspsupport:i:1",
    "negotiate security layer:i:1",
    "prompt for credentials:i:0",
    "autoreconnection enabled:i:1",
];

impl RdpFile<'_> {
    /// The text of the file. The desktop is named twice: in the preconnection blob and, for clients that do not send one,
    /// in the routing token.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![format!("full address:s:{}", self.address)];
        lines.extend(self.user.map(|user| format!("username:s:{user}")));
        lines.push(format!("pcb:s:{}", self.desktop));
        lines.push(format!("loadbalanceinfo:s:Cookie: msts={}", self.desktop));
        lines.extend(COMMON.iter().map(|line| (*line).to_owned()));
        if self.client == Client::Freerdp {
            lines.push("/gfx".to_owned());
        }
        lines.into_iter().fold(String::new(), |mut text, line| {
            let _ = write!(text, "{line}\r\n");
            text
        })
    }

    /// A file name for it.
    pub(crate) fn name(&self) -> String {
        format!("{}.rdp", self.desktop.as_str().replace('/', "-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_server_user_and_desktop_and_no_password() {
        let desktop = DesktopName::new("web1/1").expect("valid");
        let file = RdpFile {
            address: "consoles.example:3389",
            user: Some("alice"),
            desktop: &desktop,
            client: Client::Mstsc,
        };
        assert_eq!(file.name(), "web1-1.rdp");
        let text = file.text();
        let lines: Vec<&str> = text.split_terminator("\r\n").collect();
        assert_eq!(
            lines[..4],
            [
                "full address:s:consoles.example:3389",
                "username:s:alice",
                "pcb:s:web1/1",
                "loadbalanceinfo:s:Cookie: msts=web1/1"
            ]
        );
        assert!(lines.contains(&"session bpp:i:32") && lines.contains(&"enablecredsspsupport:i:1"));
        assert!(!text.contains("password") && !text.contains("/gfx"));
        assert!(
            lines
                .iter()
                .all(|line| line.splitn(3, ':').count() == 3 && !line.contains('\n')),
            "{text}"
        );
    }

    #[test]
    fn freerdp_is_told_to_use_the_graphics_pipeline() {
        let desktop = DesktopName::new("web1").expect("valid");
        let file = RdpFile {
            address: "127.0.0.1:3389",
            user: None,
            desktop: &desktop,
            client: Client::Freerdp,
        };
        assert!(file.text().ends_with("/gfx\r\n") && !file.text().contains("username"));
    }
}
