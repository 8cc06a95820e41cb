use std::path::Path;

use expect_test::{Expect, expect};
use rdpmux_model::Rights;

use super::*;

/// The problems of a text, one per line.
fn check(text: &str, expected: Expect) {
    let outcome = match Config::parse(text, Path::new("/etc/rdpmux.toml")) {
        Ok(config) => format!("fine\n{}", config.warnings.join("\n")),
        Err(error) => error.to_string(),
    };
    expected.assert_eq(outcome.trim_end());
}

const VM: &str = "[[vm]]\nname = \"web1\"\nqmp = \"/run/web1.qmp\"\n";

#[test]
fn a_full_configuration_is_read() {
    let text = r#"
        listen = "[::]:3390"
        state_dir = "state"
        default_desktop = "web1/1"
        layout = "de"
        server_names = ["consoles.example."]
        login_domains = ["CORP"]
        tls_logins = false

        [[vm]]
        name = "web1"
        qmp = "web1.qmp"
        [[vm]]
        name = "web2"
        dbus = "unix:path=/run/x.sock"
        dbus_vm = "w2"
        layout = "jp"
        [[discover]]
        qmp = "/run/rdpmux/vm/*.qmp"
        layout = "fr"
        [[grant]]
        users = ["alice", "*"]
        vms = ["web*"]
        rights = ["control"]
        streams = "write"
        [limits]
        handshake_seconds = 5
        sessions = 7
        idle_seconds = 600
        [reconnect]
        seconds = 0
        any_address = true
    "#;
    let config = Config::parse(text, Path::new("/etc/rdpmux/rdpmux.toml")).expect("valid");
    assert_eq!(config.listen, "[::]:3390".parse().expect("address"));
    assert_eq!(config.users_path(), Path::new("/etc/rdpmux/state/users"));
    assert_eq!(config.routing.server_names, ["consoles.example"]);
    assert!(config.logins.nla && !config.logins.tls);
    assert_eq!(config.machines[0].source, Source::Qmp("/etc/rdpmux/web1.qmp".into()));
    let bus = Source::Bus {
        address: "unix:path=/run/x.sock".into(),
        vm: Some("w2".into()),
    };
    assert_eq!(config.machines[1].source, bus);
    assert_eq!(config.discover.len(), 1);
    let machines = &config.machines;
    let layouts = [
        config.layout,
        machines[0].layout,
        machines[1].layout,
        config.discover[0].layout,
    ];
    assert_eq!(
        layouts.map(|layout| layout.map(|l| l.name())),
        [Some("de"), Some("de"), Some("jp"), Some("fr")]
    );
    assert_eq!(config.grants[0].rights, Rights::CONTROL);
    assert_eq!(config.grants[0].streams.rights, rdpmux_streams::Rights::ALL);
    assert_eq!(
        (
            config.limits.handshake.as_secs(),
            config.limits.write.as_secs(),
            config.limits.sessions
        ),
        (5, 15, 7)
    );
    assert_eq!(config.limits.idle.map(|idle| idle.as_secs()), Some(600));
    assert!(config.reconnect.within.is_zero() && config.reconnect.any_address);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn sizes_can_be_fixed_for_a_machine_and_for_users() {
    let fixed = VM.replace("[[vm]]", "[[vm]]\nresize = false");
    let grant = |more: &str| format!("[[grant]]\nusers = [\"*\"]\nvms = [\"*\"]\n{more}\n");
    let text = format!(
        "{fixed}{}{}",
        grant("rights = [\"control\"]\nresize = false"),
        grant("rights = [\"view\"]")
    );
    let config = Config::parse(&text, Path::new("x")).expect("valid");
    assert!(!config.machines[0].resize);
    let may: Vec<_> = config.grants.iter().map(|grant| grant.rights.may_resize()).collect();
    assert_eq!(may, [false, false]);
    let config = Config::parse(&format!("{VM}{}", grant("rights = [\"control\"]")), Path::new("x")).expect("valid");
    assert!(config.machines[0].resize && config.grants[0].rights.may_resize());
}

#[test]
fn the_example_of_the_error_message_is_valid() {
    Config::parse(EXAMPLE, Path::new("x")).expect("valid");
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_valid_key() {
    check(
        "lsten = \"127.0.0.1:1\"\ntls-logins = true\nxyzzy = 1\n[[vms]]\nname = \"a\"\n[[vm]]\nqpm = \"a\"\nlisten = \"\"\n[limits]\nqmp = 1\nsesions = 3\n",
        expect![[r#"
            /etc/rdpmux.toml:1: unknown key `lsten`; did you mean `listen`?
            /etc/rdpmux.toml:2: unknown key `tls-logins`; did you mean `tls_logins`?
            /etc/rdpmux.toml:3: unknown key `xyzzy`; valid keys: admin_socket, default_desktop, discover, grant, layout, librdpmux, limits, listen, login_domains, nla, rdp2tcp, reconnect, server_names, state_dir, streams, tls, tls_logins, vm, vnc
            /etc/rdpmux.toml:4: unknown key `vms`; did you mean `vm`?
            /etc/rdpmux.toml:7: unknown key `qpm` in [[vm]]; did you mean `qmp`?
            /etc/rdpmux.toml:8: unknown key `listen` in [[vm]]; it belongs to the top of the file or [vnc] or [librdpmux]
            /etc/rdpmux.toml:10: unknown key `qmp` in [limits]; it belongs to [[vm]] or [[discover]]
            /etc/rdpmux.toml:11: unknown key `sesions` in [limits]; did you mean `sessions`?"#]],
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused_with_their_line() {
    check(
        "listen = 3389\nnla = \"yes\"\nserver_names = \"a\"\nlogin_domains = [1]\nvm = 1\n[tls]\nkey = []\n[limits]\nsessions = 1.5\n",
        expect![[r#"
            /etc/rdpmux.toml:1: `listen` takes a text in quotes, not a number
            /etc/rdpmux.toml:2: `nla` takes true or false, not a text
            /etc/rdpmux.toml:3: `server_names` takes a list of texts, for example ["a", "b"], not a text
            /etc/rdpmux.toml:4: `login_domains` takes a list of texts, for example ["a", "b"], not this list
            /etc/rdpmux.toml:5: `vm` is written as a section: [[vm]]
            /etc/rdpmux.toml:7: `key` takes a text in quotes, not this list
            /etc/rdpmux.toml:9: `sessions` takes a whole number, not a float"#]],
    );
    check(
        "[vm]\nname = \"web1\"\n[[limits]]\n",
        expect![[r#"
            /etc/rdpmux.toml:1: `vm` is written as a section: [[vm]]
            /etc/rdpmux.toml:3: `limits` is written as a section: [limits]"#]],
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    check(
        "listen = \n",
        expect!["/etc/rdpmux.toml:1: string values must be quoted, expected literal string"],
    );
    check(
        "nla = true\nnla = false\n",
        expect!["/etc/rdpmux.toml:2: duplicate key"],
    );
}

#[test]
fn addresses_numbers_and_logins_are_checked() {
    check(
        &format!(
            "listen = \"localhost:3389\"\nnla = false\ntls_logins = false\nserver_names = [\"\"]\n{VM}[limits]\nsessions = 0\nwrite_seconds = -5\n"
        ),
        expect![[r#"
            /etc/rdpmux.toml:1: `listen` takes an address and a port such as 127.0.0.1:3389 or [::]:3389, not `localhost:3389`
            /etc/rdpmux.toml:3: `nla` and `tls_logins` are both false, so nobody could log in; leave one true
            /etc/rdpmux.toml:4: `server_names` has an empty entry
            /etc/rdpmux.toml:9: `limits.sessions` takes 1 to 65536, not 0
            /etc/rdpmux.toml:10: `limits.write_seconds` takes 1 to 600, not -5"#]],
    );
}

#[test]
fn machines_need_a_name_of_their_own_and_one_way_to_them() {
    check(
        &format!(
            "{VM}[[vm]]\nname = \"WEB1\"\nqmp = \"x\"\n[[vm]]\nname = \"a b\"\nqmp = \"x\"\n[[vm]]\nname = \"c/1\"\nqmp = \"x\"\n[[vm]]\nqmp = \"x\"\n[[vm]]\nname = \"d\"\n[[vm]]\nname = \"e\"\nqmp = \"x\"\ndbus = \"unix:path=x\"\n[[vm]]\nname = \"f\"\ndbus = \"/run/x\"\n[[vm]]\nname = \"g\"\nqmp = \"x\"\ndbus_vm = \"x\"\n"
        ),
        expect![[r#"
            /etc/rdpmux.toml:5: `name`: there is already a [[vm]] called `WEB1`
            /etc/rdpmux.toml:8: `name`: `a b` cannot name a desktop: a desktop name has 1 to 64 characters of A-Z a-z 0-9 . _ - and at most one / before a head's number
            /etc/rdpmux.toml:11: `name`: `c/1` must not contain a /, which marks further heads
            /etc/rdpmux.toml:13: this [[vm]] has no `name`
            /etc/rdpmux.toml:15: this [[vm]] has neither `qmp` nor `dbus` nor `streams`, so there is nothing to show
            /etc/rdpmux.toml:20: this [[vm]] has both `qmp` and `dbus`; keep one
            /etc/rdpmux.toml:23: `dbus` takes a D-Bus address such as unix:path=/run/x.sock, not `/run/x`
            /etc/rdpmux.toml:27: `dbus_vm` goes with `dbus`; a QMP socket has one machine only"#]],
    );
}

#[test]
fn an_unknown_layout_is_refused_with_those_that_there_are() {
    let text = format!("layout = \"klingon\"\n{VM}");
    let error = Config::parse(&text, Path::new("x"))
        .expect_err("no such layout")
        .to_string();
    assert!(
        error.contains("there is no layout `klingon`; there are us, "),
        "{error}"
    );
    assert!(error.contains("x:1"), "{error}");
}

#[test]
fn there_must_be_something_to_serve_and_the_default_must_exist() {
    check(
        "",
        expect!["/etc/rdpmux.toml: there is nothing to serve; add a [[vm]], a [[discover]] or a [librdpmux] section"],
    );
    check(
        &format!("default_desktop = \"wbe1\"\n{VM}"),
        expect!["/etc/rdpmux.toml:1: `default_desktop`: no [[vm]] is called `wbe1`; did you mean `web1`?"],
    );
}

#[test]
fn discovery_takes_patterns_in_the_file_name_only() {
    check(
        "[[discover]]\nqmp = \"/run/vm/web1.qmp\"\n[[discover]]\nqmp = \"/run/*/web1.qmp\"\n[[discover]]\n",
        expect![[r#"
            /etc/rdpmux.toml:2: `discover.qmp`: `/run/vm/web1.qmp`: the file name needs a * or ?; for one socket write a [[vm]] with `qmp`
            /etc/rdpmux.toml:4: `discover.qmp`: `/run/*/web1.qmp`: * and ? may stand in the file name only, not in a directory
            /etc/rdpmux.toml:5: this [[discover]] has no `qmp` pattern"#]],
    );
}

#[test]
fn grants_to_nobody_and_unknown_rights_are_refused() {
    check(
        &format!(
            "{VM}[[grant]]\nvms = [\"*\"]\nrights = [\"view\"]\n[[grant]]\nusers = [\"a\"]\nvms = []\nrights = [\"view\"]\n[[grant]]\nusers = [\"a\"]\nvms = [\"*\"]\n[[grant]]\nusers = [\"al ice\"]\nvms = [\"web1/1\"]\nrights = [\"contrl\", \"admin\"]\n"
        ),
        expect![[r#"
            /etc/rdpmux.toml:4: this [[grant]] is for nobody; give `users`
            /etc/rdpmux.toml:7: this [[grant]] is for no machine; give `vms`
            /etc/rdpmux.toml:11: this [[grant]] is for no right; give `rights`
            /etc/rdpmux.toml:15: `users`: `al ice` cannot name a user
            /etc/rdpmux.toml:16: `vms`: `web1/1` cannot name a machine
            /etc/rdpmux.toml:17: `rights`: there is no right `admin`; the rights are view, control and power
            /etc/rdpmux.toml:17: `rights`: there is no right `contrl`; did you mean `control`?"#]],
    );
}

#[test]
fn what_is_allowed_but_hardly_meant_is_a_warning() {
    check(
        VM,
        expect![[r#"
        fine
        there is no [[grant]]: nobody may see any desktop"#]],
    );
    check(
        &format!("{VM}[[grant]]\nusers = [\"a\"]\nvms = [\"db*\"]\nrights = [\"view\"]\n"),
        expect![[r#"
        fine
        no [[grant]] covers the machine `web1`: nobody may see it"#]],
    );
}

#[test]
fn a_certificate_of_ones_own_needs_both_files() {
    check(
        &format!("[tls]\ncertificate = \"/nonexistent/c.pem\"\n{VM}"),
        expect![[r#"
        /etc/rdpmux.toml:1: [tls] needs `certificate` and `key`; `key` is missing
        /etc/rdpmux.toml:2: `tls.certificate`: /nonexistent/c.pem: No such file or directory (os error 2)"#]],
    );
}

#[test]
fn a_missing_file_says_how_to_begin() {
    let error = Config::load(Path::new("/nonexistent/rdpmux.toml"))
        .expect_err("missing")
        .to_string();
    assert!(
        error.starts_with("/nonexistent/rdpmux.toml: there is no such file"),
        "{error}"
    );
    assert!(error.contains("[[discover]]") && error.contains("--config"), "{error}");
}

#[test]
fn every_setting_of_the_table_is_read_and_has_its_true_default() {
    // A value of each kind that serde must take at that key: the table and the structures know the same keys.
    let mut text = String::new();
    for section in settings::SECTIONS {
        text.push_str(&section.header());
        text.push('\n');
        for setting in section.settings {
            let value = match setting.kind {
                settings::Kind::Text => "\"x\"",
                settings::Kind::Texts => "[\"x\"]",
                settings::Kind::Switch => "true",
                settings::Kind::Number => "1",
                settings::Kind::Table => "{ x = \"x\" }",
            };
            text.push_str(&format!("{} = {value}\n", setting.key));
        }
    }
    toml::from_str::<raw::File>(&text).expect("the same keys on both sides");

    // A section that is a feature: without it the feature is off.
    let text = format!("{VM}[librdpmux]\n{}", defaults_of("librdpmux"));
    let config = Config::parse(&text, Path::new("x")).expect("defaults are valid");
    assert_eq!(config.librdpmux, Some(Librdpmux::default()));
    let config = |text: &str| Config::parse(&format!("{VM}{text}"), Path::new("x")).expect("valid");
    let vnc = |text: &str| format!("{:?}", config(text).vnc);
    assert_eq!(vnc(&format!("[vnc]\n{}", defaults_of("vnc"))), vnc("[vnc]\n"));
    assert_eq!(vnc(""), "None");

    let defaults: String = settings::SECTIONS
        .iter()
        .filter(|section| section.form != settings::Form::List && !["librdpmux", "vnc"].contains(&section.name))
        .flat_map(|section| {
            let lines = section
                .settings
                .iter()
                .filter(|s| !s.default.is_empty())
                .map(|s| format!("{} = {}\n", s.key, s.default));
            std::iter::once(if section.name == "tls" {
                String::new()
            } else {
                format!("{}\n", section.header())
            })
            .chain(lines)
        })
        .collect();
    let written = Config::parse(&format!("{defaults}{VM}"), Path::new("x")).expect("defaults are valid");
    let absent = Config::parse(VM, Path::new("x")).expect("valid");
    assert_eq!(format!("{written:?}"), format!("{absent:?}"));
    assert!(reference().contains("handshakes_per_address = 32"));
}

/// The lines of a section with its defaults.
fn defaults_of(name: &str) -> String {
    let section = settings::SECTIONS.iter().find(|section| section.name == name);
    let settings = section
        .expect("there")
        .settings
        .iter()
        .filter(|s| !s.default.is_empty());
    settings.map(|s| format!("{} = {}\n", s.key, s.default)).collect()
}

#[test]
fn librdpmux_is_off_without_its_section_and_checked_with_it() {
    assert_eq!(Config::parse(VM, Path::new("x")).expect("valid").librdpmux, None);
    let text = "[librdpmux]\nbus = \"unix:path=/run/x.sock\"\nlisten = \"::\"\nfirst_port = 5000\nsocket = \"mux.sock\"\nno_auth = true\n";
    let config = Config::parse(text, Path::new("/etc/rdpmux/rdpmux.toml")).expect("valid");
    let section = config.librdpmux.expect("there");
    assert_eq!(section.bus, Bus::Address("unix:path=/run/x.sock".into()));
    assert_eq!((section.listen.to_string().as_str(), section.first_port), ("::", 5000));
    assert_eq!(section.sockets.socket.endpoint(), "ipc:///etc/rdpmux/mux.sock");
    assert!(section.no_auth);
    check(
        "[librdpmux]\nbus = \"session\"\nlisten = \"0.0.0.0:3901\"\nfirst_port = 0\nsocket = \"@\"\nfirst_prot = 1\n",
        expect!["/etc/rdpmux.toml:6: unknown key `first_prot` in [librdpmux]; did you mean `first_port`?"],
    );
    check(
        "[librdpmux]\nbus = \"session\"\nlisten = \"0.0.0.0:3901\"\nfirst_port = 0\nsocket = \"@\"\n",
        expect![[r#"
            /etc/rdpmux.toml:2: `librdpmux.bus` takes system, or a D-Bus address such as unix:path=/run/x.sock, not `session`
            /etc/rdpmux.toml:3: `librdpmux.listen` takes an address without a port such as 127.0.0.1 or ::, not `0.0.0.0:3901`
            /etc/rdpmux.toml:4: `librdpmux.first_port` takes 1 to 65535, not 0
            /etc/rdpmux.toml:5: `librdpmux.socket` needs a name after the @"#]],
    );
}

#[test]
fn streams_are_off_unless_granted_and_typing_takes_control() {
    let parse = |rights: &str, streams: &str| {
        let machines = "[[discover]]\nqmp = \"/vm/*.qmp\"";
        let text = format!("{machines}\n[[grant]]\nusers = [\"a\"]\nvms = [\"*\"]\nrights = [\"{rights}\"]\n{streams}");
        Config::parse(&text, Path::new("/etc/rdpmux/rdpmux.toml"))
    };
    let granted = |rights, streams| parse(rights, streams).expect("valid").grants[0].streams.rights;
    let watch = rdpmux_streams::Rights::WATCH.with(rdpmux_streams::Rights::HISTORY);
    assert_eq!(granted("control", ""), rdpmux_streams::Rights::NONE);
    assert_eq!(granted("control", "streams = \"off\""), rdpmux_streams::Rights::NONE);
    assert_eq!(granted("view", "streams = \"watch\""), watch);
    let streams = |word| parse("control", word).expect("valid").grants[0].streams;
    assert!(!streams("streams = \"write\"").all && streams("streams = \"all\"").all);
    for (rights, streams, what) in [
        ("view", "streams = \"write\"", "\"write\" needs the right `control`"),
        ("view", "streams = \"all\"", "\"all\" needs the right `control`"),
        ("control", "streams = \"wtach\"", "did you mean `watch`?"),
    ] {
        let problem = parse(rights, streams).expect_err(streams).to_string();
        assert!(problem.contains(what), "{problem}");
    }
}
