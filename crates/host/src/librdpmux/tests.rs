//! The face with a real message bus, called as hypervisors and operators call it. No hypervisor connects here.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rdpmux_guest::librdpmux::{Config as Sockets, SocketName};
use rdpmux_guest::testcard;
use rdpmux_model::{DesktopName, Pattern, Rights};
use rdpmux_server::{Accounts, Directory};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use zbus::connection::Builder;
use zbus::fdo::PropertiesProxy;
use zbus::names::InterfaceName;
use zbus::wire::{OwnedVariant, Variant};
use zbus::{Connection, MessageStream};

use super::*;
use crate::auth::UserName;
use crate::config::{Bus, Config, Machine, Source};
use crate::registry::{Grant, Registry};
use crate::{Identity, private_file};

const UUID: &str = "8A2b0c4e-7f1d-4c2a-9b3e-1f2e3d4c5b6a";
const OBJECT: &str = "/org/RDPMux/RDPListener/8A2b0c4e7f1d4c2a9b3e1f2e3d4c5b6a";
const LISTENER: &str = "org.RDPMux.RDPListener";
const LIMIT: Duration = Duration::from_secs(20);

struct Place {
    bus: Child,
    address: String,
    directory: TempDir,
    registry: Registry,
    face: Option<Face>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
    }
}

fn start_bus(directory: &Path) -> (Child, String) {
    let address = format!("unix:path={}", directory.join("bus").display());
    let configuration = directory.join("bus.conf");
    let text = format!(
        "<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>"
    );
    std::fs::write(&configuration, text).expect("configuration");
    let child = Command::new("dbus-daemon")
        .arg("--nofork")
        .arg(format!("--config-file={}", configuration.display()))
        .spawn()
        .unwrap_or_else(|error| panic!("dbus-daemon: {error}; run cargo xtask setup"));
    (child, address)
}

async fn client(address: &str) -> Connection {
    let connecting = async {
        loop {
            match Builder::address(address).build().await {
                Ok(connection) => return connection,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(LIMIT, connecting).await.expect("the bus starts")
}

fn name(text: &str) -> DesktopName {
    DesktopName::new(text).expect("valid")
}

/// A test card that alice may see.
fn config() -> Config {
    Config {
        machines: vec![Machine {
            name: name("card"),
            source: Source::TestCard(testcard::Config::default()),
            resize: true,
            layout: None,
            take_over: crate::config::TakeOver::default(),
            streams: Vec::new(),
        }],
        grants: vec![Grant {
            users: vec![Pattern::new("alice")],
            vms: vec![Pattern::new("*")],
            rights: Rights::VIEW,
            clipboard: rdpmux_model::ClipboardPolicy::ALL,
            streams: crate::StreamGrant::NONE,
        }],
        ..Config::default()
    }
}

async fn place(no_auth: bool) -> Place {
    let directory = TempDir::new().expect("tempdir");
    let (bus, address) = start_bus(directory.path());
    drop(client(&address).await);
    let config = config();
    let settings = Librdpmux {
        bus: Bus::Address(address.clone()),
        listen: Ipv4Addr::LOCALHOST.into(),
        first_port: 43_901,
        sockets: Sockets {
            socket: SocketName::Path(directory.path().join("mux")),
            socket6: directory.path().join("mux6"),
        },
        no_auth,
    };
    let registry = Registry::start(&config).await;
    let premises = Premises {
        tls: Identity::ephemeral().expect("made").tls(),
        users: users(),
        board: registry.board(),
        house: House::default(),
        sessions: Sessions::default(),
        logins: config.logins,
        limits: config.limits,
        reconnect: config.reconnect,
        layout: None,
    };
    let face = Face::open(&settings, premises).await.expect("open");
    Place {
        bus,
        address,
        directory,
        registry,
        face: Some(face),
    }
}

fn users() -> Arc<Users> {
    let alice = UserName::new("alice").expect("valid");
    Arc::new(Users::in_memory([(alice, "one".to_owned())]))
}

struct Hypervisor(Connection);

impl Hypervisor {
    async fn register(&self, id: i32, version: i32, uuid: &str, port: u16, file: &str) -> String {
        self.register_at(
            ("org.RDPMux.RDPMux", "/org/RDPMux/RDPMux"),
            id,
            version,
            uuid,
            port,
            file,
        )
        .await
    }

    async fn register_at(
        &self,
        (bus_name, path): (&str, &str),
        id: i32,
        version: i32,
        uuid: &str,
        port: u16,
        file: &str,
    ) -> String {
        let body = (id, version, uuid, port, file);
        let answer = self
            .0
            .call_method(Some(bus_name), path, Some("org.RDPMux.RDPMux"), "Register", &body)
            .await
            .expect("answered");
        answer.body().deserialize::<String>().expect("a text")
    }

    async fn property(&self, path: &str, interface: &str, property: &str) -> Result<OwnedVariant, zbus::Error> {
        let properties = PropertiesProxy::new(&self.0, "org.RDPMux.RDPMux", path).await?;
        let interface = InterfaceName::try_from(interface).expect("valid");
        Ok(properties.get(interface, property).await?)
    }

    async fn port(&self) -> u16 {
        let port = self.property(OBJECT, LISTENER, "Port").await.expect("there");
        let Variant::I32(port) = *port else {
            panic!("{port:?}");
        };
        port.try_into().expect("a port")
    }

    async fn requires(&self) -> bool {
        let requires = self.property(OBJECT, LISTENER, "RequiresAuthentication").await;
        matches!(*requires.expect("there"), Variant::Bool(true))
    }

    async fn call<B: serde::Serialize + zbus::DynamicType>(&self, method: &str, body: &B) {
        let called = self
            .0
            .call_method(Some("org.RDPMux.RDPMux"), OBJECT, Some(LISTENER), method, body);
        called.await.unwrap_or_else(|error| panic!("{method}: {error}"));
    }

    async fn wait_until_gone(&self) {
        let gone = async {
            while self.property(OBJECT, LISTENER, "Port").await.is_ok() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LIMIT, gone).await.expect("gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_registered_listed_driven_and_shut_down() {
    let place = place(false).await;
    let hypervisor = Hypervisor(client(&place.address).await);
    let versions = hypervisor
        .property("/org/RDPMux/Server", "org.RDPMux.RDPMux", "SupportedProtocolVersions")
        .await
        .expect("there");
    assert_eq!(format!("{:?}", Vec::<i32>::try_from(versions)), "Ok([5, 6])");
    let answer = hypervisor.register(7, 5, UUID, 0, "").await;
    assert_eq!(
        answer,
        format!("ipc://{}", place.directory.path().join("mux").display())
    );

    let port = hypervisor.port().await;
    assert!(port >= 43_901, "{port}");
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpListener::bind(address).expect_err("the port is held");
    assert!(hypervisor.requires().await);
    let board = place.registry.board();
    let found = timeout(LIMIT, board.wait_until(|there| there.contains(&name(UUID))));
    found.await.expect("on the shared port");
    assert_eq!(
        board.find(&name("7")).map(|desktop| desktop.name().clone()),
        Some(name(UUID))
    );

    let mut changes = MessageStream::from(&hypervisor.0);
    let rule = format!("type='signal',interface='org.freedesktop.DBus.Properties',path='{OBJECT}'");
    let bus = zbus::fdo::DBusProxy::new(&hypervisor.0).await.expect("bus");
    let rule = zbus::MatchRule::try_from(rule.as_str()).expect("valid");
    bus.add_match_rule(rule).await.expect("match");
    hypervisor.call("SetAuthentication", &(false,)).await;
    assert!(!hypervisor.requires().await);
    let told = async {
        loop {
            let message = next(&mut changes).await;
            let header = message.header();
            if header
                .member()
                .is_some_and(|member| member.as_str() == "PropertiesChanged")
            {
                return format!("{message:?} {:?}", message.body());
            }
        }
    };
    timeout(LIMIT, told).await.expect("told");
    hypervisor.call("SetCredentialFile", &("/nonexistent",)).await;
    assert!(hypervisor.requires().await, "who names a file wants it to count");

    hypervisor.call("Shutdown", &()).await;
    hypervisor.wait_until_gone().await;
    timeout(LIMIT, board.wait_until(|there| !there.contains(&name(UUID))))
        .await
        .expect("off the shared port");
    let again = hypervisor.register(7, 6, UUID, port, "").await;
    assert!(again.starts_with("unix:/"), "{again}");
    assert_eq!(hypervisor.port().await, port, "the very port that was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_is_answered_with_an_empty_path() {
    let place = place(false).await;
    let hypervisor = Hypervisor(client(&place.address).await);
    let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let taken = holder.local_addr().expect("bound").port();
    let other = "00000000-0000-4000-8000-000000000001";
    assert_ne!(hypervisor.register(1, 5, other, 0, "").await, "");
    for (id, version, uuid, port, why) in [
        (2, 4, UUID, 0, "an old version"),
        (2, 7, UUID, 0, "a version to come"),
        (-1, 5, UUID, 0, "an id below 0"),
        (1, 5, UUID, 0, "another machine's id"),
        (2, 5, "8A2b0c4e7f1d4c2a9b3e1f2e3d4c5b6a", 0, "a uuid without dashes"),
        (2, 5, "", 0, "no uuid"),
        (2, 5, "../../../../../../../../etc/passwd..", 0, "a path"),
        (2, 5, UUID, taken, "a port that is taken"),
    ] {
        assert_eq!(hypervisor.register(id, version, uuid, port, "").await, "", "{why}");
    }
    assert!(
        hypervisor.property(OBJECT, LISTENER, "Port").await.is_err(),
        "nothing is left of them"
    );
    let documented = ("org.RDP.RDPMux", "/org/RDPMux/Server");
    let answer = hypervisor
        .register_at(documented, 2, 5, UUID, 0, &"x".repeat(5000))
        .await;
    assert_eq!(answer, "", "a file name without end");
    assert_ne!(hypervisor.register_at(documented, 2, 5, UUID, 0, "").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_comes_back_has_its_port_and_a_lost_bus_its_object() {
    let mut place = place(true).await;
    let hypervisor = Hypervisor(client(&place.address).await);
    hypervisor.register(3, 5, UUID, 0, "").await;
    let port = hypervisor.port().await;
    assert!(!hypervisor.requires().await, "no_auth");
    // Its hypervisor never connected, so it may register again; this time with a credential file.
    assert_ne!(hypervisor.register(3, 5, UUID, 0, "/nonexistent").await, "");
    assert_eq!(hypervisor.port().await, port);
    assert!(hypervisor.requires().await);

    place.bus.kill().expect("kill");
    place.bus.wait().expect("wait");
    std::fs::remove_file(place.directory.path().join("bus")).expect("remove");
    place.bus = start_bus(place.directory.path()).0;
    let later = Hypervisor(client(&place.address).await);
    let back = async {
        while later.property(OBJECT, LISTENER, "Port").await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LIMIT, back).await.expect("shown again");
    assert_eq!(later.port().await, port);
    let face = place.face.take().expect("there");
    timeout(LIMIT, face.drain()).await.expect("ends");
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port is free");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_on_the_same_bus_is_told_so() {
    let first = place(false).await;
    let settings = Librdpmux {
        bus: Bus::Address(first.address.clone()),
        sockets: Sockets {
            socket: SocketName::Path(first.directory.path().join("other")),
            socket6: first.directory.path().join("other6"),
        },
        ..Librdpmux::default()
    };
    let (commands, _inbox) = mpsc::channel(1);
    let error = Line::open(settings.bus, commands)
        .await
        .err()
        .expect("taken")
        .to_string();
    assert!(error.contains("is another rdpmux running"), "{error}");
}

#[tokio::test]
async fn the_gate_believes_the_daemons_users_a_files_users_or_everybody() {
    let config = config();
    let registry = Registry::start(&config).await;
    let gate = Gate::new(name("card"), registry.board(), users(), "", true);
    let both = Logins::default();
    let rights = |user: &str| gate.rights(user, &name("card"));
    assert_eq!(gate.logins(both), both);
    assert!(gate.verify("alice", "one") && !gate.verify("bob", "Password"));
    assert_eq!((rights("alice"), rights("bob")), (Rights::VIEW, Rights::default()));
    assert!(gate.default_desktop().is_some() && gate.find(&name("card")).is_some());

    let directory = TempDir::new().expect("tempdir");
    let sam = directory.path().join("sam");
    let line = "bob:CORP::a4f49c406510bdcab6824ee7c30fd852:::\n";
    private_file::replace(&sam, line.as_bytes()).expect("write");
    gate.set_file(&sam.display().to_string());
    assert_eq!(gate.logins(both), Logins::NLA);
    assert_eq!(gate.nt_hash("alice"), None, "the daemon's users are not the file's");
    assert!(gate.nt_hash("Bob").is_some());
    assert_eq!(rights("bob"), Rights::CONTROL);
    assert_eq!(gate.rights("bob", &name("web1")), Rights::default(), "another machine");

    gate.require(false);
    assert_eq!(gate.logins(both), Logins::TLS);
    assert!(gate.verify("anybody", ""));
    let mark = gate.nt_hash("anybody");
    assert!(mark.is_some(), "what a reconnect cookie is tied to");
    gate.require(false);
    assert_ne!(gate.nt_hash("anybody"), mark);
    gate.require(true);
    assert_eq!(
        gate.nt_hash("anybody"),
        None,
        "such a cookie is void once passwords are asked for"
    );
    gate.set_file("");
    assert!(gate.verify("alice", "one"));
}

async fn next(stream: &mut MessageStream) -> zbus::Message {
    use zbus::export::futures_core::Stream;
    let message = std::future::poll_fn(|context| std::pin::Pin::new(&mut *stream).poll_next(context)).await;
    message.expect("the bus is there").expect("a message")
}
