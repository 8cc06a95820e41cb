use std::collections::HashMap;

use rdpmux_engine::surface;
use rdpmux_model::{Generation, HeadState, Size};
use tokio::sync::{mpsc, watch};

use super::*;
use crate::desktop::{Desktop, DesktopSource, Peripherals};

struct House {
    desktops: HashMap<DesktopName, Desktop>,
    default: Option<&'static str>,
}

impl Directory for House {
    fn find(&self, name: &DesktopName) -> Option<DesktopHandle> {
        self.desktops.get(name).map(Desktop::handle)
    }

    fn default_desktop(&self) -> Option<DesktopHandle> {
        self.find(&DesktopName::new(self.default?).unwrap())
    }

    fn rights(&self, user: &str, desktop: &DesktopName) -> Rights {
        match (user, desktop.vm()) {
            ("alice", "web1" | "web2") => Rights::CONTROL,
            ("guest", "web1") => Rights::VIEW,
            _ => Rights::default(),
        }
    }
}

fn house(default: Option<&'static str>) -> House {
    let desktop = |name: &str| {
        let name = DesktopName::new(name).unwrap();
        let (_writer, reader) = surface(Size::new(64, 64));
        let source = DesktopSource {
            surface: reader,
            frames: watch::channel(Generation(1)).1,
            state: watch::channel(HeadState::default()).1,
            input: mpsc::channel(1).0,
            peripherals: Peripherals::default(),
            audience: watch::Sender::default(),
            head: None,
        };
        (name.clone(), Desktop::spawn(name, source))
    };
    House {
        desktops: ["web1", "web2", "secret", "web1/1"].into_iter().map(desktop).collect(),
        default,
    }
}

fn ask(house: &House, hints: &Hints, user: &str, domain: Option<&str>, routing: &Routing) -> String {
    let login = LoginName::parse(user, domain, routing);
    match choose(hints, &login, routing, house) {
        Ok(grant) => grant.desktop.name().to_string(),
        Err(denied) => format!("{denied:?}"),
    }
}

#[tokio::test]
async fn the_order_of_selectors_is_blob_token_server_name_user_default() {
    let house = house(Some("web2"));
    let routing = Routing::default();
    let mut hints = Hints::default();
    let text = |s: &str| Some(s.to_owned());
    assert_eq!(ask(&house, &hints, "alice", None, &routing), "web2");
    hints.cookie = text("web1");
    assert_eq!(ask(&house, &hints, "alice", None, &routing), "web1");
    assert_eq!(ask(&house, &hints, "alice#web2", None, &routing), "web2");
    assert_eq!(ask(&house, &hints, "alice", Some("web2"), &routing), "web2");
    hints.server_name = text("web1.consoles.example");
    assert_eq!(ask(&house, &hints, "alice#web2", None, &routing), "web1");
    hints.token = text("web2");
    assert_eq!(ask(&house, &hints, "alice#web1", None, &routing), "web2");
    hints.preconnection = text("web1/1");
    assert_eq!(ask(&house, &hints, "alice", None, &routing), "web1/1");
}

#[tokio::test]
async fn unknown_and_forbidden_names_get_the_same_refusal() {
    let house = house(Some("web1"));
    let routing = Routing::default();
    let named = |name: &str| Hints {
        preconnection: Some(name.to_owned()),
        ..Hints::default()
    };
    assert_eq!(
        ask(&house, &named("secret"), "alice", None, &routing),
        r#"NotYours { wanted: "secret" }"#
    );
    assert_eq!(
        ask(&house, &named("nosuch"), "alice", None, &routing),
        r#"NotYours { wanted: "nosuch" }"#
    );
    assert_eq!(
        ask(&house, &named("a b\u{7}"), "alice", None, &routing),
        r#"NotYours { wanted: "a b?" }"#
    );
    assert_eq!(
        ask(&house, &Hints::default(), "alice#nosuch", None, &routing),
        r#"NotYours { wanted: "nosuch" }"#
    );
    assert_eq!(
        ask(&house, &Hints::default(), "alice", Some("nosuch"), &routing),
        r#"NotYours { wanted: "nosuch" }"#
    );
}

#[tokio::test]
async fn hints_that_clients_send_by_themselves_are_not_taken_at_their_word() {
    let house = house(Some("web2"));
    let routing = Routing::default();
    let hints = Hints {
        server_name: Some("host7.example".into()),
        cookie: Some("alice".into()),
        ..Hints::default()
    };
    assert_eq!(ask(&house, &hints, "alice", Some(""), &routing), "web2");
    assert_eq!(ask(&house, &hints, "alice", Some("."), &routing), "web2");
    let strict = Routing {
        server_names: vec!["consoles.example".into()],
        login_domains: vec!["CORP".into()],
        ..Routing::default()
    };
    assert_eq!(ask(&house, &hints, "alice", Some("corp"), &strict), "web2");
    let own = Hints {
        server_name: Some("nosuch.consoles.example".into()),
        ..Hints::default()
    };
    assert_eq!(
        ask(&house, &own, "alice", None, &strict),
        r#"NotYours { wanted: "nosuch" }"#
    );
}

#[tokio::test]
async fn a_client_that_names_nothing_needs_a_default() {
    assert_eq!(
        ask(&house(None), &Hints::default(), "alice", None, &Routing::default()),
        "NoneNamed"
    );
}

#[test]
fn login_names_come_apart() {
    let routing = Routing::default();
    let parse = |user, domain| LoginName::parse(user, domain, &routing);
    let name = |user: &str, desktop: Option<&str>| LoginName {
        user: user.into(),
        desktop: desktop.map(str::to_owned),
    };
    assert_eq!(parse("alice", None), name("alice", None));
    assert_eq!(parse("web1\\alice", None), name("alice", Some("web1")));
    assert_eq!(parse("alice#web1/1", Some("x")), name("alice", Some("web1/1")));
    assert_eq!(parse("al#ice#web1", None), name("al#ice", Some("web1")));
    let one_machine = Routing {
        all_domains_real: true,
        ..Routing::default()
    };
    assert_eq!(
        LoginName::parse("web1\\alice", Some("x"), &one_machine),
        name("alice", None)
    );
}
