//! The configuration file as serde reads it: texts and numbers with their places, nothing judged yet. `settings` has the
//! same keys with their meaning; a test holds the two together.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

type Text = Spanned<String>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) listen: Option<Text>,
    pub(super) state_dir: Option<Text>,
    pub(super) default_desktop: Option<Text>,
    pub(super) layout: Option<Text>,
    pub(super) server_names: Vec<Text>,
    pub(super) login_domains: Vec<Text>,
    pub(super) nla: Option<Spanned<bool>>,
    pub(super) tls_logins: Option<Spanned<bool>>,
    pub(super) rdp2tcp: bool,
    pub(super) tls: Option<Spanned<Tls>>,
    pub(super) vm: Vec<Spanned<Vm>>,
    pub(super) discover: Vec<Spanned<Discover>>,
    pub(super) grant: Vec<Spanned<Grant>>,
    pub(super) limits: Limits,
    pub(super) reconnect: Reconnect,
    pub(super) admin_socket: Option<Text>,
    pub(super) librdpmux: Option<Librdpmux>,
    pub(super) vnc: Option<Vnc>,
    pub(super) streams: Streams,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificate: Option<Text>,
    pub(super) key: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vm {
    pub(super) name: Option<Text>,
    pub(super) qmp: Option<Text>,
    pub(super) dbus: Option<Text>,
    pub(super) dbus_vm: Option<Text>,
    pub(super) resize: Option<Spanned<bool>>,
    pub(super) layout: Option<Text>,
    #[serde(default)]
    pub(super) take_over: Vec<Text>,
    pub(super) monitor: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) restore: BTreeMap<String, Text>,
    #[serde(default)]
    pub(super) streams: Vec<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Discover {
    pub(super) qmp: Option<Text>,
    pub(super) layout: Option<Text>,
    #[serde(default)]
    pub(super) take_over: Vec<Text>,
    pub(super) monitor: Option<Spanned<bool>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Grant {
    #[serde(default)]
    pub(super) users: Vec<Text>,
    #[serde(default)]
    pub(super) vms: Vec<Text>,
    #[serde(default)]
    pub(super) rights: Vec<Text>,
    pub(super) sound: Option<Text>,
    pub(super) streams: Option<Text>,
    pub(super) resize: Option<Spanned<bool>>,
    pub(super) clipboard: Option<Text>,
    pub(super) clipboard_kinds: Option<Vec<Text>>,
    pub(super) clipboard_mib: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Limits {
    pub(super) handshake_seconds: Option<Spanned<i64>>,
    pub(super) write_seconds: Option<Spanned<i64>>,
    pub(super) handshakes: Option<Spanned<i64>>,
    pub(super) handshakes_per_address: Option<Spanned<i64>>,
    pub(super) sessions: Option<Spanned<i64>>,
    pub(super) idle_seconds: Option<Spanned<i64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Reconnect {
    pub(super) seconds: Option<Spanned<i64>>,
    pub(super) any_address: Option<Spanned<bool>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Streams {
    pub(super) record_dir: Option<Text>,
    pub(super) record_mib: Option<Spanned<i64>>,
    pub(super) record_files: Option<Spanned<i64>>,
    pub(super) socket_dir: Option<Text>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Librdpmux {
    pub(super) bus: Option<Text>,
    pub(super) listen: Option<Text>,
    pub(super) first_port: Option<Spanned<i64>>,
    pub(super) socket: Option<Text>,
    pub(super) socket6: Option<Text>,
    pub(super) no_auth: Option<Spanned<bool>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vnc {
    pub(super) listen: Option<Text>,
    pub(super) streams_2009: Option<Spanned<i64>>,
}
