//! From texts to a valid [`Config`]: names, addresses, paths, patterns, ranges, and what must not be missing or double.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rdpmux_model::{DesktopName, Pattern, Rights};
use rdpmux_server::typing::Layout;
use rdpmux_server::{Limits, Logins, Reconnect, Routing};
use toml::Spanned;

use super::error::Problems;
use super::{
    CertificateFiles, Config, Discovery, Machine, Source, clipboard, keys, librdpmux, raw, rights, streams, take_over,
    vnc,
};
use crate::auth::UserName;
use crate::registry::{Grant, SocketPattern};

/// Judges a file; what is wrong goes to `problems` and the result is then of no use.
pub(super) fn check(file: &raw::File, directory: &Path, problems: &mut Problems<'_>) -> Config {
    let defaults = Config::default();
    let layout = file.layout.as_ref().and_then(|text| layout(text, problems));
    let machines = machines(&file.vm, layout, directory, problems);
    let mut config = Config {
        listen: file
            .listen
            .as_ref()
            .and_then(|text| listen("listen", text, problems))
            .unwrap_or(defaults.listen),
        state_dir: file
            .state_dir
            .as_ref()
            .map_or(defaults.state_dir, |text| directory.join(text.get_ref())),
        default_desktop: file
            .default_desktop
            .as_ref()
            .and_then(|text| desktop_name("default_desktop", text, problems)),
        routing: Routing {
            server_names: texts("server_names", &file.server_names, problems),
            login_domains: texts("login_domains", &file.login_domains, problems),
            all_domains_real: false,
        },
        logins: logins(file, problems),
        rdp2tcp: file.rdp2tcp,
        certificate: file.tls.as_ref().and_then(|tls| certificate(tls, directory, problems)),
        discover: file
            .discover
            .iter()
            .filter_map(|entry| discover(entry, layout, directory, problems))
            .collect(),
        layout,
        grants: file.grant.iter().filter_map(|entry| grant(entry, problems)).collect(),
        limits: limits(&file.limits, problems),
        reconnect: reconnect(&file.reconnect, problems),
        admin_socket: file.admin_socket.as_ref().map(|text| directory.join(text.get_ref())),
        librdpmux: file
            .librdpmux
            .as_ref()
            .map(|section| librdpmux::check(section, directory, problems)),
        vnc: file.vnc.as_ref().map(|section| vnc::check(section, problems)),
        outlets: streams::outlets(&file.streams, directory, problems),
        machines,
        warnings: Vec::new(),
    };
    check_whole(file, &config, problems);
    config.warnings = warnings(&config);
    config
}

/// What shows only when all parts are there.
fn check_whole(file: &raw::File, config: &Config, problems: &mut Problems<'_>) {
    if file.vm.is_empty() && file.discover.is_empty() && file.librdpmux.is_none() {
        problems.overall("there is nothing to serve; add a [[vm]], a [[discover]] or a [librdpmux] section");
    }
    if let (Some(name), Some(text)) = (&config.default_desktop, &file.default_desktop) {
        let known = config
            .machines
            .iter()
            .any(|machine| machine.name.vm().eq_ignore_ascii_case(name.vm()));
        if !known && file.discover.is_empty() && file.librdpmux.is_none() {
            let names = config.machines.iter().map(|machine| machine.name.as_str());
            let near = keys::nearest(name.vm(), names)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            problems.at(
                text.span().start,
                format!("`default_desktop`: no [[vm]] is called `{}`{near}", name.vm()),
            );
        }
    }
}

fn warnings(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    match &config.librdpmux {
        _ if !config.grants.is_empty() => {}
        None => warnings.push("there is no [[grant]]: nobody may see any desktop".to_owned()),
        Some(_) => warnings.push(
            "there is no [[grant]]: nobody may see any desktop, but for users of the credential files of librdpmux's \
             machines"
                .to_owned(),
        ),
    }
    if let Some(section) = config.librdpmux.as_ref().filter(|section| section.no_auth) {
        warnings.push(format!(
            "`librdpmux.no_auth`: anybody who reaches {} may see and control machines that have no credential file",
            section.listen
        ));
    }
    for machine in &config.machines {
        if !config.grants.is_empty() && !config.grants.iter().any(|grant| grant.covers(machine.name.vm())) {
            warnings.push(format!(
                "no [[grant]] covers the machine `{}`: nobody may see it",
                machine.name
            ));
        }
    }
    warnings
}

pub(super) fn listen(key: &str, text: &Spanned<String>, problems: &mut Problems<'_>) -> Option<SocketAddr> {
    let parsed = text.get_ref().parse();
    if parsed.is_err() {
        let what = format!(
            "`{key}` takes an address and a port such as 127.0.0.1:3389 or [::]:3389, not `{}`",
            text.get_ref()
        );
        problems.at(text.span().start, what);
    }
    parsed.ok()
}

fn desktop_name(key: &str, text: &Spanned<String>, problems: &mut Problems<'_>) -> Option<DesktopName> {
    match DesktopName::new(text.get_ref()) {
        Ok(name) => Some(name),
        Err(rule) => {
            problems.at(
                text.span().start,
                format!("`{key}`: `{}` cannot name a desktop: {rule}", text.get_ref()),
            );
            None
        }
    }
}

fn texts(key: &str, texts: &[Spanned<String>], problems: &mut Problems<'_>) -> Vec<String> {
    for text in texts.iter().filter(|text| text.get_ref().is_empty()) {
        problems.at(text.span().start, format!("`{key}` has an empty entry"));
    }
    texts
        .iter()
        .map(|text| text.get_ref().trim_matches('.').to_owned())
        .collect()
}

/// A switch that is off unless it is switched on.
pub(super) fn is_switched_on(switch: &Option<Spanned<bool>>) -> bool {
    switch.as_ref().is_some_and(|value| *value.get_ref())
}

/// A switch that is on unless it is switched off.
fn is_on(switch: &Option<Spanned<bool>>) -> bool {
    switch.as_ref().is_none_or(|value| *value.get_ref())
}

fn logins(file: &raw::File, problems: &mut Problems<'_>) -> Logins {
    let logins = Logins {
        nla: is_on(&file.nla),
        tls: is_on(&file.tls_logins),
        plain: false,
    };
    if let (false, false, Some(switch)) = (logins.nla, logins.tls, &file.tls_logins) {
        problems.at(
            switch.span().start,
            "`nla` and `tls_logins` are both false, so nobody could log in; leave one true",
        );
    }
    logins
}

fn certificate(tls: &Spanned<raw::Tls>, directory: &Path, problems: &mut Problems<'_>) -> Option<CertificateFiles> {
    let present = |key: &str, text: &Option<Spanned<String>>, problems: &mut Problems<'_>| {
        let Some(text) = text else {
            problems.at(
                tls.span().start,
                format!("[tls] needs `certificate` and `key`; `{key}` is missing"),
            );
            return None;
        };
        let path = directory.join(text.get_ref());
        if let Err(error) = std::fs::metadata(&path) {
            problems.at(text.span().start, format!("`tls.{key}`: {}: {error}", path.display()));
        }
        Some(path)
    };
    let certificate = present("certificate", &tls.get_ref().certificate, problems);
    let key = present("key", &tls.get_ref().key, problems);
    Some(CertificateFiles {
        certificate: certificate?,
        key: key?,
    })
}

fn machines(
    entries: &[Spanned<raw::Vm>],
    usual_layout: Option<Layout>,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Vec<Machine> {
    let mut seen = HashSet::new();
    let mut machines = Vec::new();
    for entry in entries {
        let Some(text) = &entry.get_ref().name else {
            problems.at(entry.span().start, "this [[vm]] has no `name`");
            continue;
        };
        let name = desktop_name("name", text, problems);
        if name.as_ref().is_some_and(|name| name.as_str().contains('/')) {
            problems.at(
                text.span().start,
                format!(
                    "`name`: `{}` must not contain a /, which marks further heads",
                    text.get_ref()
                ),
            );
        } else if name.as_ref().is_some_and(|name| !seen.insert(name.clone())) {
            problems.at(
                text.span().start,
                format!("`name`: there is already a [[vm]] called `{}`", text.get_ref()),
            );
        }
        let source = source(entry, directory, problems);
        let take_over = take_over::of_vm(entry, problems);
        let own_layout = entry.get_ref().layout.as_ref();
        let layout = own_layout.map_or(usual_layout, |text| layout(text, problems));
        machines.extend(name.zip(source).map(|(name, source)| Machine {
            name,
            source,
            resize: is_on(&entry.get_ref().resize),
            layout,
            take_over: take_over.clone(),
            streams: streams::sources(&entry.get_ref().streams, problems),
        }));
    }
    machines
}

fn layout(text: &Spanned<String>, problems: &mut Problems<'_>) -> Option<Layout> {
    let layout = Layout::by_name(text.get_ref());
    if layout.is_none() {
        let names: Vec<&str> = Layout::names().collect();
        problems.at(
            text.span().start,
            format!(
                "`layout`: there is no layout `{}`; there are {}",
                text.get_ref(),
                names.join(", ")
            ),
        );
    }
    layout
}

fn source(entry: &Spanned<raw::Vm>, directory: &Path, problems: &mut Problems<'_>) -> Option<Source> {
    let vm = entry.get_ref();
    match (&vm.qmp, &vm.dbus, &vm.dbus_vm) {
        (Some(_), Some(dbus), _) => {
            problems.at(dbus.span().start, "this [[vm]] has both `qmp` and `dbus`; keep one");
            None
        }
        (None, None, None) if !vm.streams.is_empty() => Some(Source::NoScreen),
        (None, None, _) => {
            problems.at(
                entry.span().start,
                "this [[vm]] has neither `qmp` nor `dbus` nor `streams`, so there is nothing to show",
            );
            None
        }
        (Some(_), None, Some(dbus_vm)) => {
            problems.at(
                dbus_vm.span().start,
                "`dbus_vm` goes with `dbus`; a QMP socket has one machine only",
            );
            None
        }
        (Some(qmp), None, None) => Some(Source::Qmp(directory.join(qmp.get_ref()))),
        (None, Some(dbus), vm) => {
            if !dbus.get_ref().contains(':') {
                let what = format!(
                    "`dbus` takes a D-Bus address such as unix:path=/run/x.sock, not `{}`",
                    dbus.get_ref()
                );
                problems.at(dbus.span().start, what);
            }
            Some(Source::Bus {
                address: dbus.get_ref().clone(),
                vm: vm.as_ref().map(|vm| vm.get_ref().clone()),
            })
        }
    }
}

fn discover(
    entry: &Spanned<raw::Discover>,
    usual_layout: Option<Layout>,
    directory: &Path,
    problems: &mut Problems<'_>,
) -> Option<Discovery> {
    let own_layout = entry.get_ref().layout.as_ref();
    let layout = own_layout.map_or(usual_layout, |text| layout(text, problems));
    let Some(text) = &entry.get_ref().qmp else {
        problems.at(entry.span().start, "this [[discover]] has no `qmp` pattern");
        return None;
    };
    match SocketPattern::new(&directory.join(text.get_ref())) {
        Ok(sockets) => Some(Discovery {
            sockets,
            layout,
            take_over: take_over::of_all(entry, problems),
        }),
        Err(rule) => {
            problems.at(
                text.span().start,
                format!("`discover.qmp`: `{}`: {rule}", text.get_ref()),
            );
            None
        }
    }
}

fn grant(entry: &Spanned<raw::Grant>, problems: &mut Problems<'_>) -> Option<Grant> {
    let grant = entry.get_ref();
    for (key, list, nobody) in [
        ("users", &grant.users, "nobody"),
        ("vms", &grant.vms, "no machine"),
        ("rights", &grant.rights, "no right"),
    ] {
        if list.is_empty() {
            problems.at(
                entry.span().start,
                format!("this [[grant]] is for {nobody}; give `{key}`"),
            );
            return None;
        }
    }
    for user in &grant.users {
        let plain = user.get_ref().replace(['*', '?'], "x");
        if UserName::new(&plain).is_err() {
            problems.at(
                user.span().start,
                format!("`users`: `{}` cannot name a user", user.get_ref()),
            );
        }
    }
    for vm in &grant.vms {
        let plain = vm.get_ref().replace(['*', '?'], "x");
        if DesktopName::new(&plain).is_err() || plain.contains('/') {
            problems.at(
                vm.span().start,
                format!("`vms`: `{}` cannot name a machine", vm.get_ref()),
            );
        }
    }
    let patterns = |list: &[Spanned<String>]| list.iter().map(|text| Pattern::new(text.get_ref().as_str())).collect();
    let granted = rights::rights(&grant.rights, problems);
    Some(Grant {
        users: patterns(&grant.users),
        vms: patterns(&grant.vms),
        rights: Rights {
            sound: rights::sound(grant.sound.as_ref(), problems),
            resize: granted.control && is_on(&grant.resize),
            ..granted
        },
        clipboard: clipboard::policy(grant, problems),
        streams: rights::streams(grant.streams.as_ref(), granted, problems),
    })
}

fn limits(raw: &raw::Limits, problems: &mut Problems<'_>) -> Limits {
    let defaults = Limits::default();
    let mut number = |key: &str, value: &Option<Spanned<i64>>, most: u32| {
        let value = value.as_ref()?;
        number(&format!("limits.{key}"), value, 1..=most, problems)
    };
    let handshake = number("handshake_seconds", &raw.handshake_seconds, 600);
    let write = number("write_seconds", &raw.write_seconds, 600);
    let handshakes = number("handshakes", &raw.handshakes, 65_536);
    let per_address = number("handshakes_per_address", &raw.handshakes_per_address, 65_536);
    let sessions = number("sessions", &raw.sessions, 65_536);
    let idle = number("idle_seconds", &raw.idle_seconds, 31_536_000);
    let seconds =
        |value: Option<u32>, default| value.map_or(default, |seconds| Duration::from_secs(u64::from(seconds)));
    let count = |value: Option<u32>, default| value.and_then(|count| usize::try_from(count).ok()).unwrap_or(default);
    Limits {
        handshake: seconds(handshake, defaults.handshake),
        write: seconds(write, defaults.write),
        handshakes: count(handshakes, defaults.handshakes),
        handshakes_per_address: count(per_address, defaults.handshakes_per_address),
        sessions: count(sessions, defaults.sessions),
        idle: idle.map(|seconds| Duration::from_secs(u64::from(seconds))),
        ..defaults
    }
}

fn reconnect(raw: &raw::Reconnect, problems: &mut Problems<'_>) -> Reconnect {
    let defaults = Reconnect::default();
    let seconds = raw
        .seconds
        .as_ref()
        .and_then(|value| number("reconnect.seconds", value, 0..=86_400, problems));
    Reconnect {
        within: seconds.map_or(defaults.within, |seconds| Duration::from_secs(u64::from(seconds))),
        any_address: raw
            .any_address
            .as_ref()
            .map_or(defaults.any_address, |value| *value.get_ref()),
    }
}

/// A whole number within a range.
pub(super) fn number(
    key: &str,
    value: &Spanned<i64>,
    range: std::ops::RangeInclusive<u32>,
    problems: &mut Problems<'_>,
) -> Option<u32> {
    let fits = u32::try_from(*value.get_ref())
        .ok()
        .filter(|number| range.contains(number));
    if fits.is_none() {
        let what = format!(
            "`{key}` takes {} to {}, not {}",
            range.start(),
            range.end(),
            value.get_ref()
        );
        problems.at(value.span().start, what);
    }
    fits
}
