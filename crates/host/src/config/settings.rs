//! Every setting of the configuration file in one table: what it is called, what it takes, its default and what it does.
//! The reader checks keys and types against it and the reference is printed from it; nothing else lists settings.

use std::fmt::Write as _;

/// What a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Texts,
    Switch,
    Number,
    Table,
}

impl Kind {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts, for example [\"a\", \"b\"]",
            Self::Switch => "true or false",
            Self::Number => "a whole number",
            Self::Table => "a table of texts, for example { a = \"b\" }",
        }
    }
}

/// One key.
pub(super) struct Setting {
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// As it would be written; empty if there is none.
    pub(super) default: &'static str,
    pub(super) text: &'static str,
}

/// Where keys stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Before the first header.
    Top,
    /// `[name]`, at most once.
    Table,
    /// `[[name]]`, any number of times.
    List,
}

pub(super) struct Section {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) text: &'static str,
    pub(super) settings: &'static [Setting],
}

impl Section {
    /// As its header is written; empty at the top.
    pub(super) fn header(&self) -> String {
        match self.form {
            Form::Top => String::new(),
            Form::Table => format!("[{}]", self.name),
            Form::List => format!("[[{}]]", self.name),
        }
    }
}

const fn setting(key: &'static str, kind: Kind, default: &'static str, text: &'static str) -> Setting {
    Setting {
        key,
        kind,
        default,
        text,
    }
}

const MONITOR: &str = "QEMU's monitor is a stream, too, called monitor, for users whose grant has streams = \"all\". Who types there can read and \
                       write files of the host.";
const TAKE_OVER: &str = "Labels of character devices that are taken over through QMP, whatever backend they have, and put back at the end; \
                         * and ? match as in a shell, for example [\"serial*\"]. Not under libvirt.";

pub(super) const SECTIONS: &[Section] = &[
    Section {
        name: "",
        form: Form::Top,
        text: "",
        settings: &[
            setting(
                "listen",
                Kind::Text,
                "\"127.0.0.1:3389\"",
                "Address and port to listen on. Port 0 lets the kernel choose.",
            ),
            setting(
                "state_dir",
                Kind::Text,
                "\"/var/lib/rdpmux\"",
                "Directory of the certificate and the users file, made with mode 0700.",
            ),
            setting(
                "admin_socket",
                Kind::Text,
                "",
                "Where `rdpmux keys`, `power`, `screenshot`, `sessions` and `disconnect` reach the daemon; mode 0600. Without \
                 it: rdpmux/admin.sock in XDG_RUNTIME_DIR, else in /run.",
            ),
            setting(
                "default_desktop",
                Kind::Text,
                "",
                "Desktop for clients that name none. Without it: the only desktop, if there is exactly one.",
            ),
            setting(
                "layout",
                Kind::Text,
                "",
                "Keyboard layout of the guests, for example \"de\", for clients that send characters. Without it: the client's.",
            ),
            setting(
                "server_names",
                Kind::Texts,
                "[]",
                "With \"consoles.example\" the TLS server name web1.consoles.example chooses the desktop web1.",
            ),
            setting(
                "login_domains",
                Kind::Texts,
                "[]",
                "Login domains that are real ones, so that CORP\\alice does not ask for a desktop CORP.",
            ),
            setting("nla", Kind::Switch, "true", "Offer Network Level Authentication."),
            setting(
                "tls_logins",
                Kind::Switch,
                "true",
                "Offer name and password inside TLS, for clients without NLA.",
            ),
            setting(
                "rdp2tcp",
                Kind::Switch,
                "false",
                "Let clients use streams through FreeRDP's /rdp2tcp too; see `rdpmux stream-helper`.",
            ),
        ],
    },
    Section {
        name: "tls",
        form: Form::Table,
        text: "A certificate of your own. Without it one is made on first start and kept in state_dir.",
        settings: &[
            setting(
                "certificate",
                Kind::Text,
                "",
                "PEM file with the certificate chain, leaf first.",
            ),
            setting("key", Kind::Text, "", "PEM file with its private key, mode 0600."),
        ],
    },
    Section {
        name: "vm",
        form: Form::List,
        text: "A machine with a fixed name. Give qmp or dbus, or nothing but streams for a machine without a screen.",
        settings: &[
            setting("name", Kind::Text, "", "Name by which clients ask for it."),
            setting(
                "qmp",
                Kind::Text,
                "",
                "QMP socket of a QEMU started with -display dbus,p2p=yes.",
            ),
            setting(
                "dbus",
                Kind::Text,
                "",
                "D-Bus address of a QEMU started with -display dbus, for example unix:path=/run/x.sock.",
            ),
            setting(
                "dbus_vm",
                Kind::Text,
                "",
                "Name or UUID of the machine, if that bus carries several.",
            ),
            setting(
                "resize",
                Kind::Switch,
                "true",
                "The guest's heads take the sizes of a viewer's monitors or window.",
            ),
            setting(
                "layout",
                Kind::Text,
                "",
                "Keyboard layout of this guest, if it is not that of all.",
            ),
            setting("take_over", Kind::Texts, "[]", TAKE_OVER),
            setting("monitor", Kind::Switch, "false", MONITOR),
            setting(
                "restore",
                Kind::Table,
                "",
                "What those are, where QEMU's command line does not tell, by label: serial0 = \"file:/var/log/web1.log\", or pty, \
                 pty:LINK, udp:HOST:PORT, unix:PATH,server=on, tcp:HOST:PORT,server=on.",
            ),
            setting(
                "streams",
                Kind::Texts,
                "[]",
                "Character devices outside of QEMU's display, as NAME=PLACE: listen:PATH (a socket of ours that the hypervisor connects \
                 to, best of all), unix:PATH, tcp:HOST:PORT, pty:PATH, file:PATH (is only read).",
            ),
        ],
    },
    Section {
        name: "discover",
        form: Form::List,
        text: "Machines that come and go: each matching socket is one, named after the file without its ending.",
        settings: &[
            setting(
                "qmp",
                Kind::Text,
                "",
                "Pattern for QMP sockets, with * and ? in the file name, for example /run/rdpmux/vm/*.qmp.",
            ),
            setting(
                "layout",
                Kind::Text,
                "",
                "Keyboard layout of these guests, if it is not that of all.",
            ),
            setting("take_over", Kind::Texts, "[]", TAKE_OVER),
            setting("monitor", Kind::Switch, "false", MONITOR),
        ],
    },
    Section {
        name: "grant",
        form: Form::List,
        text: "Who may do what. Rights of several grants add up; without a grant nobody sees anything.",
        settings: &[
            setting("users", Kind::Texts, "", "User names; * and ? match as in a shell."),
            setting("vms", Kind::Texts, "", "Machine names; * and ? match as in a shell."),
            setting(
                "rights",
                Kind::Texts,
                "",
                "\"view\" to see; \"control\" to see, type and click; \"power\" to see, and to press power, reset and pause.",
            ),
            setting(
                "sound",
                Kind::Text,
                "\"out\"",
                "\"out\" to hear the machine, \"both\" to speak into its microphone too, \"off\" for neither.",
            ),
            setting(
                "streams",
                Kind::Text,
                "\"off\"",
                "Serial ports and consoles: \"watch\" to read them and what they said before, \"write\" to type into them too (needs control), \"all\" for that, \
                 ports of programs and QEMU's monitor, \"off\".",
            ),
            setting(
                "resize",
                Kind::Switch,
                "true",
                "With \"control\": the guest's heads may take the sizes of these users' monitors or windows.",
            ),
            setting(
                "clipboard",
                Kind::Text,
                "\"both\"",
                "\"in\": what users copy reaches the machine and its other viewers; \"out\": what is copied there reaches them; \"both\"; \"off\". Needs control.",
            ),
            setting(
                "clipboard_kinds",
                Kind::Texts,
                "[\"text\", \"images\", \"files\"]",
                "What the clipboard may carry. Images and files go between viewers.",
            ),
            setting(
                "clipboard_mib",
                Kind::Number,
                "64",
                "Most MiB of one transfer, or of one file. More than 64 counts for files only.",
            ),
        ],
    },
    Section {
        name: "limits",
        form: Form::Table,
        text: "Ceilings. What exceeds one ends that connection only.",
        settings: &[
            setting(
                "handshake_seconds",
                Kind::Number,
                "20",
                "From connecting to the end of the login.",
            ),
            setting(
                "write_seconds",
                Kind::Number,
                "15",
                "A client that takes nothing for this long is dropped.",
            ),
            setting(
                "handshakes",
                Kind::Number,
                "256",
                "Connections that have not logged in yet.",
            ),
            setting(
                "handshakes_per_address",
                Kind::Number,
                "32",
                "The same from one address.",
            ),
            setting("sessions", Kind::Number, "512", "Sessions at once."),
            setting(
                "idle_seconds",
                Kind::Number,
                "",
                "A session in which nothing is typed or clicked for this long is closed. Without it: never.",
            ),
        ],
    },
    Section {
        name: "reconnect",
        form: Form::Table,
        text: "Clients whose connection breaks come back by themselves, to the same desktop and without a password.",
        settings: &[
            setting(
                "seconds",
                Kind::Number,
                "300",
                "For so long after the break; 0 switches it off. Each cookie is good once.",
            ),
            setting(
                "any_address",
                Kind::Switch,
                "false",
                "Also from another address than before, for clients that change networks.",
            ),
        ],
    },
    STREAMS,
    VNC,
    LIBRDPMUX,
];

/// The section that is about VNC viewers.
const VNC: Section = Section {
    name: "vnc",
    form: Form::Table,
    text: "VNC viewers may connect too: with VeNCrypt (X509Plain), so with this daemon's certificate, users and grants. The desktop \
           is chosen by the user name, alice#web1. Without this section none can.",
    settings: &[
        setting(
            "listen",
            Kind::Text,
            "\"127.0.0.1:5900\"",
            "Address and port for them. Port 0 lets the kernel choose.",
        ),
        setting(
            "streams_2009",
            Kind::Number,
            "",
            "A number for the pseudo-encoding by which viewers ask for character devices as in 2009 (docs/rfb.md), for example \
             -900. Without it: they cannot.",
        ),
    ],
};

/// The section about streams of all machines.
const STREAMS: Section = Section {
    name: "streams",
    form: Form::Table,
    text: "What serial ports and consoles say, besides to who watches them.",
    settings: &[
        setting(
            "record_dir",
            Kind::Text,
            "",
            "Directory for a file of each stream, VM.STREAM.log, with the time before each line; mode 0600. Without it: none.",
        ),
        setting(
            "record_mib",
            Kind::Number,
            "16",
            "Size at which such a file is set aside.",
        ),
        setting(
            "record_files",
            Kind::Number,
            "4",
            "Files that are kept of a stream, that one among them.",
        ),
        setting(
            "socket_dir",
            Kind::Text,
            "",
            "Directory for a Unix socket of each stream, VM/STREAM, for socat, screen or conserver; for the daemon's user alone. \
             Without it: none.",
        ),
    ],
};

/// The section that is about machines which register.
const LIBRDPMUX: Section = Section {
    name: "librdpmux",
    form: Form::Table,
    text: "Machines whose hypervisor is built with librdpmux register over D-Bus. Each is a desktop named by its UUID, and by its \
           id, and has a port of its own besides. Without this section none do.",
    settings: &[
        setting(
            "bus",
            Kind::Text,
            "\"system\"",
            "Bus on which to be org.RDPMux.RDPMux: \"system\", or an address, for example unix:path=/run/x.sock.",
        ),
        setting(
            "listen",
            Kind::Text,
            "\"127.0.0.1\"",
            "Address of the machines' own ports; 0.0.0.0 for all.",
        ),
        setting(
            "first_port",
            Kind::Number,
            "3901",
            "A machine that asks for no port gets the first free one from here on.",
        ),
        setting(
            "socket",
            Kind::Text,
            "\"@/tmp/rdpmux\"",
            "Where hypervisors connect for protocol 5: a path, or with @ a name in the abstract namespace.",
        ),
        setting(
            "socket6",
            Kind::Text,
            "\"/run/rdpmux/librdpmux.sock\"",
            "The same for protocol 6, a path.",
        ),
        setting(
            "no_auth",
            Kind::Switch,
            "false",
            "At the own port of a machine that was registered without a credential file nobody is asked for a password. \
             Without it: the users and grants of this daemon.",
        ),
    ],
};

/// The reference page: every setting with its default, in the form of a configuration file.
pub fn reference() -> String {
    let mut page = String::new();
    for section in SECTIONS {
        if section.form != Form::Top {
            let _ = writeln!(page, "\n# {}\n{}", section.text, section.header());
        }
        for setting in section.settings {
            let _ = writeln!(page, "  # {}", setting.text);
            match setting.default {
                "" => {
                    let _ = writeln!(page, "  {} = …  ({})", setting.key, setting.kind.words());
                }
                default => {
                    let _ = writeln!(page, "  {} = {default}", setting.key);
                }
            }
        }
    }
    page
}
