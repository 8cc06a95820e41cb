//! The registry with test cards and with sockets behind which nobody speaks: desktops come, go and keep their owner.

use std::os::unix::net::UnixListener;
use std::path::Path;

use rdpmux_guest::testcard;
use rdpmux_server::Directory;

use super::*;

fn name(text: &str) -> DesktopName {
    DesktopName::new(text).expect("valid")
}

fn test_card(text: &str) -> Machine {
    Machine {
        name: name(text),
        source: Source::TestCard(testcard::Config::default()),
        resize: true,
        layout: None,
        take_over: crate::config::TakeOver::default(),
        streams: Vec::new(),
    }
}

/// Waits until these and no others are on the board.
async fn shows(board: &Board, names: &[&str]) {
    let names: Vec<_> = names.iter().copied().map(name).collect();
    let shown = board.wait_until(|there| there == names);
    tokio::time::timeout(roster::GRACE * 3, shown).await.expect("in time");
}

#[tokio::test]
async fn fixed_machines_can_be_reached_when_the_start_returns() {
    let config = Config {
        machines: vec![test_card("north"), test_card("south")],
        ..Config::default()
    };
    let registry = Registry::start(&config).await;
    assert_eq!(registry.names(), [name("north"), name("south")]);
    assert_eq!(
        registry
            .board()
            .find(&name("NORTH"))
            .map(|found| found.name().as_str().to_owned()),
        Some("north".into())
    );
    assert!(registry.board().find(&name("east")).is_none());
}

#[tokio::test]
async fn the_default_is_the_configured_desktop_else_the_only_machine() {
    let default = |registry: &Registry| {
        registry
            .board()
            .default_desktop()
            .map(|found| found.name().as_str().to_owned())
    };
    let mut config = Config {
        machines: vec![test_card("north")],
        ..Config::default()
    };
    let registry = Registry::start(&config).await;
    assert_eq!(default(&registry).as_deref(), Some("north"));
    config.machines.push(test_card("south"));
    let registry = Registry::start(&config).await;
    assert_eq!(default(&registry), None, "with two machines a client must choose");
    config.default_desktop = Some(name("South"));
    registry.reload(&config);
    assert_eq!(
        default(&registry).as_deref(),
        Some("south"),
        "the default may change while the daemon runs"
    );
}

#[tokio::test]
async fn a_dropped_registry_takes_its_desktops_down() {
    let config = Config {
        machines: vec![test_card("north")],
        ..Config::default()
    };
    let registry = Registry::start(&config).await;
    let board = registry.board();
    drop(registry);
    shows(&board, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn sockets_that_come_and_go_bring_and_take_their_desktops() {
    let directory = tempfile::tempdir().expect("tempdir");
    let socket = directory.path().join("web1.qmp");
    let pattern = SocketPattern::new(&directory.path().join("*.qmp")).expect("pattern");
    let config = Config {
        discover: vec![Discovery {
            sockets: pattern,
            layout: Layout::by_name("fr"),
            take_over: crate::config::TakeOver::default(),
        }],
        machines: vec![test_card("north")],
        ..Config::default()
    };
    let listener = bind(&socket);
    let registry = Registry::start(&config).await;
    let board = registry.board();
    assert_eq!(
        registry.names(),
        [name("north"), name("web1")],
        "what is there is found at the start"
    );
    let layouts = ["north", "web1"].map(|text| board.find(&name(text)).and_then(|desktop| desktop.layout()));
    assert_eq!(layouts.map(|layout| layout.map(Layout::name)), [None, Some("fr")]);

    drop(listener);
    std::fs::remove_file(&socket).expect("remove");
    shows(&board, &["north"]).await;

    let _listener = bind(&socket);
    shows(&board, &["north", "web1"]).await;
}

#[test]
fn starts_and_ends_on_many_threads_never_lock_up() {
    let (sender, receiver) = std::sync::mpsc::channel();
    // On a thread of its own: a lock-up would stop the runtime's own clock too.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(3)
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async {
            let config = Config {
                machines: vec![test_card("a"), test_card("b"), test_card("c")],
                ..Config::default()
            };
            for _ in 0..50 {
                drop(Registry::start(&config).await);
            }
        });
        sender.send(()).expect("the test waits");
    });
    receiver.recv_timeout(Duration::from_secs(60)).expect("no lock-up");
}

fn bind(path: &Path) -> UnixListener {
    UnixListener::bind(path).expect("bind")
}
